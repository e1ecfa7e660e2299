//! Ints as bytes.

use super::{Int, Repr};
use crate::{Limit, LimitExceeded};

/// Digits that go through one word at a time.
const CHUNK_DIGITS: usize = 9;
const CHUNK: u64 = 1_000_000_000;

impl Int {
    /// The bignum of CBOR: whether the int is negative, and n as bytes, the most significant first and not zero, where
    /// the int is n or -1 - n.
    pub(crate) fn to_bignum(&self) -> (bool, Vec<u8>) {
        let text = match &self.0 {
            Repr::Small(value) => {
                let magnitude = if *value < 0 { !*value } else { *value };
                return (*value < 0, significant(&magnitude.to_be_bytes()).to_vec());
            }
            Repr::Large(text) => text,
        };
        let digits = text.trim_start_matches('-');
        // From the least significant on.
        let mut words: Vec<u32> = Vec::with_capacity(digits.len() / CHUNK_DIGITS + 1);
        let first = digits.len() % CHUNK_DIGITS;
        let (head, rest) = digits.split_at(first);
        let rest = rest.as_bytes().chunks_exact(CHUNK_DIGITS);
        for chunk in std::iter::once(head.as_bytes()).chain(rest) {
            let value = chunk
                .iter()
                .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
            multiply_add(&mut words, CHUNK, value);
        }
        let is_negative = self.is_negative();
        if is_negative {
            subtract_one(&mut words);
        }
        let bytes: Vec<u8> = words
            .iter()
            .rev()
            .flat_map(|word| word.to_be_bytes())
            .collect();
        (is_negative, significant(&bytes).to_vec())
    }

    /// The int n or -1 - n, where n is these bytes, the most significant first, of at most so many digits.
    pub(crate) fn from_bignum(
        is_negative: bool,
        bytes: &[u8],
        max_digits: usize,
    ) -> Result<Self, LimitExceeded> {
        let bytes = significant(bytes);
        // A byte has more than 2.4 digits. Converting takes the square of the length, so a number far
        // beyond the limit is not converted.
        let at_least = bytes.len().saturating_sub(1).saturating_mul(24) / 10;
        LimitExceeded::check(Limit::IntDigits, at_least, max_digits)?;
        let mut words: Vec<u32> = bytes
            .rchunks(4)
            .map(|chunk| {
                chunk
                    .iter()
                    .fold(0, |word, byte| word << 8 | u32::from(*byte))
            })
            .collect();
        if is_negative {
            add_one(&mut words);
        }
        let mut chunks = Vec::with_capacity(words.len() + words.len() / 8 + 1);
        while !words.is_empty() {
            chunks.push(divide(&mut words));
        }
        let mut digits = String::with_capacity(chunks.len() * CHUNK_DIGITS);
        for chunk in chunks.iter().rev() {
            digits.push_str(&format!("{chunk:09}"));
        }
        let digits = digits.trim_start_matches('0');
        LimitExceeded::check(Limit::IntDigits, digits.len(), max_digits)?;
        Ok(Self::from_digits(is_negative, digits))
    }
}

/// Bytes without leading zeros.
fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

const fn split(value: u64) -> (u32, u64) {
    let [a, b, c, d, ..] = value.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), value >> 32)
}

fn multiply_add(words: &mut Vec<u32>, factor: u64, summand: u64) {
    let mut carry = summand;
    for word in words.iter_mut() {
        (*word, carry) = split(u64::from(*word) * factor + carry);
    }
    if carry != 0 {
        words.push(split(carry).0);
    }
}

fn add_one(words: &mut Vec<u32>) {
    multiply_add(words, 1, 1);
}

/// Takes one from what is not zero.
fn subtract_one(words: &mut [u32]) {
    for word in words {
        let borrows;
        (*word, borrows) = word.overflowing_sub(1);
        if !borrows {
            return;
        }
    }
}

/// Divides, and gives the rest. Words that became zero are taken off.
fn divide(words: &mut Vec<u32>) -> u64 {
    let mut rest = 0;
    for word in words.iter_mut().rev() {
        let value = rest << 32 | u64::from(*word);
        *word = split(value / CHUNK).0;
        rest = value % CHUNK;
    }
    while words.last() == Some(&0) {
        words.pop();
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex_of(text: &str) -> (bool, String) {
        let int: Int = text.parse().unwrap();
        let (negative, bytes) = int.to_bignum();
        assert_eq!(Int::from_bignum(negative, &bytes, 4_300), Ok(int));
        (
            negative,
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        )
    }

    #[test]
    fn a_bignum_is_as_python_has_it() {
        for (text, negative, bytes) in [
            ("0", false, ""),
            ("-1", true, ""),
            ("255", false, "ff"),
            ("-256", true, "ff"),
            ("18446744073709551616", false, "010000000000000000"),
            ("-18446744073709551616", true, "ffffffffffffffff"),
            ("-18446744073709551617", true, "010000000000000000"),
            (
                "340282366920938463463374607431768211456",
                false,
                "0100000000000000000000000000000000",
            ),
        ] {
            assert_eq!(hex_of(text), (negative, bytes.to_owned()), "{text}");
        }
        let most = "9".repeat(4_300);
        assert_eq!(hex_of(&most).1.len(), 2 * 1_786);
        assert_eq!(hex_of(&format!("-{most}")).1.len(), 2 * 1_786);
    }

    #[test]
    fn digits_are_limited() {
        let (_, bytes) = "1000".parse::<Int>().unwrap().to_bignum();
        assert!(Int::from_bignum(false, &bytes, 4).is_ok());
        assert!(Int::from_bignum(false, &bytes, 3).is_err());
        assert!(Int::from_bignum(false, &[255; 1 << 20], 4_300).is_err());
        assert_eq!(Int::from_bignum(false, &[0; 1 << 20], 1), Ok(0.into()));
    }

    proptest! {
        #[test]
        fn decimal_and_bytes_are_inverse(text in "-?[1-9][0-9]{0,120}") {
            hex_of(&text);
        }

        #[test]
        fn bytes_are_those_of_the_number(value: i128) {
            let (negative, bytes) = Int::from(value).to_bignum();
            let magnitude = bytes.iter().fold(0, |n, byte| n << 8 | i128::from(*byte));
            prop_assert_eq!(if negative { !magnitude } else { magnitude }, value);
        }
    }
}
