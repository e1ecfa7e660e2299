//! Sends of blocking connections that meet an end, a full socket, or a peer that wants them to cost much.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

mod blocking_peer;

use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use blocking_peer::{Peer, SOON, accept, connected, connected_with, frame, recv, server_with};
use masep::blocking::{Connection, Server};
use masep::{CloseReason, Duplicates, Frame, Limits, SendError, WhenFull};
use nix::errno::Errno;
use nix::sys::socket::MsgFlags;
use socket2::SockRef;

/// Sends without a wait until the peer's and the own buffers are full.
fn fill(connection: &Connection) -> usize {
    (0..)
        .take_while(|_| connection.try_send(vec![7; 60_000]).is_ok())
        .count()
}

type Send = fn(&Connection) -> Result<(), SendError>;

/// A reset makes the write fail; the connection is ended here before what is left to be read was
/// looked at for the reason.
fn a_write_fails_while_this_side_ends_the_connection(send: Send) {
    let (_server, connection, mut peer) = connected();
    let (holds, held) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let reader = connection.clone();
    let reader = thread::spawn(move || {
        // Keeps others from reading until it is released.
        reader.recv_newest(|_| {
            holds.send(()).unwrap();
            released.recv().unwrap();
            true
        })
    });
    peer.write(&frame(b"hold"));
    held.recv_timeout(SOON).unwrap();
    peer.reset();

    let (tells, told) = mpsc::channel();
    let sender = connection.clone();
    thread::spawn(move || {
        tells.send(None).unwrap();
        // The reset may still be on its way.
        let error = (0..).find_map(|_| send(&sender).err());
        tells.send(error).unwrap();
    });
    assert_eq!(told.recv_timeout(SOON), Ok(None));
    // So that in most rounds it has failed by now, and waits to look for the reason.
    thread::sleep(Duration::from_millis(10));
    connection.bye();
    release.send(()).unwrap();
    let error = told.recv_timeout(SOON).expect("the send returns");
    assert!(matches!(error, Some(SendError::Closed(_))), "{error:?}");
    assert_eq!(reader.join().unwrap(), Ok(Frame::new("hold")));
}

#[test]
fn a_send_that_fails_while_this_side_ends_the_connection_returns() {
    for _ in 0..10 {
        a_write_fails_while_this_side_ends_the_connection(|connection| connection.send("x"));
        a_write_fails_while_this_side_ends_the_connection(|connection| connection.try_send("x"));
        a_write_fails_while_this_side_ends_the_connection(|connection| {
            connection.try_send("x")?;
            connection.flush()
        });
    }
}

#[test]
fn a_peer_that_stalls_comes_back_and_resets_the_first_connection_ends_all_sends_to_it() {
    let server = Server::builder("engine")
        .duplicates(Duplicates::Replace)
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.local_address().tcp().unwrap();
    for _ in 0..100 {
        let old = Peer::join(address, "agent");
        let connection = accept(&server);
        fill(&connection);
        let sends: Vec<_> = (0..2)
            .map(|_| {
                let connection = connection.clone();
                let (done, sent) = mpsc::channel();
                thread::spawn(move || {
                    while connection.send(vec![7; 60_000]).is_ok() {}
                    done.send(()).unwrap();
                });
                sent
            })
            .collect();
        let mut new = Peer::connect(address);
        new.write(&frame(b"agent"));
        old.reset();
        for sent in sends {
            sent.recv_timeout(SOON).expect("the send returns");
        }
        assert_eq!(new.read().as_deref(), Some(&b"engine"[..]));
        assert_eq!(accept(&server).peer().as_str(), "agent");
    }
}

#[test]
fn a_send_that_waits_returns_at_once_when_another_thread_ends_the_connection() {
    // The socket has no room, and a thread in the background has a second to deliver what was sent.
    let (_server, connection, mut peer) = connected();
    let frames = fill(&connection);
    let sender = connection.clone();
    let sending = thread::spawn(move || sender.send(vec![7; 60_000]));
    // Read by the sender: so it waits.
    peer.write(&frame(b"hi"));
    wait_until_read(&connection);
    connection.try_send(Frame::BYE).unwrap();
    let sent = sending.join().unwrap();
    assert_eq!(sent, Err(SendError::Closed(CloseReason::LocalBye)));
    for _ in 0..frames {
        assert_eq!(peer.read(), Some(vec![7; 60_000]));
    }
    peer.expect_bye();
}

/// Until somebody has read all that the peer sent.
fn wait_until_read(connection: &Connection) {
    let socket = connection.socket().unwrap();
    let mut byte = [0; 1];
    loop {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        match nix::sys::socket::recv(socket.as_raw_fd(), &mut byte, flags) {
            Err(Errno::EAGAIN) => return,
            _ => thread::yield_now(),
        }
    }
}

/// The processor time that this thread has taken.
#[cfg(target_os = "linux")]
fn cpu_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = statistics.split(' ').next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

#[test]
fn a_frame_for_everybody_is_sent_as_a_whole() {
    for peers in [1, 3] {
        let server = server_with(Limits::default());
        let mut peers: Vec<_> = (0..peers)
            .map(|n| {
                let peer = Peer::join(server.local_address(), &n.to_string());
                SockRef::from(&peer.stream)
                    .set_recv_buffer_size(16 << 10)
                    .unwrap();
                let connection = accept(&server);
                let socket = connection.socket().unwrap();
                SockRef::from(&socket).set_send_buffer_size(4_096).unwrap();
                // Waits, in the system, before there is anything to send.
                let waiting = connection.clone();
                thread::spawn(move || waiting.recv());
                (peer, connection)
            })
            .collect();
        for way in 0..2 {
            let registry = server.registry().clone();
            let body = vec![way; 60_000];
            let large = Frame::new(body.clone());
            let sending = thread::spawn(move || match way {
                0 => registry.broadcast(&large, WhenFull::Wait).unwrap(),
                _ => {
                    let all = registry.len();
                    all - registry.try_broadcast(&large).unwrap().len()
                }
            });
            for (peer, _) in &mut peers {
                assert_eq!(peer.read(), Some(body.clone()));
            }
            assert_eq!(sending.join().unwrap(), peers.len());
        }
    }
}

#[test]
fn what_try_send_left_is_under_the_bound_for_writing() {
    let limits = Limits::default().write_time(Duration::from_millis(50));
    let (_server, connection, _peer) = connected_with(limits);
    // Nobody sends any more, and nobody receives.
    let frames = fill(&connection);
    if connection.try_flush() == Ok(true) {
        // It happened to end with a whole frame.
        println!("{frames} frames fit exactly");
        return;
    }
    assert_eq!(connection.closed(), CloseReason::WriteTimeout);
}

#[test]
fn a_peer_that_takes_nothing_is_cut_off_though_it_sends_without_pause() {
    let limits = Limits::default().write_time(Duration::from_millis(100));
    let (_server, connection, mut peer) = connected_with(limits);
    fill(&connection);
    let sending = thread::spawn(move || connection.send(vec![7; 60_000]));
    let mut sent = 0;
    while !sending.is_finished() {
        // Fails at the end.
        let _ = peer.stream.write_all(b"\0\0");
        sent += 2;
        assert!(sent < 4 << 20, "it was ended because of what it sent");
        thread::yield_now();
    }
    let error = sending.join().unwrap().unwrap_err();
    assert_eq!(error, SendError::Closed(CloseReason::WriteTimeout));
}

#[cfg(target_os = "linux")]
/// The CPU time of a send that waits while so many bytes come, and then many reads of a single one.
fn cost_of_tiny_reads(before: usize) -> Duration {
    let limits = Limits::default().queue_messages(usize::MAX);
    let (_server, connection, mut peer) = connected_with(limits);
    fill(&connection);
    let sender = connection.clone();
    let sending = thread::spawn(move || {
        let begin = cpu_time();
        sender.send(vec![7; 60_000]).unwrap();
        cpu_time() - begin
    });
    peer.write(&vec![0; before]);
    wait_until_read(&connection);
    for _ in 0..300 {
        peer.write(b"\0");
        wait_until_read(&connection);
    }
    // Makes room.
    let mut reader = Peer::of(peer.stream.try_clone().unwrap());
    thread::spawn(move || while reader.read().is_some() {});
    let cpu = sending.join().unwrap();
    assert_eq!(recv(&connection), Ok(Frame::default()));
    connection.bye();
    cpu
}

#[cfg(target_os = "linux")]
#[test]
fn a_byte_costs_the_same_whatever_waits() {
    const BUFFERED: usize = 3_900_000;
    let alone = cost_of_tiny_reads(BUFFERED / 300);
    let behind = cost_of_tiny_reads(BUFFERED);
    // To take in so much more takes something itself; to look through it each time took many times that.
    let allowed = 10 * alone + Duration::from_millis(500);
    assert!(behind < allowed, "{behind:?}, alone {alone:?}");
}
