//! pea2pea, whose queues have as many messages as wattle's.

use std::{
    io, mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use pea2pea::{
    Config, ConnectionSide, Node, Pea2Pea,
    protocols::{Reading, Writing},
};
use tokio::{
    sync::{Barrier, Notify, mpsc},
    task::{JoinHandle, JoinSet, yield_now},
    time::sleep,
};
use tokio_util::codec::LengthDelimitedCodec;

use super::{
    flow::{self, Flow},
    spread::{self, End, Receiver, Senders},
    visits::{Gone, Heard, Remotes, Visits},
};

/// More than any benchmark has.
const CONNECTIONS: u16 = 10_000;

#[derive(Clone)]
struct Pea {
    node: Node,
    task: Arc<Task>,
}

/// What a node does with what it receives.
enum Task {
    Count {
        received: AtomicUsize,
        expected: usize,
        done: Notify,
    },
    /// Sends pings back, and leaves everything else.
    Answer,
    PassOn(SocketAddr),
    /// Tells the program. One message is under way at a time.
    Tell(mpsc::UnboundedSender<()>),
    /// Notes how old the stamped ones are.
    Date(Mutex<Vec<Duration>>),
    Hear(Heard),
}

impl Task {
    fn count(expected: usize) -> Self {
        Self::Count {
            received: AtomicUsize::new(0),
            expected,
            done: Notify::new(),
        }
    }

    fn tell() -> (Self, mpsc::UnboundedReceiver<()>) {
        let (tell, told) = mpsc::unbounded_channel();
        (Self::Tell(tell), told)
    }
}

impl Pea {
    /// A node that both reads and writes, and listens.
    async fn start(task: Task) -> (Self, SocketAddr) {
        let config = Config {
            listener_addr: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            max_connections: CONNECTIONS,
            max_connections_per_ip: CONNECTIONS,
            ..Config::default()
        };
        let pea = Self {
            node: Node::new(config),
            task: Arc::new(task),
        };
        pea.enable_reading().await;
        pea.enable_writing().await;
        pea.node.toggle_listener().await.expect("a free port");
        let addr = pea.node.listening_addr().await.expect("it listens");
        (pea, addr)
    }

    /// One that only sends; what comes is counted and otherwise ignored.
    async fn sender() -> Self {
        Self::start(Task::count(usize::MAX)).await.0
    }

    async fn connect(&self, addr: SocketAddr) {
        self.node.connect(addr).await.expect("it listens");
    }

    async fn feed(&self, addr: SocketAddr, flow: Flow) {
        let payload = flow.payload();
        for _ in 0..flow.messages {
            until_taken(|| self.unicast_fast(addr, payload.clone())).await;
        }
    }

    async fn send_bursts(&self, addr: SocketAddr, messages: usize) {
        let payload = Bytes::from_static(&[0x5a; spread::SIZE]);
        for _ in 0..messages / spread::BURST {
            for _ in 0..spread::BURST {
                until_taken(|| self.unicast_fast(addr, payload.clone())).await;
            }
            yield_now().await;
        }
    }

    fn ping(&self, addr: SocketAddr) {
        let sent = self.unicast_fast(addr, Bytes::from_static(&flow::PING));
        sent.expect("there is room");
    }

    /// Until it has counted all.
    async fn has_all(&self) {
        if let Task::Count { done, .. } = &*self.task {
            done.notified().await;
        }
    }
}

/// It has no send that waits for room: a full queue is an error. One that stays full isn't asked all the
/// time.
pub(crate) async fn until_taken(send: impl Fn() -> io::Result<()>) {
    for _ in 0..YIELDS {
        if send().is_ok() {
            return;
        }
        yield_now().await;
    }
    while send().is_err() {
        sleep(LOOK_EVERY).await;
    }
}

/// How often a full queue is asked at once.
const YIELDS: usize = 1000;

impl Pea2Pea for Pea {
    fn node(&self) -> &Node {
        &self.node
    }
}

impl Reading for Pea {
    const MESSAGE_QUEUE_DEPTH: usize = 1024;
    type Message = BytesMut;
    type Codec = LengthDelimitedCodec;

    fn codec(&self, _addr: SocketAddr, _side: ConnectionSide) -> Self::Codec {
        LengthDelimitedCodec::new()
    }

    async fn process_message(&self, source: SocketAddr, message: BytesMut) {
        match &*self.task {
            Task::Count {
                received,
                expected,
                done,
            } => {
                if received.fetch_add(1, Ordering::Relaxed) + 1 == *expected {
                    done.notify_one();
                }
            }
            Task::Answer if message.len() == flow::PING.len() => {
                self.unicast_fast(source, message.freeze())
                    .expect("there is room");
            }
            Task::Answer => {}
            Task::PassOn(next) => {
                self.unicast_fast(*next, message.freeze())
                    .expect("there is room");
            }
            Task::Date(ages) => ages.lock().expect("no panic").extend(flow::age(&message)),
            Task::Hear(heard) => heard.note(&message),
            Task::Tell(tell) => tell.send(()).expect("somebody waits"),
        }
    }
}

impl Writing for Pea {
    const MESSAGE_QUEUE_DEPTH: usize = 1024;
    type Message = Bytes;
    type Codec = LengthDelimitedCodec;

    fn codec(&self, _addr: SocketAddr, _side: ConnectionSide) -> Self::Codec {
        LengthDelimitedCodec::new()
    }
}

/// How often it is looked whether a node has connections; nothing tells.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A node per sender; one receives.
pub(crate) async fn many_to_one(flow: Flow) -> Duration {
    let (receiver, addr) = Pea::start(Task::count(flow.total())).await;
    let start_all = Arc::new(Barrier::new(flow.connections + 1));
    let mut senders = JoinSet::new();
    for _ in 0..flow.connections {
        let sender = Pea::sender().await;
        sender.connect(addr).await;
        let start_all = start_all.clone();
        senders.spawn(async move {
            start_all.wait().await;
            sender.feed(addr, flow).await;
            sender
        });
    }
    start_all.wait().await;
    let began = Instant::now();
    receiver.has_all().await;
    let took = began.elapsed();
    for sender in senders.join_all().await {
        sender.node.shut_down().await;
    }
    receiver.node.shut_down().await;
    took
}

/// One node sends, with a task per receiver; the receivers have nodes of their own.
pub(crate) async fn one_to_many(flow: Flow) -> Duration {
    let (sender, receivers) = connected(flow).await;
    let start_all = Arc::new(Barrier::new(flow.connections + 1));
    let mut feeding = JoinSet::new();
    for (_, addr) in &receivers {
        let (sender, addr, start_all) = (sender.clone(), *addr, start_all.clone());
        feeding.spawn(async move {
            start_all.wait().await;
            sender.feed(addr, flow).await;
        });
    }
    start_all.wait().await;
    let began = Instant::now();
    have_all(&receivers).await;
    let took = began.elapsed();
    feeding.join_all().await;
    shut_down(sender, receivers).await;
    took
}

/// One node tells all, one by one: its own `broadcast` loses what has no room and doesn't say for whom.
pub(crate) async fn broadcast(flow: Flow) -> Duration {
    let (sender, receivers) = connected(flow).await;
    let payload = flow.payload();
    let began = Instant::now();
    for _ in 0..flow.messages {
        for (_, addr) in &receivers {
            until_taken(|| sender.unicast_fast(*addr, payload.clone())).await;
        }
    }
    have_all(&receivers).await;
    let took = began.elapsed();
    shut_down(sender, receivers).await;
    took
}

async fn connected(flow: Flow) -> (Pea, Vec<(Pea, SocketAddr)>) {
    let (sender, mut receivers) = (Pea::sender().await, Vec::new());
    for _ in 0..flow.connections {
        let (receiver, addr) = Pea::start(Task::count(flow.messages)).await;
        sender.connect(addr).await;
        receivers.push((receiver, addr));
    }
    (sender, receivers)
}

async fn have_all(receivers: &[(Pea, SocketAddr)]) {
    for (receiver, _) in receivers {
        receiver.has_all().await;
    }
}

async fn shut_down(sender: Pea, receivers: Vec<(Pea, SocketAddr)>) {
    sender.node.shut_down().await;
    for (receiver, _) in receivers {
        receiver.node.shut_down().await;
    }
}

/// How long each of so many messages took to a node and back; beside a bulk transfer to it, if told so.
pub(crate) async fn ping(pings: usize, busy: bool) -> Vec<Duration> {
    let (server, addr) = Pea::start(Task::Answer).await;
    let bulk = Pea::sender().await;
    let mut tasks = JoinSet::new();
    if busy {
        bulk.connect(addr).await;
        let bulk = bulk.clone();
        tasks.spawn(async move {
            loop {
                until_taken(|| bulk.unicast_fast(addr, Bytes::from_static(&flow::BULK))).await;
            }
        });
    }
    let (answered, mut answers) = Task::tell();
    let (client, _) = Pea::start(answered).await;
    client.connect(addr).await;
    let mut took = Vec::new();
    for _ in 0..pings {
        let began = Instant::now();
        client.ping(addr);
        answers.recv().await.expect("an answer");
        took.push(began.elapsed());
    }
    drop(tasks);
    for pea in [client, bulk, server] {
        pea.node.shut_down().await;
    }
    took
}

/// How long each of so many messages took along so many hops.
pub(crate) async fn chain(hops: usize, passes: usize) -> Vec<Duration> {
    let (arrived, mut arrivals) = Task::tell();
    let (last, mut next) = Pea::start(arrived).await;
    let mut peas = vec![last];
    for _ in 1..hops {
        let (pea, addr) = Pea::start(Task::PassOn(next)).await;
        pea.connect(next).await;
        next = addr;
        peas.push(pea);
    }
    let first = Pea::sender().await;
    first.connect(next).await;
    let mut took = Vec::new();
    for _ in 0..passes {
        let began = Instant::now();
        first.ping(next);
        arrivals.recv().await.expect("it comes");
        took.push(began.elapsed());
    }
    peas.push(first);
    for pea in peas {
        pea.node.shut_down().await;
    }
    took
}

/// Who receives stamped messages: where, and how old they were.
pub(crate) async fn ages() -> (SocketAddr, JoinHandle<Vec<Duration>>) {
    let (pea, addr) = Pea::start(Task::Date(Mutex::default())).await;
    let receiving = tokio::spawn(async move {
        while pea.node.num_connected() == 0 {
            yield_now().await;
        }
        while pea.node.num_connected() > 0 {
            sleep(LOOK_EVERY).await;
        }
        pea.node.shut_down().await;
        match &*pea.task {
            Task::Date(ages) => mem::take(&mut *ages.lock().expect("no panic")),
            _ => Vec::new(),
        }
    });
    (addr, receiving)
}

/// Receives so many messages over so many connections.
pub(crate) async fn receive(_connections: usize, messages: usize) -> Receiver {
    let (pea, addr) = Pea::start(Task::count(messages)).await;
    let receiving = tokio::spawn(async move {
        pea.has_all().await;
        End::new(async move { pea.node.shut_down().await })
    });
    (addr, receiving)
}

/// Sends so many messages, a part of them to each of these addresses.
pub(crate) async fn send(addrs: Vec<SocketAddr>, messages: usize) -> Senders {
    let pea = Pea::sender().await;
    let ending = pea.node.clone();
    let mut senders = Senders::new(addrs.len(), async move { ending.shut_down().await });
    for &addr in &addrs {
        pea.connect(addr).await;
        let (pea, messages) = (pea.clone(), messages / addrs.len());
        senders.add(async move { pea.send_bursts(addr, messages).await });
    }
    senders
}

/// Clients that connect, say one thing, and leave when it was heard.
pub(crate) async fn visit(visits: Visits) -> Duration {
    let heard = Heard::of(visits.clients);
    let (server, addr) = Pea::start(Task::Hear(heard.clone())).await;
    let mut clients = Vec::new();
    for client in 0..visits.clients {
        let (pea, heard) = (Pea::sender().await, heard.clone());
        clients.push(async move {
            for _ in 0..visits.each {
                pea.connect(addr).await;
                pea.unicast_fast(addr, Heard::message(client))
                    .expect("there is room");
                heard.has(client).await;
                pea.node.disconnect(addr).await;
            }
            pea
        });
    }
    let (took, clients) = Visits::time(clients).await;
    for pea in clients {
        pea.node.shut_down().await;
    }
    server.node.shut_down().await;
    took
}

/// So many nodes, one after the other.
pub(crate) async fn start_many(nodes: usize) -> Duration {
    let (mut peas, began) = (Vec::new(), Instant::now());
    for _ in 0..nodes {
        peas.push(Pea::start(Task::Answer).await.0);
    }
    let took = began.elapsed();
    for pea in peas {
        pea.node.shut_down().await;
    }
    took
}

/// The shutdown of so many nodes with so many connections each, one node after the other.
pub(crate) async fn shutdown(nodes: usize, connections: usize, gone: Gone) -> Duration {
    let remotes = Remotes::new(connections).await;
    let mut took = Duration::ZERO;
    for _ in 0..nodes {
        let pea = Pea::sender().await;
        for addr in &remotes.addrs {
            pea.connect(*addr).await;
        }
        took += remotes.time(pea.node.shut_down(), gone).await;
    }
    took
}
