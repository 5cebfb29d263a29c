//! Who may come in whatever the limits, and who may not: bans, exemptions, the filter.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use tokio::time::Instant;

use super::nets::{Nets, canonical};
use crate::error::Refusal;

/// Says whether who comes from an address may come in.
pub(crate) type Filter = Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>;

/// What holds from the first connection on; the options of a [`Builder`](crate::Builder).
#[derive(Clone, Default)]
pub(crate) struct Rules {
    pub(crate) bans: Vec<(IpNet, Option<Duration>)>,
    pub(crate) bypass: Vec<IpNet>,
    pub(crate) filter: Option<Filter>,
}

/// The lists of a node. All addresses and subnets in it are canonical: none is IPv4 mapped into IPv6.
#[derive(Default)]
pub(super) struct Access {
    bans: Bans,
    bypass: Nets<()>,
    pub(super) filter: Option<Filter>,
    /// The node is gone, and takes no filter any more.
    pub(super) closed: bool,
}

/// What the lists say of an address.
pub(super) struct Standing {
    pub(super) bypassed: bool,
    pub(super) filter: Option<Filter>,
}

/// Subnets, each with when its ban ends; `None` is never.
#[derive(Debug, Default)]
struct Bans {
    nets: Nets<Option<Instant>>,
    /// Those that end, the first to do so first.
    ends: BTreeSet<(Instant, IpNet)>,
}

impl Access {
    pub(super) fn check(&mut self, ip: IpAddr, now: Instant) -> Result<Standing, Refusal> {
        if self.bans.contains(ip, now) {
            return Err(Refusal::Banned);
        }
        Ok(Standing {
            bypassed: self.bypass.around(ip).next().is_some(),
            filter: self.filter.clone(),
        })
    }

    pub(super) fn is_banned(&mut self, ip: IpAddr, now: Instant) -> bool {
        self.bans.contains(ip, now)
    }

    pub(super) fn ban(&mut self, net: IpNet, time: Option<Duration>, now: Instant) {
        // What is beyond the clock is for ever.
        let end = time.and_then(|time| now.checked_add(time));
        self.bans.remove_ended(now);
        self.bans.insert(canonical(net), end);
    }

    pub(super) fn unban(&mut self, net: IpNet, now: Instant) -> bool {
        self.bans.remove_ended(now);
        self.bans.remove(canonical(net))
    }

    pub(super) fn banned(&mut self, now: Instant) -> Vec<(IpNet, Option<Duration>)> {
        self.bans.remove_ended(now);
        let left = |end: Instant| end.saturating_duration_since(now);
        let bans = self.bans.nets.iter();
        bans.map(|(net, end)| (net, end.map(left))).collect()
    }

    pub(super) fn bypass(&mut self, net: IpNet) {
        self.bypass.insert(canonical(net), ());
    }

    pub(super) fn remove_bypass(&mut self, net: IpNet) -> bool {
        self.bypass.remove(canonical(net)).is_some()
    }

    pub(super) fn bypassed(&self) -> Vec<IpNet> {
        self.bypass.iter().map(|(net, ())| net).collect()
    }
}

impl Bans {
    fn contains(&mut self, ip: IpAddr, now: Instant) -> bool {
        let mut ended = None;
        for (net, end) in self.nets.around(ip) {
            if end.is_none_or(|end| end > now) {
                return true;
            }
            ended = Some(net);
        }
        // One of them will do: the others go when they are met again, or with the next ban.
        if let Some(net) = ended {
            self.remove(net);
        }
        false
    }

    fn insert(&mut self, net: IpNet, end: Option<Instant>) {
        self.remove(net);
        self.nets.insert(net, end);
        if let Some(end) = end {
            self.ends.insert((end, net));
        }
    }

    fn remove(&mut self, net: IpNet) -> bool {
        let removed = self.nets.remove(net);
        if let Some(Some(end)) = removed {
            self.ends.remove(&(end, net));
        }
        removed.is_some()
    }

    /// So that the list is no longer than what is banned at the time of the last ban. Each ban is
    /// removed once, so this costs no more than to add them did.
    fn remove_ended(&mut self, now: Instant) {
        while let Some((_, net)) = self.ends.first().copied().filter(|(end, _)| *end <= now) {
            self.remove(net);
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("bans", &self.bans)
            .field("bypass", &self.bypass)
            .field("filter", &self.filter.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn host(n: u32) -> IpNet {
        IpAddr::from(n.to_be_bytes()).into()
    }

    #[test]
    fn bans_that_ended_are_removed_when_they_are_met_and_when_another_is_added() {
        let (mut access, now) = (Access::default(), Instant::now());
        let kept = |access: &Access| (access.bans.nets.iter().count(), access.bans.ends.len());
        for n in 1..=10 {
            access.ban(host(n), Some(n * MINUTE), now);
        }
        access.ban(host(0), None, now);
        assert_eq!(kept(&access), (11, 10));

        let later = now + 5 * MINUTE;
        assert!(!access.is_banned(host(5).addr(), later));
        assert_eq!(kept(&access), (10, 9), "the one that was met");
        assert!(access.is_banned(host(6).addr(), later));
        access.ban(host(11), Some(MINUTE), later);
        assert_eq!(kept(&access), (7, 6), "six to eleven, and the one for ever");
    }

    #[test]
    fn banning_again_replaces_the_time() {
        let (mut access, now) = (Access::default(), Instant::now());
        for (time, still) in [
            (Some(9 * MINUTE), true),
            (None, true),
            (Some(MINUTE), false),
        ] {
            access.ban(host(1), time, now);
            assert_eq!(access.banned(now), [(host(1), time)]);
            let later = now + 2 * MINUTE;
            assert_eq!(access.is_banned(host(1).addr(), later), still, "{time:?}");
        }
        assert!(access.bans.ends.is_empty());
        access.ban(host(1), Some(Duration::MAX), now);
        assert_eq!(access.banned(now), [(host(1), None)]);
    }

    #[test]
    fn of_two_bans_around_an_address_either_holds() {
        let (mut access, now) = (Access::default(), Instant::now());
        let wide = "0.0.0.0/8".parse().unwrap();
        for (wide_time, host_time) in [(1, 3), (3, 1)] {
            access.ban(wide, Some(wide_time * MINUTE), now);
            access.ban(host(1), Some(host_time * MINUTE), now);
            assert!(access.is_banned(host(1).addr(), now + 2 * MINUTE));
            assert!(!access.is_banned(host(1).addr(), now + 3 * MINUTE));
        }
    }
}
