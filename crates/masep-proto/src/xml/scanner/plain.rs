//! The short way over tags and texts that are written as ElementTree writes them, with nothing in them that
//! has to be looked at twice. Nearly all are. It judges nothing: where it cannot go on, it stops in front of
//! what it has not understood.

use super::{Name, Scanner};
use crate::xml::chars;
use crate::xml::words;

/// Attributes of a start tag that are compared with each other here.
const FEW: usize = 8;

/// How far the short way has led.
#[derive(Debug)]
pub(super) struct Progress {
    /// The most elements that were open at once.
    pub(super) deepest: usize,
    /// Whether nothing came since the last start tag, whose element has not ended with it.
    pub(super) nothing: bool,
}

/// The rest of a start tag.
struct Rest {
    end: usize,
    empty: bool,
}

impl Scanner<'_> {
    /// Goes on until no more elements than `outside` are open, or until there is something that is not
    /// plain. No namespace may be declared.
    pub(super) fn skip_plain(&mut self, outside: usize, progress: &mut Progress) {
        let bytes = self.text.as_bytes();
        while self.open.len() > outside {
            if bytes.get(self.at) != Some(&b'<') {
                let end = self.plain_text();
                if bytes.get(end) != Some(&b'<') || end - self.at > self.limits.text_bytes {
                    return;
                }
                self.at = end;
                progress.nothing = false;
            }
            match bytes.get(self.at + 1) {
                Some(b'/') if !progress.nothing => {
                    let Some(behind) = self.plain_end_tag() else {
                        return;
                    };
                    self.open.pop();
                    self.at = behind;
                }
                Some(byte) if chars::starts_name(*byte) => {
                    let start = self.at + 1;
                    let end = words::name_end(bytes, start);
                    let Some(rest) = self.plain_rest(end) else {
                        return;
                    };
                    if self.nodes >= self.limits.nodes || self.open.len() >= self.limits.depth {
                        return;
                    }
                    self.nodes += 1;
                    self.at = rest.end;
                    progress.deepest = progress.deepest.max(self.open.len() + 1);
                    progress.nothing = !rest.empty;
                    if !rest.empty {
                        let local = start;
                        self.open.push(Name { start, end, local });
                    }
                }
                _ => return,
            }
        }
    }

    /// Where the text ends that comes next, or is not plain. The references that each text may need are.
    #[inline]
    fn plain_text(&self) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        loop {
            at = words::plain_text_end(bytes, at);
            at += match bytes.get(at..) {
                Some([b'&', b'l' | b'g', b't', b';', ..]) => "&lt;".len(),
                Some([b'&', b'a', b'm', b'p', b';', ..]) => "&amp;".len(),
                _ => return at,
            };
        }
    }

    /// Where the end tag ends that comes next, if it is that of the open element.
    #[inline]
    fn plain_end_tag(&self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let open = self.open.last()?;
        let start = self.at + "</".len();
        let end = start + (open.end - open.start);
        let ends =
            bytes.get(end) == Some(&b'>') && words::repeats(bytes, open.start..open.end, start);
        ends.then_some(end + 1)
    }

    /// The rest of a start tag behind its name.
    #[inline]
    fn plain_rest(&self, mut at: usize) -> Option<Rest> {
        let bytes = self.text.as_bytes();
        let mut names = [(0, 0); FEW];
        let mut count = 0;
        loop {
            match bytes.get(at..)? {
                [b'>', ..] => {
                    return Some(Rest {
                        end: at + 1,
                        empty: false,
                    });
                }
                [b' ', b'/', b'>', ..] => {
                    return Some(Rest {
                        end: at + 3,
                        empty: true,
                    });
                }
                [b' ', first, ..] if chars::starts_name(*first) => {}
                _ => return None,
            }
            let start = at + 1;
            let end = words::name_end(bytes, start);
            let length = end - start;
            if !bytes.get(end..)?.starts_with(b"=\"") || &bytes[start..end] == b"xmlns" {
                return None;
            }
            let is_same = |&(other, other_length): &(usize, usize)| {
                other_length == length && words::repeats(bytes, start..end, other)
            };
            if names.get(..count)?.iter().any(is_same) {
                return None;
            }
            *names.get_mut(count)? = (start, length);
            count += 1;
            let value = end + 2;
            at = words::value_end(bytes, value);
            if bytes.get(at) != Some(&b'"') || at - value > self.limits.text_bytes {
                return None;
            }
            at += 1;
        }
    }
}
