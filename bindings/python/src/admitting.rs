//! Clients about which a host's own function is asked whether they are let in.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use masep::Role;
use masep::access::{AccessRequest as Asked, Grant};
use pyo3::prelude::*;

use crate::exit::detach;
use crate::server::PythonAddress;
use crate::waiting::{self, Process};
use crate::{bounds, control, errors};

/// The clients of one server that wait for the word of its host's function: its threads put them in without the GIL, for
/// which they must not wait.
#[pyclass(frozen, weakref, module = "masep._masep")]
pub(crate) struct AccessRequests {
    /// Until a server has it.
    sender: Mutex<Option<Sender<Asked>>>,
    receiver: Mutex<Option<Receiver<Asked>>>,
    process: Process,
}

impl AccessRequests {
    /// The function for the builder of a server.
    pub(crate) fn function(
        &self,
        py: Python<'_>,
    ) -> PyResult<impl Fn(Asked) + Send + Sync + 'static + use<>> {
        self.process.check(py)?;
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = sender.take();
        let sender = sender.ok_or_else(|| errors::caller(py, "they are of another server"))?;
        // One that nobody takes any more is refused.
        Ok(move |asked| drop(sender.send(asked)))
    }
}

impl Drop for AccessRequests {
    fn drop(&mut self) {
        let inner = self.receiver.get_mut();
        let receiver = inner.unwrap_or_else(PoisonError::into_inner).take();
        waiting::release(self.process, receiver);
    }
}

#[pymethods]
impl AccessRequests {
    #[new]
    fn new() -> Self {
        let (sender, receiver) = mpsc::channel();
        Self {
            sender: Mutex::new(Some(sender)),
            receiver: Mutex::new(Some(receiver)),
            process: Process::this(),
        }
    }

    /// The next one; `None` when the server is gone. To be called by a thread that may wait without an end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<AccessRequest>> {
        self.process.check(py)?;
        let asked = detach(py, || {
            let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
            receiver.as_ref()?.recv().ok()
        });
        Ok(asked.map(AccessRequest::new))
    }
}

/// One of them.
#[pyclass(frozen, weakref, module = "masep._masep")]
pub(crate) struct AccessRequest {
    /// Until it is answered.
    inner: Mutex<Option<Asked>>,
    peer: String,
    address: masep::Address,
    process: Process,
}

impl AccessRequest {
    fn new(inner: Asked) -> Self {
        Self {
            peer: inner.peer().as_str().to_owned(),
            address: inner.address().clone(),
            inner: Mutex::new(Some(inner)),
            process: Process::this(),
        }
    }

    fn take(&self, py: Python<'_>) -> PyResult<Asked> {
        self.process.check(py)?;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.take().ok_or_else(|| answered(py))
    }
}

fn answered(py: Python<'_>) -> PyErr {
    errors::caller(py, "it was answered about this client before")
}

impl Drop for AccessRequest {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        waiting::release(self.process, inner.take());
    }
}

#[pymethods]
impl AccessRequest {
    /// The client's id.
    #[getter]
    fn peer(&self) -> &str {
        &self.peer
    }

    /// The client's address.
    #[getter]
    fn address(&self) -> PythonAddress {
        self.address.clone().into()
    }

    /// The same as text.
    #[getter]
    fn target(&self) -> String {
        self.address.to_string()
    }

    /// The client by its own word: a `masep.Hello`.
    fn hello<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let hello = inner.as_ref().map(|asked| asked.hello().clone());
        drop(inner);
        control::hello(py, hello.ok_or_else(|| answered(py))?)
    }

    /// Lets the client in, as this.
    #[expect(clippy::too_many_arguments, reason = "the parts of a grant")]
    #[pyo3(signature = (name, ids, roles, games, seats, expires))]
    fn admit(
        &self,
        py: Python<'_>,
        name: String,
        ids: Vec<String>,
        roles: Vec<String>,
        games: Vec<String>,
        seats: Vec<String>,
        expires: Option<f64>,
    ) -> PyResult<()> {
        let mut grant = Grant::new(name);
        for role in &roles {
            let role = [Role::Actor, Role::Observer]
                .into_iter()
                .find(|known| known.hello_name() == role);
            let unknown = || errors::caller(py, "a role is \"actor\" or \"observer\"");
            grant = grant.role(role.ok_or_else(unknown)?);
        }
        grant = ids.iter().fold(grant, |grant, id| grant.id(id.as_str()));
        grant = games.into_iter().fold(grant, Grant::game);
        grant = seats.into_iter().fold(grant, Grant::seat);
        if let Some(expires) = expires {
            let since = bounds::seconds(py, "expires", expires)?;
            // A time that the system does not know is no end.
            grant.expires = SystemTime::UNIX_EPOCH.checked_add(since);
        }
        let asked = self.take(py)?;
        detach(py, || asked.admit(grant));
        Ok(())
    }

    /// Does not let it in.
    fn refuse(&self, py: Python<'_>) -> PyResult<()> {
        let asked = self.take(py)?;
        detach(py, || asked.refuse());
        Ok(())
    }
}
