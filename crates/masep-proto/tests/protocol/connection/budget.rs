//! The memory for large frames that all connections of a server share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use masep_proto::connection::{Connection, Protocols, Want};
use masep_proto::protocol2::{Control, Header, Hello, kind, preamble};
use masep_proto::{CloseReason, Limits};

use super::pair::{Side, config};
use crate::wire::{control, frame, read_each, write};

const SECOND: Duration = Duration::from_secs(1);
const LARGE: usize = 1 << 20;

/// Several connections of one server, whose peers the test plays.
struct Server {
    sides: Vec<Side>,
    now: Instant,
}

impl Server {
    fn new(connections: usize, budget: usize) -> Self {
        let config = config("engine", &Limits::default(), Protocols::Masep2).incoming_bytes(budget);
        let (config, now) = (Arc::new(config), Instant::now());
        let sides = (0..connections)
            .map(|_| Side::new(Connection::accept(config.clone(), now)))
            .collect();
        let mut server = Self { sides, now };
        let hello = Control::Hello(Box::new(Hello::new("agent".into(), 1 << 20)));
        let first = [preamble::CLIENT, &control(&hello)].concat();
        for at in 0..connections {
            assert_eq!(server.hear(at, &first), first.len());
            server.sides[at].core.admit(server.now);
            server.write(at);
            assert!(server.sides[at].core.is_open());
        }
        server
    }

    /// Has a connection read of these bytes what it wants to read: how many.
    fn hear(&mut self, at: usize, bytes: &[u8]) -> usize {
        let core = &mut self.sides[at].core;
        let heard = read_each(core, bytes, usize::MAX, self.now, |_| {});
        self.sides[at].take(self.now);
        heard
    }

    fn write(&mut self, at: usize) {
        write(&mut self.sides[at].core, self.now);
    }

    /// Turns the clock; of each peer something is heard every second.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(250);
            for at in 0..self.sides.len() {
                let core = &mut self.sides[at].core;
                if core.deadline().is_some_and(|due| due <= self.now) {
                    core.handle_timeout(self.now);
                }
                self.write(at);
            }
        }
    }

    fn reason(&self, at: usize) -> Option<CloseReason> {
        self.sides[at].reason()
    }
}

#[test]
fn whoever_finds_no_memory_is_not_read_until_there_is_some() {
    let mut server = Server::new(3, 2 * LARGE + 1_000);
    let large = frame(kind::BYTES, &vec![7; LARGE]);
    let part = 200_000;
    for at in [0, 1] {
        assert_eq!(server.hear(at, &large[..part]), part);
    }
    let heard = server.hear(2, &large[..part]);
    assert!(heard < 140_000, "{heard}");
    assert_eq!(server.sides[2].core.wants().read, Want::Nothing);
    // Frames that are not large go through on the others, and it says that it lives.
    server.pass(10 * SECOND);
    assert_eq!(server.reason(2), None);
    assert_eq!(server.hear(0, &large[part..]), large.len() - part);
    assert_eq!(server.sides[0].received.len(), 1);
    server.sides[0].received.clear();
    server.pass(SECOND);
    assert_eq!(server.hear(2, &large[heard..]), large.len() - heard);
    assert_eq!(server.sides[2].received.len(), 1);
    // Memory kept for the next frame of a connection counts, and is given back.
    server.sides[2].received.clear();
    for _ in 0..5 {
        assert_eq!(server.hear(2, &large), large.len());
        server.sides[2].received.clear();
    }
    assert_eq!(server.hear(1, &large[part..]), large.len() - part);
}

#[test]
fn a_frame_that_is_larger_than_all_memory_comes_when_no_other_is_on_its_way() {
    let mut server = Server::new(2, 1_000);
    let large = frame(kind::BYTES, &vec![7; LARGE]);
    for _ in 0..3 {
        assert_eq!(server.hear(0, &large), large.len());
        server.sides[0].received.clear();
        assert_eq!(server.hear(1, &large), large.len());
        server.sides[1].received.clear();
    }
}

/// The other one says nothing more, and keeps the memory of its last frame for the next.
#[test]
fn a_frame_that_needs_most_of_the_memory_comes_though_others_keep_some_for_their_next() {
    let mut server = Server::new(2, LARGE + 1_000);
    let medium = frame(kind::BYTES, &vec![7; LARGE / 3]);
    let large = frame(kind::BYTES, &vec![7; LARGE]);
    assert_eq!(server.hear(0, &medium), medium.len());
    server.sides[0].received.clear();
    assert_eq!(server.hear(1, &large), large.len());
    // One at a time, as before.
    let heard = server.hear(1, &large[..200_000]);
    assert_eq!(heard, 200_000);
    assert!(server.hear(0, &large) < 140_000);
}

#[test]
fn whoever_holds_memory_while_others_wait_is_ended_after_a_time() {
    let mut server = Server::new(3, 2 * LARGE + 1_000);
    let large = frame(kind::BYTES, &vec![7; LARGE]);
    let mut heard = [0; 3];
    for (at, heard) in heard.iter_mut().enumerate() {
        *heard = server.hear(at, &large[..200_000]);
    }
    // Two send a byte now and then, and one would send all.
    for _ in 0..40 {
        for at in [0, 1] {
            let next = &large[heard[at]..=heard[at]];
            heard[at] += server.hear(at, next);
        }
        heard[2] += server.hear(2, &large[heard[2]..]);
        server.pass(SECOND);
    }
    assert_eq!(server.reason(0), Some(CloseReason::SlowFrame));
    assert_eq!(server.sides[2].received.len(), 1);
    assert_eq!(server.reason(2), None);

    // If nobody waits, a frame may take as long as it likes.
    let mut server = Server::new(1, 2 * LARGE);
    let mut heard = server.hear(0, &large[..200_000]);
    for _ in 0..100 {
        heard += server.hear(0, &large[heard..=heard]);
        server.pass(SECOND);
    }
    assert_eq!(server.reason(0), None);
}

/// Each claims as much as it may, and sends the beginning.
#[test]
fn strangers_without_number_share_what_there_is() {
    let mut server = Server::new(300, 8 * LARGE);
    let large = frame(kind::BYTES, &vec![7; LARGE]);
    let mut held = 0;
    for at in 0..300 {
        held += server.hear(at, &large[..300_000]);
    }
    assert!(held < 300 * 140_000 + 8 * LARGE, "{held}");
    // And those who send small ones are served.
    let mut server_of_others = Server::new(1, LARGE);
    let small = frame(kind::BYTES, b"x");
    assert_eq!(server_of_others.hear(0, &small), small.len());
    assert_eq!(
        Header::read(&large).expect("a header").map(Header::size),
        Some(LARGE)
    );
}
