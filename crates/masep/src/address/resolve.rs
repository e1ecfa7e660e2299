//! The way from a target to addresses.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::net::lookup_host;

use super::target::Location;
use super::{Address, Target};

impl Target {
    /// Its addresses. A name is resolved by the system, in a thread of the current tokio runtime, for as long as that
    /// takes.
    ///
    /// Cancel safe: a call that is dropped leaves a thread of the runtime to its question.
    ///
    /// # Errors
    /// The system's error for the name.
    pub async fn resolve(&self) -> io::Result<Vec<Address>> {
        match (self.literals(), self.location()) {
            (Some(addresses), _) => Ok(addresses),
            (None, Location::Host(host, port)) => {
                let found = lookup_host((host.as_str(), *port)).await?;
                Ok(found.map(Address::Tcp).collect())
            }
            (None, _) => Ok(Vec::new()),
        }
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
