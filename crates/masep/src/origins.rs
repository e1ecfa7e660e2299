//! How many connections come from where.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use masep_proto::{Limit, LimitExceeded};

/// Counts the connections of each address, where there is a bound.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    max: Option<usize>,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One of the connections of an address, until it is dropped.
#[derive(Debug)]
pub(crate) struct Origin {
    origins: Arc<Origins>,
    network: IpAddr,
}

impl Origins {
    pub(crate) fn new(max: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            max,
            counts: Mutex::default(),
        })
    }

    /// Counts a connection from this address; `None` where there is no bound.
    pub(crate) fn count(
        self: &Arc<Self>,
        address: IpAddr,
    ) -> Result<Option<Origin>, LimitExceeded> {
        let Some(max) = self.max else {
            return Ok(None);
        };
        let network = network(address);
        let mut counts = self.lock();
        let count = counts.get(&network).map_or(0, |count| *count);
        LimitExceeded::check(Limit::ConnectionsPerAddress, count + 1, max)?;
        counts.insert(network, count + 1);
        Ok(Some(Origin {
            origins: self.clone(),
            network,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.origins.lock().entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What counts as one address: of IPv6, where a single host has as many as it likes, its network.
fn network(address: IpAddr) -> IpAddr {
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

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_own_count_and_those_that_are_gone_are_forgotten() {
        let origins = Origins::new(Some(2));
        let first = origins.count(ip("192.0.2.1")).unwrap();
        let second = origins.count(ip("::ffff:192.0.2.1")).unwrap();
        let refused = origins.count(ip("192.0.2.1")).unwrap_err();
        assert_eq!((refused.actual, refused.allowed), (3, 2));
        let other = origins.count(ip("192.0.2.2")).unwrap();
        drop(first);
        let third = origins.count(ip("192.0.2.1")).unwrap();
        drop((second, third, other));
        assert!(origins.lock().is_empty());
    }

    #[test]
    fn of_ipv6_the_network_counts() {
        let origins = Origins::new(Some(1));
        let _one = origins.count(ip("2001:db8::1")).unwrap();
        assert!(origins.count(ip("2001:db8::2")).is_err());
        assert!(origins.count(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn without_a_bound_nothing_is_counted() {
        let origins = Origins::new(None);
        assert!(origins.count(ip("192.0.2.1")).unwrap().is_none());
        assert!(origins.lock().is_empty());
    }
}
