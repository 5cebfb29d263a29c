//! Lines, by a codec that fails as it is told, and what becomes of its connection.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::codec::{Decoder, Encoder};
use wattle::{BoxError, Initiator, Reason};

use super::{
    scene::{Bomb, Counted, Fault, Scene, Unspeakable, listen},
    text::{Text, text},
};
use crate::common::within;

pub(crate) struct Codec {
    fault: Fault,
    _self: Counted,
}

impl Codec {
    pub(crate) fn new(fault: Fault, counted: Counted) -> Self {
        Self {
            fault,
            _self: counted,
        }
    }

    /// The next line; the faults wait for one that says so.
    fn line(&mut self, src: &mut BytesMut) -> Option<Text> {
        let end = src.iter().position(|&byte| byte == b'\n')?;
        let line = src.split_to(end + 1);
        Some(text(&String::from_utf8_lossy(&line[..end])))
    }
}

/// The codec's error; by `Into<BoxError>` only, so that this can fail as well.
pub(crate) enum Failed {
    Io(io::Error),
    Wrong(&'static str),
    Unspeakable,
    Unboxable,
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Failed> for BoxError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Io(error) => error.into(),
            Failed::Wrong(what) => what.into(),
            Failed::Unspeakable => Unspeakable.into(),
            Failed::Unboxable => panic!("unboxable"),
        }
    }
}

impl Decoder for Codec {
    type Item = Text;
    type Error = Failed;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Text>, Failed> {
        match self.fault {
            Fault::DecodeNever => {
                src.advance(src.len());
                return Ok(None);
            }
            Fault::DecodeForever if !src.is_empty() => return Ok(Some(text("again"))),
            _ => {}
        }
        let line = self.line(src);
        if line.as_ref().is_some_and(|line| line.words() == "now") {
            match self.fault {
                Fault::DecodePanics => panic!("in decode, {} bytes left", src.len()),
                Fault::DecodePanicsTwice => std::panic::panic_any(Bomb),
                Fault::DecodeFails => return Err(Failed::Wrong("decoder")),
                Fault::DecodeErrorPanics => return Err(Failed::Unspeakable),
                Fault::DecodeErrorUnboxable => return Err(Failed::Unboxable),
                _ => {}
            }
        }
        Ok(line)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Text>, Failed> {
        match self.fault {
            Fault::EofPanics => panic!("in decode_eof"),
            Fault::EofFails => Err(Failed::Wrong("end")),
            Fault::EofForever => Ok(Some(text("the end"))),
            _ => self.decode(src),
        }
    }
}

/// Far more than the queue, the buffers and the stream hold.
const HUGE: usize = 4 << 20;

impl Encoder<Text> for Codec {
    type Error = Failed;

    fn encode(&mut self, text: Text, dst: &mut BytesMut) -> Result<(), Failed> {
        if text.words() == "now" {
            dst.put_slice(b"half a line");
            match self.fault {
                Fault::EncodePanics => panic!("in encode"),
                Fault::EncodeFails => return Err(Failed::Wrong("encoder")),
                Fault::EncodeErrorPanics => return Err(Failed::Unspeakable),
                _ => {}
            }
            dst.truncate(dst.len() - "half a line".len());
        }
        if self.fault == Fault::EncodeHugely && text.words() == "now" {
            dst.put_bytes(b'x', HUGE);
        } else if self.fault != Fault::EncodeNothing {
            dst.put_slice(text.words().as_bytes());
            dst.put_u8(b'\n');
        }
        Ok(())
    }
}

impl Drop for Codec {
    fn drop(&mut self) {
        assert_ne!(self.fault, Fault::CodecDropPanics, "codec dropped");
    }
}

/// The victim's end after its codec has met a line that says `now`, with a message before and one
/// behind it.
macro_rules! decoders {
    ($($(#[$meta:meta])* $name:ident: $fault:ident, $reason:pat $(if $guard:expr)?, $initiator:ident;)*) => {$(
        $(#[$meta])*
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let _listening = listen();
            let mut scene = Scene::new(Fault::$fault).await;
            scene.hears(b"before\nnow\nafter\n").await;
            scene.serve().await;
            assert_eq!(scene.message().await, "before");
            let end = scene.end().await;
            assert!(matches!(&end.reason, $reason $(if $guard)?));
            assert_eq!((end.initiator, end.undelivered), (Initiator::$initiator, 0));
            assert_eq!(scene.wire().await, "");
            assert_eq!(scene.assert_over().await.undelivered, 0);
        }
    )*};
}

decoders! {
    a_decoder_that_panics: DecodePanics,
        Reason::Panicked(text) if &**text == "in decode, 6 bytes left", Library;
    a_decoder_that_panics_with_what_panics: DecodePanicsTwice, Reason::Panicked(_), Library;
    a_decoder_that_fails: DecodeFails,
        Reason::Decode(error) if error.to_string() == "decoder", Library;
    a_decoder_with_an_error_that_panics_when_it_is_told: DecodeErrorPanics,
        Reason::Decode(error) if error.is::<Unspeakable>(), Library;
    a_decoder_with_an_error_that_panics_when_it_is_boxed: DecodeErrorUnboxable,
        Reason::Panicked(text) if &**text == "unboxable", Library;
}

#[tokio::test(start_paused = true)]
async fn what_was_decoded_before_a_decoder_panics_is_counted() {
    let mut scene = Scene::new(Fault::DecodePanics).await;
    scene.hears(b"before\nnow\nafter\n").await;
    assert_eq!(scene.message().await, "before");
    scene.end().await;
    // The bystander says one more.
    assert_eq!(scene.assert_over().await.messages_in, 2);
}

/// The victim's end after its remote has closed its side behind a message.
macro_rules! ends {
    ($($(#[$meta:meta])* $name:ident: $fault:ident, $reason:pat $(if $guard:expr)?, $initiator:ident;)*) => {$(
        $(#[$meta])*
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let _listening = listen();
            let mut scene = Scene::new(Fault::$fault).await;
            scene.hears(b"before\n").await;
            within(scene.remote.shutdown()).await.unwrap();
            scene.serve().await;
            assert_eq!(scene.message().await, "before");
            let end = scene.end().await;
            assert!(matches!(&end.reason, $reason $(if $guard)?), "{end}");
            assert_eq!(end.initiator, Initiator::$initiator);
            assert_eq!(scene.wire().await, "");
            scene.assert_over().await;
        }
    )*};
}

ends! {
    a_decoder_that_panics_at_the_end: EofPanics,
        Reason::Panicked(text) if &**text == "in decode_eof", Library;
    a_decoder_that_fails_at_the_end: EofFails,
        Reason::EndInsideFrame { source, buffered: 0, .. } if source.to_string() == "end", Remote;
    a_codec_that_panics_when_it_is_dropped: CodecDropPanics,
        Reason::Panicked(text) if text.contains("codec dropped"), Library;
}

/// The victim's end after its codec was given a message `now`, with one before and one behind it.
macro_rules! encoders {
    ($($(#[$meta:meta])* $name:ident: $fault:ident, $reason:pat $(if $guard:expr)?, $wire:literal, $lost:literal;)*) => {$(
        $(#[$meta])*
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let _listening = listen();
            let mut scene = Scene::new(Fault::$fault).await;
            for words in ["before", "now", "after"] {
                scene.says(words);
            }
            scene.serve().await;
            assert_eq!(scene.wire().await, $wire);
            within(scene.remote.shutdown()).await.unwrap();
            let end = scene.end().await;
            assert!(matches!(&end.reason, $reason $(if $guard)?));
            assert_eq!((end.initiator, end.undelivered), (Initiator::Library, $lost));
            let stats = scene.assert_over().await;
            // Those that were served got four.
            assert_eq!((stats.messages_out, stats.undelivered), (2 + 3 - $lost, $lost));
        }
    )*};
}

encoders! {
    // The buffer goes with the task that owned it.
    an_encoder_that_panics: EncodePanics, Reason::Panicked(text) if &**text == "in encode", "", 3;
    an_encoder_that_fails_half_way: EncodeFails,
        Reason::Encode(error) if error.to_string() == "encoder", "before\n", 2;
    an_encoder_with_an_error_that_panics_when_it_is_told: EncodeErrorPanics,
        Reason::Encode(error) if error.is::<Unspeakable>(), "before\n", 2;
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_panics_twice_is_told_as_the_first() {
    // Nothing of its own can panic first, so a message does: the encoder drops it.
    let mut scene = Scene::new(Fault::CodecDropPanics).await;
    scene.says("bomb");
    let end = scene.end().await;
    assert!(matches!(&end.reason, Reason::Panicked(text) if &**text == "message dropped"));
    scene.assert_over().await;
}

#[tokio::test(start_paused = true)]
async fn a_decoder_that_never_makes_a_message_is_idle_for_nobody_and_told_at_the_end() {
    let mut scene = Scene::new(Fault::DecodeNever).await;
    for _ in 0..100 {
        scene.hears(b"any number of bytes").await;
    }
    scene.serve().await;
    within(scene.remote.shutdown()).await.unwrap();
    let end = scene.end().await;
    assert!(
        matches!(end.reason, Reason::EndInsideFrame { buffered: 1900, .. }),
        "{end}"
    );
    assert_eq!(scene.assert_over().await.messages_in, 2);
}

/// Messages without end are backpressure: who reads gets them in turn with all others', and a graceful
/// close ends them.
async fn assert_endless(mut scene: Scene, words: &str) {
    for _ in 0..10 {
        scene.serve().await;
        assert_eq!(scene.message().await, words);
    }
    let queued = scene.node.peer_stats(scene.victim).unwrap().messages_in;
    assert!(queued < 100_000, "{queued} is not bounded");
    let disconnected = within(scene.node.disconnect(scene.victim)).await.unwrap();
    assert!(
        matches!(disconnected.reason, Reason::Disconnected),
        "{disconnected}"
    );
    loop {
        match scene.next().await {
            wattle::Event::Message(message, _) => assert_eq!(message.words(), words),
            wattle::Event::Disconnected(..) => break,
            other => panic!("{other:?}"),
        }
    }
    scene.assert_over().await;
}

#[tokio::test(start_paused = true)]
async fn a_decoder_that_makes_messages_of_nothing_is_held_up_by_its_reader() {
    let mut scene = Scene::new(Fault::DecodeForever).await;
    scene.hears(b"once").await;
    within(scene.remote.shutdown()).await.unwrap();
    assert_endless(scene, "again").await;
}

#[tokio::test(start_paused = true)]
async fn a_decoder_that_never_comes_to_the_end_is_held_up_by_its_reader() {
    let mut scene = Scene::new(Fault::EofForever).await;
    within(scene.remote.shutdown()).await.unwrap();
    assert_endless(scene, "the end").await;
}

#[tokio::test(start_paused = true)]
async fn an_encoder_that_writes_nothing_has_written_it() {
    let mut scene = Scene::new(Fault::EncodeNothing).await;
    let mut sink = scene.node.peer_sink(scene.victim).unwrap();
    for _ in 0..3 {
        within(futures::SinkExt::send(&mut sink, text("now")))
            .await
            .unwrap();
    }
    drop(sink);
    let stats = scene.node.peer_stats(scene.victim).unwrap();
    assert_eq!(
        (stats.messages_out, stats.bytes_out, stats.queued),
        (3, 0, 0)
    );
    scene.serve().await;
    within(scene.remote.shutdown()).await.unwrap();
    let end = scene.end().await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
    scene.assert_over().await;
}

#[tokio::test(start_paused = true)]
async fn an_encoder_that_writes_hugely_costs_its_own_connection_time() {
    let mut scene = Scene::new(Fault::EncodeHugely).await;
    scene.says("now");
    scene.says("after");
    scene.serve().await;
    let mut huge = vec![0; HUGE];
    within(scene.remote.read_exact(&mut huge)).await.unwrap();
    assert!(huge.iter().all(|&byte| byte == b'x'));
    within(scene.remote.shutdown()).await.unwrap();
    assert_eq!(scene.wire().await, "after\n");
    let end = scene.end().await;
    assert!(matches!(end.reason, Reason::EndOfStream), "{end}");
    assert_eq!(end.undelivered, 0);
    scene.assert_over().await;
}
