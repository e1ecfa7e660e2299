//! Frames that wait to be sent.

use std::collections::VecDeque;
use std::mem;

use super::config::Config;
use super::pool;
use super::transmit::{SHARE_FROM, Transmit};
use crate::framing::{Framing, Next};
use crate::{Frame, Limit, LimitExceeded, Limits, Pieces};

/// Frames that wait are gathered for one write up to this many bytes, which is a little less than Linux hands
/// on in one piece: 65,483 on the loopback, on Ethernet 45 packets of 1,448 or, with IPv6, 1,428. The
/// bytes beyond would follow as a small piece of their own, for which the peer is woken, and reads, a second time.
pub(super) const WRITE_BYTES: usize = 64_000;
/// The bytes of bodies that are worth a write by a call that sends.
const FULL_BYTES: usize = 60_000;
/// Frames up to this size are copied behind each other, as they will go out. To keep each by itself would cost
/// a place in a list and two changes of a count that it shares with its owner, which is more than the copy;
/// and a transmit takes all copies at once.
const COPY_UP_TO: usize = 256;
/// The room for copies between that of the first ones and that of one write.
const ROOM: usize = 4 * pool::SMALL;
const MORE_ROOM: usize = 4 * ROOM;
/// An emptied list gives its memory back when it has room for more than this.
const KEEP_CAPACITY: usize = 16;

/// The send queue.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// Our hello goes out before all that waits.
    says_hello: bool,
    /// Frames that go out first.
    parts: VecDeque<Part>,
    /// Frames that go out behind those.
    copies: Copies,
    /// The number of frames that wait, and what they count in bytes: in pymasep's protocol their bodies.
    frames: usize,
    body_bytes: usize,
    /// The number of frames that were taken in since the connection began.
    accepted: u64,
}

#[derive(Debug)]
enum Part {
    /// Several frames. They are in a box, so that they take no more room than the other variant, of which there may be
    /// many.
    Copies(Box<Copies>),
    /// One frame, of which others may have a part.
    Shared(Frame),
    /// One frame in pieces, of which others may have some.
    Pieces(Box<Pieces>),
}

/// Small frames behind each other, with their headers.
#[derive(Debug, Default)]
struct Copies {
    bytes: Vec<u8>,
    /// The place where the first one begins.
    start: usize,
    frames: usize,
}

impl Outbound {
    /// True if nothing waits.
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.frames == 0 && !self.says_hello
    }

    /// True if frames wait.
    pub(super) const fn has_frames(&self) -> bool {
        self.frames > 0
    }

    /// The number of frames that were taken in since the connection began.
    pub(super) const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// The number of those that are gone, into a transmit or dropped.
    const fn left(&self) -> u64 {
        self.accepted - self.frames as u64
    }

    /// Puts our hello in front of all that waits.
    pub(super) const fn say_hello(&mut self) {
        self.says_hello = true;
    }

    /// Checks that a body of this size has room. One of any size has room in an empty queue, or it could never
    /// be sent.
    #[inline]
    pub(super) fn check_room(&self, size: usize, limits: &Limits) -> Result<(), LimitExceeded> {
        if self.frames == 0 {
            return Ok(());
        }
        LimitExceeded::check(Limit::QueueMessages, self.frames + 1, limits.queue_messages)?;
        LimitExceeded::check(
            Limit::QueueBytes,
            self.body_bytes + size,
            limits.queue_bytes,
        )
    }

    /// True if [`check_room`](Self::check_room) finds room.
    #[inline]
    pub(super) const fn has_room(&self, size: usize, limits: &Limits) -> bool {
        self.frames == 0
            || (self.frames < limits.queue_messages && self.body_bytes + size <= limits.queue_bytes)
    }

    /// True if about as much waits as one write takes, or as may wait.
    #[inline]
    pub(super) const fn fills_write(&self, limits: &Limits) -> bool {
        self.body_bytes >= FULL_BYTES || self.frames >= limits.queue_messages
    }

    /// Takes in the frame that there is: itself, or a copy of it.
    #[inline(always)]
    pub(super) fn push(&mut self, item: &mut Option<Frame>, framing: Framing) {
        let Some(frame) = item else {
            return;
        };
        self.accepted += 1;
        self.frames += 1;
        self.body_bytes += framing.weight(frame.size());
        if frame.size() > COPY_UP_TO {
            self.conclude_copies();
            self.parts.extend(item.take().map(Part::Shared));
        } else if !self.copies.push(frame, framing) {
            self.conclude_copies();
            self.copies.push(frame, framing);
        }
    }

    /// Takes in a frame in pieces.
    pub(super) fn push_pieces(&mut self, pieces: Box<Pieces>, framing: Framing) {
        self.accepted += 1;
        self.frames += 1;
        self.body_bytes += framing.weight(pieces.size());
        self.conclude_copies();
        self.parts.push_back(Part::Pieces(pieces));
    }

    /// Passes the frame that there is on into a transmit, in front of which nothing waits.
    #[inline(always)]
    pub(super) fn pass_frame(
        &mut self,
        item: &mut Option<Frame>,
        framing: Framing,
    ) -> Option<Transmit> {
        let frame = item.as_ref()?;
        let number = self.pass();
        if frame.size() > COPY_UP_TO {
            return item.take().map(|frame| pass_large(frame, framing, number));
        }
        let mut bytes = pool::take(pool::SMALL);
        framing.put_header(frame.kind(), frame.size(), &mut bytes);
        bytes.extend_from_slice(frame.bytes());
        framing.put_padding(frame.size(), &mut bytes);
        *item = None;
        Some(Transmit::of(bytes, 0, number))
    }

    /// Counts a frame that goes out at once, past the queue, in which nothing waits. The number of it.
    pub(super) fn pass(&mut self) -> u64 {
        debug_assert!(self.is_empty());
        self.accepted += 1;
        self.accepted
    }

    /// Puts the copies among the parts, so that others can follow.
    fn conclude_copies(&mut self) {
        if self.copies.frames > 0 {
            let copies = mem::take(&mut self.copies);
            self.parts.push_back(Part::Copies(Box::new(copies)));
        }
    }

    /// Drops the oldest frame. True if there was one.
    pub(super) fn drop_oldest(&mut self, framing: Framing) -> bool {
        let is_some = self.frames > 0;
        drop(self.take_one(framing));
        is_some
    }

    /// Drops the frames that wait.
    pub(super) fn clear(&mut self) {
        *self = Self {
            says_hello: self.says_hello,
            accepted: self.accepted,
            ..Self::default()
        };
    }

    /// Moves what waits into a transmit, behind control frames: as much as one write takes, or the first frame alone.
    pub(super) fn fill(
        &mut self,
        transmit: &mut Transmit,
        config: &Config,
        framing: Framing,
        alone: bool,
    ) {
        if mem::take(&mut self.says_hello) {
            transmit.extend(&config.hello);
        }
        if alone {
            if transmit.is_empty() {
                self.fill_one(transmit, framing);
            }
        } else {
            self.fill_all(transmit, framing);
        }
        transmit.upto = self.left();
    }

    /// A transmit of all that waits, if that is copies alone.
    #[inline]
    pub(super) fn take_copies(&mut self) -> Option<Transmit> {
        if self.says_hello || !self.parts.is_empty() || self.copies.frames == 0 {
            return None;
        }
        let copies = mem::take(&mut self.copies);
        (self.frames, self.body_bytes) = (0, 0);
        Some(Transmit::of(copies.bytes, copies.start, self.accepted))
    }

    fn fill_all(&mut self, transmit: &mut Transmit, framing: Framing) {
        let fits = |transmit: &Transmit, bytes: usize| {
            transmit.is_empty() || transmit.len() + bytes <= WRITE_BYTES
        };
        while let Some(part) = self.parts.front() {
            if !fits(transmit, part.bytes(framing)) {
                return;
            }
            if let Some(part) = self.parts.pop_front() {
                self.count_out(&part, framing);
                part.move_into(transmit, framing);
            }
        }
        if self.parts.capacity() > KEEP_CAPACITY {
            self.parts = VecDeque::new();
        }
        if self.copies.frames > 0 && fits(transmit, self.copies.bytes()) {
            let copies = mem::take(&mut self.copies);
            self.frames -= copies.frames;
            self.body_bytes -= copies.weight(framing);
            transmit.append(copies.bytes, copies.start);
        }
    }

    fn fill_one(&mut self, transmit: &mut Transmit, framing: Framing) {
        if let Some(part) = self.take_one(framing) {
            part.move_into(transmit, framing);
        }
    }

    /// Takes the oldest frame out.
    fn take_one(&mut self, framing: Framing) -> Option<Part> {
        let part = match self.parts.front_mut() {
            None => Part::Copies(Box::new(self.copies.take_first(framing)?)),
            Some(Part::Copies(copies)) if copies.frames > 1 => {
                Part::Copies(Box::new(copies.take_first(framing)?))
            }
            Some(_) => self.parts.pop_front()?,
        };
        self.count_out(&part, framing);
        Some(part)
    }

    fn count_out(&mut self, part: &Part, framing: Framing) {
        let (frames, body_bytes) = match part {
            Part::Copies(copies) => (copies.frames, copies.weight(framing)),
            Part::Shared(frame) => (1, framing.weight(frame.size())),
            Part::Pieces(pieces) => (1, framing.weight(pieces.size())),
        };
        self.frames -= frames;
        self.body_bytes -= body_bytes;
    }
}

#[inline(never)]
fn pass_large(frame: Frame, framing: Framing, number: u64) -> Transmit {
    let mut transmit = Transmit::default();
    Part::Shared(frame).move_into(&mut transmit, framing);
    transmit.upto = number;
    transmit
}

impl Part {
    /// The bytes, with the headers.
    fn bytes(&self, framing: Framing) -> usize {
        match self {
            Self::Copies(copies) => copies.bytes(),
            Self::Shared(frame) => framing.whole(frame.size()),
            Self::Pieces(pieces) => framing.whole(pieces.size()),
        }
    }

    fn move_into(self, transmit: &mut Transmit, framing: Framing) {
        let frame = match self {
            Self::Copies(copies) => return transmit.append(copies.bytes, copies.start),
            Self::Shared(frame) => frame,
            Self::Pieces(pieces) => return transmit.append_pieces(*pieces, framing),
        };
        let is_copied = frame.size() < SHARE_FROM;
        if is_copied {
            let copied = framing.whole(frame.size());
            let bytes = transmit.with_room(copied);
            framing.put_header(frame.kind(), frame.size(), bytes);
            bytes.extend_from_slice(frame.bytes());
            framing.put_padding(frame.size(), bytes);
            transmit.count(copied);
            return;
        }
        let header = framing.header_bytes();
        framing.put_header(frame.kind(), frame.size(), transmit.with_room(header));
        transmit.count(header);
        let size = frame.size();
        transmit.share(frame.into_bytes());
        let padding = framing.padding(size);
        if padding > 0 {
            framing.put_padding(size, transmit.with_room(padding));
            transmit.count(padding);
        }
    }
}

impl Copies {
    /// The bytes, with the headers.
    const fn bytes(&self) -> usize {
        self.bytes.len() - self.start
    }

    const fn weight(&self, framing: Framing) -> usize {
        framing.weight_of(self.bytes(), self.frames)
    }

    /// Appends a frame, if it fits into the same write.
    #[inline(always)]
    fn push(&mut self, frame: &Frame, framing: Framing) -> bool {
        if let Framing::Masep { .. } = framing {
            return self.push_masep(frame, framing);
        }
        let more = framing.header_bytes() + frame.size();
        if !self.has_room(more) {
            return false;
        }
        framing.put_header(frame.kind(), frame.size(), &mut self.bytes);
        self.bytes.extend_from_slice(frame.bytes());
        self.frames += 1;
        true
    }

    /// The same in protocol 2.
    #[inline(always)]
    fn push_masep(&mut self, frame: &Frame, framing: Framing) -> bool {
        if !self.has_room(framing.whole(frame.size())) {
            return false;
        }
        framing.put_header(frame.kind(), frame.size(), &mut self.bytes);
        self.bytes.extend_from_slice(frame.bytes());
        framing.put_padding(frame.size(), &mut self.bytes);
        self.frames += 1;
        true
    }

    #[inline]
    fn has_room(&mut self, more: usize) -> bool {
        let room = self.bytes.capacity().min(WRITE_BYTES);
        self.bytes.len() + more <= room || self.make_room(self.bytes() + more)
    }

    #[cold]
    fn make_room(&mut self, needed: usize) -> bool {
        let mut larger = match needed {
            ..=pool::SMALL => pool::take(pool::SMALL),
            _ if needed <= ROOM => Vec::with_capacity(ROOM),
            _ if needed <= MORE_ROOM => Vec::with_capacity(MORE_ROOM),
            _ if needed <= WRITE_BYTES => pool::take(pool::LARGE),
            _ => return false,
        };
        larger.extend_from_slice(&self.bytes[self.start..]);
        self.start = 0;
        pool::give(mem::replace(&mut self.bytes, larger));
        true
    }

    /// Takes the first frame out, if there is one.
    fn take_first(&mut self, framing: Framing) -> Option<Self> {
        if self.frames <= 1 {
            return (self.frames > 0).then(|| mem::take(self));
        }
        let first = match framing.outgoing().scan(&self.bytes[self.start..]) {
            Next::Frame(extent) => extent.whole(),
            _ => return None,
        };
        let bytes = self.bytes[self.start..self.start + first].to_vec();
        self.start += first;
        self.frames -= 1;
        Some(Self {
            bytes,
            start: 0,
            frames: 1,
        })
    }
}
