//! What is done how often: re-rolled from the seed in every epoch.

use crate::rng::Rng;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Start,
    ShutDown,
    ShutDownAndDrop,
    DropNode,
    DropInbound,
    Connect,
    ConnectAndDrop,
    Disconnect,
    DisconnectAndDrop,
    Abort,
    Send,
    SendAndDrop,
    TrySend,
    Broadcast,
    Outbound,
    PeerSink,
    ToggleListener,
    Limits,
    Ban,
    Filter,
    Incomings,
    PauseReader,
    Foreign,
}

use Action::*;

/// Each with its usual weight: as many messages as a connection deserves, as many connections as a node
/// does, and enough nodes.
const USUAL: [(Action, u64); 23] = [
    (Start, 20),
    (ShutDown, 1),
    (ShutDownAndDrop, 1),
    (DropNode, 1),
    (DropInbound, 1),
    (Connect, 80),
    (ConnectAndDrop, 20),
    (Disconnect, 6),
    (DisconnectAndDrop, 2),
    (Abort, 3),
    (Send, 300),
    (SendAndDrop, 60),
    (TrySend, 200),
    (Broadcast, 60),
    (Outbound, 60),
    (PeerSink, 60),
    (ToggleListener, 4),
    (Limits, 6),
    (Ban, 4),
    (Filter, 3),
    (Incomings, 4),
    (PauseReader, 6),
    (Foreign, 15),
];

/// What an epoch multiplies the weights by, out of four each time.
const FACTORS: [u64; 6] = [0, 1, 4, 4, 8, 32];

#[derive(Debug, Clone)]
pub(crate) struct Mix {
    weights: [u64; USUAL.len()],
    /// Whether workers pause between actions in this epoch, and don't do them in bursts.
    pub(crate) calm: bool,
}

impl Mix {
    pub(crate) fn of_epoch(seed: u64, epoch: u64) -> Self {
        let mut rng = Rng::new(seed, u64::MAX - epoch);
        let weights = USUAL.map(|(action, usual)| {
            let factor = FACTORS[rng.below(FACTORS.len() as u64) as usize];
            // Without these there would soon be nothing to do.
            let least = u64::from(matches!(action, Start | Connect | Send)) * 2;
            usual * factor.max(least)
        });
        Self {
            weights,
            calm: rng.chance(200),
        }
    }

    pub(crate) fn next(&self, rng: &mut Rng) -> Action {
        let mut at = rng.below(self.weights.iter().sum());
        for ((action, _), weight) in USUAL.iter().zip(self.weights) {
            if at < weight {
                return *action;
            }
            at -= weight;
        }
        Start
    }
}
