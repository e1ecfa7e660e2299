//! Clients that a server has not taken, until its host asks for them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use masep::{Address, RejectReason};
use pyo3::prelude::*;

use crate::server::PythonAddress;
use crate::waiting::Process;

/// The most that are kept: strangers bring them about.
const MOST: usize = 256;

type Kept = Mutex<VecDeque<(Address, RejectReason)>>;

/// Those of one server: its threads put them in, for which they do not need the GIL.
#[pyclass(frozen, module = "masep._masep")]
pub(crate) struct Rejections {
    kept: Arc<Kept>,
    process: Process,
}

fn lock(kept: &Kept) -> MutexGuard<'_, VecDeque<(Address, RejectReason)>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rejections {
    /// The function for the builder of a server.
    pub(crate) fn function(&self) -> impl Fn(&Address, &RejectReason) + Send + Sync + use<> {
        let kept = self.kept.clone();
        move |address, reason| {
            let mut kept = lock(&kept);
            if kept.len() == MOST {
                kept.pop_front();
            }
            kept.push_back((address.clone(), reason.clone()));
        }
    }
}

#[pymethods]
impl Rejections {
    #[new]
    fn new() -> Self {
        Self {
            kept: Arc::default(),
            process: Process::this(),
        }
    }

    /// Those since the last call: address, the same as text, reason, detail.
    fn take(&self, py: Python<'_>) -> PyResult<Vec<(PythonAddress, String, &'static str, String)>> {
        self.process.check(py)?;
        let taken = std::mem::take(&mut *lock(&self.kept));
        let told = taken.into_iter().map(|(address, reason)| {
            let target = address.to_string();
            (address.into(), target, reason.as_str(), reason.to_string())
        });
        Ok(told.collect())
    }
}
