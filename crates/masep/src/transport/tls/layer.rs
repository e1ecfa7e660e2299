//! TLS between a connection and the stream of a socket.
//!
//! No lock is held in a read of the socket. The lock of what goes out is held in writes, which do not wait, so that the
//! bytes of one who writes and those that a reader owes (the answers of handshakes) stay in order. The lock of the
//! session is held for cryptography alone, and taken behind that of what goes out.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::LocalKey;

use masep_proto::tls::{FirstBytes, LayerState, TlsFault};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use super::session::{RECORD, Session};
use crate::sync::{Mutex, MutexGuard};

/// The least and the most bytes of ciphertext that are read at once.
const LEAST_READ: usize = 4 * 1024;
const MOST_READ: usize = 64 * 1024;
/// The most plaintext that is encrypted before it is written.
const MOST_WRITE: usize = 4 * RECORD;
/// Reads in a row that bring no plaintext, after which others have their turn.
const MOST_IN_VAIN: usize = 8;
/// The largest buffer that a thread keeps for the next write.
const MOST_KEPT: usize = MOST_WRITE + 4 * 1024;
/// Bytes of a peer that are thrown away at once, of one that has broken TLS.
const MOST_DISCARDED: usize = 64 * 1024;

/// Reads what has arrived into the spare capacity of a buffer.
pub(crate) type Recv<'a> = &'a mut dyn FnMut(&mut Vec<u8>) -> io::Result<usize>;
/// Writes what there is room for.
pub(crate) type Send<'a> = &'a dyn Fn(&[u8]) -> io::Result<usize>;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Layer {
    mode: AtomicU8,
    /// See [`LayerState`].
    more: AtomicBool,
    owes: AtomicBool,
    outgoing: Mutex<Outgoing>,
    stage: Mutex<Stage>,
}

/// A peer that has not said whether it speaks TLS, one that does not, and one that does.
const UNDECIDED: u8 = 0;
const PLAIN: u8 = 1;
const TLS: u8 = 2;

#[derive(Debug)]
enum Stage {
    Undecided {
        config: Arc<ServerConfig>,
        first: Vec<u8>,
    },
    Plain,
    Tls(Box<Session>),
}

/// Ciphertext on its way to the socket.
#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    /// The bytes of it that are written.
    written: usize,
    /// Plaintext in it that the connection takes for unwritten: the first bytes of what it will want to write next.
    unsaid: usize,
}

thread_local! {
    /// Buffers of this thread, which connections have for the time of a call.
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static WRITE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static OUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Puts a buffer into the place of the one that a thread keeps. A thread that is about to end keeps none: its own values may
/// have connections, which are dropped then.
fn exchange(kept: &'static LocalKey<Cell<Vec<u8>>>, new: Vec<u8>) -> Vec<u8> {
    kept.try_with(|kept| kept.replace(new)).unwrap_or_default()
}

impl Layer {
    /// Under a client that connects to a server of this name.
    pub(crate) fn connect(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        let session = Session::connect(config, name)?;
        Ok(Self::new(TLS, Stage::Tls(Box::new(session))))
    }

    /// Under a server's connection, whose peer says by its first bytes whether it speaks TLS.
    pub(crate) fn accept(config: Arc<ServerConfig>) -> Self {
        let first = Vec::new();
        Self::new(UNDECIDED, Stage::Undecided { config, first })
    }

    fn new(mode: u8, stage: Stage) -> Self {
        Self {
            mode: AtomicU8::new(mode),
            more: AtomicBool::new(false),
            owes: AtomicBool::new(false),
            outgoing: Mutex::default(),
            stage: Mutex::new(stage),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// True if there is no TLS between the connection and the socket.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.mode.load(Ordering::Acquire) == PLAIN
    }

    /// True if what is written goes out as it is. A side that speaks before it knows what its peer speaks does so.
    pub(crate) fn writes_plainly(&self) -> bool {
        if self.mode.load(Ordering::Acquire) == UNDECIDED {
            let mut stage = self.stage();
            if matches!(*stage, Stage::Undecided { .. }) {
                *stage = Stage::Plain;
                self.mode.store(PLAIN, Ordering::Release);
            }
        }
        self.is_plain()
    }

    /// The state that the connection is to be told after each call.
    pub(crate) fn state(&self) -> LayerState {
        LayerState {
            more: self.more.load(Ordering::Acquire),
            owes: self.owes.load(Ordering::Acquire),
            secure: self.mode.load(Ordering::Acquire) == TLS,
        }
    }

    /// Reads plaintext into the spare capacity of the room. `waits`: `recv` waits for bytes where there are none.
    pub(crate) fn read(
        &self,
        room: &mut Vec<u8>,
        waits: bool,
        recv: Recv<'_>,
        send: Send<'_>,
    ) -> io::Result<usize> {
        let before = room.len();
        if self.mode.load(Ordering::Acquire) == UNDECIDED {
            self.decide(room, recv)?;
        }
        if self.is_plain() {
            return match room.len() - before {
                0 => recv(room),
                read => Ok(read),
            };
        }
        if room.len() > before {
            // It was a client of TLS that said so.
            let first = room.split_off(before);
            self.take_in(first, room);
        } else if self.more.load(Ordering::Acquire) {
            self.go_on(room);
        }
        let mut vain = 0;
        loop {
            self.flush_owed(send)?;
            let read = room.len() - before;
            if read > 0 {
                return Ok(read);
            }
            if self.more.load(Ordering::Acquire)
                && let Some(end) = self.end()
            {
                return end.map(|()| 0).map_err(|fault| {
                    discard(recv, waits);
                    error_of(fault)
                });
            }
            // Records may have nothing in them, without end. One that waits looks at its time, and at what is owed.
            let is_over = if waits {
                vain > 0 || self.owes.load(Ordering::Acquire)
            } else {
                vain == MOST_IN_VAIN
            };
            if is_over {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            vain += 1;
            if self.receive(room, recv)? == 0 {
                return Err(error_of(TlsFault::Truncated));
            }
        }
    }

    /// One read of the socket. 0 at the end of the stream.
    fn receive(&self, room: &mut Vec<u8>, recv: Recv<'_>) -> io::Result<usize> {
        let free = room.capacity() - room.len();
        let wanted = (free + free / 64 + 64).clamp(LEAST_READ, MOST_READ);
        let mut ciphertext = exchange(&READ, Vec::new());
        ciphertext.clear();
        ciphertext.reserve(wanted);
        let received = recv(&mut ciphertext);
        if !matches!(received, Ok(1..)) {
            exchange(&READ, ciphertext);
            return received;
        }
        let spare = self.take_in(ciphertext, room);
        exchange(&READ, spare);
        received
    }

    fn take_in(&self, ciphertext: Vec<u8>, room: &mut Vec<u8>) -> Vec<u8> {
        let mut stage = self.stage();
        let Stage::Tls(session) = &mut *stage else {
            return ciphertext;
        };
        let spare = session.take_in(ciphertext, room);
        self.note(session);
        spare
    }

    fn go_on(&self, room: &mut Vec<u8>) {
        if let Stage::Tls(session) = &mut *self.stage() {
            session.go_on(room);
            self.note(session);
        }
    }

    /// Keeps what is asked without the lock.
    fn note(&self, session: &mut Session) {
        let more = session.has_more() || session.end().is_some();
        self.more.store(more, Ordering::Release);
        if !session.out().is_empty() {
            self.owes.store(true, Ordering::Release);
        }
    }

    fn end(&self) -> Option<Result<(), TlsFault>> {
        match &*self.stage() {
            Stage::Tls(session) => session.end(),
            _ => None,
        }
    }

    /// Reads the first bytes, and finds out what they are: those of a peer without TLS, or of TLS, are in the room then.
    fn decide(&self, room: &mut Vec<u8>, recv: Recv<'_>) -> io::Result<()> {
        let before = room.len();
        loop {
            if let Stage::Undecided { first, .. } = &mut *self.stage() {
                room.append(first);
            }
            let received = recv(room);
            let mut stage = self.stage();
            let Stage::Undecided { config, first } = &mut *stage else {
                // Decided meanwhile: this side has spoken first.
                return received.map(drop);
            };
            let found = FirstBytes::of(&room[before..]);
            let is_last = !matches!(received, Ok(1..));
            match found {
                FirstBytes::Undecided => {
                    *first = room.split_off(before);
                    if is_last {
                        // The end of a stream that was never TLS is one.
                        return match received {
                            Ok(_) => {
                                *stage = Stage::Plain;
                                self.mode.store(PLAIN, Ordering::Release);
                                Ok(())
                            }
                            Err(error) => Err(error),
                        };
                    }
                }
                FirstBytes::Other => {
                    *stage = Stage::Plain;
                    self.mode.store(PLAIN, Ordering::Release);
                    return Ok(());
                }
                FirstBytes::Tls => {
                    let session = Session::accept(config.clone()).map_err(io::Error::other)?;
                    *stage = Stage::Tls(Box::new(session));
                    self.mode.store(TLS, Ordering::Release);
                    return Ok(());
                }
            }
        }
    }

    /// Takes plaintext, as much of it as is on its way then.
    pub(crate) fn write(&self, buffers: &[IoSlice<'_>], send: Send<'_>) -> io::Result<usize> {
        let total: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let mut outgoing = self.outgoing();
        let mut said = 0;
        loop {
            said += outgoing.flush(send)?;
            self.note_owed(&outgoing);
            if outgoing.unsaid > 0 || said == total || !outgoing.is_empty() {
                return match said {
                    0 if total > 0 => Err(io::ErrorKind::WouldBlock.into()),
                    said => Ok(said),
                };
            }
            let taken = self.encrypt(&mut outgoing, buffers, said)?;
            if taken.is_early {
                // It goes out when the handshake is done, by one who reads.
                outgoing.flush(send)?;
                self.note_owed(&outgoing);
                return match said + taken.bytes {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    said => Ok(said),
                };
            }
            outgoing.unsaid = taken.bytes;
        }
    }

    /// Encrypts plaintext from this byte on.
    fn encrypt(
        &self,
        outgoing: &mut Outgoing,
        buffers: &[IoSlice<'_>],
        from: usize,
    ) -> io::Result<Taken> {
        let mut stage = self.stage();
        let Stage::Tls(session) = &mut *stage else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if session.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if session.out().capacity() == 0 {
            *session.out() = exchange(&OUT, Vec::new());
        }
        let room = session.early_room();
        let is_early = room != usize::MAX;
        let most = room.min(MOST_WRITE);
        let bytes = pieces(buffers, from, most, |piece| {
            session
                .encrypt(piece)
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
        })?;
        outgoing.take(session.out());
        Ok(Taken { bytes, is_early })
    }

    /// Writes what is to be written apart from plaintext.
    pub(crate) fn flush(&self, send: Send<'_>) -> io::Result<()> {
        let mut outgoing = self.outgoing();
        if let Stage::Tls(session) = &mut *self.stage() {
            outgoing.take(session.out());
        }
        let said = outgoing.flush(send)?;
        // Only a write can tell of it.
        outgoing.unsaid += said;
        self.note_owed(&outgoing);
        if outgoing.is_empty() {
            Ok(())
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    /// Keeps whether something is to be written of which the connection does not know.
    fn note_owed(&self, outgoing: &Outgoing) {
        let is_pending = !outgoing.is_empty() && outgoing.unsaid == 0;
        if !is_pending && !self.owes.load(Ordering::Acquire) {
            return;
        }
        let mut stage = self.stage();
        let is_due = match &mut *stage {
            Stage::Tls(session) => !session.out().is_empty(),
            _ => false,
        };
        // With the lock: a reader that owes more says so under it.
        self.owes.store(is_pending || is_due, Ordering::Release);
    }

    /// Writes what a read has left to be written, as far as there is room for it.
    fn flush_owed(&self, send: Send<'_>) -> io::Result<()> {
        if !self.owes.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.flush(send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            // A write that fails is no reason not to read what the peer has said before.
            Err(_) => {
                self.owes.store(false, Ordering::Release);
                Ok(())
            }
            flushed => flushed,
        }
    }

    /// Tells the peer that nothing comes any more, as far as there is room for it.
    pub(crate) fn close(&self, send: Send<'_>) {
        let mut outgoing = self.outgoing();
        if let Stage::Tls(session) = &mut *self.stage() {
            session.close();
            outgoing.take(session.out());
        }
        let _ = outgoing.flush(send);
    }
}

/// Plaintext that was taken.
struct Taken {
    bytes: usize,
    /// It waits for the end of the handshake.
    is_early: bool,
}

impl Outgoing {
    fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Takes ciphertext behind what there is.
    fn take(&mut self, out: &mut Vec<u8>) {
        if self.bytes.is_empty() {
            mem::swap(&mut self.bytes, out);
        } else {
            self.bytes.append(out);
        }
    }

    /// Writes what there is room for. Gives the plaintext that can be said to be written: all of it only when all of its
    /// ciphertext is.
    fn flush(&mut self, send: Send<'_>) -> io::Result<usize> {
        let before = self.written;
        while !self.is_empty() {
            match send(&self.bytes[self.written..]) {
                Ok(0) => break,
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let said = if self.is_empty() {
            self.unsaid
        } else {
            (self.written - before).min(self.unsaid.saturating_sub(1))
        };
        self.unsaid -= said;
        if self.is_empty() && self.bytes.capacity() > 0 {
            self.written = 0;
            let mut spare = mem::take(&mut self.bytes);
            if spare.capacity() <= MOST_KEPT {
                spare.clear();
                exchange(&OUT, spare);
            }
        }
        Ok(said)
    }
}

/// Calls with the pieces of these buffers from a byte on, at most so many bytes of them, each as large as a record if there
/// is so much. Gives the bytes that were taken.
fn pieces(
    buffers: &[IoSlice<'_>],
    from: usize,
    most: usize,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<usize> {
    let (mut skip, mut taken) = (from, 0);
    let mut gathered = exchange(&WRITE, Vec::new());
    gathered.clear();
    let mut all = || {
        for buffer in buffers {
            let mut rest = &buffer[skip.min(buffer.len())..];
            skip = skip.saturating_sub(buffer.len());
            rest = &rest[..rest.len().min(most - taken)];
            taken += rest.len();
            if !gathered.is_empty() || rest.len() < RECORD {
                let (fits, behind) = rest.split_at(rest.len().min(RECORD - gathered.len()));
                gathered.extend_from_slice(fits);
                rest = behind;
                if gathered.len() == RECORD {
                    take(&gathered)?;
                    gathered.clear();
                }
            }
            let (whole, behind) = rest.split_at(rest.len() / RECORD * RECORD);
            if !whole.is_empty() {
                take(whole)?;
            }
            gathered.extend_from_slice(behind);
        }
        take(&gathered)
    };
    let result = all();
    exchange(&WRITE, gathered);
    result.map(|()| taken)
}

/// Throws away what a peer has sent that has broken TLS: unread bytes would make the close a reset, which could overtake the
/// alert.
fn discard(recv: Recv<'_>, waits: bool) {
    if waits {
        return;
    }
    let mut scratch = exchange(&READ, Vec::new());
    let mut discarded = 0;
    while discarded < MOST_DISCARDED {
        scratch.clear();
        scratch.reserve(LEAST_READ);
        match recv(&mut scratch) {
            Ok(read) if read > 0 => discarded += read,
            _ => break,
        }
    }
    exchange(&READ, scratch);
}

fn error_of(fault: TlsFault) -> io::Error {
    let kind = match fault {
        TlsFault::Truncated => io::ErrorKind::UnexpectedEof,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, fault)
}
