//! One transport in use: the hello, reading, and how it is left.

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::mem;
use std::net::Shutdown;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use masep_proto::{Frame, FrameCodec, Handshake, HelloError, Limits, PeerId};

use crate::queue::{Backlog, Copies, Piece};
use crate::spare;
use crate::sync::time::{Instant, timeout};
use crate::transport::Transport;
use crate::unsent::{Unsent, WRITE_BYTES};
use crate::write_pattern::{Acknowledgement, Brought, HELD_BACK, WritePattern};

/// The least and the most bytes asked for in one read; of the most there may be some more, which a buffer
/// that was there anyway has room for.
const READ_CHUNKS: Range<usize> = spare::SMALL..LONGEST_READ;
const LONGEST_READ: usize = 64 * 1024;
/// A frame from this size on is read into a buffer of its own.
pub(crate) const READ_ALONE_FROM: usize = 8 * 1024;
/// How often somebody who spins asks the system before others have their turn.
const EAGER_READS: usize = 8;
/// What is read and thrown away at most before a socket is closed. See [`Wire::leave`].
pub(crate) const DRAIN_BYTES: usize = 64 * 1024;

pub(crate) const BYE: &[u8] = b"\x03\0BYE";

/// A connected transport that says its farewell when it is dropped.
///
/// A bare close makes an unmodified pymasep peer spin at 100 % of a core, and a close before the
/// hello kills its accept thread. So whatever ends a connection, even a cancelled task, first sends
/// what the peer is still owed, as far as the transport takes it at once.
pub(crate) struct Wire {
    pub(crate) transport: Box<dyn Transport>,
    /// What has arrived and was not taken.
    pub(crate) buffer: BytesMut,
    pub(crate) unsent: Unsent,
    settled: bool,
    /// What the peer is owed at the end: a `BYE`, before the hello went out our hello first.
    pub(crate) farewell: Bytes,
    /// Bytes asked for in one read: more for a peer that fills them, less for one that does not.
    chunk: usize,
    /// The last read took all that there was room for; there may be more.
    filled: bool,
    /// Whether the peer writes header and body apart, as every pymasep peer does. Its reader takes the
    /// end of a segment for the end of a frame, so that each frame has to begin one; then those that fit
    /// into one arrive whole.
    pub(crate) pattern: WritePattern<Instant>,
    /// What the last read brought, until the pattern has taken note of it.
    brought: Option<Brought>,
}

impl Wire {
    pub(crate) fn new(
        transport: impl Transport,
        limits: &Limits,
        farewell: Bytes,
    ) -> io::Result<Self> {
        transport.prepare(limits)?;
        Ok(Self {
            transport: Box::new(transport),
            buffer: BytesMut::new(),
            unsent: Unsent::default(),
            settled: true,
            farewell,
            chunk: READ_CHUNKS.start,
            filled: false,
            pattern: WritePattern::before_hello(),
            brought: None,
        })
    }

    /// Appends what has arrived to the buffer, at least a byte; 0 at the end of the stream.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            // Memory is taken only when there is something to put into it.
            ready!(self.transport.poll_readable(context))?;
            match self.try_read() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    /// Whether all that was written has been sent, or never will be. What has arrived by then is thrown
    /// away: the peer may be one that reads only when it could write.
    pub(crate) fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.transport.poll_sent(context).is_ready() {
            return Poll::Ready(());
        }
        self.poll_discard(context)
    }

    /// Reads to the end of the stream, and throws it away.
    pub(crate) fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            self.buffer.clear();
            match ready!(self.poll_read(context)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Reads as [`poll_read`](Self::poll_read) does, and asks the system a few times more than once.
    pub(crate) fn poll_read_eagerly(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(read) = self.poll_read(context) {
            return Poll::Ready(read);
        }
        match self
            .try_read_with(|transport, buffer| transport.try_read_eagerly(buffer, EAGER_READS))
        {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            read => Poll::Ready(read),
        }
    }

    /// Appends what has arrived to the buffer; 0 at the end of the stream.
    pub(crate) fn try_read(&mut self) -> io::Result<usize> {
        self.try_read_with(|transport, buffer| transport.try_read(buffer))
    }

    fn try_read_with(
        &mut self,
        read: impl FnOnce(&dyn Transport, &mut BytesMut) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.make_room();
        let before = self.buffer.len();
        let room = self.buffer.capacity() - before;
        let read = read(&*self.transport, &mut self.buffer).inspect_err(|_| {
            if self.buffer.is_empty() {
                spare::give(mem::take(&mut self.buffer));
            }
        })?;
        self.filled = read == room;
        self.brought = Some(Brought {
            bytes: read,
            all: !self.filled,
        });
        if self.filled {
            self.chunk = (self.chunk * 2).min(READ_CHUNKS.end);
        } else if before == 0 && read < self.chunk / 4 {
            // Not for the rest of a frame: its next one would not fit again.
            self.chunk = (self.chunk / 2).max(READ_CHUNKS.start);
        }
        Ok(read)
    }

    /// Makes room for the next read.
    fn make_room(&mut self) {
        let buffer = &mut self.buffer;
        if buffer.capacity() == 0 {
            match self.chunk {
                spare::SMALL => *buffer = spare::take_small(),
                LONGEST_READ => *buffer = spare::take_large(),
                _ => {}
            }
        }
        match FrameCodec::claimed_bytes(buffer) {
            Some(claimed) if claimed > READ_ALONE_FROM => self.make_room_alone(claimed),
            _ => buffer.reserve(self.chunk),
        }
    }

    /// Has a large frame that has begun read into a buffer of its own, to its end and to the end of the next
    /// header: so it is never copied, and one read is enough for each of many. If the frame before is
    /// gone, its buffer is taken again, unless so much more would fit in that the next frame began in it.
    fn make_room_alone(&mut self, claimed: usize) {
        let buffer = &mut self.buffer;
        let wanted = claimed + FrameCodec::HEADER_BYTES;
        if buffer.capacity() >= claimed
            || (buffer.try_reclaim(wanted - buffer.len()) && buffer.capacity() < 2 * wanted)
        {
            return;
        }
        // Never more than twice what has arrived, whatever is claimed.
        let most = buffer.len() + self.chunk.max(buffer.len());
        let mut own = BytesMut::with_capacity(most.min(wanted));
        own.extend_from_slice(buffer);
        *buffer = own;
    }

    /// Keeps a peer that writes header and body apart from waiting for our acknowledgement in between.
    /// To be called when all whole frames were taken out of the buffer.
    ///
    /// Every pymasep peer does so, with Nagle's algorithm on: its body waits until the header is
    /// acknowledged, which a Linux kernel puts off for 40 ms unless `TCP_QUICKACK` is set. The option
    /// does not last, so it is set again after each read, for such peers only.
    pub(crate) fn acknowledge(&mut self) {
        if let Some(brought) = self.brought.take() {
            let waited = |since| Instant::now().saturating_duration_since(since);
            let rest = self.buffer.len();
            let due = self.pattern.note(brought, rest, Instant::now, waited);
            self.acknowledge_as(due);
        }
    }

    /// Reads more of the hello. Of one of which the header has come alone it is found out whether the body is
    /// held back.
    async fn read_hello_more(&mut self) -> io::Result<usize> {
        if self.pattern.awaits_body() {
            let read = poll_fn(|context| self.poll_read(context));
            if let Ok(read) = timeout(HELD_BACK, read).await {
                return read;
            }
            self.pattern.hello_is_held_back(Instant::now());
            self.transport.acknowledge();
        }
        poll_fn(|context| self.poll_read(context)).await
    }

    fn acknowledge_as(&self, due: Acknowledgement) {
        match due {
            Acknowledgement::AsUsual => {}
            Acknowledgement::Now => self.transport.acknowledge(),
            Acknowledgement::Withhold => self.transport.withhold_acknowledgement(),
        }
    }

    /// Appends a frame to what is unsent.
    pub(crate) fn gather(&mut self, frame: &Frame, codec: FrameCodec) {
        tracing::trace!(bytes = frame.size(), "sending");
        self.settled = false;
        self.unsent.push(frame, codec);
    }

    /// Appends frames that wait to what is unsent, as many as one write takes.
    pub(crate) fn gather_from(&mut self, backlog: &mut Backlog, codec: FrameCodec) {
        let alone = self.pattern.is_apart();
        let room = WRITE_BYTES.saturating_sub(self.unsent.len());
        let take = |piece: Piece<'_>| match piece {
            Piece::Shared(frame) => self.gather(frame, codec),
            Piece::Copies(copies) => self.gather_copies(copies),
        };
        if alone {
            backlog.drain_one(take);
        } else {
            backlog.drain(room, take);
        }
    }

    fn gather_copies(&mut self, copies: &mut Copies) {
        let encoded = mem::take(&mut copies.encoded);
        tracing::trace!(frames = copies.frames, bytes = encoded.len(), "sending");
        self.settled = false;
        self.unsent.append(encoded, copies.frames);
    }

    /// Appends the `BYE` to what is unsent.
    pub(crate) fn gather_bye(&mut self) {
        self.settled = false;
        self.unsent.extend(BYE);
    }

    /// Writes these bytes and sees them out. What a call that is dropped has not written goes out in
    /// front of the farewell: nobody reads a `BYE` in the middle of a hello.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.settled = false;
        self.unsent.extend(bytes);
        while self.try_write()? != Written::All {
            poll_fn(|context| self.transport.poll_writable(context)).await?;
        }
        Ok(())
    }

    /// Whether all that was written has gone out.
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Writes what is unsent as far as the transport takes it now; whether all of it went out.
    pub(crate) fn try_write(&mut self) -> io::Result<Written> {
        let written = self.try_write_out()?;
        self.settled = written == Written::All;
        if self.settled {
            self.unsent.clear();
        }
        Ok(written)
    }

    fn try_write_out(&mut self) -> io::Result<Written> {
        let before = self.unsent.len();
        loop {
            let tried = if self.unsent.is_empty() {
                self.transport.try_flush().map(|()| 0)
            } else {
                self.unsent
                    .write_to(&*self.transport, self.pattern.is_apart())
            };
            match tried {
                Ok(_) if self.unsent.is_empty() => return Ok(Written::All),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent.shrink();
                    return Ok(if self.unsent.len() < before {
                        Written::Some
                    } else {
                        Written::Nothing
                    });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Says the farewell if the transport takes it now, and closes. Called by `Drop`.
    ///
    /// What the peer sent and we did not read is read and thrown away: closing with unread bytes
    /// makes TCP send a reset, which can overtake the `BYE`.
    fn leave(&mut self) {
        self.unsent.extend(&self.farewell);
        while !self.unsent.is_empty()
            && matches!(self.unsent.write_to(&*self.transport, false), Ok(1..))
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

/// Takes the frame at the beginning of what has arrived out, which has this size, and gives the buffer back with
/// the last byte: a connection that waits holds none.
///
/// To ask for the size is a call of its own: a frame inside the results of several functions would be moved by
/// each of them, and the processor waits for itself when it reads in another width what it has just written.
#[inline]
pub(crate) fn take_frame(arrived: &mut BytesMut, codec: FrameCodec, size: usize) -> Frame {
    let frame = codec.take(arrived, size);
    tracing::trace!(bytes = size, "received");
    if arrived.is_empty() {
        spare::give(mem::take(arrived));
    }
    frame
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.leave();
    }
}

/// How much went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    All,
    /// The rest has to wait.
    Some,
    /// All of it has to wait.
    Nothing,
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

/// Reads the peer's hello. What came after it stays in the buffer.
pub(crate) async fn read_hello(
    wire: &mut Wire,
    handshake: &mut Handshake,
) -> Result<PeerId, HelloFailure> {
    loop {
        if wire.read_hello_more().await? == 0 {
            return Err(HelloFailure::Closed);
        }
        if let Some(peer) = handshake
            .handle(&mut wire.buffer)
            .map_err(HelloFailure::Bad)?
        {
            let due = wire.pattern.end_hello();
            wire.acknowledge_as(due);
            return Ok(peer);
        }
        wire.acknowledge();
    }
}
