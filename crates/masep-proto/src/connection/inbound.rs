//! Bytes that have arrived and were not taken: whole frames, and the beginning of the next one.

use std::collections::VecDeque;
use std::mem;

use bytes::Bytes;

use super::batch::{Batch, SHARE_FROM};
use super::budget::needs_share;
use super::masep::Masep;
use super::pool;
use super::signals::Room;
use crate::framing::{self, Extent, Framing, Next, Refused};
use crate::protocol2::kind;
use crate::{Frame, Limit, LimitExceeded, Limits};

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

/// The thing behind the whole frames at which a walk over the bytes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Bye,
    /// A control frame of protocol 2 that ends the connection, for the reason that it left.
    Ends,
    /// A frame of this kind, which is not known.
    Unsupported(u8),
    /// A frame with bits that have to be zero.
    Reserved,
    TooLarge(LimitExceeded),
    /// A frame for which there is no room.
    Overflow(LimitExceeded),
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

    /// Walks over the frames that have arrived since the last walk. Each header is looked at once, and again as
    /// long as its frame is not whole. Stops at the first one that is over the bounds, if they are given, and in front of the
    /// first one of so many bytes that is not admitted.
    #[inline]
    pub(super) fn walk(
        &mut self,
        framing: Framing,
        bounds: Option<&Limits>,
        mut admits: impl FnMut(usize) -> bool,
    ) -> Option<Found> {
        let max = match framing {
            Framing::Pymasep { max } => max,
            Framing::Masep { .. } => return None,
        };
        let (waiting, waiting_bytes) = (self.frames, self.body_bytes);
        let last = &mut self.last;
        let (mut end, mut frames, mut body_bytes) = (last.end, 0, 0);
        let found = loop {
            #[cfg(test)]
            framing::looked_at::add(&last.bytes[end..]);
            match framing::scan(&last.bytes[end..], max) {
                Next::Frame(extent) => {
                    if !admits(extent.whole()) {
                        break None;
                    }
                    if let Some(limits) = bounds
                        && let Err(limit) = over(
                            limits,
                            waiting + frames + 1,
                            waiting_bytes + body_bytes + extent.body,
                        )
                    {
                        break Some(Found::Overflow(limit));
                    }
                    end += extent.whole();
                    frames += 1;
                    body_bytes += extent.body;
                }
                Next::Partial { .. } => break None,
                Next::Bye => break Some(Found::Bye),
                Next::TooLarge(limit) => break Some(Found::TooLarge(limit)),
                // pymasep's protocol has neither.
                Next::Control(..) | Next::Refused(_) => break None,
            }
        };
        last.end = end;
        last.frames += frames;
        last.body_bytes += body_bytes;
        self.frames += frames;
        self.body_bytes += body_bytes;
        found
    }

    /// Walks over the user's frames of protocol 2, up to the first thing that is none.
    pub(super) fn walk_plainly(&mut self, framing: Framing) {
        while let Some(extent) = framing.users(self.rest()) {
            let whole = extent.whole();
            self.expected = if whole > ALONE_FROM { whole } else { 0 };
            self.last.end += whole;
            self.last.frames += 1;
            self.last.body_bytes += extent.body;
            self.frames += 1;
            self.body_bytes += extent.body;
        }
    }

    /// Walks as [`walk`](Self::walk) does over frames of protocol 2. Those that are none of the user's are told to
    /// `control`, which ends the walk by true, and taken out: what is left behind them moves up, once for all of them.
    pub(super) fn walk_with(
        &mut self,
        framing: Framing,
        bounds: Option<&Limits>,
        mut admits: impl FnMut(usize) -> bool,
        mut control: impl FnMut(u8, &[u8]) -> bool,
    ) -> Option<Found> {
        let (mut at, mut end) = (self.last.end, self.last.end);
        let found = loop {
            match framing.scan(&self.last.bytes[at..]) {
                Next::Frame(extent) => {
                    if !admits(extent.whole()) {
                        break None;
                    }
                    if let Some(limits) = bounds
                        && let Err(limit) =
                            over(limits, self.frames + 1, self.body_bytes + extent.body)
                    {
                        break Some(Found::Overflow(limit));
                    }
                    let whole = extent.whole();
                    self.expected = if whole > ALONE_FROM { whole } else { 0 };
                    if at > end {
                        self.last.bytes.copy_within(at..at + whole, end);
                    }
                    at += whole;
                    end += whole;
                    self.last.frames += 1;
                    self.last.body_bytes += extent.body;
                    self.frames += 1;
                    self.body_bytes += extent.body;
                }
                Next::Control(kind, extent) => {
                    if kind != kind::BYE && !admits(extent.whole()) {
                        break None;
                    }
                    let payload = at + extent.header;
                    let payload = payload..payload + extent.body;
                    at += extent.whole();
                    if control(kind, &self.last.bytes[payload]) {
                        break Some(Found::Ends);
                    }
                }
                Next::Partial { .. } | Next::Bye => break None,
                Next::TooLarge(limit) => break Some(Found::TooLarge(limit)),
                Next::Refused(Refused::Kind(kind)) => break Some(Found::Unsupported(kind)),
                Next::Refused(Refused::Reserved) => break Some(Found::Reserved),
            }
        };
        if at > end {
            self.last.bytes.drain(end..at);
        }
        self.last.end = end;
        self.give_back();
        found
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

    /// Frames that have arrived and were not looked at, and bytes with what there is of the next one.
    pub(super) fn waiting(&self, framing: Framing) -> (usize, usize) {
        let (mut left, mut frames) = (self.rest(), 0);
        while let Next::Frame(extent) | Next::Control(_, extent) = framing.scan(left) {
            left = &left[extent.whole()..];
            frames += 1;
        }
        (frames, self.rest().len())
    }

    /// True if a whole frame of the user's has arrived that was not looked at.
    pub(super) fn has_ahead(&self, framing: Framing) -> bool {
        let mut left = self.rest();
        while let Next::Control(_, extent) = framing.scan(left) {
            left = &left[extent.whole()..];
        }
        matches!(framing.scan(left), Next::Frame(_))
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

    /// True if as many frames wait as may.
    pub(super) const fn is_full(&self, limits: &Limits) -> bool {
        self.frames > 0
            && (self.frames >= limits.queue_messages || self.body_bytes >= limits.queue_bytes)
    }

    /// Drops the oldest frames that are too many.
    pub(super) fn keep_newest(&mut self, framing: Framing, limits: &Limits) {
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
    pub(super) const fn has_single(&self) -> bool {
        self.frames == 1 && self.last.frames == 1 && self.last.end == self.last.bytes.len()
    }

    /// Takes the only frame there is, in front of which and behind which is nothing. A large one is a slice of the buffer,
    /// which `share` gets too.
    #[inline(always)]
    pub(super) fn take_single(&mut self, framing: Framing, share: impl FnOnce(Bytes)) -> Frame {
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
    pub(super) fn take_frames(&mut self, batch: &mut Batch, framing: Framing, one: bool) {
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

/// Checks that so many frames may wait. A single one always may.
fn over(limits: &Limits, frames: usize, body_bytes: usize) -> Result<(), LimitExceeded> {
    if frames <= 1 {
        return Ok(());
    }
    LimitExceeded::check(Limit::QueueMessages, frames, limits.queue_messages)?;
    LimitExceeded::check(Limit::QueueBytes, body_bytes, limits.queue_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FrameKind;
    use crate::framing::looked_at;

    const FRAMING: Framing = Framing::Pymasep { max: 65_535 };

    /// Frames of these sizes, one after the other.
    fn stream(sizes: impl IntoIterator<Item = usize>) -> Vec<u8> {
        let mut stream = Vec::new();
        for size in sizes {
            FRAMING.put_header(FrameKind::Bytes, size, &mut stream);
            stream.resize(stream.len() + size, 7);
        }
        stream
    }

    /// Reads all of it in pieces; the most room that there was beside what had arrived.
    fn read(inbound: &mut Inbound, stream: &[u8], piece: usize) {
        let mut arrived = 0;
        while arrived < stream.len() {
            let mut room = inbound.take_room(FRAMING, None);
            let capacity = room.buffer().capacity();
            let most = 2 * arrived + 64 * 1024;
            assert!(capacity <= most, "{capacity} for {arrived}");
            let end = stream.len().min(arrived + piece);
            arrived += room.fill(&stream[arrived..end]);
            inbound.put_room(room, None);
            assert_eq!(inbound.walk(FRAMING, None, |_| true), None);
        }
    }

    #[test]
    fn no_byte_is_searched_again_and_again() {
        for (piece, times) in [(1, 12), (10, 2), (1_448, 1), (1 << 20, 1)] {
            let sizes = [60_000, 10, 500, 0, 9_000, 65_535, 20, 30, 4_000];
            let stream = stream(sizes.repeat(4));
            let mut inbound = Inbound::default();
            looked_at::take();
            read(&mut inbound, &stream, piece);
            assert_eq!(inbound.frames(), 36);
            let looked_at = looked_at::take();
            assert!(looked_at <= times * stream.len(), "{looked_at} at {piece}");
        }
    }

    #[test]
    fn frames_that_nobody_takes_hold_little_more_than_themselves() {
        for sizes in [[10; 500], [200; 500], [2_000; 500]] {
            let stream = stream(sizes);
            let mut inbound = Inbound::default();
            read(&mut inbound, &stream, sizes[0] + 2);
            let held: usize = inbound
                .earlier
                .iter()
                .map(|frames| frames.bytes.capacity())
                .sum();
            let most = 2 * stream.len() + 3 * GATHERED;
            assert!(held <= most, "{held} for {}", stream.len());
        }
    }

    #[test]
    fn the_oldest_are_dropped_across_buffers() {
        let limits = Limits::default().queue_messages(3);
        let mut inbound = Inbound::default();
        for size in 1..20 {
            read(&mut inbound, &stream([size * 100]), 1 << 20);
            inbound.keep_newest(FRAMING, &limits);
        }
        let mut batch = Batch::new();
        let mut sizes = Vec::new();
        while inbound.frames() > 0 {
            inbound.take_frames(&mut batch, FRAMING, true);
            sizes.extend((&mut batch).map(|frame| frame.size()));
        }
        assert_eq!(sizes, [1_700, 1_800, 1_900]);
        assert_eq!(inbound.body_bytes, 0);
    }
}
