//! The reason for which a connection ended.

use std::fmt;
use std::io;

use crate::LimitExceeded;
use crate::protocol2::Bye;
use crate::tls::TlsFault;

/// The reason for which a connection ended: exactly one for each, the same for the handler, the log and every call
/// that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer said `BYE`.
    PeerBye,
    /// The peer said `BYE` with a reason, which protocol 2 has.
    PeerByeWith(Box<Bye>),
    /// The server refused this client: it said `BYE` right behind its hello, in the same piece or within
    /// 200 ms, and no frame before it. The protocol has no field for the cause: the id may be in use, the
    /// server may be full, or it may have refused for a reason of its own. Frames that this side sent are lost.
    ///
    /// Known to clients only, from the first call that meets it: connecting succeeds. A client that did not look
    /// at its connection in those 200 ms cannot tell when a `BYE` came that it finds then as the first frame, and
    /// takes it for a rejection too.
    Rejected,
    /// This side said `BYE`: a call asked for it, or the last owner was dropped.
    LocalBye,
    /// The peer closed the stream without a `BYE`.
    EndOfStream {
        /// True if it stopped in the middle of a frame, which is then lost.
        mid_frame: bool,
    },
    /// The peer reset the connection.
    Reset,
    /// Nothing was heard for [`Limits::idle_time`](crate::Limits::idle_time).
    IdleTimeout,
    /// The peer took no bytes for [`Limits::write_time`](crate::Limits::write_time), or did not
    /// acknowledge any (TCP keep-alive), also where the network says why.
    WriteTimeout,
    /// The peer broke the protocol.
    ProtocolError(LimitExceeded),
    /// The peer sent a frame of a kind that is not known, and is not to be ignored (protocol 2).
    UnsupportedFrame(u8),
    /// The peer sent a frame that is none, or one of its own messages that cannot be read (protocol 2).
    BadFrame(Box<str>),
    /// The peer took more than 30 s for a large frame, for whose memory others waited (protocol 2).
    SlowFrame,
    /// The peer showed no sign of life for three times [`Limits::heartbeat`](crate::Limits::heartbeat) (protocol 2).
    HeartbeatTimeout,
    /// A queue was full and its policy is [`WhenFull::Disconnect`](crate::connection::WhenFull::Disconnect).
    QueueFull(LimitExceeded),
    /// The peer sent more than [`Limits::messages_per_second`](crate::Limits::messages_per_second) or
    /// [`Limits::bytes_per_second`](crate::Limits::bytes_per_second) for
    /// [`Limits::rate_time`](crate::Limits::rate_time). The number that was found is what the rate allows, and what waited.
    TooFast(LimitExceeded),
    /// The server was shut down.
    Shutdown,
    /// A newer connection with the same id took its place.
    Replaced,
    /// The access token of the peer was taken out of those of the server, its time is over, or it does not allow any more what
    /// the peer was let in with: another id, role, game or seat. The peer is told not to come back.
    Revoked,
    /// The access token of the peer allows less than before, and the peer may have become something in between that it does
    /// not allow now. The peer is told that it may come back.
    Narrowed,
    /// The host has sent the peer away.
    Kicked,
    /// A handler panicked, or the owner of the connection was dropped with the connection still open.
    Aborted,
    /// TLS was broken, or cut ([`TlsFault::Truncated`]).
    Tls(TlsFault),
    /// The operating system reported another error.
    Io(io::ErrorKind),
}

impl CloseReason {
    /// A stable name for programs, logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::PeerBye | Self::PeerByeWith(_) => "peer_bye",
            Self::Rejected => "rejected",
            Self::LocalBye => "local_bye",
            Self::EndOfStream { .. } => "end_of_stream",
            Self::Reset => "reset",
            Self::IdleTimeout => "idle_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::ProtocolError(_) => "protocol_error",
            Self::UnsupportedFrame(_) => "unsupported_frame",
            Self::BadFrame(_) => "bad_frame",
            Self::SlowFrame => "slow_frame",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::QueueFull(_) => "queue_full",
            Self::TooFast(_) => "too_fast",
            Self::Shutdown => "shutdown",
            Self::Replaced => "replaced",
            Self::Revoked => "revoked",
            Self::Narrowed => "narrowed",
            Self::Kicked => "kicked",
            Self::Aborted => "aborted",
            Self::Tls(TlsFault::Truncated) => "truncated",
            Self::Tls(_) => "tls",
            Self::Io(_) => "io",
        }
    }

    /// True if the connection ended as the protocol wants it: by `BYE` from either side, for
    /// whatever reason this side had to say it. A [rejection](Self::Rejected) is no such end: there was no
    /// conversation.
    pub const fn is_orderly(&self) -> bool {
        matches!(
            self,
            Self::PeerBye
                | Self::PeerByeWith(_)
                | Self::LocalBye
                | Self::Shutdown
                | Self::Replaced
                | Self::Revoked
                | Self::Narrowed
                | Self::Kicked
        )
    }

    /// True if the peer said `BYE`, with a reason or without.
    pub const fn is_peer_bye(&self) -> bool {
        matches!(self, Self::PeerBye | Self::PeerByeWith(_))
    }

    /// True if the peer said `BYE`, also at once behind its hello: it is owed nothing.
    pub(crate) const fn is_peers(&self) -> bool {
        self.is_peer_bye() || matches!(self, Self::Rejected)
    }

    /// The reason that the peer gave, if it did: code and text.
    pub const fn words(&self) -> Option<&Bye> {
        match self {
            Self::PeerByeWith(bye) => Some(bye),
            _ => None,
        }
    }

    /// The reason as the peer is told it, in protocol 2.
    pub(crate) fn to_bye(&self) -> Bye {
        let text = match self {
            Self::LocalBye => return Bye::new(Bye::PLAIN, ""),
            Self::UnsupportedFrame(_) => return Bye::new("unsupported", self.to_string()),
            Self::Aborted => "the connection was given up".into(),
            Self::Replaced | Self::Revoked | Self::Kicked => {
                return Bye::new(self.as_str(), self.to_string()).may_return(false);
            }
            Self::Narrowed => {
                return Bye::new(self.as_str(), self.to_string()).may_return(true);
            }
            Self::IdleTimeout | Self::HeartbeatTimeout => "nothing was heard for too long".into(),
            other => other.to_string(),
        };
        Bye::new(self.as_str(), text)
    }

    /// True if the peer may still read: then it is owed the frames that wait, and a `BYE`.
    pub const fn peer_may_read(&self) -> bool {
        !matches!(
            self,
            Self::PeerBye
                | Self::PeerByeWith(_)
                | Self::Rejected
                | Self::Reset
                | Self::WriteTimeout
                | Self::Tls(_)
                | Self::Io(_)
        )
    }

    /// The reason for an error of a read or a write.
    pub const fn from_error(kind: io::ErrorKind) -> Self {
        use io::ErrorKind as Kind;
        match kind {
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => Self::Reset,
            // A router or this host may have known meanwhile why nothing is acknowledged: then the system
            // says that when the time is over.
            Kind::TimedOut
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown => Self::WriteTimeout,
            kind => Self::Io(kind),
        }
    }
}

/// A reason is an error so that it can be passed on with `?`. [`CloseReason::is_orderly`] tells whether it is a
/// failure.
impl std::error::Error for CloseReason {}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerBye => f.write_str("the peer said BYE"),
            Self::PeerByeWith(bye) => write!(f, "the peer said BYE: {bye}"),
            Self::Rejected => f.write_str(
                "the server said BYE right behind its hello: the id is in use, the server is full, or it refuses this client",
            ),
            Self::LocalBye => f.write_str("this side said BYE"),
            Self::EndOfStream { mid_frame: false } => f.write_str("the peer closed without BYE"),
            Self::EndOfStream { mid_frame: true } => {
                f.write_str("the peer closed in the middle of a frame")
            }
            Self::Reset => f.write_str("the peer reset the connection"),
            Self::IdleTimeout => f.write_str("the peer was silent for too long"),
            Self::WriteTimeout => f.write_str("the peer took no bytes for too long"),
            Self::ProtocolError(limit) => write!(f, "the peer broke the protocol: {limit}"),
            Self::UnsupportedFrame(kind) => {
                write!(f, "a frame of kind {kind}, which is not known, arrived")
            }
            Self::BadFrame(what) => write!(f, "a frame that is none arrived: {what}"),
            Self::SlowFrame => {
                f.write_str("a large frame took too long, for whose memory others waited")
            }
            Self::HeartbeatTimeout => f.write_str("the peer showed no sign of life for too long"),
            Self::QueueFull(limit) => write!(f, "a queue was full: {limit}"),
            Self::TooFast(limit) => write!(f, "the peer sent too much for too long: {limit}"),
            Self::Shutdown => f.write_str("the server was shut down"),
            Self::Replaced => f.write_str("a newer connection has the same id"),
            Self::Revoked => f.write_str("the access token is not valid any more for this client"),
            Self::Narrowed => f.write_str("the access token allows less than before"),
            Self::Kicked => f.write_str("the host has ended the connection"),
            Self::Aborted => f.write_str("the connection's task was aborted"),
            Self::Tls(fault) => fault.fmt(f),
            Self::Io(kind) => write!(f, "input/output error: {kind}"),
        }
    }
}
