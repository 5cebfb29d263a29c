//! A script being played: [`Player`].

use std::{fmt, time::Duration};

use bytes::BytesMut;
use tokio::time::{Instant, sleep};
use tokio_util::codec::{Decoder, Framed};

use super::{
    Beside, Script,
    dump::text,
    failure::{Ending, FailedStep, Failure, Instead},
    line::Session,
    step::{Answer, Closed, Deed, Matches, Message, Step},
    transcript::{Happening, Transcript},
    wire::{Came, Wire},
};
use crate::{
    disconnect::BoxError,
    transport::{ByteStream, Transport},
};

/// A connection on which scripts are played, one after the other: for tests that do something between
/// two parts, or go on by hand.
///
/// # Examples
///
/// ```
/// use tokio_util::codec::LinesCodec;
/// use wattle::{Node, testing::{Closed, Script}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codec = |_| LinesCodec::new_with_max_length(8192);
/// let (node, mut inbound) = Node::builder().listen("127.0.0.1:0").start(codec).await?;
///
/// let remote = Script::new(codec);
/// let mut player = remote.dial(node.local_addr().unwrap()).connect().await?;
/// player.play(&remote.clone().send("who are you?")).await?;
/// let (_question, peer) = inbound.recv().await.unwrap();
///
/// node.send_to("nobody", peer).await?;
/// tokio::spawn(async move { node.disconnect(peer).await });
/// player.play(&remote.expect("nobody").expect_closed(Closed::Orderly)).await?;
/// println!("{}", player.finish().await);
/// # Ok(())
/// # }
/// ```
pub struct Player<C> {
    wire: Wire<C>,
    transcript: Transcript,
    begun: Instant,
    step: Option<usize>,
}

/// What a step meets when it waits for something to come.
enum Next<In> {
    Message(In),
    Closed(Ending),
    TimedOut,
}

impl<C> Player<C>
where
    C: Decoder<Item: fmt::Debug + Send + 'static, Error: Into<BoxError>> + Send + 'static,
{
    /// A player on a stream that is connected already, with nothing played yet.
    pub fn on(stream: impl ByteStream, codec: C) -> Self {
        let session = Session {
            line: Box::new(stream),
            codec,
            unread: BytesMut::new(),
        };
        Self::new(session, Instant::now())
    }

    pub(super) fn new(session: Session<C>, begun: Instant) -> Self {
        Self {
            wire: Wire::new(session),
            transcript: Transcript::default(),
            begun,
            step: None,
        }
    }

    /// Plays the steps of a script; where it would be played doesn't matter here.
    ///
    /// # Errors
    ///
    /// The first thing that isn't as it is written.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the script stops there, maybe with a half of a message written.
    /// Nothing that came is lost.
    pub async fn play<T: Transport>(&mut self, script: &Script<C, T>) -> Result<(), Failure> {
        let steps = &script.steps;
        let mut gone = false;
        for (n, step) in steps.iter().enumerate() {
            self.step = Some(n + 1);
            let writes = step.deed.writes();
            if gone && writes {
                continue;
            }
            let Err(instead) = self.perform(step, &script.beside).await else {
                continue;
            };
            // Whether the other side had ended the connection before we had written everything is
            // chance where the script expects that it does.
            gone = writes && matches!(instead, Instead::Closed(_));
            if !gone || !awaits_closing(&steps[n + 1..]) {
                return Err(self.failure(step, n + 1, steps.len(), instead));
            }
        }
        self.step = None;
        Ok(())
    }

    /// What happened so far.
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Ends the play and closes the connection. What had come by then and was taken by no step is the
    /// [`rest`](Transcript::rest).
    pub async fn finish(mut self) -> Transcript {
        self.wire.catch_up().await;
        if !self.wire.half_closed && !self.wire.reset {
            // Streams that are wrapped have to say that they end; nobody waits for those that can't.
            let _ = self.wire.half_close(Duration::ZERO).await;
        }
        self.transcript_so_far()
    }

    /// The connection, to go on by hand. What came and was taken by no step is in the read buffer.
    pub fn into_framed(self) -> Framed<Box<dyn ByteStream>, C> {
        self.wire.into_framed()
    }

    pub(super) fn note(&mut self, happening: Happening) {
        self.note_at(Instant::now(), self.step, happening);
    }

    fn note_at(&mut self, at: Instant, step: Option<usize>, happening: Happening) {
        let at = at.saturating_duration_since(self.begun);
        self.transcript.add(at, step, happening);
    }

    fn transcript_so_far(&mut self) -> Transcript {
        let mut transcript = self.transcript.clone();
        transcript.set_rest(self.wire.since_last().clone().freeze());
        transcript
    }

    fn failure(&mut self, step: &Step<C>, number: usize, of: usize, instead: Instead) -> Failure {
        Failure {
            step: Some(FailedStep {
                number,
                of,
                written_at: step.written_at,
            }),
            expected: step.deed.to_string(),
            instead,
            transcript: Box::new(self.transcript_so_far()),
        }
    }

    async fn perform(&mut self, step: &Step<C>, beside: &[Beside<C>]) -> Result<(), Instead> {
        let within = step.within;
        if self.wire.reset {
            let why = "an earlier step has reset the connection";
            return Err(Instead::Impossible(why));
        }
        if self.wire.half_closed && step.deed.writes() {
            return Err(Instead::Impossible("an earlier step has ended our side"));
        }
        match &step.deed {
            Deed::Send { text, encode } => {
                let mut bytes = BytesMut::new();
                encode(self.wire.codec(), &mut bytes).map_err(Instead::Unencodable)?;
                self.send(Some(text.clone()), &bytes, within).await
            }
            Deed::SendBytes(bytes) => self.send(None, bytes, within).await,
            Deed::Trickle {
                bytes,
                piece_size,
                every,
            } => self.trickle(bytes, *piece_size, *every, within).await,
            Deed::HalfClose => {
                self.wire.half_close(within).await?;
                self.note(Happening::HalfClosed);
                Ok(())
            }
            Deed::Reset => {
                self.wire.reset()?;
                self.note(Happening::Reset);
                Ok(())
            }
            Deed::Stall(duration) => {
                sleep(*duration).await;
                self.note(Happening::Stalled(*duration));
                Ok(())
            }
            Deed::Expect { matches, .. } => self.expect(matches, within, beside).await,
            Deed::ExpectClosed(how) => self.expect_closed(*how, within, beside).await,
            Deed::ExpectSilence(duration) => self.expect_silence(*duration, within, beside).await,
        }
    }

    async fn send(
        &mut self,
        message: Option<String>,
        bytes: &[u8],
        within: Duration,
    ) -> Result<(), Instead> {
        self.send_for(self.step, message, bytes, within).await
    }

    async fn send_for(
        &mut self,
        step: Option<usize>,
        message: Option<String>,
        bytes: &[u8],
        within: Duration,
    ) -> Result<(), Instead> {
        self.wire.write(bytes, within).await?;
        self.note_at(Instant::now(), step, Happening::sent(message, bytes));
        Ok(())
    }

    async fn trickle(
        &mut self,
        bytes: &[u8],
        piece_size: usize,
        every: Duration,
        within: Duration,
    ) -> Result<(), Instead> {
        for (n, piece) in bytes.chunks(piece_size).enumerate() {
            if n > 0 {
                self.wire.pause(every).await;
            }
            self.send(None, piece, within).await?;
        }
        Ok(())
    }

    async fn expect(
        &mut self,
        matches: &Matches<C>,
        within: Duration,
        beside: &[Beside<C>],
    ) -> Result<(), Instead> {
        match self.next(Instant::now() + within, within, beside).await? {
            Next::Message(message) if matches(&message) => Ok(()),
            Next::Message(message) => Err(Instead::Message(text(&message))),
            Next::Closed(ending) => Err(Instead::Closed(ending)),
            Next::TimedOut => Err(Instead::Nothing {
                within,
                bytes: self.wire.since_last().len(),
            }),
        }
    }

    async fn expect_closed(
        &mut self,
        how: Closed,
        within: Duration,
        beside: &[Beside<C>],
    ) -> Result<(), Instead> {
        match self.next(Instant::now() + within, within, beside).await? {
            Next::Closed(ending) if how.is(&ending) => Ok(()),
            Next::Closed(ending) => Err(Instead::Closed(ending)),
            Next::Message(message) => Err(Instead::Message(text(&message))),
            Next::TimedOut => Err(Instead::StillOpen { within }),
        }
    }

    async fn expect_silence(
        &mut self,
        duration: Duration,
        within: Duration,
        beside: &[Beside<C>],
    ) -> Result<(), Instead> {
        let before = self.wire.received();
        match self.next(Instant::now() + duration, within, beside).await? {
            Next::Message(message) => Err(Instead::Message(text(&message))),
            Next::Closed(ending) => Err(Instead::Closed(ending)),
            Next::TimedOut => match self.wire.since_last().len() {
                // The half of a message that came before is not what this is about.
                bytes if bytes > 0 && self.wire.received() > before => Err(Instead::Bytes(bytes)),
                _ => {
                    self.note(Happening::Silent(duration));
                    Ok(())
                }
            },
        }
    }

    /// What comes next for the steps; what is done with beside them is done.
    async fn next(
        &mut self,
        until: Instant,
        within: Duration,
        beside: &[Beside<C>],
    ) -> Result<Next<C::Item>, Instead> {
        let mut again = false;
        loop {
            let (item, bytes, at) = match self.wire.next(until, again).await {
                None => return Ok(Next::TimedOut),
                Some(Came::Undecodable(error)) => return Err(Instead::Undecodable(error)),
                Some(Came::Closed(ending)) => {
                    self.note(Happening::Closed(ending.clone()));
                    return Ok(Next::Closed(ending));
                }
                Some(Came::Message { item, bytes, at }) => (item, bytes, at),
            };
            let answer = beside.iter().find_map(|beside| beside(&item));
            let step = self.step.filter(|_| answer.is_none());
            self.note_at(at, step, Happening::received(text(&item), &bytes));
            match answer {
                None => return Ok(Next::Message(item)),
                Some(Answer::Nothing) => {}
                Some(Answer::Reply(reply)) => self.reply(reply, within).await?,
            }
            again = true;
        }
    }

    /// Not cut off by the deadline of what the step waits for: a half of a message would be sent.
    async fn reply(&mut self, reply: Message<C>, within: Duration) -> Result<(), Instead> {
        if self.wire.half_closed {
            return Ok(());
        }
        let mut bytes = BytesMut::new();
        (reply.encode)(self.wire.codec(), &mut bytes).map_err(Instead::Unencodable)?;
        match self.send_for(None, Some(reply.text), &bytes, within).await {
            // That is for the reading to find out, behind what came before it.
            Err(Instead::Closed(_)) => Ok(()),
            sent => sent,
        }
    }
}

/// Whether the first of these that needs the other side expects that it ends the connection.
fn awaits_closing<C: Decoder>(steps: &[Step<C>]) -> bool {
    let mut deeds = steps.iter().map(|step| &step.deed);
    let next = deeds.find(|deed| !deed.writes() && !matches!(deed, Deed::Stall(_)));
    matches!(next, Some(Deed::ExpectClosed(_)))
}

impl<C> fmt::Debug for Player<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player")
            .field("transcript", &self.transcript)
            .finish_non_exhaustive()
    }
}
