//! Those who are measured, each with the settings that somebody who knows it well would choose.

mod buffer;
mod busy_poll;
mod masep;
mod masep_blocking;
mod raw;
mod tokio;

use anyhow::Result;

use crate::job::{Job, Work};
use crate::link::{Outcome, drive};

/// Raw sockets, the base of most ratios.
pub(crate) const RAW: &str = "raw";
/// Raw sockets with a write for each message.
pub(crate) const RAW_WRITES: &str = "raw-writes";
/// Raw sockets with batches of 64 KiB, whatever the size of a message.
pub(crate) const RAW_BATCHES: &str = "raw-batches";
/// masep.
pub(crate) const MASEP: &str = "masep";
/// masep without async.
pub(crate) const BLOCKING: &str = "masep-blocking";
/// tokio's sockets.
pub(crate) const TOKIO: &str = "tokio";

/// One who is measured.
pub(crate) struct Peer {
    /// The name, on the command line and in the table.
    pub(crate) name: &'static str,
    /// What it is, in a few words.
    pub(crate) about: &'static str,
    /// Whether it can do this work.
    pub(crate) does: fn(Work) -> bool,
    /// Does the server's part: says that it is ready, and goes on until the process is ended.
    pub(crate) serve: fn(&Job) -> Result<()>,
    /// Does the client's part.
    pub(crate) drive: fn(&Job) -> Result<Outcome>,
}

/// All that are built into this program.
pub(crate) const PEERS: &[Peer] = &[
    Peer {
        name: RAW,
        about: "std::net, the best way for each work",
        does: |work| !matches!(work, Work::Turns | Work::Spectators),
        serve: raw::serve,
        drive: drive::<raw::Raw>,
    },
    Peer {
        name: RAW_WRITES,
        about: "std::net, one write per message",
        does: |work| matches!(work, Work::OneWay | Work::RoundTrip),
        serve: raw::serve,
        drive: drive::<raw::Raw>,
    },
    Peer {
        name: RAW_BATCHES,
        about: "std::net, 64 KiB batches",
        does: |work| matches!(work, Work::OneWay),
        serve: raw::serve,
        drive: drive::<raw::Raw>,
    },
    Peer {
        name: TOKIO,
        about: "tokio's sockets, by hand",
        does: |_| true,
        serve: tokio::serve,
        drive: drive::<tokio::Tokio>,
    },
    Peer {
        name: MASEP,
        about: "masep",
        does: |_| true,
        serve: masep::serve,
        drive: drive::<masep::Masep>,
    },
    Peer {
        name: BLOCKING,
        about: "masep::blocking",
        does: |work| matches!(work, Work::OneWay | Work::RoundTrip | Work::Idle),
        serve: masep_blocking::serve,
        drive: drive::<masep_blocking::Blocking>,
    },
];

/// The peer of this name.
pub(crate) fn find(name: &str) -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.name == name)
}
