//! Errors that end a verb before it is done.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use masep::tls::{CertificateFault, TlsFault};
use masep::{
    Address, CloseReason, ConnectError, ConnectErrorKind, ConnectPhase, PeerId, Rejected, Target,
    TlsError,
};

use masep_proto::{HelloError, discovery};

use crate::status::Status;

/// The reason why a verb could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The reader of standard output is gone: an end, but nobody's fault.
    #[error("standard output was closed")]
    StdoutClosed,
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Stdout(#[source] io::Error),
    /// A token that is printed once was not.
    #[error("the token is not kept, because nobody has it: {0}")]
    NotPrinted(Box<Self>),
    /// Nobody read standard output when it was time to end.
    #[error("standard output was not read within {}: the last events are lost", humantime::format_duration(*.0))]
    StdoutNotRead(Duration),
    /// Standard input cannot be read.
    #[error("cannot read standard input: {0}")]
    Stdin(#[source] io::Error),
    /// The arguments do not make sense.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be used, or does not have what was named.
    #[error("{0}")]
    Unusable(String),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The operating system has no thread, signal or timer for us.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen { address: String, reason: String },
    /// The LAN search cannot be answered.
    #[error("cannot announce the server on the LAN, at UDP {group}:{port}: {0}", group = discovery::GROUP, port = discovery::PORT)]
    Announce(#[source] io::Error),
    /// The LAN cannot be searched.
    #[error("cannot search the LAN, at UDP {group}:{port}: {0}", group = discovery::GROUP, port = discovery::PORT)]
    Search(#[source] io::Error),
    /// No server answered the LAN search.
    #[error("no server answered the search on the LAN within {}", humantime::format_duration(*.0))]
    NothingFound(Duration),
    /// There is no connection to the server.
    #[error("{}", connect_sentence(.0))]
    Connect(#[source] ConnectError),
    /// The server refused the connection.
    #[error("rejected by {peer:?} at {address}: {reason}")]
    Rejected {
        peer: PeerId,
        address: Address,
        reason: CloseReason,
    },
    /// The server refused a player, and said why.
    #[error("{}", refusal_sentence(place, rejected))]
    PlayerRejected {
        place: String,
        rejected: Box<Rejected>,
    },
    /// A player lost its connection, and did not get it back.
    #[error("lost the connection to {place}, and it did not come back: {reason}")]
    PlayerLost { place: String, reason: String },
    /// The connection ended in order, but not all was sent.
    #[error(
        "the connection to {peer:?} at {address} has ended, not all was sent: frames that were not: {frames}"
    )]
    NotSent {
        peer: PeerId,
        address: Address,
        frames: usize,
    },
    /// The connection ended as it should not.
    #[error("lost the connection to {peer:?} at {address}: {reason}")]
    ConnectionLost {
        peer: PeerId,
        address: Address,
        reason: CloseReason,
    },
    /// A certificate cannot be made, or its files cannot be used.
    #[error("{0}")]
    Certificate(String),
    /// The demo's game did not come to its end.
    #[error(transparent)]
    Demo(#[from] crate::demo::DemoError),
}

impl Error {
    /// The error of a write to standard output.
    pub(crate) fn stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::StdoutClosed,
            _ => Self::Stdout(error),
        }
    }

    /// The error of an attempt to connect; if there was a search on the LAN, it took so long.
    pub(crate) fn connect(error: ConnectError, searched: Duration) -> Self {
        match (error.phase, &error.kind) {
            (ConnectPhase::Discover, ConnectErrorKind::NotFound) => Self::NothingFound(searched),
            _ => Self::Connect(error),
        }
    }

    /// For the error of a file that cannot be written.
    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// The error of an address that cannot be listened on.
    pub(crate) fn listen(address: &Target, source: &io::Error) -> Self {
        // The library names the address too; here it is named as it was given.
        let inner = source.get_ref();
        let tls = inner.and_then(|inner| inner.downcast_ref::<TlsError>());
        let of_system = inner
            .and_then(|inner| inner.source())
            .filter(|_| tls.is_none());
        let mut reason = of_system.map_or_else(|| source.to_string(), ToString::to_string);
        if matches!(tls, Some(TlsError::NeedsCertificate)) {
            reason += ": --tls-cert and --tls-key, which masep cert makes";
        }
        Self::Listen {
            address: address.to_string(),
            reason,
        }
    }

    /// The same of a server with two addresses: the library says which.
    pub(crate) fn listen_either(address: &Target, source: &io::Error) -> Self {
        let text = source.to_string();
        let parts = text
            .strip_prefix("cannot listen on ")
            .and_then(|it| it.split_once(": "));
        match parts {
            Some((address, reason)) => Self::Listen {
                address: address.to_owned(),
                reason: reason.to_owned(),
            },
            None => Self::listen(address, source),
        }
    }

    /// True if trying again can help: the server is not there yet, or not ready.
    pub(crate) const fn may_pass(&self) -> bool {
        match self {
            Self::NothingFound(_) => true,
            Self::Connect(error) => match &error.kind {
                ConnectErrorKind::Hello(_)
                | ConnectErrorKind::OtherProtocol(_)
                | ConnectErrorKind::Profile(_)
                | ConnectErrorKind::Address(_)
                | ConnectErrorKind::Token(_)
                | ConnectErrorKind::TlsSettings(_)
                | ConnectErrorKind::Tls(TlsFault::Certificate(_)) => false,
                // A server that has no place says when there may be one.
                ConnectErrorKind::Rejected(rejected) => rejected.retry_ms.is_some(),
                _ => true,
            },
            _ => false,
        }
    }

    /// The exit status of the program for it.
    pub(crate) const fn status(&self) -> Status {
        match self {
            // The reader of the output has all that it wanted (`masep decode | head -1`).
            Self::StdoutClosed => Status::Done,
            Self::Usage(_) => Status::Usage,
            Self::Connect(ConnectError {
                kind: ConnectErrorKind::Rejected(_),
                ..
            }) => Status::Rejected,
            Self::Connect(ConnectError {
                kind: ConnectErrorKind::TlsSettings(error),
                ..
            }) if !matches!(error, TlsError::Name(_) | TlsError::PlainScheme(_)) => Status::Failed,
            // Nothing was said to the server.
            Self::Connect(ConnectError {
                kind:
                    ConnectErrorKind::Address(_)
                    | ConnectErrorKind::Token(_)
                    | ConnectErrorKind::TlsSettings(_),
                ..
            }) => Status::Usage,
            Self::Connect(_) | Self::NothingFound(_) => Status::NoConnection,
            Self::ConnectionLost { .. } | Self::PlayerLost { .. } => Status::ConnectionLost,
            Self::Rejected { .. } | Self::PlayerRejected { .. } => Status::Rejected,
            Self::NotSent { .. } => Status::NotSent,
            _ => Status::Failed,
        }
    }
}

/// The error in words: the attempt, the peer, and the event that was awaited.
fn connect_sentence(error: &ConnectError) -> String {
    use ConnectErrorKind as Kind;
    let ConnectError {
        phase,
        target,
        kind,
        ..
    } = error;
    let reason = match kind {
        Kind::TimedOut(time) => {
            format!("no answer within {}", humantime::format_duration(*time))
        }
        Kind::NotFound => "it has no address".to_owned(),
        kind => match hint(kind) {
            Some(hint) => format!("{kind} ({hint})"),
            None => kind.to_string(),
        },
    };
    match (phase, kind) {
        (ConnectPhase::Discover, _) => format!("cannot search the LAN: {reason}"),
        (ConnectPhase::Resolve, _) => format!("cannot find the address of {target}: {reason}"),
        (ConnectPhase::Hello, Kind::TimedOut(time)) => format!(
            "{target} took the connection, but said no hello within {}: is it a masep or pymasep \
             server?",
            humantime::format_duration(*time)
        ),
        (ConnectPhase::Hello, Kind::Closed) => format!(
            "{target} took the connection, but closed it without a hello: is it a masep or pymasep \
             server?"
        ),
        (ConnectPhase::Hello, Kind::Rejected(rejected)) => refusal_sentence(target, rejected),
        (ConnectPhase::Tls, _) => format!("no TLS with {target}: {reason}"),
        (ConnectPhase::Hello, Kind::Hello(error)) if !matches!(error, HelloError::Own(_)) => {
            format!("cannot shake hands with {target}: {reason}: is it a masep or pymasep server?")
        }
        (ConnectPhase::Hello, _) => format!("cannot shake hands with {target}: {reason}"),
        _ => format!("cannot connect to {target}: {reason}"),
    }
}

/// The refusal in words.
fn refusal_sentence(target: impl std::fmt::Display, rejected: &Rejected) -> String {
    let hint = hint_of_refusal(&rejected.code);
    let hint = hint.map_or(String::new(), |hint| format!("; {hint}"));
    format!("rejected by the server at {target}: {rejected}{hint}")
}

/// The way out of an error, for people.
const fn hint(kind: &ConnectErrorKind) -> Option<&'static str> {
    Some(match kind {
        ConnectErrorKind::Tls(TlsFault::Certificate(CertificateFault::Issuer)) => {
            "--tls-ca names the authority to trust; a line of masep token new has it"
        }
        ConnectErrorKind::Tls(TlsFault::Certificate(CertificateFault::Name)) => {
            "--tls-name says the name that it is to have"
        }
        // A variable may be meant for another server.
        ConnectErrorKind::Token(_) => "the token is that of --token-file or MASEP_TOKEN",
        ConnectErrorKind::Tls(TlsFault::NotTls) => "without TLS its address is HOST:PORT",
        _ => return None,
    })
}

/// The way out of a refusal, for people.
pub(crate) fn hint_of_refusal(code: &str) -> Option<&'static str> {
    Some(match code {
        "tls_required" => "its address is masep+tls://HOST:PORT",
        "unsupported_profile" => {
            "its environments are for RemoteEnv of masep.gymnasium and masep.pettingzoo"
        }
        "unauthorized" => "--token-file FILE or the variable MASEP_TOKEN has the token",
        _ => return None,
    })
}
