//! Reading in elements that were read before, and are known to be as ElementTree writes them.

use std::sync::LazyLock;

use bytestring::ByteString;

use super::reader::Reader;
use super::reference::{self, Place};
use super::scanner::Token;
use super::{Encoded, tree};
use crate::{Element, Limits, Node};

/// What was within the limits once is read again without them.
static UNLIMITED: LazyLock<Limits> = LazyLock::new(|| {
    Limits::default()
        .message_bytes(usize::MAX)
        .depth(usize::MAX)
        .nodes(usize::MAX)
        .text_bytes(usize::MAX)
});

/// An element whose start tag was read.
pub(crate) struct View<'a> {
    reader: Reader<'a>,
    is_empty: bool,
}

impl<'a> View<'a> {
    /// Opens an element. `None` does not happen for one that was read or written before.
    pub(crate) fn open(xml: &'a ByteString) -> Option<Self> {
        let mut reader = Reader::new(xml, 0, &UNLIMITED).without_growth_limit();
        reader.scanner.root().ok()?;
        let is_empty = reader.scanner.tag.empty;
        Some(Self { reader, is_empty })
    }

    /// The attributes, without declarations of namespaces.
    pub(crate) fn into_attributes(self) -> impl Iterator<Item = (&'a str, ByteString)> {
        (0..self.reader.scanner.attributes.len()).filter_map(move |index| {
            let scanner = &self.reader.scanner;
            let attribute = &scanner.attributes[index];
            match scanner.declared_prefix(&attribute.name) {
                Some(_) => None,
                None => Some((scanner.name(&attribute.name), self.reader.value(attribute))),
            }
        })
    }

    /// The value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<ByteString> {
        self.reader.attribute(name)
    }

    /// The text before the first child.
    pub(crate) fn text(&mut self) -> ByteString {
        if self.is_empty {
            return ByteString::new();
        }
        self.reader.text().unwrap_or_default()
    }

    /// The next child with its tail.
    pub(crate) fn next_child(&mut self) -> Option<Element> {
        if self.is_empty {
            return None;
        }
        let Ok(Token::Start) = self.reader.next_tag() else {
            return None;
        };
        let element = self.reader.element().ok()?;
        Some(element.with_tail(self.reader.text().ok()?))
    }

    fn into_node(mut self) -> Option<Node> {
        tree::read(&mut self.reader).ok()
    }
}

/// An element as ElementTree writes it, of one in which the namespaces are declared elsewhere.
/// `None` does not happen for what is well-formed.
pub(crate) fn rewritten(xml: &ByteString) -> Option<Encoded> {
    View::open(xml)?.reader.encoded().ok()
}

/// An element as a tree, without its tail. `None` does not happen for one that was read or written
/// before.
pub(crate) fn to_node(xml: &ByteString) -> Option<Node> {
    View::open(xml)?.into_node()
}

/// The XML of an element with characters instead of the references that ElementTree writes for what
/// is not ASCII.
pub(crate) fn to_unicode(xml: &ByteString) -> ByteString {
    if !xml.contains("&#") {
        return xml.clone();
    }
    let mut output = String::with_capacity(xml.len());
    let mut rest = &**xml;
    while let Some(at) = rest.find("&#") {
        output.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = match reference::read(rest.as_bytes(), 0, Place::Text, 0) {
            Ok(reference) if !reference.c.is_ascii() => {
                output.push(reference.c);
                reference.end
            }
            _ => {
                output.push_str("&#");
                2
            }
        };
        rest = &rest[end..];
    }
    output.push_str(rest);
    output.into()
}
