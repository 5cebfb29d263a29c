//! Dialling a host that doesn't answer, can't be reached, or goes away before the handshake.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use tokio::{net::TcpStream, sync::Semaphore, time::Instant};
use tokio_util::codec::{Framed, LinesCodec};
use wattle::{BoxError, ConnectError, Event, Events, HandshakeError, Node, Peer, Protocol};

use super::{
    common::{finish_events, lines, next_event, pairs::start, soon},
    hosts::{BOB, Cut, Hosts, NOBODY},
    transfer::{self, dial},
};

const LIMIT: Duration = Duration::from_millis(500);

/// A network that is none of the two hosts'; from the range for documentation (RFC 5737).
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// More than the kernel takes to find out that nobody has an address.
const LONG: Duration = Duration::from_secs(9);

/// Dialling ends with the connect timeout; when the host answers again, it succeeds.
async fn a_host_that_does_not_answer(cut: Cut) {
    let Some(hosts) = Hosts::new().await else {
        return;
    };
    let (bob, bobs_events) = transfer::serve(&hosts.bob, Node::builder()).await;
    let addr = bob.local_addr().expect("he listens");
    let builder = Node::builder().connect_timeout(LIMIT);
    let (alice, alices_events) = hosts.alice.run(start(builder, lines)).await;
    hosts.cut(cut).await;

    let begin = Instant::now();
    let dialled = soon("an answer or none", dial(&hosts.alice, &alice, addr)).await;
    assert!(begin.elapsed() >= LIMIT);
    assert!(
        matches!(dialled, Err(ConnectError::TimedOut { addr: a, after: LIMIT }) if a == addr),
        "{dialled:?}"
    );
    assert_eq!(alice.stats().timeouts.connect, 1);

    // The kernel asks who has Bob's address once a second, so one of these finds him.
    hosts.mend(cut).await;
    let dialling = async {
        loop {
            if let Ok(peer) = dial(&hosts.alice, &alice, addr).await {
                return peer;
            }
        }
    };
    let peer = soon("a connection", dialling).await;
    soon("its end", alice.disconnect(peer)).await;
    finish_events(&alice, alices_events).await;
    finish_events(&bob, bobs_events).await;
}

#[tokio::test]
async fn dialling_a_host_whose_cable_is_out_ends_with_the_connect_timeout() {
    a_host_that_does_not_answer(Cut::AtBob).await;
}

#[tokio::test]
async fn dialling_a_host_that_swallows_everything_ends_with_the_connect_timeout() {
    a_host_that_does_not_answer(Cut::Silently).await;
}

#[tokio::test]
async fn what_the_kernel_knows_of_an_unreachable_host_is_in_the_error() {
    let Some(hosts) = Hosts::new().await else {
        return;
    };
    let builder = Node::builder().connect_timeout(LONG);
    let (alice, events) = hosts.alice.run(start(builder, lines)).await;
    let kind = async |to: Ipv4Addr| {
        let addr = SocketAddr::from((to, 7));
        match soon("an error", dial(&hosts.alice, &alice, addr)).await {
            Err(
                ConnectError::Refused { addr: a, source } | ConnectError::Io { addr: a, source },
            ) => {
                assert_eq!(a, addr);
                source.kind()
            }
            other => panic!("expected an I/O error, got {other:?}"),
        }
    };
    assert_eq!(kind(BOB).await, ErrorKind::ConnectionRefused);
    assert_eq!(kind(NOBODY).await, ErrorKind::HostUnreachable);
    assert_eq!(kind(ELSEWHERE).await, ErrorKind::NetworkUnreachable);
    for (route, expected) in [
        ("unreachable", ErrorKind::HostUnreachable),
        ("prohibit", ErrorKind::PermissionDenied),
        ("blackhole", ErrorKind::InvalidInput),
    ] {
        hosts
            .alice
            .ip(&format!("route replace {route} {ELSEWHERE}"))
            .await;
        assert_eq!(kind(ELSEWHERE).await, expected);
    }
    hosts.alice.ip("link set dev eth0 down").await;
    assert_eq!(kind(BOB).await, ErrorKind::NetworkUnreachable);
    assert_eq!(alice.stats().timeouts.connect, 0);
    finish_events(&alice, events).await;
}

/// A handshake in which each side says hello to the other, when it is allowed to.
#[derive(Clone)]
struct Hello {
    begun: Arc<Semaphore>,
    allowed: Arc<Semaphore>,
}

impl Protocol for Hello {
    type Io = TcpStream;
    type Codec = LinesCodec;

    async fn handshake(
        &self,
        stream: TcpStream,
        peer: Peer,
    ) -> Result<Framed<TcpStream, LinesCodec>, BoxError> {
        let mut framed = Framed::new(stream, lines(peer));
        self.begun.add_permits(1);
        self.allowed.acquire().await?.forget();
        framed.send("hello").await?;
        framed.next().await.ok_or("no hello")??;
        Ok(framed)
    }
}

#[tokio::test]
async fn a_cable_pulled_before_the_handshake_is_told_by_both_handshake_timeouts() {
    let Some(hosts) = Hosts::new().await else {
        return;
    };
    let hello = Hello {
        begun: Arc::new(Semaphore::new(0)),
        allowed: Arc::new(Semaphore::new(0)),
    };
    let builder = || Node::builder().handshake_timeout(LIMIT);
    let bob = start(builder().listen(SocketAddr::from((BOB, 0))), hello.clone());
    let (bob, mut bobs_events): (Node<String>, Events<String>) = hosts.bob.run(bob).await;
    let (alice, alices_events) = hosts.alice.run(start(builder(), hello.clone())).await;

    let addr = bob.local_addr().expect("he listens");
    let host = &hosts.alice;
    let dialling = soon("a failure", dial(host, &alice, addr));
    let cutting = async {
        let both = soon("both handshakes", hello.begun.acquire_many(2)).await;
        both.expect("it is open").forget();
        hosts.cut(Cut::AtBob).await;
        hello.allowed.add_permits(2);
    };
    let (dialled, ()) = tokio::join!(dialling, cutting);
    assert!(
        matches!(
            dialled,
            Err(ConnectError::Handshake {
                source: HandshakeError::TimedOut(LIMIT),
                ..
            })
        ),
        "{dialled:?}"
    );
    match next_event(&mut bobs_events).await {
        Event::HandshakeFailed(peer, HandshakeError::TimedOut(LIMIT)) => {
            assert_eq!(peer.addr().ip(), super::hosts::ALICE);
        }
        other => panic!("expected a failed handshake, got {other:?}"),
    }
    for node in [&alice, &bob] {
        assert_eq!(node.stats().timeouts.handshake, 1);
    }
    finish_events(&alice, alices_events).await;
    finish_events(&bob, bobs_events).await;
}
