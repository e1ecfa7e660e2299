//! Trees out of a reader, and trees as ElementTree writes them.

use std::collections::HashMap;
use std::slice;

use bytestring::ByteString;

use super::fault::Fault;
use super::namespaces;
use super::prefixes::{Prefixes, push_name};
use super::reader::Reader;
use super::scanner::{Name, Token};
use super::{Encoded, escape};
use crate::{Node, QName};

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
            QName::local_name(reader.name(&attribute.name))
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
        return Ok(QName::local_name(reader.name(name)));
    }
    let local = scanner.local(name);
    let local = reader.slice(name.end - local.len()..name.end);
    let uri = scanner.uri(name, scanner.tag.start)?;
    let uri = uri.map_or_else(ByteString::new, |uri| scanner.namespaces.text(uri));
    Ok(QName::in_namespace(uri, local))
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
