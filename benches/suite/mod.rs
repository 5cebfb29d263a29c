//! What all benchmarks have in common: the contenders take turns in one process, and what is told are
//! medians of ratios within a round, as the machine is never the same for long.
//!
//! A benchmark prints a table for people and, at its end, lines of a fixed form for scripts:
//! `ratio BENCH/CASE/AGAINST VALUE`, where the value is wattle's figure divided by the other's. Above 1
//! is better for rates, below 1 for times and bytes.
//!
//! ```text
//! cargo bench --bench NAME                       # 9 rounds
//! cargo bench --bench NAME -- --quick            # 3 rounds
//! cargo bench --bench NAME -- --only CASE        # the cases whose name has this in it
//! cargo bench --bench NAME -- --profile wattle   # one contender alone, for a profiler
//! cargo bench --bench throughput -- --chart FILE # the chart of the README, an SVG
//! ```

// Each benchmark uses a part of it.
#![allow(dead_code)]

use std::{
    env,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};

pub(crate) mod chart;
pub(crate) mod echo;
pub(crate) mod flow;
pub(crate) mod node;
pub(crate) mod pea;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod spread;
pub(crate) mod visits;

/// Rounds, an odd number so that the median is one of them; one more comes first and doesn't count.
const ROUNDS: usize = 9;
const QUICK_ROUNDS: usize = 3;

/// Threads of the runtime that all contenders share.
const THREADS: usize = 2;

type Figures = Pin<Box<dyn Future<Output = Vec<f64>>>>;

/// One who does what is asked for, and how: the figures of one round, a figure for each case.
pub(crate) struct Contender {
    name: &'static str,
    measure: Box<dyn Fn() -> Figures>,
}

impl Contender {
    pub(crate) fn new<F>(name: &'static str, measure: impl Fn() -> F + 'static) -> Self
    where
        F: Future<Output = Vec<f64>> + 'static,
    {
        Self {
            name,
            measure: Box::new(move || Box::pin(measure())),
        }
    }
}

/// The same for all.
pub(crate) fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(THREADS).enable_all();
    builder.build().expect("a runtime")
}

/// A benchmark that is being run.
pub(crate) struct Suite {
    name: &'static str,
    quick: bool,
    rounds: usize,
    only: Option<String>,
    profile: Option<String>,
    chart: Option<PathBuf>,
    runtime: Runtime,
    /// Whose columns the table has.
    columns: Vec<&'static str>,
    lines: Vec<String>,
    /// The medians of all contenders, by case.
    medians: Vec<(String, Vec<f64>)>,
}

impl Suite {
    /// With what the command line says.
    pub(crate) fn begin(name: &'static str) -> Self {
        let args: Vec<String> = env::args().collect();
        let after = |flag: &str| args.iter().skip_while(|arg| *arg != flag).nth(1).cloned();
        let quick = args.iter().any(|arg| arg == "--quick");
        Self {
            name,
            quick,
            rounds: if quick { QUICK_ROUNDS } else { ROUNDS },
            only: after("--only"),
            profile: after("--profile"),
            chart: after("--chart").map(PathBuf::from),
            runtime: runtime(),
            columns: Vec::new(),
            lines: Vec::new(),
            medians: Vec::new(),
        }
    }

    /// Whether it is to be over soon.
    pub(crate) fn quick(&self) -> bool {
        self.quick
    }

    /// Fewer rounds, for figures that are nearly the same in each.
    pub(crate) fn with_rounds(mut self, rounds: usize, quick_rounds: usize) -> Self {
        self.rounds = if self.quick { quick_rounds } else { rounds };
        self
    }

    /// Lets the contenders take turns (A B C, A B C, …), whose figures are those of the cases. The last of
    /// them is wattle, whose medians come back, unless something else is asked for.
    pub(crate) fn compare(
        &mut self,
        cases: &[String],
        contenders: &[Contender],
    ) -> Option<Vec<f64>> {
        let wanted = |only: &String| cases.iter().any(|case| case.contains(only));
        if !self.only.as_ref().is_none_or(wanted) {
            return None;
        }
        if let Some(profile) = &self.profile {
            let alone = contenders
                .iter()
                .find(|contender| contender.name == profile)?;
            self.alone(cases, alone);
            return None;
        }
        self.head(contenders);
        let turn = |contender: &Contender| self.runtime.block_on((contender.measure)());
        let rounds = (0..=self.rounds).map(|_| contenders.iter().map(turn).collect());
        let rounds: Vec<Vec<Vec<f64>>> = rounds.skip(1).collect();
        let row = |(n, case): (usize, &String)| {
            let of_case = |round: &Vec<Vec<f64>>| round.iter().map(|figures| figures[n]).collect();
            self.row(
                case,
                contenders,
                &rounds.iter().map(of_case).collect::<Vec<_>>(),
            )
        };
        Some(cases.iter().enumerate().map(row).collect())
    }

    /// A row of the table, and its lines for scripts. Gives the median of ours.
    fn row(&mut self, case: &str, contenders: &[Contender], rounds: &[Vec<f64>]) -> f64 {
        let figures = (0..contenders.len()).map(|n| spread(rounds.iter().map(|round| round[n])));
        let mut row: Vec<String> = figures.collect();
        let ours = contenders.len() - 1;
        for (n, other) in contenders[..ours].iter().enumerate() {
            let ratio = median(rounds.iter().map(|round| round[ours] / round[n]));
            row.push(format!("{ratio:.2}"));
            let against = other.name;
            self.lines
                .push(format!("ratio {}/{case}/{against} {ratio:.2}", self.name));
        }
        println!("| {case} | {} |", row.join(" | "));
        let medians = (0..contenders.len()).map(|n| median(rounds.iter().map(|round| round[n])));
        let medians: Vec<f64> = medians.collect();
        let of_ours = medians[ours];
        self.medians.push((case.to_owned(), medians));
        of_ours
    }

    /// A contender without the others.
    fn alone(&self, cases: &[String], contender: &Contender) {
        for _ in 0..self.rounds {
            let figures = self.runtime.block_on((contender.measure)());
            for (case, figure) in cases.iter().zip(figures) {
                println!("{} {case}: {}", contender.name, short(figure));
            }
        }
    }

    /// The head of a table, unless the one above has the same columns.
    fn head(&mut self, contenders: &[Contender]) {
        let columns: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
        if columns == self.columns {
            return;
        }
        let others = &columns[..columns.len() - 1];
        let ratios = others.iter().map(|name| format!("÷ {name}"));
        let head: Vec<String> = columns
            .iter()
            .map(|name| (*name).to_owned())
            .chain(ratios)
            .collect();
        println!(
            "\n{}: medians of {} rounds (lowest - highest)\n",
            self.name, self.rounds
        );
        println!("| case | {} |", head.join(" | "));
        println!("|---|{}", "---|".repeat(head.len()));
        self.columns = columns;
    }

    /// A figure that isn't a comparison of contenders, such as one of wattle's with another of its own.
    pub(crate) fn tell(&mut self, line: String) {
        self.lines.push(line);
    }

    /// The medians of a case's contenders, if it was measured.
    pub(crate) fn medians(&self, case: &str) -> Option<&[f64]> {
        let (_, medians) = self.medians.iter().find(|(name, _)| name == case)?;
        Some(medians)
    }

    /// Where a chart is to be written.
    pub(crate) fn chart(&self) -> Option<&Path> {
        self.chart.as_deref()
    }

    /// The lines for scripts.
    pub(crate) fn end(self) {
        println!("\n{}", self.lines.join("\n"));
    }
}

/// Processors' time that this process has used; none where the system doesn't say in a way that is known
/// here, and a figure of it is not a number.
pub(crate) fn cpu_time() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    return nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .map(Duration::from)
        .ok();
    #[cfg(not(target_os = "linux"))]
    None
}

/// The middle one; of an even number, the upper of the two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn spread(values: impl Iterator<Item = f64> + Clone) -> String {
    let lowest = values.clone().fold(f64::INFINITY, f64::min);
    let highest = values.clone().fold(0.0, f64::max);
    let [middle, lowest, highest] = [median(values), lowest, highest].map(short);
    format!("{middle} ({lowest} - {highest})")
}

/// Three digits and what they count: `1.23 M`, `45.6 k`, `789`, `12.3 µ`.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e3 => (value / 1e3, " k"),
        value if value >= 1.0 => (value, ""),
        value if value >= 1e-3 => (value * 1e3, " m"),
        value => (value * 1e6, " µ"),
    };
    match scaled {
        scaled if scaled >= 100.0 => format!("{scaled:.0}{unit}"),
        scaled if scaled >= 10.0 => format!("{scaled:.1}{unit}"),
        scaled => format!("{scaled:.2}{unit}"),
    }
}
