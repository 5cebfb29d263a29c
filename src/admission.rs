//! Who may come in: bans, the filter, limits, and permits that release themselves.
//!
//! ```text
//! incoming: banned? ─► the filter ─► exempt? ─► accept rate ─► limits ─► permit
//! our own :                                                     limits ─► permit
//! ```
//!
//! A connection holds a [`Permit`] from the moment it is dialled or accepted until it has ended, and the
//! messages of one that came to us and wasn't ended by us hold it until they are taken. The permit
//! lives inside what it limits, so no path can forget it: not an error, not a timeout, not a panic.
//!
//! # Invariants
//!
//! 1. What is counted is what permits exist; see [`occupancy`].
//! 2. Addresses are canonical before anything looks at them: IPv4 mapped into IPv6 is IPv4.
//! 3. The filter is the program's, so no lock is held while it runs or is dropped.
//! 4. The filter may hold an [`Admission`]; that is no cycle that outlives the node, because the filter
//!    goes with the node's own [`Gate`].

use std::{
    fmt, mem,
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use tokio::time::Instant;

use crate::{
    config::Limits,
    disconnect::panic_message,
    error::{InvalidOption, Limit, Refusal},
    sync::Mutex,
};

mod access;
mod nets;
mod occupancy;
mod rate;

use access::Access;
pub(crate) use access::{Filter, Rules};
use occupancy::Occupancy;

/// Who may come in: the limits of a node, the addresses that are banned or exempt, and the filter,
/// all changeable while it runs. A handle, cheap to clone; it doesn't keep the node alive.
///
/// What comes to a listener of the node is decided on in this order, before a byte of it is read:
///
/// 1. An address that is [banned](Admission::ban) is refused.
/// 2. So is one that the [filter](Admission::set_filter) says no to.
/// 3. One that is exempt ([`bypass`](Admission::bypass)) comes in, whatever the limits.
/// 4. Any other comes in if the [limits](Limits) allow it: the accept rate, then those of all
///    connections, of incoming ones and of pending ones, then those per address and per subnet.
/// 5. What comes in through [`Node::listen_incoming`](crate::Node::listen_incoming) is then the
///    program's to decide.
///
/// A connection counts until it has ended. One that came in, and that the program didn't end itself,
/// counts until its messages are taken from the [`Inbound`](crate::Inbound), too; or who sends and leaves
/// could come again and again while the program doesn't read.
///
/// Each that is refused is closed, counted in [`Stats::refused`](crate::Stats::refused) and reported
/// as [`Event::Refused`](crate::Event::Refused). All this is about who comes *in*: whom the program
/// dials or adopts is its own decision, and no ban or filter is asked then. Connections that are there
/// already stay, too, whatever changes; [`Node::disconnect`](crate::Node::disconnect) ends them.
///
/// An IPv4 address mapped into IPv6 (`::ffff:a.b.c.d`) counts as the IPv4 address, and a subnet of such
/// addresses as the IPv4 subnet. Otherwise the families have nothing in common: `::/0` is every
/// IPv6 address, and no IPv4 address.
///
/// # Examples
///
/// ```
/// # fn example(node: wattle::Node<String>) -> Result<(), Box<dyn std::error::Error>> {
/// use std::{net::IpAddr, time::Duration};
/// use wattle::IpNet;
///
/// let admission = node.admission();
/// let nuisance: IpAddr = "203.0.113.7".parse()?;
/// admission.ban(nuisance, Duration::from_secs(3600));
/// let friends: IpNet = "10.0.0.0/8".parse()?;
/// admission.bypass(friends);
///
/// let mut limits = admission.limits();
/// limits.max_per_ip = Some(4);
/// admission.set_limits(limits)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Admission {
    shared: Arc<Shared>,
}

/// The node's own end. When it is dropped, so is the filter, whatever handles there are.
#[derive(Debug)]
pub(crate) struct Gate {
    admission: Admission,
}

/// Locks are taken one at a time.
struct Shared {
    access: Mutex<Access>,
    occupancy: Mutex<Occupancy>,
}

/// The right to be a connection: pending first, then established.
pub(crate) struct Permit {
    shared: Arc<Shared>,
    /// Where it came from, if it is incoming.
    ip: Option<IpAddr>,
    pending: bool,
}

impl Admission {
    /// The limits as they are.
    pub fn limits(&self) -> Limits {
        self.shared.occupancy.lock().limits()
    }

    /// Changes the limits, for connections that come from now on.
    ///
    /// Those that are there stay and count: where there are more than a lowered limit allows, none comes
    /// in until enough have ended. With other prefix lengths they are counted by the new
    /// subnets. A new accept rate starts with what was left of the old one.
    ///
    /// # Errors
    ///
    /// A limit that makes no sense; then nothing has changed.
    pub fn set_limits(&self, limits: Limits) -> Result<(), InvalidOption> {
        limits.validate()?;
        let mut occupancy = self.shared.occupancy.lock();
        occupancy.set_limits(limits, Instant::now());
        Ok(())
    }

    /// Bans an address or a subnet for a time, or for ever (`None`): who comes from there is refused.
    /// To ban it again replaces the time.
    pub fn ban(&self, net: impl Into<IpNet>, time: impl Into<Option<Duration>>) {
        let (net, time) = (net.into(), time.into());
        self.shared.access.lock().ban(net, time, Instant::now());
    }

    /// Lifts the ban of exactly this address or subnet, and says whether there was one. A ban of a
    /// subnet around it still holds.
    pub fn unban(&self, net: impl Into<IpNet>) -> bool {
        let net = net.into();
        self.shared.access.lock().unban(net, Instant::now())
    }

    /// The bans, in no particular order, each with the time that is left of it; `None` is for ever.
    pub fn banned(&self) -> Vec<(IpNet, Option<Duration>)> {
        self.shared.access.lock().banned(Instant::now())
    }

    /// Whether this address is banned, by itself or with a subnet around it. For programs that
    /// don't want to dial whom they have banned.
    pub fn is_banned(&self, ip: impl Into<IpAddr>) -> bool {
        let ip = ip.into().to_canonical();
        self.shared.access.lock().is_banned(ip, Instant::now())
    }

    /// Exempts an address or a subnet from the limits and the accept rate, though not from bans and
    /// the filter. Its connections are counted as all others, so they take room from those that
    /// are not exempt, and there may be more connections than the limits say.
    pub fn bypass(&self, net: impl Into<IpNet>) {
        self.shared.access.lock().bypass(net.into());
    }

    /// Ends the exemption of exactly this address or subnet, and says whether there was one.
    pub fn remove_bypass(&self, net: impl Into<IpNet>) -> bool {
        self.shared.access.lock().remove_bypass(net.into())
    }

    /// The addresses and subnets that are exempt from the limits, in no particular order.
    pub fn bypassed(&self) -> Vec<IpNet> {
        self.shared.access.lock().bypassed()
    }

    /// Sets the filter, in place of the one that there was: it is given the address of each who comes
    /// and isn't banned, and those that it returns `false` for are refused. An IPv4 address mapped into
    /// IPv6 is given as the IPv4 address.
    ///
    /// It runs in the task that accepts and must not block; for what takes time, decide on each
    /// [`Incoming`](crate::Incoming). Where it panics, the connection is refused with
    /// [`Refusal::FilterPanicked`]. It may use this handle. A [`Node`](crate::Node) in it would keep
    /// the node alive until the filter is [removed](Admission::remove_filter).
    pub fn set_filter(&self, filter: impl Fn(SocketAddr) -> bool + Send + Sync + 'static) {
        self.replace_filter(Some(Arc::new(filter)));
    }

    /// Removes the filter, and says whether there was one.
    pub fn remove_filter(&self) -> bool {
        self.replace_filter(None).is_some()
    }

    /// Gives the former one, to be dropped when the lock is released.
    fn replace_filter(&self, filter: Option<Filter>) -> Option<Filter> {
        let mut access = self.shared.access.lock();
        if access.closed {
            return None;
        }
        mem::replace(&mut access.filter, filter)
    }
}

impl Gate {
    pub(crate) fn new(limits: Limits) -> Self {
        let shared = Shared {
            access: Mutex::new(Access::default()),
            occupancy: Mutex::new(Occupancy::new(limits, Instant::now())),
        };
        let admission = Admission {
            shared: Arc::new(shared),
        };
        Self { admission }
    }

    pub(crate) fn apply(&self, rules: Rules) {
        for (net, time) in rules.bans {
            self.admission.ban(net, time);
        }
        for net in rules.bypass {
            self.admission.bypass(net);
        }
        self.admission.replace_filter(rules.filter);
    }

    pub(crate) fn handle(&self) -> Admission {
        self.admission.clone()
    }

    /// Lets a connection of our own be pending, or says which limit is reached.
    pub(crate) fn admit_own(&self) -> Result<Permit, Limit> {
        self.shared().occupancy.lock().admit_own()?;
        Ok(self.permit(None))
    }

    /// Lets one that came to us be pending, or says why not.
    pub(crate) fn admit_incoming(&self, mut addr: SocketAddr) -> Result<Permit, Refusal> {
        let (shared, now) = (self.shared(), Instant::now());
        let ip = addr.ip().to_canonical();
        addr.set_ip(ip);
        let standing = shared.access.lock().check(ip, now)?;
        ask(standing.filter, addr)?;
        let mut occupancy = shared.occupancy.lock();
        match standing.bypassed {
            true => occupancy.enter(Some(ip)),
            false => occupancy.admit_incoming(ip, now).map_err(Refusal::Limit)?,
        }
        drop(occupancy);
        Ok(self.permit(Some(ip)))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.admission.shared
    }

    /// For what was just counted.
    fn permit(&self, ip: Option<IpAddr>) -> Permit {
        Permit {
            shared: self.shared().clone(),
            ip,
            pending: true,
        }
    }
}

/// Asks the filter, and contains its panic, also that of dropping it: it may have been replaced
/// meanwhile.
fn ask(filter: Option<Filter>, addr: SocketAddr) -> Result<(), Refusal> {
    let Some(filter) = filter else {
        return Ok(());
    };
    match catch_unwind(AssertUnwindSafe(move || filter(addr))) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Refusal::Filtered),
        Err(payload) => Err(Refusal::FilterPanicked(panic_message(payload))),
    }
}

impl Permit {
    /// The handshake is done.
    pub(crate) fn establish(&mut self) {
        if mem::take(&mut self.pending) {
            self.shared.occupancy.lock().establish(self.ip);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.occupancy.lock().leave(self.ip, self.pending);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let mut access = self.shared().access.lock();
        access.closed = true;
        let filter = access.filter.take();
        drop(access);
        // The program's: dropping it may panic, which ends nothing else.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(filter)));
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("limits", &self.limits())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
