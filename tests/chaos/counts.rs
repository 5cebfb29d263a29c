//! How often what was done and met, for the summary.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use wattle::{Disconnect, Reason};

use crate::{failures::lock, mix::Action};

#[derive(Debug, Default)]
pub(crate) struct Counts {
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
    /// How often each action was done, and how long it took in all.
    actions: Mutex<BTreeMap<String, (u64, Duration)>>,
}

impl Counts {
    pub(crate) fn add(&self, kind: &'static str, what: impl Into<String>) {
        *lock(&self.counts).entry((kind, what.into())).or_default() += 1;
    }

    pub(crate) fn acted(&self, action: Action, took: Duration) {
        let mut actions = lock(&self.actions);
        let (count, time) = actions.entry(format!("{action:?}")).or_default();
        *count += 1;
        *time += took;
    }

    pub(crate) fn ended(&self, why: &Disconnect) {
        self.add("ended by", reason(&why.reason));
        if why.drain_timed_out {
            self.add("ended by", "(with a drain timeout)");
        }
    }

    pub(crate) fn print(&self, since: Instant) {
        let actions = lock(&self.actions);
        let count: u64 = actions.values().map(|(count, _)| count).sum();
        let seconds = since.elapsed().as_secs_f64();
        let rate = count as f64 / seconds;
        println!("{count} actions in {seconds:.1} s: {rate:.0} per second");
        println!("actions, and how long each took on average:");
        for (action, (count, time)) in actions.iter() {
            let mean = time.div_f64(*count as f64);
            println!("{count:>10}  {action} ({mean:.1?})");
        }
        let mut last = "";
        for ((kind, what), count) in lock(&self.counts).iter() {
            if *kind != last {
                println!("{kind}:");
                last = kind;
            }
            println!("{count:>10}  {what}");
        }
    }
}

/// The name of a reason, without what it says of the single case.
fn reason(reason: &Reason) -> String {
    match reason {
        Reason::TimedOut(timeout) => timeout.to_string(),
        other => {
            let text = format!("{other:?}");
            let end = text.find([' ', '(', '{']).unwrap_or(text.len());
            text[..end].to_owned()
        }
    }
}
