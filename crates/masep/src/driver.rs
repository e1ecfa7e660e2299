//! The task of a connection: reads, calls the handler, writes, and sees to the end.

mod conversation;
mod leave;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use masep_proto::Limits;

use crate::handler::guarded;
use crate::sync::time::timeout;
use crate::wire::Wire;
use crate::{CloseReason, Connection, Registry, SocketHandler};

use conversation::Conversation;
use leave::{hear_out, take_leave};

/// How long an end that the peer did not ask for may take to deliver what is queued, and the `BYE`.
pub(crate) const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// All that one connection's task owns.
pub(crate) struct Driver<H, P = ()> {
    membership: Membership,
    handler: Arc<H>,
    limits: Arc<Limits>,
    /// Kept to the end.
    place: P,
}

impl<H: SocketHandler, P> Driver<H, P> {
    /// For a connection that is in the registry and has shaken hands over this wire.
    pub(crate) fn new(
        membership: Membership,
        wire: Wire,
        handler: Arc<H>,
        limits: Arc<Limits>,
        place: P,
    ) -> Self {
        membership.connection.shared().line().wire = Some(wire);
        Self {
            membership,
            handler,
            limits,
            place,
        }
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.membership.connection
    }

    /// Runs the connection to its end. If the future is dropped, the peer is told as far as the socket
    /// takes it at once, and the reason is [`CloseReason::Aborted`].
    ///
    /// What it waits in for most of its life is part of the task; what comes once at the end is
    /// allocated then: ten thousand connections hold this future.
    pub(crate) async fn run(self) {
        let reason = {
            let connection = &self.membership.connection;
            let mut conversation = Conversation::new(connection.shared(), &self.limits);
            match conversation.hold(connection, &*self.handler).await {
                Ok(never) => match never {},
                Err(reason) => conversation.conclude(reason),
            }
        };
        Box::pin(self.end(reason)).await;
    }

    async fn end(self, reason: CloseReason) {
        let Self {
            mut membership,
            handler,
            limits,
            place,
        } = self;
        let connection = membership.connection.clone();
        connection.shared().close_queues(&reason);
        let parting = take_leave(connection.shared(), &reason, &limits).await;
        connection.shared().close_wire();

        tracing::info!(reason = reason.as_str(), "connection ended: {reason}");
        membership.reason = reason.clone();
        let mut told = pin!(guarded(|| handler.on_close(&connection, &reason)));
        if timeout(CLOSE_GRACE, &mut told).await.is_err() {
            membership.leave();
            told.await;
        }
        // The peer may come back at once; only its old socket is still to be closed.
        drop((membership, place));
        if let Some(wire) = parting {
            hear_out(wire).await;
        }
    }
}

/// A connection's place in the registry. It is given up when the handler was told of the end, so
/// that it does not hear of the next connection with the same id before; but a handler that takes
/// its time over that does not keep the id for ever. Given up also by a task that is cancelled or
/// panics, after the socket was closed.
pub(crate) struct Membership {
    registry: Registry,
    connection: Connection,
    reason: CloseReason,
}

impl Membership {
    /// Of a connection that is in the registry.
    pub(crate) const fn new(registry: Registry, connection: Connection) -> Self {
        Self {
            registry,
            connection,
            reason: CloseReason::Aborted,
        }
    }

    fn leave(&self) {
        self.registry.remove_connection(&self.connection);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.connection.shared().close_wire();
        self.leave();
        self.connection.shared().close_queues(&self.reason);
        self.connection.shared().set_closed(self.reason.clone());
    }
}
