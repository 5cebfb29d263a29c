//! Everything that can keep a node from connecting has an error of its own, and leaves nothing
//! behind; what a socket was told is told to it.

mod common;

use std::{net::SocketAddr, time::Duration};

use common::{black_hole, lines, listening, network, wind_up, within};
use futures::future::FutureExt;
use socket2::SockRef;
use tokio::{
    io::{DuplexStream, duplex},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
};
use tokio_util::codec::{Framed, LinesCodec};
use wattle::{
    BoxError, Builder, ConnectError, Inbound, Limit, Node, Peer, Protocol, Side,
    testing::Memory,
    transport::{Acceptor, Tcp, Transport},
};

type Started = (Node<String>, Inbound<String>);

async fn in_memory(builder: Builder<Memory>) -> Started {
    within(builder.start(lines)).await.unwrap()
}

/// An address that nobody listens on, kept so by its owner.
async fn refused_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

#[tokio::test]
async fn an_address_of_our_own_is_not_dialled() {
    let (node, inbound) = listening(Node::builder()).await;
    let own = node.local_addr().unwrap();
    let error = within(node.connect(own)).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::SelfConnect(addr) if addr == own),
        "{error}"
    );
    let socket = TcpSocket::new_v4().unwrap();
    let error = within(node.connect_with(socket, own)).await.unwrap_err();
    assert!(matches!(error, ConnectError::SelfConnect(_)), "{error}");
    assert_eq!(node.stats().connected, 0);
    wind_up(node, inbound).await;
}

#[tokio::test]
async fn an_address_behind_our_own_wildcard_is_not_dialled() {
    let start = Node::builder().listen("0.0.0.0:0").start(lines);
    let (node, inbound): Started = within(start).await.unwrap();
    let port = node.local_addr().unwrap().port();
    for host in ["127.0.0.1", "0.0.0.0", "localhost"] {
        let error = within(node.connect((host, port))).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::SelfConnect(_)),
            "{host}: {error}"
        );
    }
    wind_up(node, inbound).await;
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    let (node, inbound) = listening(Node::builder().max_connections(1)).await;
    let (_kept, closed) = refused_port().await;
    for _ in 0..2 {
        let error = within(node.connect(closed)).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Refused { addr, .. } if addr == closed),
            "{error}"
        );
        assert!(std::error::Error::source(&error).is_some());
    }
    let socket = TcpSocket::new_v4().unwrap();
    let error = within(node.connect_with(socket, closed)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    wind_up(node, inbound).await;
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_times_out() {
    let limit = Duration::from_secs(3);
    let builder = Node::builder().transport(network());
    let (node, inbound) = in_memory(builder.max_connections(1).connect_timeout(limit)).await;
    for round in 1..=2 {
        let begin = tokio::time::Instant::now();
        let error = within(node.connect(black_hole())).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::TimedOut { addr, after } if (addr, after) == (black_hole(), limit)),
            "{error}"
        );
        assert_eq!(begin.elapsed().as_secs(), limit.as_secs());
        assert_eq!(node.stats().timeouts.connect, round);
    }
    wind_up(node, inbound).await;
}

/// Real time, as it takes a real socket: the kernel answers no more when a backlog is full.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_listener_with_a_full_backlog_times_out() {
    let full = Tcp::new().backlog(1);
    let full = full.bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let addr = full.local_addr().unwrap();
    let builder = Node::builder()
        .allow_duplicates(true)
        .connect_timeout(Duration::from_millis(200));
    let (node, inbound) = listening(builder).await;

    // Linux lets one more in than it is told.
    let _first = within(node.connect(addr)).await.unwrap();
    let _second = within(node.connect(addr)).await.unwrap();
    let error = within(node.connect(addr)).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    let socket = TcpSocket::new_v4().unwrap();
    let error = within(node.connect_with(socket, addr)).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    assert_eq!(node.stats().timeouts.connect, 2);

    // Closing the listener resets what it holds, so the shutdown has nobody to wait for.
    drop(full);
    wind_up(node, inbound).await;
}

#[tokio::test]
async fn a_second_connection_names_the_first() {
    let (alice, to_alice) = listening(Node::builder()).await;
    let (bob, to_bob) = listening(Node::builder()).await;
    let addr = alice.local_addr().unwrap();
    let first = within(bob.connect(addr)).await.unwrap();
    let error = within(bob.connect(addr)).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::AlreadyConnected(peer) if peer == first),
        "{error}"
    );
    assert!(error.to_string().contains("allow_duplicates"), "{error}");

    // Where bob listens, and not whence he dialled: another address, and so no duplicate.
    let back = within(alice.connect(bob.local_addr().unwrap()));
    back.await.unwrap();

    within(bob.disconnect(first)).await.unwrap();
    let again = within(bob.connect(addr)).await.unwrap();
    assert_ne!(again, first);
    wind_up(bob, to_bob).await;
    wind_up(alice, to_alice).await;
}

#[tokio::test]
async fn an_address_that_is_being_dialled_is_not_dialled_twice() {
    let (node, inbound) = in_memory(Node::builder().transport(network())).await;
    let first = node.connect(black_hole());
    let mut first = Box::pin(first);
    assert!((&mut first).now_or_never().is_none());

    let error = within(node.connect(black_hole())).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::AlreadyDialing(addr) if addr == black_hole()),
        "{error}"
    );
    drop(first);
    let mut next = Box::pin(node.connect(black_hole()));
    assert!(
        (&mut next).now_or_never().is_none(),
        "the address is free again"
    );
    drop(next);
    wind_up(node, inbound).await;
}

#[tokio::test]
async fn duplicates_are_dialled_where_they_are_allowed() {
    let builder = Node::builder().transport(network());
    let (node, inbound) = in_memory(builder.allow_duplicates(true)).await;
    let mut first = Box::pin(node.connect(black_hole()));
    let mut second = Box::pin(node.connect(black_hole()));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop((first, second));
    wind_up(node, inbound).await;
}

#[tokio::test]
async fn a_node_that_is_full_dials_nobody() {
    let (alice, to_alice) = listening(Node::builder()).await;
    let builder = Node::builder().max_connections(1).allow_duplicates(true);
    let (bob, to_bob) = listening(builder).await;
    let addr = alice.local_addr().unwrap();
    let first = within(bob.connect(addr)).await.unwrap();

    let full = |error: &ConnectError| {
        assert!(
            matches!(error, ConnectError::Limit(Limit::Connections(1))),
            "{error}"
        );
    };
    full(&within(bob.connect(addr)).await.unwrap_err());
    full(
        &within(bob.connect_with(TcpSocket::new_v4().unwrap(), addr))
            .await
            .unwrap_err(),
    );
    let stream = TcpStream::connect(addr).await.unwrap();
    let refused = within(bob.adopt(stream, addr, Side::Dialer)).await;
    let refused = refused.unwrap_err();
    full(&refused.error);
    assert!(refused.stream.is_some(), "the stream comes back");
    assert_eq!(bob.stats().refused.max_connections, 0, "it was our own");

    within(bob.disconnect(first)).await.unwrap();
    within(bob.connect(addr))
        .await
        .expect("there is room again");
    drop(refused);
    wind_up(bob, to_bob).await;
    wind_up(alice, to_alice).await;
}

#[tokio::test]
async fn a_name_that_means_nothing_is_not_resolved() {
    let (node, inbound) = listening(Node::builder()).await;
    // Longer than any name may be, so that no server is asked.
    let endless = format!("{}:80", "a".repeat(300));
    for name in ["localhost", "127.0.0.1:65536", &endless] {
        let error = within(node.connect(name)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Resolve(_)), "{name}: {error}");
    }
    let error = within(node.connect(&[][..])).await.unwrap_err();
    assert!(matches!(error, ConnectError::Resolve(_)), "{error}");
    wind_up(node, inbound).await;
}

#[tokio::test]
async fn of_several_addresses_the_first_that_answers_is_taken() {
    let (alice, to_alice) = listening(Node::builder()).await;
    let (bob, to_bob) = listening(Node::builder()).await;
    let (_kept, closed) = refused_port().await;
    let addr = alice.local_addr().unwrap();
    let peer = within(bob.connect(&[closed, addr][..])).await.unwrap();
    assert_eq!(peer.addr(), addr);
    wind_up(bob, to_bob).await;
    wind_up(alice, to_alice).await;
}

#[tokio::test]
async fn a_node_that_is_shut_down_dials_nobody() {
    let (alice, to_alice) = listening(Node::builder()).await;
    let (bob, to_bob) = listening(Node::builder()).await;
    let addr = alice.local_addr().unwrap();
    assert!(within(bob.shutdown()).await.is_clean());

    let error = within(bob.connect(addr)).await.unwrap_err();
    assert!(matches!(error, ConnectError::ShutDown), "{error}");
    let socket = TcpSocket::new_v4().unwrap();
    let error = within(bob.connect_with(socket, addr)).await.unwrap_err();
    assert!(matches!(error, ConnectError::ShutDown), "{error}");
    let stream = TcpStream::connect(addr).await.unwrap();
    let refused = within(bob.adopt(stream, addr, Side::Dialer)).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused.error, ConnectError::ShutDown));
    assert!(refused.stream.is_some(), "the stream comes back");
    drop((to_bob, refused));
    wind_up(alice, to_alice).await;
}

#[tokio::test]
async fn a_stream_of_another_type_comes_back() {
    let (node, inbound) = listening(Node::builder()).await;
    let addr = SocketAddr::from(([127, 0, 0, 1], 1));
    let (ours, _theirs) = duplex(1);
    let refused = within(node.adopt(ours, addr, Side::Dialer)).await;
    let refused = refused.unwrap_err();
    let ConnectError::WrongStream { expected, got, .. } = refused.error else {
        panic!("{refused}");
    };
    assert!(expected.ends_with("TcpStream"), "{expected}");
    assert!(got.ends_with("DuplexStream"), "{got}");
    let _back: DuplexStream = refused.stream.expect("the stream comes back");
    wind_up(node, inbound).await;

    let (node, inbound) = in_memory(Node::builder().transport(network())).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    let connect = node.connect_with(socket, listener.local_addr().unwrap());
    let error = within(connect).await.unwrap_err();
    assert!(matches!(error, ConnectError::WrongStream { .. }), "{error}");
    wind_up(node, inbound).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_address_to_dial_from_is_that_of_the_socket_or_of_the_transport() {
    let (alice, mut to_alice) = listening(Node::builder()).await;
    let addr = alice.local_addr().unwrap();
    let from = SocketAddr::from(([127, 0, 0, 2], 0));
    let builder = Node::builder().transport(Tcp::new().dial_from(from));
    let (bob, to_bob): Started = within(builder.start(lines)).await.unwrap();

    let peer = within(bob.connect(addr)).await.unwrap();
    bob.try_send_to("hello".into(), peer).unwrap();
    let (_, peer) = within(to_alice.recv()).await.unwrap();
    assert_eq!(peer.addr().ip(), from.ip());

    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 3], 0).into()).unwrap();
    let local = socket.local_addr().unwrap();
    // An address that we are connected to: with a socket of one's own that is no duplicate.
    let peer = within(bob.connect_with(socket, addr)).await.unwrap();
    assert_eq!((peer.addr(), peer.side()), (addr, Side::Dialer));
    bob.try_send_to("hello".into(), peer).unwrap();
    let (_, peer) = within(to_alice.recv()).await.unwrap();
    assert_eq!(peer.addr(), local);
    wind_up(bob, to_bob).await;
    wind_up(alice, to_alice).await;
}

/// Tells nodelay and keepalive of each socket that it gets.
struct Inspect(mpsc::UnboundedSender<(Side, bool, bool)>);

impl Protocol for Inspect {
    type Io = TcpStream;
    type Codec = LinesCodec;

    async fn handshake(
        &self,
        stream: TcpStream,
        peer: Peer,
    ) -> Result<Framed<TcpStream, LinesCodec>, BoxError> {
        let keepalive = SockRef::from(&stream).keepalive()?;
        self.0.send((peer.side(), stream.nodelay()?, keepalive))?;
        Ok(Framed::new(stream, lines(peer)))
    }
}

#[tokio::test]
async fn options_of_sockets_are_set_on_both_sides() {
    let minute = Duration::from_secs(60);
    for (tcp, nodelay, keepalive) in [
        (Tcp::new(), true, false),
        (Tcp::new().nodelay(false).keepalive(minute), false, true),
        (Tcp::new().keepalive(minute).keepalive(None), true, false),
    ] {
        let (tell, mut told) = mpsc::unbounded_channel();
        let builder = Node::builder().transport(tcp);
        let alice = builder.clone().listen("127.0.0.1:0");
        let alice: Started = within(alice.start(Inspect(tell.clone()))).await.unwrap();
        let bob: Started = within(builder.start(Inspect(tell))).await.unwrap();
        let dialled = within(bob.0.connect(alice.0.local_addr().unwrap()));
        dialled.await.unwrap();
        let mut sides = Vec::new();
        for _ in 0..2 {
            let (side, has_nodelay, has_keepalive) = within(told.recv()).await.unwrap();
            assert_eq!((has_nodelay, has_keepalive), (nodelay, keepalive));
            sides.push(side);
        }
        sides.sort();
        assert_eq!(sides, [Side::Dialer, Side::Listener]);
        wind_up(bob.0, bob.1).await;
        wind_up(alice.0, alice.1).await;
    }
}

#[tokio::test]
async fn a_socket_of_the_callers_keeps_its_own_options() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let (alice, to_alice) = listening(Node::builder()).await;
    let bob: Started = within(Node::builder().start(Inspect(tell))).await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_keepalive(true).unwrap();
    let connect = bob.0.connect_with(socket, alice.local_addr().unwrap());
    within(connect).await.unwrap();
    let told = told.recv().now_or_never().flatten();
    assert_eq!(told, Some((Side::Dialer, false, true)));
    wind_up(bob.0, bob.1).await;
    wind_up(alice, to_alice).await;
}
