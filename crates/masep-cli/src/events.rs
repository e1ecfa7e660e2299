//! The events of connections, as lines of JSON on standard output: those of `masep serve` and
//! `masep join`.

mod turns;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use masep::{
    Address, CloseReason, Connection, ConnectionId, DecodeError, Frame, Message, MessageType,
    Notice, PeerId, Protocol, Rejected, Value,
};
use serde::Serialize;
use tokio::sync::{Notify, mpsc, watch};

use self::turns::{Turn, Turns};
pub(crate) use self::writer::EventWriter;
use crate::address::{as_text, as_text_if_some};
use crate::clock;
use crate::failure::Failure;
use crate::output::json_line;

/// The events that serve and join have in common, as a part of their help.
pub(crate) const HELP: &str = r#"
  {"event":"message","peer":ID,"message":{...}}
      see masep encode --help
  {"event":"frame","peer":ID,"bytes_hex":...,"error":{...}}
      a frame that is no message
  {"event":"notice","peer":ID,"code":...,"text":...}
      something was not accepted; "about" if it says what
  {"event":"closed","peer":ID,"reason":...,"detail":...}
      "unsent":N if frames were not sent; "code", "text", "may_return": the words of a peer of
      protocol 2
  {"event":"error","line":N,"kind":...,"message":...}
      that line was not done
"#;

/// The reasons of closed that they have in common.
pub(crate) const REASONS: &str = "\
Reasons of closed: peer_bye, local_bye, end_of_stream, reset, idle_timeout, write_timeout, protocol_error, too_fast, \
aborted (not all could be sent in --drain-time), io; of protocol 2 also heartbeat_timeout, unsupported_frame, bad_frame, \
slow_frame, and in TLS truncated, tls; ";

/// Something that happened. Its name and keys are what programs read: they do not change.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// The server takes connections.
    Listening {
        id: &'a str,
        #[serde(serialize_with = "as_text")]
        address: Address,
        /// The same with the scheme that clients need.
        target: &'a str,
        #[serde(
            serialize_with = "as_text_if_some",
            skip_serializing_if = "Option::is_none"
        )]
        pymasep_address: Option<Address>,
    },
    /// A peer said hello. `protocol` is there where it is not pymasep's, `id` is our own, where it was not told before.
    Connected {
        peer: &'a str,
        #[serde(serialize_with = "as_text")]
        address: Address,
        #[serde(skip_serializing_if = "is_pymasep")]
        protocol: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        /// The name of its access token.
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<&'a str>,
    },
    /// A peer sent a message. `peer` is the id of its connection; whom it claims to be from is in the
    /// message.
    Message { peer: &'a str, message: &'a Message },
    /// A peer sent a frame that is no message.
    Frame {
        peer: &'a str,
        bytes_hex: String,
        error: Failure,
    },
    /// A peer did not accept something, which is no end.
    Notice {
        peer: &'a str,
        code: String,
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        about: Option<Value>,
    },
    /// A connection ended. `code`, `text` and `may_return` are what the peer said of it, where its protocol has that.
    /// `unsent` are the frames that were to be sent to the peer and were not.
    Closed {
        peer: &'a str,
        reason: &'static str,
        detail: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        may_return: Option<bool>,
        #[serde(skip_serializing_if = "is_zero")]
        unsent: u64,
    },
    /// A connection was not taken. `skipped` are those before it that were not told because standard
    /// output was not read.
    Rejected {
        #[serde(serialize_with = "as_text")]
        address: Address,
        reason: &'static str,
        detail: String,
        #[serde(skip_serializing_if = "is_zero")]
        skipped: u64,
    },
    /// The server did not take this client, and said why (protocol 2).
    #[serde(rename = "rejected")]
    RejectedByServer {
        address: &'a str,
        /// The server's code, which is the reason in its own event.
        reason: &'a str,
        detail: String,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_ms: Option<u64>,
    },
    /// Not all was sent in time: so many frames to a peer, or so many lines that had been read.
    #[serde(rename = "error")]
    CutOff {
        kind: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        frames: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        lines: Option<usize>,
        message: String,
    },
    /// Something that was asked for was not done: by that line of standard input, if there is a
    /// number.
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<u64>,
        #[serde(flatten)]
        failure: &'a Failure,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_pymasep(protocol: &u16) -> bool {
    *protocol == Protocol::Pymasep.number()
}

impl<'a> Event<'a> {
    /// Tells that this connection ended.
    pub(crate) fn closed(connection: &'a Connection, reason: &CloseReason) -> Self {
        let words = reason.words();
        Self::Closed {
            peer: connection.peer(),
            reason: reason.as_str(),
            detail: reason.to_string(),
            code: words.map(|bye| bye.code.to_string()),
            text: words.map(|bye| bye.text.to_string()),
            may_return: words.and_then(|bye| bye.may_return),
            unsent: connection.unsent() as u64,
        }
    }

    /// Tells that the server at this address did not take this client.
    pub(crate) fn rejected_by(address: &'a str, rejected: &'a Rejected) -> Self {
        Self::RejectedByServer {
            address,
            reason: &rejected.code,
            detail: rejected.to_string(),
            text: &rejected.text,
            retry_ms: rejected.retry_ms,
        }
    }

    /// Tells that time was up before all was sent on this connection.
    pub(crate) fn cut_off(connection: &'a Connection) -> Self {
        let (peer, frames) = (connection.peer(), connection.unsent());
        Self::CutOff {
            kind: "cut_off",
            peer: Some(peer),
            frames: Some(frames),
            lines: None,
            message: format!(
                "cut off, not all was sent to {peer:?}: frames that were not: {frames}"
            ),
        }
    }

    /// Tells that time was up before all lines that had been read were done.
    pub(crate) fn undone(lines: usize) -> Self {
        Self::CutOff {
            kind: "cut_off",
            peer: None,
            frames: None,
            lines: Some(lines),
            message: format!(
                "time was up before all lines were done: lines that were not: {lines}"
            ),
        }
    }

    pub(crate) fn received(peer: &'a PeerId, received: &'a Received) -> Self {
        match &received.message {
            Ok(message) => Self::Message { peer, message },
            Err(error) => Self::Frame {
                peer,
                bytes_hex: hex::encode(received.frame.bytes()),
                error: error.clone().into(),
            },
        }
    }

    /// The event as a line of JSON, with this time in front if there is one.
    fn line(&self, time: Option<SystemTime>) -> Option<String> {
        line_of(self, time)
    }
}

/// An event as a line of JSON, with this time in front if there is one.
fn line_of(event: &impl Serialize, time: Option<SystemTime>) -> Option<String> {
    json_line(event)
        .inspect_err(|error| tracing::error!(%error, "an event has no form in JSON"))
        .ok()
        .map(|line| clock::with_time(time, line))
}

/// A frame that arrived, and what it says.
#[derive(Debug)]
pub(crate) struct Received {
    frame: Frame,
    pub(crate) message: Result<Message, DecodeError>,
}

impl Received {
    /// Reads the message in a frame of this connection, within its bounds.
    pub(crate) fn new(connection: &Connection, frame: Frame) -> Self {
        let message = connection.decode(frame.clone());
        Self { frame, message }
    }

    #[cfg(test)]
    pub(crate) fn within_defaults(frame: Frame) -> Self {
        let message = Message::from_bytes(frame.bytes().clone());
        Self { frame, message }
    }

    /// True if it is a message of this type.
    pub(crate) fn is(&self, msg_type: &MessageType) -> bool {
        matches!(&self.message, Ok(message) if message.msg_type == *msg_type)
    }
}

/// A source of events. Sources share standard output, each has its part of it; the events of one
/// are told in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The program itself.
    Program,
    /// A connection.
    Connection(ConnectionId),
    /// All connections that were not taken.
    Rejections,
}

impl From<&Connection> for Source {
    fn from(connection: &Connection) -> Self {
        Self::Connection(connection.id())
    }
}

/// A line that is to be written, and its turn, which ends when it was.
struct Line {
    text: String,
    _turn: Turn<Source>,
}

/// Tells events, from any task. A clone tells to the same place.
///
/// Few lines wait for standard output; who tells more waits for a turn, so that what happens is told in
/// order and nothing is lost, but memory does not grow when nobody reads, and no connection that tells
/// without pause keeps the others from being heard.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    /// `None` is the end. There is no bound: each line has a turn.
    lines: mpsc::UnboundedSender<Option<Line>>,
    turns: Arc<Turns<Source>>,
    /// True if events have the time of day.
    timed: bool,
    /// Standard output wants a line now.
    wanted: Arc<Notify>,
    /// When this turns true, events that have no room are dropped.
    hurry: watch::Receiver<bool>,
    dropped: Arc<AtomicBool>,
}

impl Events {
    /// Waits for a turn and tells an event. Once standard output is closed this does nothing.
    /// Cancel safe: a call that is dropped has told nothing.
    pub(crate) async fn tell(&self, source: impl Into<Source>, event: &Event<'_>) {
        let time = self.time();
        if let Some(turn) = self.turn(source.into(), 0).await {
            self.write(event.line(time), turn);
        }
    }

    /// As [`tell`](Self::tell), of the program itself, for an event of another kind.
    pub(crate) async fn tell_other(&self, event: &impl Serialize) {
        let time = self.time();
        if let Some(turn) = self.turn(Source::Program, 0).await {
            self.write(line_of(event, time), turn);
        }
    }

    /// Tells the notices of a peer that have arrived.
    pub(crate) async fn tell_notices(&self, connection: &Connection) {
        while let Some(notice) = connection.try_notice() {
            self.tell_notice(connection, notice).await;
        }
    }

    /// Tells a notice of a peer.
    pub(crate) async fn tell_notice(&self, connection: &Connection, notice: Notice) {
        let event = Event::Notice {
            peer: connection.peer(),
            code: notice.code.to_string(),
            text: notice.text.to_string(),
            about: notice.about.map(Value::from),
        };
        self.tell(connection, &event).await;
    }

    /// Tells that something was not done.
    pub(crate) async fn tell_error(&self, line: Option<u64>, failure: &Failure) {
        self.tell(Source::Program, &Event::Error { line, failure })
            .await;
    }

    /// Tells a frame of a peer, and says whether it was a message. The frame waits for a turn,
    /// not its much larger tree of values. Cancel safe, as [`tell`](Self::tell).
    pub(crate) async fn tell_frame(&self, connection: &Connection, frame: Frame) -> bool {
        let time = self.time();
        let Some(turn) = self.turn(connection.into(), frame.size()).await else {
            return true;
        };
        let received = Received::new(connection, frame);
        self.write(
            Event::received(connection.peer(), &received).line(time),
            turn,
        );
        received.message.is_ok()
    }

    /// Waits until standard output takes a line at once: all before it were taken by its reader, as
    /// far as the system tells. Cancel safe.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// The time of an event that happens now, if events have one.
    fn time(&self) -> Option<SystemTime> {
        self.timed.then(SystemTime::now)
    }

    async fn turn(&self, source: Source, bytes: usize) -> Option<Turn<Source>> {
        if self.lines.is_closed() {
            return None;
        }
        let mut hurry = self.hurry.clone();
        let turn = self.turns.ask(source, bytes);
        tokio::select! {
            biased;
            turn = turn => turn.ok(),
            Ok(_) = hurry.wait_for(|hurry| *hurry) => {
                self.dropped.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    fn write(&self, line: Option<String>, turn: Turn<Source>) {
        if let Some(text) = line {
            // Fails when standard output is closed.
            let _ = self.lines.send(Some(Line { text, _turn: turn }));
        }
    }
}

#[cfg(test)]
mod tests {
    use masep::RejectReason;

    use super::*;

    #[test]
    fn an_event_is_one_line_with_its_keys_in_order() {
        let address: Address = "[::1]:60000".parse().unwrap();
        let closed = |unsent| Event::Closed {
            peer: "a\n",
            reason: CloseReason::PeerBye.as_str(),
            detail: CloseReason::PeerBye.to_string(),
            code: None,
            text: None,
            may_return: None,
            unsent,
        };
        let rejected = |skipped| Event::Rejected {
            address: address.clone(),
            reason: RejectReason::Stopped.as_str(),
            detail: RejectReason::Stopped.to_string(),
            skipped,
        };
        for (event, line) in [
            (
                Event::Listening {
                    id: "e",
                    address: address.clone(),
                    target: "masep+tls://[::1]:60000",
                    pymasep_address: None,
                },
                r#"{"event":"listening","id":"e","address":"[::1]:60000","target":"masep+tls://[::1]:60000"}"#,
            ),
            (
                Event::Connected {
                    peer: "a",
                    address: address.clone(),
                    protocol: 1,
                    id: None,
                    token: None,
                },
                r#"{"event":"connected","peer":"a","address":"[::1]:60000"}"#,
            ),
            (
                closed(0),
                r#"{"event":"closed","peer":"a\n","reason":"peer_bye","detail":"the peer said BYE"}"#,
            ),
            (
                closed(7),
                r#"{"event":"closed","peer":"a\n","reason":"peer_bye","detail":"the peer said BYE","unsent":7}"#,
            ),
            (
                rejected(0),
                r#"{"event":"rejected","address":"[::1]:60000","reason":"stopped","detail":"the server has stopped accepting"}"#,
            ),
            (
                rejected(7),
                r#"{"event":"rejected","address":"[::1]:60000","reason":"stopped","detail":"the server has stopped accepting","skipped":7}"#,
            ),
            (
                Event::Error {
                    line: Some(3),
                    failure: &Failure::new("json", "no"),
                },
                r#"{"event":"error","line":3,"kind":"json","message":"no"}"#,
            ),
            (
                Event::Error {
                    line: None,
                    failure: &Failure::new("cut_off", "late"),
                },
                r#"{"event":"error","kind":"cut_off","message":"late"}"#,
            ),
        ] {
            assert_eq!(event.line(None).as_deref(), Some(line));
        }
    }

    #[test]
    fn a_message_keeps_its_sender_beside_the_id_of_its_connection() {
        let peer = PeerId::from("agent");
        let received =
            Received::within_defaults(Message::quit("somebody else").to_frame().unwrap());
        assert_eq!(
            Event::received(&peer, &received).line(None).unwrap(),
            r#"{"event":"message","peer":"agent","message":{"msg_type":"quit","src_sub_app":"somebody else","params":null}}"#
        );
        let received = Received::within_defaults(Frame::new(&b"\xff"[..]));
        let line = Event::received(&peer, &received).line(None).unwrap();
        let start = r#"{"event":"frame","peer":"agent","bytes_hex":"ff","error":{"kind":""#;
        assert!(line.starts_with(start), "{line}");
    }
}
