//! The messages between engines and interfaces.

mod kind;

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

pub use kind::{MessageType, Role};

use crate::printable::{Quoted, debug_bounded};
use crate::{
    DecodeError, Dict, Element, EncodeError, Frame, FrameKind, Limits, TypeName, Value, xml,
};

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
#[derive(Clone, PartialEq)]
pub struct Message {
    /// The type of the message.
    pub msg_type: MessageType,
    /// Its parameters: a dict, or `None` for none. Parameters that Python takes for false (an empty
    /// dict, ...) are not sent, and what is neither false nor a dict is refused by every receiver.
    pub params: Value,
    /// The sub-application that sends it, by its own word.
    pub src_sub_app: ByteString,
}

/// A key that takes no memory.
const fn key(text: &'static str) -> ByteString {
    ByteString::from_static(text)
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
        Self::new(MessageType::Define, Dict::from([(key("game"), game)]), src)
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
        let params = Dict::with_capacity(3)
            .with(key("id"), id.into())
            .with(key("queue_id"), queue_id)
            .with(key("role"), ByteString::from_static(role.as_str()));
        Self::new(MessageType::Register, params, src)
    }

    /// Engine to interface: what the interface sees (a State), and what else it should know (the
    /// reward, a log of the game, ...).
    pub fn observation(
        src: impl Into<ByteString>,
        observation: Value,
        additional_information: Dict,
    ) -> Self {
        let params = Dict::with_capacity(2)
            .with(key("observation"), observation)
            .with(key("additional_information"), additional_information);
        Self::new(MessageType::Observation, params, src)
    }

    /// Interface to engine: what the interface does (an [`Action`](crate::Action)).
    pub fn action(src: impl Into<ByteString>, action: impl Into<Value>) -> Self {
        let params = Dict::from([(key("action"), action.into())]);
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
    /// As [`encode`](Self::encode) with the default limits: a receiver that has them would not take it.
    pub fn to_bytes(&self) -> Result<Bytes, EncodeError> {
        self.encode(&Limits::default())
    }

    /// As [`to_bytes`](Self::to_bytes), for a receiver with these limits.
    ///
    /// # Errors
    /// A message over [`Limits::message_bytes`], [`Limits::depth`], [`Limits::nodes`], [`Limits::text_bytes`] or
    /// [`Limits::int_digits`]; [`EncodeError::Array`] for an array, which pymasep's protocol does not have.
    pub fn encode(&self, limits: &Limits) -> Result<Bytes, EncodeError> {
        xml::encode_message(self, limits)
    }

    /// The message as a frame in pymasep's XML, which peers of either generation of the protocol take for a message. The
    /// call that sends the frame checks that it is not too large.
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes).
    pub fn to_frame(&self) -> Result<Frame, EncodeError> {
        Ok(Frame::of(FrameKind::Xml, self.to_bytes()?))
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
        Ok(xml::encode_checked_element(self)?.into())
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

/// The beginning of it, if it is long: at most some 4 KB.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_bounded(f, |f| {
            f.debug_struct("Message")
                .field("msg_type", &self.msg_type)
                .field("params", &self.params)
                .field("src_sub_app", &Quoted(&self.src_sub_app))
                .finish()
        })
    }
}

/// The message as XML, as Python's `str(message)`.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&xml::encode_message_element(self).0.xml)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Int, Limit, LimitExceeded};

    fn text(message: &Message) -> String {
        String::from_utf8(message.to_bytes().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn the_messages_of_a_game_are_pymaseps() {
        for (message, xml) in [
            (
                Message::define("i\u{e9}\"", TypeName::from("pursuit.PursuitGame")),
                "<Message msg_type=\"define\" src_sub_app=\"i&#233;&quot;\"><dict><item key=\"game\">\
                 <type>&lt;class 'pursuit.PursuitGame'&gt;</type></item></dict></Message>",
            ),
            (
                Message::register("i", "i", 0, Role::Actor),
                "<Message msg_type=\"register\" src_sub_app=\"i\"><dict><item key=\"id\"><str>i</str>\
                 </item><item key=\"queue_id\"><int>0</int></item><item key=\"role\"><str>Actor</str>\
                 </item></dict></Message>",
            ),
            (
                Message::observation(
                    "e",
                    Element::parse("<State name=\"State\" />").unwrap().into(),
                    Dict::from([("reward", -1)]),
                ),
                "<Message msg_type=\"observation\" src_sub_app=\"e\"><dict><item key=\"observation\">\
                 <State name=\"State\" /></item><item key=\"additional_information\"><dict>\
                 <item key=\"reward\"><int>-1</int></item></dict></item></dict></Message>",
            ),
            (
                Message::action("i", Action::new(1)),
                "<Message msg_type=\"action\" src_sub_app=\"i\"><dict><item key=\"action\">\
                 <Action type=\"1\" /></item></dict></Message>",
            ),
            (
                Message::quit("i"),
                "<Message msg_type=\"quit\" src_sub_app=\"i\" />",
            ),
            (
                Message::end(""),
                "<Message msg_type=\"end\" src_sub_app=\"\" />",
            ),
        ] {
            assert_eq!(text(&message), xml);
            assert_eq!(message.to_string(), xml);
            assert_eq!(message.to_element().unwrap().as_xml(), xml);
            assert_eq!(Message::from_bytes(xml).unwrap(), message);
            assert_eq!(
                Message::from_element(&message.to_element().unwrap()).unwrap(),
                message
            );
            let frame = message.to_frame().unwrap();
            assert_eq!(frame.bytes(), xml);
            assert_eq!(
                frame.kind(),
                FrameKind::Xml,
                "a message for peers of protocol 2 too"
            );
        }
    }

    #[test]
    fn parameters_that_are_false_in_python_are_not_sent() {
        for params in [
            Value::None,
            Dict::new().into(),
            Value::List(vec![]),
            Value::Set(vec![]),
            "".into(),
            0.into(),
            0.0.into(),
            false.into(),
            Bytes::new().into(),
        ] {
            let message = Message::new("end", params, "x");
            assert_eq!(
                text(&message),
                "<Message msg_type=\"end\" src_sub_app=\"x\" />"
            );
        }
        assert_eq!(
            text(&Message::new("end", Value::from([1]), "x")),
            "<Message msg_type=\"end\" src_sub_app=\"x\"><list><item><int>1</int></item></list></Message>",
            "as pymasep sends it, though nobody takes it"
        );
    }

    #[test]
    fn a_message_that_is_too_deep_is_refused() {
        let nested = |levels| {
            let inner = (0..levels).fold(Value::from("leaf"), |inner, _| Value::List(vec![inner]));
            Message::new("action", Dict::from([("d", inner)]), "x")
        };
        // Message, dict and item, two for each list, and the leaf.
        assert!(Message::from_bytes(nested(510).to_bytes().unwrap()).is_ok());
        let refused = LimitExceeded {
            limit: Limit::Depth,
            actual: 1_026,
            allowed: 1_024,
        };
        assert_eq!(nested(511).to_bytes(), Err(refused.into()));
        // An element counts with its own depth.
        let element = nested(510).to_element().unwrap();
        let twice = Message::new("action", Dict::from([("e", element)]), "x");
        assert!(matches!(twice.to_bytes(), Err(EncodeError::Limit(_))));
    }

    #[test]
    fn an_int_that_python_could_not_read_is_refused() {
        let message = |digits: usize| {
            let int = Int::parse(&format!("-{}", "9".repeat(digits)), usize::MAX).unwrap();
            Message::new("action", Dict::from([("n", Value::Int(int))]), "x")
        };
        assert!(message(4_300).to_bytes().is_ok());
        let refused = EncodeError::from(LimitExceeded {
            limit: Limit::IntDigits,
            actual: 4_301,
            allowed: 4_300,
        });
        assert_eq!(message(4_301).to_bytes(), Err(refused.clone()));
        assert_eq!(message(4_301).to_element(), Err(refused));
        let for_another = Limits::default().int_digits(10_000);
        assert!(message(4_301).encode(&for_another).is_ok());
    }

    #[test]
    fn namespaces_are_declared_on_the_outermost_element() {
        let element = Element::parse("<a xmlns=\"urn:x\" />").unwrap();
        let message = Message::new("action", Dict::from([("e", element)]), "x");
        assert_eq!(
            text(&message),
            "<Message xmlns:ns0=\"urn:x\" msg_type=\"action\" src_sub_app=\"x\"><dict><item key=\"e\">\
             <ns0:a /></item></dict></Message>"
        );
        assert_eq!(
            Message::from_bytes(message.to_bytes().unwrap()).unwrap(),
            message
        );
    }

    #[test]
    fn no_message_is_written_over_a_bound_and_each_one_is_up_to_it() {
        let texts = |count: usize| Message::new("x", Dict::from([("a", vec!["t"; count])]), "y");
        let long = |bytes: usize| Message::new("x", Dict::from([("a", "t".repeat(bytes))]), "y");
        // The message, the dict, its item, the list, and two elements for each text.
        for (message, limits, limit) in [
            (texts(3), Limits::default().nodes(10), Limit::Nodes),
            (long(50), Limits::default().text_bytes(50), Limit::TextBytes),
            (
                long(1),
                Limits::default().message_bytes(text(&long(1)).len()),
                Limit::MessageBytes,
            ),
        ] {
            let written = message.encode(&limits).unwrap();
            assert_eq!(Message::decode(written, &limits), Ok(message));
            let over = if limit == Limit::Nodes {
                texts(4)
            } else {
                long(51)
            };
            let refused = over.encode(&limits).unwrap_err();
            assert!(
                matches!(refused, EncodeError::Limit(LimitExceeded { limit: found, .. }) if found == limit),
                "{refused}"
            );
        }
    }
}
