//! Calls for bindings to other languages, which cannot leave a wait to Rust for long.

use std::time::Duration;

use masep_proto::Frame;

use super::Connection;
use super::drive::Awaits;
use super::stream::after;
use crate::SendError;

impl Connection {
    /// [`try_send`](Self::try_send) for callers who see to the rest themselves, by
    /// [`flush`](Self::flush) right after it: without the background thread. True if there is no rest.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn offer(&self, frame: impl Into<Frame>) -> Result<bool, SendError> {
        self.shared().offer(frame.into())
    }

    /// [`flush`](Self::flush) that blocks no longer than `time`. False if something is left then.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn flush_timeout(&self, time: Duration) -> Result<bool, SendError> {
        let shared = self.shared();
        let (last, until) = (shared.lock().core.accepted(), after(time));
        match shared.drive(until, Awaits::Room, |state| state.is_written(last)) {
            Ok(written) => written.map(|()| true),
            Err(super::TimedOut) => Ok(false),
        }
    }

    /// Leaves what [`offer`](Self::offer) left to the background thread.
    pub fn leave_rest(&self) {
        self.write_in_background();
    }
}
