//! A strict scanner for well-formed XML, one tag or text at a time.
//!
//! It takes and refuses what expat does, at the same places, with these differences: control
//! characters stand for themselves in texts and attribute values (pymasep writes them so), line
//! ends in texts stay as they are (for the same reason), and a DOCTYPE is refused.
//!
//! While it goes over the input it also finds out whether this is what ElementTree would write for
//! it: then the input can be passed on as it is.

mod attributes;
mod markup;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::chars;
use super::fault::Fault;
use super::namespaces::Namespaces;
use super::reference::{self, Place};
use crate::{Limit, LimitExceeded, Limits};

pub(super) use attributes::{Attribute, Name};

/// A start tag or an end tag.
#[derive(Debug)]
pub(super) enum Token {
    Start(Tag),
    End,
}

/// A start tag. Its attributes are in [`Scanner::attributes`] until the next tag is read.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    /// Where it begins.
    pub(super) start: usize,
    pub(super) name: Name,
    /// Whether this is all of the element: `<a />`.
    pub(super) empty: bool,
    /// Whether the name is in a namespace other than that of the prefix `xml`.
    pub(super) namespaced: bool,
    /// Whether ElementTree would write the tag so.
    canonical: bool,
}

/// A piece of text between tags, comments and the like.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) raw: Range<usize>,
    pub(super) kind: PieceKind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PieceKind {
    /// It stands for itself.
    Plain,
    /// There are references in it.
    Escaped,
    /// It is a CDATA section with line ends to normalise.
    CdataWithLineEnds,
}

#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    limits: &'a Limits,
    /// Start tags so far.
    nodes: usize,
    /// The names of the elements that are open.
    open: Vec<Name>,
    /// The attributes of the last start tag.
    pub(super) attributes: Vec<Attribute>,
    pub(super) namespaces: Namespaces<'a>,
    /// Cleared when something is read that ElementTree would not write so.
    canonical: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str, start: usize, limits: &'a Limits) -> Self {
        Self {
            text,
            at: start,
            limits,
            nodes: 0,
            open: Vec::with_capacity(16),
            attributes: Vec::with_capacity(8),
            namespaces: Namespaces::default(),
            canonical: true,
        }
    }

    /// The text of a range, which is one that the scanner gave.
    pub(super) fn slice(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or_default()
    }

    /// The name of an element as it is written.
    pub(super) fn name(&self, name: &Name) -> &'a str {
        self.slice(name.start..name.end)
    }

    /// Where the next thing begins.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// How many elements are open.
    pub(super) const fn depth(&self) -> usize {
        self.open.len()
    }

    /// Goes back to a start tag that was just read, to read the element again. Its nodes are not
    /// counted twice.
    pub(super) fn rewind(&mut self, tag: &Tag, nodes: usize) {
        self.at = tag.start;
        self.nodes = nodes;
    }

    /// Start tags so far, without the last one.
    pub(super) const fn nodes_before(&self) -> usize {
        self.nodes.saturating_sub(1)
    }

    /// Goes behind the end of an element. Returns how deep elements stand in each other in it, and
    /// whether ElementTree would write it as it is written here.
    pub(super) fn skip(&mut self, tag: &Tag) -> Result<(usize, bool), Fault> {
        self.canonical = tag.canonical;
        if tag.empty {
            return Ok((1, self.canonical));
        }
        let outside = self.open.len() - 1;
        let mut deepest = self.open.len();
        // Whether nothing came since the last start tag: ElementTree writes `<a />`, not `<a></a>`.
        let mut nothing = true;
        while self.open.len() > outside {
            while self.text()?.is_some() {
                nothing = false;
            }
            match self.tag()? {
                Token::Start(inner) => {
                    self.canonical &= inner.canonical;
                    deepest = deepest.max(self.open.len() + usize::from(inner.empty));
                    nothing = !inner.empty;
                }
                Token::End => {
                    self.canonical &= !nothing;
                    nothing = false;
                }
            }
        }
        Ok((deepest - outside, self.canonical))
    }

    /// The next piece of text, or `None` if a tag is next. Comments and instructions are skipped.
    pub(super) fn text(&mut self) -> Result<Option<Piece>, Fault> {
        loop {
            match self.ahead() {
                [b'<', b'!', ..] => {
                    if let Some(piece) = self.cdata_or_comment()? {
                        return Ok(Some(piece));
                    }
                }
                [b'<', b'?', ..] => self.instruction()?,
                [] | [b'<', ..] => return Ok(None),
                _ => return self.text_run().map(Some),
            }
        }
    }

    fn text_run(&mut self) -> Result<Piece, Fault> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start;
        let mut kind = PieceKind::Plain;
        loop {
            at = skip_while(bytes, at, chars::is_plain_text);
            match bytes.get(at) {
                None | Some(b'<') => break,
                Some(b'&') => {
                    let reference = reference::read(bytes, at, Place::Text, at)?;
                    self.canonical &= reference.canonical;
                    kind = PieceKind::Escaped;
                    at = reference.end;
                }
                Some(b'>') => {
                    if bytes[start..at].ends_with(b"]]") {
                        return Err(Fault::syntax("]]> ends a CDATA section only", at));
                    }
                    self.canonical = false;
                    at += 1;
                }
                Some(_) => {
                    self.canonical = false;
                    at = skip_raw(bytes, at)?;
                }
            }
        }
        self.at = at;
        let raw = start..at;
        self.check_text(&raw, kind)?;
        Ok(Piece { raw, kind })
    }

    /// Checks the length of a piece of text as it will be, which is never more than it is raw.
    fn check_text(&self, raw: &Range<usize>, kind: PieceKind) -> Result<(), Fault> {
        if raw.len() <= self.limits.text_bytes {
            return Ok(());
        }
        let length = match kind {
            PieceKind::Plain => raw.len(),
            PieceKind::Escaped => reference::unescape_text(self.slice(raw.clone())).len(),
            PieceKind::CdataWithLineEnds => {
                reference::normalize_line_ends(self.slice(raw.clone())).len()
            }
        };
        let check = LimitExceeded::check(Limit::TextBytes, length, self.limits.text_bytes);
        Fault::limit(check, raw.start)
    }

    /// The next tag, which is what comes next if there is no [`text`](Self::text) left.
    pub(super) fn tag(&mut self) -> Result<Token, Fault> {
        if !self.namespaces.is_empty() {
            self.namespaces.leave(self.open.len());
        }
        match self.ahead() {
            [b'<', b'/', ..] => self.end_tag().map(|()| Token::End),
            [b'<', ..] => self.start_tag().map(Token::Start),
            _ => Err(Fault::truncated("an element", self.at)),
        }
    }

    fn start_tag(&mut self) -> Result<Tag, Fault> {
        let start = self.at;
        self.nodes += 1;
        let nodes = LimitExceeded::check(Limit::Nodes, self.nodes, self.limits.nodes);
        Fault::limit(nodes, start)?;
        let depth = LimitExceeded::check(Limit::Depth, self.open.len() + 1, self.limits.depth);
        Fault::limit(depth, start)?;

        let name = self.scan_name(start + 1, start)?;
        self.at = name.end;
        let outer_canonical = std::mem::replace(&mut self.canonical, true);
        let (empty, cold) = self.scan_attributes(start)?;
        let mut namespaced = false;
        if cold || name.colon.is_some() || !self.namespaces.is_empty() {
            namespaced = self.resolve_namespaces(&name, start)?;
        }
        let canonical = std::mem::replace(&mut self.canonical, outer_canonical);
        if !empty {
            self.open.push(name);
        }
        Ok(Tag {
            start,
            name,
            empty,
            namespaced,
            canonical,
        })
    }

    fn end_tag(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let Some(open) = self.open.last() else {
            return Err(Fault::syntax("an end tag without a start tag", start));
        };
        let name = &bytes[open.start..open.end];
        let behind = start + 2 + name.len();
        if bytes[start + 2..].starts_with(name) && bytes.get(behind) == Some(&b'>') {
            self.at = behind + 1;
        } else {
            let matches = |found: &[u8]| found == name;
            self.at = scan_end_tag(self.text, start, matches)?;
            self.canonical = false;
        }
        self.open.pop();
        Ok(())
    }

    /// What comes next.
    fn ahead(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The name that begins at `start`. If the input ends in it, `token` is where the construct
    /// began.
    fn scan_name(&self, start: usize, token: usize) -> Result<Name, Fault> {
        let bytes = self.text.as_bytes();
        if bytes
            .get(start)
            .is_some_and(|byte| chars::starts_name(*byte))
        {
            let end = skip_while(bytes, start, chars::in_name);
            if let Some(byte) = bytes.get(end)
                && byte.is_ascii()
                && *byte != b':'
            {
                return Ok(Name {
                    start,
                    end,
                    colon: None,
                });
            }
        }
        attributes::scan_unusual_name(self.text, start, token)
    }
}

/// An end tag that is not the open name with nothing around it: with white space, or wrong.
/// Returns where it ends.
fn scan_end_tag(
    text: &str,
    start: usize,
    matches: impl FnOnce(&[u8]) -> bool,
) -> Result<usize, Fault> {
    let bytes = text.as_bytes();
    let name = attributes::scan_unusual_name(text, start + 2, start)?;
    let end = skip_while(bytes, name.end, chars::is_space);
    match bytes.get(end) {
        None => Err(Fault::truncated("an end tag", start)),
        Some(b'>') if matches(&bytes[name.start..name.end]) => Ok(end + 1),
        Some(b'>') => Err(Fault::syntax("the end tag of another element", name.start)),
        Some(_) => Err(Fault::syntax("the > of an end tag expected", end)),
    }
}

/// The first place from `at` on where `wanted` does not hold.
fn skip_while(bytes: &[u8], at: usize, wanted: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .position(|byte| !wanted(*byte))
        .unwrap_or(rest.len())
}

/// Goes over raw characters that are not ASCII.
fn skip_raw(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let end = skip_while(bytes, at, |byte| !byte.is_ascii());
    match bytes[at..end]
        .windows(3)
        .position(|c| matches!(c, [0xef, 0xbf, 0xbe | 0xbf]))
    {
        Some(bad) => Err(Fault::syntax(
            "a character that XML does not allow",
            at + bad,
        )),
        None => Ok(end),
    }
}

impl Tag {
    /// Whether this is an element of this name, in no namespace.
    pub(super) fn is(&self, scanner: &Scanner<'_>, name: &str) -> bool {
        !self.namespaced && scanner.name(&self.name) == name
    }
}
