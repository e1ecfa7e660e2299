//! Values that are made of one text.

use bytestring::ByteString;

use crate::value::excerpt;
use crate::xml::repr;
use crate::{DecodeErrorKind, Element, Int, Limits, TypeName, Value};

/// The types whose values pymasep reads from a text.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Scalar {
    Str,
    Int,
    Bool,
    Type,
}

impl Scalar {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Str => "str",
            Self::Int => "int",
            Self::Bool => "bool",
            Self::Type => "type",
        }
    }

    /// Reads a value from its text; `share` makes a part of it one that can be kept.
    pub(super) fn read(
        self,
        text: &str,
        share: impl FnOnce(&str) -> ByteString,
        limits: &Limits,
    ) -> Result<Value, DecodeErrorKind> {
        match self {
            Self::Str => Ok(Value::Str(share(text))),
            Self::Int => Int::parse(text, limits.int_digits).map(Value::Int),
            // pymasep takes `False` for true, too; here it is what its sender meant.
            Self::Bool => Ok(Value::Bool(text != "False")),
            Self::Type if !text.starts_with("<class") => Ok(Value::Type(TypeName::from("str"))),
            Self::Type => match quoted(text) {
                Some(name) => Ok(Value::Type(TypeName::new(share(name)))),
                None => Err(DecodeErrorKind::InvalidType(excerpt(text))),
            },
        }
    }
}

/// The first text between two single quotes that is not empty.
fn quoted(text: &str) -> Option<&str> {
    let mut parts = text.split('\'');
    // The text before the first quote and the one behind the last do not stand between two.
    parts.next();
    parts.next_back();
    parts.find(|part| !part.is_empty())
}

/// The value of an element of a type that pymasep writes but does not read: if this is exactly what
/// it writes for that value.
pub(super) fn native(element: &Element) -> Option<Value> {
    let xml = &**element.as_xml();
    let text_of = |name: &str| {
        xml.strip_prefix('<')?
            .strip_prefix(name)?
            .strip_prefix('>')?
            .strip_suffix('>')?
            .strip_suffix(name)?
            .strip_suffix("</")
    };
    if xml == "<NoneType>None</NoneType>" {
        Some(Value::None)
    } else if let Some(text) = text_of("float") {
        repr::parse_float(text).map(Value::Float)
    } else {
        text_of("bytes")?;
        repr::parse_bytes(&element.text())
            .filter(|_| element.depth() == 1)
            .map(|bytes| Value::Bytes(bytes.into()))
    }
}
