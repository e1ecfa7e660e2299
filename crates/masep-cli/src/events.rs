//! What happens on connections, as lines of JSON on standard output: the events of `masep serve` and
//! `masep join`.

mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use masep::{CloseReason, DecodeError, Frame, Limits, Message, MessageType, PeerId, RejectReason};
use serde::Serialize;
use tokio::sync::{Notify, mpsc, watch};

pub(crate) use self::writer::EventWriter;
use crate::failure::Failure;
use crate::output::json_line;

/// Something that happened. Its name and keys are what programs read: they do not change.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// The server takes connections.
    Listening { id: &'a str, address: SocketAddr },
    /// A peer said hello. `id` is our own, where it was not told before.
    Connected {
        peer: &'a str,
        address: SocketAddr,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
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
    /// A connection ended.
    Closed {
        peer: &'a str,
        reason: &'static str,
        detail: String,
    },
    /// A connection was not taken. `skipped` are those before it that were not told because standard
    /// output was not read.
    Rejected {
        address: SocketAddr,
        reason: &'static str,
        detail: String,
        #[serde(skip_serializing_if = "is_zero")]
        skipped: u64,
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

impl<'a> Event<'a> {
    pub(crate) fn closed(peer: &'a PeerId, reason: &CloseReason) -> Self {
        Self::Closed {
            peer,
            reason: reason.as_str(),
            detail: reason.to_string(),
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

    pub(crate) fn rejected(address: SocketAddr, reason: &RejectReason, skipped: u64) -> Self {
        Self::Rejected {
            address,
            reason: reason.as_str(),
            detail: reason.to_string(),
            skipped,
        }
    }

    /// The event as a line of JSON.
    fn line(&self) -> Option<String> {
        json_line(self)
            .inspect_err(|error| tracing::error!(%error, "an event has no form in JSON"))
            .ok()
    }
}

/// A frame that arrived, and what it says.
#[derive(Debug)]
pub(crate) struct Received {
    frame: Frame,
    pub(crate) message: Result<Message, DecodeError>,
}

impl Received {
    pub(crate) fn new(frame: Frame) -> Self {
        let message = Message::decode(frame.bytes().clone(), &Limits::default());
        Self { frame, message }
    }

    /// Whether it is a message of this type.
    pub(crate) fn is(&self, msg_type: &MessageType) -> bool {
        matches!(&self.message, Ok(message) if message.msg_type == *msg_type)
    }
}

/// Tells events, from any task. A clone tells to the same place.
///
/// Few lines wait for standard output; who tells more waits, so that what happens is told in order
/// and nothing is lost, but memory does not grow when nobody reads.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    lines: mpsc::Sender<Option<String>>,
    /// Standard output wants a line now.
    wanted: Arc<Notify>,
    /// When this turns true, events that have no room are dropped.
    hurry: watch::Receiver<bool>,
    dropped: Arc<AtomicBool>,
}

impl Events {
    /// Waits for room and tells an event. Once standard output is closed this does nothing.
    /// Cancel safe: a call that is dropped has told nothing.
    pub(crate) async fn tell(&self, event: &Event<'_>) {
        if let Some(room) = self.room().await
            && let Some(line) = event.line()
        {
            room.send(Some(line));
        }
    }

    /// Tells that something was not done.
    pub(crate) async fn tell_error(&self, line: Option<u64>, failure: &Failure) {
        self.tell(&Event::Error { line, failure }).await;
    }

    /// Tells a frame of a peer, and says whether it was a message. What waits for room is the frame,
    /// not its much larger tree of values. Cancel safe, as [`tell`](Self::tell).
    pub(crate) async fn tell_frame(&self, peer: &PeerId, frame: Frame) -> bool {
        let Some(room) = self.room().await else {
            return true;
        };
        let received = Received::new(frame);
        if let Some(line) = Event::received(peer, &received).line() {
            room.send(Some(line));
        }
        received.message.is_ok()
    }

    /// Waits until standard output takes a line at once: all before it were taken by its reader, as
    /// far as the system tells. Cancel safe.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    async fn room(&self) -> Option<mpsc::Permit<'_, Option<String>>> {
        let mut hurry = self.hurry.clone();
        tokio::select! {
            biased;
            room = self.lines.reserve() => room.ok(),
            Ok(_) = hurry.wait_for(|hurry| *hurry) => {
                self.dropped.store(true, Ordering::Relaxed);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_with_its_keys_in_order() {
        let address = "[::1]:60000".parse().unwrap();
        let peer = PeerId::from("a\n");
        let stopped = RejectReason::Stopped;
        for (event, line) in [
            (
                Event::Listening { id: "e", address },
                r#"{"event":"listening","id":"e","address":"[::1]:60000"}"#,
            ),
            (
                Event::Connected {
                    peer: "a",
                    address,
                    id: None,
                },
                r#"{"event":"connected","peer":"a","address":"[::1]:60000"}"#,
            ),
            (
                Event::closed(&peer, &CloseReason::PeerBye),
                r#"{"event":"closed","peer":"a\n","reason":"peer_bye","detail":"the peer said BYE"}"#,
            ),
            (
                Event::rejected(address, &stopped, 0),
                r#"{"event":"rejected","address":"[::1]:60000","reason":"stopped","detail":"the server has stopped accepting"}"#,
            ),
            (
                Event::rejected(address, &stopped, 7),
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
            assert_eq!(event.line().as_deref(), Some(line));
        }
    }

    #[test]
    fn a_message_keeps_its_sender_beside_the_id_of_its_connection() {
        let peer = PeerId::from("agent");
        let received = Received::new(Message::quit("somebody else").to_frame().unwrap());
        assert_eq!(
            Event::received(&peer, &received).line().unwrap(),
            r#"{"event":"message","peer":"agent","message":{"msg_type":"quit","src_sub_app":"somebody else","params":null}}"#
        );
        let received = Received::new(Frame::new(&b"\xff"[..]));
        let line = Event::received(&peer, &received).line().unwrap();
        let start = r#"{"event":"frame","peer":"agent","bytes_hex":"ff","error":{"kind":""#;
        assert!(line.starts_with(start), "{line}");
    }
}
