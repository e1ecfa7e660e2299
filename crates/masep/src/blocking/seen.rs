//! The end of a connection as its user sees it.
//!
//! A connection can end while no call is made on it: the keeper finds it, or another thread. The user learns of that by a
//! call, behind the frames that came before. Until then the connection passes for a live one, and its socket can be had, for an
//! event loop for example.

use super::shared::State;

/// The facts by which that is decided.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// A call was made. Until then the user cannot have seen anything, though the end may have come with the hello.
    is_used: bool,
    /// When it ended, frames were still to be received.
    has_frames: bool,
    /// A call has told the user of the end, or has brought it about.
    end: bool,
}

impl State {
    /// A call is made on the connection.
    pub(super) const fn note_use(&mut self) {
        self.seen.is_used = true;
    }

    /// The connection has ended.
    pub(super) fn note_end(&mut self) {
        self.seen.has_frames = self.has_frames();
    }

    /// This side ends the connection.
    pub(super) const fn note_own_end(&mut self) {
        self.seen.end = true;
    }

    /// A call tells the user that the connection has ended.
    pub(super) fn see_end(&mut self) {
        self.note_use();
        self.seen.end = true;
        if self.core.is_over() {
            self.stream = None;
        }
    }

    /// True if the connection has ended and passes for a live one: frames that came before are still to be received.
    pub(super) const fn has_unseen_end(&self) -> bool {
        self.seen.has_frames && !self.seen.end
    }

    /// True if the socket can still be asked for, though the connection has ended.
    pub(super) const fn keeps_socket(&self) -> bool {
        !self.seen.end && (self.seen.has_frames || !self.seen.is_used)
    }

    /// True if the connection has ended before anybody has used it: the stream is closed when its user knows of the end.
    pub(super) const fn holds_actions(&self) -> bool {
        !self.seen.is_used && !self.seen.end && self.core.reason().is_some()
    }
}
