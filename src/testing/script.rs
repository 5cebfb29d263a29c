//! Scripted peers: [`Script`].
//!
//! ```text
//!  Script ─ dial ───► Dialing ───┐ connect ┐
//!    │                           ├─────────┴► Player ─ play(&Script) ─► … ─► finish ─► Transcript
//!    └───── listen ─► Listening ─┘ accept  ┘     └──► Failure, with the transcript so far
//! ```
//!
//! `Dialing::play` and `Listening::play` go that way at once.

use std::{fmt, panic::Location, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::{
    disconnect::BoxError,
    protocol::Protocol,
    transport::{Tcp, Transport},
};

mod dump;
mod failure;
mod line;
mod player;
mod stage;
mod step;
mod transcript;
mod wire;

pub use failure::{Ending, FailedStep, Failure, Instead};
pub use player::Player;
pub use stage::{Dialing, Listening};
pub use step::Closed;
pub use transcript::{Entry, Happening, Transcript};

use line::Open;
use step::{Answer, Deed, Message, Step};

/// How long a script waits for the other side where it doesn't say: much longer than an answer takes
/// on a busy machine, and shorter than the patience of whoever watches a test.
const PATIENCE: Duration = Duration::from_secs(10);

/// A peer written as a script, to be played against a node: wattle's or anybody's.
///
/// The steps are what the peer sends and what it expects to receive, in their order. A script is a
/// value: it is built first, costs little to clone, and is played as often as one likes, by as many
/// peers at once. It speaks whatever [`Builder::start`](crate::Builder::start) takes, a codec for each
/// connection or a [`Protocol`] with a handshake, over TCP or another [`Transport`].
///
/// What doesn't happen as it is written becomes a [`Failure`], which says what was expected, by which
/// step, what came instead, and everything that was sent and received until then.
///
/// # What is read when
///
/// Nothing that came is lost between two steps, and each message is taken by one step only. While the
/// peer writes, or waits between two pieces, it reads ahead (1 MiB at most), as the other side may not
/// read before it has written. In a [`stall`](Script::stall) it doesn't.
///
/// [Answers beside the script](Script::auto_reply) are given while a step waits for something to come,
/// so never in the middle of what another step writes.
///
/// # Examples
///
/// A client of a node:
///
/// ```
/// use futures::StreamExt;
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Node, testing::{Closed, Script}};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let (node, inbound) = Node::builder().listen("127.0.0.1:0").start(codec).await?;
/// tokio::spawn(inbound.map(Ok).forward(node.outbound()));
///
/// let client = Script::new(codec)
///     .send("hello")
///     .expect("hello")
///     .half_close()
///     .expect_closed(Closed::Orderly);
/// client.dial(node.local_addr().unwrap()).play().await?;
/// # Ok(())
/// # }
/// ```
///
/// The other way round, a server that isn't there, for a test of its client:
///
/// ```
/// # use tokio_util::codec::LinesCodec;
/// # use wattle::{Node, testing::Script};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let codec = |_| LinesCodec::new_with_max_length(8192);
/// let server = Script::new(codec).expect("GET answer").send("42");
/// let mut server = server.listen("127.0.0.1:0".parse()?).await?;
/// let addr = server.local_addr();
/// let server = tokio::spawn(async move { server.play().await });
///
/// let (client, mut inbound) = Node::builder().start(codec).await?;
/// let peer = client.connect(addr).await?;
/// client.send_to("GET answer", peer).await?;
/// assert_eq!(inbound.recv().await, Some(("42".to_owned(), peer)));
/// server.await??;
/// # Ok(())
/// # }
/// ```
pub struct Script<C: Decoder, T: Transport = Tcp> {
    transport: Arc<T>,
    protocol: Arc<dyn Open<T::Stream, C>>,
    steps: Vec<Step<C>>,
    beside: Vec<Beside<C>>,
    /// Of the steps to come, and of connecting.
    patience: Duration,
    opening: Duration,
}

/// What is done with a message beside the script; `None` leaves it to the steps.
type Beside<C> = Arc<dyn Fn(&<C as Decoder>::Item) -> Option<Answer<C>> + Send + Sync>;

impl<C> Script<C>
where
    C: Decoder<Item: fmt::Debug + Send + 'static, Error: Into<BoxError>> + Send + 'static,
{
    /// A script without steps, over TCP. `protocol` is what one would give to
    /// [`Builder::start`](crate::Builder::start).
    pub fn new<P: Protocol<Codec = C>>(protocol: P) -> Self {
        Self::over(Tcp::new(), protocol)
    }
}

impl<C, T> Script<C, T>
where
    C: Decoder<Item: fmt::Debug + Send + 'static, Error: Into<BoxError>> + Send + 'static,
    T: Transport,
{
    /// A script without steps, over a transport.
    pub fn over<P: Protocol<T::Stream, Codec = C>>(transport: T, protocol: P) -> Self {
        Self {
            transport: Arc::new(transport),
            protocol: Arc::new(line::Opening(protocol)),
            steps: Vec::new(),
            beside: Vec::new(),
            patience: PATIENCE,
            opening: PATIENCE,
        }
    }

    /// How long each of the following steps waits for the other side: for what it expects, and for
    /// room for what it sends. 10 seconds by default. Before the first step it is also how long the
    /// script waits for the connection and its handshake.
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        if self.steps.is_empty() {
            self.opening = patience;
        }
        self
    }

    /// Sends a message. Different steps can send messages of different types, if the codec encodes
    /// them.
    #[track_caller]
    pub fn send<M>(self, message: M) -> Self
    where
        C: Encoder<M, Error: Into<BoxError>>,
        M: Clone + fmt::Debug + Send + Sync + 'static,
    {
        let text = dump::text(&message);
        let encode = move |codec: &mut C, bytes: &mut BytesMut| {
            codec.encode(message.clone(), bytes).map_err(Into::into)
        };
        let encode = Arc::new(encode);
        self.step(Deed::Send { text, encode })
    }

    /// Sends bytes as they are, past the codec: half a message, or what no codec would encode.
    #[track_caller]
    pub fn send_bytes(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Deed::SendBytes(bytes.into()))
    }

    /// Sends bytes as they are in pieces of a size, with a pause between each two, in which it reads
    /// ahead.
    ///
    /// # Panics
    ///
    /// If `piece_size` is 0.
    #[track_caller]
    pub fn trickle(self, bytes: impl Into<Bytes>, piece_size: usize, every: Duration) -> Self {
        assert!(piece_size > 0, "pieces of 0 bytes would never be all");
        self.step(Deed::Trickle {
            bytes: bytes.into(),
            piece_size,
            every,
        })
    }

    /// Ends our side, and stays to read.
    #[track_caller]
    pub fn half_close(self) -> Self {
        self.step(Deed::HalfClose)
    }

    /// Resets the connection: what was sent before and not taken yet may be lost. It has to be the
    /// last step. Only where the stream is TCP's own or one of [`Memory`](super::Memory); another kind that
    /// is dropped looks like an orderly end to the other side, so that the step fails instead.
    #[track_caller]
    pub fn reset(self) -> Self {
        self.step(Deed::Reset)
    }

    /// Reads nothing and writes nothing for a while, as a peer that hangs.
    #[track_caller]
    pub fn stall(self, duration: Duration) -> Self {
        self.step(Deed::Stall(duration))
    }

    /// Expects this message as the next.
    #[track_caller]
    pub fn expect<M>(self, message: M) -> Self
    where
        C::Item: PartialEq<M>,
        M: fmt::Debug + Send + Sync + 'static,
    {
        let what = dump::text(&message);
        self.expect_matching(what, move |came| *came == message)
    }

    /// Expects as the next message one for which `matches` holds. What it is, such as `"a version
    /// that we know"`, is said in the failure.
    #[track_caller]
    pub fn expect_matching(
        self,
        what: impl Into<String>,
        matches: impl Fn(&C::Item) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.step(Deed::Expect {
            what: what.into(),
            matches: Arc::new(matches),
        })
    }

    /// Expects that the other side ends the connection, with no message before that. A step that
    /// writes just before doesn't fail when the other side has ended the connection by then.
    #[track_caller]
    pub fn expect_closed(self, how: Closed) -> Self {
        self.step(Deed::ExpectClosed(how))
    }

    /// Expects that nothing comes for a while, and that the connection stays. A message that came
    /// before, and that no step has taken, is something that comes.
    #[track_caller]
    pub fn expect_silence(self, duration: Duration) -> Self {
        self.step(Deed::ExpectSilence(duration))
    }

    /// Answers some messages beside the script, for the whole of it: those for which there is a reply.
    /// No step gets to see them. For what the node wants answered however the test goes, as pings.
    pub fn auto_reply<M>(
        self,
        reply: impl Fn(&C::Item) -> Option<M> + Send + Sync + 'static,
    ) -> Self
    where
        C: Encoder<M, Error: Into<BoxError>>,
        M: fmt::Debug + Send + 'static,
    {
        self.beside(move |message| {
            let reply = reply(message)?;
            let text = dump::text(&reply);
            let encode = move |codec: &mut C, bytes: &mut BytesMut| {
                codec.encode(reply, bytes).map_err(Into::into)
            };
            Some(Answer::Reply(Message {
                text,
                encode: Box::new(encode),
            }))
        })
    }

    /// Passes over the messages for which `skip` holds, for the whole of the script. No step gets to
    /// see them. For what a node says unasked and the test doesn't care about.
    pub fn ignore(self, skip: impl Fn(&C::Item) -> bool + Send + Sync + 'static) -> Self {
        self.beside(move |message| skip(message).then_some(Answer::Nothing))
    }

    fn beside(
        mut self,
        answer: impl Fn(&C::Item) -> Option<Answer<C>> + Send + Sync + 'static,
    ) -> Self {
        self.beside.push(Arc::new(answer));
        self
    }

    #[track_caller]
    fn step(mut self, deed: Deed<C>) -> Self {
        self.steps.push(Step {
            deed,
            within: self.patience,
            written_at: Location::caller(),
        });
        self
    }
}

impl<C: Decoder, T: Transport> Clone for Script<C, T> {
    fn clone(&self) -> Self {
        Self {
            transport: self.transport.clone(),
            protocol: self.protocol.clone(),
            steps: self.steps.clone(),
            beside: self.beside.clone(),
            patience: self.patience,
            opening: self.opening,
        }
    }
}

/// The steps, each as a line.
impl<C: Decoder, T: Transport> fmt::Debug for Script<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script ")?;
        let steps = self.steps.iter().map(|step| step.deed.to_string());
        f.debug_list().entries(steps.map(Plain)).finish()
    }
}

/// Text without quotes.
struct Plain(String);

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
