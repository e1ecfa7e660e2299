//! The framing of protocol 2.

use super::{Extent, Next};
use crate::protocol2::{CONTROL_BYTES, Header, header, kind};
use crate::{FrameKind, Limit, LimitExceeded};

pub(super) const HEADER: usize = Header::BYTES;
/// All memory that a frame claims is reserved when this part of it has arrived. Memory is taken for granted then up to
/// so many times as fast as bytes arrive, and a large frame is copied once, in its beginning.
pub(super) const PART: usize = 16;

/// Bytes that are no frame of protocol 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A kind that is not known, and is not to be ignored.
    Kind(u8),
    /// Bits are set that have to be zero.
    Reserved,
}

/// Looks at the frame at the beginning of these bytes, with a payload of so many bytes at most.
#[inline(never)]
pub(super) fn scan(bytes: &[u8], max: u32) -> Next {
    let header = match Header::read(bytes) {
        Ok(Some(header)) => header,
        Ok(None) => return Next::Partial { whole: None },
        Err(_) => return Next::Refused(Refused::Reserved),
    };
    let form = header::frame_kind(header.kind);
    let allowed = match header.kind {
        kind::HELLO..=kind::NOTICE => CONTROL_BYTES.min(max as usize),
        kind::IGNORABLE.. => max as usize,
        _ if form.is_some() => max as usize,
        unknown => return Next::Refused(Refused::Kind(unknown)),
    };
    if let Err(limit) = LimitExceeded::check(Limit::FrameBytes, header.size(), allowed) {
        return Next::TooLarge(limit);
    }
    let whole = header.whole();
    let Some(padding) = bytes.get(HEADER + header.size()..whole) else {
        return Next::Partial { whole: Some(whole) };
    };
    if padding.iter().any(|byte| *byte != 0) {
        return Next::Refused(Refused::Reserved);
    }
    let extent = Extent {
        header: HEADER,
        body: header.size(),
        padding: padding.len().to_le_bytes()[0],
        kind: form.unwrap_or_default(),
    };
    match form {
        Some(_) => Next::Frame(extent),
        None => Next::Control(header.kind, extent),
    }
}

/// The frame of the user's at the beginning of these bytes, with a payload of so many bytes at most: what [`scan`] finds, in
/// fewer steps.
#[inline]
pub(super) fn users(bytes: &[u8], max: u32) -> Option<Extent> {
    let header = Header::read(bytes).ok()??;
    let kind = header::frame_kind(header.kind)?;
    let padding = bytes.get(HEADER + header.size()..header.whole())?;
    if header.payload > max || padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    Some(Extent {
        header: HEADER,
        body: header.size(),
        padding: padding.len().to_le_bytes()[0],
        kind,
    })
}

#[inline]
pub(super) fn put_header(form: FrameKind, size: usize, output: &mut Vec<u8>) {
    let payload = u32::try_from(size).unwrap_or(u32::MAX);
    let header = Header::new(header::kind_of(form), payload);
    output.extend_from_slice(&header.to_bytes());
}

pub(super) fn written(bytes: &[u8]) -> Option<(usize, bool)> {
    let header = Header::read(bytes).ok()??;
    Some((header.whole(), header::frame_kind(header.kind).is_some()))
}

/// The form of a frame, by the bytes in front of its payload.
pub(super) const fn kind(header: &[u8]) -> FrameKind {
    match header.last_chunk::<{ HEADER - 4 }>() {
        Some([kind, ..]) => match header::frame_kind(*kind) {
            Some(form) => form,
            None => FrameKind::Bytes,
        },
        None => FrameKind::Bytes,
    }
}

pub(super) fn padding(size: usize) -> &'static [u8] {
    &[0; Header::ALIGNMENT][..header::padding(size)]
}

#[cfg(test)]
mod tests {
    use super::super::Framing;
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Header::new(kind, payload.len().try_into().unwrap())
            .to_bytes()
            .to_vec();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn what_stands_at_the_beginning_is_told_by_the_header() {
        let framing = Framing::Masep {
            receives: 5_000,
            sends: 10,
        };
        let extent = |kind, body, padding| Extent {
            header: 8,
            body,
            padding,
            kind,
        };
        for (kind, form) in [
            (kind::CBOR, FrameKind::Cbor),
            (kind::XML, FrameKind::Xml),
            (kind::BYTES, FrameKind::Bytes),
        ] {
            let expected = Next::Frame(extent(form, 3, 5));
            let bytes = frame(kind, b"BYE");
            assert_eq!(framing.scan(&bytes), expected);
            for length in 8..bytes.len() {
                let partial = Next::Partial { whole: Some(16) };
                assert_eq!(framing.scan(&bytes[..length]), partial);
            }
            assert_eq!(framing.scan(&bytes[..7]), Next::Partial { whole: None });
        }
        for kind in [kind::BYE, kind::PING, 128, 255] {
            let expected = Next::Control(kind, extent(FrameKind::Bytes, 8, 0));
            assert_eq!(framing.scan(&frame(kind, &[7; 8])), expected);
        }
        for kind in [0, 8, 15, 19, 127] {
            let expected = Next::Refused(Refused::Kind(kind));
            assert_eq!(framing.scan(&frame(kind, b"")), expected);
        }
    }

    #[test]
    fn a_size_is_refused_by_the_header_alone() {
        let framing = Framing::Masep {
            receives: 1 << 20,
            sends: 10,
        };
        for (kind, allowed) in [
            (kind::CBOR, 1 << 20),
            (200, 1 << 20),
            (kind::NOTICE, 4_096),
            (kind::PING, 4_096),
        ] {
            let header = |size| Header::new(kind, size).to_bytes();
            let whole = framing.scan(&header(allowed));
            assert!(
                matches!(whole, Next::Partial { whole: Some(_) }),
                "{whole:?}"
            );
            let Next::TooLarge(limit) = framing.scan(&header(allowed + 1)) else {
                panic!("it is too large");
            };
            assert_eq!(limit.allowed, allowed as usize);
        }
        assert_eq!(framing.check(10), Ok(()));
        assert!(framing.check(11).is_err());
        let own = Header::new(kind::CBOR, u32::MAX).to_bytes();
        assert!(matches!(
            framing.outgoing().scan(&own),
            Next::Partial { .. }
        ));
    }

    #[test]
    fn padding_that_is_not_zero_is_refused() {
        let framing = Framing::Masep {
            receives: 10,
            sends: 10,
        };
        let mut bytes = frame(kind::BYTES, b"x");
        bytes[15] = 1;
        assert_eq!(framing.scan(&bytes), Next::Refused(Refused::Reserved));
    }

    #[test]
    fn memory_is_reserved_when_a_sixteenth_has_arrived() {
        let framing = Framing::Masep {
            receives: 10,
            sends: 10,
        };
        assert_eq!(framing.may_reserve(8, 1_600), 8);
        assert_eq!(framing.may_reserve(99, 1_600), 99);
        assert_eq!(framing.may_reserve(100, 1_600), 1_500);
        assert_eq!(Framing::Pymasep { max: 9 }.may_reserve(100, 1_600), 100);
    }
}
