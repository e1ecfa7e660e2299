//! The SHA-256 of an access token.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::protocol2::AccessToken;

/// The SHA-256 of an access token: what a server keeps in its place. As text, 64 hexadecimal digits.
///
/// ```
/// use masep_proto::access::Digest;
/// use masep_proto::protocol2::AccessToken;
///
/// let digest = Digest::of(&AccessToken::from("abc"));
/// assert!(digest.to_string().starts_with("ba7816bf"));
/// assert_eq!(digest.to_string().parse(), Ok(digest));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// A text that is no SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 has 64 hexadecimal digits")]
pub struct InvalidDigest;

impl Digest {
    /// The digest of this token.
    pub fn of(token: &AccessToken) -> Self {
        Self::of_bytes(token.reveal().as_bytes())
    }

    /// The digest of any bytes, such as a certificate.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidDigest);
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let pair = &text[2 * at..2 * at + 2];
            *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidDigest)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_64_digits_is_none() {
        let whole = Digest::of_bytes(b"").to_string();
        assert_eq!(whole.len(), 64);
        for text in [
            "",
            &whole[1..],
            &format!("{whole}0"),
            &whole.replace('e', "g"),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(InvalidDigest), "{text}");
        }
        let upper = whole.to_uppercase();
        assert_eq!(upper.parse(), Ok(Digest::of_bytes(b"")));
        assert_eq!("é".repeat(32).parse::<Digest>(), Err(InvalidDigest));
    }
}
