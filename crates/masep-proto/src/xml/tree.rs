//! Trees out of a reader or an element, and trees as ElementTree writes them.

mod write;

use bytestring::ByteString;

use super::cursor::{Cursor, Raw};
use super::fault::Fault;
use super::names;
use super::namespaces;
use super::reader::Reader;
use super::reference;
use super::scanner::{Name, Token};
use crate::{Node, QName};

pub(crate) use write::{write, write_plain};

/// Bytes that a node of an observation takes in its XML, at least: how many nodes there may be is guessed by it.
const BYTES_PER_NODE: usize = 32;

/// The tree of an element whose start tag was just read, without its tail: for elements with namespaces in
/// them, which [`of_element`] is not for.
///
/// All nodes go into one list, and at its end an element takes those behind it as its children: one
/// allocation of the right size for each parent, and a node is moved once. No depth can exhaust the
/// stack.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Node, Fault> {
    let mut nodes = Vec::new();
    // The indices of the nodes that are open.
    let mut open = Vec::new();
    start(reader, &mut nodes)?;
    if !reader.scanner.tag.empty {
        nodes[0].text = reader.text()?;
        open.push(0);
    }
    while let Some(&parent) = open.last() {
        match reader.scanner.read_tag()? {
            Token::Start => {
                let at = nodes.len();
                let node = start(reader, &mut nodes)?;
                if reader.scanner.tag.empty {
                    node.set_tail(reader.text()?);
                } else if let Some(text) = reader.scanner.plain_leaf() {
                    node.text = reader.share(text);
                    node.set_tail(reader.text()?);
                } else {
                    node.text = reader.text()?;
                    open.push(at);
                }
            }
            Token::End => {
                open.pop();
                if parent + 1 < nodes.len() {
                    nodes[parent].children = nodes.split_off(parent + 1);
                }
                if parent > 0 {
                    nodes[parent].set_tail(reader.text()?);
                }
            }
        }
    }
    Ok(nodes.swap_remove(0))
}

/// The tree of an element in which nothing is in a namespace, without its tail. `None` does not happen for
/// what was read or written before.
///
/// As [`read`], but nothing is judged again.
pub(super) fn of_element(xml: &ByteString) -> Option<Node> {
    let mut cursor = Cursor::new(xml);
    let mut nodes: Vec<Node> = Vec::with_capacity(xml.len() / BYTES_PER_NODE + 1);
    // Those that are open: where they stand, and their names.
    let mut open: Vec<(usize, &str)> = Vec::with_capacity(16);
    let mut attributes = Vec::new();
    loop {
        let parent = open.last().copied();
        match parent {
            Some((parent, name)) if cursor.is_at_end() => {
                cursor.end_tag(name);
                open.pop();
                if parent + 1 < nodes.len() {
                    nodes[parent].children = nodes.split_off(parent + 1);
                }
                if parent == 0 {
                    return nodes.pop();
                }
                add_tail(xml, &mut cursor, &mut nodes[parent]);
            }
            _ if cursor.is_at_end() => return None,
            _ => {
                let at = nodes.len();
                let name = cursor.name();
                let node = nodes.push_mut(Node::new(local_name(xml, name)));
                add_attributes(xml, &mut cursor, &mut attributes, node);
                if !cursor.is_empty_tag() {
                    let raw = cursor.text();
                    if !raw.text.is_empty() {
                        node.text = text(xml, raw);
                    }
                    if !cursor.is_at_end() {
                        open.push((at, name));
                        continue;
                    }
                    cursor.end_tag(name);
                }
                if parent.is_none() {
                    return nodes.pop();
                }
                add_tail(xml, &mut cursor, node);
            }
        }
    }
}

#[inline]
fn add_tail(xml: &ByteString, cursor: &mut Cursor<'_>, node: &mut Node) {
    let raw = cursor.text();
    if !raw.text.is_empty() {
        node.set_tail(text(xml, raw));
    }
}

/// Reads the attributes of a start tag into memory of the right size.
fn add_attributes<'a>(
    xml: &ByteString,
    cursor: &mut Cursor<'a>,
    found: &mut Vec<(&'a str, Raw<'a>)>,
    node: &mut Node,
) {
    while let Some(attribute) = cursor.attribute() {
        found.push(attribute);
    }
    if found.is_empty() {
        return;
    }
    let attributes = node.attributes_mut();
    attributes.reserve_exact(found.len());
    for (name, raw) in found.drain(..) {
        attributes.push((local_name(xml, name), value(xml, raw)));
    }
}

/// The value of an attribute.
#[inline]
pub(super) fn value(xml: &ByteString, raw: Raw<'_>) -> ByteString {
    if raw.is_escaped {
        reference::unescape_attribute(raw.text).into()
    } else {
        xml.slice_ref(raw.text)
    }
}

/// A name that is in no namespace other than that of the prefix `xml`.
#[inline]
fn local_name(xml: &ByteString, name: &str) -> QName {
    if let Some(known) = names::known(name) {
        return QName::of_xml(ByteString::from_static(known));
    }
    match name.strip_prefix("xml:") {
        Some(local) => QName::in_namespace(
            ByteString::from_static(namespaces::XML),
            xml.slice_ref(local),
        ),
        None => QName::of_xml(xml.slice_ref(name)),
    }
}

/// A text between tags.
#[inline]
pub(super) fn text(xml: &ByteString, raw: Raw<'_>) -> ByteString {
    if raw.text.is_empty() {
        ByteString::new()
    } else if raw.is_escaped {
        reference::unescape_text(raw.text).into()
    } else {
        xml.slice_ref(raw.text)
    }
}

/// Adds the last start tag as a node with nothing in it.
fn start<'a>(reader: &Reader<'_>, nodes: &'a mut Vec<Node>) -> Result<&'a mut Node, Fault> {
    let scanner = &reader.scanner;
    let name = qname(reader, &scanner.tag.name)?;
    let node = nodes.push_mut(Node::new(name));
    let attributes = node.attributes_mut();
    attributes.reserve_exact(scanner.attributes.len());
    for attribute in scanner.attributes_without_declarations() {
        let name = if attribute.name.has_prefix() {
            qname(reader, &attribute.name)?
        } else {
            QName::of_xml(reader.name(&attribute.name))
        };
        attributes.push((name, reader.value(attribute)));
    }
    Ok(node)
}

/// The name of an element, or of an attribute with a prefix, with its namespace.
#[inline]
fn qname(reader: &Reader<'_>, name: &Name) -> Result<QName, Fault> {
    let scanner = &reader.scanner;
    if !name.has_prefix() && scanner.namespaces.is_empty() {
        return Ok(QName::of_xml(reader.name(name)));
    }
    let local = scanner.local(name);
    let local = reader.slice(name.end - local.len()..name.end);
    let uri = scanner.uri(name, scanner.tag.start)?;
    let uri = uri.map_or_else(ByteString::new, |uri| scanner.namespaces.text(uri));
    Ok(QName::in_namespace(uri, local))
}
