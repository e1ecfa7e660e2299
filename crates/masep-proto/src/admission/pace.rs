//! The pace at which the log says the same thing: strangers shall not fill a disk.

use std::mem;
use std::time::{Duration, Instant};

/// Lets a few through at once and then one in each interval, and counts the others.
#[derive(Clone, Debug)]
pub struct Pace {
    burst: u32,
    every: Duration,
    left: u32,
    /// When the last one was added to `left`.
    filled: Option<Instant>,
    skipped: u64,
}

impl Pace {
    /// A pace that allows `burst` at once, and then one in each interval.
    pub const fn new(burst: u32, every: Duration) -> Self {
        Self {
            burst,
            every,
            left: burst,
            filled: None,
            skipped: 0,
        }
    }

    /// True if as many may be said at once as in the beginning.
    pub(super) fn is_rested(&self, now: Instant) -> bool {
        let missing = self.every.checked_mul(self.burst - self.left);
        let full = missing.and_then(|missing| self.filled?.checked_add(missing));
        full.is_none_or(|full| full <= now)
    }

    /// Counts one. If it is said now, this is the number of those that were not since the last that was.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        let filled = *self.filled.get_or_insert(now);
        let passed = now.saturating_duration_since(filled).as_nanos();
        let due = passed / self.every.as_nanos().max(1);
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(due).min(self.burst);
        if due > 0 {
            // The rest of the interval counts for the next, unless it was saved up for too long.
            let used = self.every.checked_mul(due);
            self.filled = used.and_then(|used| filled.checked_add(used)).or(Some(now));
        }
        if self.left == 0 {
            self.skipped += 1;
            return None;
        }
        self.left -= 1;
        Some(mem::take(&mut self.skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_at_once_and_then_one_in_each_interval() {
        let start = Instant::now();
        let mut pace = Pace::new(3, Duration::from_secs(10));
        let mut said = |seconds| {
            let at = start + Duration::from_secs(seconds);
            (0..100).filter_map(|_| pace.take(at)).collect::<Vec<_>>()
        };
        assert_eq!(said(0), [0, 0, 0]);
        assert!(said(9).is_empty());
        assert_eq!(said(10), [197]);
        assert_eq!(said(29), [99]);
        assert_eq!(said(31), [99], "begun intervals count");
        assert_eq!(said(1_000_000), [99, 0, 0]);
    }
}
