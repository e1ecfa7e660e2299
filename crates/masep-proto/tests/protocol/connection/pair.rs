//! Two sides that talk over streams in memory, and a clock that stands still until it is turned.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use masep_proto::connection::{
    Action, Batch, Config, Connection, Event, HelloFailure, Protocols, PushError, Pushed, Read,
    Transmit, Want, WhenFull, Write,
};
use masep_proto::protocol2::{Notice, Protocol, Welcome};
use masep_proto::{CloseReason, Frame, Limit, LimitExceeded, Limits};

/// One direction of a stream.
pub(crate) struct Pipe {
    pub(crate) bytes: VecDeque<u8>,
    pub(crate) capacity: usize,
    /// Nothing more is written.
    pub(crate) shut: bool,
    /// The reader finds an error.
    pub(crate) reset: bool,
    /// Nobody reads any more.
    pub(crate) closed: bool,
    /// The next write fails so.
    pub(crate) fails: Option<io::ErrorKind>,
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            capacity,
            shut: false,
            reset: false,
            closed: false,
            fails: None,
        }
    }

    fn is_readable(&self) -> bool {
        self.reset || self.shut || !self.bytes.is_empty()
    }

    fn is_writable(&self) -> bool {
        self.closed || self.reset || self.fails.is_some() || self.bytes.len() < self.capacity
    }
}

/// Numbers out of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or(usize::MAX) % bound.max(1)
    }
}

/// One end: the connection, and all that it told.
pub(crate) struct Side {
    pub(crate) core: Connection,
    pub(crate) batch: Batch,
    pub(crate) received: Vec<Frame>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) events: Vec<Event>,
    pub(crate) actions: Vec<Action>,
    /// The actions that concern acknowledgements.
    pub(crate) acknowledgements: Vec<Action>,
    /// The stream is closed.
    pub(crate) closed: bool,
    /// True if frames are taken as they come.
    pub(crate) takes: bool,
    /// True if a hello is answered with [`Connection::admit`] at once.
    pub(crate) admits: bool,
    /// The deadline, and whether it waits for all to be sent, when that was said to have changed last.
    told: (Option<Instant>, bool),
}

impl Side {
    pub(crate) fn new(core: Connection) -> Self {
        Self {
            core,
            batch: Batch::new(),
            received: Vec::new(),
            notices: Vec::new(),
            events: Vec::new(),
            actions: Vec::new(),
            acknowledgements: Vec::new(),
            closed: false,
            takes: true,
            admits: true,
            told: (None, false),
        }
    }

    /// A shell that asks only when something is said to have changed wakes in time.
    fn check_change(&mut self) {
        let (due, sent) = (self.core.deadline(), self.core.wants().sent);
        if self.core.take_change() {
            self.told = (due, sent);
            return;
        }
        let is_earlier = match (due, self.told.0) {
            (Some(due), Some(told)) => due < told,
            (due, None) => due.is_some(),
            (None, Some(_)) => false,
        };
        assert!(!is_earlier && sent == self.told.1, "{self:?}");
    }

    pub(crate) fn reason(&self) -> Option<CloseReason> {
        self.core.reason().cloned()
    }

    pub(crate) fn failure(&self) -> Option<HelloFailure> {
        self.core.failure().cloned()
    }

    pub(crate) fn send(&mut self, body: &[u8], now: Instant) -> Result<Pushed, PushError> {
        self.send_or(body, WhenFull::Wait, now)
    }

    pub(crate) fn send_or(
        &mut self,
        body: &[u8],
        when_full: WhenFull,
        now: Instant,
    ) -> Result<Pushed, PushError> {
        let mut frame = Some(Frame::new(body.to_vec()));
        self.core.send(&mut frame, when_full, now)
    }

    /// Takes all frames that wait.
    pub(crate) fn take(&mut self, now: Instant) {
        loop {
            self.received.extend(&mut self.batch);
            self.core.take_frames(&mut self.batch, now);
            if self.batch.is_empty() {
                return;
            }
        }
    }

    /// A connection that waits for nothing is over, or it is the user's turn.
    fn check_rest(&self) {
        let wants = self.core.wants();
        let waits = wants.read != Want::Nothing || wants.write != Want::Nothing || wants.sent;
        let is_users_turn = self.core.frames() > 0
            || (self.events.contains(&Event::Hello) && !self.events.contains(&Event::Open));
        assert!(
            waits || self.core.deadline().is_some() || self.core.is_over() || is_users_turn,
            "{self:?}"
        );
        assert_eq!(self.closed, self.core.is_over());
        let told = |event| self.events.iter().filter(|told| **told == event).count();
        for event in [
            Event::Open,
            Event::Failed,
            Event::Ended,
            Event::Closed,
            Event::Over,
        ] {
            assert!(told(event) <= 1, "{event:?}: {self:?}");
        }
        assert_eq!(
            told(Event::Ended),
            usize::from(self.core.reason().is_some())
        );
        assert_eq!(
            told(Event::Failed),
            usize::from(self.core.failure().is_some())
        );
        assert!(told(Event::Ended) + told(Event::Failed) <= 1, "{self:?}");
        assert!(told(Event::Open) <= usize::from(self.core.was_open()));
        assert!(told(Event::Closed) <= usize::from(self.core.is_closed()));
    }

    fn poll(&mut self, now: Instant) -> bool {
        let before = (self.events.len(), self.received.len());
        self.check_change();
        while let Some(event) = self.core.poll_event() {
            self.events.push(event);
            if event == Event::Notice {
                self.notices.extend(self.core.poll_notice());
            }
            if event == Event::Hello && self.admits {
                self.core.admit(now);
            }
        }
        if self.takes {
            self.take(now);
        }
        before != (self.events.len(), self.received.len())
    }

    fn act(&mut self, incoming: &mut Pipe, outgoing: &mut Pipe) -> bool {
        let mut acted = false;
        for action in self.core.take_actions() {
            acted = true;
            if matches!(action, Action::QuickAck | Action::DelayAck) {
                self.acknowledgements.push(action);
                continue;
            }
            self.actions.push(action);
            assert!(!self.closed, "{action:?} on a closed stream");
            match action {
                Action::QuickAck | Action::DelayAck => {}
                Action::HalfClose => outgoing.shut = true,
                Action::Close => {
                    outgoing.shut = true;
                    // Unread bytes make it a reset.
                    outgoing.reset |= !incoming.bytes.is_empty();
                    self.closed = true;
                }
                Action::Reset => {
                    outgoing.reset = true;
                    self.closed = true;
                }
            }
            if self.closed {
                incoming.closed = true;
            }
        }
        acted
    }

    fn read(&mut self, incoming: &mut Pipe, most: usize, now: Instant) -> bool {
        let wanted = match self.core.wants().read {
            Want::Nothing => false,
            Want::Ready => incoming.is_readable(),
            Want::Now => true,
        };
        if !wanted {
            return false;
        }
        let mut room = self.core.take_room().expect("it wants to read");
        // As of a socket, what came before an error is read before it.
        let read = if let bytes @ 1.. = incoming.bytes.len().min(most).min(room.free()) {
            let bytes: Vec<u8> = incoming.bytes.drain(..bytes).collect();
            room.fill(&bytes);
            Read::Bytes
        } else if incoming.reset {
            Read::Failed(io::ErrorKind::ConnectionReset)
        } else if incoming.shut {
            Read::End
        } else {
            Read::Blocked
        };
        self.core.put_room(room, read, now);
        true
    }

    fn write(&mut self, outgoing: &mut Pipe, most: usize, now: Instant) -> bool {
        let wanted = match self.core.wants().write {
            Want::Nothing => false,
            Want::Ready => outgoing.is_writable(),
            Want::Now => true,
        };
        if !wanted {
            return false;
        }
        let transmit = self.core.take_transmit().expect("it wants to write");
        let write = if let Some(kind) = outgoing.fails {
            Write::Failed(kind)
        } else if outgoing.closed || outgoing.shut || outgoing.reset {
            Write::Failed(io::ErrorKind::BrokenPipe)
        } else {
            let room = outgoing.capacity - outgoing.bytes.len();
            match room.min(most) {
                0 => Write::Blocked,
                most => Write::Bytes(copy(&transmit, most, &mut outgoing.bytes)),
            }
        };
        self.core.put_transmit(transmit, write, now);
        true
    }
}

/// Copies as many bytes of a transmit: how many there were.
pub(crate) fn copy(transmit: &Transmit, most: usize, to: &mut VecDeque<u8>) -> usize {
    let mut slices = [IoSlice::new(&[]); Transmit::MOST_SLICES];
    let used = transmit.slices(&mut slices);
    let mut left = most;
    for slice in &slices[..used] {
        let bytes = &slice[..left.min(slice.len())];
        left -= bytes.len();
        to.extend(bytes);
    }
    most - left
}

/// Without what was received, which is long.
impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.events.len().saturating_sub(12);
        f.debug_struct("Side")
            .field("core", &self.core)
            .field("frames", &self.core.frames())
            .field("deadline", &self.core.deadline())
            .field("events", &&self.events[last..])
            .field("actions", &self.actions)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe")
            .field("bytes", &self.bytes.len())
            .field("capacity", &self.capacity)
            .field("shut", &self.shut)
            .field("reset", &self.reset)
            .field("closed", &self.closed)
            .field("fails", &self.fails)
            .finish()
    }
}

/// The settings of a side.
pub(crate) fn config(id: &str, limits: &Limits, protocols: Protocols) -> Config {
    let config = Config::new(id, limits.clone()).expect("an id");
    config.protocols(protocols)
}

pub(crate) const fn exceeded(limit: Limit, actual: usize, allowed: usize) -> LimitExceeded {
    LimitExceeded {
        limit,
        actual,
        allowed,
    }
}

/// Two sides and what is between them.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) now: Instant,
    /// The side that connected.
    pub(crate) agent: Side,
    /// The side that was connected to.
    pub(crate) engine: Side,
    pub(crate) to_engine: Pipe,
    pub(crate) to_agent: Pipe,
    /// The generator of the cuts of reads and writes; whole without.
    pub(crate) cuts: Option<Random>,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with_limits(&Limits::default())
    }

    pub(crate) fn with_limits(limits: &Limits) -> Self {
        Self::both(limits, Protocols::Pymasep)
    }

    /// One of which both sides have these bounds, and speak this.
    fn both(limits: &Limits, protocols: Protocols) -> Self {
        let config = |id| config(id, limits, protocols);
        Self::with(config("agent"), config("engine"), 1 << 20)
    }

    pub(crate) fn with(agent: Config, engine: Config, capacity: usize) -> Self {
        let now = Instant::now();
        Self {
            now,
            agent: Side::new(Connection::connect(Arc::new(agent), now)),
            engine: Side::new(Connection::accept(Arc::new(engine), now)),
            to_engine: Pipe::new(capacity),
            to_agent: Pipe::new(capacity),
            cuts: None,
        }
    }

    /// One of which both sides speak what is given.
    pub(crate) fn speaking(agent: Protocols, engine: Protocols) -> Self {
        let config = |id, protocols| config(id, &Limits::default(), protocols);
        Self::with(config("agent", agent), config("engine", engine), 1 << 20)
    }

    /// One of which both sides speak this, and whose engine waits for the verdict about its peer.
    pub(crate) fn undecided(protocols: Protocols) -> Self {
        Self::undecided_with(&Limits::default(), protocols)
    }

    /// The same with these bounds.
    pub(crate) fn undecided_with(limits: &Limits, protocols: Protocols) -> Self {
        let mut pair = Self::both(limits, protocols);
        pair.engine.admits = false;
        pair
    }

    /// One of protocol 2 that has shaken hands, a second ago.
    pub(crate) fn open2() -> Self {
        Self::open2_with(&Limits::default())
    }

    /// The same with these bounds.
    pub(crate) fn open2_with(limits: &Limits) -> Self {
        let mut pair = Self::both(limits, Protocols::Masep2);
        pair.settle();
        for side in [&pair.agent, &pair.engine] {
            assert!(side.events.contains(&Event::Open), "{side:?}");
            assert_eq!(side.core.protocol(), Protocol::Masep2);
        }
        pair.pass(Duration::from_secs(1));
        pair
    }

    /// One that has shaken hands.
    pub(crate) fn open() -> Self {
        Self::open_with(&Limits::default())
    }

    /// One that has shaken hands, a second ago.
    pub(crate) fn open_with(limits: &Limits) -> Self {
        let mut pair = Self::with_limits(limits);
        pair.settle();
        assert!(pair.agent.events.contains(&Event::Open));
        assert!(pair.engine.events.contains(&Event::Open));
        pair.pass(Duration::from_secs(1));
        pair
    }

    /// One step of one side; whether it did something.
    pub(crate) fn step(&mut self, agent: bool) -> bool {
        let (side, incoming, outgoing) = if agent {
            (&mut self.agent, &mut self.to_agent, &mut self.to_engine)
        } else {
            (&mut self.engine, &mut self.to_engine, &mut self.to_agent)
        };
        let mut most = || match &mut self.cuts {
            None => usize::MAX,
            Some(random) => {
                let magnitude = random.below(18);
                1 + random.below(1 << magnitude)
            }
        };
        let (to_read, to_write) = (most(), most());
        let mut did = side.poll(self.now);
        did |= side.act(incoming, outgoing);
        did |= side.read(incoming, to_read, self.now);
        did |= side.act(incoming, outgoing);
        did |= side.write(outgoing, to_write, self.now);
        did |= side.act(incoming, outgoing);
        if side.core.wants().sent && (outgoing.bytes.is_empty() || outgoing.closed) {
            side.core.sent(self.now);
            did = true;
        }
        did |= side.poll(self.now);
        did
    }

    /// Has one side alone go on until it has nothing more to do.
    pub(crate) fn run(&mut self, agent: bool) {
        while self.step(agent) {}
    }

    /// Turns the clock for one side alone, which was busy elsewhere until then, and goes on now.
    pub(crate) fn wake_after(&mut self, agent: bool, time: Duration) {
        self.now += time;
        let side = if agent {
            &mut self.agent
        } else {
            &mut self.engine
        };
        side.core.handle_timeout(self.now);
        self.run(agent);
    }

    /// The bytes of one side that the other has not read.
    pub(crate) fn written(&self, agent: bool) -> Vec<u8> {
        let pipe = if agent {
            &self.to_engine
        } else {
            &self.to_agent
        };
        pipe.bytes.iter().copied().collect()
    }

    /// The engine takes its peer, with these words.
    pub(crate) fn admit_with(&mut self, welcome: Welcome) {
        self.engine.core.admit_with(welcome, self.now);
    }

    /// One write of one side.
    pub(crate) fn write(&mut self, agent: bool) {
        let (side, outgoing) = if agent {
            (&mut self.agent, &mut self.to_engine)
        } else {
            (&mut self.engine, &mut self.to_agent)
        };
        side.write(outgoing, usize::MAX, self.now);
    }

    /// Writes so many bytes of what the engine has given out to be written.
    pub(crate) fn put_in_part(&mut self, transmit: Transmit, most: usize) {
        let core = &mut self.engine.core;
        assert!(core.take_transmit().is_none(), "one is out");
        let write = match copy(&transmit, most, &mut self.to_agent.bytes) {
            0 => Write::Blocked,
            written => Write::Bytes(written),
        };
        core.put_transmit(transmit, write, self.now);
    }

    /// Goes on until nothing happens any more without the clock.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1_000_000 {
            let agent = self.step(true);
            if !(self.step(false) || agent) {
                self.agent.check_rest();
                self.engine.check_rest();
                return;
            }
        }
        panic!("it does not come to rest: {self:?}");
    }

    /// Turns the clock, stopping at each deadline on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        self.settle();
        for _ in 0..10_000 {
            let deadlines = [self.agent.core.deadline(), self.engine.core.deadline()];
            let next = deadlines.into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = until;
                return self.settle();
            };
            self.now = self.now.max(next);
            for side in [&mut self.agent, &mut self.engine] {
                if side.core.deadline().is_some_and(|due| due <= self.now) {
                    side.core.handle_timeout(self.now);
                }
            }
            self.settle();
        }
        panic!("deadlines do not move: {self:?}");
    }
}
