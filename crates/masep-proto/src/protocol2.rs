//! Protocol 2, which two masep peers agree on: its frames, its control messages and the first bytes.
//!
//! PROTOCOL2.md is the normative description. A frame is a [`Header`], a payload and zeros to a multiple of 8. Its
//! [kind] says whether it is a [control message](Control) or one of the user's. [`preamble`] has the first
//! bytes, which a server of pymasep's protocol survives.
//!
//! A [`Connection`](crate::connection::Connection) does all of this by itself; these are the parts for who looks at
//! a stream from outside.

mod control;
mod dissector;
pub(crate) mod header;
mod limits;
pub mod preamble;
mod token;

pub use control::{Bye, Control, Hello, Notice, Rejected, Welcome};
pub use dissector::{Dissector, Piece};
pub use header::{Header, HeaderError, kind};
pub use limits::{CONTROL_BYTES, NAME_BYTES, TEXT_BYTES, is_sayable};
pub use token::AccessToken;

use std::fmt;

/// The generations of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// pymasep's: messages in XML, in frames of up to 65,535 bytes.
    Pymasep,
    /// Protocol 2, which masep alone speaks: messages in CBOR, with arrays, in frames of up to 4 GiB.
    Masep2,
}

impl Protocol {
    /// The number of the generation: 1 or 2.
    pub const fn number(self) -> u16 {
        match self {
            Self::Pymasep => 1,
            Self::Masep2 => 2,
        }
    }
}

/// `pymasep's protocol` or `protocol 2`.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pymasep => "pymasep's protocol",
            Self::Masep2 => "protocol 2",
        })
    }
}
