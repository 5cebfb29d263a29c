//! Values by subnet, found by address.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;

/// Values by subnet. An address is looked up once for each prefix length in use, of which there are
/// few, however many subnets there are.
#[derive(Debug)]
pub(super) struct Nets<V> {
    /// No map in it is empty.
    by_length: BTreeMap<u8, HashMap<IpNet, V>>,
}

impl<V> Default for Nets<V> {
    fn default() -> Self {
        Self {
            by_length: BTreeMap::new(),
        }
    }
}

impl<V> Nets<V> {
    /// Enters a subnet, which must be [canonical]; gives the value that it had.
    pub(super) fn insert(&mut self, net: IpNet, value: V) -> Option<V> {
        let nets = self.by_length.entry(net.prefix_len()).or_default();
        nets.insert(net, value)
    }

    /// Removes exactly this subnet, which must be [canonical].
    pub(super) fn remove(&mut self, net: IpNet) -> Option<V> {
        let nets = self.by_length.get_mut(&net.prefix_len())?;
        let removed = nets.remove(&net);
        if nets.is_empty() {
            self.by_length.remove(&net.prefix_len());
        }
        removed
    }

    /// The subnets that an address is in, the largest first; the address must be canonical, too.
    pub(super) fn around(&self, ip: IpAddr) -> impl Iterator<Item = (IpNet, &V)> {
        self.by_length.iter().filter_map(move |(length, nets)| {
            // A length that this address doesn't have is one of the other family.
            let net = IpNet::new(ip, *length).ok()?.trunc();
            Some((net, nets.get(&net)?))
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (IpNet, &V)> {
        let nets = self.by_length.values().flatten();
        nets.map(|(net, value)| (*net, value))
    }
}

/// A subnet without the bits of a host, and as one of IPv4 if it is of IPv4 addresses mapped into
/// IPv6.
pub(super) fn canonical(net: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let net = net.trunc();
    let v4 = match net {
        IpNet::V6(v6) => v6
            .addr()
            .to_ipv4_mapped()
            .zip(v6.prefix_len().checked_sub(MAPPED)),
        IpNet::V4(_) => None,
    };
    let v4 = v4.and_then(|(ip, length)| IpNet::new(ip.into(), length).ok());
    v4.unwrap_or(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn found(nets: &Nets<usize>, ip: &str) -> Vec<usize> {
        let ip = ip.parse().unwrap();
        nets.around(ip).map(|(_, value)| *value).collect()
    }

    #[test]
    fn an_address_is_found_by_every_subnet_it_is_in_and_no_other() {
        let mut nets = Nets::default();
        let texts = [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3/32",
            "::/0",
            "2001:db8::/32",
            "2001:db8::1/128",
        ];
        for (value, text) in texts.into_iter().enumerate() {
            assert_eq!(nets.insert(net(text), value), None);
        }
        assert_eq!(found(&nets, "10.1.2.3"), [0, 1, 2, 3]);
        assert_eq!(found(&nets, "10.1.2.4"), [0, 1, 2]);
        assert_eq!(found(&nets, "10.2.0.0"), [0, 1]);
        assert_eq!(found(&nets, "11.0.0.0"), [0]);
        assert_eq!(found(&nets, "2001:db8::1"), [4, 5, 6]);
        assert_eq!(found(&nets, "2001:db8::2"), [4, 5]);
        assert_eq!(found(&nets, "2001:db9::"), [4]);

        assert_eq!(nets.remove(net("10.0.0.0/8")), Some(1));
        assert_eq!(nets.remove(net("10.0.0.0/8")), None);
        assert_eq!(nets.remove(net("10.0.0.0/9")), None);
        assert_eq!(found(&nets, "10.1.2.3"), [0, 2, 3]);
        for text in texts {
            nets.remove(net(text));
        }
        assert!(nets.by_length.is_empty(), "no length is tried for nothing");
    }

    #[test]
    fn subnets_are_those_of_ipv4_where_they_are_mapped() {
        for (given, expected) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3/128", "10.1.2.3/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:10.1.2.3/95", "::fffe:0:0/95"),
            ("::/0", "::/0"),
            ("2001:db8::1/64", "2001:db8::/64"),
            // Compatible, as it was called, isn't mapped.
            ("::10.1.2.3/128", "::10.1.2.3/128"),
        ] {
            assert_eq!(canonical(net(given)), net(expected), "{given}");
        }
    }
}
