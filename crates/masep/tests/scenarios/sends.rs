//! Sends that meet an end, a full socket, or a peer that wants them to cost much.

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use masep::{CloseReason, Duplicates, Frame, Limits, SendError, WhenFull};

use crate::shells::{
    Options, Peer, SOON, Shell, Side, accept, fill, frame, of_each_network, of_each_shell,
};

of_each_network! {
    what_was_accepted_arrives_whole_whatever_is_waited_for_then
    receiving_sends_the_rest_of_a_frame_that_did_not_fit
    a_socket_without_room_takes_nothing_and_what_it_took_in_part_goes_out_whole
    what_try_send_left_is_under_the_bound_for_writing
    a_send_that_fails_while_this_side_ends_the_connection_returns
    a_send_that_waits_returns_at_once_when_another_ends_the_connection
    a_frame_for_everybody_is_sent_as_a_whole
}

of_each_shell! {
    a_peer_that_stalls_comes_back_and_resets_the_first_connection_ends_all_sends_to_it
    a_peer_that_takes_nothing_is_cut_off_though_it_sends_without_pause
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Recv,
    RecvNewest,
    Closed,
    /// In no call at all.
    Elsewhere,
}

fn what_was_accepted_arrives_whole_whatever_is_waited_for_then(side: Side) {
    for way in [Way::Recv, Way::RecvNewest, Way::Closed, Way::Elsewhere] {
        let (_server, connection, mut peer) = side.connected(Options::default());
        let (begins, begun) = mpsc::channel();
        thread::scope(|scope| {
            // Waits before there is anything to send, and so perhaps in the system.
            scope.spawn(|| {
                begins.send(()).unwrap();
                match way {
                    Way::Recv => drop(connection.recv()),
                    Way::RecvNewest => drop(connection.recv_newest(&|_| true)),
                    Way::Closed => drop(connection.closed()),
                    Way::Elsewhere => {}
                }
            });
            begun.recv().unwrap();
            let frames = (0..)
                .map(|n| Frame::new(vec![n as u8; 60_000 + n]))
                .take_while(|frame| connection.try_send(frame.clone()).is_ok())
                .count();
            assert!(frames > 0);
            for n in 0..frames {
                peer.expect(&vec![n as u8; 60_000 + n]);
            }
            peer.say(b"thanks");
            connection.bye();
        });
    }
}

/// The peer answers when it has everything. Without the rest both would wait for ever.
fn receiving_sends_the_rest_of_a_frame_that_did_not_fit(side: Side) {
    let (_server, connection, mut peer) = side.connected(Options::default());
    let taken = fill(&*connection);
    let reader = thread::spawn(move || {
        peer.expect_filling(taken);
        peer.say(b"all");
        peer
    });
    assert_eq!(connection.recv(), Ok(Frame::new("all")));
    reader.join().unwrap();
}

fn a_socket_without_room_takes_nothing_and_what_it_took_in_part_goes_out_whole(side: Side) {
    for size in [65_535, 10_007, 100] {
        let (_server, connection, mut peer) = side.connected(Options::default());
        let bodies = move || (0..).map(move |n: usize| vec![n as u8; size]);
        let full = |body| connection.try_send(body).err();
        let (mut taken, mut refused) = (0, None);
        for body in bodies() {
            refused = full(body);
            if refused.is_some() {
                break;
            }
            taken += 1;
        }
        assert!(matches!(refused, Some(SendError::Full(_))), "{refused:?}");
        let reader = thread::spawn(move || {
            for body in bodies().take(taken) {
                peer.expect(&body);
            }
            peer.expect(b"last");
            peer.expect_bye();
        });
        connection.send("last").unwrap();
        assert_eq!(connection.bye(), CloseReason::LocalBye);
        reader.join().unwrap();
    }
}

fn what_try_send_left_is_under_the_bound_for_writing(side: Side) {
    let limits = Limits::default().write_time(Duration::from_millis(50));
    let (_server, connection, _peer) = side.connected(limits);
    // Nobody sends any more, and nobody receives. The queue is full, so that a part of a frame is left.
    fill(&*connection);
    assert_eq!(connection.closed(), CloseReason::WriteTimeout);
}

/// A reset makes the write fail; the connection is ended here before what is left to be read was
/// looked at for the reason.
fn a_write_fails_while_this_side_ends_the_connection(side: Side, without_wait: bool) {
    let (_server, connection, mut peer) = side.connected(Options::default());
    let (holds, held) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let reader = connection.clone();
    let reader = thread::spawn(move || {
        // Keeps others from reading until it is released.
        reader.recv_newest(&|_| {
            holds.send(()).unwrap();
            released.recv().unwrap();
            true
        })
    });
    peer.say(b"hold");
    held.recv_timeout(SOON).unwrap();
    peer.reset();

    let (tells, told) = mpsc::channel();
    let sender = connection.clone();
    thread::spawn(move || {
        tells.send(None).unwrap();
        let send = |_| match without_wait {
            true => sender.try_send("x").err(),
            false => sender.send("x").err(),
        };
        // The reset may still be on its way.
        tells.send((0..).find_map(send)).unwrap();
    });
    assert_eq!(told.recv_timeout(SOON), Ok(None));
    thread::scope(|scope| {
        // In most rounds the write has failed by now, and waits to look for the reason.
        scope.spawn(|| connection.bye());
        let in_time = told.recv_timeout(Duration::from_millis(10));
        release.send(()).unwrap();
        let error = in_time.or_else(|_| told.recv_timeout(SOON));
        let error = error.expect("the send returns");
        assert!(
            matches!(error, Some(SendError::Closed(_) | SendError::Full(_))),
            "{error:?}"
        );
    });
    assert_eq!(reader.join().unwrap(), Ok(Frame::new("hold")));
}

fn a_send_that_fails_while_this_side_ends_the_connection_returns(side: Side) {
    for _ in 0..10 {
        a_write_fails_while_this_side_ends_the_connection(side, false);
        a_write_fails_while_this_side_ends_the_connection(side, true);
    }
}

/// The socket has no room, and what was sent is delivered in the background for a while.
fn a_send_that_waits_returns_at_once_when_another_ends_the_connection(side: Side) {
    let (_server, connection, mut peer) = side.connected(Options::default());
    let mut frames = fill(&*connection);
    thread::scope(|scope| {
        let (sends, sent) = mpsc::channel();
        let connection = &connection;
        scope.spawn(move || {
            // The first of them may find room by now.
            loop {
                let outcome = connection.send(vec![7; 60_000]);
                let ended = outcome.is_err();
                sends.send(outcome).unwrap();
                if ended {
                    break;
                }
            }
        });
        while sent.recv_timeout(Duration::from_millis(100)).is_ok() {
            frames += 1;
        }
        connection.try_send(Frame::BYE).unwrap();
        let ended = loop {
            match sent.recv_timeout(SOON).unwrap() {
                // A busy machine had it find the room after that time.
                Ok(()) => frames += 1,
                Err(ended) => break ended,
            }
        };
        assert_eq!(ended, SendError::Closed(CloseReason::LocalBye));
        peer.expect_filling(frames);
        peer.expect_bye();
    });
}

fn a_peer_that_stalls_comes_back_and_resets_the_first_connection_ends_all_sends_to_it(
    shell: Shell,
) {
    let server = shell.serve(Duplicates::Replace);
    for _ in 0..50 {
        let old = Peer::join(server.address(), "agent");
        let connection = accept(&*server);
        fill(&*connection);
        let sends = [(); 2].map(|()| {
            let connection = connection.clone();
            let (done, sent) = mpsc::channel();
            thread::spawn(move || {
                while connection.send(vec![7; 60_000]).is_ok() {}
                done.send(()).unwrap();
            });
            sent
        });
        let mut new = Peer::connect(server.address());
        new.write(&frame(b"agent"));
        old.reset();
        for sent in sends {
            sent.recv_timeout(SOON).expect("the send returns");
        }
        new.expect(b"engine");
        assert_eq!(accept(&*server).peer(), "agent");
    }
}

fn a_peer_that_takes_nothing_is_cut_off_though_it_sends_without_pause(shell: Shell) {
    let limits = Limits::default().write_time(Duration::from_millis(100));
    let (_server, connection, mut peer) = shell.connected(limits);
    fill(&*connection);
    let sending = thread::spawn(move || (0..).find_map(|_| connection.send(vec![7; 60_000]).err()));
    let mut sent = 0;
    while !sending.is_finished() {
        // Fails at the end.
        let _ = peer.stream.write_all(b"\0\0");
        sent += 2;
        assert!(sent < 4 << 20, "it was ended because of what it sent");
        thread::yield_now();
    }
    let error = sending.join().unwrap();
    assert_eq!(error, Some(SendError::Closed(CloseReason::WriteTimeout)));
}

fn a_frame_for_everybody_is_sent_as_a_whole(side: Side) {
    for count in [1, 3] {
        let server = side.serve(Options::default());
        let mut peers: Vec<_> = (0..count)
            .map(|n| {
                let peer = server.agent(&n.to_string());
                peer.take_little();
                let connection = accept(&*server);
                // Waits, in the system, before there is anything to send.
                let waiting = connection.clone();
                thread::spawn(move || waiting.recv());
                (peer, connection)
            })
            .collect();
        for way in 0..40 {
            let body = vec![way; 60_000];
            let large = Frame::new(body.clone());
            thread::scope(|scope| {
                let registry = server.registry();
                let sending = scope.spawn(move || match way % 2 {
                    0 => registry.broadcast(&large, WhenFull::Wait).unwrap(),
                    _ => registry.len() - registry.try_broadcast(&large).unwrap().len(),
                });
                for (peer, _) in &mut peers {
                    peer.expect(&body);
                }
                assert_eq!(sending.join().unwrap(), count);
            });
        }
        for (_, connection) in peers {
            connection.bye();
        }
    }
}

/// A sender that waits reads too: the blocking library alone has that in the caller's thread.
#[cfg(target_os = "linux")]
mod cost_of_tiny_reads {
    use super::*;
    use masep::blocking::{Connection, Server};
    use nix::errno::Errno;
    use nix::sys::socket::MsgFlags;
    use std::os::fd::AsRawFd;

    /// Until somebody has read all that the peer sent.
    fn wait_until_read(connection: &Connection) {
        let socket = connection.socket().unwrap();
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        while nix::sys::socket::recv(socket.as_raw_fd(), &mut [0], flags) != Err(Errno::EAGAIN) {
            thread::yield_now();
        }
    }

    /// The processor time that this thread has taken.
    fn cpu_time() -> Duration {
        let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        let nanoseconds = statistics.split(' ').next().unwrap();
        Duration::from_nanos(nanoseconds.parse().unwrap())
    }

    /// The CPU time of a send that waits while so many bytes come, and then many reads of a single one.
    fn measure(before: usize) -> Duration {
        let limits = Limits::default().queue_messages(usize::MAX);
        let server = Server::builder("engine").limits(limits);
        let server = server.bind("127.0.0.1:0").unwrap();
        let mut peer = Peer::join(server.local_address(), "agent");
        let connection = server.accept().unwrap();
        while connection.try_send(vec![7; 60_000]).is_ok() {}
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
        assert_eq!(connection.recv(), Ok(Frame::default()));
        connection.bye();
        cpu
    }

    #[test]
    fn a_byte_costs_the_same_whatever_waits() {
        const BUFFERED: usize = 3_900_000;
        let alone = measure(BUFFERED / 300);
        let behind = measure(BUFFERED);
        // To take in so much more takes something itself; to look through it each time took many times that.
        let allowed = 10 * alone + Duration::from_millis(500);
        assert!(behind < allowed, "{behind:?}, alone {alone:?}");
    }
}
