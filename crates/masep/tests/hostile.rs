//! Peers who mean harm, and what they cost those who do not. `blocking_hostile` is the same for the
//! blocking server.

#[path = "../../masep-proto/tests/corpus/mod.rs"]
mod corpus;
mod peer;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corpus::{Input, TAKEN};
use masep::{
    CloseReason, Connection, Frame, Limits, RejectReason, Server, ServerLimits, SocketHandler,
    SocketHandlerQueue, SocketOptions, WhenFull,
};
use peer::{Bounds, Event, Events, Peer, frame, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// An engine: answers whoever is called good, and reads what the others say as messages.
#[derive(Default)]
struct Engine {
    /// The outcomes of the frames of each of the others, in order.
    outcomes: Mutex<HashMap<String, Vec<&'static str>>>,
    ends: watch::Sender<usize>,
    refusals: watch::Sender<usize>,
}

impl SocketHandler for Engine {
    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        if connection.peer().starts_with("good") {
            let _ = connection.send(frame).await;
            return;
        }
        let outcome = match connection.decode(frame) {
            Ok(_) => TAKEN,
            Err(error) => error.kind.name(),
        };
        let mut outcomes = self.outcomes.lock().expect("no test panics with it");
        let of_peer = outcomes.entry(connection.peer().to_string());
        of_peer.or_default().push(outcome);
    }

    async fn on_close(&self, _: &Connection, _: &CloseReason) {
        self.ends.send_modify(|ends| *ends += 1);
    }

    async fn on_reject(&self, _: masep::Address, _: &RejectReason) {
        self.refusals.send_modify(|refusals| *refusals += 1);
    }
}

async fn serve(handler: impl SocketHandler, bounds: impl Into<Bounds>) -> Server {
    let bounds = bounds.into();
    Server::builder("engine")
        .limits(bounds.limits)
        .server_limits(bounds.server)
        .socket_options(bounds.socket)
        .handler(handler)
        .bind("127.0.0.1:0")
        .await
        .expect("loopback can be bound")
}

/// As `soon`, for what takes thousands of inputs.
async fn in_the_end<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(300), work)
        .await
        .expect("it did not happen in 300 s")
}

/// Waits until a count has come this far.
async fn reaches(count: &watch::Sender<usize>, most: usize) {
    let mut count = count.subscribe();
    in_the_end(count.wait_for(|count| *count >= most))
        .await
        .expect("the sender lives");
}

/// A good client at play: sends numbered frames and awaits each answer, until it is told to stop.
struct Game {
    over: Arc<AtomicBool>,
    played: JoinHandle<u32>,
}

impl Game {
    async fn begin(address: SocketAddr) -> Self {
        let mut peer = Peer::join(address, "good").await;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let played = tokio::spawn(async move {
            let mut rounds = 0_u32;
            while rounds < 10 || !is_over.load(Ordering::Relaxed) {
                peer.write(&frame(&rounds.to_le_bytes())).await;
                let answer = peer.read().await;
                assert_eq!(answer.as_deref(), Some(&rounds.to_le_bytes()[..]));
                rounds += 1;
                tokio::task::yield_now().await;
            }
            rounds
        });
        Self { over, played }
    }

    /// The number of frames that went there and came back.
    async fn end(self) -> u32 {
        self.over.store(true, Ordering::Relaxed);
        soon(self.played).await.expect("not one frame was lost")
    }
}

/// Ends a connection in one of the ways in which a peer can.
async fn end(mut peer: Peer, way: usize) -> Option<Peer> {
    match way % 4 {
        0 => drop(peer),
        1 => peer.reset(),
        2 => {
            // The server may have ended it first.
            let _ = peer.stream.shutdown().await;
            return Some(peer);
        }
        _ => return Some(peer),
    }
    None
}

/// Sends the bodies of bad frames on a few connections, and checks what the engine makes of them.
async fn send_bad_frames(address: SocketAddr, engine: &Engine, inputs: Vec<Input>) -> usize {
    let inputs = Arc::new(inputs);
    let mut senders = JoinSet::new();
    const SENDERS: usize = 8;
    for sender in 0..SENDERS {
        let inputs = inputs.clone();
        senders.spawn(async move {
            let mut peer = Peer::join(address, &format!("bad {sender}")).await;
            for input in inputs.iter().skip(sender).step_by(SENDERS) {
                peer.write(&frame(&input.bytes)).await;
            }
            peer.write(&frame(b"BYE")).await;
            let end = peer.stream.read(&mut [0; 1]).await;
            assert_eq!(end.expect("the end of the stream"), 0);
        });
    }
    in_the_end(senders.join_all()).await;
    reaches(&engine.ends, SENDERS).await;
    let outcomes = engine.outcomes.lock().expect("no test panics with it");
    for sender in 0..SENDERS {
        let sent = inputs.iter().skip(sender).step_by(SENDERS);
        let found = &outcomes[&format!("bad {sender}")];
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
    inputs.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_bad_inputs_cost_a_good_client_no_frame() {
    let engine = Arc::new(Engine::default());
    let server = serve(engine.clone(), ServerLimits::default().connections(1_000)).await;
    let address = server.local_address().tcp().unwrap();
    let game = Game::begin(address).await;

    let frames = send_bad_frames(address, &engine, corpus::frames()).await;

    let mut held = Vec::new();
    let streams = corpus::streams();
    for (way, (name, bytes)) in streams.iter().enumerate() {
        let mut peer = Peer::join(address, name).await;
        // The server may have ended it before the last byte.
        let _ = peer.stream.write_all(bytes).await;
        held.extend(end(peer, way).await);
    }
    let hellos = corpus::hellos();
    for (way, (_, bytes)) in hellos.iter().enumerate() {
        let mut peer = Peer::connect(address).await;
        let _ = peer.stream.write_all(bytes).await;
        held.extend(end(peer, way).await);
    }
    drop(held);
    reaches(&engine.ends, 8 + streams.len()).await;
    reaches(&engine.refusals, hellos.len()).await;
    soon(async {
        while server.registry().len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let rounds = game.end().await;
    let inputs = frames + streams.len() + hellos.len();
    println!("{inputs} bad inputs tried on a live server, {rounds} rounds of a good client");
}

#[tokio::test]
async fn a_frame_that_drips_holds_up_nobody_and_arrives_whole() {
    let (events, mut happened) = Events::new();
    let server = serve(events, Limits::default()).await;
    let address = server.local_address().tcp().unwrap();
    let mut slow = Peer::join(address, "slow").await;
    let mut good = Peer::join(address, "good").await;
    let mut received = Vec::new();
    for byte in frame(b"one byte at a time") {
        slow.write(&[byte]).await;
        good.write(&frame(b"hi")).await;
        loop {
            match soon(happened.recv()).await.unwrap() {
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
        if let Some(Event::Received(_, frame)) = soon(happened.recv()).await {
            received.push(frame);
        }
    }
    assert_eq!(received, [Frame::new("one byte at a time")]);
}

#[tokio::test]
async fn lengths_that_are_claimed_and_never_filled_hold_up_nobody() {
    let (events, mut happened) = Events::new();
    let server = serve(events, Limits::default()).await;
    let address = server.local_address().tcp().unwrap();
    let mut claims = Vec::new();
    for n in 0..100 {
        let mut peer = Peer::join(address, &format!("claims {n}")).await;
        peer.write(b"\xff\xffabc").await;
        claims.push(peer);
    }
    let mut good = Peer::join(address, "good").await;
    good.write(&frame(b"hi")).await;
    loop {
        match soon(happened.recv()).await.unwrap() {
            Event::Connected(_) => {}
            Event::Received(from, _) => break assert_eq!(from.peer().as_str(), "good"),
            other => panic!("{other:?}"),
        }
    }
    drop(claims);
    for _ in 0..100 {
        match soon(happened.recv()).await.unwrap() {
            Event::Closed(_, reason) => {
                assert_eq!(reason, CloseReason::EndOfStream { mid_frame: true });
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_connections_and_resets_leaves_nothing_behind() {
    let engine = Arc::new(Engine::default());
    let server = serve(engine.clone(), Limits::default()).await;
    let address = server.local_address().tcp().unwrap();
    let game = Game::begin(address).await;
    let (mut joined, mut refused) = (0, 0);
    for n in 0..400_usize {
        let phase = n / 4 % 4;
        let mut peer = if phase < 2 {
            refused += 1;
            Peer::connect(address).await
        } else {
            joined += 1;
            Peer::join(address, &format!("storm {n}")).await
        };
        match phase {
            0 => {}
            1 => peer.write(b"\x05\0ag").await,
            2 => peer.write(&frame(b"a frame")).await,
            _ => peer.write(b"\x09\0half a fr").await,
        }
        drop(end(peer, n).await);
    }
    reaches(&engine.ends, joined).await;
    reaches(&engine.refusals, refused).await;
    assert_eq!(*engine.ends.borrow(), joined, "each ended once");
    assert_eq!(*engine.refusals.borrow(), refused);
    game.end().await;
}

/// Only Linux has all of 127.0.0.0/8.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_address_has_its_share_of_the_places_and_no_more() {
    let engine = Arc::new(Engine::default());
    let limits = ServerLimits::default().connections_per_address(Some(3));
    let server = serve(engine.clone(), limits).await;
    let address = server.local_address().tcp().unwrap();
    let mut peers = Vec::new();
    for id in ["1", "2", "3"] {
        peers.push(Peer::join(address, id).await);
    }
    for _ in 0..20 {
        let mut refused = Peer::join(address, "refused").await;
        refused.expect_bye().await;
    }
    reaches(&engine.refusals, 20).await;
    let elsewhere = tokio::net::TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = elsewhere.connect(address).await.unwrap();
    let mut other = Peer { stream };
    other.write(&frame(b"other")).await;
    assert_eq!(other.read().await.as_deref(), Some(&b"engine"[..]));
    // One that leaves makes room, a moment later.
    peers.pop();
    soon(async {
        loop {
            let mut next = Peer::join(address, "good").await;
            // A client that is refused finds the stream closed.
            let _ = next.stream.write_all(&frame(b"hi")).await;
            if next.read().await.as_deref() == Some(b"hi") {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_follows_a_bye_is_never_heard() {
    let (events, mut happened) = Events::new();
    let server = serve(events, Limits::default()).await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let bytes = [
        frame(b"before"),
        frame(b"BYE"),
        frame(b"behind"),
        b"\xff\xff garbage".to_vec(),
    ];
    peer.write(&bytes.concat()).await;
    assert_eq!(peer.read().await, None);
    let mut heard = Vec::new();
    while let Some(event) = soon(happened.recv()).await {
        match event {
            Event::Received(_, frame) => heard.push(frame),
            Event::Closed(_, reason) => {
                assert_eq!(reason, CloseReason::PeerBye);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(heard, [Frame::new("before")]);
}

#[tokio::test]
async fn a_flood_of_empty_frames_is_bounded_and_the_others_get_through() {
    let limits = Limits::default().queue_messages(100);
    let queue = SocketHandlerQueue::new(&limits, WhenFull::Wait);
    let server = serve(queue.clone(), limits).await;
    let address = server.local_address().tcp().unwrap();
    let mut flood = Peer::join(address, "flood").await;
    let flooding = tokio::spawn(async move {
        // Ends when the server does.
        while flood.stream.write_all(&[0; 60_000]).await.is_ok() {}
    });
    let mut good = Peer::join(address, "good").await;
    for n in 0..20_u8 {
        good.write(&frame(&[n])).await;
        soon(async {
            loop {
                assert!(queue.len() <= 100);
                let received = queue.next().await.unwrap();
                if received.connection.peer().as_str() == "good" {
                    break assert_eq!(received.frame.as_ref(), [n]);
                }
                assert_eq!(received.frame.size(), 0);
            }
        })
        .await;
    }
    flooding.abort();
}

/// Bounds for which no clock, socket or semaphore has numbers.
#[tokio::test]
async fn bounds_without_end_are_bounds_too() {
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
    let server = peer::server_with(bounds).await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    connection.send("hi").await.unwrap();
    assert_eq!(peer.read().await.as_deref(), Some(&b"hi"[..]));
    let shutdown = tokio::spawn(server.shutdown(far));
    peer.expect_bye().await;
    let report = soon(shutdown).await.unwrap();
    assert_eq!(report.ended, ["agent".into()]);
}

/// A handler that tells its calls, and panics or never returns in one of them: the peer's id is the name of that call.
struct Rogue {
    told: mpsc::UnboundedSender<String>,
    panics: bool,
}

impl Rogue {
    async fn is_told(&self, call: &str, peer: &str) {
        let _ = self.told.send(format!("{call} {peer}"));
        if peer != call {
            return;
        }
        assert!(!self.panics, "as told by the peer's id");
        std::future::pending::<()>().await;
    }

    fn new(panics: bool) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (told, heard) = mpsc::unbounded_channel();
        (Self { told, panics }, heard)
    }
}

impl SocketHandler for Rogue {
    async fn on_connect(&self, connection: &Connection) {
        self.is_told("connect", connection.peer()).await;
    }
    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        self.is_told("receive", connection.peer()).await;
        let _ = connection.send(frame).await;
    }
    async fn on_close(&self, connection: &Connection, _: &CloseReason) {
        self.is_told("close", connection.peer()).await;
    }
    async fn on_reject(&self, _: masep::Address, _: &RejectReason) {
        self.is_told("reject", "reject").await;
    }
}

async fn expect_told(heard: &mut mpsc::UnboundedReceiver<String>, expected: &str) {
    while soon(heard.recv()).await.as_deref() != Some(expected) {}
}

async fn expect_echo(address: SocketAddr, id: &str) {
    let mut peer = Peer::join(address, id).await;
    peer.write(&frame(b"hi")).await;
    assert_eq!(peer.read().await.as_deref(), Some(&b"hi"[..]));
    peer.write(&frame(b"BYE")).await;
    assert_eq!(peer.read().await, None);
}

#[tokio::test]
async fn a_handler_that_panics_in_any_call_is_told_the_end_and_keeps_no_place() {
    let (handler, mut heard) = Rogue::new(true);
    let server = serve(handler, ServerLimits::default().connections(2)).await;
    let address = server.local_address().tcp().unwrap();
    for n in 0..3 {
        for call in ["connect", "receive"] {
            let mut bad = Peer::join(address, call).await;
            bad.write(&frame(b"go on")).await;
            bad.expect_bye().await;
            expect_told(&mut heard, &format!("close {call}")).await;
        }
        drop(Peer::join(address, "close").await);
        expect_told(&mut heard, "close close").await;
        let mut refused = Peer::connect(address).await;
        refused.write(b"\x02\0\xff\xff").await;
        expect_told(&mut heard, "reject reject").await;
        let id = format!("good {n}");
        expect_echo(address, &id).await;
        expect_told(&mut heard, &format!("close {id}")).await;
    }
}

#[tokio::test]
async fn a_handler_that_never_returns_costs_its_own_connection_only() {
    let (handler, mut heard) = Rogue::new(false);
    let server = serve(handler, Limits::default()).await;
    let address = server.local_address().tcp().unwrap();
    let mut stuck = Vec::new();
    for call in ["connect", "receive"] {
        let mut peer = Peer::join(address, call).await;
        peer.write(&frame(b"never answered")).await;
        expect_told(&mut heard, &format!("{call} {call}")).await;
        // Frames of others to it go out all the same.
        server.registry().send_frame_to(call, "news").await.unwrap();
        assert_eq!(peer.read().await.as_deref(), Some(&b"news"[..]));
        stuck.push(peer);
    }
    for _ in 0..2 {
        // The id is free again, if not at once.
        drop(Peer::join(address, "close").await);
        expect_told(&mut heard, "close close").await;
        soon(async {
            while server.registry().is_connection_registered("close") {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    let mut refused = Peer::connect(address).await;
    refused.write(b"\x02\0\xff\xff").await;
    expect_told(&mut heard, "reject reject").await;
    expect_echo(address, "good").await;

    let connection = server.registry().get_connection("receive").unwrap();
    assert_eq!(soon(connection.bye()).await, CloseReason::LocalBye);
    let report = soon(server.shutdown(Duration::from_millis(100))).await;
    assert!(report.ended.len() + report.cut.len() <= 1, "{report:?}");
    for peer in &mut stuck {
        peer.expect_bye().await;
    }
}

#[tokio::test]
async fn a_newer_connection_replaces_one_whose_handler_never_returns() {
    let (handler, mut heard) = Rogue::new(false);
    let server = Server::builder("engine")
        .handler(handler)
        .duplicates(masep::Duplicates::Replace)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let address = server.local_address().tcp().unwrap();
    let mut older = Peer::join(address, "close").await;
    expect_told(&mut heard, "connect close").await;
    let newer = Peer::join(address, "close").await;
    older.expect_bye().await;
    expect_told(&mut heard, "connect close").await;
    drop(newer);
    let report = soon(server.shutdown(Duration::from_millis(100))).await;
    assert!(report.ended.is_empty(), "{report:?}");
}
