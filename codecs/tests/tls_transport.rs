//! TLS over streams of every kind: no byte is lost on the way into the session or in it, and a
//! stream that is cut off, changed or broken is told.

mod tls_common;

use std::{error::Error, io};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tls_common::{
    accept, authority,
    certificates::{V12, V13, Versions},
    connect, end_of, refused, sessions,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, sink, split},
    sync::oneshot,
};
use wattle_codecs::{Length, Prefixed, tls::TlsError};

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
