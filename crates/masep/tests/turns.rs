//! Without a handler, calls of `recv` and the connection's own task take turns to read. Nobody notices:
//! frames come whole, once and in order, and ends are known, whoever reads.

mod peer;

use masep::{Client, CloseReason, Connection, Frame};
use peer::{Peer, frame, server, soon};

/// A connection whose last frame was read by a call of `recv`, which keeps the turn for a moment.
async fn with_a_turn_kept() -> (masep::Server, Peer, Connection) {
    let server = server().await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.expect("the server accepts");
    for number in 0..3_u8 {
        let (received, ()) = tokio::join!(soon(connection.recv()), async {
            // The call waits already.
            tokio::task::yield_now().await;
            peer.write(&frame(&[number])).await;
        });
        assert_eq!(received, Ok(Frame::new(vec![number])));
    }
    (server, peer, connection)
}

#[tokio::test]
async fn an_end_is_seen_to_though_nobody_calls_recv_any_more() {
    let (server, mut peer, connection) = with_a_turn_kept().await;
    peer.write(&frame(b"BYE")).await;
    // Our side closes, which nothing of ours has asked for.
    assert_eq!(soon(peer.read()).await, None);
    assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye);
    assert!(server.registry().is_empty());
}

#[tokio::test]
async fn an_end_behind_the_frame_that_a_call_took_is_seen_to() {
    let (_server, mut peer, connection) = with_a_turn_kept().await;
    peer.write(&[frame(b"last"), frame(b"BYE")].concat()).await;
    assert_eq!(soon(connection.recv()).await, Ok(Frame::new("last")));
    assert_eq!(soon(peer.read()).await, None);
    assert!(soon(connection.recv()).await.is_err());
    assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye);
}

#[tokio::test]
async fn a_header_that_claims_too_much_ends_the_connection_whoever_reads_it() {
    let server = peer::server_with(masep::Limits::default().frame_bytes(10)).await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    peer.write(&[&frame(b"good")[..], &[11, 0]].concat()).await;
    assert_eq!(soon(connection.recv()).await, Ok(Frame::new("good")));
    assert!(soon(connection.recv()).await.is_err());
    let reason = soon(connection.closed()).await;
    assert!(
        matches!(reason, CloseReason::ProtocolError(_)),
        "{reason:?}"
    );
}

#[tokio::test]
async fn what_arrives_while_nobody_calls_is_there_for_every_kind_of_call_in_order() {
    let (_server, mut peer, connection) = with_a_turn_kept().await;
    let sent = (0..100_u8).map(|number| frame(&[number]));
    peer.write(&sent.collect::<Vec<_>>().concat()).await;
    for number in 0..90_u8 {
        let received = if number % 3 == 0 {
            loop {
                match connection.try_recv() {
                    Ok(frame) => break frame,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        } else {
            soon(connection.recv()).await.unwrap()
        };
        assert_eq!(received, Frame::new(vec![number]));
    }
    let keep = |frame: &Frame| frame.as_ref() == [95];
    let kept = soon(connection.recv_newest(keep)).await;
    assert_eq!(kept, Ok(Frame::new(vec![95])));
    let newest = soon(connection.recv_newest(|_| false)).await;
    assert_eq!(newest, Ok(Frame::new(vec![99])));
}

#[tokio::test]
async fn calls_that_are_given_up_lose_nothing_and_hold_up_nobody() {
    let (_server, mut peer, connection) = with_a_turn_kept().await;
    for number in 0..50_u8 {
        {
            let mut given_up = std::pin::pin!(connection.recv());
            let polled = futures_poll_once(given_up.as_mut()).await;
            assert_eq!(polled, None);
        }
        peer.write(&frame(&[number])).await;
        assert_eq!(soon(connection.recv()).await, Ok(Frame::new(vec![number])));
    }
    let given_up = Box::pin(connection.recv());
    drop(given_up);
    peer.write(&frame(b"BYE")).await;
    assert_eq!(soon(peer.read()).await, None);
}

/// The result of a future's first poll.
async fn futures_poll_once<T>(mut future: impl Future<Output = T> + Unpin) -> Option<T> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_callers_at_once_share_the_frames() {
    const FRAMES: u32 = 2_000;
    let server = server().await;
    let client = Client::builder("agent")
        .connect(server.local_address())
        .await
        .unwrap();
    let connection = soon(server.accept()).await.unwrap();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let connection = connection.clone();
            tokio::spawn(async move {
                let mut numbers = Vec::new();
                while let Ok(frame) = connection.recv().await {
                    let bytes = frame.as_ref().try_into().unwrap();
                    numbers.push(u32::from_be_bytes(bytes));
                }
                numbers
            })
        })
        .collect();
    for number in 0..FRAMES {
        client
            .connection()
            .send(number.to_be_bytes().to_vec())
            .await
            .unwrap();
        if number % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    soon(client.connection().bye()).await;
    let mut all = Vec::new();
    for caller in callers {
        let numbers = soon(caller).await.unwrap();
        assert!(numbers.is_sorted(), "each caller gets them in order");
        all.extend(numbers);
    }
    all.sort_unstable();
    assert_eq!(all, (0..FRAMES).collect::<Vec<_>>());
}

/// A call that has waited writes what it sends itself; what follows is queued. The order holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_arrive_in_the_order_in_which_they_were_sent() {
    let server = server().await;
    let client = Client::builder("agent")
        .connect(server.local_address())
        .await
        .unwrap();
    let there = soon(server.accept()).await.unwrap();
    let echo = tokio::spawn(async move {
        while let Ok(frame) = there.recv().await {
            for piece in 0..3_u8 {
                let mut answer = frame.as_ref().to_vec();
                answer.push(piece);
                there.send(answer).await.unwrap();
            }
        }
    });
    let here = client.connection();
    for turn in 0..300_u16 {
        let size = if turn % 10 == 0 { 60_000 } else { 2 };
        let mut question = turn.to_be_bytes().to_vec();
        question.resize(size, 0);
        here.send(question.clone()).await.unwrap();
        for piece in 0..3_u8 {
            let mut expected = question.clone();
            expected.push(piece);
            assert!(soon(here.recv()).await.unwrap() == Frame::new(expected));
        }
    }
    soon(here.bye()).await;
    soon(echo).await.unwrap();
}
