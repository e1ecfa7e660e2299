//! What may stand where in XML, as expat sees it: by the fourth edition of XML 1.0.

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

/// Whether an ASCII character may begin a name.
pub(super) const fn starts_name(byte: u8) -> bool {
    is(byte, NAME_START)
}

/// Whether an ASCII character may stand in a name. The colon parts a prefix from a name and is not
/// among them.
pub(super) const fn in_name(byte: u8) -> bool {
    is(byte, NAME)
}

/// Whether an ASCII character stands for itself in a text that ElementTree writes.
pub(super) const fn is_plain_text(byte: u8) -> bool {
    is(byte, TEXT)
}

/// Whether an ASCII character stands for itself in an attribute value that ElementTree writes.
pub(super) const fn is_plain_attribute(byte: u8) -> bool {
    is(byte, ATTRIBUTE)
}

/// White space of XML.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Whether a character may begin a name.
pub(super) fn char_starts_name(c: char) -> bool {
    match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => starts_name(byte),
        _ => in_ranges(c, &LETTERS),
    }
}

/// Whether a character may stand in a name (the colon may not, see [`in_name`]).
pub(super) fn char_in_name(c: char) -> bool {
    match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => in_name(byte),
        _ => in_ranges(c, &LETTERS) || in_ranges(c, &MARKS),
    }
}

/// Whether this is a name without a colon.
pub(crate) fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(char_starts_name) && chars.all(char_in_name)
}

/// Whether XML allows this character at all, anywhere.
pub(super) const fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn in_ranges(c: char, ranges: &[(char, char)]) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= c);
    after > 0 && c <= ranges[after - 1].1
}

/// What may begin a name beyond ASCII: XML 1.0's `BaseChar` and `Ideographic`.
static LETTERS: [(char, char); 202] = [
    ('\u{c0}', '\u{d6}'),
    ('\u{d8}', '\u{f6}'),
    ('\u{f8}', '\u{131}'),
    ('\u{134}', '\u{13e}'),
    ('\u{141}', '\u{148}'),
    ('\u{14a}', '\u{17e}'),
    ('\u{180}', '\u{1c3}'),
    ('\u{1cd}', '\u{1f0}'),
    ('\u{1f4}', '\u{1f5}'),
    ('\u{1fa}', '\u{217}'),
    ('\u{250}', '\u{2a8}'),
    ('\u{2bb}', '\u{2c1}'),
    ('\u{386}', '\u{386}'),
    ('\u{388}', '\u{38a}'),
    ('\u{38c}', '\u{38c}'),
    ('\u{38e}', '\u{3a1}'),
    ('\u{3a3}', '\u{3ce}'),
    ('\u{3d0}', '\u{3d6}'),
    ('\u{3da}', '\u{3da}'),
    ('\u{3dc}', '\u{3dc}'),
    ('\u{3de}', '\u{3de}'),
    ('\u{3e0}', '\u{3e0}'),
    ('\u{3e2}', '\u{3f3}'),
    ('\u{401}', '\u{40c}'),
    ('\u{40e}', '\u{44f}'),
    ('\u{451}', '\u{45c}'),
    ('\u{45e}', '\u{481}'),
    ('\u{490}', '\u{4c4}'),
    ('\u{4c7}', '\u{4c8}'),
    ('\u{4cb}', '\u{4cc}'),
    ('\u{4d0}', '\u{4eb}'),
    ('\u{4ee}', '\u{4f5}'),
    ('\u{4f8}', '\u{4f9}'),
    ('\u{531}', '\u{556}'),
    ('\u{559}', '\u{559}'),
    ('\u{561}', '\u{586}'),
    ('\u{5d0}', '\u{5ea}'),
    ('\u{5f0}', '\u{5f2}'),
    ('\u{621}', '\u{63a}'),
    ('\u{641}', '\u{64a}'),
    ('\u{671}', '\u{6b7}'),
    ('\u{6ba}', '\u{6be}'),
    ('\u{6c0}', '\u{6ce}'),
    ('\u{6d0}', '\u{6d3}'),
    ('\u{6d5}', '\u{6d5}'),
    ('\u{6e5}', '\u{6e6}'),
    ('\u{905}', '\u{939}'),
    ('\u{93d}', '\u{93d}'),
    ('\u{958}', '\u{961}'),
    ('\u{985}', '\u{98c}'),
    ('\u{98f}', '\u{990}'),
    ('\u{993}', '\u{9a8}'),
    ('\u{9aa}', '\u{9b0}'),
    ('\u{9b2}', '\u{9b2}'),
    ('\u{9b6}', '\u{9b9}'),
    ('\u{9dc}', '\u{9dd}'),
    ('\u{9df}', '\u{9e1}'),
    ('\u{9f0}', '\u{9f1}'),
    ('\u{a05}', '\u{a0a}'),
    ('\u{a0f}', '\u{a10}'),
    ('\u{a13}', '\u{a28}'),
    ('\u{a2a}', '\u{a30}'),
    ('\u{a32}', '\u{a33}'),
    ('\u{a35}', '\u{a36}'),
    ('\u{a38}', '\u{a39}'),
    ('\u{a59}', '\u{a5c}'),
    ('\u{a5e}', '\u{a5e}'),
    ('\u{a72}', '\u{a74}'),
    ('\u{a85}', '\u{a8b}'),
    ('\u{a8d}', '\u{a8d}'),
    ('\u{a8f}', '\u{a91}'),
    ('\u{a93}', '\u{aa8}'),
    ('\u{aaa}', '\u{ab0}'),
    ('\u{ab2}', '\u{ab3}'),
    ('\u{ab5}', '\u{ab9}'),
    ('\u{abd}', '\u{abd}'),
    ('\u{ae0}', '\u{ae0}'),
    ('\u{b05}', '\u{b0c}'),
    ('\u{b0f}', '\u{b10}'),
    ('\u{b13}', '\u{b28}'),
    ('\u{b2a}', '\u{b30}'),
    ('\u{b32}', '\u{b33}'),
    ('\u{b36}', '\u{b39}'),
    ('\u{b3d}', '\u{b3d}'),
    ('\u{b5c}', '\u{b5d}'),
    ('\u{b5f}', '\u{b61}'),
    ('\u{b85}', '\u{b8a}'),
    ('\u{b8e}', '\u{b90}'),
    ('\u{b92}', '\u{b95}'),
    ('\u{b99}', '\u{b9a}'),
    ('\u{b9c}', '\u{b9c}'),
    ('\u{b9e}', '\u{b9f}'),
    ('\u{ba3}', '\u{ba4}'),
    ('\u{ba8}', '\u{baa}'),
    ('\u{bae}', '\u{bb5}'),
    ('\u{bb7}', '\u{bb9}'),
    ('\u{c05}', '\u{c0c}'),
    ('\u{c0e}', '\u{c10}'),
    ('\u{c12}', '\u{c28}'),
    ('\u{c2a}', '\u{c33}'),
    ('\u{c35}', '\u{c39}'),
    ('\u{c60}', '\u{c61}'),
    ('\u{c85}', '\u{c8c}'),
    ('\u{c8e}', '\u{c90}'),
    ('\u{c92}', '\u{ca8}'),
    ('\u{caa}', '\u{cb3}'),
    ('\u{cb5}', '\u{cb9}'),
    ('\u{cde}', '\u{cde}'),
    ('\u{ce0}', '\u{ce1}'),
    ('\u{d05}', '\u{d0c}'),
    ('\u{d0e}', '\u{d10}'),
    ('\u{d12}', '\u{d28}'),
    ('\u{d2a}', '\u{d39}'),
    ('\u{d60}', '\u{d61}'),
    ('\u{e01}', '\u{e2e}'),
    ('\u{e30}', '\u{e30}'),
    ('\u{e32}', '\u{e33}'),
    ('\u{e40}', '\u{e45}'),
    ('\u{e81}', '\u{e82}'),
    ('\u{e84}', '\u{e84}'),
    ('\u{e87}', '\u{e88}'),
    ('\u{e8a}', '\u{e8a}'),
    ('\u{e8d}', '\u{e8d}'),
    ('\u{e94}', '\u{e97}'),
    ('\u{e99}', '\u{e9f}'),
    ('\u{ea1}', '\u{ea3}'),
    ('\u{ea5}', '\u{ea5}'),
    ('\u{ea7}', '\u{ea7}'),
    ('\u{eaa}', '\u{eab}'),
    ('\u{ead}', '\u{eae}'),
    ('\u{eb0}', '\u{eb0}'),
    ('\u{eb2}', '\u{eb3}'),
    ('\u{ebd}', '\u{ebd}'),
    ('\u{ec0}', '\u{ec4}'),
    ('\u{f40}', '\u{f47}'),
    ('\u{f49}', '\u{f69}'),
    ('\u{10a0}', '\u{10c5}'),
    ('\u{10d0}', '\u{10f6}'),
    ('\u{1100}', '\u{1100}'),
    ('\u{1102}', '\u{1103}'),
    ('\u{1105}', '\u{1107}'),
    ('\u{1109}', '\u{1109}'),
    ('\u{110b}', '\u{110c}'),
    ('\u{110e}', '\u{1112}'),
    ('\u{113c}', '\u{113c}'),
    ('\u{113e}', '\u{113e}'),
    ('\u{1140}', '\u{1140}'),
    ('\u{114c}', '\u{114c}'),
    ('\u{114e}', '\u{114e}'),
    ('\u{1150}', '\u{1150}'),
    ('\u{1154}', '\u{1155}'),
    ('\u{1159}', '\u{1159}'),
    ('\u{115f}', '\u{1161}'),
    ('\u{1163}', '\u{1163}'),
    ('\u{1165}', '\u{1165}'),
    ('\u{1167}', '\u{1167}'),
    ('\u{1169}', '\u{1169}'),
    ('\u{116d}', '\u{116e}'),
    ('\u{1172}', '\u{1173}'),
    ('\u{1175}', '\u{1175}'),
    ('\u{119e}', '\u{119e}'),
    ('\u{11a8}', '\u{11a8}'),
    ('\u{11ab}', '\u{11ab}'),
    ('\u{11ae}', '\u{11af}'),
    ('\u{11b7}', '\u{11b8}'),
    ('\u{11ba}', '\u{11ba}'),
    ('\u{11bc}', '\u{11c2}'),
    ('\u{11eb}', '\u{11eb}'),
    ('\u{11f0}', '\u{11f0}'),
    ('\u{11f9}', '\u{11f9}'),
    ('\u{1e00}', '\u{1e9b}'),
    ('\u{1ea0}', '\u{1ef9}'),
    ('\u{1f00}', '\u{1f15}'),
    ('\u{1f18}', '\u{1f1d}'),
    ('\u{1f20}', '\u{1f45}'),
    ('\u{1f48}', '\u{1f4d}'),
    ('\u{1f50}', '\u{1f57}'),
    ('\u{1f59}', '\u{1f59}'),
    ('\u{1f5b}', '\u{1f5b}'),
    ('\u{1f5d}', '\u{1f5d}'),
    ('\u{1f5f}', '\u{1f7d}'),
    ('\u{1f80}', '\u{1fb4}'),
    ('\u{1fb6}', '\u{1fbc}'),
    ('\u{1fbe}', '\u{1fbe}'),
    ('\u{1fc2}', '\u{1fc4}'),
    ('\u{1fc6}', '\u{1fcc}'),
    ('\u{1fd0}', '\u{1fd3}'),
    ('\u{1fd6}', '\u{1fdb}'),
    ('\u{1fe0}', '\u{1fec}'),
    ('\u{1ff2}', '\u{1ff4}'),
    ('\u{1ff6}', '\u{1ffc}'),
    ('\u{2126}', '\u{2126}'),
    ('\u{212a}', '\u{212b}'),
    ('\u{212e}', '\u{212e}'),
    ('\u{2180}', '\u{2182}'),
    ('\u{3007}', '\u{3007}'),
    ('\u{3021}', '\u{3029}'),
    ('\u{3041}', '\u{3094}'),
    ('\u{30a1}', '\u{30fa}'),
    ('\u{3105}', '\u{312c}'),
    ('\u{4e00}', '\u{9fa5}'),
    ('\u{ac00}', '\u{d7a3}'),
];

/// What may stand in a name besides, beyond ASCII: `CombiningChar`, `Digit` and `Extender`.
static MARKS: [(char, char); 108] = [
    ('\u{b7}', '\u{b7}'),
    ('\u{2d0}', '\u{2d1}'),
    ('\u{300}', '\u{345}'),
    ('\u{360}', '\u{361}'),
    ('\u{387}', '\u{387}'),
    ('\u{483}', '\u{486}'),
    ('\u{591}', '\u{5a1}'),
    ('\u{5a3}', '\u{5b9}'),
    ('\u{5bb}', '\u{5bd}'),
    ('\u{5bf}', '\u{5bf}'),
    ('\u{5c1}', '\u{5c2}'),
    ('\u{5c4}', '\u{5c4}'),
    ('\u{640}', '\u{640}'),
    ('\u{64b}', '\u{652}'),
    ('\u{660}', '\u{669}'),
    ('\u{670}', '\u{670}'),
    ('\u{6d6}', '\u{6e4}'),
    ('\u{6e7}', '\u{6e8}'),
    ('\u{6ea}', '\u{6ed}'),
    ('\u{6f0}', '\u{6f9}'),
    ('\u{901}', '\u{903}'),
    ('\u{93c}', '\u{93c}'),
    ('\u{93e}', '\u{94d}'),
    ('\u{951}', '\u{954}'),
    ('\u{962}', '\u{963}'),
    ('\u{966}', '\u{96f}'),
    ('\u{981}', '\u{983}'),
    ('\u{9bc}', '\u{9bc}'),
    ('\u{9be}', '\u{9c4}'),
    ('\u{9c7}', '\u{9c8}'),
    ('\u{9cb}', '\u{9cd}'),
    ('\u{9d7}', '\u{9d7}'),
    ('\u{9e2}', '\u{9e3}'),
    ('\u{9e6}', '\u{9ef}'),
    ('\u{a02}', '\u{a02}'),
    ('\u{a3c}', '\u{a3c}'),
    ('\u{a3e}', '\u{a42}'),
    ('\u{a47}', '\u{a48}'),
    ('\u{a4b}', '\u{a4d}'),
    ('\u{a66}', '\u{a71}'),
    ('\u{a81}', '\u{a83}'),
    ('\u{abc}', '\u{abc}'),
    ('\u{abe}', '\u{ac5}'),
    ('\u{ac7}', '\u{ac9}'),
    ('\u{acb}', '\u{acd}'),
    ('\u{ae6}', '\u{aef}'),
    ('\u{b01}', '\u{b03}'),
    ('\u{b3c}', '\u{b3c}'),
    ('\u{b3e}', '\u{b43}'),
    ('\u{b47}', '\u{b48}'),
    ('\u{b4b}', '\u{b4d}'),
    ('\u{b56}', '\u{b57}'),
    ('\u{b66}', '\u{b6f}'),
    ('\u{b82}', '\u{b83}'),
    ('\u{bbe}', '\u{bc2}'),
    ('\u{bc6}', '\u{bc8}'),
    ('\u{bca}', '\u{bcd}'),
    ('\u{bd7}', '\u{bd7}'),
    ('\u{be7}', '\u{bef}'),
    ('\u{c01}', '\u{c03}'),
    ('\u{c3e}', '\u{c44}'),
    ('\u{c46}', '\u{c48}'),
    ('\u{c4a}', '\u{c4d}'),
    ('\u{c55}', '\u{c56}'),
    ('\u{c66}', '\u{c6f}'),
    ('\u{c82}', '\u{c83}'),
    ('\u{cbe}', '\u{cc4}'),
    ('\u{cc6}', '\u{cc8}'),
    ('\u{cca}', '\u{ccd}'),
    ('\u{cd5}', '\u{cd6}'),
    ('\u{ce6}', '\u{cef}'),
    ('\u{d02}', '\u{d03}'),
    ('\u{d3e}', '\u{d43}'),
    ('\u{d46}', '\u{d48}'),
    ('\u{d4a}', '\u{d4d}'),
    ('\u{d57}', '\u{d57}'),
    ('\u{d66}', '\u{d6f}'),
    ('\u{e31}', '\u{e31}'),
    ('\u{e34}', '\u{e3a}'),
    ('\u{e46}', '\u{e4e}'),
    ('\u{e50}', '\u{e59}'),
    ('\u{eb1}', '\u{eb1}'),
    ('\u{eb4}', '\u{eb9}'),
    ('\u{ebb}', '\u{ebc}'),
    ('\u{ec6}', '\u{ec6}'),
    ('\u{ec8}', '\u{ecd}'),
    ('\u{ed0}', '\u{ed9}'),
    ('\u{f18}', '\u{f19}'),
    ('\u{f20}', '\u{f29}'),
    ('\u{f35}', '\u{f35}'),
    ('\u{f37}', '\u{f37}'),
    ('\u{f39}', '\u{f39}'),
    ('\u{f3e}', '\u{f3f}'),
    ('\u{f71}', '\u{f84}'),
    ('\u{f86}', '\u{f8b}'),
    ('\u{f90}', '\u{f95}'),
    ('\u{f97}', '\u{f97}'),
    ('\u{f99}', '\u{fad}'),
    ('\u{fb1}', '\u{fb7}'),
    ('\u{fb9}', '\u{fb9}'),
    ('\u{20d0}', '\u{20dc}'),
    ('\u{20e1}', '\u{20e1}'),
    ('\u{3005}', '\u{3005}'),
    ('\u{302a}', '\u{302f}'),
    ('\u{3031}', '\u{3035}'),
    ('\u{3099}', '\u{309a}'),
    ('\u{309d}', '\u{309e}'),
    ('\u{30fc}', '\u{30fe}'),
];

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
