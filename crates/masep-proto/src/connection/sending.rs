//! Sending: which frames are accepted, how room is made for them, and who writes them.

use std::fmt;
use std::ops::Deref;
use std::time::{Duration, Instant};

use super::{Connection, Outcome, Phase, Pushed, WhenFull};
use crate::framing::Framing;
use crate::protocol2::{Control, Notice, Protocol};
use crate::{CloseReason, EncodeError, Frame, FrameKind, Limit, LimitExceeded, PeerId, Pieces};

/// A frame that is sent so long after the last one is written at once. Others that follow closely go out
/// together: a write for each would allow a fiftieth of them.
const BURST: Duration = Duration::from_micros(100);

/// The reason why a frame was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The frame is too large for the peer's protocol, or for the peer. The connection lives on.
    #[error(transparent)]
    TooLarge(TooLarge),
    /// The peer's protocol has no such frames: [`EncodeError::Peer`]. The connection lives on.
    #[error(transparent)]
    Form(EncodeError),
    /// The queue has no room now. [`Event::SendRoom`](super::Event::SendRoom) tells when there may be some.
    #[error("no room in the queue: {0}")]
    Full(LimitExceeded),
    /// The connection has ended, or is being ended.
    #[error("the connection has ended: {0}")]
    Closed(CloseReason),
}

/// A frame is too large for its peer: how large it is, what is allowed, and what can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge(Box<(LimitExceeded, PeerId, Protocol)>);

impl TooLarge {
    /// The size of the frame, and the limit.
    pub fn exceeded(&self) -> LimitExceeded {
        self.0.0
    }

    /// The peer.
    pub fn peer(&self) -> &PeerId {
        &self.0.1
    }

    /// The generation of the protocol that it speaks.
    pub fn protocol(&self) -> Protocol {
        self.0.2
    }
}

/// The size of the frame, and the limit.
impl Deref for TooLarge {
    type Target = LimitExceeded;

    fn deref(&self) -> &LimitExceeded {
        &self.0.0
    }
}

impl std::error::Error for TooLarge {}

/// Tells the side whose limit it is, and the way out.
impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limit, peer, protocol) = &*self.0;
        match protocol {
            Protocol::Masep2 => write!(
                f,
                "{limit}, which is that of the peer {peer:?}: send less, or let it receive more (its `payload_bytes`)"
            ),
            Protocol::Pymasep if limit.allowed < Frame::MAX_BYTES => limit.fmt(f),
            Protocol::Pymasep => write!(
                f,
                "{limit}, and the peer {peer:?} speaks {protocol}, which has no larger frames: send less, or have masep on \
                both ends"
            ),
        }
    }
}

impl Connection {
    /// Queues the frame that there is, itself or a copy of it, if there is room for it, or makes room by
    /// the policy. Tells who writes it. A frame that is the protocol's `BYE` [ends](Self::end) the connection
    /// instead, and changes nothing of one that has ended.
    ///
    /// # Errors
    /// The reason why it was not accepted; the frame is still there. With [`WhenFull::Disconnect`], `Full` is the end of the
    /// connection.
    #[inline]
    pub fn send(
        &mut self,
        frame: &mut Option<Frame>,
        when_full: WhenFull,
        now: Instant,
    ) -> Result<Pushed, PushError> {
        match self.send_plainly(frame, now) {
            Some(pushed) => Ok(pushed),
            None => self.send_otherwise(frame, when_full, now),
        }
    }

    /// [`send`](Self::send) where that is short work: the frame is an ordinary one, and there is room.
    /// `None`, with the frame still there, where it is not.
    #[inline]
    pub fn send_plainly(&mut self, frame: &mut Option<Frame>, now: Instant) -> Option<Pushed> {
        match &self.masep {
            None => {
                let max = self.config.frame_bytes;
                self.send_framed(frame, Framing::Pymasep { max }, now)
            }
            Some(masep) => {
                let framing = masep.framing;
                self.send_masep(frame, framing, now)
            }
        }
    }

    /// Apart, so that each of both is for one framing.
    #[inline(never)]
    fn send_masep(
        &mut self,
        frame: &mut Option<Frame>,
        framing: Framing,
        now: Instant,
    ) -> Option<Pushed> {
        self.send_framed(frame, framing, now)
    }

    #[inline(always)]
    fn send_framed(
        &mut self,
        frame: &mut Option<Frame>,
        framing: Framing,
        now: Instant,
    ) -> Option<Pushed> {
        let body = match frame {
            Some(plain) if self.takes_frames && self.is_ordinary(plain, framing) => plain.bytes(),
            _ => return None,
        };
        if !self.outbound.has_room(body.len(), &self.config.limits) {
            return None;
        }
        self.outbound.push(frame, framing);
        Some(self.who_writes(now))
    }

    /// True if the peer can be sent this frame, which is no end.
    #[inline(always)]
    pub(super) fn is_ordinary(&self, frame: &Frame, framing: Framing) -> bool {
        let is_known = frame.kind() != FrameKind::Cbor || self.masep.is_some();
        is_known && framing.takes(frame.size()) && !framing.is_bye(frame.bytes())
    }

    /// Apart, so that the other way is short.
    #[inline(never)]
    fn send_otherwise(
        &mut self,
        frame: &mut Option<Frame>,
        when_full: WhenFull,
        now: Instant,
    ) -> Result<Pushed, PushError> {
        let Some(kind) = frame.as_ref().map(Frame::kind) else {
            return Ok(Pushed::Queued);
        };
        if kind == FrameKind::Cbor && self.masep.is_none() {
            return Err(self.no_cbor());
        }
        let framing = self.framing();
        let body = frame.as_ref().map_or(&[][..], |frame| frame.bytes());
        let size = body.len();
        if let Err(limit) = framing.check(size) {
            return Err(self.too_large(limit));
        }
        if framing.is_bye(body) {
            *frame = None;
            if !self.is_open() {
                return Ok(Pushed::Queued);
            }
            self.end(CloseReason::LocalBye, now);
            return Ok(Pushed::WakeWriter);
        }
        self.check_sendable(size, when_full, now)?;
        self.outbound.push(frame, framing);
        Ok(self.who_writes(now))
    }

    /// [`send`](Self::send) of a frame in pieces, which stay where they are until they are written.
    ///
    /// # Errors
    /// As there. The pieces are still there then.
    pub fn send_pieces(
        &mut self,
        pieces: &mut Option<Box<Pieces>>,
        when_full: WhenFull,
        now: Instant,
    ) -> Result<Pushed, PushError> {
        let Some(size) = pieces.as_ref().map(|pieces| pieces.size()) else {
            return Ok(Pushed::Queued);
        };
        if self.masep.is_none() {
            return Err(self.no_cbor());
        }
        self.check_sendable(size, when_full, now)?;
        let framing = self.framing();
        if let Some(pieces) = pieces.take() {
            self.outbound.push_pieces(pieces, framing);
        }
        Ok(self.who_writes(now))
    }

    /// Checks that a frame with a body of this size can be queued; makes room for it by the policy.
    fn check_sendable(
        &mut self,
        size: usize,
        when_full: WhenFull,
        now: Instant,
    ) -> Result<(), PushError> {
        if let Err(limit) = self.framing().check(size) {
            return Err(self.too_large(limit));
        }
        if !self.is_open() {
            return Err(PushError::Closed(self.end_reason()));
        }
        match self.outbound.check_room(size, &self.config.limits) {
            Ok(()) => Ok(()),
            Err(limit) => self.make_room(size, limit, when_full, now),
        }
    }

    /// True if [`send`](Self::send) ends the connection with this frame.
    pub fn is_end(&self, frame: &Frame) -> bool {
        self.framing().is_bye(frame.bytes())
    }

    #[cold]
    pub(super) fn too_large(&self, limit: LimitExceeded) -> PushError {
        if self.masep.is_some() && !self.is_open() {
            // It is not known what the peer takes, or no longer of interest.
            return PushError::Closed(self.end_reason());
        }
        let peer = self.peer.clone().unwrap_or_else(|| PeerId::from(""));
        PushError::TooLarge(TooLarge(Box::new((limit, peer, self.protocol()))))
    }

    /// The error for a message in CBOR to a pymasep peer, such as one that is passed on from a peer of protocol 2. It
    /// would end the pymasep peer's thread.
    #[cold]
    fn no_cbor(&self) -> PushError {
        PushError::Form(EncodeError::Peer {
            peer: self.peer.clone().unwrap_or_else(|| PeerId::from("")),
            protocol: self.protocol(),
            error: Box::new(EncodeError::Cbor),
        })
    }

    /// Tells a peer of protocol 2 of something that was not accepted, which is no end: in front of what is queued. Others
    /// cannot be told, which is no error.
    ///
    /// # Errors
    /// The connection has ended, or is being ended; too many control messages wait; the notice is larger than one may be; its code is
    /// not [printable](crate::is_printable).
    pub fn notice(&mut self, notice: Notice, now: Instant) -> Result<Pushed, PushError> {
        if !self.is_open() {
            return Err(PushError::Closed(self.end_reason()));
        }
        let Some(masep) = &mut self.masep else {
            return Ok(Pushed::Queued);
        };
        match masep.say(&Control::Notice(notice)) {
            Ok(true) => {
                let pushed = self.who_writes(now);
                self.note_change();
                Ok(pushed)
            }
            Ok(false) => Err(PushError::Full(LimitExceeded {
                limit: Limit::QueueMessages,
                actual: 1,
                allowed: 0,
            })),
            Err(EncodeError::Limit(limit)) => Err(self.too_large(limit)),
            Err(error) => Err(PushError::Form(error)),
        }
    }

    /// Asks a peer of protocol 2 for a sign of life, which tells [`rtt`](Self::rtt): once a second at most, and not while
    /// another one waits. True if it asks; a [write](super::Wants::write) is wanted then.
    pub fn ping(&mut self, now: Instant) -> bool {
        let asks = self.is_open() && self.masep.as_mut().is_some_and(|masep| masep.ask_ping(now));
        self.note_change();
        asks
    }

    #[cold]
    fn make_room(
        &mut self,
        size: usize,
        limit: LimitExceeded,
        when_full: WhenFull,
        now: Instant,
    ) -> Result<(), PushError> {
        match when_full {
            WhenFull::Wait => {
                self.wants_room = true;
                Err(PushError::Full(limit))
            }
            WhenFull::NewestWins => {
                let (framing, limits) = (self.framing(), &self.config.limits);
                while self.outbound.check_room(size, limits).is_err()
                    && self.outbound.drop_oldest(framing)
                {}
                Ok(())
            }
            WhenFull::Disconnect => {
                self.abort(CloseReason::QueueFull(limit), now);
                Err(PushError::Full(limit))
            }
        }
    }

    /// Decides who writes a frame that was just queued. The caller does so if the user has waited for the peer since
    /// the last one, so that no other is to be expected soon, if the last one is a while ago, or if as much waits as one
    /// write takes.
    #[inline(always)]
    fn who_writes(&mut self, now: Instant) -> Pushed {
        let has_waited = std::mem::take(&mut self.has_waited);
        if self.is_being_written || self.transmit_out || self.is_blocked {
            let writes = self.outbound.fills_write(&self.config.limits)
                && !self.transmit_out
                && !self.is_blocked;
            return if writes {
                Pushed::WriteNow
            } else {
                Pushed::Queued
            };
        }
        let last = self.last_send.replace(now);
        self.is_being_written = true;
        let is_single =
            has_waited || last.is_none_or(|last| now.saturating_duration_since(last) >= BURST);
        if is_single {
            Pushed::WriteNow
        } else {
            Pushed::WakeWriter
        }
    }

    /// True if a call or the writer writes the queue, or will.
    #[inline]
    const fn is_seen_to(&self) -> bool {
        self.is_being_written || self.transmit_out || self.is_blocked
    }

    /// False if [`send`](Self::send) would not use its `now`. Then the time of an earlier call is good enough.
    #[inline]
    pub const fn sends_by_time(&self) -> bool {
        !self.has_waited && !self.is_seen_to()
    }

    /// True if frames can be sent: both sides have said hello, or this side is just saying it to a peer that was
    /// admitted, and the connection is not being ended.
    #[inline]
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Answering)
            && matches!(self.outcome, Outcome::Undecided)
    }

    /// The number of frames that were accepted since the connection began. This is also the number of the last one,
    /// to be compared with [`Event::Written`](super::Event::Written).
    #[inline]
    pub const fn accepted(&self) -> u64 {
        self.outbound.accepted()
    }

    /// The number of accepted frames that were written, or dropped in favour of newer ones.
    #[inline]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// The number of accepted frames that are not written: those that wait, and one of which a part is.
    #[inline]
    pub const fn unsent(&self) -> u64 {
        self.outbound.accepted() - self.written
    }

    /// The outcome of the accepted frame with this number; `None` while it is on its way.
    pub fn outcome_of(&self, number: u64) -> Option<Result<(), CloseReason>> {
        if self.written >= number {
            return Some(Ok(()));
        }
        self.is_settled().then(|| Err(self.end_reason()))
    }

    /// True if more than one of the frames that were accepted is not written.
    #[inline]
    pub const fn is_burst(&self) -> bool {
        self.outbound.accepted() > self.written + 1
    }

    /// True if a frame of this size has room now.
    pub fn has_send_room(&self, size: usize) -> bool {
        self.outbound.check_room(size, &self.config.limits).is_ok()
    }
}
