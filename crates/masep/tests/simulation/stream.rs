//! One end of a simulated connection, as a kernel keeps it: what was written and has not left, what is
//! on its way, what has arrived and was not read.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::task::Waker;

/// Instants and times of the network, in ticks.
pub(crate) type Ticks = u64;

/// The holder of an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    /// A program.
    #[default]
    Held,
    /// The kernel, which still sends what was written.
    Left,
    /// Nobody: the machine has no memory of it.
    Gone,
}

/// A piece of the stream, in order.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// A piece on its way. One that overtakes another waits for it at the receiver.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) arrive: Ticks,
    pub(crate) piece: Piece,
}

/// One end.
#[derive(Debug, Default)]
pub(crate) struct End {
    pub(crate) presence: Presence,
    /// Written, and not yet sent.
    pub(crate) unsent: VecDeque<u8>,
    pub(crate) flight: VecDeque<Segment>,
    pub(crate) in_flight: usize,
    pub(crate) shut: bool,
    pub(crate) fin_sent: bool,
    /// Arrived, and not yet read.
    pub(crate) unread: VecDeque<u8>,
    pub(crate) ended: bool,
    pub(crate) failed: Option<ErrorKind>,
    pub(crate) resets: bool,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// When something was last heard of the other machine.
    pub(crate) heard: Ticks,
    pub(crate) keepalive: Option<Ticks>,
    pub(crate) patience: Ticks,
    /// When the program last got and gave bytes.
    pub(crate) last_read: Ticks,
    /// The longest time between two reads that brought bytes.
    pub(crate) silence: Ticks,
    pub(crate) last_write: Ticks,
    /// When the end of the stream or an error arrived.
    pub(crate) end_arrived: Option<Ticks>,
}

impl End {
    pub(crate) fn new(now: Ticks) -> Self {
        Self {
            heard: now,
            patience: Ticks::MAX,
            last_read: now,
            last_write: now,
            ..Self::default()
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.presence == Presence::Held
    }

    /// True if something waits to be acknowledged.
    pub(crate) fn owes(&self) -> bool {
        !self.unsent.is_empty() || !self.flight.is_empty()
    }

    /// True if the kernel has nothing more to do for it.
    pub(crate) fn is_done(&self) -> bool {
        !self.is_held() && !self.owes() && (self.fin_sent || self.failed.is_some() || !self.shut)
    }

    pub(crate) fn wake(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(
            [self.reader.take(), self.writer.take()]
                .into_iter()
                .flatten(),
        );
    }

    pub(crate) fn send(&mut self, arrive: Ticks, piece: Piece) {
        if let Piece::Bytes(bytes) = &piece {
            self.in_flight += bytes.len();
        }
        self.flight.push_back(Segment { arrive, piece });
    }

    /// Nothing goes out any more.
    pub(crate) fn forget_outgoing(&mut self) {
        self.unsent.clear();
        self.flight.clear();
        self.in_flight = 0;
    }

    /// The connection is broken, as this end sees it.
    pub(crate) fn fail(&mut self, now: Ticks, kind: ErrorKind, wakers: &mut Vec<Waker>) {
        self.forget_outgoing();
        self.failed.get_or_insert(kind);
        self.end_arrived.get_or_insert(now);
        self.wake(wakers);
    }
}
