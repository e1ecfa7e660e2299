//! The pace of attempts to connect.

use std::time::Duration;

/// A connection that lives for so long was of use.
const LASTING: Duration = Duration::from_secs(1);

/// Attempts to connect, one after another: each waits twice as long as the one before, less a part by chance, so that
/// players who were lost together do not come back together. A connection that lives for less than a second, or than the
/// longest wait if that is shorter, is one attempt more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second attempt. Default 100 ms.
    pub first: Duration,
    /// The longest. Default 4 s.
    pub longest: Duration,
    /// The time in all without a connection, from the loss of one that lasted or from the beginning, until it is given up.
    /// Default 60 s. It is given up when the next attempt would begin later, also by the word of a server that tells when it
    /// may be tried again; an attempt that has begun goes on. Time counts in which a player is not asked for anything.
    pub patience: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(4),
            patience: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// True if a connection that has lived for so long begins a new count. A server that takes each player and sends it away
    /// does so sooner, over any network.
    pub(super) fn has_lasted(&self, lived: Duration) -> bool {
        lived >= self.longest.min(LASTING)
    }

    /// The time to wait behind so many attempts: between half of it and all, by this number.
    pub fn wait(&self, attempts: u32, random: u64) -> Duration {
        let doubled = self.first.saturating_mul(1 << attempts.min(30));
        let whole = doubled.min(self.longest);
        let half = whole / 2;
        let part = f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        half + half.mul_f64(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_twice_as_long_less_up_to_half() {
        let backoff = Backoff::default();
        let millis = |attempts, random| backoff.wait(attempts, random).as_millis();
        assert_eq!((millis(0, 0), millis(0, u64::MAX)), (50, 100));
        assert_eq!((millis(1, 0), millis(1, u64::MAX)), (100, 200));
        assert_eq!((millis(9, 0), millis(9, u64::MAX)), (2_000, 4_000));
        assert_eq!(millis(u32::MAX, u64::MAX), 4_000);
        assert!((50..=100).contains(&millis(0, u64::MAX / 3)));
    }
}
