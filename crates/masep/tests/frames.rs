//! Frames arrive whole, in order and once, however the stream is cut.

mod peer;

use masep::{
    Client, CloseReason, Connection, Frame, Limits, SendError, Server, SocketOptions, WhenFull,
};
use peer::{Peer, frame, server, server_with, soon};

#[tokio::test]
async fn a_stream_cut_anywhere_gives_whole_frames() {
    let server = server().await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    // The cuts that put pymasep out of step for good: inside the header, inside the body.
    for piece in [
        &b"\x03"[..],
        b"\0abc\x04\0de",
        b"fg",
        b"\0\0",
        b"\x01",
        b"\0",
        b"z",
    ] {
        peer.write(piece).await;
    }
    for expected in ["abc", "defg", "", "z"] {
        assert_eq!(soon(connection.recv()).await, Ok(Frame::new(expected)));
    }
}

#[tokio::test]
async fn frames_behind_the_hello_in_one_write_are_kept() {
    let server = server().await;
    let mut peer = Peer::connect(server.local_address()).await;
    peer.write(b"\x05\0agent\x01\0a\x01\0b").await;
    let connection = soon(server.accept()).await.unwrap();
    assert_eq!(soon(connection.recv()).await, Ok(Frame::new("a")));
    assert_eq!(soon(connection.recv()).await, Ok(Frame::new("b")));
}

fn sizes() -> impl Iterator<Item = usize> {
    (0..2_000usize)
        .map(|n| (n * 7_919) % 65_536)
        .chain([0, 1, 65_535])
}

async fn send_all(connection: Connection) {
    for (n, size) in sizes().enumerate() {
        connection
            .send(vec![n as u8; size])
            .await
            .expect("the connection lives");
    }
}

async fn receive_all(connection: Connection) {
    for (n, size) in sizes().enumerate() {
        let got = connection.recv().await.expect("a frame");
        assert_eq!(got.size(), size);
        assert!(got.bytes().iter().all(|byte| *byte == n as u8));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_frames_of_all_sizes_arrive_in_order_in_both_directions() {
    let server = server().await;
    let client = Client::builder("agent")
        .connect(server.local_address())
        .await
        .unwrap();
    let there = client.connection().clone();
    let here = soon(server.accept()).await.unwrap();
    let work = tokio::spawn(async move {
        tokio::join!(
            send_all(there.clone()),
            receive_all(there),
            send_all(here.clone()),
            receive_all(here)
        );
    });
    tokio::time::timeout(std::time::Duration::from_secs(60), work)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_refused_and_the_connection_lives_on() {
    let server = server().await;
    let client = Client::builder("agent")
        .connect(server.local_address())
        .await
        .unwrap();
    let connection = soon(server.accept()).await.unwrap();
    for refused in [
        client.connection().send(vec![0; 65_536]).await,
        client.connection().try_send(vec![0; 65_536]),
        client
            .registry()
            .send_frame_to("engine", vec![0; 65_536])
            .await,
        client
            .registry()
            .broadcast(&Frame::new(vec![0; 65_536]), Default::default())
            .await
            .map(drop),
    ] {
        let Err(SendError::TooLarge(limit)) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((limit.actual, limit.allowed), (65_536, 65_535));
    }
    client.connection().send(vec![1; 65_535]).await.unwrap();
    assert_eq!(soon(connection.recv()).await.unwrap().size(), 65_535);
}

#[tokio::test]
async fn a_claimed_length_over_the_limit_ends_only_that_connection() {
    let server = Server::builder("engine")
        .limits(Limits::default().frame_bytes(100))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut bad = Peer::join(server.local_address(), "bad").await;
    let mut good = Peer::join(server.local_address(), "good").await;
    let first = soon(server.accept()).await.unwrap();
    let second = soon(server.accept()).await.unwrap();
    let (to_bad, to_good) = if first.peer().as_str() == "bad" {
        (first, second)
    } else {
        (second, first)
    };
    bad.write(&101u16.to_le_bytes()).await;
    assert_eq!(soon(to_bad.closed()).await.as_str(), "protocol_error");
    bad.expect_bye().await;
    good.write(&frame(b"still here")).await;
    assert_eq!(soon(to_good.recv()).await, Ok(Frame::new("still here")));
}

#[tokio::test]
async fn frames_sent_from_many_tasks_are_never_mixed() {
    let server = server().await;
    let client = Client::builder("agent")
        .connect(server.local_address())
        .await
        .unwrap();
    let connection = soon(server.accept()).await.unwrap();
    for task in 0..20u8 {
        let sender = client.connection().clone();
        tokio::spawn(async move {
            for size in (0..5_000).step_by(500) {
                sender.send(vec![task; 1 + size]).await.unwrap();
            }
        });
    }
    let mut last = [0; 20];
    for _ in 0..200 {
        let got = soon(connection.recv()).await.unwrap();
        let task = got.bytes()[0];
        assert!(got.bytes().iter().all(|byte| *byte == task));
        assert!(got.size() > last[usize::from(task)], "out of order");
        last[usize::from(task)] = got.size();
    }
}

/// One thread for both ends: a connection that looks for bytes must let the others run.
#[tokio::test]
async fn connections_that_poll_busily_let_each_other_run() {
    let options = SocketOptions::default().busy_poll(std::time::Duration::from_secs(3_600));
    let server = server_with(options.clone()).await;
    let builder = Client::builder("agent").socket_options(options);
    let client = builder.connect(server.local_address()).await.unwrap();
    let here = soon(server.accept()).await.unwrap();
    for n in 0..100_u8 {
        client.connection().send(vec![n]).await.unwrap();
        assert_eq!(soon(here.recv()).await, Ok(Frame::new(vec![n])));
        here.send(vec![n; 2]).await.unwrap();
        let answer = soon(client.connection().recv()).await;
        assert_eq!(answer, Ok(Frame::new(vec![n; 2])));
    }
    assert_eq!(soon(here.bye()).await, CloseReason::LocalBye);
    assert_eq!(
        soon(client.connection().closed()).await,
        CloseReason::PeerBye
    );
}

/// More than any queue and any socket takes, so that what is not written in between is dropped.
const WITHOUT_PAUSE: u32 = 200_000;

/// One thread for all: a loop that drops what is old never waits for anything.
#[tokio::test]
async fn who_sends_without_pause_lets_what_is_sent_arrive() {
    let server = server().await;
    let client = Client::builder("agent").connect(server.local_address());
    let client = client.await.unwrap();
    let here = soon(server.accept()).await.unwrap();
    for all in [false, true] {
        let connection = client.connection().clone();
        let first = tokio::spawn(async move { connection.recv().await });
        let mut sent = 0;
        while !first.is_finished() && sent < WITHOUT_PAUSE {
            let frame = Frame::new(sent.to_le_bytes().to_vec());
            if all {
                let broadcast = server.registry().broadcast(&frame, WhenFull::NewestWins);
                assert_eq!(broadcast.await.unwrap(), 1);
            } else {
                here.send_or(frame, WhenFull::NewestWins).await.unwrap();
            }
            sent += 1;
        }
        assert!(sent < WITHOUT_PAUSE, "nothing arrived (to all: {all})");
        assert!(soon(first).await.unwrap().is_ok());
    }
}
