//! The ends of blocking connections, as their peers are told of them.

mod blocking_peer;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use blocking_peer::{
    Event, Events, Peer, SOON, accept, connected, connected_with, frame, listen, next, recv,
    server, server_with,
};
use masep::blocking::{Client, Connection, Server, SocketHandler};
use masep::{CloseReason, Frame, Limits, SendError, WhenFull};

/// Sends without a wait until the peer's and the own buffers are full.
fn fill(connection: &Connection) -> usize {
    (0..)
        .take_while(|_| connection.try_send(vec![7; 60_000]).is_ok())
        .count()
}

#[test]
fn a_bye_of_the_peer_ends_the_connection_and_closes_the_socket() {
    let (server, connection, mut peer) = connected();
    peer.write(b"\x04\0last\x03\0BYE\x05\0never");
    assert!(server.registry().is_connection_registered("agent"));
    assert_eq!(recv(&connection), Ok(Frame::new("last")));
    assert_eq!(connection.close_reason(), None);
    for _ in 0..3 {
        assert!(recv(&connection).is_err());
        assert!(connection.try_recv().is_err());
    }
    assert_eq!(connection.close_reason(), Some(&CloseReason::PeerBye));
    // The handle still lives, the socket does not, and the id is free.
    assert_eq!(peer.read(), None);
    assert!(server.registry().is_empty());
    assert_eq!(
        connection.send("late"),
        Err(SendError::Closed(CloseReason::PeerBye))
    );
    assert_eq!(connection.bye(), CloseReason::PeerBye);
}

#[test]
fn our_bye_comes_after_all_that_was_sent() {
    let (_server, connection, mut peer) = connected();
    let reader = thread::spawn(move || {
        let mut frames = 0;
        loop {
            match peer.read() {
                Some(body) if body == b"BYE" => break,
                Some(body) => assert_eq!(body, vec![7; 60_000]),
                None => panic!("no BYE after {frames} frames"),
            }
            frames += 1;
        }
        assert_eq!(peer.read(), None);
        frames
    });
    let mut sent = fill(&connection);
    for _ in 0..50 {
        connection.send(vec![7; 60_000]).unwrap();
        sent += 1;
    }
    assert_eq!(connection.bye(), CloseReason::LocalBye);
    assert_eq!(connection.bye(), CloseReason::LocalBye);
    assert_eq!(reader.join().unwrap(), sent);
    assert!(matches!(connection.send("late"), Err(SendError::Closed(_))));
}

#[test]
fn our_bye_and_all_before_it_survive_what_the_peer_still_sends() {
    // Bytes that nobody reads make the kernel answer a close with a reset, which drops what has
    // not been sent.
    for _ in 0..10 {
        let (_server, connection, mut peer) = connected();
        let sent = fill(&connection);
        let mut writing = Peer::of(peer.stream.try_clone().unwrap());
        let writer = thread::spawn(move || {
            use std::io::Write;
            while writing.stream.write_all(&frame(&[1; 1_000])).is_ok() {}
        });
        let reader = thread::spawn(move || {
            let mut frames = 0;
            while peer.read().unwrap() != b"BYE" {
                frames += 1;
            }
            frames
        });
        assert_eq!(connection.bye(), CloseReason::LocalBye);
        assert_eq!(reader.join().unwrap(), sent);
        writer.join().unwrap();
    }
}

#[test]
fn a_bye_wakes_up_the_threads_that_receive() {
    let (_server, connection, mut peer) = connected();
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let connection = connection.clone();
            thread::spawn(move || connection.recv())
        })
        .collect();
    // One of them is certain to be in its system call when it has taken a frame before.
    peer.write(&frame(b"a"));
    assert_eq!(connection.send(Frame::BYE), Ok(()));
    let mut got: Vec<_> = readers
        .into_iter()
        .map(|reader| reader.join().unwrap())
        .collect();
    got.sort_by_key(Result::is_ok);
    assert_eq!(
        got[..2],
        [Err(CloseReason::LocalBye), Err(CloseReason::LocalBye)]
    );
    peer.expect_bye();
}

#[test]
fn a_peer_that_takes_nothing_is_cut_off_by_bye() {
    let limits = Limits::default().write_time(Duration::from_millis(50));
    let (_server, connection, mut peer) = connected_with(limits);
    fill(&connection);
    assert_eq!(connection.bye(), CloseReason::WriteTimeout);
    // Cut off with a reset: after a mere end of stream pymasep would spin for ever.
    let mut rest = Vec::new();
    let error = std::io::Read::read_to_end(&mut peer.stream, &mut rest).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_peer_that_closes_without_bye_is_an_end_of_stream() {
    for (sent, mid_frame) in [(&b""[..], false), (b"\x05\0ab", true), (b"\x05", true)] {
        let (_server, connection, mut peer) = connected();
        peer.write(sent);
        peer.close_sending_side();
        assert!(recv(&connection).is_err());
        let reason = CloseReason::EndOfStream { mid_frame };
        assert_eq!(connection.close_reason(), Some(&reason));
        // A peer that only closed the sending side is still told.
        peer.expect_bye();
    }
}

#[test]
fn a_reset_is_told_apart() {
    let (_server, connection, peer) = connected();
    peer.reset();
    assert!(recv(&connection).is_err());
    assert_eq!(connection.close_reason(), Some(&CloseReason::Reset));
}

#[test]
fn what_arrived_before_a_bye_is_kept_though_writing_failed() {
    let (_server, connection, mut peer) = connected();
    // The peer says its last words and is gone; we are still sending to it.
    peer.write(b"\x04\0last\x03\0BYE");
    drop(peer);
    let error = loop {
        if let Err(error) = connection.send(vec![0; 60_000]) {
            break error;
        }
    };
    assert_eq!(error, SendError::Closed(CloseReason::PeerBye));
    assert_eq!(recv(&connection), Ok(Frame::new("last")));
    assert!(recv(&connection).is_err());
    assert_eq!(connection.close_reason(), Some(&CloseReason::PeerBye));
}

#[test]
fn a_peer_that_says_bye_and_reads_no_more_ends_a_send_that_waits() {
    // As pymasep does it: its socket stays open. Nobody else receives.
    let (_server, connection, mut peer) = connected();
    fill(&connection);
    peer.write(&frame(b"BYE"));
    let error = loop {
        if let Err(error) = connection.send(vec![7; 60_000]) {
            break error;
        }
    };
    assert_eq!(error, SendError::Closed(CloseReason::PeerBye));
}

#[test]
fn silence_ends_a_connection_only_where_a_limit_says_so() {
    let idle_time = Duration::from_millis(50);
    let (_server, connection, mut peer) =
        connected_with(Limits::default().idle_time(Some(idle_time)));
    let start = Instant::now();
    peer.write(b"\x01\0");
    assert!(recv(&connection).is_err());
    assert!(start.elapsed() >= idle_time);
    assert_eq!(connection.close_reason(), Some(&CloseReason::IdleTimeout));
    peer.expect_bye();
}

#[test]
fn silence_is_noticed_also_by_calls_that_do_not_wait() {
    let limits = Limits::default().idle_time(Some(Duration::from_millis(20)));
    let (_server, connection, _peer) = connected_with(limits);
    while connection.close_reason().is_none() {
        assert!(connection.try_recv().is_err());
        thread::yield_now();
    }
    assert_eq!(connection.close_reason(), Some(&CloseReason::IdleTimeout));
}

#[test]
fn a_peer_that_never_reads_is_ended_and_holds_up_nobody() {
    let server = server_with(Limits::default().write_time(Duration::from_millis(100)));
    let _deaf = Peer::join(server.local_address(), "deaf");
    let to_deaf = accept(&server);
    let mut good = Peer::join(server.local_address(), "good");
    let _to_good = accept(&server);
    fill(&to_deaf);

    let without_room = server.registry().try_broadcast(&Frame::new("1")).unwrap();
    assert_eq!(without_room[0].peer().as_str(), "deaf");
    assert_eq!(good.read().as_deref(), Some(&b"1"[..]));
    // Waits for the deaf one in the end, but not before the good one has the frame.
    let registry = server.registry().clone();
    let broadcasts = thread::spawn(move || {
        let large = Frame::new(vec![7; 60_000]);
        let both = |sent: &usize| *sent == 2;
        let with_deaf =
            std::iter::repeat_with(|| registry.broadcast(&large, WhenFull::Wait).unwrap());
        with_deaf.take_while(both).count() + 1
    });
    for _ in 0..broadcasts.join().unwrap() {
        assert_eq!(good.read(), Some(vec![7; 60_000]));
    }
    assert_eq!(to_deaf.close_reason(), Some(&CloseReason::WriteTimeout));
    assert!(!server.registry().is_connection_registered("deaf"));
    server.registry().send_frame_to("good", "3").unwrap();
    assert_eq!(good.read().as_deref(), Some(&b"3"[..]));
    assert_eq!(
        server.registry().send_frame_to("deaf", "3"),
        Err(SendError::UnknownPeer("deaf".into()))
    );
}

#[test]
fn a_peer_that_reads_slowly_but_reads_is_not_ended() {
    // A socket counts as writable again when a third of its buffer is free. This peer takes
    // longer for that than the write_time, but takes something all the time.
    let limits = Limits::default().write_time(Duration::from_millis(1_200));
    let server = server_with(limits);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket
        .connect(&server.local_address().tcp().unwrap().into())
        .unwrap();
    let mut peer = Peer::of(socket.into());
    peer.write(&frame(b"slow"));
    assert_eq!(peer.read().as_deref(), Some(&b"engine"[..]));
    let connection = accept(&server);
    fill(&connection);
    let (done, sent) = mpsc::channel();
    thread::spawn(move || {
        for _ in 0..20 {
            done.send(connection.send(vec![7; 60_000])).unwrap();
        }
        connection
    });
    let mut results = Vec::new();
    while results.len() < 20 {
        match sent.recv_timeout(Duration::from_millis(150)) {
            Ok(result) => results.push(result),
            Err(_) => assert_eq!(peer.read(), Some(vec![7; 60_000])),
        }
    }
    assert_eq!(results, vec![Ok(()); 20]);
}

#[test]
fn the_last_handle_says_bye_when_it_is_dropped() {
    let (server, connection, mut peer) = connected();
    let clone = connection.clone();
    drop(connection);
    clone.send("still here").unwrap();
    assert_eq!(peer.read().as_deref(), Some(&b"still here"[..]));
    assert!(server.registry().is_connection_registered("agent"));
    drop(clone);
    assert!(!server.registry().is_connection_registered("agent"));
    peer.expect_bye();
}

#[test]
fn a_handle_that_is_dropped_with_a_full_socket_does_not_block_and_still_says_bye() {
    let (_server, connection, mut peer) = connected();
    let frames = fill(&connection);
    // Were this to wait for room, it would wait in vain and cut the peer off.
    drop(connection);
    for _ in 0..frames {
        assert_eq!(peer.read(), Some(vec![7; 60_000]));
    }
    peer.expect_bye();
}

#[test]
fn dropping_a_server_or_a_client_says_bye() {
    let (server, connection, mut peer) = connected();
    let mut waiting = Peer::join(server.local_address(), "not yet accepted");
    let address = server.local_address().tcp().unwrap();
    drop(server);
    peer.expect_bye();
    waiting.expect_bye();
    assert!(connection.recv().is_err());
    assert_eq!(connection.close_reason(), Some(&CloseReason::Shutdown));
    assert!(std::net::TcpStream::connect(address).is_err());

    let (listener, address) = listen();
    let connecting = thread::spawn(move || Client::builder("agent").connect(address));
    let mut there = Peer::of(listener.accept().unwrap().0);
    assert_eq!(there.read().as_deref(), Some(&b"agent"[..]));
    there.write(&frame(b"engine"));
    let client = connecting.join().unwrap().unwrap();
    assert_eq!(client.server_id().as_str(), "engine");
    client.connection().send("last").unwrap();
    drop(client);
    assert_eq!(there.read().as_deref(), Some(&b"last"[..]));
    there.expect_bye();
}

#[test]
fn a_shutdown_delivers_what_is_unsent_and_says_who_was_cut() {
    let server = server();
    let address = server.local_address().tcp().unwrap();
    let mut good = Peer::join(address, "good");
    let to_good = accept(&server);
    let _deaf = Peer::join(address, "deaf");
    let to_deaf = accept(&server);
    fill(&to_deaf);
    let mut slow = Peer::join(address, "slow");
    let to_slow = accept(&server);
    let frames = fill(&to_slow);
    to_good.send("one").unwrap();
    let slow = thread::spawn(move || {
        for _ in 0..frames {
            assert_eq!(slow.read(), Some(vec![7; 60_000]));
        }
        slow.expect_bye();
    });
    let deadline = Duration::from_millis(1_500);
    let start = Instant::now();
    let mut report = server.shutdown(deadline);
    assert!(start.elapsed() >= deadline);
    assert!(start.elapsed() < SOON);
    report.ended.sort();
    assert_eq!(report.ended, ["good".into(), "slow".into()]);
    assert_eq!(report.cut, ["deaf".into()]);
    slow.join().unwrap();
    assert_eq!(good.read().as_deref(), Some(&b"one"[..]));
    good.expect_bye();
    assert_eq!(to_good.close_reason(), Some(&CloseReason::Shutdown));
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_shutdown_of_a_server_whose_peers_read_does_not_take_the_deadline() {
    let (handler, events) = Events::new();
    let server = Server::builder("engine")
        .handler(handler)
        .bind("127.0.0.1:0")
        .unwrap();
    let mut peer = Peer::join(server.local_address(), "agent");
    assert!(matches!(next(&events), Event::Connected(_)));
    let report = server.shutdown(Duration::MAX);
    assert_eq!(report.ended, ["agent".into()]);
    peer.expect_bye();
    // The handler was told before the shut-down returned.
    let Ok(Event::Closed(connection, CloseReason::Shutdown)) = events.try_recv() else {
        panic!("the handler was not told");
    };
    assert_eq!(connection.closed(), CloseReason::Shutdown);
}

struct Panics;

impl SocketHandler for Panics {
    fn on_receive(&self, connection: &Connection, frame: Frame) {
        assert_ne!(frame.bytes(), "panic", "as told by the peer");
        let _ = connection.send(frame);
    }
}

#[test]
fn a_handler_that_panics_ends_its_connection_only() {
    let server = Server::builder("engine")
        .handler(Panics)
        .bind("127.0.0.1:0")
        .unwrap();
    let mut bad = Peer::join(server.local_address(), "bad");
    let mut good = Peer::join(server.local_address(), "good");
    let to_bad = server.registry().get_connection("bad").unwrap();
    bad.write(&frame(b"panic"));
    bad.expect_bye();
    assert_eq!(to_bad.closed(), CloseReason::Aborted);
    good.write(&frame(b"hi"));
    assert_eq!(good.read().as_deref(), Some(&b"hi"[..]));
}

#[test]
fn a_handler_is_told_everything_in_order_on_both_sides() {
    let (handler, engine) = Events::new();
    let server = Server::builder("engine")
        .handler(handler)
        .bind("127.0.0.1:0")
        .unwrap();
    let (handler, agent) = Events::new();
    let client = Client::builder("agent")
        .handler(handler)
        .connect(server.local_address())
        .unwrap();
    let Event::Connected(connection) = next(&engine) else {
        panic!("connect comes first");
    };
    assert_eq!(connection.peer().as_str(), "agent");
    for n in 0..100u8 {
        client.connection().send(vec![n]).unwrap();
        connection.send(vec![n]).unwrap();
    }
    assert!(matches!(next(&agent), Event::Connected(_)));
    for events in [&engine, &agent] {
        for n in 0..100u8 {
            match next(events) {
                Event::Received(_, frame) => assert_eq!(frame.as_ref(), [n]),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(client.connection().bye(), CloseReason::LocalBye);
    assert!(matches!(
        next(&engine),
        Event::Closed(_, CloseReason::PeerBye)
    ));
    assert!(matches!(
        next(&agent),
        Event::Closed(_, CloseReason::LocalBye)
    ));
}

#[test]
fn a_shutdown_lists_nobody_who_has_left() {
    let server = server();
    let mut unread = Peer::join(server.local_address(), "unread");
    let connection = accept(&server);
    let mut unaccepted = Peer::join(server.local_address(), "unaccepted");
    unaccepted.write(&frame(b"BYE"));
    unread.write(b"\x04\0last\x03\0BYE");
    let mut stays = Peer::join(server.local_address(), "stays");
    let report = server.shutdown(SOON);
    assert_eq!(report.ended, ["stays".into()]);
    assert_eq!(report.cut, []);
    stays.expect_bye();
    assert_eq!(recv(&connection), Ok(Frame::new("last")));
    assert!(recv(&connection).is_err());
    assert_eq!(connection.close_reason(), Some(&CloseReason::PeerBye));
}
