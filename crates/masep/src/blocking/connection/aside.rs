//! Reads of a connection whose own thread stands aside for them.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use masep_proto::Frame;
use masep_proto::connection::Want;

use super::Connection;
use crate::blocking::shared::State;
use crate::blocking::stream::{Stream, Wait};
use crate::handle::SharedConnection as _;
use crate::transport::Stream as _;

/// The outcome of a read in place of the connection's own thread.
pub(in crate::blocking) enum FromAside {
    /// A frame. True if there may be another one, which is known without a look at the socket.
    Frame(Frame, bool),
    /// No whole frame has come: the stream tells of more. At this time the thread is to look at the connection.
    Nothing(Option<Instant>),
    /// The thread is to read.
    Apart,
}

impl Connection {
    /// Has the stream read by others from here on, if all that was read of it has been given. This thread, which has read it,
    /// is to [park](thread::park) while it is not [wanted](Self::wants_its_thread), and then to [come back](Self::come_back).
    /// Gives the stream, and the time at which the thread is to look at the connection.
    pub(in crate::blocking) fn stand_aside(&self) -> Option<(Arc<Stream>, Option<Instant>)> {
        let mut state = self.shared().lock();
        if !state.is_quiet() {
            return None;
        }
        let stream = state.stream.clone()?;
        state.roles.aside = Some(thread::current());
        Some((stream, state.core.deadline()))
    }

    /// True if the thread that stands aside is to see to something that others do not.
    pub(in crate::blocking) fn wants_its_thread(&self) -> bool {
        let state = self.shared().lock();
        !state.core.is_open() || state.has_frames() && !state.roles.is_read_directly
    }

    /// The thread that stood aside reads again.
    pub(in crate::blocking) fn come_back(&self) {
        let mut state = self.shared().lock();
        state.roles.aside = None;
        state.end_short_reads();
    }

    /// When the thread that stands aside is to look at the connection.
    pub(in crate::blocking) fn due(&self) -> Option<Instant> {
        self.shared().look_at(|core| core.deadline())
    }

    /// Reads what has come, while the thread stands aside.
    pub(in crate::blocking) fn recv_aside(&self) -> FromAside {
        self.read_aside(None)
    }

    /// As [`recv_aside`](Self::recv_aside), where it is known that nothing has come: a read that waits for about this time at
    /// most.
    pub(in crate::blocking) fn recv_aside_within(&self, time: Duration) -> FromAside {
        self.read_aside(Some(time))
    }

    fn read_aside(&self, time: Option<Duration>) -> FromAside {
        let shared = self.shared();
        let mut state = shared.lock();
        state.roles.is_read_directly = true;
        let mut found = FromAside::Apart;
        if state.is_ready_to_be_read() {
            let wait = match time {
                Some(time) if state.begin_short_reads(time) => Wait::Yes,
                _ => Wait::No,
            };
            state = shared.read(state, wait);
            found = state.take_plainly(time.is_some());
        }
        if matches!(found, FromAside::Apart) {
            drop(state);
            // With all that belongs to it.
            found = match self.try_recv() {
                Ok(frame) => FromAside::Frame(frame, self.has_read_more()),
                Err(_) => FromAside::Apart,
            };
            state = shared.lock();
        }
        state.roles.is_read_directly = false;
        drop(state);
        if let FromAside::Frame(frame, _) = &found {
            tracing::trace!(connection = %shared.info.id, bytes = frame.size(), "received");
        }
        found
    }
}

impl State {
    /// True if all that was read has been given, and the rest is told by the stream.
    fn is_quiet(&self) -> bool {
        self.core.is_open() && !self.has_frames() && self.core.wants_read() == Want::Ready
    }

    /// True if there is nothing but a read to be done.
    fn is_ready_to_be_read(&self) -> bool {
        !self.has_frames() && self.is_plain_at_rest() && self.may_wait(self.core.wants()).reads
    }

    fn is_plain_at_rest(&self) -> bool {
        self.is_at_rest() && self.needs_no_clock()
    }

    /// The frame that a read has brought, if nothing else is to be seen to.
    fn take_plainly(&mut self, has_waited: bool) -> FromAside {
        if !self.is_plain_at_rest() {
            return FromAside::Apart;
        }
        if !self.has_frames() {
            // A layer may have read only a part of what is there.
            let has_layer = self.stream.as_ref().is_none_or(|it| it.0.layer().is_some());
            let is_told = self.is_quiet() && (has_waited || !has_layer);
            return if is_told {
                FromAside::Nothing(self.core.deadline())
            } else {
                FromAside::Apart
            };
        }
        match self.next_frame() {
            Some(Some(frame)) => {
                let has_more = self.has_frames() || self.core.wants_read() == Want::Now;
                FromAside::Frame(frame, has_more)
            }
            _ => FromAside::Apart,
        }
    }
}
