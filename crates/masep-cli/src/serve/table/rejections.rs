//! Clients that the server below a table has not taken. Those that the table itself rejects are among its events.

use std::sync::Arc;

use masep::{Address, RejectReason};
use tokio::sync::mpsc;

use crate::events::Events;
use crate::serve::rejections::{Place, Rejections};

/// Those that are to be told.
pub(super) struct TableRejections {
    rejections: Arc<Rejections>,
    waiting: mpsc::UnboundedReceiver<Rejected>,
}

/// A client that was not taken.
pub(super) struct Rejected {
    place: Place,
    address: Address,
    reason: RejectReason,
}

impl TableRejections {
    /// The rejections, and the function by which the server tells of them.
    pub(super) fn new(events: Events) -> (Self, impl Fn(&Address, &RejectReason) + Send + Sync) {
        let rejections = Arc::new(Rejections::new(events));
        // There is a bound: each has a place.
        let (reject, waiting) = mpsc::unbounded_channel();
        let places = rejections.clone();
        let told = move |address: &Address, reason: &RejectReason| {
            if matches!(reason, RejectReason::Rejected(_)) {
                return;
            }
            if let Some(place) = places.begin() {
                // Nobody listens any more when the program is about to end.
                let _ = reject.send(Rejected {
                    place,
                    address: address.clone(),
                    reason: reason.clone(),
                });
            }
        };
        let this = Self {
            rejections,
            waiting,
        };
        (this, told)
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Rejected> {
        self.waiting.recv().await
    }

    /// Tells it.
    pub(super) async fn tell(&self, rejected: Rejected) {
        let Rejected {
            place,
            address,
            reason,
        } = rejected;
        let detail = reason.to_string();
        let told = (self.rejections).tell(place, address, reason.as_str(), detail);
        told.await;
    }
}
