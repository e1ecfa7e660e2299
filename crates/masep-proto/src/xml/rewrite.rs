//! Elements as ElementTree writes them, out of ones that are written otherwise.
//!
//! This goes over the element again instead of making a tree of it: a tree takes some fifty times the
//! memory of an element that is all empty elements.

use std::collections::HashMap;

use super::escape;
use super::fault::Fault;
use super::namespaces::Uri;
use super::prefixes::{Prefixes, push_name};
use super::reader::Reader;
use super::scanner::{Name, Scanner, Token};

/// The prefixes of the namespaces that names of an element are in.
#[derive(Debug, Default)]
pub(super) struct UsedPrefixes {
    prefixes: Prefixes,
    numbers: HashMap<Uri, usize>,
}

impl UsedPrefixes {
    /// Goes over the element that comes next.
    pub(super) fn of_next(scanner: &mut Scanner<'_>) -> Result<Self, Fault> {
        let mut prefixes = Self::default();
        let outside = scanner.depth();
        loop {
            if let Token::Start = scanner.read_tag()? {
                prefixes.add_names(scanner)?;
            }
            if scanner.depth() == outside {
                return Ok(prefixes);
            }
            while scanner.text()?.is_some() {}
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    fn add_names(&mut self, scanner: &Scanner<'_>) -> Result<(), Fault> {
        let tag = &scanner.tag;
        self.add(scanner, scanner.uri(&tag.name, tag.start)?);
        for attribute in scanner.attributes_without_declarations() {
            self.add(
                scanner,
                scanner.uri_of_attribute(&attribute.name, tag.start)?,
            );
        }
        Ok(())
    }

    fn add(&mut self, scanner: &Scanner<'_>, uri: Option<Uri>) {
        if let Some(uri @ Uri::Declared(_)) = uri {
            let prefixes = &mut self.prefixes;
            let number = self.numbers.entry(uri);
            number.or_insert_with(|| prefixes.add(scanner.namespaces.text(uri)));
        }
    }

    fn prefix(&self, uri: Option<Uri>) -> Option<&str> {
        match uri? {
            Uri::Xml => Some("xml"),
            uri => Some(self.prefixes.prefix(*self.numbers.get(&uri)?)),
        }
    }
}

/// Writes the element that comes next, without its tail.
pub(super) fn write(reader: &mut Reader<'_>, prefixes: &UsedPrefixes) -> Result<String, Fault> {
    let mut writer = Writer {
        output: String::new(),
        prefixes,
        open: Vec::new(),
        is_empty: false,
    };
    loop {
        match reader.scanner.read_tag()? {
            Token::Start => writer.start(reader)?,
            Token::End => writer.end(reader),
        }
        if writer.open.is_empty() {
            return Ok(writer.output);
        }
        let text = reader.text()?;
        if !text.is_empty() {
            writer.fill();
            escape::push_text(&mut writer.output, &text);
        }
    }
}

struct Writer<'a> {
    output: String,
    prefixes: &'a UsedPrefixes,
    /// The names of the elements that are open, and their namespaces.
    open: Vec<(Name, Option<Uri>)>,
    /// True if the innermost one has nothing in it so far; its start tag is not ended then.
    is_empty: bool,
}

impl Writer<'_> {
    fn start(&mut self, reader: &Reader<'_>) -> Result<(), Fault> {
        let scanner = &reader.scanner;
        let tag = &scanner.tag;
        self.fill();
        self.output.push('<');
        let uri = scanner.uri(&tag.name, tag.start)?;
        self.name(scanner, &tag.name, uri);
        if self.open.is_empty() {
            self.prefixes.prefixes.push_declarations(&mut self.output);
        }
        for attribute in scanner.attributes_without_declarations() {
            self.output.push(' ');
            let uri = scanner.uri_of_attribute(&attribute.name, tag.start)?;
            self.name(scanner, &attribute.name, uri);
            self.output.push_str("=\"");
            escape::push_attribute(&mut self.output, &reader.value(attribute));
            self.output.push('"');
        }
        if tag.empty {
            self.output.push_str(" />");
        } else {
            self.open.push((tag.name, uri));
            self.is_empty = true;
        }
        Ok(())
    }

    fn end(&mut self, reader: &Reader<'_>) {
        let Some((name, uri)) = self.open.pop() else {
            return;
        };
        if self.is_empty {
            self.output.push_str(" />");
        } else {
            self.output.push_str("</");
            self.name(&reader.scanner, &name, uri);
            self.output.push('>');
        }
        self.is_empty = false;
    }

    /// Something comes in the innermost element.
    fn fill(&mut self) {
        if std::mem::take(&mut self.is_empty) {
            self.output.push('>');
        }
    }

    fn name(&mut self, scanner: &Scanner<'_>, name: &Name, uri: Option<Uri>) {
        let prefix = self.prefixes.prefix(uri);
        push_name(&mut self.output, prefix, scanner.local(name));
    }
}
