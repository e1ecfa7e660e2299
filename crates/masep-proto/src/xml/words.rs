//! The ends of plain texts and attribute values, found eight bytes at a time.
//!
//! Most texts of a message are shorter than that. A loop over their bytes would end with a branch
//! that the processor guesses wrong at nearly each of them, which costs more than the loop.

mod input;

use std::ops::Range;

use super::chars;

pub(super) use input::{Sample, Words};

/// The bytes of one step.
const WORD: usize = size_of::<u64>();
/// A one in each byte.
const ONES: u64 = u64::from_ne_bytes([1; WORD]);
/// The highest bit of each byte.
const HIGH: u64 = 0x80 * ONES;

/// The first place from `at` on whose byte does not stand for itself in a text that ElementTree
/// writes, see [`chars::is_plain_text`].
#[inline]
pub(super) fn plain_text_end(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, special_in_text, |byte| {
        !chars::is_plain_text(byte)
    })
}

/// The same for attribute values, see [`chars::is_plain_attribute`].
#[inline]
pub(super) fn plain_attribute_end(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, special_in_attribute, |byte| {
        !chars::is_plain_attribute(byte)
    })
}

/// The first place from `at` on whose byte does not stand in names of ASCII, see [`chars::in_name`].
#[inline]
pub(super) fn name_end(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, not_in_name, |byte| !chars::in_name(byte))
}

/// The first place from `at` on where there is a `&`.
#[inline]
pub(super) fn ampersand(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, is_ampersand, |byte| byte == b'&')
}

/// The first place from `at` on of one of these two bytes.
#[inline]
fn either<const A: u8, const B: u8>(bytes: &[u8], at: usize) -> usize {
    find(
        bytes,
        at,
        |word| (is_byte::<A>(word) | is_byte::<B>(word)) & HIGH,
        |byte| byte == A || byte == B,
    )
}

/// The first place from `at` on of this byte.
#[inline]
fn only<const A: u8>(bytes: &[u8], at: usize) -> usize {
    find(
        bytes,
        at,
        |word| is_byte::<A>(word) & HIGH,
        |byte| byte == A,
    )
}

/// The end of a name in a text that ElementTree writes.
#[inline]
pub(super) fn space_or_angle(bytes: &[u8], at: usize) -> usize {
    either::<b' ', b'>'>(bytes, at)
}

/// The end of the name of an attribute.
#[inline]
pub(super) fn equals_sign(bytes: &[u8], at: usize) -> usize {
    only::<b'='>(bytes, at)
}

/// The end of the value of an attribute, or a reference in it.
#[inline]
pub(super) fn quote_or_ampersand(bytes: &[u8], at: usize) -> usize {
    either::<b'"', b'&'>(bytes, at)
}

/// The end of the value of an attribute.
#[inline]
pub(super) fn quote(bytes: &[u8], at: usize) -> usize {
    only::<b'"'>(bytes, at)
}

/// The end of a text, or a reference in it.
#[inline]
pub(super) fn angle_or_ampersand(bytes: &[u8], at: usize) -> usize {
    either::<b'<', b'&'>(bytes, at)
}

/// The end of a text.
#[inline]
pub(super) fn angle(bytes: &[u8], at: usize) -> usize {
    only::<b'<'>(bytes, at)
}

/// The end of a tag.
#[inline]
pub(super) fn closing_angle(bytes: &[u8], at: usize) -> usize {
    only::<b'>'>(bytes, at)
}

/// True if all of a text stands for itself, in a text and in an attribute value. Of some it says no that
/// do: those with quotes or control characters.
#[inline]
pub(super) fn is_plain(text: &[u8]) -> bool {
    let mut marked = match (text.last_chunk(), text.first_chunk(), text.last_chunk()) {
        (Some(word), ..) => suspicious(u64::from_le_bytes(*word)),
        (None, Some(first), Some(last)) => {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            suspicious(u64::from(first) | u64::from(last) << 32)
        }
        _ => match *text {
            [] => 0,
            [.., last] => {
                let all = [
                    text[0],
                    text[text.len() / 2],
                    last,
                    b'a',
                    b'a',
                    b'a',
                    b'a',
                    b'a',
                ];
                suspicious(u64::from_le_bytes(all))
            }
        },
    };
    for word in text.as_chunks().0 {
        marked |= suspicious(u64::from_le_bytes(*word));
    }
    marked & HIGH == 0
}

/// True if the bytes of this range come again at `at`.
#[inline]
pub(super) fn repeats(bytes: &[u8], Range { start, end }: Range<usize>, at: usize) -> bool {
    let length = end - start;
    if length <= WORD
        && let (Some(first), Some(again)) = (word(bytes, start), word(bytes, at))
    {
        return length == 0 || (first ^ again) << (8 * (WORD - length)) == 0;
    }
    if (WORD..=2 * WORD).contains(&length) {
        let same = |from: usize| word(bytes, start + from) == word(bytes, at + from);
        return word(bytes, at + length - WORD).is_some() && same(0) && same(length - WORD);
    }
    bytes.get(at..at + length) == bytes.get(start..end)
}

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*word))
}

/// The first place from `at` on that `marks` marks in a word, or `is_wanted` finds in the last bytes
/// of the input.
#[inline]
fn find(
    bytes: &[u8],
    at: usize,
    marks: impl Fn(u64) -> u64,
    is_wanted: impl Fn(u8) -> bool,
) -> usize {
    let mut rest = bytes.get(at..).unwrap_or_default();
    while let Some((word, behind)) = rest.split_first_chunk() {
        let marked = marks(u64::from_le_bytes(*word));
        if marked != 0 {
            return bytes.len() - rest.len() + marked.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    let last = rest.iter().position(|byte| is_wanted(*byte));
    bytes.len() - rest.len() + last.unwrap_or(rest.len())
}

/// Marks words with `&`, `<`, `>` or what is not ASCII, by the highest bit of the first such byte, and
/// perhaps others behind it; no other words.
#[inline(always)]
const fn special_in_text(word: u64) -> u64 {
    let ampersand = word ^ (b'&' as u64 * ONES);
    let angle = (word | (2 * ONES)) ^ (b'>' as u64 * ONES);
    // A difference borrows from the next byte only if its own is marked.
    (ampersand.wrapping_sub(ONES) | angle.wrapping_sub(ONES) | word) & HIGH
}

/// Marks the bytes that do not stand in names.
#[inline]
const fn not_in_name(word: u64) -> u64 {
    let ascii = word & !HIGH;
    let in_name = within(ascii | (0x20 * ONES), b'a', b'z')
        | within(ascii, b'0', b'9')
        | within(ascii, b'-', b'.')
        | is(ascii, b'_');
    (!in_name | word) & HIGH
}

/// Marks the bytes that are `&`.
#[inline]
const fn is_ampersand(word: u64) -> u64 {
    is(word & !HIGH, b'&') & !word & HIGH
}

/// Marks as in a text, and `"`, tabs and line ends.
#[inline]
const fn special_in_attribute(word: u64) -> u64 {
    let ascii = word & !HIGH;
    let special = is(ascii | (4 * ONES), b'"' | b'&')
        | is(ascii | (2 * ONES), b'<' | b'>')
        | within(ascii, b'\t', b'\n')
        | is(ascii, b'\r');
    (special | word) & HIGH
}

/// Marks the first byte that is this one, by its highest bit, and perhaps others behind it.
#[inline]
const fn is_byte<const BYTE: u8>(word: u64) -> u64 {
    let difference = word ^ (BYTE as u64 * ONES);
    difference.wrapping_sub(ONES) & !difference
}

/// Marks words with control characters, `"`, `&`, `<`, `>` or what is not ASCII, by the highest bit of
/// the first such byte, and perhaps others behind it; no other words.
#[inline]
const fn suspicious(word: u64) -> u64 {
    let quote_or_ampersand = (word | (4 * ONES)) ^ (b'&' as u64 * ONES);
    let angle = (word | (2 * ONES)) ^ (b'>' as u64 * ONES);
    // A difference borrows from the next byte only if its own is marked.
    (word.wrapping_sub(0x20 * ONES) & !word)
        | (quote_or_ampersand.wrapping_sub(ONES) & !quote_or_ampersand)
        | (angle.wrapping_sub(ONES) & !angle)
        | word
}

#[inline]
const fn is(ascii: u64, byte: u8) -> u64 {
    within(ascii, byte, byte)
}

/// Marks the bytes from `first` to `last` in a word of ASCII, by their highest bit; the others are
/// undefined. No sum of ASCII runs over into the next byte.
#[inline]
const fn within(ascii: u64, first: u8, last: u8) -> u64 {
    let not_below = ascii + (0x80 - first as u64) * ONES;
    let above = ascii + (0x7f - last as u64) * ONES;
    not_below & !above
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte at every place in and around a word, in the middle of bytes that do not count.
    fn finds(find: fn(&[u8], usize) -> usize, is_wanted: impl Fn(u8) -> bool) {
        for length in 0..20 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'a'; length];
                    bytes[place] = byte;
                    for at in 0..=length {
                        let wanted = at <= place && is_wanted(byte);
                        let expected = if wanted { place } else { length };
                        assert_eq!(find(&bytes, at), expected, "{byte} at {place} from {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn words_are_judged_as_bytes_are() {
        finds(plain_text_end, |byte| !chars::is_plain_text(byte));
        finds(plain_attribute_end, |byte| !chars::is_plain_attribute(byte));
        finds(ampersand, |byte| byte == b'&');
        finds(name_end, |byte| !chars::in_name(byte));
        finds(space_or_angle, |byte| byte == b' ' || byte == b'>');
        finds(closing_angle, |byte| byte == b'>');
    }

    #[test]
    fn what_is_plain_needs_no_escaping() {
        for length in 0..20 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'z'; length];
                    bytes[place] = byte;
                    let plain = !byte.is_ascii_control() || byte == 0x7f;
                    let plain = plain && byte.is_ascii() && !b"\"&<>".contains(&byte);
                    assert_eq!(is_plain(&bytes), plain, "{byte} at {place} of {length}");
                }
            }
            assert!(is_plain(&vec![b' '; length]));
        }
    }

    #[test]
    fn neighbours_do_not_disturb_each_other() {
        for left in 0..=u8::MAX {
            for right in 0..=u8::MAX {
                let bytes = [b'a', left, right, b'a', b'a', b'a', b'a', b'a', b'a'];
                let text = bytes.iter().position(|byte| !chars::is_plain_text(*byte));
                assert_eq!(plain_text_end(&bytes, 0), text.unwrap_or(9));
                let value = bytes
                    .iter()
                    .position(|byte| !chars::is_plain_attribute(*byte));
                assert_eq!(plain_attribute_end(&bytes, 0), value.unwrap_or(9));
            }
        }
    }

    #[test]
    fn a_place_behind_the_end_is_the_end() {
        assert_eq!(plain_text_end(b"ab", 3), 2);
    }

    #[test]
    fn a_repetition_is_found_also_at_the_end() {
        let bytes = b"<name><name2>..name</name_of_more></name_of_mor";
        assert!(repeats(bytes, 1..5, 7) && repeats(bytes, 1..5, 15));
        assert!(!repeats(bytes, 1..5, 8) && !repeats(bytes, 7..12, 1));
        assert!(repeats(bytes, 21..33, 21) && repeats(bytes, 21..32, 36));
        assert!(!repeats(bytes, 21..33, 36), "the input ends before");
        assert!(repeats(bytes, 3..3, 40), "nothing is everywhere");
        assert!(!repeats(b"ab", 0..1, 2) && repeats(b"aba", 0..1, 2));
    }
}
