//! The conditions of a link between real sockets.

use std::{io::ErrorKind, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wattle::testing::{Conditions, Proxy};

mod common;

use common::within;

/// A connection through a proxy: the client's end and the server's.
async fn join() -> (Proxy, TcpStream, TcpStream, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let proxy = Proxy::start(target).await.unwrap();
    let client = within(TcpStream::connect(proxy.addr())).await.unwrap();
    let (server, _) = within(listener.accept()).await.unwrap();
    (proxy, client, server, listener)
}

#[tokio::test]
async fn a_proxy_passes_on_both_directions_and_each_end() {
    let (_proxy, mut client, mut server, _listener) = join().await;
    let bytes = vec![7; 1 << 20];
    let back = async {
        let mut read = Vec::new();
        server.read_to_end(&mut read).await.unwrap();
        server.write_all(&read).await.unwrap();
        server.shutdown().await.unwrap();
    };
    let forth = async {
        client.write_all(&bytes).await.unwrap();
        client.shutdown().await.unwrap();
    };
    within(async { tokio::join!(forth, back) }).await;
    let mut read = Vec::new();
    within(client.read_to_end(&mut read)).await.unwrap();
    assert!(read == bytes);
}

#[tokio::test]
async fn a_proxy_passes_on_a_reset_of_either_end() {
    for from_client in [true, false] {
        let (_proxy, client, server, _listener) = join().await;
        let (mut one, other) = match from_client {
            true => (server, client),
            false => (client, server),
        };
        socket2::SockRef::from(&other)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(other);
        let error = within(one.read_u8()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_proxy_holds_cuts_and_corrupts_as_its_link_says() {
    let (proxy, mut client, mut server, _listener) = join().await;
    proxy.link().forth().stall();
    within(client.write_all(b"held")).await.unwrap();
    within(server.write_all(b"the other way")).await.unwrap();
    let mut text = [0; 13];
    within(client.read_exact(&mut text)).await.unwrap();
    // Nothing can be waited for but what must not happen.
    assert_eq!(
        server.try_read(&mut text).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    proxy.link().resume();
    within(server.read_exact(&mut text[..4])).await.unwrap();
    assert_eq!(&text[..4], b"held");

    proxy.link().back().set(Conditions::new().corruption(1.0));
    within(server.write_all(&[0; 4])).await.unwrap();
    within(client.read_exact(&mut text[..4])).await.unwrap();
    assert!(text[..4].iter().all(|&byte| byte != 0));

    proxy.link().forth().set(Conditions::new().end_after(2));
    within(client.write_all(b"cut")).await.unwrap();
    let mut rest = String::new();
    within(server.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "cu");
}

#[tokio::test]
async fn who_connects_to_a_proxy_in_front_of_nobody_is_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    drop(listener);
    let proxy = within(Proxy::start(target)).await.unwrap();
    let mut client = within(TcpStream::connect(proxy.addr())).await.unwrap();
    let error = within(client.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn all_that_a_proxy_carries_ends_when_it_is_dropped() {
    let (proxy, mut client, mut server, _listener) = join().await;
    drop(proxy);
    for end in [&mut client, &mut server] {
        assert_eq!(within(end.read(&mut [0; 8])).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn whoever_is_accepted_is_on_the_link_already() {
    let (proxy, mut client, mut server, _listener) = join().await;
    proxy.link().reset();
    for end in [&mut client, &mut server] {
        let error = within(end.read_u8()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}
