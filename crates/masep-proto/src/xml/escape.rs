//! Text and attribute values as ElementTree escapes them.

use std::fmt;

use super::words;

/// Appends a text: `&`, `<`, `>` become entities, what is not ASCII becomes decimal references, all
/// else (quotes, line ends, control characters) stands for itself.
pub(crate) fn push_text(output: &mut String, text: &str) {
    push_escaped(output, text, words::plain_text_end);
}

/// Appends the value of an attribute: as a text, but `"`, tabs and line ends are escaped too.
pub(crate) fn push_attribute(output: &mut String, value: &str) {
    push_escaped(output, value, words::plain_attribute_end);
}

/// Escapes what is written as a text.
pub(super) struct Text<'a>(pub(super) &'a mut String);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_text(self.0, text);
        Ok(())
    }
}

/// `plain_end` tells where what stands for itself ends.
#[inline]
fn push_escaped(output: &mut String, text: &str, plain_end: impl Fn(&[u8], usize) -> usize) {
    if words::is_plain(text.as_bytes()) {
        output.push_str(text);
        return;
    }
    push_piecewise(output, text, plain_end);
}

#[inline(never)]
fn push_piecewise(output: &mut String, text: &str, plain_end: impl Fn(&[u8], usize) -> usize) {
    let mut rest = text;
    loop {
        let end = plain_end(rest.as_bytes(), 0);
        output.push_str(&rest[..end]);
        let mut chars = rest[end..].chars();
        let Some(special) = chars.next() else {
            return;
        };
        push_special(output, special);
        rest = chars.as_str();
    }
}

fn push_special(output: &mut String, c: char) {
    match c {
        '&' => output.push_str("&amp;"),
        '<' => output.push_str("&lt;"),
        '>' => output.push_str("&gt;"),
        '"' => output.push_str("&quot;"),
        '\t' => output.push_str("&#09;"),
        _ => {
            output.push_str("&#");
            push_decimal(output, u32::from(c).into());
            output.push(';');
        }
    }
}

/// Appends a number in decimal.
pub(super) fn push_decimal(output: &mut String, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    output.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        let mut output = String::new();
        push_text(&mut output, text);
        output
    }

    fn attribute(value: &str) -> String {
        let mut output = String::new();
        push_attribute(&mut output, value);
        output
    }

    #[test]
    fn text_is_escaped_as_elementtree_does_it() {
        assert_eq!(text("a<b>&c\"'"), "a&lt;b&gt;&amp;c\"'");
        assert_eq!(text("\t\r\n\0\u{1b}\u{7f}"), "\t\r\n\0\u{1b}\u{7f}");
        assert_eq!(text("\u{80}\u{e9}\u{6f22}"), "&#128;&#233;&#28450;");
        assert_eq!(
            text("\u{ffff}\u{1f600}\u{10ffff}"),
            "&#65535;&#128512;&#1114111;"
        );
        assert_eq!(text(""), "");
    }

    #[test]
    fn attribute_values_are_escaped_further() {
        assert_eq!(attribute("\"'\t\n\r "), "&quot;'&#09;&#10;&#13; ");
        assert_eq!(attribute("a<\u{e9}>"), "a&lt;&#233;&gt;");
    }

    #[test]
    fn decimals() {
        for number in [0, 7, 10, 1_114_111, u64::MAX] {
            let mut output = String::new();
            push_decimal(&mut output, number);
            assert_eq!(output, number.to_string());
        }
    }
}
