//! Which connection, which seat, which life of the engine.

use std::fmt;

/// A connection, as the shell numbers them. A key is never used twice in a table's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub u64);

/// A seat, by its place among those that [`Settings::new`](crate::Settings::new) names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatId(pub(crate) usize);

impl SeatId {
    /// Its place among the seats, from 0.
    pub const fn index(self) -> usize {
        self.0
    }
}

/// Sixteen random bytes, by which a player proves its seat: the end of its resume text. The shell makes one for each `HELLO`.
///
/// Two are compared in a time that does not depend on what is in them, and none is shown by `Debug`.
#[derive(Clone, Copy)]
pub struct ResumeSecret(pub [u8; 16]);

impl PartialEq for ResumeSecret {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        pairs.fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
    }
}

impl Eq for ResumeSecret {}

impl fmt::Debug for ResumeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeSecret(..)")
    }
}

/// A resume text as it was said in a `HELLO`: what [`write()`] made of a life of the engine and a secret.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// A resume text of this life of the engine.
    Ours(ResumeSecret),
    /// A resume text of another life, or no resume text at all.
    Foreign,
}

/// The resume text of a seat.
pub(crate) fn write(instance: &str, secret: ResumeSecret) -> String {
    use fmt::Write as _;
    let mut text = format!("{instance}.");
    for byte in secret.0 {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl Resume {
    pub(crate) fn read(text: &str, instance: &str) -> Self {
        Self::secret(text, instance).map_or(Self::Foreign, Self::Ours)
    }

    fn secret(text: &str, instance: &str) -> Option<ResumeSecret> {
        let hex = text.strip_prefix(instance)?.strip_prefix('.')?;
        if hex.len() != 32 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = u128::from_str_radix(hex, 16).ok()?;
        Some(ResumeSecret(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resume_text_is_of_one_life_of_the_engine() {
        let secret = ResumeSecret([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        let text = write("life-1", secret);
        assert_eq!(text, "life-1.000102030405060708090a0b0c0d0eff");
        assert_eq!(Resume::read(&text, "life-1"), Resume::Ours(secret));
        for foreign in [
            "",
            "life-1",
            "life-1.",
            "life-1.00",
            "life-1.+00102030405060708090a0b0c0d0eff",
        ] {
            assert_eq!(
                Resume::read(foreign, "life-1"),
                Resume::Foreign,
                "{foreign}"
            );
        }
        assert_eq!(Resume::read(&text, "life-2"), Resume::Foreign);
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", ResumeSecret([7; 16])), "ResumeSecret(..)");
    }
}
