//! What the limits of a node allow, for the watchdog: also in the time after one was lowered, when
//! those who were there stay and those who were on their way in may still come.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use wattle::{Limits, Node, Side};

use crate::codec::Message;

/// The limits that can be seen from outside: of connections, of incoming ones, and of those from one
/// address.
pub(crate) const SEEN: usize = 3;

/// A limit, and a lower one that was set, since when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ceiling {
    most: usize,
    lowered: Option<(Instant, usize)>,
}

impl Ceiling {
    pub(crate) fn of(most: usize) -> Self {
        Self {
            most,
            lowered: None,
        }
    }

    pub(crate) fn set(&mut self, most: usize) {
        if most >= self.most {
            *self = Self::of(most);
        } else if self.lowered.is_none_or(|(_, lowered)| lowered != most) {
            self.lowered = Some((Instant::now(), most));
        }
    }

    /// Whether so many are allowed. A lowered limit holds once everyone who was on the way then is in
    /// or gone, and it was kept once: as none comes in above it, it stays kept.
    pub(crate) fn allows(&mut self, number: usize, on_their_way: Duration) -> bool {
        let allowed = number <= self.most;
        if let Some((since, lowered)) = self.lowered
            && since.elapsed() > on_their_way
            && number <= lowered
        {
            *self = Self::of(lowered);
        }
        allowed
    }
}

/// The limits, as `number` counts.
pub(crate) fn of(limits: &Limits) -> [usize; SEEN] {
    let any = usize::MAX;
    [
        limits.max_connections,
        limits.max_incoming.unwrap_or(any),
        limits.max_per_ip.unwrap_or(any),
    ]
}

/// How many there are of what is limited.
pub(crate) fn number(node: &Node<Message>) -> [usize; SEEN] {
    let peers = node.peers();
    let incoming = peers.iter().filter(|peer| peer.side() == Side::Listener);
    let mut by_ip = HashMap::new();
    for peer in incoming.clone() {
        *by_ip.entry(peer.addr().ip()).or_default() += 1;
    }
    let most = by_ip.values().copied().max().unwrap_or(0);
    [peers.len(), incoming.count(), most]
}
