//! What engines and interfaces say to each other.

use bytes::Bytes;
use bytestring::ByteString;

use crate::{DecodeError, Dict, EncodeError, Frame, Limits, TypeName, Value};

/// The type of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// `define`.
    Define,
    /// `register`.
    Register,
    /// `observation`.
    Observation,
    /// `action`.
    Action,
    /// `quit`.
    Quit,
    /// `end`.
    End,
    /// Any other type: carried, not refused.
    Other(ByteString),
}

/// What an interface is to the game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `Actor`: controls an agent.
    Actor,
    /// `Observer`: watches.
    Observer,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// What it says.
    pub msg_type: MessageType,
    /// Its parameters: a dict, or `None` for none.
    pub params: Value,
    /// The sub-application that sends it, by its own word.
    pub src_sub_app: ByteString,
}

impl Message {
    /// A message of any type.
    pub fn new(msg_type: MessageType, params: Value, src_sub_app: impl Into<ByteString>) -> Self {
        Self {
            msg_type,
            params,
            src_sub_app: src_sub_app.into(),
        }
    }
    /// I → E: which game to play.
    pub fn define(_src: impl Into<ByteString>, _game: TypeName) -> Self {
        todo!()
    }
    /// I → E: an interface joins.
    pub fn register(
        _src: impl Into<ByteString>,
        _id: impl Into<ByteString>,
        _queue_id: i64,
        _role: Role,
    ) -> Self {
        todo!()
    }
    /// E → I: what the interface sees.
    pub fn observation(
        _src: impl Into<ByteString>,
        _observation: Value,
        _additional_information: Dict,
    ) -> Self {
        todo!()
    }
    /// I → E: what the interface does.
    pub fn action(_src: impl Into<ByteString>, _action: impl Into<Value>) -> Self {
        todo!()
    }
    /// I → E: the user ends the game.
    pub fn quit(_src: impl Into<ByteString>) -> Self {
        todo!()
    }
    /// E → I: the game is over.
    pub fn end(_src: impl Into<ByteString>) -> Self {
        todo!()
    }
    /// The bytes of the message.
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        todo!()
    }
    /// The message as the body of a frame.
    pub fn to_frame(&self) -> Result<Frame, EncodeError> {
        todo!()
    }
    /// Reads a message within the default limits.
    pub fn from_bytes(_bytes: impl Into<Bytes>) -> Result<Self, DecodeError> {
        todo!()
    }
    /// Reads a message within these limits.
    pub fn decode(_bytes: Bytes, _limits: &Limits) -> Result<Self, DecodeError> {
        todo!()
    }
}
