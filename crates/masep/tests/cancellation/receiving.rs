//! Calls that wait for a frame of one connection.

use std::time::Duration;

use masep::{
    Bye, CloseReason, Connection, Limits, RecvMessageError, Server, SocketOptions, WhenFull,
};
use masep_proto::protocol2::{Control, Header, Hello, kind, preamble};

use crate::cut::{Cut, Work, breathe, soon};
use crate::world::{BYE, Peer, World, number, wire};

/// Frames that the peer sends, a byte at a time.
const FRAMES: u8 = 3;

fn send_all(peer: Peer) -> tokio::task::JoinHandle<Peer> {
    tokio::spawn(async move {
        peer.trickle(&[&wire(0..FRAMES)[..], BYE].concat()).await;
        peer
    })
}

/// The numbers of all frames that still come.
async fn rest(connection: &Connection) -> Vec<u8> {
    let mut numbers = Vec::new();
    while let Ok(frame) = connection.recv().await {
        numbers.push(number(&frame));
    }
    numbers
}

/// Nobody else receives: every frame comes once, in order, whoever asks for it.
async fn alone(cut: &Cut, connection: &Connection, peer: Peer) {
    let sender = send_all(peer);
    let got = cut.call(connection.recv()).await;
    let first = got.map(|frame| number(&frame.expect("the end is behind the frames")));
    let mut all: Vec<u8> = first.into_iter().collect();
    all.extend(soon(rest(connection)).await);
    assert_eq!(all, (0..FRAMES).collect::<Vec<_>>());
    assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye);
    soon(sender).await.unwrap();
}

pub(crate) fn recv_reads(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let world = World::new(Limits::default());
        let (connection, peer) = world.join("agent").await;
        alone(cut, &connection, peer).await;
    })
}

/// A frame of protocol 2, in so many bytes.
fn masep_frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header::new(kind, u32::try_from(payload.len()).unwrap());
    let mut bytes = [&header.to_bytes()[..], payload].concat();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Frames of protocol 2, between which stand others that are no frames of the user's.
pub(crate) fn recv_reads_protocol_2(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
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
        let bytes: Vec<u8> = frames.chain(bye).collect();
        let sender = tokio::spawn(async move {
            peer.trickle(&bytes).await;
            peer
        });
        let got = cut.call(connection.recv()).await;
        let first = got.map(|frame| number(&frame.expect("the end is behind the frames")));
        let mut all: Vec<u8> = first.into_iter().collect();
        all.extend(soon(rest(&connection)).await);
        assert_eq!(all, (0..FRAMES).collect::<Vec<_>>());
        assert!(soon(connection.closed()).await.words().is_some());
        soon(sender).await.unwrap();
    })
}

/// A call that looks for bytes without sleeping.
pub(crate) fn recv_spins(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let options = SocketOptions::default().busy_poll(Duration::from_millis(20));
        let world = World::of(Server::builder("engine").socket_options(options));
        let (connection, peer) = world.join("agent").await;
        alone(cut, &connection, peer).await;
    })
}

/// A policy that drops frames: the task alone reads.
pub(crate) fn recv_from_the_queue(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let newest_wins = Server::builder("engine").when_full(WhenFull::NewestWins);
        let world = World::of(newest_wins);
        let (connection, peer) = world.join("agent").await;
        alone(cut, &connection, peer).await;
    })
}

/// Another call has the turn to read, or waits for it: both share the frames.
async fn with_another(cut: &Cut, first: bool) {
    let world = World::new(Limits::default());
    let (connection, peer) = world.join("agent").await;
    let handle = connection.clone();
    let other = tokio::spawn(async move { rest(&handle).await });
    if first {
        breathe().await;
    }
    let sender = send_all(peer);
    let got = cut.call(connection.recv()).await;
    let mut ours: Vec<u8> = got
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .iter()
        .map(number)
        .collect();
    ours.extend(soon(rest(&connection)).await);
    let theirs = soon(other).await.unwrap();
    assert!(ours.is_sorted() && theirs.is_sorted());
    ours.extend(theirs);
    ours.sort_unstable();
    assert_eq!(ours, (0..FRAMES).collect::<Vec<_>>());
    assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye);
    soon(sender).await.unwrap();
}

pub(crate) fn recv_behind_another(cut: &Cut) -> Work<'_> {
    Box::pin(with_another(cut, true))
}

pub(crate) fn recv_before_another(cut: &Cut) -> Work<'_> {
    Box::pin(with_another(cut, false))
}

/// Of frames that are no messages: the error has the frame.
pub(crate) fn recv_message(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let world = World::new(Limits::default());
        let (connection, peer) = world.join("agent").await;
        let sender = send_all(peer);
        let got = cut.call(connection.recv_message()).await;
        let mut all: Vec<u8> = match got {
            Some(Err(RecvMessageError::Decode { frame, .. })) => vec![number(&frame)],
            Some(got) => panic!("{got:?} came"),
            None => Vec::new(),
        };
        all.extend(soon(rest(&connection)).await);
        assert_eq!(all, (0..FRAMES).collect::<Vec<_>>());
        soon(sender).await.unwrap();
    })
}

/// Nothing is lost of frames and notices, whichever call is dropped.
pub(crate) fn recv_or_notice(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let world = World::new(Limits::default());
        let (connection, peer) = world.join("agent").await;
        let sender = send_all(peer);
        let got = cut.call(connection.recv_or_notice()).await;
        let first = got.map_or(0, |frame| number(&frame.unwrap().unwrap()) + 1);
        let rest = soon(rest(&connection)).await;
        assert_eq!(rest, (first..FRAMES).collect::<Vec<_>>());
        soon(sender).await.unwrap();
    })
}

/// It drops what is older than the frame that it gives, and a call that is dropped drops nothing.
pub(crate) fn recv_newest(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let world = World::new(Limits::default());
        let (connection, peer) = world.join("agent").await;
        let sender = send_all(peer);
        let got = cut.call(connection.recv_newest(|_| false)).await;
        let first = got.map_or(0, |frame| number(&frame.unwrap()) + 1);
        let rest = soon(rest(&connection)).await;
        assert_eq!(rest, (first..FRAMES).collect::<Vec<_>>());
        soon(sender).await.unwrap();
    })
}
