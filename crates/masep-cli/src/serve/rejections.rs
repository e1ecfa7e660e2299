//! Connections that were not taken, as they are told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use masep::Address;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::events::{Event, Events, Source};
use crate::pace::Pace;

/// Rejections that may wait to be told. Connections are bounded by their number, but these have
/// ended: when nobody reads standard output, the rest is only counted.
const WAITING: usize = 256;
/// Rejections that are told at once, and in a second after that; the rest is only counted. A client that
/// knocks without pause shall not keep the reader of the events from those who are inside.
const PACE: (u32, u32) = (256, 50);

/// Tells rejections, at a pace.
pub(super) struct Rejections {
    events: Events,
    places: Arc<Semaphore>,
    pace: Mutex<Pace>,
    skipped: AtomicU64,
}

/// The right to tell one.
pub(super) struct Place(OwnedSemaphorePermit);

impl Rejections {
    pub(super) fn new(events: Events) -> Self {
        Self {
            events,
            places: Arc::new(Semaphore::new(WAITING)),
            pace: Mutex::new(Pace::new(PACE.0, PACE.1)),
            skipped: AtomicU64::new(0),
        }
    }

    /// Takes a place for one more; `None` if it is only counted.
    pub(super) fn begin(&self) -> Option<Place> {
        let place = self.places.clone().try_acquire_owned().ok();
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place.filter(|_| pace.try_count(Instant::now()));
        if place.is_none() {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
        place.map(Place)
    }

    /// Tells it.
    pub(super) async fn tell(
        &self,
        place: Place,
        address: Address,
        reason: &'static str,
        detail: String,
    ) {
        let rejected = Event::Rejected {
            address,
            reason,
            detail,
            skipped: self.skipped.swap(0, Ordering::Relaxed),
        };
        self.events.tell(Source::Rejections, &rejected).await;
        drop(place.0);
    }
}
