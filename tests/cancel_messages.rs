//! Dropping a future that sends or receives loses and doubles nothing: each test drops one after 0,
//! 1, 2… polls, until it finishes before that.

mod common;

use common::{MANY_POLLS, in_memory, join, lines, polled, quiet, wind_up, within};
use futures::sink::SinkExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::yield_now,
};
use wattle::{Inbound, Node, Peer};

type Started = (Node<String>, Inbound<String>);

#[tokio::test(start_paused = true)]
async fn a_dropped_send_to_has_queued_its_message_or_not_taken_it() {
    for polls in 0..MANY_POLLS {
        let (node, inbound): Started = in_memory()
            .max_outbound_messages(1)
            .start(lines)
            .await
            .unwrap();
        let (peer, mut remote) = join(&node, 1).await;
        let mut expected = String::new();
        // One is being written, one waits in the queue.
        for text in ["one", "two"] {
            node.try_send_to(text.into(), peer).unwrap();
            expected += &format!("{text}\n");
            quiet().await;
        }
        let refused = node.try_send_to("three".into(), peer);
        assert!(
            refused.is_err(),
            "it has to wait for this test to mean anything"
        );

        let mut heard = Vec::new();
        let reading = async {
            loop {
                heard.push(remote.read_u8().await.unwrap());
            }
        };
        let sent = tokio::select! {
            biased;
            sent = polled(polls, node.send_to("mine".into(), peer)) => sent,
            () = reading => unreachable!(),
        };
        let finished = sent.map(Result::unwrap).is_some();
        if finished {
            expected += "mine\n";
        }
        let (report, ()) = within(futures::future::join(node.shutdown(), async {
            remote.read_to_end(&mut heard).await.unwrap();
            drop(remote);
        }))
        .await;
        assert_eq!(String::from_utf8(heard).unwrap(), expected, "{polls} polls");
        assert!(report.is_clean(), "{report}");
        assert_eq!(node.stats().messages_out, expected.lines().count() as u64);
        drop(inbound);
        if finished {
            assert!(polls > 1, "{polls} polls prove little");
            return;
        }
    }
    panic!("it is never sent");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_recv_has_taken_nothing() {
    const COUNT: usize = 100;
    let builder = in_memory().max_inbound_messages(3);
    let (node, mut inbound): Started = builder.start(lines).await.unwrap();
    let (_, mut remote) = join(&node, 16).await;
    let writing = async {
        for number in 0..COUNT {
            let line = format!("{number}\n");
            remote.write_all(line.as_bytes()).await.unwrap();
        }
        remote
    };
    let reading = async {
        let mut heard = Vec::new();
        let mut polls = 0;
        while heard.len() < COUNT {
            polls = (polls + 1) % 4;
            match polled(polls, inbound.recv()).await {
                Some(item) => heard.push(item.expect("a message").0),
                None => yield_now().await,
            }
        }
        heard
    };
    let (remote, heard) = within(futures::future::join(writing, reading)).await;
    let expected: Vec<_> = (0..COUNT).map(|number| number.to_string()).collect();
    assert_eq!(heard, expected);
    drop(remote);
    wind_up(node, inbound).await;
}

/// What a sink's future is asked to do.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Feed,
    Send,
    Flush,
}

/// Whichever sink and future: what was fed comes once or not at all, in order, and the sink works on.
async fn assert_sink_survives<K>(ask: Ask, make: impl Fn(&Node<String>, Peer) -> K)
where
    K: futures::Sink<String, Error: std::fmt::Debug> + Unpin,
{
    for polls in 0..MANY_POLLS {
        let (node, inbound): Started = in_memory()
            .max_outbound_messages(1)
            .start(lines)
            .await
            .unwrap();
        let (peer, mut remote) = join(&node, 1).await;
        let mut sink = make(&node, peer);
        for text in ["one", "two"] {
            within(sink.feed(text.to_owned())).await.unwrap();
            quiet().await;
        }
        let heard = tokio::spawn(async move {
            let mut heard = String::new();
            remote.read_to_string(&mut heard).await.unwrap();
            heard
        });
        let done = match ask {
            Ask::Feed => polled(polls, sink.feed("mine".to_owned())).await,
            Ask::Send => polled(polls, sink.send("mine".to_owned())).await,
            Ask::Flush => polled(polls, sink.flush()).await,
        };
        let finished = done.map(Result::unwrap).is_some();
        within(sink.send("last".to_owned())).await.unwrap();
        assert_eq!(node.peer_stats(peer).unwrap().queued, 0, "flushed");
        drop(sink);
        assert!(within(node.shutdown()).await.is_clean());
        let heard = within(heard).await.unwrap();
        let sent = "one\ntwo\nmine\nlast\n";
        let fed = !matches!(ask, Ask::Flush);
        let possible = [(sent, fed), ("one\ntwo\nlast\n", !(finished && fed))];
        assert!(
            possible.contains(&(&*heard, true)),
            "{ask:?}, {polls} polls: {heard:?}"
        );
        drop(inbound);
        if finished {
            return;
        }
    }
    panic!("{ask:?} never finishes");
}

#[tokio::test(start_paused = true)]
async fn futures_of_a_peer_sink_can_be_dropped() {
    for ask in [Ask::Feed, Ask::Send, Ask::Flush] {
        let make = |node: &Node<String>, peer| node.peer_sink(peer).unwrap();
        assert_sink_survives(ask, make).await;
    }
}

#[tokio::test(start_paused = true)]
async fn futures_of_the_nodes_sink_can_be_dropped() {
    for ask in [Ask::Feed, Ask::Send, Ask::Flush] {
        let make = |node: &Node<String>, peer| {
            let outbound = node.outbound();
            outbound
                .with(move |text| std::future::ready(Ok::<_, wattle::NodeShutDown>((text, peer))))
        };
        assert_sink_survives(ask, make).await;
    }
}
