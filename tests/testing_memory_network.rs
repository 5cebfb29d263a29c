//! The address space of a network in memory, and nodes on it.

use std::{
    fmt::Write,
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::join_all};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};
use tokio_test::{assert_pending, assert_ready, task};
use tokio_util::codec::{LengthDelimitedCodec, LinesCodec};
use wattle::{
    Builder, ConnectError, Event, Events, ListenError, Node, Reason, StartError, Transport,
    testing::{Conditions, Memory, MemoryStream},
    transport::Acceptor,
};

mod common;

use common::{finish_events, next_event, quiet, seed, within};

type Lines = (Node<String>, Events<String>);

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

async fn start(builder: Builder<Memory>) -> Lines {
    let lines = |_| LinesCodec::new_with_max_length(1 << 20);
    let (node, inbound) = within(builder.start(lines)).await.expect("a node");
    (node, inbound.into_events())
}

/// A node on a host of its own, which listens there on port 7.
async fn node(memory: &Memory, last: u8) -> Lines {
    let builder = Node::builder().transport(memory.at(ip(last)));
    start(builder.listen(format!("{}:7", ip(last)))).await
}

#[tokio::test(start_paused = true)]
async fn any_port_is_a_free_one_of_the_host_that_binds_it() {
    let memory = Memory::new();
    let here = memory.at(ip(1));
    let mut seen = Vec::new();
    for text in ["0.0.0.0:0", "127.0.0.1:0", "10.0.0.1:0"] {
        let acceptor = within(here.bind(addr(text))).await.unwrap();
        let bound = acceptor.local_addr().unwrap();
        assert_eq!(bound.ip(), ip(1));
        assert!(seen.iter().all(|(one, _)| *one != bound));
        seen.push((bound, acceptor));
    }
    let local = within(memory.bind(addr("0.0.0.0:0"))).await.unwrap();
    assert_eq!(local.local_addr().unwrap().ip(), addr("127.0.0.1:0").ip());
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_taken_and_a_host_elsewhere_cannot_be_bound() {
    let here = Memory::new().at(ip(1));
    let bound = within(here.bind(addr("10.0.0.1:7"))).await.unwrap();
    for text in ["10.0.0.1:7", "0.0.0.0:7"] {
        let error = within(here.bind(addr(text))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{text}");
    }
    let error = within(here.bind(addr("10.0.0.2:7"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    assert_eq!(
        error.to_string(),
        "10.0.0.2 is not this host, which is 10.0.0.1"
    );
    // Another host has ports of its own, and a port is free when nobody listens there.
    within(here.at(ip(2)).bind(addr("10.0.0.2:7")))
        .await
        .unwrap();
    drop(bound);
    within(here.bind(addr("10.0.0.1:7"))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn both_ends_know_the_addresses_and_dialled_ports_are_given_back() {
    let memory = Memory::new();
    let server = memory.at(ip(2));
    let mut acceptor = within(server.bind(addr("10.0.0.2:7"))).await.unwrap();
    let (alice, bob) = (memory.at(ip(1)), memory.at(ip(3)));
    for _ in 0..20_000 {
        for host in [&alice, &bob] {
            let one = within(host.connect(addr("10.0.0.2:7"))).await.unwrap();
            let (other, from) = within(acceptor.accept()).await.unwrap();
            assert_eq!(from.ip(), host.host());
            assert_eq!(one.local_addr().unwrap(), from);
            assert_eq!(other.peer_addr().unwrap(), from);
            assert_eq!(one.peer_addr().unwrap(), addr("10.0.0.2:7"));
            assert_eq!(other.local_addr().unwrap(), addr("10.0.0.2:7"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_dialled_in_vain_for_long_unless_the_host_has_vanished() {
    let memory = Memory::new();
    let (node, events) = node(&memory, 1).await;
    let start = Instant::now();
    let error = within(node.connect("10.0.0.2:7")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    assert_eq!(start.elapsed(), Duration::ZERO);

    memory.vanish(ip(2));
    let error = node.connect("10.0.0.2:7").await.unwrap_err();
    let ConnectError::TimedOut { after, .. } = error else {
        panic!("{error}");
    };
    // The timer counts in milliseconds.
    let waited = start.elapsed();
    assert!(
        (after..after + Duration::from_millis(2)).contains(&waited),
        "{waited:?}"
    );

    memory.come_back(ip(2));
    let error = within(node.connect("10.0.0.2:7")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    finish_events(&node, events).await;
}

#[tokio::test(start_paused = true)]
async fn those_beyond_the_backlog_wait_for_room_one_by_one() {
    let memory = Memory::new().backlog(2);
    let mut acceptor = within(memory.bind(addr("127.0.0.1:7"))).await.unwrap();
    let mut dials: Vec<_> = (0..4)
        .map(|_| {
            let memory = memory.clone();
            task::spawn(async move { memory.connect(addr("127.0.0.1:7")).await })
        })
        .collect();
    for dial in &mut dials {
        assert_pending!(dial.poll());
    }
    quiet().await;
    let mut streams = Vec::new();
    for (number, mut dial) in dials.into_iter().enumerate() {
        if number < 2 {
            streams.push(assert_ready!(dial.poll()).unwrap());
            continue;
        }
        assert_pending!(dial.poll());
        assert!(!dial.is_woken());
        within(acceptor.accept()).await.unwrap();
        assert!(dial.is_woken());
        streams.push(assert_ready!(dial.poll()).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_are_not_accepted_are_reset_when_the_listening_stops() {
    let memory = Memory::new().backlog(1);
    let acceptor = within(memory.bind(addr("127.0.0.1:7"))).await.unwrap();
    let mut stream = within(memory.connect(addr("127.0.0.1:7"))).await.unwrap();
    let mut dial = task::spawn(memory.connect(addr("127.0.0.1:7")));
    assert_pending!(dial.poll());
    quiet().await;
    assert_pending!(dial.poll());
    drop(acceptor);
    assert!(dial.is_woken());
    let error = assert_ready!(dial.poll()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let error = within(stream.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn options_that_make_no_sense_are_named() {
    let memory = Memory::new();
    let most = usize::MAX - 1;
    #[allow(clippy::reversed_empty_ranges)]
    let wrong = [
        (memory.clone().capacity(0), "Memory::capacity"),
        (memory.clone().segment(0..=5), "Memory::segment"),
        (memory.clone().segment(6..=5), "Memory::segment"),
        (memory.clone().backlog(0), "Memory::backlog"),
    ];
    for (memory, option) in wrong {
        let error = memory.connect(addr("127.0.0.1:7")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(option), "{error}");
        let lines = |_| LinesCodec::new();
        let started = Node::builder().transport(memory).start::<_, String>(lines);
        match started.await {
            Err(StartError::InvalidOption(invalid)) => assert_eq!(invalid.option, option),
            other => panic!("{other:?}"),
        }
    }
    let large = memory
        .capacity(usize::MAX)
        .segment(1..=most + 1)
        .backlog(usize::MAX);
    let mut acceptor = within(large.bind(addr("127.0.0.1:7"))).await.unwrap();
    let mut stream = within(large.connect(addr("127.0.0.1:7"))).await.unwrap();
    within(stream.write_u8(9)).await.unwrap();
    assert_eq!(
        within(acceptor.accept())
            .await
            .unwrap()
            .0
            .read_u8()
            .await
            .unwrap(),
        9
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_listens_once_on_an_address_and_says_what_it_is() {
    let memory = Memory::new();
    let (first, events) = node(&memory, 1).await;
    assert_eq!(first.local_addr(), Some(addr("10.0.0.1:7")));
    let error = within(first.listen("10.0.0.1:7")).await.unwrap_err();
    assert!(matches!(error, ListenError::Io { .. }), "{error}");
    finish_events(&first, events).await;
    // What is shut down gives its address back.
    let (second, events) = node(&memory, 1).await;
    finish_events(&second, events).await;
}

#[tokio::test(start_paused = true)]
async fn nodes_tell_a_reset_from_an_end_and_an_end_inside_a_frame() {
    let memory = Memory::new();
    let builder = Node::builder()
        .transport(memory.clone())
        .listen("127.0.0.1:7");
    let frames = |_| LengthDelimitedCodec::new();
    let (node, inbound) = within(builder.start::<_, Bytes>(frames)).await.unwrap();
    let mut events = inbound.into_events();
    let end = async |bytes: &[u8], how: fn(MemoryStream)| {
        let mut stream = within(memory.connect(addr("127.0.0.1:7"))).await.unwrap();
        within(stream.write_all(bytes)).await.unwrap();
        quiet().await;
        how(stream);
    };
    end(&[0, 0, 0, 1, 7], drop).await;
    end(&[0, 0, 0, 2, 7], drop).await;
    end(&[0, 0, 0, 1, 7], MemoryStream::reset).await;
    let mut reasons = Vec::new();
    while reasons.len() < 3 {
        if let Event::Disconnected(_, disconnect) = next_event(&mut events).await {
            reasons.push(disconnect.reason);
        }
    }
    assert!(
        matches!(
            reasons[..],
            [
                Reason::EndOfStream,
                Reason::EndInsideFrame { .. },
                Reason::Reset(_)
            ]
        ),
        "{reasons:?}"
    );
    node.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_an_hour_takes_no_time() {
    let memory = Memory::new();
    let builder = Node::builder()
        .transport(memory.clone())
        .idle_timeout(Duration::from_secs(3600));
    let (node, mut events) = start(builder).await;
    let _acceptor = within(memory.bind(addr("127.0.0.1:7"))).await.unwrap();
    let peer = within(node.connect("127.0.0.1:7")).await.unwrap();
    let end = loop {
        if let Some(Event::Disconnected(who, end)) = events.next().await {
            assert_eq!(who, peer);
            break end;
        }
    };
    assert!(matches!(end.reason, Reason::TimedOut(_)), "{end}");
    drop(end);
    node.shutdown().await;
}

/// What happens in a network with this seed: every event of every node, with its time, in the order in
/// which they happen; and the sizes of what a stream without a node reads.
async fn history(seed: u64) -> String {
    const NODES: u8 = 5;
    const MESSAGES: usize = 20;
    let message = |number: usize| format!("{number} {}", "x".repeat(17 * number));
    let say = |node: &Node<String>| {
        for number in 0..MESSAGES {
            assert!(node.broadcast(message(number)).full.is_empty());
        }
    };
    let memory = Memory::with_seed(seed).capacity(300).segment(1..=40);
    let uneven = Conditions::new().latency(Duration::from_millis(20));
    let uneven = uneven.jitter(Duration::from_millis(500)).bandwidth(9000);
    memory.link(ip(1), ip(2)).set(uneven);
    let start = Instant::now();
    let mut nodes = Vec::new();
    let mut all = futures::stream::SelectAll::new();
    for number in 1..=NODES {
        let (node, events) = node(&memory, number).await;
        all.push(events.map(move |event| (number, event)));
        nodes.push(node);
    }
    for one in 1..=NODES {
        for other in one + 1..=NODES {
            let peer = nodes[usize::from(one) - 1].connect((ip(other), 7)).await;
            peer.expect("a connection");
        }
    }
    let mut raw = memory.at(ip(77)).connect((ip(1), 7).into()).await.unwrap();

    let mut text = String::new();
    let mut tell = |what: &str| writeln!(text, "{:?} {what}", start.elapsed()).unwrap();
    let mut connected = usize::from(NODES) * usize::from(NODES - 1) + 1;
    let mut messages = (connected - 1) * MESSAGES;
    while messages > 0 {
        let (number, event) = within(all.next()).await.unwrap();
        match event {
            // Ids are those of the process, so addresses have to do.
            Event::Connected(peer) => {
                tell(&format!("{number} + {}", peer.addr()));
                connected -= 1;
                if connected == 0 {
                    nodes.iter().for_each(say);
                }
            }
            Event::Message(message, from) => {
                tell(&format!("{number} < {} {}", from.addr(), message.len()));
                messages -= 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let mut buf = [0; 1024];
    let mut left: usize = (0..MESSAGES).map(|number| message(number).len() + 1).sum();
    while left > 0 {
        let read = within(raw.read(&mut buf)).await.unwrap();
        left -= read;
        tell(&format!("read {read}"));
    }
    drop(raw);
    join_all(nodes.iter().map(Node::shutdown)).await;
    drop(nodes);
    while let Some((number, event)) = within(all.next()).await {
        if let Event::Disconnected(peer, end) = event {
            tell(&format!("{number} - {} {end}", peer.addr()));
        }
    }
    text
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_events_in_the_same_order() {
    let seed = seed();
    let first = history(seed).await;
    for _ in 0..3 {
        let again = history(seed).await;
        let differs = first
            .lines()
            .zip(again.lines())
            .find(|(one, other)| one != other);
        assert_eq!(differs, None);
        assert!(first == again);
    }
    let other = history(seed.wrapping_add(1)).await;
    let sizes = |text: &str| -> Vec<String> {
        let reads = text.lines().filter(|line| line.contains(" read "));
        reads.map(str::to_owned).collect()
    };
    assert_ne!(sizes(&first), sizes(&other), "another seed cuts otherwise");
}

#[tokio::test(start_paused = true)]
async fn nodes_whose_host_vanishes_are_silent_and_not_gone() {
    let memory = Memory::new();
    let (one, mut one_events) = node(&memory, 1).await;
    let (other, other_events) = node(&memory, 2).await;
    let peer = within(one.connect("10.0.0.2:7")).await.unwrap();
    memory.vanish(ip(2));
    drop((other, other_events));
    one.send_to("x".repeat(1 << 17), peer).await.unwrap();
    // More than a pipe holds, so that the write timeout notices; nobody else does.
    let end = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            if let Some(Event::Disconnected(_, end)) = one_events.recv().await {
                return end;
            }
        }
    });
    let end = end.await.expect("the write timeout");
    assert!(
        matches!(end.reason, Reason::TimedOut(wattle::Timeout::Write)),
        "{end}"
    );

    let _ = one.shutdown().await;
}
