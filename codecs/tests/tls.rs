//! TLS: who is let in, what was agreed on, which error it is, and that no byte is lost on the way
//! into the session.

#[path = "tls/certificates.rs"]
#[allow(dead_code, reason = "shared with tls_openssl.rs")]
mod certificates;

use std::{error::Error, io, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use rcgen::{SanType, date_time_ymd};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream, DuplexStream, copy, duplex,
        sink, split,
    },
    sync::oneshot,
};
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};
use wattle_codecs::{
    Length, Prefixed,
    tls::{
        self, TlsError, TlsStream,
        rustls::{
            self, AlertDescription, CertificateError, ClientConfig, CommonState, InvalidMessage,
            PeerIncompatible, ProtocolVersion, ServerConfig, pki_types::ServerName,
        },
    },
};

use certificates::{Authority, Identity, NAME, V12, V13, Versions};

type Session<IO = DuplexStream> = Framed<TlsStream<IO>, LinesCodec>;
type Outcome<IO = DuplexStream> = Result<Session<IO>, TlsError>;

fn lines(_: &CommonState) -> LinesCodec {
    LinesCodec::new_with_max_length(8192)
}

fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).unwrap()
}

async fn connect<IO>(io: IO, client: ClientConfig) -> Outcome<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    tls::connect(io, Arc::new(client), name(), lines).await
}

async fn accept<IO>(io: IO, server: ServerConfig) -> Outcome<IO>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    tls::accept(io, Arc::new(server), lines).await
}

async fn meet(client: ClientConfig, server: ServerConfig) -> (Outcome, Outcome) {
    let (a, b) = duplex(16 * 1024);
    tokio::join!(connect(a, client), accept(b, server))
}

/// Two that let each other in.
async fn sessions(versions: Versions) -> (Session, Session) {
    let (ca, identity) = authority();
    let (client, server) = meet(ca.client(versions, None), ca.server(versions, &identity)).await;
    (client.unwrap(), server.unwrap())
}

fn authority() -> (Authority, Identity) {
    let ca = Authority::new("an authority");
    let identity = ca.issue();
    (ca, identity)
}

fn refused(outcome: Outcome) -> TlsError {
    outcome.expect_err("the handshake fails")
}

/// The error that a session ends with.
async fn end_of<IO>(session: &mut Session<IO>) -> io::Error
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    match session.next().await {
        Some(Err(LinesCodecError::Io(error))) => error,
        other => panic!("expected an error of the stream, got {other:?}"),
    }
}

async fn talk<IO>(from: &mut Session<IO>, to: &mut Session<IO>, line: &str)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (sent, came) = tokio::join!(from.send(line), to.next());
    sent.unwrap();
    assert_eq!(came.unwrap().unwrap(), line);
}

#[tokio::test]
async fn the_client_knows_the_server_and_both_talk() {
    for (versions, version) in [
        (V12, ProtocolVersion::TLSv1_2),
        (V13, ProtocolVersion::TLSv1_3),
    ] {
        let (ca, identity) = authority();
        let client = ca.client(versions, None);
        let (client, server) = meet(client, ca.server(versions, &identity)).await;
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!(tls::peer_certificates(&client), [identity.certificate]);
        assert!(tls::peer_certificates(&server).is_empty());
        assert_eq!(
            client.get_ref().get_ref().1.protocol_version(),
            Some(version)
        );
        talk(&mut client, &mut server, "ping").await;
        talk(&mut server, &mut client, "pong").await;
    }
}

#[tokio::test]
async fn both_know_each_other() {
    for versions in [V12, V13] {
        let (ca, server_identity) = authority();
        let client_identity = ca.issue();
        let (client, server) = meet(
            ca.client(versions, Some(&client_identity)),
            ca.mutual_server(versions, &server_identity),
        )
        .await;
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!(
            tls::peer_certificates(&client),
            [server_identity.certificate]
        );
        assert_eq!(
            tls::peer_certificates(&server),
            [client_identity.certificate]
        );
        talk(&mut client, &mut server, "ping").await;
        talk(&mut server, &mut client, "pong").await;
    }
}

/// A server is done when it has written all, session tickets included, and doesn't read before: in a
/// pipe that has no room for them, the client has to read while it writes. And rustls doesn't read in
/// a handshake while it has something to write, which in TLS 1.3 both may have at the same time: six
/// bytes of the client's (`change_cipher_spec`) must fit into the pipe.
#[tokio::test]
async fn a_pipe_of_a_few_bytes_is_enough() {
    for (versions, sizes) in [(V12, [1, 3, 100]), (V13, [6, 7, 100])] {
        for size in sizes {
            let (ca, identity) = authority();
            let (a, b) = duplex(size);
            let client = async {
                let client = connect(a, ca.client(versions, Some(&identity))).await;
                let (mut sink, mut stream) = client.unwrap().split();
                let (sent, came) = tokio::join!(sink.send("ping"), stream.next());
                sent.unwrap();
                assert_eq!(came.unwrap().unwrap(), "pong");
            };
            let server = async {
                let server = accept(b, ca.mutual_server(versions, &identity)).await;
                let mut server = server.unwrap();
                assert_eq!(server.next().await.unwrap().unwrap(), "ping");
                server.send("pong").await.unwrap();
                server
            };
            tokio::join!(client, server);
        }
    }
}

#[tokio::test]
async fn a_name_may_be_an_address() {
    let (ca, identity) = authority();
    let (a, b) = duplex(4096);
    let address = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    let (client, server) = tokio::join!(
        tls::connect(a, Arc::new(ca.client(V13, None)), address, lines),
        accept(b, ca.server(V13, &identity))
    );
    assert!(client.is_ok() && server.is_ok());
}

/// The client refuses the server's certificate: its error, and the alert that the server gets.
async fn refused_by_client(
    name: &'static str,
    client: ClientConfig,
    server: ServerConfig,
) -> (CertificateError, AlertDescription, TlsError) {
    let (a, b) = duplex(16 * 1024);
    let name = ServerName::try_from(name).unwrap();
    let (client, server) = tokio::join!(
        tls::connect(a, Arc::new(client), name, lines),
        accept(b, server)
    );
    let client = refused(client);
    let TlsError::Certificate { error } = &client else {
        panic!("{client}");
    };
    let error = error.clone();
    let TlsError::RemoteRefused { alert } = refused(server) else {
        panic!("expected an alert");
    };
    (error, alert, client)
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    for versions in [V12, V13] {
        let (ca, identity) = authority();
        let other = Authority::new("another authority");
        let (error, alert, shown) = refused_by_client(
            NAME,
            other.client(versions, None),
            ca.server(versions, &identity),
        )
        .await;
        assert_eq!(error, CertificateError::UnknownIssuer);
        assert_eq!(alert, AlertDescription::UnknownCA);
        assert_eq!(
            shown.to_string(),
            "we refuse the remote's certificate: UnknownIssuer"
        );
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    for versions in [V12, V13] {
        let (ca, identity) = authority();
        let client = ca.client(versions, None);
        let server = ca.server(versions, &identity);
        let (error, alert, shown) = refused_by_client("other.example", client, server).await;
        assert!(
            matches!(error, CertificateError::NotValidForNameContext { .. }),
            "{error}"
        );
        assert_eq!(alert, AlertDescription::BadCertificate);
        let shown = shown.to_string();
        assert!(
            shown.contains("other.example") && shown.contains(NAME),
            "{shown}"
        );
    }
}

/// Whoever reads the log must not take a name for a line of it.
#[tokio::test]
async fn names_in_a_certificate_are_escaped_where_they_are_shown() {
    let ca = Authority::new("an authority");
    let identity = ca.issue_with(|params| {
        let name = "a\r\nbanned\x1b[31m\\".try_into().unwrap();
        params.subject_alt_names = vec![SanType::DnsName(name)];
    });
    let (client, _) = meet(ca.client(V13, None), ca.server(V13, &identity)).await;
    let error = refused(client);
    assert!(matches!(&error, TlsError::Certificate { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "we refuse the remote's certificate: certificate not valid for name \"peer.example\"; \
         certificate is only valid for DnsName(\"a\\r\\nbanned\\u{1b}[31m\\\\\")"
    );
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused() {
    for versions in [V12, V13] {
        let ca = Authority::new("an authority");
        let old = ca.issue_with(|params| params.not_after = date_time_ymd(2001, 2, 3));
        let (error, alert, _) =
            refused_by_client(NAME, ca.client(versions, None), ca.server(versions, &old)).await;
        assert!(
            matches!(error, CertificateError::ExpiredContext { .. }),
            "{error}"
        );
        assert_eq!(alert, AlertDescription::CertificateExpired);

        let early = ca.issue_with(|params| params.not_before = date_time_ymd(3001, 2, 3));
        let (error, _, _) =
            refused_by_client(NAME, ca.client(versions, None), ca.server(versions, &early)).await;
        assert!(
            matches!(error, CertificateError::NotValidYetContext { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn in_tls_1_2_a_client_learns_in_the_handshake_that_it_needs_a_certificate() {
    let (ca, identity) = authority();
    let (client, server) = meet(ca.client(V12, None), ca.mutual_server(V12, &identity)).await;
    let (client, server) = (refused(client), refused(server));
    assert!(matches!(server, TlsError::NoCertificate), "{server}");
    assert_eq!(
        server.to_string(),
        "expected a certificate of the remote, it has none"
    );
    let TlsError::RemoteRefused { alert } = client else {
        panic!("{client}");
    };
    assert_eq!(alert, AlertDescription::CertificateRequired);
    assert_eq!(
        client.to_string(),
        "the remote refuses our certificate: alert CertificateRequired"
    );
}

#[tokio::test]
async fn in_tls_1_3_a_client_learns_in_its_first_read_that_it_is_refused() {
    let other = Authority::new("another authority").issue();
    for (identity, expected) in [
        (None, AlertDescription::CertificateRequired),
        (Some(&other), AlertDescription::UnknownCA),
    ] {
        let (ca, server_identity) = authority();
        let (client, server) = meet(
            ca.client(V13, identity),
            ca.mutual_server(V13, &server_identity),
        )
        .await;
        match refused(server) {
            TlsError::NoCertificate => assert!(identity.is_none()),
            TlsError::Certificate { error } => assert_eq!(error, CertificateError::UnknownIssuer),
            error => panic!("{error}"),
        }
        let mut client = client.expect("the client is done before");
        let error = end_of(&mut client).await;
        for error in [TlsError::from(&error), TlsError::from(error)] {
            let TlsError::RemoteRefused { alert } = error else {
                panic!("{error}");
            };
            assert_eq!(alert, expected);
        }
    }
}

fn with_alpn(
    mut client: ClientConfig,
    mut server: ServerConfig,
    [offered, known]: [&[&str]; 2],
) -> (ClientConfig, ServerConfig) {
    let names = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
    client.alpn_protocols = names(offered);
    server.alpn_protocols = names(known);
    (client, server)
}

#[tokio::test]
async fn the_protocol_agreed_on_is_the_servers_first_choice() {
    for (offered, known, agreed) in [
        (&["a", "b"][..], &["b", "a"][..], Some("b")),
        (&["a"], &["a"], Some("a")),
        (&["a"], &[], None),
        (&[], &["a"], None),
        (&[], &[], None),
    ] {
        for versions in [V12, V13] {
            let (ca, identity) = authority();
            let (client, server) = with_alpn(
                ca.client(versions, None),
                ca.server(versions, &identity),
                [offered, known],
            );
            let (client, server) = meet(client, server).await;
            let (client, server) = (client.unwrap(), server.unwrap());
            assert_eq!(tls::alpn(&client), agreed.map(str::as_bytes));
            assert_eq!(tls::alpn(&server), agreed.map(str::as_bytes));
        }
    }
}

#[tokio::test]
async fn without_a_common_protocol_both_sides_say_so() {
    for versions in [V12, V13] {
        let (ca, identity) = authority();
        let (client, server) = with_alpn(
            ca.client(versions, None),
            ca.server(versions, &identity),
            [&["h2", "\n"], &["wattle"]],
        );
        let (client, server) = meet(client, server).await;
        let (client, server) = (refused(client), refused(server));
        let TlsError::NoCommonAlpn { ours, theirs } = &server else {
            panic!("{server}");
        };
        assert_eq!(
            (ours, theirs),
            (
                &vec![b"wattle".to_vec()],
                &vec![b"h2".to_vec(), b"\n".to_vec()]
            )
        );
        assert_eq!(
            server.to_string(),
            r#"no common protocol: we speak "wattle", the remote offers "h2", "\n""#
        );
        assert_eq!(
            client.to_string(),
            r#"no common protocol: we offer "h2", "\n""#
        );
    }
}

#[tokio::test]
async fn of_a_client_that_offers_much_little_is_kept() {
    let (ca, identity) = authority();
    let (mut client, mut server) = (ca.client(V13, None), ca.server(V13, &identity));
    client.alpn_protocols = (0..1000).map(|i| format!("no {i}").into_bytes()).collect();
    server.alpn_protocols = vec![b"wattle".to_vec()];
    let (_, server) = meet(client, server).await;
    let TlsError::NoCommonAlpn { theirs, .. } = refused(server) else {
        panic!("expected none in common");
    };
    assert_eq!(theirs.len(), 16);
}

#[tokio::test]
async fn the_codec_is_made_from_what_was_agreed() {
    let (ca, identity) = authority();
    let (client, server) = with_alpn(
        ca.client(V13, None),
        ca.server(V13, &identity),
        [&["long", "short"], &["short"]],
    );
    let made = |state: &CommonState| {
        let most = if state.alpn_protocol() == Some(b"short") {
            8
        } else {
            8192
        };
        LinesCodec::new_with_max_length(most)
    };
    let (a, b) = duplex(4096);
    let (client, server) = tokio::join!(
        tls::connect(a, Arc::new(client), name(), made),
        tls::accept(b, Arc::new(server), made)
    );
    assert_eq!(client.unwrap().codec().max_length(), 8);
    assert_eq!(server.unwrap().codec().max_length(), 8);
}

#[tokio::test]
async fn a_server_knows_at_the_first_record_that_it_isnt_one() {
    for (came, what) in [
        (
            &b"GET / HTTP/1.1\r\n"[..],
            InvalidMessage::InvalidContentType,
        ),
        (b"SSH-2.0-x\r\n", InvalidMessage::InvalidContentType),
        (
            b"\x16\x07\x01\0\x05hello",
            InvalidMessage::UnknownProtocolVersion,
        ),
        (b"\x16\x03\x01\xff\xff", InvalidMessage::MessageTooLarge),
        (b"\x16\x03\x01\0\0", InvalidMessage::InvalidEmptyPayload),
    ] {
        let (ca, identity) = authority();
        let (io, mut remote) = duplex(4096);
        remote.write_all(came).await.unwrap();
        // The remote neither says more nor closes.
        let error = refused(accept(io, ca.server(V13, &identity)).await);
        let TlsError::NotTls { error: told } = error else {
            panic!("{error}");
        };
        assert_eq!(told, what);
        assert_eq!(
            error.to_string(),
            format!("expected TLS, the remote speaks something else: {what:?}")
        );
    }
}

#[tokio::test]
async fn a_client_knows_that_the_server_speaks_in_the_clear() {
    let (ca, _) = authority();
    let (io, mut remote) = duplex(4096);
    remote
        .write_all(b"HTTP/1.1 400 Bad Request\r\n")
        .await
        .unwrap();
    let error = refused(connect(io, ca.client(V13, None)).await);
    assert!(matches!(error, TlsError::NotTls { .. }), "{error}");
}

#[tokio::test]
async fn no_common_version_is_told_apart() {
    let (ca, identity) = authority();
    let (client, server) = meet(ca.client(V12, None), ca.server(V13, &identity)).await;
    let server = refused(server);
    let TlsError::Tls(rustls::Error::PeerIncompatible(why)) = &server else {
        panic!("{server}");
    };
    assert_eq!(*why, PeerIncompatible::Tls12NotOfferedOrEnabled);
    let client = refused(client);
    let TlsError::Alert { alert } = client else {
        panic!("{client}");
    };
    assert_eq!(alert, AlertDescription::ProtocolVersion);
    assert_eq!(
        client.to_string(),
        "the remote ends it: alert ProtocolVersion"
    );
}

/// Carries bytes until the way from `from` to `to` is cut after so many of them; the other way is
/// open until its sender closes.
async fn cut_after(most: u64, from: DuplexStream, to: DuplexStream) -> u64 {
    let ((mut from_read, mut from_write), (mut to_read, mut to_write)) = (split(from), split(to));
    let there = async {
        let carried = copy(&mut (&mut from_read).take(most), &mut to_write).await;
        let _ = to_write.shutdown().await;
        let _ = copy(&mut from_read, &mut sink()).await;
        carried.unwrap_or(0)
    };
    let back = async {
        let _ = copy(&mut to_read, &mut from_write).await;
        let _ = from_write.shutdown().await;
    };
    tokio::join!(there, back).0
}

/// A handshake with the client's bytes (or the server's) cut off after so many. It must have been
/// longer than that.
async fn cut(versions: Versions, client_side: bool, most: u64) -> TlsError {
    let (ca, identity) = authority();
    let ((client, left), (right, server)) = (duplex(4096), duplex(4096));
    let (from, to) = if client_side {
        (left, right)
    } else {
        (right, left)
    };
    let relay = tokio::spawn(cut_after(most, from, to));
    let (client, server) = tokio::join!(
        connect(client, ca.client(versions, Some(&identity))),
        accept(server, ca.mutual_server(versions, &identity))
    );
    let (error, other) = if client_side {
        (server, client)
    } else {
        (client, server)
    };
    // The other side may have begun its session; the relay waits for its end.
    drop(other);
    assert_eq!(relay.await.unwrap(), most);
    refused(error)
}

#[tokio::test]
async fn a_handshake_that_is_cut_off_anywhere_is_told() {
    for versions in [V12, V13] {
        for most in [0, 1, 4, 5, 6, 100, 200, 300, 500, 700] {
            for client_side in [true, false] {
                let error = cut(versions, client_side, most).await;
                assert!(
                    matches!(error, TlsError::Ended),
                    "cut after {most}: {error}"
                );
            }
        }
    }
    assert_eq!(
        TlsError::Ended.to_string(),
        "the stream ended, expected more or a close_notify"
    );
}

/// Carries bytes until it is told to; what the client sends then is held back, and let go at once
/// when the client has sent all.
async fn hold(client: DuplexStream, server: DuplexStream, sent: oneshot::Receiver<()>) {
    let ((mut client_read, mut client_write), (mut server_read, mut server_write)) =
        (split(client), split(server));
    let up = async {
        let mut hello = vec![0; 4096];
        let size = client_read.read(&mut hello).await.unwrap();
        server_write.write_all(&hello[..size]).await.unwrap();
        let mut held = Vec::new();
        let all = async {
            sent.await.unwrap();
        };
        tokio::pin!(all);
        loop {
            tokio::select! {
                biased;
                size = client_read.read_buf(&mut held) => assert_ne!(size.unwrap(), 0),
                () = &mut all => break,
            }
        }
        server_write.write_all(&held).await.unwrap();
        copy(&mut client_read, &mut server_write).await.unwrap();
    };
    // What the server says at the end, the client may no longer be there to hear.
    let _ = tokio::join!(up, copy(&mut server_read, &mut client_write));
}

#[tokio::test]
async fn frames_in_the_flight_of_the_finished_handshake_are_the_sessions() {
    let (ca, identity) = authority();
    let ((client, left), (right, server)) = (duplex(64 * 1024), duplex(64 * 1024));
    let (all_sent, sent) = oneshot::channel();
    let relay = tokio::spawn(hold(left, right, sent));
    let client = async {
        let mut client = connect(client, ca.client(V13, Some(&identity)))
            .await
            .unwrap();
        client.feed("first").await.unwrap();
        client.send("second").await.unwrap();
        all_sent.send(()).unwrap();
        client
    };
    let server = accept(server, ca.mutual_server(V13, &identity));
    let (client, server) = tokio::join!(client, server);
    let mut server = server.unwrap();
    assert!(server.read_buffer().is_empty());
    assert_eq!(server.next().await.unwrap().unwrap(), "first");
    assert_eq!(server.next().await.unwrap().unwrap(), "second");
    drop((client, server));
    relay.await.unwrap();
}

#[tokio::test]
async fn a_message_of_a_mebibyte_goes_through_both_ways() {
    for versions in [V12, V13] {
        let (client, server) = sessions(versions).await;
        let frames = |_| Prefixed::new(Length::U32, 1024 * 1024);
        let (mut client, mut server) = (client.map_codec(frames), server.map_codec(frames));
        let large = Bytes::from_iter((0..1024 * 1024).map(|i: u32| (i ^ (i >> 9)) as u8));
        for _ in 0..2 {
            let (sent, came) = tokio::join!(client.send(large.clone()), server.next());
            sent.unwrap();
            assert_eq!(came.unwrap().unwrap(), large);
            let (sent, came) = tokio::join!(server.send(large.clone()), client.next());
            sent.unwrap();
            assert_eq!(came.unwrap().unwrap(), large);
        }
    }
}

#[tokio::test]
async fn a_session_that_is_closed_ends() {
    for versions in [V12, V13] {
        let (mut client, mut server) = sessions(versions).await;
        client.send("last").await.unwrap();
        SinkExt::<&str>::close(&mut client).await.unwrap();
        assert_eq!(server.next().await.unwrap().unwrap(), "last");
        assert!(server.next().await.is_none());
        SinkExt::<&str>::close(&mut server).await.unwrap();
        assert!(client.next().await.is_none());
    }
}

#[tokio::test]
async fn a_session_that_is_cut_off_fails() {
    for versions in [V12, V13] {
        let (mut client, mut server) = sessions(versions).await;
        client.send("last").await.unwrap();
        drop(client);
        assert_eq!(server.next().await.unwrap().unwrap(), "last");
        let error = end_of(&mut server).await;
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(matches!(TlsError::from(&error), TlsError::Ended));
        assert!(matches!(TlsError::from(error), TlsError::Ended));
    }
}

/// The alert must not stay in a buffer between TLS and the transport.
#[tokio::test]
async fn an_alert_is_flushed() {
    let (ca, identity) = authority();
    let other = Authority::new("another authority");
    let (a, b) = duplex(16 * 1024);
    let (client, server) = tokio::join!(
        connect(BufStream::new(a), other.client(V13, None)),
        accept(BufStream::new(b), ca.server(V13, &identity))
    );
    assert!(matches!(client, Err(TlsError::Certificate { .. })));
    assert!(matches!(server, Err(TlsError::RemoteRefused { .. })));

    let (a, b) = duplex(16 * 1024);
    let (client, server) = with_alpn(
        ca.client(V13, None),
        ca.server(V13, &identity),
        [&["h2"], &["wattle"]],
    );
    let (client, server) = tokio::join!(
        connect(BufStream::new(a), client),
        accept(BufStream::new(b), server)
    );
    assert!(matches!(client, Err(TlsError::NoCommonAlpn { .. })));
    assert!(matches!(server, Err(TlsError::NoCommonAlpn { .. })));

    let (mut a, b) = duplex(16 * 1024);
    a.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let outcome = accept(BufStream::new(b), ca.server(V13, &identity)).await;
    assert!(matches!(outcome, Err(TlsError::NotTls { .. })));
    let mut came = Vec::new();
    a.read_to_end(&mut came).await.unwrap();
    assert_eq!(came[..5], [0x15, 3, 3, 0, 2], "an alert");
}

#[tokio::test]
async fn an_error_of_the_transport_is_told_with_its_kind() {
    let (ca, identity) = authority();
    let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
    let script = tokio_test::io::Builder::new().read_error(reset()).build();
    let error = accept(script, ca.server(V13, &identity)).await.unwrap_err();
    let TlsError::Io(inner) = &error else {
        panic!("{error}");
    };
    assert_eq!(inner.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(error.to_string(), reset().to_string());
    assert_eq!(TlsError::from(inner).to_string(), reset().to_string());
    assert!(error.source().is_none());
}

/// Carries bytes, but changes one of the first that the client sends.
async fn change(at: usize, client: DuplexStream, server: DuplexStream) {
    let ((mut client_read, mut client_write), (mut server_read, mut server_write)) =
        (split(client), split(server));
    let up = async {
        let mut hello = vec![0; 4096];
        let size = client_read.read(&mut hello).await.unwrap();
        hello[at] ^= 0x80;
        server_write.write_all(&hello[..size]).await.unwrap();
        let _ = copy(&mut client_read, &mut server_write).await;
        let _ = server_write.shutdown().await;
    };
    let down = async {
        let _ = copy(&mut server_read, &mut client_write).await;
        let _ = client_write.shutdown().await;
    };
    tokio::join!(up, down);
}

/// (Not the byte of the record's length that makes the server wait for more: only time tells.)
#[tokio::test]
async fn a_byte_that_is_changed_under_way_fails_the_handshake() {
    for at in [0, 1, 5, 6, 9, 50, 110] {
        let (ca, identity) = authority();
        let ((client, left), (right, server)) = (duplex(4096), duplex(4096));
        tokio::spawn(change(at, left, right));
        // Each closes its stream when it is done, and so ends the other.
        let client = async { connect(client, ca.client(V13, None)).await.map(drop) };
        let server = async { accept(server, ca.server(V13, &identity)).await.map(drop) };
        let (client, server) = tokio::join!(client, server);
        assert!(client.is_err(), "byte {at}");
        assert!(server.is_err(), "byte {at}");
    }
}

#[test]
fn the_handshakes_are_futures_to_spawn() {
    fn sendable<T: Send>(_: T) {}
    let (ca, identity) = authority();
    let (a, b) = duplex(1);
    sendable(connect(a, ca.client(V13, None)));
    sendable(accept(b, ca.server(V13, &identity)));
    assert!(TlsError::from(io::Error::other("x")).source().is_none());
}

#[tokio::test]
async fn a_handshake_with_silence_waits() {
    let (ca, identity) = authority();
    let (io, remote) = duplex(4096);
    let outcome = accept(io, ca.server(V13, &identity)).now_or_never();
    assert!(outcome.is_none());
    drop(remote);
}
