//! Peers who mean harm, and what they cost those who do not: as `hostile`, for the blocking server.

mod blocking_peer;
#[path = "../../masep-proto/tests/corpus/mod.rs"]
mod corpus;

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use blocking_peer::{Bounds, Event, Events, Peer, SOON, accept, frame, next, server_with};
use corpus::{Input, TAKEN};
use masep::blocking::{Connection, Server, SocketHandler, SocketHandlerQueue};
use masep::{CloseReason, Frame, Limits, RejectReason, ServerLimits, SocketOptions, WhenFull};

/// The time that a test of thousands of inputs may take.
const IN_THE_END: Duration = Duration::from_secs(300);

const NO_PANIC: &str = "no test panics with it";

/// An engine: answers whoever is called good, and reads what the others say as messages.
#[derive(Default)]
struct Engine {
    tally: Mutex<Tally>,
    changed: Condvar,
}

#[derive(Default)]
struct Tally {
    /// The outcomes of the frames of each of the others, in order.
    outcomes: HashMap<String, Vec<&'static str>>,
    ends: usize,
    refusals: usize,
}

impl Engine {
    fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.lock().expect(NO_PANIC));
        self.changed.notify_all();
    }

    /// Waits until the counts have come this far; they must not go any further.
    fn expect(&self, ends: usize, refusals: usize) {
        let tally = self.tally.lock().expect(NO_PANIC);
        let before = |tally: &mut Tally| tally.ends < ends || tally.refusals < refusals;
        let (tally, result) = self
            .changed
            .wait_timeout_while(tally, IN_THE_END, before)
            .expect(NO_PANIC);
        assert!(!result.timed_out(), "not all were told");
        assert_eq!((tally.ends, tally.refusals), (ends, refusals));
    }
}

impl SocketHandler for Engine {
    fn on_receive(&self, connection: &Connection, frame: Frame) {
        if connection.peer().starts_with("good") {
            let _ = connection.send(frame);
            return;
        }
        let outcome = match connection.decode(frame) {
            Ok(_) => TAKEN,
            Err(error) => error.kind.name(),
        };
        let peer = connection.peer().to_string();
        self.count(|tally| tally.outcomes.entry(peer).or_default().push(outcome));
    }

    fn on_close(&self, _: &Connection, _: &CloseReason) {
        self.count(|tally| tally.ends += 1);
    }

    fn on_reject(&self, _: masep::Address, _: &RejectReason) {
        self.count(|tally| tally.refusals += 1);
    }
}

fn serve(handler: impl SocketHandler, bounds: impl Into<Bounds>) -> Server {
    let bounds = bounds.into();
    Server::builder("engine")
        .limits(bounds.limits)
        .server_limits(bounds.server)
        .socket_options(bounds.socket)
        .handler(handler)
        .bind("127.0.0.1:0")
        .expect("loopback can be bound")
}

/// A good client at play: sends numbered frames and awaits each answer, until it is told to stop.
struct Game {
    over: Arc<AtomicBool>,
    played: JoinHandle<u32>,
}

impl Game {
    fn begin(address: SocketAddr) -> Self {
        let mut peer = Peer::join(address, "good");
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let played = thread::spawn(move || {
            let mut rounds = 0_u32;
            while rounds < 10 || !is_over.load(Ordering::Relaxed) {
                peer.write(&frame(&rounds.to_le_bytes()));
                assert_eq!(peer.read().as_deref(), Some(&rounds.to_le_bytes()[..]));
                rounds += 1;
            }
            rounds
        });
        Self { over, played }
    }

    /// The number of frames that went there and came back.
    fn end(self) -> u32 {
        self.over.store(true, Ordering::Relaxed);
        self.played.join().expect("not one frame was lost")
    }
}

/// Ends a connection in one of the ways in which a peer can.
fn end(peer: Peer, way: usize) -> Option<Peer> {
    match way % 4 {
        0 => drop(peer),
        1 => peer.reset(),
        2 => {
            // The server may have ended it first.
            let _ = peer.stream.shutdown(std::net::Shutdown::Write);
            return Some(peer);
        }
        _ => return Some(peer),
    }
    None
}

/// Sends the bodies of bad frames on a few connections, and checks what the engine makes of them.
fn send_bad_frames(address: SocketAddr, engine: &Engine, inputs: &[Input]) {
    const SENDERS: usize = 4;
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            scope.spawn(move || {
                let mut peer = Peer::join(address, &format!("bad {sender}"));
                peer.stream
                    .set_read_timeout(Some(IN_THE_END))
                    .expect("a time");
                peer.stream
                    .set_write_timeout(Some(IN_THE_END))
                    .expect("a time");
                for input in inputs.iter().skip(sender).step_by(SENDERS) {
                    peer.write(&frame(&input.bytes));
                }
                peer.write(&frame(b"BYE"));
                assert_eq!(peer.read(), None);
            });
        }
    });
    engine.expect(SENDERS, 0);
    let tally = engine.tally.lock().expect(NO_PANIC);
    for sender in 0..SENDERS {
        let sent = inputs.iter().skip(sender).step_by(SENDERS);
        let found = &tally.outcomes[&format!("bad {sender}")];
        assert_eq!(found.len(), sent.len());
        for (input, found) in sent.zip(found) {
            assert!(
                input.outcomes.contains(found),
                "{}: {found}, expected {:?}",
                input.name,
                input.outcomes
            );
        }
    }
}

#[test]
fn thousands_of_bad_inputs_cost_a_good_client_no_frame() {
    let engine = Arc::new(Engine::default());
    let server = serve(engine.clone(), ServerLimits::default().connections(1_000));
    let address = server.local_address().tcp().unwrap();
    let game = Game::begin(address);

    let inputs = corpus::frames();
    send_bad_frames(address, &engine, &inputs);

    let mut held = Vec::new();
    let streams = corpus::streams();
    for (way, (name, bytes)) in streams.iter().enumerate() {
        let mut peer = Peer::join(address, name);
        // The server may have ended it before the last byte.
        let _ = peer.stream.write_all(bytes);
        held.extend(end(peer, way));
    }
    let hellos = corpus::hellos();
    for (way, (_, bytes)) in hellos.iter().enumerate() {
        let mut peer = Peer::connect(address);
        let _ = peer.stream.write_all(bytes);
        held.extend(end(peer, way));
    }
    drop(held);
    engine.expect(4 + streams.len(), hellos.len());

    let rounds = game.end();
    let tried = inputs.len() + streams.len() + hellos.len();
    println!("{tried} bad inputs tried on a live server, {rounds} rounds of a good client");
}

#[test]
fn a_frame_that_drips_holds_up_nobody_and_arrives_whole() {
    let (events, happened) = Events::new();
    let server = serve(events, Limits::default());
    let address = server.local_address().tcp().unwrap();
    let mut slow = Peer::join(address, "slow");
    let mut good = Peer::join(address, "good");
    let mut received = Vec::new();
    for byte in frame(b"one byte at a time") {
        slow.write(&[byte]);
        good.write(&frame(b"hi"));
        loop {
            match next(&happened) {
                Event::Received(from, frame) if from.peer().as_str() == "good" => {
                    assert_eq!(frame.bytes(), "hi");
                    break;
                }
                Event::Received(_, frame) => received.push(frame),
                Event::Connected(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    while received.is_empty() {
        if let Event::Received(_, frame) = next(&happened) {
            received.push(frame);
        }
    }
    assert_eq!(received, [Frame::new("one byte at a time")]);
}

#[test]
fn lengths_that_are_claimed_and_never_filled_hold_up_nobody() {
    let (events, happened) = Events::new();
    let server = serve(events, Limits::default());
    let address = server.local_address().tcp().unwrap();
    let mut claims = Vec::new();
    for n in 0..50 {
        let mut peer = Peer::join(address, &format!("claims {n}"));
        peer.write(b"\xff\xffabc");
        claims.push(peer);
    }
    let mut good = Peer::join(address, "good");
    good.write(&frame(b"hi"));
    loop {
        match next(&happened) {
            Event::Connected(_) => {}
            Event::Received(from, _) => break assert_eq!(from.peer().as_str(), "good"),
            other => panic!("{other:?}"),
        }
    }
    drop(claims);
    let mut ended = 0;
    while ended < 50 {
        match next(&happened) {
            Event::Closed(_, reason) => {
                assert_eq!(reason, CloseReason::EndOfStream { mid_frame: true });
                ended += 1;
            }
            // Calls for different connections have no order.
            Event::Connected(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_storm_of_connections_and_resets_leaves_nothing_behind() {
    let engine = Arc::new(Engine::default());
    let server = serve(engine.clone(), Limits::default());
    let address = server.local_address().tcp().unwrap();
    let game = Game::begin(address);
    let (mut joined, mut refused) = (0, 0);
    for n in 0..400_usize {
        let phase = n / 4 % 4;
        let mut peer = if phase < 2 {
            refused += 1;
            Peer::connect(address)
        } else {
            joined += 1;
            Peer::join(address, &format!("storm {n}"))
        };
        match phase {
            0 => {}
            1 => peer.write(b"\x05\0ag"),
            2 => peer.write(&frame(b"a frame")),
            _ => peer.write(b"\x09\0half a fr"),
        }
        drop(end(peer, n));
    }
    engine.expect(joined, refused);
    game.end();
}

/// Only Linux has all of 127.0.0.0/8.
#[cfg(target_os = "linux")]
#[test]
fn one_address_has_its_share_of_the_places_and_no_more() {
    let engine = Arc::new(Engine::default());
    let limits = ServerLimits::default().connections_per_address(Some(3));
    let server = serve(engine.clone(), limits);
    let address = server.local_address().tcp().unwrap();
    let mut peers: Vec<Peer> = ["1", "2", "3"].map(|id| Peer::join(address, id)).into();
    for _ in 0..20 {
        let mut refused = Peer::connect(address);
        assert_eq!(refused.read().as_deref(), Some(&b"engine"[..]));
        refused.expect_bye();
    }
    engine.expect(0, 20);
    let elsewhere = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let elsewhere = elsewhere.unwrap();
    let from: SocketAddr = "127.0.0.2:0".parse().unwrap();
    elsewhere.bind(&from.into()).unwrap();
    elsewhere.connect(&address.into()).unwrap();
    let mut other = Peer::of(elsewhere.into());
    other.write(&frame(b"other"));
    assert_eq!(other.read().as_deref(), Some(&b"engine"[..]));
    // One that leaves makes room, when its handler was told.
    peers.pop();
    engine.expect(1, 20);
    let mut next = Peer::join(address, "4");
    next.write(&frame(b"BYE"));
    assert_eq!(next.read(), None);
}

#[test]
fn what_follows_a_bye_is_never_heard() {
    let (events, happened) = Events::new();
    let server = serve(events, Limits::default());
    let mut peer = Peer::join(server.local_address(), "agent");
    let bytes = [
        frame(b"before"),
        frame(b"BYE"),
        frame(b"behind"),
        b"\xff\xff garbage".to_vec(),
    ];
    peer.write(&bytes.concat());
    assert_eq!(peer.read(), None);
    let mut heard = Vec::new();
    loop {
        match next(&happened) {
            Event::Received(_, frame) => heard.push(frame),
            Event::Closed(_, reason) => break assert_eq!(reason, CloseReason::PeerBye),
            _ => {}
        }
    }
    assert_eq!(heard, [Frame::new("before")]);
}

#[test]
fn a_peer_that_only_closed_its_sending_side_still_gets_what_was_sent_and_a_bye() {
    let server = server_with(Limits::default());
    let mut peer = Peer::join(server.local_address(), "agent");
    let connection = accept(&server);
    connection.send("news").unwrap();
    peer.close_sending_side();
    assert!(connection.recv().is_err());
    assert_eq!(
        connection.close_reason(),
        Some(&CloseReason::EndOfStream { mid_frame: false })
    );
    assert_eq!(peer.read().as_deref(), Some(&b"news"[..]));
    peer.expect_bye();
}

#[test]
fn a_flood_of_empty_frames_is_bounded_and_the_others_get_through() {
    let limits = Limits::default().queue_messages(100);
    let queue = SocketHandlerQueue::new(&limits, WhenFull::Wait);
    let server = serve(queue.clone(), limits);
    let address = server.local_address().tcp().unwrap();
    let mut flood = Peer::join(address, "flood");
    let flooding = thread::spawn(move || {
        // Ends when the server does.
        while flood.stream.write_all(&[0; 60_000]).is_ok() {}
    });
    let mut good = Peer::join(address, "good");
    for n in 0..20_u8 {
        good.write(&frame(&[n]));
        loop {
            assert!(queue.len() <= 100);
            let received = queue.next_timeout(SOON).unwrap().unwrap();
            if received.connection.peer().as_str() == "good" {
                break assert_eq!(received.frame.as_ref(), [n]);
            }
            assert_eq!(received.frame.size(), 0);
        }
    }
    queue.close();
    drop(server);
    flooding.join().unwrap();
}

/// Bounds for which no clock, socket or channel has numbers.
#[test]
fn bounds_without_end_are_bounds_too() {
    let far = Duration::MAX;
    let limits = Limits::default()
        .queue_messages(usize::MAX)
        .queue_bytes(usize::MAX)
        .hello_time(far)
        .idle_time(Some(far))
        .write_time(far);
    let bounds = Bounds {
        limits,
        server: ServerLimits::default().connections(usize::MAX),
        socket: SocketOptions::default().keepalive_time(Some(far)),
    };
    let server = server_with(bounds);
    let mut peer = Peer::join(server.local_address(), "agent");
    let connection = accept(&server);
    connection.send("hi").unwrap();
    assert_eq!(peer.read().as_deref(), Some(&b"hi"[..]));
    let report = server.shutdown(far);
    assert_eq!(report.ended, ["agent".into()]);
    peer.expect_bye();
}

/// A handler that tells its calls, and panics or never returns in one of them: the peer's id is the name of that call.
struct Rogue {
    told: mpsc::Sender<String>,
    panics: bool,
}

impl Rogue {
    fn is_told(&self, call: &str, peer: &str) {
        let _ = self.told.send(format!("{call} {peer}"));
        if peer != call {
            return;
        }
        assert!(!self.panics, "as told by the peer's id");
        loop {
            thread::park();
        }
    }

    fn new(panics: bool) -> (Self, mpsc::Receiver<String>) {
        let (told, heard) = mpsc::channel();
        (Self { told, panics }, heard)
    }
}

impl SocketHandler for Rogue {
    fn on_connect(&self, connection: &Connection) {
        self.is_told("connect", connection.peer());
    }
    fn on_receive(&self, connection: &Connection, frame: Frame) {
        self.is_told("receive", connection.peer());
        let _ = connection.send(frame);
    }
    fn on_close(&self, connection: &Connection, _: &CloseReason) {
        self.is_told("close", connection.peer());
    }
    fn on_reject(&self, _: masep::Address, _: &RejectReason) {
        self.is_told("reject", "reject");
    }
}

fn expect_told(heard: &mpsc::Receiver<String>, expected: &str) {
    while heard.recv_timeout(SOON).expect("it is told") != expected {}
}

fn expect_echo(address: SocketAddr, id: &str) {
    let mut peer = Peer::join(address, id);
    peer.write(&frame(b"hi"));
    assert_eq!(peer.read().as_deref(), Some(&b"hi"[..]));
    peer.write(&frame(b"BYE"));
    assert_eq!(peer.read(), None);
}

#[test]
fn a_handler_that_panics_in_any_call_is_told_the_end_and_keeps_no_place() {
    let (handler, heard) = Rogue::new(true);
    let server = serve(handler, ServerLimits::default().connections(2));
    let address = server.local_address().tcp().unwrap();
    for n in 0..3 {
        for call in ["connect", "receive"] {
            let mut bad = Peer::join(address, call);
            bad.write(&frame(b"go on"));
            bad.expect_bye();
            expect_told(&heard, &format!("close {call}"));
        }
        drop(Peer::join(address, "close"));
        expect_told(&heard, "close close");
        let mut refused = Peer::connect(address);
        refused.write(b"\x02\0\xff\xff");
        expect_told(&heard, "reject reject");
        let id = format!("good {n}");
        expect_echo(address, &id);
        expect_told(&heard, &format!("close {id}"));
    }
}

#[test]
fn a_handler_that_never_returns_costs_its_own_connection_only() {
    let (handler, heard) = Rogue::new(false);
    let server = serve(handler, Limits::default());
    let address = server.local_address().tcp().unwrap();
    let mut stuck = Vec::new();
    for call in ["connect", "receive"] {
        let mut peer = Peer::join(address, call);
        peer.write(&frame(b"never answered"));
        expect_told(&heard, &format!("{call} {call}"));
        // Frames of others to it go out all the same.
        server.registry().send_frame_to(call, "news").unwrap();
        assert_eq!(peer.read().as_deref(), Some(&b"news"[..]));
        stuck.push(peer);
    }
    for _ in 0..2 {
        // The id is free again, if not at once.
        drop(Peer::join(address, "close"));
        expect_told(&heard, "close close");
    }
    let mut refused = Peer::connect(address);
    refused.write(b"\x02\0\xff\xff");
    expect_told(&heard, "reject reject");
    expect_echo(address, "good");

    let _ = server.shutdown(Duration::from_millis(100));
    for peer in &mut stuck {
        peer.expect_bye();
    }
}
