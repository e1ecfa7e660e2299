//! Frames that wait to be sent.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::mem;

use bytes::{Buf, BytesMut};
use masep_proto::{Frame, FrameCodec};

use super::{KEEP_CAPACITY, Store};
use crate::spare;
use crate::unsent::WRITE_BYTES;

/// Frames up to this size are copied behind each other, as they will go out. To keep each by itself would cost
/// a place in a list and two changes of a count that it shares with its owner, which is more than the copy;
/// and the writer takes all copies at once.
const COPY_UP_TO: usize = 256;
/// The room for copies between that of the first ones and that of one write.
const ROOM: usize = 4 * spare::SMALL;
const MORE_ROOM: usize = 4 * ROOM;

/// The frames that wait, each of a size that may be sent.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// What goes out first.
    parts: VecDeque<Part>,
    /// What goes out behind that.
    copies: Copies,
    /// All of it.
    waiting: Weight,
}

/// Of some frames.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Weight {
    frames: usize,
    /// In their bodies.
    bytes: usize,
}

#[derive(Debug)]
enum Part {
    /// In a box, so that it takes no more room than the other, of which there may be many.
    Copies(Box<Copies>),
    /// One frame, of which others may have a part.
    Shared(Frame),
}

/// What is sent in one piece. It is given where it stands: to move a frame out that is dropped at once costs more
/// than to read it.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Copies(&'a mut Copies),
    Shared(&'a Frame),
}

/// Small frames behind each other, with their headers.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    pub(crate) encoded: BytesMut,
    pub(crate) frames: usize,
}

impl Backlog {
    /// Gives out what goes out first, piece by piece, as far as `room` goes for the bytes of all; the first
    /// piece in any case.
    pub(crate) fn drain(&mut self, room: usize, mut take: impl FnMut(Piece<'_>)) {
        let fits = |taken: Weight, more: Weight| {
            taken.frames == 0 || taken.encoded_bytes() + more.encoded_bytes() <= room
        };
        let (mut parts, mut taken) = (0, Weight::default());
        for part in &mut self.parts {
            let piece = part.piece();
            let weight = piece.weight();
            if !fits(taken, weight) {
                break;
            }
            parts += 1;
            taken.frames += weight.frames;
            taken.bytes += weight.bytes;
            take(piece);
        }
        let is_through = parts == self.parts.len();
        self.parts.drain(..parts);
        self.count_out(taken);
        if is_through
            && fits(taken, self.copies.weight())
            && let Some(mut copies) = self.copies.take()
        {
            self.give(Piece::Copies(&mut copies), take);
        }
    }

    /// Gives out the frame that goes out first, if there is one.
    pub(crate) fn drain_one(&mut self, take: impl FnOnce(Piece<'_>)) {
        let first = match self.parts.front_mut() {
            None => self.copies.take_first(),
            Some(Part::Copies(copies)) if copies.frames > 1 => copies.take_first(),
            Some(_) => None,
        };
        if let Some(mut copies) = first {
            self.give(Piece::Copies(&mut copies), take);
        } else if let Some(mut part) = self.parts.pop_front() {
            self.give(part.piece(), take);
        }
    }

    fn give(&mut self, piece: Piece<'_>, take: impl FnOnce(Piece<'_>)) {
        self.count_out(piece.weight());
        take(piece);
    }

    fn count_out(&mut self, taken: Weight) {
        self.waiting.frames -= taken.frames;
        self.waiting.bytes -= taken.bytes;
        if self.parts.is_empty() && self.parts.capacity() > KEEP_CAPACITY {
            self.parts = VecDeque::new();
        }
    }

    /// Puts the copies among the parts, so that others can follow.
    fn conclude_copies(&mut self) {
        if let Some(copies) = self.copies.take() {
            self.parts.push_back(Part::Copies(Box::new(copies)));
        }
    }
}

impl Store for Backlog {
    type Item = Frame;

    #[inline]
    fn push(&mut self, item: &mut Option<Frame>) {
        let Some(frame) = item else {
            return;
        };
        self.waiting.frames += 1;
        self.waiting.bytes += frame.size();
        if frame.size() > COPY_UP_TO {
            self.conclude_copies();
            if let Some(frame) = item.take() {
                self.parts.push_back(Part::Shared(frame));
            }
            return;
        }
        if !self.copies.push(frame) {
            self.conclude_copies();
            self.copies.push(frame);
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let is_some = self.waiting.frames > 0;
        self.drain_one(|_| ());
        is_some
    }

    fn weigh(frame: &Frame) -> usize {
        frame.size()
    }

    fn len(&self) -> usize {
        self.waiting.frames
    }

    fn bytes(&self) -> usize {
        self.waiting.bytes
    }
}

impl Part {
    fn piece(&mut self) -> Piece<'_> {
        match self {
            Self::Copies(copies) => Piece::Copies(copies),
            Self::Shared(frame) => Piece::Shared(frame),
        }
    }
}

impl Weight {
    /// With the headers.
    const fn encoded_bytes(self) -> usize {
        self.bytes + FrameCodec::HEADER_BYTES * self.frames
    }
}

impl Piece<'_> {
    fn weight(&self) -> Weight {
        match self {
            Self::Copies(copies) => copies.weight(),
            Self::Shared(frame) => Weight {
                frames: 1,
                bytes: frame.size(),
            },
        }
    }
}

impl Copies {
    fn weight(&self) -> Weight {
        Weight {
            frames: self.frames,
            bytes: self.encoded.len() - FrameCodec::HEADER_BYTES * self.frames,
        }
    }

    /// Appends a frame, if one write goes so far.
    #[inline]
    fn push(&mut self, frame: &Frame) -> bool {
        let needed = self.encoded.len() + FrameCodec::HEADER_BYTES + frame.size();
        let room = self.encoded.capacity().min(WRITE_BYTES);
        if needed > room && !self.make_room(needed) {
            return false;
        }
        let encoded = FrameCodec::default().encode(frame, &mut self.encoded);
        debug_assert!(encoded.is_ok());
        self.frames += 1;
        true
    }

    #[cold]
    fn make_room(&mut self, needed: usize) -> bool {
        let mut larger = match needed {
            ..=spare::SMALL => spare::take_small(),
            _ if needed <= ROOM => BytesMut::with_capacity(ROOM),
            _ if needed <= MORE_ROOM => BytesMut::with_capacity(MORE_ROOM),
            _ if needed <= WRITE_BYTES => spare::take_large(),
            _ => return false,
        };
        larger.extend_from_slice(&self.encoded);
        spare::give(mem::replace(&mut self.encoded, larger));
        true
    }

    /// Takes all out, if there are any.
    fn take(&mut self) -> Option<Self> {
        (self.frames > 0).then(|| mem::take(self))
    }

    /// Takes the first frame out, if there is one.
    fn take_first(&mut self) -> Option<Self> {
        if self.frames <= 1 {
            return self.take();
        }
        let first = FrameCodec::claimed_bytes(&self.encoded)?;
        let encoded = BytesMut::from(self.encoded.get(..first)?);
        self.encoded.advance(first);
        self.frames -= 1;
        Some(Self { encoded, frames: 1 })
    }
}
