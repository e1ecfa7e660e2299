//! The way from a target to addresses.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::thread;

use tokio::sync::oneshot;

use super::target::Location;
use super::{Address, Target};

impl Target {
    /// Its addresses. A name is resolved by the system, in a thread of its own, for as long as that takes.
    ///
    /// Cancel safe: a call that is dropped leaves the thread to its question.
    ///
    /// # Errors
    /// The system's error for the name, or for the thread.
    pub async fn resolve(&self) -> io::Result<Vec<Address>> {
        if let Some(addresses) = self.literals() {
            return Ok(addresses);
        }
        let (resolved, resolution) = oneshot::channel();
        let target = self.clone();
        // Not one of tokio's, which panics where there can be none.
        thread::Builder::new()
            .name("masep-resolve".into())
            .spawn(move || {
                // Nobody may listen any more.
                let _ = resolved.send(target.resolve_blocking());
            })?;
        resolution.await.map_err(io::Error::other)?
    }

    /// Its addresses. A name is resolved by the system, for as long as that takes.
    pub(crate) fn resolve_blocking(&self) -> io::Result<Vec<Address>> {
        match (self.literals(), self.location()) {
            (Some(addresses), _) => Ok(addresses),
            (None, Location::Host(host, port)) => {
                let found: Vec<SocketAddr> = (host.as_str(), *port).to_socket_addrs()?.collect();
                Ok(found.into_iter().map(Address::Tcp).collect())
            }
            (None, _) => Ok(Vec::new()),
        }
    }
}
