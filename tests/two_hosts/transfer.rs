//! A transfer from Alice to Bob, and the books of both.

use std::net::SocketAddr;

use tokio::{
    sync::watch,
    task::{JoinHandle, coop::consume_budget},
};
use tokio_util::sync::CancellationToken;
use wattle::{Builder, Disconnect, Event, Events, Node, Peer};

use super::{
    common::{
        lines,
        pairs::{End, connected, start},
    },
    hosts::{BOB, Host, Hosts},
};

pub(crate) type LineEnd = End<String, String>;

/// One acknowledgement for so many lines.
const ACK_EVERY: u64 = 100;

/// A node of Bob's that listens.
pub(crate) async fn serve(host: &Host, builder: Builder) -> (Node<String>, Events<String>) {
    let node = start(builder.listen(SocketAddr::from((BOB, 0))), lines);
    host.run(node).await
}

/// Connects from a host.
pub(crate) async fn dial(
    host: &Host,
    node: &Node<String>,
    addr: SocketAddr,
) -> Result<Peer, wattle::ConnectError> {
    let node = node.clone();
    host.run(async move { node.connect(addr).await }).await
}

/// Alice dials Bob.
pub(crate) async fn connect(hosts: &Hosts, alice: Builder, bob: Builder) -> (LineEnd, LineEnd) {
    let (bob, bobs_events) = serve(&hosts.bob, bob).await;
    let (alice, alices_events) = hosts.alice.run(start(alice, lines)).await;
    join((alice, alices_events), (bob, bobs_events), hosts).await
}

/// The same for nodes that are there.
pub(crate) async fn join(
    (alice, mut alices_events): (Node<String>, Events<String>),
    (bob, mut bobs_events): (Node<String>, Events<String>),
    hosts: &Hosts,
) -> (LineEnd, LineEnd) {
    let addr = bob.local_addr().expect("he listens");
    let peer = dial(&hosts.alice, &alice, addr)
        .await
        .expect("a connection");
    assert_eq!(connected(&mut alices_events).await, peer);
    let at_bobs = connected(&mut bobs_events).await;
    let alice = LineEnd {
        node: alice,
        events: alices_events,
        peer,
    };
    let bob = LineEnd {
        node: bob,
        events: bobs_events,
        peer: at_bobs,
    };
    (alice, bob)
}

/// Lines from Alice to Bob, numbered, as many as she can send until she is told to stop. Bob's
/// program acknowledges what has reached it.
pub(crate) struct Transfer {
    stop: CancellationToken,
    sending: JoinHandle<u64>,
    lines: Reading,
    acks: Reading,
}

/// What was sent, and what became of it.
#[derive(Debug)]
pub(crate) struct Books {
    /// Lines that Alice's node accepted.
    pub(crate) accepted: u64,
    /// Lines that came to Bob's program, in order and without a gap.
    pub(crate) came: u64,
    /// Lines that Alice's program knows to have come.
    pub(crate) acknowledged: u64,
    pub(crate) alice: Disconnect,
    pub(crate) bob: Disconnect,
}

/// A program that reads one connection until its end.
struct Reading {
    came: watch::Receiver<u64>,
    task: JoinHandle<(Events<String>, Disconnect)>,
}

fn line(number: u64) -> String {
    format!("{number:>1000}")
}

fn ack(number: u64) -> String {
    ((number + 1) * ACK_EVERY).to_string()
}

impl Transfer {
    pub(crate) fn begin(alice: LineEnd, bob: LineEnd) -> Self {
        let stop = CancellationToken::new();
        let sending = send_lines(alice.node.clone(), alice.peer, stop.clone());
        Self {
            sending: tokio::spawn(sending),
            acks: Reading::begin(alice, ack, |_, _| {}),
            lines: Reading::begin(bob, line, |bob, came| {
                if came % ACK_EVERY == 0 {
                    // The connection may have ended.
                    let _ = bob.node.try_send_to(came.to_string(), bob.peer);
                }
            }),
            stop,
        }
    }

    /// Waits until so many more lines have come.
    pub(crate) async fn progress(&mut self, lines: u64) {
        let goal = *self.lines.came.borrow() + lines;
        let came = self.lines.came.wait_for(|came| *came >= goal);
        drop(came.await.expect("the connection should not have ended"));
    }

    /// How many lines have come.
    pub(crate) fn came(&self) -> u64 {
        *self.lines.came.borrow()
    }

    /// Tells Alice to stop, and waits for all that she has sent.
    pub(crate) async fn complete(&mut self) {
        self.stop.cancel();
        let accepted = (&mut self.sending).await.expect("she should not panic");
        // To be asked for again at the end.
        self.sending = tokio::spawn(async move { accepted });
        let came = self.lines.came.wait_for(|came| *came == accepted);
        drop(came.await.expect("the connection should not have ended"));
        let all = accepted / ACK_EVERY;
        let acks = self.acks.came.wait_for(|acks| *acks == all);
        drop(acks.await.expect("the connection should not have ended"));
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lines.task.is_finished() || self.acks.task.is_finished()
    }

    /// Waits for the end of both ends, and checks what is true whatever has happened.
    pub(crate) async fn ended(self, alice: &Node<String>) -> (Books, [Events<String>; 2]) {
        let (alices_events, alices) = self.acks.task.await.expect("order at Alice's");
        let (bobs_events, bobs) = self.lines.task.await.expect("order at Bob's");
        let books = Books {
            accepted: self.sending.await.expect("she should not panic"),
            came: *self.lines.came.borrow(),
            acknowledged: *self.acks.came.borrow() * ACK_EVERY,
            alice: alices,
            bob: bobs,
        };
        books.check(alice.stats().messages_out);
        (books, [alices_events, bobs_events])
    }
}

impl Books {
    /// All that was accepted was written or is told to be lost, and nothing is lost that was
    /// acknowledged.
    fn check(&self, written: u64) {
        let undelivered = self.alice.undelivered;
        assert_eq!(self.accepted, written + undelivered, "{self:?}");
        assert!(self.came <= self.accepted, "{self:?}");
        assert!(self.acknowledged <= self.came, "{self:?}");
    }
}

async fn send_lines(node: Node<String>, peer: Peer, stop: CancellationToken) -> u64 {
    let mut sent = 0;
    while !stop.is_cancelled() && node.send_to(line(sent), peer).await.is_ok() {
        sent += 1;
        consume_budget().await;
    }
    sent
}

impl Reading {
    fn begin(
        mut end: LineEnd,
        expected: impl Fn(u64) -> String + Send + 'static,
        mut taken: impl FnMut(&LineEnd, u64) + Send + 'static,
    ) -> Self {
        let (progress, came) = watch::channel(0);
        let task = tokio::spawn(async move {
            loop {
                let number = *progress.borrow();
                match end.events.recv().await.expect("the node is there") {
                    Event::Message(message, _) => {
                        assert_eq!(message, expected(number));
                        progress.send_replace(number + 1);
                        taken(&end, number + 1);
                    }
                    Event::Disconnected(_, why) => return (end.events, why),
                    other => panic!("nobody expected {other:?}"),
                }
            }
        });
        Self { came, task }
    }
}
