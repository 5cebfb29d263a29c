//! TLS: what the two sides agree on, and which error it is if they don't.

mod tls_common;

use std::{error::Error, io, sync::Arc};

use futures::FutureExt;
use tls_common::{
    accept, authority,
    certificates::{Authority, V12, V13},
    connect, meet, name, refused,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream, duplex};
use tokio_util::codec::LinesCodec;
use wattle_codecs::tls::{
    self, TlsError,
    rustls::{
        self, AlertDescription, ClientConfig, CommonState, InvalidMessage, PeerIncompatible,
        ServerConfig,
    },
};

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
