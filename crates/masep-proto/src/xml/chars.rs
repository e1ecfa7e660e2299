//! The characters that XML allows, and their places, as expat sees it: by the fourth edition of XML 1.0.

mod tables;

use tables::{LETTERS, MARKS};

/// The bit of [`CLASSES`] for a byte that may begin a name.
const NAME_START: u8 = 1;
/// The bit for a byte that may stand in a name.
const NAME: u8 = 2;
/// The bit for a byte that stands for itself in a text that ElementTree writes.
const TEXT: u8 = 4;
/// The bit for a byte that stands for itself in an attribute value that ElementTree writes.
const ATTRIBUTE: u8 = 8;

/// The classes of each byte. Bytes of characters that are not ASCII are in none of them.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut at = 0;
    while at < 0x80 {
        let byte = at as u8;
        if byte.is_ascii_alphabetic() || byte == b'_' {
            classes[at] |= NAME_START | NAME;
        }
        if byte.is_ascii_digit() || byte == b'-' || byte == b'.' {
            classes[at] |= NAME;
        }
        if !matches!(byte, b'&' | b'<' | b'>') {
            classes[at] |= TEXT;
            if !matches!(byte, b'"' | b'\t' | b'\n' | b'\r') {
                classes[at] |= ATTRIBUTE;
            }
        }
        at += 1;
    }
    classes
};

const fn is(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// True if an ASCII character may begin a name.
pub(super) const fn starts_name(byte: u8) -> bool {
    is(byte, NAME_START)
}

/// True if an ASCII character may stand in a name. The colon parts a prefix from a name and is not
/// among them.
pub(super) const fn in_name(byte: u8) -> bool {
    is(byte, NAME)
}

/// True if an ASCII character stands for itself in a text that ElementTree writes.
pub(super) const fn is_plain_text(byte: u8) -> bool {
    is(byte, TEXT)
}

/// True if an ASCII character stands for itself in an attribute value that ElementTree writes.
pub(super) const fn is_plain_attribute(byte: u8) -> bool {
    is(byte, ATTRIBUTE)
}

/// White space of XML.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// True if a character may begin a name.
pub(super) fn char_starts_name(c: char) -> bool {
    match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => starts_name(byte),
        _ => in_ranges(c, &LETTERS),
    }
}

/// True if a character may stand in a name (the colon may not, see [`in_name`]).
pub(super) fn char_in_name(c: char) -> bool {
    match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => in_name(byte),
        _ => in_ranges(c, &LETTERS) || in_ranges(c, &MARKS),
    }
}

/// True if this is a name without a colon.
pub(crate) fn is_name(name: &str) -> bool {
    if let [first, rest @ ..] = name.as_bytes()
        && starts_name(*first)
        && rest.iter().all(|byte| in_name(*byte))
    {
        return true;
    }
    let mut chars = name.chars();
    chars.next().is_some_and(char_starts_name) && chars.all(char_in_name)
}

/// True if XML allows this character at all, anywhere.
pub(super) const fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn in_ranges(c: char, ranges: &[(char, char)]) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= c);
    after > 0 && c <= ranges[after - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_fourth_edition() {
        for name in [
            "a",
            "_",
            "A-1.b_",
            "\u{e9}p\u{e9}e",
            "\u{6f22}",
            "a\u{b7}",
            "a\u{301}",
            "a\u{661}",
        ] {
            assert!(is_name(name), "{name:?}");
        }
        for name in [
            "", "1a", "-a", ".a", "a b", "a:b", ":a", "a\0", "\u{b7}a", "\u{301}", "\u{d7}",
        ] {
            assert!(!is_name(name), "{name:?}");
        }
        // Letters since the fifth edition, which expat does not follow.
        for name in ["\u{10000}", "\u{3f7}", "a\u{1f600}"] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn the_tables_are_sorted_and_apart() {
        for table in [&LETTERS[..], &MARKS[..]] {
            assert!(table.iter().all(|(first, last)| first <= last));
            assert!(table.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
        assert!(LETTERS.iter().all(|(c, _)| !in_ranges(*c, &MARKS)));
    }

    #[test]
    fn plain_text_is_what_elementtree_leaves_alone() {
        assert!(is_plain_text(b'"') && is_plain_text(b'\r') && is_plain_text(0));
        assert!(!is_plain_text(b'>') && !is_plain_text(0xc3));
        assert!(is_plain_attribute(b'\'') && is_plain_attribute(1));
        assert!(!is_plain_attribute(b'"') && !is_plain_attribute(b'\n'));
    }
}
