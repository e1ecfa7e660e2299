//! Receiving: the frames that have arrived are taken out.

use std::time::Instant;

use super::batch::SHARE_FROM;
use super::pool;
use super::{Batch, Connection, FrameMemory, WhenFull};
use crate::Frame;
use crate::framing::Framing;

impl Connection {
    /// Moves the oldest frames that have arrived into a batch, unless it has some left: all that came together, or
    /// one, if the policy drops frames. Frames can be taken also when the connection has ended.
    ///
    /// If there are none, and there is a [reason](Self::reason), none will come.
    pub fn take_frames(&mut self, batch: &mut Batch, now: Instant) {
        if !batch.is_empty() {
            return;
        }
        if self.inbound.frames() == 0 {
            if self.has_taken {
                // Silence counts from here: the peer may have waited for an answer to these.
                self.has_taken = false;
                self.silent_since = self.silent_since.max(Some(now));
                self.note_change();
            }
            return;
        }
        let one = self.config.when_full != WhenFull::Wait;
        let was_full = !self.has_room_for_frames();
        if was_full {
            // Nobody has listened.
            self.silent_since = Some(now);
        }
        self.has_taken = true;
        let framing = self.framing();
        self.inbound.take_frames(batch, framing, one);
        if let Some(masep) = &mut self.masep {
            batch.keep_for(masep, &self.config.budget);
        }
        if was_full || !self.is_plain {
            self.note_change();
        }
    }

    /// The oldest frame that has arrived, if there is one: of the batch, into which others are [taken](Self::take_frames)
    /// when it is empty. One that came alone, and is small, is taken as it is.
    #[inline]
    pub fn next_frame(&mut self, batch: &mut Batch, now: Instant) -> Option<Frame> {
        if !batch.is_empty() {
            return batch.next();
        }
        if self.is_plain {
            match self.inbound.frames() {
                0 => return None,
                1 if self.inbound.has_single() && !self.inbound.is_full(&self.config.limits) => {
                    if self.masep.is_some() {
                        return self.single_of_masep();
                    }
                    let max = self.config.frame_bytes;
                    let framing = Framing::Pymasep { max };
                    return Some(self.inbound.take_single(framing, pool::lend));
                }
                _ => {}
            }
        }
        self.next_of_many(batch, now)
    }

    /// The only frame there is, in protocol 2. Apart, so that each of both is for one framing.
    #[inline(never)]
    fn single_of_masep(&mut self) -> Option<Frame> {
        let masep = self.masep.as_deref_mut()?;
        let (framing, budget) = (masep.framing, &self.config.budget);
        let share = |bytes| masep.share(bytes, budget);
        let frame = self.inbound.take_single(framing, share);
        if frame.size() < SHARE_FROM {
            masep.count_small();
        }
        Some(frame)
    }

    /// False if [`next_frame`](Self::next_frame) and [`next_for_handler`](Self::next_for_handler) have no need of their `now`:
    /// only silence is counted by it. Then the time of an earlier call is good enough.
    #[inline]
    pub fn takes_by_time(&self) -> bool {
        !self.is_plain && self.config.limits.idle_time.is_some()
    }

    #[inline(never)]
    fn next_of_many(&mut self, batch: &mut Batch, now: Instant) -> Option<Frame> {
        self.take_frames(batch, now);
        batch.next()
    }

    /// The memory of large frames, for a user who writes to what is received. pymasep's protocol has none.
    pub fn frame_memory(&mut self) -> Option<FrameMemory> {
        let masep = self.masep.as_mut()?;
        Some(masep.frame_memory(&self.config.budget))
    }

    /// The number of frames that wait to be taken.
    #[inline]
    pub const fn frames(&self) -> usize {
        self.inbound.frames()
    }

    /// From here on nobody takes frames: those that wait and those that come are thrown away, so that the
    /// end of the connection is found.
    pub fn ignore_frames(&mut self) {
        self.ignores_frames = true;
        self.inbound.discard_frames();
        self.note_change();
    }
}
