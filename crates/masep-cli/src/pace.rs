//! The rate at which something may happen.

use std::time::{Duration, Instant};

/// Lets things happen at a rate, after a first burst that may come at once.
///
/// The generic cell rate algorithm: each thing has its due time, one interval after the one before,
/// and may come before it by as much as the burst is long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    interval: Duration,
    burst: Duration,
    due: Option<Instant>,
}

impl Pace {
    /// A pace that allows `burst` at once, then `per_second` in a second.
    pub(crate) fn new(burst: u32, per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self {
            interval,
            burst: interval * burst,
            due: None,
        }
    }

    /// Counts one more, and says how long it has to wait.
    pub(crate) fn count(&mut self, now: Instant) -> Duration {
        let due = self.due.map_or(now, |due| due.max(now)) + self.interval;
        self.due = Some(due);
        due.saturating_duration_since(now + self.burst)
    }

    /// Counts one more if it need not wait.
    pub(crate) fn try_count(&mut self, now: Instant) -> bool {
        let before = self.due;
        let at_once = self.count(now).is_zero();
        if !at_once {
            self.due = before;
        }
        at_once
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_comes_at_once_and_the_rest_at_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(3, 10);
        let waits: Vec<u128> = (0..5).map(|_| pace.count(start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        assert_eq!(pace.count(start + Duration::from_secs(60)), Duration::ZERO);
    }

    #[test]
    fn what_is_refused_does_not_count() {
        let start = Instant::now();
        let mut pace = Pace::new(2, 10);
        let taken = |pace: &mut Pace, at: u64| {
            (0..10)
                .filter(|_| pace.try_count(start + Duration::from_millis(at)))
                .count()
        };
        assert_eq!(taken(&mut pace, 0), 2);
        assert_eq!(taken(&mut pace, 100), 1);
        assert_eq!(taken(&mut pace, 10_000), 2);
    }
}
