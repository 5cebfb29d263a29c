//! What a link does to the bytes on it: latency, bandwidth, and faults.

use std::{sync::Arc, time::Duration};

mod clock;
mod connection;
mod lane;
mod pipe;
mod proxy;

pub use self::proxy::Proxy;
pub(super) use self::{
    connection::{Connection, Parting, Way},
    lane::{Hold, Lane},
    pipe::{Bore, Step},
};

/// What one direction of a link does to the bytes on it. [`Link::set`] says which link.
///
/// A new one does nothing to them: they arrive at once and as they were.
///
/// ```
/// use std::time::Duration;
/// use wattle::testing::Conditions;
///
/// let satellite = Conditions::new()
///     .latency(Duration::from_millis(300))
///     .jitter(Duration::from_millis(40))
///     .bandwidth(128 * 1024)
///     .corruption(1e-6);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "conditions do nothing until they are set on a link"]
pub struct Conditions {
    latency: Duration,
    jitter: Duration,
    bandwidth: Option<u64>,
    corruption: f64,
    cut: Option<(u64, Ending)>,
}

/// How a link that is cut ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    Reset,
}

impl Conditions {
    /// A direction without latency, limits and faults.
    pub const fn new() -> Self {
        Self {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            bandwidth: None,
            corruption: 0.0,
            cut: None,
        }
    }

    /// How long every byte is on its way, and the end of a stream, and what opens a connection.
    ///
    /// No more than a pipe's [capacity](crate::testing::Memory::capacity) is under way at a time, so
    /// that a connection carries at most as many bytes within the latency.
    pub const fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// How much longer than the latency it may take, at most; the seed draws how much for each write. What
    /// was written earlier arrives earlier all the same.
    pub const fn jitter(mut self, most: Duration) -> Self {
        self.jitter = most;
        self
    }

    /// How many bytes are sent in a second; without a limit by default. All connections of the link
    /// share it, and what is written first is sent first.
    ///
    /// # Panics
    ///
    /// If it is 0; [`Link::stall`] lets nothing through.
    pub fn bandwidth(mut self, bytes_per_second: impl Into<Option<u64>>) -> Self {
        self.bandwidth = bytes_per_second.into();
        assert_ne!(self.bandwidth, Some(0), "nothing would ever be sent");
        self
    }

    /// How probable it is that a byte arrives as another one, from 0 to 1; the seed draws which do.
    ///
    /// # Panics
    ///
    /// If it is no probability.
    pub fn corruption(mut self, per_byte: f64) -> Self {
        let possible = (0.0..=1.0).contains(&per_byte);
        assert!(possible, "{per_byte} is no probability");
        self.corruption = per_byte;
        self
    }

    /// Lets so many bytes more through on each connection, those that there are and new ones, and
    /// ends the stream behind them. Who goes on writing is reset, as if the other end had been closed.
    pub const fn end_after(mut self, bytes: u64) -> Self {
        self.cut = Some((bytes, Ending::End));
        self
    }

    /// Lets so many bytes more through on each connection, those that there are and new ones, and
    /// resets it behind them.
    pub const fn reset_after(mut self, bytes: u64) -> Self {
        self.cut = Some((bytes, Ending::Reset));
        self
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self::new()
    }
}

/// The link between two hosts, or one direction of it ([`forth`](Link::forth), [`back`](Link::back));
/// from [`Memory::link`](crate::testing::Memory::link).
///
/// Everything can be changed while connections are there, and concerns those as well. The
/// two directions of a link of a host with itself are the same.
///
/// # Examples
///
/// ```
/// use std::{io, time::Duration};
/// use tokio::{io::{AsyncReadExt, AsyncWriteExt}, time::Instant};
/// use wattle::{Transport, testing::{Conditions, Memory}};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> io::Result<()> {
/// let memory = Memory::new();
/// let (alice, bob) = (memory.at([10, 0, 0, 1]), memory.at([10, 0, 0, 2]));
/// let mut listener = bob.bind("10.0.0.2:7000".parse().unwrap()).await?;
/// let mut stream = alice.connect("10.0.0.2:7000".parse().unwrap()).await?;
/// let (mut accepted, _) = listener.accept().await?;
///
/// let slow = Conditions::new().latency(Duration::from_secs(60));
/// memory.link([10, 0, 0, 1], [10, 0, 0, 2]).forth().set(slow);
/// let start = Instant::now();
/// stream.write_u8(1).await?;
/// accepted.read_u8().await?;
/// assert_eq!(start.elapsed().as_secs(), 60);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a link alone does nothing"]
pub struct Link {
    forth: Option<Arc<Lane>>,
    back: Option<Arc<Lane>>,
}

impl Link {
    pub(super) fn new(forth: Arc<Lane>, back: Arc<Lane>) -> Self {
        let (forth, back) = (Some(forth), Some(back));
        Self { forth, back }
    }

    /// The direction from the first host to the second alone.
    pub fn forth(&self) -> Self {
        Self {
            forth: self.forth.clone(),
            back: None,
        }
    }

    /// The direction from the second host to the first alone.
    pub fn back(&self) -> Self {
        Self {
            forth: None,
            back: self.back.clone(),
        }
    }

    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        [&self.forth, &self.back]
            .into_iter()
            .flatten()
            .map(|lane| &**lane)
    }

    /// Sets the conditions of each direction that this is of, in place of those before.
    ///
    /// Another bandwidth holds at once, also for what is to be sent still. Latency, jitter and corruption
    /// hold for what is written from now on.
    pub fn set(&self, conditions: Conditions) {
        self.lanes().for_each(|lane| lane.set(conditions));
    }

    /// Changes some of the conditions of each direction, and leaves the others.
    ///
    /// ```
    /// # use wattle::testing::Memory;
    /// # let memory = Memory::new();
    /// let link = memory.link([10, 0, 0, 1], [10, 0, 0, 2]);
    /// link.update(|conditions| conditions.bandwidth(10_000));
    /// ```
    pub fn update(&self, change: impl Fn(Conditions) -> Conditions) {
        self.lanes()
            .for_each(|lane| lane.set(change(lane.conditions())));
    }

    /// Lets nothing through until [`resume`](Link::resume): nothing that is written arrives, no end
    /// and no new connection. Nothing is lost either, and nobody is told.
    pub fn stall(&self) {
        self.lanes().for_each(|lane| lane.hold(Hold::Stalled, true));
    }

    /// Lets everything go on that [`stall`](Link::stall) has stopped. What was under way has the
    /// rest of its way before it.
    pub fn resume(&self) {
        self.lanes()
            .for_each(|lane| lane.hold(Hold::Stalled, false));
    }

    /// Makes the connections that there are half-open, as if the host at the far end were gone: what is
    /// written is taken until the pipe is full, nothing of it ever arrives, no end and no reset
    /// either, and nobody is told. New connections are not concerned.
    pub fn half_open(&self) {
        self.lanes().for_each(Lane::lose);
    }

    /// Resets the connections that there are, at once, for the end that each direction leads to: what that
    /// has not read is lost. Of one direction alone, the other end learns of it when it writes.
    pub fn reset(&self) {
        self.lanes().for_each(Lane::reset);
    }
}
