//! Framing: frames on a stream of bytes. The rest of a connection knows neither headers nor the bytes of a
//! `BYE`, so that a second framing is a variant here.

mod masep;

use crate::protocol2::header;
use crate::{Frame, FrameCodec, FrameKind, Limit, LimitExceeded, Limits};

pub(crate) use masep::Refused;

/// Bytes of pymasep's header.
const HEADER: usize = FrameCodec::HEADER_BYTES;
const BYE: &[u8] = b"BYE";

/// The framing of a connection, with the bounds of this side.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Framing {
    /// pymasep's: the length of the body as two bytes, little endian, then the body.
    Pymasep {
        /// The most bytes of a body.
        max: usize,
    },
    /// Protocol 2: a header of 8 bytes, the payload, and zeros to a multiple of 8.
    Masep {
        /// The most bytes of a payload that this side receives.
        receives: u32,
        /// The most bytes of one that the peer receives.
        sends: u32,
    },
}

/// The item at the beginning of bytes that have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A frame that is there with all its bytes.
    Frame(Extent),
    /// The frame that ends the connection.
    Bye,
    /// A part of a frame. Its size is told as far as it is known, claimed by the header and not checked.
    Partial { whole: Option<usize> },
    /// A frame that is larger than allowed. The stream cannot be read any further.
    TooLarge(LimitExceeded),
    /// A frame that is none of the user's, of this kind, with all its bytes.
    Control(u8, Extent),
    /// Bytes that are no frame. The stream cannot be read any further.
    Refused(Refused),
}

/// The sizes of the parts of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes in front of the body.
    pub(crate) header: usize,
    /// Bytes of the body.
    pub(crate) body: usize,
    /// Bytes behind the body.
    pub(crate) padding: u8,
    /// The form of the body.
    pub(crate) kind: FrameKind,
}

impl Extent {
    /// Bytes of the frame with all that belongs to it.
    pub(crate) const fn whole(self) -> usize {
        self.header + self.body + self.padding as usize
    }
}

impl Framing {
    pub(crate) fn pymasep(limits: &Limits) -> Self {
        Self::Pymasep {
            max: limits.frame_bytes.min(Frame::MAX_BYTES),
        }
    }

    /// Looks at the frame at the beginning of these bytes: at its header, and at the body of one that is as
    /// short as a `BYE`.
    #[inline]
    pub(crate) fn scan(self, bytes: &[u8]) -> Next {
        #[cfg(test)]
        looked_at::add(bytes);
        match self {
            Self::Pymasep { max } => scan(bytes, max),
            Self::Masep { receives, .. } => masep::scan(bytes, receives),
        }
    }

    /// For frames that this side has written, which may be larger than those that it receives.
    pub(crate) const fn outgoing(self) -> Self {
        match self {
            Self::Pymasep { .. } => self,
            Self::Masep { sends, .. } => Self::Masep {
                receives: u32::MAX,
                sends,
            },
        }
    }

    /// The frame of the user's at the beginning of these bytes, as [`scan`](Self::scan) finds it, if there is one.
    #[inline]
    pub(crate) fn users(self, bytes: &[u8]) -> Option<Extent> {
        match self {
            Self::Masep { receives, .. } => masep::users(bytes, receives),
            Self::Pymasep { .. } => match self.scan(bytes) {
                Next::Frame(extent) => Some(extent),
                _ => None,
            },
        }
    }

    /// Looks at the header of a frame that this side has written, whose body may be elsewhere: bytes of the frame, and
    /// whether it is one of the user's.
    pub(crate) fn written(self, bytes: &[u8]) -> Option<(usize, bool)> {
        match self {
            Self::Pymasep { .. } => {
                let whole = FrameCodec::claimed_bytes(bytes)?;
                Some((whole, !bytes.starts_with(Self::bye())))
            }
            Self::Masep { .. } => masep::written(bytes),
        }
    }

    /// Checks that a frame with a body of this size may be sent.
    #[inline]
    pub(crate) fn check(self, size: usize) -> Result<(), LimitExceeded> {
        let max = match self {
            Self::Pymasep { max } => max,
            Self::Masep { sends, .. } => sends as usize,
        };
        LimitExceeded::check(Limit::FrameBytes, size, max)
    }

    /// True if [`check`](Self::check) finds no fault.
    #[inline]
    pub(crate) const fn takes(self, size: usize) -> bool {
        match self {
            Self::Pymasep { max } => size <= max,
            Self::Masep { sends, .. } => size <= sends as usize,
        }
    }

    /// Appends what goes in front of a body of this form and size, which was checked.
    #[inline(always)]
    pub(crate) fn put_header(self, kind: FrameKind, size: usize, output: &mut Vec<u8>) {
        match self {
            Self::Pymasep { .. } => {
                debug_assert!(size <= Frame::MAX_BYTES);
                let length = u16::try_from(size).unwrap_or(u16::MAX);
                // One by one: two of them together would be a call.
                for byte in length.to_le_bytes() {
                    output.push(byte);
                }
            }
            Self::Masep { .. } => masep::put_header(kind, size, output),
        }
    }

    /// The form of a frame of the user's, by the bytes in front of its body.
    #[inline]
    pub(crate) const fn kind(self, header: &[u8]) -> FrameKind {
        match self {
            Self::Pymasep { .. } => FrameKind::Bytes,
            Self::Masep { .. } => masep::kind(header),
        }
    }

    /// Appends what goes behind a body of this size.
    #[inline]
    pub(crate) fn put_padding(self, size: usize, output: &mut Vec<u8>) {
        if let Self::Masep { .. } = self {
            output.extend_from_slice(masep::padding(size));
        }
    }

    /// Bytes that are sent behind a body of this size.
    #[inline]
    pub(crate) const fn padding(self, size: usize) -> usize {
        match self {
            Self::Pymasep { .. } => 0,
            Self::Masep { .. } => header::padding(size),
        }
    }

    /// Bytes that are sent in front of a body.
    #[inline]
    pub(crate) const fn header_bytes(self) -> usize {
        match self {
            Self::Pymasep { .. } => HEADER,
            Self::Masep { .. } => masep::HEADER,
        }
    }

    /// Bytes of a frame with a body of this size.
    #[inline]
    pub(crate) const fn whole(self, size: usize) -> usize {
        self.header_bytes() + size + self.padding(size)
    }

    /// The weight of a frame with a body of this size where it waits to be sent, in bytes.
    #[inline]
    pub(crate) const fn weight(self, size: usize) -> usize {
        match self {
            Self::Pymasep { .. } => size,
            Self::Masep { .. } => self.whole(size),
        }
    }

    /// The weight of so many frames that take so many bytes together.
    #[inline]
    pub(crate) const fn weight_of(self, bytes: usize, frames: usize) -> usize {
        match self {
            Self::Pymasep { .. } => bytes - HEADER * frames,
            Self::Masep { .. } => bytes,
        }
    }

    /// The number of bytes more that may be reserved for a frame of which so many have arrived, and whose header claims
    /// that it has so many at all.
    #[inline]
    pub(crate) const fn may_reserve(self, arrived: usize, whole: usize) -> usize {
        match self {
            Self::Masep { .. } if arrived >= whole / masep::PART => whole - arrived,
            _ => arrived,
        }
    }

    /// True if a frame with this body ends the connection.
    #[inline]
    pub(crate) fn is_bye(self, body: &[u8]) -> bool {
        // Protocol 2 has another frame for it, and never says these bytes: whoever passes them on to a peer of
        // pymasep's protocol would end that connection.
        body == BYE
    }

    /// The frame that ends a connection of pymasep's protocol.
    pub(crate) const fn bye() -> &'static [u8] {
        b"\x03\0BYE"
    }
}

/// Looks at the frame of pymasep's protocol at the beginning of these bytes, with a body of so many bytes at most.
#[inline]
pub(crate) fn scan(bytes: &[u8], max: usize) -> Next {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Next::Partial { whole: None };
    };
    let body = usize::from(u16::from_le_bytes(*header));
    if let Err(limit) = LimitExceeded::check(Limit::FrameBytes, body, max) {
        return Next::TooLarge(limit);
    }
    match rest.get(..body) {
        None => Next::Partial {
            whole: Some(HEADER + body),
        },
        Some(BYE) => Next::Bye,
        Some(_) => Next::Frame(Extent {
            header: HEADER,
            body,
            padding: 0,
            kind: FrameKind::Bytes,
        }),
    }
}

/// Counts the bytes that are looked at.
#[cfg(test)]
pub(crate) mod looked_at {
    use std::cell::Cell;

    use super::{BYE, HEADER};

    thread_local! {
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn add(bytes: &[u8]) {
        let more = bytes.len().min(HEADER + BYE.len());
        COUNT.set(COUNT.get() + more);
    }

    /// The number of them since this was asked.
    pub(crate) fn take() -> usize {
        COUNT.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_at_the_beginning_is_told_by_the_header() {
        let framing = Framing::Pymasep { max: 10 };
        let frame = |body| {
            Next::Frame(Extent {
                header: 2,
                body,
                padding: 0,
                kind: FrameKind::Bytes,
            })
        };
        for (bytes, expected) in [
            (&b""[..], Next::Partial { whole: None }),
            (b"\x05", Next::Partial { whole: None }),
            (b"\x05\0ab", Next::Partial { whole: Some(7) }),
            (b"\0\0", frame(0)),
            (b"\x01\0ab", frame(1)),
            (b"\x03\0BYE", Next::Bye),
            (b"\x03\0bye", frame(3)),
            (b"\x04\0BYE ", frame(4)),
            (b"\x03\0BY", Next::Partial { whole: Some(5) }),
        ] {
            assert_eq!(framing.scan(bytes), expected, "{bytes:?}");
        }
        let Next::TooLarge(limit) = framing.scan(b"\x0b\0") else {
            panic!("it is too large");
        };
        assert_eq!((limit.actual, limit.allowed), (11, 10));
    }

    #[test]
    fn a_bye_is_what_its_scan_finds() {
        let framing = Framing::Pymasep { max: 10 };
        assert_eq!(framing.scan(Framing::bye()), Next::Bye);
    }
}
