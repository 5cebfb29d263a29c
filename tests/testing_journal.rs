//! What a node remembers of its connections for those who assert something about it, and whom it wakes.

mod common;

use std::{
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
    time::Duration,
};

use common::{adopting, in_memory, join, start_lines, within};
use futures::{FutureExt, future};
use tokio::{
    io::{DuplexStream, duplex},
    task::yield_now,
    time::{Instant, advance},
};
use tokio_util::codec::{Framed, LinesCodec};
use wattle::{
    BoxError, Node, Peer, Protocol, Side,
    testing::{Leaks, Observe, eventually},
};

/// How many entries a report of a node has at most, and how many characters each.
const KEPT: usize = 32;
const MOST_CHARS: usize = 300;

/// The entries in a report of a node; each begins with its time.
fn entries(node: &Node<String>) -> Vec<String> {
    let report = node.report();
    let entries = report
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('+'));
    entries.map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn a_report_has_the_last_entries_in_their_order_and_no_others() {
    let (node, _inbound) = start_lines(in_memory()).await;
    let mut expected = Vec::new();
    for _ in 0..KEPT {
        let (peer, theirs) = join(&node, 64).await;
        expected.push(format!("connected {peer:?}"));
        drop(theirs);
        within(node.disconnect(peer)).await;
        expected.push(format!("disconnected {peer:?}: "));
    }
    let entries = entries(&node);
    assert_eq!(entries.len(), KEPT);
    for (entry, expected) in entries.iter().zip(&expected[KEPT..]) {
        assert!(entry.contains(expected), "{entry} instead of {expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_says_when_it_was_counted_from_the_start_of_the_node() {
    advance(Duration::from_secs(100)).await;
    let (node, _inbound) = start_lines(in_memory()).await;
    let (peer, theirs) = join(&node, 64).await;
    advance(Duration::from_millis(2_500)).await;
    drop(theirs);
    within(node.disconnect(peer)).await;
    let entries = entries(&node);
    assert_eq!(entries[0], format!("+0.000000 s  connected {peer:?}"));
    let ended = format!("+2.500000 s  disconnected {peer:?}: disconnected (by us)");
    assert_eq!(entries[1], ended);
}

/// A handshake that fails with a text of some length.
struct Failing(usize);

impl Protocol<DuplexStream> for Failing {
    type Io = DuplexStream;
    type Codec = LinesCodec;

    async fn handshake(
        &self,
        _: DuplexStream,
        _: Peer,
    ) -> Result<Framed<DuplexStream, LinesCodec>, BoxError> {
        Err("é".repeat(self.0).into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_handshake_is_an_entry_and_cut_where_its_error_is_long() {
    for (length, cut) in [(10, false), (10_000, true)] {
        let (node, _inbound) = within(adopting().start(Failing(length))).await.unwrap();
        let (ours, _theirs) = duplex(64);
        let addr = ([10, 0, 0, 1], 7).into();
        within(node.adopt(ours, addr, Side::Listener))
            .await
            .unwrap_err();
        let entries = entries(&node);
        let [entry] = &entries[..] else {
            panic!("{entries:?}");
        };
        let (_time, text) = entry.split_once("s  ").unwrap();
        assert!(text.starts_with("handshake with "), "{text}");
        assert!(text.contains("éééééééééé"), "{text}");
        assert_eq!(text.ends_with('…'), cut, "{text}");
        assert_eq!(text.chars().count() == MOST_CHARS + 1, cut, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_are_woken_and_none_has_to_look_by_itself() {
    let (node, _inbound) = start_lines(in_memory()).await;
    let started = Instant::now();
    // Tasks of their own: in one, whoever is woken would wake the others.
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move { eventually(&node, || node.stats().connected == 1).await })
        })
        .collect();
    yield_now().await;
    let (_peer, _theirs) = join(&node, 64).await;
    for waiting in waiting {
        waiting.await.unwrap();
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_change_between_the_look_and_the_wait_is_not_missed() {
    let (node, _inbound) = start_lines(in_memory()).await;
    let (started, mut theirs) = (Instant::now(), None);
    // While it is looked at, and behind the look, as on another thread.
    let condition = || {
        let there = !node.peers().is_empty();
        theirs.get_or_insert_with(|| join(&node, 64).now_or_never().expect("at once"));
        there
    };
    eventually(&node, condition).await;
    assert_eq!(started.elapsed(), Duration::ZERO);
}

/// Sees the node at the moment at which it wakes.
struct Looker {
    node: Node<String>,
    seen: Mutex<Vec<(u64, u64, usize)>>,
}

impl Wake for Looker {
    fn wake(self: Arc<Self>) {
        let stats = self.node.stats();
        let seen = (
            stats.connected,
            stats.disconnected,
            entries(&self.node).len(),
        );
        self.seen.lock().unwrap().push(seen);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_woken_finds_the_change_and_its_entry() {
    let (node, _inbound) = start_lines(in_memory()).await;
    let looker = Arc::new(Looker {
        node: node.clone(),
        seen: Mutex::default(),
    });
    let waker = Waker::from(looker.clone());
    let seen = || std::mem::take(&mut *looker.seen.lock().unwrap());
    let mut waiting = eventually(&node, || false).into_future();
    assert!(
        waiting
            .poll_unpin(&mut Context::from_waker(&waker))
            .is_pending()
    );

    let (peer, theirs) = join(&node, 64).await;
    drop(theirs);
    assert_eq!(seen(), [(1, 0, 1)]);
    assert!(
        waiting
            .poll_unpin(&mut Context::from_waker(&waker))
            .is_pending()
    );
    within(node.disconnect(peer)).await;
    assert_eq!(seen(), [(1, 1, 2)]);
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn every_node_that_is_followed_is_named_with_what_it_has_seen_and_no_other() {
    let mut leaks = Leaks::watch();
    let (gone, inbound) = start_lines(in_memory().name("gone")).await;
    let (first, second) = (in_memory().name("first"), in_memory().name("second"));
    let ((first, _one), (second, _two)) = (start_lines(first).await, start_lines(second).await);
    let (other, _three) = start_lines(in_memory().name("other")).await;
    leaks.follow([&gone, &first]);
    leaks.follow([&second]);
    let (peer, theirs) = join(&second, 64).await;
    drop((gone, inbound, theirs));
    let failed = leaks.assert_none().checked().await.unwrap_err();
    let text = failed.to_string();
    assert!(text.contains("first: not dropped"), "{text}");
    assert!(text.contains("second: not dropped"), "{text}");
    assert!(text.contains(&format!("s  connected {peer:?}")), "{text}");
    assert!(
        !text.contains("gone:") && !text.contains("other:"),
        "{text}"
    );
    drop((first, _one, second, _two, other, _three));
    leaks.assert_none().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ended_and_one_that_was_there_before_are_no_leaks() {
    let before = tokio::spawn(future::pending::<()>());
    let leaks = Leaks::watch();
    tokio::spawn(future::ready(())).await.unwrap();
    let started = Instant::now();
    leaks.assert_none().await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    let left = tokio::spawn(future::pending::<()>());
    let failed = leaks.assert_none().checked().await.unwrap_err();
    assert!(
        failed.to_string().contains("1 tasks (2, 1 before)"),
        "{failed}"
    );
    left.abort();
    before.abort();
    leaks.assert_none().await;
}
