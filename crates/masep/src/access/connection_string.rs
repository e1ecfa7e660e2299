//! Address and token in one text.

use std::fmt;
use std::str::FromStr;

use masep_proto::access::Digest;
use masep_proto::protocol2::AccessToken;

use crate::Target;

/// All that a client needs to come to a server, in one text: address, access token, and the SHA-256 of the certificate
/// authority that is in the chain of a server with TLS. `masep token new` prints one. It is secret: `{:?}` does not show the
/// token, and there is no `Display`.
///
/// Read from a text, it may have white space around it, such as the end of its line in a file. With the hash of an authority, a
/// server may have a certificate for any name: that is for an authority of one's own, as `masep cert` makes it.
///
/// ```
/// use masep::access::ConnectionString;
///
/// let text = format!("masep+unix:///run/game.sock?token={}", "0a".repeat(32));
/// let string: ConnectionString = text.parse().unwrap();
/// assert_eq!(string.address(), "masep+unix:///run/game.sock");
/// assert_eq!(string.reveal(), text);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString {
    address: String,
    token: AccessToken,
    ca: Option<Digest>,
}

/// A text that is no [`ConnectionString`]. It does not show the text, which may be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no address with an access token, as `masep token new` prints it: ADDRESS?token=TOKEN or ADDRESS?token=TOKEN&ca=SHA256"
)]
pub struct InvalidConnectionString;

impl ConnectionString {
    /// The text for this address and token.
    ///
    /// # Errors
    /// The address is none, or has a `?` in it; or the token has other characters than letters, digits, `-`, `_`
    /// and `.`.
    pub fn new(
        address: impl Into<String>,
        token: AccessToken,
        ca: Option<Digest>,
    ) -> Result<Self, InvalidConnectionString> {
        let address = address.into();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_address = address.contains("://") && !address.contains('?');
        let text = token.reveal();
        if !is_address
            || address.parse::<Target>().is_err()
            || text.is_empty()
            || !text.chars().all(is_plain)
        {
            return Err(InvalidConnectionString);
        }
        Ok(Self { address, token, ca })
    }

    /// The address, with its scheme.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The access token.
    pub const fn token(&self) -> &AccessToken {
        &self.token
    }

    /// The SHA-256 of the certificate authority, in DER.
    pub const fn ca(&self) -> Option<Digest> {
        self.ca
    }

    /// The text.
    pub fn reveal(&self) -> String {
        let Self { address, token, ca } = self;
        let ca = ca.map(|ca| format!("&ca={ca}")).unwrap_or_default();
        format!("{address}?token={}{ca}", token.reveal())
    }
}

impl FromStr for ConnectionString {
    type Err = InvalidConnectionString;

    fn from_str(text: &str) -> Result<Self, InvalidConnectionString> {
        let (address, query) = text.trim().split_once('?').ok_or(InvalidConnectionString)?;
        let (mut token, mut ca) = (None, None);
        for pair in query.split('&') {
            let earlier = match pair.split_once('=') {
                Some(("token", text)) => token.replace(AccessToken::from(text)).is_some(),
                Some(("ca", text)) => {
                    let digest = text.parse().map_err(|_| InvalidConnectionString)?;
                    ca.replace(digest).is_some()
                }
                _ => true,
            };
            if earlier {
                return Err(InvalidConnectionString);
            }
        }
        Self::new(address, token.ok_or(InvalidConnectionString)?, ca)
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString")
            .field("address", &self.address)
            .field("token", &self.token)
            .field("ca", &self.ca)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_token_is_not_shown() {
        let ca = Digest::of_bytes(b"certificate");
        for (address, ca) in [
            ("masep+unix:///run/game.sock", None),
            ("masep://[::1]:60000", Some(ca)),
            ("tcp://engine.lan:60000", Some(ca)),
        ] {
            let token = AccessToken::from("a-secret");
            let string = ConnectionString::new(address, token, ca).unwrap();
            assert_eq!(string.reveal().parse(), Ok(string.clone()));
            assert_eq!(
                format!("{}\r\n", string.reveal()).parse(),
                Ok(string.clone())
            );
            assert!(!format!("{string:?}").contains("a-secret"));
        }
    }

    #[test]
    fn what_is_none_is_refused_without_being_shown() {
        let short = "ab".repeat(31);
        for text in [
            "",
            "a-secret",
            "masep://engine:1",
            "masep://engine:1?token=",
            "engine:1?token=a-secret",
            "masep://engine:1?token=a-secret&token=b",
            "masep://engine:1?token=a-secret&other=b",
            "masep://engine?token=a-secret&ca=",
            &format!("masep://engine:1?token=a-secret&ca={short}"),
            "masep://engine:1?token=a secret",
        ] {
            let error = text.parse::<ConnectionString>().unwrap_err();
            assert!(!error.to_string().contains("a-secret"), "{text}");
        }
    }
}
