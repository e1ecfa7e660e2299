//! The table that its host, its clocks and its connections share, behind one lock.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use masep_table::PeerKey;

use super::aside::Aside;
use crate::ConnectionId;
use crate::blocking::{Connection, TimedOut, spawn};
use crate::sync::NextLook;
use crate::table::driver::Driver;

/// The time for frames that have arrived to be told, at the end of a turn's time.
const TELLING: Duration = Duration::from_millis(10);
/// The longest wait, where there is nothing to wait for.
const LONG: Duration = Duration::from_secs(3600);

pub(in crate::blocking) struct Shared {
    inner: Mutex<Inner>,
    /// Something has happened for calls that wait.
    changed: Condvar,
    /// There is an earlier deadline, or no table any more.
    hurried: Condvar,
    /// Threads that have a frame and wait for the lock.
    pub(super) arriving: AtomicUsize,
}

pub(super) struct Inner {
    pub(super) driver: Driver<Connection>,
    pub(super) keys: HashMap<ConnectionId, PeerKey>,
    /// Those that are let in, and not open yet.
    pub(super) opening: HashMap<ConnectionId, PeerKey>,
    /// When the clock looks next.
    next_look: NextLook,
    is_stopped: bool,
    /// Counts the times when something had happened for calls that wait.
    news: u64,
    /// Calls that wait for [`changed`](Shared::changed).
    sleeping: usize,
    /// Calls that ask seats and wait for all of their decisions.
    pub(super) asks: usize,
    /// Connections that are read by the calls that wait.
    pub(super) aside: Aside,
    /// Those that have a thread of their own, which tells when all is written.
    writing: BTreeSet<PeerKey>,
}

pub(super) type Guard<'a> = MutexGuard<'a, Inner>;

impl Shared {
    pub(super) fn new(driver: Driver<Connection>) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                driver,
                keys: HashMap::new(),
                opening: HashMap::new(),
                next_look: NextLook::default(),
                is_stopped: false,
                news: 0,
                sleeping: 0,
                asks: 0,
                aside: Aside::default(),
                writing: BTreeSet::new(),
            }),
            changed: Condvar::new(),
            hurried: Condvar::new(),
            arriving: AtomicUsize::new(0),
        })
    }

    pub(super) fn lock(&self) -> Guard<'_> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that does not wait.
    pub(super) fn call<R>(
        self: &Arc<Self>,
        call: impl FnOnce(&mut Driver<Connection>, Instant) -> R,
    ) -> R {
        self.with(|inner, now| call(&mut inner.driver, now))
    }

    /// As [`call`](Self::call), with what is known of the connections.
    pub(super) fn with<R>(self: &Arc<Self>, call: impl FnOnce(&mut Inner, Instant) -> R) -> R {
        let mut inner = self.lock();
        let result = call(&mut inner, Instant::now());
        self.settle(inner);
        result
    }

    pub(super) fn end_table(self: &Arc<Self>) {
        self.with(|inner, now| {
            inner.aside.remove_all();
            inner.driver.end_table(now);
        });
    }

    /// Waits until something is there that others tell of.
    pub(super) fn wait<R>(
        self: &Arc<Self>,
        mut look: impl FnMut(&mut Driver<Connection>) -> Option<R>,
    ) -> R {
        loop {
            if let Ok(found) = self.wait_until(None, &mut look) {
                return found;
            }
        }
    }

    /// [`wait`](Self::wait) that blocks no longer than until then.
    pub(super) fn wait_until<R>(
        self: &Arc<Self>,
        until: Option<Instant>,
        look: impl FnMut(&mut Driver<Connection>) -> Option<R>,
    ) -> Result<R, TimedOut> {
        self.wait_by(false, until, look)
    }

    /// Waits until something is there, and reads connections whose threads stand aside.
    pub(super) fn wait_for_moves<R>(
        self: &Arc<Self>,
        until: Option<Instant>,
        look: impl FnMut(&mut Driver<Connection>) -> Option<R>,
    ) -> Result<R, TimedOut> {
        self.wait_by(true, until, look)
    }

    fn wait_by<R>(
        self: &Arc<Self>,
        reads: bool,
        until: Option<Instant>,
        mut look: impl FnMut(&mut Driver<Connection>) -> Option<R>,
    ) -> Result<R, TimedOut> {
        let (mut has_read, mut has_read_alone) = (false, false);
        let result = loop {
            let mut inner = self.lock();
            if let Some(found) = look(&mut inner.driver) {
                break Ok(found);
            }
            let deadline = inner.driver.deadline();
            let next = deadline.into_iter().chain(until).min();
            let mut left = None;
            if let Some(next) = next {
                let now = Instant::now();
                if deadline.is_some_and(|deadline| deadline <= now) {
                    self.time_out(inner, now);
                    continue;
                }
                if until.is_some_and(|until| until <= now) {
                    break Err(TimedOut);
                }
                left = Some(next.saturating_duration_since(now));
            }
            if !reads || inner.aside.is_empty() || inner.aside.is_read() {
                drop(self.sleep(inner, left.unwrap_or(LONG)));
                continue;
            }
            has_read = true;
            let alone = inner.read_alone(left).filter(|_| !has_read_alone);
            match alone {
                Some(key) => {
                    has_read_alone = true;
                    self.read_alone(inner, key);
                }
                None => self.read_all(inner, next),
            }
        };
        if has_read {
            self.pass_on_reading();
        }
        result
    }

    /// A call has read, and does so no more: another one that asks does.
    fn pass_on_reading(&self) {
        let inner = self.lock();
        let passes = inner.asks > 1 && inner.sleeping > 0 && !inner.aside.is_empty();
        drop(inner);
        if passes {
            self.changed.notify_all();
        }
    }

    /// Waits until something has happened, at most this long.
    fn sleep<'a>(&self, mut inner: Guard<'a>, time: Duration) -> Guard<'a> {
        inner.sleeping += 1;
        let waited = self.changed.wait_timeout(inner, time);
        let (mut inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        inner.sleeping -= 1;
        inner
    }

    /// Waits until there is other news than these.
    #[cfg(feature = "unstable-bindings")]
    pub(in crate::blocking) fn wait_for_news(&self, seen: u64, until: Option<Instant>) -> u64 {
        let mut inner = self.lock();
        while inner.news == seen && !inner.is_stopped {
            let left = until.map_or(LONG, |it| it.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            inner = self.sleep(inner, left);
        }
        inner.news
    }

    /// Handles a deadline. Frames that arrived before it are told first: also where two threads see to the same deadline, so
    /// that the wait for those is over before the table is asked.
    fn time_out<'a>(self: &'a Arc<Self>, mut inner: Guard<'a>, now: Instant) {
        let until = Instant::now() + TELLING;
        while self.arriving.load(Ordering::Acquire) > 0 && Instant::now() < until {
            drop(inner);
            thread::yield_now();
            inner = self.lock();
        }
        inner.driver.timeout(now);
        while let Some(key) = inner.driver.take_look() {
            inner.read_directly(key);
        }
        inner.driver.timeout(now);
        self.settle(inner);
    }

    /// Does what the driver wants done, and wakes those whom it concerns.
    pub(super) fn settle(self: &Arc<Self>, mut inner: Guard<'_>) {
        while let Some(key) = inner.driver.take_ended() {
            inner.aside.remove(key);
        }
        let mut unwritten = Vec::new();
        while let Some(key) = inner.driver.take_unwritten() {
            let connection = inner.driver.link(key).cloned();
            if let Some(connection) = connection
                && inner.writing.insert(key)
            {
                unwritten.push((key, connection));
            }
        }
        let has_news = inner.driver.take_news();
        inner.news = inner.news.wrapping_add(u64::from(has_news));
        let hurries = inner.hurries_clock();
        let wakes = has_news && inner.sleeping > 0;
        if has_news {
            inner.aside.wake();
        }
        let released = inner.aside.take_released();
        drop(inner);
        if wakes {
            self.changed.notify_all();
        }
        released.iter().for_each(Thread::unpark);
        if hurries {
            self.hurried.notify_all();
        }
        for (key, connection) in unwritten {
            self.write_out(key, connection);
        }
    }

    /// Tells the table when a peer has taken all that it was sent.
    fn write_out(self: &Arc<Self>, key: PeerKey, connection: Connection) {
        let shared = self.clone();
        let ending = connection.clone();
        let writing = spawn("table-write", move || {
            loop {
                // An end is told to the one who reads.
                let is_over = connection.flush().is_err();
                let is_done = shared.with(|inner, now| {
                    // More may have been queued meanwhile.
                    let is_done = inner.driver.look_whether_written(key, now) || is_over;
                    if is_done {
                        inner.writing.remove(&key);
                    }
                    is_done
                });
                if is_done {
                    return;
                }
            }
        });
        if writing.is_err() {
            self.lock().writing.remove(&key);
            ending.shared().end(crate::CloseReason::Aborted);
        }
    }

    /// Lets the clocks run, in a thread of their own, which also sees to it that somebody reads each connection.
    pub(super) fn keep_time(self: Arc<Self>) {
        loop {
            let mut inner = self.lock();
            if inner.is_stopped {
                return;
            }
            let now = Instant::now();
            let deadline = inner.driver.deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                inner.next_look.0 = None;
                self.time_out(inner, now);
                continue;
            }
            let next = inner.aside.look(now);
            let time = deadline.into_iter().chain(next).min();
            inner.next_look.0 = time;
            let released = inner.aside.take_released();
            if !released.is_empty() {
                drop(inner);
                released.iter().for_each(Thread::unpark);
                continue;
            }
            let time = time.map_or(LONG, |it| it.saturating_duration_since(now));
            drop(self.hurried.wait_timeout(inner, time));
        }
    }

    pub(super) fn stop(self: &Arc<Self>) {
        let mut inner = self.lock();
        inner.is_stopped = true;
        inner.aside.remove_all();
        self.hurried.notify_all();
        self.changed.notify_all();
        self.settle(inner);
    }
}

impl Inner {
    /// A connection has ended.
    pub(super) fn forget(&mut self, id: ConnectionId) -> Option<PeerKey> {
        let key = self.keys.remove(&id)?;
        self.aside.remove(key);
        Some(key)
    }

    /// True if the clock is to look earlier than it would.
    fn hurries_clock(&mut self) -> bool {
        let is_earlier = self.next_look.hurry(self.driver.deadline());
        self.aside.hurries_clock() || is_earlier
    }
}
