//! The agreement of two sides on protocol 2: the first bytes, HELLO, and the answer to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hand_over::Heard;
use super::masep::{Masep, PONG_IN_CALL};
use super::{Connection, HelloFailure, OtherProfile, Outcome, Phase, Protocols};
use crate::admission::{Refusal, RejectReason};
use crate::framing::Next;
use crate::protocol2::preamble::{self, First};
use crate::protocol2::{Control, Hello, Protocol, Rejected, Welcome};
use crate::tls::{FirstBytes, TlsFault};
use crate::{CloseReason, HelloError, LimitExceeded};

/// The generation that this side speaks beside pymasep's.
pub(super) const VERSION: u16 = Protocol::Masep2.number();

impl Connection {
    /// The client's first bytes: to a server of pymasep's protocol a client that comes and goes. An access token is for
    /// a server of protocol 2 alone: then HELLO waits until that has said its own first bytes.
    pub(super) fn open_agreement(&mut self, now: Instant) {
        let mut masep = Box::new(Masep::new(now));
        if self.awaits_preamble() {
            masep.say_preamble(preamble::CLIENT);
            self.masep = Some(masep);
        } else {
            self.masep = Some(masep);
            self.say_hello(now);
        }
    }

    /// True if HELLO waits for the server's first bytes. In TLS it is known already what the server speaks.
    fn awaits_preamble(&self) -> bool {
        self.config.offer.token.is_some() && !self.config.tls
    }

    /// The generations of the protocol that this side speaks here: in TLS, protocol 2 alone.
    pub(super) fn protocols(&self) -> Protocols {
        if self.layer.secure {
            Protocols::Masep2
        } else {
            self.config.protocols
        }
    }

    fn say_hello(&mut self, now: Instant) {
        let hello = self.config.own_hello();
        let Some(masep) = &mut self.masep else {
            return;
        };
        let said = masep.say_first(preamble::CLIENT, &Control::Hello(Box::new(hello)));
        if let Err(error) = said {
            self.fail(HelloFailure::Bad(error.into()), now);
        }
    }

    /// Looks whether what has arrived is protocol 2, and takes it in if it is: false if it is for pymasep's protocol.
    pub(super) fn hears_masep(&mut self, now: Instant) -> bool {
        if self.connects {
            self.hears_server(now)
        } else {
            self.hears_client(now)
        }
    }

    fn hears_client(&mut self, now: Instant) -> bool {
        if let Some(fault) = self.tls_fault() {
            self.fail(HelloFailure::Tls(fault), now);
            return true;
        }
        if self.masep.is_none() {
            match preamble::of_client(self.inbound.rest()) {
                First::Undecided => return false,
                First::Partial => return true,
                First::Id => {
                    if self.protocols() != Protocols::Masep2 {
                        return false;
                    }
                    self.fail(HelloFailure::OtherProtocol(Protocol::Pymasep), now);
                    return true;
                }
                First::Preamble { generation, bytes } => {
                    if self.protocols() == Protocols::Pymasep {
                        self.fail(HelloFailure::OtherProtocol(Protocol::Masep2), now);
                        return true;
                    }
                    if generation < VERSION {
                        let error = HelloError::Version(generation, generation);
                        self.fail(HelloFailure::Bad(error), now);
                        return true;
                    }
                    self.begin_masep(bytes, now);
                    self.answer_preamble();
                }
                First::Bad => {
                    self.fail(HelloFailure::Bad(HelloError::Preamble), now);
                    return true;
                }
            }
        }
        match self.first_message() {
            Ok(None) => {}
            Ok(Some(Control::Hello(hello))) => self.hear_hello(hello, now),
            Ok(Some(_)) => self.fail(HelloFailure::Bad(HelloError::Preamble), now),
            Err(error) => self.fail(HelloFailure::Bad(error), now),
        }
        true
    }

    /// The fault in the first bytes of a client, if it is that they are in TLS or not.
    fn tls_fault(&self) -> Option<TlsFault> {
        if self.layer.secure || self.inbound.rest().is_empty() {
            None
        } else if self.config.tls {
            Some(TlsFault::Required)
        } else if FirstBytes::of(self.inbound.rest()) == FirstBytes::Tls {
            Some(TlsFault::Unexpected)
        } else {
            None
        }
    }

    /// Says the server's first bytes if the client may wait for them: where nothing is behind its own.
    fn answer_preamble(&mut self) {
        if self.inbound.rest().is_empty()
            && let Some(masep) = &mut self.masep
        {
            masep.say_preamble(preamble::SERVER);
        }
    }

    /// The first bytes were those of protocol 2, and so many.
    fn begin_masep(&mut self, bytes: usize, now: Instant) {
        self.inbound.consume(bytes);
        let masep = self.masep.get_or_insert_with(|| Box::new(Masep::new(now)));
        masep.is_heard = true;
        // The peer's way to write, as the first reads told it, is not for this protocol.
        self.pattern = Default::default();
        let due = self.pattern.end_hello(now);
        self.acknowledge(due);
    }

    /// The first control message, when it has arrived whole.
    fn first_message(&mut self) -> Result<Option<Control>, HelloError> {
        match self.framing().scan(self.inbound.rest()) {
            Next::Partial { .. } => Ok(None),
            Next::TooLarge(limit) => Err(HelloError::Limit(limit)),
            Next::Control(kind, extent) => {
                let payload = &self.inbound.rest()[extent.header..extent.header + extent.body];
                let message = Control::decode(kind, payload).map_err(HelloError::Control)?;
                let Some(message) = message else {
                    return Err(HelloError::Preamble);
                };
                if let (Control::Hello(_), Some(masep)) = (&message, &mut self.masep) {
                    let hello = &self.inbound.rest()[..extent.whole()];
                    masep.heard = Some(Heard::hello(hello));
                }
                self.inbound.consume(extent.whole());
                Ok(Some(message))
            }
            Next::Frame(_) | Next::Bye | Next::Refused(_) => Err(HelloError::Preamble),
        }
    }

    fn hear_hello(&mut self, hello: Box<Hello>, now: Instant) {
        let (least, most) = hello.versions;
        if !(least..=most).contains(&VERSION) {
            return self.fail(HelloFailure::Bad(HelloError::Version(least, most)), now);
        }
        if let Err(error) = self.check_id(&hello.id) {
            return self.fail(HelloFailure::Bad(error), now);
        }
        self.peer = Some(hello.id.clone());
        if let Some(masep) = &mut self.masep {
            let receives = self.config.payload_bytes(false);
            masep.agree(receives, hello.max, self.config.limits.heartbeat);
            masep.pongs_in_call = has_pong_in_call(&hello.features);
            masep.hello = Some(hello);
        }
        self.decide();
    }

    /// An id has not more bytes than this side takes, and is no hello of masep's. It is printable, as all names of control
    /// messages are: so it does not begin as other protocols do.
    fn check_id(&self, id: &str) -> Result<(), HelloError> {
        let allowed = self.config.limits.id_bytes;
        LimitExceeded::check(crate::Limit::IdBytes, id.len(), allowed)?;
        if preamble::generation(id).is_some() {
            return Err(HelloError::Reserved);
        }
        Ok(())
    }

    fn hears_server(&mut self, now: Instant) -> bool {
        if self.masep.is_none() {
            // This side asked for pymasep's protocol.
            return false;
        }
        if self.is_server_unheard() {
            match preamble::of_server(self.inbound.rest()) {
                First::Undecided => return self.is_hello_small(),
                First::Partial => return true,
                First::Id => {
                    self.fail_over(now);
                    return true;
                }
                First::Preamble { generation, bytes } if generation == VERSION => {
                    self.begin_masep(bytes, now);
                    if self.awaits_preamble() {
                        self.say_hello(now);
                    }
                }
                First::Preamble { generation, .. } => {
                    let error = HelloError::Version(generation, generation);
                    self.fail(HelloFailure::Bad(error), now);
                    return true;
                }
                First::Bad => {
                    self.fail(HelloFailure::Bad(HelloError::Preamble), now);
                    return true;
                }
            }
        }
        match self.first_message() {
            Ok(None) => {}
            Ok(Some(Control::Welcome(welcome))) => self.hear_welcome(welcome, now),
            Ok(Some(Control::Rejected(rejected))) => {
                self.fail(HelloFailure::Rejected(Box::new(rejected)), now);
            }
            Ok(Some(_)) => self.fail(HelloFailure::Bad(HelloError::Preamble), now),
            Err(error) => self.fail(HelloFailure::Bad(error), now),
        }
        true
    }

    /// True if what claims to be a hello may still be one; otherwise it is an error as in pymasep's protocol.
    fn is_hello_small(&self) -> bool {
        let claimed = crate::FrameCodec::claimed_bytes(self.inbound.rest());
        let most = crate::FrameCodec::HEADER_BYTES + self.config.limits.id_bytes;
        claimed.is_none_or(|claimed| claimed <= most)
    }

    /// True if the server's first bytes are still to come.
    fn is_server_unheard(&self) -> bool {
        self.masep.as_ref().is_some_and(|masep| !masep.is_heard)
    }

    /// The server said a whole hello of pymasep's protocol. Nothing but that leads to this.
    fn fail_over(&mut self, now: Instant) {
        let limits = &self.config.limits;
        let heard = crate::hello::read_hello(
            self.inbound.rest(),
            crate::FrameCodec::new(limits),
            limits.id_bytes,
        );
        let failure = match heard {
            // Not where there is a token or a profile, which that protocol lacks, nor where the user wants protocol 2.
            Ok(_) if self.config.offer.needs_protocol2() => {
                HelloFailure::OtherProtocol(Protocol::Pymasep)
            }
            Ok(_) if self.protocols() == Protocols::Masep2 => {
                HelloFailure::OtherProtocol(Protocol::Pymasep)
            }
            Ok(_) => HelloFailure::ConnectAgain,
            Err(error) => HelloFailure::Bad(error),
        };
        self.fail(failure, now);
    }

    fn hear_welcome(&mut self, welcome: Box<Welcome>, now: Instant) {
        if welcome.version != VERSION {
            let error = HelloError::Version(welcome.version, welcome.version);
            return self.fail(HelloFailure::Bad(error), now);
        }
        if let Err(error) = self.check_id(&welcome.id) {
            return self.fail(HelloFailure::Bad(error), now);
        }
        self.peer = Some(welcome.id.clone());
        if let Some(other) = OtherProfile::of(self.config.offer.profile.as_ref(), &welcome) {
            if let Some(masep) = &mut self.masep {
                masep.words = Some(Box::new(other.to_bye()));
            }
            return self.fail(HelloFailure::OtherProfile(Box::new(other)), now);
        }
        self.phase_until = None;
        let heartbeat = match welcome.heartbeat_ms {
            0 => None,
            time => Some(Duration::from_millis(time)),
        };
        if let Some(masep) = &mut self.masep {
            let receives = self.config.payload_bytes(true);
            masep.agree(receives, welcome.max, heartbeat);
            masep.pongs_in_call =
                has_pong_in_call(&welcome.features) || self.config.limits.heartbeat.is_none();
            masep.welcome = Some(welcome);
        }
        self.open(now);
    }

    /// Takes the peer, as [`admit`](Self::admit) does, and tells one of protocol 2 what is in this, if there is any: a seat, its
    /// resume text, the game, the profile, and the like. The version, the largest payload, the heartbeat and the features of it do not count.
    /// Its id is that of this side for this peer, in either protocol: a side that stands in for another one has another's. A
    /// peer of pymasep's protocol is told nothing else of it. With an id that no hello can have, or a name that is not
    /// [printable](crate::is_printable), the peer is not taken.
    pub fn admit_with(&mut self, welcome: impl Into<Option<Welcome>>, now: Instant) {
        let Some(welcome) = welcome.into() else {
            return self.admit(now);
        };
        if self.phase == Phase::Deciding && welcome.id != self.config.offer.id {
            match self.config.with_id(&welcome.id) {
                Ok(config) => self.config = Arc::new(config),
                Err(error) => {
                    self.fail(HelloFailure::Bad(error), now);
                    return self.note_change();
                }
            }
        }
        if self.phase == Phase::Deciding && self.masep.is_some() {
            self.say_welcome(Some(welcome), now);
            self.note_change();
        } else {
            self.admit(now);
        }
    }

    pub(super) fn say_welcome(&mut self, welcome: Option<Welcome>, now: Instant) {
        let config = self.config.clone();
        let Some(masep) = &mut self.masep else {
            return;
        };
        let mut answer = Welcome::new(config.offer.id.clone(), config.payload_bytes(false));
        answer.features.clone_from(&config.offer.features);
        answer.heartbeat_ms = masep.heartbeat_ms();
        if let Some(welcome) = welcome {
            answer.instance = welcome.instance;
            answer.seat = welcome.seat;
            answer.resume = welcome.resume;
            answer.epoch = welcome.epoch;
            answer.last = welcome.last;
            answer.grace_ms = welcome.grace_ms;
            answer.game = welcome.game;
            answer.seats = welcome.seats;
            answer.free = welcome.free;
            answer.profile = welcome.profile;
        }
        let said = masep.say_first(preamble::SERVER, &Control::Welcome(Box::new(answer)));
        match said {
            Ok(()) => self.answer(now),
            Err(error) => self.fail(HelloFailure::Bad(error.into()), now),
        }
    }

    /// Does not take the peer, as [`refuse`](Self::refuse) does, and tells one of protocol 2 why.
    pub fn refuse_with(&mut self, rejected: Rejected, now: Instant) {
        if self.is_before_open() && !self.is_settled() {
            self.rejected = Some(Box::new(rejected));
        }
        self.refuse(now);
    }

    /// Does not take the peer, as the door of a server has decided, and keeps the [reason](Self::take_reject_reason). One of
    /// protocol 2 is told it.
    pub fn turn_away(&mut self, refusal: Refusal, now: Instant) {
        if refusal.at_once {
            self.abort(CloseReason::Aborted, now);
        } else {
            self.refuse_with(Rejected::from(&refusal.reason), now);
        }
        self.reject_reason = Some(Box::new(refusal.reason));
    }

    /// The reason for which the door has [turned the peer away](Self::turn_away). `None` also if it was taken out already.
    pub fn take_reject_reason(&mut self) -> Option<RejectReason> {
        self.reject_reason.take().map(|reason| *reason)
    }

    /// True if the first bytes are those of protocol 2, and the message behind them is not there.
    pub(super) fn is_masep_partial(&self) -> bool {
        if self.connects || self.protocols() == Protocols::Pymasep {
            return false;
        }
        let heard = self.inbound.rest();
        if self.masep.is_some() {
            return matches!(self.framing().scan(heard), Next::Partial { .. });
        }
        match preamble::of_client(heard) {
            First::Partial => true,
            First::Preamble { bytes, .. } => {
                let framing = Masep::new(Instant::now()).framing;
                matches!(framing.scan(&heard[bytes..]), Next::Partial { .. })
            }
            First::Undecided | First::Id | First::Bad => false,
        }
    }

    /// True if a refusal, or the end of a hello, is to be said in protocol 2: as far as it is known what the peer speaks.
    pub(super) fn speaks_masep(&self) -> bool {
        if self.connects || self.masep.is_some() {
            return self.masep.is_some();
        }
        if self.protocols() == Protocols::Pymasep {
            return false;
        }
        let heard = preamble::of_client(self.inbound.rest());
        matches!(heard, First::Partial | First::Preamble { .. } | First::Bad)
    }

    /// Says why the peer is not taken, if nothing was said before, or that this side gives up.
    pub(super) fn say_masep_refusal(&mut self, was_silent: bool, now: Instant) {
        let rejected = self.rejected.take().map(|rejected| *rejected);
        let masep = self.masep.get_or_insert_with(|| Box::new(Masep::new(now)));
        if was_silent {
            let rejected = rejected.unwrap_or_else(|| match &self.outcome {
                Outcome::Failed(failure) => failure.to_rejected(),
                _ => HelloFailure::Refused.to_rejected(),
            });
            masep.refuse(preamble::SERVER, rejected);
        }
    }

    /// True if the peer knows of this failure, or has said it: nothing more is to be said.
    pub(super) const fn is_told(&self, failure: &HelloFailure) -> bool {
        self.connects
            && matches!(
                failure,
                HelloFailure::ConnectAgain
                    | HelloFailure::OtherProtocol(_)
                    | HelloFailure::Rejected(_)
            )
    }
}

impl HelloFailure {
    /// The failure as the client is told it.
    fn to_rejected(&self) -> Rejected {
        let code = match self {
            Self::TimedOut(_) => "hello_timeout",
            Self::Bad(HelloError::Version(..)) => "version",
            // An error in this side's own words is not the client's fault.
            Self::Bad(HelloError::Own(_)) => "refused",
            Self::Bad(_) => "bad_hello",
            Self::Tls(fault) => fault.as_str(),
            _ => "refused",
        };
        let text = match self {
            Self::Refused => "the server does not take this client".to_owned(),
            other => other.to_string(),
        };
        Rejected::new(code, text)
    }
}

fn has_pong_in_call(features: &[bytestring::ByteString]) -> bool {
    features.iter().any(|feature| *feature == PONG_IN_CALL)
}
