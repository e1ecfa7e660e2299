//! Names and attributes of start tags.

use std::collections::HashSet;
use std::ops::Range;

use super::{Scanner, skip_raw, skip_while};
use crate::xml::chars;
use crate::xml::fault::Fault;
use crate::xml::namespaces::Uri;
use crate::xml::reference::{self, Place};
use crate::{DecodeErrorKind, Limit, LimitExceeded};

/// Up to this many attributes are compared with each other one by one.
const FEW: usize = 12;

/// The name of an element or an attribute, as it is written.
#[derive(Clone, Copy, Debug)]
pub(in crate::xml) struct Name {
    pub(in crate::xml) start: usize,
    pub(in crate::xml) end: usize,
    /// Where the colon behind its prefix stands.
    pub(in crate::xml) colon: Option<usize>,
}

/// An attribute of a start tag.
#[derive(Debug)]
pub(in crate::xml) struct Attribute {
    pub(in crate::xml) name: Name,
    /// The value between the quotes.
    pub(in crate::xml) raw: Range<usize>,
    /// Whether the value stands for itself.
    pub(in crate::xml) plain: bool,
}

impl<'a> Scanner<'a> {
    /// Reads the rest of a start tag. Returns whether the element is empty, and whether an attribute
    /// has to do with namespaces.
    pub(super) fn scan_attributes(&mut self, token: usize) -> Result<(bool, bool), Fault> {
        let bytes = self.text.as_bytes();
        self.attributes.clear();
        let mut cold = false;
        let empty = loop {
            let before = self.at;
            self.at = skip_while(bytes, before, chars::is_space);
            let space = &bytes[before..self.at];
            match bytes.get(self.at) {
                None => return Err(Fault::truncated("a start tag", token)),
                Some(b'>') => {
                    self.canonical &= space.is_empty();
                    self.at += 1;
                    break false;
                }
                Some(b'/') => {
                    self.canonical &= space == b" ";
                    match bytes.get(self.at + 1) {
                        None => return Err(Fault::truncated("a start tag", token)),
                        Some(b'>') => self.at += 2,
                        Some(_) => return Err(Fault::syntax("/> expected", self.at + 1)),
                    }
                    break true;
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
        };
        self.check_duplicates()?;
        Ok((empty, cold))
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
        let cold = name.colon.is_some() || &bytes[name.start..name.end] == b"xmlns";
        self.attributes.push(Attribute { name, raw, plain });
        Ok(cold)
    }

    /// Where the value that begins at `at` ends, and whether it stands for itself.
    fn scan_value(
        &mut self,
        mut at: usize,
        quote: u8,
        token: usize,
    ) -> Result<(usize, bool), Fault> {
        let bytes = self.text.as_bytes();
        let mut plain = true;
        loop {
            at = skip_while(bytes, at, |byte| {
                chars::is_plain_attribute(byte) && byte != quote
            });
            match bytes.get(at) {
                None => return Err(Fault::truncated("a start tag", token)),
                Some(byte) if *byte == quote => return Ok((at, plain)),
                Some(b'<') => return Err(Fault::syntax("< in the value of an attribute", at)),
                Some(b'&') => {
                    let reference = reference::read(bytes, at, Place::Attribute, token)?;
                    self.canonical &= reference.canonical;
                    plain = false;
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
        if self.attributes.len() <= FEW {
            for (index, attribute) in self.attributes.iter().enumerate() {
                let name = self.name(&attribute.name);
                let before = &self.attributes[..index];
                if before.iter().any(|other| self.name(&other.name) == name) {
                    return duplicate(attribute);
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

    /// Declares what the attributes of a start tag declare and checks that all prefixes are
    /// declared. Returns whether the name of the element is in a namespace.
    pub(super) fn resolve_namespaces(&mut self, name: &Name, token: usize) -> Result<bool, Fault> {
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
            self.canonical = false;
        }
        let mut names = HashSet::new();
        for attribute in &self.attributes {
            if attribute.name.colon.is_none() || self.declared_prefix(&attribute.name).is_some() {
                continue;
            }
            let uri = self.uri(&attribute.name, token)?;
            if !names.insert((uri, self.local(&attribute.name))) {
                return Err(Fault::syntax("a duplicate attribute", token));
            }
            self.canonical &= uri == Some(Uri::Xml);
        }
        let namespaced = self.uri(name, token)?.is_some_and(|uri| uri != Uri::Xml);
        self.canonical &= !namespaced;
        Ok(namespaced)
    }

    /// The namespace of a name. An element without a prefix is in the default namespace; for
    /// attributes, ask only if there is a prefix.
    pub(in crate::xml) fn uri(&self, name: &Name, token: usize) -> Result<Option<Uri>, Fault> {
        let uri = self.namespaces.uri(self.prefix(name));
        if uri.is_none() && name.colon.is_some() {
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
        match name.colon {
            Some(_) => self.uri(name, token),
            None => Ok(None),
        }
    }

    fn prefix(&self, name: &Name) -> &'a str {
        self.slice(name.start..name.colon.unwrap_or(name.start))
    }

    /// The name without its prefix.
    pub(in crate::xml) fn local(&self, name: &Name) -> &'a str {
        self.slice(name.colon.map_or(name.start, |colon| colon + 1)..name.end)
    }
}

/// A name that may have a colon or characters beyond ASCII, or may be none at all.
pub(super) fn scan_unusual_name(text: &str, start: usize, token: usize) -> Result<Name, Fault> {
    let mut colon = None;
    let mut end = start;
    let mut starts = true;
    for c in text.get(start..).unwrap_or_default().chars() {
        let fits = if starts {
            chars::char_starts_name(c)
        } else {
            chars::char_in_name(c)
        };
        if fits {
            starts = false;
        } else if c == ':' && !starts && colon.is_none() {
            colon = Some(end);
            starts = true;
        } else if starts || c == ':' || !c.is_ascii() {
            return Err(Fault::syntax("a name expected", end));
        } else {
            return Ok(Name { start, end, colon });
        }
        end += c.len_utf8();
    }
    Err(Fault::truncated("a tag", token))
}
