//! Calls that end a connection, or wait for its end.

use masep::{Bye, CloseReason, Frame, Limits};

use crate::cut::{Cut, breathe, soon};
use crate::world::{BYE, World, frame, number, wire};

pub(crate) async fn bye(cut: &Cut, has_words: bool) {
    let world = World::new(Limits::default());
    let (connection, mut peer) = world.join("agent").await;
    let mut expected: Vec<u8> = (0..4).collect();
    for number in &expected {
        connection.send(frame(*number)).await.unwrap();
    }
    let reader = tokio::spawn(async move {
        breathe().await;
        peer.read_numbers().await
    });

    let ended = if has_words {
        cut.call(connection.bye_with(Bye::new("done", ""))).await
    } else {
        cut.call(connection.bye()).await
    };

    assert!(ended.is_none_or(|reason| reason == CloseReason::LocalBye));
    // The first poll starts the end.
    let more = connection.send(frame(4)).await;
    assert_eq!(more.is_ok(), cut.is_unpolled());
    expected.extend(more.is_ok().then_some(4));
    if !cut.is_unpolled() {
        assert_eq!(soon(connection.closed()).await, CloseReason::LocalBye);
    }
    assert_eq!(soon(connection.bye()).await, CloseReason::LocalBye);
    assert_eq!(soon(reader).await.unwrap(), expected);
    assert!(world.server.registry().is_empty());
}

/// Frames that come meanwhile are for those who receive, and the end is that of the peer.
pub(crate) async fn closed(cut: &Cut) {
    let world = World::new(Limits::default());
    let (connection, peer) = world.join("agent").await;
    // A call of `recv` has kept the turn to read.
    let (received, ()) = tokio::join!(connection.recv(), async {
        breathe().await;
        peer.write(&wire([9])).await;
    });
    assert_eq!(received, Ok(Frame::new(vec![9; 3])));
    let sender = tokio::spawn(async move {
        peer.trickle(&[&wire(0..2)[..], BYE].concat()).await;
        peer
    });

    let ended = cut.call(connection.closed()).await;

    assert!(ended.is_none_or(|reason| reason == CloseReason::PeerBye));
    for expected in 0..2 {
        let frame = soon(connection.recv()).await.unwrap();
        assert_eq!(number(&frame), expected);
    }
    assert!(soon(connection.recv()).await.is_err());
    assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye);
    soon(sender).await.unwrap();
}
