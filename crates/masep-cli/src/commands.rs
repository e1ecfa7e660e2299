//! What `masep serve` and `masep join` are asked to do: lines of JSON on standard input.

use std::io::{self, Read};
use std::thread;

use bytes::Bytes;
use masep::{Frame, Message};
use masep_proto::FrameCodec;
use serde_json::{Map, Value as Json};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::failure::Failure;
use crate::lines::{self, LineReader, MAX_LINE_BYTES};
use crate::runtime::STACK_BYTES;

/// Lines that are read ahead. Each holds at most one frame.
const READ_AHEAD: usize = 64;

/// What one line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Send this frame, which can be `BYE`.
    Send { to: Option<Recipient>, frame: Frame },
    /// Send what waits, say `BYE` to all and end.
    Shutdown,
}

/// Whom a frame is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Recipient {
    Everyone,
    Peer(String),
}

/// A line of standard input.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    pub(crate) command: Result<Command, Failure>,
}

impl Command {
    /// Reads a line. A message without `src_sub_app` is from `sender`.
    fn parse(line: &[u8], sender: &str) -> Result<Self, Failure> {
        let json = masep_proto::json::from_slice(line)?;
        let Json::Object(object) = json else {
            return Err(Failure::new("unexpected", "a line is a JSON object"));
        };
        let mut to = None;
        let mut actions = Vec::new();
        for (key, value) in &object {
            match key.as_str() {
                "to" => to = Some(recipient(value)?),
                "message" | "bytes_hex" | "bye" | "shutdown" => actions.push((key.as_str(), value)),
                _ => return Err(unknown_key(key, &object)),
            }
        }
        let frame = match actions[..] {
            [("message", message)] => message_frame(message, sender)?,
            [("bytes_hex", digits)] => bytes_frame(digits)?,
            [("bye", value)] => {
                expect_true("bye", value)?;
                Frame::BYE
            }
            [("shutdown", value)] => {
                expect_true("shutdown", value)?;
                if to.is_some() {
                    let message = "a shutdown is for all: it has no \"to\"";
                    return Err(Failure::new("unexpected", message));
                }
                return Ok(Self::Shutdown);
            }
            [] => {
                let message = "no \"message\", \"bytes_hex\", \"bye\" or \"shutdown\" in the line";
                return Err(Failure::new("missing_key", message));
            }
            [(one, _), (other, _), ..] => {
                let message = format!("{one:?} and {other:?} are two actions: a line has one");
                return Err(Failure::new("two_actions", message));
            }
            [(key, _)] => return Err(unknown_key(key, &object)),
        };
        FrameCodec::default().check(&frame)?;
        Ok(Self::Send { to, frame })
    }
}

fn recipient(value: &Json) -> Result<Recipient, Failure> {
    match value {
        Json::String(id) if id == "*" => Ok(Recipient::Everyone),
        Json::String(id) => Ok(Recipient::Peer(id.clone())),
        _ => {
            let message = "\"to\" is the id of a peer, or \"*\" for all";
            Err(Failure::new("unexpected", message))
        }
    }
}

fn message_frame(json: &Json, sender: &str) -> Result<Frame, Failure> {
    let message = Message::from_json(json, Some(sender)).map_err(|it| it.under_key("message"))?;
    Ok(message.to_frame()?)
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

/// Reads the lines of standard input, in a thread of its own because that blocks. The channel ends
/// with the input; an input that cannot be read ends with an error as its last line.
pub(crate) fn read(sender: String) -> Result<mpsc::Receiver<Line>, Error> {
    let (lines, receiver) = mpsc::channel(READ_AHEAD);
    thread::Builder::new()
        .name("stdin".into())
        .stack_size(STACK_BYTES)
        .spawn(move || read_lines(io::stdin().lock(), &sender, &lines))
        .map_err(Error::Start)?;
    Ok(receiver)
}

fn read_lines(input: impl Read, sender: &str, lines: &mpsc::Sender<Line>) {
    let mut input = LineReader::new(input, MAX_LINE_BYTES);
    for number in 1.. {
        let command = match input.next(|| Ok(())) {
            Ok(None) => return,
            Ok(Some(lines::Line::Whole(line))) => Command::parse(line, sender),
            Ok(Some(lines::Line::TooLong(length))) => Err(Failure::new(
                "limit",
                format!("bytes of one line: {length} exceeds the limit of {MAX_LINE_BYTES}"),
            )),
            Err(error) => {
                let command = Err(Failure::new("stdin", error.to_string()));
                let _ = lines.blocking_send(Line { number, command });
                return;
            }
        };
        if lines.blocking_send(Line { number, command }).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, &'static str> {
        Command::parse(line.as_bytes(), "engine").map_err(|failure| failure.kind)
    }

    #[test]
    fn a_line_is_one_action_for_one_or_all() {
        let send = |to, frame| Ok(Command::Send { to, frame });
        let peer = |id: &str| Some(Recipient::Peer(id.into()));
        let quit = Message::quit("engine").to_frame().unwrap();
        let other = Message::quit("other").to_frame().unwrap();
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
                send(None, Frame::new(&[0, 255][..])),
            ),
            (
                r#"{"bytes_hex":"","to":""}"#,
                send(peer(""), Frame::default()),
            ),
            (
                r#" {"to":"*","bye":true} "#,
                send(Some(Recipient::Everyone), Frame::BYE),
            ),
            (r#"{"shutdown":true}"#, Ok(Command::Shutdown)),
        ] {
            assert_eq!(parse(line), command, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_has_a_name() {
        let large = format!(r#"{{"bytes_hex":"{}"}}"#, "00".repeat(65_536));
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
            (&large, "limit"),
        ] {
            assert_eq!(parse(line), Err(kind), "{line:.60}");
        }
        let line = br#"{"message":{"msg_type":"end","params":{"a":{"$int":"x"}}}}"#;
        let failure = Command::parse(line, "engine").unwrap_err();
        assert_eq!(failure.message, "message.params.a.$int: not an int: \"x\"");
        let failure = Command::parse(br#"{"msg_type":"quit"}"#, "engine").unwrap_err();
        assert!(failure.message.contains(r#"{"message""#), "{failure:?}");
    }
}
