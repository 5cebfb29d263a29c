//! The table of what was counted, and the one that is kept.

use std::{cmp::Ordering, collections::BTreeMap, fs, io, process::Command};

use super::{Case, callgrind, stages::STAGES};

/// Where it is kept, beside this benchmark.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/codec_cost.md");

/// How much more than what is kept counts as a regression.
const TOLERANCE: f64 = 0.05;

/// A difference up to this is none, in instructions: of a stage that takes a few dozens, 5 % may be
/// a register that is spilled. To clone an `Arc` and drop it takes 6.
const SLACK: f64 = 2.0;

/// Not checked: it isn't wattle's.
const RAW: &str = "raw";

/// Instructions per message; the columns are cases, the rows stages.
pub(crate) struct Table {
    cases: Vec<String>,
    rows: BTreeMap<String, Vec<f64>>,
}

impl Table {
    pub(crate) fn new(cases: &[Case], counts: &[[f64; STAGES.len()]]) -> Self {
        let row = |n: usize| counts.iter().map(|of_case| of_case[n]).collect();
        let rows = STAGES.iter().enumerate();
        Self {
            cases: cases.iter().map(|case| case.name.to_owned()).collect(),
            rows: rows
                .map(|(n, stage)| ((*stage).to_owned(), row(n)))
                .collect(),
        }
    }

    /// As Markdown.
    pub(crate) fn text(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let head = [vec!["stage".to_owned()], self.cases.clone()].concat();
        let mut text = line(head) + "|---|" + &"---:|".repeat(self.cases.len()) + "\n";
        for stage in STAGES {
            let figures = self.rows[stage].iter().map(|figure| format!("{figure:.1}"));
            text += &line([stage.to_owned()].into_iter().chain(figures).collect());
        }
        text
    }

    /// The lines for scripts.
    pub(crate) fn ratios(&self) -> String {
        let path = self.rows["path"].iter().zip(&self.rows[RAW]);
        let ratio = path.zip(&self.cases).map(|((path, raw), case)| {
            let ratio = path / raw;
            format!("ratio codec_cost/{case}/raw {ratio:.2}\n")
        });
        ratio.collect()
    }

    pub(crate) fn save(&self) -> io::Result<()> {
        let (tools, table) = (tools(), self.text());
        let text = format!(
            "# Instructions per message\n\n\
             Counted with {tools}, on x86-64, by\n\
             `cargo bench --bench codec_cost -- --save`, whose source says what the stages are; `-- --check`\n\
             compares with it.\n\n{table}"
        );
        fs::write(KEPT, text)
    }

    /// Whether no figure is above what is kept; tells which are, and which below.
    pub(crate) fn check(&self) -> bool {
        let text = fs::read_to_string(KEPT).unwrap_or_default();
        let kept = Self::parse(&text);
        let rows = STAGES.iter().filter(|stage| **stage != RAW);
        let figures = rows.flat_map(|stage| self.cases.iter().map(move |case| (*stage, case)));
        let compared = figures.map(|(stage, case)| self.compare(&kept, stage, case));
        let (mut above, mut below) = (0, 0);
        for compared in compared {
            match compared {
                Ordering::Greater => above += 1,
                Ordering::Less => below += 1,
                Ordering::Equal => {}
            }
        }
        if above + below > 0 {
            println!("{above} above and {below} below {KEPT}");
            let tools = tools();
            if !text.contains(&tools) {
                println!("which was counted with others than {tools}: that may be the reason");
            }
            println!("if it is meant to be so: cargo bench --bench codec_cost -- --save");
        }
        above == 0
    }

    /// A figure with the one that is kept; tells it if they differ.
    fn compare(&self, kept: &Self, stage: &str, case: &str) -> Ordering {
        let now = self.figure(stage, case).unwrap_or(f64::NAN);
        let Some(before) = kept.figure(stage, case) else {
            println!("codec_cost/{case}/{stage}: {now:.1}, which isn't in the table");
            return Ordering::Greater;
        };
        let tolerated = (before * TOLERANCE).max(SLACK);
        let compared = match now - before {
            more if more > tolerated => Ordering::Greater,
            more if more < -tolerated => Ordering::Less,
            _ => return Ordering::Equal,
        };
        let percent = (now / before - 1.0) * 100.0;
        println!("codec_cost/{case}/{stage}: {now:.1} instead of {before:.1} ({percent:+.1} %)");
        compared
    }

    fn parse(text: &str) -> Self {
        let cells = |line: &str| -> Vec<String> {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        };
        let mut lines = text.lines().filter(|line| line.starts_with('|')).map(cells);
        let cases = lines.next().unwrap_or_default();
        let row = |cells: Vec<String>| {
            let figures = cells.iter().skip(1).map_while(|cell| cell.parse().ok());
            (cells[0].clone(), figures.collect())
        };
        Self {
            cases: cases.into_iter().skip(1).collect(),
            rows: lines.map(row).collect(),
        }
    }

    fn figure(&self, stage: &str, case: &str) -> Option<f64> {
        let column = self.cases.iter().position(|one| one == case)?;
        self.rows.get(stage)?.get(column).copied()
    }
}

/// What the figures depend on beside the code.
fn tools() -> String {
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let valgrind = callgrind::version().unwrap_or_default();
    format!("{} and {valgrind}", rustc.unwrap_or_default())
}
