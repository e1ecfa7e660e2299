//! Peers that leave and are back at once with their id, and those that leave before anybody has accepted them.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use masep::{CloseReason, Frame, ServerLimits};

use crate::shells::{
    Act, Connection, Events, Handler, Options, Peer, SOON, Shell, Side, accept, frame, next,
    of_each_network, of_each_shell,
};

of_each_network! {
    frames_before_a_bye_are_kept_when_the_peer_is_back
    each_is_told_to_have_gone_before_it_is_told_to_have_come_again
    connections_that_end_before_they_are_accepted_keep_no_other_from_its_end
    ; with resets:
    a_peer_that_is_told_a_bye_may_come_back_at_once_with_the_same_id
}

of_each_shell! {
    a_peer_that_goes_and_is_back_at_once_is_taken_though_nobody_reads
    a_handler_is_told_of_an_end_before_the_same_id_connects_again
}

/// In how many ways a peer leaves: with a `BYE` and an open socket, as pymasep does it; with a `BYE`; by a
/// crash, of the program or of its host.
const WAYS_TO_LEAVE: usize = 4;

/// The socket, if it stays open.
fn leave(mut peer: Peer, way: usize) -> Option<Peer> {
    match way % WAYS_TO_LEAVE {
        0 => {
            peer.write(&frame(b"BYE"));
            return Some(peer);
        }
        1 => peer.write(&frame(b"BYE")),
        2 => {}
        _ => peer.reset(),
    }
    None
}

fn a_peer_that_goes_and_is_back_at_once_is_taken_though_nobody_reads(shell: Shell) {
    let (server, first, mut peer) = shell.connected(Options::default());
    let address = server.address().tcp().unwrap();
    let (mut held, mut connections) = (Vec::new(), vec![first]);
    for way in 0..200 {
        held.extend(leave(peer, way));
        peer = Peer::join(address, "agent");
        peer.write(&frame(b"hi"));
        // A refused one gets a BYE, and a reset for what it sent.
        let connection = accept(&*server);
        assert_eq!(connection.recv(), Ok(Frame::new("hi")), "way {way}");
        connection.try_send("hi").unwrap();
        peer.expect(b"hi");
        connections.push(connection);
    }
    // One that stays is no such peer.
    Peer::join(address, "agent").expect_bye();
    connections.last().unwrap().try_send("still").unwrap();
    peer.expect(b"still");
}

fn frames_before_a_bye_are_kept_when_the_peer_is_back(side: Side) {
    let (server, old, mut peer) = side.connected(Options::default());
    for n in 0..20_u8 {
        peer.say(&[n; 4_000]);
    }
    peer.say(b"BYE");
    let _new = server.agent("agent");
    let new = accept(&*server);
    for n in 0..20_u8 {
        assert_eq!(old.recv(), Ok(Frame::new(vec![n; 4_000])));
    }
    assert!(old.end().is_peer_bye());
    assert!(old.try_send("late").is_err());
    new.try_send("hi").unwrap();
}

fn each_is_told_to_have_gone_before_it_is_told_to_have_come_again(side: Side) {
    let (handler, events) = Events::new();
    let server = side.serve(Options::default().handler(handler));
    for _ in 0..20 {
        server.agent("agent").say(b"BYE");
    }
    for _ in 0..20 {
        next(&events).connected();
        assert_eq!(next(&events).closed(), CloseReason::PeerBye);
    }
}

/// A handler whose `on_close` takes as long as the test wants.
struct SlowToClose {
    told: mpsc::Sender<&'static str>,
    release: Mutex<mpsc::Receiver<()>>,
}

impl Handler for SlowToClose {
    fn on_connect(&self, _: &dyn Connection) -> Act {
        let _ = self.told.send("connect");
        Act::Return
    }
    fn on_close(&self, _: &dyn Connection, _: &CloseReason) -> Act {
        let _ = self.told.send("closing");
        let _ = self.release.lock().unwrap().recv();
        let _ = self.told.send("closed");
        Act::Return
    }
}

fn a_handler_is_told_of_an_end_before_the_same_id_connects_again(shell: Shell) {
    let (told, events) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let release_when_dropped = release.clone();
    let server = shell.serve(Options::default().handler(SlowToClose {
        told,
        release: Mutex::new(released),
    }));
    let mut old = Peer::join(server.address(), "agent");
    old.write(&frame(b"BYE"));
    old.expect_end();
    for expected in ["connect", "closing"] {
        assert_eq!(events.recv_timeout(SOON), Ok(expected));
    }
    let mut new = Peer::connect(server.address());
    new.write(&frame(b"agent"));
    // Were the id free already, it would have our hello long before this time is over.
    let hasty = Duration::from_millis(100);
    new.stream.set_read_timeout(Some(hasty)).unwrap();
    assert!(new.stream.peek(&mut [0]).is_err());
    new.stream.set_read_timeout(Some(SOON)).unwrap();
    release.send(()).unwrap();
    new.expect(b"engine");
    for expected in ["closed", "connect"] {
        assert_eq!(events.recv_timeout(SOON), Ok(expected));
    }
    release_when_dropped.send(()).unwrap();
}

fn a_peer_that_is_told_a_bye_may_come_back_at_once_with_the_same_id(side: Side) {
    // It closes nothing, as a pymasep peer does for as long as its objects live.
    let (server, connection, mut before) = side.connected(Options::default());
    thread::scope(|scope| {
        let bye = scope.spawn(|| connection.bye());
        before.expect(b"BYE");
        let mut again = server.agent("agent");
        accept(&*server).send("back").unwrap();
        again.expect(b"back");
        assert_eq!(bye.join().unwrap(), CloseReason::LocalBye);
    });
    before.expect_end();
}

fn connections_that_end_before_they_are_accepted_keep_no_other_from_its_end(side: Side) {
    const PLACES: usize = 4;
    let server = side.serve(ServerLimits::default().connections(PLACES));
    // None is accepted. Each leaves, so that there is a place for the next.
    for _ in 0..5 * PLACES {
        let mut peer = server.agent("agent");
        peer.say_all(["gone", "BYE"]);
        if side.shell == Shell::Async {
            // A task has noticed; a thread does when the place is wanted.
            peer.expect_end();
        }
    }
    let mut last = server.agent("agent");
    last.say(b"here");
    let mut accepted = 1;
    loop {
        let connection = accept(&*server);
        match connection.recv().unwrap() {
            here if here.bytes() == "here" => break,
            gone => assert_eq!(gone, Frame::new("gone")),
        }
        assert_eq!(connection.end(), CloseReason::PeerBye);
        accepted += 1;
    }
    // The last one may have come when the first was given out.
    assert!(accepted <= PLACES + 1, "{accepted} were kept");
    assert!(accepted > 1, "what they sent is kept too");
}
