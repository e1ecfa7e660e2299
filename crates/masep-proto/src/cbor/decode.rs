//! CBOR to values and messages.

use std::collections::HashSet;
use std::mem;
use std::ops::Range;

use bytes::Bytes;
use bytestring::ByteString;

use super::encode::{LEVELS_PER_ITEM, PARAMS_DEPTH};
use super::head::Major;
use super::reader::{Fault, Head, Reader};
use super::{Bounds, array, tag};
use crate::value::{excerpt, unique_members};
use crate::{
    Array, ArrayError, DType, DecodeError, DecodeErrorKind, Dict, Element, Int, Limit,
    LimitExceeded, Message, MessageType, TypeName, Value, value,
};

/// A message, and what belongs to the turn.
pub(crate) fn message(
    input: &Bytes,
    bounds: Bounds<'_>,
) -> Result<(Message, Option<Dict>), DecodeError> {
    read_message(input, bounds, Decoder::turn)
}

/// The same with the bytes of the turn, which are a map and no more is known of it.
pub(crate) fn message_in_turn(
    input: &Bytes,
    bounds: Bounds<'_>,
) -> Result<(Message, Option<Bytes>), DecodeError> {
    read_message(input, bounds, Decoder::turn_bytes)
}

fn read_message<'a, T>(
    input: &'a Bytes,
    bounds: Bounds<'a>,
    turn: fn(&mut Decoder<'a>) -> Result<T, Fault>,
) -> Result<(Message, Option<T>), DecodeError> {
    let mut decoder = Decoder::new(input, bounds)?;
    let message = decoder.message(turn)?;
    decoder.reader.end()?;
    Ok(message)
}

pub(super) fn value(input: &Bytes, bounds: Bounds<'_>) -> Result<Value, DecodeError> {
    let mut decoder = Decoder::new(input, bounds)?;
    let value = decoder.value(1)?;
    decoder.reader.end()?;
    Ok(value)
}

/// Up to this size of the input, whatever is read is a slice of it.
const SMALL_INPUT: usize = 64 << 10;

/// A text, or bytes, of less than this part of the input is copied, as a slice would keep all of the input.
const LEAST_PART: usize = 16;

/// The items of a container for which memory is taken when it begins.
const FEW: usize = 8;

const TURN: &str = "turn is a map";

/// A container that is being read.
struct Open {
    container: Container,
    /// The place of its head in the input.
    start: usize,
    /// The number of items, or entries, that are still to come.
    rest: usize,
    /// The place of its first item among all items, or of its first entry among all entries.
    first: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Container {
    List,
    Tuple,
    Set,
    Dict,
}

/// Reads values. The containers around the current place are kept in a list, so that no depth can exhaust the stack.
struct Decoder<'a> {
    input: &'a Bytes,
    reader: Reader<'a>,
    bounds: Bounds<'a>,
    open: Vec<Open>,
    /// The items of the open containers other than dicts, outermost first; a container takes its own at its end, in one piece
    /// of memory of the right size.
    items: Vec<Value>,
    /// The entries of the open dicts, likewise. The value of the last one of each is still to come while a container in it
    /// is read.
    entries: Vec<(ByteString, Value)>,
}

impl<'a> Decoder<'a> {
    fn new(input: &'a Bytes, bounds: Bounds<'a>) -> Result<Self, Fault> {
        LimitExceeded::check(Limit::MessageBytes, input.len(), bounds.message_bytes)
            .map_err(|exceeded| Fault::new(exceeded, 0))?;
        Ok(Self {
            input,
            reader: Reader::new(input, bounds.nodes, bounds.text_bytes),
            bounds,
            open: Vec::new(),
            items: Vec::new(),
            entries: Vec::new(),
        })
    }

    fn message<T>(
        &mut self,
        read_turn: fn(&mut Self) -> Result<T, Fault>,
    ) -> Result<(Message, Option<T>), Fault> {
        let head = self.reader.expect(Major::Map, "a message is a map")?;
        let count = self.reader.count(head)?;
        let (mut msg_type, mut src, mut params, mut turn) = (None, None, None, None);
        let mut unknown = HashSet::new();
        for _ in 0..count {
            let head = self
                .reader
                .expect(Major::Text, "the key of a map is a text")?;
            let key = self.reader.text(head)?;
            let is_new = match key {
                "type" => msg_type.replace(self.msg_type()?).is_none(),
                "src" => src.replace(self.next_text("src is a text")?).is_none(),
                "params" => params.replace(self.params()?).is_none(),
                "turn" => turn.replace(read_turn(self)?).is_none(),
                _ => {
                    self.reader.skip()?;
                    unknown.insert(key)
                }
            };
            if !is_new {
                let kind = DecodeErrorKind::DuplicateKey(excerpt(key));
                return Err(Fault::new(kind, head.start));
            }
        }
        let missing = |key| Fault::new(DecodeErrorKind::MissingField(key), head.start);
        let message = Message {
            msg_type: msg_type.ok_or_else(|| missing("type"))?,
            params: params.unwrap_or_default(),
            src_sub_app: src.ok_or_else(|| missing("src"))?,
        };
        Ok((message, turn))
    }

    fn msg_type(&mut self) -> Result<MessageType, Fault> {
        let head = self.reader.expect(Major::Text, "type is a text")?;
        Ok(MessageType::from(self.reader.text(head)?))
    }

    fn params(&mut self) -> Result<Value, Fault> {
        let start = self.reader.position();
        match self.value(PARAMS_DEPTH)? {
            params @ (Value::Dict(_) | Value::None) => Ok(params),
            other => {
                let kind = DecodeErrorKind::ParamsNotDict(other.type_name().into());
                Err(Fault::new(kind, start))
            }
        }
    }

    fn turn(&mut self) -> Result<Dict, Fault> {
        let start = self.reader.position();
        match self.value(PARAMS_DEPTH)? {
            Value::Dict(turn) => Ok(turn),
            _ => Err(Fault::unexpected(TURN, start)),
        }
    }

    fn turn_bytes(&mut self) -> Result<Bytes, Fault> {
        let start = self.reader.position();
        let head = self.reader.expect(Major::Map, TURN)?;
        self.reader.pass(2 * self.reader.count(head)?)?;
        Ok(self.input.slice(start..self.reader.position()))
    }

    /// The next value, which stands at this depth.
    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        self.begin(depth)?;
        while let Some(open) = self.open.last_mut() {
            if open.rest > 0 {
                open.rest -= 1;
                if open.container == Container::Dict {
                    let key = self.next_text("the key of a map is a text")?;
                    self.entries.push((key, Value::None));
                }
                self.begin(depth + LEVELS_PER_ITEM * self.open.len())?;
            } else if let Some(open) = self.open.pop() {
                let value = self.finish(&open)?;
                if self.open.is_empty() {
                    return Ok(value);
                }
                self.put(value);
            }
        }
        Ok(self.items.pop().unwrap_or_default())
    }

    /// Puts a value into the container in which it stands, or, without one, among the items.
    #[inline]
    fn put(&mut self, value: Value) {
        let is_in_dict = (self.open.last()).is_some_and(|open| open.container == Container::Dict);
        match self.entries.last_mut() {
            Some((_, place)) if is_in_dict => *place = value,
            _ => self.items.push(value),
        }
    }

    /// Reads a value that holds no others, or the beginning of one that does.
    #[inline]
    fn begin(&mut self, depth: usize) -> Result<(), Fault> {
        let head = self.reader.head()?;
        let allowed = self.bounds.limits.depth;
        if depth > allowed {
            return Err(Fault::limit(Limit::Depth, depth, allowed, head.start));
        }
        let value = match head.major {
            Major::Unsigned | Major::Negative => Value::Int(int(head)),
            Major::Bytes => Value::Bytes(self.bytes(head)?),
            Major::Text => Value::Str(self.text(head)?),
            Major::Array => return self.open(Container::List, head, head.start),
            Major::Map if head.argument == 0 => Value::Dict(Dict::new()),
            Major::Map => return self.open(Container::Dict, head, head.start),
            Major::Tag => return self.tagged(head, depth),
            Major::Simple => simple(head)?,
        };
        self.put(value);
        Ok(())
    }

    /// Opens a container that begins at `start`, whose head was just read.
    fn open(&mut self, container: Container, head: Head, start: usize) -> Result<(), Fault> {
        let rest = self.reader.count(head)?;
        // At once for few, and for no more: the number is only claimed.
        let few = rest.min(FEW);
        let first = if container == Container::Dict {
            self.entries.reserve(few);
            self.entries.len()
        } else {
            self.items.reserve(few);
            self.items.len()
        };
        self.open.push(Open {
            container,
            start,
            rest,
            first,
        });
        Ok(())
    }

    /// The value of a container that was read.
    fn finish(&mut self, open: &Open) -> Result<Value, Fault> {
        if open.container == Container::Dict {
            let entries = split_off(&mut self.entries, open.first);
            return match Dict::from_different(entries) {
                Ok(dict) => Ok(Value::Dict(dict)),
                Err(key) => {
                    let kind = DecodeErrorKind::DuplicateKey(excerpt(&key));
                    Err(Fault::new(kind, open.start))
                }
            };
        }
        let items = split_off(&mut self.items, open.first);
        Ok(match open.container {
            Container::List => Value::List(items),
            Container::Tuple => Value::Tuple(items),
            _ => {
                let unhashable = |name| Fault::new(DecodeErrorKind::Unhashable(name), open.start);
                Value::Set(unique_members(items).map_err(unhashable)?)
            }
        })
    }

    /// Reads the item behind a tag. Only these stand behind one: no tag stands behind another but in an array.
    fn tagged(&mut self, head: Head, depth: usize) -> Result<(), Fault> {
        let value = match head.argument {
            tag::TUPLE => {
                let items = self.reader.expect(Major::Array, "a tuple is an array")?;
                return self.open(Container::Tuple, items, head.start);
            }
            tag::SET => {
                let items = self.reader.expect(Major::Array, "a set is an array")?;
                return self.open(Container::Set, items, head.start);
            }
            tag::UNSIGNED_BIGNUM => self.bignum(false)?,
            tag::NEGATIVE_BIGNUM => self.bignum(true)?,
            tag::TYPE => Value::Type(TypeName::new(self.next_text("a class is a text")?)),
            tag::ELEMENT => self.element(depth)?,
            tag::ARRAY => self.array(head)?,
            typed if typed == tag::BOOL || array::is_typed_array(typed) => self.vector(head)?,
            unknown => return Err(Fault::new(DecodeErrorKind::UnknownTag(unknown), head.start)),
        };
        self.put(value);
        Ok(())
    }

    fn bignum(&mut self, is_negative: bool) -> Result<Value, Fault> {
        let head = self.reader.expect(Major::Bytes, "a bignum is bytes")?;
        let range = self.reader.content(head)?;
        let bytes = self.reader.slice(range);
        Int::from_bignum(is_negative, bytes, self.bounds.limits.int_digits)
            .map(Value::Int)
            .map_err(|exceeded| Fault::new(exceeded, head.start))
    }

    /// An element, checked: it may be put into the XML of a message for a peer of pymasep's protocol.
    fn element(&mut self, depth: usize) -> Result<Value, Fault> {
        const WHAT: &str = "an element is a text, or an array of one and its tail";
        let mut head = self.reader.head()?;
        let has_tail = head.major == Major::Array && head.argument == 2;
        if has_tail {
            head = self.reader.head()?;
        }
        if head.major != Major::Text {
            return Err(Fault::unexpected(WHAT, head.start));
        }
        let xml = self.text(head)?;
        let at = self.reader.position() - xml.len();
        let limits = self
            .bounds
            .to_limits()
            .depth(self.bounds.limits.depth + 1 - depth)
            .nodes(self.reader.nodes_left());
        let element = Element::decode(xml.into_bytes(), &limits)
            .map_err(|error| Fault::new(error.kind, at + error.position.offset))?;
        if !has_tail {
            return Ok(Value::Element(element));
        }
        let tail = self.next_text(WHAT)?;
        Ok(Value::Element(element.with_tail(tail)))
    }

    /// An array of a shape.
    fn array(&mut self, head: Head) -> Result<Value, Fault> {
        const WHAT: &str = "an array is an array of its shape and a typed array";
        let pair = self.reader.expect(Major::Array, WHAT)?;
        let lengths = self.reader.expect(Major::Array, WHAT)?;
        if pair.argument != 2 {
            return Err(Fault::unexpected(WHAT, pair.start));
        }
        let dimensions = usize::try_from(lengths.argument).unwrap_or(usize::MAX);
        if dimensions > Array::MAX_DIMENSIONS {
            return Err(Fault::new(
                ArrayError::Dimensions(dimensions),
                lengths.start,
            ));
        }
        let mut shape = Vec::with_capacity(dimensions);
        for _ in 0..dimensions {
            let length = self
                .reader
                .expect(Major::Unsigned, "a length is a number of 0 or more")?;
            let too_large = |_| Fault::new(ArrayError::TooLarge, length.start);
            shape.push(usize::try_from(length.argument).map_err(too_large)?);
        }
        let typed = self.reader.expect(Major::Tag, WHAT)?;
        self.items(head, typed, Some(shape))
    }

    /// A typed array alone, which has one dimension.
    fn vector(&mut self, typed: Head) -> Result<Value, Fault> {
        self.items(typed, typed, None)
    }

    /// The bytes of an array that begins with `head`, behind the tag of their type.
    fn items(
        &mut self,
        head: Head,
        typed: Head,
        shape: Option<Vec<usize>>,
    ) -> Result<Value, Fault> {
        let is_bool = typed.argument == tag::BOOL;
        let typed = if is_bool {
            self.reader
                .expect(Major::Tag, "bools are in an array of uint8")?
        } else {
            typed
        };
        let (dtype, is_little_endian) = match array::dtype(typed.argument) {
            Some((DType::UInt8, _)) if is_bool => (DType::Bool, true),
            Some(found) if !is_bool => found,
            _ => {
                let kind = DecodeErrorKind::UnknownTag(typed.argument);
                return Err(Fault::new(kind, typed.start));
            }
        };
        let content = self.reader.expect(Major::Bytes, "a typed array is bytes")?;
        let range = self.reader.content(content)?;
        let shape = shape.unwrap_or_else(|| vec![range.len() / dtype.size()]);
        let bytes = if is_little_endian {
            self.share(range)
        } else {
            swapped(self.reader.slice(range), dtype.size())
        };
        let array = Array::new(dtype, shape, bytes);
        let array = array.map_err(|error| Fault::new(error, head.start))?;
        Ok(Value::from(array.aligned()))
    }

    fn next_text(&mut self, what: &'static str) -> Result<ByteString, Fault> {
        let head = self.reader.expect(Major::Text, what)?;
        self.text(head)
    }

    /// The text whose head was just read.
    fn text(&mut self, head: Head) -> Result<ByteString, Fault> {
        let range = self.reader.content(head)?;
        let start = range.start;
        ByteString::try_from(self.share(range)).map_err(|_| {
            let valid = std::str::from_utf8(self.reader.slice(start..self.reader.position()))
                .map_err(|error| error.valid_up_to());
            let at = start + valid.err().unwrap_or_default();
            Fault::syntax("a text that is not UTF-8", at)
        })
    }

    fn bytes(&mut self, head: Head) -> Result<Bytes, Fault> {
        let range = self.reader.content(head)?;
        Ok(self.share(range))
    }

    /// A part of the input: a slice of it, or a copy.
    fn share(&self, range: Range<usize>) -> Bytes {
        let size = self.input.len();
        if size > SMALL_INPUT && range.len() < size / LEAST_PART {
            return Bytes::copy_from_slice(&self.input[range]);
        }
        self.input.slice(range)
    }
}

/// Takes what stands from this place on, in memory of the right size: all of it as it is, if that fits well.
fn split_off<T>(all: &mut Vec<T>, first: usize) -> Vec<T> {
    if first == 0 && all.capacity() <= all.len().max(FEW) {
        return mem::take(all);
    }
    all.split_off(first)
}

/// The int of a head.
fn int(head: Head) -> Int {
    let is_negative = head.major == Major::Negative;
    match i64::try_from(head.argument) {
        // -1 - n is !n in two's complement.
        Ok(small) => Int::from(if is_negative { !small } else { small }),
        Err(_) if is_negative => Int::from(-1 - i128::from(head.argument)),
        Err(_) => Int::from(head.argument),
    }
}

/// `None`, a bool or a float.
fn simple(head: Head) -> Result<Value, Fault> {
    Ok(match head.info {
        20 => Value::Bool(false),
        21 => Value::Bool(true),
        22 => Value::None,
        25 => Value::Float(value::f16_to_f64(low(head.argument))),
        26 => Value::Float(value::f32_to_f64(low(head.argument))),
        27 => Value::Float(f64::from_bits(head.argument)),
        _ if head.is_reserved() => return Err(Fault::syntax("a reserved value", head.start)),
        _ => {
            return Err(Fault::unexpected(
                "a simple value that is no value here",
                head.start,
            ));
        }
    })
}

/// The bits of a head, of which no others are there.
fn low<T: TryFrom<u64> + Default>(argument: u64) -> T {
    T::try_from(argument).unwrap_or_default()
}

/// Items in the other order of bytes.
fn swapped(bytes: &[u8], size: usize) -> Bytes {
    let mut swapped = bytes.to_vec();
    swapped.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    swapped.into()
}
