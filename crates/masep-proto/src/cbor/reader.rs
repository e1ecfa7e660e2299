//! Heads of data items, as they are read.

use std::ops::Range;

use super::head::Major;
use crate::{DecodeError, DecodeErrorKind, Limit, LimitExceeded, Position};

/// A fault, and the byte at which it is. It is boxed because every item goes through results that can be one.
#[derive(Debug)]
pub(super) struct Fault(Box<(DecodeErrorKind, usize)>);

impl Fault {
    #[cold]
    pub(super) fn new(kind: impl Into<DecodeErrorKind>, at: usize) -> Self {
        Self(Box::new((kind.into(), at)))
    }

    #[cold]
    pub(super) fn syntax(what: &'static str, at: usize) -> Self {
        Self::new(DecodeErrorKind::Cbor(what), at)
    }

    #[cold]
    pub(super) fn unexpected(what: &'static str, at: usize) -> Self {
        Self::new(DecodeErrorKind::UnexpectedItem(what), at)
    }

    #[cold]
    pub(super) fn limit(limit: Limit, actual: usize, allowed: usize, at: usize) -> Self {
        let exceeded = LimitExceeded {
            limit,
            actual,
            allowed,
        };
        Self::new(exceeded, at)
    }

    #[cold]
    pub(super) fn truncated(what: &'static str, at: usize) -> Self {
        Self::new(DecodeErrorKind::CborTruncated(what), at)
    }
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        let (kind, at) = *fault.0;
        Self {
            kind,
            position: Position::of_byte(at),
        }
    }
}

/// The head of a data item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) major: Major,
    /// The five lower bits of the first byte: how wide it is.
    pub(super) info: u8,
    /// The number, the length, the count, the tag, or the bits of a float.
    pub(super) argument: u64,
    /// The place of its first byte.
    pub(super) start: usize,
}

impl Head {
    /// True for a simple value in two bytes that has to be in one.
    pub(super) const fn is_reserved(&self) -> bool {
        self.info == 24 && self.argument < 32
    }
}

/// The bytes behind the first one of a number, by the last five bits of that; more than there can be where there is no such
/// number.
const BEHIND_NUMBER: [usize; 32] = {
    let mut behind = [0; 32];
    [behind[24], behind[25], behind[26], behind[27]] = [1, 2, 4, 8];
    [behind[28], behind[29], behind[30], behind[31]] = [usize::MAX; 4];
    behind
};

/// Reads data items one after the other, and counts them.
pub(super) struct Reader<'a> {
    input: &'a [u8],
    position: usize,
    nodes: usize,
    max_nodes: usize,
    max_text: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(input: &'a [u8], max_nodes: usize, max_text: usize) -> Self {
        Self {
            input,
            position: 0,
            nodes: 0,
            max_nodes,
            max_text,
        }
    }

    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// The number of items that there may still be.
    pub(super) const fn nodes_left(&self) -> usize {
        self.max_nodes - self.nodes
    }

    /// The head of the next item.
    #[inline(always)]
    pub(super) fn head(&mut self) -> Result<Head, Fault> {
        let start = self.position;
        let Some(first) = self.input.get(start) else {
            return Err(Fault::truncated("an item", start));
        };
        if self.nodes == self.max_nodes {
            let (nodes, allowed) = (self.nodes + 1, self.max_nodes);
            return Err(Fault::limit(Limit::Nodes, nodes, allowed, start));
        }
        self.nodes += 1;
        let info = first & 0x1f;
        self.position += 1;
        let argument = if info < 24 {
            info.into()
        } else {
            self.argument(info, start)?
        };
        Ok(Head {
            major: Major::of(*first),
            info,
            argument,
            start,
        })
    }

    /// The argument behind the first byte of a head.
    fn argument(&mut self, info: u8, start: usize) -> Result<u64, Fault> {
        let argument = match info {
            24 => self.word().map(u8::from_be_bytes).map(u64::from),
            25 => self.word().map(u16::from_be_bytes).map(u64::from),
            26 => self.word().map(u32::from_be_bytes).map(u64::from),
            27 => self.word().map(u64::from_be_bytes),
            31 => return Err(Fault::syntax("an indefinite length", start)),
            _ => return Err(Fault::syntax("a reserved head", start)),
        };
        argument.ok_or_else(|| Fault::truncated("a head", start))
    }

    /// The next bytes, if they are there.
    #[inline]
    fn word<const N: usize>(&mut self) -> Option<[u8; N]> {
        let word = *self.input.get(self.position..)?.first_chunk()?;
        self.position += N;
        Some(word)
    }

    /// The place of the content of bytes or a text whose head was just read.
    #[inline]
    pub(super) fn content(&mut self, head: Head) -> Result<Range<usize>, Fault> {
        let left = self.input.len() - self.position;
        let length = match usize::try_from(head.argument) {
            Ok(length) if length <= left => length,
            _ => return Err(Fault::truncated("bytes or a text", head.start)),
        };
        if length > self.max_text {
            let limit = Limit::TextBytes;
            return Err(Fault::limit(limit, length, self.max_text, head.start));
        }
        let start = self.position;
        self.position += length;
        Ok(start..self.position)
    }

    /// The number of items of a container whose head was just read. Each takes a byte, and each counts: a number that
    /// the rest of the input cannot hold is refused here.
    pub(super) fn count(&self, head: Head) -> Result<usize, Fault> {
        let per_entry = if head.major == Major::Map { 2 } else { 1 };
        let left = self.input.len() - self.position;
        match usize::try_from(head.argument) {
            Ok(count) if count <= left / per_entry => Ok(count),
            _ => Err(Fault::truncated("a container", head.start)),
        }
    }

    /// The next item's head, which has to be of this kind.
    #[inline]
    pub(super) fn expect(&mut self, major: Major, what: &'static str) -> Result<Head, Fault> {
        let head = self.head()?;
        if head.major == major {
            Ok(head)
        } else {
            Err(Fault::unexpected(what, head.start))
        }
    }

    /// The bytes of an item's content.
    pub(super) fn slice(&self, range: Range<usize>) -> &'a [u8] {
        &self.input[range]
    }

    /// Goes over the next item and all in it, which needs no memory.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        self.skip_with(|reader, head| reader.text(head).map(drop))
    }

    /// [`skip`](Self::skip) of so many items that does not look whether texts are UTF-8, for what is read once more.
    pub(super) fn pass(&mut self, items: usize) -> Result<(), Fault> {
        let mut left = items;
        while left > 0 {
            left -= 1;
            if !self.pass_short() {
                let inside = self.skip_one(|reader, head| reader.content(head).map(drop))?;
                left = left.saturating_add(inside);
            }
        }
        Ok(())
    }

    /// Goes over the next item if it is a number, or bytes or a text of less than 24 bytes, as most are in a map of known keys.
    /// Without a change if it is not, or over a bound.
    #[inline]
    fn pass_short(&mut self) -> bool {
        let rest = &self.input[self.position..];
        let Some(first) = rest.first() else {
            return false;
        };
        let info = usize::from(first & 0x1f);
        let inside = match Major::of(*first) {
            Major::Unsigned | Major::Negative => BEHIND_NUMBER[info],
            Major::Bytes | Major::Text if info < 24 => info,
            _ => return false,
        };
        let is_passed =
            inside < rest.len() && inside <= self.max_text && self.nodes < self.max_nodes;
        if is_passed {
            self.nodes += 1;
            self.position += 1 + inside;
        }
        is_passed
    }

    /// [`skip`](Self::skip) of an item in which no item is deeper than so many levels, itself included. A tag is no level.
    pub(super) fn skip_within(&mut self, levels: usize) -> Result<(), Fault> {
        // The items that are still to come, on each level.
        let mut left = vec![1];
        while let Some(items) = left.pop() {
            if items == 0 {
                continue;
            }
            let start = self.position;
            let is_tag = self.input.get(start).map(|first| Major::of(*first)) == Some(Major::Tag);
            let inside = self.skip_one(|reader, head| reader.text(head).map(drop))?;
            if is_tag {
                left.push(items);
                continue;
            }
            left.push(items - 1);
            if inside > 0 {
                left.push(inside);
            }
            if left.len() > levels {
                return Err(Fault::limit(Limit::Depth, left.len(), levels, start));
            }
        }
        Ok(())
    }

    #[inline]
    fn skip_with(
        &mut self,
        text: impl Fn(&mut Self, Head) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut left = 1usize;
        while left > 0 {
            left -= 1;
            left = left.saturating_add(self.skip_one(&text)?);
        }
        Ok(())
    }

    /// Goes over the next item. Gives the number of those in it.
    #[inline]
    fn skip_one(
        &mut self,
        text: impl Fn(&mut Self, Head) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let head = self.head()?;
        match head.major {
            Major::Simple if head.is_reserved() => {
                return Err(Fault::syntax("a reserved value", head.start));
            }
            Major::Unsigned | Major::Negative | Major::Simple => {}
            Major::Bytes => {
                self.content(head)?;
            }
            Major::Text => text(self, head)?,
            Major::Array => return self.count(head),
            Major::Map => return Ok(self.count(head)? * 2),
            Major::Tag => return Ok(1),
        }
        Ok(0)
    }

    /// The text whose head was just read.
    pub(super) fn text(&mut self, head: Head) -> Result<&'a str, Fault> {
        let range = self.content(head)?;
        let start = range.start;
        std::str::from_utf8(&self.input[range])
            .map_err(|error| Fault::syntax("a text that is not UTF-8", start + error.valid_up_to()))
    }

    /// Checks that nothing comes behind what was read.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.position == self.input.len() {
            return Ok(());
        }
        Err(Fault::syntax("bytes behind its end", self.position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_over_an_item_is_the_long_way() {
        for first in 0..=u8::MAX {
            for more in [0, 1, 2, 3, 4, 5, 7, 8, 9, 22, 23, 24, 25, 300] {
                let mut input = vec![0; more + 1];
                input[0] = first;
                for (nodes, text) in [(999, 999), (0, 999), (1, 999), (3, 999), (999, 7)] {
                    let readers = [0, 1].map(|_| Reader::new(&input, nodes, text));
                    let [mut short, mut long] = readers;
                    let results = [short.pass(1), long.skip()];
                    let results = results.map(|result| format!("{result:?}"));
                    assert_eq!(results[0], results[1], "{first:#x}, {more}");
                    if results[0] == "Ok(())" {
                        assert_eq!(short.position(), long.position(), "{first:#x}, {more}");
                        assert_eq!(short.nodes_left(), long.nodes_left(), "{first:#x}, {more}");
                    }
                }
            }
        }
    }
}
