//! Permits against a naive model, at random.

use std::net::Ipv4Addr;

use super::*;

#[path = "../../tests/common/random.rs"]
mod random;

use random::{random, seed};

/// What a permit is to the model.
struct Held {
    permit: Permit,
    ip: Option<IpAddr>,
    pending: bool,
}

/// The books, kept by counting everything anew each time.
struct Model {
    gate: Gate,
    limits: Limits,
    held: Vec<Held>,
    bypassed: IpNet,
}

impl Model {
    fn count(&self, of: impl Fn(&Held) -> bool) -> usize {
        self.held.iter().filter(|held| of(held)).count()
    }

    fn subnet(&self, ip: IpAddr) -> IpNet {
        let length = if ip.is_ipv4() {
            self.limits.ipv4_prefix
        } else {
            self.limits.ipv6_prefix
        };
        IpNet::new(ip, length).unwrap().trunc()
    }

    fn same_subnet(&self, held: &Held, ip: IpAddr) -> bool {
        held.ip.map(|ip| self.subnet(ip)) == Some(self.subnet(ip))
    }

    /// What should become of another one, `ip` being canonical.
    fn expected(&self, ip: Option<IpAddr>) -> Result<(), Limit> {
        let limits = &self.limits;
        let pending = self.count(|held| held.pending);
        let check = |limit: Option<usize>, count: usize, reached: fn(usize) -> Limit| {
            let limit = limit.filter(|limit| count >= *limit);
            limit.map_or(Ok(()), |limit| Err(reached(limit)))
        };
        let total = (Some(limits.max_connections), self.held.len());
        let pending = (Some(limits.max_pending), pending);
        let Some(ip) = ip else {
            check(total.0, total.1, Limit::Connections)?;
            return check(pending.0, pending.1, Limit::Pending);
        };
        if self.bypassed.contains(&ip) {
            return Ok(());
        }
        check(total.0, total.1, Limit::Connections)?;
        let incoming = self.count(|held| held.ip.is_some());
        check(limits.max_incoming, incoming, Limit::Incoming)?;
        check(pending.0, pending.1, Limit::Pending)?;
        let incoming = self.count(|held| held.ip.is_some() && held.pending);
        let share = limits.max_pending - limits.pending_for_dialing;
        check(Some(share), incoming, Limit::Pending)?;
        let same_ip = self.count(|held| held.ip == Some(ip));
        check(limits.max_per_ip, same_ip, Limit::PerIp)?;
        let same_subnet = self.count(|held| self.same_subnet(held, ip));
        check(limits.max_per_subnet, same_subnet, Limit::PerSubnet)?;
        let same_ip = self.count(|held| held.ip == Some(ip) && held.pending);
        check(limits.max_pending_per_ip, same_ip, Limit::PendingPerIp)?;
        let same_subnet = self.count(|held| self.same_subnet(held, ip) && held.pending);
        let limit = limits.max_pending_per_subnet;
        check(limit, same_subnet, Limit::PendingPerSubnet)
    }

    fn incoming(&mut self, ip: IpAddr) {
        let canonical = ip.to_canonical();
        let admitted = self.gate.admit_incoming(SocketAddr::new(ip, 1));
        let expected = self.expected(Some(canonical)).map_err(Refusal::Limit);
        assert_eq!(admitted.as_ref().err(), expected.as_ref().err(), "{ip}");
        self.hold(admitted.ok(), Some(canonical));
    }

    fn own(&mut self) {
        let admitted = self.gate.admit_own();
        assert_eq!(admitted.as_ref().err(), self.expected(None).as_ref().err());
        self.hold(admitted.ok(), None);
    }

    fn hold(&mut self, permit: Option<Permit>, ip: Option<IpAddr>) {
        let pending = true;
        self.held.extend(permit.map(|permit| Held {
            permit,
            ip,
            pending,
        }));
    }

    fn set_limits(&mut self, limits: Limits) {
        let valid = self.gate.handle().set_limits(limits).is_ok();
        assert_eq!(valid, limits.validate().is_ok());
        if valid {
            self.limits = limits;
        }
        assert_eq!(self.gate.handle().limits(), self.limits);
    }

    /// The real books have what the model has, and not an entry more.
    fn assert_books(&self) {
        let occupancy = self.gate.shared().occupancy.lock();
        let ips: Vec<IpAddr> = self.held.iter().filter_map(|held| held.ip).collect();
        let pending = self.count(|held| held.pending);
        occupancy.assert_totals(self.held.len(), pending, ips.len());
        let by_ip = |ip: &IpAddr| {
            let pending = self.count(|held| held.ip == Some(*ip) && held.pending);
            (self.count(|held| held.ip == Some(*ip)), pending)
        };
        let by_subnet = |net: &IpNet| {
            let of = |held: &Held| held.ip.is_some_and(|ip| self.subnet(ip) == *net);
            (self.count(of), self.count(|held| of(held) && held.pending))
        };
        let subnets = ips.iter().map(|ip| self.subnet(*ip));
        let subnets = subnets.map(|net| (net, by_subnet(&net))).collect();
        let ips = ips.iter().map(|ip| (*ip, by_ip(ip))).collect();
        occupancy.assert_tallies(&ips, &subnets);
    }
}

/// One of a few addresses, so that they meet: IPv4, the same mapped into IPv6, IPv6.
fn some_ip(state: &mut u64) -> IpAddr {
    let [a, b, c, family, ..] = random(state).to_le_bytes();
    let v4 = Ipv4Addr::new(10, a % 2, b % 2, c % 4);
    match family % 3 {
        0 => v4.into(),
        1 => v4.to_ipv6_mapped().into(),
        _ => format!("2001:db8:0:{}::{}", a % 3, b % 3).parse().unwrap(),
    }
}

/// Limits that are often reached, and sometimes make no sense.
fn some_limits(state: &mut u64) -> Limits {
    let mut up_to = |most: u64| (random(state) % most) as usize;
    let max_connections = 1 + up_to(40);
    let max_pending = 1 + up_to(max_connections as u64 + 1);
    let pending_for_dialing = up_to(max_pending as u64 + 1);
    let mut limit = |most| Some(1 + up_to(most)).filter(|limit| limit % 3 != 0);
    let (max_incoming, max_per_ip, max_pending_per_ip, max_per_subnet, max_pending_per_subnet) =
        (limit(30), limit(6), limit(4), limit(12), limit(8));
    let ipv4_prefix = [0, 8, 15, 16, 24, 31, 32, 33][up_to(8)];
    let ipv6_prefix = [0, 32, 64, 127, 128, 129][up_to(6)];
    Limits {
        max_connections,
        max_incoming,
        max_pending,
        pending_for_dialing,
        max_per_ip,
        max_pending_per_ip,
        max_per_subnet,
        max_pending_per_subnet,
        ipv4_prefix,
        ipv6_prefix,
        accept_rate: None,
    }
}

#[test]
fn the_books_are_those_of_one_who_counts_anew_each_time() {
    let mut state = seed();
    let bypassed: IpNet = "10.1.1.0/31".parse().unwrap();
    let limits = Limits::default();
    let gate = Gate::new(limits);
    gate.handle().bypass(bypassed);
    let held = Vec::new();
    let mut model = Model {
        gate,
        limits,
        held,
        bypassed,
    };
    for _ in 0..5_000 {
        let which = random(&mut state) as usize % (1 + model.held.len());
        match (random(&mut state) % 100, model.held.get_mut(which)) {
            (0..40, _) => model.incoming(some_ip(&mut state)),
            (40..55, _) => model.own(),
            (55..75, Some(held)) => {
                held.permit.establish();
                held.pending = false;
            }
            (75..=95, Some(_)) => drop(model.held.swap_remove(which)),
            (96.., _) => model.set_limits(some_limits(&mut state)),
            _ => {}
        }
        model.assert_books();
    }
    model.held.clear();
    model.assert_books();
}

#[test]
fn a_filter_that_has_a_handle_in_it_goes_with_the_node() {
    let gate = Gate::new(Limits::default());
    let (handle, held) = (gate.handle(), Arc::new(()));
    let filter = |held: &Arc<()>| {
        let (inside, held) = (handle.clone(), held.clone());
        move |addr: SocketAddr| Arc::strong_count(&held) > 0 && !inside.is_banned(addr.ip())
    };
    handle.set_filter(filter(&held));
    assert!(gate.admit_incoming(([10, 0, 0, 1], 1).into()).is_ok());
    assert_eq!(Arc::strong_count(&held), 2);
    drop(gate);
    assert_eq!(Arc::strong_count(&held), 1);
    handle.set_filter(filter(&held));
    assert_eq!(Arc::strong_count(&held), 1, "it would never go");
}
