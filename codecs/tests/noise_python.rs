//! Sessions with an implementation of Noise from elsewhere: the Python package `noiseprotocol`.

mod noise_common;

use std::{
    env,
    process::{Command, Output, Stdio},
};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use noise_common::{MOST, keypair};
use tokio::net::TcpListener;
use wattle_codecs::noise::{Keypair, Noise, PublicKey, Session};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/noise_python.py");

/// The interpreter that `WATTLE_PYTHON` names, or `python3`, if it has the package.
fn python() -> Option<String> {
    let python = env::var("WATTLE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let imported = Command::new(&python)
        .args(["-c", "import noise.connection"])
        .stderr(Stdio::null())
        .status();
    if imported.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    let required = env::var_os("WATTLE_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    assert!(!required, "{python} with noiseprotocol not found");
    println!("skipped: python3 with noiseprotocol not found");
    None
}

/// Both sides' part of a protocol.
struct Agreement {
    name: &'static str,
    /// Whether the initiator has to know the responder's key.
    known: bool,
    psk: Option<[u8; 32]>,
    rekey_every: Option<u64>,
}

impl Agreement {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            known: name.contains("_IK"),
            psk: None,
            rekey_every: None,
        }
    }

    fn ours(&self, initiator: bool) -> Noise {
        let mut noise = Noise::named(self.name, MOST)
            .expect("a name")
            .prologue("garden")
            .payload("from rust");
        if !self.name.contains("_NN") {
            noise = noise.keypair(keypair(1));
        }
        if self.known && initiator {
            noise = noise.remote(keypair(2).public());
        }
        if let Some(psk) = self.psk {
            let position = self
                .name
                .split("psk")
                .nth(1)
                .and_then(|rest| rest[..1].parse().ok());
            noise = noise.psk(position.expect("a position"), psk);
        }
        match self.rekey_every {
            Some(every) => noise.rekey_every(every),
            None => noise,
        }
    }

    /// The script's arguments.
    fn theirs(&self, port: u16, initiator: bool) -> Vec<String> {
        let role = if initiator { "initiator" } else { "responder" };
        let mut arguments = vec![SCRIPT.to_owned(), port.to_string(), role.to_owned()];
        arguments.extend(
            [
                self.name,
                "--prologue",
                "garden",
                "--payload",
                "from python",
            ]
            .map(Into::into),
        );
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        if !self.name.contains("_NN") {
            option("--static", hex(keypair(2).private()));
        }
        if self.known && initiator {
            option("--remote", keypair(1).public().to_string());
        }
        if let Some(psk) = self.psk {
            option("--psk", hex(&psk));
        }
        if let Some(every) = self.rekey_every {
            option("--rekey-every", every.to_string());
        }
        arguments
    }

    /// The remote's key in a session of ours.
    fn their_key(&self) -> Option<PublicKey> {
        (!self.name.contains("_NN"))
            .then(|| keypair(2))
            .as_ref()
            .map(Keypair::public)
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    PublicKey::from(*bytes).to_string()
}

async fn speaks_with_python(agreement: &Agreement) {
    let Some(python) = python() else { return };
    for initiator in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let child = tokio::process::Command::new(&python)
            .args(agreement.theirs(port, !initiator))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python");
        // A script that fails before it connects ends, and the accept with it.
        let ended = child.wait_with_output();
        tokio::pin!(ended);
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.expect("a connection").0,
            output = &mut ended => panic!("{:?}", output.expect("output")),
        };
        let ours = agreement.ours(initiator);
        let session = if initiator {
            ours.initiate(stream).await
        } else {
            ours.respond(stream).await
        };
        match session {
            Ok(session) => converse(session, agreement).await,
            Err(error) => panic!("{}: {error}: {:?}", agreement.name, ended.await),
        }
        check_output(&ended.await.expect("output"));
    }
}

async fn converse<IO>(session: Session<IO>, agreement: &Agreement)
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    assert_eq!(session.remote_static, agreement.their_key());
    assert_eq!(session.payloads.last().expect("a payload"), "from python");
    let mut framed = session.framed;
    let hash = framed.next().await.expect("the hash").expect("decoded");
    assert_eq!(hash, session.handshake_hash);
    for len in [0, 1, 5, 65_518, 1_000, 2] {
        let message: Bytes = (0..len).map(|i: u32| (i * i) as u8).collect();
        framed.send(message.clone()).await.expect("sent");
        let mut back = framed
            .next()
            .await
            .expect("an answer")
            .expect("decoded")
            .to_vec();
        back.reverse();
        assert!(back == message, "{len} bytes");
    }
}

fn check_output(output: &Output) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let heard = String::from_utf8_lossy(&output.stdout);
    assert_eq!(heard.lines().last(), Some("payload from rust"));
}

#[tokio::test]
async fn xx_with_python() {
    speaks_with_python(&Agreement::new("Noise_XX_25519_ChaChaPoly_BLAKE2s")).await;
    speaks_with_python(&Agreement::new("Noise_XX_25519_AESGCM_SHA256")).await;
}

#[tokio::test]
async fn ik_with_python() {
    speaks_with_python(&Agreement::new("Noise_IK_25519_ChaChaPoly_BLAKE2s")).await;
}

#[tokio::test]
async fn nn_with_python() {
    speaks_with_python(&Agreement::new("Noise_NN_25519_ChaChaPoly_SHA512")).await;
}

#[tokio::test]
async fn pre_shared_keys_with_python() {
    for name in [
        "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s",
        "Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b",
        "Noise_IKpsk2_25519_AESGCM_BLAKE2s",
    ] {
        let psk = Some([7; 32]);
        speaks_with_python(&Agreement {
            psk,
            ..Agreement::new(name)
        })
        .await;
    }
}

#[tokio::test]
async fn rekeying_with_python() {
    for name in [
        "Noise_XX_25519_ChaChaPoly_BLAKE2s",
        "Noise_XX_25519_AESGCM_SHA256",
    ] {
        let rekey_every = Some(2);
        speaks_with_python(&Agreement {
            rekey_every,
            ..Agreement::new(name)
        })
        .await;
    }
}
