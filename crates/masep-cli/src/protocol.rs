//! Messages in either generation of the protocol.

use bytes::Bytes;
use clap::ValueEnum;
use masep_proto::{Limits, Message, Value as Plain, cbor};
use serde_json::Value as Json;

use crate::failure::Failure;
use crate::payload;

/// A generation of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// pymasep's: messages in XML
    #[value(name = "1")]
    Xml,
    /// masep's own: messages in CBOR, with arrays
    #[value(name = "2")]
    Cbor,
}

/// The key that a message of protocol 2 may have beside pymasep's three.
const TURN: &str = "turn";

impl Protocol {
    /// The bytes of the message that this JSON describes. `id` is the sender of one that names none.
    pub(crate) fn encode(self, mut json: Json, id: Option<&str>) -> Result<Bytes, Failure> {
        if self == Self::Xml {
            return Ok(Message::from_json(&json, id)?.to_bytes()?);
        }
        let turn = json.as_object_mut().and_then(|object| object.remove(TURN));
        let turn = match turn.as_ref().map(Plain::from_json).transpose() {
            Ok(turn) => turn,
            Err(error) => return Err(error.under_key(TURN).into()),
        };
        let turn = match &turn {
            None => None,
            Some(Plain::Dict(turn)) => Some(turn),
            Some(_) => return Err(Failure::new("unexpected", "turn: expected an object")),
        };
        let message = Message::from_json(&json, id)?;
        Ok(cbor::encode_message(&message, turn, &Limits::default())?)
    }

    /// The JSON of the message that these bytes are. `full`: arrays with their bytes.
    pub(crate) fn decode(self, bytes: Bytes, full: bool) -> Result<Json, Failure> {
        let limits = Limits::default();
        if self == Self::Xml {
            return Ok(Message::decode(bytes, &limits)?.to_json()?);
        }
        let (message, turn) = cbor::decode_message(&bytes, &limits)?;
        payload::message_json(&message, turn.as_ref(), full)
    }
}
