//! References: `&amp;`, `&#233;`, `&#xe9;`.

use super::chars;
use super::fault::Fault;
use super::words;

/// The context of a text, which decides what is escaped in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum TextContext {
    Text,
    Attribute,
}

/// A reference that was read.
#[derive(Debug, PartialEq)]
pub(super) struct Reference {
    /// The character that it stands for.
    pub(super) c: char,
    /// The end of it.
    pub(super) end: usize,
    /// True if ElementTree would write it so.
    pub(super) canonical: bool,
}

/// Reads the reference that begins at `at`.
///
/// U+FFFE and U+FFFF, which XML does not allow, are taken: pymasep writes them so. Control
/// characters are not: pymasep writes those raw.
///
/// # Errors
/// References that expat refuses. If the input ends, then `token` is where the construct began.
#[inline]
pub(super) fn read(
    input: &[u8],
    at: usize,
    context: TextContext,
    token: usize,
) -> Result<Reference, Fault> {
    let rest = input.get(at + 1..).unwrap_or_default();
    let entity = |c, length| {
        Ok(Reference {
            c,
            end: at + length,
            canonical: c != '\'' && (c != '"' || context == TextContext::Attribute),
        })
    };
    match rest {
        [b'l', b't', b';', ..] => entity('<', "&lt;".len()),
        [b'g', b't', b';', ..] => entity('>', "&gt;".len()),
        [b'a', b'm', b'p', b';', ..] => entity('&', "&amp;".len()),
        [b'q', b'u', b'o', b't', b';', ..] => entity('"', "&quot;".len()),
        [b'a', b'p', b'o', b's', b';', ..] => entity('\'', "&apos;".len()),
        [b'#', b'x', ..] => character(input, at, 3, 16, context, token),
        [b'#', ..] => character(input, at, 2, 10, context, token),
        _ => Err(undefined(input, at, token)),
    }
}

/// Reads a character reference whose digits begin at `at + prefix`.
fn character(
    input: &[u8],
    at: usize,
    prefix: usize,
    radix: u32,
    context: TextContext,
    token: usize,
) -> Result<Reference, Fault> {
    let start = at + prefix;
    let mut end = start;
    let mut number = 0u32;
    let terminator = loop {
        let Some(byte) = input.get(end) else {
            return Err(Fault::truncated("a reference", token));
        };
        let Some(digit) = char::from(*byte).to_digit(radix) else {
            break *byte;
        };
        number = number.saturating_mul(radix).saturating_add(digit);
        end += 1;
    };
    if end == start || terminator != b';' {
        return Err(Fault::syntax("a reference is &#, digits and ;", end));
    }
    let taken = |c: char| chars::is_xml_char(c) || matches!(c, '\u{fffe}' | '\u{ffff}');
    let Some(c) = char::from_u32(number).filter(|c| taken(*c)) else {
        return Err(Fault::syntax(
            "a reference to a character that XML does not allow",
            at,
        ));
    };
    let canonical = match (c, context) {
        ('\t', TextContext::Attribute) => &input[start..end] == b"09",
        ('\n' | '\r', TextContext::Attribute) | ('\u{80}'.., _) => input[start] != b'0',
        _ => false,
    };
    Ok(Reference {
        c,
        end: end + 1,
        canonical: canonical && radix == 10,
    })
}

/// The error for a reference to an entity: it is malformed, or not defined.
fn undefined(input: &[u8], at: usize, token: usize) -> Fault {
    match name_end(input, at + 1) {
        end if end == input.len() => Fault::truncated("a reference", token),
        end if end > at + 1 && input[end] == b';' => {
            Fault::new(crate::DecodeErrorKind::UndefinedEntity, at)
        }
        end => Fault::syntax("a reference is &, a name and ;", end),
    }
}

/// The end of the name that begins at `start`.
fn name_end(input: &[u8], start: usize) -> usize {
    let Ok(text) = std::str::from_utf8(input.get(start..).unwrap_or_default()) else {
        return start;
    };
    let mut end = start;
    for c in text.chars() {
        if !(chars::char_in_name(c) && (end > start || chars::char_starts_name(c))) {
            break;
        }
        end += c.len_utf8();
    }
    end
}

/// The text of raw character data, whose references were checked before.
pub(super) fn unescape_text(raw: &str) -> String {
    let mut output = String::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        let (plain, reference) = rest.split_at(words::ampersand(rest.as_bytes(), 0));
        output.push_str(plain);
        if reference.is_empty() {
            return output;
        }
        rest = push_reference(&mut output, reference, TextContext::Text);
    }
}

/// The value of a raw attribute value, whose references were checked before: white space that is
/// not a reference becomes spaces, a line end of two characters one space.
pub(super) fn unescape_attribute(raw: &str) -> String {
    let mut output = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        output.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('&') {
            rest = push_reference(&mut output, rest, TextContext::Attribute);
        } else {
            output.push(' ');
            rest = rest.strip_prefix("\r\n").unwrap_or(&rest[1..]);
        }
    }
    output.push_str(rest);
    output
}

/// Appends what the reference at the beginning of `rest` stands for; returns what follows it.
fn push_reference<'a>(output: &mut String, rest: &'a str, context: TextContext) -> &'a str {
    match read(rest.as_bytes(), 0, context, 0) {
        Ok(reference) => {
            output.push(reference.c);
            &rest[reference.end..]
        }
        Err(_) => {
            output.push('&');
            &rest[1..]
        }
    }
}

/// The text of a CDATA section: line ends become LF, as XML says. (Those of other texts stay: there
/// pymasep writes raw ones that mean themselves.)
pub(super) fn normalize_line_ends(raw: &str) -> String {
    raw.replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DecodeErrorKind;

    fn read_at_0(
        input: &str,
        context: TextContext,
    ) -> Result<(char, bool), (DecodeErrorKind, usize)> {
        match read(input.as_bytes(), 0, context, 0) {
            Ok(reference) => {
                assert_eq!(reference.end, input.len());
                Ok((reference.c, reference.canonical))
            }
            Err(fault) => Err((fault.kind().clone(), fault.at())),
        }
    }

    #[test]
    fn the_five_entities_and_numbers() {
        for (input, c) in [
            ("&lt;", '<'),
            ("&gt;", '>'),
            ("&amp;", '&'),
            ("&quot;", '"'),
            ("&apos;", '\''),
            ("&#233;", 'é'),
            ("&#xe9;", 'é'),
            ("&#xE9;", 'é'),
            ("&#000065;", 'A'),
            ("&#x00041;", 'A'),
            ("&#128512;", '😀'),
            ("&#9;", '\t'),
            ("&#65534;", '\u{fffe}'),
            ("&#65535;", '\u{ffff}'),
            ("&#1114111;", '\u{10ffff}'),
        ] {
            assert_eq!(
                read_at_0(input, TextContext::Text).map(|found| found.0),
                Ok(c),
                "{input}"
            );
        }
    }

    #[test]
    fn canonical_is_what_elementtree_writes() {
        let canonical = |input, place| read_at_0(input, place).unwrap().1;
        for input in ["&lt;", "&gt;", "&amp;", "&#233;", "&#128;", "&#65535;"] {
            assert!(
                canonical(input, TextContext::Text) && canonical(input, TextContext::Attribute)
            );
        }
        for input in ["&quot;", "&#09;", "&#10;", "&#13;"] {
            assert!(
                !canonical(input, TextContext::Text) && canonical(input, TextContext::Attribute)
            );
        }
        for input in [
            "&apos;", "&#0233;", "&#xe9;", "&#65;", "&#9;", "&#010;", "&#38;", "&#127;",
        ] {
            assert!(
                !canonical(input, TextContext::Text) && !canonical(input, TextContext::Attribute)
            );
        }
    }

    #[test]
    fn what_expat_refuses_is_refused_at_the_same_place() {
        for (input, at) in [
            ("& ", 1),
            ("&;", 1),
            ("&#;", 2),
            ("&#x;", 3),
            ("&#XE9;", 2),
            ("&#65 ", 4),
            ("&#6a;", 3),
            ("&a b;", 2),
            ("&1;", 1),
            ("&a:b;", 2),
            ("&#0;", 0),
            ("&#1;", 0),
            ("&#55357;", 0),
            ("&#1114112;", 0),
            ("&#99999999999999999999;", 0),
        ] {
            assert!(
                matches!(
                    read_at_0(input, TextContext::Text),
                    Err((DecodeErrorKind::Syntax(_), place)) if place == at
                ),
                "{input}: {:?}",
                read_at_0(input, TextContext::Text)
            );
        }
        assert_eq!(
            read_at_0("&nbsp;", TextContext::Text),
            Err((DecodeErrorKind::UndefinedEntity, 0))
        );
        for input in ["&", "&#", "&#x", "&am", "&#12"] {
            assert!(matches!(
                read_at_0(input, TextContext::Text),
                Err((DecodeErrorKind::Truncated(_), 0))
            ));
        }
    }

    #[test]
    fn attribute_values_lose_raw_line_ends_and_texts_keep_them() {
        assert_eq!(
            unescape_attribute("a\tb\nc\rd\r\ne&#10;&#9;&amp;"),
            "a b c d e\n\t&"
        );
        assert_eq!(
            unescape_text("a\tb\nc\rd\r\ne&#10;&lt;"),
            "a\tb\nc\rd\r\ne\n<"
        );
        assert_eq!(normalize_line_ends("a\r\nb\rc\n"), "a\nb\nc\n");
    }
}
