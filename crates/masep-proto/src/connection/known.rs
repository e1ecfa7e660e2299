//! Servers that were found to speak pymasep's protocol alone.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The time for which it is known what a server speaks.
const TIME: Duration = Duration::from_secs(60);
/// Servers that are known at the same time.
const MOST: usize = 1_024;

/// Servers, by their addresses, that have answered in pymasep's protocol: for a minute a client of both generations
/// ([`Protocols::Both`](super::Protocols::Both)) need not ask them for protocol 2 again.
///
/// ```
/// use std::time::{Duration, Instant};
/// use masep_proto::connection::KnownPymasep;
///
/// let start = Instant::now();
/// let mut known = KnownPymasep::default();
/// known.note("192.0.2.1:60000", start);
/// assert!(known.contains(&"192.0.2.1:60000", start + Duration::from_secs(59)));
/// assert!(!known.contains(&"192.0.2.1:60000", start + Duration::from_secs(60)));
/// ```
#[derive(Debug)]
pub struct KnownPymasep<A>(HashMap<A, Instant>);

impl<A> Default for KnownPymasep<A> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<A: Eq + Hash + Clone> KnownPymasep<A> {
    /// The server at this address has answered in pymasep's protocol. At most 1,024 are known; then one is forgotten that
    /// was noted first.
    pub fn note(&mut self, address: A, now: Instant) {
        if self.0.len() >= MOST {
            self.0.retain(|_, until| *until > now);
        }
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, until)| **until);
            let oldest = oldest.map(|(address, _)| address.clone());
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        if let Some(until) = now.checked_add(TIME) {
            self.0.insert(address, until);
        }
    }

    /// True if it is known that the server at this address speaks pymasep's protocol.
    pub fn contains(&self, address: &A, now: Instant) -> bool {
        self.0.get(address).is_some_and(|until| *until > now)
    }

    /// The servers at these addresses did not answer as they were known to, or are others by now.
    pub fn forget(&mut self, are_these: impl Fn(&A) -> bool) {
        self.0.retain(|address, _| !are_these(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_last_is_known_and_memory_is_bounded() {
        let start = Instant::now();
        let at = |number: u64| start + Duration::from_millis(number);
        let mut known = KnownPymasep::default();
        for number in 0..5_000 {
            known.note(number, at(number));
        }
        assert_eq!(known.0.len(), MOST);
        assert!(known.contains(&4_999, at(5_000)));
        assert!(known.contains(&(5_000 - 1_024), at(5_000)));
        assert!(!known.contains(&(5_000 - 1_025), at(5_000)));
        known.forget(|number| *number == 4_999);
        assert!(!known.contains(&4_999, at(5_000)));
        // Those whose time is over make room first.
        known.note(1, at(100_000));
        known.note(2, at(100_000));
        assert_eq!(known.0.len(), 2);
    }
}
