//! Text and attribute values as ElementTree escapes them.

use super::chars;

/// Appends a text: `&`, `<`, `>` become entities, what is not ASCII becomes decimal references, all
/// else (quotes, line ends, control characters) stands for itself.
pub(super) fn push_text(output: &mut String, text: &str) {
    push_escaped(output, text, chars::is_plain_text);
}

/// Appends the value of an attribute: as a text, but `"`, tabs and line ends are escaped too.
pub(super) fn push_attribute(output: &mut String, value: &str) {
    push_escaped(output, value, chars::is_plain_attribute);
}

fn push_escaped(output: &mut String, text: &str, is_plain: impl Fn(u8) -> bool) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !is_plain(byte)) {
        let (plain, special) = rest.split_at(at);
        output.push_str(plain);
        let mut chars = special.chars();
        if let Some(c) = chars.next() {
            push_special(output, c);
        }
        rest = chars.as_str();
    }
    output.push_str(rest);
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
