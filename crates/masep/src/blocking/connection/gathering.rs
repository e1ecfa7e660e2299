//! Frames that a thread sends one right behind another, which go out together.

use std::sync::Arc;

use masep_proto::Frame;
use masep_proto::connection::Gathered;

use crate::SendError;
use crate::blocking::drive::Guard;
use crate::blocking::keeper;
use crate::blocking::shared::{Shared, State};

/// The way of a frame that is being sent.
pub(super) enum Gathering<'a> {
    /// It waits, and somebody writes it soon.
    Later,
    /// It waits, and the caller is to write what waits. This is its number.
    Now(u64),
    /// It does not wait, and is still there.
    Alone(Guard<'a>),
}

impl Shared {
    /// Takes the frame that there is in, if it is to be written with others. The keeper writes it then, unless a call does
    /// before.
    #[inline]
    pub(super) fn gather<'a>(self: &'a Arc<Self>, frame: &mut Option<Frame>) -> Gathering<'a> {
        let mut state = self.lock();
        if !state.core.may_gather() {
            return Gathering::Alone(state);
        }
        let is_first = match state.gather(frame) {
            Gathered::First => true,
            Gathered::Waits => false,
            Gathered::Full => return Gathering::Now(state.core.accepted()),
            Gathered::No => return Gathering::Alone(state),
        };
        // The keeper may have left the connection to a thread that waited for others.
        let is_seen_to = state.roles.is_watched || state.roles.is_stepped;
        if is_first || !is_seen_to {
            drop(state);
            keeper::watch(self);
        }
        Gathering::Later
    }
}

impl State {
    /// Takes the frame that there is in, if nobody else is to be seen to.
    fn gather(&mut self, frame: &mut Option<Frame>) -> Gathered {
        let is_first = !self.core.is_gathering();
        let is_alone = if is_first {
            self.is_at_rest()
        } else {
            self.roles.waiting == 0 && !self.has_news()
        };
        // An event loop writes behind each of its steps.
        if !is_alone || self.has_event_loop() {
            return Gathered::No;
        }
        if is_first {
            self.tick();
        }
        self.note_use();
        self.core.gather(frame, self.now)
    }

    /// The outcome of the frame with this number for the call that sends it, when it has one. A frame that waits for others
    /// is sent.
    pub(super) fn is_sent(&mut self, number: u64) -> Option<Result<(), SendError>> {
        if self.core.has_gathering_room() {
            return Some(Ok(()));
        }
        self.is_written(number)
    }
}
