//! Layers around a codec: [`CodecExt`], which tells how to stack them.

/// The inner codec, by reference and by value.
macro_rules! access_inner {
    ($layer:ident<C $(, $more:ident)*>) => {
        impl<C $(, $more)*> $layer<C $(, $more)*> {
            /// The codec inside.
            pub fn get_ref(&self) -> &C {
                &self.codec
            }

            /// The codec inside, to change.
            ///
            /// What it decodes by hand, the layer doesn't see.
            pub fn get_mut(&mut self) -> &mut C {
                &mut self.codec
            }

            /// The codec inside, without this layer.
            pub fn into_inner(self) -> C {
                self.codec
            }
        }
    };
}

mod capped;
mod checked;
mod compressed;
mod either;
mod map_in;
mod map_out;
mod tapped;
mod tolerant;
mod try_map;
mod with;

use std::error::Error;

use bytes::Bytes;
use tokio_util::codec::{Decoder, Encoder};

#[cfg(feature = "lz4")]
pub use self::compressed::Lz4;
#[cfg(feature = "zstd")]
pub use self::compressed::Zstd;
pub use self::{
    capped::{Capped, CappedError},
    checked::{Checked, CheckedError},
    compressed::{Compressed, CompressedError, Compression, CompressionError},
    either::{Either, EitherError},
    map_in::MapIn,
    map_out::MapOut,
    tapped::{Passed, Tapped},
    tolerant::{Tolerant, TolerantError},
    try_map::{TryMap, TryMapError},
    with::With,
};
use crate::{Checksum, Recoverable};

/// Layers for every codec: each method makes of a codec another codec.
///
/// ```text
///     Prefixed::new(Length::U32, 64 * 1024).checked::<Crc32>().compressed(Lz4, 1 << 20)
///
///     bytes ⇄ [ Prefixed ⇄ Checked ⇄ Compressed ] ⇄ message
///
///     +--------+-----------------------------+----------+
///     | length | payload, compressed by LZ4  | CRC-32   |
///     +--------+-----------------------------+----------+
///              |<---- what is compressed --->|                 Compressed
///              |<--------- what is checked and its sum ->|     Checked
///     |<------------------ a frame --------------------->|     Prefixed
/// ```
///
/// The first codec stands at the wire and finds the frames; each method adds a layer on the side of the
/// messages. What comes passes the layers in the order in which they are written, what is sent in the
/// opposite order. So the order on the page is the order from the wire to the program.
///
/// # Which layer when
///
/// | layer | what it does | what it takes | items |
/// |---|---|---|---|
/// | [`map_in`], [`map_out`], [`with`] | changes the type of what comes, of what is sent, of both | any codec | any |
/// | [`try_map`] | the same for what comes, and may refuse it | any codec | any |
/// | [`capped`] | refuses frames beyond a size on the wire | any codec | as they are |
/// | [`checked`] | a checksum behind each payload | frames | `Bytes` |
/// | [`compressed`] | compresses each payload by itself | frames | `Bytes` |
/// | [`tolerant`] | goes on after a bad frame | any codec whose error is [`Recoverable`] | `Result` |
/// | [`either`] | whichever of two codecs the remote speaks | two codecs with one type of items | as they are |
/// | [`tapped`] | shows what passes to a function | any codec | as they are |
///
/// *Frames* are codecs with items that become `Bytes`, which encode `Bytes`: those of this crate,
/// `LengthDelimitedCodec`, and all layers with items of `Bytes`.
///
/// # Which order does what
///
/// | stack | what it means |
/// |---|---|
/// | `frames.checked().compressed(…)` | The checksum is that of the compressed bytes: damage is found before anything is expanded. Take this one, unless a protocol demands the other. |
/// | `frames.compressed(…).checked()` | The checksum is that of the payload, and is compressed with it: it vouches for the compression too, and damage reaches the decompressor first. |
/// | `frames.capped(n).compressed(…)` | `n` caps the compressed frame. All layers see the same bytes of the wire, so it means the same everywhere in a stack; here, a large one is refused before other layers work on it. |
/// | `frames.compressed(…).capped(n)` | The same bytes are measured, but after the work. An error of any layer comes as [`CappedError::Codec`]. |
/// | `….tolerant(n)` as the last | A bad frame of *any* layer below becomes an item. Usually right. |
/// | `frames.tolerant(n).map_in(…)` | Only what the frames' own codec finds bad becomes an item, and layers behind it get `Result`s: neither `checked` nor `compressed` fits there. |
/// | `frames.tapped(f).compressed(…)` | The tap sees frames: messages still compressed, errors of the frames alone. |
/// | `….tapped(f)` as the last | The tap sees messages, and the errors of all layers; the bytes are the same, those of the wire. |
/// | `a.compressed(…).either(b)` | The remote chooses; each of the two has layers of its own. |
/// | `a.either(b).compressed(…)` | The remote chooses the framing only; payloads are compressed in both. |
///
/// # A stack of three
///
/// ```
/// use bytes::{Bytes, BytesMut};
/// use tokio_util::codec::{Decoder, Encoder};
/// use wattle_codecs::{CodecExt, Crc32, Length, Lz4, Prefixed};
///
/// let mut codec = Prefixed::new(Length::U32, 64 * 1024)
///     .checked::<Crc32>()
///     .compressed(Lz4, 1 << 20);
///
/// let mut wire = BytesMut::new();
/// codec.encode(Bytes::from("wattle ".repeat(1000)), &mut wire)?;
/// assert!(wire.len() < 100);
///
/// assert_eq!(codec.decode(&mut wire)?.unwrap().len(), 7000);
///
/// // A flipped bit is found by the checksum, before anything is expanded.
/// codec.encode(Bytes::from("wattle ".repeat(1000)), &mut wire)?;
/// wire[9] ^= 1;
/// let error = codec.decode(&mut wire).unwrap_err();
/// assert!(error.to_string().starts_with("frame at byte 57: checksum "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Encoders alone
///
/// The methods are those of decoders, and so of everything that is both. (On every type there is, they would
/// get in the way of others: a sink has a `with` of its own.) For a type that only encodes, the
/// layers have constructors: [`MapOut::new`], [`Capped::new`], [`Checked::new`], [`Compressed::new`].
///
/// # Errors
///
/// Each layer that can fail has an error of its own, with the inner codec's error inside as the variant
/// `Codec`. Where an error says at which byte, it counts from where the codec began to decode; all layers
/// of a stack count alike.
///
/// All layers forward `decode_eof`, and leave alone the direction that they don't concern. None has a buffer
/// while there is no frame under way.
///
/// [`map_in`]: CodecExt::map_in
/// [`map_out`]: CodecExt::map_out
/// [`with`]: CodecExt::with
/// [`try_map`]: CodecExt::try_map
/// [`capped`]: CodecExt::capped
/// [`checked`]: CodecExt::checked
/// [`compressed`]: CodecExt::compressed
/// [`tolerant`]: CodecExt::tolerant
/// [`either`]: CodecExt::either
/// [`tapped`]: CodecExt::tapped
pub trait CodecExt: Decoder + Sized {
    /// Passes every decoded item through `f`.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio_util::codec::{Decoder, LinesCodec};
    /// use wattle_codecs::CodecExt;
    ///
    /// let mut codec = LinesCodec::new_with_max_length(80).map_in(|line| line.to_uppercase());
    /// assert_eq!(codec.decode(&mut "pea\n".into())?.unwrap(), "PEA");
    /// # Ok::<(), tokio_util::codec::LinesCodecError>(())
    /// ```
    fn map_in<F, U>(self, f: F) -> MapIn<Self, F>
    where
        F: FnMut(Self::Item) -> U,
    {
        MapIn::new(self, f)
    }

    /// Encodes what `f` makes of an item, for items of another type than the codec encodes.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::{Bytes, BytesMut};
    /// use tokio_util::codec::Encoder;
    /// use wattle_codecs::{CodecExt, Length, Prefixed};
    ///
    /// let mut codec = Prefixed::new(Length::U8, 80).map_out(|text: String| Bytes::from(text));
    /// let mut wire = BytesMut::new();
    /// codec.encode("pea".to_owned(), &mut wire)?;
    /// assert_eq!(&wire[..], b"\x03pea");
    /// # Ok::<(), wattle_codecs::PrefixedError>(())
    /// ```
    fn map_out<F, U, T>(self, f: F) -> MapOut<Self, F>
    where
        Self: Encoder<T>,
        F: FnMut(U) -> T,
    {
        MapOut::new(self, f)
    }

    /// [`map_in`](Self::map_in) with `f_in` and [`map_out`](Self::map_out) with `f_out`: a codec of
    /// another type in both directions.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::{Buf, Bytes, BytesMut};
    /// use tokio_util::codec::{Decoder, Encoder};
    /// use wattle_codecs::{CodecExt, Length, Prefixed};
    ///
    /// let mut codec = Prefixed::new(Length::U8, 80).with(
    ///     |payload| payload.to_vec(),
    ///     |payload: Vec<u8>| Bytes::from(payload),
    /// );
    /// let mut wire = BytesMut::new();
    /// codec.encode(vec![1, 2], &mut wire)?;
    /// assert_eq!(codec.decode(&mut wire)?, Some(vec![1, 2]));
    /// # Ok::<(), wattle_codecs::PrefixedError>(())
    /// ```
    fn with<F, G, U, V, T>(self, f_in: F, f_out: G) -> With<Self, F, G>
    where
        Self: Encoder<T>,
        F: FnMut(Self::Item) -> U,
        G: FnMut(V) -> T,
    {
        MapOut::new(MapIn::new(self, f_in), f_out)
    }

    /// Passes every decoded item through `f`, which may refuse it.
    ///
    /// # Errors
    ///
    /// [`TryMapError`]: the codec's, or what `f` says, which is [recoverable](Recoverable), as the frame
    /// has been consumed.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio_util::codec::{Decoder, LinesCodec};
    /// use wattle_codecs::CodecExt;
    ///
    /// let mut codec = LinesCodec::new_with_max_length(80).try_map(|line| line.parse::<u8>());
    /// assert_eq!(codec.decode(&mut "12\n".into()).unwrap(), Some(12));
    /// let error = codec.decode(&mut "pea\n".into()).unwrap_err();
    /// assert_eq!(error.to_string(), "frame at byte 3: invalid digit found in string");
    /// ```
    fn try_map<F, U, X>(self, f: F) -> TryMap<Self, F>
    where
        F: FnMut(Self::Item) -> Result<U, X>,
    {
        TryMap::new(self, f)
    }

    /// Caps the size of a frame on the wire at `most` bytes, with all that belongs to it, in both
    /// directions. For codecs that have no cap of their own, or don't demand one.
    ///
    /// What counts is what the codec consumes from one item to the next, and, when it says that it needs more, what
    /// lies in the buffer. What it skips counts as well.
    ///
    /// A codec that makes room for as many bytes as the remote announces (`LengthDelimitedCodec`)
    /// has that memory for the moment of its own call. Then it is given back but for as many bytes as have come,
    /// or 64 KiB if that is more, and never more than the cap leaves of this frame; so memory grows with what
    /// comes, at the price of moving large frames while they grow. A codec with a cap of its own that
    /// makes room with care ([`Prefixed`](crate::Prefixed)) saves both.
    ///
    /// # Errors
    ///
    /// [`CappedError`]: the codec's, or of a frame that is too long, which is not recoverable.
    /// One that is to be sent leaves no bytes behind.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use tokio_util::codec::{Decoder, Encoder, LinesCodec};
    /// use wattle_codecs::CodecExt;
    ///
    /// let mut codec = LinesCodec::new().capped(4);
    /// assert_eq!(codec.decode(&mut "pea\n".into()).unwrap().unwrap(), "pea");
    /// let error = codec.decode(&mut "beans".into()).unwrap_err();
    /// assert_eq!(error.to_string(), "frame at byte 4: 5 bytes came, expected at most 4");
    /// assert!(codec.encode("bean", &mut BytesMut::new()).is_err());
    /// ```
    fn capped(self, most: usize) -> Capped<Self> {
        Capped::new(self, most)
    }

    /// Puts the checksum of each payload behind it, and holds it against what comes.
    ///
    /// ```text
    ///     |<------------ a frame ------------->|
    ///     +-------------------------+----------+
    ///     | payload                 | checksum |      CRC-32: 4 bytes, the most significant first
    ///     +-------------------------+----------+
    ///     |<--- what is summed ---->|
    /// ```
    ///
    /// It finds what memory, disks and broken middleboxes do to bytes, and not what somebody does on
    /// purpose, who can compute a checksum as well: that takes keys ([`noise`](crate::noise), [`tls`](crate::tls)).
    ///
    /// The cap of the frame codec includes the checksum.
    ///
    /// # Errors
    ///
    /// [`CheckedError`]: the codec's, or of a frame without the right checksum, which is
    /// [recoverable](Recoverable): it has been consumed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::{Bytes, BytesMut};
    /// use tokio_util::codec::{Decoder, Encoder};
    /// use wattle_codecs::{CodecExt, Crc32, Length, Prefixed};
    ///
    /// let mut codec = Prefixed::new(Length::U8, 80).checked::<Crc32>();
    /// let mut wire = BytesMut::new();
    /// codec.encode(Bytes::from("123456789"), &mut wire)?;
    /// assert_eq!(&wire[..], b"\x0d123456789\xcb\xf4\x39\x26");
    /// # Ok::<(), wattle_codecs::PrefixedError>(())
    /// ```
    fn checked<K: Checksum>(self) -> Checked<Self, K>
    where
        Self::Item: Into<Bytes>,
    {
        Checked::new(self)
    }

    /// Compresses each payload by itself, with [`Lz4`], [`Zstd`] or another [`Compression`], and expands to at
    /// most `max_expanded` bytes.
    ///
    /// A small frame can expand to a huge payload, by design or by malice. So each says what size it
    /// will be, and that is held against `max_expanded` *before* anything is expanded or
    /// allocated; what then doesn't fit the size that it said is refused as well. The memory for a frame is at most that of the
    /// frame and `max_expanded`, and what the compression works with; none of it is kept.
    ///
    /// Payloads of less than some 100 bytes become larger rather than smaller.
    /// Where a secret and what an attacker chose stand in the same encrypted payload, its length tells
    /// of the secret (the attack called CRIME); don't compress that.
    ///
    /// # Errors
    ///
    /// [`CompressedError`]: the codec's, or of a frame that can't or mustn't be expanded, which is
    /// [recoverable](Recoverable): it has been consumed, and the next one doesn't depend on it. A
    /// payload to send that is larger than `max_expanded` is an error too, as the other side would refuse it.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::{Bytes, BytesMut};
    /// use tokio_util::codec::{Decoder, Encoder};
    /// use wattle_codecs::{CodecExt, Length, Prefixed, Zstd};
    ///
    /// let mut codec = Prefixed::new(Length::U32, 64 * 1024).compressed(Zstd::default(), 1 << 20);
    /// let mut wire = BytesMut::new();
    /// codec.encode(Bytes::from(vec![7; 1 << 20]), &mut wire)?;
    /// assert!(wire.len() < 200);
    /// assert_eq!(codec.decode(&mut wire)?, Some(Bytes::from(vec![7; 1 << 20])));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn compressed<K: Compression>(self, compression: K, max_expanded: usize) -> Compressed<Self, K>
    where
        Self::Item: Into<Bytes>,
    {
        Compressed::new(self, compression, max_expanded)
    }

    /// Makes a bad frame an item, `Err` with what is wrong with it, so that the connection goes on; at most
    /// `most_in_row` of them without a good one between.
    ///
    /// Which errors these are, the error says itself: [`Recoverable`].
    ///
    /// # Errors
    ///
    /// [`TolerantError`]: an error that is not recoverable, or one bad frame too many.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use tokio_util::codec::{Decoder, LinesCodec};
    /// use wattle_codecs::CodecExt;
    ///
    /// let mut codec = LinesCodec::new_with_max_length(5).tolerant(3);
    /// let mut wire = BytesMut::from("pea\nartichoke\nbean\n");
    /// assert_eq!(codec.decode(&mut wire)?.unwrap()?, "pea");
    /// assert!(codec.decode(&mut wire)?.unwrap().is_err());
    /// assert_eq!(codec.decode(&mut wire)?.unwrap()?, "bean");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn tolerant(self, most_in_row: usize) -> Tolerant<Self>
    where
        Self::Error: Recoverable,
    {
        Tolerant::new(self, most_in_row)
    }

    /// Speaks whichever of two codecs the remote speaks: that which yields an item first, from then on.
    ///
    /// Until then each decodes its own copy of what comes. One that errs is out. If both yield an item of the
    /// same bytes, `self` it is; if of different ones, that whose item ends first, so that it doesn't matter in
    /// which portions the bytes came. What the other codec would have to take for a frame of its own
    /// should not occur: the decision is only as good as the two are different. As soon as there is
    /// one codec left, it decodes the buffer itself, and the copies are gone.
    ///
    /// What is sent before a decision is encoded by `self`, or by `other` if `self` is out. Where the remote
    /// waits for the other side to begin, let that side not be this one.
    ///
    /// Memory while undecided: what the codec that needs more leaves unconsumed, and a copy for each; so what the
    /// codecs' caps allow bounds it. Codecs without a cap should be [`capped`](Self::capped) each.
    ///
    /// [`Either::left`] and [`Either::right`] make the same type from a choice at run time.
    ///
    /// # Errors
    ///
    /// [`EitherError`]: the error of the one, when decided, or of both.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::{Bytes, BytesMut};
    /// use tokio_util::codec::{Decoder, LinesCodec};
    /// use wattle_codecs::{CodecExt, Length, Prefixed};
    ///
    /// let frames = Prefixed::new(Length::U32, 1024);
    /// let lines = LinesCodec::new_with_max_length(1024).map_in(Bytes::from);
    /// let mut codec = frames.either(lines);
    ///
    /// // As a length of a frame, "GET " is 1.2 billion.
    /// let item = codec.decode(&mut BytesMut::from("GET /\r\n"))?;
    /// assert_eq!(item, Some(Bytes::from("GET /")));
    /// assert!(codec.is_decided() && codec.as_right().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn either<B: Decoder<Item = Self::Item>>(self, other: B) -> Either<Self, B> {
        Either::new(self, other)
    }

    /// Shows all that passes to `tap`, for logs and captures: each item that comes with the bytes that it was
    /// on the wire, each that is sent and the bytes that it becomes, and the errors. Where in a stack it stands decides whose items and errors;
    /// right at the wire, they are those of the frames (still compressed, or encrypted), as the last layer,
    /// they are the messages. The bytes are those of the wire everywhere.
    ///
    /// A codec that encodes several types encodes one when it is tapped: that which the tap is shown.
    ///
    /// The bytes that come are copied once, as the codec may be done with them when the item is there. At most
    /// what is in the read buffer and 64 KiB are held. `tap` runs within `decode` and `encode` and so should be quick.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use tokio_util::codec::{Decoder, Encoder, LinesCodec};
    /// use wattle_codecs::{CodecExt, Passed};
    ///
    /// let mut log = Vec::new();
    /// let mut codec = LinesCodec::new_with_max_length(80).tapped(|passed| match passed {
    ///     Passed::Decoded { wire, message } => log.push(format!("{wire:?} is {message:?}")),
    ///     Passed::Encoding { message } => log.push(format!("to send: {message:?}")),
    ///     Passed::Encoded { wire } => log.push(format!("sent: {wire:?}")),
    ///     other => log.push(format!("{other:?}")),
    /// });
    /// codec.decode(&mut "pea\n".into())?;
    /// codec.encode("pod", &mut BytesMut::new())?;
    /// drop(codec);
    /// assert_eq!(log[0], r#"[112, 101, 97, 10] is "pea""#);
    /// assert_eq!(log[1..], [r#"to send: "pod""#, "sent: [112, 111, 100, 10]"]);
    /// # Ok::<(), tokio_util::codec::LinesCodecError>(())
    /// ```
    fn tapped<F, Out>(self, tap: F) -> Tapped<Self, F, Out>
    where
        Self: Encoder<Out>,
        <Self as Decoder>::Error: Error + 'static,
        F: FnMut(Passed<'_, Self::Item, Out>),
    {
        Tapped::new(self, tap)
    }
}

impl<C: Decoder> CodecExt for C {}
