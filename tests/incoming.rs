//! Connections that the program decides on: accepted, refused, ignored, dropped, hoarded, and what
//! becomes of them when the listening or the node ends.

mod common;
mod door;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use common::{in_memory, lines, next_event, quiet, wind_up, within};
use door::{COME_IN, Door, GO};
use futures::{FutureExt, StreamExt, stream::FusedStream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use wattle::{
    Builder, Event, Inbound, Incoming, Incomings, Limit, ListenError, Node, Refusal, Side,
    Transport,
    testing::{Memory, MemoryStream, expect_next_event},
};

/// How many undecided connections wait for the program.
const UNDECIDED: usize = 16;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A node with a door where the program decides.
struct Desk {
    door: Door,
    incomings: Incomings,
}

impl Desk {
    async fn open(options: impl FnOnce(Builder<Memory>) -> Builder<Memory>) -> Self {
        let door = Door::open(options).await;
        let incomings = within(door.node.listen_incoming("127.0.0.1:0")).await;
        Self {
            door,
            incomings: incomings.unwrap(),
        }
    }

    async fn knock(&self, from: &str) -> (SocketAddr, MemoryStream) {
        let addr = self.incomings.local_addr();
        self.door.knock_at(addr, from).await
    }

    /// One that is there to be decided on.
    async fn next(&mut self, from: &str) -> (Incoming, MemoryStream) {
        let (from, stream) = self.knock(from).await;
        let incoming = within(self.incomings.recv()).await.unwrap();
        assert_eq!(incoming.remote_addr(), from);
        assert_eq!(incoming.local_addr(), self.incomings.local_addr());
        (incoming, stream)
    }

    async fn assert_declined(&mut self, from: SocketAddr) {
        let at = expect_next_event!(self.door.events, Event::Refused(at, Refusal::Declined) => at);
        assert_eq!(at, from);
    }

    fn counts(&self) -> (u64, u64) {
        let refused = self.door.stats().refused;
        (refused.declined, refused.ignored)
    }

    fn assert_no_event(&mut self) {
        if let Some(event) = self.door.events.recv().now_or_never() {
            panic!("{event:?}");
        }
    }
}

async fn assert_closed(mut stream: MemoryStream) {
    assert_eq!(within(stream.read(&mut [0])).await.unwrap(), 0);
}

fn room_for_one<T: Transport>(builder: Builder<T>) -> Builder<T> {
    builder.max_connections(1).max_pending(1)
}

#[tokio::test(start_paused = true)]
async fn one_that_is_accepted_shakes_hands_and_is_told_by_the_name_it_was_given() {
    let mut desk = Desk::open(|builder| builder).await;
    let (incoming, mut stream) = desk.next("10.0.0.1").await;
    let from = incoming.remote_addr();
    // Nothing is read before it is decided, however long that takes.
    stream
        .write_all(&[COME_IN, b'h', b'i', b'\n'])
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1_000_000)).await;
    desk.assert_no_event();
    let peer = incoming.accept();
    assert_eq!((peer.addr(), peer.side()), (from, Side::Listener));
    expect_next_event!(desk.door.events, Event::Connected(who) if *who == peer);
    expect_next_event!(desk.door.events, Event::Message(hi, who) if hi == "hi" && *who == peer);

    let (incoming, mut other) = desk.next("10.0.0.1").await;
    let unlucky = incoming.accept();
    other.write_u8(GO).await.unwrap();
    expect_next_event!(desk.door.events, Event::HandshakeFailed(who, _) if *who == unlucky);
    assert_eq!(desk.counts(), (0, 0));
    drop(stream);
    desk.door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_or_dropped_is_closed_told_and_counted() {
    let mut desk = Desk::open(room_for_one).await;
    for round in 1..=4 {
        let (incoming, stream) = desk.next("10.0.0.1").await;
        let from = incoming.remote_addr();
        match round % 2 {
            0 => incoming.refuse(),
            _ => drop(incoming),
        }
        desk.assert_declined(from).await;
        assert_eq!(desk.counts(), (round, 0));
        assert_closed(stream).await;
    }
    let text = Refusal::Declined.to_string();
    assert_eq!(text, "the program declined it");
    desk.door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_ignored_is_closed_and_counted_and_not_told() {
    let mut desk = Desk::open(room_for_one).await;
    for round in 1..=3 {
        let (incoming, stream) = desk.next("10.0.0.1").await;
        incoming.ignore();
        assert_closed(stream).await;
        quiet().await;
        assert_eq!(desk.counts(), (0, round));
        desk.assert_no_event();
    }
    desk.door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn who_may_not_come_in_does_not_come_up() {
    let options = |builder: Builder<_>| {
        let builder = builder.max_pending_per_ip(1).ban(ip("10.0.0.1"), None);
        builder.filter(|addr| addr.ip() != ip("10.0.0.2"))
    };
    let mut desk = Desk::open(options).await;
    for (from, expected) in [
        ("10.0.0.1", Refusal::Banned),
        ("10.0.0.2", Refusal::Filtered),
    ] {
        let (_, stream) = desk.knock(from).await;
        expect_next_event!(desk.door.events, Event::Refused(_, refusal) if *refusal == expected);
        assert_closed(stream).await;
    }
    // One that is undecided is pending.
    let (undecided, first) = desk.next("10.0.0.3").await;
    let (_, second) = desk.knock("10.0.0.3").await;
    expect_next_event!(
        desk.door.events,
        Event::Refused(_, refusal) if *refusal == Refusal::Limit(Limit::PendingPerIp(1))
    );
    assert_closed(second).await;
    assert!(desk.incomings.recv().now_or_never().is_none());
    undecided.ignore();
    assert_closed(first).await;
    desk.door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn those_that_are_hoarded_are_as_many_as_may_be_pending() {
    let options = |builder: Builder<_>| builder.max_pending(4).pending_for_dialing(1);
    let mut desk = Desk::open(options).await;
    let mut hoard = Vec::new();
    for _ in 0..3 {
        hoard.push(desk.next("10.0.0.1").await);
    }
    let (_, refused) = desk.knock("10.0.0.1").await;
    let why = expect_next_event!(desk.door.events, Event::Refused(_, why) => why);
    assert_eq!(why, Refusal::Limit(Limit::Pending(3)));
    assert_closed(refused).await;
    let (incoming, _stream) = hoard.pop().unwrap();
    incoming.ignore();
    quiet().await;
    hoard.push(desk.next("10.0.0.1").await);
    drop(hoard);
    desk.door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn those_that_are_not_taken_wait_in_a_queue_and_then_in_the_backlog() {
    let mut desk = Desk::open(|builder| builder).await;
    let mut streams = Vec::new();
    for _ in 0..3 * UNDECIDED {
        streams.push(desk.knock("10.0.0.1").await);
    }
    desk.assert_no_event();
    // Who waits in the backlog isn't judged yet.
    desk.door.admission().ban(ip("10.0.0.1"), None);
    let mut came = 0;
    while let Some(Some(incoming)) = desk.incomings.recv().now_or_never() {
        assert_eq!(incoming.remote_addr(), streams[came].0, "in order");
        incoming.ignore();
        came += 1;
    }
    assert_eq!(came, UNDECIDED);
    quiet().await;
    assert_eq!(desk.counts(), (0, UNDECIDED as u64));
    assert_eq!(desk.door.stats().refused.banned, 2 * UNDECIDED as u64);
    desk.door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_closes_those_that_are_undecided_wherever_they_are() {
    let mut desk = Desk::open(|builder| builder).await;
    let (held, held_stream) = desk.next("10.0.0.1").await;
    let (waiting, waiting_stream) = desk.knock("10.0.0.2").await;
    let from = held.remote_addr();
    assert!(within(desk.door.node.shutdown()).await.is_clean());
    let mut told = [from, waiting].map(|_| None);
    for told in &mut told {
        match next_event(&mut desk.door.events).await {
            Event::Refused(addr, Refusal::Declined) => *told = Some(addr),
            other => panic!("{other:?}"),
        }
    }
    told.sort();
    let mut expected = [Some(from), Some(waiting)];
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(desk.counts(), (2, 0));
    assert_closed(held_stream).await;
    assert_closed(waiting_stream).await;
    // What is decided now has no effect.
    let peer = held.accept();
    assert_eq!(peer.addr(), from);
    assert!(within(desk.incomings.recv()).await.is_none());
    assert!(desk.incomings.is_terminated());
    assert!(within(desk.incomings.next()).await.is_none());
    assert!(within(desk.door.events.recv()).await.is_none());
    let error = within(desk.door.node.listen_incoming("127.0.0.1:0")).await;
    assert!(matches!(error, Err(ListenError::ShutDown)));
}

#[tokio::test(start_paused = true)]
async fn it_is_an_address_like_others_to_stop_listening_at() {
    let mut desk = Desk::open(|builder| builder).await;
    let addr = desk.incomings.local_addr();
    assert_eq!(desk.door.node.local_addrs(), [desk.door.addr, addr]);
    let (incoming, mut stream) = desk.next("10.0.0.1").await;
    let (waiting, _stream) = desk.knock("10.0.0.2").await;
    assert!(within(desk.door.node.stop_listening()).await);
    assert_eq!(desk.door.node.local_addrs(), []);
    let second = within(desk.incomings.recv()).await.unwrap();
    assert!(within(desk.incomings.recv()).await.is_none());
    assert!(desk.door.network.connect(addr).await.is_err());

    // Those that came before are still to be decided.
    let peer = incoming.accept();
    assert_eq!(desk.door.shake(&mut stream).await, peer);
    second.refuse();
    desk.assert_declined(waiting).await;
    drop(stream);
    desk.door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_stops_the_listening_and_refuses_those_that_wait() {
    let mut desk = Desk::open(room_for_one).await;
    let Desk { door, incomings } = &mut desk;
    let addr = incomings.local_addr();
    for _ in 0..100 {
        let another = within(door.node.listen_incoming("127.0.0.1:0")).await;
        drop(another.unwrap());
        quiet().await;
    }
    let (waiting, stream) = desk.knock("10.0.0.1").await;
    let Desk {
        mut door,
        incomings,
    } = desk;
    drop(incomings);
    assert_eq!(door.node.local_addrs(), [door.addr], "at once");
    expect_next_event!(door.events, Event::Refused(from, Refusal::Declined) if *from == waiting);
    assert_closed(stream).await;
    assert!(door.network.connect(addr).await.is_err());
    // The other door is still open, and there is room.
    let guest = door.enter("10.0.0.1").await;
    door.leave(guest).await;
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_is_woken_by_a_connection_and_by_the_end() {
    let Desk {
        door,
        mut incomings,
    } = Desk::open(|builder| builder).await;
    let addr = incomings.local_addr();
    let mut recv = tokio_test::task::spawn(incomings.recv());
    assert!(recv.poll().is_pending());
    let _stream = within(door.network.connect(addr)).await.unwrap();
    quiet().await;
    assert!(recv.is_woken());
    within(recv).await.unwrap().ignore();

    let mut recv = tokio_test::task::spawn(incomings.recv());
    assert!(recv.poll().is_pending());
    let node = door.node.clone();
    door.shut().await;
    assert!(recv.is_woken());
    assert!(within(recv).await.is_none());
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn neither_the_stream_nor_what_it_yields_keeps_the_node_alive() {
    let mut desk = Desk::open(|builder| builder).await;
    let (held, held_stream) = desk.next("10.0.0.1").await;
    let (_, waiting_stream) = desk.knock("10.0.0.2").await;
    let Desk {
        door,
        mut incomings,
    } = desk;
    let Door { node, events, .. } = door;
    drop((node, events));
    assert_closed(held_stream).await;
    assert_closed(waiting_stream).await;
    assert!(within(incomings.recv()).await.is_none());
    quiet().await;
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(tasks, 0);
    held.refuse();
}

#[tokio::test(start_paused = true)]
async fn deciding_needs_no_runtime() {
    let mut desk = Desk::open(|builder| builder).await;
    let (first, mut stream) = desk.next("10.0.0.1").await;
    let (second, _stream) = desk.next("10.0.0.2").await;
    let (third, _other) = desk.next("10.0.0.3").await;
    let declined = second.remote_addr();
    let elsewhere = std::thread::spawn(move || {
        third.ignore();
        drop(second);
        first.accept()
    });
    let peer = elsewhere.join().unwrap();
    desk.assert_declined(declined).await;
    assert_eq!(desk.door.shake(&mut stream).await, peer);
    assert_eq!(desk.counts(), (1, 1));
    drop(stream);
    desk.door.shut().await;
}

#[tokio::test]
async fn a_transport_that_cannot_listen_says_so() {
    let (node, inbound): (Node<String>, Inbound<String>) = in_memory().start(lines).await.unwrap();
    let error = within(node.listen_incoming("127.0.0.1:0"))
        .await
        .unwrap_err();
    assert!(matches!(error, ListenError::Io { .. }), "{error}");
    assert_eq!(node.local_addrs(), []);
    wind_up(node, inbound).await;
}

#[tokio::test]
async fn over_tcp_a_program_lets_in_every_other_one() {
    let (node, inbound): (Node<String>, Inbound<String>) =
        Node::builder().start(lines).await.unwrap();
    let mut events = inbound.into_events();
    let mut incomings = within(node.listen_incoming("127.0.0.1:0")).await.unwrap();
    let addr = incomings.local_addr();
    let accept_loop = tokio::spawn(async move {
        let mut let_in = false;
        while let Some(incoming) = incomings.next().await {
            let_in = !let_in;
            match let_in {
                true => drop(incoming.accept().id()),
                false => incoming.refuse(),
            }
        }
    });
    let (mut connected, mut refused) = (0, 0);
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(within(TcpStream::connect(addr)).await.unwrap());
    }
    while connected + refused < 100 {
        match next_event(&mut events).await {
            Event::Connected(_) => connected += 1,
            Event::Refused(_, Refusal::Declined) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((connected, refused), (50, 50));
    drop(streams);
    within(node.shutdown()).await;
    within(accept_loop).await.unwrap();
    assert_eq!(node.stats().refused.declined, 50);
}
