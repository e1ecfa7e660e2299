//! Calls that queue a frame, while the queue is full.

use std::pin::Pin;

use masep::{CloseReason, Connection, Frame, Limits, SendError, WhenFull};

use crate::cut::{Cut, Work, breathe, soon};
use crate::world::{World, frame};

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

type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), SendError>> + 'a>>;

/// A call of `send` waits for room behind one that came before, and in front of one that comes after.
fn in_line(
    cut: &Cut,
    send: impl for<'a> Fn(&'a World, &'a Connection) -> Sending<'a> + 'static,
) -> Work<'_> {
    Box::pin(async move {
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
    })
}

pub(crate) fn send(cut: &Cut) -> Work<'_> {
    in_line(cut, |_world, connection| {
        Box::pin(connection.send(frame(CUT)))
    })
}

pub(crate) fn send_or_wait(cut: &Cut) -> Work<'_> {
    in_line(cut, |_world, connection| {
        Box::pin(connection.send_or(frame(CUT), WhenFull::Wait))
    })
}

pub(crate) fn send_frame_to(cut: &Cut) -> Work<'_> {
    in_line(cut, |world, _connection| {
        let registry = world.server.registry();
        Box::pin(registry.send_frame_to("agent", frame(CUT)))
    })
}

/// The policies that never wait: dropped before the first poll they have done nothing.
pub(crate) fn send_or_newest(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
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
    })
}

pub(crate) fn send_or_disconnect(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
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
    })
}

pub(crate) fn send_message(cut: &Cut) -> Work<'_> {
    message_in_line(cut, false)
}

pub(crate) fn send_message_to(cut: &Cut) -> Work<'_> {
    message_in_line(cut, true)
}

/// As [`in_line`], with frames that are messages.
fn message_in_line(cut: &Cut, by_id: bool) -> Work<'_> {
    Box::pin(async move {
        let world = World::new(narrow());
        let (connection, mut peer) = world.join("agent").await;
        let message = masep::Message::quit("engine");
        let size = message.to_frame().unwrap().size();
        let filled = fill(&connection).await.len();
        let reader = tokio::spawn(async move {
            breathe().await;
            let mut sizes = Vec::new();
            while let Some(frame) = peer.read().await {
                breathe().await;
                sizes.push(frame.len());
            }
            sizes
        });
        let sent = if by_id {
            let registry = world.server.registry();
            cut.call(registry.send_message_to("agent", &message)).await
        } else {
            cut.call(connection.send_message(&message)).await
        };
        let mut expected = vec![100; filled];
        if let Some(sent) = sent {
            sent.unwrap();
            expected.push(size);
        }
        soon(connection.send(frame(AFTER))).await.unwrap();
        expected.extend([100, 3]);
        soon(connection.bye()).await;
        assert_eq!(soon(reader).await.unwrap(), expected);
    })
}

/// One peer has room, two have none; what a call that is dropped has sent to some arrives there once.
fn to_all(
    cut: &Cut,
    broadcast: impl for<'a> Fn(
        &'a World,
        &'a Frame,
    ) -> Pin<Box<dyn Future<Output = Result<usize, SendError>> + 'a>>
    + 'static,
) -> Work<'_> {
    Box::pin(async move {
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

        let sent = cut.call(broadcast(&world, &to_all)).await;

        if let Some(sent) = &sent {
            assert_eq!(*sent.as_ref().unwrap(), 3);
        }
        let last = frame(AFTER);
        let again = world.server.registry().broadcast(&last, WhenFull::Wait);
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
    })
}

pub(crate) fn broadcast(cut: &Cut) -> Work<'_> {
    to_all(cut, |world, frame| {
        Box::pin(world.server.registry().broadcast(frame, WhenFull::Wait))
    })
}

/// As [`to_all`], with a message.
pub(crate) fn broadcast_message(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let world = World::new(narrow());
        let message = masep::Message::quit("engine");
        let size = message.to_frame().unwrap().size();
        let (connection, mut peer) = world.join("agent").await;
        let filled = fill(&connection).await.len();
        let reader = tokio::spawn(async move {
            breathe().await;
            let mut sizes = Vec::new();
            while let Some(frame) = peer.read().await {
                sizes.push(frame.len());
            }
            sizes
        });
        let registry = world.server.registry();
        let call = registry.broadcast_message(&message, WhenFull::Wait);
        let sent = cut.call(call).await.map(Result::unwrap);
        let again = registry.broadcast_message(&message, WhenFull::Wait);
        assert_eq!(soon(again).await.unwrap(), 1);
        soon(connection.bye()).await;
        let mut expected = vec![100; filled];
        expected.extend(sent.map(|_| size));
        expected.extend([size, 3]);
        assert_eq!(soon(reader).await.unwrap(), expected);
    })
}
