//! The state that the handles and the task of a connection share, and the moves of bytes.
//!
//! All decisions are those of [`masep_proto::connection::Connection`]. It stands behind one lock, which
//! is never held while the stream is read or written: the core hands out the buffers for that, and takes them back.
//! A call that lets the lock go does what the connection wants done by then, and wakes those whom that concerns.

mod ending;

use std::io;
use std::net::Shutdown;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use masep_proto::connection::{
    Action, Batch, Connection as Core, Event, Read, Want, WhenFull, Write,
};
use masep_proto::protocol2::{Notice, Protocol};
use masep_proto::{Encoding, Frame, PeerId};

use super::{ConnectionId, Waiters};
use crate::sync::{Mutex, MutexGuard, Notify, OnceLock, time};
use crate::transport::{self, Transport};
use crate::{Address, CloseReason, RejectReason, SendError};

/// Reads of a stream at most without asking whether it is readable.
const EAGER_READS: usize = 8;
/// Steps at most until a connection that waits for nothing is over.
const MOST_LAST_STEPS: usize = 10_000;

/// The present time, by the clock of the runtime.
pub(crate) fn now() -> Instant {
    time::Instant::now().into_std()
}

/// The receiver of the frames that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// A handler, called by the connection's task.
    Handler,
    /// Calls that receive, with the policy for frames for which there is no room.
    Calls(WhenFull),
}

/// See the [module](self).
pub(crate) struct Shared {
    pub(crate) id: ConnectionId,
    pub(crate) address: Address,
    pub(super) peer: OnceLock<PeerId>,
    pub(crate) delivery: Delivery,
    pub(crate) busy_poll: Duration,
    state: Mutex<State>,
    /// Set when the peer and the handler were told.
    closed: OnceLock<CloseReason>,
    closed_event: Notify,
    /// The same as in the state, to be asked for each frame.
    is_aborted: AtomicBool,
}

pub(crate) struct State {
    pub(crate) core: Core,
    pub(crate) stream: Option<Arc<dyn Transport>>,
    /// The same for the one who reads, and the one who writes, who take it along without a lock: to count others would
    /// cost more.
    reader: Option<Arc<dyn Transport>>,
    writer: Option<Arc<dyn Transport>>,
    /// Frames that were taken out of the connection together.
    pub(crate) batch: Batch,
    /// Calls that wait for a frame. The first one reads the stream.
    pub(crate) receivers: Waiters,
    /// Calls that wait for room in the send queue.
    pub(crate) senders: Waiters,
    /// The connection's task, and what that waits for.
    pub(crate) keeper: Keeping,
    /// Calls that received or tried to.
    pub(crate) visits: u32,
    /// When something was read or sent last.
    pub(crate) last_time: Instant,
    /// The stream wakes a call that receives, or did.
    pub(crate) wakes_receiver: bool,
    /// The first one that waits found another one reading.
    pub(crate) awaits_room: bool,
    pub(crate) is_open: bool,
    pub(crate) is_closed: bool,
    /// The end waits for nothing.
    is_aborted: bool,
    /// A call of the handler has gone on for too long behind a write that failed.
    pub(crate) is_call_late: bool,
    /// A notice has arrived of which the handler was not told.
    has_notice: bool,
    /// The task has frames that its handler does not have yet.
    is_behind: bool,
    /// There is no task any more.
    is_left: bool,
    /// One who waits until all is written.
    awaits_written: Option<Waker>,
    /// The reason for which a frame that had been taken out was lost.
    lost: Option<Box<CloseReason>>,
    /// The reason for which the server's door refuses it.
    pub(crate) refusal: Option<Box<RejectReason>>,
    /// The wakers of those that are woken when the lock is let go.
    woken: Vec<Waker>,
}

/// The task of a connection as the others see it.
pub(crate) struct Keeping {
    waker: Option<Waker>,
    /// It is about to look at all there is.
    is_awake: bool,
    /// It has not looked yet since it rested.
    has_rested: bool,
    /// It reads what arrives, and not only what a caller leaves for too long.
    pub(crate) reads: bool,
    /// It looks after the stream, because something has arrived that no caller has read.
    pub(crate) is_leased: bool,
    /// It has seen to it that somebody is woken when the stream is readable, and writable.
    sees_reads: bool,
    sees_writes: bool,
    /// When it wakes by itself.
    wakes_at: Option<Instant>,
}

/// The holder of the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Keeper,
    /// A call that looks for frames itself.
    Receiver,
    Other,
}

/// The state behind its lock.
pub(crate) struct Locked<'a> {
    state: Option<MutexGuard<'a, State>>,
    by: By,
}

impl Deref for Locked<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        self.state.as_deref().expect("held until the end")
    }
}

impl DerefMut for Locked<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        self.state.as_deref_mut().expect("held until the end")
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(state) = &self.state
            && state.concerns_others()
        {
            self.settle();
        }
    }
}

impl Locked<'_> {
    #[cold]
    fn settle(&mut self) {
        if let Some(mut state) = self.state.take() {
            let due = state.settle();
            drop(state);
            due.perform();
        }
    }

    /// Lets the lock go where nothing has changed for others.
    #[inline]
    pub(crate) fn release(mut self) {
        drop(self.state.take());
    }
}

/// A thing for a handler.
pub(crate) enum Next {
    Frame(Frame),
    /// There is a notice that can be taken.
    Notice,
    /// There is none now.
    Nothing,
    /// There will be none.
    End,
}

/// A way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As far as something is known to have arrived.
    Known,
    /// Asks the system if nothing is known to have arrived.
    Asking,
    /// Asks several times.
    Spinning,
}

/// Work that is done without the lock.
#[derive(Default)]
struct Due {
    stream: Option<Arc<dyn Transport>>,
    acknowledge: Option<bool>,
    half_close: bool,
    reset: bool,
    receiver: Option<Waker>,
    sender: Option<Waker>,
    keeper: Option<Waker>,
    others: Vec<Waker>,
}

impl Due {
    fn perform(self) {
        if let Some(stream) = self.stream {
            match (self.acknowledge, stream.tcp()) {
                (Some(true), Some(tcp)) => tcp.acknowledge(),
                (Some(false), Some(tcp)) => tcp.withhold_acknowledgement(),
                _ => {}
            }
            if self.half_close {
                let _ = stream.shutdown(Shutdown::Write);
            }
            if self.reset {
                stream.reset_on_drop();
            }
        }
        let one = [self.receiver, self.sender, self.keeper];
        one.into_iter().flatten().for_each(Waker::wake);
        self.others.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// True if something has happened that others have to know, or to do.
    #[inline]
    fn concerns_others(&self) -> bool {
        self.core.has_news()
            || !self.woken.is_empty()
            || (!self.keeper.is_awake && self.needs_keeper())
    }

    /// Takes the events of the core, and gives the work that follows for others.
    fn settle(&mut self) -> Due {
        let mut due = Due::default();
        while let Some(action) = self.core.poll_action() {
            self.act(action, &mut due);
        }
        while let Some(event) = self.core.poll_event() {
            self.tell(event, &mut due);
        }
        if !self.woken.is_empty() {
            due.others.append(&mut self.woken);
        }
        if !self.keeper.is_awake && self.needs_keeper() {
            due.keeper = self.keeper.wake();
        }
        due
    }

    #[cold]
    fn act(&mut self, action: Action, due: &mut Due) {
        match action {
            Action::QuickAck => due.acknowledge = Some(true),
            Action::DelayAck => due.acknowledge = Some(false),
            Action::HalfClose => due.half_close = true,
            Action::Close | Action::Reset => {
                due.reset = action == Action::Reset;
                due.stream = self.stream.take();
                (self.reader, self.writer) = (None, None);
                return;
            }
        }
        due.stream.clone_from(&self.stream);
    }

    fn tell(&mut self, event: Event, due: &mut Due) {
        match event {
            Event::Frames => due.receiver = self.receivers.wake_first(),
            Event::SendRoom => due.sender = self.senders.wake_first(),
            Event::Open => self.is_open = true,
            Event::Closed => self.is_closed = true,
            Event::Ended | Event::Failed => {
                due.others.extend(self.receivers.wake_all());
                due.others.extend(self.senders.wake_all());
            }
            // Calls take it.
            Event::Notice => self.has_notice = true,
            // What is to be done is seen by what the connection wants.
            Event::Hello | Event::Control | Event::Over | Event::Written(_) => {}
        }
        if !matches!(event, Event::Frames | Event::SendRoom) {
            due.keeper = due.keeper.take().or_else(|| self.keeper.wake());
        }
    }

    /// True if the task sleeps and there is work that nobody else does.
    #[inline]
    fn needs_keeper(&self) -> bool {
        let wants = self.core.wants();
        let keeper = &self.keeper;
        let is_due = || match (self.core.deadline(), keeper.wakes_at) {
            (Some(due), Some(wakes_at)) => due < wakes_at,
            (due, None) => due.is_some(),
            (None, Some(_)) => false,
        };
        match wants.write {
            Want::Now => return true,
            Want::Ready if !keeper.sees_writes => return true,
            _ => {}
        }
        (wants.read != Want::Nothing && !keeper.sees_reads) || is_due()
    }

    /// Wakes the task, if it sleeps.
    pub(crate) fn wake_keeper(&mut self) {
        let keeper = self.keeper.wake();
        self.woken.extend(keeper);
    }

    /// The task has done all there is to do.
    pub(crate) fn rest(&mut self, context: &Context<'_>, wakes_at: Option<Instant>) {
        let wants = self.core.wants();
        self.keeper.is_awake = false;
        self.keeper.has_rested = true;
        self.keeper.wakes_at = wakes_at;
        self.keeper.sees_reads = wants.read != Want::Nothing;
        self.keeper.sees_writes = wants.write != Want::Nothing;
        crate::sync::set_waker(&mut self.keeper.waker, context);
    }

    /// The task looks at all there is. Returns true if it has not rested since it did.
    pub(crate) fn keeper_looks(&mut self) -> bool {
        self.keeper.is_awake = true;
        !std::mem::take(&mut self.keeper.has_rested)
    }

    /// A call that received has gone, and no other waits: bytes that arrive wake the task.
    pub(crate) fn leave_reading(&mut self) {
        let is_left = std::mem::take(&mut self.wakes_receiver);
        if !is_left || self.keeper.is_leased || self.keeper.is_awake {
            return;
        }
        let (Some(stream), Some(waker)) = (&self.stream, &self.keeper.waker) else {
            return;
        };
        let is_quiet = self.core.wants().read == Want::Ready
            && stream
                .poll_readable(&mut Context::from_waker(waker))
                .is_pending();
        if !is_quiet {
            // It takes its time: a timer for each frame would cost more than all else here.
            self.keeper.is_leased = true;
            self.wake_keeper();
        }
    }

    /// True if one who was woken, most often by bytes that have arrived, may read without asking whether it was by them.
    /// A read in vain must not be taken for silence.
    #[inline]
    pub(crate) fn may_read_unasked(&self) -> bool {
        self.core.wants().read == Want::Ready && self.core.deadline().is_none()
    }

    /// Ready if a read is wanted, and brings something; how to read then.
    pub(crate) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<Reading> {
        let want = self.core.wants().read;
        if want == Want::Nothing {
            return Poll::Pending;
        }
        let Some(stream) = &self.stream else {
            return Poll::Ready(Reading::Known);
        };
        match stream.poll_readable(context) {
            Poll::Pending if want == Want::Now => return Poll::Ready(Reading::Asking),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => {
                if let Some(room) = self.core.take_room() {
                    let failed = Read::Failed(error.kind());
                    self.core.put_room(room, failed, now());
                }
            }
        }
        Poll::Ready(Reading::Known)
    }

    /// The oldest frame that has arrived.
    #[inline]
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        if self.batch.is_empty() {
            self.look_at_clock();
        }
        self.core.next_frame(&mut self.batch, self.last_time)
    }

    /// The oldest frame, of the handler's batch.
    fn next_frame_by(&mut self, batch: &mut Batch) -> Option<Frame> {
        self.look_at_clock();
        self.core.next_frame(batch, self.last_time)
    }

    /// Only silence is counted by this clock.
    #[inline]
    fn look_at_clock(&mut self) {
        if self.core.config().limits().idle_time.is_some() {
            self.last_time = now();
        }
    }

    /// True if there is something for the handler, or will be nothing more.
    pub(crate) fn has_more(&self) -> bool {
        self.core.frames() > 0 || self.has_notice || self.is_ended()
    }

    /// True if no frame comes any more but those that have arrived.
    #[inline]
    pub(crate) const fn is_ended(&self) -> bool {
        self.core.reason().is_some() || self.core.failure().is_some()
    }

    /// True if a call of a handler that waits is given up: the connection ended, and not by its peer, or long ago.
    pub(crate) fn cancels_calls(&self) -> bool {
        let by_peer = |reason: &CloseReason| {
            matches!(
                reason,
                CloseReason::PeerBye
                    | CloseReason::PeerByeWith(_)
                    | CloseReason::UnsupportedFrame(_)
                    | CloseReason::BadFrame(_)
                    | CloseReason::Rejected
                    | CloseReason::EndOfStream { .. }
                    | CloseReason::Reset
                    | CloseReason::ProtocolError(_)
                    | CloseReason::Io(_)
            )
        };
        self.is_aborted
            || self.is_call_late
            || self.core.reason().is_some_and(|reason| !by_peer(reason))
    }

    /// Has this task woken when all that was queued is written. Ready if it is.
    pub(crate) fn poll_written(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.is_written() {
            return Poll::Ready(());
        }
        crate::sync::set_waker(&mut self.awaits_written, context);
        Poll::Pending
    }

    /// True if nothing that was queued is unwritten.
    pub(crate) const fn is_written(&self) -> bool {
        self.core.written() == self.core.accepted()
    }

    /// Wakes the next one behind a call that waited with this key.
    pub(crate) fn wake_next(&mut self, next: Option<Waker>) {
        self.woken.extend(next);
    }
}

impl Keeping {
    #[inline]
    pub(super) fn wake(&mut self) -> Option<Waker> {
        if self.is_awake {
            return None;
        }
        self.is_awake = true;
        self.waker.clone()
    }
}

impl Shared {
    pub(crate) fn new(
        mut core: Core,
        stream: impl Transport,
        address: Address,
        delivery: Delivery,
        busy_poll: Duration,
    ) -> Arc<Self> {
        let stream: Arc<dyn Transport> = Arc::new(stream);
        core.silence(Event::Written(0));
        if delivery == Delivery::Handler {
            // Its task reads, and looks for them then.
            core.silence(Event::Frames);
        }
        Arc::new(Self {
            id: ConnectionId::next(),
            address,
            peer: OnceLock::new(),
            delivery,
            busy_poll,
            state: Mutex::new(State {
                core,
                reader: Some(stream.clone()),
                writer: Some(stream.clone()),
                stream: Some(stream),
                batch: Batch::new(),
                receivers: Waiters::default(),
                senders: Waiters::default(),
                keeper: Keeping {
                    waker: None,
                    is_awake: true,
                    has_rested: false,
                    reads: true,
                    is_leased: false,
                    sees_reads: false,
                    sees_writes: false,
                    wakes_at: None,
                },
                visits: 0,
                last_time: now(),
                wakes_receiver: false,
                awaits_room: false,
                is_open: false,
                is_closed: false,
                is_aborted: false,
                is_call_late: false,
                has_notice: false,
                is_behind: false,
                is_left: false,
                awaits_written: None,
                lost: None,
                refusal: None,
                woken: Vec::new(),
            }),
            closed: OnceLock::new(),
            closed_event: Notify::new(),
            is_aborted: AtomicBool::new(false),
        })
    }

    /// True if calls that receive read the stream themselves. A policy that drops frames needs a task that always reads.
    pub(crate) fn calls_read(&self) -> bool {
        self.delivery == Delivery::Calls(WhenFull::Wait)
    }

    #[inline]
    pub(crate) fn lock(&self, by: By) -> Locked<'_> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Locked {
            state: Some(state),
            by,
        }
    }

    /// Reads once, if something is to be read.
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

    /// If bytes or room come back to a connection whose task is gone, then this call takes leave.
    #[inline]
    fn go_on<'a>(&'a self, locked: Locked<'a>) -> Locked<'a> {
        if !locked.is_left {
            return locked;
        }
        let by = locked.by;
        drop(locked);
        self.last_steps();
        self.lock(by)
    }

    fn read_once<'a>(&'a self, mut locked: Locked<'a>, way: Reading) -> Locked<'a> {
        let Some(mut room) = locked.core.take_room() else {
            return locked;
        };
        let stream = locked.reader.take();
        let by = locked.by;
        // The effects of this are seen to below.
        drop(locked.state.take());
        let read = match &stream {
            None => Read::End,
            Some(stream) => match (stream.try_read(room.buffer()).into(), way) {
                (Read::Blocked, Reading::Asking) => {
                    stream.try_read_eagerly(room.buffer(), 1).into()
                }
                (Read::Blocked, Reading::Spinning) => {
                    let read = stream.try_read_eagerly(room.buffer(), EAGER_READS);
                    read.into()
                }
                (read, _) => read,
            },
        };
        let mut locked = self.lock(by);
        if locked.stream.is_some() {
            locked.reader = stream;
        }
        if read == Read::Bytes {
            locked.core.put_bytes(room, now);
        } else {
            locked.last_time = now();
            let time = locked.last_time;
            locked.core.put_room(room, read, time);
        }
        if by == By::Receiver {
            locked.core.forget_frames();
        }
        if std::mem::take(&mut locked.awaits_room) {
            let first = locked.receivers.wake_first();
            locked.wake_next(first);
        }
        locked
    }

    fn write_once<'a>(&'a self, mut locked: Locked<'a>) -> Locked<'a> {
        let Some(transmit) = locked.core.take_transmit() else {
            return locked;
        };
        let stream = locked.writer.take();
        let by = locked.by;
        drop(locked.state.take());
        let write = match &stream {
            None => Write::Failed(io::ErrorKind::NotConnected),
            Some(stream) => transport::write(&**stream, &transmit).into(),
        };
        let is_all = write == Write::Bytes(transmit.len());
        let mut locked = self.lock(by);
        if locked.stream.is_some() {
            locked.writer = stream;
        }
        let is_timed = locked.core.protocol() != Protocol::Pymasep;
        if !is_all || is_timed || !locked.core.is_open() {
            // There may be a deadline now, or a ping whose way is measured.
            locked.last_time = now();
        }
        let time = locked.last_time;
        locked.core.put_transmit(transmit, write, time);
        if locked.awaits_written.is_some() && locked.is_written() {
            let waker = locked.awaits_written.take();
            locked.woken.extend(waker);
        }
        locked
    }

    /// The next thing for the handler, which has its own batch of frames. All but the last of a batch can be taken without
    /// the lock.
    pub(crate) fn next_for_handler(&self, batch: &mut Batch) -> Next {
        let mut locked = self.lock(By::Keeper);
        if !locked.is_aborted {
            if std::mem::take(&mut locked.has_notice) {
                return Next::Notice;
            }
            let frame = locked.next_frame_by(batch);
            // Until the handler's call has returned, its frame can be lost too.
            locked.is_behind = frame.is_some() || !batch.is_empty();
            if let Some(frame) = frame {
                return Next::Frame(frame);
            }
        }
        if locked.is_ended() {
            Next::End
        } else {
            Next::Nothing
        }
    }

    /// What the core says, where nothing is changed.
    pub(crate) fn look_at<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        let locked = self.lock(By::Other);
        let seen = look(&locked.core);
        locked.release();
        seen
    }

    /// Tells the peer of something that was not accepted.
    pub(super) fn notice(&self, notice: Notice) -> Result<(), SendError> {
        let mut locked = self.lock(By::Other);
        // Whoever is to write it is woken when the lock is let go.
        let pushed = locked.core.notice(notice, now());
        pushed.map(drop).map_err(SendError::from)
    }

    /// The form of messages.
    pub(super) fn encoding(&self) -> Encoding {
        let locked = self.lock(By::Other);
        let encoding = locked.core.encoding();
        locked.release();
        encoding
    }

    /// The peer has said hello.
    pub(crate) fn set_peer(&self, peer: &PeerId) {
        let _ = self.peer.set(peer.clone());
    }

    /// The peer's id, from its hello on, before which there are no handles.
    pub(crate) fn peer(&self) -> &PeerId {
        static UNKNOWN: LazyLock<PeerId> = LazyLock::new(|| PeerId::new(""));
        self.peer.get().unwrap_or_else(|| &UNKNOWN)
    }
}
