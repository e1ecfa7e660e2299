//! The peers that get each frame in a segment of its own: those that write header and body apart, and no others.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use masep::transport::{Listener, SocketTransport, Stream, TcpOptions, Transport};
use masep::{Address, Client, Connection, Frame, Limits, Server, SocketOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::shells::frame;
use crate::soon;

const FRAMES: usize = 2_000;

/// Writes so far that ended a segment.
#[derive(Debug, Default)]
struct Writes {
    apart: AtomicUsize,
}

/// TCP, whose writes are counted.
struct Counted {
    stream: SocketTransport,
    writes: Arc<Writes>,
}

impl Stream for Counted {
    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.stream.try_read(buffer)
    }
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.try_write_vectored(buffers)
    }
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.stream.shutdown(how)
    }
    fn reset_on_drop(&self) {
        self.stream.reset_on_drop();
    }
    fn tcp(&self) -> Option<&dyn TcpOptions> {
        Some(self)
    }
}

impl Transport for Counted {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_readable(context)
    }
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_writable(context)
    }
    fn poll_sent(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_sent(context)
    }
}

impl TcpOptions for Counted {
    fn prepare(&self, limits: &Limits, options: &SocketOptions) -> io::Result<()> {
        self.stream.prepare(limits, options)
    }
    fn try_write_apart(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writes.apart.fetch_add(1, Ordering::Relaxed);
        self.stream.try_write_apart(buffers)
    }
    fn acknowledge(&self) {
        self.stream.acknowledge();
    }
    fn withhold_acknowledgement(&self) {
        self.stream.withhold_acknowledgement();
    }
    fn tell_when_sent(&self) -> bool {
        self.stream.tell_when_sent()
    }
}

struct CountedListener {
    listener: TcpListener,
    writes: Arc<Writes>,
}

impl Listener for CountedListener {
    type Transport = Counted;

    fn local_address(&self) -> io::Result<Address> {
        self.listener.local_addr().map(Address::Tcp)
    }

    fn accept(&self) -> impl Future<Output = io::Result<(Counted, Address)>> + Send {
        let writes = self.writes.clone();
        async move {
            let (stream, address) = self.listener.accept().await?;
            let stream = SocketTransport::Tcp(stream);
            Ok((Counted { stream, writes }, address.into()))
        }
    }
}

async fn server() -> (Server, Arc<Writes>) {
    let writes = Arc::<Writes>::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // As a server's own, so that the header of a hello is not acknowledged before it is read.
    socket2::SockRef::from(&listener)
        .set_tcp_quickack(false)
        .unwrap();
    let listener = CountedListener {
        listener,
        writes: writes.clone(),
    };
    (
        Server::builder("engine").serve_over(listener).unwrap(),
        writes,
    )
}

/// Passes on what it gets at once, so many bytes at a time.
async fn relay(to: SocketAddr, at_once: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.unwrap();
            near.set_nodelay(true).unwrap();
            far.set_nodelay(true).unwrap();
            let (near, far) = (near.into_split(), far.into_split());
            tokio::spawn(cut(near.0, far.1, at_once));
            tokio::spawn(cut(far.0, near.1, at_once));
        }
    });
    address
}

async fn cut(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, size: usize) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        for piece in buffer[..read].chunks(size) {
            if to.write_all(piece).await.is_err() {
                return;
            }
            // Now and then the reader is woken by this piece alone.
            tokio::task::yield_now().await;
        }
    }
}

/// Frames in one direction, all of which are there to be sent together.
async fn flood(from: &Connection, to: &Connection) {
    let sending = async {
        for n in 0..FRAMES {
            from.send(vec![7; n % 90 + 3]).await.unwrap();
        }
    };
    let receiving = async {
        for _ in 0..FRAMES {
            to.recv().await.unwrap();
        }
    };
    soon(async { tokio::join!(sending, receiving) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_behind_whatever_cuts_the_stream_gets_its_frames_together() {
    for at_once in [1, 2, 3, 66, 1_448, 65_536] {
        let (server, writes) = server().await;
        let address = relay(server.local_address().tcp().unwrap(), at_once).await;
        let client = Client::builder("agent").connect(address).await.unwrap();
        let here = soon(server.accept()).await.unwrap();
        // The peer is judged by the bytes that it sends.
        flood(client.connection(), &here).await;
        let before = writes.apart.load(Ordering::Relaxed);
        flood(&here, client.connection()).await;
        let apart = writes.apart.load(Ordering::Relaxed) - before;
        assert_eq!(apart, 0, "cut at {at_once}");
    }
}

/// Reads frames, whole and in order.
async fn read_frames(stream: &mut TcpStream, count: usize) {
    for _ in 0..count {
        let mut header = [0; 2];
        soon(stream.read_exact(&mut header)).await.unwrap();
        let mut body = vec![0; usize::from(u16::from_le_bytes(header))];
        soon(stream.read_exact(&mut body)).await.unwrap();
    }
}

/// As pymasep writes: header and body in two writes, with Nagle's algorithm.
async fn write_apart(stream: &mut TcpStream, body: &[u8]) {
    let frame = frame(body);
    stream.write_all(&frame[..2]).await.unwrap();
    stream.write_all(&frame[2..]).await.unwrap();
}

/// Sends messages as pymasep does until answers come in segments of their own. On a busy machine the first may be read
/// so late that header and body are both there.
async fn become_known(peer: &mut TcpStream, connection: &Connection, writes: &Writes) {
    for _ in 0..50 {
        let receiving = tokio::spawn({
            let connection = connection.clone();
            async move { connection.recv().await }
        });
        write_apart(peer, b"define").await;
        assert_eq!(soon(receiving).await.unwrap(), Ok(Frame::new("define")));
        connection.send("answer").await.unwrap();
        read_frames(peer, 1).await;
        if writes.apart.load(Ordering::Relaxed) >= 10 {
            return;
        }
    }
    panic!("not known: {writes:?}");
}

#[tokio::test]
async fn a_peer_that_writes_header_and_body_apart_gets_each_frame_in_a_segment_of_its_own() {
    for writes_hello_apart in [true, false] {
        let (server, writes) = server().await;
        let mut peer = TcpStream::connect(server.local_address().tcp().unwrap())
            .await
            .unwrap();
        if writes_hello_apart {
            write_apart(&mut peer, b"agent").await;
        } else {
            // As it comes out of the socket when nobody has read it for a while.
            peer.write_all(&frame(b"agent")).await.unwrap();
        }
        let connection = soon(server.accept()).await.unwrap();
        read_frames(&mut peer, 1).await;
        become_known(&mut peer, &connection, &writes).await;
        // For good, also if what it sends is read late.
        for _ in 0..100 {
            peer.write_all(&frame(b"read late")).await.unwrap();
            soon(connection.recv()).await.unwrap();
        }
        let before = writes.apart.load(Ordering::Relaxed);
        for _ in 0..100 {
            connection.send("two").await.unwrap();
        }
        read_frames(&mut peer, 100).await;
        assert_eq!(writes.apart.load(Ordering::Relaxed), before + 100);
    }
}
