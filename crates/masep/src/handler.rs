//! Callbacks for what happens on connections.

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::sync::Arc;

use masep_proto::Frame;

use crate::{CloseReason, Connection, RejectReason};

/// What to do when something happens on a connection: pymasep's `SocketHandler`, with its ends.
///
/// One handler serves all connections of a server. For one connection the calls come one after the
/// other, in the order connect, receive…, close; those of different connections overlap. They run
/// in the task that reads the socket: while one waits, this connection reads nothing (its peer
/// feels the back-pressure), but still sends, and the others go on. Blocking the thread stops every
/// connection of that thread: use [`blocking`](crate::blocking), or `spawn_blocking`.
///
/// A call that panics ends its connection with [`CloseReason::Aborted`] and nothing else.
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
    fn on_connect(&self, connection: &Connection) -> impl Future<Output = ()> + Send {
        let _ = connection;
        ready(())
    }

    /// A frame has arrived. `BYE` is not given to the handler: it ends the connection.
    fn on_receive(&self, connection: &Connection, frame: Frame) -> impl Future<Output = ()> + Send;

    /// The connection has ended: nothing can be sent any more. Its id is free for another connection
    /// when this call returns, or after a second if it takes longer.
    fn on_close(
        &self,
        connection: &Connection,
        reason: &CloseReason,
    ) -> impl Future<Output = ()> + Send {
        let _ = (connection, reason);
        ready(())
    }

    /// A connection was not taken; no other call tells of it.
    fn on_reject(
        &self,
        address: SocketAddr,
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

    fn on_close(
        &self,
        connection: &Connection,
        reason: &CloseReason,
    ) -> impl Future<Output = ()> + Send {
        H::on_close(self, connection, reason)
    }

    fn on_reject(
        &self,
        address: SocketAddr,
        reason: &RejectReason,
    ) -> impl Future<Output = ()> + Send {
        H::on_reject(self, address, reason)
    }
}

/// The handler of those who have none: frames wait in the connection's own queue for
/// [`Connection::recv`].
#[derive(Clone, Debug)]
pub struct NoHandler {
    pub(crate) when_full: crate::WhenFull,
}

impl SocketHandler for NoHandler {
    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        connection.enqueue_received(frame, self.when_full).await;
    }
}
