//! Trees out of a reader, and trees as ElementTree writes them.

use std::collections::HashMap;
use std::slice;

use bytestring::ByteString;

use super::cursor::{Cursor, Raw};
use super::fault::Fault;
use super::names;
use super::namespaces;
use super::prefixes::{Prefixes, push_name};
use super::reader::Reader;
use super::reference;
use super::scanner::{Name, Token};
use super::{Encoded, escape};
use crate::{Node, QName};

/// Bytes that an element of a game takes with all that is around it, at least.
const BYTES_PER_NODE: usize = 32;

/// Bytes that a small tree fits in.
const TYPICAL: usize = 1_024;

/// The tree of an element whose start tag was just read, without its tail.
///
/// All nodes go into one list, and at its end an element takes those behind it as its children: one
/// allocation of the right size for each parent, and a node is moved once. No depth can exhaust the
/// stack.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Node, Fault> {
    let mut nodes = Vec::new();
    // Where those stand that are open.
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

/// The same as [`write()`] for a tree of plain names that is not deeper than this, in one pass; `None` for
/// any other.
pub(crate) fn write_plain(root: &Node, max_depth: usize) -> Option<Encoded> {
    let mut output = String::with_capacity(TYPICAL);
    let mut open: Vec<(&Node, slice::Iter<'_, Node>)> = Vec::new();
    let mut deepest = 1;
    plain_start(&mut output, root)?;
    if !root.children.is_empty() {
        open.push((root, root.children.iter()));
    }
    while let Some((node, children)) = open.last_mut() {
        let ended = match children.next() {
            Some(child) => {
                plain_start(&mut output, child)?;
                deepest = deepest.max(open.len() + 1);
                if !child.children.is_empty() {
                    open.push((child, child.children.iter()));
                    continue;
                }
                child
            }
            None => {
                let node = *node;
                output.push_str("</");
                output.push_str(node.name.as_plain()?);
                output.push('>');
                open.pop();
                node
            }
        };
        if !open.is_empty() && !ended.tail().is_empty() {
            escape::push_text(&mut output, ended.tail());
        }
    }
    (deepest <= max_depth).then(|| Encoded {
        xml: output.into(),
        depth: deepest,
        namespaced: false,
    })
}

/// Writes a start tag and the text behind it, and the end tag if no children follow.
fn plain_start(output: &mut String, node: &Node) -> Option<()> {
    let name = node.name.as_plain()?;
    output.push('<');
    output.push_str(name);
    for (name, value) in node.attributes() {
        output.push(' ');
        output.push_str(name.as_plain()?);
        output.push_str("=\"");
        escape::push_attribute(output, value);
        output.push('"');
    }
    if node.text.is_empty() && node.children.is_empty() {
        output.push_str(" />");
        return Some(());
    }
    output.push('>');
    escape::push_text(output, &node.text);
    if node.children.is_empty() {
        output.push_str("</");
        output.push_str(name);
        output.push('>');
    }
    Some(())
}

/// A tree as `ElementTree.tostring` writes it, without its tail.
pub(crate) fn write(root: &Node) -> Encoded {
    let prefixes = TreePrefixes::of(root);
    let namespaced = !prefixes.prefixes.is_empty();
    let mut writer = Writer {
        output: String::new(),
        prefixes,
        depth: 0,
    };
    writer.element(root);
    Encoded {
        xml: writer.output.into(),
        depth: writer.depth,
        namespaced,
    }
}

/// The prefixes of the namespaces of a tree.
#[derive(Default)]
struct TreePrefixes<'a> {
    prefixes: Prefixes,
    numbers: HashMap<&'a str, usize>,
    /// The same by the place of the URI in memory, which most names share: a URI can be long.
    numbers_by_place: HashMap<(*const u8, usize), usize>,
}

impl<'a> TreePrefixes<'a> {
    fn of(root: &'a Node) -> Self {
        let mut prefixes = Self::default();
        prefixes.add_names(root);
        let mut open = vec![root.children.iter()];
        while let Some(children) = open.last_mut() {
            match children.next() {
                Some(child) => {
                    prefixes.add_names(child);
                    if !child.children.is_empty() {
                        open.push(child.children.iter());
                    }
                }
                None => {
                    open.pop();
                }
            }
        }
        prefixes
    }

    fn add_names(&mut self, node: &'a Node) {
        self.add(&node.name);
        for (name, _) in node.attributes() {
            self.add(name);
        }
    }

    fn add(&mut self, name: &'a QName) {
        let uri = name.uri();
        if uri.is_empty() || uri == namespaces::XML {
            return;
        }
        let prefixes = &mut self.prefixes;
        let numbers = &mut self.numbers;
        self.numbers_by_place.entry(place(uri)).or_insert_with(|| {
            let number = numbers.entry(uri);
            *number.or_insert_with(|| prefixes.add(uri.clone()))
        });
    }

    /// The prefix of a name of the tree.
    fn prefix(&self, name: &QName) -> Option<&str> {
        match &**name.uri() {
            "" => None,
            namespaces::XML => Some("xml"),
            uri => Some(
                self.prefixes
                    .prefix(*self.numbers_by_place.get(&place(uri))?),
            ),
        }
    }
}

fn place(uri: &str) -> (*const u8, usize) {
    (uri.as_ptr(), uri.len())
}

struct Writer<'a> {
    output: String,
    prefixes: TreePrefixes<'a>,
    depth: usize,
}

impl<'a> Writer<'a> {
    fn element(&mut self, root: &'a Node) {
        let mut open: Vec<(&Node, slice::Iter<'_, Node>)> = Vec::new();
        self.depth = 1;
        if self.start_tag(root, true) {
            open.push((root, root.children.iter()));
        }
        while let Some((node, children)) = open.last_mut() {
            let node = *node;
            if let Some(child) = children.next() {
                self.depth = self.depth.max(open.len() + 1);
                if self.start_tag(child, false) {
                    open.push((child, child.children.iter()));
                } else {
                    escape::push_text(&mut self.output, child.tail());
                }
                continue;
            }
            open.pop();
            self.output.push_str("</");
            self.name(&node.name);
            self.output.push('>');
            if !open.is_empty() {
                escape::push_text(&mut self.output, node.tail());
            }
        }
    }

    /// Writes a start tag and the text behind it. Returns whether an end tag has to follow.
    fn start_tag(&mut self, node: &Node, is_root: bool) -> bool {
        self.output.push('<');
        self.name(&node.name);
        if is_root {
            self.prefixes.prefixes.push_declarations(&mut self.output);
        }
        for (name, value) in node.attributes() {
            self.output.push(' ');
            self.name(name);
            self.output.push_str("=\"");
            escape::push_attribute(&mut self.output, value);
            self.output.push('"');
        }
        if node.text.is_empty() && node.children.is_empty() {
            self.output.push_str(" />");
            return false;
        }
        self.output.push('>');
        escape::push_text(&mut self.output, &node.text);
        true
    }

    fn name(&mut self, name: &QName) {
        push_name(&mut self.output, self.prefixes.prefix(name), name.local());
    }
}
