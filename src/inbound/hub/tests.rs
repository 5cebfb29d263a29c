//! How long the lists are that nobody reads.

use super::*;
use crate::{Disconnect, Inbound, Reason, Side};

const BOUNDS: Bounds = Bounds {
    messages: 10,
    bytes: usize::MAX,
};

/// Opens a connection, hands over so many messages, and ends it.
fn come_and_go(hub: &Arc<Hub<u32>>, messages: u32) {
    let peer = Peer::next(([127, 0, 0, 1], 1).into(), Side::Listener);
    let (mut producer, ender) = hub.open(peer, BOUNDS, None).unwrap();
    producer.announce();
    (0..messages).for_each(|message| producer.push(message));
    drop(producer);
    ender.end(Disconnect::remote(Reason::EndOfStream), None);
}

/// What is on the lists: inboxes that are ready, and stories.
fn listed(hub: &Hub<u32>) -> (usize, usize) {
    let ready = hub.ready.lock();
    (ready.list.len(), ready.stories.len())
}

#[test]
fn the_lists_are_bounded_however_many_come_and_go_without_a_word() {
    let hub = Hub::new();
    let inbound = Inbound::new(hub.clone(), Arc::new(()));
    come_and_go(&hub, 1);
    for _ in 0..20 * STORIES {
        come_and_go(&hub, 0);
        let (ready, stories) = listed(&hub);
        assert!(ready < 2 * STORIES + 1, "{ready} are on the ready list");
        assert!(stories < 2 * STORIES, "{stories} stories");
    }
    drop(inbound);
    assert_eq!(listed(&hub), (0, 0));
    come_and_go(&hub, 0);
    assert_eq!(listed(&hub), (0, 0), "nobody will take them");
}

#[test]
fn stories_that_were_taken_give_way_to_others() {
    let hub = Hub::new();
    let cx = Context::from_waker(Waker::noop());
    for _ in 0..5 * STORIES {
        come_and_go(&hub, 0);
        assert!(hub.poll_turn(&cx, &mut VecDeque::new()).is_ready());
        assert!(listed(&hub).1 < 2 * STORIES);
    }
    for _ in 0..STORIES {
        come_and_go(&hub, 0);
    }
    assert_eq!(listed(&hub).0, STORIES, "some were forgotten too early");
}
