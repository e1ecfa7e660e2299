//! The content of frames of protocol 2, for the verbs that show it.

use bytes::Bytes;
use masep::{Dict, Limits, Message, Value};
use masep_proto::cbor;
use masep_proto::protocol2::{Control, Header, kind};
use serde_json::{Map, Value as Json};

use crate::failure::Failure;

/// Larger payloads are passed over: only their size is told.
pub(crate) const MOST_BYTES: usize = 8 << 20;
/// The bytes of a payload that allow one item more, as on a connection.
const BYTES_PER_ITEM: usize = 10;

/// Where the kind stands in a header.
const KIND_AT: usize = 4;

/// The meaning of a frame of protocol 2.
#[derive(Debug)]
pub(crate) enum Payload {
    Control(Control),
    /// A message, and what belongs to the turn of a game.
    Message(Message, Option<Dict>),
    /// Bytes of the user's.
    Bytes(Bytes),
    /// The payload of a kind that peers ignore if they do not know it.
    Ignored(u8, Bytes),
    /// Nothing that the protocol knows.
    Other(Bytes, Failure),
    /// Too large to be looked at.
    Large(usize),
}

impl Payload {
    /// The payload of a frame of this kind; `None` in place of a payload of so many bytes that is too large.
    pub(crate) fn read(kind: u8, size: usize, payload: Option<&Bytes>) -> Self {
        let Some(bytes) = payload else {
            return Self::Large(size);
        };
        match Self::message(kind, bytes) {
            Ok(payload) => payload,
            Err(failure) if may_be_secret(kind) => Self::Other(Bytes::new(), failure),
            Err(failure) => Self::Other(bytes.clone(), failure),
        }
    }

    fn message(kind: u8, bytes: &Bytes) -> Result<Self, Failure> {
        if let Some(control) = Control::decode(kind, bytes)? {
            return Ok(Self::Control(control));
        }
        Ok(match kind {
            kind::CBOR => {
                let (message, turn) = cbor::decode_message(bytes, &limits(bytes.len()))?;
                Self::Message(message, turn)
            }
            kind::XML => Self::Message(Message::decode(bytes.clone(), &Limits::default())?, None),
            kind::BYTES => Self::Bytes(bytes.clone()),
            kind::IGNORABLE.. => Self::Ignored(kind, bytes.clone()),
            _ => {
                let message = format!("{kind} is no kind of a frame");
                return Err(Failure::new("unsupported", message));
            }
        })
    }

    /// The end of what is said.
    pub(crate) const fn is_end(&self) -> bool {
        matches!(self, Self::Control(Control::Bye(_) | Control::Rejected(_)))
    }

    /// Its parts for a line of JSON. `full`: arrays with their bytes.
    pub(crate) fn to_json(&self, full: bool) -> Result<Map<String, Json>, Failure> {
        let mut line = Map::new();
        match self {
            Self::Control(control) => {
                line.insert("control".into(), control.name().into());
                line.insert("fields".into(), Json::Object(control.to_json()?));
            }
            Self::Message(message, turn) => {
                let message = message_json(message, turn.as_ref(), full)?;
                line.insert("message".into(), message);
            }
            Self::Bytes(bytes) => {
                line.insert("bytes_hex".into(), hex::encode(bytes).into());
            }
            Self::Ignored(kind, bytes) => {
                line.insert("kind".into(), (*kind).into());
                line.insert("bytes_hex".into(), hex::encode(bytes).into());
            }
            Self::Other(bytes, failure) => {
                line.insert("bytes_hex".into(), hex::encode(bytes).into());
                line.insert("error".into(), error(failure));
            }
            Self::Large(size) => {
                let text = format!("{size} bytes are too many to be looked at");
                line.insert("error".into(), error(&Failure::new("limit", text)));
            }
        }
        Ok(line)
    }
}

/// True if such a frame may have an access token or a resume text in it, so that its bytes are not to be shown.
const fn may_be_secret(kind: u8) -> bool {
    matches!(kind, kind::HELLO | kind::WELCOME)
}

/// The bytes of a frame that is no whole one, or none at all, as far as they can be shown.
pub(crate) fn shown(rest: &[u8]) -> &[u8] {
    match rest.get(KIND_AT) {
        Some(kind) if !may_be_secret(*kind) => rest,
        _ => &rest[..rest.len().min(Header::BYTES)],
    }
}

fn error(failure: &Failure) -> Json {
    serde_json::json!({"kind": failure.kind, "message": failure.message})
}

/// A message of protocol 2. `full`: arrays with their bytes, as `masep encode` takes them.
pub(crate) fn message_json(
    message: &Message,
    turn: Option<&Dict>,
    full: bool,
) -> Result<Json, Failure> {
    let mut json = if full {
        message.to_json()?
    } else {
        message.to_json_summary()?
    };
    if let (Some(turn), Some(object)) = (turn, json.as_object_mut()) {
        let turn = Value::from(turn.clone());
        let turn = if full {
            turn.to_json()?
        } else {
            turn.to_json_summary()?
        };
        object.insert("turn".into(), turn);
    }
    Ok(json)
}

/// The bounds of a message in a payload of so many bytes, as on a connection.
fn limits(payload: usize) -> Limits {
    let limits = Limits::default();
    let (nodes, bytes) = (limits.nodes, limits.message_bytes);
    limits
        .message_bytes(bytes.max(payload))
        .text_bytes(bytes.max(payload))
        .nodes(nodes.max(payload / BYTES_PER_ITEM))
}
