//! Tells what happens on the connections of a server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use masep::{
    Address, Bye, CloseReason, Connection, ConnectionId, Frame, RejectReason, SocketHandler,
};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::rejections::Rejections;
use super::told::Told;
use crate::commands::EVERYONE;
use crate::events::{Event, Events};
use crate::pace::Pace;

/// Frames that are no message and are told at once, of each connection. After that it is read at
/// the pace of `--bad-frames`, so that a peer that sends garbage without pause delays itself only.
const FIRST_BAD_FRAMES: u32 = 1_024;

/// Tells events. A connection whose event has to wait reads nothing meanwhile.
pub(super) struct TellEvents {
    events: Events,
    told: Told,
    started: watch::Receiver<bool>,
    rejections: Rejections,
    /// Frames that are no message, in a second and of one connection.
    bad_frames: u32,
    /// The paces of the connections that sent such frames.
    paces: Mutex<HashMap<ConnectionId, Pace>>,
}

impl TellEvents {
    /// The handler, and what to set when the server has told that it listens: that comes first.
    pub(super) fn new(events: Events, bad_frames: u32) -> (Arc<Self>, watch::Sender<bool>) {
        let (start, started) = watch::channel(false);
        let handler = Self {
            rejections: Rejections::new(events.clone()),
            events,
            told: Told::default(),
            started,
            bad_frames,
            paces: Mutex::default(),
        };
        (Arc::new(handler), start)
    }

    async fn tell_connected(&self, connection: &Connection) {
        let connected = Event::Connected {
            peer: connection.peer(),
            address: connection.address(),
            protocol: connection.protocol().number(),
            id: None,
            token: connection.grant().map(|grant| &*grant.name),
        };
        self.events.tell(connection, &connected).await;
        self.told.set_connected(connection);
    }

    async fn reject(&self, address: Address, reason: &'static str, detail: String) {
        let Some(place) = self.rejections.begin() else {
            return;
        };
        self.wait_for_start().await;
        let told = self.rejections.tell(place, address, reason, detail);
        told.await;
    }

    async fn wait_for_start(&self) {
        // An error means that the server never started, and then nobody listens to events either.
        let _ = self.started.clone().wait_for(|started| *started).await;
    }

    /// The time that a connection that sent one more frame that is no message waits before the next.
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
        if is_reserved(connection) {
            // Its BYE follows our hello at once: so the peer knows that it is not taken. That is begun and not waited for.
            let bye = connection.bye_with(Bye::new(RESERVED_ID, reserved()));
            let _ = timeout(Duration::ZERO, bye).await;
            return;
        }
        self.wait_for_start().await;
        self.told.claim(connection).await;
        self.tell_connected(connection).await;
    }

    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        if is_reserved(connection) {
            return;
        }
        if !self.events.tell_frame(connection, frame).await {
            let wait = self.count_bad_frame(connection);
            // Even a sleep of nothing takes until the timer's next tick.
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
    }

    async fn on_notice(&self, connection: &Connection) {
        if !is_reserved(connection) {
            self.events.tell_notices(connection).await;
        }
    }

    async fn on_close(&self, connection: &Connection, reason: &CloseReason) {
        if is_reserved(connection) {
            self.reject(connection.address(), RESERVED_ID, reserved())
                .await;
            return;
        }
        lock(&self.paces).remove(&connection.id());
        // The call that tells of the beginning is cancelled when the connection ends meanwhile.
        self.wait_for_start().await;
        self.told.claim(connection).await;
        if !self.told.is_connected(connection) {
            self.tell_connected(connection).await;
        }
        let closed = Event::closed(connection, reason);
        self.events.tell(connection, &closed).await;
        self.told.release(connection);
    }

    async fn on_reject(&self, address: Address, reason: &RejectReason) {
        self.reject(address, reason.as_str(), reason.to_string())
            .await;
    }
}

/// The reason for which a peer is not taken whose id is a word of ours.
const RESERVED_ID: &str = "reserved_id";

fn reserved() -> String {
    format!("the id {EVERYONE:?} means all who are connected")
}

/// True if the peer's id is a word of ours.
fn is_reserved(connection: &Connection) -> bool {
    **connection.peer() == *EVERYONE
}
