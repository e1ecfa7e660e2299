//! Calls for bindings to other languages, which cannot leave a wait to Rust for long.

use std::time::Duration;

use masep_proto::connection::FrameMemory;
use masep_proto::{EncodeError, Frame, Message, Pieces};

use super::Connection;
use super::drive::Awaits;
use super::stream::after;
use crate::SendError;

/// The outcome of [`Connection::offer_pieces`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// All of the frame is sent.
    Sent,
    /// A rest of it is to be [flushed](Connection::flush).
    Rest,
    /// There is no room now. Nothing of the frame, which is in one piece here, was sent.
    NoRoom(Frame),
}

impl Connection {
    /// [`try_send`](Self::try_send) for callers who see to the rest themselves, by
    /// [`flush`](Self::flush) right after it: without the background thread. True if there is no rest.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn offer(&self, frame: impl Into<Frame>) -> Result<bool, SendError> {
        self.shared().offer(frame.into())
    }

    /// [`encode`](Self::encode) without a copy of large arrays, if that is possible.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_pieces(&self, message: &Message) -> Result<Result<Pieces, Frame>, EncodeError> {
        self.shared().encoding().encode_pieces(message)
    }

    /// [`offer`](Self::offer) of a frame in pieces. They are written from where they are, and nothing of them is used any
    /// more when it returns: what the socket leaves is copied.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but for [`SendError::Full`].
    pub fn offer_pieces(&self, pieces: Pieces) -> Result<Offer, SendError> {
        self.shared().offer_pieces(pieces)
    }

    /// The memory of large frames that were received, for those who write to what they got.
    pub fn frame_memory(&self) -> Option<FrameMemory> {
        self.shared().lock().core.frame_memory()
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
