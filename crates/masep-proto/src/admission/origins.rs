//! The number of connections of each address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};

use crate::{Limit, LimitExceeded};

/// Counts the connections of each address, where there is a bound.
#[derive(Debug)]
pub(super) struct Origins {
    max: Option<usize>,
    counts: HashMap<IpAddr, usize>,
}

impl Origins {
    pub(super) fn new(max: Option<usize>) -> Self {
        Self {
            max,
            counts: HashMap::new(),
        }
    }

    /// Counts a connection from this address. Gives the network under which it is counted, for
    /// [`release`](Self::release); `None` if there is no bound.
    pub(super) fn count(&mut self, from: Option<IpAddr>) -> Result<Option<IpAddr>, LimitExceeded> {
        let (Some(max), Some(address)) = (self.max, from) else {
            return Ok(None);
        };
        let network = network(address);
        let count = self.counts.get(&network).map_or(0, |count| *count);
        LimitExceeded::check(Limit::ConnectionsPerAddress, count + 1, max)?;
        self.counts.insert(network, count + 1);
        Ok(Some(network))
    }

    /// Counts a connection out.
    pub(super) fn release(&mut self, network: Option<IpAddr>) {
        if let Some(network) = network
            && let Entry::Occupied(mut count) = self.counts.entry(network)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// True if nothing is counted.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// The address that counts: of IPv6, where a single host has as many as it likes, its network.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(address: &str) -> Option<IpAddr> {
        address.parse().ok()
    }

    #[test]
    fn each_address_has_its_own_count_and_those_that_are_gone_are_forgotten() {
        let mut origins = Origins::new(Some(2));
        let first = origins.count(ip("192.0.2.1")).unwrap();
        let second = origins.count(ip("::ffff:192.0.2.1")).unwrap();
        let refused = origins.count(ip("192.0.2.1")).unwrap_err();
        assert_eq!((refused.actual, refused.allowed), (3, 2));
        let other = origins.count(ip("192.0.2.2")).unwrap();
        origins.release(first);
        let third = origins.count(ip("192.0.2.1")).unwrap();
        for counted in [second, third, other] {
            origins.release(counted);
        }
        assert!(origins.is_empty());
    }

    #[test]
    fn of_ipv6_the_network_counts() {
        let mut origins = Origins::new(Some(1));
        assert!(origins.count(ip("2001:db8::1")).is_ok());
        assert!(origins.count(ip("2001:db8::2")).is_err());
        assert!(origins.count(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn without_a_bound_or_an_address_nothing_is_counted() {
        for (max, from) in [(None, ip("192.0.2.1")), (Some(1), None)] {
            let mut origins = Origins::new(max);
            for _ in 0..3 {
                assert_eq!(origins.count(from), Ok(None));
            }
            assert!(origins.is_empty());
        }
    }
}
