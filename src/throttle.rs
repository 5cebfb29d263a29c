//! Log lines that a remote can cause: one per second and kind, so that no flood becomes a flood of
//! lines.

use std::{
    collections::HashMap,
    mem::{Discriminant, discriminant},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    disconnect::{Reason, Timeout},
    error::{Limit, Refusal},
    peer::Side,
    sync::Mutex,
};

/// A line of a kind is told this often at most: often enough to follow what goes on, rarely enough for
/// any disk.
const EVERY: Duration = Duration::from_secs(1);

/// What a line is about; each kind has a turn of its own, so that one doesn't hide another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Refused(Discriminant<Refusal>, Option<Discriminant<Limit>>),
    HandshakeFailed(Side),
    AcceptFailed,
    Disconnected(Discriminant<Reason>, Option<Timeout>),
    Dropped,
    Undelivered,
}

/// Says which lines are told. It has an entry for each kind that there was, and the kinds are
/// counted.
#[derive(Debug)]
pub(crate) struct Throttle {
    turns: Mutex<HashMap<Kind, Turn>>,
}

#[derive(Debug)]
struct Turn {
    told: Instant,
    suppressed: u64,
}

/// A line that may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tell {
    /// How many of its kind were not, since the last that was; `None` if there were none, so that the
    /// line doesn't have the field.
    pub(crate) suppressed: Option<u64>,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self {
            turns: Mutex::new(HashMap::new()),
        }
    }

    /// Asks whether a line may be told; without it, it is for `trace` at most.
    pub(crate) fn pass(&self, kind: Kind) -> Option<Tell> {
        let now = Instant::now();
        let mut turns = self.turns.lock();
        let Some(turn) = turns.get_mut(&kind) else {
            let (told, suppressed) = (now, 0);
            turns.insert(kind, Turn { told, suppressed });
            return Some(Tell { suppressed: None });
        };
        if now.saturating_duration_since(turn.told) < EVERY {
            turn.suppressed += 1;
            return None;
        }
        turn.told = now;
        let suppressed = std::mem::take(&mut turn.suppressed);
        let suppressed = (suppressed > 0).then_some(suppressed);
        Some(Tell { suppressed })
    }
}

impl From<&Refusal> for Kind {
    fn from(refusal: &Refusal) -> Self {
        let limit = match refusal {
            Refusal::Limit(limit) => Some(discriminant(limit)),
            _ => None,
        };
        Self::Refused(discriminant(refusal), limit)
    }
}

impl From<&Reason> for Kind {
    fn from(reason: &Reason) -> Self {
        let timeout = match reason {
            Reason::TimedOut(timeout) => Some(*timeout),
            _ => None,
        };
        Self::Disconnected(discriminant(reason), timeout)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const TOLD: Option<Tell> = Some(Tell { suppressed: None });

    #[tokio::test(start_paused = true)]
    async fn a_line_per_second_and_the_next_says_how_many_were_left_out() {
        let throttle = Throttle::new();
        let pass = || throttle.pass(Kind::AcceptFailed);
        assert_eq!(pass(), TOLD);
        assert_eq!([pass(), pass()], [None, None]);
        advance(EVERY - Duration::from_millis(1)).await;
        assert_eq!(pass(), None);
        advance(Duration::from_millis(1)).await;
        let suppressed = Some(3);
        assert_eq!(pass(), Some(Tell { suppressed }));
        assert_eq!(pass(), None);
        advance(EVERY).await;
        let suppressed = Some(1);
        assert_eq!(pass(), Some(Tell { suppressed }));
        advance(EVERY).await;
        assert_eq!(pass(), TOLD, "none was left out since");
    }

    #[tokio::test(start_paused = true)]
    async fn kinds_have_turns_of_their_own_whatever_their_values() {
        let throttle = Throttle::new();
        let pass = |refusal| throttle.pass(Kind::from(&refusal));
        let ours = throttle.pass(Kind::HandshakeFailed(Side::Dialer));
        let theirs = throttle.pass(Kind::HandshakeFailed(Side::Listener));
        assert_eq!([ours, theirs], [TOLD, TOLD]);
        for refusal in [
            Refusal::Banned,
            Refusal::Filtered,
            Refusal::FilterPanicked("why".into()),
            Refusal::Limit(Limit::PerIp(1)),
            Refusal::Limit(Limit::PerSubnet(1)),
        ] {
            assert_eq!(pass(refusal.clone()), TOLD, "{refusal}");
            assert_eq!(pass(refusal.clone()), None, "{refusal}");
        }
        // A kind for each value would be one for each address or text.
        assert_eq!(pass(Refusal::FilterPanicked("else".into())), None);
        assert_eq!(pass(Refusal::Limit(Limit::PerIp(2))), None);
    }
}
