//! masep's `Transport` and `Listener` over the simulated network.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use masep::transport::{Listener, Stream, TcpOptions, Transport};
use masep::{Address, Limits, SocketOptions};

use crate::network::{Network, Port, Setup, ticks};
use crate::stream::{End, Presence};

/// The first port of clients: behind it, the number of the link.
const FIRST_PORT: u16 = 1_000;

/// The server's address.
pub(crate) fn name() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 80))
}

/// Which link a server's connection runs over.
pub(crate) fn link_of(peer: &Address) -> usize {
    let peer = peer.tcp().expect("a simulated address");
    usize::from(peer.port() - FIRST_PORT)
}

/// One end of a link, held by a program.
pub(crate) struct SimTransport {
    network: Arc<Network>,
    link: usize,
    side: usize,
}

impl SimTransport {
    fn with<R>(&self, use_end: impl FnOnce(&mut End) -> R) -> R {
        self.network
            .change(|state| use_end(&mut state.links[self.link].ends[self.side]))
    }
}

impl Stream for SimTransport {
    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.network.change(|state| {
            let now = state.now;
            let end = &mut state.links[self.link].ends[self.side];
            let count = end.unread.len().min(buffer.capacity() - buffer.len());
            if !end.is_held() {
                return Err(ErrorKind::ConnectionReset.into());
            }
            if count > 0 {
                if !end.shut {
                    end.silence = end.silence.max(now - end.last_read);
                    end.last_read = now;
                }
                let (first, second) = end.unread.as_slices();
                let of_first = count.min(first.len());
                buffer.extend_from_slice(&first[..of_first]);
                buffer.extend_from_slice(&second[..count - of_first]);
                end.unread.drain(..count);
                return Ok(count);
            }
            match end.failed {
                _ if end.ended => Ok(0),
                Some(kind) => Err(kind.into()),
                None if buffer.capacity() == buffer.len() => Ok(0),
                None => Err(ErrorKind::WouldBlock.into()),
            }
        })
    }

    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = buffers.iter().find(|buffer| !buffer.is_empty());
        let bytes: &[u8] = first.map_or(&[], |buffer| buffer);
        self.network.change(|state| {
            let (now, room) = (state.now, state.quality.buffer);
            let end = &mut state.links[self.link].ends[self.side];
            if let Some(kind) = end.failed {
                return Err(kind.into());
            }
            if !end.is_held() || end.shut {
                return Err(ErrorKind::BrokenPipe.into());
            }
            let count = bytes.len().min(room.saturating_sub(end.unsent.len()));
            if count == 0 && !bytes.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            end.last_write = now;
            end.unsent.extend(&bytes[..count]);
            Ok(count)
        })
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.with(|end| {
            end.shut |= matches!(how, Shutdown::Write | Shutdown::Both);
            end.ended |= matches!(how, Shutdown::Read | Shutdown::Both);
        });
        Ok(())
    }

    fn reset_on_drop(&self) {
        self.with(|end| end.resets = true);
    }

    fn tcp(&self) -> Option<&dyn TcpOptions> {
        Some(self)
    }
}

impl TcpOptions for SimTransport {
    fn prepare(&self, limits: &Limits, options: &SocketOptions) -> io::Result<()> {
        self.with(|end| {
            end.patience = ticks(limits.write_time);
            let asks = |time: std::time::Duration| ticks(time.min(limits.write_time / 2));
            end.keepalive = options.keepalive_time.map(asks);
        });
        Ok(())
    }

    fn try_write_apart(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(buffers)
    }
}

impl Transport for SimTransport {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|end| {
            let ready = !end.unread.is_empty() || end.ended || end.failed.is_some();
            if ready || !end.is_held() {
                return Poll::Ready(Ok(()));
            }
            end.reader = Some(context.waker().clone());
            Poll::Pending
        })
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.network.change(|state| {
            let room = state.quality.buffer;
            let end = &mut state.links[self.link].ends[self.side];
            let ready = end.unsent.len() < room || end.shut || end.failed.is_some();
            if ready || !end.is_held() {
                return Poll::Ready(Ok(()));
            }
            end.writer = Some(context.waker().clone());
            Poll::Pending
        })
    }

    fn poll_sent(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|end| {
            if end.unsent.is_empty() || end.failed.is_some() || !end.is_held() {
                return Poll::Ready(Ok(()));
            }
            end.writer = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for SimTransport {
    fn drop(&mut self) {
        self.network
            .change(|state| state.close(self.link, self.side));
    }
}

/// The listener at the server's name, until it is dropped.
pub(crate) struct SimListener(Arc<Network>);

pub(crate) fn listen(network: &Arc<Network>) -> SimListener {
    network.lock().port = Some(Port::default());
    SimListener(network.clone())
}

impl Listener for SimListener {
    type Transport = SimTransport;

    fn local_address(&self) -> io::Result<Address> {
        Ok(name().into())
    }

    async fn accept(&self) -> io::Result<(SimTransport, Address)> {
        let link = poll_fn(|context| {
            let mut state = self.0.lock();
            let Some(port) = &mut state.port else {
                return Poll::Pending;
            };
            if let Some(link) = port.waiting.pop_front() {
                return Poll::Ready(link);
            }
            port.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        let port = FIRST_PORT + u16::try_from(link).expect("few links in one simulation");
        let client = self.0.lock().links[link].client;
        let last = u8::try_from(10 + client).expect("few hosts");
        let transport = SimTransport {
            network: self.0.clone(),
            link,
            side: 1,
        };
        Ok((
            transport,
            Address::Tcp((Ipv4Addr::new(10, 0, 0, last), port).into()),
        ))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        // After a crash somebody else may listen there.
        self.0.change(|state| state.close_port());
    }
}

/// Connects a host to whoever listens; also tells which link it is.
pub(crate) async fn connect(network: Arc<Network>, host: usize) -> io::Result<SimTransport> {
    let link = network.change(|state| state.ask(host));
    // Dropped before it is connected, it closes what there is.
    let transport = SimTransport {
        network,
        link,
        side: 0,
    };
    poll_fn(|context| {
        let mut state = transport.network.lock();
        let link = &mut state.links[transport.link];
        if link.ends[0].presence != Presence::Held {
            return Poll::Ready(Err(ErrorKind::ConnectionReset));
        }
        match link.setup {
            Setup::Open => Poll::Ready(Ok(())),
            Setup::Failed => Poll::Ready(Err(ErrorKind::ConnectionRefused)),
            _ => {
                link.connector = Some(context.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
    .map_err(io::Error::from)?;
    Ok(transport)
}

impl SimTransport {
    pub(crate) fn link(&self) -> usize {
        self.link
    }
}
