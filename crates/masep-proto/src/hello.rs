//! Hellos: each side sends its id as the first frame, the one who connected speaks first.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use crate::printable::Quoted;
use crate::protocol2::preamble;
use crate::{DecodeError, EncodeError, Frame, FrameCodec, Limit, LimitExceeded, Limits};

/// The id by which a peer is known, from its hello. Cheap to clone.
///
/// pymasep makes a UUID for each engine and interface, but any text is an id. An id is a claim: the
/// protocol has nothing that proves it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(ByteString);

impl PeerId {
    /// An id made of this text.
    pub fn new(id: impl Into<ByteString>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for PeerId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for PeerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PeerId {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for PeerId {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Quoted and escaped: an id comes from outside and may hold anything.
impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Quoted(&self.0), f)
    }
}

/// The reason why a handshake failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// The peer's id is not UTF-8. (pymasep's accept thread dies of it.)
    #[error("the id in the hello is not UTF-8")]
    NotUtf8,
    /// The peer said `BYE` instead of its id: it does not want this connection.
    #[error("the peer said BYE instead of hello")]
    Bye,
    /// The id or the frame around it is too long.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// An id that the protocol has for itself: `masep/` and digits.
    #[error("the protocol has an id like this for itself")]
    Reserved,
    /// The peer's first bytes begin as those of a masep peer, and go on in another way.
    #[error("the first bytes are those of no generation of the protocol")]
    Preamble,
    /// The first message of protocol 2 is none.
    #[error("the first message of protocol 2: {0}")]
    Control(DecodeError),
    /// An own id, or another name that this side says of itself in protocol 2, cannot be sent.
    #[error(transparent)]
    Own(EncodeError),
    /// The peer speaks other generations of masep's protocol, from the first to the second of these.
    #[error("the peer speaks the generations {0} to {1} of the protocol, and not 2")]
    Version(u16, u16),
}

impl From<EncodeError> for HelloError {
    /// The error for what this side would have said.
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Limit(limit) => Self::Limit(limit),
            error => Self::Own(error),
        }
    }
}

/// Our hello as bytes, header first.
///
/// # Errors
/// An own id that no peer could take: too long, or the word `BYE`.
pub(crate) fn own_hello(id: &str, limits: &Limits) -> Result<Bytes, HelloError> {
    let hello = Frame::hello(id);
    if hello.is_bye() {
        return Err(HelloError::Bye);
    }
    if preamble::generation(id).is_some() {
        return Err(HelloError::Reserved);
    }
    LimitExceeded::check(Limit::IdBytes, id.len(), limits.id_bytes)?;
    let mut bytes = BytesMut::new();
    FrameCodec::new(limits).encode(&hello, &mut bytes)?;
    Ok(bytes.freeze())
}

/// The peer's hello at the beginning of `input`: the id, and how many bytes it took. `None` if it has not
/// arrived whole.
///
/// # Errors
/// A hello that is no id.
pub(crate) fn read_hello(
    input: &[u8],
    codec: FrameCodec,
    id_bytes: usize,
) -> Result<Option<(PeerId, usize)>, HelloError> {
    let Some(whole) = FrameCodec::claimed_bytes(input) else {
        return Ok(None);
    };
    // The length that the header claims is enough to refuse an id that is too long.
    LimitExceeded::check(Limit::IdBytes, whole - FrameCodec::HEADER_BYTES, id_bytes)?;
    if codec.peek(input)?.is_none() {
        return Ok(None);
    }
    let id = &input[FrameCodec::HEADER_BYTES..whole];
    if id == b"BYE" {
        return Err(HelloError::Bye);
    }
    let id = std::str::from_utf8(id).map_err(|_| HelloError::NotUtf8)?;
    Ok(Some((id.into(), whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Result<Option<(PeerId, usize)>, HelloError> {
        let limits = Limits::default();
        read_hello(input, FrameCodec::new(&limits), limits.id_bytes)
    }

    #[test]
    fn a_hello_is_read_when_it_is_whole_and_what_follows_is_not() {
        let input = "\x09\x00engine-é\x01\x00x".as_bytes();
        let whole = 2 + "engine-é".len();
        for arrived in 0..whole {
            assert_eq!(read(&input[..arrived]), Ok(None));
        }
        for arrived in whole..=input.len() {
            let expected = (PeerId::from("engine-é"), whole);
            assert_eq!(read(&input[..arrived]), Ok(Some(expected)));
        }
    }

    #[test]
    fn bad_hellos_are_told_apart() {
        assert_eq!(read(b"\x02\x00\xff\xfe"), Err(HelloError::NotUtf8));
        assert_eq!(read(b"\x03\x00BYE"), Err(HelloError::Bye));
        assert_eq!(
            read(b"\x01\x04"),
            Err(HelloError::Limit(LimitExceeded {
                limit: Limit::IdBytes,
                actual: 1_025,
                allowed: 1_024
            }))
        );
    }

    #[test]
    fn an_empty_id_is_an_id_as_it_is_for_pymasep() {
        assert_eq!(read(b"\0\0"), Ok(Some((PeerId::from(""), 2))));
    }

    #[test]
    fn an_own_id_that_no_peer_could_take_is_refused() {
        let limits = Limits::default().id_bytes(3);
        assert!(matches!(
            own_hello("long", &limits),
            Err(HelloError::Limit(_))
        ));
        assert_eq!(own_hello("BYE", &limits), Err(HelloError::Bye));
        assert_eq!(own_hello("é", &limits).as_deref(), Ok("\x02\0é".as_bytes()));
    }
}
