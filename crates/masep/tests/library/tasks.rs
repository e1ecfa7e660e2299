//! Properties of connections with a task alone: turns to read between it and the calls, deadlines while a call is not
//! polled, callbacks that wait, and a runtime that is dropped.

use std::future::Future;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use masep::access::Subject;
use masep::transport::Stream;
use masep::transport::memory::{self, MemoryTransport};
use masep::{
    Client, CloseReason, Connection, Frame, Limits, Protocols, Server, SocketHandler,
    SocketOptions, WhenFull,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::shells::frame;
use crate::soon;

/// A bare socket.
struct Peer(TcpStream);

impl Peer {
    async fn join(address: impl ToSocketAddrs) -> Self {
        let addresses = Vec::from_iter(address.to_socket_addrs().unwrap());
        let mut peer = Self(TcpStream::connect(&addresses[..]).await.unwrap());
        peer.write(&frame(b"agent")).await;
        assert_eq!(peer.read().await.as_deref(), Some(&b"engine"[..]));
        peer
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// The next frame, or `None` at the end of the stream.
    async fn read(&mut self) -> Option<Vec<u8>> {
        let size = soon(self.0.read_u16_le()).await.ok()?;
        let mut body = vec![0; usize::from(size)];
        soon(self.0.read_exact(&mut body)).await.unwrap();
        Some(body)
    }

    async fn expect_bye(&mut self) {
        assert_eq!(self.read().await.as_deref(), Some(&b"BYE"[..]));
        assert_eq!(self.read().await, None);
    }
}

async fn connected(limits: Limits) -> (Server, Connection, Peer) {
    let server = Server::builder("engine").limits(limits);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let peer = Peer::join(server.local_address()).await;
    let connection = soon(server.accept()).await.unwrap();
    (server, connection, peer)
}

/// A connection whose last frame was read by a call of `recv`, which keeps the turn for a moment.
async fn with_a_turn_kept() -> (Server, Peer, Connection) {
    let (server, connection, mut peer) = connected(Limits::default()).await;
    for number in 0..3_u8 {
        let (received, ()) = tokio::join!(soon(connection.recv()), async {
            // The call waits already.
            tokio::task::yield_now().await;
            peer.write(&frame(&[number])).await;
        });
        assert_eq!(received, Ok(Frame::new(vec![number])));
    }
    (server, peer, connection)
}

/// A waker that does nothing.
struct Still;

impl Wake for Still {
    fn wake(self: Arc<Self>) {}
}

#[tokio::test]
async fn a_call_that_waits_for_the_end_and_is_dropped_leaves_nothing() {
    let (_server, connection, _peer) = connected(Limits::default()).await;
    let still = Arc::new(Still);
    let waker = Waker::from(still.clone());
    let mut closed = Box::pin(connection.closed());
    let polled = closed.as_mut().poll(&mut Context::from_waker(&waker));
    assert_eq!(polled, Poll::Pending);
    drop((closed, waker));
    assert_eq!(Arc::strong_count(&still), 1);
}

/// A waker that calls the server.
struct Calls(Arc<Server>, mpsc::UnboundedSender<()>);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        assert_eq!(self.0.bans(), []);
        self.1.send(()).unwrap();
    }
}

#[tokio::test]
async fn a_call_that_is_woken_by_a_kick_may_call_the_server() {
    let (server, connection, _peer) = connected(Limits::default()).await;
    let full = vec![7; 60_000];
    while connection.try_send(full.clone()).is_ok() {
        tokio::task::yield_now().await;
    }
    let (woken, mut is_woken) = mpsc::unbounded_channel();
    let server = Arc::new(server);
    let waker = Arc::new(Calls(server.clone(), woken)).into();
    let mut send = pin!(connection.send(full));
    assert!(
        send.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    std::thread::spawn(move || server.kick(&Subject::Id("agent".into())));
    soon(is_woken.recv()).await.unwrap();
}

#[tokio::test]
async fn an_end_is_seen_to_though_nobody_calls_recv_any_more() {
    let (server, mut peer, connection) = with_a_turn_kept().await;
    peer.write(&frame(b"BYE")).await;
    // Our side closes, which nothing of ours has asked for.
    assert_eq!(peer.read().await, None);
    assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye);
    assert!(server.registry().is_empty());
}

#[tokio::test]
async fn an_end_behind_the_frame_that_a_call_took_is_seen_to() {
    let (_server, mut peer, connection) = with_a_turn_kept().await;
    peer.write(&[frame(b"last"), frame(b"BYE")].concat()).await;
    assert_eq!(soon(connection.recv()).await, Ok(Frame::new("last")));
    assert_eq!(peer.read().await, None);
    assert!(soon(connection.recv()).await.is_err());
    assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye);
}

#[tokio::test]
async fn what_arrives_while_nobody_calls_is_there_for_every_kind_of_call_in_order() {
    let (_server, mut peer, connection) = with_a_turn_kept().await;
    let sent = (0..100_u8).map(|number| frame(&[number]));
    peer.write(&sent.collect::<Vec<_>>().concat()).await;
    for number in 0..90_u8 {
        let received = if number % 3 == 0 {
            loop {
                match connection.try_recv() {
                    Ok(frame) => break frame,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        } else {
            soon(connection.recv()).await.unwrap()
        };
        assert_eq!(received, Frame::new(vec![number]));
    }
    let keep = |frame: &Frame| frame.as_ref() == [95];
    let kept = soon(connection.recv_newest(keep)).await;
    assert_eq!(kept, Ok(Frame::new(vec![95])));
    let newest = soon(connection.recv_newest(|_| false)).await;
    assert_eq!(newest, Ok(Frame::new(vec![99])));
}

/// One thread for both ends: a connection that looks for bytes must let the others run.
#[tokio::test]
async fn connections_that_poll_busily_let_each_other_run() {
    let options = SocketOptions::default().busy_poll(Duration::from_secs(3_600));
    let server = Server::builder("engine").socket_options(options.clone());
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let builder = Client::builder("agent").socket_options(options);
    let client = builder.connect(server.local_address()).await.unwrap();
    let here = soon(server.accept()).await.unwrap();
    for n in 0..100_u8 {
        client.connection().send(vec![n]).await.unwrap();
        assert_eq!(soon(here.recv()).await, Ok(Frame::new(vec![n])));
        here.send(vec![n; 2]).await.unwrap();
        let answer = soon(client.connection().recv()).await;
        assert_eq!(answer, Ok(Frame::new(vec![n; 2])));
    }
    assert_eq!(soon(here.bye()).await, CloseReason::LocalBye);
    assert_eq!(
        soon(client.connection().closed()).await,
        CloseReason::PeerBye
    );
}

#[test]
fn even_a_runtime_that_is_dropped_says_bye() {
    let outer = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let inner = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let server = Server::builder("engine").bind("127.0.0.1:0");
    let server = inner.block_on(server).unwrap();
    let mut peer = outer.block_on(Peer::join(server.local_address()));
    let connection = inner.block_on(server.accept()).unwrap();
    inner.shutdown_background();
    outer.block_on(async {
        peer.expect_bye().await;
        assert_eq!(soon(connection.closed()).await, CloseReason::Aborted);
    });
}

/// More than any queue and any socket takes, so that what is not written in between is dropped.
const WITHOUT_PAUSE: u32 = 200_000;

/// One thread for all: a loop that drops what is old never waits for anything.
#[tokio::test]
async fn what_is_sent_without_pause_arrives() {
    let server = Server::builder("engine").bind("127.0.0.1:0");
    let server = server.await.unwrap();
    let client = Client::builder("agent").connect(server.local_address());
    let client = client.await.unwrap();
    let here = soon(server.accept()).await.unwrap();
    for all in [false, true] {
        let connection = client.connection().clone();
        let first = tokio::spawn(async move { connection.recv().await });
        let mut sent = 0;
        while !first.is_finished() && sent < WITHOUT_PAUSE {
            let frame = Frame::new(sent.to_le_bytes().to_vec());
            if all {
                let broadcast = server.registry().broadcast(&frame, WhenFull::NewestWins);
                assert_eq!(broadcast.await.unwrap(), 1);
            } else {
                here.send_or(frame, WhenFull::NewestWins).await.unwrap();
            }
            sent += 1;
        }
        assert!(sent < WITHOUT_PAUSE, "nothing arrived (to all: {all})");
        assert!(soon(first).await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn what_was_accepted_and_not_sent_is_counted() {
    let limits = Limits::default()
        .queue_bytes(usize::MAX)
        .queue_messages(usize::MAX);
    let (_server, connection, mut peer) = connected(limits).await;
    assert_eq!(connection.unsent(), 0);

    let count = 1_000;
    for _ in 0..count {
        connection.send(vec![7; 20_000]).await.unwrap();
    }
    assert!(connection.unsent() > 0);
    // The last that it hears of its peer, which goes on with what it has.
    peer.write(b"\x01\0x\x03\0BYE").await;
    assert_eq!(connection.closed().await, CloseReason::PeerBye);
    let unsent = connection.unsent();
    let mut arrived = Vec::new();
    // Perhaps a reset: nothing is owed to who has said BYE.
    let _ = peer.0.read_to_end(&mut arrived).await;
    let arrived = arrived.len() / 20_002;
    assert!(
        unsent > 0 && unsent + arrived <= count,
        "{unsent} and {arrived}"
    );
}

/// Never done with a frame; tells when it is dropped, and of the end.
struct Waiting(mpsc::UnboundedSender<&'static str>);

struct TellsDrop<'a>(&'a Waiting);

impl Drop for TellsDrop<'_> {
    fn drop(&mut self) {
        let _ = self.0.0.send("dropped");
    }
}

impl SocketHandler for Waiting {
    async fn on_receive(&self, _connection: &Connection, _frame: Frame) {
        let _dropped = TellsDrop(self);
        let _ = self.0.send("called");
        std::future::pending::<()>().await;
    }

    async fn on_close(&self, _connection: &Connection, _reason: &CloseReason) {
        let _ = self.0.send("told");
    }
}

#[tokio::test]
async fn a_callback_that_waits_is_dropped_when_this_side_has_ended_the_connection() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::builder("engine")
        .handler(Waiting(tell))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut peer = Peer::join(server.local_address()).await;
    peer.write(&frame(b"never answered")).await;
    assert_eq!(soon(told.recv()).await, Some("called"));
    let connection = server.registry().get_connection("agent").unwrap();
    connection.send("last").await.unwrap();
    assert_eq!(soon(connection.bye()).await, CloseReason::LocalBye);
    assert_eq!(soon(told.recv()).await, Some("dropped"));
    assert_eq!(soon(told.recv()).await, Some("told"));
    assert_eq!(peer.read().await.as_deref(), Some(&b"last"[..]));
    peer.expect_bye().await;
}

/// Its frames keep it for ever.
struct Never(mpsc::UnboundedSender<()>);

impl SocketHandler for Never {
    async fn on_receive(&self, _connection: &Connection, _frame: Frame) {
        let _ = self.0.send(());
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_last_frame_that_its_handler_never_finished_is_not_behind_the_peers_orderly_end() {
    let (called, mut is_called) = mpsc::unbounded_channel();
    let builder = Server::builder("engine").handler(Never(called));
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    let mut peer = Peer::join(server.local_address()).await;
    let connection = server.registry().get_connection("agent").unwrap();
    peer.write(&[frame(b"last"), frame(b"BYE")].concat()).await;
    soon(is_called.recv()).await.unwrap();
    soon(server.shutdown(Duration::from_millis(50))).await;
    assert_eq!(soon(connection.closed()).await, CloseReason::Shutdown);
}

#[tokio::test]
async fn a_callback_that_waits_is_dropped_a_while_after_a_write_failed() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::builder("engine")
        .handler(Waiting(tell))
        .limits(Limits::default().write_time(Duration::from_millis(50)))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut peer = Peer::join(server.local_address()).await;
    peer.write(&frame(b"never answered")).await;
    assert_eq!(soon(told.recv()).await, Some("called"));
    let connection = server.registry().get_connection("agent").unwrap();
    // A reset.
    socket2::SockRef::from(&peer.0)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    while soon(connection.send(vec![0; 60_000])).await.is_ok() {}
    assert_eq!(soon(told.recv()).await, Some("dropped"));
    assert_eq!(soon(told.recv()).await, Some("told"));
}

const IDLE_TIME: Duration = Duration::from_secs(10);
const HELLO: &[u8] = b"\x06\0engine";

async fn in_memory() -> (Client, MemoryTransport) {
    let (near, far) = memory::duplex(4096);
    far.try_write(HELLO).unwrap();
    let client = Client::builder("agent")
        .protocols(Protocols::Pymasep)
        .limits(Limits::default().idle_time(Some(IDLE_TIME)))
        .connect_over(near, SocketAddr::from(([127, 0, 0, 1], 1)))
        .await
        .unwrap();
    // Its task runs, and waits.
    tokio::time::sleep(Duration::from_millis(1)).await;
    (client, far)
}

/// Polls a call that was started as a branch of a `select!` whose other branch takes its time.
fn poll_once<F: Future>(call: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    call.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_talks_is_not_ended_because_a_started_call_is_not_polled() {
    let (client, peer) = in_memory().await;
    let connection = client.connection();
    let mut receiving = pin!(connection.recv());
    assert!(poll_once(receiving.as_mut()).is_pending());
    // Far longer than it may be silent, and the other branch is still at work.
    for _ in 0..40 {
        tokio::time::sleep(IDLE_TIME / 4).await;
        peer.try_write(b"\x04\0talk").unwrap();
    }
    assert_eq!(connection.close_reason(), None);
    assert_eq!(receiving.await, Ok(Frame::new("talk")));
    for _ in 1..40 {
        assert_eq!(connection.recv().await, Ok(Frame::new("talk")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_polled_learns_of_a_bye_all_the_same() {
    let (client, peer) = in_memory().await;
    let connection = client.connection();
    let mut receiving = pin!(connection.recv());
    assert!(poll_once(receiving.as_mut()).is_pending());
    tokio::time::sleep(IDLE_TIME / 2).await;
    peer.try_write(b"\x04\0last\x03\0BYE").unwrap();
    tokio::time::sleep(IDLE_TIME * 2).await;
    assert_eq!(connection.close_reason(), Some(&CloseReason::PeerBye));
    assert_eq!(receiving.await, Ok(Frame::new("last")));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_ended_in_time_whoever_has_the_turn_to_read() {
    let (client, _peer) = in_memory().await;
    let start = tokio::time::Instant::now();
    assert_eq!(client.connection().closed().await, CloseReason::IdleTimeout);
    assert!(start.elapsed() <= IDLE_TIME);

    let (client, peer) = in_memory().await;
    let mut receiving = pin!(client.connection().recv());
    assert!(poll_once(receiving.as_mut()).is_pending());
    let start = tokio::time::Instant::now();
    tokio::time::sleep(IDLE_TIME / 2).await;
    // It talks once, which nobody sees, and then no more.
    peer.try_write(b"\x04\0last").unwrap();
    while client.connection().close_reason().is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        client.connection().close_reason(),
        Some(&CloseReason::IdleTimeout)
    );
    assert!(start.elapsed() <= IDLE_TIME * 3, "{:?}", start.elapsed());
    assert_eq!(receiving.await, Ok(Frame::new("last")));
}

#[tokio::test]
async fn a_runtime_that_was_held_up_does_not_end_a_peer_that_talked() {
    // Over TCP: what arrives meanwhile is found by the runtime together with the deadline.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connecting = Client::builder("agent")
        .protocols(Protocols::Pymasep)
        .limits(Limits::default().idle_time(Some(Duration::from_secs(1))))
        .connect(address);
    let answering = async {
        let (stream, _) = listener.accept().await.unwrap();
        stream.writable().await.unwrap();
        stream.try_write(HELLO).unwrap();
        stream
    };
    let (client, peer) = tokio::join!(connecting, answering);
    let client = client.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    peer.try_write(b"\x04\0talk").unwrap();
    std::thread::sleep(Duration::from_millis(1_200));
    assert_eq!(client.connection().recv().await, Ok(Frame::new("talk")));
}

/// Tells what it receives.
struct Tells(mpsc::UnboundedSender<Option<Frame>>);

impl SocketHandler for Tells {
    async fn on_connect(&self, _connection: &Connection) {
        let _ = self.0.send(None);
    }
    async fn on_receive(&self, _connection: &Connection, frame: Frame) {
        let _ = self.0.send(Some(frame));
    }
}

#[tokio::test]
async fn a_handler_gets_what_had_arrived_when_this_side_ends_the_connection() {
    let (near, far) = memory::duplex(4096);
    far.try_write(HELLO).unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    let client = Client::builder("agent")
        .protocols(Protocols::Pymasep)
        .handler(Tells(tell))
        .connect_over(near, SocketAddr::from(([127, 0, 0, 1], 1)))
        .await
        .unwrap();
    far.try_write(b"\x01\0a\0\0\x02\0bc").unwrap();
    // The connection's task has not run since.
    let connection = client.connection().clone();
    let ending = tokio::spawn(async move { connection.bye().await });
    assert_eq!(soon(told.recv()).await, Some(None));
    for expected in ["a", "", "bc"] {
        let received = soon(told.recv()).await;
        assert_eq!(received, Some(Some(Frame::new(expected))));
    }
    let mut written = Vec::with_capacity(64);
    far.try_read(&mut written).unwrap();
    assert_eq!(written, b"\x05\0agent\x03\0BYE");
    assert_eq!(soon(ending).await.unwrap(), CloseReason::LocalBye);
}
