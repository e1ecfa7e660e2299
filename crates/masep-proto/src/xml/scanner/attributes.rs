//! Attributes of start tags.

use std::collections::HashSet;
use std::ops::Range;

use super::name::{Name, XMLNS};
use super::{Scanner, Tag, skip_raw, skip_while};
use crate::xml::chars;
use crate::xml::fault::Fault;
use crate::xml::namespaces::Uri;
use crate::xml::reference::{self, TextContext};
use crate::xml::words::{self, Words};
use crate::{DecodeErrorKind, Limit, LimitExceeded};

/// Up to this many attributes are compared with each other one by one.
const FEW: usize = 12;

/// An attribute of a start tag.
#[derive(Debug)]
pub(in crate::xml) struct Attribute {
    pub(in crate::xml) name: Name,
    /// The value between the quotes.
    pub(in crate::xml) raw: Range<usize>,
    /// True if the value stands for itself.
    pub(in crate::xml) plain: bool,
}

impl<'a> Scanner<'a> {
    /// Reads the rest of a start tag that may have attributes.
    #[inline(never)]
    pub(super) fn scan_attributes(&mut self) -> Result<(), Fault> {
        while let Some(attribute) = self.plain_attribute() {
            self.at = attribute.raw.end + 1;
            self.attributes.push(attribute);
        }
        let mut cold = self.tag.name.has_prefix() || !self.namespaces.is_empty();
        match self.ahead() {
            [b'>', ..] => self.at += 1,
            [b' ', b'/', b'>', ..] => {
                self.at += 3;
                self.tag.empty = true;
            }
            _ => cold |= self.scan_unusual_attributes()?,
        }
        if self.attributes.len() > 1 {
            self.check_duplicates()?;
        }
        if cold {
            self.resolve_namespaces()?;
        }
        Ok(())
    }

    /// The next attribute, if it is written as ElementTree does it and its value stands for itself.
    #[inline]
    fn plain_attribute(&self) -> Option<Attribute> {
        let bytes = self.text.as_bytes();
        let words = Words(bytes);
        let start = self.at + 1;
        if words.array(self.at) != Some(b" ") {
            return None;
        }
        let (mut name_end, head) = words.letters(start)?;
        if name_end == start || head == XMLNS {
            return None;
        }
        if words.array(name_end) != Some(b"=\"") {
            name_end = skip_while(bytes, name_end, chars::in_name);
            if words.array(name_end) != Some(b"=\"") {
                return None;
            }
        }
        let value = name_end + 2;
        let end = words.value_end(value)?;
        if words.array(end) != Some(b"\"") || end - value > self.limits.text_bytes {
            return None;
        }
        Some(Attribute {
            name: Name {
                start,
                end: name_end,
                local: start,
            },
            raw: value..end,
            plain: true,
        })
    }

    /// Reads the rest of a start tag, however it is written. Returns whether an attribute has to do
    /// with namespaces.
    #[cold]
    #[inline(never)]
    fn scan_unusual_attributes(&mut self) -> Result<bool, Fault> {
        let outer_canonical = std::mem::replace(&mut self.canonical, true);
        let result = self.scan_any_attributes();
        self.tag.canonical &= std::mem::replace(&mut self.canonical, outer_canonical);
        result
    }

    fn scan_any_attributes(&mut self) -> Result<bool, Fault> {
        let bytes = self.text.as_bytes();
        let token = self.tag.start;
        let mut cold = false;
        loop {
            let before = self.at;
            self.at = skip_while(bytes, before, chars::is_space);
            let space = &bytes[before..self.at];
            match bytes.get(self.at) {
                None => return Err(Fault::truncated("a start tag", token)),
                Some(b'>') => {
                    self.canonical &= space.is_empty();
                    self.at += 1;
                    return Ok(cold);
                }
                Some(b'/') => {
                    self.canonical &= space == b" ";
                    match bytes.get(self.at + 1) {
                        None => return Err(Fault::truncated("a start tag", token)),
                        Some(b'>') => self.at += 2,
                        Some(_) => return Err(Fault::syntax("/> expected", self.at + 1)),
                    }
                    self.tag.empty = true;
                    return Ok(cold);
                }
                Some(_) if space.is_empty() => {
                    return Err(Fault::syntax(
                        "white space before an attribute expected",
                        self.at,
                    ));
                }
                Some(_) => {
                    self.canonical &= space == b" ";
                    cold |= self.scan_attribute(token)?;
                }
            }
        }
    }

    /// Reads an attribute; returns whether it has to do with namespaces.
    fn scan_attribute(&mut self, token: usize) -> Result<bool, Fault> {
        let bytes = self.text.as_bytes();
        let name = self.scan_name(self.at, token)?;
        let mut at = name.end;
        if !bytes[at..].starts_with(b"=\"") {
            at = skip_while(bytes, at, chars::is_space);
            match bytes.get(at) {
                None => return Err(Fault::truncated("a start tag", token)),
                Some(b'=') => at += 1,
                Some(_) => return Err(Fault::syntax("= expected", at)),
            }
            at = skip_while(bytes, at, chars::is_space);
            self.canonical = false;
        } else {
            at += 1;
        }
        let quote = match bytes.get(at) {
            None => return Err(Fault::truncated("a start tag", token)),
            Some(quote @ (b'"' | b'\'')) => *quote,
            Some(_) => return Err(Fault::syntax("a quote expected", at)),
        };
        self.canonical &= quote == b'"';
        let (end, plain) = self.scan_value(at + 1, quote, token)?;
        let raw = at + 1..end;
        self.check_value(&raw)?;
        self.at = end + 1;
        let cold = name.has_prefix() || &bytes[name.start..name.end] == b"xmlns";
        self.attributes.push(Attribute { name, raw, plain });
        Ok(cold)
    }

    /// The end of the value that begins at `at`, and true if it stands for itself.
    fn scan_value(
        &mut self,
        mut at: usize,
        quote: u8,
        token: usize,
    ) -> Result<(usize, bool), Fault> {
        let bytes = self.text.as_bytes();
        let mut plain = true;
        loop {
            at = match quote {
                b'"' => words::plain_attribute_end(bytes, at),
                _ => skip_while(bytes, at, |byte| {
                    chars::is_plain_attribute(byte) && byte != quote
                }),
            };
            match bytes.get(at) {
                None => return Err(Fault::truncated("a start tag", token)),
                Some(byte) if *byte == quote => return Ok((at, plain)),
                Some(b'<') => return Err(Fault::syntax("< in the value of an attribute", at)),
                Some(b'&') => {
                    plain = false;
                    if let Some(end) = Words(bytes).reference_end(at) {
                        at = end;
                        continue;
                    }
                    let reference = reference::read(bytes, at, TextContext::Attribute, token)?;
                    self.canonical &= reference.canonical;
                    at = reference.end;
                }
                Some(byte) if byte.is_ascii() => {
                    // White space, `>`, or a double quote between single ones.
                    self.canonical = false;
                    plain &= !chars::is_space(*byte);
                    at += 1;
                }
                Some(_) => {
                    self.canonical = false;
                    at = skip_raw(bytes, at)?;
                }
            }
        }
    }

    fn check_value(&self, raw: &Range<usize>) -> Result<(), Fault> {
        if raw.len() <= self.limits.text_bytes {
            return Ok(());
        }
        let length = reference::unescape_attribute(self.slice(raw.clone())).len();
        let check = LimitExceeded::check(Limit::TextBytes, length, self.limits.text_bytes);
        Fault::limit(check, raw.start)
    }

    fn check_duplicates(&self) -> Result<(), Fault> {
        let duplicate = |at: &Attribute| Err(Fault::syntax("a duplicate attribute", at.name.start));
        let bytes = self.text.as_bytes();
        if self.attributes.len() <= FEW {
            for (index, Attribute { name, .. }) in self.attributes.iter().enumerate() {
                let is_same = |other: &Attribute| {
                    other.name.end - other.name.start == name.end - name.start
                        && words::repeats(bytes, name.start..name.end, other.name.start)
                };
                if self.attributes[..index].iter().any(is_same) {
                    return duplicate(&self.attributes[index]);
                }
            }
            return Ok(());
        }
        let mut names = HashSet::with_capacity(self.attributes.len());
        match self
            .attributes
            .iter()
            .find(|attribute| !names.insert(self.name(&attribute.name)))
        {
            Some(attribute) => duplicate(attribute),
            None => Ok(()),
        }
    }

    /// Declares what the attributes of a start tag declare, checks that all prefixes are declared,
    /// and finds out whether the name of the element is in a namespace.
    #[cold]
    pub(super) fn resolve_namespaces(&mut self) -> Result<(), Fault> {
        let Tag {
            name,
            start: token,
            mut canonical,
            ..
        } = self.tag;
        let depth = self.open.len() + 1;
        for index in 0..self.attributes.len() {
            let attribute = &self.attributes[index];
            let Some(prefix) = self.declared_prefix(&attribute.name) else {
                continue;
            };
            let uri = reference::unescape_attribute(self.slice(attribute.raw.clone()));
            self.namespaces
                .declare(prefix, &uri, depth)
                .map_err(|kind| Fault::new(kind, token))?;
            canonical = false;
        }
        let mut names = HashSet::new();
        for attribute in &self.attributes {
            if !attribute.name.has_prefix() || self.declared_prefix(&attribute.name).is_some() {
                continue;
            }
            let uri = self.uri(&attribute.name, token)?;
            if !names.insert((uri, self.local(&attribute.name))) {
                return Err(Fault::syntax("a duplicate attribute", token));
            }
            canonical &= uri == Some(Uri::Xml);
        }
        let uri = self.uri(&name, token)?;
        let namespaced = uri.is_some_and(|uri| uri != Uri::Xml);
        self.tag.namespaced = namespaced;
        self.tag.canonical = canonical && !namespaced;
        Ok(())
    }

    /// The namespace of a name. An element without a prefix is in the default namespace; for
    /// attributes, ask only if there is a prefix.
    pub(in crate::xml) fn uri(&self, name: &Name, token: usize) -> Result<Option<Uri>, Fault> {
        let uri = self.namespaces.uri(self.prefix(name));
        if uri.is_none() && name.has_prefix() {
            return Err(Fault::new(DecodeErrorKind::UnboundPrefix, token));
        }
        Ok(uri)
    }

    /// The prefix that an attribute declares, if it is a declaration: "" for `xmlns`.
    pub(in crate::xml) fn declared_prefix(&self, name: &Name) -> Option<&'a str> {
        match self.name(name) {
            "xmlns" => Some(""),
            _ if self.prefix(name) == "xmlns" => Some(self.local(name)),
            _ => None,
        }
    }

    /// The namespace of an attribute.
    pub(in crate::xml) fn uri_of_attribute(
        &self,
        name: &Name,
        token: usize,
    ) -> Result<Option<Uri>, Fault> {
        if name.has_prefix() {
            self.uri(name, token)
        } else {
            Ok(None)
        }
    }

    /// The attributes of the last start tag without declarations of namespaces.
    pub(in crate::xml) fn attributes_without_declarations(
        &self,
    ) -> impl Iterator<Item = &Attribute> {
        // Those of the last start tag are in force until the next one.
        let none = self.namespaces.is_empty();
        let declares = |attribute: &Attribute| self.declared_prefix(&attribute.name).is_some();
        let attributes = self.attributes.iter();
        attributes.filter(move |attribute| none || !declares(attribute))
    }

    fn prefix(&self, name: &Name) -> &'a str {
        self.slice(name.start..name.local.saturating_sub(1).max(name.start))
    }

    /// The name without its prefix.
    pub(in crate::xml) fn local(&self, name: &Name) -> &'a str {
        self.slice(name.local..name.end)
    }
}
