//! Reading in elements that were read before, and are known to be as ElementTree writes them.

use std::sync::LazyLock;

use bytestring::ByteString;

use super::cursor::Cursor;
use super::escape::push_attribute;
use super::reader::Reader;
use super::reference::{self, TextContext};
use super::scanner::Token;
use super::{Encoded, tree};
use crate::{Element, Limits, Node};

/// A text that was within the limits once is read again without them.
static UNLIMITED: LazyLock<Limits> = LazyLock::new(|| {
    Limits::default()
        .message_bytes(usize::MAX)
        .depth(usize::MAX)
        .nodes(usize::MAX)
        .text_bytes(usize::MAX)
});

/// The attributes of an element by their names as they stand in its XML, without declarations of
/// namespaces.
pub(crate) fn attributes(xml: &ByteString) -> impl Iterator<Item = (&str, ByteString)> {
    let mut cursor = Cursor::new(xml);
    cursor.name();
    std::iter::from_fn(move || cursor.attribute())
        .filter(|(name, _)| !name.starts_with("xmlns:"))
        .map(|(name, value)| (name, tree::value(xml, value)))
}

/// The value of an attribute.
pub(crate) fn attribute(xml: &ByteString, name: &str) -> Option<ByteString> {
    let mut cursor = Cursor::new(xml);
    cursor.name();
    std::iter::from_fn(|| cursor.attribute())
        .find_map(|(other, value)| (other == name).then(|| tree::value(xml, value)))
}

/// The element with this value for an attribute, which is put behind the others if it is not there yet.
pub(crate) fn with_attribute(xml: &str, name: &str, value: &str) -> String {
    let mut cursor = Cursor::new(xml);
    cursor.name();
    while let Some((other, old)) = cursor.attribute() {
        if other == name {
            let end = cursor.at() - 1;
            return splice(xml, end - old.text.len(), end, |output| {
                push_attribute(output, value);
            });
        }
    }
    splice(xml, cursor.at(), cursor.at(), |output| {
        output.push(' ');
        output.push_str(name);
        output.push_str("=\"");
        push_attribute(output, value);
        output.push('"');
    })
}

fn splice(xml: &str, start: usize, end: usize, fill: impl FnOnce(&mut String)) -> String {
    /// Enough for a number, its name and what belongs to an attribute.
    const GROWTH: usize = 64;
    let mut output = String::with_capacity(xml.len() + GROWTH);
    output.push_str(&xml[..start]);
    fill(&mut output);
    output.push_str(&xml[end..]);
    output
}

/// True if this name is among attributes, as they stand in a start tag.
pub(crate) fn has_attribute(attributes: &str, name: &str) -> bool {
    let mut cursor = Cursor::new(attributes);
    std::iter::from_fn(|| cursor.attribute()).any(|(other, _)| other == name)
}

/// The text before the first child.
pub(crate) fn text(xml: &ByteString) -> ByteString {
    let mut cursor = Cursor::new(xml);
    if cursor.is_empty_start() {
        return ByteString::new();
    }
    tree::text(xml, cursor.text())
}

/// The children of an element with their tails. If it is in a namespace, or something in it, then they
/// are copies, in which it is declared again.
pub(crate) fn children(xml: &ByteString, namespaced: bool) -> Children<'_> {
    if namespaced {
        return Children::Copied(View::open(xml).map(Box::new));
    }
    let mut cursor = Cursor::new(xml);
    if cursor.is_empty_start() {
        return Children::Copied(None);
    }
    cursor.text();
    Children::Shared { xml, cursor }
}

/// See [`children`].
pub(crate) enum Children<'a> {
    Shared {
        xml: &'a ByteString,
        cursor: Cursor<'a>,
    },
    Copied(Option<Box<View<'a>>>),
}

impl Iterator for Children<'_> {
    type Item = Element;

    fn next(&mut self) -> Option<Element> {
        let Self::Shared { xml, cursor } = self else {
            let Self::Copied(view) = self else {
                return None;
            };
            return view.as_mut()?.next_child();
        };
        if cursor.is_at_end() {
            return None;
        }
        let child = cursor.skip();
        let element = Element::from(Encoded {
            xml: xml.slice_ref(child.xml),
            depth: child.depth,
            namespaced: false,
            lacks_array: false,
        });
        Some(element.with_tail(tree::text(xml, cursor.text())))
    }
}

/// An element whose start tag was read.
pub(crate) struct View<'a> {
    reader: Reader<'a>,
    is_empty: bool,
}

impl<'a> View<'a> {
    /// Opens an element. `None` does not happen for one that was read or written before.
    fn open(xml: &'a ByteString) -> Option<Self> {
        let mut reader = Reader::new(xml, 0, &UNLIMITED).without_growth_limit();
        reader.scanner.root().ok()?;
        let is_empty = reader.scanner.tag.empty;
        Some(Self { reader, is_empty })
    }

    /// The next child with its tail.
    fn next_child(&mut self) -> Option<Element> {
        if self.is_empty {
            return None;
        }
        let Ok(Token::Start) = self.reader.next_tag() else {
            return None;
        };
        let element = self.reader.element().ok()?;
        Some(element.with_tail(self.reader.text().ok()?))
    }
}

/// An element as ElementTree writes it, of one in which the namespaces are declared elsewhere.
/// `None` does not happen for what is well-formed.
pub(crate) fn rewritten(xml: &ByteString) -> Option<Encoded> {
    View::open(xml)?.reader.encoded().ok()
}

/// An element as a tree, without its tail. `None` does not happen for one that was read or written
/// before.
pub(crate) fn to_node(xml: &ByteString, namespaced: bool) -> Option<Node> {
    if namespaced {
        tree::read(&mut View::open(xml)?.reader).ok()
    } else {
        tree::of_element(xml)
    }
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
        let end = match reference::read(rest.as_bytes(), 0, TextContext::Text, 0) {
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
