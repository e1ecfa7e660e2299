//! Bytes that have arrived and were not taken: whole frames, and the beginning of the next one.

mod waiting;
mod walking;

use std::collections::VecDeque;
use std::mem;

use super::budget::needs_share;
use super::masep::Masep;
use super::pool;
use super::signals::Room;
use crate::framing::{Framing, Next};

pub(super) use walking::Found;

/// The least and the most bytes asked for in one read; of the most there may be some more, which a buffer
/// that was there anyway has room for.
const LEAST_ROOM: usize = pool::SMALL;
pub(super) const MOST_ROOM: usize = 64 * 1024;
/// A frame from this size on is read into a buffer of its own.
const ALONE_FROM: usize = 8 * 1024;
/// Frames of reads that bring little are gathered in buffers of this size, when nobody takes them.
const GATHERED: usize = 16 * 1024;

/// The buffers of the receiving side.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    /// Whole frames that came before those in `last`.
    earlier: VecDeque<Frames>,
    /// Whole frames, and behind them the part of the next one that has arrived.
    last: Frames,
    /// The number of frames that wait, and the bytes of their bodies.
    frames: usize,
    body_bytes: usize,
    /// Bytes asked for in one read: more for a peer that fills them, less for one that does not.
    room: u32,
    /// A room is out.
    out: bool,
    /// The last read took all that there was room for; there may be more.
    filled: bool,
    /// The bytes of the last frame of protocol 2, if it was large: the next one may be as large.
    expected: usize,
}

/// Whole frames in one buffer.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    /// The place where the first one begins, and the one where the last ends.
    start: usize,
    end: usize,
    frames: usize,
    body_bytes: usize,
}

impl Frames {
    fn has_room(&self, more: &Self) -> bool {
        let bytes = more.end - more.start;
        self.bytes.capacity() - self.bytes.len() >= bytes
    }

    fn append(&mut self, more: &Self) {
        self.bytes
            .extend_from_slice(&more.bytes[more.start..more.end]);
        self.end = self.bytes.len();
        self.frames += more.frames;
        self.body_bytes += more.body_bytes;
    }
}

impl Inbound {
    #[inline]
    pub(super) const fn is_out(&self) -> bool {
        self.out
    }

    #[inline]
    pub(super) const fn is_filled(&self) -> bool {
        self.filled
    }

    #[inline]
    pub(super) const fn frames(&self) -> usize {
        self.frames
    }

    /// Bytes behind the whole frames: a part of one, or bytes that nobody has looked at.
    pub(super) fn rest(&self) -> &[u8] {
        &self.last.bytes[self.last.end..]
    }

    /// Bytes of the frame that has arrived in part, if it is one that needs a share of the memory that there is, or has one.
    pub(super) fn large_bytes(&self, framing: Framing, has_share: bool) -> Option<usize> {
        let arrived = self.rest().len();
        match framing.scan(self.rest()) {
            Next::Partial { whole: Some(whole) }
                if needs_share(whole, arrived) || (has_share && whole > MOST_ROOM) =>
            {
                Some(whole)
            }
            _ => None,
        }
    }

    /// [`take_room`](Self::take_room) where nothing is there, and no large frame is to be expected.
    #[inline(always)]
    pub(super) fn take_empty_room(&mut self) -> Option<Room> {
        if self.last.bytes.capacity() > 0 || self.expected > 0 {
            return None;
        }
        self.out = true;
        Some(Room::new(pool::take(self.room())))
    }

    /// Bytes asked for in the next read, unless a large frame is on its way.
    #[inline]
    fn room(&self) -> usize {
        (self.room as usize).max(LEAST_ROOM)
    }

    /// Room for the next read, behind what is there. A large frame may go where the last one was.
    pub(super) fn take_room(&mut self, framing: Framing, kept: Option<&mut Masep>) -> Room {
        if let Some(room) = self.take_empty_room() {
            return room;
        }
        self.out = true;
        let room = self.room();
        if self.last.bytes.capacity() == 0 {
            return Room::new(self.fresh(room, framing, kept));
        }
        let part = self.rest().len();
        // Behind a large frame the next header is read, so that one read is enough for each of many.
        let behind = framing.header_bytes();
        // Never more than twice what has arrived, or came at once before, whatever is claimed, as long as that is little.
        let (wanted, alone) = match framing.scan(self.rest()) {
            Next::Partial { whole: Some(whole) } if whole > ALONE_FROM => {
                let all = whole + behind - part;
                if let Some(kept) = kept
                    && self.last.bytes.capacity() < whole
                    && let Some(buffer) = kept.take_kept(whole)
                {
                    self.move_rest_into(buffer);
                    return Room::new(mem::take(&mut self.last.bytes));
                }
                let most = framing.may_reserve(part, whole + behind);
                (all.min(room.max(most)), true)
            }
            _ => (room, false),
        };
        let spare = self.last.bytes.capacity() - self.last.bytes.len();
        let is_enough = if alone {
            spare + behind >= wanted
        } else {
            spare > 0 && spare >= wanted / 2
        };
        if !is_enough || self.last.frames > 0 {
            self.move_rest(part + wanted, alone);
        }
        Room::new(mem::take(&mut self.last.bytes))
    }

    /// A buffer without anything in it: for a frame as the last one, which was large, if that came alone, so that none of it
    /// is moved when its size is known; otherwise for so many bytes.
    fn fresh(&self, room: usize, framing: Framing, kept: Option<&mut Masep>) -> Vec<u8> {
        let bytes = self.expected + framing.header_bytes();
        if self.filled {
            return pool::take(room);
        }
        match kept.and_then(|kept| kept.take_expected(bytes)) {
            Some(buffer) => buffer,
            None if bytes <= pool::LARGE => pool::take_exact(bytes),
            None => pool::take(room),
        }
    }

    /// Moves the part of the next frame that has arrived into a buffer for so many bytes, so that the frames before it
    /// can be taken while the buffer is out.
    fn move_rest(&mut self, bytes: usize, alone: bool) {
        let next = if alone {
            pool::take_exact(bytes)
        } else {
            pool::take(bytes)
        };
        self.move_rest_into(next);
    }

    fn move_rest_into(&mut self, mut next: Vec<u8>) {
        next.extend_from_slice(self.rest());
        let next = Frames {
            bytes: next,
            ..Frames::default()
        };
        let mut last = mem::replace(&mut self.last, next);
        last.bytes.truncate(last.end);
        self.keep(last);
    }

    /// Keeps whole frames behind the earlier ones: few of them, which a read has brought, together with others.
    fn keep(&mut self, frames: Frames) {
        if frames.frames > 0 {
            let is_small = frames.bytes.len() < GATHERED / 4;
            if is_small && !self.earlier.back().is_some_and(|to| to.has_room(&frames)) {
                // As much as waits already, so that few need little.
                let waits = self.body_bytes.clamp(frames.end, GATHERED.max(frames.end));
                self.earlier.push_back(Frames {
                    bytes: Vec::with_capacity(waits),
                    ..Frames::default()
                });
            }
            match self.earlier.back_mut() {
                Some(to) if is_small => to.append(&frames),
                _ => return self.earlier.push_back(frames),
            }
        }
        if frames.bytes.capacity() > 0 {
            pool::give(frames.bytes);
        }
    }

    /// Takes a room back. Gives the number of bytes that were read into it.
    #[inline]
    pub(super) fn put_room(&mut self, room: Room, kept: Option<&mut Masep>) -> usize {
        self.out = false;
        let (bytes, before) = room.into_parts();
        let room = bytes.capacity() - before;
        self.last.bytes = bytes;
        let end = self.last.bytes.len();
        let read = end.saturating_sub(before);
        self.filled = read > 0 && read == room;
        if self.filled || self.room() > LEAST_ROOM {
            self.adapt_room(read, before);
        }
        if end == 0 {
            self.put_unused(kept);
        } else if let Some(kept) = kept {
            kept.put_expected(Vec::new());
        }
        read
    }

    /// Asks for more in the next read, or for less, by what the last one has brought behind what was there before.
    #[inline(never)]
    fn adapt_room(&mut self, read: usize, before: usize) {
        let asked = self.room();
        let asked = if self.filled {
            (asked * 2).min(MOST_ROOM)
        } else if read > 0 && before == 0 && read < asked / 4 {
            // Not for the rest of a frame: its next one would not fit again.
            (asked / 2).max(LEAST_ROOM)
        } else {
            asked
        };
        self.room = u32::try_from(asked).unwrap_or(u32::MAX);
    }

    /// Gives the buffer back, in which nothing is.
    #[inline(never)]
    fn put_unused(&mut self, kept: Option<&mut Masep>) {
        let unused = mem::take(&mut self.last.bytes);
        match kept {
            Some(kept) => kept.put_expected(unused),
            None => pool::give(unused),
        }
    }

    /// Takes so many bytes, which are no frame, out of the beginning of the [rest](Self::rest), in front of
    /// which there is nothing.
    pub(super) fn consume(&mut self, bytes: usize) {
        debug_assert_eq!(self.last.end, 0);
        if bytes >= self.last.bytes.len() {
            self.discard_rest();
        } else {
            self.last.bytes.drain(..bytes);
        }
    }

    /// Drops what is behind the whole frames.
    pub(super) fn discard_rest(&mut self) {
        self.last.bytes.truncate(self.last.end);
        self.give_back();
    }

    /// Drops the whole frames.
    pub(super) fn discard_frames(&mut self) {
        self.earlier = VecDeque::new();
        let end = self.last.end;
        self.last.bytes.drain(..end);
        self.last.start = 0;
        self.last.end = 0;
        (self.last.frames, self.last.body_bytes) = (0, 0);
        (self.frames, self.body_bytes) = (0, 0);
        self.give_back();
    }

    /// A connection that waits holds no buffer.
    fn give_back(&mut self) {
        if self.last.bytes.is_empty() && self.last.bytes.capacity() > 0 {
            pool::give(mem::take(&mut self.last.bytes));
        }
    }
}

#[cfg(test)]
mod tests;
