//! Clients in TLS that somebody else goes on with. The keys stay in this process: a thread for each moves its bytes between
//! its stream and a Unix socket, whose other end is theirs.
//!
//! It knows no frames: each end is held up by the other's system buffers and a piece of [`PIECE`] bytes in each direction, and
//! hears the other's end behind its last byte.

use std::collections::BTreeMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, PoisonError, mpsc};
use std::time::Duration;

use masep_proto::connection::Action;
use rustix::event::{PollFd, PollFlags};

use crate::blocking::shared::wait_while;
use crate::blocking::spawn;
use crate::blocking::stream::{Stream, after, wait_for};
use crate::hearing::Hearing;
use crate::sync::{Condvar, Instant, Mutex, MutexGuard};
use crate::transport::{Socket, Stream as _};

/// The most bytes that are read at once.
const PIECE: usize = 64 * 1024;
/// Pieces of one direction, after which the other has its turn.
const MOST_PIECES: usize = 4;
/// The time in which one side takes some of what the other has left at its end, and a client ends its own side.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// Tells that the other side has gone, also while nothing is read of it.
#[cfg(target_os = "linux")]
const LEFT: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const LEFT: PollFlags = PollFlags::HUP;

/// The relays of a server that run.
#[derive(Debug, Default)]
pub(in crate::blocking) struct Relays {
    state: Mutex<Running>,
    ended: Condvar,
}

/// A relay that has all that it needs but its client. It ends if this is dropped.
pub(super) struct Prepared {
    relays: Arc<Relays>,
    begin: mpsc::Sender<(u64, Arc<Stream>)>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    clients: BTreeMap<u64, Arc<Stream>>,
}

impl Relays {
    /// Gets a thread that is to move the bytes of a client from and to this socket.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(super) fn prepare(self: &Arc<Self>, other: UnixStream) -> io::Result<Prepared> {
        let (other, _) = Socket::new(other)?;
        let (begin, begun) = mpsc::channel();
        let relays = self.clone();
        spawn("relay", move || {
            // It may have gone before it was given away.
            let Ok((number, client)): Result<(u64, Arc<Stream>), _> = begun.recv() else {
                return;
            };
            Relay::new(&client.0, &other).run();
            // Others may still hold it.
            client.act(Action::Close);
            drop((client, other));
            relays.over(number);
        })?;
        Ok(Prepared {
            relays: self.clone(),
            begin,
        })
    }

    fn over(&self, number: u64) {
        self.lock().clients.remove(&number);
        self.ended.notify_all();
    }

    /// Waits until all are over; those that are not by then are cut off.
    pub(in crate::blocking) fn wait(&self, until: Option<Instant>) {
        let runs = |running: &mut Running| !running.clients.is_empty();
        if wait_while(&self.ended, self.lock(), until, runs).is_none() {
            let left: Vec<_> = self.lock().clients.values().cloned().collect();
            left.iter().for_each(|client| client.act(Action::Reset));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prepared {
    /// Begins with this client.
    pub(super) fn begin(self, client: Arc<Stream>) {
        let mut running = self.relays.lock();
        let number = running.next;
        running.next += 1;
        running.clients.insert(number, client.clone());
        drop(running);
        // It waits for that.
        let _ = self.begin.send((number, client));
    }
}

/// A client, and the socket of whoever goes on with it.
struct Relay<'a> {
    client: Side<'a>,
    other: Side<'a>,
    /// From the client, and to it.
    up: Way,
    down: Way,
    /// From the end of one side on.
    leaving: Option<Leaving>,
}

struct Side<'a> {
    socket: &'a Socket,
    /// A read may bring something.
    may_read: bool,
    /// It has gone, though bytes of it may be left.
    has_left: bool,
}

/// One of a bounded number of relays of which one side has ended.
struct Leaving {
    _place: Hearing,
    until: Option<Instant>,
}

/// One direction.
#[derive(Default)]
struct Way {
    bytes: Vec<u8>,
    written: usize,
    /// Nothing comes any more.
    has_ended: bool,
    /// The receiver knows.
    is_told: bool,
    /// The receiver takes nothing any more.
    is_sunk: bool,
}

/// The outcome of moving bytes.
enum Moved {
    /// As many as could be. `some`: at least one was taken by the receiver.
    All { some: bool },
    /// It is the other direction's turn.
    Some,
    /// The sender is gone, out of order.
    Broken(io::Error),
}

impl Way {
    const fn is_over(&self) -> bool {
        self.has_ended && self.is_told
    }

    fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    fn wants_bytes(&self) -> bool {
        !self.has_ended && self.is_empty()
    }

    fn wants_room(&self) -> bool {
        !self.is_sunk && !self.is_empty()
    }

    /// The receiver takes nothing any more.
    fn sink(&mut self) {
        self.is_sunk = true;
        self.bytes.clear();
        self.written = 0;
    }

    /// Moves the bytes that there are as far as there is room, without a wait.
    fn advance(&mut self, from: &mut Side<'_>, to: &Socket) -> Moved {
        let mut some = false;
        for _ in 0..MOST_PIECES {
            if self.wants_bytes() {
                match self.read(from) {
                    Ok(true) => {}
                    Ok(false) => return Moved::All { some },
                    Err(error) => return Moved::Broken(error),
                }
            }
            if self.is_sunk {
                self.sink();
            }
            if self.is_empty() {
                if self.has_ended {
                    self.tell_end(to);
                    return Moved::All { some };
                }
                continue;
            }
            match to.try_write(&self.bytes[self.written..]) {
                Ok(written) => {
                    self.written += written;
                    some |= written > 0;
                }
                Err(error) if is_for_later(&error) => return Moved::All { some },
                Err(_) => self.sink(),
            }
        }
        Moved::Some
    }

    /// Reads a piece. False if nothing has come.
    fn read(&mut self, from: &mut Side<'_>) -> io::Result<bool> {
        self.bytes.clear();
        self.written = 0;
        if !from.may_read {
            return Ok(false);
        }
        self.bytes.reserve_exact(PIECE);
        match from.socket.try_read(&mut self.bytes) {
            Ok(read) => {
                self.has_ended = read == 0;
                // One that leaves room has emptied the socket, and what its TLS holds.
                from.may_read = read == PIECE || from.socket.layer().is_some_and(|it| it.more);
                Ok(true)
            }
            Err(error) if is_for_later(&error) => {
                from.may_read = false;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn tell_end(&mut self, to: &Socket) {
        if !self.is_told && !self.is_sunk {
            // It may have gone too.
            let _ = to.shutdown(Shutdown::Write);
        }
        self.is_told = true;
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

impl<'a> Relay<'a> {
    fn new(client: &'a Socket, other: &'a Socket) -> Self {
        let side = |socket| Side {
            socket,
            may_read: true,
            has_left: false,
        };
        Self {
            client: side(client),
            other: side(other),
            up: Way::default(),
            down: Way::default(),
            leaving: None,
        }
    }

    /// Moves bytes until both have ended, or one is gone.
    fn run(&mut self) {
        if let Err(error) = self.relay() {
            tracing::debug!("a client in TLS is gone, or given up: {error}");
            if error.kind() == io::ErrorKind::TimedOut {
                self.client.socket.reset();
            }
        }
        let _ = self.other.socket.shutdown(Shutdown::Both);
    }

    fn relay(&mut self) -> io::Result<()> {
        loop {
            let up = self.up.advance(&mut self.client, self.other.socket);
            let down = self.down.advance(&mut self.other, self.client.socket);
            if let Moved::Broken(error) = up {
                return Err(error);
            }
            if let Moved::Broken(_) = down {
                // Closed with something unread: an end as others.
                self.down.has_ended = true;
                continue;
            }
            if self.up.is_over() && self.down.is_over() {
                return Ok(());
            }
            let moved = |moved| matches!(moved, Moved::Some | Moved::All { some: true });
            let goes_on = matches!((&up, &down), (Moved::Some, _) | (_, Moved::Some));
            let is_used = (moved(up) && !self.up.is_sunk) || (moved(down) && !self.down.is_sunk);
            self.leave(is_used)?;
            if !goes_on {
                self.wait()?;
            }
        }
    }

    /// Bounds the time of what is left when one side has ended.
    fn leave(&mut self, is_used: bool) -> io::Result<()> {
        let is_stuck = self.client.has_left && self.up.wants_room();
        let is_due = self.down.has_ended || self.down.is_sunk || self.other.has_left || is_stuck;
        match &mut self.leaving {
            None if is_due => {
                let place = Hearing::begin().ok_or(io::ErrorKind::TimedOut)?;
                let until = after(LEAVE_TIME);
                self.leaving = Some(Leaving {
                    _place: place,
                    until,
                });
            }
            Some(leaving) if is_used => leaving.until = after(LEAVE_TIME),
            _ => {}
        }
        Ok(())
    }

    /// Waits until there is something to do.
    fn wait(&mut self) -> io::Result<()> {
        let until = self.leaving.as_ref().and_then(|leaving| leaving.until);
        if until.is_some_and(|until| until <= crate::sync::now()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let layer = self.client.socket.layer().unwrap_or_default();
        if layer.more && self.up.wants_bytes() {
            self.client.may_read = true;
            return Ok(());
        }
        let writes = self.down.wants_room() || (layer.owes && !self.down.is_sunk);
        let client = self.client.asks(self.up.wants_bytes(), writes);
        let reads = self.down.wants_bytes();
        let other = self.other.asks(reads, self.up.wants_room());
        let flags = |flags: Option<PollFlags>| flags.unwrap_or(PollFlags::empty());
        let mut asked = [
            PollFd::new(self.client.socket, flags(client)),
            PollFd::new(self.other.socket, flags(other)),
        ];
        let wanted = usize::from(client.is_none())..1 + usize::from(other.is_some());
        wait_for(&mut asked[wanted], until)?;
        let [client, other] = asked.map(|asked| asked.revents());
        self.client.find(client);
        self.other.find(other);
        if layer.owes {
            // A read or a write tells of what fails.
            let _ = self.client.socket.try_flush();
        }
        Ok(())
    }
}

impl Side<'_> {
    /// The things to wait for; none if that would be over at once, for ever.
    fn asks(&self, reads: bool, writes: bool) -> Option<PollFlags> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, reads);
        flags.set(PollFlags::OUT, writes);
        flags.set(LEFT, !reads && !self.has_left);
        (reads || writes || !self.has_left).then_some(flags)
    }

    fn find(&mut self, found: PollFlags) {
        let broken = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        self.may_read |= found.intersects(PollFlags::IN | broken);
        self.has_left |= found.intersects(LEFT | broken);
    }
}
