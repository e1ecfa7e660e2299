//! What engines and interfaces say to each other.

use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    DecodeError, Dict, Element, EncodeError, Frame, Limit, LimitExceeded, Limits, TypeName, Value,
    xml,
};

/// The type of a message.
#[derive(Clone, Debug)]
pub enum MessageType {
    /// `define`, interface to engine: which game to play.
    Define,
    /// `register`, interface to engine: an interface joins.
    Register,
    /// `observation`, engine to interface: what the interface sees.
    Observation,
    /// `action`, interface to engine: what the interface does.
    Action,
    /// `quit`, interface to engine: the user ends the game.
    Quit,
    /// `end`, engine to interface: the game is over.
    End,
    /// Any other type: carried, not refused.
    Other(ByteString),
}

impl MessageType {
    /// The type as it stands in the message: `"define"`, ...
    pub fn as_str(&self) -> &str {
        match self {
            Self::Define => "define",
            Self::Register => "register",
            Self::Observation => "observation",
            Self::Action => "action",
            Self::Quit => "quit",
            Self::End => "end",
            Self::Other(other) => other,
        }
    }

    fn known(name: &str) -> Option<Self> {
        Some(match name {
            "define" => Self::Define,
            "register" => Self::Register,
            "observation" => Self::Observation,
            "action" => Self::Action,
            "quit" => Self::Quit,
            "end" => Self::End,
            _ => return None,
        })
    }
}

impl From<&str> for MessageType {
    fn from(name: &str) -> Self {
        Self::known(name).unwrap_or_else(|| Self::Other(name.into()))
    }
}

impl From<String> for MessageType {
    fn from(name: String) -> Self {
        ByteString::from(name).into()
    }
}

impl From<ByteString> for MessageType {
    fn from(name: ByteString) -> Self {
        Self::known(&name).unwrap_or(Self::Other(name))
    }
}

/// By the text: `Other("end")` is `End`.
impl PartialEq for MessageType {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for MessageType {}

impl Hash for MessageType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an interface is to the game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `Actor`: controls an agent.
    Actor,
    /// `Observer`: watches.
    Observer,
}

impl Role {
    /// The role as it stands in the message: `"Actor"` or `"Observer"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actor => "Actor",
            Self::Observer => "Observer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message between an engine and an interface.
///
/// ```
/// use masep_proto::{Dict, Message, MessageType, TypeName, Value};
/// let message = Message::define("agent-1", TypeName::from("pursuit.PursuitGame"));
/// let bytes = message.to_bytes()?;
/// assert_eq!(
///     bytes,
///     "<Message msg_type=\"define\" src_sub_app=\"agent-1\"><dict><item key=\"game\">\
///      <type>&lt;class 'pursuit.PursuitGame'&gt;</type></item></dict></Message>"
/// );
/// assert_eq!(Message::from_bytes(bytes)?, message);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// What it says.
    pub msg_type: MessageType,
    /// Its parameters: a dict, or `None` for none. Parameters that Python takes for false (an empty
    /// dict, ...) are not sent, and what is neither false nor a dict is refused by every receiver.
    pub params: Value,
    /// The sub-application that sends it, by its own word.
    pub src_sub_app: ByteString,
}

impl Message {
    /// A message of any type.
    pub fn new(
        msg_type: impl Into<MessageType>,
        params: impl Into<Value>,
        src_sub_app: impl Into<ByteString>,
    ) -> Self {
        Self {
            msg_type: msg_type.into(),
            params: params.into(),
            src_sub_app: src_sub_app.into(),
        }
    }

    /// Interface to engine: which game to play. It is the first message that an engine awaits.
    pub fn define(src: impl Into<ByteString>, game: TypeName) -> Self {
        Self::new(MessageType::Define, Dict::from([("game", game)]), src)
    }

    /// Interface to engine: an interface joins. `id` is its id (pymasep's are also their `src`),
    /// `queue_id` is the number of a queue in the engine's own process (0 for whoever is not in
    /// it; pymasep looks at it only if no connection has this id).
    pub fn register(
        src: impl Into<ByteString>,
        id: impl Into<ByteString>,
        queue_id: i64,
        role: Role,
    ) -> Self {
        let params = Dict::new()
            .with("id", id.into())
            .with("queue_id", queue_id)
            .with("role", role.as_str());
        Self::new(MessageType::Register, params, src)
    }

    /// Engine to interface: what the interface sees (a State), and what else it should know (the
    /// reward, a log of the game, ...).
    pub fn observation(
        src: impl Into<ByteString>,
        observation: Value,
        additional_information: Dict,
    ) -> Self {
        let params = Dict::new()
            .with("observation", observation)
            .with("additional_information", additional_information);
        Self::new(MessageType::Observation, params, src)
    }

    /// Interface to engine: what the interface does (an [`Action`](crate::Action)).
    pub fn action(src: impl Into<ByteString>, action: impl Into<Value>) -> Self {
        let params = Dict::from([("action", action.into())]);
        Self::new(MessageType::Action, params, src)
    }

    /// Interface to engine: the user ends the game, for everybody.
    pub fn quit(src: impl Into<ByteString>) -> Self {
        Self::new(MessageType::Quit, Value::None, src)
    }

    /// Engine to interface: the game is over.
    pub fn end(src: impl Into<ByteString>) -> Self {
        Self::new(MessageType::End, Value::None, src)
    }

    /// A parameter.
    pub fn param(&self, name: &str) -> Option<&Value> {
        self.params.get(name)
    }

    /// The bytes of the message, exactly those that pymasep 0.2 would send for it.
    ///
    /// # Errors
    /// A message that is deeper than the default of [`Limits::depth`].
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        xml::encode_message(self, &Limits::default())
    }

    /// The message as the body of a frame. Whether it fits into one is checked by the call that
    /// sends it.
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes).
    pub fn to_frame(&self) -> Result<Frame, EncodeError> {
        Ok(Frame::new(self.to_bytes()?))
    }

    /// Reads a message within the default limits.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self, DecodeError> {
        Self::decode(bytes.into(), &Limits::default())
    }

    /// Reads a message within these limits. Texts and elements in it are slices of `bytes` where
    /// that is possible, and keep them alive.
    ///
    /// # Errors
    /// Bytes that are no well-formed XML, no message, or over a limit; with the position.
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        xml::decode_message(bytes, limits)
    }

    /// The message as an element.
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes).
    pub fn to_element(&self) -> Result<Element, EncodeError> {
        let encoded = xml::encode_message_element(self);
        LimitExceeded::check(Limit::Depth, encoded.depth, Limits::default().depth)?;
        Ok(encoded.into())
    }

    /// Reads a message from an element.
    ///
    /// # Errors
    /// An element that is no message.
    pub fn from_element(element: &Element) -> Result<Self, DecodeError> {
        Self::from_bytes(element.as_xml().as_bytes().clone())
    }
}

impl TryFrom<&Element> for Message {
    type Error = DecodeError;

    fn try_from(element: &Element) -> Result<Self, DecodeError> {
        Self::from_element(element)
    }
}

impl TryFrom<&Message> for Element {
    type Error = EncodeError;

    fn try_from(message: &Message) -> Result<Self, EncodeError> {
        message.to_element()
    }
}

/// The message as XML, as Python's `str(message)`.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&xml::encode_message_element(self).xml)
    }
}
