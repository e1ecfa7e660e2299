//! The knowledge that a connection has of TLS: its first bytes, what can be wrong with it, and what a layer that speaks
//! it has to say. No cryptography is here.

use std::fmt;

/// The protocol for which TLS is told what it carries (ALPN). Both sides ask for it, so that no other protocol can be
/// taken for this one.
pub const ALPN: &[u8] = b"masep/2";

/// The first bytes of a peer, as far as they tell TLS from pymasep's hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// More are needed.
    Undecided,
    /// A client of TLS: `16 03 00..04`, and `01` behind the length.
    Tls,
    /// Anything else.
    Other,
}

impl FirstBytes {
    /// The most bytes that are needed.
    pub const MOST: usize = 6;

    /// Looks at what has arrived. No hello of pymasep's protocol or of protocol 2 begins so, because no id begins with a
    /// control character.
    ///
    /// ```
    /// use masep_proto::tls::FirstBytes;
    ///
    /// assert_eq!(FirstBytes::of(b"\x16\x03\x01\x02\x00\x01"), FirstBytes::Tls);
    /// assert_eq!(FirstBytes::of(b"\x07\0masep/2"), FirstBytes::Other);
    /// assert_eq!(FirstBytes::of(b"\x16\x03"), FirstBytes::Undecided);
    /// ```
    pub fn of(bytes: &[u8]) -> Self {
        const HANDSHAKE: u8 = 0x16;
        const CLIENT_HELLO: u8 = 1;
        let fits = |at: usize, byte: u8| match at {
            0 => byte == HANDSHAKE,
            1 => byte == 3,
            2 => byte <= 4,
            5 => byte == CLIENT_HELLO,
            _ => true,
        };
        let first = bytes.iter().take(Self::MOST);
        if !first.enumerate().all(|(at, byte)| fits(at, *byte)) {
            Self::Other
        } else if bytes.len() < Self::MOST {
            Self::Undecided
        } else {
            Self::Tls
        }
    }
}

/// The state of a layer between a connection and its stream, such as TLS, after each call of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "made by the layers")]
pub struct LayerState {
    /// A read would bring something, though the stream below is not readable.
    pub more: bool,
    /// Bytes of its own are to be written, though the connection has none.
    pub owes: bool,
    /// The peer speaks TLS.
    pub secure: bool,
}

/// The fault in the TLS of a connection, or in its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFault {
    /// This side asked for TLS, and the peer does not speak it.
    NotTls,
    /// The peer does not speak TLS, and this server takes nothing else.
    Required,
    /// The peer speaks TLS, and this server has none.
    Unexpected,
    /// The peer cannot do TLS 1.3.
    Version,
    /// The peer does not say that it speaks `masep/2` in TLS (ALPN).
    NoProtocol,
    /// The server's certificate is not accepted.
    Certificate(CertificateFault),
    /// The peer has ended TLS by this alert: mostly it does not accept what this side said.
    Alert(u8),
    /// The two sides have no key exchange or cipher suite in common.
    Incompatible,
    /// The stream ended without the end of TLS: somebody may have cut it, and what the peer said last may be missing.
    Truncated,
    /// The peer broke the rules of TLS, or somebody has changed its bytes on the way.
    Broken,
}

/// The reason why a server's certificate is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateFault {
    /// Its time, or that of one above it, is over.
    Expired,
    /// Its time, or that of one above it, has not begun.
    NotYetValid,
    /// The certificate is for other names than the one that was connected to.
    Name,
    /// No authority that is trusted stands behind it.
    Issuer,
    /// Its authority has taken it back.
    Revoked,
    /// The certificate is damaged, or not made for servers.
    Bad,
}

impl TlsFault {
    /// A stable name for programs, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::Required => "tls_required",
            Self::Unexpected => "tls_unexpected",
            Self::Version => "tls_version",
            Self::NoProtocol => "tls_no_protocol",
            Self::Certificate(fault) => fault.as_str(),
            Self::Alert(_) => "tls_alert",
            Self::Incompatible => "tls_incompatible",
            Self::Truncated => "truncated",
            Self::Broken => "tls_broken",
        }
    }
}

impl CertificateFault {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "certificate_expired",
            Self::NotYetValid => "certificate_not_yet_valid",
            Self::Name => "certificate_name",
            Self::Issuer => "certificate_issuer",
            Self::Revoked => "certificate_revoked",
            Self::Bad => "certificate_bad",
        }
    }
}

impl std::error::Error for TlsFault {}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTls => "the peer does not speak TLS",
            Self::Required => "TLS is required here, and the peer does not speak it",
            Self::Unexpected => "the peer speaks TLS, and there is none here",
            Self::Version => "the peer cannot do TLS 1.3",
            Self::NoProtocol => "the peer does not say in TLS that it speaks masep/2 (ALPN)",
            Self::Certificate(fault) => return write!(f, "the server's certificate {fault}"),
            Self::Alert(alert) => {
                return match alert_name(*alert) {
                    Some(name) => write!(f, "the peer ended TLS: {name} (alert {alert})"),
                    None => write!(f, "the peer ended TLS by alert {alert}"),
                };
            }
            Self::Incompatible => "no key exchange or cipher suite of TLS in common",
            Self::Truncated => "the stream was cut: it ended without the end of TLS",
            Self::Broken => "the peer broke TLS, or its bytes were changed on the way",
        })
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "has expired",
            Self::NotYetValid => "is not valid yet",
            Self::Name => "is for other names",
            Self::Issuer => "is from an authority that is not trusted",
            Self::Revoked => "was revoked",
            Self::Bad => "is damaged, or not one for a server",
        })
    }
}

/// The alerts that peers send for a reason that a user can do something about (RFC 8446, section 6).
const fn alert_name(alert: u8) -> Option<&'static str> {
    Some(match alert {
        40 => "handshake failure",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "certificate revoked",
        45 => "certificate expired",
        46 => "certificate not accepted",
        48 => "unknown authority",
        49 => "access denied",
        50 => "decode error",
        51 => "decrypt error",
        70 => "protocol version",
        71 => "insufficient security",
        80 => "internal error",
        112 => "unknown name",
        116 => "certificate required",
        120 => "no protocol in common",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_of_tls_are_no_hello() {
        let client = [0x16, 3, 1, 2, 0, 1, 0];
        for length in 0..FirstBytes::MOST {
            assert_eq!(FirstBytes::of(&client[..length]), FirstBytes::Undecided);
        }
        assert_eq!(FirstBytes::of(&client), FirstBytes::Tls);
        // An id of 790 bytes, which begins with no control character.
        let mut hello = vec![0x16, 3];
        hello.extend([b'a'; 790]);
        assert_eq!(FirstBytes::of(&hello[..2]), FirstBytes::Undecided);
        assert_eq!(FirstBytes::of(&hello[..3]), FirstBytes::Other);
        for other in [
            &b"GET / "[..],
            crate::protocol2::preamble::CLIENT,
            b"\0\0",
            b"\x16\x04",
            b"\x16\x03\x05",
            b"\x16\x03\x01\x02\0\x02",
        ] {
            assert_eq!(FirstBytes::of(other), FirstBytes::Other, "{other:?}");
        }
    }
}
