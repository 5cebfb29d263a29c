//! Counts the instructions of this very program when it does one thing: `valgrind --tool=callgrind`.

use std::{
    collections::BTreeMap,
    env, fs,
    process::{self, Command},
};

use super::marks;

/// The C library has a `memcpy` for each kind of processor, of which one would even count an instruction per
/// byte (`rep movsb`): this makes it take the one that every x86-64 has, so that a table of one machine holds
/// on another.
const TUNABLES: &str =
    "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-AVX_Fast_Unaligned_Load,-SSSE3,-ERMS,-FSRM";

/// What a run took.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    /// Instructions.
    pub(crate) total: u64,
    marks: BTreeMap<&'static str, Mark>,
}

/// What was counted in a mark, with all that it calls.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    pub(crate) instructions: u64,
    pub(crate) calls: u64,
}

impl Profile {
    /// Of a mark that was passed; nothing if it wasn't.
    pub(crate) fn mark(&self, mark: &str) -> Mark {
        self.marks.get(mark).copied().unwrap_or_default()
    }
}

/// Which valgrind there is, if any.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("valgrind").arg("--version").output().ok()?;
    let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(told)
}

/// Runs this program with such arguments. Its environment is empty, as its size would move the stack, and
/// nobody's options for valgrind or for the program are to count.
pub(crate) fn profile(args: &[&str]) -> Profile {
    let file = env::temp_dir().join(format!("codec_cost-{}-{}", process::id(), args.join("-")));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--demangle=no"])
        .args(["--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe().expect("it runs"))
        .args(args)
        .env_clear()
        .envs(env::var_os("PATH").map(|path| ("PATH", path)))
        .env("GLIBC_TUNABLES", TUNABLES)
        .output()
        .expect("valgrind runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?} failed: {told}");
    let written = fs::read_to_string(&file).expect("callgrind has written it");
    fs::remove_file(&file).expect("it is there");
    read(&written)
}

/// The format's `cfn=` says who is called, `calls=` how often, and the line behind it what that took. Each
/// is about one place from which it is called.
fn read(written: &str) -> Profile {
    let mut profile = Profile::default();
    let mut callee = None;
    let mut lines = written.lines();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("cfn=") {
            callee = marks::ALL.into_iter().find(|mark| name.contains(mark));
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let calls = number(calls.split(' ').next()).expect("a number of calls");
            let cost = lines.next().and_then(|line| line.split(' ').nth(1));
            if let Some(mark) = callee.take() {
                let sum = profile.marks.entry(mark).or_default();
                sum.instructions += number(cost).expect("what they took");
                sum.calls += calls;
            }
        } else if let Some(total) = line.strip_prefix("summary: ") {
            profile.total = number(Some(total)).expect("a number of instructions");
        }
    }
    assert!(profile.total > 0, "no total in what callgrind has written");
    profile
}
