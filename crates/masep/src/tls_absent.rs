//! The stand-in for TLS in a build without the feature `tls`: nothing that could exist.

use crate::transport::{Socket, Transport};
use crate::{Target, TlsError};

#[derive(Clone, Copy, Debug)]
pub(crate) enum ClientTls {}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ServerTls {}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Connector {}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Acceptor {}

impl Connector {
    pub(crate) fn load(tls: Option<&ClientTls>, target: &Target) -> Result<Option<Self>, TlsError> {
        match tls {
            None if target.is_tls() => Err(TlsError::Absent),
            None => Ok(None),
            Some(tls) => match *tls {},
        }
    }

    pub(crate) fn wrap<T: Transport>(&self, _transport: T) -> Result<T, TlsError> {
        match *self {}
    }

    pub(crate) fn wrap_socket(&self, _socket: Socket) -> Result<Socket, TlsError> {
        match *self {}
    }
}

impl Acceptor {
    pub(crate) fn load(tls: &ServerTls, _insists: bool) -> Result<Option<Self>, TlsError> {
        match *tls {}
    }

    pub(crate) fn requires(&self) -> bool {
        match *self {}
    }

    pub(crate) fn wrap<T: Transport>(&self, _transport: T) -> T {
        match *self {}
    }

    pub(crate) fn wrap_socket(&self, _socket: Socket) -> Socket {
        match *self {}
    }
}
