//! What several test files use.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod dropped;
pub(crate) mod hesitant;
pub(crate) mod nodes;
pub(crate) mod pairs;
pub(crate) mod random;

#[allow(unused_imports, reason = "as above")]
pub(crate) use nodes::*;
#[allow(unused_imports, reason = "as above")]
pub(crate) use random::{random, seed};

use std::{env, future::Future, path::PathBuf, time::Duration};

use tokio::time::timeout;

/// How long a test waits for anything: far longer than it takes on a busy machine.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(10);

/// Waits for what has to happen soon; `what` says in the failure what did not.
#[track_caller]
pub(crate) fn soon<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match timeout(WATCHDOG, future).await {
            Ok(result) => result,
            Err(_) => panic!("not within {WATCHDOG:?}: {what} (waited for at {caller})"),
        }
    }
}

/// The same for what needs no words: the failure says where it was waited for.
#[track_caller]
pub(crate) fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    soon("this", future)
}

/// The program of an example of this crate. Examples are built beside the directory of the test's own
/// program. `cargo test` builds them; `cargo test --test NAME` alone doesn't.
pub(crate) fn path_of_example(example: &str) -> PathBuf {
    let this = env::current_exe().expect("this program has a path");
    let target = this.parent().and_then(|deps| deps.parent());
    let mut path = target.expect("cargo's layout").join("examples");
    path.push(format!("{example}{}", env::consts::EXE_SUFFIX));
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --examples`",
        path.display()
    );
    path
}

/// Whether a tool that a test drives is installed; where it isn't, the test is [`skipped`].
pub(crate) fn tool(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    let found = env::split_paths(&path).any(|dir| dir.join(&file).is_file());
    if !found {
        skipped(&format!("{name} not found"));
    }
    found
}

/// Prints `skipped: WHY`, or panics if the environment has `WATTLE_REQUIRE_TOOLS=1`, as in CI, where
/// nothing shall be skipped.
pub(crate) fn skipped(why: &str) {
    let required = env::var_os("WATTLE_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    assert!(!required, "would be skipped: {why}");
    println!("skipped: {why}");
}
