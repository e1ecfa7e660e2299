//! Those who are measured, each with the settings that somebody who knows it well would choose.

mod buffer;
mod busy_poll;
mod masep;
mod masep_arrays;
mod masep_blocking;
mod masep_messages;
mod masep_tls;
#[cfg(feature = "nats")]
mod nats;
mod pymasep;
mod queues;
mod raw;
mod tokio;
mod tokio_rustls;
#[cfg(feature = "tonic")]
mod tonic;
#[cfg(feature = "tungstenite")]
mod tungstenite;
#[cfg(feature = "zenoh")]
mod zenoh;
#[cfg(feature = "zeromq")]
mod zeromq;

use anyhow::Result;

use crate::job::{Job, Work};
use crate::link::{Outcome, drive};

/// Raw sockets, the base of most ratios.
pub(crate) const RAW: &str = "raw";
/// Raw sockets with a write for each message.
pub(crate) const RAW_WRITES: &str = "raw-writes";
/// Raw sockets with batches of 64 kB, whatever the size of a message.
pub(crate) const RAW_BATCHES: &str = "raw-batches";
/// masep.
pub(crate) const MASEP: &str = "masep";
/// masep, whose messages are decoded and encoded.
pub(crate) const MESSAGES: &str = "masep-messages";
/// The same without async.
pub(crate) const BLOCKING_MESSAGES: &str = "masep-blocking-messages";
/// masep, whose messages with an array are decoded and encoded.
pub(crate) const ARRAYS: &str = "masep-arrays";
/// The same without async.
pub(crate) const BLOCKING_ARRAYS: &str = "masep-blocking-arrays";
/// masep without async.
pub(crate) const BLOCKING: &str = "masep-blocking";
/// tokio's sockets.
pub(crate) const TOKIO: &str = "tokio";
/// tokio's sockets in TLS.
pub(crate) const TOKIO_RUSTLS: &str = "tokio-rustls";

/// The answer to the question whether a peer does a work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Yes.
    It,
    /// No, for this reason, which the table tells.
    Not(&'static str),
    /// It would be nobody's question: it is of interest for other work.
    Elsewhere,
}

/// The reason of those who are driven by a thread that waits for one connection.
const BLOCKS: Does = Does::Not("its calls block the thread, and many connections are waited for");

/// One who is measured.
pub(crate) struct Peer {
    /// The name, on the command line and in the table.
    pub(crate) name: &'static str,
    /// Its description, in a few words.
    pub(crate) about: &'static str,
    /// Tells whether it does this work.
    pub(crate) does: fn(Work) -> Does,
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
        does: |work| match work {
            Work::Turns | Work::Spectators => BLOCKS,
            _ => Does::It,
        },
        serve: raw::serve,
        drive: raw::drive,
    },
    Peer {
        name: RAW_WRITES,
        about: "std::net, one write per message",
        does: |work| match work {
            Work::OneWay => Does::It,
            _ => Does::Elsewhere,
        },
        serve: raw::serve,
        drive: raw::drive,
    },
    Peer {
        name: RAW_BATCHES,
        about: "std::net, 64 kB batches",
        does: |work| match work {
            Work::OneWay => Does::It,
            _ => Does::Elsewhere,
        },
        serve: raw::serve,
        drive: raw::drive,
    },
    Peer {
        name: TOKIO,
        about: "tokio's sockets, by hand",
        does: |_| Does::It,
        serve: tokio::serve,
        drive: tokio::drive,
    },
    Peer {
        name: TOKIO_RUSTLS,
        about: "TLS by tokio-rustls, by hand",
        does: |_| Does::Elsewhere,
        serve: tokio_rustls::serve,
        drive: drive::<tokio_rustls::TokioRustls>,
    },
    Peer {
        name: MASEP,
        about: "masep",
        does: |_| Does::It,
        serve: masep::serve,
        drive: drive::<masep::Masep>,
    },
    Peer {
        name: MESSAGES,
        about: "masep, which decodes and encodes the messages too",
        does: |work| match work {
            Work::WholeTurn => Does::It,
            _ => Does::Elsewhere,
        },
        serve: masep_messages::serve,
        drive: masep_messages::drive,
    },
    Peer {
        name: BLOCKING_MESSAGES,
        about: "masep::blocking, which decodes and encodes the messages too",
        does: |work| match work {
            Work::WholeTurn => Does::It,
            _ => Does::Elsewhere,
        },
        serve: masep_messages::serve_blocking,
        drive: masep_messages::drive_blocking,
    },
    Peer {
        name: ARRAYS,
        about: "masep, messages with an array, which are decoded and encoded too",
        does: |_| Does::Elsewhere,
        serve: masep_arrays::serve,
        drive: drive::<masep_arrays::Arrays>,
    },
    Peer {
        name: BLOCKING_ARRAYS,
        about: "masep::blocking, messages with an array, which are decoded and encoded too",
        does: |_| Does::Elsewhere,
        serve: masep_arrays::serve_blocking,
        drive: drive::<masep_arrays::BlockingArrays>,
    },
    Peer {
        name: BLOCKING,
        about: "masep::blocking",
        does: |work| match work {
            Work::Turns | Work::Spectators => BLOCKS,
            Work::FanOut => Does::Elsewhere,
            _ => Does::It,
        },
        serve: masep_blocking::serve,
        drive: drive::<masep_blocking::Blocking>,
    },
    #[cfg(feature = "tungstenite")]
    Peer {
        name: "tungstenite",
        about: "WebSocket by tokio-tungstenite",
        does: |_| Does::It,
        serve: tungstenite::serve,
        drive: drive::<tungstenite::Tungstenite>,
    },
    #[cfg(feature = "tonic")]
    Peer {
        name: "tonic",
        about: "gRPC by tonic, a bidirectional stream of bytes",
        does: |_| Does::It,
        serve: tonic::serve,
        drive: drive::<tonic::Tonic>,
    },
    #[cfg(feature = "zeromq")]
    Peer {
        name: "zeromq",
        about: "ZeroMQ by libzmq: DEALER, ROUTER, XPUB",
        does: |work| match work {
            Work::Turns | Work::Spectators => BLOCKS,
            _ => Does::It,
        },
        serve: zeromq::serve,
        drive: drive::<zeromq::ZeroMq>,
    },
    #[cfg(feature = "nats")]
    Peer {
        name: "nats",
        about: "NATS by nats-server and async-nats",
        does: |_| Does::It,
        serve: nats::serve,
        drive: drive::<nats::Nats>,
    },
    #[cfg(feature = "zenoh")]
    Peer {
        name: "zenoh",
        about: "Zenoh, clients of one peer",
        does: |_| Does::It,
        serve: zenoh::serve,
        drive: drive::<zenoh::Zenoh>,
    },
    Peer {
        name: "pymasep",
        about: "pymasep 0.2 at both ends",
        does: pymasep::does,
        serve: pymasep::serve,
        drive: pymasep::drive,
    },
];

/// The peer of this name.
pub(crate) fn find(name: &str) -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.name == name)
}
