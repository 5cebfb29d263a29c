//! Assertions that wait, and what they say when they fail.

mod common;

use std::{
    cell::Cell,
    future::pending,
    panic::{self, AssertUnwindSafe, Location},
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{in_memory, join, lines, start_lines, within};
use futures::future::FutureExt;
use tokio::{io::AsyncWriteExt, net::TcpListener, task::yield_now, time::Instant};
use wattle::{
    Event, Inbound, Node, Reason,
    testing::{
        Check, Leaks, Memory, Network, PATIENCE, Recorded, Topology, assert_connected,
        assert_disconnected, assert_no_leaks, connected, disconnected, eventually, expect_event,
        expect_next_event, network,
    },
};

type Lines = Network<String, String>;

/// Too short for anything to happen, where nothing shall.
const SHORT: Duration = Duration::from_millis(20);

async fn start(nodes: usize, topology: Topology) -> Lines {
    within(network(nodes, topology, lines)).await.unwrap()
}

async fn listening(name: &str) -> (Node<String>, Inbound<String>) {
    common::listening(Node::builder().name(name)).await
}

thread_local! {
    static LAST_PANIC: Cell<Option<(String, u32)>> = const { Cell::new(None) };
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// The line of the last panic of this thread, if it was in this file.
fn line_of_last_panic() -> Option<u32> {
    let (file, line) = LAST_PANIC.take()?;
    (file == file!()).then_some(line)
}

fn watch_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(|at| (at.file().to_owned(), at.line()));
            LAST_PANIC.set(place);
            if !EXPECTED.get() {
                usual(info);
            }
        }));
    });
}

/// What an assertion panics with.
async fn panics<T>(assertion: impl Future<Output = T>) -> String {
    watch_panics();
    EXPECTED.set(true);
    let ended = AssertUnwindSafe(assertion).catch_unwind().await;
    EXPECTED.set(false);
    let Err(payload) = ended else {
        panic!("the assertion should fail");
    };
    *payload.downcast().expect("a text")
}

/// What a check says that fails soon.
#[track_caller]
fn failure<T>(check: Check<'_, T>) -> impl Future<Output = String> {
    let place = Location::caller();
    async move {
        match check.within(SHORT).checked().await {
            Ok(_) => panic!("the check at {place} should fail"),
            Err(failed) => failed.to_string(),
        }
    }
}

#[track_caller]
fn assert_says(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in {text}");
}

#[tokio::test]
async fn nodes_that_are_connected_pass_and_those_that_are_not_fail_with_what_happened() {
    let (alice, _letters) = listening("alice").await;
    let (bob, _post) = listening("bob").await;
    assert_disconnected!(alice, bob);
    let peer = within(alice.connect(bob.local_addr().unwrap()))
        .await
        .unwrap();
    assert_connected!(alice, bob);
    assert_connected!(bob, alice);
    let text = failure(disconnected(&alice, &bob)).await;
    assert_says(&text, "still connected after 20ms");
    assert_says(&text, &format!("connected {peer:?}"));
    assert_says(&text, "bob: 1 connections, listening on 127.0.0.1:");

    within(alice.disconnect(peer)).await.unwrap();
    assert_disconnected!(alice, bob);
    let text = failure(connected(&alice, &bob)).await;
    assert_says(&text, "not connected after 20ms");
    assert_says(
        &text,
        &format!("disconnected {peer:?}: disconnected (by us)"),
    );
}

#[tokio::test]
async fn a_network_that_lost_an_edge_says_which_and_why() {
    let network = start(12, Topology::Line).await;
    assert_connected!(network);
    assert_connected!(network, 3, 4);
    let peer = network.peer(10, 9).unwrap();
    network.nodes[10].abort(peer);
    eventually(&network, || !network.is_connected(9, 10)).await;
    let text = failure(network.whole()).await;
    assert_says(&text, "not connected after 20ms: [(10, 9)]");
    assert_says(&text, "node-10: 1 connections");
    assert_says(&text, ": aborted (by us)");
    assert_says(&text, "and 4 nodes more");
    let text = failure(network.connected(9, 10)).await;
    assert_says(&text, "node 9 and node 10 not connected");
}

#[tokio::test]
async fn refused_connections_and_failed_handshakes_are_in_the_report() {
    let closed = Node::builder().name("closed").filter(|_| false);
    let (closed, _inbound) = common::listening(closed).await;
    let (guest, _letters) = listening("guest").await;
    let _ = within(guest.connect(closed.local_addr().unwrap())).await;
    eventually(&closed, || closed.stats().refused.filtered == 1).await;
    let text = failure(eventually(&closed, || false)).await;
    assert_says(&text, "refused 127.0.0.1:");
}

/// The clock of a runtime under paused time moves only when nothing else can: had the assertion looked
/// now and then instead of being woken, it would have moved.
#[tokio::test(start_paused = true)]
async fn a_connection_wakes_the_assertion_without_any_time_passing() {
    let (node, _inbound) = start_lines(in_memory()).await;
    let started = Instant::now();
    let connecting = async {
        for _ in 0..20 {
            yield_now().await;
        }
        join(&node, 1024).await
    };
    let connected = async {
        eventually(&node, || !node.peers().is_empty()).await;
    };
    let ((_peer, theirs), ()) = tokio::join!(connecting, connected);
    assert_eq!(started.elapsed(), Duration::ZERO);

    let ended = eventually(&node, || node.peers().is_empty());
    drop(theirs);
    ended.await;
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_has_no_event_is_looked_at_now_and_then() {
    let (node, _inbound) = start_lines(in_memory()).await;
    let count = AtomicUsize::new(0);
    let counting = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        count.store(3, Ordering::Relaxed);
    };
    let counted = async { eventually(&node, || count.load(Ordering::Relaxed) == 3).await };
    tokio::join!(counting, counted);
}

#[tokio::test(start_paused = true)]
async fn an_assertion_waits_for_its_patience_and_no_longer() {
    let (node, _inbound) = start_lines(in_memory().name("idle")).await;
    let started = Instant::now();
    let text = panics(async { eventually(&node, || false).await }).await;
    assert_eq!(started.elapsed(), PATIENCE);
    assert_says(&text, "did not hold within 10s");
    assert_says(&text, "idle: 0 connections\n    nothing has happened to it");

    let hour = Duration::from_secs(3600);
    let started = Instant::now();
    let late = || started.elapsed() >= hour;
    eventually(&node, late).within(hour).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_panics_at_the_line_that_awaits_it() {
    let (node, inbound) = start_lines(in_memory()).await;
    let (line, here) = (Cell::new(0), |line: u32| line);
    let text = panics(async {
        line.set(here(line!()) + 1);
        eventually(&node, || false).await;
    })
    .await;
    assert_eq!(line_of_last_panic(), Some(line.get()));
    let place = format!("(asserted at {}:{}:", file!(), line.get());
    assert_says(&text, &place);

    let mut events = Recorded::new(inbound);
    panics(async {
        line.set(here(line!()) + 1);
        expect_event!(events, Event::Message(..));
    })
    .await;
    assert_eq!(line_of_last_panic(), Some(line.get()));

    panics(async {
        line.set(here(line!()) + 1);
        assert_connected!(node, node);
    })
    .await;
    assert_eq!(line_of_last_panic(), Some(line.get()));
}

#[tokio::test(start_paused = true)]
async fn an_expected_event_is_found_behind_others_and_gives_what_its_pattern_binds() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = Recorded::new(inbound);
    let (peer, mut theirs) = join(&node, 1024).await;
    theirs.write_all(b"one\ntwo\nthree\nfour\n").await.unwrap();

    expect_next_event!(events, Event::Connected(who) if *who == peer);
    let two = expect_event!(events, Event::Message(text, _) if text == "two" => text);
    assert_eq!(two, "two");
    assert_eq!(events.expect_message().await, ("three".to_owned(), peer));
    let four = events.expect_event(|event| matches!(event, Event::Message(..)));
    assert!(matches!(four.await, Event::Message(text, _) if text == "four"));

    drop(theirs);
    let why = events.expect_disconnected(peer).await;
    assert!(matches!(why.reason, Reason::EndOfStream), "{why}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_does_not_come_fails_with_the_last_that_came() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = Recorded::new(inbound);
    let (peer, mut theirs) = join(&node, 1024).await;
    theirs.write_all(b"hello\n").await.unwrap();
    let text = panics(async { expect_event!(events, Event::Refused(..)) }).await;
    assert_says(
        &text,
        "expected Event::Refused(..): it did not come within 10s",
    );
    assert_says(&text, "the last of 2 events:");
    assert_says(&text, &format!("s  Connected({peer:?})"));
    assert_says(&text, &format!("s  Message(\"hello\", {peer:?})"));
}

#[tokio::test(start_paused = true)]
async fn the_very_next_event_is_not_passed_over() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = Recorded::new(inbound);
    let (_peer, _theirs) = join(&node, 1024).await;
    let started = Instant::now();
    let text = panics(async { expect_next_event!(events, Event::Message(..)) }).await;
    assert_says(
        &text,
        "expected Event::Message(..): the next event is another",
    );
    assert_says(&text, "Connected(");
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_node_is_not_waited_out() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = Recorded::new(inbound);
    node.shutdown().await;
    let started = Instant::now();
    let text = panics(async { expect_event!(events, Event::Connected(_) => ()) }).await;
    assert_says(&text, "the node is shut down, and there are no more events");
    assert_says(&text, "no event has come");
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_record_is_bounded_in_events_and_in_what_each_says() {
    let (node, inbound) = start_lines(in_memory()).await;
    let mut events = Recorded::new(inbound);
    let (_peer, mut theirs) = join(&node, 1 << 20).await;
    for number in 0..100 {
        let line = format!("{number}:{}\n", "é".repeat(1000));
        theirs.write_all(line.as_bytes()).await.unwrap();
    }
    expect_event!(events, Event::Message(text, _) if text.starts_with("99:"));
    let history = events.history();
    let text: Vec<_> = history.lines().collect();
    assert_eq!(text[0], "the last of 101 events:");
    assert_eq!(text[1], "    (69 before these)");
    assert_eq!(text.len(), 2 + 32);
    let longest = text.iter().map(|line| line.chars().count()).max();
    assert!(longest < Some(350), "{longest:?}");
    assert!(
        text[33].contains("99:éé") && text[33].ends_with('…'),
        "{}",
        text[33]
    );
}

#[tokio::test]
async fn a_network_that_is_dropped_leaves_nothing_behind() {
    let mut leaks = Leaks::watch();
    let network = start(8, Topology::Mesh).await;
    leaks.follow(&network.nodes);
    failure(leaks.assert_none()).await;
    drop(network);
    leaks.assert_none().await;
}

#[tokio::test]
async fn a_task_that_was_left_is_counted() {
    let leaks = Leaks::watch();
    let task = tokio::spawn(pending::<()>());
    let text = failure(leaks.assert_none()).await;
    assert_says(&text, "1 tasks (1, 0 before)");
    task.abort();
    leaks.assert_none().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_socket_that_was_left_is_shown() {
    let leaks = Leaks::watch();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = failure(leaks.assert_none()).await;
    assert_says(&text, "1 descriptors (");
    assert_says(&text, "(socket:[");
    drop(socket);
    leaks.assert_none().await;
}

/// What is left of a node in another runtime is none of this runtime's business.
#[tokio::test]
async fn descriptors_and_tasks_of_tests_beside_it_make_no_difference() {
    let leaks = Leaks::watch();
    let elsewhere = std::thread::spawn(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let left = runtime.block_on(start(5, Topology::Ring));
        (runtime, left)
    });
    let (runtime, left) = tokio::task::spawn_blocking(|| elsewhere.join().unwrap())
        .await
        .unwrap();
    leaks.assert_none().await;
    drop(left);
    runtime.shutdown_background();
}

/// Neither a task nor a descriptor is left, but memory.
#[tokio::test(start_paused = true)]
async fn a_handle_that_was_left_is_named_with_its_node() {
    let mut leaks = Leaks::watch();
    let network = Memory::new();
    let builder = Node::builder().name("forgotten").transport(network);
    let (node, inbound) = start_lines(builder).await;
    leaks.follow([&node]);
    node.shutdown().await;
    drop(inbound);
    let text = leaks.assert_none().checked().await.unwrap_err().to_string();
    assert_says(&text, "forgotten: not dropped");
    assert!(
        !text.contains("tasks") && !text.contains("descriptors"),
        "{text}"
    );
    drop(node);
    leaks.assert_none().await;
}

#[tokio::test]
async fn a_test_in_one_piece_is_checked_for_what_it_leaves() {
    let edges = assert_no_leaks(async { start(4, Topology::Ring).await.edges().len() }).await;
    assert_eq!(edges, 4);
    let text = failure(assert_no_leaks(async { start(4, Topology::Ring).await })).await;
    assert_says(&text, "descriptors");
}
