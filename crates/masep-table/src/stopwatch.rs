//! The time that a turn has taken.

use std::time::{Duration, Instant};

/// A clock that can stand still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    elapsed: Duration,
    /// The time since which it runs.
    since: Option<Instant>,
    /// When it was last stopped. It does not start before.
    stopped: Instant,
}

impl Stopwatch {
    /// One that stands still.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            elapsed: Duration::ZERO,
            since: None,
            stopped: now,
        }
    }

    /// The time that it shows.
    pub(crate) fn at(&self, now: Instant) -> Duration {
        let running = self.since.map(|since| now.saturating_duration_since(since));
        self.elapsed.saturating_add(running.unwrap_or_default())
    }

    /// Lets it run or stand still.
    pub(crate) fn run(&mut self, runs: bool, now: Instant) {
        match (runs, self.since) {
            (true, None) => self.since = Some(now.max(self.stopped)),
            (false, Some(since)) => {
                self.elapsed = self.at(now);
                self.since = None;
                self.stopped = now.max(since);
            }
            _ => {}
        }
    }

    /// When it will show this; `None` while it stands still, and for what is too far away.
    pub(crate) fn when(&self, reading: Duration) -> Option<Instant> {
        self.since?
            .checked_add(reading.saturating_sub(self.elapsed))
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_while_it_runs() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut watch = Stopwatch::new(start);
        assert_eq!(
            (watch.at(at(5)), watch.when(Duration::ZERO)),
            (Duration::ZERO, None)
        );
        watch.run(true, at(10));
        watch.run(true, at(12));
        assert_eq!(watch.at(at(15)), Duration::from_millis(5));
        assert_eq!(watch.when(Duration::from_millis(8)), Some(at(18)));
        watch.run(false, at(20));
        assert_eq!(watch.at(at(90)), Duration::from_millis(10));
        // A time before it was stopped does not count twice.
        watch.run(true, at(15));
        assert_eq!(watch.at(at(25)), Duration::from_millis(15));
        assert_eq!(watch.when(Duration::ZERO), Some(at(20)));
        assert_eq!(watch.when(Duration::MAX), None);
    }
}
