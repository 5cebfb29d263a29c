//! A frame codec and a format make a typed codec: [`Serde`].

use std::{error::Error, fmt, io, marker::PhantomData};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::{Encoded, ParseMessage, WriteMessage, format::serialize};
use crate::{
    Recoverable,
    encode::encode_or_nothing,
    progress::{Decoded, Progress},
};

/// A codec of messages, made of a frame codec `F` and a format `M`: it receives messages of type
/// `In` and sends messages of type `Out`.
///
/// ```text
///     bytes  →  F: Decoder<Item: Into<Bytes>>  →  M: ParseMessage<In>   →  In
///     bytes  ←  F: Encoder<Bytes>              ←  M: WriteMessage<Out>  ←  Out
///                                              ←──────────────────────  ←  Encoded<Out, M>
/// ```
///
/// The frame is the message: bytes that are left behind it are an error. The frame codec's cap
/// bounds what one message costs: every format here reserves memory as the frame's bytes justify
/// it, and bounds how deep messages nest.
///
/// What a format can't tell apart comes back as the same: a `Some` of nothing (`Some(None)`, `Some(())`) as `None` in
/// all of them but Postcard. JSON has no infinities and no NaN, which it writes as `null`, and takes no
/// sequences or structs for keys of maps.
///
/// The formats have functions that name the customary frames, such as
/// [`Json::lines`](crate::Json::lines). One type for both directions is the default wherever the
/// type is named; where it isn't, it is said:
///
/// ```
/// # #[cfg(feature = "json")] {
/// use wattle_codecs::{Json, Length, Prefixed, Serde};
/// # type Message = u8;
/// # type Request = u8;
/// # type Reply = String;
///
/// let codec = Json::framed::<Message>(64 * 1024);
/// let codec = Json::framed::<Request>(64 * 1024).sending::<Reply>();
///
/// let frames = Prefixed::new(Length::U16, 1024);
/// let codec: Serde<_, _, Message> = Serde::new(frames.clone(), Json);
/// let codec = Serde::<_, _, Request, Reply>::new(frames, Json);
/// # let _: Serde<_, _, Request, Reply> = codec;
/// # }
/// ```
///
/// It encodes two types, `Out` and [`Encoded<Out, M>`](Encoded). What doesn't name a message has to
/// be told which: `SinkExt::<Message>::close(&mut framed)`, as with tokio-util's `LinesCodec`.
///
/// # Errors
///
/// [`SerdeError`]. A frame that isn't such a message is [recoverable](Recoverable): the next frame
/// begins where this one ends. A message that can't be written, or has no room in a frame, writes
/// nothing.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "json")] {
/// use bytes::BytesMut;
/// use tokio_util::codec::{Decoder, Encoder};
/// use wattle_codecs::{Json, SerdeError};
///
/// let mut codec = Json::framed::<(u8, String)>(64);
/// let mut wire = BytesMut::new();
/// codec.encode((1, "Ann".to_owned()), &mut wire)?;
/// assert_eq!(&wire[..], b"\0\0\0\x09[1,\"Ann\"]");
/// assert_eq!(codec.decode(&mut wire)?, Some((1, "Ann".to_owned())));
///
/// wire.extend_from_slice(b"\0\0\0\x03[1}\0\0\0\x09[2,\"Bob\"]");
/// let error = codec.decode(&mut wire).unwrap_err();
/// assert!(matches!(error, SerdeError::Parse { len: 3, at: 13, .. }));
/// assert_eq!(codec.decode(&mut wire)?, Some((2, "Bob".to_owned())));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Serde<F, M, In, Out = In> {
    frames: F,
    format: M,
    progress: Progress,
    messages: PhantomData<fn(Out) -> In>,
}

impl<F, M, In, Out> Serde<F, M, In, Out> {
    /// Messages in this format, each in a frame of this codec.
    pub fn new(frames: F, format: M) -> Self {
        Self {
            frames,
            format,
            progress: Progress::default(),
            messages: PhantomData,
        }
    }

    /// The same codec, sending another type than it receives.
    pub fn sending<Reply>(self) -> Serde<F, M, In, Reply>
    where
        M: WriteMessage<Reply>,
    {
        Serde {
            frames: self.frames,
            format: self.format,
            progress: self.progress,
            messages: PhantomData,
        }
    }

    /// The format.
    pub fn format(&self) -> &M {
        &self.format
    }
}

impl<F, M, In, Out> Serde<F, M, In, Out>
where
    F: Decoder<Item: Into<Bytes>>,
    M: ParseMessage<In>,
{
    /// Decodes a frame, and the message in it.
    #[inline]
    fn step(
        &mut self,
        decode: impl FnOnce(&mut F, &mut BytesMut) -> Decoded<F>,
        src: &mut BytesMut,
    ) -> Result<Option<In>, SerdeError<F::Error, M::Error>> {
        let frame = self.progress.decode(decode, &mut self.frames, src);
        let Some((frame, span)) = frame.map_err(SerdeError::Frame)? else {
            return Ok(None);
        };
        let frame = frame.into();
        match self.format.parse(&frame) {
            Ok(message) => Ok(Some(message)),
            Err(source) => Err(SerdeError::Parse {
                source,
                len: frame.len(),
                at: span.at,
            }),
        }
    }
}

impl<F, M, In, Out> Decoder for Serde<F, M, In, Out>
where
    F: Decoder<Item: Into<Bytes>>,
    M: ParseMessage<In>,
{
    type Item = In;
    type Error = SerdeError<F::Error, M::Error>;

    #[inline]
    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<In>, Self::Error> {
        self.step(F::decode, src)
    }

    #[inline]
    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<In>, Self::Error> {
        self.step(F::decode_eof, src)
    }
}

impl<F, M, In, Out> Encoder<Out> for Serde<F, M, In, Out>
where
    F: Encoder<Bytes>,
    M: WriteMessage<Out>,
{
    type Error = SerdeError<F::Error, M::Error>;

    #[inline]
    fn encode(&mut self, message: Out, dst: &mut BytesMut) -> Result<(), Self::Error> {
        let payload =
            serialize(&self.format, &message).map_err(|source| SerdeError::Write { source })?;
        encode_or_nothing(&mut self.frames, payload, dst).map_err(SerdeError::Frame)
    }
}

// The bound says nothing new, but what is wrong when a message can't be written.
impl<F, M, In, Out> Encoder<Encoded<Out, M>> for Serde<F, M, In, Out>
where
    F: Encoder<Bytes>,
    M: WriteMessage<Out>,
{
    type Error = SerdeError<F::Error, M::Error>;

    #[inline]
    fn encode(&mut self, message: Encoded<Out, M>, dst: &mut BytesMut) -> Result<(), Self::Error> {
        encode_or_nothing(&mut self.frames, message.into_bytes(), dst).map_err(SerdeError::Frame)
    }
}

impl<F: Clone, M: Clone, In, Out> Clone for Serde<F, M, In, Out> {
    fn clone(&self) -> Self {
        Self {
            frames: self.frames.clone(),
            format: self.format.clone(),
            progress: self.progress.clone(),
            messages: PhantomData,
        }
    }
}

impl<F: fmt::Debug, M: fmt::Debug, In, Out> fmt::Debug for Serde<F, M, In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serde")
            .field("frames", &self.frames)
            .field("format", &self.format)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a message of [`Serde`], or with its frame: `E` is the error of the frame
/// codec, `X` that of the format.
#[derive(Debug)]
#[non_exhaustive]
pub enum SerdeError<E, X> {
    /// The frame codec's own error.
    Frame(E),
    /// The frame isn't such a message.
    Parse {
        /// What is wrong with it.
        source: X,
        /// The size of the frame's payload in bytes.
        len: usize,
        /// The byte of the stream that the frame begins at, counted from where the codec began to
        /// decode. What the frame codec throws away after an error of its own counts as part of the
        /// next frame.
        at: u64,
    },
    /// A message that is to be sent can't be written in this format.
    Write {
        /// Why not.
        source: X,
    },
}

impl<E: fmt::Display, X: fmt::Display> fmt::Display for SerdeError<E, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Parse { source, len, at } => {
                write!(
                    f,
                    "frame at byte {at}: in its message of {len} bytes: {source}"
                )
            }
            Self::Write { source } => write!(f, "a message to send: {source}"),
        }
    }
}

impl<E: Error, X: Error> Error for SerdeError<E, X> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // Its own text is told above already.
        match self {
            Self::Frame(error) => error.source(),
            Self::Parse { source, .. } | Self::Write { source } => source.source(),
        }
    }
}

impl<E: From<io::Error>, X> From<io::Error> for SerdeError<E, X> {
    fn from(error: io::Error) -> Self {
        Self::Frame(error.into())
    }
}

/// What doesn't parse concerns one frame; with the frames themselves, their codec knows.
impl<E: Recoverable, X> Recoverable for SerdeError<E, X> {
    fn is_recoverable(&self) -> bool {
        match self {
            Self::Frame(error) => error.is_recoverable(),
            Self::Parse { .. } => true,
            Self::Write { .. } => false,
        }
    }
}
