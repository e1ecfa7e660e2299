//! The clients that a host sends away.

use std::fmt;
use std::net::IpAddr;

use bytestring::ByteString;

use crate::PeerId;

/// The clients that a host sends away or keeps out: kick and ban.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The peer with this id. An id is a claim: where there are no tokens, the same peer can come back under another.
    Id(PeerId),
    /// The clients with the access token of this name.
    Token(ByteString),
    /// The clients from this address. A ban of an IPv6 address is for its network of 64 bits.
    Address(IpAddr),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "the id {id:?}"),
            Self::Token(name) => write!(f, "the token {:?}", &**name),
            Self::Address(address) => write!(f, "the address {address}"),
        }
    }
}
