//! A worker: one action after the other, as the mix of the epoch has it.

use std::{
    sync::{Arc, Weak, atomic::Ordering::SeqCst},
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};
use wattle::{ConnectError, ListenError, StartError};

use crate::{
    Chaos,
    failures::lock,
    foreign,
    mix::{Action, Mix},
    pool::Member,
    reader::{Command, LONGEST_PAUSE},
    rng::Rng,
};

pub(crate) struct Worker {
    pub(crate) chaos: Arc<Chaos>,
    pub(crate) number: usize,
    pub(crate) rng: Rng,
}

impl Worker {
    pub(crate) fn new(chaos: &Arc<Chaos>, number: usize) -> Self {
        Self {
            chaos: chaos.clone(),
            number,
            rng: Rng::new(chaos.seed, number as u64),
        }
    }

    pub(crate) async fn run(mut self) {
        let (mut epoch, mut mix) = (u64::MAX, Mix::of_epoch(self.chaos.seed, 0));
        while !self.chaos.failures.stop.is_cancelled() {
            let now = self.chaos.epoch.load(SeqCst);
            if now != epoch {
                (epoch, mix) = (now, Mix::of_epoch(self.chaos.seed, now));
            }
            let action = mix.next(&mut self.rng);
            let begin = Instant::now();
            self.act(action).await;
            self.chaos.counts.acted(action, begin.elapsed());
            if mix.calm {
                sleep(self.rng.millis(0, 3)).await;
            } else {
                // An action that finds nothing to do must not keep the others from theirs.
                tokio::task::consume_budget().await;
            }
        }
    }

    async fn act(&mut self, action: Action) {
        if action == Action::Start {
            return self.start().await;
        }
        let Some(member) = self.chaos.pool.any(&mut self.rng) else {
            return self.start().await;
        };
        match action {
            Action::Start => {}
            Action::ShutDown => self.shut_down(member).await,
            Action::ShutDownAndDrop => self.shut_down_and_drop().await,
            Action::DropNode => drop(self.chaos.pool.take(&mut self.rng)),
            Action::DropInbound if self.rng.chance(200) => self.order(&member, Command::Drop),
            Action::DropInbound => {}
            Action::Connect => self.connect(&member).await,
            Action::ConnectAndDrop => self.connect_and_drop(&member).await,
            Action::Disconnect => self.disconnect(&member).await,
            Action::DisconnectAndDrop => self.disconnect_and_drop(&member).await,
            Action::Abort => self.abort(&member),
            Action::Send => self.send(&member, None).await,
            Action::SendAndDrop => {
                let patience = self.rng.millis(0, 20);
                self.send(&member, Some(patience)).await;
            }
            Action::TrySend => self.try_send(&member),
            Action::Broadcast => self.broadcast(&member),
            Action::Outbound => self.outbound(&member).await,
            Action::PeerSink => self.peer_sink(&member).await,
            Action::ToggleListener => self.toggle_listener(&member).await,
            Action::Limits => self.limits(&member),
            Action::Ban => self.ban(&member),
            Action::Filter => self.filter(&member),
            Action::Incomings => self.incomings(&member).await,
            Action::PauseReader => {
                let pause = self.rng.millis(0, LONGEST_PAUSE.as_millis() as u64);
                self.order(&member, Command::Pause(pause));
            }
            Action::Foreign => self.foreign(&member),
        }
    }

    /// Watches an operation of this worker.
    pub(crate) async fn watch<F: Future>(
        &self,
        what: &'static str,
        member: &Arc<Member>,
        bound: Duration,
        operation: F,
    ) -> F::Output {
        let weak = Arc::downgrade(member);
        let ops = &self.chaos.ops;
        ops.watch(self.number, what, &weak, bound, operation).await
    }

    async fn start(&mut self) {
        let Some(slot) = self.chaos.pool.free_slot(&mut self.rng) else {
            return;
        };
        let chaos = self.chaos.clone();
        let start = chaos.pool.start(&chaos, slot, &mut self.rng);
        let started = chaos
            .ops
            .watch(self.number, "start", &Weak::new(), Duration::ZERO, start)
            .await;
        match started {
            Ok(_) => {}
            // Out of descriptors, perhaps.
            Err(StartError::Listen(error)) => chaos.counts.add("errors", format!("start: {error}")),
            Err(error) => chaos.failures.report(format!("start: {error}")),
        }
    }

    /// Either the node is taken out of the pool before, or others use it on.
    async fn shut_down(&mut self, mut member: Arc<Member>) {
        let taken_first = self.rng.chance(500);
        if taken_first {
            match self.chaos.pool.take(&mut self.rng) {
                Some(taken) => member = taken,
                None => return,
            }
        }
        self.end(member.clone()).await;
        if !taken_first {
            self.chaos.pool.remove(&member);
        }
    }

    /// Once polled, it goes on by itself.
    async fn shut_down_and_drop(&mut self) {
        if let Some(member) = self.chaos.pool.take(&mut self.rng) {
            member.account.ending.store(true, SeqCst);
            let patience = Duration::from_micros(self.rng.below(1000));
            let shutdown = timeout(patience, member.node.shutdown());
            let ended = self.watch("shutdown", &member, patience, shutdown).await;
            match ended {
                Ok(_) => member.is_shut_down.store(true, SeqCst),
                Err(_elapsed) => self.chaos.counts.add("dropped midway", "shutdown"),
            }
        }
    }

    /// Shuts a node down.
    pub(crate) async fn end(&mut self, member: Arc<Member>) {
        let bound = member.options.drain_timeout;
        member.account.ending.store(true, SeqCst);
        let report = self
            .watch("shutdown", &member, bound, member.node.shutdown())
            .await;
        member.is_shut_down.store(true, SeqCst);
        let stats = member.node.stats();
        let open = || format!("after {report}: {}", member.describe());
        self.chaos.failures.check(stats.connections == 0, open);
    }

    fn order(&self, member: &Member, command: Command) {
        let _ = member.commands.try_send(command);
    }

    async fn connect(&mut self, member: &Arc<Member>) {
        let Some(addr) = self.chaos.pool.address(&mut self.rng) else {
            return;
        };
        let bound = member.options.connect_timeout + member.options.handshake_timeout;
        let connected = self
            .watch("connect", member, bound, member.node.connect(addr))
            .await;
        self.connected(member, connected);
    }

    async fn connect_and_drop(&mut self, member: &Arc<Member>) {
        let Some(addr) = self.chaos.pool.address(&mut self.rng) else {
            return;
        };
        let patience = Duration::from_micros(self.rng.below(3000));
        let connect = timeout(patience, member.node.connect(addr));
        match self.watch("connect", member, patience, connect).await {
            Ok(connected) => self.connected(member, connected),
            Err(_elapsed) => self.chaos.counts.add("dropped midway", "connect"),
        }
    }

    fn connected(&self, member: &Member, connected: Result<wattle::Peer, ConnectError>) {
        match connected {
            Ok(peer) => lock(&member.account.dialled).push(peer),
            Err(error) => {
                if let ConnectError::Handshake { .. } = error {
                    member.account.handshakes_failed.fetch_add(1, SeqCst);
                }
                let text = format!("{error:?}");
                let end = text.find([' ', '(']).unwrap_or(text.len());
                self.chaos.counts.add("connect failed with", &text[..end]);
            }
        }
    }

    async fn disconnect(&mut self, member: &Arc<Member>) {
        let Some(peer) = member.peer(&mut self.rng) else {
            return;
        };
        let bound = member.options.drain_timeout;
        let disconnect = member.node.disconnect(peer);
        self.watch("disconnect", member, bound, disconnect).await;
        let still = member.node.peers().contains(&peer);
        let text = || format!("{peer} after disconnect: {}", member.describe());
        self.chaos.failures.check(!still, text);
    }

    async fn disconnect_and_drop(&mut self, member: &Arc<Member>) {
        if let Some(peer) = member.peer(&mut self.rng) {
            let patience = Duration::from_micros(self.rng.below(1000));
            let disconnect = timeout(patience, member.node.disconnect(peer));
            if self
                .watch("disconnect", member, patience, disconnect)
                .await
                .is_err()
            {
                self.chaos.counts.add("dropped midway", "disconnect");
            }
        }
    }

    fn abort(&mut self, member: &Member) {
        if let Some(peer) = member.peer(&mut self.rng) {
            member.node.abort(peer);
        }
    }

    async fn toggle_listener(&mut self, member: &Arc<Member>) {
        if member.node.local_addr().is_some() && self.rng.chance(600) {
            let stop = member.node.stop_listening();
            self.watch("stop_listening", member, Duration::ZERO, stop)
                .await;
            return;
        }
        let listen = member.node.listen(member.options.listen_on());
        match self.watch("listen", member, Duration::ZERO, listen).await {
            Ok(addr) => self.chaos.pool.remember(addr),
            Err(ListenError::ShutDown) => {}
            Err(error) => self.chaos.counts.add("errors", format!("listen: {error}")),
        }
    }

    fn foreign(&mut self, member: &Member) {
        if let Some(addr) = member.node.local_addr() {
            foreign::visit(&self.chaos, addr, Rng::new(self.rng.next(), 0));
        }
    }
}
