//! Gathering: frames that a caller sends one right behind another wait for each other, and go out by one write.
//!
//! This is for shells whose calls write what they send. A write for each of many small frames has the peer woken for each,
//! and costs some twenty times as much as the frame does. The rule is here, with the time as an argument. The shell has to
//! see to it that somebody writes what was gathered when its time is over: [`Connection::deadline`] tells that time.

use std::mem;
use std::time::{Duration, Instant};

use super::{Connection, Outcome, Phase};
use crate::Frame;

/// The number of frames in a row after which the pace is looked at. A caller that waits for the peer begins anew, and none
/// of its frames waits.
const RUN: u32 = 16;
/// Frames are gathered if each follows the one before it within this time, on average.
const PACE: Duration = Duration::from_micros(10);
/// The longest time that a gathered frame waits. With less, the writer is woken more often. It is about the time in which
/// another thread is woken.
const GATHERING: Duration = Duration::from_micros(100);
/// The frames of a caller that keeps up the pace for so long.
const KEPT_UP: u64 = (GATHERING.as_micros() / PACE.as_micros()) as u64;

/// Larger frames do not wait for others: a write for each costs little beside its bytes.
const MOST_BYTES: usize = 8 * 1024;

/// The state of it, for a shell that has somebody who writes what was gathered.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// The frames that are gathered by now have waited for long enough.
    is_due: bool,
    /// The frames that were sent since the pace was looked at, or the caller waited for the peer.
    run: u32,
    /// The time of that look.
    looked_at: Option<Instant>,
    /// Frames are gathered until then, if they are.
    until: Option<Instant>,
    /// The number of frames that were accepted before those of that time.
    before: u64,
}

/// The outcome of [`Connection::gather`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gathered {
    /// The frame waits, and is the first one that does: the writer is to be told of the [deadline](Connection::deadline).
    First,
    /// The frame waits for others, or for the writer.
    Waits,
    /// The frame waits, and as much does as one write takes, which the caller is to do.
    Full,
    /// The frame is still there: it is to be sent as others are.
    No,
}

impl Connection {
    /// Has frames gathered from here on, or no more. For shells that have somebody who writes what was gathered.
    pub fn set_gathering(&mut self, has_writer: bool) {
        self.stop_gathering();
        self.gathering = has_writer.then(Box::default);
    }

    /// True if [`gather`](Self::gather) may take the next frame.
    #[inline]
    pub fn may_gather(&self) -> bool {
        let may = |it: &Gathering| it.until.is_some() || (it.run >= RUN && !self.has_waited);
        self.gathering.as_deref().is_some_and(may)
    }

    /// True if frames are gathered.
    #[inline]
    pub fn is_gathering(&self) -> bool {
        self.gathered_until().is_some()
    }

    /// True if more can be gathered before the caller has to write. False from the end on.
    pub fn has_gathering_room(&self) -> bool {
        self.takes_frames && self.is_gathering() && !self.outbound.fills_write(&self.config.limits)
    }

    /// Takes the frame that there is in, if the caller sends so many in a row that they are to be gathered, and if there is
    /// nothing else to be done for it. The time counts only where [none](Self::is_gathering) are gathered yet.
    #[inline]
    pub fn gather(&mut self, frame: &mut Option<Frame>, now: Instant) -> Gathered {
        let is_first = !self.is_gathering();
        if is_first && !self.keeps_pace(now) || !frame.as_ref().is_some_and(|it| self.gathers(it)) {
            return Gathered::No;
        }
        if is_first {
            self.begin_gathering(now);
        }
        let framing = self.framing();
        self.outbound.push(frame, framing);
        *frame = None;
        if self.outbound.fills_write(&self.config.limits) {
            Gathered::Full
        } else if is_first {
            Gathered::First
        } else {
            Gathered::Waits
        }
    }

    /// Has what was gathered written now: by a call that waits for something, or because nobody else can.
    #[inline]
    pub fn stop_gathering(&mut self) {
        if self.is_gathering() {
            self.end_gathering();
        }
    }

    /// Counts a frame that goes past the queue.
    #[inline]
    pub(super) fn note_run(&mut self) {
        let has_waited = mem::take(&mut self.has_waited);
        if let Some(gathering) = &mut self.gathering {
            gathering.run = if has_waited {
                0
            } else {
                gathering.run.saturating_add(1)
            };
        }
    }

    /// True if the frames of the last run followed each other closely.
    #[cold]
    fn keeps_pace(&mut self, now: Instant) -> bool {
        let Some(gathering) = &mut self.gathering else {
            return false;
        };
        let run = mem::take(&mut gathering.run);
        let last = gathering.looked_at.replace(now);
        last.is_some_and(|last| now.saturating_duration_since(last) <= PACE * run)
    }

    /// True if this frame can wait for others. A write that is under way is no obstacle.
    #[inline]
    fn gathers(&self, frame: &Frame) -> bool {
        frame.size() <= MOST_BYTES
            && self.takes_frames
            && !self.pattern.is_apart()
            && !self.is_blocked
            && self.rest.is_none()
            && !self.has_ahead()
            && self.is_ordinary(frame, self.framing())
            && !self.outbound.fills_write(&self.config.limits)
            && (self.outbound).has_room(frame.size(), &self.config.limits)
    }

    #[cold]
    fn begin_gathering(&mut self, now: Instant) {
        if let Some(gathering) = &mut self.gathering {
            gathering.until = now.checked_add(GATHERING);
            gathering.before = self.outbound.accepted();
            gathering.is_due = !self.outbound.is_empty();
        }
        self.note_change();
    }

    #[cold]
    fn end_gathering(&mut self) {
        if let Some(gathering) = &mut self.gathering {
            gathering.until = None;
            gathering.run = 0;
        }
        self.note_change();
    }

    /// The instant at which the writer is to look.
    #[inline]
    pub(super) fn gathered_until(&self) -> Option<Instant> {
        self.gathering.as_ref()?.until
    }

    /// The time is over in which frames were gathered: they are due, and others are gathered if the caller goes on.
    pub(super) fn see_to_gathered(&mut self, now: Instant) {
        let accepted = self.outbound.accepted();
        let keeps_up = |it: &Gathering| accepted - it.before >= KEPT_UP;
        if self.gathering.as_deref().is_some_and(keeps_up) {
            self.begin_gathering(now);
        } else {
            self.end_gathering();
        }
    }

    /// The gathered frames are in a transmit.
    #[inline]
    pub(super) fn note_gathered_taken(&mut self) {
        if let Some(gathering) = &mut self.gathering {
            gathering.is_due = false;
        }
    }

    /// True if nothing but frames waits, and they wait for others.
    pub(super) fn waits_for_others(&self) -> bool {
        let waits = |it: &Gathering| it.until.is_some() && !it.is_due;
        self.gathering.as_deref().is_some_and(waits)
            && self.phase == Phase::Open
            && matches!(self.outcome, Outcome::Undecided)
            && self.rest.is_none()
            && !self.has_ahead()
            && !self.layer.owes
            && !self.wants_room
            && !self.outbound.fills_write(&self.config.limits)
    }
}
