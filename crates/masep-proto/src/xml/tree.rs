//! Trees out of a reader, and trees as ElementTree writes them.

use std::collections::HashMap;
use std::slice;

use bytestring::ByteString;

use super::fault::Fault;
use super::namespaces;
use super::prefixes::{Prefixes, push_name};
use super::reader::Reader;
use super::scanner::{Tag, Token};
use super::{Encoded, escape};
use crate::{Node, QName};

/// The tree of an element whose start tag was just read, without its tail.
pub(super) fn read(reader: &mut Reader<'_>, tag: &Tag) -> Result<Node, Fault> {
    let mut node = start(reader, tag)?;
    if tag.empty {
        return Ok(node);
    }
    // The elements around `node`.
    let mut outer = Vec::new();
    node.text = reader.text()?;
    loop {
        match reader.scanner.tag()? {
            Token::Start(tag) => {
                let mut child = start(reader, &tag)?;
                if tag.empty {
                    child.tail = reader.text()?;
                    node.children.push(child);
                } else {
                    child.text = reader.text()?;
                    outer.push(std::mem::replace(&mut node, child));
                }
            }
            Token::End => {
                let Some(parent) = outer.pop() else {
                    return Ok(node);
                };
                node.tail = reader.text()?;
                let child = std::mem::replace(&mut node, parent);
                node.children.push(child);
            }
        }
    }
}

/// A start tag as a node with nothing in it.
fn start(reader: &Reader<'_>, tag: &Tag) -> Result<Node, Fault> {
    let scanner = &reader.scanner;
    let qname = |name, uri: Option<_>| {
        let local = scanner.local(name);
        let start = name.end - local.len();
        let uri = uri.map_or_else(ByteString::new, |uri| scanner.namespaces.text(uri));
        QName::in_namespace(uri, reader.slice(start..name.end))
    };
    let mut node = Node::new(qname(&tag.name, scanner.uri(&tag.name, tag.start)?));
    for attribute in &scanner.attributes {
        if scanner.declared_prefix(&attribute.name).is_some() {
            continue;
        }
        let uri = scanner.uri_of_attribute(&attribute.name, tag.start)?;
        node.push_attribute(qname(&attribute.name, uri), reader.value(attribute));
    }
    Ok(node)
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
                    escape::push_text(&mut self.output, &child.tail);
                }
                continue;
            }
            open.pop();
            self.output.push_str("</");
            self.name(&node.name);
            self.output.push('>');
            if !open.is_empty() {
                escape::push_text(&mut self.output, &node.tail);
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
