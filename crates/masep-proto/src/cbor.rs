//! Messages and values as CBOR (RFC 8949): protocol 2.
//!
//! PROTOCOL2.md is the normative description. A message is a map of `type`, `src`, `params` unless there
//! are none, and `turn` if there is one. Values are CBOR's own where it has them; the others are tagged, see [`tag`].
//! All lengths are definite.
//!
//! ```
//! use masep_proto::{Array, Dict, Limits, Message, cbor};
//! let camera = Array::from_slice(&[2, 2], &[0.5f32, 1.0, 1.5, 2.0])?;
//! let message = Message::new("observation", Dict::from([("camera", camera)]), "engine");
//! let limits = Limits::default();
//! let bytes = cbor::encode_message(&message, None, &limits)?;
//! let (read, turn) = cbor::decode_message(&bytes, &limits)?;
//! assert_eq!((&read, turn), (&message, None));
//! let camera = read.param("camera").and_then(|value| value.as_array());
//! assert_eq!(camera.map(|array| array.as_slice::<f32>()), Some(Ok(&[0.5, 1.0, 1.5, 2.0][..])));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Memory and time
//! Nothing is reserved for a length that is only claimed, and no depth of the input can exhaust the stack. A value
//! takes up to 48 bytes for each item, in lists up to three times as much for a moment: [`Limits::nodes`] bounds
//! that. Texts, bytes and arrays are slices of the input, which they keep alive. Of an input of more than 64 KiB,
//! a part smaller than a sixteenth of it is copied instead. Arrays are copied too if they do not begin at a place
//! that suits their items. A written array begins at a multiple of 8 from the first byte, so that none is copied
//! of an input that itself begins at such a place.

mod array;
mod decode;
mod encode;
mod head;
pub(crate) mod map;
mod reader;

use bytes::Bytes;

pub(crate) use decode::{message as decode_within, message_in_turn as decode_turn_within};
pub(crate) use encode::{
    depth_of, message as encode_within, open as encode_open, pieces as encode_pieces,
};

use crate::{DecodeError, Dict, EncodeError, Limits, Message, Value};

/// The bytes of a payload for each data item in it: the bound of items follows the largest payload.
const BYTES_PER_ITEM: usize = 10;

/// The numbers of CBOR's tags that values have.
pub mod tag {
    /// A bignum of 0 or more, in bytes.
    pub const UNSIGNED_BIGNUM: u64 = 2;
    /// A bignum below 0: -1 minus these bytes.
    pub const NEGATIVE_BIGNUM: u64 = 3;
    /// An array of RFC 8746 in row-major order: its shape, and a typed array.
    pub const ARRAY: u64 = 40;
    /// A set, in an array.
    pub const SET: u64 = 258;
    /// A tuple, in an array. This number and the next ones are of the range that is first come, first served.
    pub const TUPLE: u64 = 39_731;
    /// A class, its dotted name in a text.
    pub const TYPE: u64 = 39_732;
    /// An XML element, in a text; or in an array of that and of the text behind it.
    pub const ELEMENT: u64 = 39_733;
    /// Items of type bool, around a typed array of uint8 that are 0 or 1.
    pub const BOOL: u64 = 39_734;
}

pub use map::{MapItem, MapWriter, read_map};

/// The bounds of a message. They are made for each one, and so are few.
#[derive(Clone, Copy)]
pub(crate) struct Bounds<'a> {
    limits: &'a Limits,
    message_bytes: usize,
    text_bytes: usize,
    nodes: usize,
}

impl<'a> Bounds<'a> {
    /// [`Limits`] as they are.
    const fn of(limits: &'a Limits) -> Self {
        Self {
            limits,
            message_bytes: limits.message_bytes,
            text_bytes: limits.text_bytes,
            nodes: limits.nodes,
        }
    }

    /// Those of messages that come in payloads of so many bytes.
    pub(crate) fn receiving(limits: &'a Limits, payload: usize) -> Self {
        Self {
            limits,
            message_bytes: limits.message_bytes.max(payload),
            text_bytes: limits.text_bytes.max(payload),
            nodes: limits.nodes.max(payload / BYTES_PER_ITEM),
        }
    }

    /// The same for XML.
    pub(crate) fn to_limits(self) -> Limits {
        let limits = self.limits.clone().message_bytes(self.message_bytes);
        limits.text_bytes(self.text_bytes).nodes(self.nodes)
    }

    /// Those of messages that go out in payloads of so many bytes, which are checked where the frame is sent.
    pub(crate) fn sending(limits: &'a Limits, payload: usize) -> Self {
        Self {
            message_bytes: usize::MAX,
            text_bytes: usize::MAX,
            ..Self::receiving(limits, payload)
        }
    }
}

/// A message as CBOR, with what belongs to the turn of a game.
///
/// # Errors
/// A message that is deeper than [`Limits::depth`] (counted as in XML), or has more than [`Limits::nodes`],
/// [`Limits::text_bytes`], [`Limits::int_digits`] or [`Limits::message_bytes`] allow; parameters that are neither a
/// dict nor false in Python; an element that was made of a value with an array in it.
pub fn encode_message(
    message: &Message,
    turn: Option<&Dict>,
    limits: &Limits,
) -> Result<Bytes, EncodeError> {
    encode::message(message, turn, Bounds::of(limits))
}

/// Reads a message, and what belongs to the turn of a game. Keys of the message that are not known are skipped.
///
/// # Errors
/// Bytes that are no CBOR, no message, or over a limit; with the position.
pub fn decode_message(
    bytes: &Bytes,
    limits: &Limits,
) -> Result<(Message, Option<Dict>), DecodeError> {
    decode::message(bytes, Bounds::of(limits))
}

/// A value as CBOR.
///
/// # Errors
/// As [`encode_message`].
pub fn encode_value(value: &Value, limits: &Limits) -> Result<Bytes, EncodeError> {
    encode::value(value, Bounds::of(limits))
}

/// Reads a value.
///
/// # Errors
/// As [`decode_message`].
pub fn decode_value(bytes: &Bytes, limits: &Limits) -> Result<Value, DecodeError> {
    decode::value(bytes, Bounds::of(limits))
}
