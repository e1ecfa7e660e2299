//! What the verbs that hold connections print: one JSON object a line, the same for all of them.

use std::net::SocketAddr;

use masep::{CloseReason, Frame, Limits, Message, RejectReason};
use serde::Serialize;
use serde_json::Value as Json;

use crate::failure::Failure;

/// Something that happened: `{"event": "...", ...}`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// A server takes connections at this address, under this id.
    Listening { id: &'a str, address: SocketAddr },
    /// A peer has said hello.
    Connected { peer: &'a str, address: SocketAddr },
    /// A message from a peer. Its `src_sub_app` is the peer's own word; `peer` is the connection's id.
    Message { peer: &'a str, message: Json },
    /// A frame from a peer that is no message, and why it is none.
    Frame {
        peer: &'a str,
        bytes_hex: String,
        error: Failure,
    },
    /// A connection has ended: a stable name for the reason, and the same in words.
    Closed {
        peer: &'a str,
        reason: &'static str,
        detail: String,
    },
    /// A connection was not taken: a stable name for the reason, and the same in words.
    Rejected {
        address: SocketAddr,
        reason: &'static str,
        detail: String,
    },
    /// A line of the input could not be done.
    Error(&'a Failure),
}

impl<'a> Event<'a> {
    /// The event of a frame that came from a peer: the message in it, or its bytes.
    pub(crate) fn received(peer: &'a str, frame: &Frame, limits: &Limits) -> Self {
        let message = Message::decode(frame.bytes().clone(), limits)
            .map_err(Failure::from)
            .and_then(|message| Ok(message.to_json()?));
        match message {
            Ok(message) => Self::Message { peer, message },
            Err(error) => Self::Frame {
                peer,
                bytes_hex: hex::encode(frame.bytes()),
                error,
            },
        }
    }

    /// The event of the end of a connection.
    pub(crate) fn closed(peer: &'a str, reason: &CloseReason) -> Self {
        Self::Closed {
            peer,
            reason: reason.as_str(),
            detail: reason.to_string(),
        }
    }

    /// The event of a connection that was not taken.
    pub(crate) fn rejected(address: SocketAddr, reason: &RejectReason) -> Self {
        Self::Rejected {
            address,
            reason: reason.as_str(),
            detail: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use masep::{Dict, TypeName};

    use super::*;

    fn line(event: &Event<'_>) -> String {
        serde_json::to_string(event).unwrap()
    }

    #[test]
    fn each_event_is_one_object() {
        let address = "127.0.0.1:60000".parse().unwrap();
        for (event, expected) in [
            (
                Event::Listening {
                    id: "engine",
                    address,
                },
                r#"{"event":"listening","id":"engine","address":"127.0.0.1:60000"}"#,
            ),
            (
                Event::Connected {
                    peer: "agent",
                    address,
                },
                r#"{"event":"connected","peer":"agent","address":"127.0.0.1:60000"}"#,
            ),
            (
                Event::closed("agent", &CloseReason::PeerBye),
                r#"{"event":"closed","peer":"agent","reason":"bye","detail":"the peer said BYE"}"#,
            ),
            (
                Event::rejected(address, &RejectReason::ClosedBeforeHello),
                r#"{"event":"rejected","address":"127.0.0.1:60000","reason":"closed_before_hello","detail":"closed before its hello"}"#,
            ),
            (
                Event::Error(&Failure::new("json", "no")),
                r#"{"event":"error","kind":"json","message":"no"}"#,
            ),
        ] {
            assert_eq!(line(&event), expected);
        }
    }

    #[test]
    fn a_message_keeps_its_sender_beside_the_connections_id() {
        let params = Dict::from([("i", 1)]).with("game", TypeName::from("m.G"));
        let frame = Message::new("define", params, "somebody else")
            .to_frame()
            .unwrap();
        assert_eq!(
            line(&Event::received("agent", &frame, &Limits::default())),
            r#"{"event":"message","peer":"agent","message":{"msg_type":"define","src_sub_app":"somebody else","params":{"i":1,"game":{"$type":"m.G"}}}}"#
        );
    }

    #[test]
    fn a_frame_that_is_no_message_is_bytes_and_why() {
        let event = Event::received("a", &Frame::new(&b"\0"[..]), &Limits::default());
        let Event::Frame { bytes_hex, .. } = &event else {
            panic!("{event:?}");
        };
        assert_eq!(bytes_hex, "00");
        assert!(line(&event).contains(r#""error":{"kind":""#));
    }
}
