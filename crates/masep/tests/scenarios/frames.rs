//! Frames arrive whole, in order and once, whatever TCP, threads or tasks do.

use std::collections::HashMap;
use std::io::Read;
use std::sync::mpsc;
use std::thread;

use masep::{CloseReason, Frame, Limit, LimitExceeded, Limits, SendError, SocketOptions, WhenFull};

use crate::shells::{Options, Peer, Shell, Side, accept, frame, of_each_network, of_each_shell};

of_each_network! {
    frames_of_all_sizes_arrive_in_order_in_both_directions_at_once
    two_sides_that_only_write_do_not_wait_for_each_other
    frames_of_many_senders_are_never_mixed
    several_that_receive_share_the_frames
    answers_arrive_in_the_order_in_which_they_were_sent
    the_newest_frame_is_given_but_none_is_dropped_that_must_be_kept
    a_connection_that_polls_busily_reads_the_same
}

of_each_shell! {
    a_frame_that_is_too_large_is_refused_and_the_connection_lives_on
    a_claimed_length_over_the_limit_ends_only_that_connection
    header_and_body_are_one_write
    a_peer_that_writes_header_and_body_apart_does_not_wait_for_acknowledgements
}

fn sizes() -> impl Iterator<Item = usize> + Clone {
    let edges = [
        0, 1, 2, 3, 4, 255, 256, 1_023, 1_024, 1_460, 16_384, 65_533, 65_535,
    ];
    edges.into_iter().chain((0..20).map(|n| n * 7_919 % 65_536))
}

fn body(size: usize, seed: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 + seed) as u8).collect()
}

fn frames_of_all_sizes_arrive_in_order_in_both_directions_at_once(side: Side) {
    let (_server, engine, client) = side.pair(Options::default());
    let all = || (0..10).flat_map(|round| sizes().map(move |size| body(size, round + size)));
    thread::scope(|scope| {
        for connection in [&*engine, client.connection()] {
            scope.spawn(move || all().for_each(|body| connection.send(body).unwrap()));
            scope.spawn(move || {
                all().for_each(|body| assert!(connection.recv() == Ok(Frame::new(body))));
            });
        }
    });
}

fn two_sides_that_only_write_do_not_wait_for_each_other(side: Side) {
    // More than both sockets' buffers together.
    const FRAMES: usize = 400;
    let (_server, engine, client) = side.pair(Limits::default().queue_bytes(64 << 20));
    thread::scope(|scope| {
        for connection in [&*engine, client.connection()] {
            scope.spawn(move || {
                for n in 0..FRAMES {
                    connection.send(vec![n as u8; 65_535]).unwrap();
                }
                for n in 0..FRAMES {
                    assert!(connection.recv() == Ok(Frame::new(vec![n as u8; 65_535])));
                }
            });
        }
    });
}

fn a_frame_that_is_too_large_is_refused_and_the_connection_lives_on(shell: Shell) {
    let (server, connection, mut peer) = shell.connected(Limits::default().frame_bytes(10));
    let registry = server.registry();
    let large = || Frame::new(vec![0; 11]);
    for sent in [
        connection.send(large()),
        connection.try_send(large()),
        registry.send_frame_to("agent", large()),
        registry.broadcast(&large(), WhenFull::Wait).map(drop),
    ] {
        let Err(SendError::TooLarge(limit)) = sent else {
            panic!("{sent:?}")
        };
        let exceeded = LimitExceeded {
            limit: Limit::FrameBytes,
            actual: 11,
            allowed: 10,
        };
        assert_eq!(limit.exceeded(), exceeded);
    }
    let larger = connection.try_send(vec![0; 70_000]);
    assert!(matches!(larger, Err(SendError::TooLarge(_))), "{larger:?}");
    connection.send(vec![1; 10]).unwrap();
    peer.expect(&[1; 10]);
}

fn a_claimed_length_over_the_limit_ends_only_that_connection(shell: Shell) {
    let (server, connection, mut peer) = shell.connected(Limits::default().frame_bytes(10));
    let mut other = Peer::join(server.address(), "other");
    let to_other = accept(&*server);
    peer.write(b"\x01\0a\x0b\0");
    assert_eq!(connection.recv(), Ok(Frame::new("a")));
    let exceeded = LimitExceeded {
        limit: Limit::FrameBytes,
        actual: 11,
        allowed: 10,
    };
    assert_eq!(connection.end(), CloseReason::ProtocolError(exceeded));
    peer.expect_bye();
    other.write(&frame(b"b"));
    assert_eq!(to_other.recv(), Ok(Frame::new("b")));
}

fn frames_of_many_senders_are_never_mixed(side: Side) {
    const SENDERS: usize = 20;
    const FRAMES: usize = 100;
    let (_server, connection, mut peer) = side.connected(Options::default());
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let connection = &connection;
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
        for _ in 0..SENDERS * FRAMES {
            let body = peer.read().unwrap();
            let n = next.entry(body[0]).or_default();
            assert_eq!(body[1], *n, "the frames of one sender stay in order");
            assert!(body[2..].iter().all(|byte| *byte == body[0]));
            *n += 1;
        }
    });
}

fn several_that_receive_share_the_frames(side: Side) {
    let (_server, connection, mut peer) = side.connected(Options::default());
    let readers = [(); 4].map(|()| {
        let connection = connection.clone();
        let numbers = std::iter::from_fn(move || Some(connection.recv().ok()?.into_bytes()[0]));
        thread::spawn(move || numbers.collect::<Vec<_>>())
    });
    for n in 0..=255 {
        peer.drip(&[n]);
    }
    peer.say(b"BYE");
    let numbers = readers.map(|reader| reader.join().unwrap());
    assert!(numbers.iter().all(|numbers| numbers.is_sorted()));
    let mut all = numbers.concat();
    all.sort_unstable();
    assert_eq!(all, (0..=255).collect::<Vec<_>>());
}

/// A call that has waited writes what it sends itself; what follows may be queued. The order holds.
fn answers_arrive_in_the_order_in_which_they_were_sent(side: Side) {
    let (_server, engine, client) = side.pair(Options::default());
    let echo = thread::spawn(move || {
        while let Ok(frame) = engine.recv() {
            for piece in 0..3_u8 {
                let mut answer = frame.as_ref().to_vec();
                answer.push(piece);
                engine.send(answer).unwrap();
            }
        }
    });
    let here = client.connection();
    for turn in 0..300_u16 {
        let size = if turn % 10 == 0 { 60_000 } else { 2 };
        let mut question = turn.to_be_bytes().to_vec();
        question.resize(size, 0);
        here.send(question.clone()).unwrap();
        for piece in 0..3_u8 {
            let mut expected = question.clone();
            expected.push(piece);
            assert!(here.recv() == Ok(Frame::new(expected)));
        }
    }
    here.bye();
    echo.join().unwrap();
}

fn the_newest_frame_is_given_but_none_is_dropped_that_must_be_kept(side: Side) {
    let (_server, connection, mut peer) = side.connected(Options::default());
    let keep = |frame: &Frame| frame.as_ref().starts_with(b"end");
    for (written, newest) in [
        (&["1", "2", "3"][..], &["3"][..]),
        (&["4", "end 1", "5", "6"], &["end 1", "6"]),
        (&["7", "8", "BYE"], &["8"]),
    ] {
        peer.say_all(written);
        for body in newest {
            assert_eq!(connection.recv_newest(&keep), Ok(Frame::new(*body)));
        }
    }
    assert!(connection.recv_newest(&keep).is_err());
}

fn header_and_body_are_one_write(shell: Shell) {
    let (_server, connection, mut peer) = shell.connected(Options::default());
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

/// As pymasep does it: two writes, Nagle's algorithm on. Rounds would stall for 40 ms beyond what they take with one write,
/// however busy the machine is.
fn a_peer_that_writes_header_and_body_apart_does_not_wait_for_acknowledgements(shell: Shell) {
    let (_server, connection, mut peer) = shell.connected(Options::default());
    peer.stream.set_nodelay(false).unwrap();
    let echo = thread::spawn(move || {
        while let Ok(frame) = connection.recv() {
            connection.send(frame).unwrap();
        }
    });
    let mut times = |pieces: &[&[u8]]| {
        let mut times = [(); 41].map(|()| {
            let start = std::time::Instant::now();
            pieces.iter().for_each(|piece| peer.write(piece));
            peer.expect(&[7; 300]);
            start.elapsed()
        });
        // The kernel acknowledges the first ones at once by itself.
        let behind = &mut times[20..];
        behind.sort_unstable();
        behind[behind.len() / 2]
    };
    let apart = times(&[&[44, 1], &[7; 300]]);
    let whole = times(&[&frame(&[7; 300])]);
    peer.write(&frame(b"BYE"));
    echo.join().unwrap();
    let stall = std::time::Duration::from_millis(35);
    assert!(apart < whole + stall, "{apart:?}, with one write {whole:?}");
}

fn a_connection_that_polls_busily_reads_the_same(side: Side) {
    let hours = std::time::Duration::from_secs(3_600);
    let (_server, connection, mut peer) = side.connected(SocketOptions::default().busy_poll(hours));
    let reader = thread::spawn(move || {
        let mut sizes = Vec::new();
        let reason = loop {
            match connection.recv() {
                Ok(frame) => {
                    connection.send(frame.clone()).unwrap();
                    sizes.push(frame.size());
                }
                Err(reason) => break reason,
            }
        };
        (sizes, reason)
    });
    for size in sizes().take(20) {
        peer.say(&body(size, 1));
        peer.expect(&body(size, 1));
    }
    peer.say(b"BYE");
    let (read, reason) = reader.join().unwrap();
    assert_eq!(read, sizes().take(20).collect::<Vec<_>>());
    assert_eq!(reason, CloseReason::PeerBye);
}
