//! The names of the generations of the protocol among the arguments.

use clap::ValueEnum;
use masep::Protocols;

/// The generations of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolNames {
    /// Both: what the peer speaks
    Both,
    /// Protocol 2 alone: arrays, frames beyond 64 KiB, ends that say why
    Masep,
    /// pymasep's alone
    Pymasep,
}

impl From<ProtocolNames> for Protocols {
    fn from(names: ProtocolNames) -> Self {
        match names {
            ProtocolNames::Both => Self::Both,
            ProtocolNames::Masep => Self::Masep2,
            ProtocolNames::Pymasep => Self::Pymasep,
        }
    }
}
