//! The vector files that ship with `snow`: our handshake and our codec send and understand exactly
//! those bytes, in frames.

mod noise_common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::{Bytes, BytesMut};
use noise_common::{MOST, Script};
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio_util::codec::{Decoder, Encoder};
use wattle_codecs::noise::{
    Handshake, Keypair, NoiseCodec, NoiseError,
    snow::{
        Builder, HandshakeState,
        params::{DHChoice, HandshakeModifier, NoiseParams},
    },
};

/// How many vectors have to run at least, so that a change of the files' form doesn't go unnoticed.
const LEAST: usize = 800;

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

/// The two parties' parts, in hexadecimal digits; what one doesn't need is missing.
#[derive(Deserialize)]
struct Vector {
    protocol_name: String,
    init_prologue: String,
    #[serde(default)]
    init_psks: Vec<String>,
    init_static: Option<String>,
    init_ephemeral: Option<String>,
    init_remote_static: Option<String>,
    resp_prologue: String,
    #[serde(default)]
    resp_psks: Vec<String>,
    resp_static: Option<String>,
    resp_ephemeral: Option<String>,
    resp_remote_static: Option<String>,
    handshake_hash: Option<String>,
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    payload: String,
    ciphertext: String,
}

/// What one of the two brings.
struct Party<'a> {
    initiator: bool,
    prologue: &'a str,
    psks: &'a [String],
    fixed: &'a Option<String>,
    ephemeral: &'a Option<String>,
    remote: &'a Option<String>,
}

impl Vector {
    fn party(&self, initiator: bool) -> Party<'_> {
        if initiator {
            Party {
                initiator,
                prologue: &self.init_prologue,
                psks: &self.init_psks,
                fixed: &self.init_static,
                ephemeral: &self.init_ephemeral,
                remote: &self.init_remote_static,
            }
        } else {
            Party {
                initiator,
                prologue: &self.resp_prologue,
                psks: &self.resp_psks,
                fixed: &self.resp_static,
                ephemeral: &self.resp_ephemeral,
                remote: &self.resp_remote_static,
            }
        }
    }
}

impl Party<'_> {
    fn state(&self, params: &NoiseParams) -> HandshakeState {
        let key = |key: &Option<String>| key.as_deref().map(unhex);
        let (fixed, ephemeral, remote) = (key(self.fixed), key(self.ephemeral), key(self.remote));
        let prologue = unhex(self.prologue);
        let psks: Vec<[u8; 32]> = self
            .psks
            .iter()
            .map(|psk| unhex(psk).try_into().expect("32 bytes"))
            .collect();
        let mut builder = Builder::new(params.clone())
            .prologue(&prologue)
            .expect("once");
        for (position, psk) in positions(params).zip(&psks) {
            builder = builder.psk(position, psk).expect("a position");
        }
        if let Some(key) = &fixed {
            builder = builder.local_private_key(key).expect("once");
        }
        if let Some(key) = &ephemeral {
            builder = builder.fixed_ephemeral_key_for_testing_only(key);
        }
        if let Some(key) = &remote {
            builder = builder.remote_public_key(key).expect("once");
        }
        let state = if self.initiator {
            builder.build_initiator()
        } else {
            builder.build_responder()
        };
        state.expect("a state")
    }
}

fn positions(params: &NoiseParams) -> impl Iterator<Item = u8> {
    let modifiers = params.handshake.modifiers.list.iter();
    modifiers.filter_map(|modifier| match modifier {
        HandshakeModifier::Psk(position) => Some(*position),
        _ => None,
    })
}

fn unhex(digits: &str) -> Vec<u8> {
    let byte = |i| u8::from_str_radix(&digits[i..i + 2], 16).expect("digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// A message as it stands on the wire.
fn frame(message: &Message) -> Vec<u8> {
    let noise = unhex(&message.ciphertext);
    let len = u16::try_from(noise.len()).expect("a Noise message");
    [&len.to_be_bytes()[..], &noise].concat()
}

/// What cargo prints, of this machine's platform alone: other platforms' packages may not be here.
fn cargo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    output.stdout
}

/// Where `snow` lies on this machine: cargo knows.
fn folder_of_snow() -> PathBuf {
    let version = String::from_utf8(cargo(&["-vV"])).expect("text");
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("a platform");
    let metadata = cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--filter-platform",
        host,
    ]);
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        manifest_path: PathBuf,
    }
    let metadata: Metadata = serde_json::from_slice(&metadata).expect("metadata");
    let snow = metadata
        .packages
        .into_iter()
        .find(|package| package.name == "snow");
    let manifest = snow.expect("snow is a dependency").manifest_path;
    manifest.parent().expect("a folder").to_owned()
}

fn vectors(file: &Path) -> Vec<Vector> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    serde_json::from_str::<File>(&text)
        .expect("vectors")
        .vectors
}

/// The parameters, or why it isn't run.
fn supported(vector: &Vector) -> Result<NoiseParams, String> {
    let params: NoiseParams = vector
        .protocol_name
        .parse()
        .map_err(|error| format!("{error}"))?;
    if params.dh != DHChoice::Curve25519 {
        return Err("snow has no such curve built in".to_owned());
    }
    Ok(params)
}

/// How many messages the handshake has, by the pattern's name: a 1 behind a letter puts a DH off.
fn handshake_messages(params: &NoiseParams) -> usize {
    match params.handshake.pattern.as_str() {
        "N" | "K" | "X" => 1,
        "NK1" | "KK1" | "IK1" => 2,
        name if name.starts_with("X1") => 4,
        name if name.starts_with('X') || name.contains('1') => 3,
        _ => 2,
    }
}

/// Gives one party all that the other one sends, and compares what it sends itself.
async fn check(vector: &Vector, params: &NoiseParams, initiator: bool) {
    let name = &vector.protocol_name;
    let oneway = params.handshake.pattern.is_oneway();
    let is_mine = |i: usize| (oneway || i.is_multiple_of(2)) == initiator;
    let (handshake, session) = vector.messages.split_at(handshake_messages(params));
    let of = |mine: bool| {
        let messages = handshake.iter().enumerate();
        messages
            .filter(move |(i, _)| is_mine(*i) == mine)
            .map(|(_, message)| message)
    };
    let payloads = |mine| {
        of(mine)
            .map(|message| unhex(&message.payload))
            .collect::<Vec<_>>()
    };

    // In pieces that match no frame.
    let script = Script::new(of(false).flat_map(frame).collect::<Vec<_>>().chunks(5));
    let came = Handshake::new(vector.party(initiator).state(params), MOST)
        .payloads(payloads(true))
        .run(script.clone())
        .await
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(
        script.written(),
        of(true).flat_map(frame).collect::<Vec<_>>(),
        "{name}"
    );
    assert_eq!(came.payloads, payloads(false), "{name}");
    if let Some(hash) = &vector.handshake_hash {
        assert_eq!(came.handshake_hash, unhex(hash), "{name}");
    }
    if let Some(key) = came.remote_static {
        let private = vector.party(!initiator).fixed.as_deref().expect("its key");
        let private = unhex(private).try_into().expect("32 bytes");
        assert_eq!(
            key,
            Keypair::from_private(private).expect("a key").public(),
            "{name}"
        );
    }
    let mut codec = came.framed.into_parts().codec;
    for (i, message) in (handshake.len()..).zip(session) {
        exchange(&mut codec, message, is_mine(i)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn exchange(codec: &mut NoiseCodec, message: &Message, mine: bool) -> Result<(), NoiseError> {
    let payload = Bytes::from(unhex(&message.payload));
    let mut wire = BytesMut::new();
    if mine {
        codec.encode(payload, &mut wire)?;
        assert_eq!(wire, frame(message));
    } else {
        wire.extend_from_slice(&frame(message));
        assert_eq!(codec.decode(&mut wire)?, Some(payload));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_vector_that_snow_can_run_has_its_bytes_on_our_wire() {
    let folder = folder_of_snow().join("tests/vectors");
    let mut skipped = BTreeMap::<String, usize>::new();
    let mut checks = JoinSet::new();
    for file in ["cacophony.txt", "snow.txt", "snow-extended.txt"] {
        for vector in vectors(&folder.join(file)) {
            match supported(&vector) {
                Ok(params) => drop(checks.spawn(async move {
                    check(&vector, &params, true).await;
                    check(&vector, &params, false).await;
                })),
                Err(why) => *skipped.entry(format!("{file}: {why}")).or_default() += 1,
            }
        }
    }
    let run = checks.join_all().await.len();
    println!("{run} vectors run, as initiator and as responder");
    for (why, number) in skipped {
        println!("skipped {number} of {why}");
    }
    assert!(run >= LEAST, "{run} vectors, expected at least {LEAST}");
}
