//! Whatever becomes of a connection, its room is free again: each test has room for one only, and
//! finds it after each way of losing it, by the time it is told of the loss.

mod common;
mod door;

use std::{net::SocketAddr, time::Duration};

use common::{MANY_POLLS, adopt, black_hole, ending, in_memory, polled, within};
use door::{Door, GO, Knocking, PANIC};
use tokio::{
    io::{AsyncWriteExt, duplex},
    net::TcpStream,
};
use wattle::{
    Builder, ConnectError, Event, HandshakeError, IpNet, Limit, Node, Peer, Refusal, Side,
    Transport,
    testing::{MemoryStream, Recorded, eventually, expect_next_event},
};

const SOON: Duration = Duration::from_secs(3);

fn somebody() -> SocketAddr {
    ([10, 0, 0, 1], 1).into()
}

/// Room for one connection, by every limit that there is.
fn room_for_one<T: Transport>(builder: Builder<T>) -> Builder<T> {
    let builder = builder.max_connections(1).max_pending(1).max_incoming(1);
    let builder = builder.max_per_ip(1).max_pending_per_ip(1);
    let builder = builder.max_per_subnet(1).max_pending_per_subnet(1);
    builder.handshake_timeout(SOON).connect_timeout(SOON)
}

impl Door {
    /// Finds the room taken.
    async fn assert_taken(&mut self) {
        let refusal = self.refused("10.0.0.1").await;
        assert_eq!(refusal, Refusal::Limit(Limit::Connections(1)));
    }

    /// Finds the room free: one comes in, and goes.
    async fn assert_free(&mut self) {
        let guest = self.enter("10.0.0.1").await;
        self.leave(guest).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_comes_to_nothing_leaves_its_room() {
    let mut door = Door::open(room_for_one).await;
    for outcome in ["error", "panic", "end of stream", "timeout"] {
        let mut stream = door.pending("10.0.0.1").await;
        door.assert_taken().await;
        match outcome {
            "error" => stream.write_u8(GO).await.unwrap(),
            "panic" => stream.write_u8(PANIC).await.unwrap(),
            "end of stream" => stream.shutdown().await.unwrap(),
            _ => {}
        }
        let error = door.failure().await;
        let as_expected = match outcome {
            "panic" => matches!(error, HandshakeError::Panicked(_)),
            "timeout" => matches!(error, HandshakeError::TimedOut(SOON)),
            _ => matches!(error, HandshakeError::Failed(_)),
        };
        assert!(as_expected, "{outcome}: {error}");
        door.assert_free().await;
    }
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_leaves_its_room_however_it_ends() {
    let mut door = Door::open(|builder| room_for_one(builder).idle_timeout(2 * SOON)).await;
    for ending_by in [
        "remote",
        "abort",
        "disconnect",
        "bytes that are no text",
        "idleness",
    ] {
        let (peer, mut stream) = door.enter("10.0.0.1").await;
        door.assert_taken().await;
        match ending_by {
            "remote" => drop(stream.shutdown().await),
            "abort" => assert!(door.node.abort(peer)),
            "disconnect" => {
                let (_, end) = tokio::join!(stream.shutdown(), door.node.disconnect(peer));
                end.unwrap();
            }
            "idleness" => {}
            _ => stream.write_all(b"\xff\n").await.unwrap(),
        }
        ending(&mut door.events, peer).await;
        door.assert_free().await;
    }
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn dialling_that_comes_to_nothing_leaves_its_room() {
    let mut door = Door::open(room_for_one).await;
    let silent = door.neighbour().await;
    let outcome = async |door: &Door, addr| within(door.node.connect(addr)).await.unwrap_err();

    let error = outcome(&door, somebody()).await;
    assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    door.assert_free().await;

    let error = outcome(&door, black_hole()).await;
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    door.assert_free().await;

    let error = outcome(&door, silent.addr()).await;
    let timed_out = |source: &_| matches!(source, HandshakeError::TimedOut(_));
    assert!(
        matches!(&error, ConnectError::Handshake { source, .. } if timed_out(source)),
        "{error}"
    );
    door.assert_free().await;

    // One that succeeds holds it until it ends.
    let mut neighbour = door.neighbour().await;
    let connect = within(door.node.connect(neighbour.addr()));
    let (connected, remote) = tokio::join!(connect, neighbour.shake());
    let peer = connected.unwrap();
    expect_next_event!(door.events, Event::Connected(who) if *who == peer);
    door.assert_taken().await;
    door.leave((peer, remote)).await;
    door.assert_free().await;
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn dialling_that_is_dropped_leaves_its_room_wherever_it_was() {
    let mut door = Door::open(room_for_one).await;
    let silent = door.neighbour().await;
    for times in 0..8 {
        for addr in [black_hole(), silent.addr()] {
            let dropped = polled(times, door.node.connect(addr)).await;
            assert!(dropped.is_none(), "{dropped:?}");
            door.assert_free().await;
        }
        let ours = within(door.network.connect(silent.addr())).await.unwrap();
        let adopting = door.node.adopt(ours, somebody(), Side::Listener);
        assert!(polled(times, adopting).await.is_none());
        door.assert_free().await;
    }
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn adopting_that_fails_leaves_its_room() {
    let mut door = Door::open(room_for_one).await;
    let mut neighbour = door.neighbour().await;
    for word in [GO, PANIC] {
        let ours = door.network.connect(neighbour.addr()).await.unwrap();
        let _theirs = neighbour.say(word).await;
        let adopted = within(door.node.adopt(ours, somebody(), Side::Dialer)).await;
        let error = adopted.unwrap_err().error;
        assert!(matches!(error, ConnectError::Handshake { .. }), "{error}");
        door.assert_free().await;
    }
    let none = tokio::io::empty();
    let adopted = within(door.node.adopt(none, somebody(), Side::Dialer)).await;
    let error = adopted.unwrap_err().error;
    assert!(matches!(error, ConnectError::WrongStream { .. }), "{error}");
    door.assert_free().await;
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_takes_no_room() {
    let mut door = Door::open(room_for_one).await;
    let banned: IpNet = "10.6.6.6/32".parse().unwrap();
    door.admission().ban(banned, None);
    let filter = |addr: SocketAddr| addr.ip().to_string() != "10.7.7.7";
    door.admission().set_filter(filter);
    for _ in 0..3 {
        assert_eq!(door.refused("10.6.6.6").await, Refusal::Banned);
        assert_eq!(door.refused("10.7.7.7").await, Refusal::Filtered);
    }
    let guest = door.enter("10.0.0.1").await;
    for _ in 0..3 {
        door.assert_taken().await;
    }
    door.leave(guest).await;
    door.assert_free().await;
    door.shut().await;
}

#[tokio::test(start_paused = true)]
async fn pending_connections_end_with_a_shutdown() {
    let mut door = Door::open(|builder| builder).await;
    let _pending = [
        door.pending("10.0.0.1").await,
        door.pending("10.0.0.2").await,
    ];
    let node = door.node.clone();
    let dial = tokio::spawn(async move { node.connect(black_hole()).await });
    common::quiet().await;
    assert!(within(door.node.shutdown()).await.is_clean());
    for _ in 0..2 {
        let error = door.failure().await;
        assert!(matches!(error, HandshakeError::ShutDown), "{error}");
    }
    let dialled = within(dial).await.unwrap().unwrap_err();
    assert!(matches!(dialled, ConnectError::ShutDown), "{dialled}");
    assert!(within(door.events.recv()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn establishing_frees_the_place_of_a_pending_one_and_keeps_that_of_a_connection() {
    let options = |builder: Builder<_>| builder.max_connections(3).max_pending(1);
    let mut door = Door::open(options).await;
    let mut inside: Vec<(Peer, MemoryStream)> = Vec::new();
    for _ in 0..3 {
        let mut stream = door.pending("10.0.0.1").await;
        let expected = match inside.len() {
            2 => Limit::Connections(3),
            _ => Limit::Pending(1),
        };
        assert_eq!(door.refused("10.0.0.2").await, Refusal::Limit(expected));
        inside.push((door.shake(&mut stream).await, stream));
    }
    door.assert_full().await;
    drop(inside);
    door.shut().await;
}

impl Door {
    async fn assert_full(&mut self) {
        let refusal = self.refused("10.0.0.9").await;
        assert_eq!(refusal, Refusal::Limit(Limit::Connections(3)));
    }
}

/// The books of a node whose streams are brought, where a caller can go away at any time.
#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_at_any_time_leaves_no_permit_behind() {
    let (node, _inbound) = common::start_lines(room_for_one(in_memory())).await;
    for times in 0..MANY_POLLS {
        let (ours, _theirs) = duplex(64);
        let adopted = polled(times, node.adopt(ours, somebody(), Side::Dialer)).await;
        if let Some(adopted) = adopted {
            assert!(node.abort(adopted.unwrap()));
            break;
        }
    }
    eventually(&node, || node.peers().is_empty()).await;
    let (ours, theirs) = duplex(64);
    adopt(&node, ours).await;
    drop(theirs);
    common::shut_down(&node).await;
}

/// On several threads a reader of events is quick to come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_room_by_the_time_that_the_program_is_told() {
    let builder = room_for_one(Node::builder());
    let (node, inbound) = within(builder.start::<_, String>(Knocking)).await.unwrap();
    let mut events = Recorded::new(inbound);
    let addr = within(node.listen("127.0.0.1:0")).await.unwrap();
    let mut incomings = within(node.listen_incoming("127.0.0.1:0")).await.unwrap();
    for _ in 0..200 {
        let mut stream = within(TcpStream::connect(addr)).await.unwrap();
        stream.write_u8(GO).await.unwrap();
        expect_next_event!(events, Event::HandshakeFailed(..));

        let asking = within(TcpStream::connect(incomings.local_addr())).await;
        within(incomings.recv()).await.unwrap().refuse();
        expect_next_event!(events, Event::Refused(_, Refusal::Declined));
        drop((stream, asking));
    }
    common::shut_down(&node).await;
}
