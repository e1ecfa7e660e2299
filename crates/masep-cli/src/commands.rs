//! What the verbs that hold connections read: one JSON object a line, the same for all of them.

use masep::{Frame, Message};
use masep_proto::FrameCodec;
use serde_json::{Map, Value as Json};

use crate::failure::Failure;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Send a frame: `{"to": ..., "message": {...}}` or `{"to": ..., "bytes_hex": "..."}`.
    Send { to: Option<Recipient>, frame: Frame },
    /// Say BYE and end the connection: `{"to": ..., "bye": true}`.
    Bye { to: Option<Recipient> },
    /// End everything: `{"shutdown": true}`.
    Shutdown,
}

/// Whom a command is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recipient {
    /// `"*"`: all who are connected.
    All,
    /// The peer of this id.
    Peer(String),
}

impl Command {
    /// Reads a line. `sender` stands in messages that have no `src_sub_app`.
    pub(crate) fn parse(line: &[u8], sender: &str) -> Result<Self, Failure> {
        let Json::Object(mut object) = serde_json::from_slice(line)? else {
            return Err(Failure::new("command", "a command is a JSON object"));
        };
        let to = match object.remove("to") {
            None => None,
            Some(Json::String(id)) if id == "*" => Some(Recipient::All),
            Some(Json::String(id)) => Some(Recipient::Peer(id)),
            Some(_) => return Err(Failure::new("command", "to: expected a string")),
        };
        match the_only_entry(&object) {
            Some(("message", json)) => {
                let message = Message::from_json(json, Some(sender))
                    .map_err(|error| error.under_key("message"))?;
                Self::send(to, message.to_frame()?)
            }
            Some(("bytes_hex", Json::String(digits))) => {
                Self::send(to, Frame::new(hex::decode(digits)?))
            }
            Some(("bye", Json::Bool(true))) => Ok(Self::Bye { to }),
            Some(("shutdown", Json::Bool(true))) if to.is_none() => Ok(Self::Shutdown),
            _ => Err(Failure::new(
                "command",
                "a command has exactly one of \"message\": {...}, \"bytes_hex\": \"...\", \
                 \"bye\": true and \"shutdown\": true, and perhaps \"to\": \"...\"",
            )),
        }
    }

    /// A frame that does not fit is the fault of its line, not of any connection.
    fn send(to: Option<Recipient>, frame: Frame) -> Result<Self, Failure> {
        FrameCodec::default().check(&frame)?;
        Ok(Self::Send { to, frame })
    }
}

fn the_only_entry(object: &Map<String, Json>) -> Option<(&str, &Json)> {
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((key, value)), None) => Some((key, value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, Failure> {
        Command::parse(line.as_bytes(), "me")
    }

    #[test]
    fn each_command_has_its_form() {
        let quit = Message::quit("me").to_frame().unwrap();
        for (line, command) in [
            (
                r#"{"to":"agent","message":{"msg_type":"quit"}}"#,
                Command::Send {
                    to: Some(Recipient::Peer("agent".into())),
                    frame: quit.clone(),
                },
            ),
            (
                r#"{"message":{"msg_type":"quit","src_sub_app":"me","params":null}}"#,
                Command::Send {
                    to: None,
                    frame: quit,
                },
            ),
            (
                r#"{"bytes_hex":"00FF","to":"*"}"#,
                Command::Send {
                    to: Some(Recipient::All),
                    frame: Frame::new(&b"\0\xff"[..]),
                },
            ),
            (
                r#"{"to":"a","bye":true}"#,
                Command::Bye {
                    to: Some(Recipient::Peer("a".into())),
                },
            ),
            (r#"{"shutdown":true}"#, Command::Shutdown),
        ] {
            assert_eq!(parse(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn a_bad_line_is_a_failure() {
        let too_large = format!(r#"{{"bytes_hex":"{}"}}"#, "00".repeat(65_536));
        for (line, kind) in [
            ("", "json"),
            ("[]", "command"),
            ("{}", "command"),
            (r#"{"to":"a"}"#, "command"),
            (r#"{"to":1,"bye":true}"#, "command"),
            (r#"{"bye":false}"#, "command"),
            (r#"{"to":"a","shutdown":true}"#, "command"),
            (r#"{"bye":true,"bytes_hex":""}"#, "command"),
            (r#"{"bye":true,"what":1}"#, "command"),
            (r#"{"bytes_hex":"0"}"#, "hex"),
            (r#"{"message":{"msg_type":1}}"#, "unexpected"),
            (&too_large, "limit"),
        ] {
            assert_eq!(parse(line).unwrap_err().kind, kind, "{line:.40}");
        }
    }

    #[test]
    fn an_error_in_a_message_says_where() {
        let line = r#"{"message":{"msg_type":"end","params":{"a":{"$int":"x"}}}}"#;
        let failure = parse(line).unwrap_err();
        assert_eq!(failure.message, "message.params.a.$int: not an int: \"x\"");
    }
}
