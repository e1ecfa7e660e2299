//! The task of a connection: reads, calls the handler, writes, and sees to the end.

use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use masep_proto::{Frame, FrameCodec, Limits};
use tokio::time::timeout;

use crate::handler::guarded;
use crate::queue::Queue;
use crate::transport::Transport;
use crate::unsent::Unsent;
use crate::wire::{BYE, Reader, Wire};
use crate::{CloseReason, Connection, Registry, SocketHandler};

/// Frames that wait are gathered into one write up to about this many bytes.
const GATHER_BYTES: usize = 64 * 1024;
/// How long an end that the peer did not ask for may take to deliver what is queued, and the `BYE`.
pub(crate) const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// All that one connection's task owns. Its fields are dropped in this order: the socket is closed
/// before the connection counts as ended.
pub(crate) struct Driver<H, T: Transport, P = ()> {
    pub(crate) wire: Wire<T>,
    /// What came after the hello.
    pub(crate) buffer: BytesMut,
    pub(crate) membership: Membership,
    pub(crate) handler: Arc<H>,
    pub(crate) limits: Arc<Limits>,
    /// Kept to the end.
    pub(crate) _place: P,
}

impl<H: SocketHandler, T: Transport, P> Driver<H, T, P> {
    /// Runs the connection to its end. If the future is dropped, the peer is told as far as the socket
    /// takes it at once, and the reason is [`CloseReason::Aborted`].
    ///
    /// What it waits in for most of its life is part of the task; what comes once at the end is
    /// allocated then: ten thousand connections hold this future.
    pub(crate) async fn run(mut self) {
        let reason = {
            let connection = &self.membership.connection;
            converse(
                &mut self.wire,
                &mut self.buffer,
                connection,
                &*self.handler,
                &self.limits,
            )
            .await
        };
        Box::pin(self.end(reason)).await;
    }

    async fn end(mut self, reason: CloseReason) {
        let connection = self.membership.connection.clone();
        connection.shared().close_queues(&reason);
        take_leave(&mut self.wire, &connection, &reason, &self.limits).await;
        drop(self.wire);

        tracing::info!(reason = reason.as_str(), "connection ended: {reason}");
        self.membership.reason = reason.clone();
        let mut told = pin!(guarded(|| self.handler.on_close(&connection, &reason)));
        if timeout(CLOSE_GRACE, &mut told).await.is_err() {
            self.membership.leave();
            told.await;
        }
    }
}

/// Reads and writes until something ends the connection.
async fn converse<H: SocketHandler, T: Transport>(
    wire: &mut Wire<T>,
    buffer: &mut BytesMut,
    connection: &Connection,
    handler: &H,
    limits: &Limits,
) -> CloseReason {
    let transport = &wire.transport;
    let mut reading = pin!(read_frames(
        Reader::new(transport, &wire.peer_splits, limits.busy_poll),
        buffer,
        connection,
        handler,
        limits
    ));
    let mut writer = Writer {
        transport,
        unsent: &mut wire.unsent,
        peer_splits: &wire.peer_splits,
        write_time: limits.write_time,
    };
    let written = {
        let shared = connection.shared();
        let writing = writer.write_frames(&shared.outbound, shared.codec());
        tokio::select! {
            biased;
            // First, so that the handler hears of the connection before it hears of its end, also of
            // one that is aborted before this task has run at all.
            reason = &mut reading => return reason,
            () = shared.abort.notified() => return requested(connection),
            written = writing => written,
        }
    };
    match written {
        Ok(()) => {
            wire.farewell.clear();
            requested(connection)
        }
        Err(reason @ CloseReason::WriteTimeout) => reason,
        Err(reason) => {
            // The peer takes nothing any more, but what it sent before is ours, and perhaps
            // it said BYE. After a shutdown the stream ends behind what has arrived.
            let _ = transport.shutdown(Shutdown::Both);
            connection.end(reason.clone());
            Box::pin(hear_out(reading, connection, reason, limits.write_time)).await
        }
    }
}

/// Lets what the peer sent before we could not write any more be read to its end.
async fn hear_out(
    reading: Pin<&mut impl Future<Output = CloseReason>>,
    connection: &Connection,
    reason: CloseReason,
    limit: Duration,
) -> CloseReason {
    tokio::select! {
        biased;
        () = connection.shared().abort.notified() => reason,
        heard = timeout(limit, reading) => match heard {
            Ok(CloseReason::PeerBye) => CloseReason::PeerBye,
            _ => reason,
        }
    }
}

fn requested(connection: &Connection) -> CloseReason {
    connection
        .shared()
        .requested()
        .unwrap_or(CloseReason::Aborted)
}

/// Gives every frame that arrives to the handler, until the peer or its silence ends it.
async fn read_frames<H: SocketHandler, T: Transport>(
    mut reader: Reader<'_, T>,
    buffer: &mut BytesMut,
    connection: &Connection,
    handler: &H,
    limits: &Limits,
) -> CloseReason {
    let codec = connection.shared().codec();
    if !guarded(|| handler.on_connect(connection)).await {
        return CloseReason::Aborted;
    }
    loop {
        loop {
            match codec.decode(buffer) {
                Ok(Some(frame)) if frame.is_bye() => return CloseReason::PeerBye,
                Ok(Some(frame)) => {
                    tracing::trace!(bytes = frame.size(), "received");
                    if !guarded(|| handler.on_receive(connection, frame)).await {
                        return CloseReason::Aborted;
                    }
                }
                Ok(None) => break,
                Err(limit) => return CloseReason::ProtocolError(limit),
            }
        }
        if buffer.is_empty() {
            // An idle connection holds no buffer.
            *buffer = BytesMut::new();
        }
        reader.acknowledge(buffer.len());
        let read = match limits.idle_time {
            None => reader.read(buffer).await,
            Some(idle) => match Box::pin(timeout(idle, reader.read(buffer))).await {
                Ok(read) => read,
                Err(_elapsed) => return CloseReason::IdleTimeout,
            },
        };
        match read {
            Ok(0) => {
                return CloseReason::EndOfStream {
                    mid_frame: !buffer.is_empty(),
                };
            }
            Ok(_) => {}
            Err(error) => return CloseReason::from_io(&error),
        }
    }
}

/// Writes to a transport, in the pieces that the peer can take.
struct Writer<'a, T> {
    transport: &'a T,
    unsent: &'a mut Unsent,
    /// Whether it is a pymasep peer. Its reader takes the end of a segment for the end of a frame, so
    /// that each frame has to begin one; then those that fit into one arrive whole.
    peer_splits: &'a AtomicBool,
    write_time: Duration,
}

impl<T: Transport> Writer<'_, T> {
    /// Writes the frames of the queue, as many at once as wait; when the queue is closed and empty, a
    /// `BYE`, and returns. May be dropped and called again: what is on its way stays in `unsent`.
    async fn write_frames(
        &mut self,
        queue: &Queue<Frame>,
        codec: FrameCodec,
    ) -> Result<(), CloseReason> {
        loop {
            self.write_out().await?;
            self.unsent.clear();
            let more = queue
                .pop_batch(|frame| {
                    tracing::trace!(bytes = frame.size(), "sending");
                    self.unsent.push(&frame, codec);
                    let apart = self.peer_splits.load(Ordering::Relaxed);
                    self.unsent.len() < GATHER_BYTES && !apart
                })
                .await;
            if !more {
                self.unsent.extend(BYE);
                return self.write_out().await;
            }
        }
    }

    /// Writes `unsent` and sees it out. May be dropped and called again.
    async fn write_out(&mut self) -> Result<(), CloseReason> {
        loop {
            let tried = if self.unsent.is_empty() {
                self.transport.try_flush().map(|()| 0)
            } else {
                let apart = self.peer_splits.load(Ordering::Relaxed);
                self.unsent.write_to(self.transport, apart)
            };
            match tried {
                Ok(_) if self.unsent.is_empty() => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Allocated when needed: most connections never wait here.
                    let ready = Box::pin(timeout(self.write_time, self.transport.writable()));
                    match ready.await {
                        Ok(ready) => ready.map_err(|error| CloseReason::from_io(&error))?,
                        Err(_elapsed) => return Err(CloseReason::WriteTimeout),
                    }
                }
                Err(error) => return Err(CloseReason::from_io(&error)),
            }
        }
    }
}

/// Delivers what is queued, and a `BYE`, to a peer that may still read; the socket can be dropped
/// then.
async fn take_leave<T: Transport>(
    wire: &mut Wire<T>,
    connection: &Connection,
    reason: &CloseReason,
    limits: &Limits,
) {
    let said = wire.farewell.is_empty();
    if said || *reason == CloseReason::PeerBye {
        wire.unsent.clear();
        wire.farewell.clear();
        return;
    }
    // Who takes nothing any more, is cut off for taking too little, or when a shut-down runs out of
    // time, is owed no more than the BYE, which dropping the wire says if it still can.
    let cut_off = matches!(
        reason,
        CloseReason::QueueFull(_) | CloseReason::Shutdown | CloseReason::Replaced
    );
    if cut_off || !reason.peer_may_read() {
        return;
    }
    let shared = connection.shared();
    let mut writer = Writer {
        transport: &wire.transport,
        unsent: &mut wire.unsent,
        peer_splits: &wire.peer_splits,
        write_time: limits.write_time,
    };
    let rest = writer.write_frames(&shared.outbound, shared.codec());
    if let Ok(Ok(())) = timeout(CLOSE_GRACE, rest).await {
        wire.farewell.clear();
    }
}

/// A connection's place in the registry. It is given up when the handler was told of the end, so
/// that it does not hear of the next connection with the same id before; but a handler that takes
/// its time over that does not keep the id for ever. Given up also by a task that is cancelled or
/// panics.
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

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    fn leave(&self) {
        self.registry.remove_connection(&self.connection);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave();
        self.connection.shared().close_queues(&self.reason);
        self.connection.shared().set_closed(self.reason.clone());
    }
}

#[cfg(test)]
mod tests;
