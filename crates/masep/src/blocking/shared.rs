//! What the handles of one connection share: how it reads, writes and ends.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use masep_proto::{Frame, FrameCodec, Limit, LimitExceeded, Limits, PeerId};
use socket2::SockRef;

use super::farewell::Farewell;
use super::incoming::{Incoming, ReadHalf, ReadTurn, Wait};
use super::outgoing::{Outgoing, OutgoingState, Pushed, WriteHalf};
use super::readiness::{Interest, after, earlier, passed, wait, wait_while};
use super::{Registry, TimedOut};
use crate::{CloseReason, ConnectionId, SendError};

/// How long a thread that waits for room leaves the reading to another thread before it looks
/// again whether that one still reads.
const READER_CHECK: Duration = Duration::from_millis(100);

pub(super) struct Shared {
    pub(super) id: ConnectionId,
    pub(super) peer: PeerId,
    pub(super) address: SocketAddr,
    codec: FrameCodec,
    limits: Limits,
    registry: Registry,
    handled: bool,
    incoming: Incoming,
    outgoing: Outgoing,
    /// Whether the rest of a frame waits that [`try_send`](Self::try_send) could not write.
    has_unsent: AtomicBool,
    /// Why this connection is being ended; set when the write half is taken out.
    leaving: OnceLock<CloseReason>,
    /// Why it ended; set when no call has anything to wait for any more.
    ended: OnceLock<CloseReason>,
    stage: Mutex<Stage>,
    stage_changed: Condvar,
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Open,
    /// [`Shared::ended`] is set.
    Ended,
    /// The handler was told, if there is one.
    Told,
}

/// A socket on which both sides have said, or are about to say, hello.
pub(super) struct Opened {
    pub(super) peer: PeerId,
    pub(super) address: SocketAddr,
    /// Our hello is in its unsent bytes, if it has not been said.
    pub(super) half: WriteHalf,
    /// What came after the peer's hello.
    pub(super) buffer: BytesMut,
    /// Whether a handler is to be told of the end.
    pub(super) handled: bool,
}

impl Shared {
    pub(super) fn new(opened: Opened, limits: Limits, registry: Registry) -> Self {
        let read_half = ReadHalf::new(opened.half.stream.clone(), opened.buffer);
        Self {
            id: ConnectionId::next(),
            peer: opened.peer,
            address: opened.address,
            codec: FrameCodec::new(&limits),
            limits,
            registry,
            handled: opened.handled,
            incoming: Incoming::new(read_half),
            outgoing: Outgoing::new(opened.half),
            has_unsent: AtomicBool::new(false),
            leaving: OnceLock::new(),
            ended: OnceLock::new(),
            stage: Mutex::new(Stage::Open),
            stage_changed: Condvar::new(),
        }
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) const fn codec(&self) -> FrameCodec {
        self.codec
    }

    pub(super) const fn close_reason(&self) -> &OnceLock<CloseReason> {
        &self.ended
    }
}

/// Reading.
impl Shared {
    /// A turn to read, for one or several calls of [`next_frame`](Self::next_frame).
    pub(super) fn read_turn(&self, until: Option<Instant>) -> Result<ReadTurn<'_>, TimedOut> {
        self.incoming.turn(until).ok_or(TimedOut)
    }

    /// The next frame; `None` when the connection has ended and all that came before was given.
    pub(super) fn next_frame(
        &self,
        half: &mut ReadHalf,
        until: Option<Instant>,
    ) -> Result<Option<Frame>, TimedOut> {
        while !self.leaving.get().is_some_and(is_own_decision) {
            match half.decode(self.codec) {
                Ok(Some(frame)) => {
                    tracing::trace!(connection = %self.id, bytes = frame.size(), "received");
                    return Ok(Some(frame));
                }
                Ok(None) if self.is_leaving() => break,
                Ok(None) => self.read_more(half, until)?,
                Err(reason) => {
                    self.end(reason);
                    break;
                }
            }
        }
        self.wait_for(Stage::Ended, until)?;
        Ok(None)
    }

    /// Waits for bytes and takes them in. On the way it writes the rest of a frame that waits: the
    /// peer may be one that answers only when it has all of it.
    fn read_more(&self, half: &mut ReadHalf, until: Option<Instant>) -> Result<(), TimedOut> {
        let Some(stream) = half.stream() else {
            return Ok(());
        };
        let idle_time = self.limits.idle_time;
        let idle_until = idle_time.and_then(|time| half.heard().checked_add(time));
        let deadline = earlier(until, idle_until);
        if deadline.is_none() && !self.has_unsent.load(Ordering::Acquire) {
            // The usual case takes one system call.
            let _ = half.fill(Wait::Yes);
            return Ok(());
        }
        while half.fill(Wait::No).is_err() {
            let unsent = self.has_unsent.load(Ordering::Acquire);
            let interest = Interest::readable(stream.as_fd()).or_writable_if(unsent);
            match wait([interest], deadline) {
                Ok([ready]) if ready.writable => self.push_rest(half),
                Ok([ready]) if ready.readable => {}
                Ok(_) if passed(until) => return Err(TimedOut),
                Ok(_) if passed(idle_until) => {
                    self.end(CloseReason::IdleTimeout);
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => {
                    self.end(CloseReason::from_io(&error));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn push_rest(&self, read_half: &mut ReadHalf) {
        let mut state = self.outgoing.lock();
        if state.busy {
            return;
        }
        if let Some(half) = &mut state.half
            && let Err(error) = half.push_unsent()
        {
            // Why it failed is in what is read next.
            half.unsent.clear();
            read_half.set_write_failure(CloseReason::from_io(&error));
        }
        self.note_unsent(&state);
    }
}

/// Whether this side decided on the end. What the peer sent before, nobody waits for then.
const fn is_own_decision(reason: &CloseReason) -> bool {
    use CloseReason::{Aborted, LocalBye, QueueFull, Replaced, Shutdown};
    matches!(
        reason,
        LocalBye | Shutdown | Replaced | QueueFull(_) | Aborted
    )
}

/// Writing.
impl Shared {
    /// Writes what is unsent and the frame, and waits for room as long as the peer takes something
    /// at least every [`Limits::write_time`].
    pub(super) fn send(&self, mut frame: Option<Frame>) -> Result<(), SendError> {
        if let Some(frame) = &frame {
            tracing::trace!(connection = %self.id, bytes = frame.size(), "sending");
        }
        let mut state = self.outgoing.lock_idle();
        let mut waited_in_vain = false;
        let failure = loop {
            let Some(half) = &mut state.half else {
                return Err(self.closed());
            };
            match half.push(&mut frame) {
                Ok(Pushed::All) => break None,
                Ok(Pushed::Nothing) if waited_in_vain => break Some(CloseReason::WriteTimeout),
                Ok(_) => {}
                Err(error) => break Some(CloseReason::from_io(&error)),
            }
            let stream = half.stream.clone();
            state.busy = true;
            self.note_unsent(&state);
            drop(state);
            waited_in_vain = !self.wait_for_room(&stream, after(self.limits.write_time));
            state = self.outgoing.lock();
            state.busy = false;
        };
        self.note_unsent(&state);
        drop(state);
        self.outgoing.pass_on();
        failure.map_or(Ok(()), |reason| Err(self.fail_write(reason)))
    }

    /// Writes what is unsent and the frame as far as the socket takes it now. A frame that it takes
    /// in part counts as sent, its rest as unsent.
    pub(super) fn try_send(&self, frame: Frame) -> Result<(), SendError> {
        let mut state = self.outgoing.lock();
        let busy = state.busy;
        let Some(half) = &mut state.half else {
            return Err(self.closed());
        };
        let size = frame.size();
        let mut frame = Some(frame);
        if !busy && let Err(error) = half.push(&mut frame) {
            drop(state);
            return Err(self.fail_write(CloseReason::from_io(&error)));
        }
        if frame.is_none() {
            tracing::trace!(connection = %self.id, bytes = size, "sending");
        } else {
            let allowed = SockRef::from(&*half.stream)
                .send_buffer_size()
                .unwrap_or_default();
            return Err(SendError::Full(LimitExceeded {
                limit: Limit::QueueBytes,
                actual: allowed + size,
                allowed,
            }));
        }
        self.note_unsent(&state);
        Ok(())
    }

    /// Whether nobody but a reader sees to the rest of a frame.
    fn note_unsent(&self, state: &OutgoingState) {
        let unsent = state
            .half
            .as_ref()
            .is_some_and(|half| !half.unsent.is_empty());
        self.has_unsent
            .store(unsent && !state.busy, Ordering::Release);
    }

    /// Waits until the socket is writable; `false` if it is not at the deadline.
    ///
    /// Takes in what arrives meanwhile, up to [`Limits::queue_bytes`], unless another thread reads:
    /// two sides that only write would wait for each other.
    fn wait_for_room(&self, stream: &TcpStream, until: Option<Instant>) -> bool {
        loop {
            let reads = self.incoming.try_turn().is_some_and(|half| {
                half.stream_end().is_none() && half.buffered() < self.limits.queue_bytes
            });
            let interest = Interest::writable(stream.as_fd()).or_readable_if(reads);
            let pause = if reads { None } else { after(READER_CHECK) };
            match wait([interest], earlier(until, pause)) {
                Ok([ready]) if ready.readable && !ready.writable => self.take_in(),
                Ok([ready]) if !ready.writable && passed(until) => return false,
                Ok([ready]) if !ready.writable => {}
                // The write that follows says what an error is.
                Ok(_) | Err(_) => return true,
            }
        }
    }

    fn take_in(&self) {
        let Some(mut half) = self.incoming.try_turn() else {
            return;
        };
        if half.fill(Wait::No).is_ok() && half.holds_bye() {
            self.end(CloseReason::PeerBye);
        }
    }

    /// Ends the connection after a write that failed. What the peer sent before is still taken in,
    /// and if it said `BYE`, that is the reason.
    fn fail_write(&self, mut reason: CloseReason) -> SendError {
        // Another thread that reads finds the end too, and returns.
        if reason != CloseReason::WriteTimeout
            && let Some(mut half) = self.incoming.turn(after(READER_CHECK))
        {
            half.set_write_failure(reason.clone());
            half.fill_with_the_rest(self.limits.queue_bytes);
            if half.holds_bye() {
                reason = CloseReason::PeerBye;
            }
        }
        self.end(reason);
        self.closed()
    }

    fn closed(&self) -> SendError {
        let reason = self.ended.get().or_else(|| self.leaving.get());
        SendError::Closed(reason.cloned().unwrap_or(CloseReason::Aborted))
    }
}

/// Ending.
impl Shared {
    /// Starts the end for this reason, unless it has started: no frame goes out from here on. The
    /// caller sees to the farewell and then calls [`conclude`](Self::conclude).
    pub(super) fn begin_end(&self, reason: &CloseReason) -> Option<Farewell> {
        let mut state = self.outgoing.lock();
        let half = state.half.take()?;
        let _ = self.leaving.set(reason.clone());
        self.note_unsent(&state);
        drop(state);
        self.outgoing.wake_all();
        if !self.handled {
            self.registry.remove(&self.peer, self.id);
        }
        Some(Farewell::new(half, reason))
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.get().is_some()
    }

    /// The handler was told. Only now the id is free: otherwise it could be told of the next
    /// connection with the id first, and take that for the one that ends.
    pub(super) fn told(&self) {
        self.registry.remove(&self.peer, self.id);
        self.advance_to(Stage::Told);
    }

    /// Ends what has not become a connection: the peer gets our hello and a `BYE`.
    pub(super) fn refuse(&self) {
        if let Some(farewell) = self.begin_end(&CloseReason::LocalBye) {
            farewell.finish_in_background();
        }
    }

    /// The end is complete.
    pub(super) fn conclude(&self, reason: CloseReason) {
        self.incoming.close();
        tracing::info!(
            connection = %self.id,
            peer = ?self.peer,
            address = %self.address,
            reason = reason.as_str(),
            "connection ended: {reason}"
        );
        let _ = self.ended.set(reason);
        self.advance_to(if self.handled {
            Stage::Ended
        } else {
            Stage::Told
        });
    }

    /// Ends the connection for this reason, unless it has ended, without a wait: a `BYE` that the
    /// socket does not take at once goes out in the background.
    pub(super) fn end(&self, reason: CloseReason) {
        if let Some(farewell) = self.begin_end(&reason) {
            farewell.finish_in_background();
            self.conclude(reason);
        }
    }

    /// Ends the connection, unless it has ended, and waits until all that was sent is delivered.
    pub(super) fn end_and_wait(&self, reason: CloseReason) {
        match self.begin_end(&reason) {
            Some(farewell) => {
                let delivered = farewell.finish(after(self.limits.write_time));
                self.conclude(if delivered {
                    reason
                } else {
                    CloseReason::WriteTimeout
                });
            }
            // Whoever began concludes.
            None => {
                let _ = self.wait_for(Stage::Ended, None);
            }
        }
    }

    fn advance_to(&self, stage: Stage) {
        let mut current = self.lock_stage();
        *current = stage.max(*current);
        drop(current);
        self.stage_changed.notify_all();
    }

    /// Waits until the end has come that far.
    pub(super) fn wait_for(&self, stage: Stage, until: Option<Instant>) -> Result<(), TimedOut> {
        wait_while(&self.stage_changed, self.lock_stage(), until, |current| {
            *current < stage
        })
        .map(|_reached| ())
        .ok_or(TimedOut)
    }

    fn lock_stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last handle is gone.
impl Drop for Shared {
    fn drop(&mut self) {
        self.end(CloseReason::LocalBye);
    }
}
