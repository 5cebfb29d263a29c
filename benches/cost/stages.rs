//! Instructions per message, stage by stage.

use super::{
    Case,
    callgrind::{self, Profile},
    marks::{DECODE, ENCODE, FEED, MADE, READ, TAKEN, WRITE, YIELD},
    path::{Contender, Way},
};

/// Whose instructions the rows of the table are, in the order of the path; the sum of the first six is `path`.
pub(crate) const STAGES: [&str; 8] = [
    "decode",
    "hand-over",
    "yield",
    "queue",
    "take",
    "encode",
    "path",
    "raw",
];

/// How many messages go through before those that count, and with them: the difference of two runs has
/// neither start nor end in it. So many batches that a part of one makes no difference.
const FEW: usize = 10_000;
const MANY: usize = 30_000;

/// What each of the [`STAGES`] takes per message.
pub(crate) fn count(case: Case) -> [f64; STAGES.len()] {
    let came = Counted::of(Contender::Wattle, Way::In, case);
    let went = Counted::of(Contender::Wattle, Way::Out, case);
    let decode = came.within(DECODE);
    let yielded = came.within(YIELD) - came.within(TAKEN);
    let hand_over = came.ours() - decode - yielded;
    let queue = went.within(FEED) - went.within(MADE);
    let encode = went.within(ENCODE);
    let take = went.ours() - queue - encode;
    let raw = Counted::of(Contender::Raw, Way::In, case).ours()
        + Counted::of(Contender::Raw, Way::Out, case).ours();
    let path = came.ours() + went.ours();
    [decode, hand_over, yielded, queue, take, encode, path, raw]
}

/// The difference of two runs.
struct Counted {
    few: Profile,
    many: Profile,
}

impl Counted {
    fn of(contender: Contender, way: Way, case: Case) -> Self {
        let run = |messages: usize| {
            let args = ["--run", contender.name(), way.name(), case.name];
            callgrind::profile(&[&args[..], &[&messages.to_string()]].concat())
        };
        let counted = Self {
            few: run(FEW),
            many: run(MANY),
        };
        let each = match way {
            Way::In => [DECODE, TAKEN],
            Way::Out => [ENCODE, MADE],
        };
        for mark in each {
            let calls = counted.many.mark(mark).calls - counted.few.mark(mark).calls;
            assert!(calls >= (MANY - FEW) as u64, "{mark} isn't seen: {calls}");
        }
        counted
    }

    /// In a mark, with all that it calls.
    fn within(&self, mark: &str) -> f64 {
        self.per_message(|profile| profile.mark(mark).instructions)
    }

    /// Neither the stream's, which isn't there with a socket, nor the program's own.
    fn ours(&self) -> f64 {
        let all = self.per_message(|profile| profile.total);
        let others = [READ, WRITE, TAKEN, MADE].map(|mark| self.within(mark));
        all - others.iter().sum::<f64>()
    }

    fn per_message(&self, figure: impl Fn(&Profile) -> u64) -> f64 {
        let [few, many] = [&self.few, &self.many].map(|profile| figure(profile) as f64);
        (many - few) / (MANY - FEW) as f64
    }
}
