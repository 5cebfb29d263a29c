//! Two hosts on one machine: network namespaces with a cable between them.
//!
//! A host is a thread in a network namespace of its own, with a runtime: sockets that are made there
//! are that host's. The namespaces have no name, so they can't meet those of another test, and the
//! kernel takes them away with their last thread and socket, however the test ends.

use std::{
    fs,
    future::Future,
    io,
    net::Ipv4Addr,
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
};

use nix::sched::{CloneFlags, unshare};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

use super::common::{soon, tool};

pub(crate) const ALICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const BOB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// An address of the same network that nobody has.
pub(crate) const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 99);

/// A thread in a network namespace of its own, which it leaves behind when it is dropped.
pub(crate) struct Host {
    netns: PathBuf,
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Host {
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let (started, start) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let host = move || match enter_namespace() {
            Err(error) => drop(started.send(Err(error))),
            Ok(netns) => {
                let runtime = Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime");
                let _ = started.send(Ok((netns, runtime.handle().clone())));
                // An error means that the host is dropped, too.
                let _ = runtime.block_on(stopped);
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(host)?;
        let (netns, runtime) = start.recv().map_err(io::Error::other)??;
        Ok(Self {
            netns,
            runtime,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Runs a future on this host.
    pub(crate) async fn run<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let ended = self.runtime.spawn(future).await;
        ended.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }

    /// Runs `ip` on this host, with arguments that have no spaces in them.
    pub(crate) async fn ip(&self, arguments: &str) -> String {
        let done = self.try_ip(arguments).await;
        done.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, and what it says.
    pub(crate) async fn try_ip(&self, arguments: &str) -> io::Result<String> {
        let arguments = arguments.to_owned();
        // It takes a few milliseconds, in which the host may as well stand still.
        let ip = async move {
            let output = Command::new("ip").args(arguments.split(' ')).output()?;
            if output.status.success() {
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            let said = String::from_utf8_lossy(&output.stderr);
            Err(io::Error::other(format!("ip {arguments}: {}", said.trim())))
        };
        self.run(ip).await
    }

    /// Waits until what is sent over a link that came up is sent. The kernel looks after its links when it is
    /// asked, and otherwise once a second, and throws everything away before. A connection that begins with
    /// such a loss is given three seconds for each answer until its first round trip, not a fifth of one.
    pub(crate) async fn carries(&self, link: &str) {
        let ask = format!("link show dev {link}");
        let up = async { while !self.ip(&ask).await.contains(" state UP ") {} };
        soon("a link", up).await;
    }

    /// Sets a parameter of this host's own part of the kernel; below `net/`.
    pub(crate) async fn set(&self, parameter: &str, value: u32) -> io::Result<()> {
        let path = Path::new("/proc/sys/net").join(parameter);
        self.run(async move { fs::write(path, value.to_string()) })
            .await
    }

    pub(crate) fn netns(&self) -> &str {
        self.netns.to_str().expect("a path below /proc")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(panic)) = self.thread.take().map(thread::JoinHandle::join)
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

/// Gives this thread a namespace; other threads reach it under the path that is returned.
fn enter_namespace() -> io::Result<PathBuf> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let thread = fs::read_link("/proc/thread-self")?;
    Ok(Path::new("/proc").join(thread).join("ns/net"))
}

/// Two hosts with a cable between them: `eth0` on each.
pub(crate) struct Hosts {
    pub(crate) alice: Host,
    pub(crate) bob: Host,
}

impl Hosts {
    /// Two hosts side by side; `None`, with a line printed, where this machine doesn't let us.
    pub(crate) async fn new() -> Option<Self> {
        let hosts = Self::apart()?;
        let bob = hosts.bob.netns();
        let cable = format!("link add name eth0 type veth peer name eth0 netns {bob}");
        allowed(hosts.alice.try_ip(&cable).await)?;
        hosts.plug_in().await;
        Some(hosts)
    }

    /// Two hosts without a cable.
    pub(crate) fn apart() -> Option<Self> {
        if !tool("ip") {
            return None;
        }
        Some(Self {
            alice: allowed(Host::new("alice"))?,
            bob: allowed(Host::new("bob"))?,
        })
    }

    pub(crate) async fn plug_in(&self) {
        for (host, addr) in [(&self.alice, ALICE), (&self.bob, BOB)] {
            host.ip(&format!("address add {addr}/24 dev eth0")).await;
            host.ip("link set dev eth0 up").await;
            // Over which a host tells itself that another can't be reached.
            host.ip("link set dev lo up").await;
        }
        self.carry().await;
    }

    /// Waits until the cable that was plugged in carries what is sent.
    async fn carry(&self) {
        self.alice.carries("eth0").await;
        self.bob.carries("eth0").await;
    }
}

/// What fails here fails for want of a privilege or of a part of the kernel, which no package brings:
/// so this is skipped even where a missing program is a failure.
pub(crate) fn allowed<T>(result: io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            println!("skipped: this machine doesn't let us make hosts: {error}");
            None
        }
    }
}

/// How a connection loses its other end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// Bob's link is down, and Alice sees that there is no carrier.
    AtBob,
    /// Alice's own link is down.
    AtAlice,
    /// Everything looks as before, but what Alice sends is thrown away.
    Silently,
    /// Alice's routes say that Bob can't be reached.
    Unreachable,
}

impl Hosts {
    pub(crate) async fn cut(&self, cut: Cut) {
        match cut {
            Cut::AtBob => self.bob.ip("link set dev eth0 down").await,
            Cut::AtAlice => self.alice.ip("link set dev eth0 down").await,
            Cut::Silently => return self.swallow().await,
            Cut::Unreachable => self.alice.ip(&format!("route add unreachable {BOB}")).await,
        };
    }

    /// Bob throws away what he would answer, and, as a strict host does, what comes from where he
    /// couldn't answer to; for each packet anew.
    async fn swallow(&self) {
        for (parameter, value) in [("ipv4/ip_early_demux", 0), ("ipv4/conf/eth0/rp_filter", 1)] {
            let set = self.bob.set(parameter, value).await;
            set.unwrap_or_else(|error| panic!("{parameter}: {error}"));
        }
        self.bob.ip(&format!("route add blackhole {ALICE}")).await;
    }

    pub(crate) async fn mend(&self, cut: Cut) {
        match cut {
            Cut::AtBob => self.bob.ip("link set dev eth0 up").await,
            Cut::AtAlice => self.alice.ip("link set dev eth0 up").await,
            Cut::Silently => self.bob.ip(&format!("route del blackhole {ALICE}")).await,
            Cut::Unreachable => self.alice.ip(&format!("route del unreachable {BOB}")).await,
        };
        self.carry().await;
    }
}
