//! Codecs and messages that do odd things.

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use super::*;

/// Lines that it doesn't like, it doesn't encode.
struct Picky;

impl Decoder for Picky {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, _: &mut BytesMut) -> io::Result<Option<String>> {
        Ok(None)
    }
}

impl Encoder<&'static str> for Picky {
    type Error = io::Error;

    fn encode(&mut self, line: &'static str, buffer: &mut BytesMut) -> io::Result<()> {
        buffer.extend_from_slice(line.as_bytes());
        match line {
            "bad" => Err(io::Error::other("a bad line")),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_message_that_is_not_encoded_has_no_bytes() {
    let (file, capture) = begun();
    let (node, inbound) = in_memory().start(capture.tap(|_| Picky)).await.unwrap();
    let mut events = inbound.into_events();
    let (peer, mut remote) = join(&node, 256).await;
    for line in ["good", "bad"] {
        node.send_to(line, peer).await.unwrap();
    }
    let read = async {
        assert_eq!(read_text(&mut remote).await, "good");
        remote.shutdown().await.unwrap();
    };
    let (disconnect, ()) = tokio::join!(ending(&mut events, peer), read);
    assert!(
        matches!(disconnect.reason, Reason::Encode(_)),
        "{disconnect}"
    );
    finish_events(&node, events).await;
    capture.finish().unwrap();
    let story = file.story();
    assert_eq!(
        story[..3],
        ["open", "out 676f6f64 \"good\"", "error out a bad line"]
    );
}

/// A message that nobody can look at.
struct Shy(String);

impl fmt::Debug for Shy {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("don't look at {}", self.0)
    }
}

struct ShyLines(LinesCodec);

impl Decoder for ShyLines {
    type Item = Shy;
    type Error = LinesCodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Shy>, LinesCodecError> {
        Ok(self.0.decode(buffer)?.map(Shy))
    }
}

impl Encoder<Shy> for ShyLines {
    type Error = LinesCodecError;

    fn encode(&mut self, message: Shy, buffer: &mut BytesMut) -> Result<(), LinesCodecError> {
        self.0.encode(message.0, buffer)
    }
}

#[tokio::test]
async fn a_message_whose_debug_panics_is_delivered_all_the_same() {
    let (file, capture) = begun();
    let tapped = capture.tap(|_| ShyLines(LinesCodec::new_with_max_length(80)));
    let (node, mut inbound) = in_memory().start(tapped).await.unwrap();
    let (peer, mut remote) = join(&node, 256).await;
    remote.write_all(b"pea\n").await.unwrap();
    assert_eq!(hear(&mut inbound).await.0.0, "pea");
    node.send_to(Shy("pod".to_owned()), peer).await.unwrap();
    expect_text(&mut remote, "pod\n").await;
    end_of(&node, remote).await;
    capture.finish().unwrap();
    let story = file.story();
    assert_eq!(
        story[1],
        "in 7065610a a message that panics when it is asked what it is"
    );
    assert_eq!(
        story[2],
        "out 706f640a a message that panics when it is asked what it is"
    );
}

/// Puts what it unpacks where the packed bytes were: a count and a letter become so many letters.
struct InPlace(LinesCodec);

impl Decoder for InPlace {
    type Item = String;
    type Error = LinesCodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<String>, LinesCodecError> {
        if buffer.first().is_some_and(u8::is_ascii_digit) && buffer.len() >= 3 {
            let packed = buffer.split_to(2);
            let count = usize::from(packed[0] - b'0');
            let rest = buffer.split();
            buffer.extend(std::iter::repeat_n(packed[1], count));
            buffer.unsplit(rest);
        }
        self.0.decode(buffer)
    }
}

impl Encoder<String> for InPlace {
    type Error = LinesCodecError;

    fn encode(&mut self, message: String, buffer: &mut BytesMut) -> Result<(), LinesCodecError> {
        self.0.encode(message, buffer)
    }
}

#[tokio::test(start_paused = true)]
async fn no_byte_is_lost_or_doubled_by_a_codec_that_unpacks_in_place() {
    let (file, capture) = begun();
    let tapped = capture.tap(|_| InPlace(LinesCodec::new_with_max_length(80)));
    let (node, mut inbound) = in_memory().start::<_, String>(tapped).await.unwrap();
    let (_, mut remote) = join(&node, 256).await;
    for part in ["9a", "\n3", "b", "\nccc", "c\n"] {
        remote.write_all(part.as_bytes()).await.unwrap();
        common::quiet().await;
    }
    for line in ["aaaaaaaaa", "bbb", "cccc"] {
        assert_eq!(hear(&mut inbound).await.0, line);
    }
    end(&node, inbound, remote).await;
    capture.finish().unwrap();
    assert_eq!(frames_of(&file).concat(), b"9a\n3b\ncccc\n");
}
