//! Texts, attribute values and elements out of a scanner: as slices of the input where that is
//! possible.

use std::ops::Range;

use bytestring::ByteString;

use super::Encoded;
use super::fault::Fault;
use super::names;
use super::reference;
use super::rewrite::{self, UsedPrefixes};
use super::scanner::{Attribute, Name, Piece, PieceKind, Scanner, Token};
use crate::{Element, Limit, LimitExceeded, Limits};

/// The elements of a message may become this many times as long as the message when they are written in
/// canonical form. Escaping adds less than that; only a namespace that is declared once and then
/// repeated on each element could add more.
const GROWTH: usize = 8;
/// The size that the elements of a message may have in any case: no more than a frame.
const SMALL: usize = 64 << 10;

/// Bytes that the elements of this XML may have when they are written anew.
fn max_rewritten(xml: &str) -> usize {
    xml.len().saturating_mul(GROWTH).max(SMALL)
}

/// Reads one document.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    source: &'a ByteString,
    pub(super) scanner: Scanner<'a>,
    limits: &'a Limits,
    /// Bytes of the elements that had to be written anew, and how many they may be.
    rewritten: usize,
    max_rewritten: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a ByteString, start: usize, limits: &'a Limits) -> Self {
        Self {
            source,
            scanner: Scanner::new(source, start, limits),
            limits,
            rewritten: 0,
            max_rewritten: max_rewritten(source),
        }
    }

    /// The same without a bound on what has to be written anew: for one element at a time.
    pub(super) const fn without_growth_limit(mut self) -> Self {
        self.max_rewritten = usize::MAX;
        self
    }

    /// A part of the input that can be kept.
    pub(super) fn share(&self, part: &str) -> ByteString {
        self.source.slice_ref(part)
    }

    pub(super) fn slice(&self, range: Range<usize>) -> ByteString {
        self.share(self.scanner.slice(range))
    }

    /// A name as it is written.
    #[inline]
    pub(super) fn name(&self, name: &Name) -> ByteString {
        let name = self.scanner.name(name);
        match names::known(name) {
            Some(known) => ByteString::from_static(known),
            None => self.share(name),
        }
    }

    /// The value of an attribute of the last start tag.
    pub(super) fn attribute(&self, name: &str) -> Option<ByteString> {
        let mut attributes = self.scanner.attributes.iter();
        let attribute =
            attributes.find(|other| self.scanner.name_bytes(&other.name) == name.as_bytes())?;
        Some(self.value(attribute))
    }

    /// The value of an attribute.
    pub(super) fn value(&self, attribute: &Attribute) -> ByteString {
        if attribute.plain {
            self.slice(attribute.raw.clone())
        } else {
            reference::unescape_attribute(self.scanner.slice(attribute.raw.clone())).into()
        }
    }

    /// The text up to the next tag; empty if there is none.
    pub(super) fn text(&mut self) -> Result<ByteString, Fault> {
        if self.scanner.is_at_tag() {
            return Ok(ByteString::new());
        }
        let Some(first) = self.scanner.text()? else {
            return Ok(ByteString::new());
        };
        let start = first.raw.start;
        let text = self.piece(&first);
        let Some(second) = self.scanner.text()? else {
            return Ok(text);
        };
        let mut text = String::from(&*text);
        let mut next = Some(second);
        while let Some(piece) = next {
            text.push_str(&self.piece(&piece));
            let check = LimitExceeded::check(Limit::TextBytes, text.len(), self.limits.text_bytes);
            Fault::limit(check, start)?;
            next = self.scanner.text()?;
        }
        Ok(text.into())
    }

    fn piece(&self, piece: &Piece) -> ByteString {
        let raw = self.scanner.slice(piece.raw.clone());
        match piece.kind {
            PieceKind::Plain => self.slice(piece.raw.clone()),
            PieceKind::Escaped => reference::unescape_text(raw).into(),
            PieceKind::CdataWithLineEnds => reference::normalize_line_ends(raw).into(),
        }
    }

    /// Goes over the text up to the next tag.
    pub(super) fn skip_text(&mut self) -> Result<(), Fault> {
        while self.scanner.text()?.is_some() {}
        Ok(())
    }

    /// The next tag, whatever text is before it.
    pub(super) fn next_tag(&mut self) -> Result<Token, Fault> {
        if !self.scanner.is_at_tag() {
            self.skip_text()?;
        }
        self.scanner.read_tag()
    }

    /// The element of a start tag that was just read.
    pub(super) fn element(&mut self) -> Result<Element, Fault> {
        self.encoded().map(Element::from)
    }

    /// The same, as text.
    pub(super) fn encoded(&mut self) -> Result<Encoded, Fault> {
        let start = self.scanner.tag.start;
        let nodes = self.scanner.nodes_before();
        let (depth, canonical) = self.scanner.skip()?;
        let (xml, namespaced) = if canonical {
            (self.slice(start..self.scanner.position()), false)
        } else {
            self.scanner.rewind(start, nodes);
            self.rewrite(start, nodes)?
        };
        Ok(Encoded {
            xml,
            depth,
            namespaced,
            lacks_array: false,
        })
    }

    /// The element that comes next, at `start`, as ElementTree writes it, and whether it is in a
    /// namespace or has a name in it that is.
    fn rewrite(&mut self, start: usize, nodes: usize) -> Result<(ByteString, bool), Fault> {
        let mut prefixes = UsedPrefixes::default();
        if !self.scanner.namespaces.is_unused() {
            prefixes = UsedPrefixes::of_next(&mut self.scanner)?;
            self.scanner.rewind(start, nodes);
        }
        let xml = rewrite::write(self, &prefixes)?;
        self.rewritten += xml.len();
        let check = LimitExceeded::check(Limit::MessageBytes, self.rewritten, self.max_rewritten);
        Fault::limit(check, start)?;
        Ok((xml.into(), !prefixes.is_empty()))
    }
}
