//! What is answered or ignored beside the steps.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf, join, sink};
use wattle::{Timeout, testing::script::Instead};

use super::*;

#[tokio::test(start_paused = true)]
async fn pings_are_answered_beside_the_script() {
    let network = Memory::new();
    let builder = Node::builder()
        .transport(network.clone())
        .idle_timeout(3 * SECOND)
        .listen(localhost());
    let (node, inbound) = builder.start(lines).await.unwrap();
    let mut events = inbound.into_events();
    let pong = |line: &String| line.strip_prefix("ping ").map(|n| format!("pong {n}"));
    let answering = Script::over(network, lines)
        .auto_reply(pong)
        .ignore(|line| line.starts_with('#'))
        .expect_silence(10 * SECOND)
        .expect("quit")
        .send("bye");
    let answering = answering.dial(node.local_addr().unwrap());
    let play = tokio::spawn(async move { answering.play().await });

    let Event::Connected(peer) = next_event(&mut events).await else {
        panic!("nobody connected");
    };
    for n in 0..10 {
        tokio::time::sleep(SECOND).await;
        node.send_to(format!("ping {n}"), peer).await.unwrap();
        node.send_to(format!("# {n}"), peer).await.unwrap();
        let Event::Message(pong, _) = next_event(&mut events).await else {
            panic!("no pong {n}");
        };
        assert_eq!(pong, format!("pong {n}"));
    }
    node.send_to("quit".to_owned(), peer).await.unwrap();
    let Event::Message(bye, _) = next_event(&mut events).await else {
        panic!("no bye");
    };
    assert_eq!(bye, "bye");
    let played = play.await.unwrap().unwrap();
    assert_eq!(played.received().count(), 21);
    // The steps have only what they took and did.
    let of_steps: Vec<_> = played.entries().iter().filter_map(|e| e.step).collect();
    assert_eq!(of_steps, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_pings_are_not_answered_hangs_up() {
    let network = Memory::new();
    let builder = Node::builder()
        .transport(network.clone())
        .idle_timeout(3 * SECOND)
        .listen(localhost());
    let (node, inbound): (Node<String>, _) = builder.start(lines).await.unwrap();
    let silent = Script::over(network, lines).expect_closed(Closed::Orderly);
    silent
        .dial(node.local_addr().unwrap())
        .play()
        .await
        .unwrap();
    let mut events = inbound.into_events();
    let why = first_end(&mut events).await;
    let idle = matches!(why.reason, Reason::TimedOut(Timeout::Idle));
    assert!(idle, "{why:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_that_has_an_answer_gives_it_and_counts_are_possible() {
    let (mut player, other) = on_stage(64);
    let answered = Arc::new(AtomicU64::new(0));
    let count = answered.clone();
    let answering = script()
        .auto_reply(|line| (line == "a").then_some("first"))
        .auto_reply(move |line| {
            (line.len() == 1).then(|| count.fetch_add(1, Ordering::Relaxed).to_string())
        })
        .expect("end");
    let mut other = Player::on(other, LinesCodec::new());
    let asking = script()
        .send("a")
        .expect("first")
        .send("b")
        .expect("0")
        .send("c")
        .expect("1")
        .send("end");
    play_both(player.play(&answering), other.play(&asking)).await;
    assert_eq!(answered.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_silence_doesnt_cut_a_reply_in_half() {
    let (mut player, mut other) = on_stage(4);
    let answering = script()
        .auto_reply(|line| (line == "?").then_some("0123456789"))
        .expect_silence(SECOND)
        .send("end");
    let asking = async {
        other.write_all(b"?\n").await.unwrap();
        tokio::time::sleep(5 * SECOND).await;
        let mut answers = vec![0; 15];
        other.read_exact(&mut answers).await.unwrap();
        assert_eq!(answers, b"0123456789\nend\n");
    };
    let (played, ()) = tokio::join!(player.play(&answering), asking);
    played.unwrap();
}

/// Reads as an endless row of empty lines, and never has its reader wait.
struct Endless;

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buf.put_slice(b"\n\n");
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn one_that_never_stops_asking_doesnt_keep_a_step_from_its_deadline() {
    let mut player = Player::on(join(Endless, sink()), LinesCodec::new());
    let ignoring = script().ignore(String::is_empty).within(SECOND / 50);
    let failure = player.play(&ignoring.expect("end")).await.unwrap_err();
    assert!(matches!(failure.instead, Instead::Nothing { .. }));
    let silence = script()
        .ignore(String::is_empty)
        .expect_silence(SECOND / 50);
    player.play(&silence).await.unwrap();
}
