//! Trees out of a reader, and trees as ElementTree writes them.

use std::collections::HashMap;
use std::slice;

use super::fault::Fault;
use super::namespaces;
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
        QName::in_namespace(uri.unwrap_or_default(), reader.slice(start..name.end))
    };
    let mut node = Node::new(qname(&tag.name, scanner.uri(&tag.name, tag.start)?));
    for attribute in &scanner.attributes {
        if scanner.declared_prefix(&attribute.name).is_some() {
            continue;
        }
        let uri = match attribute.name.colon {
            Some(_) => scanner.uri(&attribute.name, tag.start)?,
            None => None,
        };
        node.push_attribute(qname(&attribute.name, uri), reader.value(attribute));
    }
    Ok(node)
}

/// A tree as `ElementTree.tostring` writes it, without its tail.
pub(crate) fn write(root: &Node) -> Encoded {
    let prefixes = Prefixes::of(root);
    let namespaced = !prefixes.order.is_empty();
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

/// The prefixes that ElementTree chooses for the namespaces of a tree.
struct Prefixes<'a> {
    of_uri: HashMap<&'a str, String>,
    order: Vec<&'a str>,
}

impl<'a> Prefixes<'a> {
    /// Namespaces are numbered as they come up; those that everybody knows have their usual names.
    fn of(root: &'a Node) -> Self {
        let mut prefixes = Self {
            of_uri: HashMap::new(),
            order: Vec::new(),
        };
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
        // They are declared in the order of their prefixes.
        prefixes
            .order
            .sort_unstable_by_key(|uri| prefixes.of_uri.get(uri));
        prefixes
    }

    fn add_names(&mut self, node: &'a Node) {
        self.add(&node.name);
        for (name, _) in node.attributes() {
            self.add(name);
        }
    }

    fn add(&mut self, name: &'a QName) {
        let uri = &**name.uri();
        if uri.is_empty() || uri == namespaces::XML || self.of_uri.contains_key(uri) {
            return;
        }
        let prefix = match uri {
            "http://www.w3.org/1999/xhtml" => "html".to_owned(),
            "http://www.w3.org/1999/02/22-rdf-syntax-ns#" => "rdf".to_owned(),
            "http://schemas.xmlsoap.org/wsdl/" => "wsdl".to_owned(),
            "http://www.w3.org/2001/XMLSchema" => "xs".to_owned(),
            "http://www.w3.org/2001/XMLSchema-instance" => "xsi".to_owned(),
            "http://purl.org/dc/elements/1.1/" => "dc".to_owned(),
            _ => format!("ns{}", self.order.len()),
        };
        self.of_uri.insert(uri, prefix);
        self.order.push(uri);
    }
}

struct Writer<'a> {
    output: String,
    prefixes: Prefixes<'a>,
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
            for uri in &self.prefixes.order {
                self.output.push_str(" xmlns:");
                self.output.push_str(&self.prefixes.of_uri[uri]);
                self.output.push_str("=\"");
                escape::push_attribute(&mut self.output, uri);
                self.output.push('"');
            }
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
        let prefix = match &**name.uri() {
            "" => None,
            namespaces::XML => Some("xml"),
            uri => self.prefixes.of_uri.get(uri).map(String::as_str),
        };
        if let Some(prefix) = prefix {
            self.output.push_str(prefix);
            self.output.push(':');
        }
        self.output.push_str(name.local());
    }
}
