//! The state that the handles and the task of a connection share.
//!
//! All decisions are those of [`masep_proto::connection::Connection`]. It stands behind one lock, which
//! is never held while the stream is read or written: the core hands out the buffers for that, and takes them back.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};
use std::task::Waker;
#[cfg(not(masep_model))]
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use masep_proto::Frame;
use masep_proto::connection::{Batch, Connection as Core, Event, HandlerCall, WhenFull};

use super::Waiters;
use super::lock::Locked;
use super::task::TaskState;
use crate::handle::{ConnectionInfo, SharedConnection};
use crate::sync::{Mutex, OnceLock, time};
use crate::transport::Transport;
use crate::{Address, CloseReason};

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
    pub(crate) info: ConnectionInfo,
    pub(crate) delivery: Delivery,
    pub(crate) busy_poll: Duration,
    pub(super) state: Mutex<State>,
    /// Set when the peer and the handler were told.
    pub(super) closed: OnceLock<CloseReason>,
    /// The task that calls the handler.
    pub(super) handler_task: OnceLock<tokio::task::Id>,
    /// As [`Core::is_aborted`], to be asked for each frame.
    pub(super) is_aborted: AtomicBool,
}

pub(crate) struct State {
    pub(crate) core: Core,
    pub(crate) stream: Option<Arc<dyn Transport>>,
    /// The same for the one who reads, and the one who writes, who take it along without a lock: to count others would
    /// cost more.
    pub(super) reader: Option<Arc<dyn Transport>>,
    pub(super) writer: Option<Arc<dyn Transport>>,
    /// The stream has a layer, of which the core is to know.
    pub(super) has_layer: bool,
    /// Frames that were taken out of the connection together.
    pub(crate) batch: Batch,
    /// Calls that wait for a frame. The first one reads the stream.
    pub(crate) receivers: Waiters,
    /// Calls that wait for room in the send queue.
    pub(crate) senders: Waiters,
    /// The connection's task, and what that waits for.
    pub(crate) task: TaskState,
    /// Calls that received or tried to.
    pub(crate) receive_calls: u32,
    /// When something was read or sent last.
    pub(crate) last_time: Instant,
    /// The stream wakes a call that receives, or did.
    pub(crate) wakes_receiver: bool,
    /// The first one that waits found another one reading.
    pub(crate) awaits_room: bool,
    /// There is no task any more.
    pub(super) is_left: bool,
    /// One who waits until all is written.
    pub(super) awaits_written: Option<Waker>,
    /// Calls that wait for the end; most connections have none.
    pub(super) end_waiters: Option<Box<Waiters>>,
    /// The wakers of those that are woken when the lock is let go.
    pub(super) woken: Vec<Waker>,
}

impl State {
    /// The oldest frame that has arrived.
    #[inline]
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        if self.batch.is_empty() && self.core.takes_by_time() {
            self.last_time = now();
        }
        self.core.next_frame(&mut self.batch, self.last_time)
    }

    /// The next thing that the handler is called for.
    #[inline]
    pub(crate) fn next_for_handler(
        &mut self,
        batch: &mut Batch,
        frame: &mut Option<Frame>,
    ) -> Option<HandlerCall> {
        if self.core.takes_by_time() {
            self.last_time = now();
        }
        self.core.next_for_handler(batch, frame, self.last_time)
    }

    /// Has this task woken when all that was queued is written. Ready if it is.
    #[cfg(not(masep_model))]
    pub(crate) fn poll_written(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.core.unsent() == 0 {
            return Poll::Ready(());
        }
        crate::sync::set_waker(&mut self.awaits_written, context);
        Poll::Pending
    }

    /// Has this one woken when the lock is let go.
    #[inline]
    pub(crate) fn wake(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.woken.push(waker);
        }
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
            core.set_handler();
        }
        Arc::new(Self {
            info: ConnectionInfo::new(address),
            delivery,
            busy_poll,
            state: Mutex::new(State {
                core,
                reader: Some(stream.clone()),
                writer: Some(stream.clone()),
                has_layer: stream.layer().is_some(),
                stream: Some(stream),
                batch: Batch::new(),
                receivers: Waiters::default(),
                senders: Waiters::default(),
                task: TaskState::new(),
                receive_calls: 0,
                last_time: now(),
                wakes_receiver: false,
                awaits_room: false,
                is_left: false,
                awaits_written: None,
                end_waiters: None,
                woken: Vec::new(),
            }),
            closed: OnceLock::new(),
            handler_task: OnceLock::new(),
            is_aborted: AtomicBool::new(false),
        })
    }

    /// True if calls that receive read the stream themselves. A policy that drops frames needs a task that always reads.
    pub(crate) fn calls_read(&self) -> bool {
        self.delivery == Delivery::Calls(WhenFull::Wait)
    }

    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked::new(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The peer has said hello, if it has.
    pub(crate) fn note_peer(&self) {
        let locked = self.lock();
        self.info.note_peer(&locked.core, locked.stream.as_deref());
    }
}

impl SharedConnection for Shared {
    fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    fn look_at<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        let locked = self.lock();
        let seen = look(&locked.core);
        locked.release();
        seen
    }

    fn end_by(self: &Arc<Self>, end: impl FnOnce(&mut Core, Instant)) {
        let mut locked = self.lock();
        end(&mut locked.core, now());
        if locked.core.is_aborted() {
            self.set_aborted();
        }
        locked.wake_task();
    }

    fn look(self: &Arc<Self>) {
        let mut locked = self.lock();
        locked.task.reads = true;
        locked.wake_task();
    }
}
