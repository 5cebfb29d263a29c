//! Puts load on a server, and says how it took it: rate, latencies, and a page with charts.
//!
//! ```text
//! cargo run --release --example stress -- 127.0.0.1:7777                  # one at a time, for 10 s
//! cargo run --release --example stress -- 127.0.0.1:7777 --codec lines --connections 1000 --rate 50000 --report out.html
//! cargo run --release --example stress -- 127.0.0.1:7777 --in-flight 32   # as much as it can do
//! cargo run --release --example stress -- 127.0.0.1:6379 --message PING   # a Redis
//! ```
//!
//! The server has to answer each message with one, in order; what it answers doesn't matter. With
//! `--codec lines` messages end with a line's end, with `length` they begin with their length in four
//! bytes, and with `bytes` an answer is over when it has as many bytes as the message had, as from an echo.
//!
//! With `--rate` the times of all messages are fixed before, and latencies count from those: what
//! a stall keeps waiting is late, whether or not it could be sent. With `--in-flight` each connection has so
//! many requests under way. `--json` writes the numbers for programs.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec, LinesCodec};
use wattle::{
    BoxError, Protocol,
    testing::load::{Load, LoadError, Progress, Report},
};

mod chart;
mod descriptors;
mod fixed_size;
mod report;

use fixed_size::FixedSize;

/// Answers may be longer than messages; an answer longer than this is taken for a mistake.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

/// Points in the charts: as many as the eye tells apart.
const INTERVALS: u32 = 100;

/// Shorter intervals would hold too few replies for a percentile.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Parser, Clone)]
struct Args {
    /// The server.
    addr: String,
    /// Where messages begin and end.
    #[arg(long, value_enum, default_value = "lines")]
    codec: Codec,
    /// How many connections.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Messages per second, over all connections: an open loop.
    #[arg(long, conflicts_with = "in_flight")]
    rate: Option<f64>,
    /// How many requests each connection has under way: a closed loop; 1 if there is no rate.
    #[arg(long)]
    in_flight: Option<usize>,
    /// How long it is measured, such as 500ms, 10s or 1m.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How long there is load before that.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// How long answers are waited for at the end.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    linger: Duration,
    /// The size of a message in bytes, without its line's end or length.
    #[arg(long, default_value_t = 64, conflicts_with = "message")]
    size: usize,
    /// A message of your own.
    #[arg(long)]
    message: Option<String>,
    /// How many addresses of 127.0.0.0/8 to dial from.
    #[arg(long, default_value_t = 1)]
    sources: u32,
    /// Where to write a page with charts.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Where to write the numbers as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Codec {
    /// A line's end behind each message.
    Lines,
    /// The length of each message before it, in four bytes.
    Length,
    /// Nothing: answers are as long as messages.
    Bytes,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    if let Err(error) = stress(&args).await {
        eprintln!("stress: {error}");
        std::process::exit(1);
    }
}

async fn stress(args: &Args) -> Result<(), Box<dyn Error>> {
    descriptors::check(args.connections)?;
    let message = args.text();
    if args.codec == Codec::Lines && message.contains('\n') {
        return Err("a line can't have a line's end in it; for several see --codec bytes".into());
    }
    let bytes = Bytes::from(message.clone());
    let report = match args.codec {
        Codec::Lines => {
            let line: Arc<str> = message.into();
            let codec = |_| LinesCodec::new_with_max_length(LONGEST_ANSWER);
            run(Load::new(&args.addr, codec, move |_| line.clone()), args).await?
        }
        Codec::Length => {
            let codec = |_| {
                let mut codec = LengthDelimitedCodec::builder();
                codec.max_frame_length(LONGEST_ANSWER).new_codec()
            };
            run(Load::new(&args.addr, codec, move |_| bytes.clone()), args).await?
        }
        Codec::Bytes => {
            let size = bytes.len();
            if size == 0 {
                return Err("an answer of no bytes is no answer".into());
            }
            let codec = move |_| FixedSize(size);
            run(Load::new(&args.addr, codec, move |_| bytes.clone()), args).await?
        }
    };

    print!("{report}");
    if let Some(path) = &args.report {
        write(path, &report::page(args, &report))?;
    }
    if let Some(path) = &args.json {
        write(path, &format!("{:#}\n", report.to_json()))?;
    }
    Ok(())
}

impl Args {
    fn text(&self) -> String {
        match &self.message {
            Some(message) => message.clone(),
            None => "abcdefghijklmnopqrstuvwxyz"
                .chars()
                .cycle()
                .take(self.size)
                .collect(),
        }
    }

    fn interval(&self) -> Duration {
        (self.duration / INTERVALS).max(SHORTEST_INTERVAL)
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("can't write {}: {error}", path.display()))
}

async fn run<P, M, Out>(load: Load<P, M>, args: &Args) -> Result<Report, LoadError>
where
    P: Protocol,
    P::Codec: Decoder + Encoder<Out, Error: Into<BoxError>>,
    M: Fn(u64) -> Out + Send + Sync + 'static,
    Out: 'static,
{
    let load = load
        .connections(args.connections)
        .sources(args.sources)
        .duration(args.duration)
        .warm_up(args.warm_up)
        .linger(args.linger)
        .interval(args.interval());
    let load = match args.rate {
        Some(rate) => load.rate(rate),
        None => load.in_flight(args.in_flight.unwrap_or(1)),
    };
    let bar = progress_bar(args);
    let shown = bar.clone();
    let report = load
        .on_progress(move |progress| show(&shown, progress))
        .run()
        .await;
    bar.finish_and_clear();
    report
}

/// On a terminal; elsewhere nothing is shown.
fn progress_bar(args: &Args) -> ProgressBar {
    let bar = ProgressBar::new(args.duration.as_millis() as u64);
    let style = ProgressStyle::with_template("{elapsed:>4} {bar:40} {msg}");
    bar.set_style(style.expect("the template is right"));
    bar
}

fn show(bar: &ProgressBar, progress: &Progress) {
    let Progress {
        connected,
        connections,
        sent,
        received,
        failed,
        ..
    } = progress;
    let Some(elapsed) = progress.elapsed else {
        bar.set_message(format!("{connected} of {connections} connections"));
        return;
    };
    bar.set_position(elapsed.min(progress.duration).as_millis() as u64);
    let failed = match failed {
        0 => String::new(),
        failed => format!(", {failed} connections failed"),
    };
    bar.set_message(format!("{sent} sent, {received} received{failed}"));
}
