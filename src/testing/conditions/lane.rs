//! One direction of a link: what holds for every connection on it.

use std::{
    mem,
    sync::{Arc, Weak},
    time::Duration,
};

use fastrand::Rng;
use tokio::{
    sync::{Notify, futures::Notified},
    time::timeout_at,
};

use super::{
    Conditions,
    clock::{Clock, Moment},
    connection::{Connection, Wakes, Way},
};
use crate::sync::{Mutex, MutexGuard};

/// One direction of a link. Locked before a pipe that it carries, and never together with another.
#[derive(Debug)]
pub(crate) struct Lane {
    traffic: Mutex<Traffic>,
    /// Told of every change, for those who dial; pipes have wakers of their own.
    changed: Notify,
}

/// Why nothing moves on a lane. Each is set and taken back by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hold {
    /// By [`Link::stall`](super::Link::stall).
    Stalled,
    /// Its ends are in different groups of a partition.
    Partitioned,
    /// One of its ends has vanished.
    Absent,
}

/// What is the case on a lane.
pub(super) struct Traffic {
    clock: Clock,
    conditions: Conditions,
    holds: [bool; 3],
    /// When the last byte that was written so far is on its way: those written from now on come behind.
    free_at: Moment,
    rng: Rng,
    connections: Vec<(Weak<Connection>, Way)>,
    /// How many connections are remembered when those that have ended are forgotten again.
    forget_at: usize,
}

/// How many connections a lane remembers before it looks which of them have ended: few enough to be
/// looked through in no time.
const FORGET_AT: usize = 64;

/// The largest piece that a limited bandwidth carries at once, as a share of a second: a transfer
/// that takes long then arrives bit by bit.
const PIECES_PER_SECOND: u64 = 20;

impl Lane {
    /// A lane without faults, whose randomness this seed determines.
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            traffic: Mutex::new(Traffic {
                clock: Clock::start(),
                conditions: Conditions::new(),
                holds: [false; 3],
                free_at: Moment::ZERO,
                rng: Rng::with_seed(seed),
                connections: Vec::new(),
                forget_at: FORGET_AT,
            }),
            changed: Notify::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock()
    }

    pub(super) fn conditions(&self) -> Conditions {
        self.lock().conditions
    }

    /// Remembers a connection, to tell it when things change.
    pub(super) fn carry(&self, connection: &Arc<Connection>, way: Way) {
        self.lock().carry(connection, way);
    }

    /// Sets the conditions from now on.
    pub(super) fn set(&self, conditions: Conditions) {
        self.change(|traffic, connections, wakes| {
            let now = traffic.clock.now();
            let before = mem::replace(&mut traffic.conditions, conditions);
            let scale = Scale::between(now, before.bandwidth, conditions.bandwidth);
            traffic.free_at = scale.apply(traffic.free_at);
            let other_cut = before.cut != conditions.cut;
            for (connection, way) in connections {
                connection.pipe(*way).changed(traffic, scale, other_cut);
                connection.wake(*way, wakes);
            }
        });
    }

    /// Stops everything on the lane, or lets it go on.
    pub(crate) fn hold(&self, hold: Hold, on: bool) {
        self.change(|traffic, connections, wakes| {
            traffic.holds[hold as usize] = on;
            let still = traffic.holds.contains(&true);
            let goes_on = traffic.clock.is_stopped() && !still;
            traffic.clock.hold(still);
            if goes_on {
                for (connection, way) in connections {
                    connection.wake(*way, wakes);
                }
            }
        });
    }

    /// Makes the connections that there are half-open.
    pub(crate) fn lose(&self) {
        self.change(|_, connections, _| {
            for (connection, way) in connections {
                connection.pipe(*way).lose();
            }
        });
    }

    /// Resets the connections that there are, for the end that this lane leads to.
    pub(super) fn reset(&self) {
        self.change(|traffic, connections, wakes| {
            for (connection, way) in connections {
                connection.pipe(*way).reset_now(traffic);
                connection.wake(*way, wakes);
            }
        });
    }

    /// Changes something under the lock, and wakes behind it whoever is concerned.
    fn change(&self, change: impl FnOnce(&mut Traffic, &[(Arc<Connection>, Way)], &mut Wakes)) {
        let mut wakes = Wakes::default();
        let mut traffic = self.lock();
        // Kept until the lock is released: the last handle of a connection drops what it holds.
        let connections = traffic.connections();
        change(&mut traffic, &connections, &mut wakes);
        drop(traffic);
        self.changed.notify_waiters();
        wakes.wake();
    }

    /// Takes as long as a packet without content takes; for ever, if none arrives.
    pub(crate) async fn cross(&self) {
        let arrives = {
            let mut traffic = self.lock();
            let mut rng = traffic.rng.fork();
            traffic.now() + traffic.travel(&mut rng)
        };
        while let Some(changed) = self.not_yet(arrives) {
            let instant = self.lock().clock.instant(arrives);
            match instant {
                // It's looked at again, whichever it was.
                Some(instant) => drop(timeout_at(instant, changed).await),
                None => changed.await,
            }
        }
    }

    /// What to wait for if that moment hasn't come: the next change.
    fn not_yet(&self, moment: Moment) -> Option<Notified<'_>> {
        // Made before the look, so that no change between the two is missed.
        let changed = self.changed.notified();
        let traffic = self.lock();
        let come = !traffic.clock.is_stopped() && moment <= traffic.now();
        (!come).then_some(changed)
    }
}

impl Traffic {
    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// How long something is on its way.
    pub(super) fn travel(&self, rng: &mut Rng) -> Duration {
        let Conditions {
            latency, jitter, ..
        } = self.conditions;
        if jitter.is_zero() {
            return latency;
        }
        latency.saturating_add(jitter.mul_f64(rng.f64()))
    }

    /// The most bytes that go at once.
    pub(super) fn piece(&self) -> usize {
        let piece = |bandwidth: u64| (bandwidth / PIECES_PER_SECOND).max(1);
        let piece = self.conditions.bandwidth.map_or(u64::MAX, piece);
        usize::try_from(piece).unwrap_or(usize::MAX)
    }

    /// Puts so many bytes behind all that is to be sent, and says when the last of them is sent.
    pub(super) fn send(&mut self, bytes: usize) -> Moment {
        let now = self.now();
        let Some(bandwidth) = self.conditions.bandwidth else {
            return now;
        };
        let takes = Duration::from_secs_f64(bytes as f64 / bandwidth as f64);
        self.free_at = self.free_at.max(now).saturating_add(takes);
        self.free_at
    }

    fn carry(&mut self, connection: &Arc<Connection>, way: Way) {
        if self.connections.len() >= self.forget_at {
            self.connections.retain(|(one, _)| one.strong_count() > 0);
            self.forget_at = FORGET_AT.max(2 * self.connections.len());
        }
        self.connections.push((Arc::downgrade(connection), way));
    }

    /// In the order in which they came to be, so that a seed fixes who is woken first.
    fn connections(&self) -> Vec<(Arc<Connection>, Way)> {
        let there = |(one, way): &(Weak<Connection>, Way)| Some((one.upgrade()?, *way));
        self.connections.iter().filter_map(there).collect()
    }
}

impl std::fmt::Debug for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traffic")
            .field("conditions", &self.conditions)
            .field("holds", &self.holds)
            .finish_non_exhaustive()
    }
}

/// What another bandwidth makes of the time that sending takes: what was to be sent in a second from
/// now is sent in half of one at twice the bandwidth.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    now: Moment,
    factor: f64,
}

impl Scale {
    fn between(now: Moment, before: Option<u64>, after: Option<u64>) -> Self {
        let factor = match (before, after) {
            (Some(before), Some(after)) => before as f64 / after as f64,
            // Without a limit everything is sent at once, before and after.
            _ => 0.0,
        };
        Self { now, factor }
    }

    pub(super) fn apply(self, sent: Moment) -> Moment {
        match sent.checked_sub(self.now) {
            Some(left) => {
                let left = left.as_secs_f64() * self.factor;
                let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
                self.now.saturating_add(left)
            }
            None => sent,
        }
    }
}
