//! Bytes on their way into the stream.

use std::io::IoSlice;
use std::mem;

use bytes::{Buf, Bytes};

use super::pool;
use crate::Pieces;
use crate::framing::Framing;

/// Bodies from this size on are written from where they are. Smaller ones are copied behind each
/// other: below a few kilobytes that costs less than a buffer more for the system to look at.
pub(super) const SHARE_FROM: usize = 4 * 1024;

/// Bytes for one write. It leaves the connection for the system call, so that no lock is held in it, and comes back
/// with [`Connection::put_transmit`](super::Connection::put_transmit), whatever came of the call.
#[derive(Debug, Default)]
#[must_use = "nothing more is written until it is put back"]
pub struct Transmit {
    /// Headers and small bodies behind each other.
    bytes: Vec<u8>,
    /// The number of these bytes that are written.
    gone: usize,
    /// Bytes that are left to be written.
    left: usize,
    /// The rest, in a box, since small frames have none of this, and are moved often.
    more: Option<Box<More>>,
    /// The number of frames that have left the queue when this is written.
    pub(super) upto: u64,
    pub(super) fresh_segment: bool,
    /// Its last frame is the one that ends the connection.
    pub(super) ends: bool,
    /// Its bodies are for this one write, and are copied if it leaves some.
    borrows: bool,
}

#[derive(Debug, Default)]
struct More {
    /// Bodies that are not among the bytes, each with its place: how many of the bytes go out before it.
    bodies: Vec<(usize, Bytes)>,
    /// The number of these that are written.
    bodies_gone: usize,
    /// The number of bytes that are left of a frame that is written in part, and whether it is one that counts.
    begun: usize,
    begun_counts: bool,
}

impl Transmit {
    /// The most slices of one transmit.
    pub const MOST_SLICES: usize = 2 * super::outbound::WRITE_BYTES.div_ceil(SHARE_FROM) + 1;

    /// One of a buffer of whole frames, from `start` on: the last of so many frames.
    #[inline]
    pub(super) fn of(bytes: Vec<u8>, start: usize, upto: u64) -> Self {
        Self {
            left: bytes.len() - start,
            bytes,
            gone: start,
            more: None,
            upto,
            fresh_segment: false,
            ends: false,
            borrows: false,
        }
    }

    /// One of a frame in pieces that are for this one write: the last of so many frames.
    pub(super) fn of_pieces(pieces: Pieces, framing: Framing, upto: u64) -> Self {
        let mut this = Self::of(Vec::new(), 0, upto);
        this.borrows = true;
        this.append_pieces(pieces, framing);
        this
    }

    /// Appends a frame in pieces.
    pub(super) fn append_pieces(&mut self, pieces: Pieces, framing: Framing) {
        let size = pieces.size();
        let kind = pieces.kind();
        let (written, mut arrays) = pieces.into_parts();
        let whole = framing.whole(size);
        self.left += whole;
        let around = whole - size + written.len();
        let bytes = self.with_room(around);
        framing.put_header(kind, size, bytes);
        let header = bytes.len();
        bytes.extend_from_slice(&written);
        framing.put_padding(size, bytes);
        for (place, _) in &mut arrays {
            *place += header;
        }
        let bodies = &mut self.more().bodies;
        if bodies.is_empty() {
            *bodies = arrays;
        } else {
            bodies.append(&mut arrays);
        }
    }

    /// Copies what is left, if it is another's.
    pub(super) fn own(&mut self) {
        if !mem::take(&mut self.borrows) {
            return;
        }
        let mut rest = Vec::with_capacity(self.left);
        self.pieces()
            .for_each(|piece| rest.extend_from_slice(piece));
        pool::give(mem::replace(&mut self.bytes, rest));
        self.gone = 0;
        if let Some(more) = &mut self.more {
            more.bodies = Vec::new();
            more.bodies_gone = 0;
        }
    }

    /// The number of bytes that are to be written.
    #[inline]
    pub const fn len(&self) -> usize {
        self.left
    }

    /// True if all is written.
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// True if the bytes behind this are to begin a new segment (`MSG_EOR` on Linux): the peer takes the
    /// end of a segment for the end of a frame.
    pub const fn fresh_segment(&self) -> bool {
        self.fresh_segment
    }

    /// The bytes that are to be written, if they are in one piece.
    #[inline]
    pub fn as_slice(&self) -> Option<&[u8]> {
        self.bodies_left()
            .is_empty()
            .then(|| &self.bytes[self.gone..])
    }

    /// Puts the bytes that are to be written into `slices`, in order. Returns the number of slices that are used.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; Self::MOST_SLICES]) -> usize {
        let pieces = self.pieces().filter(|piece| !piece.is_empty());
        slices
            .iter_mut()
            .zip(pieces)
            .fold(0, |used, (slot, piece)| {
                *slot = IoSlice::new(piece);
                used + 1
            })
    }

    fn bodies_left(&self) -> &[(usize, Bytes)] {
        match &self.more {
            None => &[],
            Some(more) => &more.bodies[more.bodies_gone..],
        }
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = self.gone;
        let with_bodies = self.bodies_left().iter().flat_map(move |(place, body)| {
            let before = &self.bytes[start..*place];
            start = *place;
            [before, &body[..]]
        });
        let last = self
            .bodies_left()
            .last()
            .map_or(self.gone, |(place, _)| *place);
        with_bodies.chain([&self.bytes[last..]])
    }

    /// The buffer, for bytes to be appended; they are counted by [`count`](Self::count).
    pub(super) fn with_room(&mut self, bytes: usize) -> &mut Vec<u8> {
        let needed = self.bytes.len() + bytes;
        if needed > self.bytes.capacity() {
            let mut larger = match needed {
                ..=pool::SMALL => pool::take(pool::SMALL),
                _ => pool::take(needed.max(pool::LARGE)),
            };
            larger.extend_from_slice(&self.bytes);
            pool::give(mem::replace(&mut self.bytes, larger));
        }
        &mut self.bytes
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.with_room(bytes.len()).extend_from_slice(bytes);
        self.left += bytes.len();
    }

    /// Appends a buffer of whole frames, from `start` on: itself, if there is nothing in front of it.
    pub(super) fn append(&mut self, frames: Vec<u8>, start: usize) {
        if self.bytes.is_empty() {
            self.left += frames.len() - start;
            self.gone = start;
            let empty = mem::replace(&mut self.bytes, frames);
            if empty.capacity() > 0 {
                pool::give(empty);
            }
        } else {
            self.extend(&frames[start..]);
            pool::give(frames);
        }
    }

    /// Appends a body by reference.
    pub(super) fn share(&mut self, body: Bytes) {
        self.left += body.len();
        let place = self.bytes.len();
        self.more().bodies.push((place, body));
    }

    /// Counts bytes that were appended to the buffer.
    pub(super) const fn count(&mut self, bytes: usize) {
        self.left += bytes;
    }

    /// Marks what is there as the beginning of all, which is no frame that counts.
    pub(super) fn mark_beginning(&mut self) {
        let begun = self.left;
        let more = self.more();
        (more.begun, more.begun_counts) = (begun, false);
    }

    /// Notes that so many bytes were written, which are dropped by [`advance`](Self::advance) then: how many of the
    /// user's frames are left, one that is written in part included. That is a look at each header, for a peer that does
    /// not take all at once only.
    pub(super) fn frames_behind(&mut self, written: usize, framing: Framing) -> usize {
        let before = self.more();
        let (mut end, mut bodies_before, mut next) = (before.begun, 0, 0);
        let mut frames = usize::from(end > written && before.begun_counts);
        let mut begun = (end.saturating_sub(written), before.begun_counts);
        while end < self.left {
            while let Some((place, body)) = self.bodies_left().get(next)
                && *place - self.gone + bodies_before < end
            {
                bodies_before += body.len();
                next += 1;
            }
            let header = &self.bytes[self.gone + end - bodies_before..];
            let Some((whole, counts)) = framing.written(header) else {
                break;
            };
            end += whole;
            if end > written {
                frames += usize::from(counts);
                if begun.0 == 0 {
                    begun = (end - written, counts);
                }
            }
        }
        let more = self.more();
        (more.begun, more.begun_counts) = begun;
        frames
    }

    /// Drops bytes that were written.
    pub(super) fn advance(&mut self, written: usize) {
        let mut written = written.min(self.left);
        self.left -= written;
        if let Some(more) = &mut self.more {
            while let Some((place, body)) = more.bodies.get_mut(more.bodies_gone) {
                let before = written.min(*place - self.gone);
                self.gone += before;
                written -= before;
                if written < body.len() {
                    body.advance(written);
                    return;
                }
                written -= body.len();
                *body = Bytes::new();
                more.bodies_gone += 1;
            }
        }
        self.gone += written;
    }

    /// Gives back memory that the bytes left do not need: they may wait for long.
    pub(super) fn shrink(&mut self) {
        let left = self.bytes.len() - self.gone;
        if left < self.bytes.capacity() / 2 {
            let rest = self.bytes[self.gone..].to_vec();
            if let Some(more) = &mut self.more {
                for (place, _) in &mut more.bodies[more.bodies_gone..] {
                    *place -= self.gone;
                }
            }
            self.gone = 0;
            pool::give(mem::replace(&mut self.bytes, rest));
        }
    }
}

impl Drop for Transmit {
    #[inline]
    fn drop(&mut self) {
        if self.bytes.capacity() > 0 {
            pool::give(mem::take(&mut self.bytes));
        }
    }
}
