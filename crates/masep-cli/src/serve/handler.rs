//! Tells what happens on the connections of a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use masep::{CloseReason, Connection, Frame, RejectReason, SocketHandler};
use tokio::sync::{Semaphore, watch};

use crate::events::{Event, Events};

/// Rejections that may wait to be told. Connections are bounded by their number, but these have
/// ended: when nobody reads standard output, the rest is only counted.
const WAITING_REJECTIONS: usize = 256;

/// Tells events. A connection whose event has to wait reads nothing meanwhile.
pub(super) struct TellEvents {
    events: Events,
    started: watch::Receiver<bool>,
    rejections: Semaphore,
    skipped: AtomicU64,
}

impl TellEvents {
    /// The handler, and what to set when the server has told that it listens: that comes first.
    pub(super) fn new(events: Events) -> (Arc<Self>, watch::Sender<bool>) {
        let (start, started) = watch::channel(false);
        let handler = Self {
            events,
            started,
            rejections: Semaphore::new(WAITING_REJECTIONS),
            skipped: AtomicU64::new(0),
        };
        (Arc::new(handler), start)
    }

    async fn wait_for_start(&self) {
        // An error means that the server never started, and then nobody listens to events either.
        let _ = self.started.clone().wait_for(|started| *started).await;
    }
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
        self.events.tell_frame(connection.peer(), frame).await;
    }

    async fn on_close(&self, connection: &Connection, reason: &CloseReason) {
        let closed = Event::closed(connection.peer(), reason);
        self.events.tell(&closed).await;
    }

    async fn on_reject(&self, address: SocketAddr, reason: &RejectReason) {
        let Ok(_place) = self.rejections.try_acquire() else {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.wait_for_start().await;
        let skipped = self.skipped.swap(0, Ordering::Relaxed);
        let rejected = Event::rejected(address, reason, skipped);
        self.events.tell(&rejected).await;
    }
}
