//! Sockets that listen.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use masep_proto::Limits;
use socket2::{Domain, SockRef, Socket as RawSocket, Type};

use super::socket::address_of;
use super::unix::SocketFile;
use super::{Socket, tcp, unix};
use crate::error::ListenError;
use crate::{Address, SocketOptions};

/// Connections that wait to be accepted, as tokio has it. When there are more, a peer tries again after a second, or
/// waits.
pub(super) const BACKLOG: i32 = 1024;

/// A socket of TCP or a Unix socket that listens, and that is set not to block: a peer that is gone again between the wait
/// and the accept holds up nobody.
#[derive(Debug)]
pub(crate) struct ListeningSocket {
    // First, so that a path is free before nobody listens on it.
    file: Option<SocketFile>,
    descriptor: OwnedFd,
    address: Address,
}

impl ListeningSocket {
    /// Listens on the first of the addresses that can be bound.
    ///
    /// The file of a Unix socket has the permissions that the process's mask leaves (umask(2)); to connect, a peer must be
    /// allowed to write it.
    pub(crate) fn bind(addresses: &[Address]) -> io::Result<Self> {
        let mut failure = io::ErrorKind::AddrNotAvailable.into();
        for address in addresses {
            match Self::bind_one(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => failure = error,
            }
        }
        Err(ListenError::wrap_all(addresses, failure))
    }

    fn bind_one(address: &Address) -> io::Result<Self> {
        let (socket, file) = match address {
            Address::Tcp(address) => (listen_on(*address)?, None),
            Address::Unix(path) => {
                let (socket, file) = unix::listen(path)?;
                (socket, Some(file))
            }
        };
        Ok(Self {
            file,
            ..Self::new(socket)?
        })
    }

    /// One that listens already. The file of a Unix socket stays where it is.
    pub(crate) fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let descriptor = socket.into();
        let local = SockRef::from(&descriptor);
        local.set_nonblocking(true)?;
        let local = local.local_addr()?;
        let address = match local.as_socket() {
            Some(address) => Address::Tcp(address),
            None => address_of(&local).unwrap_or_else(|| Address::unix("")),
        };
        Ok(Self {
            file: None,
            descriptor,
            address,
        })
    }

    /// Has its connections begin with the options that [`TcpOptions::prepare`](super::TcpOptions::prepare) sets, where the
    /// system hands them on. A failure costs time alone: those that have not got them are given them.
    pub(crate) fn prepare(&self, limits: &Limits, options: &SocketOptions) {
        if let Address::Tcp(address) = self.address {
            let _ = tcp::set_options(&self.descriptor, limits, options);
            tcp::begin_unpaced(&self.descriptor, address);
        }
    }

    /// The socket, its address, and the file that goes with it.
    pub(super) fn into_parts(self) -> (OwnedFd, Address, Option<SocketFile>) {
        (self.descriptor, self.address, self.file)
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection, without a wait, and the address of its peer. A Unix socket's has none of its own.
    pub(crate) fn accept(&self) -> io::Result<(Socket, Address)> {
        let (socket, peer) = SockRef::from(&self.descriptor).accept()?;
        let address = match &self.address {
            Address::Unix(path) => Address::Unix(path.clone()),
            Address::Tcp(_) => address_of(&peer)
                .ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted))?,
        };
        if let Address::Tcp(origin) = address {
            tcp::note_origin(&socket, origin.ip());
        }
        Ok((Socket::known(socket.into(), &address), address))
    }
}

fn listen_on(address: SocketAddr) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Or the port could not be bound again for a minute after the server's end.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    // Behind it: the system forgets it when it begins to listen.
    tcp::withhold_acknowledgement(&socket);
    Ok(socket)
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Else a peer that writes header and body apart is not known for what it is where its hello is acknowledged at once,
    /// and loses frames on a bad link.
    #[test]
    fn what_arrives_at_a_new_connection_is_not_acknowledged_at_once() {
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = listen_on(address).unwrap();
        assert!(!listener.tcp_quickack().unwrap());
    }

    /// All that is set one by one on a stream that was connected.
    fn options(stream: BorrowedFd<'_>) -> io::Result<impl PartialEq + std::fmt::Debug> {
        let socket = SockRef::from(&stream);
        Ok((
            (socket.tcp_nodelay()?, socket.tcp_quickack()?),
            (socket.tcp_notsent_lowat()?, socket.tcp_user_timeout()?),
            (socket.keepalive()?, socket.tcp_keepalive_time()?),
            (
                socket.tcp_keepalive_interval()?,
                socket.tcp_keepalive_retries()?,
            ),
        ))
    }

    #[test]
    fn a_connection_that_is_accepted_has_all_options_from_the_socket_that_listened() {
        let seconds = std::time::Duration::from_secs;
        let times = [
            (seconds(15), seconds(30)),
            (seconds(3), seconds(40)),
            (seconds(0), seconds(0)),
        ];
        for (keepalive_time, write_time) in times {
            for address in ["127.0.0.1:0", "[::1]:0"] {
                let address = Address::Tcp(address.parse().unwrap());
                let listener = ListeningSocket::bind(&[address]).unwrap();
                let limits = Limits::default().write_time(write_time);
                let given = SocketOptions::default().keepalive_time(Some(keepalive_time));
                let connect = || {
                    let address = listener.address().tcp().unwrap();
                    let near = std::net::TcpStream::connect(address).unwrap();
                    (near, listener.accept().unwrap().0)
                };
                let (near, early) = connect();
                assert!(
                    !tcp::has_options(&early, &limits),
                    "the socket has none yet"
                );
                listener.prepare(&limits, &given);
                let (_near, accepted) = connect();
                assert!(tcp::has_options(&accepted, &limits));
                let other = Limits::default().write_time(write_time + seconds(1));
                assert!(!tcp::has_options(&accepted, &other));
                tcp::set_options(&near, &limits, &given).unwrap();
                assert_eq!(
                    options(accepted.as_fd()).unwrap(),
                    options(near.as_fd()).unwrap()
                );
            }
        }
    }
}
