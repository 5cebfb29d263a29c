//! The cap on frames: what is too large is refused, however it comes, and nothing is read beyond.

use bytes::Buf;

use super::*;

const MAX: usize = 12;

fn with_max(max: usize) -> SessionConfig {
    SessionConfig {
        max_frame_bytes: Some(max),
        ..without_deadlines()
    }
}

/// Lines, of which those that begin with `#` are consumed in silence, whether or not another is there.
#[derive(Clone, Copy)]
struct Skipping;

impl Decoder for Skipping {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<String>> {
        let mut text = Text::default();
        while let Some(line) = text.decode(src)? {
            if !line.starts_with('#') {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}

/// A byte that says how long, which is consumed at once, and so much text.
#[derive(Clone, Copy)]
struct Headed(Option<usize>);

impl Decoder for Headed {
    type Item = String;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<String>> {
        if self.0.is_none() && src.has_remaining() {
            self.0 = Some(src.get_u8().into());
        }
        let Some(length) = self.0.filter(|&length| src.len() >= length) else {
            return Ok(None);
        };
        self.0 = None;
        let text = src.split_to(length);
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

macro_rules! encode_nothing {
    ($codec:ty) => {
        impl Encoder<String> for $codec {
            type Error = io::Error;

            fn encode(&mut self, _: String, _: &mut BytesMut) -> io::Result<()> {
                Ok(())
            }
        }
    };
}
encode_nothing!(Skipping);
encode_nothing!(Headed);

/// What the reader gets, and the end: what arrives in these pieces, each alone or all at once.
fn outcome<C>(
    codec: C,
    pieces: &[&[u8]],
    at_once: bool,
    eof: bool,
) -> (Vec<String>, Option<Disconnect>)
where
    C: Decoder<Item = String, Error = io::Error> + Encoder<String, Error = io::Error>,
{
    let mut fixture = Fixture::speaking(codec, with_max(MAX));
    let mut ended = Poll::Pending;
    for (i, piece) in pieces.iter().enumerate() {
        fixture.script.data(piece);
        let last = i + 1 == pieces.len();
        if last && eof {
            fixture.script.eof();
        }
        if last || !at_once {
            ended = fixture.settle();
        }
        if ended.is_ready() {
            break;
        }
    }
    let ended = match ended {
        Poll::Ready(disconnect) => Some(disconnect),
        Poll::Pending => None,
    };
    (fixture.received(), ended)
}

/// Asserts the same outcome for the whole, for each two parts of it, and byte by byte.
fn assert_however_it_comes<C>(
    codec: impl Fn() -> C,
    bytes: &[u8],
    eof: bool,
    messages: &[&str],
    as_expected: impl Fn(&Option<Disconnect>) -> bool,
) where
    C: Decoder<Item = String, Error = io::Error> + Encoder<String, Error = io::Error>,
{
    let two_parts = (1..bytes.len()).map(|at| {
        let (first, second) = bytes.split_at(at);
        vec![first, second]
    });
    let ways = two_parts.chain([vec![bytes], bytes.chunks(1).collect()]);
    for (pieces, at_once) in ways.flat_map(|way| [(way.clone(), true), (way, false)]) {
        let (received, ended) = outcome(codec(), &pieces, at_once, eof);
        let text = ended.as_ref().map(Disconnect::to_string);
        assert_eq!(received, messages, "{text:?} in {pieces:?}");
        assert!(as_expected(&ended), "{text:?} in {pieces:?}");
    }
}

fn goes_on(ended: &Option<Disconnect>) -> bool {
    ended.is_none()
}

fn too_large(ended: &Option<Disconnect>) -> bool {
    let Some(disconnect) = ended else {
        return false;
    };
    matches!(disconnect.reason, Reason::FrameTooLarge { bytes, max: MAX } if bytes > MAX)
        && disconnect.initiator == Initiator::Library
        && !disconnect.drain_timed_out
}

fn inside_frame(ended: &Option<Disconnect>) -> bool {
    let reason = ended.as_ref().map(|disconnect| &disconnect.reason);
    matches!(reason, Some(Reason::EndInsideFrame { buffered: MAX, .. }))
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_the_largest_size_passes_and_one_byte_more_does_not() {
    let passes = ["hi", "elevenbytes", "x"];
    assert_however_it_comes(
        Text::default,
        b"hi\nelevenbytes\nx\n",
        false,
        &passes,
        goes_on,
    );
    let (bytes, before) = (b"hi\ntwelve-bytes\nx\n", &["hi"]);
    assert_however_it_comes(Text::default, bytes, false, before, too_large);
    // As the first frame of all, too.
    assert_however_it_comes(Text::default, b"twelve-bytes\nx\n", false, &[], too_large);
}

#[tokio::test(start_paused = true)]
async fn what_the_codec_consumed_in_advance_is_part_of_the_frame() {
    let headed = || Headed(None);
    let (fits, exceeds) = (
        b"\x02hi\x0belevenbytes\x01x",
        b"\x02hi\x0ctwelve-bytes\x01x",
    );
    let passes = ["hi", "elevenbytes", "x"];
    assert_however_it_comes(headed, fits, false, &passes, goes_on);
    assert_however_it_comes(headed, exceeds, false, &["hi"], too_large);
}

#[tokio::test(start_paused = true)]
async fn what_the_codec_skips_is_part_of_the_next_frame() {
    let (fits, exceeds) = (b"hi\n#two\n#tw\nme\n#\nx\n", b"hi\n#two\n#two\nmee\nx\n");
    let passes = ["hi", "me", "x"];
    assert_however_it_comes(|| Skipping, fits, false, &passes, goes_on);
    assert_however_it_comes(|| Skipping, exceeds, false, &["hi"], too_large);
    let nothing_else = b"hi\n#two\n#two\n#two\n";
    assert_however_it_comes(|| Skipping, nothing_else, false, &["hi"], too_large);
}

#[tokio::test(start_paused = true)]
async fn an_end_inside_a_frame_is_one_until_the_frame_is_too_large() {
    let (at_most, beyond) = (b"hi\ntwelve-bytes", b"hi\nthirteenbytes");
    assert_however_it_comes(Text::default, at_most, true, &["hi"], inside_frame);
    assert_however_it_comes(Text::default, beyond, true, &["hi"], too_large);
}

/// How many bytes of a frame had come when it was found too large.
fn bytes_of(ended: &Disconnect) -> usize {
    match ended.reason {
        Reason::FrameTooLarge { bytes, .. } => bytes,
        _ => panic!("{ended}"),
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_is_read_than_the_cap_and_what_a_single_read_brings() {
    for (at_once, expected) in [(1, 1001), (300, 1200), (5000, 5000)] {
        let mut fixture = Fixture::with(with_max(1000));
        fixture.script.data("a\n");
        fixture.settle_pending();
        fixture.script.flood("x".repeat(at_once));
        assert_eq!(bytes_of(&fixture.settle_ended()), expected);
        assert_eq!(fixture.received(), ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_handshake_left_counts_as_well() {
    let begun = [b'x'; MAX + 1];
    let mut fixture = Fixture::left_with(&begun, Text::default(), with_max(MAX));
    fixture.script.flood("x");
    assert_eq!(bytes_of(&fixture.settle_ended()), MAX + 1);

    let mut fixture = Fixture::left_with(&begun[..MAX - 1], Text::default(), with_max(MAX));
    fixture.script.data("\nabc\n");
    fixture.settle_pending();
    assert_eq!(fixture.received(), ["xxxxxxxxxxx", "abc"]);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_sends_large_messages_has_the_same_cap() {
    for (size, passes) in [(30_000, true), (30_001, false)] {
        let mut fixture = Fixture::with(with_max(30_000));
        for size in [9_000, 20_000, size] {
            fixture.script.data("x".repeat(size - 1) + "\n");
        }
        let ended = fixture.settle();
        assert_eq!(fixture.received().len(), 2 + usize::from(passes));
        match ended {
            Poll::Pending => assert!(passes),
            Poll::Ready(ended) => assert_ended!(
                ended,
                Reason::FrameTooLarge {
                    bytes: 30_001,
                    max: 30_000
                },
                Library
            ),
        }
    }
}

#[test]
fn a_batch_of_many_frames_may_be_larger_than_a_frame() {
    let mut fixture = Fixture::with(SessionConfig {
        inbound: at_most(100_000),
        ..with_max(6)
    });
    let (text, lines) = lines(10_000);
    fixture.script.data(text);
    fixture.settle_pending();
    assert_eq!(fixture.received(), lines);
}

#[test]
fn without_a_cap_a_frame_may_have_any_size() {
    let mut fixture = Fixture::with(SessionConfig {
        max_frame_bytes: None,
        ..without_deadlines()
    });
    let size = 17 << 20;
    fixture.script.data(vec![b'x'; size]);
    fixture.script.data("\n");
    fixture.settle_pending();
    assert_eq!(fixture.received()[0].len(), size);
}

#[tokio::test(start_paused = true)]
async fn an_end_after_half_open_is_no_frame() {
    let mut fixture = Fixture::with(SessionConfig {
        allow_half_open: true,
        ..with_max(MAX)
    });
    fixture.script.data("elevenbytes\n");
    fixture.script.eof();
    fixture.settle_pending();
    fixture.push("answer");
    fixture.settle_pending();
    assert_eq!(fixture.script.written(), "answer\n");
}
