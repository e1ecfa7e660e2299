//! Forwards the bytes of one connection, both ways.

use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;

use masep::transport::{self, SocketTransport, Stream};
use masep::{Address, Limit, LimitExceeded, SocketOptions, Target};
use tokio::io::Interest;
use tokio::time::timeout;

use super::entry::{Direction, What};
use super::recorder::{ConnectionRecorder, StreamRecorder};

/// Bytes asked for in one read. More than a frame has: a pymasep peer loses frames that arrive in
/// pieces, so what came together goes on together.
const READ_CHUNK: usize = 128 << 10;

/// A connection through the proxy.
pub(super) struct Link {
    /// The server.
    pub(super) to: Arc<Target>,
    /// The address of the client.
    pub(super) address: Address,
    pub(super) recorder: ConnectionRecorder,
}

/// A socket that is reset when it is dropped, unless it was closed in order.
struct Socket {
    stream: SocketTransport,
    in_order: bool,
}

impl Socket {
    fn new(stream: SocketTransport) -> io::Result<Self> {
        if let SocketTransport::Tcp(stream) = &stream {
            stream.set_nodelay(true)?;
        }
        Ok(Self {
            stream,
            in_order: false,
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.in_order {
            self.stream.reset_on_drop();
        }
    }
}

/// The way in which one direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its sender closed it, and that was passed on.
    Eof,
    /// Its sender is gone; all that came before was passed on.
    SenderReset,
    /// Its receiver is gone.
    ReceiverReset,
}

impl Link {
    /// Forwards until both directions have ended. Dropping the future resets both sockets.
    pub(super) async fn run(self, client: SocketTransport) {
        let open = What::Open(self.address.clone());
        self.recorder.record(Direction::ClientToServer, open);
        let connected = match Socket::new(client) {
            Ok(client) => self.connect().await.map(|server| (client, server)),
            Err(error) => Err(error),
        };
        let (mut client, mut server) = match connected {
            Ok(sockets) => sockets,
            Err(error) => {
                let refused = What::Refused(format!("{}: {error}", self.to));
                self.recorder.record(Direction::ServerToClient, refused);
                return;
            }
        };
        let is_reset = self.forward(&client.stream, &server.stream).await;
        client.in_order = !is_reset;
        server.in_order = !is_reset;
    }

    /// Resets a connection that there is no place for, and says so.
    pub(super) fn reject(&self, client: SocketTransport, most: usize) {
        let exceeded = LimitExceeded {
            limit: Limit::Connections,
            actual: most.saturating_add(1),
            allowed: most,
        };
        let rejected = What::Rejected(self.address.clone(), exceeded);
        self.recorder.record(Direction::ServerToClient, rejected);
        drop(Socket::new(client));
    }

    async fn connect(&self) -> io::Result<Socket> {
        let connect = connect_any(&self.to);
        let connect_time = SocketOptions::default().connect_time;
        Socket::new(
            timeout(connect_time, connect)
                .await
                .map_err(io::Error::from)??,
        )
    }

    /// Forwards both ways until the end; true if that was a reset.
    async fn forward(&self, client: &SocketTransport, server: &SocketTransport) -> bool {
        let recorder = |direction| self.recorder.direction(direction);
        let mut c2s = pin!(pump(client, server, recorder(Direction::ClientToServer)));
        let mut s2c = pin!(pump(server, client, recorder(Direction::ServerToClient)));
        tokio::select! {
            end = &mut c2s => is_reset(end, s2c).await,
            end = &mut s2c => is_reset(end, c2s).await,
        }
    }
}

/// True if a connection of which one direction has ended is reset in the end.
async fn is_reset(first: End, other: impl Future<Output = End>) -> bool {
    match first {
        // Nothing can be sent back to it.
        End::SenderReset => true,
        // Bytes that it sent before can still be passed on.
        End::ReceiverReset => {
            other.await;
            true
        }
        End::Eof => other.await != End::Eof,
    }
}

/// Connects to the first address of a target that takes the connection.
async fn connect_any(to: &Target) -> io::Result<SocketTransport> {
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    for address in to.resolve().await? {
        match transport::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Passes on what one side sends.
async fn pump(from: &SocketTransport, to: &SocketTransport, mut recorder: StreamRecorder) -> End {
    loop {
        tokio::select! {
            biased;
            () = ready(from, Interest::READABLE) => {}
            () = ready(to, Interest::ERROR) => return End::ReceiverReset,
        }
        // Only now, so that a connection that waits holds no memory.
        let mut buffer = Vec::with_capacity(READ_CHUNK);
        match from.try_read(&mut buffer) {
            Ok(0) => {
                recorder.eof();
                let _ = to.shutdown(Shutdown::Write);
                return End::Eof;
            }
            Ok(_) => {
                // A pymasep peer does not send the body of a frame before that, and Linux would put it off for 40 ms.
                if let Some(tcp) = from.tcp() {
                    tcp.acknowledge();
                }
                recorder.bytes(&buffer);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => {
                recorder.reset();
                return End::SenderReset;
            }
        }
        if write_all(to, &buffer).await.is_err() {
            return End::ReceiverReset;
        }
    }
}

/// Waits until a socket is ready for this, or of no use.
async fn ready(stream: &SocketTransport, interest: Interest) {
    let _ = match stream {
        SocketTransport::Tcp(stream) => stream.ready(interest).await.map(drop),
        SocketTransport::Unix(stream) => stream.ready(interest).await,
    };
}

async fn write_all(stream: &SocketTransport, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready(stream, Interest::WRITABLE).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
