//! Tells a rejection from another `BYE`, on the side that connects.

use std::time::Duration;

use crate::CloseReason;

/// A `BYE` in this time behind the server's hello is a rejection.
pub(crate) const REJECTION_TIME: Duration = Duration::from_millis(200);

/// For how long a `BYE` of the server is a rejection: until a frame has come, or until it is certain that
/// nothing had come in [`REJECTION_TIME`]. A client that did not look for so long cannot tell when what it
/// finds came. `I` is an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RejectionWindow<I> {
    /// `None` when it is closed.
    until: Option<I>,
    /// Whether a task is woken by what comes.
    watched: bool,
}

impl<I: Copy + PartialOrd> RejectionWindow<I> {
    /// Of the side that is connected to, whose peer rejects nothing.
    pub(crate) const fn closed() -> Self {
        Self {
            until: None,
            watched: false,
        }
    }

    /// Of a client whose server has said hello [`REJECTION_TIME`] before this instant.
    pub(crate) const fn until(until: I) -> Self {
        Self {
            until: Some(until),
            watched: false,
        }
    }

    #[inline]
    pub(crate) const fn is_open(&self) -> bool {
        self.until.is_some()
    }

    /// A frame has come.
    pub(crate) const fn close(&mut self) {
        self.until = None;
    }

    /// Nothing was there at this instant; whether whoever looked is woken by what comes from here on.
    pub(crate) fn found_nothing(&mut self, now: I, watches: bool) {
        if self.until.is_some_and(|until| until < now) {
            self.close();
        }
        self.watched |= watches;
    }

    /// Something was there at this instant.
    pub(crate) fn found_something(&mut self, now: I) {
        if self.watched && self.until.is_some_and(|until| until < now) {
            self.close();
        }
        self.watched = false;
    }

    /// What a `BYE` means that is the next frame.
    pub(crate) const fn reason_of_bye(&self) -> CloseReason {
        if self.is_open() {
            CloseReason::Rejected
        } else {
            CloseReason::PeerBye
        }
    }
}

impl<I: Copy + PartialOrd> Default for RejectionWindow<I> {
    fn default() -> Self {
        Self::closed()
    }
}
