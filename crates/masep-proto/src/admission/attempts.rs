//! The pace of those who are not let in for their token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Pace;
use super::origins::network;

/// Failures of one address that are answered at once, and the time after which there is another answer.
const BURST: u32 = 16;
const EVERY: Duration = Duration::from_secs(1);
/// The addresses that are counted apart. Those beyond share one count.
const MOST: usize = 1_024;

/// Counts the failed attempts of each address. `None` is all that does not come from the network.
#[derive(Debug)]
pub(super) struct Attempts {
    addresses: HashMap<Option<IpAddr>, Pace>,
    others: Pace,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            addresses: HashMap::new(),
            others: Pace::new(BURST, EVERY),
        }
    }
}

impl Attempts {
    /// Counts one: no valid token, or one that is for something else. True if it is answered: one beyond the pace is not
    /// worth the work. One that is let in is never counted, so that guesses cost nobody else at the same address anything.
    pub(super) fn fail(&mut self, from: Option<IpAddr>, now: Instant) -> bool {
        let from = from.map(network);
        if self.addresses.len() >= MOST && !self.addresses.contains_key(&from) {
            self.addresses.retain(|_, pace| !pace.is_rested(now));
            if self.addresses.len() >= MOST {
                return self.others.take(now).is_some();
            }
        }
        let pace = self.addresses.entry(from);
        let pace = pace.or_insert_with(|| Pace::new(BURST, EVERY));
        pace.take(now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_pace_and_the_memory_is_bounded() {
        let start = Instant::now();
        let mut attempts = Attempts::default();
        let address = |n: u32| Some(IpAddr::from(n.to_be_bytes()));
        let mut answered = |from, at| (0..100).filter(|_| attempts.fail(from, at)).count();
        assert_eq!(answered(address(1), start), 16);
        assert_eq!(answered(address(2), start), 16);
        assert_eq!(answered(None, start), 16);
        assert_eq!(answered(address(1), start + 2 * EVERY), 2);
        for n in 0..10_000 {
            attempts.fail(address(n), start + 2 * EVERY);
        }
        assert_eq!(attempts.addresses.len(), MOST);
        assert!(
            !attempts.fail(address(20_000), start + 2 * EVERY),
            "they share a pace"
        );
        assert!(attempts.fail(address(20_000), start + 100 * EVERY));
        assert_eq!(attempts.addresses.len(), 1, "those that rest are forgotten");
    }
}
