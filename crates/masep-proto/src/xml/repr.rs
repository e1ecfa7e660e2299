//! Floats and bytes as Python's `repr` writes them.

use std::fmt::Write as _;

/// Appends a float: the shortest digits that give it back, always with a point or an exponent, and
/// an exponent below 0.0001 and from 10¹⁶ on.
pub(super) fn push_float(output: &mut String, value: f64) {
    if value.is_nan() {
        output.push_str("nan");
        return;
    }
    if value.is_sign_negative() {
        output.push('-');
    }
    if value.is_infinite() {
        output.push_str("inf");
        return;
    }
    let scientific = shortest(value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    match exponent {
        -4..0 => {
            output.push_str("0.");
            push_zeros(output, exponent.unsigned_abs() as usize - 1);
            output.push_str(whole);
            output.push_str(fraction);
        }
        0..16 => {
            output.push_str(whole);
            let places = exponent.unsigned_abs() as usize;
            let (before, after) = fraction.split_at(places.min(fraction.len()));
            output.push_str(before);
            push_zeros(output, places - before.len());
            output.push('.');
            output.push_str(if after.is_empty() { "0" } else { after });
        }
        _ => {
            output.push_str(mantissa);
            // Writing to a String does not fail.
            let _ = write!(output, "e{exponent:+03}");
        }
    }
}

/// The shortest digits that give the float back, and of those the nearest ones: `d.ddde-dd`.
///
/// Where two are equally near, Rust's own choice is the larger one and Python's the even one, which
/// is that of rounding to a number of digits. It takes 15 digits for two to be equally near.
fn shortest(value: f64) -> String {
    let shortest = format!("{value:e}");
    let digits = shortest.bytes().take_while(|byte| *byte != b'e');
    let decimals = digits.count().saturating_sub("d.".len());
    if decimals < 14 {
        return shortest;
    }
    let rounded = format!("{value:.decimals$e}");
    if rounded.parse() == Ok(value) {
        rounded
    } else {
        shortest
    }
}

fn push_zeros(output: &mut String, zeros: usize) {
    output.extend(std::iter::repeat_n('0', zeros));
}

/// Appends bytes: `b'…'`, in double quotes if there are single ones and no double ones in it.
pub(super) fn push_bytes(output: &mut String, bytes: &[u8]) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        b'"'
    } else {
        b'\''
    };
    output.push('b');
    output.push(char::from(quote));
    for &byte in bytes {
        match byte {
            b'\t' => output.push_str("\\t"),
            b'\n' => output.push_str("\\n"),
            b'\r' => output.push_str("\\r"),
            b'\\' => output.push_str("\\\\"),
            _ if byte == quote => {
                output.push('\\');
                output.push(char::from(quote));
            }
            b' '..=b'~' => output.push(char::from(byte)),
            _ => {
                output.push_str("\\x");
                output.push(hex_digit(byte >> 4));
                output.push(hex_digit(byte & 15));
            }
        }
    }
    output.push(char::from(quote));
}

fn hex_digit(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or('0')
}

/// Reads a float, if `text` is exactly what [`push_float`] writes for it.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    // No repr of a float is longer than `-1.2345678901234567e-308`.
    if text.len() > 24 {
        return None;
    }
    let value = text.parse().ok()?;
    let mut written = String::with_capacity(24);
    push_float(&mut written, value);
    (written == text).then_some(value)
}

/// Reads bytes, if `text` is exactly what [`push_bytes`] writes for them.
pub(super) fn parse_bytes(text: &str) -> Option<Vec<u8>> {
    let quoted = text.strip_prefix('b')?;
    let quote = quoted.chars().next()?;
    let body = quoted.strip_prefix(['\'', '"'])?.strip_suffix(quote)?;
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => unescape(&mut rest)?,
            _ => byte,
        });
    }
    let mut written = String::with_capacity(text.len());
    push_bytes(&mut written, &bytes);
    (written == text).then_some(bytes)
}

fn unescape(rest: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match rest.next()? {
        b't' => b'\t',
        b'n' => b'\n',
        b'r' => b'\r',
        b'x' => {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            u8::try_from(high * 16 + low).ok()?
        }
        quote_or_backslash => quote_or_backslash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn float(value: f64) -> String {
        let mut output = String::new();
        push_float(&mut output, value);
        output
    }

    fn bytes(bytes: &[u8]) -> String {
        let mut output = String::new();
        push_bytes(&mut output, bytes);
        output
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (value, repr) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (100.0, "100.0"),
            (123_456.789, "123456.789"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1e22, "1e+22"),
            (1e300, "1e+300"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (std::f64::consts::PI, "3.141592653589793"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
            (2f64.powi(-44), "5.684341886080802e-14"),
            (-201_785_617_509_049.0 - 0.625, "-201785617509049.62"),
            (876_797_482_270_259.0 + 0.25, "876797482270259.2"),
            (876_797_482_270_259.0 + 0.75, "876797482270259.8"),
        ] {
            assert_eq!(float(value), repr);
        }
    }

    #[test]
    fn only_the_repr_of_a_float_is_read() {
        for text in [
            "1",
            "1.50",
            "01.5",
            "+1.5",
            " 1.5",
            "1e5",
            "1E+16",
            "1e16",
            "infinity",
            "Inf",
            "NaN",
            "-nan",
            "",
            ".5",
            "5.",
            "1_0.0",
            "1.00000000000000000000000000001",
        ] {
            assert_eq!(parse_float(text), None, "{text:?}");
        }
        assert_eq!(parse_float("1e+16"), Some(1e16));
        assert_eq!(parse_float("inf"), Some(f64::INFINITY));
        assert!(parse_float("nan").is_some_and(f64::is_nan));
    }

    #[test]
    fn bytes_are_written_as_python_writes_them() {
        assert_eq!(bytes(b""), "b''");
        assert_eq!(bytes(b"a'b"), r#"b"a'b""#);
        assert_eq!(bytes(b"a\"b"), r#"b'a"b'"#);
        assert_eq!(bytes(b"a'\"b"), r#"b'a\'"b'"#);
        assert_eq!(
            bytes(b"\0\t\n\r\x0b\x7f\xff\\"),
            r"b'\x00\t\n\r\x0b\x7f\xff\\'"
        );
    }

    #[test]
    fn only_the_repr_of_bytes_is_read() {
        for text in [
            "",
            "b",
            "b'",
            "''",
            "b'a",
            "b\"a\"",
            r"b'\x41'",
            r"b'\xZZ'",
            r"b'\x4",
            r"b'\'",
            r"b'\q'",
            r"b'\0'",
            "b'\u{e9}'",
            "B'a'",
            "b'a'b'",
        ] {
            assert_eq!(parse_bytes(text), None, "{text:?}");
        }
        assert_eq!(parse_bytes(r#"b"a'b""#).unwrap(), b"a'b");
    }

    proptest! {
        #[test]
        fn floats_come_back(bits: u64) {
            let value = f64::from_bits(bits);
            let read = parse_float(&float(value)).unwrap();
            prop_assert!(read == value || (read.is_nan() && value.is_nan()));
        }

        #[test]
        fn bytes_come_back(content: Vec<u8>) {
            prop_assert_eq!(parse_bytes(&bytes(&content)).unwrap(), content);
        }

        #[test]
        fn reading_bytes_never_panics(text: String) {
            let _ = parse_bytes(&format!("b'{text}'"));
            let _ = parse_bytes(&text);
        }
    }
}
