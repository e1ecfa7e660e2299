//! Floats and bytes as Python's `repr` writes them.

use std::fmt::{self, Write};

/// Writes a float: the shortest digits that give it back, always with a point or an exponent, and
/// an exponent below 0.0001 and from 10¹⁶ on.
pub(super) fn write_float(output: &mut impl Write, value: f64) -> fmt::Result {
    if value.is_nan() {
        return output.write_str("nan");
    }
    if value.is_sign_negative() {
        output.write_char('-')?;
    }
    if value.is_infinite() {
        return output.write_str("inf");
    }
    let scientific = shortest(value.abs())?;
    let scientific = scientific.as_str();
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    match exponent {
        -4..0 => {
            output.write_str("0.")?;
            write_zeros(output, exponent.unsigned_abs() as usize - 1)?;
            output.write_str(whole)?;
            output.write_str(fraction)
        }
        0..16 => {
            output.write_str(whole)?;
            let places = exponent.unsigned_abs() as usize;
            let (before, after) = fraction.split_at(places.min(fraction.len()));
            output.write_str(before)?;
            write_zeros(output, places - before.len())?;
            output.write_char('.')?;
            output.write_str(if after.is_empty() { "0" } else { after })
        }
        _ => {
            output.write_str(mantissa)?;
            write!(output, "e{exponent:+03}")
        }
    }
}

/// The shortest digits that give the float back, and of those the nearest ones: `d.ddde-dd`.
///
/// Two digits can be equally near: Rust's own choice is then the larger one and Python's the even one, which
/// is that of rounding to a number of digits. It takes 15 digits for two to be equally near.
fn shortest(value: f64) -> Result<Digits, fmt::Error> {
    let mut shortest = Digits::default();
    write!(shortest, "{value:e}")?;
    let digits = shortest.as_str().bytes();
    let digits = digits.take_while(|byte| *byte != b'e');
    let decimals = digits.count().saturating_sub("d.".len());
    if decimals < 14 {
        return Ok(shortest);
    }
    let mut rounded = Digits::default();
    write!(rounded, "{value:.decimals$e}")?;
    Ok(if rounded.as_str().parse() == Ok(value) {
        rounded
    } else {
        shortest
    })
}

/// The digits of one float, which are no more than `1.2345678901234567e-308`.
#[derive(Default)]
struct Digits {
    bytes: [u8; 24],
    length: usize,
}

impl Digits {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Write for Digits {
    fn write_str(&mut self, digits: &str) -> fmt::Result {
        let end = self.length + digits.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(digits.as_bytes());
        self.length = end;
        Ok(())
    }
}

fn write_zeros(output: &mut impl Write, zeros: usize) -> fmt::Result {
    output.write_str(&"000000000000000"[..zeros])
}

/// Writes bytes: `b'…'`, in double quotes if there are single ones and no double ones in it.
pub(super) fn write_bytes(output: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        b'"'
    } else {
        b'\''
    };
    output.write_char('b')?;
    output.write_char(char::from(quote))?;
    for &byte in bytes {
        match byte {
            b'\t' => output.write_str("\\t")?,
            b'\n' => output.write_str("\\n")?,
            b'\r' => output.write_str("\\r")?,
            b'\\' => output.write_str("\\\\")?,
            _ if byte == quote => {
                output.write_char('\\')?;
                output.write_char(char::from(quote))?;
            }
            b' '..=b'~' => output.write_char(char::from(byte))?,
            _ => {
                output.write_str("\\x")?;
                output.write_char(hex_digit(byte >> 4))?;
                output.write_char(hex_digit(byte & 15))?;
            }
        }
    }
    output.write_char(char::from(quote))
}

fn hex_digit(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or('0')
}

/// Takes what is written, if that is this text.
struct Expected<'a>(&'a str);

impl Write for Expected<'_> {
    fn write_str(&mut self, written: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(written).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// Reads a float, if `text` is exactly what [`write_float`] writes for it.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    // No repr of a float is longer than `-1.2345678901234567e-308`.
    if text.len() > 24 {
        return None;
    }
    let value = text.parse().ok()?;
    if is_short_decimal(text.as_bytes()) {
        return Some(value);
    }
    let mut expected = Expected(text);
    write_float(&mut expected, value).ok()?;
    expected.0.is_empty().then_some(value)
}

/// True if this is certainly the text that [`write_float`] writes for the float that it spells, as `-12.5` is.
///
/// No two decimals of up to 15 digits are the same float (C's `DBL_DIG`): so there is none that is shorter than
/// one without needless zeros.
fn is_short_decimal(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let Some(point) = unsigned.iter().position(|byte| *byte == b'.') else {
        return false;
    };
    let (whole, fraction) = (&unsigned[..point], &unsigned[point + 1..]);
    let is_plain = match (whole, fraction) {
        // Below 0.0001 there is an exponent.
        (b"0", [b'0', b'0', b'0', b'0', ..]) => false,
        (b"0", _) | ([b'1'..=b'9', ..], _) => matches!(fraction, [b'0'] | [.., b'1'..=b'9']),
        _ => false,
    };
    is_plain
        && whole.len() + fraction.len() <= 15
        && whole.iter().chain(fraction).all(u8::is_ascii_digit)
}

/// Reads bytes, if `text` is exactly what [`write_bytes`] writes for them.
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
    let mut expected = Expected(text);
    write_bytes(&mut expected, &bytes).ok()?;
    expected.0.is_empty().then_some(bytes)
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
        write_float(&mut output, value).unwrap();
        output
    }

    fn bytes(bytes: &[u8]) -> String {
        let mut output = String::new();
        write_bytes(&mut output, bytes).unwrap();
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
            "0.00001",
            "-0.00",
            "00.5",
            "1.5.5",
            "-",
            "--1.5",
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
        fn a_short_decimal_is_what_is_written_for_it(text in "-?(0|[1-9][0-9]{0,16})\\.0{0,5}[0-9]{1,16}") {
            let value = text.parse().unwrap();
            prop_assert!(!is_short_decimal(text.as_bytes()) || float(value) == text);
            prop_assert_eq!(parse_float(&text).is_some(), float(value) == text);
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
