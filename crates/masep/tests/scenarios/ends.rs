//! Every connection ends with one known reason, and the peer is told.

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use masep::{CloseReason, Frame, Limits, SendError, WhenFull};

use crate::shells::{
    Client, Options, Peer, SOON, Shell, Side, accept, fill, frame, nobody, of_each_network,
    of_each_shell, until,
};

of_each_network! {
    a_bye_of_the_peer_ends_the_connection_and_closes_the_socket
    our_bye_comes_after_all_that_was_sent
    a_bye_wakes_up_all_that_receive
    what_arrived_before_a_bye_is_kept_though_writing_failed
    a_peer_that_says_bye_and_reads_no_more_ends_a_send_that_waits
    silence_is_noticed_also_by_calls_that_do_not_wait
    a_peer_that_never_reads_is_ended_and_holds_up_nobody
    a_peer_that_does_not_end_its_side_is_reset_after_a_while
    a_thread_that_has_a_connection_of_its_own_ends_it
    ; with resets:
    a_peer_that_takes_nothing_is_cut_off_with_a_reset
    a_reset_is_told_apart
}

of_each_shell! {
    our_bye_and_all_before_it_survive_what_the_peer_still_sends
    a_peer_that_closes_without_bye_is_an_end_of_stream
    a_peer_that_reads_slowly_but_reads_is_not_ended
    dropping_a_server_says_bye_to_all
}

fn a_bye_of_the_peer_ends_the_connection_and_closes_the_socket(side: Side) {
    let (server, connection, mut peer) = side.connected(Options::default());
    assert!(server.registry().is_connection_registered("agent"));
    peer.say_all(["last", "BYE", "never"]);
    assert_eq!(connection.recv(), Ok(Frame::new("last")));
    for _ in 0..3 {
        assert_eq!(connection.end(), CloseReason::PeerBye);
        assert!(connection.try_recv().is_err());
    }
    assert_eq!(connection.closed(), CloseReason::PeerBye);
    assert_eq!(connection.close_reason(), Some(CloseReason::PeerBye));
    // The handle still lives, the socket does not, no BYE is sent back, and the id is free.
    peer.expect_end();
    assert_eq!(server.registry().len(), 0);
    let late = connection.send("late");
    assert_eq!(late, Err(SendError::Closed(CloseReason::PeerBye)));
    assert_eq!(connection.bye(), CloseReason::PeerBye);
}

fn our_bye_comes_after_all_that_was_sent(side: Side) {
    let (_server, connection, mut peer) = side.connected(Options::default());
    let (tell_filled, filled) = mpsc::channel();
    let reader = thread::spawn(move || {
        for n in 0..500_u16 {
            peer.expect(n.to_string().as_bytes());
        }
        // One that kept pace would be sent frames without end.
        filled.recv_timeout(SOON).unwrap();
        let mut frames = 0;
        while let Some(body) = peer.read().filter(|body| body != b"BYE") {
            assert_eq!(body, vec![7; 60_000]);
            frames += 1;
        }
        peer.expect_end();
        frames
    });
    for n in 0..500_u16 {
        connection.send(n.to_string()).unwrap();
    }
    let mut sent = fill(&*connection);
    tell_filled.send(()).unwrap();
    for _ in 0..50 {
        connection.send(vec![7; 60_000]).unwrap();
        sent += 1;
    }
    for _ in 0..2 {
        assert_eq!(connection.bye(), CloseReason::LocalBye);
    }
    assert_eq!(reader.join().unwrap(), sent);
    assert!(matches!(connection.send("late"), Err(SendError::Closed(_))));
}

/// Bytes that nobody reads make the kernel answer a close with a reset, which drops what has not been sent.
fn our_bye_and_all_before_it_survive_what_the_peer_still_sends(shell: Shell) {
    for _ in 0..3 {
        let (_server, connection, mut peer) = shell.connected(Options::default());
        let sent = fill(&*connection);
        let mut writing = Peer::of(peer.stream.try_clone().unwrap());
        let writer =
            thread::spawn(move || while writing.stream.write_all(&frame(&[1; 1_000])).is_ok() {});
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

fn a_bye_wakes_up_all_that_receive(side: Side) {
    let (_server, connection, mut peer) = side.connected(Options::default());
    let readers = [0, 1, 2].map(|_| {
        let connection = connection.clone();
        thread::spawn(move || connection.recv())
    });
    // One of them is certain to wait when it has taken a frame.
    peer.say(b"a");
    while !readers.iter().any(thread::JoinHandle::is_finished) {
        thread::yield_now();
    }
    assert_eq!(connection.send(Frame::BYE), Ok(()));
    let mut got = readers.map(|reader| reader.join().unwrap());
    got.sort_by_key(Result::is_ok);
    let ended = || Err(CloseReason::LocalBye);
    assert_eq!(got, [ended(), ended(), Ok(Frame::new("a"))]);
    peer.expect_bye();
}

/// At a mere end of the stream, when it reads on one day, pymasep would spin for ever.
fn a_peer_that_takes_nothing_is_cut_off_with_a_reset(side: Side) {
    let limits = Limits::default().write_time(Duration::from_millis(50));
    let (_server, connection, mut peer) = side.connected(limits);
    fill(&*connection);
    assert_eq!(connection.bye(), CloseReason::WriteTimeout);
    let rest = peer.try_rest().map(|rest| rest.len());
    assert_eq!(rest, Err(ErrorKind::ConnectionReset));
}

fn a_peer_that_closes_without_bye_is_an_end_of_stream(shell: Shell) {
    for (sent, mid_frame) in [(&b""[..], false), (b"\x05\0ab", true), (b"\x05", true)] {
        let (_server, connection, mut peer) = shell.connected(Options::default());
        peer.write(sent);
        drop(peer);
        assert_eq!(connection.end(), CloseReason::EndOfStream { mid_frame });
    }
}

fn a_reset_is_told_apart(side: Side) {
    let (_server, connection, peer) = side.connected(Options::default());
    peer.reset();
    assert_eq!(connection.end(), CloseReason::Reset);
}

fn what_arrived_before_a_bye_is_kept_though_writing_failed(side: Side) {
    let (_server, connection, mut peer) = side.connected(Options::default());
    // The peer says its last words and is gone; we are still sending to it.
    peer.say_all(["last", "BYE"]);
    drop(peer);
    let sent = (0..).find_map(|_| connection.send(vec![0; 60_000]).err());
    let reasons: &[_] = match side.shell {
        Shell::Blocking => &[CloseReason::PeerBye],
        // A task may tell what it knows when the write fails.
        Shell::Async => &[CloseReason::PeerBye, CloseReason::Reset],
    };
    assert!(matches!(&sent, Some(SendError::Closed(reason)) if reasons.contains(reason)));
    assert_eq!(connection.recv(), Ok(Frame::new("last")));
    assert_eq!(connection.end(), CloseReason::PeerBye);
}

/// As pymasep does it: its socket stays open. Nobody else receives.
fn a_peer_that_says_bye_and_reads_no_more_ends_a_send_that_waits(side: Side) {
    let (_server, connection, mut peer) = side.connected(Options::default());
    fill(&*connection);
    peer.say(b"BYE");
    let sent = (0..).find_map(|_| connection.send(vec![7; 60_000]).err());
    assert_eq!(sent, Some(SendError::Closed(CloseReason::PeerBye)));
}

fn silence_is_noticed_also_by_calls_that_do_not_wait(side: Side) {
    let limits = Limits::default().idle_time(Some(Duration::from_millis(20)));
    let (_server, connection, _peer) = side.connected(limits);
    while connection.close_reason().is_none() {
        assert!(connection.try_recv().is_err());
        thread::yield_now();
    }
    assert_eq!(connection.close_reason(), Some(CloseReason::IdleTimeout));
}

fn a_peer_that_never_reads_is_ended_and_holds_up_nobody(side: Side) {
    let server = side.serve(Limits::default().write_time(Duration::from_secs(2)));
    let registry = server.registry();
    let _deaf = server.agent("deaf");
    let to_deaf = accept(&*server);
    let good = RefCell::new(server.agent("good"));
    let _to_good = accept(&*server);
    let large = Frame::new(vec![7; 60_000]);
    until(|| {
        // With async, what was queued may still go to the socket. Where a large frame has no room, a small one may have.
        fill(&*to_deaf);
        while to_deaf.try_send("1").is_ok() {}
        let without_room = registry.try_broadcast(&"1".into()).unwrap();
        good.borrow_mut().expect(b"1");
        without_room == ["deaf"]
    });
    let mut good = good.into_inner();
    // Waits for the deaf one in the end, but not before the good one has the frame.
    thread::scope(|scope| {
        let broadcasts = scope.spawn(|| {
            let broadcast = || registry.broadcast(&large, WhenFull::Wait).unwrap();
            let with_deaf = std::iter::repeat_with(broadcast);
            with_deaf.take_while(|sent| *sent == 2).count() + 1
        });
        good.expect(large.as_ref());
        for _ in 1..broadcasts.join().unwrap() {
            good.expect(large.as_ref());
        }
    });
    assert_eq!(to_deaf.end(), CloseReason::WriteTimeout);
    until(|| !registry.is_connection_registered("deaf"));
    registry.send_frame_to("good", "3".into()).unwrap();
    good.expect(b"3");
    let unknown = Err(SendError::UnknownPeer("deaf".into()));
    assert_eq!(registry.send_frame_to("deaf", "3".into()), unknown);
}

/// A socket counts as writable again when a third of its buffer is free. This peer takes longer for that than the
/// `write_time`, but takes something all the time.
fn a_peer_that_reads_slowly_but_reads_is_not_ended(shell: Shell) {
    let server = shell.serve(Limits::default().write_time(Duration::from_millis(1_200)));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let address = server.address().tcp().unwrap();
    socket.connect(&address.into()).unwrap();
    let mut peer = Peer::of(socket.into());
    peer.write(&frame(b"slow"));
    peer.expect(b"engine");
    let connection = accept(&*server);
    fill(&*connection);
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
            Err(_) => peer.expect(&[7; 60_000]),
        }
    }
    assert_eq!(results, vec![Ok(()); 20]);
}

fn a_peer_that_does_not_end_its_side_is_reset_after_a_while(side: Side) {
    let (_server, connection, mut peer) = side.connected(Options::default());
    assert_eq!(connection.bye(), CloseReason::LocalBye);
    peer.expect_bye();
    // It goes on sending.
    peer.say_until_it_fails(b"more");
}

fn dropping_a_server_says_bye_to_all(shell: Shell) {
    // Nobody else is given the address when the server does not listen there any more.
    let (_port, address) = nobody();
    let server = shell.bind(address, Options::default()).unwrap();
    let mut peer = Peer::join(address, "agent");
    let connection = accept(&*server);
    let mut waiting = Peer::join(address, "not yet accepted");
    drop(server);
    peer.expect_bye();
    waiting.expect_bye();
    assert_eq!(connection.end(), CloseReason::Shutdown);
    // A task has the listener, and is told to end.
    while std::net::TcpStream::connect(address).is_ok() {
        thread::yield_now();
    }
}

/// A value of a thread that is dropped after those that the library has there.
struct OfThread(Box<dyn Client>, Shell);

impl Drop for OfThread {
    fn drop(&mut self) {
        let connection = self.0.connection();
        assert_eq!(connection.try_send("last"), Ok(()));
        if self.1 == Shell::Blocking {
            assert_eq!(connection.recv(), Ok(Frame::new("answer")));
        }
    }
}

fn a_thread_that_has_a_connection_of_its_own_ends_it(side: Side) {
    thread_local! {
        static OWN: RefCell<Option<OfThread>> = const { RefCell::new(None) };
    }
    let server = side.serve(Options::default());
    thread::scope(|scope| {
        scope.spawn(|| {
            OWN.with_borrow_mut(|own| assert!(own.is_none(), "is to be dropped from here on"));
            let client = side.join("agent", &server);
            client.connection().try_send("first").unwrap();
            assert_eq!(client.connection().recv(), Ok(Frame::new("hi")));
            OWN.set(Some(OfThread(client, side.shell)));
        });
        let connection = accept(&*server);
        connection.send("hi").unwrap();
        assert_eq!(connection.recv(), Ok(Frame::new("first")));
        assert_eq!(connection.recv(), Ok(Frame::new("last")));
        if side.shell == Shell::Blocking {
            connection.send("answer").unwrap();
        }
        assert_eq!(connection.end(), CloseReason::PeerBye);
    });
}
