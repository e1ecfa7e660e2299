//! The header of a frame.

use crate::FrameKind;

/// The kinds of frames.
pub mod kind {
    /// The client's first control message.
    pub const HELLO: u8 = 1;
    /// The server's answer to one that it takes.
    pub const WELCOME: u8 = 2;
    /// The server's answer to one that it does not take.
    pub const REJECTED: u8 = 3;
    /// The end of the connection, which says why.
    pub const BYE: u8 = 4;
    /// A question for a sign of life: 8 bytes.
    pub const PING: u8 = 5;
    /// The answer to it: the same bytes.
    pub const PONG: u8 = 6;
    /// Something that was not accepted, which is no end.
    pub const NOTICE: u8 = 7;
    /// A message in CBOR.
    pub const CBOR: u8 = 16;
    /// A message in pymasep's XML.
    pub const XML: u8 = 17;
    /// Bytes of the user's.
    pub const BYTES: u8 = 18;
    /// Kinds from this one on are ignored by who does not know them.
    pub const IGNORABLE: u8 = 128;
}

/// The header of a frame, which goes in front of its payload.
///
/// ```
/// use masep_proto::protocol2::{Header, kind};
/// let header = Header::new(kind::CBOR, 5);
/// assert_eq!(header.to_bytes(), [5, 0, 0, 0, 16, 0, 0, 0]);
/// assert_eq!((header.padding(), header.whole()), (3, 16));
/// assert_eq!(Header::read(&header.to_bytes()), Ok(Some(header)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Bytes of the payload.
    pub payload: u32,
    /// The [kind] of the frame.
    pub kind: u8,
}

/// A header that no generation of the protocol has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("flags or reserved bytes of a frame's header are set")]
pub struct HeaderError;

impl Header {
    /// Bytes of a header.
    pub const BYTES: usize = 8;
    /// Frames begin at a multiple of this, from the first one on.
    pub const ALIGNMENT: usize = 8;

    /// The header of a payload of this size, of this kind.
    pub const fn new(kind: u8, payload: u32) -> Self {
        Self { payload, kind }
    }

    /// As it goes over the wire.
    #[inline]
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        let [a, b, c, d] = self.payload.to_le_bytes();
        [a, b, c, d, self.kind, 0, 0, 0]
    }

    /// The header at the beginning of these bytes, or `None` if it has not arrived whole.
    ///
    /// # Errors
    /// Bits that are not known are set. Such a stream cannot be read any further.
    #[inline]
    pub const fn read(bytes: &[u8]) -> Result<Option<Self>, HeaderError> {
        let Some([a, b, c, d, kind, flags, reserved, more]) = bytes.first_chunk() else {
            return Ok(None);
        };
        if *flags | *reserved | *more != 0 {
            return Err(HeaderError);
        }
        Ok(Some(Self {
            payload: u32::from_le_bytes([*a, *b, *c, *d]),
            kind: *kind,
        }))
    }

    /// The number of zeros behind the payload.
    #[inline]
    pub const fn padding(self) -> usize {
        padding(self.size())
    }

    /// Bytes of the frame with all that belongs to it.
    #[inline]
    pub const fn whole(self) -> usize {
        Self::BYTES + self.size() + self.padding()
    }

    /// Bytes of the payload.
    #[inline]
    pub const fn size(self) -> usize {
        self.payload as usize
    }
}

/// The number of zeros behind a payload of this size.
#[inline]
pub(crate) const fn padding(size: usize) -> usize {
    size.wrapping_neg() % Header::ALIGNMENT
}

/// The form of a user's frame by its kind, if it is one.
#[inline]
pub(crate) const fn frame_kind(kind: u8) -> Option<FrameKind> {
    Some(match kind {
        kind::CBOR => FrameKind::Cbor,
        kind::XML => FrameKind::Xml,
        kind::BYTES => FrameKind::Bytes,
        _ => return None,
    })
}

/// The kind of a user's frame.
#[inline]
pub(crate) const fn kind_of(frame: FrameKind) -> u8 {
    match frame {
        FrameKind::Cbor => kind::CBOR,
        FrameKind::Xml => kind::XML,
        FrameKind::Bytes => kind::BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_multiples_of_8() {
        for (payload, whole) in [(0, 8), (1, 16), (8, 16), (9, 24), (1_000_000, 1_000_008)] {
            assert_eq!(Header::new(kind::BYTES, payload).whole(), whole);
        }
    }

    #[test]
    fn bits_that_nobody_knows_are_refused() {
        for at in 5..8 {
            let mut bytes = Header::new(kind::CBOR, 1).to_bytes();
            bytes[at] = 1;
            assert_eq!(Header::read(&bytes), Err(HeaderError));
            assert_eq!(Header::read(&bytes[..7]), Ok(None));
        }
    }

    #[test]
    fn a_users_frame_has_the_kind_that_it_is_read_by() {
        for frame in [FrameKind::Bytes, FrameKind::Cbor, FrameKind::Xml] {
            assert_eq!(frame_kind(kind_of(frame)), Some(frame));
        }
        for kind in [0, kind::BYE, 8, 15, 19, 127, 128, 255] {
            assert_eq!(frame_kind(kind), None);
        }
    }
}
