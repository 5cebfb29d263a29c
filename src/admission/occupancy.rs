//! Who is in: connections by state, by address and by subnet, and whether there is room for another.

use std::{collections::HashMap, hash::Hash, net::IpAddr};

use ipnet::IpNet;
use tokio::time::Instant;

use super::rate::Bucket;
use crate::{config::Limits, error::Limit};

/// The connections of a node, counted.
///
/// # Invariants
///
/// 1. The tallies are those of the permits that exist: of all, of the incoming ones, and of the
///    incoming ones by address and by subnet.
/// 2. An address or a subnet without connections has no tally, so there are no more tallies than
///    connections, whoever came and went.
/// 3. Subnets are as the prefix lengths are *now*, whatever they were when a connection came.
#[derive(Debug)]
pub(super) struct Occupancy {
    limits: Limits,
    bucket: Option<Bucket>,
    total: Tally,
    incoming: Tally,
    ips: HashMap<IpAddr, Tally>,
    subnets: HashMap<IpNet, Tally>,
}

/// Connections of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Pending and established.
    pub(super) all: usize,
    pub(super) pending: usize,
}

impl Occupancy {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            bucket: limits.accept_rate.map(|rate| Bucket::full(rate, now)),
            total: Tally::default(),
            incoming: Tally::default(),
            ips: HashMap::new(),
            subnets: HashMap::new(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn set_limits(&mut self, limits: Limits, now: Instant) {
        let bucket = self.bucket.take();
        self.bucket = limits.accept_rate.map(|rate| match bucket {
            Some(bucket) => bucket.changed(rate, now),
            None => Bucket::full(rate, now),
        });
        let prefixes = |limits: &Limits| (limits.ipv4_prefix, limits.ipv6_prefix);
        let regroup = prefixes(&self.limits) != prefixes(&limits);
        self.limits = limits;
        if regroup {
            self.regroup();
        }
    }

    /// Room for a connection of our own.
    pub(super) fn admit_own(&mut self) -> Result<(), Limit> {
        self.has_room()?;
        below(self.limits.max_pending, self.total.pending, Limit::Pending)?;
        self.enter(None);
        Ok(())
    }

    /// Room for one that came to us; who is refused costs nothing of the rate.
    pub(super) fn admit_incoming(&mut self, ip: IpAddr, now: Instant) -> Result<(), Limit> {
        if let Some(bucket) = &mut self.bucket
            && !bucket.has_one(now)
        {
            return Err(Limit::AcceptRate(bucket.rate()));
        }
        self.has_room()?;
        self.has_room_for_incoming()?;
        self.has_room_for_ip(ip)?;
        if let Some(bucket) = &mut self.bucket {
            bucket.take_one();
        }
        self.enter(Some(ip));
        Ok(())
    }

    /// Counts a connection that is exempt from the limits, or has been let in.
    pub(super) fn enter(&mut self, ip: Option<IpAddr>) {
        self.change(ip, |tally| {
            tally.all += 1;
            tally.pending += 1;
        });
    }

    pub(super) fn establish(&mut self, ip: Option<IpAddr>) {
        self.change(ip, |tally| tally.pending -= 1);
    }

    pub(super) fn leave(&mut self, ip: Option<IpAddr>, pending: bool) {
        self.change(ip, |tally| {
            tally.all -= 1;
            tally.pending -= usize::from(pending);
        });
    }

    fn has_room(&self) -> Result<(), Limit> {
        let limit = self.limits.max_connections;
        below(limit, self.total.all, Limit::Connections)
    }

    fn has_room_for_incoming(&self) -> Result<(), Limit> {
        let limits = &self.limits;
        below(limits.max_incoming, self.incoming.all, Limit::Incoming)?;
        below(limits.max_pending, self.total.pending, Limit::Pending)?;
        // However many come, this share of the pending connections stays for those that we dial.
        let share = limits
            .max_pending
            .saturating_sub(limits.pending_for_dialing);
        below(share, self.incoming.pending, Limit::Pending)
    }

    fn has_room_for_ip(&self, ip: IpAddr) -> Result<(), Limit> {
        let limits = &self.limits;
        let of_ip = self.ips.get(&ip).copied().unwrap_or_default();
        let of_subnet = self.subnets.get(&subnet(ip, limits));
        let of_subnet = of_subnet.copied().unwrap_or_default();
        let (ip_pending, subnet_pending) =
            (limits.max_pending_per_ip, limits.max_pending_per_subnet);
        below(limits.max_per_ip, of_ip.all, Limit::PerIp)?;
        below(limits.max_per_subnet, of_subnet.all, Limit::PerSubnet)?;
        below(ip_pending, of_ip.pending, Limit::PendingPerIp)?;
        below(subnet_pending, of_subnet.pending, Limit::PendingPerSubnet)
    }

    /// Changes the tallies that a connection counts in: `ip` is where it came from, if it is incoming.
    fn change(&mut self, ip: Option<IpAddr>, change: impl Fn(&mut Tally)) {
        change(&mut self.total);
        if let Some(ip) = ip {
            change(&mut self.incoming);
            change_entry(&mut self.ips, ip, &change);
            change_entry(&mut self.subnets, subnet(ip, &self.limits), &change);
        }
    }

    /// Counts by subnet anew.
    fn regroup(&mut self) {
        self.subnets.clear();
        for (ip, of_ip) in &self.ips {
            let of_subnet = self.subnets.entry(subnet(*ip, &self.limits)).or_default();
            of_subnet.all += of_ip.all;
            of_subnet.pending += of_ip.pending;
        }
    }
}

fn below(
    limit: impl Into<Option<usize>>,
    count: usize,
    reached: impl Fn(usize) -> Limit,
) -> Result<(), Limit> {
    match limit.into() {
        Some(limit) if count >= limit => Err(reached(limit)),
        _ => Ok(()),
    }
}

fn change_entry<K: Copy + Eq + Hash>(
    tallies: &mut HashMap<K, Tally>,
    key: K,
    change: impl Fn(&mut Tally),
) {
    let tally = tallies.entry(key).or_default();
    change(tally);
    if tally.all == 0 {
        tallies.remove(&key);
    }
}

/// The subnet of an address; a prefix that is too long, which no limits have, means the address alone.
fn subnet(ip: IpAddr, limits: &Limits) -> IpNet {
    let length = match ip {
        IpAddr::V4(_) => limits.ipv4_prefix,
        IpAddr::V6(_) => limits.ipv6_prefix,
    };
    IpNet::new(ip, length).map_or(ip.into(), |net| net.trunc())
}

#[cfg(test)]
impl Occupancy {
    pub(super) fn assert_totals(&self, all: usize, pending: usize, incoming: usize) {
        assert_eq!(self.total, Tally { all, pending });
        assert_eq!(self.incoming.all, incoming);
    }

    pub(super) fn assert_tallies(
        &self,
        ips: &HashMap<IpAddr, (usize, usize)>,
        subnets: &HashMap<IpNet, (usize, usize)>,
    ) {
        let plain = |tally: &Tally| (tally.all, tally.pending);
        let of_ips = self.ips.iter().map(|(ip, tally)| (*ip, plain(tally)));
        assert_eq!(of_ips.collect::<HashMap<_, _>>(), *ips);
        let of_subnets = self.subnets.iter().map(|(net, tally)| (*net, plain(tally)));
        assert_eq!(of_subnets.collect::<HashMap<_, _>>(), *subnets);
        let pending: usize = self.ips.values().map(|tally| tally.pending).sum();
        assert_eq!(self.incoming.pending, pending);
    }
}
