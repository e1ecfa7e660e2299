//! XML to values and messages.

use bytes::Bytes;
use bytestring::ByteString;

use super::document::Document;
use super::fault::Fault;
use super::reader::Reader;
use super::repr;
use super::scanner::{Tag, Token};
use crate::value::{excerpt, unique_members};
use crate::{
    DecodeError, DecodeErrorKind, Dict, Element, Int, Limits, Message, MessageType, TypeName, Value,
};

/// Reads a message.
pub(crate) fn decode_message(bytes: Bytes, limits: &Limits) -> Result<Message, DecodeError> {
    let document = Document::read(bytes, limits)?;
    let mut decoder = Decoder::new(&document, limits);
    let result = decoder.message();
    document.finish(malformed_first(&document, limits, result))
}

/// Reads a document as one element.
pub(crate) fn decode_element(bytes: Bytes, limits: &Limits) -> Result<Element, DecodeError> {
    let document = Document::read(bytes, limits)?;
    let mut decoder = Decoder::new(&document, limits);
    document.finish(decoder.document(|decoder, root| decoder.reader.element(root)))
}

/// Reads an element as the value that it spells.
pub(crate) fn decode_value(xml: &ByteString) -> Result<Value, DecodeError> {
    let limits = Limits::default();
    let document = Document::of_text(xml.clone());
    let mut decoder = Decoder::new(&document, &limits);
    document.finish(decoder.document(Decoder::value))
}

/// Of an input that is no XML, that is said, whatever it seems to mean up to there.
fn malformed_first<T>(
    document: &Document,
    limits: &Limits,
    result: Result<T, Fault>,
) -> Result<T, Fault> {
    if let Err(fault) = &result
        && !fault.kind.is_malformed()
    {
        let mut decoder = Decoder::new(document, limits);
        let checked = decoder.document(|decoder, root| decoder.reader.scanner.skip(root));
        if let Err(malformed) = checked
            && malformed.kind.is_malformed()
        {
            return Err(malformed);
        }
    }
    result
}

/// A container that is being read.
#[derive(Debug)]
struct Open {
    container: Container,
    /// Where its start tag stands.
    start: usize,
    /// The `<item>` of it that is being read.
    item: Option<Item>,
}

#[derive(Debug)]
enum Container {
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Set(Vec<Value>),
    Dict(Dict),
}

#[derive(Debug)]
struct Item {
    /// Where its start tag stands.
    start: usize,
    key: Option<ByteString>,
    value: Option<Value>,
}

/// Reads values. The containers around the current place are kept in a list, so that no depth can
/// exhaust the stack.
struct Decoder<'a> {
    reader: Reader<'a>,
    limits: &'a Limits,
    open: Vec<Open>,
    /// The value that stands in no container, when it is read.
    done: Value,
}

impl<'a> Decoder<'a> {
    fn new(document: &'a Document, limits: &'a Limits) -> Self {
        Self {
            reader: Reader::new(&document.text, document.start, limits),
            limits,
            open: Vec::new(),
            done: Value::None,
        }
    }

    /// Reads a whole document, of which `read` reads the root.
    fn document<T>(
        &mut self,
        read: impl FnOnce(&mut Self, &Tag) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let root = self.reader.scanner.root()?;
        let result = read(self, &root)?;
        self.reader.scanner.epilog()?;
        Ok(result)
    }

    fn message(&mut self) -> Result<Message, Fault> {
        self.document(|decoder, root| {
            let msg_type = decoder.required(root, "msg_type")?;
            let src_sub_app = decoder.required(root, "src_sub_app")?;
            let mut params = Value::None;
            if !root.empty {
                while let Token::Start(tag) = decoder.reader.next_tag()? {
                    if !tag.is(&decoder.reader.scanner, "dict") {
                        let name = excerpt(decoder.reader.scanner.name(&tag.name));
                        return Err(Fault::new(DecodeErrorKind::ParamsNotDict(name), tag.start));
                    }
                    params = decoder.value(&tag)?;
                }
            }
            Ok(Message {
                msg_type: MessageType::from(msg_type),
                params,
                src_sub_app,
            })
        })
    }

    fn required(&self, tag: &Tag, name: &'static str) -> Result<ByteString, Fault> {
        self.reader
            .attribute(name)
            .ok_or_else(|| Fault::new(DecodeErrorKind::MissingAttribute(name), tag.start))
    }

    /// Reads the value whose start tag was just read.
    fn value(&mut self, tag: &Tag) -> Result<Value, Fault> {
        self.begin(tag)?;
        while !self.open.is_empty() {
            match self.reader.next_tag()? {
                Token::Start(tag) => self.start(&tag)?,
                Token::End => self.end()?,
            }
        }
        Ok(std::mem::take(&mut self.done))
    }

    /// A start tag in a container or in an item of one.
    fn start(&mut self, tag: &Tag) -> Result<(), Fault> {
        let Some(open) = self.open.last_mut() else {
            return Ok(());
        };
        match &open.item {
            Some(Item { value: None, .. }) => return self.begin(tag),
            None if tag.is(&self.reader.scanner, "item") => {
                if tag.empty {
                    return Err(Fault::new(DecodeErrorKind::EmptyItem, tag.start));
                }
                let key = match open.container {
                    Container::Dict(_) => self.reader.attribute("key"),
                    _ => None,
                };
                open.item = Some(Item {
                    start: tag.start,
                    key,
                    value: None,
                });
            }
            // Only the first element in an item counts, and only items count in a container.
            _ => {
                self.reader.scanner.skip(tag)?;
            }
        }
        Ok(())
    }

    /// The end tag of an item or of a container.
    fn end(&mut self) -> Result<(), Fault> {
        if let Some(open) = self.open.last_mut()
            && let Some(item) = open.item.take()
        {
            return open.add(item);
        }
        if let Some(open) = self.open.pop() {
            let value = open.finish()?;
            self.deliver(value);
        }
        Ok(())
    }

    /// Puts a value where it belongs: in the item that is open, or out.
    fn deliver(&mut self, value: Value) {
        match self.open.last_mut() {
            Some(Open {
                item: Some(item), ..
            }) => item.value = Some(value),
            _ => self.done = value,
        }
    }

    /// Begins a value: opens a container, or reads anything else to its end.
    fn begin(&mut self, tag: &Tag) -> Result<(), Fault> {
        if tag.namespaced {
            return self.element(tag);
        }
        let container = match self.reader.scanner.name(&tag.name) {
            "str" => return self.scalar(tag, Scalar::Str),
            "int" => return self.scalar(tag, Scalar::Int),
            "bool" => return self.scalar(tag, Scalar::Bool),
            "type" => return self.scalar(tag, Scalar::Type),
            "list" => Container::List(Vec::new()),
            "tuple" => Container::Tuple(Vec::new()),
            "set" => Container::Set(Vec::new()),
            "dict" => Container::Dict(Dict::new()),
            _ => return self.element(tag),
        };
        let open = Open {
            container,
            start: tag.start,
            item: None,
        };
        if tag.empty {
            let value = open.finish()?;
            self.deliver(value);
        } else {
            self.open.push(open);
        }
        Ok(())
    }

    /// Reads an element that is no value of pymasep's, with the text behind it.
    fn element(&mut self, tag: &Tag) -> Result<(), Fault> {
        let element = self.reader.element(tag)?;
        let value = match native(&element) {
            Some(value) => value,
            None if self.open.is_empty() => Value::Element(element),
            None => Value::Element(element.with_tail(self.reader.text()?)),
        };
        self.deliver(value);
        Ok(())
    }

    /// Reads a value that is made of a text.
    fn scalar(&mut self, tag: &Tag, scalar: Scalar) -> Result<(), Fault> {
        let content = self.reader.attribute("content");
        let mut text = ByteString::new();
        let mut has_children = false;
        if !tag.empty {
            text = self.reader.text()?;
            while let Token::Start(child) = self.reader.next_tag()? {
                has_children = true;
                self.reader.scanner.skip(&child)?;
            }
        }
        let at_start = |kind| Fault::new(kind, tag.start);
        self.deliver(if !text.is_empty() {
            scalar.read(text, self.limits).map_err(at_start)?
        } else if has_children {
            return Err(at_start(DecodeErrorKind::ElementInScalar(scalar.name())));
        } else if scalar == Scalar::Str && content.as_deref() == Some("empty") {
            Value::Str(text)
        } else {
            Value::None
        });
        Ok(())
    }
}

impl Open {
    fn add(&mut self, item: Item) -> Result<(), Fault> {
        let value = item
            .value
            .ok_or_else(|| Fault::new(DecodeErrorKind::EmptyItem, item.start))?;
        match &mut self.container {
            Container::List(items) | Container::Tuple(items) | Container::Set(items) => {
                items.push(value);
            }
            Container::Dict(dict) => {
                let key = item
                    .key
                    .ok_or_else(|| Fault::new(DecodeErrorKind::MissingKey, item.start))?;
                dict.insert(key, value);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Value, Fault> {
        Ok(match self.container {
            Container::List(items) => Value::List(items),
            Container::Tuple(items) => Value::Tuple(items),
            Container::Dict(dict) => Value::Dict(dict),
            Container::Set(items) => {
                let unhashable = |name| Fault::new(DecodeErrorKind::Unhashable(name), self.start);
                Value::Set(unique_members(items).map_err(unhashable)?)
            }
        })
    }
}

/// The types whose values pymasep reads from a text.
#[derive(Clone, Copy, PartialEq)]
enum Scalar {
    Str,
    Int,
    Bool,
    Type,
}

impl Scalar {
    const fn name(self) -> &'static str {
        match self {
            Self::Str => "str",
            Self::Int => "int",
            Self::Bool => "bool",
            Self::Type => "type",
        }
    }

    fn read(self, text: ByteString, limits: &Limits) -> Result<Value, DecodeErrorKind> {
        match self {
            Self::Str => Ok(Value::Str(text)),
            Self::Int => Int::parse(&text, limits.int_digits).map(Value::Int),
            // pymasep takes `False` for true, too; here it is what its sender meant.
            Self::Bool => Ok(Value::Bool(text != "False")),
            Self::Type if !text.starts_with("<class") => Ok(Value::Type(TypeName::from("str"))),
            Self::Type => match quoted(&text) {
                Some(name) => Ok(Value::Type(TypeName::new(text.slice_ref(name)))),
                None => Err(DecodeErrorKind::InvalidType(excerpt(&text))),
            },
        }
    }
}

/// The first text between two single quotes that is not empty.
fn quoted(text: &str) -> Option<&str> {
    let mut parts = text.split('\'');
    // What is before the first quote and what is behind the last one does not stand between two.
    parts.next();
    parts.next_back();
    parts.find(|part| !part.is_empty())
}

/// The value of an element of a type that pymasep writes but does not read: if this is exactly what
/// it writes for that value.
fn native(element: &Element) -> Option<Value> {
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

#[cfg(test)]
mod tests;
