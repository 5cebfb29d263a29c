//! A capture has every byte and every message of a session in it, and changes nothing of the session.

use std::{fmt, future::Future, io, time::Duration};

use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_util::codec::{LengthDelimitedCodec, LinesCodec, LinesCodecError};
use wattle::{
    Inbound, Node, Peer, Reason,
    testing::{Capture, Recording},
};

mod capture;
#[path = "testing_capture/codecs.rs"]
mod codecs;
mod common;
#[path = "testing_capture/endings.rs"]
mod endings;
#[path = "testing_capture/files.rs"]
mod files;
#[path = "testing_capture/sessions.rs"]
mod sessions;

use capture::TempFile;
use common::{
    ending, expect_text, finish, finish_events, in_memory, join, lines, read_text, shut_down,
    within,
};

/// A capture, and the file that it writes.
fn begun() -> (TempFile, Capture) {
    let file = TempFile::new("jsonl");
    let capture = Capture::create(&file).unwrap();
    (file, capture)
}

/// The bytes of each frame of the only connection.
fn frames_of(file: &TempFile) -> Vec<Vec<u8>> {
    let recording = Recording::read(file).unwrap();
    let frames = recording.only().unwrap().frames();
    frames.map(|frame| frame.bytes.to_vec()).collect()
}

/// What a node hears next.
#[track_caller]
fn hear<In>(inbound: &mut Inbound<In>) -> impl Future<Output = (In, Peer)> {
    let message = within(inbound.recv());
    async move { message.await.expect("there should be another message") }
}

/// Shuts a node down whose remote closes when the node has closed.
async fn end_of<Out: Send + 'static>(node: &Node<Out>, mut remote: DuplexStream) {
    let leave = async move { assert_eq!(read_text(&mut remote).await, "") };
    tokio::join!(shut_down(node), leave);
}

/// The same; nothing may be left to be received.
async fn end<Out: Send + 'static, In: fmt::Debug>(
    node: &Node<Out>,
    inbound: Inbound<In>,
    remote: DuplexStream,
) {
    end_of(node, remote).await;
    finish(node, inbound).await;
}
