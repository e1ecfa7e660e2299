//! Calls that wait for the frames of all connections.

use masep::{Limits, Received, Server, SocketHandlerQueue, WhenFull};

use crate::cut::{Cut, breathe, soon};
use crate::world::{BYE, NARROW, Peer, World, number, wire};

/// Frames that each of two peers sends.
const FRAMES: u8 = 3;

/// Two peers send, and another reader waits before this one: each frame is given once.
async fn shared(cut: &Cut, next: impl AsyncFn(&SocketHandlerQueue) -> Option<Received>) {
    // With room for one frame, so that the connections have to wait for the readers.
    let limits = Limits::default().queue_messages(1);
    let queue = SocketHandlerQueue::new(&limits, WhenFull::Wait);
    let world = World::of(Server::builder("engine").handler(queue.clone()));
    let peers = [
        Peer::join(&world.connector, "a", NARROW).await,
        Peer::join(&world.connector, "b", NARROW).await,
    ];
    let readers = queue.clone();
    let other = tokio::spawn(async move { numbers(&readers).await });
    breathe().await;
    let senders = peers.into_iter().zip([0, 100]).map(|(peer, first)| {
        tokio::spawn(async move {
            let frames = wire(first..first + FRAMES);
            peer.trickle(&[&frames[..], BYE].concat()).await;
            peer
        })
    });
    let senders: Vec<_> = senders.collect();

    let got = cut.call(next(&queue)).await;

    let mut all: Vec<u8> = got
        .flatten()
        .iter()
        .map(|received| number(&received.frame))
        .collect();
    let ours = async {
        for sender in senders {
            soon(sender).await.unwrap();
        }
        while !world.server.registry().is_empty() {
            // The last frames are queued before their connection ends.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        queue.close();
    };
    let (mut rest, ()) = soon(async { tokio::join!(numbers(&queue), ours) }).await;
    all.append(&mut rest);
    all.extend(soon(other).await.unwrap());
    all.sort_unstable();
    let expected: Vec<u8> = (0..FRAMES).chain(100..100 + FRAMES).collect();
    assert_eq!(all, expected);
}

async fn numbers(queue: &SocketHandlerQueue) -> Vec<u8> {
    let mut numbers = Vec::new();
    while let Some(received) = queue.next().await {
        numbers.push(number(&received.frame));
    }
    numbers
}

pub(crate) async fn next(cut: &Cut) {
    shared(cut, async |queue| queue.next().await).await;
}

/// Every frame is one to keep, so that none is dropped for a newer one.
pub(crate) async fn newest(cut: &Cut) {
    shared(cut, async |queue| queue.newest(|_| true).await).await;
}
