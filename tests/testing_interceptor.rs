//! An interceptor does to messages what it is told, and to nothing else.

mod common;
#[path = "testing_interceptor/cutting.rs"]
mod cutting;

use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use common::{
    ending, finish_events, lines, next_event, quiet, read_text, shut_down, start_lines, within,
};
use futures::future::poll_fn;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec, LinesCodec, LinesCodecError};
use wattle::{
    Disconnect, Event, Events, Node, Peer, Reason, Side, Transport,
    testing::{Interceptor, Memory, MemoryStream, Passage, Verdict},
    transport::Acceptor,
};

type Lines = Interceptor<String, String>;

fn codec() -> LinesCodec {
    LinesCodec::new_with_max_length(20)
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn deliver(_: Passage, line: String) -> Verdict<String> {
    Verdict::Deliver(line)
}

/// A server, an interceptor before it, and a client that has dialled that.
struct Scene {
    network: Memory,
    interceptor: Lines,
    server: Node<String>,
    served: Events<String>,
    at_server: Peer,
    client: Node<String>,
    heard: Events<String>,
    at_client: Peer,
}

impl Scene {
    async fn new(
        judge: impl Fn(Passage, String) -> Verdict<String> + Send + Sync + 'static,
    ) -> Self {
        let network = Memory::new();
        let listening = Node::builder()
            .transport(network.clone())
            .allow_half_open(true)
            .listen(any_port());
        let (server, served) = start_lines(listening).await;
        let target = server.local_addr().unwrap();
        let started =
            Interceptor::start_over(network.clone(), any_port(), target, codec, judge).await;
        let interceptor = started.unwrap();
        let dialling = Node::builder().transport(network.clone());
        let (client, heard) = start_lines(dialling).await;
        let (mut served, mut heard) = (served.into_events(), heard.into_events());
        let at_client = within(client.connect(interceptor.addr())).await.unwrap();
        let at_server = connected(&mut served).await;
        assert_eq!(connected(&mut heard).await, at_client);
        Self {
            network,
            interceptor,
            server,
            served,
            at_server,
            client,
            heard,
            at_client,
        }
    }

    async fn say(&self, lines: &[&str]) {
        for line in lines {
            let line = (*line).to_owned();
            within(self.client.send_to(line, self.at_client))
                .await
                .unwrap();
        }
    }

    async fn answer(&self, lines: &[&str]) {
        for line in lines {
            let line = (*line).to_owned();
            within(self.server.send_to(line, self.at_server))
                .await
                .unwrap();
        }
    }

    async fn expect_served(&mut self, lines: &[&str]) {
        expect(&mut self.served, lines).await;
    }

    async fn expect_heard(&mut self, lines: &[&str]) {
        expect(&mut self.heard, lines).await;
    }

    /// How the link ended, for the client and for the server.
    async fn ends(&mut self) -> (Disconnect, Disconnect) {
        let at_client = ending(&mut self.heard, self.at_client).await;
        // It stays open until it's closed on this side.
        self.server.disconnect(self.at_server).await;
        (at_client, ending(&mut self.served, self.at_server).await)
    }

    async fn finish(self) {
        finish_events(&self.client, self.heard).await;
        finish_events(&self.server, self.served).await;
    }
}

async fn connected(events: &mut Events<String>) -> Peer {
    match next_event(events).await {
        Event::Connected(peer) => peer,
        event => panic!("unexpected {event:?}"),
    }
}

async fn expect(events: &mut Events<String>, lines: &[&str]) {
    for line in lines {
        match next_event(events).await {
            Event::Message(message, _) => assert_eq!(message, *line),
            event => panic!("{event:?} instead of {line}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_passes_both_ways_and_so_do_the_ends() {
    let mut scene = Scene::new(deliver).await;
    scene.say(&["a", "b"]).await;
    scene.expect_served(&["a", "b"]).await;
    scene.answer(&["c", "d"]).await;
    scene.expect_heard(&["c", "d"]).await;
    let disconnect = scene.client.disconnect(scene.at_client);
    let answer_to_the_end = async {
        let event = next_event(&mut scene.served).await;
        assert!(matches!(event, Event::ReadClosed(_)), "{event:?}");
        scene.server.disconnect(scene.at_server).await;
    };
    tokio::join!(disconnect, answer_to_the_end);
    assert!(scene.interceptor.failures().is_empty());
    scene.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_side_that_has_ended_still_gets_answers() {
    let scene = Scene::new(deliver).await;
    let mut raw = scene
        .network
        .connect(scene.interceptor.addr())
        .await
        .unwrap();
    raw.write_all(b"question\n").await.unwrap();
    raw.shutdown().await.unwrap();
    let mut served = scene.served;
    let peer = connected(&mut served).await;
    expect(&mut served, &["question"]).await;
    let event = next_event(&mut served).await;
    assert!(matches!(event, Event::ReadClosed(_)), "{event:?}");
    within(scene.server.send_to("answer".to_owned(), peer))
        .await
        .unwrap();
    scene.server.disconnect(peer).await;
    assert_eq!(read_text(&mut raw).await, "answer\n");
}

#[tokio::test(start_paused = true)]
async fn messages_are_dropped_replaced_and_repeated_by_side_and_number() {
    let judge = |passage: Passage, line: String| match (passage.from, passage.number) {
        (Side::Dialer, 0) => Verdict::Drop,
        (Side::Dialer, 1) => Verdict::twice(line),
        (Side::Dialer, 2) => Verdict::DeliverAll(vec![]),
        (Side::Dialer, 3) => Verdict::Deliver("another".to_owned()),
        (Side::Listener, 1) => Verdict::Drop,
        _ => Verdict::Deliver(line),
    };
    let mut scene = Scene::new(judge).await;
    scene.say(&["0", "1", "2", "3", "4"]).await;
    scene.expect_served(&["1", "1", "another", "4"]).await;
    scene.answer(&["0", "1", "2"]).await;
    scene.expect_heard(&["0", "2"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_reordered_goes_behind_the_next_that_is_delivered_or_behind_the_last() {
    let judge = |_: Passage, line: String| match &line[..1] {
        "r" => Verdict::Reorder(line),
        "x" => Verdict::Drop,
        _ => Verdict::Deliver(line),
    };
    let mut scene = Scene::new(judge).await;
    scene.say(&["r1", "x", "r2", "a", "b", "r3"]).await;
    scene.expect_served(&["a", "r1", "r2", "b"]).await;
    quiet().await;
    let client = scene.client.clone();
    let at_client = scene.at_client;
    let disconnect = tokio::spawn(async move { client.disconnect(at_client).await });
    scene.expect_served(&["r3"]).await;
    scene.server.disconnect(scene.at_server).await;
    within(disconnect).await.unwrap();
    scene.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_delay_holds_up_what_is_behind_it_and_nothing_else() {
    const DELAY: Duration = Duration::from_secs(5);
    let judge = |passage: Passage, line: String| match passage.number {
        1 if passage.from == Side::Dialer => Verdict::Delay(line, DELAY),
        _ => Verdict::Deliver(line),
    };
    let mut scene = Scene::new(judge).await;
    let start = Instant::now();
    scene.say(&["0", "1", "2"]).await;
    scene.expect_served(&["0"]).await;
    scene.answer(&["0", "1"]).await;
    scene.expect_heard(&["0", "1"]).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    scene.expect_served(&["1", "2"]).await;
    assert_eq!(start.elapsed(), DELAY);
}

#[tokio::test(start_paused = true)]
async fn another_judge_decides_on_links_that_there_are() {
    let mut scene = Scene::new(deliver).await;
    scene.say(&["0"]).await;
    scene.expect_served(&["0"]).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seeing = seen.clone();
    scene.interceptor.set_judge(move |passage, line| {
        seeing.lock().unwrap().push(passage.number);
        Verdict::Deliver(line.to_uppercase())
    });
    scene.say(&["a", "b"]).await;
    scene.expect_served(&["A", "B"]).await;
    assert_eq!(*seen.lock().unwrap(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn dropping_it_cuts_all_links_and_ends_its_listening() {
    let scene = Scene::new(deliver).await;
    let (network, addr) = (scene.network, scene.interceptor.addr());
    drop(scene.interceptor);
    let mut heard = scene.heard;
    let end = ending(&mut heard, scene.at_client).await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
    let refused = network.connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn over_tcp_a_cut_is_a_reset() {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let target = listener.local_addr().unwrap();
    let judge = |_: Passage, _: String| Verdict::<String>::CutBefore;
    let interceptor = Interceptor::start(target, codec, judge).await.unwrap();
    let mut near = TcpStream::connect(interceptor.addr()).await.unwrap();
    let (mut far, _) = within(listener.accept()).await.unwrap();
    near.write_all(b"x\n").await.unwrap();
    for stream in [&mut near, &mut far] {
        let error = within(stream.read_u8()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn it_stands_between_two_nodes_over_tcp() {
    let (server, mut served) = Node::builder()
        .listen(any_port())
        .start(lines)
        .await
        .unwrap();
    let target = server.local_addr().unwrap();
    let interceptor = Interceptor::start(target, codec, deliver).await.unwrap();
    let (client, mut heard) = start_lines(Node::builder()).await;
    let peer = client.connect(interceptor.addr()).await.unwrap();
    for n in 0..1_000 {
        within(client.send_to(n.to_string(), peer)).await.unwrap();
        let (line, from) = within(served.recv()).await.unwrap();
        within(server.send_to(line, from)).await.unwrap();
        assert_eq!(within(heard.recv()).await.unwrap().0, n.to_string());
    }
    shut_down(&client).await;
    shut_down(&server).await;
}
