//! Against nodes, and others, in memory.

use wattle::Side;

use super::*;
use crate::common::start_lines;

/// A node in memory that sends every line back.
async fn echo<T: Transport>(transport: T) -> (Node<String>, SocketAddr, JoinHandle<()>) {
    let builder = Node::builder()
        .transport(transport)
        .allow_half_open(true)
        .listen(localhost());
    let (node, inbound) = builder.start(lines).await.expect("it starts");
    let addr = node.local_addr().expect("it listens");
    let outbound = node.outbound();
    let echo = tokio::spawn(async move {
        let _shut_down = inbound.map(Ok).forward(outbound).await;
    });
    (node, addr, echo)
}

#[tokio::test(start_paused = true)]
async fn a_client_plays_against_a_node_in_memory() {
    let network = Memory::new();
    let (node, addr, echo) = echo(network.clone()).await;
    let client = Script::over(network, lines)
        .send("one")
        .send("two".to_owned())
        .expect("one")
        .expect_matching("what rhymes with shoe", |line| line.ends_with("wo"))
        .expect_silence(60 * SECOND)
        .half_close()
        .expect_silence(60 * SECOND);
    let begun = Instant::now();
    let played = client.dial(addr).play().await.unwrap();
    assert!(begun.elapsed() >= 120 * SECOND);
    assert_eq!(played.received().count(), 2);
    assert!(played.rest().is_empty());

    // It is a value: played again, by several at once.
    let dialing = client.dial(addr);
    let again = (0..20).map(|_| dialing.play());
    for played in futures::future::join_all(again).await {
        played.unwrap();
    }
    node.shutdown().await;
    echo.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_isnt_there_is_dialled_by_a_node() {
    let network = Memory::new();
    let server = Script::over(network.clone(), lines)
        .expect("HELLO")
        .stall(30 * SECOND)
        .send("WELCOME")
        .expect_closed(Closed::Orderly);
    let (addr, server) = serve(server).await;

    let builder = Node::builder().transport(network);
    let (node, mut inbound) = builder.start(lines).await.unwrap();
    let peer = node.connect(addr).await.unwrap();
    node.send_to("HELLO", peer).await.unwrap();
    assert_eq!(inbound.recv().await, Some(("WELCOME".to_owned(), peer)));
    node.disconnect(peer).await;
    let played = server.await.unwrap().unwrap();
    let entries = played.entries().iter();
    let stalls = entries.filter_map(|entry| match entry.happening {
        Happening::Stalled(duration) => Some(duration),
        _ => None,
    });
    assert_eq!(stalls.collect::<Vec<_>>(), [30 * SECOND]);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_peer_reads_nothing() {
    let (mut player, mut other) = on_stage(4);
    let stalled = script().stall(10 * SECOND).expect("12345678");
    let begun = Instant::now();
    let write = async {
        other.write_all(b"12345678\n").await.unwrap();
        begun.elapsed()
    };
    let (played, took) = tokio::join!(player.play(&stalled), write);
    played.unwrap();
    assert_eq!(took, 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn several_clients_of_a_script_that_listens_are_served_at_once() {
    let network = Memory::new();
    let server = Script::over(network.clone(), lines)
        .expect("HELLO")
        .stall(5 * SECOND)
        .send("WELCOME");
    let mut server = server.listen(localhost()).await.unwrap();
    let client = Script::over(network, lines)
        .send("HELLO")
        .expect("WELCOME")
        .expect_closed(Closed::Orderly);
    let client = client.dial(server.local_addr());
    let begun = Instant::now();
    let clients = futures::future::join_all((0..10).map(|_| client.play()));
    let (served, clients) = tokio::join!(server.play_times(10), clients);
    assert_eq!(begun.elapsed(), 5 * SECOND);
    assert_eq!(served.len(), 10);
    for played in served.into_iter().chain(clients) {
        played.unwrap();
    }
    assert!(server.play_times(0).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_player_goes_on_between_two_things_that_a_test_does() {
    let (node, inbound) = common::in_memory().start(lines).await.unwrap();
    let (ours, theirs) = duplex(64);
    let adopted = node.adopt(ours, localhost(), Side::Listener).await;
    let peer = adopted.unwrap();
    let mut player = Player::on(theirs, LinesCodec::new());
    player.play(&script().expect_silence(SECOND)).await.unwrap();
    node.send_to("now", peer).await.unwrap();
    player.play(&script().expect("now")).await.unwrap();
    let closed = script().expect_closed(Closed::Orderly).half_close();
    let (_, played) = tokio::join!(node.disconnect(peer), player.play(&closed));
    played.unwrap();
    drop(inbound);
}

/// Over a network in memory a reset is one as over TCP.
#[tokio::test(start_paused = true)]
async fn a_script_resets_over_memory_too() {
    let memory = Memory::with_seed(1);
    let builder = Node::builder().transport(memory.clone());
    let (node, inbound) = start_lines(builder.listen("127.0.0.1:0")).await;
    let script = Script::over(memory, lines).send("begun").reset();
    let addr = node.local_addr().unwrap();
    within(script.dial(addr).play()).await.unwrap();
    let mut events = inbound.into_events();
    let why = first_end(&mut events).await;
    assert!(matches!(why.reason, Reason::Reset(_)), "{why:?}");
}
