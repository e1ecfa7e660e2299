//! Values and messages to CBOR.

use std::slice;

use bytes::Bytes;
use bytestring::ByteString;

use super::head::{self, Major};
use super::{array, tag};
use crate::value::{DictIter, FoundArray, find_lacking_element};
use crate::{Dict, EncodeError, Int, Limit, LimitExceeded, Limits, Message, Value};

/// Bytes that most messages other than observations fit in.
const TYPICAL: usize = 512;

/// How deep the parameters of a message stand, as in XML, so that what one generation of the protocol takes the other
/// does too.
pub(super) const PARAMS_DEPTH: usize = 2;

/// How much deeper an item stands than its container, as in XML.
pub(super) const LEVELS_PER_ITEM: usize = 2;

/// A message.
pub(super) fn message(
    message: &Message,
    turn: Option<&Dict>,
    limits: &Limits,
) -> Result<Bytes, EncodeError> {
    let params = match &message.params {
        Value::Dict(params) => Some(params),
        params if params.is_truthy() => {
            return Err(EncodeError::ParamsNotDict(params.type_name()));
        }
        _ => None,
    };
    let mut encoder = Encoder::new(limits);
    let keys = 2 + u64::from(params.is_some()) + u64::from(turn.is_some());
    encoder.head(Major::Map, keys)?;
    encoder.text("type")?;
    encoder.text(message.msg_type.as_str())?;
    encoder.text("src")?;
    encoder.text(&message.src_sub_app)?;
    for (key, dict) in [("params", params), ("turn", turn)] {
        if let Some(dict) = dict {
            encoder.text(key)?;
            encoder.dict(key, dict)?;
        }
    }
    encoder.finish()
}

/// A value.
pub(super) fn value(value: &Value, limits: &Limits) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::new(limits);
    let mut open = Vec::new();
    let written = encoder.begin(value, 1);
    open.extend(written.map_err(|refused| refused.named("value", value))?);
    encoder
        .run(open, 1)
        .map_err(|refused| refused.named("value", value))?;
    encoder.finish()
}

/// A container that is being written.
enum Open<'a> {
    Items(slice::Iter<'a, Value>),
    Entries(DictIter<'a>),
}

/// Why a value is not written.
enum Refused {
    Limit(LimitExceeded),
    /// There is an element in it that was made of a value with an array.
    LacksArray,
}

impl From<LimitExceeded> for Refused {
    fn from(exceeded: LimitExceeded) -> Self {
        Self::Limit(exceeded)
    }
}

impl Refused {
    /// The error, with the place in the value that was written.
    #[cold]
    fn named(self, root: &str, value: &Value) -> EncodeError {
        match self {
            Self::Limit(exceeded) => exceeded.into(),
            Self::LacksArray => {
                let FoundArray { path, array } =
                    find_lacking_element(root, value).unwrap_or_default();
                EncodeError::Array { path, array }
            }
        }
    }
}

/// Writes data items. The nesting of values is kept in a list of its own, so that no depth of it can exhaust the stack.
struct Encoder<'a> {
    output: Vec<u8>,
    limits: &'a Limits,
    nodes: usize,
}

impl<'a> Encoder<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            output: Vec::with_capacity(TYPICAL),
            limits,
            nodes: 0,
        }
    }

    fn finish(self) -> Result<Bytes, EncodeError> {
        self.check_size()?;
        Ok(self.output.into())
    }

    fn check_size(&self) -> Result<(), LimitExceeded> {
        LimitExceeded::check(
            Limit::MessageBytes,
            self.output.len(),
            self.limits.message_bytes,
        )
    }

    /// Counts items.
    #[inline]
    fn count(&mut self, nodes: usize) -> Result<(), LimitExceeded> {
        self.nodes += nodes;
        LimitExceeded::check(Limit::Nodes, self.nodes, self.limits.nodes)
    }

    #[inline]
    fn head(&mut self, major: Major, argument: u64) -> Result<(), LimitExceeded> {
        self.count(1)?;
        head::push(&mut self.output, major, argument);
        Ok(())
    }

    fn content(&mut self, major: Major, content: &[u8]) -> Result<(), LimitExceeded> {
        LimitExceeded::check(Limit::TextBytes, content.len(), self.limits.text_bytes)?;
        self.head(major, content.len() as u64)?;
        self.output.extend_from_slice(content);
        self.check_size()
    }

    fn text(&mut self, text: &str) -> Result<(), LimitExceeded> {
        self.content(Major::Text, text.as_bytes())
    }

    /// The parameters of a message, or what stands beside them.
    fn dict(&mut self, root: &str, dict: &Dict) -> Result<(), EncodeError> {
        LimitExceeded::check(Limit::Depth, PARAMS_DEPTH, self.limits.depth)?;
        self.head(Major::Map, dict.len() as u64)?;
        let open = vec![Open::Entries(dict.iter())];
        self.run(open, PARAMS_DEPTH)
            .map_err(|refused| refused.named(root, &Value::Dict(dict.clone())))
    }

    /// Writes what the open containers hold, of which the outermost stands at this depth.
    fn run<'v>(&mut self, mut open: Vec<Open<'v>>, depth: usize) -> Result<(), Refused> {
        while let Some(container) = open.last_mut() {
            let value = match container {
                Open::Items(items) => items.next(),
                Open::Entries(entries) => match entries.next() {
                    Some((key, value)) => {
                        self.text(key)?;
                        Some(value)
                    }
                    None => None,
                },
            };
            let Some(value) = value else {
                open.pop();
                continue;
            };
            let inside = depth + LEVELS_PER_ITEM * open.len();
            open.extend(self.begin(value, inside)?);
        }
        Ok(())
    }

    /// Writes a value that holds no others, or the beginning of one that does.
    fn begin<'v>(&mut self, value: &'v Value, depth: usize) -> Result<Option<Open<'v>>, Refused> {
        LimitExceeded::check(Limit::Depth, depth, self.limits.depth)?;
        match value {
            Value::None => self.head(Major::Simple, 22)?,
            Value::Bool(value) => self.head(Major::Simple, 20 + u64::from(*value))?,
            Value::Int(value) => self.int(value)?,
            Value::Float(value) => {
                self.count(1)?;
                self.output.push(0xfb);
                self.output.extend(value.to_bits().to_be_bytes());
            }
            Value::Str(text) => self.text(text)?,
            Value::Bytes(bytes) => self.content(Major::Bytes, bytes)?,
            Value::Type(name) => {
                self.head(Major::Tag, tag::TYPE)?;
                self.text(name.as_str())?;
            }
            Value::Element(element) => {
                if element.lacks_array() {
                    return Err(Refused::LacksArray);
                }
                let deepest = depth - 1 + element.depth();
                LimitExceeded::check(Limit::Depth, deepest, self.limits.depth)?;
                self.element(element.as_xml(), element.tail())?;
            }
            Value::Array(array) => {
                let size = array.bytes().len();
                LimitExceeded::check(Limit::TextBytes, size, self.limits.text_bytes)?;
                self.count(array::nodes(array))?;
                array::push(&mut self.output, array);
                self.check_size()?;
            }
            Value::List(items) => return self.items(None, items).map(Some),
            Value::Tuple(items) => return self.items(Some(tag::TUPLE), items).map(Some),
            Value::Set(items) => return self.items(Some(tag::SET), items).map(Some),
            Value::Dict(dict) => {
                self.head(Major::Map, dict.len() as u64)?;
                return Ok(Some(Open::Entries(dict.iter())));
            }
        }
        Ok(None)
    }

    fn items<'v>(&mut self, tag: Option<u64>, items: &'v [Value]) -> Result<Open<'v>, Refused> {
        if let Some(tag) = tag {
            self.head(Major::Tag, tag)?;
        }
        self.head(Major::Array, items.len() as u64)?;
        Ok(Open::Items(items.iter()))
    }

    fn element(&mut self, xml: &ByteString, tail: &ByteString) -> Result<(), LimitExceeded> {
        self.head(Major::Tag, tag::ELEMENT)?;
        if tail.is_empty() {
            return self.text(xml);
        }
        self.head(Major::Array, 2)?;
        self.text(xml)?;
        self.text(tail)
    }

    fn int(&mut self, value: &Int) -> Result<(), LimitExceeded> {
        if let Some(small) = value.as_i64() {
            let (major, argument) = match u64::try_from(small) {
                Ok(unsigned) => (Major::Unsigned, unsigned),
                // -1 - n is !n in two's complement.
                Err(_) => (Major::Negative, (!small).unsigned_abs()),
            };
            return self.head(major, argument);
        }
        LimitExceeded::check(Limit::IntDigits, value.digits(), self.limits.int_digits)?;
        let (is_negative, bytes) = value.to_bignum();
        if let Ok(word) = <[u8; 8]>::try_from(&*bytes) {
            let major = if is_negative {
                Major::Negative
            } else {
                Major::Unsigned
            };
            return self.head(major, u64::from_be_bytes(word));
        }
        let tag = if is_negative {
            tag::NEGATIVE_BIGNUM
        } else {
            tag::UNSIGNED_BIGNUM
        };
        self.head(Major::Tag, tag)?;
        self.content(Major::Bytes, &bytes)
    }
}
