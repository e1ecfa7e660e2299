//! The end of a connection, as this side brings it about and waits for it.

use std::sync::Arc;

use masep_proto::protocol2::Bye;

use super::TimedOut;
use super::drive::Awaits;
use super::shared::{Shared, State, wait_while};
use crate::CloseReason;
use crate::handle::SharedConnection as _;
use crate::sync::{Instant, thread};

impl Shared {
    /// Ends the connection for this reason, without a wait.
    pub(super) fn end(self: &Arc<Self>, reason: CloseReason) {
        self.begin_end(reason);
        self.hasten();
    }

    /// Leaves to the keeper the part of the end that could not be done at once.
    fn hasten(self: &Arc<Self>) {
        self.change(|state, now| state.core.hasten(now));
    }

    /// Ends the connection for this reason. Frames in the queue are written as long as the peer takes some of them.
    pub(super) fn begin_end(self: &Arc<Self>, reason: CloseReason) {
        self.end_by(|core, now| core.end(reason, now));
    }

    /// The same as a call asks for it, with words for a peer that can be told some.
    pub(super) fn begin_end_with(self: &Arc<Self>, bye: Bye) {
        self.end_by(|core, now| core.end_with(bye, now));
    }

    pub(super) fn abort(self: &Arc<Self>, reason: CloseReason) {
        self.end_by(|core, now| core.abort(reason, now));
    }

    /// Ends the connection because a frame that was taken out is lost. However it has ended meanwhile, that is the reason.
    pub(super) fn lose(self: &Arc<Self>, reason: CloseReason) {
        self.end_by(|core, now| core.lose(reason, now));
    }

    /// Waits until the peer was told of the end, and drives the connection there.
    pub(super) fn wait_closed(self: &Arc<Self>, until: Option<Instant>) -> Result<(), TimedOut> {
        self.drive(until, Awaits::Room, |state| {
            let is_closed = state.core.is_closed() || state.core.is_over();
            is_closed.then(|| state.see_end())
        })
    }

    /// Waits until the end was told to the handler too, and does nothing for it. The handler itself, which is told when its
    /// call has returned, waits until the peer was told.
    pub(super) fn wait_told(self: &Arc<Self>, until: Option<Instant>) -> Result<(), TimedOut> {
        let state = self.lock();
        if state.handler_thread == Some(thread::current().id()) {
            drop(state);
            return self.wait_closed(until);
        }
        let waits = |state: &mut State| !state.is_told;
        wait_while(&self.gone, state, until, waits)
            .map(drop)
            .ok_or(TimedOut)
    }

    /// The handler, if there is one, was told of the end.
    pub(super) fn told(self: &Arc<Self>) {
        self.registry.remove(&self.info);
        if let Some(visit) = &self.visit {
            visit.leave();
        }
        self.lock().is_told = true;
        self.gone.notify_all();
    }
}
