//! Tells what happens on the connections of a server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use masep::{CloseReason, Connection, ConnectionId, Frame, RejectReason, SocketHandler};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use crate::events::{Event, Events};
use crate::pace::Pace;

/// Rejections that may wait to be told. Connections are bounded by their number, but these have
/// ended: when nobody reads standard output, the rest is only counted.
const WAITING_REJECTIONS: usize = 256;
/// Rejections that are told at once, and in a second after that; the rest is only counted. Whoever
/// knocks without pause shall not keep the reader of the events from those who are inside.
const REJECTIONS: (u32, u32) = (256, 50);
/// Frames that are no message and are told at once, of each connection. After that it is read at
/// the pace of `--bad-frames`, so that a peer that sends garbage without pause delays itself only.
const FIRST_BAD_FRAMES: u32 = 1_024;

/// Tells events. A connection whose event has to wait reads nothing meanwhile.
pub(super) struct TellEvents {
    events: Events,
    started: watch::Receiver<bool>,
    rejections: Semaphore,
    rejecting: Mutex<Pace>,
    skipped: AtomicU64,
    /// Frames that are no message, in a second and of one connection.
    bad_frames: u32,
    /// Of the connections that sent such frames.
    paces: Mutex<HashMap<ConnectionId, Pace>>,
}

impl TellEvents {
    /// The handler, and what to set when the server has told that it listens: that comes first.
    pub(super) fn new(events: Events, bad_frames: u32) -> (Arc<Self>, watch::Sender<bool>) {
        let (start, started) = watch::channel(false);
        let handler = Self {
            events,
            started,
            rejections: Semaphore::new(WAITING_REJECTIONS),
            rejecting: Mutex::new(Pace::new(REJECTIONS.0, REJECTIONS.1)),
            skipped: AtomicU64::new(0),
            bad_frames,
            paces: Mutex::default(),
        };
        (Arc::new(handler), start)
    }

    async fn wait_for_start(&self) {
        // An error means that the server never started, and then nobody listens to events either.
        let _ = self.started.clone().wait_for(|started| *started).await;
    }

    /// How long a connection that sent one more frame that is no message waits before the next.
    fn count_bad_frame(&self, connection: &Connection) -> Duration {
        if self.bad_frames == 0 {
            return Duration::ZERO;
        }
        let new = || Pace::new(FIRST_BAD_FRAMES, self.bad_frames);
        lock(&self.paces)
            .entry(connection.id())
            .or_insert_with(new)
            .count(Instant::now())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SocketHandler for TellEvents {
    async fn on_connect(&self, connection: &Connection) {
        self.wait_for_start().await;
        let connected = Event::Connected {
            peer: connection.peer(),
            address: connection.address(),
            id: None,
        };
        self.events.tell(&connected).await;
    }

    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        if !self.events.tell_frame(connection.peer(), frame).await {
            let wait = self.count_bad_frame(connection);
            // Even a sleep of nothing takes until the timer's next tick.
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
    }

    async fn on_close(&self, connection: &Connection, reason: &CloseReason) {
        lock(&self.paces).remove(&connection.id());
        let closed = Event::closed(connection.peer(), reason);
        self.events.tell(&closed).await;
    }

    async fn on_reject(&self, address: SocketAddr, reason: &RejectReason) {
        let place = self.rejections.try_acquire();
        if place.is_err() || !lock(&self.rejecting).try_count(Instant::now()) {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.wait_for_start().await;
        let skipped = self.skipped.swap(0, Ordering::Relaxed);
        let rejected = Event::rejected(address, reason, skipped);
        self.events.tell(&rejected).await;
    }
}
