//! The commands of `masep serve` and `masep join`: lines of JSON on standard input.

mod input;
mod send_away;

use bytes::Bytes;
use masep::{Connection, Frame, Message, SendError};
use serde_json::{Map, Value as Json};

pub(crate) use self::input::{Ending, Input, Line};
pub(crate) use self::send_away::SendAway;
use crate::failure::Failure;
use crate::lines;

/// The command of one line.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    /// Send this.
    Send {
        to: Option<Recipient>,
        content: Content,
    },
    /// Send somebody away.
    SendAway(SendAway),
    /// Send what waits, say `BYE` to all and end.
    Shutdown,
}

/// A thing to be sent.
#[derive(Debug, PartialEq)]
pub(crate) enum Content {
    /// A message, in the form of the protocol that its recipient speaks.
    Message(Box<Message>),
    /// A frame, which can be `BYE`.
    Frame(Frame),
}

impl Content {
    /// True if it ends a connection.
    pub(crate) fn is_bye(&self) -> bool {
        matches!(self, Self::Frame(frame) if frame.is_bye())
    }

    /// The frame for the peer of this connection.
    pub(crate) fn frame(&self, connection: &Connection) -> Result<Frame, SendError> {
        match self {
            Self::Message(message) => Ok(connection.encode(message)?),
            Self::Frame(frame) => Ok(frame.clone()),
        }
    }
}

/// The receivers of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recipient {
    Everyone,
    Peer(String),
}

/// The form that a verb's lines have, for messages about lines that have another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// A line that could be done.
    pub(crate) example: &'static str,
    /// True for the lines of a server, which can send a client away.
    pub(crate) is_servers: bool,
}

/// The id that stands for all who are connected. It is nobody's own: a peer that says it in its hello is
/// not taken, because a program that answers `"to"` the id of an event would speak to everybody.
pub(crate) const EVERYONE: &str = "*";

impl Command {
    /// Reads a line. A message without `src_sub_app` is from `sender`.
    fn parse(line: &[u8], sender: &str, form: Form) -> Result<Self, Failure> {
        let object = lines::parse_object(line, form.example)?;
        Self::parse_parts(&object, sender, form).map_err(|failure| match failure.kind {
            "missing_key" | "unknown_key" => failure.with_example(form.example),
            _ => failure,
        })
    }

    fn parse_parts(object: &Map<String, Json>, sender: &str, form: Form) -> Result<Self, Failure> {
        let mut to = None;
        let mut actions = Vec::new();
        for (key, value) in object {
            match key.as_str() {
                "to" => to = Some(recipient(value)?),
                "message" | "bytes_hex" | "bye" | "shutdown" => actions.push((key.as_str(), value)),
                action if form.is_servers && SendAway::ACTIONS.contains(&action) => {
                    actions.push((action, value));
                }
                _ => return Err(unknown_key(key, object)),
            }
        }
        let content = match actions[..] {
            [("message", json)] => message(json, sender)?,
            [("bytes_hex", digits)] => Content::Frame(bytes_frame(digits)?),
            [("bye", value)] => {
                expect_true("bye", value)?;
                Content::Frame(Frame::BYE)
            }
            [("shutdown", value)] => {
                expect_true("shutdown", value)?;
                if to.is_some() {
                    let message = "a shutdown is for all: it has no \"to\"";
                    return Err(Failure::new("unexpected", message));
                }
                return Ok(Self::Shutdown);
            }
            [(action, value)] if SendAway::ACTIONS.contains(&action) => {
                if to.is_some() {
                    let message =
                        format!("{action:?} says itself who it is about: it has no \"to\"");
                    return Err(Failure::new("unexpected", message));
                }
                return Ok(Self::SendAway(SendAway::parse(action, value)?));
            }
            [] => {
                let message = "no \"message\", \"bytes_hex\", \"bye\" or \"shutdown\" in the line";
                return Err(Failure::new("missing_key", message));
            }
            [(one, _), (other, _), ..] => {
                let message = format!("{one:?} and {other:?} are two actions: a line has one");
                return Err(Failure::new("two_actions", message));
            }
            [(key, _)] => return Err(unknown_key(key, object)),
        };
        Ok(Self::Send { to, content })
    }
}

fn recipient(value: &Json) -> Result<Recipient, Failure> {
    match value {
        Json::String(id) if id == EVERYONE => Ok(Recipient::Everyone),
        Json::String(id) => Ok(Recipient::Peer(id.clone())),
        _ => {
            let message = "\"to\" is the id of a peer, or \"*\" for all";
            Err(Failure::new("unexpected", message))
        }
    }
}

fn message(json: &Json, sender: &str) -> Result<Content, Failure> {
    let message = Message::from_json(json, Some(sender)).map_err(|it| it.under_key("message"))?;
    Ok(Content::Message(Box::new(message)))
}

fn bytes_frame(json: &Json) -> Result<Frame, Failure> {
    let Json::String(digits) = json else {
        let message = "\"bytes_hex\" is a string of hexadecimal digits";
        return Err(Failure::new("unexpected", message));
    };
    Ok(Frame::new(Bytes::from(hex::decode(digits)?)))
}

fn expect_true(key: &str, value: &Json) -> Result<(), Failure> {
    if *value == Json::Bool(true) {
        return Ok(());
    }
    let message = format!("the only value of {key:?} is true");
    Err(Failure::new("unexpected", message))
}

fn unknown_key(key: &str, object: &Map<String, Json>) -> Failure {
    let mut message = format!("a line has no key {key:?}");
    if object.contains_key("msg_type") {
        message.push_str("; a message stands in {\"message\": ...}");
    }
    Failure::new("unknown_key", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form {
        example: r#"{"to":"agent","message":{"msg_type":"quit"}}"#,
        is_servers: true,
    };

    fn parse(line: &str) -> Result<Command, &'static str> {
        Command::parse(line.as_bytes(), "engine", FORM).map_err(|failure| failure.kind)
    }

    #[test]
    fn a_line_is_one_action_for_one_or_all() {
        let send = |to, content| Ok(Command::Send { to, content });
        let send_frame = |to, frame| send(to, Content::Frame(frame));
        let peer = |id: &str| Some(Recipient::Peer(id.into()));
        let quit = Content::Message(Box::new(Message::quit("engine")));
        let other = Content::Message(Box::new(Message::quit("other")));
        for (line, command) in [
            (
                r#"{"to":"agent","message":{"msg_type":"quit"}}"#,
                send(peer("agent"), quit),
            ),
            (
                r#"{"message":{"msg_type":"quit","src_sub_app":"other"},"to":"*"}"#,
                send(Some(Recipient::Everyone), other),
            ),
            (
                r#"{"bytes_hex":"00Ff"}"#,
                send_frame(None, Frame::new(&[0, 255][..])),
            ),
            (
                r#"{"bytes_hex":"","to":""}"#,
                send_frame(peer(""), Frame::default()),
            ),
            (
                r#" {"to":"*","bye":true} "#,
                send_frame(Some(Recipient::Everyone), Frame::BYE),
            ),
            (r#"{"shutdown":true}"#, Ok(Command::Shutdown)),
        ] {
            assert_eq!(parse(line), command, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_has_a_name() {
        for (line, kind) in [
            ("", "json"),
            ("{", "json"),
            ("\u{fe}", "json"),
            ("[]", "unexpected"),
            ("{}", "missing_key"),
            (r#"{"to":"a"}"#, "missing_key"),
            (r#"{"to":1,"bye":true}"#, "unexpected"),
            (r#"{"to":null,"bye":true}"#, "unexpected"),
            (r#"{"to":"a","bye":false}"#, "unexpected"),
            (r#"{"to":"a","bye":1}"#, "unexpected"),
            (r#"{"to":"a","shutdown":true}"#, "unexpected"),
            (r#"{"to":"a","bye":true,"bytes_hex":""}"#, "two_actions"),
            (r#"{"to":"a","bye":true,"colour":1}"#, "unknown_key"),
            (r#"{"msg_type":"quit"}"#, "unknown_key"),
            (r#"{"bytes_hex":"0"}"#, "hex"),
            (r#"{"bytes_hex":1}"#, "unexpected"),
            (r#"{"message":{}}"#, "missing_key"),
            (
                r#"{"message":{"msg_type":"a","params":{"b":{"$c":1}}}}"#,
                "unknown_tag",
            ),
        ] {
            assert_eq!(parse(line), Err(kind), "{line:.60}");
        }
        let line = br#"{"message":{"msg_type":"end","params":{"a":{"$int":"x"}}}}"#;
        let failure = Command::parse(line, "engine", FORM).unwrap_err();
        assert_eq!(failure.message, "message.params.a.$int: not an int: \"x\"");
        let failure = Command::parse(br#"{"msg_type":"quit"}"#, "engine", FORM).unwrap_err();
        assert!(failure.message.contains(r#"{"message""#), "{failure:?}");
    }

    #[test]
    fn a_line_of_another_form_is_told_the_form() {
        for line in [
            "help",
            "",
            "[]",
            "{}",
            r#"{"msg_type":"quit"}"#,
            r#"{"quit":true}"#,
            "'a'",
        ] {
            let failure = Command::parse(line.as_bytes(), "engine", FORM).unwrap_err();
            assert!(
                failure.message.ends_with(FORM.example),
                "{line}: {failure:?}"
            );
        }
        // An error inside of a message is told with its place.
        let line = br#"{"message":{"msg_type":"end","params":{"a":{"$int":"x"}}}}"#;
        let failure = Command::parse(line, "engine", FORM).unwrap_err();
        assert!(!failure.message.contains("for example"), "{failure:?}");
    }
}
