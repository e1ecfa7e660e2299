//! Frames on their way out, as the bytes that the next writes take.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;

use bytes::{Buf, Bytes, BytesMut};
use masep_proto::{Frame, FrameCodec};

use crate::spare;
use crate::transport::Transport;

/// Frames that wait are gathered for one write up to this many bytes, which is a little less than Linux hands
/// on in one piece: 65,483 on the loopback, on Ethernet 45 packets of 1,448 or, with IPv6, 1,428. What went
/// beyond would follow as a small piece of its own, for which the peer is woken, and reads, a second time: with
/// 64 KiB of frames of 1 KiB, which make 65 bytes too many, that took two thirds of the speed.
pub(crate) const WRITE_BYTES: usize = 64_000;
/// Bodies from this size on are written from where they are. Smaller ones are copied behind each
/// other: below a few kilobytes that costs less than a buffer more for the system to look at.
const SHARE_FROM: usize = 4 * 1024;
/// How many buffers one write gives to the system: as many as large bodies and what is between them need.
const MOST_SLICES: usize = 2 * WRITE_BYTES.div_ceil(SHARE_FROM);

/// Whole frames that are being written; the first may already be on its way in part.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    /// Headers and small frames behind each other.
    gathered: BytesMut,
    /// Bodies that are not among them, each with its place: how many gathered bytes go out before it, counted
    /// from the first that there has been.
    bodies: VecDeque<(usize, Bytes)>,
    /// How many gathered bytes have gone out.
    gone: usize,
    /// Bytes that wait in all.
    size: usize,
    /// Frames that wait and are counted, the one that is on its way in part included.
    frames: usize,
    /// How many bytes of the first frame are left, if it is on its way in part.
    begun: usize,
}

impl Unsent {
    /// Appends a frame. Its size was checked by the call that queued it.
    pub(crate) fn push(&mut self, frame: &Frame, codec: FrameCodec) {
        self.frames += 1;
        if frame.size() < SHARE_FROM {
            self.make_room(FrameCodec::HEADER_BYTES + frame.size());
            let before = self.gathered.len();
            let encoded = codec.encode(frame, &mut self.gathered);
            debug_assert!(encoded.is_ok());
            self.size += self.gathered.len() - before;
        } else if let Ok(header) = codec.header(frame) {
            self.make_room(header.len());
            self.extend(&header);
            let place = self.gone + self.gathered.len();
            self.bodies.push_back((place, frame.bytes().clone()));
            self.size += frame.size();
        } else {
            debug_assert!(false, "its size was checked");
        }
    }

    /// Makes room for so many bytes more: a small buffer at first, then one for all of a write.
    fn make_room(&mut self, bytes: usize) {
        let needed = self.gathered.len() + bytes;
        if needed > self.gathered.capacity() {
            let mut larger = match needed {
                ..=spare::SMALL => spare::take_small(),
                _ => spare::take_large(),
            };
            larger.extend_from_slice(&self.gathered);
            let smaller = mem::replace(&mut self.gathered, larger);
            if !smaller.is_empty() {
                spare::give(smaller);
            }
        }
    }

    /// Holds no more memory than what waits needs: it may wait for long.
    pub(crate) fn shrink(&mut self) {
        if self.gathered.len() < self.gathered.capacity() / 2 {
            let rest = BytesMut::from(&self.gathered[..]);
            spare::give(mem::replace(&mut self.gathered, rest));
        }
    }

    /// Appends bytes that are whole frames already, and are not counted: a hello, a `BYE`.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.gathered.extend_from_slice(bytes);
        self.size += bytes.len();
    }

    /// Appends a buffer of so many whole frames.
    pub(crate) fn append(&mut self, frames: BytesMut, count: usize) {
        self.frames += count;
        self.size += frames.len();
        if self.gathered.is_empty() {
            spare::give(mem::replace(&mut self.gathered, frames));
        } else {
            self.make_room(frames.len());
            self.gathered.extend_from_slice(&frames);
            spare::give(frames);
        }
    }

    /// How many frames have not gone out, or not as a whole.
    pub(crate) const fn frames(&self) -> usize {
        self.frames
    }

    /// How many bytes wait.
    pub(crate) const fn len(&self) -> usize {
        self.size
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Drops what waits, and the memory.
    pub(crate) fn clear(&mut self) {
        if self.bodies.capacity() > 0 {
            self.bodies = VecDeque::new();
        }
        spare::give(mem::take(&mut self.gathered));
        (self.gone, self.size) = (0, 0);
        (self.frames, self.begun) = (0, 0);
    }

    /// Writes as much as the transport takes now, at least a byte, in one call of it; what is written
    /// later begins a new packet if this one is to be `apart`.
    pub(crate) fn write_to(&mut self, transport: &dyn Transport, apart: bool) -> io::Result<usize> {
        let written = if self.bodies.is_empty() && !apart {
            transport.try_write(&self.gathered)?
        } else {
            let mut slices = [IoSlice::new(&[]); MOST_SLICES];
            let used = slices
                .iter_mut()
                .zip(self.pieces())
                .fold(0, |used, (slot, piece)| {
                    *slot = IoSlice::new(piece);
                    used + 1
                });
            if apart {
                transport.try_write_apart(&slices[..used])?
            } else {
                transport.try_write_vectored(&slices[..used])?
            }
        };
        self.advance(written);
        Ok(written)
    }

    /// What waits, in order.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let index = |place: usize| place - self.gone;
        let mut start = 0;
        let with_bodies = self.bodies.iter().flat_map(move |(place, body)| {
            let before = &self.gathered[start..index(*place)];
            start = index(*place);
            [before, &body[..]]
        });
        let last = self.bodies.back().map_or(0, |(place, _)| index(*place));
        with_bodies.chain([&self.gathered[last..]])
    }

    /// Counts the frames that have gone out as a whole. To be called before they are given up: that is a
    /// look at each header, and needed for a peer that does not take all at once only.
    fn count_out(&mut self, written: usize) {
        if written == self.size {
            (self.frames, self.begun) = (0, 0);
            return;
        }
        // Headers are among the gathered bytes; what a body has in its own buffer is passed over.
        let (mut at, mut bodies_before, mut next_body) = (self.begun, 0, 0);
        let mut gone = usize::from(self.begun > 0 && self.begun <= written);
        while at < written {
            while let Some((place, body)) = self.bodies.get(next_body)
                && *place - self.gone + bodies_before < at
            {
                bodies_before += body.len();
                next_body += 1;
            }
            let header = self.gathered.get(at - bodies_before..);
            let Some(size) = header.and_then(FrameCodec::claimed_bytes) else {
                debug_assert!(false, "what waits are whole frames");
                return;
            };
            at += size;
            gone += usize::from(at <= written);
        }
        self.begun = at - written;
        self.frames = self.frames.saturating_sub(gone);
    }

    fn advance(&mut self, mut written: usize) {
        self.count_out(written);
        self.size -= written;
        while let Some((place, body)) = self.bodies.front_mut() {
            let before = written.min(*place - self.gone);
            self.gone += before;
            self.gathered.advance(before);
            written -= before;
            if written < body.len() {
                body.advance(written);
                return;
            }
            written -= body.len();
            self.bodies.pop_front();
        }
        self.gone += written;
        if written == self.gathered.len() {
            self.gathered.clear();
        } else {
            self.gathered.advance(written);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;
    use std::sync::Mutex;
    use std::task::{Context, Poll};

    use masep_proto::Limits;
    use proptest::prelude::*;

    use super::*;

    /// Takes at most so many bytes at once.
    struct Narrow {
        at_once: usize,
        taken: Mutex<Vec<u8>>,
    }

    impl Transport for Narrow {
        fn prepare(&self, _limits: &Limits) -> io::Result<()> {
            Ok(())
        }
        fn poll_readable(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn try_read(&self, _buffer: &mut BytesMut) -> io::Result<usize> {
            Ok(0)
        }
        fn poll_writable(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            self.try_write_vectored(&[IoSlice::new(bytes)])
        }
        fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
            let bytes = buffers.iter().flat_map(|buffer| buffer.iter());
            let mut taken = self.taken.lock().unwrap();
            let before = taken.len();
            taken.extend(bytes.take(self.at_once));
            Ok(taken.len() - before)
        }
        fn shutdown(&self, _how: Shutdown) -> io::Result<()> {
            Ok(())
        }
        fn reset_on_drop(&self) {}
    }

    #[test]
    fn what_waits_for_a_slow_peer_takes_no_more_memory_than_it_needs() {
        let codec = FrameCodec::new(&Limits::default());
        let transport = Narrow {
            at_once: 60_000,
            taken: Mutex::default(),
        };
        let mut unsent = Unsent::default();
        for _ in 0..61 {
            unsent.push(&Frame::new(vec![7; 998]), codec);
        }
        unsent.write_to(&transport, false).unwrap();
        unsent.shrink();
        assert_eq!((unsent.len(), unsent.gathered.capacity()), (1_000, 1_000));
    }

    fn sizes() -> impl Strategy<Value = Vec<usize>> {
        let size = prop_oneof![0..100_usize, 4_000..4_200_usize, 60_000..65_536_usize];
        prop::collection::vec(size, 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// However large the frames are, and however few bytes are taken at once.
        #[test]
        fn what_is_written_is_what_the_codec_encodes(
            sizes in sizes(),
            at_once in prop_oneof![500..9_000_usize, Just(1 << 24)],
        ) {
            let codec = FrameCodec::new(&Limits::default());
            let transport = Narrow { at_once, taken: Mutex::default() };
            let mut unsent = Unsent::default();
            let mut expected = Vec::new();
            let mut ends = Vec::new();
            for (number, size) in (0..).zip(sizes) {
                let frame = Frame::new(vec![number; size]);
                unsent.push(&frame, codec);
                codec.encode(&frame, &mut expected).unwrap();
                ends.push(expected.len());
                if number % 8 == 7 {
                    unsent.write_to(&transport, false).unwrap();
                    unsent.shrink();
                }
            }
            while !unsent.is_empty() {
                prop_assert!(unsent.write_to(&transport, false).unwrap() > 0);
                let taken = transport.taken.lock().unwrap().len();
                prop_assert_eq!(unsent.len() + taken, expected.len());
                prop_assert_eq!(unsent.frames(), ends.iter().filter(|end| **end > taken).count());
            }
            prop_assert!(transport.taken.into_inner().unwrap() == expected);
        }
    }
}
