//! Names of elements and attributes.

use super::{Scanner, skip_while};
use crate::xml::chars;
use crate::xml::fault::Fault;
use crate::xml::words::Words;

/// The name of what declares the default namespace, as a word.
pub(super) const XMLNS: u64 = u64::from_le_bytes(*b"xmlns\0\0\0");

/// The name of an element or an attribute, as it is written.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::xml) struct Name {
    pub(in crate::xml) start: usize,
    pub(in crate::xml) end: usize,
    /// The place where it begins without its prefix and the colon behind that.
    pub(in crate::xml) local: usize,
}

impl Name {
    pub(in crate::xml) const fn has_prefix(&self) -> bool {
        self.local > self.start
    }
}

impl Scanner<'_> {
    /// The name that begins at `start`. If the input ends in it, `token` is where the construct
    /// began.
    #[inline]
    pub(super) fn scan_name(&self, start: usize, token: usize) -> Result<Name, Fault> {
        let words = Words(self.text.as_bytes());
        if let Some((end, _)) = words.letters(start)
            && end > start
            && matches!(words.array(end), Some(b">" | b" "))
        {
            return Ok(Name {
                start,
                end,
                local: start,
            });
        }
        scan_name_of_more(self.text, start, token)
    }
}

/// The same if there is more in the name than letters.
#[cold]
fn scan_name_of_more(text: &str, start: usize, token: usize) -> Result<Name, Fault> {
    let bytes = text.as_bytes();
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
                local: start,
            });
        }
    }
    scan_unusual_name(text, start, token)
}

/// A name that may have a colon or characters beyond ASCII, or may be none at all.
pub(super) fn scan_unusual_name(text: &str, start: usize, token: usize) -> Result<Name, Fault> {
    let mut local = start;
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
        } else if c == ':' && !starts && local == start {
            local = end + 1;
            starts = true;
        } else if starts || c == ':' || !c.is_ascii() {
            return Err(Fault::syntax("a name expected", end));
        } else {
            return Ok(Name { start, end, local });
        }
        end += c.len_utf8();
    }
    Err(Fault::truncated("a tag", token))
}
