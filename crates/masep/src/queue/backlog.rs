//! Frames that wait to be sent.

use std::collections::VecDeque;
use std::mem;

use bytes::{Buf, BytesMut};
use masep_proto::{Frame, FrameCodec};

use super::{KEEP_CAPACITY, Store};
use crate::spare;

/// Frames up to this size are copied behind each other, as they will go out. To keep each by itself would cost
/// a place in a list and two changes of a count that it shares with its owner, which is more than the copy;
/// and the writer takes all copies at once.
const COPY_UP_TO: usize = 256;
/// The room for copies behind that of the first ones, and the last.
const ROOMS: [usize; 3] = [4 * spare::SMALL, 16 * spare::SMALL, spare::LARGE];

/// The frames that wait, each of a size that may be sent.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// What goes out first.
    parts: VecDeque<Part>,
    /// What goes out behind that.
    copies: Copies,
    frames: usize,
    /// Bytes in all bodies.
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
    /// Gives out what goes out first, piece by piece, for as long as more is wanted.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(Piece<'_>) -> bool) {
        let (mut parts, mut frames, mut bytes) = (0, 0, 0);
        let mut wants_more = true;
        for part in &mut self.parts {
            let piece = part.piece();
            let weight = piece.weight();
            (parts, frames, bytes) = (parts + 1, frames + weight.0, bytes + weight.1);
            wants_more = take(piece);
            if !wants_more {
                break;
            }
        }
        self.parts.drain(..parts);
        self.count_out(frames, bytes);
        if wants_more && let Some(mut copies) = self.copies.take() {
            self.give(Piece::Copies(&mut copies), take);
        }
    }

    /// Gives out the frame that goes out first, if there is one.
    pub(crate) fn drain_one(&mut self, take: impl FnOnce(Piece<'_>) -> bool) {
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

    fn give(&mut self, piece: Piece<'_>, take: impl FnOnce(Piece<'_>) -> bool) {
        let (frames, bytes) = piece.weight();
        self.count_out(frames, bytes);
        take(piece);
    }

    fn count_out(&mut self, frames: usize, bytes: usize) {
        self.frames -= frames;
        self.bytes -= bytes;
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
        self.frames += 1;
        self.bytes += frame.size();
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
        let is_some = self.frames > 0;
        self.drain_one(|_| false);
        is_some
    }

    fn weigh(frame: &Frame) -> usize {
        frame.size()
    }

    fn len(&self) -> usize {
        self.frames
    }

    fn bytes(&self) -> usize {
        self.bytes
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

impl Piece<'_> {
    /// How many frames there are in it, and how many bytes in their bodies.
    fn weight(&self) -> (usize, usize) {
        match self {
            Self::Copies(copies) => (
                copies.frames,
                copies.encoded.len() - FrameCodec::HEADER_BYTES * copies.frames,
            ),
            Self::Shared(frame) => (1, frame.size()),
        }
    }
}

impl Copies {
    /// Appends a frame, if the last room has room for it.
    #[inline]
    fn push(&mut self, frame: &Frame) -> bool {
        let needed = self.encoded.len() + FrameCodec::HEADER_BYTES + frame.size();
        if needed > self.encoded.capacity() && !self.make_room(needed) {
            return false;
        }
        let encoded = FrameCodec::default().encode(frame, &mut self.encoded);
        debug_assert!(encoded.is_ok());
        self.frames += 1;
        true
    }

    #[cold]
    fn make_room(&mut self, needed: usize) -> bool {
        let mut larger = match ROOMS.iter().find(|room| needed <= **room) {
            _ if needed <= spare::SMALL => spare::take_small(),
            None => return false,
            Some(&spare::LARGE) => spare::take_large(),
            Some(room) => BytesMut::with_capacity(*room),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(size: usize, fill: usize) -> Frame {
        Frame::new(vec![fill.to_le_bytes()[0]; size])
    }

    fn backlog(sizes: &[usize]) -> (Backlog, Vec<Frame>) {
        let frames: Vec<Frame> = sizes
            .iter()
            .copied()
            .enumerate()
            .map(|(fill, size)| frame(size, fill))
            .collect();
        let mut backlog = Backlog::default();
        for frame in &frames {
            backlog.push(&mut Some(frame.clone()));
        }
        (backlog, frames)
    }

    /// The frames of a piece.
    fn frames(piece: Piece<'_>) -> Vec<Frame> {
        match piece {
            Piece::Shared(frame) => vec![frame.clone()],
            Piece::Copies(copies) => {
                let decode = || FrameCodec::default().decode(&mut copies.encoded).unwrap();
                let frames: Vec<Frame> = std::iter::from_fn(decode).collect();
                assert_eq!((copies.encoded.len(), frames.len()), (0, copies.frames));
                frames
            }
        }
    }

    /// What can be done with the oldest frames.
    #[derive(Clone, Copy, Debug)]
    enum Take {
        Parts(usize),
        One,
        Drop,
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            sizes in prop::collection::vec(prop_oneof![0..4_usize, 250..260_usize, 1_000..70_000_usize], 0..700),
            takes in prop::collection::vec(prop_oneof![(1..5_usize).prop_map(Take::Parts), Just(Take::One), Just(Take::Drop)], 1..20),
        ) {
            let (mut backlog, all) = backlog(&sizes);
            prop_assert_eq!(backlog.bytes(), sizes.iter().sum::<usize>());
            let mut out = Vec::new();
            for take in takes.iter().cycle() {
                prop_assert_eq!(backlog.len(), all.len() - out.len());
                let before = out.len();
                match take {
                    Take::Parts(most) => {
                        let mut parts = 0;
                        backlog.drain(|piece| {
                            out.extend(frames(piece));
                            parts += 1;
                            parts < *most
                        });
                        prop_assert!(parts <= *most);
                    }
                    Take::One => {
                        backlog.drain_one(|piece| {
                            out.extend(frames(piece));
                            true
                        });
                        prop_assert!(out.len() <= before + 1);
                    }
                    Take::Drop => {
                        out.extend(backlog.drop_oldest().then(|| all[before].clone()));
                    }
                }
                if out.len() == before {
                    break;
                }
            }
            prop_assert!(out == all);
            prop_assert_eq!((backlog.len(), backlog.bytes()), (0, 0));
        }
    }

    #[test]
    fn small_frames_are_copied_and_large_ones_shared() {
        let mut item = Some(frame(COPY_UP_TO, 1));
        let mut backlog = Backlog::default();
        backlog.push(&mut item);
        assert!(item.is_some(), "another backlog can have it too");
        item = Some(frame(COPY_UP_TO + 1, 1));
        let body = item.as_ref().map(|frame| frame.bytes().as_ptr());
        backlog.push(&mut item);
        assert!(item.is_none());
        let mut bodies = Vec::new();
        backlog.drain(|piece| {
            bodies.push(match piece {
                Piece::Copies(_) => None,
                Piece::Shared(frame) => Some(frame.bytes().as_ptr()),
            });
            true
        });
        assert_eq!(bodies, [None, body]);
    }

    #[test]
    fn copies_take_memory_by_their_size_and_none_when_they_are_gone() {
        for count in [1, 20, 70, 300, 1_024] {
            let (mut backlog, _) = backlog(&vec![64; count]);
            let room = backlog.copies.encoded.capacity();
            assert!(
                room <= (5 * count * 66).max(spare::SMALL),
                "{room} for {count}"
            );
            backlog.drain(|piece| {
                assert_eq!(piece.weight(), (count, 64 * count));
                frames(piece);
                true
            });
            assert_eq!(
                backlog.copies.encoded.capacity() + backlog.parts.capacity(),
                0
            );
        }
    }
}
