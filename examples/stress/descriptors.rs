//! Whether this process may open as many sockets as it is to.

use std::fs;

/// What a process has open besides: its terminal, the runtime's poll, the files that it writes.
const BESIDES: usize = 16;

/// Says what to do if there are too few, instead of doing it: limits are the user's.
pub(crate) fn check(connections: usize) -> Result<(), String> {
    let needed = connections.saturating_add(BESIDES);
    match limit() {
        Some(limit) if limit < needed => Err(format!(
            "{connections} connections need {needed} file descriptors, and this process may have {limit}: \
             raise the limit first, with `ulimit -n {needed}`"
        )),
        _ => Ok(()),
    }
}

/// The soft limit, where the system tells it in a file.
fn limit() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    // "unlimited" is no number.
    line.split_whitespace().next()?.parse().ok()
}
