//! Encodings of messages on a connection. A second encoding is a variant here.

use std::sync::Arc;

use crate::connection::Config;
use crate::{DecodeError, EncodeError, Frame, Message};

/// The form of messages on one connection, with its bounds:
/// [`Connection::encoding`](crate::connection::Connection::encoding). It holds nothing of the connection, so that
/// messages are written and read outside its lock.
#[derive(Clone, Debug)]
pub struct Encoding {
    kind: Kind,
    config: Arc<Config>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// pymasep's.
    Xml,
}

impl Encoding {
    pub(crate) const fn xml(config: Arc<Config>) -> Self {
        Self {
            kind: Kind::Xml,
            config,
        }
    }

    /// A message as a frame. Whether it is too large is told by the call that sends it.
    ///
    /// # Errors
    /// A message over a bound.
    pub fn encode(&self, message: &Message) -> Result<Frame, EncodeError> {
        let Kind::Xml = self.kind;
        message.encode(self.config.limits()).map(Frame::new)
    }

    /// The message in a frame. Texts and elements in it are slices of the frame where that is possible.
    ///
    /// # Errors
    /// A frame that is no message, or over a bound; with the position.
    pub fn decode(&self, frame: Frame) -> Result<Message, DecodeError> {
        let Kind::Xml = self.kind;
        Message::decode(frame.into_bytes(), self.config.limits())
    }
}
