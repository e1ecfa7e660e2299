//! The way from the first byte to the open connection: the hellos, the verdict, and refusals.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytestring::ByteString;

use super::rates::Rates;
use super::{Config, Connection, Outcome, Phase, Protocols, event};
use crate::hello::read_hello;
use crate::printable::Quoted;
use crate::protocol2::{Bye, Protocol, Rejected, Welcome};
use crate::tls::{FirstBytes, TlsFault};
use crate::{CloseReason, FrameCodec, HelloError, PeerId};

/// The time in which a peer that is refused may finish its hello. A pymasep client sends it in two writes, and
/// fails with an error instead of being told if the stream is closed between them.
const REFUSAL_TIME: Duration = Duration::from_millis(200);
/// The time in which a peer that is not admitted has to take our hello and the `BYE`.
const REFUSAL_WRITE_TIME: Duration = Duration::from_secs(1);
/// The time behind the server's hello in which its `BYE` is a refusal.
const REJECTION_TIME: Duration = Duration::from_millis(200);
/// Bytes that are read, and kept, of a peer that waits for a verdict.
const MOST_AHEAD: usize = 4096;

/// The reason why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloFailure {
    /// There was no whole hello within [`Limits::hello_time`](crate::Limits::hello_time).
    #[error("no hello within {0:?}")]
    TimedOut(Duration),
    /// The peer closed or reset the stream before its hello was whole, or before it had ours.
    #[error("closed before the hello")]
    Closed,
    /// The first frame is no hello.
    #[error(transparent)]
    Bad(#[from] HelloError),
    /// The stream failed.
    #[error("input/output error: {0}")]
    Io(io::ErrorKind),
    /// There is no TLS, where there should be, or it was not agreed on.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// This side gave up, or did not admit the peer.
    #[error("refused by this side")]
    Refused,
    /// The server speaks pymasep's protocol, and this client would speak that too: it connects again, with
    /// [`Protocols::Pymasep`]. Nothing but a whole hello of such a server is told so.
    #[error("the server speaks pymasep's protocol, in which it has to be connected to again")]
    ConnectAgain,
    /// The peer speaks this protocol, which this side does not.
    #[error("the peer speaks {0}, and this side does not")]
    OtherProtocol(Protocol),
    /// The server does not take this client, and says why (protocol 2).
    #[error("rejected by the server: {0}")]
    Rejected(Box<Rejected>),
    /// The server takes this client, but does not speak the profile that it asks for (protocol 2). It was told so, by a BYE
    /// with the code `unsupported_profile`.
    #[error(transparent)]
    OtherProfile(#[from] Box<OtherProfile>),
}

/// A server that has taken a client without the profile for which the client had asked. `{}` shows names as they can be
/// seen: all but `asked` come from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherProfile {
    /// The profile in the client's HELLO.
    pub asked: ByteString,
    /// The profile in the server's WELCOME, if it has one.
    pub spoken: Option<ByteString>,
    /// The server's id.
    pub server: PeerId,
    /// The game that the server says it has.
    pub game: Option<ByteString>,
}

impl OtherProfile {
    /// The fault of this answer to a client that asks for this profile, if it is one. A client that asks for none takes any.
    pub(super) fn of(asked: Option<&ByteString>, welcome: &Welcome) -> Option<Self> {
        let asked = asked.filter(|asked| welcome.profile.as_ref() != Some(asked))?;
        Some(Self {
            asked: asked.clone(),
            spoken: welcome.profile.clone(),
            server: welcome.id.clone(),
            game: welcome.game.clone(),
        })
    }

    /// The word of the client to such a server.
    pub(super) fn to_bye(&self) -> Bye {
        let text = format!("the profile {} was asked for", Quoted(&self.asked));
        Bye::new("unsupported_profile", text)
    }
}

impl std::error::Error for OtherProfile {}

impl fmt::Display for OtherProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, asked) = (Quoted(&self.server), Quoted(&self.asked));
        write!(f, "the server {server} does not speak the profile {asked}")?;
        match &self.spoken {
            Some(spoken) => write!(f, ", but {}", Quoted(spoken))?,
            None => f.write_str(", nor any other")?,
        }
        match &self.game {
            Some(game) => write!(f, "; its game is {}", Quoted(game)),
            None => Ok(()),
        }
    }
}

impl HelloFailure {
    fn from_error(kind: io::ErrorKind) -> Self {
        match CloseReason::from_error(kind) {
            CloseReason::Reset => Self::Closed,
            _ => Self::Io(kind),
        }
    }
}

impl Connection {
    /// For the side that connected, which says hello first.
    pub fn connect(config: Arc<Config>, now: Instant) -> Self {
        let mut this = Self::new(config, Phase::Greeting, true);
        this.phase_until = now.checked_add(this.config.limits.hello_time);
        if this.config.protocols == Protocols::Pymasep {
            this.outbound.say_hello();
        } else {
            this.open_agreement(now);
        }
        this
    }

    /// For the side that was connected to, which hears a hello and then waits for a verdict.
    pub fn accept(config: Arc<Config>, now: Instant) -> Self {
        let mut this = Self::new(config, Phase::Hearing, false);
        this.phase_until = now.checked_add(this.config.limits.hello_time);
        this
    }

    /// Takes the peer, whose hello was heard: it gets ours. The connection is open when that was written.
    pub fn admit(&mut self, now: Instant) {
        if self.phase == Phase::Deciding {
            if self.masep.is_none() {
                self.outbound.say_hello();
                self.answer(now);
            } else {
                self.say_welcome(None, now);
            }
            self.note_change();
        }
    }

    /// Our hello goes out.
    pub(super) fn answer(&mut self, now: Instant) {
        self.phase = Phase::Answering;
        self.phase_until = now.checked_add(self.config.limits.hello_time);
    }

    /// Refuses the peer, whether or not its hello was heard. The peer may finish its hello, for a moment, and
    /// then gets ours and a `BYE`. A `BYE` alone would be our id to an unmodified pymasep client, which then
    /// waits for ever.
    pub fn refuse(&mut self, now: Instant) {
        self.fail(HelloFailure::Refused, now);
        self.note_change();
    }

    /// True if the peer's hello is still to be heard.
    #[inline]
    pub(super) const fn is_in_hello(&self) -> bool {
        matches!(self.phase, Phase::Greeting | Phase::Hearing)
    }

    /// True if the connection has not been open yet.
    pub(super) const fn is_before_open(&self) -> bool {
        matches!(
            self.phase,
            Phase::Greeting | Phase::Hearing | Phase::Deciding | Phase::Answering | Phase::Refusing
        )
    }

    /// True if more is read while the verdict is awaited.
    pub(super) fn may_read_ahead(&self) -> bool {
        self.inbound.rest().len() < MOST_AHEAD
    }

    /// Takes in what has arrived before the connection is open.
    pub(super) fn hear(&mut self, now: Instant) {
        if self.is_in_hello() && self.hears_masep(now) {
            return;
        }
        let heard = match self.phase {
            Phase::Greeting | Phase::Hearing => {
                let limits = &self.config.limits;
                read_hello(
                    self.inbound.rest(),
                    FrameCodec::new(limits),
                    limits.id_bytes,
                )
            }
            Phase::Refusing => return self.hear_refused(now),
            _ => return,
        };
        match heard {
            Ok(None) => {}
            Ok(Some((peer, taken))) => {
                self.inbound.consume(taken);
                self.peer = Some(peer);
                self.phase_until = None;
                let due = self.pattern.end_hello(now);
                self.acknowledge(due);
                if self.connects {
                    self.rejection_until = now.checked_add(REJECTION_TIME);
                    self.open(now);
                } else {
                    self.decide();
                }
            }
            Err(error) => self.fail(HelloFailure::Bad(error), now),
        }
    }

    /// Asks for the verdict.
    pub(super) fn decide(&mut self) {
        self.phase_until = None;
        self.phase = Phase::Deciding;
        self.tell(event::HELLO);
    }

    /// Both sides have said hello.
    pub(super) fn open(&mut self, now: Instant) {
        self.phase = Phase::Open;
        self.phase_until = None;
        self.silent_since = Some(now);
        self.rates = Rates::new(&self.config.limits, now);
        if let Some(hello) = self.masep.as_mut().and_then(|masep| masep.hello.as_mut()) {
            (hello.token, hello.resume, hello.make) = (None, None, None);
        }
        self.tell(event::OPEN);
        // Frames may have come right behind the hello. If a room is out, they are in it.
        self.walks_late = self.inbound.is_out();
        if !self.walks_late {
            self.walk(now);
        }
    }

    /// There will be no connection.
    pub(super) fn fail(&mut self, failure: HelloFailure, now: Instant) {
        if !self.is_before_open() || self.is_settled() {
            return;
        }
        let mid_hello = matches!(failure, HelloFailure::Bad(HelloError::Limit(_)))
            || !self.inbound.rest().is_empty()
            || failure == HelloFailure::Refused;
        let is_awaited = self.phase == Phase::Hearing && !self.input_over && mid_hello;
        let is_broken = matches!(failure, HelloFailure::Io(_));
        let is_told = self.is_told(&failure);
        self.outcome = Outcome::Failed(failure);
        self.tell(event::FAILED);
        if is_broken {
            self.give_up();
        } else if is_told || self.is_layer_broken() {
            self.part(now);
        } else if is_awaited && !self.is_hurried && !self.is_hello_whole() {
            self.phase = Phase::Refusing;
            self.phase_until = now.checked_add(REFUSAL_TIME);
        } else if self.may_have_spoken() {
            self.phase = Phase::Refusing;
            self.phase_until = Some(now);
            self.probes = true;
        } else {
            self.say_refusal(now);
        }
    }

    /// True if the failure is one of the layer below, in which nothing can be said.
    const fn is_layer_broken(&self) -> bool {
        let Outcome::Failed(HelloFailure::Tls(fault)) = &self.outcome else {
            return false;
        };
        !matches!(fault, TlsFault::Required | TlsFault::Unexpected)
    }

    /// True if the first bytes of a peer that is told at once what becomes of it may have arrived and were not read. One
    /// of protocol 2 that is answered in pymasep's would come back with that.
    fn may_have_spoken(&self) -> bool {
        self.phase == Phase::Hearing
            && self.is_hurried
            && !self.input_over
            && !self.inbound.is_out()
            && self.inbound.rest().is_empty()
            && self.protocols() != Protocols::Pymasep
    }

    /// The stream failed before the connection was open.
    pub(super) fn fail_stream(&mut self, kind: io::ErrorKind, now: Instant) {
        if self.is_settled() {
            return self.give_up();
        }
        self.fail(HelloFailure::from_error(kind), now);
        if !self.is_over() {
            self.give_up();
        }
    }

    fn hear_refused(&mut self, now: Instant) {
        if self.is_hurried || self.is_hello_whole() {
            self.say_refusal(now);
        }
    }

    /// True if all bytes of the first frame have arrived; of protocol 2, of the first control message.
    fn is_hello_whole(&self) -> bool {
        let heard = self.inbound.rest();
        if self.is_masep_partial() {
            return false;
        }
        if FirstBytes::of(heard) == FirstBytes::Tls {
            return true;
        }
        FrameCodec::claimed_bytes(heard).is_some_and(|whole| whole <= heard.len())
    }

    /// Says hello, if that was not said, and `BYE`.
    pub(super) fn say_refusal(&mut self, now: Instant) {
        let was_silent = matches!(
            self.phase,
            Phase::Hearing | Phase::Deciding | Phase::Refusing
        );
        self.outbound.clear();
        if self.speaks_masep() {
            self.say_masep_refusal(was_silent, now);
        } else if was_silent {
            self.outbound.say_hello();
        }
        debug_assert_eq!(self.bye, super::Bye::Unsaid);
        self.inbound.discard_rest();
        self.phase = Phase::Draining;
        self.phase_until = now.checked_add(REFUSAL_WRITE_TIME);
    }
}
