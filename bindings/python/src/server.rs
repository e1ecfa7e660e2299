//! Servers.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use masep::{
    AcceptError, AcceptTimeoutError, Address, Duplicates, Limits, Protocols, WhenFull, blocking,
};
use pyo3::prelude::*;

use crate::bounds::Heeded;
use crate::connection::Connection;
use crate::exit::detach;
use crate::frames::{ForAll, Whole};
use crate::listening::{ListenOptions, with_options};
use crate::request::Request;
use crate::waiting::{self, Process};
use crate::{access, bounds, client, errors};

pub(crate) fn host_and_port(address: SocketAddr) -> (String, u16) {
    (address.ip().to_string(), address.port())
}

/// An address as Python has it: host and port, or the text of that of a Unix socket.
#[derive(IntoPyObject)]
pub(crate) enum PythonAddress {
    Tcp((String, u16)),
    Text(String),
}

impl From<Address> for PythonAddress {
    fn from(address: Address) -> Self {
        match address.tcp() {
            Some(address) => Self::Tcp(host_and_port(address)),
            None => Self::Text(address.to_string()),
        }
    }
}

/// The address of a server as clients take it.
pub(crate) fn target_of(server: &blocking::Server) -> String {
    let address = server.local_address();
    match server.certificate() {
        Some(_) if address.tcp().is_some() => format!("masep+tls://{address}"),
        _ => address.to_string(),
    }
}

/// The side that is connected to.
#[pyclass(frozen, weakref, module = "masep._masep")]
pub(crate) struct Server {
    /// Taken out by the shutdown. A call that accepts holds the lock to read, without the GIL.
    inner: RwLock<Option<blocking::Server>>,
    address: Address,
    /// It as text, with the scheme that clients need.
    target: String,
    /// Of its connections.
    heeded: Heeded,
    process: Process,
}

impl Server {
    fn new(py: Python<'_>, inner: io::Result<blocking::Server>, heeded: Heeded) -> PyResult<Self> {
        let inner = inner.map_err(|error| errors::listen(py, &error))?;
        Ok(Self {
            address: inner.local_address(),
            target: target_of(&inner),
            inner: RwLock::new(Some(inner)),
            heeded,
            process: Process::this(),
        })
    }

    fn lock(&self) -> RwLockReadGuard<'_, Option<blocking::Server>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the server, unless it has been shut down.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&blocking::Server) -> T + Send,
    ) -> PyResult<Option<T>> {
        self.process.check(py)?;
        Ok(detach(py, || self.lock().as_ref().map(call)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        waiting::release(self.process, inner.take());
    }
}

#[pymethods]
impl Server {
    /// Listens on an address.
    #[staticmethod]
    fn bind(
        py: Python<'_>,
        id: String,
        address: &str,
        options: &Bound<'_, PyAny>,
        duplicates: &str,
        when_full: &str,
        ask: bool,
    ) -> PyResult<Self> {
        client::check_id(py, &id)?;
        let target = client::target(py, address)?;
        let options: ListenOptions<'_> = bounds::given(options, "")?;
        let heeded = Heeded::of(&options.limits()?);
        let mut server = blocking::Server::builder(id)
            .protocols(options.protocols(py, address, target.protocols())?)
            .duplicates(bounds::duplicates(py, duplicates)?)
            .when_full(bounds::when_full(py, when_full)?);
        if ask {
            server = server.ask();
        }
        let server = with_options!(py, options, server);
        Self::new(py, waiting::call(py, move || server.bind(target))?, heeded)
    }

    /// Takes the connections of a socket that listens, of which this descriptor is a handle, which it
    /// closes.
    #[staticmethod]
    fn serve(py: Python<'_>, id: String, descriptor: RawFd) -> PyResult<Self> {
        // SAFETY: the caller, `masep.communication`, gives up the descriptor that it has just made.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        client::check_id(py, &id)?;
        // As in pymasep, where the newest connection with an id is the one that is written to.
        let server = blocking::Server::builder(id)
            .protocols(Protocols::Pymasep)
            .duplicates(Duplicates::Replace);
        let heeded = Heeded::of(&Limits::default());
        Self::new(py, detach(py, || server.serve(owned)), heeded)
    }

    /// The address on which it listens.
    #[getter]
    fn address(&self) -> PythonAddress {
        self.address.clone().into()
    }

    /// The same as text, as `connect` takes it.
    #[getter]
    fn target(&self) -> String {
        self.target.clone()
    }

    /// The address for peers of pymasep's protocol alone, as text.
    #[getter]
    fn pymasep_target(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let address = self.with(py, |server| server.pymasep_address().cloned())?;
        Ok(address.flatten().map(|address| address.to_string()))
    }

    /// True if anybody who reaches it can join.
    #[getter]
    fn is_exposed(&self, py: Python<'_>) -> PyResult<bool> {
        let exposed = self.with(py, blocking::Server::is_exposed)?;
        Ok(exposed.unwrap_or_default())
    }

    /// Ends the connections of these: how many there were.
    #[pyo3(signature = (id=None, token=None, address=None))]
    fn kick(
        &self,
        py: Python<'_>,
        id: Option<String>,
        token: Option<String>,
        address: Option<String>,
    ) -> PyResult<usize> {
        let subject = access::subject(py, id, token, address)?;
        let kicked = self.with(py, move |server| server.kick(&subject))?;
        Ok(kicked.unwrap_or_default())
    }

    /// The same, and keeps them out.
    #[pyo3(signature = (id=None, token=None, address=None))]
    fn ban(
        &self,
        py: Python<'_>,
        id: Option<String>,
        token: Option<String>,
        address: Option<String>,
    ) -> PyResult<usize> {
        let subject = access::subject(py, id, token, address)?;
        let kicked = self.with(py, move |server| server.ban(subject))?;
        Ok(kicked.unwrap_or_default())
    }

    /// Lets these come again. False if they were not banned.
    #[pyo3(signature = (id=None, token=None, address=None))]
    fn unban(
        &self,
        py: Python<'_>,
        id: Option<String>,
        token: Option<String>,
        address: Option<String>,
    ) -> PyResult<bool> {
        let subject = access::subject(py, id, token, address)?;
        let unbanned = self.with(py, move |server| server.unban(subject))?;
        Ok(unbanned.unwrap_or_default())
    }

    /// The next connection; `None` when no more come.
    #[pyo3(signature = (timeout=None))]
    fn accept(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Connection>> {
        self.process.check(py)?;
        let until = waiting::deadline(py, timeout)?;
        let accepted = waiting::wait(py, until, |time| match (&*self.lock(), time) {
            (None, _) => Some(None),
            (Some(server), Some(time)) => match server.accept_timeout(time) {
                Err(AcceptTimeoutError::TimedOut) => None,
                accepted => Some(accepted.ok()),
            },
            (Some(server), None) => Some(server.accept().ok()),
        })?;
        Ok(accepted.map(|connection| Connection::new(connection, self.heeded)))
    }

    /// The next client about which the host is asked; `None` when no more come.
    #[pyo3(signature = (timeout=None))]
    fn next_request(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Request>> {
        self.process.check(py)?;
        let until = waiting::deadline(py, timeout)?;
        let request = waiting::wait(py, until, |time| match (&*self.lock(), time) {
            (None, _) => Some(Ok(None)),
            (Some(server), Some(time)) => match server.next_request_timeout(time) {
                Err(AcceptTimeoutError::TimedOut) => None,
                Err(AcceptTimeoutError::AsksNobody) => Some(Err(())),
                request => Some(Ok(request.ok())),
            },
            (Some(server), None) => match server.next_request() {
                Err(AcceptError::AsksNobody) => Some(Err(())),
                request => Some(Ok(request.ok())),
            },
        })?;
        let request = request.map_err(|()| {
            errors::caller(py, "the server asks nobody: it was made without ask=True")
        })?;
        Ok(request.map(Request::new))
    }

    /// The connections that are alive.
    fn connections(&self, py: Python<'_>) -> PyResult<Vec<Connection>> {
        let connections = self.with(py, |server| server.registry().connections())?;
        let connections = connections.unwrap_or_default().into_iter();
        let own = |connection| Connection::new(connection, self.heeded);
        Ok(connections.map(own).collect())
    }

    /// The one with this id.
    fn connection(&self, py: Python<'_>, id: &str) -> PyResult<Option<Connection>> {
        let found = self.with(py, |server| server.registry().get_connection(id))?;
        let own = |connection| Connection::new(connection, self.heeded);
        Ok(found.flatten().map(own))
    }

    /// Sends this to all connections: to how many.
    fn broadcast(&self, py: Python<'_>, what: &ForAll, when_full: &str) -> PyResult<usize> {
        let when_full = bounds::when_full(py, when_full)?;
        let registry = self.with(py, |server| server.registry().clone())?;
        let Some(registry) = registry else {
            return Ok(0);
        };
        let what = what.what.clone();
        let send = move || match &what {
            Whole::Message(message) => registry.broadcast_message(message, when_full),
            Whole::Frame(frame) => registry.broadcast(frame, when_full),
        };
        let sent = match when_full {
            WhenFull::Wait => waiting::call(py, send)?,
            // It does not wait.
            _ => detach(py, send),
        };
        sent.map_err(|error| errors::send(py, &error))
    }

    /// Takes no more connections.
    fn stop_accepting(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, blocking::Server::stop_accepting)?;
        Ok(())
    }

    /// Answers the search on the LAN.
    fn announce(&self, py: Python<'_>) -> PyResult<()> {
        let announced = self.with(py, blocking::Server::announce)?;
        announced
            .unwrap_or(Ok(()))
            .map_err(|error| errors::listen(py, &error))
    }

    /// Answers it no more.
    fn stop_announcing(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, blocking::Server::stop_announcing)?;
        Ok(())
    }

    /// Ends all connections, for no longer than this many seconds; the ids of the peers that were cut
    /// off then.
    fn shutdown(&self, py: Python<'_>, timeout: f64) -> PyResult<Vec<String>> {
        let deadline = waiting::time(py, timeout)?.unwrap_or(Duration::MAX);
        self.stop_announcing(py)?;
        self.stop_accepting(py)?;
        let taken = detach(py, || {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            inner.take()
        });
        let Some(server) = taken else {
            return Ok(Vec::new());
        };
        let report = waiting::call(py, move || server.shutdown(deadline))?;
        Ok(report.cut.iter().map(ToString::to_string).collect())
    }
}
