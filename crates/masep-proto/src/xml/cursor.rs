//! Going over elements that were read or written before, and are known to be as ElementTree writes them.
//!
//! Then a name ends with a space or `>`, a value with the next `"`, a tag with the next `>` and a text with
//! the next `<`: nothing has to be judged again.

use super::words;

/// A place in an element.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// A text or the value of an attribute as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    pub(super) text: &'a str,
    /// True if there are references in it.
    pub(super) is_escaped: bool,
}

/// An element that was skipped.
#[derive(Debug)]
pub(super) struct Skipped<'a> {
    pub(super) xml: &'a str,
    /// The nesting depth of its elements.
    pub(super) depth: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor in front of the element.
    pub(super) const fn new(xml: &'a str) -> Self {
        Self { text: xml, at: 0 }
    }

    /// The place where it is, in bytes.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    #[inline]
    fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// True if an end tag or nothing comes next. A tag has to come next.
    #[inline]
    pub(super) fn is_at_end(&self) -> bool {
        !matches!(self.byte(self.at + 1), Some(byte) if byte != b'/')
    }

    /// Goes behind the name of the start tag that comes next.
    #[inline]
    pub(super) fn name(&mut self) -> &'a str {
        let start = self.at + 1;
        self.at = words::space_or_angle(self.text.as_bytes(), start);
        self.slice(start, self.at)
    }

    /// Goes behind the next attribute of the start tag; its name and value.
    #[inline]
    pub(super) fn attribute(&mut self) -> Option<(&'a str, Raw<'a>)> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at..)? {
            [b' ', b'/', ..] => return None,
            [b' ', ..] => {}
            _ => return None,
        }
        let start = self.at + 1;
        let name_end = words::equals_sign(bytes, start);
        let value = name_end + 2;
        let raw = self.raw(value, words::quote_or_ampersand(bytes, value), words::quote);
        self.at = value + raw.text.len() + 1;
        Some((self.slice(start, name_end), raw))
    }

    /// Goes behind the start tag, whose attributes were read. Returns whether this is all of the element.
    #[inline]
    pub(super) fn is_empty_tag(&mut self) -> bool {
        let is_empty = self.byte(self.at) != Some(b'>');
        self.at += if is_empty { " />".len() } else { ">".len() };
        is_empty
    }

    /// Goes behind the start tag that comes next. Returns whether this is all of the element.
    pub(super) fn is_empty_start(&mut self) -> bool {
        self.at = words::closing_angle(self.text.as_bytes(), self.at) + 1;
        self.text[..self.at.min(self.text.len())].ends_with("/>")
    }

    /// Goes behind the text up to the next tag.
    #[inline]
    pub(super) fn text(&mut self) -> Raw<'a> {
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) == Some(&b'<') {
            return Raw {
                text: "",
                is_escaped: false,
            };
        }
        let end = words::angle_or_ampersand(bytes, self.at);
        let raw = self.raw(self.at, end, words::angle);
        self.at += raw.text.len();
        raw
    }

    /// The raw text from `start` to `end`, or to where `end_from` says, if there is a reference at `end`.
    #[inline]
    fn raw(&self, start: usize, end: usize, end_from: fn(&[u8], usize) -> usize) -> Raw<'a> {
        let is_escaped = self.byte(end) == Some(b'&');
        let end = if is_escaped {
            end_from(self.text.as_bytes(), end)
        } else {
            end
        };
        Raw {
            text: self.slice(start, end),
            is_escaped,
        }
    }

    /// Goes behind the end tag that comes next, of an element with this name.
    #[inline]
    pub(super) const fn end_tag(&mut self, name: &str) {
        self.at += "</>".len() + name.len();
    }

    /// Goes behind the element that comes next.
    pub(super) fn skip(&mut self) -> Skipped<'a> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let (mut depth, mut deepest) = (0usize, 0);
        while self.at < bytes.len() {
            let is_end = bytes.get(self.at + 1) == Some(&b'/');
            let end = words::closing_angle(bytes, self.at);
            self.at = end + 1;
            if is_end {
                depth = depth.saturating_sub(1);
            } else {
                deepest = deepest.max(depth + 1);
                depth += usize::from(bytes.get(end.wrapping_sub(1)) != Some(&b'/'));
            }
            if depth == 0 {
                break;
            }
            self.at = words::angle(bytes, self.at);
        }
        Skipped {
            xml: self.slice(start, self.at),
            depth: deepest,
        }
    }
}
