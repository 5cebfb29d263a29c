//! Our TLS against that of OpenSSL, by its command line: as server and as client, with and without
//! client certificates.
//!
//! Without `openssl` the tests say that they are skipped; with `WATTLE_REQUIRE_TOOLS=1` they fail then.

#[path = "tls_common/certificates.rs"]
#[allow(dead_code, reason = "shared with the tests of TLS")]
mod certificates;

use std::{
    env, fs,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command},
};
use tokio_util::codec::{Framed, LinesCodec};
use wattle_codecs::tls::{
    self, TlsError, TlsStream,
    rustls::{
        AlertDescription, CertificateError, ClientConfig, CommonState, ServerConfig,
        pki_types::ServerName,
    },
};

use certificates::{Authority, Identity, NAME, V12, V13, Versions};

const ALPN: &str = "wattle";

/// Both protocol versions, with OpenSSL's option for them.
const BOTH: [(Versions, &str); 2] = [(V12, "-tls1_2"), (V13, "-tls1_3")];

type Session = Framed<TlsStream<TcpStream>, LinesCodec>;

fn lines(_: &CommonState) -> LinesCodec {
    LinesCodec::new_with_max_length(8192)
}

/// Runs a test, if there is an `openssl`; fails if it comes to no end.
async fn with_openssl(test: impl Future<Output = ()>) {
    let found = Command::new("openssl").arg("version").output().await;
    if !found.is_ok_and(|output| output.status.success()) {
        assert!(
            env::var_os("WATTLE_REQUIRE_TOOLS").is_none_or(|required| required != "1"),
            "openssl not found"
        );
        println!("skipped: openssl not found");
        return;
    }
    let outcome = tokio::time::timeout(Duration::from_secs(60), test).await;
    outcome.expect("an end of the test within a minute");
}

/// An authority, a certificate of it for each side, and a folder with all of them.
struct Stage {
    ca: Authority,
    server: Identity,
    client: Identity,
    folder: PathBuf,
}

impl Stage {
    fn new(test: &str) -> Self {
        let ca = Authority::new("an authority");
        let (server, client) = (ca.issue(), ca.issue());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        fs::create_dir_all(&folder).unwrap();
        let stage = Self {
            ca,
            server,
            client,
            folder,
        };
        stage.write("ca.pem", &stage.ca.pem());
        stage.write("server.pem", &stage.server.pem);
        stage.write("server.key", &stage.server.key_pem());
        stage.write("client.pem", &stage.client.pem);
        stage.write("client.key", &stage.client.key_pem());
        stage
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
    }

    fn openssl(&self, arguments: &[&str]) -> Tool {
        let mut child = Command::new("openssl")
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Tool {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    /// `openssl s_client` towards our server.
    fn s_client(&self, addr: SocketAddr, more: &[&str]) -> Tool {
        let addr = addr.to_string();
        let mut arguments = vec!["s_client", "-connect", &addr, "-CAfile", "ca.pem"];
        arguments.extend(["-verify_return_error", "-verify_hostname", NAME]);
        arguments.extend(["-alpn", ALPN, "-quiet"]);
        arguments.extend(more);
        self.openssl(&arguments)
    }

    /// `openssl s_server`, which sends each line back reversed, and its address.
    async fn s_server(&self, more: &[&str]) -> (Tool, SocketAddr) {
        let mut arguments = vec![
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-naccept",
            "1",
            "-rev",
        ];
        arguments.extend(["-cert", "server.pem", "-key", "server.key", "-alpn", ALPN]);
        arguments.extend(more);
        let mut tool = self.openssl(&arguments);
        loop {
            let line = tool.line().await;
            if let Some(addr) = line.strip_prefix("ACCEPT ") {
                return (tool, addr.parse().unwrap());
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct Tool {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Tool {
    async fn say(&mut self, line: &str) {
        self.input.write_all(line.as_bytes()).await.unwrap();
        self.input.write_all(b"\n").await.unwrap();
    }

    async fn line(&mut self) -> String {
        self.output
            .next_line()
            .await
            .unwrap()
            .expect("another line")
    }

    async fn end(self) -> Output {
        // Open until then: at the end of its input a server would close.
        let output = self.child.wait_with_output().await.unwrap();
        drop(self.input);
        output
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

async fn accept(listener: &TcpListener, mut config: ServerConfig) -> Result<Session, TlsError> {
    config.alpn_protocols = vec![ALPN.into()];
    let (stream, _) = listener.accept().await.unwrap();
    tls::accept(stream, Arc::new(config), lines).await
}

async fn connect(addr: SocketAddr, mut config: ClientConfig) -> Result<Session, TlsError> {
    config.alpn_protocols = vec![ALPN.into()];
    let stream = TcpStream::connect(addr).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    tls::connect(stream, Arc::new(config), name, lines).await
}

/// A line each way, then the server closes, and the client ends in peace.
async fn talk(mut server: Session, mut client: Tool) {
    client.say("from openssl").await;
    assert_eq!(server.next().await.unwrap().unwrap(), "from openssl");
    server.send("from wattle").await.unwrap();
    assert_eq!(client.line().await, "from wattle");
    SinkExt::<&str>::close(&mut server).await.unwrap();
    let output = client.end().await;
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn s_client_talks_to_our_server() {
    let stage = Stage::new("s_client");
    with_openssl(async {
        for (versions, option) in BOTH {
            let (listener, addr) = listener().await;
            let client = stage.s_client(addr, &[option]);
            let server = accept(&listener, stage.ca.server(versions, &stage.server));
            let server = server.await.unwrap();
            assert_eq!(tls::alpn(&server), Some(ALPN.as_bytes()));
            assert!(tls::peer_certificates(&server).is_empty());
            talk(server, client).await;
        }
    })
    .await;
}

#[tokio::test]
async fn s_client_shows_its_certificate_to_our_server() {
    let stage = Stage::new("s_client_mutual");
    with_openssl(async {
        for (versions, option) in BOTH {
            let (listener, addr) = listener().await;
            let own = [option, "-cert", "client.pem", "-key", "client.key"];
            let client = stage.s_client(addr, &own);
            let server = accept(&listener, stage.ca.mutual_server(versions, &stage.server));
            let server = server.await.unwrap();
            // It shows the authority's too.
            let shown = tls::peer_certificates(&server);
            assert_eq!(shown.first(), Some(&stage.client.certificate));
            talk(server, client).await;
        }
    })
    .await;
}

#[tokio::test]
async fn s_client_without_a_certificate_is_refused_and_told() {
    let stage = Stage::new("s_client_without");
    with_openssl(async {
        for (versions, option) in BOTH {
            let (listener, addr) = listener().await;
            let client = stage.s_client(addr, &[option]);
            let server = accept(&listener, stage.ca.mutual_server(versions, &stage.server));
            let error = server.await.unwrap_err();
            assert!(matches!(error, TlsError::NoCertificate), "{error}");
            let output = client.end().await;
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                said.contains("alert number 116"),
                "certificate_required: {said}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn s_client_that_refuses_our_certificate_is_understood() {
    let stage = Stage::new("s_client_refuses");
    stage.write("ca.pem", &Authority::new("another authority").pem());
    with_openssl(async {
        for (versions, option) in BOTH {
            let (listener, addr) = listener().await;
            let client = stage.s_client(addr, &[option]);
            let server = accept(&listener, stage.ca.server(versions, &stage.server));
            let error = server.await.unwrap_err();
            let TlsError::RemoteRefused { alert } = error else {
                panic!("{error}");
            };
            assert_eq!(alert, AlertDescription::UnknownCA);
            assert!(!client.end().await.status.success());
        }
    })
    .await;
}

#[tokio::test]
async fn s_client_with_another_protocol_is_refused_and_told() {
    let stage = Stage::new("s_client_alpn");
    with_openssl(async {
        let (listener, addr) = listener().await;
        let client = stage.s_client(addr, &["-alpn", "h2,http/1.1"]);
        let server = accept(&listener, stage.ca.server(V13, &stage.server));
        assert_eq!(
            server.await.unwrap_err().to_string(),
            r#"no common protocol: we speak "wattle", the remote offers "h2", "http/1.1""#
        );
        let output = client.end().await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("alert number 120"),
            "no_application_protocol: {said}"
        );
    })
    .await;
}

/// A line there, reversed back.
async fn reverse(client: &mut Session) {
    client.send("wattle").await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), "elttaw");
}

#[tokio::test]
async fn our_client_talks_to_s_server() {
    let stage = Stage::new("s_server");
    with_openssl(async {
        for (versions, option) in BOTH {
            let (server, addr) = stage.s_server(&[option]).await;
            let client = connect(addr, stage.ca.client(versions, None)).await;
            let mut client = client.unwrap();
            assert_eq!(tls::alpn(&client), Some(ALPN.as_bytes()));
            let shown = tls::peer_certificates(&client);
            assert_eq!(shown.first(), Some(&stage.server.certificate));
            reverse(&mut client).await;
            SinkExt::<&str>::close(&mut client).await.unwrap();
            assert!(server.end().await.status.success());
        }
    })
    .await;
}

const DEMANDS: [&str; 5] = ["-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem"];

#[tokio::test]
async fn our_client_shows_its_certificate_to_s_server() {
    let stage = Stage::new("s_server_mutual");
    with_openssl(async {
        for (versions, option) in BOTH {
            let (_server, addr) = stage.s_server(&[&DEMANDS[..], &[option]].concat()).await;
            let config = stage.ca.client(versions, Some(&stage.client));
            reverse(&mut connect(addr, config).await.unwrap()).await;
        }
    })
    .await;
}

/// In TLS 1.3 by the first read, in TLS 1.2 by the handshake.
#[tokio::test]
async fn our_client_understands_that_s_server_refuses_it() {
    let stage = Stage::new("s_server_refuses");
    let stranger = Authority::new("another authority").issue();
    with_openssl(async {
        for (versions, option) in BOTH {
            let (_server, addr) = stage.s_server(&[&DEMANDS[..], &[option]].concat()).await;
            let config = stage.ca.client(versions, Some(&stranger));
            let error = match connect(addr, config).await {
                Err(error) => error,
                Ok(mut client) => match client.next().await {
                    Some(Err(tokio_util::codec::LinesCodecError::Io(error))) => error.into(),
                    other => panic!("{other:?}"),
                },
            };
            let TlsError::RemoteRefused { alert } = error else {
                panic!("{error}");
            };
            assert_eq!(alert, AlertDescription::UnknownCA);
        }
    })
    .await;
}

#[tokio::test]
async fn our_client_refuses_s_server() {
    let stage = Stage::new("s_server_refused");
    with_openssl(async {
        let (_server, addr) = stage.s_server(&[]).await;
        let config = Authority::new("another authority").client(V13, None);
        let error = connect(addr, config).await.unwrap_err();
        assert!(
            matches!(
                error,
                TlsError::Certificate {
                    error: CertificateError::UnknownIssuer
                }
            ),
            "{error}"
        );
    })
    .await;
}
