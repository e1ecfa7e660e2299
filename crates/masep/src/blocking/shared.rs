//! What the handles of one connection share, and how it ends.

use std::net::SocketAddr;
use std::sync::PoisonError;

use bytes::BytesMut;
use masep_proto::{FrameCodec, Limits, PeerId};

use super::farewell::Farewell;
use super::incoming::{Incoming, ReadHalf};
use super::outgoing::{Outgoing, WriteHalf};
use super::readiness::{after, wait_while};
use super::{Registry, TimedOut};
use crate::rejection::RejectionWindow;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Instant, Mutex, MutexGuard, OnceLock};
use crate::write_pattern::WritePattern;
use crate::{CloseReason, ConnectionId};

/// What the handles share. Its methods are here as far as they concern the end, else in `reading`
/// and `writing`.
pub(super) struct Shared {
    pub(super) id: ConnectionId,
    pub(super) peer: PeerId,
    pub(super) address: SocketAddr,
    pub(super) codec: FrameCodec,
    pub(super) limits: Limits,
    registry: Registry,
    handled: bool,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    /// Whether the rest of a frame waits that `Connection::try_send` could not write, and
    /// nobody but a reader sees to it.
    pub(super) has_unsent: AtomicBool,
    /// Why this connection is being ended; set when the write half is taken out.
    pub(super) leaving: OnceLock<CloseReason>,
    /// Why it ended; set when no call has anything to wait for any more.
    pub(super) ended: OnceLock<CloseReason>,
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
    pub(super) rejection: RejectionWindow<Instant>,
    pub(super) pattern: WritePattern<Instant>,
}

impl Shared {
    pub(super) fn new(opened: Opened, limits: Limits, registry: Registry) -> Self {
        let read_half = ReadHalf::new(
            &opened.half,
            opened.buffer,
            opened.rejection,
            opened.pattern,
        );
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

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.get().is_some()
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
        drop(state);
        self.has_unsent.store(false, Ordering::Release);
        self.outgoing.wake_all();
        if !self.handled {
            self.registry.remove(&self.peer, self.id);
        }
        Some(Farewell::new(half, reason))
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
