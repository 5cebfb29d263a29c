//! How many instructions does a message cost, and where along its path?
//!
//! They are counted by `valgrind --tool=callgrind`, under which this program runs itself, and so don't
//! depend on how busy the machine is: a regression of a few per cent shows, which no clock would see. They
//! are no times: a lock that is contended and a miss of the cache cost one, as does an addition.
//!
//! ```text
//! cargo bench --bench codec_cost             # counts
//! cargo bench --bench codec_cost -- --check  # fails if a count is more than 5 % above the kept table's
//! cargo bench --bench codec_cost -- --save   # keeps the counts: benches/codec_cost.md
//! ```
//!
//! It takes a quarter of a minute, and a half to be built.
//!
//! # What is counted
//!
//! A node with one connection, whose stream is no socket but a tape: it gives prepared frames, and swallows
//! what is written. Everything runs on one thread. Messages go in (tape → `Inbound`), and in another run
//! out (`PeerSink` → tape); each is run with two numbers of messages, and the difference divided, so that
//! starting and ending don't count.
//!
//! | stage | what it is |
//! |---|---|
//! | `decode` | `Decoder::decode`, with what it calls |
//! | `hand-over` | the rest of the way in: the connection's task and its `Framed`, the batch, its inbox, the runtime |
//! | `yield` | `Inbound::poll_next` in the reader's loop |
//! | `queue` | `PeerSink::poll_ready`, `start_send` and `poll_flush` in the sender's loop |
//! | `take` | the rest of the way out: the connection's task takes the queue, its `Framed`, the runtime |
//! | `encode` | `Encoder::encode`, with what it calls |
//! | `path` | the sum of these |
//! | `raw` | the same path with `FramedRead` and `FramedWrite` by hand, a task for each |
//!
//! So a stage is a function that is never inlined, with everything that it calls, wherever its source is; see
//! `cost::marks`. Neither the tape counts, nor what the program does with its messages: to make one (a clone of
//! `Bytes`) and to drop it. The codec is tokio-util's, and the same for `raw`.
//!
//! In `16B`, `256B` and `4KiB` there are always more messages, so that a batch's cost is spread over it. In
//! `alone-16B` a read gives one message, and each that is sent is flushed: what every wake-up costs.
//!
//! # How exact it is
//!
//! The same program gives the same counts but for a few instructions in a million. What is inlined depends on
//! how a crate is cut into units that are compiled apart, which makes 10 % of a stage; so this program builds
//! itself anew, as a single one. Another compiler gives other counts, which the check says. The C library's
//! `memcpy` is pinned to that of the plainest x86-64, as it would count by the kind of processor; on other
//! architectures nothing is compared.
//!
//! The lines `ratio codec_cost/CASE/raw VALUE` are `path` divided by `raw`: below 1 is better.

mod cost;

use std::{
    env,
    process::{Command, ExitCode},
};

use cost::{
    CASES, Case, callgrind,
    path::{self, Contender, Way},
    stages,
    table::Table,
};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["--run", contender, way, case, messages] = args[..] {
        return run(contender, way, case, messages)
            .map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    if callgrind::version().is_none() {
        println!("skipped: valgrind not found");
        let required = env::var("WATTLE_REQUIRE_TOOLS").is_ok_and(|required| required == "1");
        return ExitCode::from(u8::from(required));
    }
    match option_env!("WATTLE_ONE_UNIT") {
        Some(_) => count(&args),
        None => in_one_unit(&args),
    }
}

/// Builds and runs this program as one unit.
fn in_one_unit(args: &[&str]) -> ExitCode {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["bench", "--quiet", "--config", "benches/cost/one_unit.toml"])
        .args(["--bench", "codec_cost", "--"])
        .args(args)
        .status();
    match status.expect("cargo runs").success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn count(args: &[&str]) -> ExitCode {
    let counts: Vec<_> = CASES.into_iter().map(stages::count).collect();
    let table = Table::new(&CASES, &counts);
    println!("\ncodec_cost: instructions per message\n");
    println!("{}\n{}", table.text(), table.ratios());
    if args.contains(&"--save") {
        table.save().expect("it can be written");
    }
    if !args.contains(&"--check") {
        return ExitCode::SUCCESS;
    }
    if !cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
        println!("skipped: the table is of x86-64 and glibc");
        return ExitCode::SUCCESS;
    }
    match table.check() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What is profiled.
fn run(contender: &str, way: &str, case: &str, messages: &str) -> Option<()> {
    let (contender, way) = (Contender::named(contender)?, Way::named(way)?);
    path::run(contender, way, Case::named(case)?, messages.parse().ok()?);
    Some(())
}
