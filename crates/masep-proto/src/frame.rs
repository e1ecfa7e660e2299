//! Frames: the parts of a TCP stream that hold one message each.
//!
//! In pymasep's protocol a frame is its length as two bytes, little endian, and that many bytes. The body `BYE` ends a
//! connection; an empty body is an ordinary frame. pymasep reads a frame with one `recv` for the
//! header and one for the body and is out of step for good when TCP cuts it elsewhere; this codec
//! takes any cut.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::printable::debug_bounded;
use crate::{Limit, LimitExceeded, Limits};

const HEADER: usize = 2;

/// Bodies up to this size are copied out of the read buffer: a reference to it would keep a whole
/// read (kilobytes) alive for a frame of a few bytes.
const COPY_BELOW: usize = 1_024;

/// The form of a frame's body. Frames of protocol 2 say it, those of pymasep's do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
// As wide as a register: a frame is moved by words, and a word that was written as a byte is waited for.
#[repr(u64)]
pub enum FrameKind {
    /// Bytes of which nothing is said, as in all frames that arrive from a peer of pymasep's protocol.
    #[default]
    Bytes,
    /// A message in CBOR.
    Cbor,
    /// A message in pymasep's XML.
    Xml,
}

impl FrameKind {
    /// A stable name for programs: `bytes`, `cbor` or `xml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Cbor => "cbor",
            Self::Xml => "xml",
        }
    }
}

/// The body of one frame and its form: reference-counted bytes, cheap to clone.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Frame {
    body: Bytes,
    kind: FrameKind,
}

impl Frame {
    /// The most bytes that a body can have in pymasep's protocol: the header has two bytes for the length.
    pub const MAX_BYTES: usize = u16::MAX as usize;

    /// One without bytes.
    pub(crate) const EMPTY: Self = Self {
        body: Bytes::new(),
        kind: FrameKind::Bytes,
    };

    /// The frame that ends a connection. Protocol 2 has another one for that, which is sent in place of this one.
    pub const BYE: Self = Self {
        body: Bytes::from_static(b"BYE"),
        kind: FrameKind::Bytes,
    };

    /// A frame with this body, of any size, of which nothing is said: whether it fits is checked by the call that
    /// sends it.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self::of(FrameKind::Bytes, body)
    }

    /// A frame with this body in this form.
    pub fn of(kind: FrameKind, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { body, kind }
    }

    /// The form of the body.
    pub const fn kind(&self) -> FrameKind {
        self.kind
    }

    /// The first frame on a connection: the id of the one who sends it, in UTF-8.
    pub fn hello(id: &str) -> Self {
        Self::new(id.to_owned().into_bytes())
    }

    /// True if this is the frame that ends a connection: exactly the three bytes `BYE`.
    #[inline]
    pub fn is_bye(&self) -> bool {
        self.body == b"BYE"[..]
    }

    /// Bytes in the body.
    #[inline]
    pub fn size(&self) -> usize {
        self.body.len()
    }

    /// The body.
    pub const fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// The body, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.body
    }
}

/// The beginning of it, if it is long: at most some 4 KB.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_bounded(f, |f| {
            let mut debug = f.debug_struct("Frame");
            if self.kind != FrameKind::Bytes {
                debug.field("kind", &self.kind);
            }
            debug.field("body", &self.body).finish()
        })
    }
}

impl<T: Into<Bytes>> From<T> for Frame {
    fn from(body: T) -> Self {
        Self::new(body)
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// Turns frames into bytes and bytes into frames.
///
/// The codec has no state of its own: a frame that has not arrived whole stays in the caller's
/// buffer. It never reserves memory for a length that is only claimed.
#[derive(Clone, Copy, Debug)]
pub struct FrameCodec {
    max_bytes: usize,
}

impl Default for FrameCodec {
    fn default() -> Self {
        Self {
            max_bytes: Frame::MAX_BYTES,
        }
    }
}

impl FrameCodec {
    /// Bytes in front of a body.
    pub const HEADER_BYTES: usize = HEADER;

    /// A codec that applies [`Limits::frame_bytes`], but never more than [`Frame::MAX_BYTES`].
    pub fn new(limits: &Limits) -> Self {
        Self {
            max_bytes: limits.frame_bytes.min(Frame::MAX_BYTES),
        }
    }

    /// Checks that a frame may be sent.
    ///
    /// # Errors
    /// The size of the frame and the limit, if it is too large.
    #[inline]
    pub fn check(&self, frame: &Frame) -> Result<(), LimitExceeded> {
        LimitExceeded::check(Limit::FrameBytes, frame.size(), self.max_bytes)
    }

    /// The header that goes before the body on the wire.
    ///
    /// # Errors
    /// The size of the frame and the limit, if it is too large.
    #[inline]
    pub fn header(&self, frame: &Frame) -> Result<[u8; 2], LimitExceeded> {
        self.check(frame)?;
        let length = u16::try_from(frame.size()).map_err(|_| LimitExceeded {
            limit: Limit::FrameBytes,
            actual: frame.size(),
            allowed: Frame::MAX_BYTES,
        })?;
        Ok(length.to_le_bytes())
    }

    /// Appends a frame, header first, so that both can go out in one write.
    ///
    /// # Errors
    /// The size of the frame and the limit, if it is too large; nothing is appended then.
    pub fn encode(&self, frame: &Frame, output: &mut impl BufMut) -> Result<(), LimitExceeded> {
        output.put_slice(&self.header(frame)?);
        output.put_slice(&frame.body);
        Ok(())
    }

    /// The number of bytes of the frame at the beginning of `input` with its header, as far as that has
    /// arrived. They are claimed, not checked: reserve no memory for them before some have come.
    #[inline]
    pub fn claimed_bytes(input: &[u8]) -> Option<usize> {
        let header = input.first_chunk::<HEADER>()?;
        Some(HEADER + usize::from(u16::from_le_bytes(*header)))
    }

    /// The size of the frame at the beginning of `input`, if it has arrived whole.
    ///
    /// # Errors
    /// The claimed size and the limit, as soon as the header claims more than is allowed. The
    /// stream cannot be read any further.
    #[inline]
    pub fn peek(&self, input: &[u8]) -> Result<Option<usize>, LimitExceeded> {
        let Some(header) = input.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let size = usize::from(u16::from_le_bytes(*header));
        LimitExceeded::check(Limit::FrameBytes, size, self.max_bytes)?;
        Ok((input.len() - HEADER >= size).then_some(size))
    }

    /// Takes the frame at the beginning of `input` out, of which [`peek`](Self::peek) has told the size.
    ///
    /// # Panics
    /// If there are fewer bytes.
    pub fn take(&self, input: &mut BytesMut, size: usize) -> Frame {
        if size >= COPY_BELOW {
            input.advance(HEADER);
            let body = input.split_to(size).freeze();
            return Frame::new(body);
        }
        let whole = HEADER + size;
        let body = Bytes::copy_from_slice(&input[HEADER..whole]);
        if whole == input.len() {
            // All of the buffer's room is there again at once.
            input.clear();
        } else {
            input.advance(whole);
        }
        Frame::new(body)
    }

    /// Takes the next whole frame out of `input`, or `None` if it has not arrived yet.
    ///
    /// # Errors
    /// As [`peek`](Self::peek).
    pub fn decode(&self, input: &mut BytesMut) -> Result<Option<Frame>, LimitExceeded> {
        let size = self.peek(input)?;
        Ok(size.map(|size| self.take(input, size)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode_all(codec: FrameCodec, stream: &[u8], step: usize) -> Vec<Frame> {
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for piece in stream.chunks(step.max(1)) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                frames.push(frame);
            }
        }
        assert!(buffer.is_empty(), "bytes left over: {buffer:?}");
        frames
    }

    fn encode_all(frames: &[Frame]) -> Vec<u8> {
        let mut stream = Vec::new();
        for frame in frames {
            FrameCodec::default().encode(frame, &mut stream).unwrap();
        }
        stream
    }

    #[test]
    fn the_header_is_the_length_little_endian() {
        let stream = encode_all(&[Frame::new(vec![b'x'; 256])]);
        assert_eq!(stream[..3], [0x00, 0x01, b'x']);
        assert_eq!(
            encode_all(&[Frame::hello("engine-é")]),
            b"\x09\x00engine-\xc3\xa9"
        );
        assert_eq!(encode_all(&[Frame::BYE]), b"\x03\x00BYE");
    }

    #[test]
    fn only_the_three_bytes_are_bye() {
        assert!(Frame::new("BYE").is_bye());
        for other in ["bye", "BYE ", "\nBYE", "BYE\0", "", "BY"] {
            assert!(!Frame::new(other).is_bye(), "{other:?}");
        }
    }

    #[test]
    fn an_empty_frame_is_a_frame() {
        assert_eq!(
            decode_all(FrameCodec::default(), b"\0\0\0\0", 1),
            [Frame::default(), Frame::default()]
        );
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_with_size_and_limit() {
        let mut stream = Vec::new();
        let refused = FrameCodec::default()
            .encode(&Frame::new(vec![0; 65_536]), &mut stream)
            .unwrap_err();
        assert_eq!((refused.actual, refused.allowed), (65_536, 65_535));
        assert!(stream.is_empty());
    }

    #[test]
    fn a_claim_over_the_limit_is_refused_before_the_body_arrives() {
        let codec = FrameCodec::new(&Limits::default().frame_bytes(10));
        let mut input = BytesMut::from(&[11, 0][..]);
        let refused = codec.decode(&mut input).unwrap_err();
        assert_eq!((refused.actual, refused.allowed), (11, 10));
    }

    #[test]
    fn memory_follows_the_bytes_that_arrived() {
        let mut input = BytesMut::from(&[0xff, 0xff, 1, 2, 3][..]);
        let before = input.capacity();
        assert_eq!(FrameCodec::default().decode(&mut input), Ok(None));
        assert_eq!(input.capacity(), before);
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_frames(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 0..8),
            step in 1usize..5_000,
        ) {
            let frames: Vec<Frame> = bodies.into_iter().map(Frame::new).collect();
            let stream = encode_all(&frames);
            for step in [1, step, stream.len()] {
                prop_assert_eq!(decode_all(FrameCodec::default(), &stream, step), frames.clone());
            }
        }
    }
}
