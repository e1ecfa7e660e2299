//! One transport in use: the hello, reading, and how it is left.

use std::io;
use std::net::Shutdown;
use std::ops::Range;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use masep_proto::{FrameCodec, Handshake, HelloError, Limits, PeerId};

use crate::transport::Transport;
use crate::unsent::Unsent;

/// The least and the most bytes asked for in one read.
const READ_CHUNKS: Range<usize> = 1024..64 * 1024;
/// A frame from this size on is read into a buffer of its own.
const READ_ALONE_FROM: usize = 8 * 1024;
/// What is read and thrown away at most before a socket is closed. See [`Wire::leave`].
pub(crate) const DRAIN_BYTES: usize = 64 * 1024;

pub(crate) const BYE: &[u8] = b"\x03\0BYE";

/// A connected transport that says its farewell when it is dropped.
///
/// A bare close makes an unmodified pymasep peer spin at 100 % of a core, and a close before the
/// hello kills its accept thread. So whatever ends a connection, even a cancelled task, first sends
/// what the peer is still owed, as far as the transport takes it at once.
#[derive(Debug)]
pub(crate) struct Wire<T: Transport> {
    pub(crate) transport: T,
    pub(crate) unsent: Unsent,
    /// What the peer is owed at the end: a `BYE`, before the hello went out our hello first.
    pub(crate) farewell: Bytes,
    /// Whether the peer was seen to write header and body apart, as every pymasep peer does.
    pub(crate) peer_splits: AtomicBool,
}

impl<T: Transport> Wire<T> {
    pub(crate) fn new(transport: T, limits: &Limits, farewell: Bytes) -> io::Result<Self> {
        transport.prepare(limits)?;
        Ok(Self {
            transport,
            unsent: Unsent::default(),
            farewell,
            peer_splits: AtomicBool::new(false),
        })
    }

    /// Says the farewell if the transport takes it now, and closes. Called by `Drop`.
    ///
    /// What the peer sent and we did not read is read and thrown away: closing with unread bytes
    /// makes TCP send a reset, which can overtake the `BYE`.
    fn leave(&mut self) {
        self.unsent.extend(&self.farewell);
        while !self.unsent.is_empty()
            && matches!(self.unsent.write_to(&self.transport, false), Ok(1..))
        {}
        if !self.unsent.is_empty() || self.transport.try_flush().is_err() {
            // It will never read a BYE, and must not find the bare end of the stream instead.
            self.transport.reset_on_drop();
            return;
        }
        let _ = self.transport.shutdown(Shutdown::Write);
        let mut rest = BytesMut::with_capacity(4096);
        let mut drained = 0;
        while drained < DRAIN_BYTES {
            match self.transport.try_read(&mut rest) {
                Ok(read) if read > 0 => drained += read,
                _ => break,
            }
            rest.clear();
        }
    }
}

impl<T: Transport> Drop for Wire<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Reads from a transport into a buffer, and keeps a peer that writes header and body apart from
/// waiting for our acknowledgement in between.
///
/// Every pymasep peer does so, with Nagle's algorithm on: its body waits until the header is
/// acknowledged, which a Linux kernel puts off for 40 ms unless `TCP_QUICKACK` is set. The option
/// does not last, so it is set again after each read, for such peers only.
#[derive(Debug)]
pub(crate) struct Reader<'a, T> {
    transport: &'a T,
    busy_poll: Duration,
    /// Bytes asked for in one read: more for a peer that fills them, less for one that does not.
    chunk: usize,
    /// The last read took all that there was room for; there may be more.
    filled: bool,
    peer_splits: &'a AtomicBool,
}

impl<'a, T: Transport> Reader<'a, T> {
    pub(crate) const fn new(
        transport: &'a T,
        peer_splits: &'a AtomicBool,
        busy_poll: Duration,
    ) -> Self {
        Self {
            transport,
            busy_poll,
            chunk: READ_CHUNKS.start,
            filled: false,
            peer_splits,
        }
    }

    /// Appends what has arrived, at least a byte; 0 at the end of the stream.
    /// Cancel safe: a call that is dropped has read nothing.
    pub(crate) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        loop {
            // Memory is taken only now, so that a connection that waits holds none.
            self.readable().await?;
            self.make_room(buffer);
            let room = buffer.capacity() - buffer.len();
            let read = match self.transport.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                read => read?,
            };
            self.filled = read == room;
            if self.filled {
                self.chunk = (self.chunk * 2).min(READ_CHUNKS.end);
            } else if read < self.chunk / 4 {
                self.chunk = (self.chunk / 2).max(READ_CHUNKS.start);
            }
            return Ok(read);
        }
    }

    /// Waits until there is something to read, at first without letting the thread sleep: a task that
    /// only yields makes the runtime look at its sockets, and run whoever else can run.
    async fn readable(&self) -> io::Result<()> {
        if self.busy_poll.is_zero() {
            self.transport.readable().await
        } else {
            // In a box, for the sake of the many that do not spin.
            Box::pin(self.spin()).await
        }
    }

    async fn spin(&self) -> io::Result<()> {
        let mut readable = pin!(self.transport.readable());
        let start = Instant::now();
        let spinning = async {
            while start.elapsed() < self.busy_poll {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            ready = &mut readable => return ready,
            () = spinning => {}
        }
        readable.await
    }

    /// Makes room for the next read. A large frame that has begun is read into a buffer of its own,
    /// to its end and to the end of the next header: so it is never copied, and one read is enough
    /// for each of many.
    fn make_room(&self, buffer: &mut BytesMut) {
        // Never more than twice what has arrived, whatever is claimed.
        let most = buffer.len() + self.chunk.max(buffer.len());
        match FrameCodec::claimed_bytes(buffer) {
            Some(claimed) if claimed > READ_ALONE_FROM => {
                if buffer.capacity() < claimed {
                    let mut own =
                        BytesMut::with_capacity(most.min(claimed + FrameCodec::HEADER_BYTES));
                    own.extend_from_slice(buffer);
                    *buffer = own;
                }
            }
            _ => buffer.reserve(self.chunk),
        }
    }

    /// To be called with what is left in the buffer when all whole frames were taken out.
    pub(crate) fn acknowledge(&mut self, left: usize) {
        // A header without the first byte of its body, where no more had arrived: nobody who writes a
        // frame at once is likely to leave that.
        if left == FrameCodec::HEADER_BYTES && !self.filled {
            self.peer_splits.store(true, Ordering::Relaxed);
        }
        if self.peer_splits.load(Ordering::Relaxed) {
            self.transport.acknowledge();
        }
    }
}

/// Why the peer's hello did not come.
pub(crate) enum HelloFailure {
    Closed,
    Bad(HelloError),
    Io(io::Error),
}

impl From<io::Error> for HelloFailure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Reads the peer's hello. What came after it stays in `buffer`.
pub(crate) async fn read_hello<T: Transport>(
    wire: &Wire<T>,
    handshake: &mut Handshake,
    buffer: &mut BytesMut,
) -> Result<PeerId, HelloFailure> {
    let mut reader = Reader::new(&wire.transport, &wire.peer_splits, Duration::ZERO);
    loop {
        if reader.read(buffer).await? == 0 {
            return Err(HelloFailure::Closed);
        }
        if let Some(peer) = handshake.handle(buffer).map_err(HelloFailure::Bad)? {
            return Ok(peer);
        }
        reader.acknowledge(buffer.len());
    }
}
