//! Calls that queue a frame, while the queue is full.

use masep::{CloseReason, Connection, Limits, Message, SendError, WhenFull};

use crate::cut::{Cut, breathe, soon};
use crate::world::{BYE, World, frame};

/// One frame may wait.
fn narrow() -> Limits {
    Limits::default().queue_messages(1)
}

/// Sends numbered frames until there is no room for one more: their numbers.
async fn fill(connection: &Connection) -> Vec<u8> {
    let mut sent = Vec::new();
    loop {
        let number = u8::try_from(sent.len()).unwrap();
        if connection.try_send(frame(number)).is_ok() {
            sent.push(number);
            continue;
        }
        // The task may take it out of the queue.
        breathe().await;
        if connection.try_send(frame(number)).is_err() {
            return sent;
        }
        sent.push(number);
    }
}

/// The frames of others, and that of the call which may be dropped.
const BEFORE: u8 = 100;
const CUT: u8 = 101;
const BEHIND: u8 = 102;
const AFTER: u8 = 103;

/// A call of `send` waits for room behind one that came before, and in front of one that comes after.
async fn in_line(cut: &Cut, send: impl AsyncFn(&World, &Connection) -> Result<(), SendError>) {
    let world = World::new(narrow());
    let (connection, mut peer) = world.join("agent").await;
    let mut expected = fill(&connection).await;
    let send_other = |number| {
        let connection = connection.clone();
        tokio::spawn(async move { connection.send(frame(number)).await })
    };
    let before = send_other(BEFORE);
    breathe().await;
    let behind = send_other(BEHIND);
    let reader = tokio::spawn(async move {
        breathe().await;
        peer.read_numbers().await
    });

    let sent = cut.call(send(&world, &connection)).await;

    expected.push(BEFORE);
    if let Some(sent) = sent {
        sent.expect("nothing ends the connection");
        expected.push(CUT);
    }
    soon(connection.send(frame(AFTER))).await.unwrap();
    soon(before).await.unwrap().unwrap();
    soon(behind).await.unwrap().unwrap();
    assert_eq!(soon(connection.bye()).await, CloseReason::LocalBye);
    let mut arrived = soon(reader).await.unwrap();
    // Those that came after are in an order that depends on when the call was dropped.
    let position = |number| arrived.iter().position(|arrived| *arrived == number);
    let (last, others) = (position(AFTER), position(BEHIND));
    assert!(last > position(BEFORE) && others > position(BEFORE));
    assert!(last > position(CUT));
    arrived.retain(|number| ![AFTER, BEHIND].contains(number));
    assert_eq!(arrived, expected);
}

pub(crate) async fn send(cut: &Cut) {
    in_line(cut, async |_, connection| connection.send(frame(CUT)).await).await;
}

pub(crate) async fn send_or_wait(cut: &Cut) {
    in_line(cut, async |_, connection| {
        connection.send_or(frame(CUT), WhenFull::Wait).await
    })
    .await;
}

pub(crate) async fn send_frame_to(cut: &Cut) {
    in_line(cut, async |world, _| {
        let registry = world.server.registry();
        registry.send_frame_to("agent", frame(CUT)).await
    })
    .await;
}

/// The policies that never wait: dropped before the first poll they have done nothing.
pub(crate) async fn send_or_newest(cut: &Cut) {
    let world = World::new(narrow());
    let (connection, mut peer) = world.join("agent").await;
    let sent = fill(&connection).await;
    let call = connection.send_or(frame(CUT), WhenFull::NewestWins);
    let replaced = cut.call(call).await.is_some();
    let reader = tokio::spawn(async move { peer.read_numbers().await });
    assert_eq!(soon(connection.bye()).await, CloseReason::LocalBye);
    let (last, others) = sent.split_last().unwrap();
    let mut expected = others.to_vec();
    expected.push(if replaced { CUT } else { *last });
    assert_eq!(soon(reader).await.unwrap(), expected);
}

pub(crate) async fn send_or_disconnect(cut: &Cut) {
    let world = World::new(narrow());
    let (connection, mut peer) = world.join("agent").await;
    let sent = fill(&connection).await;
    let call = connection.send_or(frame(CUT), WhenFull::Disconnect);
    if cut.call(call).await.is_some() {
        let reason = soon(connection.closed()).await;
        assert!(matches!(reason, CloseReason::QueueFull(_)), "{reason:?}");
    } else {
        let reader = tokio::spawn(async move { peer.read_numbers().await });
        assert_eq!(soon(connection.bye()).await, CloseReason::LocalBye);
        assert_eq!(soon(reader).await.unwrap(), sent);
    }
}

/// As [`in_line`], with a frame that is a message.
async fn message<T>(
    cut: &Cut,
    send: impl AsyncFn(&World, &Connection, &Message) -> Result<T, SendError>,
) {
    let world = World::new(narrow());
    let (connection, mut peer) = world.join("agent").await;
    let message = Message::quit("engine");
    let size = message.to_frame().unwrap().size();
    let mut expected = vec![100; fill(&connection).await.len()];
    let reader = tokio::spawn(async move {
        breathe().await;
        let mut sizes = Vec::new();
        while let Some(frame) = peer.read().await {
            breathe().await;
            sizes.push(frame.len());
        }
        sizes
    });
    if let Some(sent) = cut.call(send(&world, &connection, &message)).await {
        assert!(sent.is_ok());
        expected.push(size);
    }
    soon(connection.send(frame(AFTER))).await.unwrap();
    expected.extend([100, BYE.len() - 2]);
    soon(connection.bye()).await;
    assert_eq!(soon(reader).await.unwrap(), expected);
}

pub(crate) async fn send_message(cut: &Cut) {
    message(cut, async |_, connection, message| {
        connection.send_message(message).await
    })
    .await;
}

pub(crate) async fn send_message_to(cut: &Cut) {
    message(cut, async |world, _, message| {
        let registry = world.server.registry();
        registry.send_message_to("agent", message).await
    })
    .await;
}

pub(crate) async fn broadcast_message(cut: &Cut) {
    message(cut, async |world, _, message| {
        let registry = world.server.registry();
        registry.broadcast_message(message, WhenFull::Wait).await
    })
    .await;
}

/// One peer has room, two have none; what a call that is dropped has sent to some arrives there once.
pub(crate) async fn broadcast(cut: &Cut) {
    let world = World::new(narrow());
    let (roomy, mut first) = world.join("a").await;
    let (tight, mut second) = world.join("b").await;
    let (tighter, mut third) = world.join("c").await;
    let filled = fill(&tight).await;
    assert_eq!(fill(&tighter).await, filled);
    let readers = [
        tokio::spawn(async move { first.read_numbers().await }),
        tokio::spawn(async move { second.read_numbers().await }),
        tokio::spawn(async move {
            for _ in 0..4 {
                breathe().await;
            }
            third.read_numbers().await
        }),
    ];
    let to_all = frame(CUT);

    let registry = world.server.registry();
    let sent = cut.call(registry.broadcast(&to_all, WhenFull::Wait)).await;

    if let Some(sent) = &sent {
        assert_eq!(*sent.as_ref().unwrap(), 3);
    }
    let last = frame(AFTER);
    let again = registry.broadcast(&last, WhenFull::Wait);
    assert_eq!(soon(again).await.unwrap(), 3);
    for connection in [roomy, tight, tighter] {
        assert_eq!(soon(connection.bye()).await, CloseReason::LocalBye);
    }
    for (number, reader) in readers.into_iter().enumerate() {
        let arrived = soon(reader).await.unwrap();
        let before = if number == 0 { &[][..] } else { &filled };
        let rest = arrived.strip_prefix(before).unwrap();
        // A connection that has room gets it at the first poll.
        let must = sent.is_some() || (number == 0 && !cut.is_unpolled());
        assert!(
            rest == [CUT, AFTER] || (!must && rest == [AFTER]),
            "{arrived:?}"
        );
    }
}
