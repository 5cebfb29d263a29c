//! A capture that is played again, against a live peer.

use std::{fmt, future::pending, io, net::SocketAddr, time::Duration};

use futures::future::{Either, select};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::watch,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{CapturedConnection, CapturedFrame};
use crate::transport::{ByteStream, Tcp, Transport};

mod error;
mod hearing;
mod plan;

pub use error::{Mismatch, ReplayError};
use hearing::{Heard, Hearing};
use plan::Plan;

/// How long a replay waits for what comes next, unless it's told otherwise: far longer than any answer takes on a busy
/// machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whose part in a capture is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The node's that was tapped: what it said is said to a peer that should answer as the remote did.
    Node,
    /// The remote's: what it said is said to a peer that should answer as the node did.
    Remote,
}

/// How fast a capture is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pace {
    /// Each frame is said as soon as all has come that came before it in the capture.
    Fast,
    /// The same, but no frame is said before its time in the capture, counted from the opening of the
    /// connection.
    Recorded,
}

/// Plays one part of a captured connection against a live peer, and compares what comes back with what was
/// recorded, byte by byte.
///
/// The frames are said one by one, each when all that had come before it has come again. That the remote ends its
/// side is part of the play, too: where it was recorded, or follows from our own end or from an error of the codec,
/// it has to happen again. Where the bytes of a handshake aren't in the capture, as with any protocol that
/// has one, play [over](Self::over) a stream that is past it.
///
/// It is for what says the same every time. Timestamps and nonces in the frames differ from run to run.
///
/// # Examples
///
/// ```
/// use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
/// use wattle::testing::{Recording, Replay, capture::Part};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let capture = r#"{"wattle-capture":1,"began":0}
/// {"us":0,"connection":0,"peer":1,"addr":"127.0.0.1:7","side":"dialer","what":"open"}
/// {"us":1,"connection":0,"what":"frame","dir":"out","bytes":"7065610a","message":"\"pea\""}
/// {"us":2,"connection":0,"what":"frame","dir":"in","bytes":"706f640a","message":"\"pod\""}
/// "#;
/// let recording = Recording::parse(capture.as_bytes())?;
/// let replay = Replay::of(recording.only()?, Part::Node);
///
/// let (ours, mut theirs) = duplex(64);
/// let live = async {
///     let mut heard = [0; 4];
///     theirs.read_exact(&mut heard).await?;
///     theirs.write_all(b"pot\n").await
/// };
/// let (played, _) = tokio::join!(replay.over(ours), live);
/// let error = played.unwrap_err().to_string();
/// assert!(error.starts_with("frame 0 (line 4 of the capture) differs at byte 2"), "{error}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is played before `dial` or `over`"]
pub struct Replay {
    plan: Plan,
    pace: Pace,
    patience: Duration,
}

/// What was played, and came as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayReport {
    /// How many frames were said.
    pub frames_said: usize,
    /// How many bytes that were.
    pub bytes_said: u64,
    /// How many frames came.
    pub frames_heard: usize,
    /// How many bytes that were.
    pub bytes_heard: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Replay {
    /// Plays this part of this connection, as fast as possible.
    pub fn of(connection: &CapturedConnection, part: Part) -> Self {
        Self {
            plan: Plan::of(connection, part),
            pace: Pace::Fast,
            patience: PATIENCE,
        }
    }

    /// How fast; [`Pace::Fast`] by default.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// How long to wait for the next bytes, or until the peer takes some; ten seconds by default. With
    /// [`Pace::Recorded`] it is counted from the time when they came in the capture.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Plays it against who listens at this TCP address.
    ///
    /// # Errors
    ///
    /// Nobody does, or something else came than was recorded.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn dial(&self, addr: SocketAddr) -> Result<ReplayReport, ReplayError> {
        let connected = timeout(self.patience, Tcp::new().connect(addr)).await;
        let timed_out = |_| Err(io::ErrorKind::TimedOut.into());
        let connected = connected.unwrap_or_else(timed_out);
        let stream = connected.map_err(|error| ReplayError::Connect { addr, error })?;
        self.over(stream).await
    }

    /// Plays it over a stream: one that was accepted, one in memory, one that is past a handshake.
    ///
    /// # Errors
    ///
    /// Something else came than was recorded.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the stream.
    pub async fn over<S: ByteStream>(&self, stream: S) -> Result<ReplayReport, ReplayError> {
        let began = Instant::now();
        let (mut reader, writer) = tokio::io::split(stream);
        let (heard, hearing) = watch::channel(Heard::default());
        let mut saying = Saying {
            replay: self,
            writer,
            hearing,
            began,
        };
        let hear = async {
            Hearing::new(&self.plan, &heard).hear(&mut reader).await?;
            // Nothing more to come: the play ends when all is said.
            pending::<Result<(), ReplayError>>().await
        };
        let say = saying.say();
        // Hearing is asked first: that a peer is gone matters less than what it said.
        match select(Box::pin(hear), Box::pin(say)).await {
            Either::Left((heard, _)) => heard?,
            Either::Right((said, _)) => said?,
        }
        Ok(self.plan.report(began.elapsed()))
    }
}

/// The way out of a play.
struct Saying<'a, W> {
    replay: &'a Replay,
    writer: W,
    hearing: watch::Receiver<Heard>,
    began: Instant,
}

impl<W: AsyncWrite + Unpin> Saying<'_, W> {
    /// Says everything in its turn, and waits until everything has come.
    async fn say(&mut self) -> Result<(), ReplayError> {
        let plan = &self.replay.plan;
        for line in &plan.lines {
            self.until(|heard| heard.bytes >= line.after).await?;
            self.pause(line.frame.at).await;
            self.write(&line.frame).await?;
        }
        if let Some(end) = &plan.end {
            let ready = |heard: &Heard| heard.bytes >= end.after && heard.ended >= end.after_end;
            self.until(ready).await?;
            self.pause(end.at).await;
            taken(self.replay.patience, self.writer.shutdown()).await?;
        }
        self.until(|heard| heard.bytes == plan.bytes_heard && heard.ended >= plan.awaits_end)
            .await
    }

    /// Waits until enough has come.
    async fn until(&mut self, enough: impl Fn(&Heard) -> bool) -> Result<(), ReplayError> {
        loop {
            let heard = self.hearing.borrow_and_update().clone();
            if enough(&heard) {
                return Ok(());
            }
            let deadline = self.due(&heard) + self.replay.patience;
            // The sender is there as long as this is.
            if timeout_at(deadline, self.hearing.changed()).await.is_err() {
                let (plan, patience) = (&self.replay.plan, self.replay.patience);
                return Err(plan.timed_out(&heard, patience));
            }
        }
    }

    /// When what comes next is to be awaited from.
    fn due(&self, heard: &Heard) -> Instant {
        let now = Instant::now();
        match (self.replay.pace, self.replay.plan.hears.get(heard.frame)) {
            (Pace::Recorded, Some(next)) => now.max(self.time_of(next.at)),
            _ => now,
        }
    }

    fn time_of(&self, at: Duration) -> Instant {
        self.began + at.saturating_sub(self.replay.plan.opened)
    }

    async fn pause(&self, at: Duration) {
        if self.replay.pace == Pace::Recorded {
            sleep_until(self.time_of(at)).await;
        }
    }

    async fn write(&mut self, frame: &CapturedFrame) -> Result<(), ReplayError> {
        let mut rest = &frame.bytes[..];
        while !rest.is_empty() {
            let written = taken(self.replay.patience, self.writer.write(rest)).await?;
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
            rest = &rest[written..];
        }
        taken(self.replay.patience, self.writer.flush()).await
    }
}

/// What is written, if the peer takes it in time.
async fn taken<T>(
    patience: Duration,
    written: impl Future<Output = io::Result<T>>,
) -> Result<T, ReplayError> {
    let written = timeout(patience, written).await;
    Ok(written.map_err(|_| ReplayError::NotTaken { patience })??)
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "said {} frames ({} bytes), heard {} frames ({} bytes) as recorded, in {:?}",
            self.frames_said, self.bytes_said, self.frames_heard, self.bytes_heard, self.elapsed
        )
    }
}
