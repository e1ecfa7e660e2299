//! Peers that mean harm, and what they cost those that do not.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use masep::{
    Address, CloseReason, Duplicates, Frame, Limits, Message, RejectReason, ServerLimits,
    SocketOptions, WhenFull,
};

use crate::corpus::{self, Input, TAKEN};
use crate::shells::{
    Act, Connection, Events, Handler, Network, Options, Peer, SOON, Server, Serving, Shell, Side,
    frame, next, of_each_network, of_each_shell, until,
};

of_each_network! {
    what_follows_a_bye_is_never_heard
    bounds_without_end_are_bounds_too
    a_handler_that_never_returns_costs_its_own_connection_only
    a_newer_connection_replaces_one_whose_handler_never_returns
    ; with resets:
    a_handler_that_panics_in_any_call_is_told_the_end_and_keeps_no_place
}

of_each_shell! {
    thousands_of_bad_inputs_cost_a_good_client_no_frame
    a_frame_that_drips_holds_up_nobody_and_arrives_whole
    lengths_that_are_claimed_and_never_filled_hold_up_nobody
    a_storm_of_connections_and_resets_leaves_nothing_behind
    a_flood_of_empty_frames_is_bounded_and_the_others_get_through
    a_flood_that_is_read_though_nobody_receives_keeps_nobody_out
    a_flood_of_one_that_reads_no_more_keeps_nobody_out
    a_frame_that_a_full_queue_has_lost_is_the_reason_of_the_end_though_a_bye_came_behind_it
    #[cfg(target_os = "linux")] one_address_has_its_share_of_the_places_and_no_more
}

/// The time that a test of thousands of inputs may take.
const IN_THE_END: Duration = Duration::from_secs(300);

/// An engine: answers those called good, and reads what the others say as messages.
#[derive(Clone, Default)]
pub(crate) struct Engine {
    tally: Arc<Mutex<Tally>>,
    changed: Arc<Condvar>,
}

#[derive(Default)]
struct Tally {
    /// The outcomes of the frames of each of the others, in order.
    outcomes: HashMap<String, Vec<&'static str>>,
    ends: usize,
    refusals: usize,
}

impl Engine {
    fn count(&self, count: impl FnOnce(&mut Tally)) -> Act {
        count(&mut self.tally.lock().unwrap());
        self.changed.notify_all();
        Act::Return
    }

    fn wait_while(&self, before: impl Fn(&Tally) -> bool) -> MutexGuard<'_, Tally> {
        let tally = self.tally.lock().unwrap();
        let before = |tally: &mut Tally| before(tally);
        let waiting = self.changed.wait_timeout_while(tally, IN_THE_END, before);
        let (tally, result) = waiting.unwrap();
        assert!(!result.timed_out(), "not all were told");
        tally
    }

    /// Waits until the counts have come this far; they must not go any further.
    pub(crate) fn expect(&self, ends: usize, refusals: usize) {
        let tally = self.wait_while(|it| it.ends < ends || it.refusals < refusals);
        assert_eq!((tally.ends, tally.refusals), (ends, refusals));
    }

    /// The outcomes of the frames of a peer, of which so many come.
    pub(crate) fn outcomes(&self, peer: &str, count: usize) -> Vec<&'static str> {
        let of_peer = |tally: &Tally| tally.outcomes.get(peer).cloned().unwrap_or_default();
        let tally = self.wait_while(|tally| of_peer(tally).len() < count);
        of_peer(&tally)
    }
}

impl Handler for Engine {
    fn on_receive(&self, connection: &dyn Connection, frame: Frame) -> Act {
        if connection.peer().starts_with("good") {
            return Act::Send(frame);
        }
        let outcome = match connection.decode(frame) {
            Ok(_) => TAKEN,
            Err(error) => error.kind.name(),
        };
        let outcomes = |tally: &mut Tally| {
            let of_peer = tally.outcomes.entry(connection.peer());
            of_peer.or_default().push(outcome);
        };
        self.count(outcomes)
    }
    fn on_close(&self, _: &dyn Connection, _: &CloseReason) -> Act {
        self.count(|tally| tally.ends += 1)
    }
    fn on_reject(&self, _: Address, _: &RejectReason) -> Act {
        self.count(|tally| tally.refusals += 1)
    }
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
                peer.expect(&rounds.to_le_bytes());
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
            let _ = peer.stream.shutdown(Shutdown::Write);
            return Some(peer);
        }
        _ => return Some(peer),
    }
    None
}

/// Sends the bodies of bad frames on a few connections, and checks what the engine makes of them.
fn send_bad_frames(address: SocketAddr, engine: &Engine, inputs: &[Input]) {
    const SENDERS: usize = 4;
    let of = |sender| inputs.iter().skip(sender).step_by(SENDERS);
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            scope.spawn(move || {
                let mut peer = Peer::join(address, &format!("bad {sender}"));
                peer.stream.set_read_timeout(Some(IN_THE_END)).unwrap();
                peer.stream.set_write_timeout(Some(IN_THE_END)).unwrap();
                for input in of(sender) {
                    peer.write(&frame(&input.bytes));
                }
                peer.write(&frame(b"BYE"));
                peer.expect_end();
            });
        }
    });
    engine.expect(SENDERS, 0);
    for sender in 0..SENDERS {
        let found = engine.outcomes(&format!("bad {sender}"), of(sender).len());
        assert_eq!(found.len(), of(sender).len());
        for (input, found) in of(sender).zip(found) {
            let (name, expected) = (&input.name, &input.outcomes);
            assert!(
                expected.contains(&found),
                "{name}: {found}, not {expected:?}"
            );
        }
    }
}

fn serve(shell: Shell, options: impl Into<Options>) -> (Box<dyn Server>, SocketAddr, Engine) {
    let engine = Engine::default();
    let server = shell.serve(options.into().handler(engine.clone()));
    let address = server.address().tcp().unwrap();
    (server, address, engine)
}

fn thousands_of_bad_inputs_cost_a_good_client_no_frame(shell: Shell) {
    let (_server, address, engine) = serve(shell, ServerLimits::default().connections(1_000));
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

fn a_frame_that_drips_holds_up_nobody_and_arrives_whole(shell: Shell) {
    let (_server, address, engine) = serve(shell, Options::default());
    let (mut slow, mut good) = (Peer::join(address, "slow"), Peer::join(address, "good"));
    for byte in frame(&Message::quit("slow").to_bytes().unwrap()) {
        slow.write(&[byte]);
        good.say("hi");
        good.expect("hi");
    }
    assert_eq!(engine.outcomes("slow", 1), [TAKEN]);
}

fn lengths_that_are_claimed_and_never_filled_hold_up_nobody(shell: Shell) {
    let (_server, address, engine) = serve(shell, Options::default());
    let claim = |n: usize| {
        let mut peer = Peer::join(address, &format!("claims {n}"));
        peer.write(b"\xff\xffabc");
        peer
    };
    let claims: Vec<_> = (0..100).map(claim).collect();
    let mut good = Peer::join(address, "good");
    good.say("hi");
    good.expect("hi");
    drop(claims);
    engine.expect(100, 0);
}

fn a_storm_of_connections_and_resets_leaves_nothing_behind(shell: Shell) {
    let (_server, address, engine) = serve(shell, Options::default());
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
        peer.write([&b""[..], b"\x05\0ag", b"\x07\0a frame", b"\x09\0half a fr"][phase]);
        drop(end(peer, n));
    }
    engine.expect(joined, refused);
    game.end();
}

/// Only Linux has all of 127.0.0.0/8.
#[cfg(target_os = "linux")]
fn one_address_has_its_share_of_the_places_and_no_more(shell: Shell) {
    let limits = ServerLimits::default().connections_per_address(Some(3));
    let (_server, address, engine) = serve(shell, limits);
    let mut peers = vec![Peer::join(address, "1"), Peer::join(address, "2")];
    peers.push(Peer::join(address, "3"));
    // With a hello, so that none is waited for.
    for _ in 0..20 {
        Peer::join(address, "more").expect_bye();
    }
    engine.expect(0, 20);
    let elsewhere = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let elsewhere = elsewhere.unwrap();
    let from: SocketAddr = "127.0.0.2:0".parse().unwrap();
    elsewhere.bind(&from.into()).unwrap();
    elsewhere.connect(&address.into()).unwrap();
    let mut other = Peer::of(elsewhere.into());
    other.write(&frame(b"other"));
    other.expect(b"engine");
    // One that leaves makes room, when its end was seen to.
    peers[2].write(&frame(b"BYE"));
    peers[2].expect_end();
    Peer::join_when_free(address, "good");
}

fn what_follows_a_bye_is_never_heard(side: Side) {
    let (handler, happened) = Events::new();
    let server = side.serve(Options::default().handler(handler));
    let mut peer = server.agent("agent");
    peer.say_all([&b"before"[..], b"BYE", b"behind", &[0xff; 9]]);
    peer.expect_end();
    next(&happened).connected();
    assert_eq!(next(&happened).received(), Frame::new("before"));
    assert_eq!(next(&happened).closed(), CloseReason::PeerBye);
}

/// Bounds for which no clock, socket, channel or semaphore has numbers.
fn bounds_without_end_are_bounds_too(side: Side) {
    let far = Duration::MAX;
    let limits = Limits::default()
        .queue_messages(usize::MAX)
        .queue_bytes(usize::MAX)
        .hello_time(far)
        .idle_time(Some(far))
        .write_time(far);
    let options = Options::from(limits)
        .server_limits(ServerLimits::default().connections(usize::MAX))
        .socket(SocketOptions::default().keepalive_time(Some(far)));
    let (server, connection, mut peer) = side.connected(options);
    connection.send("hi").unwrap();
    peer.expect(b"hi");
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
    fn serve(
        side: Side,
        panics: bool,
        options: impl Into<Options>,
    ) -> (Serving, mpsc::Receiver<String>) {
        let (told, heard) = mpsc::channel();
        let server = side.serve(options.into().handler(Self { told, panics }));
        (server, heard)
    }

    fn is_told(&self, call: &str, peer: &str, otherwise: Act) -> Act {
        let _ = self.told.send(format!("{call} {peer}"));
        if peer != call {
            return otherwise;
        }
        assert!(!self.panics, "as told by the peer's id");
        Act::Wait
    }
}

impl Handler for Rogue {
    fn on_connect(&self, connection: &dyn Connection) -> Act {
        self.is_told("connect", &connection.peer(), Act::Return)
    }
    fn on_receive(&self, connection: &dyn Connection, frame: Frame) -> Act {
        self.is_told("receive", &connection.peer(), Act::Send(frame))
    }
    fn on_close(&self, connection: &dyn Connection, _: &CloseReason) -> Act {
        self.is_told("close", &connection.peer(), Act::Return)
    }
    fn on_reject(&self, _: Address, _: &RejectReason) -> Act {
        self.is_told("reject", "reject", Act::Return)
    }
}

fn expect_told(heard: &mpsc::Receiver<String>, expected: &str) {
    while heard.recv_timeout(SOON).expect("it is told") != expected {}
}

fn expect_echo(server: &Serving, id: &str) {
    let mut peer = server.agent(id);
    peer.say("hi");
    peer.expect("hi");
    peer.say("BYE");
    peer.expect_end();
}

fn a_handler_that_panics_in_any_call_is_told_the_end_and_keeps_no_place(side: Side) {
    let limits = ServerLimits::default().connections(2);
    let (server, heard) = Rogue::serve(side, true, limits);
    for n in 0..3 {
        for call in ["connect", "receive"] {
            let mut bad = server.agent(call);
            let to_bad = server.registry().get_connection(call);
            bad.say(b"go on");
            bad.expect_bye();
            // The one whose handler is told of it may have ended already.
            assert!(to_bad.is_none_or(|it| it.closed() == CloseReason::Aborted));
            expect_told(&heard, &format!("close {call}"));
        }
        drop(server.agent("close"));
        expect_told(&heard, "close close");
        server.hear_nonsense();
        expect_told(&heard, "reject reject");
        let id = format!("good {n}");
        expect_echo(&server, &id);
        expect_told(&heard, &format!("close {id}"));
    }
}

fn a_handler_that_never_returns_costs_its_own_connection_only(side: Side) {
    let limits = ServerLimits::default().connections(4);
    let (server, heard) = Rogue::serve(side, false, limits);
    let mut stuck = ["connect", "receive"].map(|call| {
        let mut peer = server.agent(call);
        peer.say(b"never answered");
        expect_told(&heard, &format!("{call} {call}"));
        // Frames of others to it go out all the same.
        let registry = server.registry();
        registry.send_frame_to(call, "news".into()).unwrap();
        peer.expect(b"news");
        peer
    });
    for _ in 0..2 {
        // The id is free again, if not at once, and so is the place.
        drop(server.agent("close"));
        expect_told(&heard, "close close");
        until(|| !server.registry().is_connection_registered("close"));
    }
    server.hear_nonsense();
    expect_told(&heard, "reject reject");
    expect_echo(&server, "good");

    let connection = server.registry().get_connection("receive").unwrap();
    assert_eq!(connection.bye(), CloseReason::LocalBye);
    let report = server.shutdown(Duration::from_secs(1));
    assert!(report.ended.len() + report.cut.len() <= 2, "{report:?}");
    for peer in &mut stuck {
        peer.expect_bye();
    }
}

fn a_newer_connection_replaces_one_whose_handler_never_returns(side: Side) {
    let (server, heard) = Rogue::serve(side, false, Duplicates::Replace);
    let mut older = server.agent("close");
    expect_told(&heard, "connect close");
    let newer = server.agent("close");
    older.expect_bye();
    expect_told(&heard, "connect close");
    drop(newer);
    expect_told(&heard, "close close");
    let report = server.shutdown(Duration::from_millis(100));
    assert!(report.ended.is_empty(), "{report:?}");
}

/// It sends empty frames until the server ends, while a good peer sends twenty numbers.
fn a_flood_of_empty_frames_is_bounded_and_the_others_get_through(shell: Shell) {
    let (server, queue) = shell.serve_queue(Limits::default().queue_messages(100), WhenFull::Wait);
    let mut flood = Peer::join(server.address(), "flood");
    let flooding = thread::spawn(move || while flood.stream.write_all(&[0; 60_000]).is_ok() {});
    let mut good = Peer::join(server.address(), "good");
    for n in 0..20_u8 {
        good.say(&[n]);
        loop {
            assert!(queue.len() <= 100);
            let (from, received) = queue.next().unwrap();
            if from.peer() == "good" {
                break assert_eq!(received.as_ref(), [n]);
            }
            assert_eq!(received.size(), 0);
        }
    }
    queue.close();
    drop(server);
    flooding.join().unwrap();
}

fn a_flood_that_is_read_though_nobody_receives_keeps_nobody_out(shell: Shell) {
    let server = shell.serve(Options::default().when_full(WhenFull::NewestWins));
    let mut flood = Peer::join(server.address(), "flood");
    let flooding = thread::spawn(move || while flood.stream.write_all(&[0; 60_000]).is_ok() {});
    for n in 0..10 {
        Peer::join(server.address(), &n.to_string()).say("BYE");
    }
    drop(server);
    flooding.join().unwrap();
}

/// On a Unix socket a peer can read no more, and write: what it says is read for a while after a write has failed.
fn a_flood_of_one_that_reads_no_more_keeps_nobody_out(shell: Shell) {
    let limits = Limits::default().write_time(Duration::from_millis(300));
    let options = Options::from(limits).when_full(WhenFull::NewestWins);
    let (server, connection, flood) = shell.over(Network::Unix).connected(options);
    flood.stream.socket().shutdown(Shutdown::Read).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut stream = flood.stream.socket().try_clone().unwrap();
            scope.spawn(move || while stream.write_all(&[0; 60_000]).is_ok() {});
        }
        assert_eq!(connection.recv(), Ok(Frame::new("")));
        let _ = connection.try_send("never read");
        for n in 0..10 {
            server.agent(&n.to_string()).say("BYE");
        }
    });
    until(|| server.registry().len() == 0);
}

fn a_frame_that_a_full_queue_has_lost_is_the_reason_of_the_end_though_a_bye_came_behind_it(
    shell: Shell,
) {
    let limits = Limits::default().queue_messages(1);
    let (server, queue) = shell.serve_queue(limits, WhenFull::Disconnect);
    Peer::join(server.address(), "agent").say_all(["1", "2", "3", "BYE"]);
    until(|| server.registry().len() == 0);
    let (connection, frame) = queue.try_next().unwrap();
    assert_eq!(frame.bytes(), "1");
    let reason = connection.closed();
    assert!(matches!(reason, CloseReason::QueueFull(_)), "{reason:?}");
    assert_eq!(queue.len(), 0);
}
