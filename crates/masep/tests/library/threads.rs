//! Calls that only `masep::blocking` has: on sockets that others have opened, with a time, without a wait; and what
//! dropping a handle does there.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use masep::blocking::{Client, Connection, Server, SocketHandler};
use masep::{
    AcceptTimeoutError, CloseReason, Frame, Limits, RecvTimeoutError, SendError, SocketOptions,
};
use masep_proto::protocol2::kind;

use crate::shells::directory::Directory;
use crate::shells::{Agent, Peer, SOON, frame, masep2, until};

fn over(stream: impl Into<std::os::fd::OwnedFd>) -> Connection {
    Connection::over(
        stream,
        "peer",
        &Limits::default(),
        &SocketOptions::default(),
    )
    .unwrap()
}

/// A server and one peer of it, which is a bare socket.
fn connected() -> (Server, Connection, Peer) {
    let server = Server::builder("engine").bind("127.0.0.1:0").unwrap();
    let peer = Peer::join(server.local_address(), "agent");
    let connection = server.accept_timeout(SOON).unwrap();
    (server, connection, peer)
}

fn fill(connection: &Connection) -> usize {
    let taken = (0..).take_while(|_| connection.try_send(vec![7; 60_000]).is_ok());
    taken.count()
}

#[test]
fn a_timeout_in_the_middle_of_a_frame_loses_nothing() {
    let (_server, connection, mut peer) = connected();
    for n in 0..100_u32 {
        let bytes = frame(&n.to_be_bytes());
        for byte in &bytes[..5] {
            peer.write(&[*byte]);
            let early = connection.recv_timeout(Duration::ZERO);
            assert_eq!(early, Err(RecvTimeoutError::TimedOut));
            assert!(connection.try_recv().is_err());
        }
        peer.write(&bytes[5..]);
        let body = Frame::new(n.to_be_bytes().to_vec());
        assert_eq!(connection.recv_timeout(SOON), Ok(body));
    }
}

#[test]
fn a_timeout_takes_its_time() {
    let timed_out = || Err(RecvTimeoutError::TimedOut);
    let (server, connection, _peer) = connected();
    let time = Duration::from_millis(30);
    let start = Instant::now();
    assert_eq!(connection.recv_timeout(time), timed_out());
    assert!(start.elapsed() >= time);
    assert_eq!(connection.recv_newest_timeout(time, |_| true), timed_out());
    let late = server.accept_timeout(time);
    assert!(matches!(late, Err(AcceptTimeoutError::TimedOut)));

    // Also when another thread has the turn to read.
    let reader = connection.clone();
    let reader = thread::spawn(move || reader.recv());
    assert_eq!(connection.recv_timeout(time), timed_out());
    assert_eq!(connection.bye(), CloseReason::LocalBye);
    assert_eq!(reader.join().unwrap(), Err(CloseReason::LocalBye));
    let closed = || Err(RecvTimeoutError::Closed(CloseReason::LocalBye));
    assert_eq!(connection.recv_timeout(SOON), closed());
    assert_eq!(connection.recv_newest_timeout(SOON, |_| true), closed());
    server.stop_accepting();
    let late = server.accept_timeout(SOON);
    assert!(matches!(late, Err(AcceptTimeoutError::Stopped)));
}

/// The times at which this thread has gone to sleep.
#[cfg(target_os = "linux")]
fn sleeps() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_call_with_a_time_sleeps_when_it_has_spun_for_long_enough() {
    let server = Server::builder("engine")
        .socket_options(SocketOptions::default().busy_poll(Duration::from_micros(100)))
        .bind("127.0.0.1:0")
        .unwrap();
    let mut peer = Peer::join(server.local_address(), "agent");
    let connection = server.accept_timeout(SOON).unwrap();
    // One that is not run for all of its time does not sleep of its own will.
    let slept = (0..20).filter(|_| {
        let before = sleeps();
        let time = Duration::from_millis(20);
        assert_eq!(
            connection.recv_timeout(time),
            Err(RecvTimeoutError::TimedOut)
        );
        sleeps() > before
    });
    let slept = slept.count();
    assert!(slept >= 10, "it spins instead in {} of 20", 20 - slept);
    peer.write(&frame(b"late"));
    assert_eq!(connection.recv_timeout(SOON), Ok(Frame::new("late")));
}

#[test]
fn a_timeout_holds_while_a_connection_polls_busily() {
    let hours = SocketOptions::default().busy_poll(Duration::from_secs(3_600));
    let server = Server::builder("engine").socket_options(hours);
    let server = server.bind("127.0.0.1:0").unwrap();
    let _peer = Peer::join(server.local_address(), "agent");
    let connection = server.accept_timeout(SOON).unwrap();
    let early = connection.recv_timeout(Duration::ZERO);
    assert_eq!(early, Err(RecvTimeoutError::TimedOut));
}

/// All frames that a connection receives without a time, and the reason of its end.
fn received(connection: Connection) -> (Vec<Frame>, CloseReason) {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut frames = Vec::new();
        let reason = loop {
            match connection.recv() {
                Ok(frame) => frames.push(frame),
                Err(reason) => break reason,
            }
        };
        tell.send((frames, reason))
    });
    told.recv_timeout(SOON).expect("the end is found")
}

#[test]
fn silence_ends_a_call_without_a_time_that_polls_busily() {
    let limits = Limits::default().heartbeat(Some(Duration::from_millis(100)));
    let hours = SocketOptions::default().busy_poll(Duration::from_secs(3_600));
    let server = Server::builder("engine")
        .limits(limits)
        .socket_options(hours);
    let server = server.bind("127.0.0.1:0").unwrap();
    let mut agent = Agent::join2(&server.local_address(), &masep2::first_bytes("agent"));
    let connection = server.accept_timeout(SOON).unwrap();
    let receiving = thread::spawn(move || received(connection));
    assert_eq!(agent.read_frame().unwrap().0, kind::PING);
    // It polls again behind a frame.
    agent.say("awake");
    assert_eq!(agent.read_frame().unwrap().0, kind::PING);
    let (frames, reason) = receiving.join().unwrap();
    assert_eq!(frames, [Frame::new("awake")]);
    assert_eq!(reason, CloseReason::HeartbeatTimeout);
}

#[test]
fn a_call_without_a_time_gets_all_that_waited_for_its_rate() {
    let limits = Limits::default().messages_per_second(Some(200));
    let server = Server::builder("engine").limits(limits);
    let server = server.bind("127.0.0.1:0").unwrap();
    let address = server.local_address();
    let first_bytes = masep2::first_bytes("new");
    for mut agent in [
        Agent::join_at(&address, "old"),
        Agent::join2(&address, &first_bytes),
    ] {
        let connection = server.accept_timeout(SOON).unwrap();
        let numbers = (0..300).map(|number| number.to_string());
        agent.say_all(numbers.clone().chain(["BYE".to_owned()]));
        let expected: Vec<_> = numbers.map(Frame::new).collect();
        assert_eq!(received(connection), (expected, CloseReason::PeerBye));
    }
}

#[tokio::test]
async fn an_announcement_that_cannot_be_is_an_error_also_for_one_in_a_runtime() {
    let place = Directory::new();
    let server = Server::builder("engine").bind(place.target("x.sock"));
    let error = server.unwrap().announce().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_flush_that_fails_while_this_side_ends_the_connection_returns() {
    for _ in 0..10 {
        let (_server, connection, peer) = connected();
        fill(&connection);
        let flushing = connection.clone();
        let flushing = thread::spawn(move || flushing.flush());
        peer.reset();
        connection.bye();
        let flushed = flushing.join().unwrap();
        assert!(matches!(flushed, Err(SendError::Closed(_))), "{flushed:?}");
    }
}

#[test]
fn the_last_handle_says_bye_when_it_is_dropped() {
    let (server, connection, mut peer) = connected();
    let clone = connection.clone();
    drop(connection);
    clone.send("still here").unwrap();
    peer.expect(b"still here");
    assert!(server.registry().is_connection_registered("agent"));
    drop(clone);
    assert!(!server.registry().is_connection_registered("agent"));
    peer.expect_bye();
}

/// Were this to wait for room, it would wait in vain and cut the peer off.
#[test]
fn a_handle_that_is_dropped_with_a_full_socket_does_not_block_and_still_says_bye() {
    let (_server, connection, mut peer) = connected();
    let frames = fill(&connection);
    drop(connection);
    for _ in 0..frames {
        peer.expect(&[7; 60_000]);
    }
    peer.expect_bye();
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let pair = || -> io::Result<_> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        Ok((near, listener.accept()?.0))
    };
    pair().expect("loopback takes connections")
}

#[test]
fn a_connection_over_a_tcp_stream_says_no_hello() {
    let (near, mut far) = tcp_pair();
    // However it was used before.
    near.set_nonblocking(true).unwrap();
    let connection = over(near);
    assert_eq!(connection.peer().as_str(), "peer");
    assert_eq!(connection.address(), far.local_addr().unwrap());
    connection.send(&b"one"[..]).unwrap();
    far.write_all(b"\x03\0two\x03\0BYE").unwrap();
    assert_eq!(connection.recv_timeout(SOON), Ok(Frame::new("two")));
    assert_eq!(
        connection.recv_timeout(SOON),
        Err(RecvTimeoutError::Closed(CloseReason::PeerBye))
    );
    assert_eq!(connection.close_reason(), Some(&CloseReason::PeerBye));
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"\x03\0one");
}

#[cfg(unix)]
#[test]
fn a_connection_over_a_local_socket_ends_in_order() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let connection = over(near);
    far.write_all(b"\x03\0two").unwrap();
    assert_eq!(connection.recv_timeout(SOON), Ok(Frame::new("two")));
    connection.send(&b"one"[..]).unwrap();
    assert_eq!(connection.bye(), CloseReason::LocalBye);
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"\x03\0one\x03\0BYE");
}

#[test]
fn a_server_serves_a_socket_that_listens() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder("engine").serve(listener).unwrap();
    assert_eq!(server.local_address(), address);
    let client = Client::builder("agent").connect(address).unwrap();
    let connection = server.accept_timeout(SOON).unwrap();
    client.connection().send(&b"hi"[..]).unwrap();
    assert_eq!(connection.recv_timeout(SOON), Ok(Frame::new("hi")));
}

#[test]
fn what_is_left_of_a_frame_goes_out_when_there_is_room() {
    let (near, mut far) = tcp_pair();
    let connection = over(near);
    let frame = Frame::new(vec![7; Frame::MAX_BYTES]);
    let mut sent = 0;
    while connection.try_send(frame.clone()).is_ok() {
        sent += 1;
    }
    let mut heard = 0;
    let mut landing = vec![0; 1 << 16];
    far.set_read_timeout(Some(SOON)).unwrap();
    while !connection.try_flush().unwrap() || heard < sent * (Frame::MAX_BYTES + 2) {
        heard += far.read(&mut landing).unwrap();
    }
    assert_eq!(heard, sent * (Frame::MAX_BYTES + 2));
}

#[test]
fn the_socket_can_be_had_until_the_connection_ends() {
    let (near, far) = tcp_pair();
    let address = near.local_addr().unwrap();
    let connection = over(near);
    let socket = TcpStream::from(connection.socket().unwrap());
    assert_eq!(socket.local_addr().unwrap(), address);
    connection.bye();
    let refused = connection.socket().unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::NotConnected);
    drop(far);
}

/// The thread that reads is there when another one begins to wait for room, and then waits for room itself.
#[cfg(unix)]
#[test]
fn a_thread_that_waits_for_room_reads_when_the_one_that_read_has_left() {
    const FRAMES: usize = 64;
    let frame = Frame::new(vec![1; 50_000]);
    let (near, far) = UnixStream::pair().unwrap();
    far.set_write_timeout(Some(SOON)).unwrap();
    far.set_read_timeout(Some(SOON)).unwrap();
    let connection = over(near);
    let send_all =
        |connection: &Connection| (0..FRAMES).try_for_each(|_| connection.send(frame.clone()));
    thread::scope(|scope| {
        let (leaves, left) = mpsc::channel();
        let (connection, send_all) = (&connection, &send_all);
        let reader = scope.spawn(move || {
            assert_eq!(connection.recv(), Ok(Frame::new("go")));
            leaves.send(()).unwrap();
            send_all(connection)
        });
        // Fills the socket while the other reads, and waits for room.
        let sender = scope.spawn(|| send_all(connection));
        let more = (0..).take_while(|_| connection.try_send(frame.clone()).is_ok());
        let more = more.count();
        (&far).write_all(b"\x02\0go").unwrap();
        left.recv_timeout(SOON).unwrap();
        // More than the system keeps. Only then it reads.
        let mut bytes = 50_000_u16.to_le_bytes().to_vec();
        bytes.extend_from_slice(frame.bytes());
        for _ in 0..FRAMES {
            (&far).write_all(&bytes).unwrap();
        }
        let mut taken = vec![0; (2 * FRAMES + more) * bytes.len()];
        (&far).read_exact(&mut taken).unwrap();
        assert_eq!(reader.join().unwrap(), Ok(()));
        assert_eq!(sender.join().unwrap(), Ok(()));
    });
    assert!((0..FRAMES).all(|_| connection.recv_timeout(SOON) == Ok(frame.clone())));
}

/// Knows the threads in which it was called, and how many of them have not ended.
#[derive(Default)]
struct Noting {
    threads: Mutex<Vec<ThreadId>>,
    live: Arc<AtomicUsize>,
}

/// In a thread that has not ended.
struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Noting {
    fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }
}

impl SocketHandler for Noting {
    fn on_connect(&self, _: &Connection) {
        thread_local! {
            static LIVE: std::cell::OnceCell<Live> = const { std::cell::OnceCell::new() };
        }
        assert_eq!(thread::current().name(), Some("masep-connection"));
        self.threads.lock().unwrap().push(thread::current().id());
        LIVE.with(|live| {
            live.get_or_init(|| {
                self.live.fetch_add(1, Ordering::SeqCst);
                Live(self.live.clone())
            });
        });
    }

    fn on_receive(&self, connection: &Connection, frame: Frame) {
        assert_ne!(frame.bytes(), "panic");
        let _ = connection.send(frame);
    }
}

fn noting() -> (Server, Arc<Noting>) {
    let handler = Arc::new(Noting::default());
    let server = Server::builder("engine").handler(handler.clone());
    (server.bind("127.0.0.1:0").unwrap(), handler)
}

#[test]
fn a_thread_whose_connection_has_ended_takes_the_next_one() {
    let (server, handler) = noting();
    // It may not be there yet when that comes.
    let again = (0..1_000).find(|number| {
        let id = format!("agent {number}");
        let client = Client::builder(id.as_str()).connect(server.local_address());
        let client = client.unwrap();
        // That a function panics is the end of its connection, and not of the thread.
        let word = if number % 2 == 0 { "panic" } else { "hi" };
        client.connection().send(word).unwrap();
        let heard = client.connection().recv();
        assert_eq!(heard.is_ok(), word == "hi");
        client.connection().bye();
        until(|| !server.registry().is_connection_registered(&id));
        let threads = handler.threads.lock().unwrap();
        let (last, before) = threads.split_last().unwrap();
        before.contains(last)
    });
    assert!(again.is_some());
    drop(server);
    until(|| handler.live() == 0);
}

#[test]
fn few_threads_stay_and_none_for_long() {
    let (server, handler) = noting();
    let connect = |number| {
        let client = Client::builder(format!("agent {number}"));
        client.connect(server.local_address()).unwrap()
    };
    let clients: Vec<_> = (0..50).map(connect).collect();
    until(|| handler.live() == 50);
    drop(clients);
    until(|| handler.live() <= 8);
    until(|| handler.live() == 0);
    // The next one has a thread all the same.
    let client = connect(50);
    client.connection().send("hi").unwrap();
    assert_eq!(client.connection().recv(), Ok(Frame::new("hi")));
    assert_eq!(handler.live(), 1);
}
