//! The line of a connection: its transport, and whose turn it is to read.
//!
//! A frame that somebody waits for in [`Connection::recv`] goes the shortest way when that call itself
//! reads the socket: no other task has to be woken, perhaps on another core, to hand it over; and its
//! answer is written by the call that sends it. But a caller may stay away, and then the connection's
//! own task has to read: the end of a connection is known without anybody asking, and what arrives is
//! taken, as far as the queue has room. So they take turns:
//!
//! * The task reads until a call of `recv` finds nothing and takes the turn.
//! * A caller that got its frame keeps the turn: most come back. The task is woken instead when
//!   something arrives before one has, and takes the turn back if none comes in a moment, [`LEASE`].
//! * While one reads, others wait at the queue; whoever leaves the turn with others waiting gives it
//!   to the task, which serves all.
//! * What is in the queue came before what is in the socket. While callers have the turn nothing is put
//!   there but by [`Shared::collect`], so one who knows it to be empty need not look, nor wait there too:
//!   whoever takes the turn from him wakes him, and what fills the queue is what he is woken for.
//!
//! Only connections without a handler do this, and only those that wait when their queue is full. With
//! a handler the task reads, calls it and writes; a policy that drops frames needs one that always
//! reads. An answer of its handler to the last frame that has arrived is written by the call that sends
//! it, like that of a caller.
//!
//! [`Connection::recv`]: crate::Connection::recv

use std::io;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use masep_proto::{Frame, FrameCodec};

use crate::CloseReason;
use crate::connection::Shared;
use crate::rejection::RejectionWindow;
use crate::sync::atomic::Ordering;
use crate::sync::time::Instant;
use crate::sync::{MutexGuard, set_waker};
use crate::wire::{BYE, Wire, Written, take_frame};

/// How long a turn outlasts the call that took it when something has arrived. The end of a connection
/// for which nobody waits is noticed at most twice as late.
pub(crate) const LEASE: Duration = Duration::from_millis(10);

/// What the task of a connection and the calls of its handles share.
#[derive(Default)]
pub(crate) struct Line {
    /// From the hello to the end.
    pub(crate) wire: Option<Wire>,
    pub(crate) turn: Turn,
    /// How often a caller has taken the turn.
    taken: u64,
    /// Whether nothing was put into the queue since a caller found it empty and took the turn.
    nothing_queued: bool,
    /// Wakes the caller who waits with the turn.
    caller: Option<Waker>,
    /// Wakes the task.
    task: Option<Waker>,
    /// What a caller found instead of a frame.
    pub(crate) ended: Option<CloseReason>,
    /// What a caller found instead of room for a frame.
    pub(crate) write_failed: Option<CloseReason>,
    /// Callers that wait at the queue because another one reads.
    waiting: usize,
    /// How often a caller has left the turn.
    pub(crate) visits: u64,
    /// Whether the task looks after a turn that is kept.
    pub(crate) leased: bool,
    /// When something was read last, if there is a bound for silence.
    pub(crate) last_read: Option<Instant>,
    /// What a `BYE` means.
    pub(crate) rejection: RejectionWindow<Instant>,
}

/// Who reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The task, and it has read something that it has not delivered.
    #[default]
    Delivering,
    /// The task; it waits.
    Task,
    /// The task, which does not know yet: there may be frames that have arrived.
    Returned,
    /// A caller, who is waiting in his call or has got his frame.
    Caller { waits: bool },
}

/// A call of `recv`, which may have the turn. Gives it up when it is dropped.
pub(crate) struct Caller<'a> {
    shared: &'a Shared,
    place: Place,
    /// What was read, or taken out of the queue. It is not among the results of the calls that read: each of
    /// them would move it once more.
    pub(crate) frame: Option<Frame>,
    /// Looks for bytes without sleeping.
    pub(crate) spins: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    /// At the queue, while another one reads.
    AtQueue,
    /// Reads, if nobody has taken the turn since: it was taken so often before.
    AtLine(u64),
}

impl<'a> Caller<'a> {
    pub(crate) const fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            place: Place::Outside,
            frame: None,
            spins: false,
        }
    }

    fn has_turn(&self, line: &Line) -> bool {
        line.turn == (Turn::Caller { waits: true }) && self.place == Place::AtLine(line.taken)
    }

    /// Reads the next frame if callers have the turn and this can be the one, and if there is certainly
    /// nothing in the queue. Otherwise `None`: the queue comes first, then [`Self::poll_turn`].
    #[inline]
    pub(crate) fn poll_line(&mut self, context: &mut Context<'_>) -> Option<Poll<()>> {
        let line = self.shared.line();
        let is_kept = line.turn == (Turn::Caller { waits: false });
        let may_read = self.place != Place::AtQueue && (is_kept || self.has_turn(&line));
        if !may_read || !line.nothing_queued {
            return None;
        }
        self.poll_read(line, context)
    }

    /// Reads the next frame if it can be this one's turn. To be called when the queue was found empty,
    /// and with this task registered there.
    pub(crate) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut line = self.shared.line();
        if self.place == Place::AtQueue {
            line.waiting -= 1;
            self.place = Place::Outside;
        }
        let mine = match line.turn {
            Turn::Delivering | Turn::Returned => return Poll::Pending,
            Turn::Caller { waits: true } => self.has_turn(&line),
            Turn::Task | Turn::Caller { waits: false } => true,
        };
        if !mine {
            line.waiting += 1;
            self.place = Place::AtQueue;
            return Poll::Pending;
        }
        // What is queued came first, and wakes this task, or another that waits for it. Then nobody might
        // read on but the connection's task.
        if self.shared.inbound.len() > 0 {
            if line.turn != Turn::Task {
                line.turn = Turn::Returned;
                self.shared.outbound.wake_consumer();
            }
            return Poll::Pending;
        }
        line.nothing_queued = true;
        self.poll_read(line, context).unwrap_or(Poll::Pending)
    }

    /// Reads with the turn. `None` when the connection ends, which is told at the queue.
    fn poll_read(
        &mut self,
        mut line: MutexGuard<'_, Line>,
        context: &mut Context<'_>,
    ) -> Option<Poll<()>> {
        let (line, shared) = (&mut *line, self.shared);
        line.wire.as_ref()?;
        if !self.has_turn(line) {
            line.turn = Turn::Caller { waits: true };
            line.taken += 1;
            self.place = Place::AtLine(line.taken);
        }
        let read = |wire: &mut Wire| {
            if self.spins {
                wire.poll_read_eagerly(context)
            } else {
                wire.poll_read(context)
            }
        };
        match line.poll_frame(shared.codec(), &mut self.frame, read) {
            Poll::Ready(Ok(())) => {
                line.leave(shared);
                self.place = Place::Outside;
                Some(Poll::Ready(()))
            }
            Poll::Ready(Err(reason)) => {
                self.place = Place::Outside;
                line.end(reason, shared);
                None
            }
            Poll::Pending => {
                // Who waits for an answer has nothing more to say for now: what it sends next need
                // not wait for company.
                shared.may_write.store(true, Ordering::Relaxed);
                set_waker(&mut line.caller, context);
                Some(Poll::Pending)
            }
        }
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        match self.place {
            Place::Outside => {}
            Place::AtQueue => self.shared.line().waiting -= 1,
            Place::AtLine(_) => {
                let mut line = self.shared.line();
                if self.has_turn(&line) {
                    line.leave(self.shared);
                }
            }
        }
    }
}

impl Line {
    /// Reads the next frame, or why the connection ends.
    #[inline]
    fn poll_frame(
        &mut self,
        codec: FrameCodec,
        frame: &mut Option<Frame>,
        mut read: impl FnMut(&mut Wire) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<(), CloseReason>> {
        let Some(wire) = &mut self.wire else {
            return Poll::Pending;
        };
        loop {
            match codec.peek(&wire.buffer) {
                Ok(Some(size)) => {
                    let taken = frame.insert(take_frame(&mut wire.buffer, codec, size));
                    if taken.is_bye() {
                        *frame = None;
                        return Poll::Ready(Err(self.rejection.reason_of_bye()));
                    }
                    self.rejection.close();
                    return Poll::Ready(Ok(()));
                }
                Ok(None) => wire.acknowledge(),
                Err(limit) => return Poll::Ready(Err(CloseReason::ProtocolError(limit))),
            }
            let read = read(wire);
            self.rejection.note(&read);
            match ready!(read) {
                Ok(0) => {
                    let mid_frame = !wire.buffer.is_empty();
                    return Poll::Ready(Err(CloseReason::EndOfStream { mid_frame }));
                }
                Ok(_) => {
                    if self.last_read.is_some() {
                        self.last_read = Some(Instant::now());
                    }
                }
                Err(error) => return Poll::Ready(Err(CloseReason::from_io(&error))),
            }
        }
    }

    /// Takes note of the first frame of what has arrived: a `BYE` behind it is no rejection.
    pub(crate) fn note_first_frame(&mut self, arrived: &[u8], codec: FrameCodec) {
        if self.rejection.is_open()
            && matches!(codec.peek(arrived), Ok(Some(_)))
            && !arrived.starts_with(BYE)
        {
            self.rejection.close();
        }
    }

    /// A caller goes; it may be back in a moment.
    fn leave(&mut self, shared: &Shared) {
        self.visits += 1;
        if self.waiting > 0 {
            self.turn = Turn::Returned;
            shared.outbound.wake_consumer();
            return;
        }
        self.turn = Turn::Caller { waits: false };
        if self.leased {
            return;
        }
        // A timer for each turn would be set whenever the thread sleeps, which costs more than all
        // else here; while nothing has arrived, it is enough to be told when something does.
        let quiet = self
            .task
            .as_ref()
            .is_some_and(|task| self.is_quiet(&mut Context::from_waker(task)));
        if !quiet {
            self.leased = true;
            shared.outbound.wake_consumer();
        }
    }

    /// Whether nothing has arrived that nobody has taken. If so, this task is woken when something
    /// does, unless somebody reads before.
    fn is_quiet(&self, context: &mut Context<'_>) -> bool {
        self.wire.as_ref().is_some_and(|wire| {
            wire.buffer.is_empty() && wire.transport.poll_readable(context).is_pending()
        })
    }

    /// The task waits for bytes: it has delivered all that came before.
    pub(crate) fn take_turn(&mut self, context: &Context<'_>) {
        self.turn = Turn::Task;
        set_waker(&mut self.task, context);
    }

    /// Has the task look after a turn that is kept by a caller who is away, if something has arrived.
    pub(crate) fn lease_turn(&mut self, context: &mut Context<'_>) {
        set_waker(&mut self.task, context);
        if self.turn == (Turn::Caller { waits: false }) && !self.leased && !self.is_quiet(context) {
            self.leased = true;
            // This may be the end of a poll, behind the deadlines.
            context.waker().wake_by_ref();
        }
    }

    /// Why the connection ends when nothing was read for too long. `None` if the peer has spoken after all, and
    /// whoever had the turn to read was not run: the task takes it, and what has come counts as read now.
    pub(crate) fn end_of_silence(
        &mut self,
        shared: &Shared,
        context: &mut Context<'_>,
    ) -> Option<CloseReason> {
        if self.turn == Turn::Delivering {
            // It reads next.
            return None;
        }
        let Some(wire) = &mut self.wire else {
            return Some(CloseReason::Aborted);
        };
        let read = match wire.transport.poll_readable(context) {
            Poll::Pending => return Some(CloseReason::IdleTimeout),
            Poll::Ready(ready) => ready.and_then(|()| wire.try_read()),
        };
        match read {
            Ok(1..) => {}
            Ok(0) => {
                let mid_frame = !wire.buffer.is_empty();
                return Some(CloseReason::EndOfStream { mid_frame });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Some(CloseReason::IdleTimeout);
            }
            Err(error) => return Some(CloseReason::from_io(&error)),
        }
        self.rejection.note(&Poll::Ready(Ok(1)));
        self.last_read = Some(Instant::now());
        // The caller looks into the queue, when he runs.
        if let Some(caller) = self.waiting_caller() {
            caller.wake();
        }
        self.turn = Turn::Returned;
        shared.outbound.wake_consumer();
        None
    }

    /// The connection ends for this reason; the task sees to it.
    fn end(&mut self, reason: CloseReason, shared: &Shared) {
        self.ended = Some(reason);
        self.turn = Turn::Delivering;
        shared.outbound.wake_consumer();
    }

    /// What wakes the caller who waits with the turn, if one does: when he has to look at the queue. To be
    /// called before the turn is another's; and to be woken when the line was let go.
    fn waiting_caller(&mut self) -> Option<Waker> {
        match self.turn {
            Turn::Caller { waits: true } => self.caller.take(),
            _ => None,
        }
    }
}

impl RejectionWindow<Instant> {
    /// Takes note of a read that was tried.
    #[inline]
    pub(crate) fn note(&mut self, read: &Poll<io::Result<usize>>) {
        if self.is_open() {
            match read {
                Poll::Pending => self.found_nothing(Instant::now(), true),
                Poll::Ready(_) => self.found_something(Instant::now()),
            }
        }
    }
}

impl Shared {
    /// Gives the turn to the task: somebody waits for what only that one does.
    pub(crate) fn return_turn(&self) {
        let mut line = self.line();
        if matches!(line.turn, Turn::Caller { .. }) {
            let caller = line.waiting_caller();
            line.turn = Turn::Returned;
            self.outbound.wake_consumer();
            drop(line);
            caller.into_iter().for_each(Waker::wake);
        }
    }

    /// Gives the turn to the task for good: the connection ends, and nobody reads behind what the task
    /// throws away.
    pub(crate) fn keep_turn(&self) {
        let mut line = self.line();
        let caller = line.waiting_caller();
        line.turn = Turn::Delivering;
        drop(line);
        caller.into_iter().for_each(Waker::wake);
    }

    /// Moves what has arrived into the queue, as far as it has room, if that is not the task's to do. A
    /// caller who waits with the turn was woken when it arrived, and looks into the queue then.
    pub(crate) fn collect(&self) {
        let mut line = self.line();
        let Turn::Caller { waits } = line.turn else {
            return;
        };
        let mut frame = None;
        while self.inbound.has_room(Frame::MAX_BYTES) {
            let read = |wire: &mut Wire| match wire.try_read() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                read => Poll::Ready(read),
            };
            match line.poll_frame(self.codec(), &mut frame, read) {
                Poll::Ready(Ok(())) => {
                    // There is room, and nobody else fills it.
                    let _ = self.inbound.try_push(&mut frame);
                    line.nothing_queued = false;
                }
                Poll::Ready(Err(reason)) => return line.end(reason, self),
                Poll::Pending => break,
            }
        }
        if !waits {
            line.leave(self);
        }
    }

    /// Lets the handler's call, or no longer, write the first frame that it sends: it answers all that has
    /// arrived, and nothing else is on its way.
    pub(crate) fn let_write(&self, may_write: bool) {
        if !self.direct {
            self.may_write.store(may_write, Ordering::Relaxed);
        }
    }

    /// Whether the next frame may be written by the caller who sends it.
    pub(crate) fn may_write(&self) -> bool {
        self.may_write.load(Ordering::Relaxed)
    }

    /// Writes the frame that there is, if it may go out now: by a caller who has waited since he sent one, or a
    /// handler that answers, when nothing else is on its way. Returns whether it does.
    pub(crate) fn write_now(&self, frame: &Option<Frame>) -> bool {
        self.may_write.store(false, Ordering::Relaxed);
        let (Some(frame), Ok(mut line)) = (frame, self.line.try_lock()) else {
            return false;
        };
        let Some(wire) = &mut line.wire else {
            return false;
        };
        if !wire.is_settled() || !self.outbound.is_open_and_empty() {
            return false;
        }
        wire.gather(frame, self.codec());
        match wire.try_write() {
            Ok(Written::All) => {}
            // The task waits for room, or sees to the end.
            Ok(Written::Some | Written::Nothing) => self.outbound.wake_consumer(),
            Err(error) => {
                line.write_failed = Some(CloseReason::from_io(&error));
                self.outbound.wake_consumer();
            }
        }
        true
    }
}
