//! The descriptors that the current runtime waits for: on Linux, those that are registered with its epoll.
//!
//! All descriptors of the process would be too many: tests run beside each other, each in a runtime of its
//! own. Which epoll is this runtime's shows a socket that is registered with it.

use std::fmt;

/// A descriptor of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Descriptor {
    number: u32,
    /// What the system says that it is, such as `socket:[4711]`.
    what: String,
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, self.what)
    }
}

/// What a runtime waits for with, where that can be looked at.
#[derive(Debug)]
pub(super) struct Poller {
    /// The descriptor of its epoll.
    epoll: String,
}

impl Poller {
    /// That of the current runtime; `None` where it can't be found out.
    #[cfg(target_os = "linux")]
    pub(super) fn of_this_runtime() -> Option<Self> {
        use std::os::fd::AsRawFd;

        // One that is never connected to anything; it is gone when this returns.
        let probe = tokio::net::UnixDatagram::unbound().ok()?;
        let probe = u32::try_from(probe.as_raw_fd()).ok()?;
        std::fs::read_dir("/proc/self/fdinfo")
            .ok()?
            .filter_map(|one| one.ok()?.file_name().into_string().ok())
            .map(|epoll| Self { epoll })
            .find(|poller| poller.numbers().is_some_and(|fds| fds.contains(&probe)))
    }

    /// That of the current runtime; `None` where it can't be found out.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn of_this_runtime() -> Option<Self> {
        None
    }

    /// What it waits for; `None` when the runtime is gone.
    pub(super) fn descriptors(&self) -> Option<Vec<Descriptor>> {
        Some(self.numbers()?.into_iter().map(describe).collect())
    }

    fn numbers(&self) -> Option<Vec<u32>> {
        let fdinfo = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.epoll));
        Some(registered(&fdinfo.ok()?))
    }
}

/// The descriptors in an epoll, from lines such as `tfd:  8 events: …`; other descriptors have none.
fn registered(fdinfo: &str) -> Vec<u32> {
    let lines = fdinfo.lines();
    let numbers = lines.filter_map(|line| line.strip_prefix("tfd:")?.split_whitespace().next());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

fn describe(number: u32) -> Descriptor {
    let what = std::fs::read_link(format!("/proc/self/fd/{number}"));
    Descriptor {
        number,
        what: what.map_or_else(|_| "closed".to_owned(), |what| what.display().to_string()),
    }
}
