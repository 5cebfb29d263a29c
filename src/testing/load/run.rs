//! A load from its first message to its report.

use std::{future::Future, net::SocketAddr, time::Duration};

use futures::future::{Either, select};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::codec::{Decoder, Encoder};

use super::{
    Replies, Watcher,
    dial::Dialled,
    drive::{Drive, Work},
    error::{FailureKind, Failures},
    pacer::Pacer,
    plan::Plan,
    report::{Outcome, Report},
    schedule::Schedule,
    tally::Tally,
    timeline::{Progress, Timeline},
};
use crate::{
    disconnect::{BoxError, Reason, panic_message},
    transport::ByteStream,
};

/// The tasks of the connections, and what they have come to.
pub(super) struct Running {
    addr: SocketAddr,
    plan: Plan,
    schedule: Schedule,
    tally: Tally,
    timeline: Timeline,
    connected: usize,
    tasks: JoinSet<Result<(), Reason>>,
    failures: Failures,
    /// Of those that were connected.
    failed: u64,
    /// When the last connection ended.
    ended: Instant,
    _pacer: Option<Pacer>,
}

impl Running {
    pub(super) fn start<Io, C, M, R, Out>(
        addr: SocketAddr,
        plan: Plan,
        dialled: Dialled<Io, C>,
        work: Work<M, R>,
    ) -> Self
    where
        Io: ByteStream,
        C: Decoder<Error: Into<BoxError>> + Encoder<Out, Error: Into<BoxError>> + Send + 'static,
        M: Fn(u64) -> Out + Send + Sync + 'static,
        R: Replies<C::Item>,
        Out: 'static,
    {
        let connected = dialled.connected.len();
        let schedule = Schedule::new(&plan, connected, Instant::now());
        let tally = Tally::new(connected);
        let pacer = plan.pacer_thread.then(|| Pacer::start(schedule)).flatten();
        let mut tasks = JoinSet::new();
        for (number, framed) in dialled.connected.into_iter().enumerate() {
            let (log, pacer) = (tally.log(number), pacer.as_ref());
            let (work, number) = (work.clone(), number as u64);
            let drive = Drive::new(framed, work, &plan, schedule, number, pacer, log);
            tasks.spawn(drive.run());
        }
        Self {
            addr,
            plan,
            schedule,
            timeline: Timeline::new(schedule.measured_from, schedule.end, plan.interval),
            tally,
            connected,
            tasks,
            failures: dialled.failures,
            failed: 0,
            ended: schedule.begin,
            _pacer: pacer,
        }
    }

    /// Waits until all connections have ended, and until the measured time is over if one of them has not
    /// failed.
    pub(super) async fn finish(mut self, watcher: &mut Option<Watcher>) -> Report {
        while !self.is_over() {
            let next = self.timeline.next();
            let tick = Box::pin(sleep_until(next));
            // Biased towards the connections: what they did by the tick is in the interval.
            match self.ended_before(tick).await {
                Some(ended) => self.count(ended),
                None => {
                    self.timeline.close(&self.tally, next);
                    self.tell(watcher, next);
                }
            }
        }
        self.report()
    }

    async fn ended_before(
        &mut self,
        tick: impl Future<Output = ()> + Unpin,
    ) -> Option<Result<Result<(), Reason>, JoinError>> {
        if self.tasks.is_empty() {
            tick.await;
            return None;
        }
        let ended = Box::pin(self.tasks.join_next());
        match select(ended, tick).await {
            Either::Left((ended, _)) => ended,
            Either::Right(((), _)) => None,
        }
    }

    fn is_over(&self) -> bool {
        let all_failed = self.failed == self.connected as u64;
        self.tasks.is_empty() && (all_failed || self.timeline.since() >= self.schedule.end)
    }

    fn count(&mut self, ended: Result<Result<(), Reason>, JoinError>) {
        self.ended = Instant::now();
        let reason = match ended {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => reason,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => Reason::Panicked(panic_message(payload)),
                Err(_aborted_by_the_runtime) => Reason::Aborted,
            },
        };
        self.failed += 1;
        self.failures.add(FailureKind::of_reason(&reason), reason);
    }

    fn tell(&self, watcher: &mut Option<Watcher>, now: Instant) {
        let Some(watcher) = watcher else { return };
        let counts = self.timeline.counts();
        watcher(&Progress {
            connected: self.connected,
            connections: self.plan.connections,
            elapsed: now.checked_duration_since(self.schedule.measured_from),
            duration: self.plan.duration,
            sent: counts.sent,
            received: counts.received,
            failed: self.failed,
        });
    }

    /// The time in which what was received was received: what was planned, and as much longer as
    /// replies came; shorter only if all connections failed.
    fn elapsed(&self, last_reply: Option<Instant>) -> Duration {
        let from = self.schedule.measured_from;
        if self.failed == self.connected as u64 && self.ended < self.schedule.end {
            return self.ended.saturating_duration_since(from);
        }
        let end = self.schedule.end.max(last_reply.unwrap_or(from));
        end.saturating_duration_since(from)
    }

    fn report(mut self) -> Report {
        let (latency, service, counts, last_reply) = self.tally.sum();
        let now = self.ended.max(self.timeline.since());
        self.timeline.close(&self.tally, now);
        let elapsed = self.elapsed(last_reply);
        Report::new(
            self.addr,
            &self.plan,
            Outcome {
                connected: self.connected,
                failed: self.failed,
                planned: self.schedule.planned(),
                elapsed,
                counts,
                latency,
                service,
                failures: self.failures.into_vec(),
                timeline: self.timeline.into_intervals(),
            },
        )
    }
}
