//! Items with nothing but a scalar in them, as `<item key="fee"><float>0.1</float></item>`: most of what lists
//! and dicts hold.

use std::ops::Range;

use super::Way;
use crate::xml::scanner::Scanner;
use crate::xml::words::Words;

/// An item that comes next.
pub(in crate::xml) struct PlainItem<'a> {
    /// The value of its attribute `key`, if it has that; it has no other.
    pub(in crate::xml) key: Option<&'a str>,
    pub(in crate::xml) scalar: PlainScalar,
    /// The text that the scalar is made of: not empty.
    pub(in crate::xml) text: &'a str,
    end: usize,
}

/// The name of the element in an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::xml) enum PlainScalar {
    None,
    Bool,
    Int,
    Float,
    Str,
}

/// Elements in an item with a scalar, and how deep they stand in each other: the item and the scalar.
pub(super) const NODES: usize = 2;

impl<'a> Scanner<'a> {
    /// The item that comes next, if it is written as ElementTree does it, and nothing of it has to be looked at
    /// twice. Nothing is read by that, but by [`take_item`](Self::take_item).
    #[inline]
    pub(in crate::xml) fn plain_item(&self) -> Option<PlainItem<'a>> {
        if !self.has_room_for_item() || !self.namespaces.is_empty() {
            return None;
        }
        let most = self.limits.text_bytes;
        let words = Words(self.text.as_bytes());
        let item = words.item(self.at, most, |start| words.text_end(start))?;
        Some(PlainItem {
            key: item.key.map(|key| self.slice(key)),
            scalar: item.scalar,
            text: self.slice(item.text),
            end: item.end,
        })
    }

    #[inline(always)]
    pub(super) fn has_room_for_item(&self) -> bool {
        self.nodes + NODES <= self.limits.nodes && self.open.len() + NODES <= self.limits.depth
    }

    /// Reads an item that was found.
    #[inline]
    pub(in crate::xml) fn take_item(&mut self, item: &PlainItem<'_>) {
        self.at = item.end;
        self.nodes += NODES;
    }
}

impl Way<'_> {
    /// The end of the item that begins here, if there is nothing but a scalar in it.
    #[inline(always)]
    pub(super) fn item(self, at: usize) -> Option<usize> {
        let item = (self.words).item(at, self.text_bytes, |start| self.text(start))?;
        Some(item.end)
    }
}

/// The places of the parts of an item.
struct Found {
    key: Option<Range<usize>>,
    scalar: PlainScalar,
    text: Range<usize>,
    end: usize,
}

impl Words<'_> {
    /// The item that begins here, if there is nothing but a scalar in it, with a text that is not empty and ends
    /// where `text_end` says. Neither that nor the key may have more than `most` bytes.
    #[inline(always)]
    fn item(
        self,
        at: usize,
        most: usize,
        text_end: impl FnOnce(usize) -> Option<usize>,
    ) -> Option<Found> {
        let (key, at) = self.item_tag(at, most)?;
        let (scalar, start) = self.scalar_tag(at)?;
        let text = start..text_end(start)?;
        if !(1..=most).contains(&text.len()) {
            return None;
        }
        let end = self.end_of_item(scalar, text.end)?;
        Some(Found {
            key,
            scalar,
            text,
            end,
        })
    }

    /// The place of the key of the item whose start tag begins here, if it has one, and the end of the tag.
    #[inline(always)]
    fn item_tag(self, at: usize, most: usize) -> Option<(Option<Range<usize>>, usize)> {
        const WITH_KEY: &[u8; 11] = b"<item key=\"";
        let tag = self.array(at)?;
        if tag == WITH_KEY {
            let start = at + WITH_KEY.len();
            let end = self.value_end(start)?;
            let is_whole = self.array(end)? == b"\">" && end - start <= most;
            return is_whole.then_some((Some(start..end), end + 2));
        }
        tag.starts_with(b"<item>").then_some((None, at + 6))
    }

    /// The kind of scalar whose start tag begins here, and the end of the tag.
    #[inline(always)]
    fn scalar_tag(self, at: usize) -> Option<(PlainScalar, usize)> {
        let (scalar, length) = match self.array::<10>(at)? {
            [b'<', b'i', b'n', b't', b'>', ..] => (PlainScalar::Int, 5),
            [b'<', b's', b't', b'r', b'>', ..] => (PlainScalar::Str, 5),
            [b'<', b'b', b'o', b'o', b'l', b'>', ..] => (PlainScalar::Bool, 6),
            [b'<', b'f', b'l', b'o', b'a', b't', b'>', ..] => (PlainScalar::Float, 7),
            b"<NoneType>" => (PlainScalar::None, 10),
            _ => return None,
        };
        Some((scalar, at + length))
    }

    /// The end of the item whose scalar's text ends here.
    #[inline(always)]
    fn end_of_item(self, scalar: PlainScalar, at: usize) -> Option<usize> {
        match scalar {
            PlainScalar::None => self.behind(at, b"</NoneType></item>"),
            PlainScalar::Bool => self.behind(at, b"</bool></item>"),
            PlainScalar::Int => self.behind(at, b"</int></item>"),
            PlainScalar::Float => self.behind(at, b"</float></item>"),
            PlainScalar::Str => self.behind(at, b"</str></item>"),
        }
    }

    /// The end of these bytes, if they begin here.
    #[inline(always)]
    fn behind<const N: usize>(self, at: usize, bytes: &[u8; N]) -> Option<usize> {
        (self.array(at)? == bytes).then_some(at + N)
    }
}
