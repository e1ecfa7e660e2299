//! The life of one connection as a state machine: hello, frames in both directions, deadlines, and the end.
//!
//! A [`Connection`] does no input or output and reads no clock. A shell, which has the stream, moves bytes:
//!
//! * To read, it takes a [`Room`], reads into it, and puts it back. To write, it takes a [`Transmit`], writes
//!   it, and puts it back. Both leave the connection for the system call: no lock is held in one. There is one
//!   of each at most.
//! * After each call it asks again what the connection [wants](Connection::wants), what [is to be
//!   done](Connection::poll_action) to the stream, what [has happened](Connection::poll_event), and by when it
//!   wants to be [woken](Connection::deadline).
//!
//! Nothing that arrives is an error of these calls: it is a state, with a [`CloseReason`] in the end.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//! use masep_proto::connection::{Batch, Config, Connection, Event, Read, WhenFull, Write};
//! use masep_proto::{Frame, Limits};
//!
//! /// Moves what one side has to write to the other.
//! fn carry(from: &mut Connection, to: &mut Connection, now: Instant) {
//!     while let Some(transmit) = from.take_transmit() {
//!         let bytes = transmit.as_slice().expect("small frames are one slice").to_vec();
//!         from.put_transmit(transmit, Write::Bytes(bytes.len()), now);
//!         let mut room = to.take_room().expect("it reads");
//!         room.fill(&bytes);
//!         to.put_room(room, Read::Bytes, now);
//!     }
//! }
//!
//! let now = Instant::now();
//! let config = |id| Config::new(id, Limits::default()).map(Arc::new);
//! let mut agent = Connection::connect(config("agent")?, now);
//! let mut engine = Connection::accept(config("engine")?, now);
//!
//! carry(&mut agent, &mut engine, now);
//! assert_eq!(engine.poll_event(), Some(Event::Hello));
//! assert_eq!(engine.peer().unwrap().as_str(), "agent");
//! engine.admit(now);
//! carry(&mut engine, &mut agent, now);
//! assert_eq!(agent.poll_event(), Some(Event::Open));
//!
//! agent.send(&mut Some(Frame::from("hello")), WhenFull::Wait, now).unwrap();
//! carry(&mut agent, &mut engine, now);
//! let mut batch = Batch::new();
//! engine.take_frames(&mut batch, now);
//! assert_eq!(batch.next(), Some(Frame::from("hello")));
//! # Ok::<(), masep_proto::HelloError>(())
//! ```

mod agreement;
mod batch;
mod budget;
mod config;
mod deadlines;
mod ending;
mod facts;
mod gathering;
mod hand_over;
mod handler;
mod hello;
mod inbound;
mod known;
mod masep;
mod memory;
mod outbound;
mod pool;
mod rates;
mod reading;
mod receiving;
mod sending;
mod signals;
mod single;
mod transmit;
mod write_pattern;
mod writing;

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use crate::admission::RejectReason;
use crate::framing::Framing;
use crate::protocol2::Rejected;
use crate::tls::LayerState;
use crate::{CloseReason, PeerId};

pub use batch::Batch;
pub use config::{Config, Protocols, WhenFull};
pub use facts::PeerLimits;
pub use gathering::Gathered;
pub use hand_over::{HandOver, Heard};
pub use handler::HandlerCall;
pub use hello::{HelloFailure, OtherProfile};
pub use known::KnownPymasep;
pub use memory::FrameMemory;
pub use sending::{PushError, TooLarge};
pub use signals::{Action, Actions, Event, Pushed, Read, Room, Want, Wants, Write};
pub use transmit::Transmit;

use gathering::Gathering;
use handler::Handler;
use inbound::Inbound;
use masep::Masep;
use outbound::Outbound;
use rates::Rates;
use signals::Pending;
use write_pattern::WritePattern;

/// One connection, from its first byte to its last. See the [module](self).
pub struct Connection {
    config: Arc<Config>,
    phase: Phase,
    connects: bool,
    peer: Option<PeerId>,
    /// The state of protocol 2; `None` if the peer speaks pymasep's, or is not known to speak another one.
    masep: Option<Box<Masep>>,
    /// The reason for a refusal, where a peer of protocol 2 is to be told one.
    rejected: Option<Box<Rejected>>,
    /// The reason for which a door has turned the peer away.
    reject_reason: Option<Box<RejectReason>>,

    inbound: Inbound,
    /// The rates at which the peer may send, as long as they hold.
    rates: Option<Box<Rates>>,
    pattern: WritePattern,
    /// Frames were taken since the receiver last found none.
    has_taken: bool,
    /// Nobody receives: frames are thrown away.
    ignores_frames: bool,
    handler: Handler,
    /// The peer's stream has ended or failed.
    input_over: bool,
    /// The end of the input, if it came while our hello was being written.
    early_end: Option<Read>,
    /// A read is wanted whether or not the stream is known to be readable.
    probes: bool,
    /// The room that is out has bytes in which no frames were looked for.
    walks_late: bool,

    /// The last state of the layer below.
    layer: LayerState,

    outbound: Outbound,
    /// The rest of a transmit that the stream took in part.
    rest: Option<Transmit>,
    transmit_out: bool,
    /// The last write found no room.
    is_blocked: bool,
    /// Somebody was told to write and has not yet found that nothing is left.
    is_being_written: bool,
    /// A frame was refused for lack of room.
    wants_room: bool,
    bye: Bye,
    /// An end that was found while the `BYE` was being written. It may be the answer to it.
    answer: Option<CloseReason>,
    /// The number of accepted frames that were written.
    written: u64,
    /// When the last frame was accepted, and whether all that had arrived was read since.
    last_send: Option<Instant>,
    has_waited: bool,
    gathering: Option<Box<Gathering>>,

    outcome: Outcome,
    /// Frames that were accepted were dropped by an abort.
    has_lost: bool,
    /// The end was told.
    is_closed: bool,
    /// Nothing is waited for any more: steps that cannot be done at once are left out.
    is_hurried: bool,
    /// Reads that are still made before this side says `BYE`, for what had arrived by then.
    last_reads: u8,
    /// Bytes that are still thrown away before the stream is closed.
    discards: u32,

    /// The time by which the phase has to be over.
    phase_until: Option<Instant>,
    /// The time by which the peer has to take something.
    write_until: Option<Instant>,
    /// The time since which nothing can be written any more.
    write_failed_at: Option<Instant>,
    /// The time since which nothing was heard.
    silent_since: Option<Instant>,
    /// The time until which a server's `BYE` is a refusal; `None` once a frame has come.
    rejection_until: Option<Instant>,

    /// Frames are accepted.
    takes_frames: bool,
    /// Nothing else goes in both directions, and no time runs but that of heartbeats.
    is_plain: bool,
    /// The wants or the deadline may have changed, and the shell has not asked.
    has_changed: bool,
    events: Pending,
    /// Events that are not told.
    silenced: u16,
    actions: Pending,
}

/// The phases of a connection. Their transitions are in `hello` up to `Open`, and in `ending` from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Connecting: the peer's hello is awaited.
    Greeting,
    /// Accepting: the peer's hello is awaited.
    Hearing,
    /// Accepting: the verdict is awaited.
    Deciding,
    /// Admitted: our hello is being written.
    Answering,
    /// The peer is not admitted, but may finish its hello.
    Refusing,
    /// Frames go in both directions.
    Open,
    /// The queue goes out, and then a `BYE`.
    Draining,
    /// Nothing can be written any more, and what has arrived is read.
    ReadingRest,
    /// The `BYE` was written, and the system is sending it.
    SendingOut,
    /// Our side of the stream is shut, and the end of the peer's is awaited.
    HearingOut,
    /// The stream is closed.
    Over,
}

/// The end of a connection, as far as it is known.
#[derive(Debug)]
enum Outcome {
    Undecided,
    /// This side ends it for this reason, which counts when the `BYE` is sent.
    Requested(CloseReason),
    /// Nothing can be written any more, for this reason. The bytes that the peer sent before are still read.
    WriteFailed(CloseReason),
    /// The end is settled.
    Ended(CloseReason),
    /// The connection was never open.
    Failed(HelloFailure),
}

/// The way of the `BYE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bye {
    Unsaid,
    /// In a transmit.
    Taken,
    Written,
}

mod event {
    //! The events as bits, in the order in which they are told.
    pub(super) const HELLO: u16 = 1;
    pub(super) const OPEN: u16 = 1 << 1;
    pub(super) const FAILED: u16 = 1 << 2;
    pub(super) const FRAMES: u16 = 1 << 3;
    pub(super) const NOTICE: u16 = 1 << 4;
    pub(super) const CONTROL: u16 = 1 << 5;
    pub(super) const SEND_ROOM: u16 = 1 << 6;
    pub(super) const WRITTEN: u16 = 1 << 7;
    pub(super) const ENDED: u16 = 1 << 8;
    pub(super) const CLOSED: u16 = 1 << 9;
    pub(super) const OVER: u16 = 1 << 10;
}

mod action {
    //! The actions as bits, in the order in which they are told.
    pub(super) const QUICK_ACK: u16 = 1;
    pub(super) const DELAY_ACK: u16 = 1 << 1;
    pub(super) const HALF_CLOSE: u16 = 1 << 2;
    pub(super) const CLOSE: u16 = 1 << 3;
    pub(super) const RESET: u16 = 1 << 4;
}

impl Connection {
    fn new(config: Arc<Config>, phase: Phase, connects: bool) -> Self {
        Self {
            config,
            phase,
            connects,
            peer: None,
            masep: None,
            rejected: None,
            reject_reason: None,
            inbound: Inbound::default(),
            rates: None,
            pattern: WritePattern::default(),
            has_taken: false,
            ignores_frames: false,
            handler: Handler::default(),
            input_over: false,
            early_end: None,
            probes: false,
            walks_late: false,
            layer: LayerState::default(),
            outbound: Outbound::default(),
            rest: None,
            transmit_out: false,
            is_blocked: false,
            is_being_written: false,
            wants_room: false,
            bye: Bye::Unsaid,
            answer: None,
            written: 0,
            last_send: None,
            has_waited: false,
            gathering: None,
            outcome: Outcome::Undecided,
            has_lost: false,
            is_closed: false,
            is_hurried: false,
            last_reads: 0,
            discards: 0,
            phase_until: None,
            write_until: None,
            write_failed_at: None,
            silent_since: None,
            rejection_until: None,
            takes_frames: false,
            is_plain: false,
            has_changed: true,
            events: Pending::default(),
            silenced: 0,
            actions: Pending::default(),
        }
    }

    /// Over a stream on which both sides have said hello already.
    pub fn established(config: Arc<Config>, peer: PeerId, now: Instant) -> Self {
        let mut this = Self::new(config, Phase::Open, true);
        this.peer = Some(peer);
        this.silent_since = Some(now);
        this.rates = Rates::new(this.config.limits(), now);
        let _as_usual = this.pattern.end_hello(now);
        this.tell(event::OPEN);
        this.note_change();
        this
    }

    #[inline]
    fn framing(&self) -> Framing {
        match &self.masep {
            None => self.config.framing,
            Some(masep) => masep.framing,
        }
    }

    /// The calls that the connection waits for. They are to be asked for again after each other call.
    #[inline]
    pub fn wants(&self) -> Wants {
        Wants {
            read: self.wants_read(),
            write: self.wants_write(),
            sent: self.phase == Phase::SendingOut,
        }
    }

    /// [`Wants::read`] alone.
    #[inline]
    pub fn wants_read(&self) -> Want {
        if self.is_plain {
            let want = self.want_to_read_plainly();
            debug_assert_eq!(want, self.want_to_read());
            return want;
        }
        self.want_to_read()
    }

    /// [`Wants::write`] alone.
    #[inline]
    pub fn wants_write(&self) -> Want {
        if self.is_plain {
            let want = self.want_to_write_plainly();
            debug_assert_eq!(want, self.want_to_write());
            return want;
        }
        self.want_to_write()
    }

    /// True if nothing but frames goes in both directions, and no time runs but that of heartbeats. The time of an earlier
    /// call is then good enough for a write that took all: a ping goes out early.
    #[inline]
    pub const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// True if the [wants](Self::wants) or the [deadline](Self::deadline) may have changed since this was called last, in
    /// a way of which no other call has told: [`send`](Self::send) says who is to write, and a room or a transmit that
    /// is back can be taken again.
    #[inline]
    pub const fn take_change(&mut self) -> bool {
        mem::replace(&mut self.has_changed, false)
    }

    /// True if [`take_change`](Self::take_change) would give true.
    #[inline]
    pub const fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// Notes changes at the end of each call, but for those of a plain connection.
    fn note_change(&mut self) {
        self.has_changed = true;
        self.takes_frames = self.phase == Phase::Open && matches!(self.outcome, Outcome::Undecided);
        self.is_plain = self.takes_frames
            && self.pattern.is_plain()
            && self.masep.as_ref().is_none_or(|masep| masep.is_quiet())
            && self.config.when_full == WhenFull::Wait
            && self.config.limits.idle_time.is_none()
            && self.rates.is_none()
            && !self.ignores_frames
            && !self.input_over
            && !self.probes
            && !self.is_blocked
            && !self.is_gathering()
            && !self.layer.more
            && !self.layer.owes
            && self.rest.is_none()
            && self.phase_until.is_none()
            && self.write_until.is_none()
            && self.rejection_until.is_none();
    }

    /// False if there is neither an [action](Self::poll_action) nor an [event](Self::poll_event) now. It is cheap enough
    /// to be asked for each frame.
    #[inline]
    pub const fn has_news(&self) -> bool {
        !self.actions.is_empty() || !self.events.is_empty()
    }

    /// This event is not told from here on: for a shell that learns of it in another way, and saves the look at it
    /// for each frame.
    pub const fn silence(&mut self, event: Event) {
        let bit = match event {
            Event::Hello => event::HELLO,
            Event::Open => event::OPEN,
            Event::Failed => event::FAILED,
            Event::Frames => event::FRAMES,
            Event::Notice => event::NOTICE,
            Event::Control => event::CONTROL,
            Event::SendRoom => event::SEND_ROOM,
            Event::Written(_) => event::WRITTEN,
            Event::Ended => event::ENDED,
            Event::Closed => event::CLOSED,
            Event::Over => event::OVER,
        };
        self.silenced |= bit;
        self.events.clear(bit);
    }

    /// Takes [`Event::Frames`] back, if it is still to be told: the shell that has read takes the frames itself.
    #[inline]
    pub const fn forget_frames(&mut self) {
        self.events.clear(event::FRAMES);
    }

    #[inline]
    const fn tell(&mut self, event: u16) {
        self.events.set(event & !self.silenced);
    }

    /// False if there is no [event](Self::poll_event) now.
    #[inline]
    pub const fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next thing that is to be done to the stream.
    pub fn poll_action(&mut self) -> Option<Action> {
        Action::of(self.actions.take_first())
    }

    /// All that is to be done to the stream now.
    pub const fn take_actions(&mut self) -> Actions {
        Actions::take(&mut self.actions)
    }

    /// The next event, in the order in which they happen. The same event is not kept twice.
    pub fn poll_event(&mut self) -> Option<Event> {
        Some(match self.events.take_first() {
            event::HELLO => Event::Hello,
            event::OPEN => Event::Open,
            event::FAILED => Event::Failed,
            event::FRAMES => Event::Frames,
            event::NOTICE => Event::Notice,
            event::CONTROL => Event::Control,
            event::SEND_ROOM => Event::SendRoom,
            event::WRITTEN => Event::Written(self.written),
            event::ENDED => Event::Ended,
            event::CLOSED => Event::Closed,
            event::OVER => Event::Over,
            _ => return None,
        })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("phase", &self.phase)
            .field("outcome", &self.outcome)
            .field("wants", &self.wants())
            .finish_non_exhaustive()
    }
}
