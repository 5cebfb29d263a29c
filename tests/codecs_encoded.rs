//! A message that is serialized once, for as many peers as it is sent to.

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use futures::future::join_all;
use serde::{Serialize, Serializer};
use wattle::{Node, Peer};
use wattle_codecs::{Encoded, Json};

use common::pairs::{End, connected, dial, serve, text};
use common::{finish_events, within};

const MOST: usize = 64 * 1024;

/// How many peers get the message.
const PEERS: usize = 20;

/// A text that counts how often it is serialized.
#[derive(Debug, Clone)]
struct Counted {
    text: String,
    serialized: Arc<AtomicUsize>,
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialized.fetch_add(1, Relaxed);
        self.text.serialize(serializer)
    }
}

fn news() -> Counted {
    Counted {
        text: text(10_000, 1),
        serialized: Arc::default(),
    }
}

/// Connects many, broadcasts the message to them, and sends it to the last one once more; asserts that
/// each got it.
async fn broadcast<Out: Clone + Send + 'static>(
    node: Node<Out>,
    mut events: wattle::Events<String>,
    message: Out,
    expected: &str,
) {
    let addr = node.local_addr().expect("it listens");
    let mut readers: Vec<End<String, String>> = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        readers.push(dial(|_| Json::lines::<String>(MOST), addr).await);
        peers.push(connected(&mut events).await);
    }

    let report = node.broadcast(message.clone());
    assert_eq!(report.queued, PEERS, "{report:?}");
    within(node.send_to(message, peers[PEERS - 1]))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    join_all(readers.iter_mut().map(async |reader| {
        assert_eq!(reader.hear().await, expected);
    }))
    .await;
    assert_eq!(readers[PEERS - 1].hear().await, expected);

    for reader in readers {
        reader.finish().await;
    }
    finish_events(&node, events).await;
}

#[tokio::test]
async fn a_message_serialized_before_goes_to_all_peers_without_being_serialized_again() {
    let codec = |_: Peer| Json::lines::<String>(MOST).sending::<Counted>();
    let news = news();
    let encoded: Encoded<Counted, Json> = Encoded::new(&Json, &news).unwrap();
    let (node, events, _) = serve(Node::builder(), codec).await;
    broadcast(node, events, encoded, &news.text).await;
    assert_eq!(news.serialized.load(Relaxed), 1);
}

#[tokio::test]
async fn a_message_as_it_is_is_serialized_for_each_peer() {
    let codec = |_: Peer| Json::lines::<String>(MOST).sending::<Counted>();
    let news = news();
    let (node, events, _) = serve(Node::builder(), codec).await;
    broadcast(node, events, news.clone(), &news.text).await;
    assert_eq!(news.serialized.load(Relaxed), PEERS + 1);
}
