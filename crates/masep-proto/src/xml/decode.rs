//! XML to values and messages.

mod scalar;
#[cfg(test)]
mod tests;

use std::iter::zip;

use bytes::Bytes;
use bytestring::ByteString;

use super::document::Document;
use super::fault::Fault;
use super::reader::Reader;
use super::repr;
use super::scanner::{PlainScalar, Tag, Token};
use crate::value::{excerpt, unique_members};
use crate::{
    Action, DecodeError, DecodeErrorKind, Dict, Element, Int, Limits, Message, MessageType,
    TypeName, Value,
};

use scalar::{Scalar, native};

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
    document.finish(decoder.document(|decoder| decoder.reader.element()))
}

/// Reads an element as the value that it spells.
pub(crate) fn decode_value(xml: &ByteString) -> Result<Value, DecodeError> {
    let limits = Limits::default();
    let document = Document::of_text(xml.clone());
    let mut decoder = Decoder::new(&document, &limits);
    document.finish(decoder.document(Decoder::value))
}

/// Reads an element as an action.
pub(crate) fn decode_action(xml: &ByteString) -> Result<Action, DecodeError> {
    let limits = Limits::default();
    let document = Document::of_text(xml.clone());
    let mut decoder = Decoder::new(&document, &limits);
    document.finish(decoder.document(Decoder::action))
}

/// The fault that an input is no XML comes first, before faults in its meaning up to there.
fn malformed_first<T>(
    document: &Document,
    limits: &Limits,
    result: Result<T, Fault>,
) -> Result<T, Fault> {
    if let Err(fault) = &result
        && !fault.kind().is_malformed()
    {
        let mut decoder = Decoder::new(document, limits);
        let checked = decoder.document(|decoder| decoder.reader.scanner.skip());
        if let Err(malformed) = checked
            && malformed.kind().is_malformed()
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
    /// The place of its start tag.
    start: usize,
    /// The places of its first value, and of its first key, among all.
    values: usize,
    keys: usize,
    /// The `<item>` of it that is being read.
    item: Option<Item>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Container {
    List,
    Tuple,
    Set,
    Dict,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    /// The place of its start tag.
    start: usize,
    has_key: bool,
    has_value: bool,
}

/// Reads values. The containers around the current place are kept in a list, so that no depth can
/// exhaust the stack.
struct Decoder<'a> {
    reader: Reader<'a>,
    limits: &'a Limits,
    open: Vec<Open>,
    /// The values of the open containers, outermost first; a container takes its own at its end, in
    /// one piece of memory of the right size.
    values: Vec<Value>,
    /// The keys of those that are dicts.
    keys: Vec<ByteString>,
}

impl<'a> Decoder<'a> {
    fn new(document: &'a Document, limits: &'a Limits) -> Self {
        Self {
            reader: Reader::new(&document.text, document.start, limits),
            limits,
            open: Vec::new(),
            values: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Reads a whole document, of which `read` reads the root.
    fn document<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.reader.scanner.root()?;
        let result = read(self)?;
        self.reader.scanner.epilog()?;
        Ok(result)
    }

    fn message(&mut self) -> Result<Message, Fault> {
        self.document(|decoder| {
            let msg_type = decoder.required("msg_type")?;
            let src_sub_app = decoder.required("src_sub_app")?;
            let mut params = Value::None;
            if !decoder.reader.scanner.tag.empty {
                while let Token::Start = decoder.reader.next_tag()? {
                    let scanner = &decoder.reader.scanner;
                    if !scanner.is_named("dict") {
                        let name = excerpt(scanner.name(&scanner.tag.name));
                        let kind = DecodeErrorKind::ParamsNotDict(name);
                        return Err(Fault::new(kind, scanner.tag.start));
                    }
                    params = decoder.value()?;
                }
            }
            Ok(Message {
                msg_type: MessageType::from(msg_type),
                params,
                src_sub_app,
            })
        })
    }

    fn action(&mut self) -> Result<Action, Fault> {
        let Tag { start, empty, .. } = self.reader.scanner.tag;
        let action_type = Int::parse(&self.required("type")?, self.limits.int_digits);
        let mut action = Action::new(action_type.map_err(|kind| Fault::new(kind, start))?);
        if !empty {
            while let Token::Start = self.reader.next_tag()? {
                let (name, value) = self.parameter()?;
                action.params.insert(name, value);
            }
        }
        Ok(action)
    }

    /// The first element in the one whose start tag was just read, as the value of that name. Elements
    /// behind it are skipped.
    fn parameter(&mut self) -> Result<(ByteString, Value), Fault> {
        let Tag { start, empty, .. } = self.reader.scanner.tag;
        let name = self.required("name")?;
        if empty || matches!(self.reader.next_tag()?, Token::End) {
            return Err(Fault::new(DecodeErrorKind::EmptyItem, start));
        }
        let value = if self.reader.scanner.is_named("NoneType") {
            self.reader.scanner.skip()?;
            Value::None
        } else {
            match self.value()? {
                Value::Element(element) => element.with_tail(self.reader.text()?).into(),
                value => value,
            }
        };
        while let Token::Start = self.reader.next_tag()? {
            self.reader.scanner.skip()?;
        }
        Ok((name, value))
    }

    /// An attribute of the element whose start tag was just read.
    fn required(&self, name: &'static str) -> Result<ByteString, Fault> {
        let at = self.reader.scanner.tag.start;
        self.reader
            .attribute(name)
            .ok_or_else(|| Fault::new(DecodeErrorKind::MissingAttribute(name), at))
    }

    /// Reads the value whose start tag was just read.
    fn value(&mut self) -> Result<Value, Fault> {
        self.begin()?;
        while !self.open.is_empty() {
            if self.plain_item() {
                continue;
            }
            if self.reader.scanner.plain_end() {
                self.end()?;
                continue;
            }
            match self.reader.next_tag()? {
                Token::Start => self.start()?,
                Token::End => self.end()?,
            }
        }
        Ok(self.values.pop().unwrap_or_default())
    }

    /// Reads an item with a scalar in it, if that comes next, and is as pymasep writes it: others have ways of
    /// their own, and so have errors.
    #[inline]
    fn plain_item(&mut self) -> bool {
        let Some(Open {
            container,
            item: None,
            ..
        }) = self.open.last()
        else {
            return false;
        };
        let Some(item) = self.reader.scanner.plain_item() else {
            return false;
        };
        if item.key.is_some() != (*container == Container::Dict) {
            return false;
        }
        let value = match (item.scalar, item.text) {
            (PlainScalar::None, "None") => Some(Value::None),
            (PlainScalar::Bool, "True") => Some(Value::Bool(true)),
            (PlainScalar::Bool, "False") => Some(Value::Bool(false)),
            (PlainScalar::Int, text) => Int::parse(text, self.limits.int_digits)
                .map(Value::Int)
                .ok(),
            (PlainScalar::Float, text) => repr::parse_float(text).map(Value::Float),
            (PlainScalar::Str, text) => Some(Value::Str(self.reader.share(text))),
            _ => None,
        };
        let Some(value) = value else {
            return false;
        };
        self.values.push(value);
        if let Some(key) = item.key {
            self.keys.push(self.reader.share(key));
        }
        self.reader.scanner.take_item(&item);
        true
    }

    /// A start tag in a container or in an item of one.
    fn start(&mut self) -> Result<(), Fault> {
        let scanner = &mut self.reader.scanner;
        let Some(open) = self.open.last_mut() else {
            return Ok(());
        };
        match open.item {
            Some(Item {
                has_value: false, ..
            }) => return self.begin(),
            None if scanner.is_named("item") => {
                let start = scanner.tag.start;
                if scanner.tag.empty {
                    return Err(Fault::new(DecodeErrorKind::EmptyItem, start));
                }
                let key = match open.container {
                    Container::Dict => self.reader.attribute("key"),
                    _ => None,
                };
                open.item = Some(Item {
                    start,
                    has_key: key.is_some(),
                    has_value: false,
                });
                self.keys.extend(key);
            }
            // Only the first element in an item counts, and only items count in a container.
            _ => {
                scanner.skip()?;
            }
        }
        Ok(())
    }

    /// The end tag of an item or of a container.
    fn end(&mut self) -> Result<(), Fault> {
        if let Some(open) = self.open.last_mut()
            && let Some(item) = open.item.take()
        {
            return item.check(open.container);
        }
        if let Some(open) = self.open.pop() {
            let value = self.finish(&open)?;
            self.deliver(value);
        }
        Ok(())
    }

    /// Puts a value where it belongs: in the item that is open, or out.
    fn deliver(&mut self, value: Value) {
        self.values.push(value);
        if let Some(Open {
            item: Some(item), ..
        }) = self.open.last_mut()
        {
            item.has_value = true;
        }
    }

    /// Begins a value: opens a container, or reads anything else to its end.
    fn begin(&mut self) -> Result<(), Fault> {
        let scanner = &self.reader.scanner;
        if scanner.tag.namespaced {
            return self.element();
        }
        let container = match scanner.name_bytes(&scanner.tag.name) {
            b"str" => return self.scalar(Scalar::Str),
            b"int" => return self.scalar(Scalar::Int),
            b"bool" => return self.scalar(Scalar::Bool),
            b"type" => return self.scalar(Scalar::Type),
            b"list" => Container::List,
            b"tuple" => Container::Tuple,
            b"set" => Container::Set,
            b"dict" => Container::Dict,
            _ => return self.element(),
        };
        let open = Open {
            container,
            start: scanner.tag.start,
            values: self.values.len(),
            keys: self.keys.len(),
            item: None,
        };
        if scanner.tag.empty {
            let value = self.finish(&open)?;
            self.deliver(value);
        } else {
            self.open.push(open);
        }
        Ok(())
    }

    /// The value of a container that was read.
    fn finish(&mut self, open: &Open) -> Result<Value, Fault> {
        if open.container == Container::Dict {
            let keys = self.keys.drain(open.keys..);
            let entries = zip(keys, self.values.drain(open.values..)).collect();
            return Ok(Value::Dict(Dict::from_entries(entries)));
        }
        let items = self.values.split_off(open.values);
        Ok(match open.container {
            Container::List => Value::List(items),
            Container::Tuple => Value::Tuple(items),
            _ => {
                let unhashable = |name| Fault::new(DecodeErrorKind::Unhashable(name), open.start);
                Value::Set(unique_members(items).map_err(unhashable)?)
            }
        })
    }

    /// Reads an element that is no value of pymasep's, with the text behind it.
    fn element(&mut self) -> Result<(), Fault> {
        let element = self.reader.element()?;
        let value = match native(&element) {
            Some(value) => value,
            None if self.open.is_empty() => Value::Element(element),
            None => Value::Element(element.with_tail(self.reader.text()?)),
        };
        self.deliver(value);
        Ok(())
    }

    /// Reads a value that is made of a text.
    fn scalar(&mut self, scalar: Scalar) -> Result<(), Fault> {
        let Tag { start, empty, .. } = self.reader.scanner.tag;
        let at_start = |kind| Fault::new(kind, start);
        if !empty && let Some(text) = self.reader.scanner.plain_leaf() {
            let share = |part: &str| self.reader.share(part);
            let value = scalar.read(text, share, self.limits).map_err(at_start)?;
            self.deliver(value);
            return Ok(());
        }
        if !empty
            && scalar == Scalar::Type
            && let Some(name) = self.reader.scanner.type_leaf()
        {
            let name = self.reader.share(name);
            self.deliver(Value::Type(TypeName::new(name)));
            return Ok(());
        }
        let content = self.reader.attribute("content");
        let mut text = ByteString::new();
        let mut has_children = false;
        if !empty {
            text = self.reader.text()?;
            while let Token::Start = self.reader.next_tag()? {
                has_children = true;
                self.reader.scanner.skip()?;
            }
        }
        self.deliver(if !text.is_empty() {
            let share = |part: &str| text.slice_ref(part);
            scalar.read(&text, share, self.limits).map_err(at_start)?
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

impl Item {
    /// Checks that the item has a value, and in a dict a key.
    fn check(self, container: Container) -> Result<(), Fault> {
        if !self.has_value {
            Err(Fault::new(DecodeErrorKind::EmptyItem, self.start))
        } else if container == Container::Dict && !self.has_key {
            Err(Fault::new(DecodeErrorKind::MissingKey, self.start))
        } else {
            Ok(())
        }
    }
}
