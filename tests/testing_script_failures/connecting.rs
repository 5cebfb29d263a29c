//! No connection.

use std::error::Error;

use wattle::{Peer, Protocol};

use super::*;
use crate::common::{black_hole, network};

#[tokio::test(start_paused = true)]
async fn it_could_not_connect() {
    let written = lines_over(network()).send("hello");
    let failure = written.dial(addr(7)).play().await.unwrap_err();
    assert_text(
        &failure,
        ["expected to connect to 127.0.0.1:7, but that failed: connection refused"],
    );
    assert!(failure.step.is_none());
    assert!(matches!(failure.instead, Instead::NoConnection(_)));

    let failure = written.dial(black_hole()).play().await.unwrap_err();
    assert_text(
        &failure,
        ["expected to connect to 192.0.2.1:7, but it took more than 10s"],
    );
    assert!(matches!(failure.instead, Instead::NotConnected { .. }));
}

#[tokio::test]
async fn nobody_listens_at_a_real_port() {
    let gone = script().listen(addr(0)).await.unwrap();
    let at = gone.local_addr();
    drop(gone);
    let failure = script().dial(at).connect().await.unwrap_err();
    let refused = matches!(&failure.instead, Instead::NoConnection(error)
        if error.kind() == io::ErrorKind::ConnectionRefused);
    assert!(refused, "{failure}");
}

#[tokio::test(start_paused = true)]
async fn it_could_not_listen() {
    let network = Memory::new();
    let written = lines_over(network).expect("hello");
    let _taken = written.listen(addr(7)).await.unwrap();
    let failure = written.listen(addr(7)).await.unwrap_err();
    assert_text(
        &failure,
        ["expected to listen on 127.0.0.1:7, but that failed: address in use"],
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_came() {
    let network = Memory::new();
    let written = lines_over(network.clone())
        .within(60 * SECOND)
        .expect("hello")
        .within(SECOND)
        .expect("hello");
    let mut listening = written.listen(addr(7)).await.unwrap();
    let begun = tokio::time::Instant::now();
    let failure = listening.play().await.unwrap_err();
    assert_text(
        &failure,
        ["expected somebody to connect to 127.0.0.1:7, but it took more than 60s"],
    );
    assert_eq!(begun.elapsed(), 60 * SECOND);

    // One came of three, and the others are not waited for one by one.
    let client = lines_over(network).send("hello").send("hello");
    let client = client.dial(addr(7));
    let (client, played) = tokio::join!(client.play(), listening.play_times(3));
    client.unwrap();
    assert_eq!(begun.elapsed(), 120 * SECOND);
    let succeeded: Vec<_> = played.iter().map(Result::is_ok).collect();
    assert_eq!(succeeded, [true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn the_handshake_failed_or_took_too_long() {
    struct Sour(bool);

    impl<S: ByteStream> Protocol<S> for Sour {
        type Io = S;
        type Codec = LinesCodec;

        async fn handshake(
            &self,
            stream: S,
            _: Peer,
        ) -> Result<tokio_util::codec::Framed<S, LinesCodec>, BoxError> {
            let _open = stream;
            match self.0 {
                true => Err("no common version".into()),
                false => std::future::pending().await,
            }
        }
    }

    let network = Memory::new();
    let other = lines_over(network.clone());
    let _listening = other.listen(addr(7)).await.unwrap();
    let written = Script::over(network.clone(), Sour(true));
    let failure = written.dial(addr(7)).play().await.unwrap_err();
    assert_text(
        &failure,
        ["expected to connect to 127.0.0.1:7, but the handshake failed: no common version"],
    );
    assert_eq!(failure.source().unwrap().to_string(), "no common version");

    let written = Script::over(network, Sour(false)).within(SECOND);
    let failure = written.dial(addr(7)).play().await.unwrap_err();
    assert_text(
        &failure,
        ["expected to connect to 127.0.0.1:7, but it took more than 1s"],
    );
}

#[tokio::test(start_paused = true)]
async fn of_many_each_has_its_own_outcome() {
    let network = Memory::new();
    let greeter = lines_over(network.clone()).send("hello");
    let mut greeter = greeter.listen(addr(7)).await.unwrap();
    let client = lines_over(network.clone()).within(SECOND).expect("hello");
    let client = client.dial(addr(7));
    let elsewhere = Memory::new();
    let from = [network.clone(), elsewhere, network];
    let (greeted, played) = tokio::join!(greeter.play_times(2), client.play_from(from));
    assert!(greeted.iter().all(Result::is_ok));
    let succeeded: Vec<_> = played.iter().map(Result::is_ok).collect();
    assert_eq!(succeeded, [true, false, true]);
    let all: Result<Vec<_>, _> = played.into_iter().collect();
    assert_text(
        &all.unwrap_err(),
        ["expected to connect to 127.0.0.1:7, but that failed: connection refused"],
    );
}
