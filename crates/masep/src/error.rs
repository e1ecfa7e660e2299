//! What calls of this crate can fail with.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use masep_proto::{EncodeError, HelloError, LimitExceeded, PeerId};

use crate::CloseReason;

/// Why a frame was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The frame is too large for the protocol. Nothing was sent and the connection lives on.
    #[error(transparent)]
    TooLarge(LimitExceeded),
    /// The message cannot be encoded. Nothing was sent and the connection lives on.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The queue has no room now (only calls that do not wait say so).
    #[error("no room in the queue: {0}")]
    Full(LimitExceeded),
    /// The connection has ended.
    #[error("the connection has ended: {0}")]
    Closed(CloseReason),
    /// No connection has this id.
    #[error("no connection with the id {0:?}")]
    UnknownPeer(PeerId),
}

/// The phase of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectPhase {
    /// Looking for a server on the LAN.
    Discover,
    /// Finding the addresses of a host name.
    Resolve,
    /// Opening the TCP connection.
    Connect,
    /// Waiting for the server's hello.
    Hello,
}

impl fmt::Display for ConnectPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discover => "looking for a server",
            Self::Resolve => "resolving",
            Self::Connect => "connecting to",
            Self::Hello => "waiting for the hello of",
        })
    }
}

/// Why there is no connection: in which phase, to whom, and what went wrong.
#[derive(Debug, thiserror::Error)]
#[error("{phase} {target}: {kind}")]
pub struct ConnectError {
    /// The phase that failed. For several addresses: of the last one that was tried.
    pub phase: ConnectPhase,
    /// The address as it was given, or the one of several that was tried last.
    pub target: String,
    /// What went wrong.
    #[source]
    pub kind: ConnectErrorKind,
}

/// What went wrong in a phase of a connection attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// The phase took longer than its limit.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The name has no address, or no server answered the search.
    #[error("nothing found")]
    NotFound,
    /// The server closed the connection instead of saying hello.
    #[error("the server closed the connection without a hello")]
    Closed,
    /// What should be a hello is none, or our own id cannot be sent in one.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// The operating system reported an error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why a server did not take a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// There was no whole hello within [`Limits::hello_time`](crate::Limits::hello_time).
    #[error("no hello within {0:?}")]
    HelloTimeout(Duration),
    /// There was no hello, and another connection needed the place.
    #[error("no hello, and another connection needed the place")]
    CrowdedOut,
    /// The peer closed or reset the connection before its hello (a port scan, for instance).
    #[error("closed before its hello")]
    ClosedBeforeHello,
    /// What should be a hello is none.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// The id is in use, and [`Duplicates::Refuse`](crate::Duplicates::Refuse) applies.
    #[error("the id {0:?} is in use")]
    DuplicateId(PeerId),
    /// The server has as many connections as it may.
    #[error(transparent)]
    TooManyConnections(LimitExceeded),
    /// The server stopped accepting.
    #[error("the server has stopped accepting")]
    Stopped,
}

impl RejectReason {
    /// A stable name for programs, logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::HelloTimeout(_) => "hello_timeout",
            Self::CrowdedOut => "crowded_out",
            Self::ClosedBeforeHello => "closed_before_hello",
            Self::Hello(_) => "bad_hello",
            Self::DuplicateId(_) => "duplicate_id",
            Self::TooManyConnections(_) => "too_many_connections",
            Self::Stopped => "stopped",
        }
    }
}

/// Why an address cannot be listened on. It is in the [`io::Error`] of the calls that bind.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addresses}: {source}")]
pub(crate) struct ListenError {
    addresses: String,
    source: io::Error,
}

impl ListenError {
    /// The error of the system, with the addresses that were tried.
    pub(crate) fn wrap(addresses: &[SocketAddr], source: io::Error) -> io::Error {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let addresses = addresses.join(", ");
        io::Error::new(source.kind(), Self { addresses, source })
    }
}
