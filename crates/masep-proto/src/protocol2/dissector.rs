//! A stream of either generation as somebody sees it who stands beside it.

use bytes::{Buf, Bytes, BytesMut};

use super::header::{Header, HeaderError};
use super::preamble::{self, First};
use crate::{Frame, FrameCodec};

/// Cuts one direction of a connection into what was said: of either generation, in any cut, from its first byte on.
///
/// ```
/// use masep_proto::Frame;
/// use masep_proto::protocol2::{Dissector, Piece, kind, preamble};
///
/// let mut dissector = Dissector::new(1 << 20);
/// dissector.push(preamble::CLIENT);
/// dissector.push(b"\x01\0\0\0\x12\0\0\0x\0\0\0\0\0\0\0");
/// assert_eq!(dissector.next(), Ok(Some(Piece::Preamble(2))));
/// let said = Piece::Payload { kind: kind::BYTES, size: 1, payload: Some("x".into()) };
/// assert_eq!(dissector.next(), Ok(Some(said)));
/// assert_eq!(dissector.next(), Ok(None));
/// ```
#[derive(Debug)]
pub struct Dissector {
    most: usize,
    buffer: BytesMut,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Beginning,
    Pymasep,
    Masep2,
    /// Bytes of a payload and of its padding that are still passed over.
    Skipping(usize),
    /// No frames can be told from here on.
    Broken,
}

/// A thing that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Piece {
    /// The first frame of pymasep's protocol: the id of the one who speaks.
    First(Frame),
    /// A later frame of pymasep's protocol.
    Frame(Frame),
    /// The first bytes of protocol 2, which ask for this generation, or answer so.
    Preamble(u16),
    /// A frame of protocol 2.
    Payload {
        /// The [kind](super::kind).
        kind: u8,
        /// Bytes of the payload.
        size: usize,
        /// The payload; `None` if it is too large to be looked at.
        payload: Option<Bytes>,
    },
}

impl Dissector {
    /// A dissector at the first byte. Payloads of more than `most` bytes are passed over.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            buffer: BytesMut::new(),
            state: State::Beginning,
        }
    }

    /// Takes bytes in. The elements in them are to be [taken](Self::next) before more comes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if let State::Skipping(left) = self.state {
            let skipped = left.min(bytes.len());
            bytes = &bytes[skipped..];
            self.skip(left - skipped);
        }
        self.buffer.extend_from_slice(bytes);
    }

    fn skip(&mut self, left: usize) {
        self.state = if left == 0 {
            State::Masep2
        } else {
            State::Skipping(left)
        };
    }

    /// The next thing that has arrived whole.
    ///
    /// # Errors
    /// No frame of protocol 2 begins where one should. Nothing comes behind that: [`rest`](Self::rest) has the bytes.
    #[allow(clippy::should_implement_trait, reason = "there may be more later")]
    pub fn next(&mut self) -> Result<Option<Piece>, HeaderError> {
        let piece = match self.state {
            State::Beginning => self.first(),
            State::Pymasep => self.frame().map(Piece::Frame),
            State::Masep2 => match Header::read(&self.buffer) {
                Ok(header) => header.and_then(|header| self.payload(header)),
                Err(error) => {
                    self.state = State::Broken;
                    return Err(error);
                }
            },
            State::Skipping(_) | State::Broken => None,
        };
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(piece)
    }

    /// The bytes that are no whole thing yet, or cannot be one.
    pub fn rest(&self) -> &[u8] {
        &self.buffer
    }

    /// True if no more can be told from the bytes.
    pub fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// True if protocol 2 is spoken.
    pub const fn is_masep(&self) -> bool {
        matches!(
            self.state,
            State::Masep2 | State::Skipping(_) | State::Broken
        )
    }

    /// True if a payload is being passed over whose end has not come.
    pub const fn is_skipping(&self) -> bool {
        matches!(self.state, State::Skipping(_))
    }

    fn first(&mut self) -> Option<Piece> {
        match first(&self.buffer) {
            First::Undecided | First::Partial => None,
            First::Preamble { generation, bytes } => {
                self.buffer.advance(bytes);
                self.state = State::Masep2;
                Some(Piece::Preamble(generation))
            }
            First::Id | First::Bad => {
                let frame = self.frame()?;
                self.state = State::Pymasep;
                Some(Piece::First(frame))
            }
        }
    }

    fn frame(&mut self) -> Option<Frame> {
        // The default codec takes every length that a header can hold.
        FrameCodec::default()
            .decode(&mut self.buffer)
            .ok()
            .flatten()
    }

    fn payload(&mut self, header: Header) -> Option<Piece> {
        let (kind, size, whole) = (header.kind, header.size(), header.whole());
        if size > self.most {
            let here = whole.min(self.buffer.len());
            self.buffer.advance(here);
            self.skip(whole - here);
            let payload = None;
            return Some(Piece::Payload {
                kind,
                size,
                payload,
            });
        }
        if self.buffer.len() < whole {
            return None;
        }
        let mut frame = self.buffer.split_to(whole).freeze();
        frame.advance(Header::BYTES);
        frame.truncate(size);
        let payload = Some(frame);
        Some(Piece::Payload {
            kind,
            size,
            payload,
        })
    }
}

/// The meaning of the first bytes, of a client or a server.
fn first(bytes: &[u8]) -> First {
    match preamble::of_client(bytes) {
        First::Bad => preamble::of_server(bytes),
        first => first,
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind;
    use super::*;

    /// All there is in these bytes, in pieces of so many.
    fn pieces(bytes: &[u8], cut: usize) -> (Vec<Piece>, bool) {
        let mut dissector = Dissector::new(100);
        let mut pieces = Vec::new();
        let mut is_broken = false;
        for part in bytes.chunks(cut) {
            dissector.push(part);
            loop {
                match dissector.next() {
                    Ok(Some(piece)) => pieces.push(piece),
                    Ok(None) => break,
                    Err(HeaderError) => is_broken = true,
                }
            }
        }
        (pieces, is_broken)
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let header = Header::new(kind, u32::try_from(payload.len()).unwrap());
        let mut bytes = [&header.to_bytes(), payload].concat();
        bytes.resize(header.whole(), 0);
        bytes
    }

    fn payload(kind: u8, payload: &'static [u8]) -> Piece {
        Piece::Payload {
            kind,
            size: payload.len(),
            payload: Some(Bytes::from_static(payload)),
        }
    }

    #[test]
    fn either_generation_is_told_from_its_first_bytes_in_any_cut() {
        let large = Piece::Payload {
            kind: kind::CBOR,
            size: 101,
            payload: None,
        };
        let said = [
            frame(kind::BYTES, b"abc"),
            frame(kind::CBOR, &[7; 101]),
            frame(kind::PING, b"12345678"),
            frame(200, b""),
        ]
        .concat();
        let later = b"\x08\0masep/10\x03\0BYE\0\0";
        for cut in 1..200 {
            for (first, generation) in [
                (preamble::CLIENT, 2),
                (preamble::SERVER, 2),
                (&later[..], 10),
            ] {
                let (seen, is_broken) = pieces(&[first, &said].concat(), cut);
                let expected = [
                    Piece::Preamble(generation),
                    payload(kind::BYTES, b"abc"),
                    large.clone(),
                    payload(kind::PING, b"12345678"),
                    payload(200, b""),
                ];
                assert_eq!(seen, expected, "{first:?} in pieces of {cut}");
                assert!(!is_broken);
            }
            let old = b"\x05\0agent\x00\0\x03\0BYE";
            let (first, others) = ("agent".into(), ["".into(), "BYE".into()]);
            let mut expected = vec![Piece::First(first)];
            expected.extend(others.map(Piece::Frame));
            assert_eq!(pieces(old, cut), (expected, false));
            // A hello of a generation, and behind it what belongs to none.
            let odd = b"\x07\0masep/2\x02\0hi";
            let expected = vec![Piece::First("masep/2".into()), Piece::Frame("hi".into())];
            assert_eq!(pieces(odd, cut), (expected, false));
        }
    }

    #[test]
    fn where_no_frame_begins_all_that_follows_is_a_rest() {
        let mut dissector = Dissector::new(100);
        dissector.push(preamble::SERVER);
        dissector.push(b"\x01\0\0\0\x12\x01\0\0xyz");
        assert_eq!(dissector.next(), Ok(Some(Piece::Preamble(2))));
        assert_eq!(dissector.next(), Err(HeaderError));
        assert_eq!(dissector.next(), Ok(None));
        assert!(dissector.is_broken());
        assert!(dissector.rest().ends_with(b"xyz"));
    }
}
