//! The JSON form of messages and values, for people and for programs in any language.
//!
//! Plain JSON where that is unambiguous, an object with one key that starts with `$` where not:
//!
//! | Python | JSON |
//! | --- | --- |
//! | `None`, `True`, a `str`, a `list` | `null`, `true`, a string, an array |
//! | an `int` | a number without fraction and exponent, or `{"$int": "123…"}` outside `i64` |
//! | a `float` | a number with a fraction or an exponent, or `{"$float": "nan"}`, `"inf"`, `"-inf"` |
//! | a `dict` | an object in the same order, or `{"$dict": [[key, value], …]}` if a key starts with `$` |
//! | a `tuple`, a `set` | `{"$tuple": […]}`, `{"$set": […]}` in the order in which it is sent |
//! | `bytes` | `{"$bytes_hex": "00ff"}` |
//! | a class | `{"$type": "module.Class"}`, `{"$type": "builtins.int"}` |
//! | an array | `{"$array": {"dtype": "uint8", "shape": [84, 84, 4], "base64": "…"}}`: its bytes, row-major, little endian |
//! | anything else | `{"$xml": "<State … />"}`, with `"$tail"` if text follows the element; as a tree by [`with_trees`] |
//!
//! A message is `{"msg_type": …, "src_sub_app": …, "params": …}`.
//!
//! These forms are written. Reading also takes `{"$float": …}` of any float, as text or as a number
//! (for writers whose numbers cannot tell `1.0` from `1`), `{"$int": …}` of any int, every dict as a
//! `$dict`, `{"$codepoints": [97, …]}` for a string, `{"$py": class, "name": tag, "str": text}` for
//! the element that pymasep sends in the place of an object it does not know, and
//! `{"$nest": ["list" or "dict", depth, leaf]}`: `leaf` in that many lists, or dicts with the one key
//! `k`. A tuple may be a key of a `$dict`: its `repr` is sent, as pymasep does. Beside `$xml` the keys `$class`, `$action` and `$circular` are taken and not looked at.
//!
//! ```
//! use masep_proto::{Dict, Message, MessageType, Value};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let json = serde_json::json!({"msg_type": "action", "params": {"to": {"$tuple": [3, 4]}}});
//! let message = Message::from_json(&json, Some("agent-1"))?;
//! let params = Value::from(Dict::from([("to", (3, 4))]));
//! assert_eq!(message, Message::new(MessageType::Action, params, "agent-1"));
//! assert_eq!(message.to_json()?["src_sub_app"], "agent-1");
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//! Nesting is bounded by the default of [`Limits::depth`](crate::Limits::depth) in both directions,
//! counted as on the wire (a value in a list is two levels deeper than the list), and for reading the
//! number of values by half of [`Limits::nodes`](crate::Limits::nodes). Parsers of JSON are
//! often less patient: `serde_json` refuses text that is nested more than 127 levels deep, and so does
//! reading a [`Value`] or [`Message`] by its functions. [`from_slice`] reads all that is written here.
//!
//! # `serde_json`'s features
//! Ints beyond `u64` need its `arbitrary_precision` to be read as plain numbers; without it
//! `serde_json` takes them for floats before they come here. `{"$int": …}` works either way.

mod array;
mod control;
mod error;
mod key;
mod read;
mod text;
mod tree;
mod write;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::Value as Json;

pub use error::{JsonError, JsonErrorKind};
pub use text::from_slice;
pub use tree::with_trees;

use crate::protocol2::Control;
use crate::{Element, Limit, LimitExceeded, Limits, Message, Value};

use write::Arrays;

/// The levels of XML by which an item is deeper than its container: `<list><item>…`.
const LEVELS_PER_ITEM: usize = 2;

fn check_depth(depth: usize) -> Result<(), LimitExceeded> {
    LimitExceeded::check(Limit::Depth, depth, Limits::default().depth)
}

impl Value {
    /// The [JSON form](crate::json) of the value.
    ///
    /// # Errors
    /// The value is nested deeper than any message can be.
    pub fn to_json(&self) -> Result<Json, LimitExceeded> {
        write::value(self, Arrays::Whole)
    }

    /// The same to be looked at: of an array only what it is, `{"$array": "uint8[84,84,4]"}`, which cannot be read back.
    ///
    /// # Errors
    /// As [`to_json`](Self::to_json).
    pub fn to_json_summary(&self) -> Result<Json, LimitExceeded> {
        write::value(self, Arrays::Summary)
    }

    /// The value of a [JSON form](crate::json).
    ///
    /// # Errors
    /// The fault of the JSON, and its place.
    pub fn from_json(json: &Json) -> Result<Self, JsonError> {
        read::value(json)
    }
}

impl Element {
    /// The [JSON form](crate::json) of the element: `{"$xml": …}`.
    pub fn to_json(&self) -> Json {
        write::element(self)
    }

    /// The element of a [JSON form](crate::json).
    ///
    /// # Errors
    /// The fault of the JSON, and its place.
    pub fn from_json(json: &Json) -> Result<Self, JsonError> {
        read::element(json)
    }
}

impl Control {
    /// Its fields, to be looked at: in place of an access token or a resume text there is `...`, and of arrays only what they
    /// are.
    ///
    /// # Errors
    /// Values are nested deeper than any message can be.
    pub fn to_json(&self) -> Result<serde_json::Map<String, Json>, LimitExceeded> {
        control::write(self)
    }

    /// Its name in lower case: `hello`, `welcome`, ...
    pub const fn name(&self) -> &'static str {
        control::name(self)
    }
}

impl Message {
    /// The [JSON form](crate::json) of the message.
    ///
    /// # Errors
    /// The parameters are nested deeper than any message can be.
    pub fn to_json(&self) -> Result<Json, LimitExceeded> {
        write::message(self, Arrays::Whole)
    }

    /// The same to be looked at: of an array only what it is, `{"$array": "uint8[84,84,4]"}`, which cannot be read back.
    ///
    /// # Errors
    /// As [`to_json`](Self::to_json).
    pub fn to_json_summary(&self) -> Result<Json, LimitExceeded> {
        write::message(self, Arrays::Summary)
    }

    /// The message of a [JSON form](crate::json). `sender` is taken if it has no `src_sub_app`;
    /// parameters that are missing are `None`.
    ///
    /// # Errors
    /// The fault of the JSON, and its place.
    pub fn from_json(json: &Json, sender: Option<&str>) -> Result<Self, JsonError> {
        read::message(json, sender)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json()
            .map_err(ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Json::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Json::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json()
            .map_err(ser::Error::custom)?
            .serialize(serializer)
    }
}

/// A message without `src_sub_app` is an error here: nobody can say whose it is.
impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&Json::deserialize(deserializer)?, None).map_err(de::Error::custom)
    }
}
