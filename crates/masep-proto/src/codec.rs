//! Encodings of messages on a connection.

use std::sync::Arc;

use bytes::Bytes;

use crate::cbor::{Bounds, MapWriter};
use crate::connection::{Config, PeerLimits};
use crate::protocol2::Protocol;
use crate::{
    DecodeError, DecodeErrorKind, Dict, EncodeError, Frame, FrameKind, Message, PeerId, Pieces,
    Position, cbor,
};

/// The form of messages on one connection, with its bounds:
/// [`Connection::encoding`](crate::connection::Connection::encoding). It holds nothing of the connection, so that
/// messages are written and read outside its lock.
///
/// To a peer of pymasep's protocol messages go in XML, to one of protocol 2 in CBOR. Two connections with the same
/// [`protocol`](Self::protocol) write a message as the same frame.
#[derive(Clone, Debug)]
pub struct Encoding {
    config: Arc<Config>,
    peer: Option<PeerId>,
    limits: PeerLimits,
    /// The largest payload that this side receives in protocol 2.
    receives: u32,
}

impl Encoding {
    pub(crate) const fn new(
        config: Arc<Config>,
        peer: Option<PeerId>,
        limits: PeerLimits,
        receives: u32,
    ) -> Self {
        Self {
            config,
            peer,
            limits,
            receives,
        }
    }

    /// The generation of the protocol that messages are written for.
    pub const fn protocol(&self) -> Protocol {
        self.limits.protocol
    }

    /// A message as a frame. The call that sends it tells whether it is too large.
    ///
    /// # Errors
    /// A message over a bound. To a peer of pymasep's protocol an array: [`EncodeError::Peer`].
    pub fn encode(&self, message: &Message) -> Result<Frame, EncodeError> {
        self.encode_turn(message, None)
    }

    /// A message that belongs to the turn of a game as a frame; pymasep's protocol has no place for what belongs to the
    /// turn, which is left out there.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_turn(
        &self,
        message: &Message,
        turn: Option<&Dict>,
    ) -> Result<Frame, EncodeError> {
        match self.limits.protocol {
            Protocol::Pymasep => {
                let body = message.encode(self.config.limits());
                let body = body.map_err(|error| self.name_peer(error))?;
                Ok(Frame::of(FrameKind::Xml, body))
            }
            Protocol::Masep2 => {
                let body = cbor::encode_within(message, turn, self.sending())?;
                Ok(Frame::of(FrameKind::Cbor, body))
            }
        }
    }

    /// A message that many are sent, each with a turn of its own: it is encoded once. `None` in pymasep's protocol, which has
    /// no place for turns.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_for_turns(&self, message: &Message) -> Result<Option<ForTurns>, EncodeError> {
        match self.limits.protocol {
            Protocol::Pymasep => Ok(None),
            Protocol::Masep2 => {
                let payload = cbor::encode_open(message, self.sending())?;
                Ok(Some(ForTurns(payload)))
            }
        }
    }

    /// A message as a frame whose large arrays stay where they are, in protocol 2. Without any, and in pymasep's protocol, it
    /// is a frame as others are.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_pieces(&self, message: &Message) -> Result<Result<Pieces, Frame>, EncodeError> {
        self.encode_turn_pieces(message, None)
    }

    /// [`encode_pieces`](Self::encode_pieces) of a message that belongs to the turn of a game, as
    /// [`encode_turn`](Self::encode_turn) has it.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_turn_pieces(
        &self,
        message: &Message,
        turn: Option<&Dict>,
    ) -> Result<Result<Pieces, Frame>, EncodeError> {
        match self.limits.protocol {
            Protocol::Pymasep => self.encode(message).map(Err),
            Protocol::Masep2 => {
                let pieces = cbor::encode_pieces(message, turn, self.sending())?;
                Ok(if pieces.is_whole() {
                    Err(pieces.into_frame())
                } else {
                    Ok(pieces)
                })
            }
        }
    }

    /// The bounds of messages that are sent: the peer's limit is that of the frame.
    fn sending(&self) -> Bounds<'_> {
        Bounds::sending(self.config.limits(), self.limits.frame_bytes)
    }

    /// An error that is the peer's doing names it.
    fn name_peer(&self, error: EncodeError) -> EncodeError {
        match (&self.peer, error) {
            (Some(peer), error @ EncodeError::Array { .. }) => EncodeError::Peer {
                peer: peer.clone(),
                protocol: self.limits.protocol,
                error: Box::new(error),
            },
            (_, error) => error,
        }
    }

    /// The message in a frame. Texts and elements in it are slices of the frame where that is possible.
    ///
    /// # Errors
    /// A frame that is no message, or over a bound; with the position.
    pub fn decode(&self, frame: Frame) -> Result<Message, DecodeError> {
        self.decode_turn(frame).map(|(message, _)| message)
    }

    /// The message in a frame, and what belongs to the turn of a game.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_turn(&self, frame: Frame) -> Result<(Message, Option<Dict>), DecodeError> {
        self.decode_with(frame, cbor::decode_within)
    }

    /// The message in a frame, and the bytes of what belongs to the turn of a game: a map in CBOR, of which nothing else is
    /// known, for [`read_map`](cbor::read_map). It costs less than the dict of [`decode_turn`](Self::decode_turn).
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_in_turn(&self, frame: Frame) -> Result<(Message, Option<Bytes>), DecodeError> {
        self.decode_with(frame, cbor::decode_turn_within)
    }

    fn decode_with<T>(
        &self,
        frame: Frame,
        decode: impl FnOnce(&Bytes, Bounds<'_>) -> Result<(Message, Option<T>), DecodeError>,
    ) -> Result<(Message, Option<T>), DecodeError> {
        let limits = self.config.limits();
        let kind = frame.kind();
        let body = frame.into_bytes();
        if self.limits.protocol == Protocol::Pymasep {
            return Message::decode(body, limits).map(|message| (message, None));
        }
        let bounds = Bounds::receiving(limits, self.receives as usize);
        match kind {
            FrameKind::Xml => {
                Message::decode(body, &bounds.to_limits()).map(|message| (message, None))
            }
            FrameKind::Bytes => Err(DecodeError {
                kind: DecodeErrorKind::UnexpectedItem(
                    "plain bytes, which are for recv, in place of a message",
                ),
                position: Position::START,
            }),
            FrameKind::Cbor => decode(&body, bounds),
        }
    }
}

/// A message without what belongs to the turn of a game: see [`Encoding::encode_for_turns`].
#[derive(Clone, Debug)]
pub struct ForTurns(Bytes);

impl ForTurns {
    /// The message as a frame, with the data of a turn, which `turn` writes: a map of at most 64 items.
    pub fn frame(&self, turn: impl FnOnce(&mut MapWriter)) -> Frame {
        let mut map = MapWriter::behind(&self.0);
        turn(&mut map);
        Frame::of(FrameKind::Cbor, Bytes::from(map.finish()))
    }
}
