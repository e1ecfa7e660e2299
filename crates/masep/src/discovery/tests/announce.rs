//! Tests of a server that announces itself.

use masep_proto::discovery::Responder;
use socket2::SockRef;

use super::*;
use crate::discovery::announce::{Announcer, receive};

#[tokio::test]
async fn several_servers_of_one_host_announce_at_once_until_they_stop() {
    let network = Loopback::new();
    let first = network.announce("0.0.0.0:60001");
    let second = network.announce("[::]:60002");
    let _third = network.announce("127.0.0.1:60003");
    let all = ["127.0.0.1:60001", "127.0.0.1:60002", "127.0.0.1:60003"];
    network.search_for(&all).await;
    first.stop();
    drop(second);
    network.search_for(&all[2..]).await;
}

#[tokio::test]
async fn a_question_that_came_before_the_stop_is_not_answered_after_it() {
    let network = Loopback::new();
    let listening: SocketAddr = "0.0.0.0:60000".parse().unwrap();
    let responder = Responder::new(listening, 10);
    let announcer = Announcer::open(network.lan.clone(), responder, None).unwrap();
    let asker = asker();
    network.send(&asker, QUESTION);
    assert_eq!(
        announcer.socket.ttl().unwrap(),
        1,
        "answers stay on the LAN"
    );
    let question = receive(&announcer.socket).await.unwrap();
    let mut received = [0; 64];
    announcer.answer(&question);
    let (length, source) = asker.recv_from(&mut received).unwrap();
    assert_eq!(&received[..length], b"127.0.0.1:60000");
    // The announcement ends while its task, on another thread, is about to answer.
    announcer.answering.end();
    announcer.answer(&question);
    announcer
        .socket
        .send_to(b"next", question.source)
        .await
        .unwrap();
    assert_eq!(asker.recv_from(&mut received).unwrap(), (4, source));
}

#[tokio::test]
async fn garbage_is_neither_answered_nor_the_end_of_the_announcement() {
    let network = Loopback::new();
    let _server = network.announce("0.0.0.0:60000");
    let garbler = asker();
    let garbage: [&[u8]; 6] = [
        b"",
        b"\xff\xfe",
        b"stop",
        b"PYMASEP SERVER?",
        b"pymasep server?\n",
        &[0x70; 60_000],
    ];
    for datagram in garbage {
        network.send(&garbler, datagram);
    }
    // The server takes datagrams in the order in which they came: when this one is answered, the
    // others were looked at.
    network.search_for(&["127.0.0.1:60000"]).await;
    garbler.set_nonblocking(true).unwrap();
    let answer = garbler
        .recv_from(&mut [0; 64])
        .map_err(|error| error.kind());
    assert_eq!(answer, Err(io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn a_flood_of_questions_is_answered_at_a_bounded_rate() {
    let network = Loopback::new();
    let limits = ServerLimits::default().answers_per_second(0);
    let silent = "0.0.0.0:60001".parse().unwrap();
    let _silent = Announcement::start_on(network.lan.clone(), silent, &limits, None).unwrap();
    let _other = network.announce("0.0.0.0:60002");
    network.search_for(&["127.0.0.1:60002"]).await;
}

#[tokio::test]
async fn interfaces_that_come_and_go_are_followed() {
    let mut network = Loopback::new();
    // A group of its own: a socket also gets what comes for the memberships of others.
    network.lan.group.set_ip(Ipv4Addr::new(239, 255, 29, 71));
    let searcher = network.lan.clone();
    let up = Arc::new(AtomicBool::new(false));
    network.lan.rescan = Duration::from_millis(5);
    network.lan.interfaces = Arc::new({
        let up = Arc::clone(&up);
        move || {
            Ok(up
                .load(Ordering::Relaxed)
                .then(loopback)
                .into_iter()
                .collect())
        }
    });
    let _server = network.announce("0.0.0.0:60000");
    let options = SearchOptions::default().timeout(SHORT / 3);
    for is_up in [true, false, true] {
        up.store(is_up, Ordering::Relaxed);
        let deadline = Instant::now() + DEADLINE;
        while search_on(&searcher, &options)
            .await
            .unwrap()
            .found
            .is_empty()
            == is_up
        {
            assert!(
                Instant::now() < deadline,
                "the change to {is_up} was not seen"
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_announced_is_refused_with_the_reason() {
    let network = Loopback::new();
    let start = |listening: &str| {
        let listening: SocketAddr = listening.parse().unwrap();
        Announcement::start_on(
            network.lan.clone(),
            listening,
            &ServerLimits::default(),
            None,
        )
    };
    for listening in ["0.0.0.0:0", "[::1]:60000", "[fe80::1]:60000"] {
        let error = start(listening).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(listening), "{error}");
    }
    // pymasep's socket does not share its port.
    SockRef::from(&network._port)
        .set_reuse_address(false)
        .unwrap();
    let error = start("0.0.0.0:60000").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let port = format!("UDP port {}", network.lan.group.port());
    assert!(error.to_string().contains(&port), "{error}");
}

#[test]
fn an_announcement_without_a_runtime_is_an_error() {
    let listening: SocketAddr = "0.0.0.0:60000".parse().unwrap();
    let error = Announcement::start(listening, &ServerLimits::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}
