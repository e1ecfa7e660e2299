//! The errors of this crate's calls.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use masep_proto::admission::RejectReason;
use masep_proto::connection::{HelloFailure, OtherProfile, PushError, TooLarge};
use masep_proto::protocol2::{Protocol, Rejected};
use masep_proto::tls::TlsFault;
use masep_proto::{
    DecodeError, EncodeError, Encoding, Frame, HelloError, LimitExceeded, Message, PeerId,
};

use crate::{Address, CloseReason, InvalidAddress};

/// The reason why a frame was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The frame is too large for the peer, or for its protocol: the error names the peer, the limit and the way out.
    /// Nothing was sent and the connection lives on.
    #[error(transparent)]
    TooLarge(TooLarge),
    /// The message cannot be encoded. Nothing was sent and the connection lives on.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The queue has no room now (only calls that do not wait say so).
    #[error("no room in the queue: {0}")]
    Full(#[source] LimitExceeded),
    /// The connection has ended.
    #[error("the connection has ended: {0}")]
    Closed(#[source] CloseReason),
    /// No connection has this id.
    #[error("no connection with the id {0:?}")]
    UnknownPeer(PeerId),
    /// Some connections cannot be sent it, and live on; the others have it. Only calls that send to all fail so.
    #[error(transparent)]
    Undelivered(Box<Undelivered>),
}

/// The outcome of sending one thing to all connections of which some cannot be sent it: they speak a protocol that has no
/// form for it, or take no frames of that size.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undelivered {
    /// To how many connections it was sent.
    pub sent: usize,
    /// The peers that did not get it, and why.
    pub peers: Vec<(PeerId, SendError)>,
}

impl std::error::Error for Undelivered {}

/// The number of peers that did not get it, and the first of them.
impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (refused, sent) = (self.peers.len(), self.sent);
        write!(f, "{sent} of {} peers were sent it", refused + sent)?;
        match self.peers.first() {
            Some((peer, error)) => write!(f, "; not {peer:?}: {error}"),
            None => Ok(()),
        }
    }
}

/// Those who were not sent what all were to be sent.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Vec<(PeerId, SendError)>);

impl Refusals {
    pub(crate) fn add(&mut self, peer: &PeerId, error: SendError) {
        self.0.push((peer.clone(), error));
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The outcome, where so many got it. If nobody could, the first error stands for all.
    pub(crate) fn outcome(mut self, sent: usize) -> Result<usize, SendError> {
        if self.0.is_empty() {
            return Ok(sent);
        }
        let is_full = |(_, error): &(PeerId, SendError)| matches!(error, SendError::Full(_));
        if sent == 0 && !self.0.iter().any(is_full) {
            return Err(self.0.swap_remove(0).1);
        }
        Err(SendError::Undelivered(Box::new(Undelivered {
            sent,
            peers: self.0,
        })))
    }
}

impl From<PushError> for SendError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Form(error) => Self::Encode(error),
            PushError::TooLarge(error) => Self::TooLarge(error),
            PushError::Full(limit) => Self::Full(limit),
            PushError::Closed(reason) => Self::Closed(reason),
        }
    }
}

/// The reason why a call that receives and does not wait has no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TryRecvError {
    /// No frame has arrived that nobody has received. One can still come.
    #[error("no frame has arrived")]
    Empty,
    /// The connection has ended, and all that came before was given.
    #[error("the connection has ended: {0}")]
    Closed(#[source] CloseReason),
}

/// The reason why a call that receives for some time has no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecvTimeoutError {
    /// No frame came in that time. One can still come.
    #[error("no frame came in the time that was given")]
    TimedOut,
    /// The connection has ended, and all that came before was given.
    #[error("the connection has ended: {0}")]
    Closed(#[source] CloseReason),
}

/// The reason why a call that receives messages has none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvMessageError {
    /// The connection has ended, and all that came before was given.
    #[error("the connection has ended: {0}")]
    Closed(#[source] CloseReason),
    /// A frame came that is no message, or over a bound. The connection lives on.
    #[error("a frame is no message: {error}")]
    Decode {
        /// The fault and its place.
        #[source]
        error: DecodeError,
        /// The frame that came.
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

/// The reason why a server gives out no connection, now and ever after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The server has stopped accepting, and all connections were given out.
    #[error("the server has stopped accepting")]
    Stopped,
    /// The server has a handler, which gets them all.
    #[error("the connections of this server go to its handler")]
    Handled,
    /// The server was not told to ask about connections.
    #[error("this server does not ask about its connections")]
    AsksNobody,
}

/// The reason why a server gave out no connection in some time.
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
    /// As [`AcceptError::AsksNobody`].
    #[error("this server does not ask about its connections")]
    AsksNobody,
}

impl From<AcceptTimeoutError> for AcceptError {
    /// The error for a call without a time, which is never over.
    fn from(error: AcceptTimeoutError) -> Self {
        match error {
            AcceptTimeoutError::TimedOut | AcceptTimeoutError::Stopped => Self::Stopped,
            AcceptTimeoutError::Handled => Self::Handled,
            AcceptTimeoutError::AsksNobody => Self::AsksNobody,
        }
    }
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
    /// Agreeing on TLS with the server.
    Tls,
    /// Waiting for the server's hello.
    Hello,
}

impl fmt::Display for ConnectPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discover => "looking for a server on",
            Self::Resolve => "resolving",
            Self::Connect => "connecting to",
            Self::Tls => "agreeing on TLS with",
            Self::Hello => "waiting for the hello of",
        })
    }
}

/// The reason why there is no connection: the phase, the address, and the error.
///
/// ```no_run
/// use masep::{Client, ConnectErrorKind};
///
/// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
/// match Client::builder("agent").connect("engine.lan:60000").await {
///     Ok(client) => client.connection().send("hello").await?,
///     Err(error) => match &error.kind {
///         ConnectErrorKind::Rejected(rejected) => println!("it refuses this client: {}", rejected.code),
///         ConnectErrorKind::TimedOut(_) => println!("try again: {error}"),
///         _ => return Err(error.into()),
///     },
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{phase} {target}: {kind}")]
#[non_exhaustive]
pub struct ConnectError {
    /// The phase that failed. For several addresses: of the last one that was tried.
    pub phase: ConnectPhase,
    /// The address as it was given, or the one of several that was tried last.
    pub target: String,
    /// The error.
    #[source]
    pub kind: ConnectErrorKind,
}

impl ConnectError {
    /// Behind the connection of the network: TLS, or the hello.
    pub(crate) fn in_hello(target: String, kind: ConnectErrorKind) -> Self {
        let is_tls = matches!(
            kind,
            ConnectErrorKind::Tls(_) | ConnectErrorKind::TlsSettings(_)
        );
        let phase = if is_tls {
            ConnectPhase::Tls
        } else {
            ConnectPhase::Hello
        };
        Self {
            phase,
            target,
            kind,
        }
    }
}

/// The error in a phase of a connection attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// The phase took longer than its limit.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The text is no address.
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
    /// The server does not take this client, and says why: code and text. Only servers of protocol 2 do; for others see
    /// [`CloseReason::Rejected`].
    #[error("rejected by the server: {0}")]
    Rejected(Box<Rejected>),
    /// The server speaks this generation of the protocol, and this client was told to speak another one: by the scheme of
    /// the address, or by its builder.
    #[error("the server speaks {0}, and this client was told to speak another")]
    OtherProtocol(Protocol),
    /// The access token is not sent on such a connection. Nothing was said to the server.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The server does not speak the profile that this client asks for, or cannot be asked for one.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// TLS failed, or the server does not speak it: its certificate is not accepted, for example.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// The settings for TLS cannot be used. Nothing was said to the server.
    #[error(transparent)]
    TlsSettings(#[from] TlsError),
    /// The operating system reported an error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The reason why TLS cannot be used as it was asked for. It is the caller's error.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: Arc<io::Error>,
    },
    /// The text of a certificate or key is no PEM: its place, and the fault.
    #[error("{0}: {1}")]
    Pem(String, &'static str),
    /// There is no certificate in this place.
    #[error("{0}: there is no certificate in it")]
    NoCertificate(String),
    /// There is no private key in this place.
    #[error("{0}: there is no private key in it")]
    NoKey(String),
    /// A certificate or a key is of no use, or they do not belong together.
    #[error("the certificate or its key cannot be used: {0}")]
    Certificate(String),
    /// The system has no authorities that could be trusted.
    #[error("no authorities of the system were found, so name one (a CA): {0}")]
    NoAuthorities(String),
    /// This is no name that a certificate could have.
    #[error("{0:?} is no name that a certificate could have")]
    Name(String),
    /// The cryptography that was given cannot do what is needed.
    #[error("the provider of cryptography: {0}")]
    Provider(String),
    /// TLS was asked for, and the scheme of the address says that there is none.
    #[error("TLS was asked for, and {0}:// is without it: expected masep+tls://HOST:PORT")]
    PlainScheme(&'static str),
    /// An address says that there is TLS, and a server has no certificate.
    #[error("masep+tls:// needs a certificate and a key")]
    NeedsCertificate,
    /// The program was built without the feature `tls`.
    #[error("this program was built without TLS: masep's feature `tls` is off")]
    Absent,
}

impl TlsError {
    /// A server is to speak TLS, and has nothing for it.
    pub(crate) const fn no_server() -> Self {
        if cfg!(feature = "tls") {
            Self::NeedsCertificate
        } else {
            Self::Absent
        }
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

/// The reason why a client sends no access token. It is the caller's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Others could read it on the way: it is sent in TLS (`masep+tls://`) and over Unix sockets alone.
    #[error(
        "an access token is sent in TLS (masep+tls://) and over Unix sockets alone, since others could read it on the way"
    )]
    Unprotected,
    /// pymasep's protocol, which this client was told to speak, has no place for it.
    #[error("pymasep's protocol has no place for an access token")]
    NoPlace,
}

/// The reason why a client does not get the profile that it asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The server takes this client, but does not say that it speaks this profile: it is another one than was meant. It was
    /// told so, by a BYE with the code `unsupported_profile`.
    #[error(transparent)]
    NotSpoken(Box<OtherProfile>),
    /// pymasep's protocol, which this client was told to speak, has no profiles. It is the caller's error.
    #[error("pymasep's protocol has no profiles, and this client asks for one")]
    NoPlace,
}

impl From<HelloFailure> for ConnectErrorKind {
    fn from(failure: HelloFailure) -> Self {
        match failure {
            HelloFailure::TimedOut(time) => Self::TimedOut(time),
            HelloFailure::Bad(error) => Self::Hello(error),
            HelloFailure::Io(kind) => Self::Io(kind.into()),
            HelloFailure::Tls(fault) => Self::Tls(fault),
            HelloFailure::Rejected(rejected) => Self::Rejected(rejected),
            HelloFailure::OtherProfile(other) => Self::Profile(ProfileError::NotSpoken(other)),
            HelloFailure::OtherProtocol(protocol) => Self::OtherProtocol(protocol),
            // Over one stream nobody can connect again.
            HelloFailure::ConnectAgain => Self::OtherProtocol(Protocol::Pymasep),
            _ => Self::Closed,
        }
    }
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
