//! The errors of JSON forms.

use std::fmt;

use serde_json::Value as Json;

use crate::printable::{Quoted, is_printable};
use crate::value::excerpt;
use crate::{ArrayError, DecodeError, DecodeErrorKind, EncodeError, LimitExceeded};

/// JSON that is no message or value: the fault of whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The fault.
    pub kind: JsonErrorKind,
    /// The path to it: `params.items[3].$int`; empty for the whole.
    pub path: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return self.kind.fmt(f);
        }
        write!(f, "{}: {}", self.path, self.kind)
    }
}

impl std::error::Error for JsonError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

impl<K: Into<JsonErrorKind>> From<K> for JsonError {
    fn from(kind: K) -> Self {
        Self {
            kind: kind.into(),
            path: String::new(),
        }
    }
}

impl JsonError {
    /// The same error seen from the object in which it is under `key`.
    #[cold]
    #[must_use]
    pub fn under_key(mut self, key: &str) -> Self {
        let key = excerpt(key);
        let plain = key.starts_with(|c: char| c == '_' || c == '$' || c.is_alphabetic())
            && key
                .chars()
                .all(|c| c == '_' || c == '$' || (c.is_alphanumeric() && is_printable(c)));
        let key = if plain {
            key
        } else {
            format!("[{}]", Quoted(&key))
        };
        self.prepend(&key);
        self
    }

    /// The same error seen from the array in which it is at `index`.
    #[cold]
    #[must_use]
    pub fn at_index(mut self, index: usize) -> Self {
        self.prepend(&format!("[{index}]"));
        self
    }

    fn prepend(&mut self, segment: &str) {
        let dot = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path.insert_str(0, dot);
        self.path.insert_str(0, segment);
    }
}

/// The faults of JSON that should be a message or a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// The text is no JSON: what is wrong with it, and where.
    #[error("{0}")]
    Syntax(String),
    /// Another kind of JSON than is needed here.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// The thing that is needed.
        expected: &'static str,
        /// The thing that is there.
        found: &'static str,
    },
    /// An object lacks a key.
    #[error("the key {} is missing", Quoted(_0))]
    MissingKey(String),
    /// A message has a key that means nothing there.
    #[error("a message has no key {}", Quoted(_0))]
    UnknownKey(String),
    /// An object has a tag and a key that cannot stand beside it.
    #[error("the key {} cannot stand beside {}", Quoted(key), Quoted(tag))]
    BesideTag {
        /// The tag.
        tag: String,
        /// The other key.
        key: String,
    },
    /// An object has a key that starts with `$` and is no tag.
    #[error(
        "unknown tag {} (a dict with such a key is written {{\"$dict\": [[key, value], …]}})",
        Quoted(_0)
    )]
    UnknownTag(String),
    /// Not a float.
    #[error("not a finite float, \"nan\", \"inf\" or \"-inf\": {}", Quoted(_0))]
    InvalidFloat(String),
    /// Not an int.
    #[error("not an int: {}", Quoted(_0))]
    InvalidInt(String),
    /// Not an even number of hexadecimal digits.
    #[error("not bytes in hexadecimal digits: {0}")]
    InvalidHex(String),
    /// Not base64: the standard alphabet, padded.
    #[error("not base64: {0}")]
    InvalidBase64(String),
    /// Not the type of an array's items.
    #[error("not the type of an array's items: {}", Quoted(_0))]
    InvalidDType(String),
    /// Not an array: shape and bytes do not fit, ...
    #[error(transparent)]
    InvalidArray(#[from] ArrayError),
    /// A lone surrogate: Python strings can hold one, XML and UTF-8 cannot.
    #[error("U+{0:04X} is a surrogate, which no text on the wire can hold")]
    Surrogate(u32),
    /// Not XML of one element.
    #[error("{0}")]
    InvalidXml(#[source] DecodeError),
    /// Not what an XML element can be: its name.
    #[error(transparent)]
    InvalidElement(EncodeError),
    /// A Python object that is only described, not represented.
    #[error("a Python object that has no form on the wire")]
    Unrepresentable,
    /// A member of a set that Python could not hash (a list, a set or a dict).
    #[error("a {0} cannot be a member of a set")]
    Unhashable(&'static str),
    /// A bound was reached.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl JsonErrorKind {
    pub(super) fn unexpected(expected: &'static str, found: &Json) -> Self {
        let found = match found {
            Json::Null => "null",
            Json::Bool(_) => "a bool",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "an array",
            Json::Object(_) => "an object",
        };
        Self::Unexpected { expected, found }
    }

    /// A stable name for programs: `unknown_tag`, `missing_key`, `limit`, ...
    pub fn name(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "json",
            Self::Unexpected { .. } => "unexpected",
            Self::MissingKey(_) => "missing_key",
            Self::UnknownKey(_) => "unknown_key",
            Self::BesideTag { .. } => "beside_tag",
            Self::UnknownTag(_) => "unknown_tag",
            Self::InvalidFloat(_) => "invalid_float",
            Self::InvalidInt(_) => "invalid_int",
            Self::InvalidHex(_) => "invalid_hex",
            Self::InvalidBase64(_) => "invalid_base64",
            Self::InvalidDType(_) => "invalid_dtype",
            Self::InvalidArray(_) => "invalid_array",
            Self::Surrogate(_) => "surrogate",
            Self::InvalidXml(_) => "invalid_xml",
            Self::InvalidElement(error) => error.name(),
            Self::Unrepresentable => "unrepresentable",
            Self::Unhashable(_) => "unhashable",
            Self::Limit(_) => "limit",
        }
    }

    /// The error of an element that was put together from JSON.
    pub(super) fn element(error: EncodeError) -> Self {
        match error {
            EncodeError::Limit(limit) => Self::Limit(limit),
            error => Self::InvalidElement(error),
        }
    }

    /// The error of the text of an int.
    pub(super) fn int(kind: DecodeErrorKind, text: &str) -> Self {
        match kind {
            DecodeErrorKind::InvalidInt(text) => Self::InvalidInt(text),
            DecodeErrorKind::Limit(limit) => Self::Limit(limit),
            _ => Self::InvalidInt(text.to_owned()),
        }
    }
}
