//! Text from outside, shown so that it is only seen.

use std::fmt::{self, Write};

/// True if a character is only seen: it ends no line, steers no terminal, and neither turns, hides nor joins
/// the characters around it.
///
/// These are not printable: control characters, line and paragraph separators, all of Unicode's format characters
/// (those that change the direction of text, of no width, the byte order mark, tags), and what Unicode says may be
/// shown as nothing (fillers, variation selectors).
pub const fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        ..' ' | '\u{7f}'..='\u{9f}' => false,
        _ => !is_format(c) && !is_ignorable(c),
    }
}

/// True if all characters of a name are [printable](is_printable). The names in control messages of protocol 2 are.
pub(crate) fn is_name(text: &str) -> bool {
    text.chars().all(is_printable)
}

/// Zl and Zp, and the general category Cf of Unicode 16.
const fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The rest of `Default_Ignorable_Code_Point` in Unicode 16, and blank Braille.
const fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
    )
}

/// A text in quotes, with all that is not [printable](is_printable) escaped: `{:?}` of it, which lets some of
/// that through, with the rest.
#[derive(Clone, Copy)]
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '\'' => f.write_char(c)?,
                '\x7f'.. if !is_printable(c) => write!(f, "{}", c.escape_unicode())?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        f.write_char('"')
    }
}

impl fmt::Debug for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Characters of a value that are shown for those who debug.
const MOST_DEBUG_BYTES: usize = 4 * 1024;

/// Writes what is shown of a value for those who debug: the beginning, if it is long. The indentation of `{:#?}`
/// alone makes megabytes of a message of a few kilobytes that is nested deeply.
pub(crate) fn debug_bounded(
    f: &mut fmt::Formatter<'_>,
    whole: impl Fn(&mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    let alternate = f.alternate();
    let whole = fmt::from_fn(whole);
    let mut beginning = Beginning {
        writer: f,
        room: MOST_DEBUG_BYTES,
        is_cut: false,
    };
    let written = if alternate {
        write!(beginning, "{whole:#?}")
    } else {
        write!(beginning, "{whole:?}")
    };
    match written {
        Err(_) if beginning.is_cut => f.write_str("... (cut)"),
        written => written,
    }
}

struct Beginning<'a, 'b> {
    writer: &'a mut fmt::Formatter<'b>,
    room: usize,
    /// True if this has cut the text, and not somebody around it.
    is_cut: bool,
}

impl Write for Beginning<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let shown = &text[..text.floor_char_boundary(self.room)];
        self.writer.write_str(shown)?;
        self.room -= shown.len();
        if shown.len() < text.len() {
            self.is_cut = true;
            return Err(fmt::Error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_hides_or_joins_text_is_not_printable() {
        for c in [
            '\n',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{206f}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{e0100}',
        ] {
            assert!(!is_printable(c), "{}", c.escape_unicode());
            assert_eq!(
                Quoted(&format!("a{c}b")).to_string().matches('\\').count(),
                1
            );
        }
        for c in [' ', '~', 'é', '漢', '🐺', '\u{301}', 'ا', 'א', '٣'] {
            assert!(is_printable(c), "{}", c.escape_unicode());
        }
    }

    #[test]
    fn a_quoted_text_is_as_the_standard_library_writes_it_but_for_what_it_lets_through() {
        for text in [
            "",
            "a",
            "it's",
            "\"\\",
            "a\nb\u{1b}[2J\0",
            "é漢🐺",
            "\u{202e}\u{200e}",
            "e\u{301}",
        ] {
            assert_eq!(Quoted(text).to_string(), format!("{text:?}"));
        }
        assert_eq!(
            Quoted("a\u{3164}b\u{fe0f}").to_string(),
            r#""a\u{3164}b\u{fe0f}""#
        );
    }
}
