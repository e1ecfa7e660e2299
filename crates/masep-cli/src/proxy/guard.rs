//! The gate before an engine, for all links at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use masep::{Frame, PeerId};
use masep_proto::gate::{Gate, Verdict, Visitor};
use tokio::sync::watch;

/// A gate that links and kept connections share.
pub(super) type SharedGuard = Arc<Guard>;

pub(super) struct Guard {
    gate: Mutex<Gate>,
    /// The engine has said END.
    is_over: watch::Sender<bool>,
}

impl Guard {
    pub(super) fn new(gate: Gate) -> SharedGuard {
        Arc::new(Self {
            gate: Mutex::new(gate),
            is_over: watch::Sender::new(false),
        })
    }

    pub(super) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hear_client(&self, visitor: &mut Visitor, frame: &Frame) -> Verdict {
        self.gate().from_client(visitor, frame)
    }

    pub(super) fn hear_engine(&self, visitor: &mut Visitor, frame: &Frame) -> bool {
        let mut gate = self.gate();
        let goes_on = gate.from_engine(visitor, frame);
        self.note_end(&gate);
        goes_on
    }

    pub(super) fn overhear(&self, id: &PeerId, frame: &Frame) {
        let mut gate = self.gate();
        gate.overhear(id, frame);
        self.note_end(&gate);
    }

    fn note_end(&self, gate: &Gate) {
        if gate.is_over() {
            self.is_over
                .send_if_modified(|is_over| !std::mem::replace(is_over, true));
        }
    }

    pub(super) fn keeps(&self, id: &PeerId) -> bool {
        self.gate().keeps(id)
    }

    /// Waits until the engine has said END.
    pub(super) async fn over(&self) {
        let mut is_over = self.is_over.subscribe();
        // The sender is in this.
        let _ = is_over.wait_for(|is_over| *is_over).await;
    }
}
