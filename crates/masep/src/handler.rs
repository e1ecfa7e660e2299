//! Callbacks for the events of connections.

use std::future::{Future, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use masep_proto::Frame;

use crate::{Address, CloseReason, Connection, RejectReason};

/// The reactions to events of connections: pymasep's `SocketHandler`, with its ends.
///
/// One handler serves all connections of a server. For one connection the calls come one after the
/// other, in the order connect, receive…, close; those of different connections overlap. They run
/// in the task that reads the socket: while one waits, this connection reads nothing (its peer
/// feels the back-pressure), but still sends, and the others go on. Blocking the thread stops every
/// connection of that thread: use [`blocking`](crate::blocking), or `spawn_blocking`.
///
/// A call that panics ends its connection with [`CloseReason::Aborted`] and nothing else;
/// [`on_close`](Self::on_close) is still called.
///
/// ```
/// use masep::{Connection, Frame, SocketHandler};
///
/// struct Echo;
///
/// impl SocketHandler for Echo {
///     async fn on_receive(&self, connection: &Connection, frame: Frame) {
///         // Only fails when the connection has ended, which `on_close` tells.
///         let _ = connection.send(frame).await;
///     }
/// }
/// ```
pub trait SocketHandler: Send + Sync + 'static {
    /// A peer has said hello and is registered.
    ///
    /// Cancelled as [`on_receive`](Self::on_receive).
    fn on_connect(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        let _ = connection;
        ready(())
    }

    /// A frame has arrived. `BYE` is not given to the handler: it ends the connection.
    ///
    /// Cancelled if it waits when the connection has ended: because this side has said `BYE`, or the
    /// peer took no bytes for too long. [`on_close`](Self::on_close) follows.
    fn on_receive(&self, connection: &Connection, frame: Frame) -> impl Future<Output = ()> + Send;

    /// The peer has said that it did not accept something, which is no end (protocol 2):
    /// [`Connection::try_notice`] takes what it said. It is told as early as it can be, and may concern what was sent long
    /// before.
    ///
    /// Cancelled as [`on_receive`](Self::on_receive).
    fn on_notice(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        let _ = connection;
        ready(())
    }

    /// The connection has ended: nothing can be sent any more. Its place among the server's connections is free by now, and
    /// its id when this call returns, or after a second if it takes longer. Not cancelled, but with the runtime.
    fn on_close(
        &self,
        connection: &Connection,
        reason: &CloseReason,
    ) -> impl Future<Output = ()> + Send {
        let _ = (connection, reason);
        ready(())
    }

    /// A connection was not taken; no other call tells of it. When 1,024 of these calls have not
    /// returned, further ones are left out. Not cancelled, but with the runtime.
    fn on_reject(
        &self,
        address: Address,
        reason: &RejectReason,
    ) -> impl Future<Output = ()> + Send {
        let _ = (address, reason);
        ready(())
    }
}

impl<H: SocketHandler> SocketHandler for Arc<H> {
    fn on_connect(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        H::on_connect(self, connection)
    }

    fn on_receive(&self, connection: &Connection, frame: Frame) -> impl Future<Output = ()> + Send {
        H::on_receive(self, connection, frame)
    }

    fn on_notice(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        H::on_notice(self, connection)
    }

    fn on_close(
        &self,
        connection: &Connection,
        reason: &CloseReason,
    ) -> impl Future<Output = ()> + Send {
        H::on_close(self, connection, reason)
    }

    fn on_reject(
        &self,
        address: Address,
        reason: &RejectReason,
    ) -> impl Future<Output = ()> + Send {
        H::on_reject(self, address, reason)
    }
}

/// Makes a call of a handler. True if it did not panic.
pub(crate) async fn guarded<F: Future<Output = ()>>(call: impl FnOnce() -> F) -> bool {
    // The handler may be left in a broken state; that is for its own locks to tell.
    let panicked = || {
        tracing::error!("a handler panicked");
        false
    };
    // One guard for both: the first poll calls the function that makes the call.
    let mut call = pin!(async move { call().await });
    poll_fn(|context| {
        let poll = AssertUnwindSafe(|| call.as_mut().poll(context));
        match catch_unwind(poll) {
            Ok(poll) => poll.map(|()| true),
            Err(_) => Poll::Ready(panicked()),
        }
    })
    .await
}

/// The handler of a connection without one: frames wait in the connection's own queue for
/// [`Connection::recv`].
#[derive(Clone, Debug)]
pub struct NoHandler(pub(crate) ());

impl SocketHandler for NoHandler {
    async fn on_receive(&self, _connection: &Connection, _frame: Frame) {}
}
