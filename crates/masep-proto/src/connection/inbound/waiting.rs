//! Frames that wait until they are taken out.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;

use super::walking::over;
use super::{Frames, Inbound};
use crate::connection::batch::{Batch, SHARE_FROM};
use crate::connection::pool;
use crate::framing::{Extent, Framing, Next};
use crate::{Frame, Limits};

impl Inbound {
    /// True if as many frames wait as may.
    pub(in crate::connection) const fn is_full(&self, limits: &Limits) -> bool {
        self.frames > 0
            && (self.frames >= limits.queue_messages || self.body_bytes >= limits.queue_bytes)
    }

    /// Drops the oldest frames that are too many.
    pub(in crate::connection) fn keep_newest(&mut self, framing: Framing, limits: &Limits) {
        while over(limits, self.frames, self.body_bytes).is_err() {
            self.drop_oldest(framing);
        }
    }

    /// Drops the oldest frame.
    fn drop_oldest(&mut self, framing: Framing) {
        if let Some((from, extent)) = self.first(framing) {
            from.start += extent.whole();
            self.count_out(1, extent.body);
        }
    }

    /// True if there is one frame, and nothing behind it.
    #[inline]
    pub(in crate::connection) const fn has_single(&self) -> bool {
        self.frames == 1 && self.last.frames == 1 && self.last.end == self.last.bytes.len()
    }

    /// Takes the only frame there is, in front of which and behind which is nothing. A large one is a slice of the buffer,
    /// which `share` gets too.
    #[inline(always)]
    pub(in crate::connection) fn take_single(
        &mut self,
        framing: Framing,
        share: impl FnOnce(Bytes),
    ) -> Frame {
        let last = &mut self.last;
        let end = last.end - framing.padding(last.body_bytes);
        let start = end - last.body_bytes;
        let kind = framing.kind(&last.bytes[..start]);
        let (is_small, bytes) = (last.body_bytes < SHARE_FROM, mem::take(&mut last.bytes));
        (last.start, last.end, last.frames, last.body_bytes) = (0, 0, 0, 0);
        (self.frames, self.body_bytes) = (0, 0);
        if is_small {
            let body = Bytes::copy_from_slice(&bytes[start..end]);
            pool::give(bytes);
            return Frame::of(kind, body);
        }
        let bytes = Bytes::from(bytes);
        let body = bytes.slice(start..end);
        share(bytes);
        Frame::of(kind, body)
    }

    /// Moves the oldest frames into a batch without any: all of a buffer, or only one.
    pub(in crate::connection) fn take_frames(
        &mut self,
        batch: &mut Batch,
        framing: Framing,
        one: bool,
    ) {
        if self.frames == 0 {
            return;
        }
        if one && self.frames > 1 {
            if let Some((from, extent)) = self.first(framing) {
                let (start, whole) = (from.start, extent.whole());
                from.start += whole;
                let frame = from.bytes[start..start + whole].to_vec();
                batch.fill(frame, 0, 1, framing);
                self.count_out(1, extent.body);
            }
            return;
        }
        let oldest = self.earlier.pop_front().unwrap_or_else(|| {
            let rest = self.rest().to_vec();
            let next = Frames {
                bytes: rest,
                ..Frames::default()
            };
            let mut last = mem::replace(&mut self.last, next);
            last.bytes.truncate(last.end);
            last
        });
        self.frames -= oldest.frames;
        self.body_bytes -= oldest.body_bytes;
        if self.frames == 0 {
            self.earlier = VecDeque::new();
        }
        batch.fill(oldest.bytes, oldest.start, oldest.frames, framing);
    }

    /// The buffer of the oldest frame, and where that is in it, from its start on.
    fn first(&mut self, framing: Framing) -> Option<(&mut Frames, Extent)> {
        let from = self.earlier.front_mut().unwrap_or(&mut self.last);
        match framing.scan(&from.bytes[from.start..from.end]) {
            Next::Frame(extent) => Some((from, extent)),
            _ => None,
        }
    }

    /// Counts frames out that were taken from the oldest buffer.
    fn count_out(&mut self, frames: usize, body_bytes: usize) {
        self.frames -= frames;
        self.body_bytes -= body_bytes;
        let from = self.earlier.front_mut().unwrap_or(&mut self.last);
        from.frames -= frames;
        from.body_bytes -= body_bytes;
        if from.frames > 0 {
            return;
        }
        if self.earlier.pop_front().is_none() {
            self.last.bytes.drain(..self.last.end);
            self.last.start = 0;
            self.last.end = 0;
            self.give_back();
        }
    }
}
