//! Frames that were taken out of a connection together.

use std::mem;
use std::sync::Arc;

use bytes::Bytes;

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

/// Frames that have arrived, in order, cut one by one when they are asked for. It belongs to the receiver, so that
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
    /// A copy of some of the buffer, and where it begins in there.
    copied: Bytes,
    copied_from: usize,
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
        self.0.as_ref().map_or(0, |frames| frames.left)
    }

    /// Puts the next frame into its place: a frame that is moved right after it was put together costs more than all else
    /// that is done for a small one. `None` goes there if no frame is left.
    #[inline]
    pub fn next_into(&mut self, place: &mut Option<Frame>) {
        let Some(frames) = &mut self.0 else {
            *place = None;
            return;
        };
        frames.left -= 1;
        if frames.left > 0 {
            return frames.cut(place);
        }
        if let Some(mut last) = self.0.take() {
            last.cut(place);
        }
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
                copied: Bytes::new(),
                copied_from: 0,
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
    /// Puts the next frame, which is counted out, into its place.
    fn cut(&mut self, place: &mut Option<Frame>) {
        *place = self.next();
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
            if extent.body > TOGETHER_UP_TO || self.left == 0 {
                let body = Bytes::copy_from_slice(&bytes[body]);
                return Some(Frame::of(extent.kind, body));
            }
            if body.end > self.copied_from + self.copied.len() || body.start < self.copied_from {
                let end = bytes.len().min(start + TOGETHER);
                self.copied = Bytes::copy_from_slice(&bytes[start..end]);
                self.copied_from = start;
            }
            let from = self.copied_from;
            let body = self.copied.slice(body.start - from..body.end - from);
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
        let mut frame = None;
        self.next_into(&mut frame);
        frame
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        match mem::take(&mut self.buffer) {
            Buffer::Own(bytes) if bytes.capacity() > 0 => pool::give(bytes),
            Buffer::Own(_) | Buffer::Kept(_) => {}
            Buffer::Shared(bytes) => {
                self.copied = Bytes::new();
                pool::lend(bytes);
            }
        }
    }
}
