//! Trees as ElementTree writes them.

use std::collections::HashMap;
use std::slice;

use crate::xml::namespaces;
use crate::xml::prefixes::{Prefixes, push_name};
use crate::xml::{Encoded, escape};
use crate::{Node, QName};

/// Bytes that a small tree fits in.
const TYPICAL: usize = 1_024;

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
        lacks_array: false,
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
        lacks_array: false,
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
