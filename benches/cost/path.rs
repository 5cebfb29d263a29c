//! What runs under the profiler: so many messages come in, or go out.

use std::{
    future::{Future, poll_fn},
    net::{Ipv4Addr, SocketAddr},
};

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use tokio::runtime::Builder;
use tokio_util::codec::{FramedRead, FramedWrite};
use wattle::{Inbound, Node, Side, transport::AdoptOnly};

use super::{
    Case,
    marks::{Feed, Marked, marked_feed, marked_made, marked_taken, marked_yield},
    tape::{self, Tape},
};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Contender {
    Raw,
    Wattle,
}

impl Contender {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Wattle => "wattle",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Raw, Self::Wattle]
            .into_iter()
            .find(|one| one.name() == name)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    In,
    Out,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::In, Self::Out]
            .into_iter()
            .find(|one| one.name() == name)
    }
}

/// On one thread, where the same tasks follow each other in the same order each time.
pub(crate) fn run(contender: Contender, way: Way, case: Case, messages: usize) {
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async move {
        match (contender, way) {
            (Contender::Raw, Way::In) => task(raw_in(case, messages)).await,
            (Contender::Raw, Way::Out) => task(raw_out(case, messages)).await,
            (Contender::Wattle, Way::In) => task(wattle_in(case, messages)).await,
            (Contender::Wattle, Way::Out) => task(wattle_out(case, messages)).await,
        }
    });
}

/// A task as any other, as the one that blocks isn't.
async fn task(path: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(path).await.expect("no panic");
}

async fn wattle_in(case: Case, messages: usize) {
    let (_node, mut inbound) = connected(Tape::giving(case, messages)).await;
    let mut left = messages;
    poll_fn(|cx| marked_yield(&mut inbound, cx, &mut left)).await;
}

async fn wattle_out(case: Case, messages: usize) {
    let (node, _inbound) = connected(Tape::silent(case)).await;
    let mut sink = node.peer_sink(node.peers()[0]).expect("connected");
    let mut feed = Feed {
        payload: tape::payload(case),
        left: messages,
        alone: case.alone,
        unflushed: false,
    };
    poll_fn(|cx| marked_feed(&mut sink, cx, &mut feed)).await;
}

/// A node with one connection.
async fn connected(tape: Tape) -> (Node<Bytes>, Inbound<BytesMut>) {
    let builder = Node::builder().transport(AdoptOnly::<Tape>::new());
    let started = builder.start(|_| Marked::default()).await;
    let (node, inbound) = started.expect("start");
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let adopted = node.adopt(tape, addr, Side::Dialer).await;
    assert!(adopted.is_ok(), "the tape isn't taken");
    (node, inbound)
}

async fn raw_in(case: Case, messages: usize) {
    let mut reader = FramedRead::new(Tape::giving(case, messages), Marked::default());
    for _ in 0..messages {
        let message = reader.next().await.expect("a message");
        marked_taken(message.expect("no error"));
    }
}

async fn raw_out(case: Case, messages: usize) {
    let mut writer = FramedWrite::new(Tape::silent(case), Marked::default());
    let payload = tape::payload(case);
    for _ in 0..messages {
        writer.feed(marked_made(&payload)).await.expect("feed");
        if case.alone {
            writer.flush().await.expect("flush");
        }
    }
    writer.flush().await.expect("flush");
}
