//! The one who looks after a table: a call of the host while it waits, else a task.
//!
//! All calls that wait look after the table, the one that was polled last is woken. When none waits, the table's own
//! task takes over, after a moment: a host that comes back at once does without its wake-up.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use masep_proto::protocol2::{Bye, Notice};
use masep_proto::{Frame, PeerId};
use masep_table::PeerKey;
use tokio::time::{Sleep, sleep};

use super::door::{Arrival, Door};
use super::driver::{Driver, Link};
use super::joining;
use super::ready::{DOOR, PeerWaker, Ready};
use crate::connection::{Listening, now};
use crate::keeper::Alarm;
use crate::sync::{Mutex, MutexGuard};
use crate::{Connection, Request, SendError};

/// The time for which nobody looks after a table after a call of its host, until its task does.
const LEASE: Duration = Duration::from_millis(5);
/// Frames of one connection at most until the others have their turn.
const MOST_FRAMES: usize = 8;
/// Looks at connections in one poll at most, until other tasks have their turn.
const MOST_LOOKS: usize = 64;
/// Deadlines that are handled in one poll.
const MOST_TIMEOUTS: usize = 64;

/// The table that its host, its task and its connections share.
pub(super) struct Shared {
    inner: Mutex<Inner>,
    ready: Arc<Ready>,
}

pub(super) struct Inner {
    pub(super) driver: Driver<Connection>,
    incoming: BTreeMap<PeerKey, Incoming>,
    door: Door,
    door_waker: Arc<PeerWaker>,
    alarm: Alarm,
    /// Calls that wait.
    calls: Vec<(u64, Option<Waker>)>,
    /// Calls that there have been.
    visits: u64,
    task: Task,
}

/// The connection whose arrivals are looked at.
struct Incoming {
    connection: Connection,
    place: Listening,
    waker: Arc<PeerWaker>,
    /// It is to be told when all was written.
    awaits_written: bool,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.place.leave(&self.connection.shared);
    }
}

/// The table's task.
#[derive(Default)]
struct Task {
    state: TaskState,
    waker: Option<Waker>,
    /// The calls that there had been when it began, and its end.
    lease: Option<(u64, Pin<Box<Sleep>>)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TaskState {
    /// Calls look after the table.
    Parked,
    /// There has been a call, and perhaps another waits. If there is none for a while, the task looks after the table.
    Leased,
    #[default]
    Looking,
}

impl Link for Connection {
    fn peer(&self) -> &PeerId {
        Self::peer(self)
    }

    fn encoding(&self) -> masep_proto::Encoding {
        Self::encoding(self).clone()
    }

    fn send(&self, frame: Frame, is_left: bool) -> Result<bool, SendError> {
        if is_left {
            self.try_queue(&mut Some(frame), now())?;
            return Ok(false);
        }
        self.try_send(frame)?;
        Ok(Link::is_written(self))
    }

    fn is_written(&self) -> bool {
        self.unsent() == 0
    }

    fn notice(&self, notice: Notice) {
        // One that does not take notices need not know.
        let _ = Self::notice(self, notice);
    }

    fn bye(&self, bye: Bye) {
        self.shared.end_with(bye);
    }
}

impl Shared {
    pub(super) fn new(driver: Driver<Connection>, door: Door) -> Arc<Self> {
        let ready = Arc::new(Ready::default());
        let door_waker = ready.waker(DOOR);
        door_waker.wake_by_ref();
        Arc::new(Self {
            inner: Mutex::new(Inner {
                driver,
                incoming: BTreeMap::new(),
                door,
                door_waker,
                alarm: Alarm::default(),
                calls: Vec::new(),
                visits: 0,
                task: Task::default(),
            }),
            ready,
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of the host that does not wait.
    pub(super) fn call<R>(&self, call: impl FnOnce(&mut Driver<Connection>, Instant) -> R) -> R {
        let mut inner = self.lock();
        // The frames that have arrived were there before.
        inner.look(&self.ready);
        let now = now();
        // With a host that calls again and again, nobody else looks at the clock.
        if inner.driver.deadline().is_some_and(|it| it <= now) {
            inner.time_out(&self.ready, now);
        }
        let result = call(&mut inner.driver, now);
        inner.settle();
        let woken = inner.visit(None);
        drop(inner);
        woken.wake();
        result
    }

    /// [Calls](Self::call) what opens a turn.
    pub(super) fn open<R>(&self, call: impl FnOnce(&mut Driver<Connection>, Instant) -> R) -> R {
        self.call(call)
    }

    pub(super) fn end_table(&self) {
        self.call(|driver, now| driver.end_table(now));
    }

    /// Seats are about to be asked by a call that waits for all of their decisions.
    pub(super) const fn ask(&self) -> Asking {
        Asking
    }

    /// A call of the host that waits until something is there. Cancel safe, if `look` takes only what it gives.
    pub(super) async fn wait<R>(
        &self,
        mut look: impl FnMut(&mut Driver<Connection>) -> Option<R>,
    ) -> R {
        // A host that never finds anything to wait for leaves room for others.
        tokio::task::consume_budget().await;
        let mut call = Call {
            shared: self,
            key: None,
        };
        poll_fn(|context| {
            let mut inner = self.lock();
            let mut found = look(&mut inner.driver);
            if found.is_none() {
                inner.drive(&self.ready, context);
                found = look(&mut inner.driver);
            }
            let woken = match found {
                Some(_) => inner.visit(call.key.take()),
                None => inner.wait_on(&mut call.key, context),
            };
            drop(inner);
            woken.wake();
            found.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// The table's task, which never ends.
    pub(super) async fn keep(self: Arc<Self>) {
        poll_fn(|context| self.poll_keep(context)).await;
    }

    fn poll_keep(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        crate::sync::set_waker(&mut inner.task.waker, context);
        loop {
            if !inner.calls.is_empty() && inner.task.state == TaskState::Looking {
                inner.task.state = TaskState::Parked;
            }
            match inner.task.state {
                TaskState::Parked => {
                    inner.task.lease = None;
                    return Poll::Pending;
                }
                TaskState::Leased => {
                    let visits = inner.visits;
                    let lease = &mut inner.task.lease;
                    let (before, over) =
                        lease.get_or_insert_with(|| (visits, Box::pin(sleep(LEASE))));
                    if over.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    let is_alone = *before == visits;
                    inner.task.lease = None;
                    inner.task.state = match inner.calls.is_empty() {
                        true if is_alone => TaskState::Looking,
                        true => TaskState::Leased,
                        false => TaskState::Parked,
                    };
                }
                TaskState::Looking => {
                    inner.drive(&self.ready, context);
                    let woken = inner.wake_calls(None);
                    drop(guard);
                    woken.wake();
                    return Poll::Pending;
                }
            }
        }
    }
}

/// A call that asks seats, which is nothing special in this shell.
pub(super) struct Asking;

/// A call that waits.
struct Call<'a> {
    shared: &'a Shared,
    key: Option<u64>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            let woken = self.shared.lock().visit(Some(key));
            woken.wake();
        }
    }
}

/// Those who are woken when the lock was let go.
#[derive(Default)]
#[must_use]
pub(super) struct Woken(Vec<Waker>);

impl Woken {
    pub(super) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

impl Inner {
    /// A call of the host waits from here on.
    fn wait_on(&mut self, key: &mut Option<u64>, context: &Context<'_>) -> Woken {
        let key = *key.get_or_insert_with(|| {
            self.visits += 1;
            self.calls.push((self.visits, None));
            self.visits
        });
        let woken = self.wake_calls(Some(key));
        let call = self.calls.iter_mut().find(|(other, _)| *other == key);
        if let Some((_, waker)) = call {
            crate::sync::set_waker(waker, context);
        }
        // A lease that runs goes on: else the task would be woken for a new one in each turn.
        if self.task.state == TaskState::Looking {
            self.task.state = TaskState::Parked;
        }
        woken
    }

    /// A call of the host is over. If it looked after the table, somebody else does.
    fn visit(&mut self, key: Option<u64>) -> Woken {
        self.visits += 1;
        let mut woken = self.wake_calls(key);
        self.calls.retain(|(other, _)| Some(*other) != key);
        if let Some((_, waker)) = self.calls.first_mut() {
            woken.0.extend(waker.take());
            return woken;
        }
        let is_needed = match self.task.state {
            TaskState::Parked => {
                self.task.state = TaskState::Leased;
                true
            }
            TaskState::Leased => false,
            // There may be an earlier deadline than it knows.
            TaskState::Looking => {
                let deadline = self.driver.deadline();
                deadline.is_some_and(|it| !self.alarm.is_set_for(it))
            }
        };
        woken.0.extend(self.task.waker.take_if(|_| is_needed));
        woken
    }

    /// If there is news, all calls look at them, but this one.
    fn wake_calls(&mut self, but: Option<u64>) -> Woken {
        let mut woken = Woken::default();
        if self.driver.take_news() {
            let others = self.calls.iter_mut().filter(|(key, _)| Some(*key) != but);
            woken.0.extend(others.filter_map(|(_, waker)| waker.take()));
        }
        woken
    }

    /// Looks after everything that is ready, and is woken for the rest.
    fn drive(&mut self, ready: &Arc<Ready>, context: &mut Context<'_>) {
        ready.set_driver(context);
        self.look(ready);
        for _ in 0..MOST_TIMEOUTS {
            let Some(deadline) = self.driver.deadline() else {
                break;
            };
            let Poll::Ready(now) = self.alarm.poll(context, deadline) else {
                break;
            };
            self.time_out(ready, now);
        }
        let is_due = |deadline| deadline <= now();
        if ready.len() > 0 || self.driver.deadline().is_some_and(is_due) {
            context.waker().wake_by_ref();
        }
    }

    /// Looks at those that are ready, at each once.
    fn look(&mut self, ready: &Arc<Ready>) {
        for _ in 0..ready.len().min(MOST_LOOKS) {
            let Some((key, since)) = ready.pop() else {
                break;
            };
            if key == DOOR {
                self.look_at_door(ready);
            } else {
                self.look_at(key, since);
            }
            self.settle();
        }
    }

    fn time_out(&mut self, ready: &Arc<Ready>, now: Instant) {
        self.driver.timeout(now);
        let mut has_looked = false;
        while let Some(key) = self.driver.take_look() {
            has_looked = true;
            let since = ready.pop_this(key);
            if since.is_none()
                && let Some(incoming) = self.incoming.get(&key)
            {
                incoming.place.read_now(&incoming.connection.shared);
            }
            self.look_at(key, since.unwrap_or(now));
        }
        if has_looked {
            self.driver.timeout(now);
        }
        self.settle();
    }

    /// Takes what has arrived on a connection, since this time.
    fn look_at(&mut self, key: PeerKey, since: Instant) {
        let Some(incoming) = self.incoming.get_mut(&key) else {
            return;
        };
        let waker = Waker::from(incoming.waker.clone());
        let context = &mut Context::from_waker(&waker);
        let mut at = Some(since);
        for _ in 0..MOST_FRAMES {
            let shared = &incoming.connection.shared;
            match incoming.place.poll(shared, context) {
                Poll::Ready(Some(frame)) => {
                    let now = now();
                    let at = at.take().unwrap_or(now);
                    self.driver.received(key, frame, at, now);
                }
                Poll::Ready(None) => {
                    self.incoming.remove(&key);
                    return self.driver.closed(key, now());
                }
                Poll::Pending => {
                    if incoming.awaits_written {
                        let mut state = shared.lock();
                        if state.poll_written(context).is_ready() {
                            drop(state);
                            incoming.awaits_written = false;
                            self.driver.look_whether_written(key, now());
                        }
                    }
                    return;
                }
            }
        }
        waker.wake();
    }

    /// Does what the driver wants done.
    fn settle(&mut self) {
        while let Some(key) = self.driver.take_unwritten() {
            if let Some(incoming) = self.incoming.get_mut(&key) {
                incoming.awaits_written = true;
                incoming.waker.wake_by_ref();
            }
        }
        while let Some((key, verdict)) = self.driver.take_verdict() {
            self.door.decide(key, verdict);
            // The door sees it in.
            self.door_waker.wake_by_ref();
        }
        // They say BYE by themselves.
        while let Some(key) = self.driver.take_ended() {
            self.incoming.remove(&key);
        }
    }

    /// Takes those that have come.
    fn look_at_door(&mut self, ready: &Arc<Ready>) {
        let waker = Waker::from(self.door_waker.clone());
        let context = &mut Context::from_waker(&waker);
        for _ in 0..MOST_FRAMES {
            match self.door.poll(context) {
                Poll::Ready(arrival) => self.arrive(arrival, ready),
                Poll::Pending => return,
            }
            self.settle();
        }
        waker.wake();
    }

    fn arrive(&mut self, arrival: Arrival, ready: &Arc<Ready>) {
        match arrival {
            Arrival::Request(request) => self.ask(*request),
            Arrival::Open(connection, known) => {
                let key = self.driver.arrived(known, connection.clone(), now());
                if let Some(key) = key {
                    self.listen(key, connection, ready);
                }
            }
            Arrival::Lost(key) => self.driver.closed(key, now()),
        }
    }

    /// Asks the table about one that has said `HELLO`.
    fn ask(&mut self, request: Request) {
        match joining::ask(&mut self.driver, &request, now()) {
            Ok(key) => self.door.ask(key, request),
            Err(code) => joining::refuse(request, code),
        }
    }

    /// Hears what arrives on a connection from here on.
    fn listen(&mut self, key: PeerKey, connection: Connection, ready: &Arc<Ready>) {
        let waker = ready.waker(key);
        waker.wake_by_ref();
        self.incoming.insert(
            key,
            Incoming {
                connection,
                place: Listening::default(),
                waker,
                awaits_written: false,
            },
        );
    }
}
