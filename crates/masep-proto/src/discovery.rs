//! The search for a server on the LAN: its datagrams, the side that answers and the side that asks.
//!
//! The question is the 15 bytes `pymasep server?` to the multicast group 224.3.29.71, port 10000,
//! with a TTL of 1. The answer is `<ip>:<port>` in ASCII, sent back to the asker. pymasep puts the
//! *asker's* address in it instead of the server's, so that it finds servers of its own host only;
//! [`Found::address`] sees through that.
//!
//! masep's servers answer a second question too, with a [`Description`].

mod description;
mod responder;
mod search;

use std::net::{Ipv4Addr, SocketAddrV4};

pub use description::{DESCRIPTION_BYTES, DESCRIPTION_QUESTION, Description, parse_description};
pub use responder::{Asker, Responder};
pub use search::{Found, Search, in_turn};

/// The multicast group that the question goes to.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 3, 29, 71);
/// The UDP port that the question goes to.
pub const PORT: u16 = 10_000;
/// The question: these bytes and no others.
pub const QUESTION: &[u8] = b"pymasep server?";

/// The longest answer that can be one: `255.255.255.255:65535`.
const ANSWER_MAX: usize = 21;

/// The reason why a datagram was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// The datagram is not the question of the search.
    #[error("not the question of the search")]
    NotTheQuestion,
    /// The datagram is not `<IPv4 address>:<port>`.
    #[error("not <IPv4 address>:<port>")]
    NotAnAnswer,
    /// The datagram is a map in CBOR that describes no server.
    #[error("a map that describes no server")]
    NotADescription,
    /// The datagram names port 0 or an address that nobody can connect to (unspecified, multicast, broadcast).
    #[error("an address that cannot be connected to")]
    UnusableAddress,
    /// Another host names a loopback address, which would lead to a program of the asker's own.
    #[error("a loopback address from another host")]
    ForeignLoopback,
    /// This server was already found.
    #[error("already found")]
    Duplicate,
    /// More servers answered than a search keeps.
    #[error("more servers answered than a search keeps")]
    TooMany,
    /// One host sent more answers than a search keeps of each.
    #[error("more answers of one host than a search keeps")]
    TooManyOfHost,
    /// More questions per second than [`ServerLimits::answers_per_second`](crate::ServerLimits) came in.
    #[error("more questions than are answered in a second")]
    RateLimited,
    /// The server listens on an address that the asker cannot reach.
    #[error("the asker cannot reach the address that the server listens on")]
    OutOfReach,
}

/// Reads an answer.
///
/// # Errors
/// [`Ignored::NotAnAnswer`] or [`Ignored::UnusableAddress`]. pymasep takes `10.0.0.4:55:66` for port
/// 55 and waits for ever after `nonsense`; neither is an answer here.
pub fn parse_answer(datagram: &[u8]) -> Result<SocketAddrV4, Ignored> {
    if datagram.len() > ANSWER_MAX {
        return Err(Ignored::NotAnAnswer);
    }
    let address: SocketAddrV4 = std::str::from_utf8(datagram)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Ignored::NotAnAnswer)?;
    usable(address)
}

/// The address, if somebody can connect to it.
fn usable(address: SocketAddrV4) -> Result<SocketAddrV4, Ignored> {
    let ip = address.ip();
    if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
        return Err(Ignored::UnusableAddress);
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_none_are_ignored() {
        for (datagram, reason) in [
            (&b"nonsense"[..], Ignored::NotAnAnswer),
            (b"10.0.0.4:port", Ignored::NotAnAnswer),
            (b"10.0.0.4:55:66", Ignored::NotAnAnswer),
            (b"10.0.0.4:65536", Ignored::NotAnAnswer),
            (b"\xff\xfe", Ignored::NotAnAnswer),
            (&[b'1'; 1_024], Ignored::NotAnAnswer),
            (b"10.0.0.4:0", Ignored::UnusableAddress),
            (b"0.0.0.0:5", Ignored::UnusableAddress),
            (b"224.3.29.71:5", Ignored::UnusableAddress),
        ] {
            assert_eq!(parse_answer(datagram), Err(reason), "{datagram:?}");
        }
    }
}
