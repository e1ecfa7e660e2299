//! Connections without sockets: bounded pipes in memory, which end as TCP connections end.
//!
//! For tests: a server and its clients in one task, on tokio's paused clock, with nothing of the
//! operating system in between.
//!
//! ```
//! # use masep::{Client, Server, transport::memory};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (listener, connector) = memory::listen(16);
//! let server = Server::builder("engine").serve_over(listener)?;
//! let client = Client::builder("agent")
//!     .connect_with(connector.address(), |_address| connector.connect(4096))
//!     .await?;
//! client.connection().send("hello").await?;
//! let connection = server.accept().await.expect("it has not stopped");
//! assert_eq!(connection.recv().await.expect("a frame").bytes(), "hello");
//! # Ok(())
//! # }
//! ```

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::atomic::AtomicU16;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::mpsc;

use super::{Listener, Stream, Transport};
use crate::Address;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// Two transports, each the other side of the other. Up to `capacity` bytes, at least one, may be
/// on their way in each direction.
pub fn duplex(capacity: usize) -> (MemoryTransport, MemoryTransport) {
    let there = Arc::new(Pipe::new(capacity));
    let back = Arc::new(Pipe::new(capacity));
    (
        MemoryTransport::new(there.clone(), back.clone()),
        MemoryTransport::new(back, there),
    )
}

/// One end of a [`duplex`].
///
/// It ends as TCP does: dropped with bytes unread it resets the connection, otherwise the other side
/// reads the rest and then the end. Bytes that are unread at a reset are lost.
#[derive(Debug)]
pub struct MemoryTransport {
    outgoing: Arc<Pipe>,
    incoming: Arc<Pipe>,
    resets: AtomicBool,
}

/// One direction.
#[derive(Debug)]
struct Pipe {
    state: Mutex<State>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    /// No more bytes come behind these.
    ended: bool,
    /// Nobody will read them.
    abandoned: bool,
    reset: bool,
    /// The task that waits for bytes, and the one that waits for room.
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            capacity: capacity.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let (reader, writer) = (state.reader.take(), state.writer.take());
        drop(state);
        [reader, writer].into_iter().flatten().for_each(Waker::wake);
    }

    fn reset(&self) {
        self.change(|state| {
            state.reset = true;
            state.bytes.clear();
        });
    }

    fn poll_readable(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if !state.bytes.is_empty() || state.ended || state.reset {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_writable(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let room = state.bytes.len() < self.capacity;
        if room || state.ended || state.reset || state.abandoned {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_empty(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if state.bytes.is_empty() || state.abandoned {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut state = self.lock();
        if state.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let room = buffer.capacity() - buffer.len();
        if state.bytes.is_empty() && !state.ended && room > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = room.min(state.bytes.len());
        let (first, second) = state.bytes.as_slices();
        let of_first = count.min(first.len());
        buffer.extend_from_slice(&first[..of_first]);
        buffer.extend_from_slice(&second[..count - of_first]);
        state.bytes.drain(..count);
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
        Ok(count)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.lock();
        if state.reset || state.abandoned {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if state.ended {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(self.capacity - state.bytes.len());
        if count == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        state.bytes.extend(&bytes[..count]);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Ok(count)
    }
}

impl MemoryTransport {
    fn new(outgoing: Arc<Pipe>, incoming: Arc<Pipe>) -> Self {
        Self {
            outgoing,
            incoming,
            resets: AtomicBool::new(false),
        }
    }
}

impl Stream for MemoryTransport {
    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.incoming.read(buffer)
    }

    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = buffers.iter().find(|buffer| !buffer.is_empty());
        let written = self.outgoing.write(first.map_or(&[], |buffer| buffer));
        if written
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        {
            // Bytes for a socket that is gone are answered with a reset.
            self.incoming.reset();
        }
        written
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            self.outgoing.change(|state| state.ended = true);
        }
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            self.incoming.change(|state| state.ended = true);
        }
        Ok(())
    }

    fn reset_on_drop(&self) {
        self.resets.store(true, Ordering::Relaxed);
    }
}

impl Transport for MemoryTransport {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.incoming.poll_readable(context)
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_writable(context)
    }

    /// Sent is what the other side has read: of the rest, a reset leaves nothing.
    fn poll_sent(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_empty(context)
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        let unread = !self.incoming.lock().bytes.is_empty();
        if unread || self.resets.load(Ordering::Relaxed) {
            self.outgoing.reset();
            self.incoming.reset();
        } else {
            self.outgoing.change(|state| state.ended = true);
            self.incoming.change(|state| state.abandoned = true);
        }
    }
}

/// A network in memory: a listener, and a connector to it. At most `backlog` connections wait to be accepted.
pub fn listen(backlog: usize) -> (MemoryListener, MemoryConnector) {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let port = NEXT.fetch_add(1, Ordering::Relaxed);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (sender, receiver) = mpsc::channel(backlog.max(1));
    let listener = MemoryListener {
        address,
        connections: tokio::sync::Mutex::new(receiver),
    };
    let connector = MemoryConnector {
        address,
        next_port: Arc::new(AtomicU16::new(1024)),
        connections: sender,
    };
    (listener, connector)
}

/// Accepts what its [`MemoryConnector`] connects.
#[derive(Debug)]
pub struct MemoryListener {
    address: SocketAddr,
    connections: tokio::sync::Mutex<mpsc::Receiver<(MemoryTransport, SocketAddr)>>,
}

impl Listener for MemoryListener {
    type Transport = MemoryTransport;

    fn local_address(&self) -> io::Result<Address> {
        Ok(self.address.into())
    }

    /// Waits for ever when no connector is left.
    async fn accept(&self) -> io::Result<(MemoryTransport, Address)> {
        let accepted = self.connections.lock().await.recv().await;
        match accepted {
            Some((transport, address)) => Ok((transport, address.into())),
            None => std::future::pending().await,
        }
    }
}

/// Connects to a [`MemoryListener`]. A clone connects to the same.
#[derive(Clone, Debug)]
pub struct MemoryConnector {
    address: SocketAddr,
    next_port: Arc<AtomicU16>,
    connections: mpsc::Sender<(MemoryTransport, SocketAddr)>,
}

impl MemoryConnector {
    /// The address that the listener claims to have.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The near end of a new [`duplex`] of this capacity, when there is room in the backlog for the
    /// far end.
    ///
    /// Cancel safe: a call that is dropped has connected to nobody.
    ///
    /// # Errors
    /// [`ConnectionRefused`](ErrorKind::ConnectionRefused) when the listener is gone.
    pub fn connect(
        &self,
        capacity: usize,
    ) -> impl Future<Output = io::Result<MemoryTransport>> + Send + use<> {
        let connections = self.connections.clone();
        let port = self.next_port.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        async move {
            let (near, far) = duplex(capacity);
            match connections.send((far, address)).await {
                Ok(()) => Ok(near),
                Err(_gone) => Err(ErrorKind::ConnectionRefused.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
