//! Cuts the bytes that go through into frames and queues them for printing, without ever waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use masep_proto::protocol2::{Dissector, HeaderError, Piece};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::entry::{Direction, Entry, Origin, What};
use crate::payload;

/// Entries that may wait to be printed, and the bytes that they may hold. This is what a burst may
/// bring while the terminal is busy.
const MAX_ENTRIES: usize = 8 << 10;
const MAX_BYTES: usize = 16 << 20;

/// Gives what happens on all connections to the printer.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    started: Instant,
    entries: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    skipped: Arc<AtomicU64>,
}

/// An entry and the room that it takes until it was printed.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) entry: Entry,
    _room: OwnedSemaphorePermit,
}

/// The entries to print. Ends when no recorder is left.
#[derive(Debug)]
pub(crate) struct Entries {
    pub(crate) queue: mpsc::Receiver<Queued>,
    skipped: Arc<AtomicU64>,
}

impl Entries {
    /// Entries that were skipped behind the last one in the queue.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped.swap(0, Ordering::Relaxed)
    }
}

impl Recorder {
    pub(crate) fn new() -> (Self, Entries) {
        let (entries, queue) = mpsc::channel(MAX_ENTRIES);
        let skipped = Arc::new(AtomicU64::new(0));
        let recorder = Self {
            started: Instant::now(),
            entries,
            room: Arc::new(Semaphore::new(MAX_BYTES)),
            skipped: skipped.clone(),
        };
        (recorder, Entries { queue, skipped })
    }

    pub(crate) fn connection(&self, number: u64) -> ConnectionRecorder {
        ConnectionRecorder {
            recorder: self.clone(),
            number,
        }
    }

    fn record(&self, conn: u64, dir: Direction, what: What) {
        let weight = u32::try_from(what.weight()).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(weight);
        let (Ok(room), Ok(place)) = (room, self.entries.try_reserve()) else {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let entry = Entry {
            origin: Origin {
                time: self.started.elapsed(),
                conn,
                dir,
            },
            at: SystemTime::now(),
            what,
            skipped: self.skipped.swap(0, Ordering::Relaxed),
        };
        place.send(Queued { entry, _room: room });
    }
}

/// Records what happens on one connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionRecorder {
    recorder: Recorder,
    number: u64,
}

impl ConnectionRecorder {
    pub(crate) fn record(&self, dir: Direction, what: What) {
        self.recorder.record(self.number, dir, what);
    }

    pub(crate) fn direction(&self, dir: Direction) -> StreamRecorder {
        StreamRecorder {
            connection: self.clone(),
            dir,
            dissector: Dissector::new(payload::MOST_BYTES),
        }
    }
}

/// Records one direction of a connection.
#[derive(Debug)]
pub(crate) struct StreamRecorder {
    connection: ConnectionRecorder,
    dir: Direction,
    /// Holds the beginning of a frame: never more than a frame has that is shown.
    dissector: Dissector,
}

impl StreamRecorder {
    /// Bytes that went through.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if self.dissector.is_broken() {
            return;
        }
        self.dissector.push(bytes);
        loop {
            let what = match self.dissector.next() {
                Ok(Some(Piece::First(frame))) => What::First(frame),
                Ok(Some(Piece::Frame(frame))) => What::Frame(frame),
                Ok(Some(Piece::Preamble(generation))) => What::Preamble(generation),
                Ok(Some(Piece::Payload {
                    kind,
                    size,
                    payload,
                })) => What::Frame2(kind, size, payload),
                Ok(_) => return,
                Err(HeaderError) => What::Broken(self.rest()),
            };
            self.connection.record(self.dir, what);
        }
    }

    fn rest(&self) -> Bytes {
        let rest = self.dissector.rest();
        Bytes::copy_from_slice(if self.dissector.is_masep() {
            payload::shown(rest)
        } else {
            rest
        })
    }

    /// The sender closed the stream.
    pub(crate) fn eof(&mut self) {
        self.end(What::Eof);
    }

    /// The sender reset the connection.
    pub(crate) fn reset(&mut self) {
        self.end(What::Reset);
    }

    fn end(&mut self, what: What) {
        let is_cut = !self.dissector.rest().is_empty() || self.dissector.is_skipping();
        if is_cut && !self.dissector.is_broken() {
            let cut = What::Truncated(self.rest(), self.dissector.is_masep());
            self.connection.record(self.dir, cut);
        }
        self.connection.record(self.dir, what);
    }
}
