//! Plain start tags.

use super::Way;
use crate::xml::chars;
use crate::xml::scanner::name::{Name, XMLNS};
use crate::xml::words::{self, Sample, Words};

/// A start tag.
pub(super) struct StartTag {
    pub(super) name: Name,
    pub(super) rest: Rest,
}

/// The part of a start tag behind its name.
pub(super) struct Rest {
    pub(super) end: usize,
    /// True if the tag is all of the element.
    pub(super) empty: bool,
}

/// The end of a start tag that was read before: the quote behind a value, one more attribute and the `>`. If
/// another tag ends so, nothing of it has to be looked at again. Many do: elements of pymasep's end with
/// their state, and mostly all have the same.
pub(super) struct Tail {
    sample: Sample,
    length: usize,
    /// The bit of the attribute's name, or all bits if there is no tail yet.
    names: u64,
}

/// An attribute of a start tag.
struct Attribute {
    /// The bit of its name, see [`bit`].
    bit: u64,
    /// The end of its value, mostly with a quote.
    value_end: usize,
}

impl Way<'_> {
    /// The start tag whose name begins here.
    #[inline(always)]
    pub(super) fn start_tag(self, start: usize, tail: &mut Tail) -> Option<StartTag> {
        let (mut end, _) = self.words.letters(start)?;
        let next = self.words.array(end);
        let mut without_attributes = next == Some(b">");
        if end == start || !(without_attributes || next == Some(b" ")) {
            (end, _) = name_of_more(self.words.0, start)?;
            without_attributes = false;
        }
        let name = Name {
            start,
            end,
            local: start,
        };
        let rest = if without_attributes {
            Rest {
                end: end + 1,
                empty: false,
            }
        } else {
            self.rest(end, tail)?
        };
        Some(StartTag { name, rest })
    }

    /// The rest of a start tag.
    #[inline(always)]
    fn rest(self, mut at: usize, tail: &mut Tail) -> Option<Rest> {
        let mut next = self.words.word(at)?;
        // An attribute that declares a namespace is not plain.
        let mut names = NONE;
        // The quote before the last attribute, and the bit of its name, if there is another before it.
        let mut last = (at, 0);
        loop {
            match next.to_le_bytes() {
                [b'>', ..] => {
                    let end = at + 1;
                    tail.set(self.words, last.0, end, last.1);
                    return Some(Rest { end, empty: false });
                }
                [b' ', b'/', b'>', ..] => {
                    let end = at + 3;
                    return Some(Rest { end, empty: true });
                }
                [b' ', ..] => {}
                _ => return None,
            }
            let attribute = self.attribute(at + 1)?;
            if names & attribute.bit != 0 {
                return None;
            }
            last = (at - 1, if names == NONE { 0 } else { attribute.bit });
            names |= attribute.bit;
            let quote = attribute.value_end;
            if names & tail.names == 0 && tail.sample.is_at(self.words, quote) {
                let end = quote + tail.length;
                return Some(Rest { end, empty: false });
            }
            next = self.words.word(quote)?;
            if next as u8 != b'"' {
                return None;
            }
            next >>= 8;
            at = quote + 1;
        }
    }

    /// The attribute whose name begins here.
    #[inline(always)]
    fn attribute(self, start: usize) -> Option<Attribute> {
        const IS: &[u8; 2] = b"=\"";
        let (mut end, mut head) = self.words.letters(start)?;
        if end == start || self.words.array(end)? != IS {
            (end, head) = name_of_more(self.words.0, start)?;
            if self.words.array(end)? != IS {
                return None;
            }
        }
        let value = end + IS.len();
        let value_end = self.words.value_end(value)?;
        let bit = bit(head);
        (value_end - value <= self.text_bytes).then_some(Attribute { bit, value_end })
    }
}

impl Tail {
    pub(super) const NONE: Self = Self {
        sample: Sample::NONE,
        length: 0,
        names: u64::MAX,
    };

    /// Keeps the tail from this quote on, if it is not too long, and there is an attribute with this bit in
    /// it.
    #[inline(always)]
    fn set(&mut self, words: Words<'_>, quote: usize, end: usize, names: u64) {
        let length = end - quote;
        if names != 0
            && let Some(sample) = Sample::of(words, quote, length)
        {
            *self = Self {
                sample,
                length,
                names,
            };
        }
    }
}

/// The end of a name that is not only letters, and its first eight bytes, or zeros behind its end.
#[cold]
#[inline(never)]
fn name_of_more(bytes: &[u8], start: usize) -> Option<(usize, u64)> {
    let word = Words(bytes).word(start)?;
    if !chars::starts_name(word as u8) {
        return None;
    }
    let end = words::name_end(bytes, start);
    let behind = 8_usize.saturating_sub(end - start);
    Some((end, word & (u64::MAX >> (8 * behind))))
}

/// No attribute so far. A declaration of the default namespace is never plain.
const NONE: u64 = bit(XMLNS);

/// A bit for a name that begins with these bytes. Two names can have the same: then the second is not
/// plain. Those of pymasep's attributes have different ones.
const fn bit(head: u64) -> u64 {
    1 << (head.wrapping_mul(0xb222_1a58_008a_05a7) >> 58)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pymaseps_attributes_have_different_bits() {
        let names = [
            "xmlns",
            "name",
            "nature",
            "state",
            "template",
            "env_step",
            "is_final",
            "control",
            "controller",
            "key",
            "content",
            "type",
            "msg_type",
            "src_sub_app",
        ];
        let mut seen = 0;
        for name in names {
            let mut head = [0; 8];
            let length = name.len().min(8);
            head[..length].copy_from_slice(&name.as_bytes()[..length]);
            let bit = bit(u64::from_le_bytes(head));
            assert_eq!(seen & bit, 0, "{name}");
            seen |= bit;
        }
    }

    #[test]
    fn a_name_of_more_than_letters_has_its_first_bytes() {
        let found = |input: &[u8]| name_of_more(input, 0);
        let head = |head: &[u8; 8]| u64::from_le_bytes(*head);
        assert_eq!(found(b"_=\"\"     "), Some((1, head(b"_\0\0\0\0\0\0\0"))));
        assert_eq!(found(b"env_step=\"\""), Some((8, head(b"env_step"))));
        assert_eq!(found(b"src_sub_app=\"\""), Some((11, head(b"src_sub_"))));
        for input in [
            "1a=\"\"     ",
            "-a=\"\"     ",
            "=\"\"      ",
            "\u{e9}=\"\"     ",
            "a_b=\"\"",
        ] {
            assert_eq!(found(input.as_bytes()), None, "{input}");
        }
    }
}
