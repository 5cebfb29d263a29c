//! A stream in memory that fails as it is told, and what becomes of its connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use wattle::{Initiator, Reason, Timeout, transport::ByteStream};

use super::scene::{Counted, Fault, Scene};
use crate::common::within;

pub(crate) struct Stream {
    inner: Box<dyn ByteStream>,
    fault: Fault,
    _self: Counted,
}

impl Stream {
    pub(crate) fn new(inner: impl ByteStream, fault: Fault, counted: Counted) -> Self {
        Self {
            inner: Box::new(inner),
            fault,
            _self: counted,
        }
    }
}

fn broken<T>(what: &str) -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::other(what)))
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.fault == Fault::ReadSpins {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            match self.fault {
                Fault::ReadPanics => panic!("in poll_read"),
                Fault::ReadFails => return broken("in poll_read"),
                Fault::ReadSwaps => *buf = ReadBuf::new(Box::leak(Box::new([0; 64]))),
                _ => {}
            }
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.fault {
            Fault::WritePanics => panic!("in poll_write"),
            Fault::WriteFails => broken("in poll_write"),
            Fault::WriteNothing => Poll::Ready(Ok(0)),
            Fault::WriteTooMuch => Poll::Ready(Ok(buf.len() + 1)),
            _ => Pin::new(&mut self.inner).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.fault {
            Fault::FlushPanics => panic!("in poll_flush"),
            Fault::FlushFails => broken("in poll_flush"),
            Fault::FlushStalls => Poll::Pending,
            _ => Pin::new(&mut self.inner).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.fault {
            Fault::ShutdownPanics => panic!("in poll_shutdown"),
            Fault::ShutdownFails => broken("in poll_shutdown"),
            Fault::ShutdownStalls => Poll::Pending,
            _ => Pin::new(&mut self.inner).poll_shutdown(cx),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        assert_ne!(self.fault, Fault::StreamDropPanics, "stream dropped");
    }
}

/// The victim's end after its stream was read or written.
macro_rules! streams {
    ($act:ident: $($name:ident: $fault:ident, $reason:pat $(if $guard:expr)?, $initiator:ident;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let mut scene = Scene::new(Fault::$fault).await;
            let lost = $act(&mut scene).await;
            scene.serve().await;
            let end = scene.end().await;
            assert!(matches!(&end.reason, $reason $(if $guard)?), "{end}");
            assert_eq!((end.initiator, end.undelivered), (Initiator::$initiator, lost));
            let timed_out = matches!(end.reason, Reason::TimedOut(Timeout::Write));
            let stats = scene.assert_over().await;
            assert_eq!((stats.messages_in, stats.undelivered), (2, lost));
            assert_eq!(stats.timeouts.write, u64::from(timed_out));
        }
    )*};
}

async fn reading(scene: &mut Scene) -> u64 {
    scene.hears(b"hello\n").await;
    0
}

async fn writing(scene: &mut Scene) -> u64 {
    scene.says("hello");
    scene.says("hello?");
    2
}

async fn ending(scene: &mut Scene) -> u64 {
    within(scene.remote.shutdown()).await.unwrap();
    0
}

streams! { reading:
    a_stream_that_panics_when_it_is_read: ReadPanics,
        Reason::Panicked(text) if &**text == "in poll_read", Library;
    a_stream_that_fails_when_it_is_read: ReadFails,
        Reason::Io(error) if error.to_string() == "in poll_read", Library;
    a_stream_that_swaps_the_buffer: ReadSwaps, Reason::Panicked(_), Library;
}

streams! { writing:
    a_stream_that_panics_when_it_is_written: WritePanics,
        Reason::Panicked(text) if &**text == "in poll_write", Library;
    a_stream_that_fails_when_it_is_written: WriteFails,
        Reason::Io(error) if error.to_string() == "in poll_write", Library;
    a_stream_that_writes_nothing: WriteNothing,
        Reason::Io(error) if error.kind() == io::ErrorKind::WriteZero, Library;
    a_stream_that_has_written_more_than_there_was: WriteTooMuch, Reason::Panicked(_), Library;
    a_stream_that_panics_when_it_is_flushed: FlushPanics,
        Reason::Panicked(text) if &**text == "in poll_flush", Library;
    a_stream_that_fails_when_it_is_flushed: FlushFails,
        Reason::Io(error) if error.to_string() == "in poll_flush", Library;
    a_stream_that_is_never_flushed: FlushStalls, Reason::TimedOut(Timeout::Write), Library;
}

streams! { ending:
    a_stream_that_panics_when_it_is_shut: ShutdownPanics,
        Reason::Panicked(text) if &**text == "in poll_shutdown", Library;
    a_stream_that_fails_when_it_is_shut: ShutdownFails, Reason::EndOfStream, Remote;
    a_stream_that_panics_when_it_is_dropped: StreamDropPanics,
        Reason::Panicked(text) if text.contains("stream dropped"), Library;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_never_shut_is_left_at_the_drain_timeout() {
    let mut scene = Scene::new(Fault::ShutdownStalls).await;
    let node = scene.node.clone();
    let victim = scene.victim;
    let disconnecting = tokio::spawn(async move { node.disconnect(victim).await });
    scene.serve().await;
    let end = within(disconnecting).await.unwrap().unwrap();
    assert!(matches!(end.reason, Reason::Disconnected), "{end}");
    assert!(end.drain_timed_out);
    assert!(scene.end().await.drain_timed_out);
    assert_eq!(scene.assert_over().await.timeouts.drain, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_never_flushed_keeps_no_shutdown_beyond_the_drain_timeout() {
    let no_limit = |options: wattle::Builder<_>| options.write_timeout(None);
    let mut scene = Scene::with(Fault::FlushStalls, no_limit).await;
    scene.says("lost");
    scene.serve().await;
    let node = scene.node.clone();
    let end = within(node.disconnect(scene.victim)).await.unwrap();
    assert!(matches!(end.reason, Reason::Disconnected), "{end}");
    assert_eq!((end.undelivered, end.drain_timed_out), (1, true));
    scene.end().await;
    drop(node);
    let stats = scene.assert_over().await;
    assert_eq!((stats.timeouts.drain, stats.undelivered), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_always_about_to_be_read_keeps_nobody_from_their_turn() {
    let mut scene = Scene::new(Fault::ReadSpins).await;
    scene.serve().await;
    scene.says("still here");
    let mut heard = [0; 11];
    within(tokio::io::AsyncReadExt::read_exact(
        &mut scene.remote,
        &mut heard,
    ))
    .await
    .unwrap();
    assert!(scene.node.abort(scene.victim));
    let end = scene.end().await;
    assert!(matches!(end.reason, Reason::Aborted), "{end}");
    scene.assert_over().await;
}
