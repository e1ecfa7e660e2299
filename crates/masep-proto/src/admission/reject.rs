//! The reasons for which a server does not take a connection.

use std::time::Duration;

use bytestring::ByteString;

use crate::access::{Denial, Forbidden, Subject, Unauthorized};
use crate::connection::HelloFailure;
use crate::protocol2::{Protocol, Rejected};
use crate::tls::TlsFault;
use crate::{HelloError, LimitExceeded, PeerId};

/// The reason why a server did not take a connection.
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
    /// The first frame is no hello.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// The id is in use, and [`Duplicates::Refuse`](super::Duplicates::Refuse) applies.
    #[error("the id {0:?} is in use")]
    DuplicateId(PeerId),
    /// The server has as many connections as it may.
    #[error(transparent)]
    TooManyConnections(LimitExceeded),
    /// The server stopped accepting.
    #[error("the server has stopped accepting")]
    Stopped,
    /// The client speaks this generation of the protocol, which the server does not.
    #[error("it speaks {0}, and the server does not")]
    OtherProtocol(Protocol),
    /// The client speaks TLS and should not, or should and does not, or not as this side does.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// The host, who was asked, did not admit it. This is what the client was told.
    #[error("not admitted: {0}")]
    Rejected(Rejected),
    /// The host, who was asked, did not decide within
    /// [`ServerLimits::decision_time`](crate::ServerLimits::decision_time).
    #[error("no decision within {0:?}")]
    Undecided(Duration),
    /// The server has access tokens, and the client has no valid one. It is told that one is needed, and nothing else.
    #[error(transparent)]
    Unauthorized(Unauthorized),
    /// Its access token does not allow what it wants to be.
    #[error(transparent)]
    Forbidden(Forbidden),
    /// The host keeps it out.
    #[error("{0} is banned")]
    Banned(Subject),
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
            Self::OtherProtocol(_) => "other_protocol",
            Self::Tls(fault) => fault.as_str(),
            Self::Rejected(_) => "denied",
            Self::Undecided(_) => "undecided",
            Self::Unauthorized(_) => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::Banned(_) => "banned",
        }
    }
}

/// The failure of a connection that was not open yet, as a server tells it.
impl From<HelloFailure> for RejectReason {
    fn from(failure: HelloFailure) -> Self {
        match failure {
            HelloFailure::TimedOut(time) => Self::HelloTimeout(time),
            HelloFailure::Closed | HelloFailure::Io(_) | HelloFailure::Bad(HelloError::Bye) => {
                Self::ClosedBeforeHello
            }
            HelloFailure::Bad(error) => Self::Hello(error),
            HelloFailure::Refused => Self::Stopped,
            HelloFailure::OtherProtocol(protocol) => Self::OtherProtocol(protocol),
            HelloFailure::Tls(fault) => Self::Tls(fault),
            // Those are a client's.
            HelloFailure::ConnectAgain
            | HelloFailure::Rejected(_)
            | HelloFailure::OtherProfile(_) => Self::ClosedBeforeHello,
        }
    }
}

impl From<Denial> for RejectReason {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Unauthorized(why) => Self::Unauthorized(why),
            Denial::Forbidden(why) => Self::Forbidden(why),
        }
    }
}

/// The time after which a client may come again that was refused for lack of places or of a decision, or because the server
/// stops, in milliseconds.
const RETRY_MS: u64 = 1_000;

impl Rejected {
    /// The server lacks something for the client now, which may come again soon.
    pub fn too_many_connections(text: impl Into<ByteString>) -> Self {
        Self::new("too_many_connections", text).retry_ms(RETRY_MS)
    }
}

/// The reason as a client of protocol 2 is told it.
impl From<&RejectReason> for Rejected {
    fn from(reason: &RejectReason) -> Self {
        match reason {
            RejectReason::Rejected(rejected) => rejected.clone(),
            RejectReason::TooManyConnections(_)
            | RejectReason::CrowdedOut
            | RejectReason::Undecided(_)
            // One that was started anew may listen there soon.
            | RejectReason::Stopped => {
                Self::new(reason.as_str(), reason.to_string()).retry_ms(RETRY_MS)
            }
            // The same words whatever is wrong with the token, or with whom there is a ban for.
            RejectReason::Unauthorized(_) => {
                Self::new(reason.as_str(), "a valid access token is needed here")
            }
            RejectReason::Banned(_) => Self::new(reason.as_str(), "the host keeps this peer out"),
            _ => Self::new(reason.as_str(), reason.to_string()),
        }
    }
}
