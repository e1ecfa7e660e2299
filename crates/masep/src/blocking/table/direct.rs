//! Connections that a call of the host reads itself.
//!
//! A thread that reads a connection, and then wakes the call that waits for a move, costs a turn more than all else that
//! the table does. So while the host asks, the thread of a connection that has brought something stands aside, and the
//! call that waits reads the socket in its place. When nothing has come for a moment, the thread reads again: it also sees to
//! signs of life, and tells what comes while the host thinks.

use std::io::Read as _;
use std::iter::once;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use masep_proto::Frame;
use masep_table::PeerKey;

use super::shared::{Guard, Inner, Shared};
use crate::TryRecvError;
use crate::blocking::Connection;
use crate::blocking::stream::{Stream, WOKEN, poll_fd, readiness, wait_for, with_waker};
use crate::table::driver::Driver;

/// The time for which a thread stands aside behind the last frame of its connection. It must be shorter than a heartbeat.
const ASIDE: Duration = Duration::from_millis(20);
/// Connections that are read directly at most: the system looks at each of them in each wait.
const MOST: usize = 64;
/// Frames of one connection at most until the others have their turn.
const MOST_FRAMES: usize = 8;

/// A connection whose thread stands aside.
pub(super) struct Direct {
    connection: Connection,
    stream: Arc<Stream>,
    /// When its last frame came.
    last: Instant,
}

/// A call that asks seats and waits for all that they decide. Connections are read directly meanwhile.
#[must_use = "connections are read directly until it is dropped"]
pub(super) struct Asking<'a>(&'a Arc<Shared>);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.asks -= 1;
        // The time of arrival counts where a seat is still asked, and nobody looks.
        if inner.asks == 0 && inner.driver.table().is_turn_open() {
            inner.read_apart();
        }
        self.0.settle(inner);
    }
}

impl Shared {
    /// Seats are about to be asked by a call that waits for all of their decisions.
    pub(super) fn ask(self: &Arc<Self>) -> Asking<'_> {
        self.lock().asks += 1;
        Asking(self)
    }

    /// [Calls](Self::call) what opens a turn. If its decisions may be waited for later, the threads of the connections read.
    pub(in crate::blocking) fn open<R>(
        self: &Arc<Self>,
        call: impl FnOnce(&mut Driver<Connection>, Instant) -> R,
    ) -> R {
        self.with(|inner, now| {
            if inner.asks == 0 {
                inner.read_apart();
            }
            call(&mut inner.driver, now)
        })
    }

    /// Tells the table of a frame, in the thread of its connection, which then stands aside if the host waits.
    pub(super) fn arrive(self: &Arc<Self>, connection: &Connection, frame: Frame) {
        let at = Instant::now();
        self.arriving.fetch_add(1, Ordering::AcqRel);
        let mut inner = self.lock();
        self.arriving.fetch_sub(1, Ordering::AcqRel);
        let Some(key) = inner.keys.get(&connection.id()).copied() else {
            return;
        };
        inner.driver.received(key, frame, at, Instant::now());
        // The call that waits is told by the news.
        let may_stand_aside =
            inner.asks > 0 && inner.driver.has_news() && inner.direct.len() < MOST;
        let stream = connection.quiet_stream().filter(|_| may_stand_aside);
        let stands_aside = stream.map(|stream| {
            let connection = connection.clone();
            let last = at;
            let direct = Direct {
                connection,
                stream,
                last,
            };
            inner.direct.insert(key, direct);
        });
        self.settle(inner);
        if stands_aside.is_some() {
            self.stand_aside(key);
        }
    }

    /// Waits until the thread of this connection is to read it again.
    fn stand_aside(&self, key: PeerKey) {
        let mut inner = self.lock();
        while let Some(direct) = inner.direct.get(&key) {
            let left = ASIDE.saturating_sub(direct.last.elapsed());
            if left.is_zero() {
                inner.direct.remove(&key);
                return;
            }
            let waited = self.released.wait_timeout(inner, left);
            (inner, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// Waits for the connections that are read directly, and for news, and reads what has come.
    pub(super) fn wait_directly(self: &Arc<Self>, inner: Guard<'_>, until: Option<Instant>) {
        let streams = inner.direct.iter();
        let watched: Vec<_> = streams
            .map(|(key, direct)| (*key, direct.stream.clone()))
            .collect();
        let waited = with_waker(|pipe, waker| {
            let mut inner = inner;
            inner.waiting.push(waker.clone());
            drop(inner);
            let streams = watched.iter().map(|(_, stream)| poll_fd(&stream.0, WOKEN));
            let mut asked: Vec<_> = once(poll_fd(pipe, WOKEN)).chain(streams).collect();
            let waited = wait_for(&mut asked, until);
            if readiness(&asked[0]).reads {
                let _ = (&*pipe).read(&mut [0; 16]);
            }
            let found = asked[1..].iter().map(|asked| readiness(asked).reads);
            let ready: Vec<bool> = found.collect();
            (waited, ready, waker)
        });
        let mut inner = self.lock();
        match waited {
            Ok((Ok(()), ready, waker)) => {
                inner.waiting.retain(|other| !other.is(&waker));
                let watched = watched.iter().zip(ready);
                for ((key, _), _) in watched.filter(|(_, is_ready)| *is_ready) {
                    inner.read_directly(*key);
                }
            }
            // The threads can wait.
            Ok((Err(_), _, waker)) => {
                inner.waiting.retain(|other| !other.is(&waker));
                inner.read_apart();
            }
            Err(_) => inner.read_apart(),
        }
        self.settle(inner);
    }
}

impl Inner {
    /// The threads of all connections read again.
    pub(super) fn read_apart(&mut self) {
        self.releases |= !self.direct.is_empty();
        self.direct.clear();
    }

    /// The thread of this connection reads again.
    pub(super) fn read_again(&mut self, key: PeerKey) {
        self.releases |= self.direct.remove(&key).is_some();
    }

    /// Reads what has come on a connection, if its thread does not. The rest of a frame is left to that.
    pub(super) fn read_directly(&mut self, key: PeerKey) {
        for _ in 0..MOST_FRAMES {
            let Some(direct) = self.direct.get_mut(&key) else {
                return;
            };
            let connection = direct.connection.clone();
            let received = connection.try_recv();
            let now = Instant::now();
            match received {
                Ok(frame) => {
                    direct.last = now;
                    self.driver.received(key, frame, now, now);
                }
                Err(TryRecvError::Empty | TryRecvError::Closed(_)) => break,
            }
            if !connection.has_read_more() {
                return;
            }
        }
        self.read_again(key);
    }
}
