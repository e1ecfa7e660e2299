//! Moving bytes: the calls of the stream, which are made without the lock.

use std::io;

use masep_proto::connection::{Read, Transmit, Want, Write};

use super::lock::Locked;
use super::shared::{Shared, State, now};
use crate::transport::{self, Transport};

/// Reads of a stream at most without asking whether it is readable.
const EAGER_READS: usize = 8;
/// Steps at most until a connection that waits for nothing is over.
const MOST_LAST_STEPS: usize = 10_000;

/// A way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Reads if tokio knows that the stream is readable.
    Known,
    /// The same, for one who was woken: if tokio knows of nothing, the system was not asked, and that is no answer.
    Woken,
    /// Asks the system, whatever tokio knows.
    Asking,
    /// Asks the system several times.
    Spinning,
}

impl Shared {
    /// Reads once, if something is to be read.
    #[inline]
    pub(crate) fn read<'a>(&'a self, locked: Locked<'a>, way: Reading) -> Locked<'a> {
        let locked = self.read_once(locked, way);
        self.go_on(locked)
    }

    /// Writes once, if something is to be written.
    #[inline]
    pub(crate) fn write<'a>(&'a self, locked: Locked<'a>) -> Locked<'a> {
        let locked = self.write_once(locked);
        self.go_on(locked)
    }

    /// Where the task of the connection is gone, the call that has read or written makes the last steps.
    #[inline]
    fn go_on<'a>(&'a self, locked: Locked<'a>) -> Locked<'a> {
        if !locked.is_left {
            return locked;
        }
        drop(locked);
        self.last_steps();
        self.lock()
    }

    fn read_once<'a>(&'a self, mut locked: Locked<'a>, way: Reading) -> Locked<'a> {
        let Some(mut room) = locked.core.take_room() else {
            return locked;
        };
        let stream = locked.reader.take();
        // The effects of this are seen to below.
        locked.release();
        let read = match &stream {
            None => Read::End,
            Some(stream) => match stream.try_read(room.buffer()) {
                Ok(1..) => Read::Bytes,
                read => read_again(&**stream, room.buffer(), read.into(), way),
            },
        };
        let mut locked = self.lock();
        locked.note_layer(stream.as_deref());
        if locked.stream.is_some() {
            locked.reader = stream;
        }
        let State {
            core, last_time, ..
        } = &mut *locked;
        core.put_read(room, read, || {
            *last_time = now();
            *last_time
        });
        if std::mem::take(&mut locked.awaits_room) {
            let first = locked.receivers.wake_first();
            locked.wake(first);
        }
        locked
    }

    #[inline(never)]
    fn write_once<'a>(&'a self, mut locked: Locked<'a>) -> Locked<'a> {
        match locked.core.take_transmit() {
            Some(transmit) => self.write_transmit(locked, transmit),
            None => locked,
        }
    }

    /// Writes what was taken for that. In line: to hand a transmit on costs as much as to fill it.
    #[inline(always)]
    pub(super) fn write_out<'a>(&'a self, locked: Locked<'a>, transmit: Transmit) -> Locked<'a> {
        let locked = self.write_transmit(locked, transmit);
        self.go_on(locked)
    }

    #[inline(always)]
    fn write_transmit<'a>(&'a self, mut locked: Locked<'a>, transmit: Transmit) -> Locked<'a> {
        let stream = locked.writer.take();
        locked.release();
        let write = match &stream {
            None => Write::Failed(io::ErrorKind::NotConnected),
            Some(stream) => transport::write(&**stream, &transmit),
        };
        let is_all = write == Write::Bytes(transmit.len());
        let mut locked = self.lock();
        locked.note_layer(stream.as_deref());
        if locked.stream.is_some() {
            locked.writer = stream;
        }
        if !is_all || !locked.core.is_plain() || locked.core.is_burst() {
            // There may be a deadline now, a ping whose way is measured, or the end of a burst.
            locked.last_time = now();
        }
        let time = locked.last_time;
        locked.core.put_transmit(transmit, write, time);
        if locked.awaits_written.is_some() && locked.core.unsent() == 0 {
            let waker = locked.awaits_written.take();
            locked.wake(waker);
        }
        locked
    }

    /// Does what a connection without a task wants at once. If another call is reading or writing, that call goes on with it.
    pub(super) fn last_steps(&self) {
        for _ in 0..MOST_LAST_STEPS {
            let mut locked = self.lock();
            let wants = locked.core.wants();
            if wants.write == Want::Now {
                drop(self.write_once(locked));
            } else if wants.read == Want::Now {
                drop(self.read_once(locked, Reading::Asking));
            } else if wants.sent {
                locked.core.sent(now());
            } else {
                return;
            }
        }
    }
}

/// Reads again in some ways where a read has brought nothing, and gives the outcome.
#[inline(never)]
fn read_again(stream: &dyn Transport, buffer: &mut Vec<u8>, read: Read, way: Reading) -> Read {
    match (read, way) {
        (Read::Blocked, Reading::Asking) => stream.try_read_eagerly(buffer, 1).into(),
        (Read::Blocked, Reading::Spinning) => stream.try_read_eagerly(buffer, EAGER_READS).into(),
        // Nobody has asked the system.
        (Read::Blocked, Reading::Woken) => Read::Bytes,
        (read, _) => read,
    }
}

impl State {
    /// Tells the core of the state of a layer of the stream, after a call of it: with the lock, so that what is told last is
    /// the latest.
    #[inline]
    fn note_layer(&mut self, stream: Option<&dyn Transport>) {
        if self.has_layer
            && let Some(layer) = stream.and_then(|stream| stream.layer())
        {
            self.core.note_layer(layer);
        }
    }
}
