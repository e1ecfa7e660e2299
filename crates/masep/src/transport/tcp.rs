//! TCP: the sockets of tokio as they are, and the options of a socket.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use bytes::BytesMut;
use masep_proto::Limits;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

use super::{Listener, Transport};

impl Transport for TcpStream {
    fn prepare(&self, limits: &Limits) -> io::Result<()> {
        set_options(self, limits)
    }

    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        Self::readable(self)
    }

    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let room = buffer.capacity() - buffer.len();
        let mut read_some = 0;
        // Where readiness is told by its edges, a read that leaves room has emptied the socket:
        // marking it so spares the read that would only find that out, a system call per frame.
        // The outer call knows the readiness from before the read, so that what arrives meanwhile
        // is not missed.
        let filled = self.try_io(Interest::READABLE, || {
            let read = self.try_read_buf(buffer)?;
            if TOLD_BY_EDGES && 0 < read && read < room {
                read_some = read;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(read)
        });
        if read_some > 0 { Ok(read_some) } else { filled }
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> + Send {
        Self::writable(self)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }

    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::try_write_vectored(self, buffers)
    }

    fn acknowledge(&self) {
        rearm_quickack(self);
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(self).shutdown(how)
    }

    fn reset_on_drop(&self) {
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

/// Whether the system tells changes of readiness alone (epoll, kqueue), as tokio goes by it.
const TOLD_BY_EDGES: bool = cfg!(any(
    target_os = "android",
    target_os = "freebsd",
    target_os = "linux",
    target_os = "macos",
    target_os = "netbsd",
    target_os = "openbsd",
));

impl Listener for TcpListener {
    type Transport = TcpStream;

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        Self::accept(self)
    }
}

/// Sets what the bounds ask of a TCP socket.
pub(crate) fn set_options(stream: &impl AsFd, limits: &Limits) -> io::Result<()> {
    let socket = SockRef::from(stream);
    // One write per frame and no Nagle: nothing of ours ever waits for an acknowledgement.
    socket.set_tcp_nodelay(true)?;
    if let Some(time) = limits.keepalive_time {
        // What systems take: whole seconds, on Linux at most as many as 15 bits count.
        let time = time.clamp(Duration::from_secs(1), Duration::from_secs(32_767));
        let keepalive = TcpKeepalive::new().with_time(time);
        #[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
        let keepalive = keepalive
            .with_interval(Duration::from_secs(5))
            .with_retries(3);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    // Bytes that are never acknowledged (a cable pulled) end the connection as those never taken.
    #[cfg(target_os = "linux")]
    {
        let most = Duration::from_millis(i32::MAX.unsigned_abs().into());
        socket.set_tcp_user_timeout(Some(limits.write_time.min(most)))?;
    }
    Ok(())
}

/// Acknowledges what has arrived at once, and what arrives next, where the system has that.
pub(crate) fn rearm_quickack(stream: &impl AsFd) {
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_quickack(true);
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}
