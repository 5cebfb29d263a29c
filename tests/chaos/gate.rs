//! The actions at a node's gate: limits, bans, the filter, and connections that are decided on one by
//! one.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use wattle::{AcceptRate, Incomings, Limits, ListenError};

use crate::{
    codec::ON_PURPOSE,
    options::MOST_CONNECTIONS,
    pool::{Member, SLOTS},
    rng::Rng,
    worker::Worker,
};

/// How long somebody decides on those who come to one listener.
const LONGEST_WATCH: Duration = Duration::from_secs(2);

impl Worker {
    /// Changes one limit.
    pub(crate) fn limits(&mut self, member: &Member) {
        let rng = &mut self.rng;
        let some = rng.between(1, MOST_CONNECTIONS) as usize;
        let some_or_any = rng.maybe(700, |_| some);
        let what = rng.below(5);
        let rate = rng.maybe(500, |rng| AcceptRate {
            connections: NonZeroU32::MIN.saturating_add(rng.below(10) as u32),
            per: rng.millis(1, 100),
        });
        let change = |limits: &mut Limits| match what {
            0 => limits.max_incoming = some_or_any,
            1 => limits.max_per_ip = some_or_any,
            2 => limits.max_pending_per_ip = some_or_any,
            3 => limits.accept_rate = rate,
            _ => limits.max_connections = some,
        };
        member.change_limits(&self.chaos.failures, change);
    }

    /// Bans somebody for a moment, or lifts all bans.
    pub(crate) fn ban(&mut self, member: &Member) {
        let admission = member.node.admission();
        if self.rng.chance(700) {
            let slot = self.rng.below(SLOTS as u64) as usize;
            admission.ban(crate::options::address(slot), self.rng.millis(1, 300));
        } else {
            for (net, _) in admission.banned() {
                admission.unban(net);
            }
        }
    }

    /// Sets or removes a filter, which may panic.
    pub(crate) fn filter(&mut self, member: &Member) {
        let admission = member.node.admission();
        if self.rng.chance(300) {
            let unwanted = self.rng.between(2, 20) as u16;
            let panics = self.rng.chance(300);
            // A handle of what it belongs to must not keep anything alive.
            let own = admission.clone();
            admission.set_filter(move |addr| {
                let wanted = addr.port() % unwanted != 0 && !own.is_banned(addr.ip());
                assert!(wanted || !panics, "{ON_PURPOSE} a filter's panic");
                wanted
            });
        } else {
            admission.remove_filter();
        }
    }

    /// Listens on one more address, where each who comes is decided on.
    pub(crate) async fn incomings(&mut self, member: &Arc<Member>) {
        let listen = member.node.listen_incoming(member.options.listen_on());
        let listened = self.watch("listen_incoming", member, Duration::ZERO, listen);
        match listened.await {
            Ok(incomings) => {
                self.chaos.pool.remember(incomings.local_addr());
                let rng = Rng::new(self.rng.next(), 0);
                self.chaos.spawn(decide(incomings, rng));
            }
            Err(ListenError::ShutDown) => {}
            Err(error) => self.chaos.counts.add("errors", format!("listen: {error}")),
        }
    }
}

/// Decides on those who come, until it has had enough or the node stops listening.
async fn decide(mut incomings: Incomings, mut rng: Rng) {
    let watch = rng.millis(0, LONGEST_WATCH.as_millis() as u64);
    let _enough = timeout(watch, async {
        while let Some(incoming) = incomings.recv().await {
            if rng.chance(100) {
                sleep(rng.millis(0, 50)).await;
            }
            match rng.below(8) {
                0 => incoming.refuse(),
                1 => incoming.ignore(),
                2 => drop(incoming),
                _ => {
                    incoming.accept();
                }
            }
        }
    })
    .await;
}
