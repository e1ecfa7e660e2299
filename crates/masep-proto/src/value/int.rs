//! Ints of any size.

mod bignum;
mod digits;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use bytestring::ByteString;

use crate::{DecodeErrorKind, Limit, LimitExceeded, Limits};

/// An int of any size, as Python's.
///
/// It is made from Rust's integers or read from text as Python's `int()` reads it: white space
/// around it, a sign, single underscores between digits, and the decimal digits of any script.
///
/// ```
/// use masep_proto::Int;
/// assert_eq!(" +1_000 ".parse::<Int>()?, Int::from(1_000));
/// assert_eq!("１２".parse::<Int>()?.as_i64(), Some(12));
/// let large: Int = "123456789012345678901234567890".parse()?;
/// assert_eq!(large.as_i64(), None);
/// assert_eq!(large.to_string(), "123456789012345678901234567890");
/// # Ok::<(), masep_proto::DecodeErrorKind>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Int(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Small(i64),
    /// An int that `i64` cannot hold, in canonical decimal: a `-` if negative, no leading zeros.
    Large(ByteString),
}

impl Int {
    /// Reads an int as Python's `int()` does, with at most `max_digits` digits (leading zeros
    /// count, underscores do not).
    ///
    /// # Errors
    /// [`DecodeErrorKind::InvalidInt`] or [`DecodeErrorKind::Limit`].
    pub fn parse(text: &str, max_digits: usize) -> Result<Self, DecodeErrorKind> {
        if let Some(value) = digits::parse_short(text.as_bytes()).map(Self::from)
            && text.len() <= max_digits
        {
            return Ok(value);
        }
        let invalid = || DecodeErrorKind::InvalidInt(excerpt(text));
        // Python strips what Unicode calls white space, but not U+001C to U+001F: so does trim().
        let trimmed = text.trim();
        let (negative, unsigned) = match trimmed.strip_prefix(['+', '-']) {
            Some(rest) => (trimmed.starts_with('-'), rest),
            None => (false, trimmed),
        };
        let digits = digits::to_ascii(unsigned).ok_or_else(invalid)?;
        LimitExceeded::check(Limit::IntDigits, digits.len(), max_digits)?;
        Ok(Self::from_digits(negative, &digits))
    }

    /// The int of these ASCII digits.
    fn from_digits(negative: bool, digits: &str) -> Self {
        let significant = digits.trim_start_matches('0');
        let mut canonical = String::with_capacity(significant.len() + 1);
        if negative {
            canonical.push('-');
        }
        canonical.push_str(significant);
        if significant.is_empty() {
            return Self::from(0);
        }
        match canonical.parse() {
            Ok(small) => Self(Repr::Small(small)),
            Err(_) => Self(Repr::Large(canonical.into())),
        }
    }

    /// The value, if it fits.
    pub const fn as_i64(&self) -> Option<i64> {
        match &self.0 {
            Repr::Small(value) => Some(*value),
            Repr::Large(_) => None,
        }
    }

    /// The value, if it fits.
    pub fn as_i128(&self) -> Option<i128> {
        match &self.0 {
            Repr::Small(value) => Some((*value).into()),
            Repr::Large(text) => text.parse().ok(),
        }
    }

    /// The nearest float, infinite if there is none.
    #[allow(
        clippy::cast_precision_loss,
        reason = "the nearest float is what is asked for"
    )]
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            Repr::Small(value) => *value as f64,
            Repr::Large(text) => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// The number of digits it is written with.
    pub(crate) fn digits(&self) -> usize {
        match &self.0 {
            Repr::Small(value) => value.checked_ilog10().map_or(1, |log| log as usize + 1),
            Repr::Large(text) => text.len() - usize::from(text.starts_with('-')),
        }
    }

    fn is_negative(&self) -> bool {
        match &self.0 {
            Repr::Small(value) => *value < 0,
            Repr::Large(text) => text.starts_with('-'),
        }
    }
}

/// The beginning of a text that comes from outside, short enough for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const MOST: usize = 64;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

macro_rules! from_small {
    ($($int:ty),*) => { $(
        impl From<$int> for Int {
            fn from(value: $int) -> Self {
                Self(Repr::Small(value.into()))
            }
        }
    )* };
}
from_small!(i8, i16, i32, i64, u8, u16, u32);

macro_rules! from_large {
    ($($int:ty),*) => { $(
        impl From<$int> for Int {
            fn from(value: $int) -> Self {
                match i64::try_from(value) {
                    Ok(small) => Self(Repr::Small(small)),
                    Err(_) => Self(Repr::Large(value.to_string().into())),
                }
            }
        }
    )* };
}
from_large!(u64, i128, u128, isize, usize);

impl FromStr for Int {
    type Err = DecodeErrorKind;

    /// As [`Int::parse`] with the default of [`Limits::int_digits`].
    fn from_str(text: &str) -> Result<Self, DecodeErrorKind> {
        Self::parse(text, Limits::default().int_digits)
    }
}

impl PartialEq<i64> for Int {
    fn eq(&self, other: &i64) -> bool {
        self.as_i64() == Some(*other)
    }
}

impl Ord for Int {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Repr::Small(a), Repr::Small(b)) => a.cmp(b),
            // A large int is further from zero than any small one, so its sign decides.
            (Repr::Large(_), Repr::Small(_)) if self.is_negative() => Ordering::Less,
            (Repr::Large(_), Repr::Small(_)) => Ordering::Greater,
            (Repr::Small(_), Repr::Large(_)) => other.cmp(self).reverse(),
            (Repr::Large(a), Repr::Large(b)) => match (self.is_negative(), other.is_negative()) {
                (false, false) => (a.len(), a).cmp(&(b.len(), b)),
                (true, true) => (b.len(), b).cmp(&(a.len(), a)),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
            },
        }
    }
}

impl PartialOrd for Int {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Small(value) => fmt::Display::fmt(value, f),
            Repr::Large(text) => f.pad(text),
        }
    }
}

impl fmt::Debug for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<String> {
        text.parse::<Int>().ok().map(|int| int.to_string())
    }

    #[test]
    fn text_is_read_as_python_reads_it() {
        for (text, value) in [
            ("5", "5"),
            ("-5", "-5"),
            ("+5", "5"),
            (" 5\n", "5"),
            ("\u{b}5\u{c}", "5"),
            ("\u{a0}5\u{3000}", "5"),
            ("\u{2028}5", "5"),
            ("\u{85}5", "5"),
            ("1_000", "1000"),
            ("-1_0", "-10"),
            ("007", "7"),
            ("-0", "0"),
            ("-000", "0"),
            ("\u{661}\u{662}\u{663}", "123"),
            ("1\u{662}", "12"),
            ("\u{ff15}", "5"),
            ("\u{e51}", "1"),
            ("\u{1d7d8}", "0"),
            ("\u{1d7ff}", "9"),
            ("\u{1fbf9}", "9"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "9223372036854775808"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("-9223372036854775809", "-9223372036854775809"),
            ("0009999999999999999999999", "9999999999999999999999"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(value), "{text:?}");
        }
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for text in [
            "",
            " ",
            "+",
            "-",
            "++5",
            "+-5",
            "+ 5",
            "1 2",
            "1__0",
            "_1",
            "1_",
            "-_1",
            "1.0",
            "1e3",
            "5.",
            "0x10",
            "None",
            "True",
            "5\0",
            "\u{feff}5",
            "\u{200c}5",
            "\u{1c}5",
            "\u{b2}",
            "\u{2460}",
            "\u{66a}",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn digits_are_limited() {
        assert!(Int::parse(&"9".repeat(4_300), 4_300).is_ok());
        assert_eq!(
            Int::parse(&"0".repeat(4_301), 4_300),
            Err(DecodeErrorKind::Limit(LimitExceeded {
                limit: Limit::IntDigits,
                actual: 4_301,
                allowed: 4_300
            }))
        );
        assert!(Int::parse("1_2_3", 3).is_ok());
        assert!(Int::parse("123", 2).is_err());
    }

    #[test]
    fn an_error_quotes_the_beginning_only() {
        let Err(DecodeErrorKind::InvalidInt(quoted)) = "x".repeat(1_000).parse::<Int>() else {
            panic!("taken as an int");
        };
        assert_eq!(quoted.chars().count(), 65);
    }

    #[test]
    fn every_size_is_one_type() {
        assert_eq!(Int::from(u64::MAX).as_i64(), None);
        assert_eq!(Int::from(u64::MAX).as_i128(), Some(u64::MAX.into()));
        assert_eq!(Int::from(i128::from(i64::MIN)), Int::from(i64::MIN));
        assert_eq!(Int::from(u128::MAX).to_string(), u128::MAX.to_string());
        assert_eq!(Int::from(1i128 << 100).to_f64(), 2f64.powi(100));
    }

    proptest! {
        #[test]
        fn display_and_parse_are_inverse(value: i128) {
            let int = Int::from(value);
            prop_assert_eq!(int.to_string(), value.to_string());
            prop_assert_eq!(int.to_string().parse::<Int>().unwrap(), int);
        }

        #[test]
        fn order_is_that_of_the_numbers(a: i128, b: i128, shift in 0u32..127) {
            let (a, b) = (a >> shift, b >> (shift / 2));
            prop_assert_eq!(Int::from(a).cmp(&Int::from(b)), a.cmp(&b));
        }
    }
}
