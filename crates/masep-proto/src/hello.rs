//! The handshake: each side sends its id as the first frame, the one who connected speaks first.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use bytes::{Buf, Bytes, BytesMut};
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

/// One side of the handshake, as a state machine: bytes in, bytes out.
///
/// ```
/// # use masep_proto::{Handshake, Limits};
/// # use bytes::BytesMut;
/// let limits = Limits::default();
/// let mut client = Handshake::initiator("agent", &limits)?;
/// let mut server = Handshake::acceptor("engine", &limits)?;
///
/// let mut to_server = BytesMut::from(&client.poll_transmit().unwrap()[..]);
/// assert_eq!(server.handle(&mut to_server)?.unwrap().as_str(), "agent");
/// let mut to_client = BytesMut::from(&server.poll_transmit().unwrap()[..]);
/// assert_eq!(client.handle(&mut to_client)?.unwrap().as_str(), "engine");
/// # Ok::<(), masep_proto::HelloError>(())
/// ```
#[derive(Debug)]
pub struct Handshake {
    /// Our hello, until it was handed out; the acceptor's is held back until the initiator's came.
    unsent: Option<Bytes>,
    may_send: bool,
    codec: FrameCodec,
    id_bytes: usize,
}

impl Handshake {
    /// The side that connected: it speaks first.
    ///
    /// # Errors
    /// An own id that no peer could take: too long, or the word `BYE`.
    pub fn initiator(id: &str, limits: &Limits) -> Result<Self, HelloError> {
        Self::new(id, limits, true)
    }

    /// The side that was connected to: it answers.
    ///
    /// # Errors
    /// An own id that no peer could take: too long, or the word `BYE`.
    pub fn acceptor(id: &str, limits: &Limits) -> Result<Self, HelloError> {
        Self::new(id, limits, false)
    }

    fn new(id: &str, limits: &Limits, may_send: bool) -> Result<Self, HelloError> {
        Ok(Self {
            unsent: Some(own_hello(id, limits)?),
            may_send,
            codec: FrameCodec::new(limits),
            id_bytes: limits.id_bytes,
        })
    }

    /// Our hello, once, when it is our turn to send it.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        if self.may_send {
            self.unsent.take()
        } else {
            None
        }
    }

    /// Takes the peer's hello out of `input`: its id, or `None` if it has not arrived whole.
    /// Bytes behind the hello stay in `input`: a peer may send its first frames with it.
    ///
    /// # Errors
    /// A hello that is no id. The connection cannot go on.
    pub fn handle(&mut self, input: &mut BytesMut) -> Result<Option<PeerId>, HelloError> {
        let heard = read_hello(input, self.codec, self.id_bytes)?;
        Ok(heard.map(|(id, taken)| {
            input.advance(taken);
            self.may_send = true;
            id
        }))
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

    fn acceptor() -> Handshake {
        Handshake::acceptor("engine", &Limits::default()).unwrap()
    }

    #[test]
    fn the_acceptor_is_silent_until_it_heard_a_hello() {
        let mut server = acceptor();
        assert_eq!(server.poll_transmit(), None);
        let mut input = BytesMut::from(&b"\x05\x00agent\x01\x00x"[..]);
        assert_eq!(
            server.handle(&mut input).unwrap(),
            Some(PeerId::from("agent"))
        );
        assert_eq!(
            input,
            &b"\x01\x00x"[..],
            "the first frame after the hello is kept"
        );
        assert_eq!(server.poll_transmit().unwrap(), &b"\x06\x00engine"[..]);
        assert_eq!(server.poll_transmit(), None);
    }

    #[test]
    fn a_hello_byte_by_byte_is_the_same_hello() {
        let mut server = acceptor();
        let mut input = BytesMut::new();
        let mut id = None;
        for byte in "\x09\x00engine-é".bytes() {
            assert_eq!(id, None);
            input.extend_from_slice(&[byte]);
            id = server.handle(&mut input).unwrap();
        }
        assert_eq!(id.unwrap().as_str(), "engine-é");
    }

    #[test]
    fn bad_hellos_are_told_apart() {
        let hear = |bytes: &[u8]| acceptor().handle(&mut BytesMut::from(bytes)).unwrap_err();
        assert_eq!(hear(b"\x02\x00\xff\xfe"), HelloError::NotUtf8);
        assert_eq!(hear(b"\x03\x00BYE"), HelloError::Bye);
        assert_eq!(
            hear(b"\x01\x04"),
            HelloError::Limit(LimitExceeded {
                limit: Limit::IdBytes,
                actual: 1_025,
                allowed: 1_024
            })
        );
    }

    #[test]
    fn an_empty_id_is_an_id_as_it_is_for_pymasep() {
        assert_eq!(
            acceptor()
                .handle(&mut BytesMut::from(&b"\0\0"[..]))
                .unwrap(),
            Some(PeerId::from(""))
        );
    }

    #[test]
    fn an_own_id_that_no_peer_could_take_is_refused() {
        let limits = Limits::default().id_bytes(3);
        assert!(matches!(
            Handshake::initiator("long", &limits),
            Err(HelloError::Limit(_))
        ));
        assert!(matches!(
            Handshake::initiator("BYE", &limits),
            Err(HelloError::Bye)
        ));
    }
}
