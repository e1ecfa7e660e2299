//! The errors of this crate's calls.

use std::fmt;
use std::io;
use std::time::Duration;

pub use masep_proto::admission::RejectReason;
use masep_proto::connection::PushError;
use masep_proto::{
    DecodeError, EncodeError, Encoding, Frame, HelloError, LimitExceeded, Message, PeerId,
};

use crate::{Address, CloseReason, InvalidAddress};

/// The reason why a frame was not sent.
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

impl From<PushError> for SendError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Form(error) => Self::Encode(error),
            PushError::TooLarge(error) => Self::TooLarge(error.exceeded()),
            PushError::Full(limit) => Self::Full(limit),
            PushError::Closed(reason) => Self::Closed(reason),
        }
    }
}

/// Why a call that receives and does not wait has no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TryRecvError {
    /// No frame has arrived that nobody has received. One can still come.
    #[error("no frame has arrived")]
    Empty,
    /// The connection has ended, and all that came before was given.
    #[error("the connection has ended: {0}")]
    Closed(#[source] CloseReason),
}

/// Why a call that receives for some time has no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecvTimeoutError {
    /// No frame came in that time. One can still come.
    #[error("no frame came in the time that was given")]
    TimedOut,
    /// The connection has ended, and all that came before was given.
    #[error("the connection has ended: {0}")]
    Closed(#[source] CloseReason),
}

/// Why a call that receives messages has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvMessageError {
    /// The connection has ended, and all that came before was given.
    #[error("the connection has ended: {0}")]
    Closed(#[source] CloseReason),
    /// A frame came that is no message, or over a bound. The connection lives on.
    #[error("a frame is no message: {error}")]
    Decode {
        /// What is wrong, and where.
        #[source]
        error: DecodeError,
        /// What came.
        frame: Frame,
    },
}

impl From<CloseReason> for RecvMessageError {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason)
    }
}

impl RecvMessageError {
    /// The message in a frame.
    pub(crate) fn decode(encoding: &Encoding, frame: Frame) -> Result<Message, Self> {
        encoding
            .decode(frame.clone())
            .map_err(|error| Self::Decode { error, frame })
    }
}

/// Why a server gives out no connection, now and ever after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The server has stopped accepting, and all connections were given out.
    #[error("the server has stopped accepting")]
    Stopped,
    /// The server has a handler, which gets them all.
    #[error("the connections of this server go to its handler")]
    Handled,
}

/// Why a server gave out no connection in some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptTimeoutError {
    /// No peer came in that time. One can still come.
    #[error("no peer came in the time that was given")]
    TimedOut,
    /// As [`AcceptError::Stopped`].
    #[error("the server has stopped accepting")]
    Stopped,
    /// As [`AcceptError::Handled`].
    #[error("the connections of this server go to its handler")]
    Handled,
}

/// The phase of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectPhase {
    /// Looking for a server on the LAN.
    Discover,
    /// Finding the addresses of a host name.
    Resolve,
    /// Opening the connection of TCP or of a Unix socket.
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

/// The reason why there is no connection: the phase, the address, and the error.
#[derive(Debug, thiserror::Error)]
#[error("{phase} {target}: {kind}")]
pub struct ConnectError {
    /// The phase that failed. For several addresses: of the last one that was tried.
    pub phase: ConnectPhase,
    /// The address as it was given, or the one of several that was tried last.
    pub target: String,
    /// The error.
    #[source]
    pub kind: ConnectErrorKind,
}

/// The error in a phase of a connection attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// The phase took longer than its limit.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// What was given is no address.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The name has no address, or no server answered the search.
    #[error("nothing found")]
    NotFound,
    /// The server closed the connection instead of saying hello.
    #[error("the server closed the connection without a hello")]
    Closed,
    /// The server's hello is none, or our own id cannot be sent in one.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// The operating system reported an error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The reason why an address cannot be listened on. It is in the [`io::Error`] of the calls that bind.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub(crate) struct ListenError {
    address: String,
    source: io::Error,
}

impl ListenError {
    /// The error of the system, with the address or the addresses that were tried.
    pub(crate) fn wrap(address: &impl fmt::Display, source: io::Error) -> io::Error {
        let address = address.to_string();
        io::Error::new(source.kind(), Self { address, source })
    }

    /// As [`wrap`](Self::wrap), for several addresses.
    pub(crate) fn wrap_all(addresses: &[Address], source: io::Error) -> io::Error {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        Self::wrap(&addresses.join(", "), source)
    }
}
