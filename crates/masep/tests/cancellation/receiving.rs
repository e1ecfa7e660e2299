//! Calls that wait for a frame of one connection.

use std::time::Duration;

use masep::{
    Bye, CloseReason, Connection, Frame, Limits, RecvMessageError, Server, ServerBuilder,
    SocketOptions, WhenFull,
};
use masep_proto::protocol2::{Control, Header, Hello, kind, preamble};
use tokio::task::JoinHandle;

use crate::cut::{Cut, breathe, soon};
use crate::world::{BYE, Peer, World, number, wire};

/// Frames that the peer sends, a byte at a time.
const FRAMES: u8 = 3;

/// The peer sends these bytes.
fn send(peer: Peer, bytes: Vec<u8>) -> JoinHandle<Peer> {
    tokio::spawn(async move {
        peer.trickle(&bytes).await;
        peer
    })
}

fn send_all(peer: Peer) -> JoinHandle<Peer> {
    send(peer, [&wire(0..FRAMES)[..], BYE].concat())
}

/// The numbers of all frames that still come.
async fn rest(connection: &Connection) -> Vec<u8> {
    let mut numbers = Vec::new();
    while let Ok(frame) = connection.recv().await {
        numbers.push(number(&frame));
    }
    numbers
}

/// Nobody else receives: a call that is dropped has taken nothing, and all that is behind what another has given comes once,
/// in order.
async fn alone(
    cut: &Cut,
    connection: &Connection,
    sender: JoinHandle<Peer>,
    receive: impl AsyncFn(&Connection) -> Frame,
) -> Option<u8> {
    let got = cut.call(receive(connection)).await;
    let got = got.map(|frame| number(&frame));
    let behind = got.map_or(0, |number| number + 1);
    let rest = soon(rest(connection)).await;
    assert_eq!(rest, (behind..FRAMES).collect::<Vec<_>>());
    assert!(soon(connection.closed()).await.is_peer_bye());
    soon(sender).await.unwrap();
    got
}

/// The same at such a server, of a call that gives the first frame of all.
async fn first(cut: &Cut, server: ServerBuilder, receive: impl AsyncFn(&Connection) -> Frame) {
    let world = World::of(server);
    let (connection, peer) = world.join("agent").await;
    let got = alone(cut, &connection, send_all(peer), receive).await;
    assert!(got.is_none_or(|number| number == 0), "{got:?}");
}

async fn recv(connection: &Connection) -> Frame {
    let received = connection.recv().await;
    received.expect("the end is behind the frames")
}

pub(crate) async fn recv_reads(cut: &Cut) {
    first(cut, Server::builder("engine"), recv).await;
}

/// A call that looks for bytes without sleeping.
pub(crate) async fn recv_spins(cut: &Cut) {
    let options = SocketOptions::default().busy_poll(Duration::from_millis(20));
    first(cut, Server::builder("engine").socket_options(options), recv).await;
}

/// A policy that drops frames: the task alone reads.
pub(crate) async fn recv_from_the_queue(cut: &Cut) {
    let newest_wins = Server::builder("engine").when_full(WhenFull::NewestWins);
    first(cut, newest_wins, recv).await;
}

/// Of frames that are no messages: the error has the frame.
pub(crate) async fn recv_message(cut: &Cut) {
    first(
        cut,
        Server::builder("engine"),
        async |connection| match connection.recv_message().await {
            Err(RecvMessageError::Decode { frame, .. }) => frame,
            got => panic!("{got:?} came"),
        },
    )
    .await;
}

/// Nothing is lost of frames and notices, whichever call is dropped.
pub(crate) async fn recv_or_notice(cut: &Cut) {
    first(cut, Server::builder("engine"), async |connection| {
        connection.recv_or_notice().await.unwrap().unwrap()
    })
    .await;
}

/// It drops what is older than the frame that it gives.
pub(crate) async fn recv_newest(cut: &Cut) {
    let world = World::new(Limits::default());
    let (connection, peer) = world.join("agent").await;
    let newest = async |connection: &Connection| connection.recv_newest(|_| false).await.unwrap();
    alone(cut, &connection, send_all(peer), newest).await;
}

/// A frame of protocol 2, in so many bytes.
fn masep_frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header::new(kind, u32::try_from(payload.len()).unwrap());
    let mut bytes = [&header.to_bytes()[..], payload].concat();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Frames of protocol 2, between which stand others that are no frames of the user's.
pub(crate) async fn recv_reads_protocol_2(cut: &Cut) {
    let world = World::new(Limits::default());
    let peer = Peer::new(world.connector.connect(1 << 12).await.unwrap());
    let control = |message: Control| masep_frame(message.kind(), &message.encode().unwrap());
    let hello = Control::Hello(Box::new(Hello::new("agent".into(), 1 << 20)));
    peer.write(&[preamble::CLIENT, &control(hello)].concat())
        .await;
    let connection = soon(world.server.accept()).await.unwrap();
    let frames = (0..FRAMES).flat_map(|number| {
        let ping = masep_frame(kind::PING, &[number; 8]);
        [ping, masep_frame(kind::BYTES, &[number; 70])].concat()
    });
    let bye = control(Control::Bye(Bye::new("done", "")));
    let sender = send(peer, frames.chain(bye).collect());
    let got = alone(cut, &connection, sender, recv).await;
    assert!(got.is_none_or(|number| number == 0), "{got:?}");
    assert!(soon(connection.closed()).await.words().is_some());
}

/// Another call has the turn to read, or waits for it: both share the frames.
pub(crate) async fn recv_with_another(cut: &Cut, comes_first: bool) {
    let world = World::new(Limits::default());
    let (connection, peer) = world.join("agent").await;
    let handle = connection.clone();
    let other = tokio::spawn(async move { rest(&handle).await });
    if comes_first {
        breathe().await;
    }
    let sender = send_all(peer);
    let got = cut.call(connection.recv()).await;
    let got = got.into_iter().flatten().map(|frame| number(&frame));
    let mut ours: Vec<u8> = got.collect();
    ours.extend(soon(rest(&connection)).await);
    let theirs = soon(other).await.unwrap();
    assert!(ours.is_sorted() && theirs.is_sorted());
    ours.extend(theirs);
    ours.sort_unstable();
    assert_eq!(ours, (0..FRAMES).collect::<Vec<_>>());
    assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye);
    soon(sender).await.unwrap();
}
