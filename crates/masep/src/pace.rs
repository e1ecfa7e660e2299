//! How often the log says the same: what strangers can bring about shall not fill a disk.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets a few through at once and then one in each interval, and counts the others.
#[derive(Debug)]
pub(crate) struct Pace {
    burst: u32,
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    left: u32,
    /// When the last one was added to `left`.
    filled: Option<Instant>,
    skipped: u64,
}

impl Pace {
    pub(crate) const fn new(burst: u32, every: Duration) -> Self {
        Self {
            burst,
            every,
            state: Mutex::new(State {
                left: burst,
                filled: None,
                skipped: 0,
            }),
        }
    }

    /// Whether it is said now, and if so, how many were not since the last that was; `Some(None)` is
    /// none.
    pub(crate) fn take(&self, now: Instant) -> Option<Option<u64>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = *state.filled.get_or_insert(now);
        let passed = now.saturating_duration_since(filled).as_nanos();
        let due = passed / self.every.as_nanos().max(1);
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        state.left = state.left.saturating_add(due).min(self.burst);
        if due > 0 {
            // What is left of the interval counts for the next, unless it was saved up for too long.
            let used = self.every.checked_mul(due);
            state.filled = used.and_then(|used| filled.checked_add(used)).or(Some(now));
        }
        if state.left == 0 {
            state.skipped += 1;
            return None;
        }
        state.left -= 1;
        let skipped = std::mem::take(&mut state.skipped);
        Some((skipped > 0).then_some(skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_at_once_and_then_one_in_each_interval() {
        let start = Instant::now();
        let pace = Pace::new(3, Duration::from_secs(10));
        let said = |seconds| {
            let at = start + Duration::from_secs(seconds);
            (0..100).filter_map(|_| pace.take(at)).collect::<Vec<_>>()
        };
        assert_eq!(said(0), [None, None, None]);
        assert_eq!(said(9), []);
        assert_eq!(said(10), [Some(197)]);
        assert_eq!(said(29), [Some(99)]);
        assert_eq!(said(31), [Some(99)], "begun intervals count");
        assert_eq!(said(1_000_000), [Some(99), None, None]);
    }
}
