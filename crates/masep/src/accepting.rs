//! Errors of accepting, in both shells.

use std::io;
use std::time::{Duration, Instant};

use masep_proto::admission::Pace;

/// The time for which accepting rests after an error of the machine, such as no free descriptor. Existing
/// connections go on; without a rest the loop would spin, because the error stays.
const REST: Duration = Duration::from_millis(100);

/// The errors of one listener, or of several that rest together.
pub(crate) struct AcceptErrors {
    /// Ten in a second would be many.
    log: Pace,
}

impl AcceptErrors {
    pub(crate) fn new() -> Self {
        Self {
            log: Pace::new(8, Duration::from_secs(60)),
        }
    }

    /// The time for which accepting rests because of this error. `None` if nobody has come, or for one that `accept(2)`
    /// reports of a connection that is already gone.
    pub(crate) fn rest(&mut self, error: &io::Error, now: Instant) -> Option<Duration> {
        use io::ErrorKind as Kind;
        let concerns_one = matches!(
            error.kind(),
            Kind::WouldBlock | Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted
        );
        if concerns_one {
            return None;
        }
        if let Some(skipped) = self.log.take(now) {
            let skipped = (skipped > 0).then_some(skipped);
            tracing::warn!(skipped, "accepting rests for {REST:?}: {error}");
        }
        Some(REST)
    }
}
