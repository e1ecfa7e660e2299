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
mod name;
mod plain;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::chars;
use super::fault::Fault;
use super::namespaces::Namespaces;
use super::reference::{self, TextContext};
use super::words::{self, Words};
use crate::{Limit, LimitExceeded, Limits};

pub(super) use attributes::Attribute;
pub(super) use name::Name;
pub(super) use plain::PlainScalar;
use plain::Progress;

/// The beginning of the text of a `<type>`.
const TYPE: &[u8] = b"&lt;class '";

/// The tag that was read: a start tag, which is in [`Scanner::tag`] then, or an end tag.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Start,
    End,
}

/// A start tag.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tag {
    /// The place where it begins.
    pub(super) start: usize,
    pub(super) name: Name,
    /// True if this is all of the element: `<a />`.
    pub(super) empty: bool,
    /// True if the name is in a namespace other than that of the prefix `xml`.
    pub(super) namespaced: bool,
    /// True if ElementTree would write the tag so.
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
    /// The last start tag.
    pub(super) tag: Tag,
    /// Its attributes.
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
            tag: Tag::default(),
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

    /// True if the last start tag is that of an element of this name, in no namespace.
    #[inline]
    pub(super) fn is_named(&self, name: &str) -> bool {
        !self.tag.namespaced && self.name_bytes(&self.tag.name) == name.as_bytes()
    }

    /// The bytes of a name: to compare them, nothing has to be known of the characters around it.
    #[inline]
    pub(super) fn name_bytes(&self, name: &Name) -> &'a [u8] {
        let bytes = self.text.as_bytes().get(name.start..name.end);
        bytes.unwrap_or_default()
    }

    /// The place where the next thing begins.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// The number of elements that are open.
    pub(super) const fn depth(&self) -> usize {
        self.open.len()
    }

    /// Goes back to the start tag of an element that was read, to read it again. Its nodes are not
    /// counted twice.
    pub(super) fn rewind(&mut self, start: usize, nodes: usize) {
        self.at = start;
        self.nodes = nodes;
    }

    /// Start tags so far, without the last one.
    pub(super) const fn nodes_before(&self) -> usize {
        self.nodes.saturating_sub(1)
    }

    /// Goes behind the end of an element whose start tag was just read. Returns how deep elements
    /// stand in each other in it, and whether ElementTree would write it as it is written here.
    pub(super) fn skip(&mut self) -> Result<(usize, bool), Fault> {
        self.canonical = self.tag.canonical;
        if self.tag.empty {
            return Ok((1, self.canonical));
        }
        let outside = self.open.len() - 1;
        // ElementTree writes `<a />`, not `<a></a>`.
        let mut progress = Progress {
            deepest: self.open.len(),
            nothing: true,
        };
        loop {
            if self.namespaces.is_empty() {
                self.skip_plain(outside, &mut progress);
            }
            if self.open.len() == outside {
                return Ok((progress.deepest - outside, self.canonical));
            }
            while !self.is_at_tag() && self.text()?.is_some() {
                progress.nothing = false;
            }
            match self.read_tag()? {
                Token::Start => {
                    self.canonical &= self.tag.canonical;
                    let depth = self.open.len() + usize::from(self.tag.empty);
                    progress.deepest = progress.deepest.max(depth);
                    progress.nothing = !self.tag.empty;
                }
                Token::End => {
                    self.canonical &= !progress.nothing;
                    progress.nothing = false;
                }
            }
        }
    }

    /// Reads the rest of an element whose start tag was just read, up to its end, if there is nothing
    /// but a text in it that stands for itself, written as ElementTree does it. Otherwise nothing is
    /// read.
    #[inline]
    pub(super) fn plain_leaf(&mut self) -> Option<&'a str> {
        let open = self.open.last()?;
        let words = Words(self.text.as_bytes());
        let end = words.text_end(self.at)?;
        let length = open.end - open.start;
        let behind = end + 2 + length;
        let is_leaf = words.array(end)? == b"</"
            && words.array(behind)? == b">"
            && words.repeats(open.start, length, end + 2)
            && (1..=self.limits.text_bytes).contains(&(end - self.at));
        if !is_leaf {
            return None;
        }
        let text = self.slice(self.at..end);
        self.open.pop();
        self.at = behind + 1;
        Some(text)
    }

    /// The same for a `<type>` as ElementTree writes it, with a name in it in which nothing is escaped:
    /// that name.
    pub(super) fn type_leaf(&mut self) -> Option<&'a str> {
        const END: &[u8] = b"'&gt;</type>";
        let bytes = self.text.as_bytes();
        if !self.ahead().starts_with(TYPE) {
            return None;
        }
        let start = self.at + TYPE.len();
        let end = words::plain_text_end(bytes, start).checked_sub(1)?;
        let name = self.slice(start..end);
        if name.is_empty()
            || name.contains('\'')
            || !bytes.get(end..)?.starts_with(END)
            || end - self.at > self.limits.text_bytes
        {
            return None;
        }
        self.open.pop();
        self.at = end + END.len();
        Some(name)
    }

    /// True if certainly a tag comes next.
    #[inline]
    pub(super) fn is_at_tag(&self) -> bool {
        let bytes = self.text.as_bytes();
        bytes.get(self.at) == Some(&b'<') && !matches!(bytes.get(self.at + 1), Some(b'!' | b'?'))
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
            at = words::plain_text_end(bytes, at);
            match bytes.get(at) {
                None | Some(b'<') => break,
                Some(b'&') => {
                    kind = PieceKind::Escaped;
                    if let Some(end) = Words(bytes).reference_end(at) {
                        at = end;
                        continue;
                    }
                    let reference = reference::read(bytes, at, TextContext::Text, at)?;
                    self.canonical &= reference.canonical;
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

    /// Reads a tag, which is what comes next if there is no [`text`](Self::text) left.
    #[inline]
    pub(super) fn read_tag(&mut self) -> Result<Token, Fault> {
        if !self.namespaces.is_empty() {
            self.namespaces.leave(self.open.len());
        }
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) != Some(&b'<') {
            Err(Fault::truncated("an element", self.at))
        } else if bytes.get(self.at + 1) == Some(&b'/') {
            self.end_tag().map(|()| Token::End)
        } else {
            self.start_tag().map(|()| Token::Start)
        }
    }

    fn start_tag(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.nodes += 1;
        if self.nodes > self.limits.nodes || self.open.len() >= self.limits.depth {
            return Err(self.over_limit());
        }
        let name = self.scan_name(start + 1, start)?;
        self.at = name.end;
        self.attributes.clear();
        self.tag = Tag {
            start,
            name,
            empty: false,
            namespaced: false,
            canonical: true,
        };
        if self.text.as_bytes().get(self.at) == Some(&b'>') {
            self.at += 1;
            if name.has_prefix() || !self.namespaces.is_empty() {
                self.resolve_namespaces()?;
            }
        } else {
            self.scan_attributes()?;
        }
        if !self.tag.empty {
            self.open.push(name);
        }
        Ok(())
    }

    /// The limit that a start tag is over.
    #[cold]
    fn over_limit(&self) -> Fault {
        let nodes = LimitExceeded::check(Limit::Nodes, self.nodes, self.limits.nodes);
        let depth = LimitExceeded::check(Limit::Depth, self.open.len() + 1, self.limits.depth);
        match nodes.and(depth) {
            Err(exceeded) => Fault::new(exceeded, self.at),
            Ok(()) => Fault::syntax("an element expected", self.at),
        }
    }

    #[inline]
    fn end_tag(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let Some(open) = self.open.pop() else {
            return Err(Fault::syntax("an end tag without a start tag", start));
        };
        let behind = start + 2 + (open.end - open.start);
        if bytes.get(behind) == Some(&b'>')
            && words::repeats(bytes, open.start..open.end, start + 2)
        {
            self.at = behind + 1;
        } else {
            self.unusual_end_tag(&open)?;
        }
        Ok(())
    }

    /// An end tag that is not written as ElementTree does it.
    #[cold]
    fn unusual_end_tag(&mut self, open: &Name) -> Result<(), Fault> {
        let bytes = self.text.as_bytes();
        let matches = |found: &[u8]| found == &bytes[open.start..open.end];
        self.at = scan_end_tag(self.text, self.at, matches)?;
        self.canonical = false;
        Ok(())
    }

    /// The rest of the text.
    #[inline]
    fn ahead(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
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
    let name = name::scan_unusual_name(text, start + 2, start)?;
    let end = skip_while(bytes, name.end, chars::is_space);
    match bytes.get(end) {
        None => Err(Fault::truncated("an end tag", start)),
        Some(b'>') if matches(&bytes[name.start..name.end]) => Ok(end + 1),
        Some(b'>') => Err(Fault::syntax("the end tag of another element", name.start)),
        Some(_) => Err(Fault::syntax("the > of an end tag expected", end)),
    }
}

/// The first place from `at` on where `wanted` does not hold.
#[inline]
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
