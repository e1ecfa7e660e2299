//! The short way over tags and texts that are written as ElementTree writes them, with nothing in them that
//! has to be looked at twice. Nearly all are. It judges nothing: where it cannot go on, it stops in front of
//! what it has not understood.
//!
//! It takes an element with nothing but a text in it in one step, and ends of tags as they came before: each
//! branch that depends on the input is one that the processor may guess wrong.

mod item;
mod start_tag;
#[cfg(test)]
mod tests;

use super::{Name, Scanner};
use crate::xml::words::Words;

pub(in crate::xml) use item::PlainScalar;
use start_tag::Tail;

/// The progress of the short way.
#[derive(Debug)]
pub(super) struct Progress {
    /// The most elements that were open at once.
    pub(super) deepest: usize,
    /// True if nothing came since the last start tag, whose element has not ended with it.
    pub(super) nothing: bool,
}

impl Scanner<'_> {
    /// Goes on until no more elements than `outside` are open, or until there is something that is not
    /// plain. No namespace may be declared.
    pub(super) fn skip_plain(&mut self, outside: usize, progress: &mut Progress) {
        let way = Way {
            words: Words(self.text.as_bytes()),
            text_bytes: self.limits.text_bytes,
        };
        let mut tail = Tail::NONE;
        while self.open.len() > outside {
            let end = match way.words.array(self.at) {
                Some(b"</") if !progress.nothing => self.leave_plain(way),
                Some(b"<i") => (self.skip_item(way, progress))
                    .or_else(|| self.enter_plain(way, &mut tail, progress)),
                Some([b'<', _]) => self.enter_plain(way, &mut tail, progress),
                _ => way
                    .mixed_text(self.at)
                    .inspect(|_| progress.nothing = false),
            };
            let Some(end) = end else {
                return;
            };
            self.at = end;
        }
    }

    /// Reads the end tag of the open element, if that comes next, as ElementTree writes it. Otherwise nothing
    /// is read.
    #[inline]
    pub(in crate::xml) fn plain_end(&mut self) -> bool {
        let words = Words(self.text.as_bytes());
        let at = self.at;
        if words.array(at) != Some(b"</") || !self.namespaces.is_empty() {
            return false;
        }
        let way = Way {
            words,
            text_bytes: 0,
        };
        let end = self.leave_plain(way);
        self.at = end.unwrap_or(at);
        end.is_some()
    }

    /// The end of the end tag that comes next.
    #[inline(always)]
    fn leave_plain(&mut self, way: Way<'_>) -> Option<usize> {
        let end = way.end_tag(self.at, self.open.last()?)?;
        self.open.pop();
        Some(end)
    }

    /// The end of the item that comes next, if there is nothing but a scalar in it.
    #[inline(always)]
    fn skip_item(&mut self, way: Way<'_>, progress: &mut Progress) -> Option<usize> {
        if !self.has_room_for_item() {
            return None;
        }
        let end = way.item(self.at)?;
        self.nodes += item::NODES;
        progress.deepest = progress.deepest.max(self.open.len() + item::NODES);
        progress.nothing = false;
        Some(end)
    }

    /// The end of the start tag that comes next, or of its element if there is only a text in it.
    #[inline(always)]
    fn enter_plain(
        &mut self,
        way: Way<'_>,
        tail: &mut Tail,
        progress: &mut Progress,
    ) -> Option<usize> {
        if self.nodes >= self.limits.nodes || self.open.len() >= self.limits.depth {
            return None;
        }
        let tag = way.start_tag(self.at + 1, tail)?;
        self.nodes += 1;
        progress.deepest = progress.deepest.max(self.open.len() + 1);
        progress.nothing = false;
        if tag.rest.empty {
            return Some(tag.rest.end);
        }
        if way.words.array(tag.rest.end) != Some(b"<")
            && let Some(text_end) = way.text(tag.rest.end)
            && let Some(end) = way.end_tag(text_end, &tag.name)
        {
            return Some(end);
        }
        progress.nothing = true;
        self.open.push(tag.name);
        Some(tag.rest.end)
    }
}

/// The bytes that the short way reads, and its limit.
#[derive(Clone, Copy)]
struct Way<'a> {
    words: Words<'a>,
    /// Bytes that a text may have.
    text_bytes: usize,
}

impl Way<'_> {
    /// The end of the plain text that begins here, in front of `<`.
    #[inline(always)]
    fn text(self, start: usize) -> Option<usize> {
        let mut at = start;
        loop {
            at = self.words.text_end(at)?;
            match self.words.array(at)? {
                b"<" if at - start <= self.text_bytes => return Some(at),
                b"&" => at = self.words.reference_end(at)?,
                _ => return None,
            }
        }
    }

    /// The same, where there are elements beside the text.
    #[cold]
    #[inline(never)]
    fn mixed_text(&self, start: usize) -> Option<usize> {
        self.text(start)
    }

    /// The end of the end tag that stands here, if it is that of this name.
    #[inline(always)]
    fn end_tag(self, at: usize, open: &Name) -> Option<usize> {
        let start = at + "</".len();
        let length = open.end - open.start;
        let end = start + length;
        let ends = self.words.array(at)? == b"</"
            && self.words.array(end)? == b">"
            && self.words.repeats(open.start, length, start);
        ends.then_some(end + 1)
    }
}
