//! Frames of blocking connections: whole, in order, whatever TCP or threads do.

mod blocking_peer;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use blocking_peer::{SOON, connected, connected_with, frame, pair, pair_with, recv};
use masep::{
    CloseReason, Frame, Limit, LimitExceeded, Limits, RecvTimeoutError, SendError, SocketOptions,
};

fn sizes() -> impl Iterator<Item = usize> + Clone {
    [
        0, 1, 2, 3, 4, 255, 256, 1_023, 1_024, 1_460, 16_384, 65_533, 65_535,
    ]
    .into_iter()
}

fn body(size: usize, seed: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 + seed) as u8).collect()
}

#[test]
fn a_stream_cut_anywhere_gives_whole_frames() {
    let bodies: [&[u8]; 5] = [b"one", b"", b"BYE!", b"three", b"x"];
    let stream: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
    for step in [1, 2, 3, stream.len()] {
        let (_server, connection, mut peer) = connected();
        for piece in stream.chunks(step) {
            peer.write(piece);
        }
        for body in bodies {
            assert_eq!(recv(&connection), Ok(Frame::new(body.to_vec())));
        }
        assert!(connection.try_recv().is_err());
        assert_eq!(connection.close_reason(), None);
    }
}

#[test]
fn a_timeout_in_the_middle_of_a_frame_loses_nothing() {
    let (_server, connection, mut peer) = connected();
    for n in 0..100u32 {
        let bytes = frame(&n.to_be_bytes());
        for byte in &bytes[..5] {
            peer.write(&[*byte]);
            assert_eq!(
                connection.recv_timeout(Duration::ZERO),
                Err(RecvTimeoutError::TimedOut)
            );
            assert!(connection.try_recv().is_err());
        }
        peer.write(&bytes[5..]);
        assert_eq!(recv(&connection), Ok(Frame::new(n.to_be_bytes().to_vec())));
    }
}

#[test]
fn a_timeout_takes_its_time_and_no_more() {
    let (_server, connection, _peer) = connected();
    let time = Duration::from_millis(30);
    let start = Instant::now();
    assert_eq!(
        connection.recv_timeout(time),
        Err(RecvTimeoutError::TimedOut)
    );
    assert!(start.elapsed() >= time);

    // Also when another thread has the turn to read.
    let reader = connection.clone();
    let reader = thread::spawn(move || reader.recv());
    assert_eq!(
        connection.recv_timeout(time),
        Err(RecvTimeoutError::TimedOut)
    );
    assert_eq!(connection.bye(), CloseReason::LocalBye);
    assert_eq!(reader.join().unwrap(), Err(CloseReason::LocalBye));
}

#[test]
fn frames_behind_the_hello_in_one_write_are_kept() {
    let server = blocking_peer::server();
    let mut peer = blocking_peer::Peer::connect(server.local_address());
    peer.write(b"\x05\0agent\x01\0a\x01\0b");
    let connection = blocking_peer::accept(&server);
    assert_eq!(recv(&connection), Ok(Frame::new(&b"a"[..])));
    assert_eq!(recv(&connection), Ok(Frame::new(&b"b"[..])));
    assert_eq!(peer.read().as_deref(), Some(&b"engine"[..]));
}

#[test]
fn frames_of_all_sizes_arrive_in_order_in_both_directions_at_once() {
    let (_server, engine, client) = pair();
    let all = || (0..20).flat_map(|round| sizes().map(move |size| body(size, round + size)));
    let both = [engine, client.connection().clone()];
    thread::scope(|scope| {
        for connection in &both {
            scope.spawn(move || {
                for body in all() {
                    connection.send(body).unwrap();
                }
            });
            scope.spawn(move || {
                for body in all() {
                    assert_eq!(recv(connection), Ok(Frame::new(body)));
                }
            });
        }
    });
}

#[test]
fn two_sides_that_only_write_do_not_wait_for_each_other() {
    // More than both sockets' buffers together.
    const FRAMES: usize = 400;
    let limits = Limits::default().queue_bytes(64 << 20);
    let (_server, engine, client) = pair_with(&limits);
    let both = [engine, client.connection().clone()];
    thread::scope(|scope| {
        for connection in &both {
            scope.spawn(move || {
                for n in 0..FRAMES {
                    connection.send(vec![n as u8; 65_535]).unwrap();
                }
                for n in 0..FRAMES {
                    assert_eq!(recv(connection), Ok(Frame::new(vec![n as u8; 65_535])));
                }
            });
        }
    });
}

#[test]
fn a_frame_that_is_too_large_is_refused_and_the_connection_lives_on() {
    let (_server, connection, mut peer) = connected_with(Limits::default().frame_bytes(10));
    for (sent, size) in [
        (connection.send(vec![0; 11]), 11),
        (connection.try_send(vec![0; 70_000]), 70_000),
    ] {
        let Err(SendError::TooLarge(limit)) = sent else {
            panic!("{sent:?}")
        };
        let exceeded = LimitExceeded {
            limit: Limit::FrameBytes,
            actual: size,
            allowed: 10,
        };
        assert_eq!(limit.exceeded(), exceeded);
    }
    connection.send(vec![1; 10]).unwrap();
    assert_eq!(peer.read(), Some(vec![1; 10]));
}

#[test]
fn a_claimed_length_over_the_limit_ends_only_that_connection() {
    let (server, connection, mut peer) = connected_with(Limits::default().frame_bytes(10));
    let mut other = blocking_peer::Peer::join(server.local_address(), "other");
    let other_connection = blocking_peer::accept(&server);
    peer.write(b"\x01\0a\x0b\0");
    assert_eq!(recv(&connection), Ok(Frame::new(&b"a"[..])));
    assert!(recv(&connection).is_err());
    let reason = CloseReason::ProtocolError(LimitExceeded {
        limit: Limit::FrameBytes,
        actual: 11,
        allowed: 10,
    });
    assert_eq!(connection.close_reason(), Some(&reason));
    peer.expect_bye();
    other.write(&frame(b"b"));
    assert_eq!(recv(&other_connection), Ok(Frame::new(&b"b"[..])));
}

#[test]
fn frames_sent_from_many_threads_are_never_mixed() {
    const THREADS: usize = 20;
    const FRAMES: usize = 100;
    let (_server, connection, mut peer) = connected();
    thread::scope(|scope| {
        for sender in 0..THREADS {
            let connection = connection.clone();
            scope.spawn(move || {
                for n in 0..FRAMES {
                    let size = 3 + (n * 997 + sender * 131) % 20_000;
                    let mut body = vec![sender as u8; size];
                    body[1] = n as u8;
                    connection.send(body).unwrap();
                }
            });
        }
        let mut next: HashMap<u8, u8> = HashMap::new();
        for _ in 0..THREADS * FRAMES {
            let body = peer.read().unwrap();
            let n = next.entry(body[0]).or_default();
            assert_eq!(body[1], *n, "the frames of one thread stay in order");
            assert!(body[2..].iter().all(|byte| *byte == body[0]));
            *n += 1;
        }
    });
}

#[test]
fn several_threads_that_receive_share_the_frames() {
    let (_server, connection, mut peer) = connected();
    let (got, frames) = mpsc::channel();
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let connection = connection.clone();
            let got = got.clone();
            thread::spawn(move || {
                while let Ok(frame) = connection.recv() {
                    got.send(frame.into_bytes()[0]).unwrap();
                }
            })
        })
        .collect();
    drop(got);
    for n in 0..=255 {
        for byte in frame(&[n]) {
            peer.write(&[byte]);
        }
    }
    peer.write(&frame(b"BYE"));
    let mut all: Vec<u8> = frames.iter().collect();
    all.sort_unstable();
    assert_eq!(all, (0..=255).collect::<Vec<_>>());
    for reader in readers {
        reader.join().unwrap();
    }
}

/// Sends without a wait until there is no room: the frames that were taken.
fn fill(connection: &masep::blocking::Connection, size: usize) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    loop {
        let body = body(size, taken.len());
        match connection.try_send(body.clone()) {
            Ok(()) => taken.push(body),
            Err(SendError::Full(limit)) => {
                assert_eq!(limit.limit, Limit::QueueBytes);
                return taken;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_socket_without_room_takes_nothing_and_what_it_took_in_part_goes_out_whole() {
    for size in [65_535, 10_007, 100] {
        let (_server, connection, mut peer) = connected();
        let taken = fill(&connection, size);
        assert!(!taken.is_empty());
        let reader = thread::spawn(move || {
            for body in &taken {
                assert_eq!(peer.read().as_ref(), Some(body));
            }
            assert_eq!(peer.read().as_deref(), Some(&b"last"[..]));
            peer.expect_bye();
        });
        connection.flush().unwrap();
        connection.send(&b"last"[..]).unwrap();
        assert_eq!(connection.bye(), CloseReason::LocalBye);
        reader.join().unwrap();
    }
}

#[test]
fn receiving_sends_the_rest_of_a_frame_that_did_not_fit() {
    // The peer answers when it has everything. Without the rest both would wait for ever.
    let (_server, connection, mut peer) = connected();
    let taken = fill(&connection, 65_535);
    let reader = thread::spawn(move || {
        for body in &taken {
            assert_eq!(peer.read().as_ref(), Some(body));
        }
        peer.write(&frame(b"all"));
        peer
    });
    assert_eq!(connection.recv(), Ok(Frame::new(&b"all"[..])));
    reader.join().unwrap();
}

#[test]
fn the_newest_frame_is_given_but_none_is_dropped_that_must_be_kept() {
    let (_server, connection, mut peer) = connected();
    let keep = |frame: &Frame| frame.as_ref().starts_with(b"end");
    peer.write(&[frame(b"1"), frame(b"2"), frame(b"3")].concat());
    assert_eq!(connection.recv_newest(keep), Ok(Frame::new(&b"3"[..])));
    peer.write(&[frame(b"4"), frame(b"end 1"), frame(b"5"), frame(b"6")].concat());
    assert_eq!(connection.recv_newest(keep), Ok(Frame::new(&b"end 1"[..])));
    assert_eq!(connection.recv_newest(keep), Ok(Frame::new(&b"6"[..])));
    assert_eq!(
        connection.recv_newest_timeout(Duration::ZERO, keep),
        Err(RecvTimeoutError::TimedOut)
    );
    peer.write(&[frame(b"7"), frame(b"8"), frame(b"BYE")].concat());
    assert_eq!(connection.recv_newest(keep), Ok(Frame::new(&b"8"[..])));
    assert!(connection.recv_newest(keep).is_err());
}

#[test]
fn header_and_body_are_one_write() {
    let (_server, connection, mut peer) = connected();
    let (ask, asked) = mpsc::channel();
    let sender = thread::spawn(move || {
        for () in asked {
            connection.send(vec![7; 300]).unwrap();
        }
    });
    for _ in 0..100 {
        ask.send(()).unwrap();
        // With two writes the header would, sooner or later, be read alone.
        let mut bytes = [0; 1_000];
        assert_eq!(peer.stream.read(&mut bytes).unwrap(), 302);
    }
    drop(ask);
    sender.join().unwrap();
}

#[test]
fn a_peer_that_writes_header_and_body_apart_does_not_wait_for_acknowledgements() {
    // As pymasep does it: two writes, Nagle's algorithm on. Each stall would be 40 ms.
    let (_server, connection, mut peer) = connected();
    peer.stream.set_nodelay(false).unwrap();
    let echo = thread::spawn(move || {
        while let Ok(frame) = connection.recv() {
            connection.send(frame).unwrap();
        }
    });
    let mut times: Vec<Duration> = (0..41)
        .map(|_| {
            let start = Instant::now();
            peer.stream.write_all(&[44, 1]).unwrap();
            peer.stream.write_all(&[7; 300]).unwrap();
            assert_eq!(peer.read(), Some(vec![7; 300]));
            start.elapsed()
        })
        .collect();
    peer.write(&frame(b"BYE"));
    echo.join().unwrap();
    times.sort_unstable();
    assert!(times[20] < Duration::from_millis(20), "{times:?}");
    assert!(times[20] < SOON);
}

#[test]
fn a_connection_that_polls_busily_reads_the_same_and_keeps_its_timeouts() {
    let hours = Duration::from_secs(3_600);
    let (_server, connection, mut peer) = connected_with(SocketOptions::default().busy_poll(hours));
    assert_eq!(
        connection.recv_timeout(Duration::ZERO),
        Err(RecvTimeoutError::TimedOut)
    );
    let reader = thread::spawn(move || {
        let mut sizes = Vec::new();
        while let Ok(frame) = connection.recv() {
            connection.send(frame.clone()).unwrap();
            sizes.push(frame.size());
        }
        (sizes, connection.close_reason().cloned())
    });
    for size in sizes() {
        peer.write(&frame(&body(size, 1)));
        assert_eq!(peer.read(), Some(body(size, 1)));
    }
    peer.write(&frame(b"BYE"));
    let (read, reason) = reader.join().unwrap();
    assert_eq!(read, sizes().collect::<Vec<_>>());
    assert_eq!(reason, Some(CloseReason::PeerBye));
}
