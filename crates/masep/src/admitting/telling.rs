//! The telling of the host of connections that were not taken.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Admits;
use crate::{Address, RejectReason};

/// A call that tells the host's handler of a refusal, until this is dropped.
pub(crate) struct Telling<D: Admits>(pub(super) Arc<D>);

impl<D: Admits> Drop for Telling<D> {
    fn drop(&mut self) {
        self.0.ask(|admission, _| admission.told());
    }
}

type Told = dyn Fn(&Address, &RejectReason) + Send + Sync;

/// A function of the host's that is told of refusals.
#[derive(Clone)]
pub(crate) struct OnReject(Arc<Told>);

impl OnReject {
    pub(crate) fn new(call: impl Fn(&Address, &RejectReason) + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    /// Tells it of one. A panic in it is nobody else's.
    pub(super) fn call(&self, address: &Address, reason: &RejectReason) {
        let call = AssertUnwindSafe(|| (self.0)(address, reason));
        if catch_unwind(call).is_err() {
            tracing::error!("the function that is told of refusals panicked");
        }
    }
}

impl fmt::Debug for OnReject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnReject(..)")
    }
}
