//! What one end sent on one connection, message by message, until it is settled.

use std::collections::{HashMap, VecDeque};

/// What became of an attempt to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The operation is under way.
    Pending,
    /// The library has queued it: `Ok` of `send_to`, for example.
    Queued,
    /// A sink took it, and was ready again later: queued, or its peer was gone.
    Fed,
    /// Nobody can say: the sink was dropped with it, or a broadcast met a connection that was closing.
    Unknown,
    /// The library gave it back, or the future was dropped before it had resolved: it must not arrive.
    Refused,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    fate: Fate,
    delivered: bool,
}

/// The messages of each flow (one sender, one after the other), the oldest first. What is delivered
/// leaves it.
#[derive(Debug, Default)]
pub(crate) struct Page {
    flows: HashMap<u16, VecDeque<Entry>>,
    pub(crate) pending: usize,
    pub(crate) queued: u64,
}

impl Page {
    pub(crate) fn offer(&mut self, flow: u16, id: u64) {
        self.pending += 1;
        self.flows.entry(flow).or_default().push_back(Entry {
            id,
            fate: Fate::Pending,
            delivered: false,
        });
    }

    /// The outcome of an attempt; `Err` says what contradicts it.
    pub(crate) fn resolve(&mut self, flow: u16, id: u64, fate: Fate) -> Result<(), String> {
        let entries = self.flows.entry(flow).or_default();
        let at = entries
            .binary_search_by_key(&id, |entry| entry.id)
            .map_err(|_| format!("message {id} is not in the books"))?;
        let entry = &mut entries[at];
        self.pending -= 1;
        self.queued += u64::from(fate == Fate::Queued);
        entry.fate = fate;
        if fate == Fate::Refused && entry.delivered {
            return Err(format!("message {id} was not taken, and arrived"));
        }
        let settled = |entry: &Entry| {
            entry.fate == Fate::Refused || (entry.delivered && entry.fate != Fate::Pending)
        };
        while entries.front().is_some_and(settled) {
            entries.pop_front();
        }
        Ok(())
    }

    /// A message arrived; tells how many that were queued before it did not.
    pub(crate) fn deliver(&mut self, flow: u16, id: u64) -> Result<u64, String> {
        let entries = self.flows.entry(flow).or_default();
        let at = entries
            .binary_search_by_key(&id, |entry| entry.id)
            .map_err(|_| format!("message {id} arrived twice, too late, or was never sent"))?;
        if entries[at].fate == Fate::Refused {
            return Err(format!("message {id} was not taken, and arrived"));
        }
        if entries[at].delivered {
            return Err(format!("message {id} arrived twice"));
        }
        entries[at].delivered = true;
        let missing = |entry: &Entry| {
            !entry.delivered && !matches!(entry.fate, Fate::Refused | Fate::Unknown)
        };
        let missing = entries
            .iter()
            .take(at)
            .filter(|entry| missing(entry))
            .count();
        let pending = entries[at].fate == Fate::Pending;
        entries.drain(..if pending { at } else { at + 1 });
        Ok(missing as u64)
    }

    /// Queued messages that did not arrive.
    pub(crate) fn missing(&self) -> u64 {
        let entries = self.flows.values().flatten();
        entries
            .filter(|entry| entry.fate == Fate::Queued && !entry.delivered)
            .count() as u64
    }
}
