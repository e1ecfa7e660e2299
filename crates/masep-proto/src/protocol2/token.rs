//! Access tokens.

use std::fmt;

use bytestring::ByteString;

/// A text that says who a client is and what it may do. `{:?}` does not show it.
///
/// ```
/// use masep_proto::protocol2::AccessToken;
///
/// let token = AccessToken::from("a secret");
/// assert_eq!(token.reveal(), "a secret");
/// assert_eq!(format!("{token:?}"), "AccessToken(...)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(ByteString);

impl AccessToken {
    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The same for a message.
    pub(super) const fn as_text(&self) -> &ByteString {
        &self.0
    }
}

impl<T: Into<ByteString>> From<T> for AccessToken {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(...)")
    }
}
