//! Every connection ends with one known reason, and the peer is told.

mod peer;

use std::time::Duration;

use masep::{
    Client, CloseReason, Connection, Duplicates, Frame, Limits, Server, ServerLimits,
    SocketHandler, WhenFull,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use peer::{Event, Events, Peer, frame, listen, server, server_with, soon};

#[tokio::test]
async fn a_bye_of_the_peer_ends_the_connection_and_closes_the_socket() {
    let server = server().await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    peer.write(b"\x01\0a\x03\0BYE\x01\0b").await;
    assert_eq!(soon(connection.recv()).await, Ok(Frame::new("a")));
    assert_eq!(
        soon(connection.recv()).await,
        Err(CloseReason::PeerBye),
        "what follows a BYE is not read"
    );
    assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye);
    assert_eq!(
        peer.read().await,
        None,
        "the socket is closed, and no BYE is sent back"
    );
    assert!(!server.registry().is_connection_registered("agent"));
}

#[tokio::test]
async fn our_bye_comes_after_all_that_was_sent() {
    let server = server().await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    for n in 0..500u16 {
        connection.send(n.to_string()).await.unwrap();
    }
    let ended = tokio::spawn({
        let connection = connection.clone();
        async move { connection.bye().await }
    });
    for n in 0..500u16 {
        assert_eq!(peer.read().await.unwrap(), n.to_string().as_bytes());
    }
    peer.expect_bye().await;
    assert_eq!(soon(ended).await.unwrap(), CloseReason::LocalBye);
    assert!(connection.send("late").await.is_err());
}

#[tokio::test]
async fn a_peer_that_closes_without_bye_is_an_end_of_stream() {
    for (sent, mid_frame) in [(&b""[..], false), (b"\x05\0ab", true), (b"\x05", true)] {
        let server = server().await;
        let mut peer = Peer::join(server.local_address(), "agent").await;
        let connection = soon(server.accept()).await.unwrap();
        peer.write(sent).await;
        drop(peer);
        assert_eq!(
            soon(connection.closed()).await,
            CloseReason::EndOfStream { mid_frame }
        );
    }
}

#[tokio::test]
async fn a_peer_that_only_closed_its_sending_side_still_gets_what_waits_and_a_bye() {
    let server = server().await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    connection.send("last").await.unwrap();
    socket2::SockRef::from(&peer.stream)
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
    assert_eq!(peer.read().await.as_deref(), Some(&b"last"[..]));
    peer.expect_bye().await;
}

#[tokio::test]
async fn a_reset_is_told_apart() {
    let server = server().await;
    let peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    peer.reset();
    assert_eq!(soon(connection.closed()).await, CloseReason::Reset);
}

#[tokio::test]
async fn what_arrived_before_a_bye_is_kept_though_writing_failed() {
    let server = server().await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    // The peer says its last words and is gone; we are still sending to it.
    peer.write(b"\x04\0last\x03\0BYE").await;
    drop(peer);
    while connection.send(vec![0; 60_000]).await.is_ok() {}
    assert_eq!(soon(connection.recv()).await, Ok(Frame::new("last")));
    assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye);
}

#[tokio::test]
async fn silence_ends_a_connection_only_where_a_limit_says_so() {
    let server = server_with(Limits::default().idle_time(Some(Duration::from_millis(30)))).await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    assert_eq!(soon(connection.closed()).await, CloseReason::IdleTimeout);
    peer.expect_bye().await;
}

#[tokio::test]
async fn a_peer_that_never_reads_is_ended_and_holds_up_nobody() {
    let limits = Limits::default()
        .write_time(Duration::from_millis(100))
        .queue_bytes(1 << 20);
    let server = server_with(limits).await;
    let _deaf = Peer::join(server.local_address(), "deaf").await;
    let to_deaf = soon(server.accept()).await.unwrap();
    let mut good = Peer::join(server.local_address(), "good").await;
    let _to_good = soon(server.accept()).await.unwrap();

    let large = Frame::new(vec![7; 60_000]);
    while to_deaf.try_send(large.clone()).is_ok() {}
    server
        .registry()
        .broadcast(&Frame::new("to all"), WhenFull::NewestWins)
        .await
        .unwrap();
    assert_eq!(good.read().await.as_deref(), Some(&b"to all"[..]));
    while to_deaf.send(large.clone()).await.is_ok() {}
    assert_eq!(soon(to_deaf.closed()).await, CloseReason::WriteTimeout);
    assert!(!server.registry().is_connection_registered("deaf"));
}

#[tokio::test]
async fn a_peer_that_takes_no_bye_is_reset() {
    // At a bare end of the stream, when it reads on one day, pymasep would spin.
    let server = server_with(Limits::default().write_time(Duration::from_millis(50))).await;
    let mut deaf = Peer::join(server.local_address(), "deaf").await;
    let connection = soon(server.accept()).await.unwrap();
    while connection.send(vec![7; 60_000]).await.is_ok() {}
    assert_eq!(soon(connection.closed()).await, CloseReason::WriteTimeout);
    let mut taken = [0; 4096];
    let end = loop {
        match soon(deaf.stream.read(&mut taken)).await {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) => break Some(error.kind()),
        }
    };
    assert_eq!(end, Some(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn who_comes_back_at_once_is_not_a_duplicate_of_itself() {
    let (events, mut happened) = Events::new();
    let server = Server::builder("engine")
        .handler(events)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut kinds = Vec::new();
    for _ in 0..20 {
        let mut peer = Peer::join(server.local_address(), "agent").await;
        peer.write(b"\x03\0BYE").await;
    }
    while kinds.len() < 40 {
        kinds.push(match soon(happened.recv()).await {
            Some(Event::Connected(_)) => "connected",
            Some(Event::Closed(_, CloseReason::PeerBye)) => "closed",
            other => panic!("{other:?}"),
        });
    }
    // Each is told to have gone before it is told to have come again.
    assert_eq!(kinds, ["connected", "closed"].repeat(20));
}

#[tokio::test]
async fn a_full_queue_can_end_the_connection() {
    let server = server_with(Limits::default().queue_messages(4)).await;
    let mut peer = Peer::join(server.local_address(), "deaf").await;
    let connection = soon(server.accept()).await.unwrap();
    while connection
        .send_or(vec![7; 60_000], WhenFull::Disconnect)
        .await
        .is_ok()
    {}
    assert_eq!(soon(connection.closed()).await.as_str(), "queue_full");
    while peer.read().await.is_some_and(|body| body != b"BYE") {}
}

#[tokio::test]
async fn a_frame_that_had_no_room_is_the_reason_of_the_end_also_if_a_bye_follows() {
    let server = Server::builder("engine")
        .limits(Limits::default().queue_messages(1))
        .when_full(WhenFull::Disconnect)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    peer.write(b"\x01\0a\x01\0b\x01\0c\x03\0BYE").await;
    assert_eq!(soon(connection.closed()).await.as_str(), "queue_full");
    assert_eq!(soon(connection.recv()).await, Ok(Frame::new("a")));
    assert!(
        soon(connection.recv()).await.is_err(),
        "nothing behind a gap"
    );
}

#[tokio::test]
async fn a_second_connection_with_the_same_id_is_refused_with_hello_and_bye() {
    let (events, mut happened) = Events::new();
    let server = Server::builder("engine")
        .handler(events)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut first = Peer::join(server.local_address(), "agent").await;
    // A BYE alone would be taken for the server's id by pymasep.
    let mut second = Peer::join(server.local_address(), "agent").await;
    second.expect_bye().await;
    first.write(&frame(b"still the one")).await;
    assert!(matches!(
        soon(happened.recv()).await,
        Some(Event::Connected(_))
    ));
    let rejected = soon(happened.recv()).await;
    assert!(
        matches!(&rejected, Some(Event::Rejected(_, reason)) if reason.as_str() == "duplicate_id")
    );
    let received = soon(happened.recv()).await;
    assert!(
        matches!(&received, Some(Event::Received(_, frame)) if frame.bytes() == "still the one")
    );
}

#[tokio::test]
async fn by_choice_the_newer_connection_takes_the_id() {
    let (events, mut happened) = Events::new();
    let server = Server::builder("engine")
        .duplicates(Duplicates::Replace)
        .handler(events)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut old = Peer::join(server.local_address(), "agent").await;
    let Some(Event::Connected(to_old)) = soon(happened.recv()).await else {
        panic!()
    };
    let mut new = Peer::join(server.local_address(), "agent").await;
    old.expect_bye().await;
    let closed = soon(happened.recv()).await;
    assert!(
        matches!(&closed, Some(Event::Closed(c, CloseReason::Replaced)) if c.id() == to_old.id())
    );
    let Some(Event::Connected(to_new)) = soon(happened.recv()).await else {
        panic!()
    };
    assert_ne!(to_new.id(), to_old.id());
    server
        .registry()
        .send_frame_to("agent", "hi")
        .await
        .unwrap();
    assert_eq!(new.read().await.as_deref(), Some(&b"hi"[..]));
}

#[tokio::test]
async fn a_shutdown_delivers_what_is_queued_and_says_who_was_cut() {
    let server = server().await;
    let mut good = Peer::join(server.local_address(), "good").await;
    let to_good = soon(server.accept()).await.unwrap();
    let _deaf = Peer::join(server.local_address(), "deaf").await;
    let to_deaf = soon(server.accept()).await.unwrap();
    while to_deaf.try_send(vec![7; 60_000]).is_ok() {
        tokio::task::yield_now().await;
    }
    to_good.send("one").await.unwrap();
    let address = server.local_address().tcp().unwrap();
    let report = soon(server.shutdown(Duration::from_secs(1))).await;
    assert_eq!(report.ended, ["good".into()]);
    assert_eq!(report.cut, ["deaf".into()]);
    assert_eq!(good.read().await.as_deref(), Some(&b"one"[..]));
    good.expect_bye().await;
    assert_eq!(to_good.close_reason(), Some(&CloseReason::Shutdown));
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "the port is closed"
    );
}

/// Never done with a frame.
struct Stuck;

impl SocketHandler for Stuck {
    async fn on_receive(&self, connection: &Connection, _frame: Frame) {
        while connection.send(vec![7; 60_000]).await.is_ok() {}
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_handler_that_is_stuck_with_a_peer_that_is_gone() {
    let server = Server::builder("engine")
        .handler(Stuck)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut peer = Peer::join(server.local_address(), "gone").await;
    let connection = server.registry().get_connection("gone").unwrap();
    peer.write(&frame(b"never answered")).await;
    // The handler is sending: it has the frame, and the peer has not read all when it goes.
    assert!(peer.read().await.is_some());
    peer.reset();
    while connection.try_send("probe").is_ok() {
        tokio::task::yield_now().await;
    }
    let report = soon(server.shutdown(Duration::from_millis(50))).await;
    assert_eq!(report.cut, ["gone".into()]);
}

#[tokio::test]
async fn dropping_a_server_or_a_client_says_bye() {
    let server = server().await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    drop(server);
    peer.expect_bye().await;
    assert_eq!(soon(connection.closed()).await, CloseReason::Shutdown);

    let (listener, address) = listen().await;
    let connecting = tokio::spawn(async move { Client::builder("agent").connect(address).await });
    let mut there = Peer {
        stream: soon(listener.accept()).await.unwrap().0,
    };
    assert_eq!(there.read().await.as_deref(), Some(&b"agent"[..]));
    there.write(&frame(b"engine")).await;
    let client = soon(connecting).await.unwrap().unwrap();
    assert_eq!(client.server_id().as_str(), "engine");
    client.connection().send("last").await.unwrap();
    drop(client);
    assert_eq!(there.read().await.as_deref(), Some(&b"last"[..]));
    there.expect_bye().await;
}

#[test]
fn even_a_runtime_that_is_dropped_says_bye() {
    let outer = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let inner = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let server = inner.block_on(server());
    let mut peer = outer.block_on(Peer::join(server.local_address(), "agent"));
    let connection = inner.block_on(server.accept()).unwrap();
    inner.shutdown_background();
    outer.block_on(async {
        peer.expect_bye().await;
        assert_eq!(soon(connection.closed()).await, CloseReason::Aborted);
    });
}

struct Panics;

impl SocketHandler for Panics {
    async fn on_receive(&self, connection: &Connection, frame: Frame) {
        assert_ne!(frame.bytes(), "panic", "as told by the peer");
        let _ = connection.send(frame).await;
    }
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_connection_only() {
    let server = Server::builder("engine")
        .handler(Panics)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut bad = Peer::join(server.local_address(), "bad").await;
    let mut good = Peer::join(server.local_address(), "good").await;
    let to_bad = server.registry().get_connection("bad").unwrap();
    bad.write(&frame(b"panic")).await;
    bad.expect_bye().await;
    assert_eq!(soon(to_bad.closed()).await, CloseReason::Aborted);
    good.write(&frame(b"hi")).await;
    assert_eq!(good.read().await.as_deref(), Some(&b"hi"[..]));
}

#[tokio::test]
async fn the_handler_hears_of_a_connection_before_it_hears_of_its_end() {
    let (listener, address) = listen().await;
    let (events, mut told) = Events::new();
    let connecting = Client::builder("agent")
        .limits(Limits::default().queue_messages(1))
        .handler(events)
        .connect(address);
    let answering = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut peer = Peer { stream };
        assert_eq!(peer.read().await.as_deref(), Some(&b"agent"[..]));
        peer.write(&frame(b"engine")).await;
        peer
    };
    let (client, _peer) = soon(async { tokio::join!(connecting, answering) }).await;
    let client = client.unwrap();
    // No call waits, so the connection is cut off before its task has run.
    let connection = client.connection();
    let mut sent = 0;
    while connection.send_or("a", WhenFull::Disconnect).await.is_ok() {
        sent += 1;
        assert!(sent < 1_000_000, "the queue is full in the end");
    }
    assert!(matches!(soon(told.recv()).await, Some(Event::Connected(_))));
    assert!(matches!(
        soon(told.recv()).await,
        Some(Event::Closed(_, CloseReason::QueueFull(_)))
    ));
}

#[tokio::test]
async fn a_peer_that_sends_while_it_is_told_the_end_gets_all_of_it() {
    let server = server().await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    let mut sent = 0;
    while connection.try_send(vec![7; 60_000]).is_ok() {
        sent += 1;
        tokio::task::yield_now().await;
    }
    let bye = tokio::spawn(async move { connection.bye().await });
    let mut got = 0;
    while let Some(body) = peer.read().await {
        if body == b"BYE" {
            break;
        }
        got += 1;
        // To a socket that is closed this would be the end, before the rest has been sent.
        peer.write(&frame(b"more")).await;
    }
    assert_eq!(got, sent);
    drop(peer);
    assert_eq!(soon(bye).await.unwrap(), CloseReason::LocalBye);
}

#[tokio::test]
async fn who_hears_a_bye_may_come_back_at_once_with_the_same_id() {
    let server = server().await;
    // It closes nothing, as a pymasep peer does for as long as its objects live.
    let mut before = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    let bye = tokio::spawn(async move { connection.bye().await });
    assert_eq!(before.read().await.as_deref(), Some(&b"BYE"[..]));
    let mut again = Peer::join(server.local_address(), "agent").await;
    soon(server.accept())
        .await
        .unwrap()
        .send("back")
        .await
        .unwrap();
    assert_eq!(again.read().await.as_deref(), Some(&b"back"[..]));
    assert_eq!(soon(bye).await.unwrap(), CloseReason::LocalBye);
    // The old stream has ended, and its socket takes what is still sent for a while.
    assert_eq!(before.read().await, None);
    before.write(&frame(b"late")).await;
}

#[tokio::test]
async fn a_peer_that_does_not_end_its_side_is_reset_after_a_while() {
    let server = server().await;
    let mut peer = Peer::join(server.local_address(), "agent").await;
    let connection = soon(server.accept()).await.unwrap();
    assert_eq!(soon(connection.bye()).await, CloseReason::LocalBye);
    peer.expect_bye().await;
    // It goes on sending, now and then.
    let mut interval = tokio::time::interval(Duration::from_millis(20));
    soon(async {
        while peer.stream.write_all(&frame(b"more")).await.is_ok() {
            interval.tick().await;
        }
    })
    .await;
}

#[tokio::test]
async fn connections_that_end_before_they_are_accepted_keep_no_other_from_its_end() {
    let server = server_with(ServerLimits::default().connections(4)).await;
    // None is accepted. Each leaves, so that there is a place for the next.
    for n in 0..20 {
        let mut peer = Peer::join(server.local_address(), &n.to_string()).await;
        peer.write(b"\x01\0a\x03\0BYE").await;
        // The socket is closed when somebody has noticed.
        assert_eq!(peer.read().await, None);
    }
    let mut newest: Vec<_> = Vec::new();
    for _ in 0..4 {
        let connection = soon(server.accept()).await.unwrap();
        assert_eq!(soon(connection.recv()).await, Ok(Frame::new("a")));
        assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye);
        newest.push(connection.peer().to_string());
    }
    assert_eq!(newest, ["16", "17", "18", "19"]);
    let _last = Peer::join(server.local_address(), "last").await;
    assert_eq!(soon(server.accept()).await.unwrap().peer().as_str(), "last");
}

#[tokio::test]
async fn a_shutdown_lists_nobody_who_has_left_and_is_not_held_up_by_the_unaccepted() {
    let server = server_with(ServerLimits::default().connections(2)).await;
    let mut stays = Peer::join(server.local_address(), "stays").await;
    for n in 0..3 {
        let mut peer = Peer::join(server.local_address(), &n.to_string()).await;
        peer.write(&frame(b"BYE")).await;
        assert_eq!(peer.read().await, None);
    }
    let deadline = Duration::from_secs(3600);
    let report = soon(server.shutdown(deadline)).await;
    assert_eq!(report.ended, ["stays".into()]);
    assert_eq!(report.cut, []);
    stays.expect_bye().await;
}

/// Takes its time over the end of a connection.
struct Slow(tokio::sync::mpsc::UnboundedSender<()>);

impl SocketHandler for Slow {
    async fn on_receive(&self, _connection: &Connection, _frame: Frame) {}
    async fn on_close(&self, _connection: &Connection, _reason: &CloseReason) {
        let _ = self.0.send(());
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_shutdown_does_not_list_a_peer_whose_bye_the_handler_is_being_told() {
    let (told, mut is_told) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::builder("engine")
        .handler(Slow(told))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut peer = Peer::join(server.local_address(), "agent").await;
    peer.write(&frame(b"BYE")).await;
    soon(is_told.recv()).await.unwrap();
    assert!(server.registry().is_connection_registered("agent"));
    let report = soon(server.shutdown(Duration::from_millis(10))).await;
    assert_eq!((report.ended, report.cut), (vec![], vec![]));
}
