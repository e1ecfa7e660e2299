//! Texts, attribute values and elements out of a scanner: as slices of the input where that is
//! possible.

use std::ops::Range;

use bytestring::ByteString;

use super::fault::Fault;
use super::reference;
use super::scanner::{Attribute, Piece, PieceKind, Scanner, Tag, Token};
use super::{Encoded, tree};
use crate::{Element, Limit, LimitExceeded, Limits};

/// How many times as long as the largest message the elements of one message may become when they
/// are written in canonical form. Escaping adds less than that; only a namespace that is declared
/// once and then repeated on each element could add more.
const GROWTH: usize = 8;

/// Reads one document.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    source: &'a ByteString,
    pub(super) scanner: Scanner<'a>,
    limits: &'a Limits,
    /// Bytes of the elements that had to be written anew.
    rewritten: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a ByteString, start: usize, limits: &'a Limits) -> Self {
        Self {
            source,
            scanner: Scanner::new(source, start, limits),
            limits,
            rewritten: 0,
        }
    }

    pub(super) fn slice(&self, range: Range<usize>) -> ByteString {
        self.source.slice_ref(self.scanner.slice(range))
    }

    /// The value of an attribute of the last start tag.
    pub(super) fn attribute(&self, name: &str) -> Option<ByteString> {
        let mut attributes = self.scanner.attributes.iter();
        let attribute = attributes.find(|other| self.scanner.name(&other.name) == name)?;
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
        self.skip_text()?;
        self.scanner.tag()
    }

    /// The element of a start tag that was just read.
    pub(super) fn element(&mut self, tag: &Tag) -> Result<Element, Fault> {
        let nodes = self.scanner.nodes_before();
        let (depth, canonical) = self.scanner.skip(tag)?;
        if canonical {
            return Ok(Element::from(Encoded {
                xml: self.slice(tag.start..self.scanner.position()),
                depth,
                namespaced: false,
            }));
        }
        self.scanner.rewind(tag, nodes);
        if let Token::Start(tag) = self.scanner.tag()? {
            let node = tree::read(self, &tag)?;
            let encoded = tree::write(&node);
            self.rewritten += encoded.xml.len();
            let allowed = self.limits.message_bytes.saturating_mul(GROWTH);
            let check = LimitExceeded::check(Limit::MessageBytes, self.rewritten, allowed);
            Fault::limit(check, tag.start)?;
            return Ok(encoded.into());
        }
        Err(Fault::syntax("an element expected", tag.start))
    }
}
