//! Callbacks for what happens on connections, in background threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use masep_proto::Frame;
use masep_proto::connection::HandlerCall;

use super::Connection;
use crate::sync::thread;
use crate::{Address, CloseReason, RejectReason};

/// The reactions to events of connections: pymasep's `SocketHandler`, with its ends.
///
/// One handler serves all connections. Each connection has a background thread that reads it and
/// makes its calls, one after the other, in the order connect, receive…, close; those of different
/// connections overlap, but one is told of its end before the next one with the same id connects
/// (which waits up to a second for that). A call may block: meanwhile this connection reads nothing (its peer feels
/// the back-pressure), and the others go on. A server's thread whose connection has ended stays for up to a second for the
/// next one, which finds the thread-local values that a call has left there.
///
/// A call that panics ends its connection with [`CloseReason::Aborted`] and nothing else;
/// [`on_close`](Self::on_close) is still called.
///
/// ```
/// use masep::blocking::{Connection, SocketHandler};
/// use masep::Frame;
///
/// struct Echo;
///
/// impl SocketHandler for Echo {
///     fn on_receive(&self, connection: &Connection, frame: Frame) {
///         // Only fails when the connection has ended, which `on_close` tells.
///         let _ = connection.send(frame);
///     }
/// }
/// ```
pub trait SocketHandler: Send + Sync + 'static {
    /// A peer has said hello and is registered.
    fn on_connect(&self, connection: &Connection) {
        let _ = connection;
    }

    /// A frame has arrived. `BYE` is not given to the handler: it ends the connection.
    fn on_receive(&self, connection: &Connection, frame: Frame);

    /// The peer has said that it did not accept something, which is no end (protocol 2):
    /// [`Connection::try_notice`] takes what it said. It is told as early as it can be, and may concern what was sent long
    /// before.
    fn on_notice(&self, connection: &Connection) {
        let _ = connection;
    }

    /// The connection has ended: nothing can be sent any more. Its place among the server's connections is free by now, and
    /// its id when this call returns, or after a second if it takes longer.
    fn on_close(&self, connection: &Connection, reason: &CloseReason) {
        let _ = (connection, reason);
    }

    /// A server did not take a connection; no other call tells of it. When 1,024 of these calls have
    /// not returned, further ones are left out.
    ///
    /// Each of these calls is made by a thread of its own.
    fn on_reject(&self, address: Address, reason: &RejectReason) {
        let _ = (address, reason);
    }
}

impl<H: SocketHandler + ?Sized> SocketHandler for Arc<H> {
    fn on_connect(&self, connection: &Connection) {
        H::on_connect(self, connection);
    }

    fn on_receive(&self, connection: &Connection, frame: Frame) {
        H::on_receive(self, connection, frame);
    }

    fn on_notice(&self, connection: &Connection) {
        H::on_notice(self, connection);
    }

    fn on_close(&self, connection: &Connection, reason: &CloseReason) {
        H::on_close(self, connection, reason);
    }

    fn on_reject(&self, address: Address, reason: &RejectReason) {
        H::on_reject(self, address, reason);
    }
}

/// Reads a connection to its end in this thread, for a handler.
pub(super) fn run(connection: &Connection, handler: &dyn SocketHandler) {
    connection.shared().lock().handler_thread = Some(thread::current().id());
    let mut is_sound = guarded(|| handler.on_connect(connection));
    while is_sound {
        let mut frame = None;
        is_sound = match (connection.next_for_handler(&mut frame), frame) {
            (HandlerCall::Frame, Some(frame)) => guarded(|| handler.on_receive(connection, frame)),
            (HandlerCall::Notice, _) => guarded(|| handler.on_notice(connection)),
            _ => break,
        };
    }
    // Does nothing to a connection that has ended.
    connection.shared().end(CloseReason::Aborted);
    let _ = connection.shared().wait_closed(None);
    if let Some(reason) = connection.close_reason() {
        guarded(|| handler.on_close(connection, reason));
    }
    connection.shared().told();
}

/// True if a call of the handler did not panic.
pub(super) fn guarded(call: impl FnOnce()) -> bool {
    // The handler may be left in a broken state; that is for its own locks to tell.
    let sound = catch_unwind(AssertUnwindSafe(call)).is_ok();
    if !sound {
        tracing::error!("a handler panicked");
    }
    sound
}
