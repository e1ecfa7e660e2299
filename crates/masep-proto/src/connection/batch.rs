//! Frames that were taken out of a connection together.

use std::mem;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::budget::Budget;
use super::masep::Masep;
use super::pool;
use crate::Frame;
use crate::framing::{Framing, Next};

/// Bodies from this size on are slices of the buffer that they were read into. Smaller ones are copied: a
/// slice would keep kilobytes alive for a few bytes.
pub(super) const SHARE_FROM: usize = 1024;
/// Bodies up to this size are copied together with those around them, as many bytes at once, and are slices of that: to
/// take memory for each costs as much as all else that is done for it.
const TOGETHER_UP_TO: usize = 256;
const TOGETHER: usize = 2048;
/// Frames that are cut in a row, before the first of them is given away. A processor waits for a frame that it has only just
/// put together, when that is moved: it was written by words, and is read by two of them at once.
const IN_A_ROW: usize = 8;

/// Frames that have arrived, in order, cut when they are asked for. It belongs to the receiver, so that
/// cutting takes no lock.
///
/// Frames that are never taken out are dropped with it.
#[derive(Debug, Default)]
pub struct Batch(Option<Box<Frames>>);

/// Frames that are left, at least one.
#[derive(Debug)]
struct Frames {
    buffer: Buffer,
    /// The place where the next frame begins.
    at: usize,
    /// The number of them.
    left: usize,
    framing: Framing,
    /// The rest of a copy of some of the buffer, and where that begins in there.
    copied: BytesMut,
    copied_from: usize,
    /// Frames that were cut, from the first one that was not given away to the last one.
    cut: [Frame; IN_A_ROW],
    first: usize,
    end: usize,
}

#[derive(Debug)]
enum Buffer {
    /// No slice of it was given away.
    Own(Vec<u8>),
    Shared(Bytes),
    /// The same, whose memory the connection takes again.
    Kept(Bytes),
}

impl Default for Buffer {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Batch {
    /// One without frames, which [`Connection::take_frames`](super::Connection::take_frames) fills.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of frames that are left.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |frames| frames.len())
    }

    /// The place of the next frame, unless that is the last one: it counts as taken, and is to be taken from there. A small one
    /// is moved less often than by [`next`](Iterator::next), which costs more than all else that is done for it.
    #[inline]
    pub fn next_of_many(&mut self) -> Option<&mut Frame> {
        let frames = self.0.as_mut().filter(|frames| frames.len() > 1)?;
        frames.next_place()
    }

    /// True if no frame is left.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Drops the frames that are left.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// Takes in the buffer with so many whole frames from `at` on, in place of what was there.
    pub(super) fn fill(&mut self, bytes: Vec<u8>, at: usize, frames: usize, framing: Framing) {
        self.0 = (frames > 0).then(|| {
            Box::new(Frames {
                buffer: Buffer::Own(bytes),
                at,
                left: frames,
                framing,
                copied: BytesMut::new(),
                copied_from: 0,
                cut: [const { Frame::EMPTY }; IN_A_ROW],
                first: 0,
                end: 0,
            })
        });
    }

    /// Has a connection keep the memory of a large frame that is given away.
    pub(super) fn keep_for(&mut self, masep: &mut Masep, budget: &Arc<Budget>) {
        let Some(frames) = &mut self.0 else {
            return;
        };
        match &mut frames.buffer {
            Buffer::Own(bytes) if bytes.capacity() > pool::LARGE => {
                let bytes = Bytes::from(mem::take(bytes));
                masep.keep(&bytes, budget);
                frames.buffer = Buffer::Kept(bytes);
            }
            _ => masep.count_small(),
        }
    }
}

impl Frames {
    #[inline]
    const fn len(&self) -> usize {
        self.left + self.end - self.first
    }

    /// The place of the next frame, which is counted out.
    #[inline]
    fn next_place(&mut self) -> Option<&mut Frame> {
        if self.first == self.end {
            self.cut_some();
        }
        let place = self.cut[..self.end].get_mut(self.first)?;
        self.first += 1;
        Some(place)
    }

    /// Cuts the next frames, of which there is at least one.
    #[inline(never)]
    fn cut_some(&mut self) {
        let some = self.left.min(IN_A_ROW);
        (self.first, self.end) = (0, some);
        for place in 0..some {
            self.left -= 1;
            let Some(frame) = self.next() else {
                // Whole frames were counted.
                debug_assert!(false, "a frame is there");
                (self.left, self.end) = (0, place);
                return;
            };
            self.cut[place] = frame;
        }
    }

    #[inline(always)]
    fn next(&mut self) -> Option<Frame> {
        let bytes = match &self.buffer {
            Buffer::Own(bytes) => &bytes[..],
            Buffer::Shared(bytes) | Buffer::Kept(bytes) => &bytes[..],
        };
        let Next::Frame(extent) = self.framing.scan(bytes.get(self.at..)?) else {
            return None;
        };
        let start = self.at + extent.header;
        let body = start..start + extent.body;
        self.at += extent.whole();
        if extent.body < SHARE_FROM {
            // One without bytes has no part in a copy, which it would keep alive.
            if extent.body > TOGETHER_UP_TO || extent.body == 0 || self.left == 0 {
                let body = Bytes::copy_from_slice(&bytes[body]);
                return Some(Frame::of(extent.kind, body));
            }
            if body.end > self.copied_from + self.copied.len() || body.start < self.copied_from {
                let end = bytes.len().min(start + TOGETHER);
                self.copied = BytesMut::from(&bytes[start..end]);
                self.copied_from = start;
            }
            self.copied.advance(start - self.copied_from);
            let body = self.copied.split_to(extent.body).freeze();
            self.copied_from = start + extent.body;
            return Some(Frame::of(extent.kind, body));
        }
        if let Buffer::Own(bytes) = &mut self.buffer {
            self.buffer = Buffer::Shared(mem::take(bytes).into());
        }
        match &self.buffer {
            Buffer::Shared(bytes) | Buffer::Kept(bytes) => {
                Some(Frame::of(extent.kind, bytes.slice(body)))
            }
            Buffer::Own(_) => None,
        }
    }
}

/// The frames, oldest first.
impl Iterator for Batch {
    type Item = Frame;

    #[inline]
    fn next(&mut self) -> Option<Frame> {
        let frames = self.0.as_mut()?;
        let next = frames.next_place().map(mem::take);
        if frames.len() == 0 {
            self.0 = None;
        }
        next
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        match mem::take(&mut self.buffer) {
            Buffer::Own(bytes) if bytes.capacity() > 0 => pool::give(bytes),
            Buffer::Own(_) | Buffer::Kept(_) => {}
            Buffer::Shared(bytes) => {
                pool::lend(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FrameKind;

    const FRAMING: Framing = Framing::Pymasep { max: 65_535 };
    const SIZES: [usize; 7] = [0, 10, 255, 257, 0, 1_500, 64];

    fn body(number: usize) -> Vec<u8> {
        let byte = u8::try_from(number % 251).unwrap();
        vec![byte; SIZES[number % SIZES.len()]]
    }

    fn filled(frames: usize) -> Batch {
        let mut bytes = Vec::new();
        for number in 0..frames {
            let body = body(number);
            FRAMING.put_header(FrameKind::Bytes, body.len(), &mut bytes);
            bytes.extend_from_slice(&body);
        }
        let mut batch = Batch::new();
        batch.fill(bytes, 0, frames, FRAMING);
        batch
    }

    #[test]
    fn frames_are_the_same_whichever_way_they_are_taken() {
        for frames in 0..60 {
            for every in 1..5 {
                let mut batch = filled(frames);
                for number in 0..frames {
                    assert_eq!(batch.len(), frames - number);
                    let is_last = number + 1 == frames;
                    let from_place = (number % every == 0).then(|| batch.next_of_many());
                    let frame = match from_place {
                        Some(Some(place)) => mem::take(place),
                        other => {
                            assert_eq!(other.is_some(), is_last && number % every == 0);
                            batch.next().unwrap()
                        }
                    };
                    assert_eq!(frame.as_ref(), body(number));
                }
                assert!(batch.is_empty() && batch.next().is_none());
                assert!(batch.next_of_many().is_none());
            }
        }
    }

    #[test]
    fn a_frame_that_was_left_in_its_place_is_dropped_with_the_batch() {
        let mut batch = filled(20);
        let places = [0, 10].map(|size| {
            let frame = batch.next_of_many().cloned().unwrap();
            assert_eq!(frame.size(), size);
            frame
        });
        drop(batch);
        let [_, small] = places;
        assert!(small.into_bytes().is_unique());
    }
}
