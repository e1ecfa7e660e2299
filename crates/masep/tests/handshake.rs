//! Nobody blocks anybody at the door, and every phase has its deadline.

mod peer;

use std::time::Duration;

use masep::{Client, ConnectErrorKind, ConnectPhase, Limits, Server, ServerLimits};
use peer::{Bounds, Event, Events, Peer, frame, listen, server, server_with, soon};

async fn reasons(
    bounds: impl Into<Bounds>,
) -> (Server, tokio::sync::mpsc::UnboundedReceiver<Event>) {
    let bounds = bounds.into();
    let (events, happened) = Events::new();
    let server = Server::builder("engine")
        .limits(bounds.limits)
        .server_limits(bounds.server)
        .socket_options(bounds.socket)
        .handler(events)
        .bind("127.0.0.1:0")
        .await
        .expect("loopback can be bound");
    (server, happened)
}

async fn rejected(happened: &mut tokio::sync::mpsc::UnboundedReceiver<Event>) -> &'static str {
    match soon(happened.recv()).await {
        Some(Event::Rejected(_, reason)) => reason.as_str(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn silent_peers_and_port_scans_hold_up_nobody() {
    let server = server().await;
    let address = server.local_address().tcp().unwrap();
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(Peer::connect(address).await);
    }
    for _ in 0..20 {
        drop(Peer::connect(address).await);
        Peer::connect(address).await.reset();
    }
    let mut good = Peer::join(address, "good").await;
    let connection = soon(server.accept()).await.unwrap();
    connection.send("hi").await.unwrap();
    assert_eq!(good.read().await.as_deref(), Some(&b"hi"[..]));
    assert_eq!(server.registry().len(), 1);
}

#[tokio::test]
async fn a_hello_has_a_deadline_also_when_it_drips() {
    let (server, mut happened) =
        reasons(Limits::default().hello_time(Duration::from_millis(500))).await;
    let mut silent = Peer::connect(server.local_address()).await;
    let mut slow = Peer::connect(server.local_address()).await;
    slow.write(b"\x05\0ag").await;
    assert_eq!(rejected(&mut happened).await, "hello_timeout");
    assert_eq!(rejected(&mut happened).await, "hello_timeout");
    for peer in [&mut silent, &mut slow] {
        assert_eq!(peer.read().await.as_deref(), Some(&b"engine"[..]));
        peer.expect_bye().await;
    }
}

#[tokio::test]
async fn hellos_that_are_none_are_refused_with_the_reason() {
    let (server, mut happened) = reasons(Limits::default()).await;
    for (hello, reason) in [
        (&b"\x02\0\xff\xfe"[..], "bad_hello"),
        (b"\xff\xff", "bad_hello"),
        (b"\x03\0BYE", "closed_before_hello"),
    ] {
        let mut peer = Peer::connect(server.local_address()).await;
        peer.write(hello).await;
        assert_eq!(rejected(&mut happened).await, reason, "{hello:?}");
        assert_eq!(peer.read().await.as_deref(), Some(&b"engine"[..]));
        peer.expect_bye().await;
    }
}

#[tokio::test]
async fn the_maximum_of_connections_is_real_and_a_free_place_is_used_again() {
    let (server, mut happened) = reasons(ServerLimits::default().connections(2)).await;
    let address = server.local_address().tcp().unwrap();
    let first = Peer::join(address, "1").await;
    assert!(matches!(
        soon(happened.recv()).await,
        Some(Event::Connected(_))
    ));
    let _second = Peer::join(address, "2").await;
    assert!(matches!(
        soon(happened.recv()).await,
        Some(Event::Connected(_))
    ));
    let mut third = Peer::connect(address).await;
    assert_eq!(third.read().await.as_deref(), Some(&b"engine"[..]));
    third.expect_bye().await;
    assert_eq!(rejected(&mut happened).await, "too_many_connections");
    drop(first);
    assert!(matches!(
        soon(happened.recv()).await,
        Some(Event::Closed(..))
    ));
    // The place is free when the task of the first one has ended, just after its handler was told.
    soon(async {
        loop {
            let mut peer = Peer::connect(address).await;
            peer.write(&frame(b"3")).await;
            match happened.recv().await {
                Some(Event::Connected(_)) => break,
                Some(Event::Rejected(..)) => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn silent_connections_cannot_take_all_the_places() {
    let server = server_with(ServerLimits::default().connections(5)).await;
    let address = server.local_address().tcp().unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Peer::connect(address).await);
    }
    let mut good = Vec::new();
    for id in ["1", "2", "3", "4", "5"] {
        good.push(Peer::join(address, id).await);
    }
    assert_eq!(server.registry().len(), 5);
    for peer in &mut silent {
        assert_eq!(peer.read().await.as_deref(), Some(&b"engine"[..]));
        peer.expect_bye().await;
    }
}

#[tokio::test]
async fn a_stopped_server_keeps_its_connections_and_takes_no_more() {
    let server = server().await;
    let address = server.local_address().tcp().unwrap();
    let mut silent = Peer::connect(address).await;
    let mut good = Peer::join(address, "good").await;
    let connection = soon(server.accept()).await.unwrap();
    server.stop_accepting();
    assert_eq!(silent.read().await.as_deref(), Some(&b"engine"[..]));
    silent.expect_bye().await;
    assert!(soon(server.accept()).await.is_err());
    connection.send("hi").await.unwrap();
    assert_eq!(good.read().await.as_deref(), Some(&b"hi"[..]));
}

#[tokio::test]
async fn an_ipv6_server_is_a_server() {
    let server = Server::builder("engine").bind("[::1]:0").await.unwrap();
    let client = Client::builder("agent")
        .connect(server.local_address())
        .await
        .unwrap();
    assert_eq!(client.server_id().as_str(), "engine");
}

#[tokio::test]
async fn a_failed_connect_says_which_phase_with_whom_and_why() {
    let (listener, address) = listen().await;
    let limits = Limits::default().hello_time(Duration::from_millis(50));
    let connecting = tokio::spawn(Client::builder("agent").limits(limits).connect(address));
    let mut there = Peer {
        stream: soon(listener.accept()).await.unwrap().0,
    };
    let error = soon(connecting).await.unwrap().unwrap_err();
    assert_eq!(error.phase, ConnectPhase::Hello);
    assert_eq!(
        error.to_string(),
        format!("waiting for the hello of {address}: no answer within 50ms")
    );
    assert_eq!(there.read().await.as_deref(), Some(&b"agent"[..]));
    there.expect_bye().await;

    drop(listener);
    let error = Client::builder("agent").connect(address).await.unwrap_err();
    assert!(matches!(
        (error.phase, &error.kind),
        (ConnectPhase::Connect, ConnectErrorKind::Io(_))
    ));

    let error = Client::builder("agent")
        .connect("no.such.host.invalid:1")
        .await
        .unwrap_err();
    assert_eq!(error.phase, ConnectPhase::Resolve);

    let error = Client::builder("BYE").connect(address).await.unwrap_err();
    assert!(matches!(error.kind, ConnectErrorKind::Hello(_)));
}

#[tokio::test]
async fn a_server_that_refuses_is_told_apart_from_one_that_is_silent() {
    for (answer, expected) in [
        (&b"\x03\0BYE"[..], "the peer said BYE instead of hello"),
        (b"\x02\0\xff\xfe", "the id in the hello is not UTF-8"),
        (b"", "the server closed the connection without a hello"),
    ] {
        let (listener, address) = listen().await;
        let connecting = tokio::spawn(Client::builder("agent").connect(address));
        let mut there = Peer {
            stream: soon(listener.accept()).await.unwrap().0,
        };
        assert_eq!(there.read().await.as_deref(), Some(&b"agent"[..]));
        there.write(answer).await;
        socket2::SockRef::from(&there.stream)
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
        let error = soon(connecting).await.unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("waiting for the hello of {address}: {expected}")
        );
        there.expect_bye().await;
    }
}

#[tokio::test]
async fn a_connect_that_is_cancelled_says_bye() {
    let (listener, address) = listen().await;
    let connecting = tokio::spawn(Client::builder("agent").connect(address));
    let mut there = Peer {
        stream: soon(listener.accept()).await.unwrap().0,
    };
    assert_eq!(there.read().await.as_deref(), Some(&b"agent"[..]));
    connecting.abort();
    there.expect_bye().await;
}

#[tokio::test]
async fn the_limit_of_hello_time_is_not_the_limit_of_a_silent_connection() {
    let server = server_with(Limits::default().hello_time(Duration::from_millis(500))).await;
    let mut quiet = Peer::join(server.local_address(), "quiet").await;
    let connection = soon(server.accept()).await.unwrap();
    // Two other hellos time out one after the other, which takes longer than one hello may.
    for _ in 0..2 {
        let mut silent = Peer::connect(server.local_address()).await;
        while silent.read().await.is_some() {}
    }
    quiet.write(&frame(b"at last")).await;
    assert_eq!(soon(connection.recv()).await.unwrap().bytes(), "at last");
}
