//! The search over the loopback interface, each test with a UDP port of its own.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use masep_proto::Limits;
use socket2::{Domain, SockRef, Socket, Type};

use super::interfaces::{self, Interface};
use super::search::{discover_on, search_on};
use super::*;

/// Long enough for every answer over loopback, on a busy machine too.
const SHORT: Duration = Duration::from_millis(300);
/// The end of a test that would otherwise never end.
const NEVER: Duration = Duration::from_secs(30);

/// A LAN that is the loopback interface, on a port that nobody else uses while this lives.
struct Loopback {
    lan: Lan,
    _port: Socket,
}

impl Loopback {
    fn new() -> Self {
        let port = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        port.bind(&any.into()).unwrap();
        // Only now: else the kernel may choose a port that another test shares.
        port.set_reuse_address(true).unwrap();
        let number = port.local_addr().unwrap().as_socket().unwrap().port();
        let lan = Lan {
            group: SocketAddrV4::new(GROUP, number),
            interfaces: Arc::new(|| Ok(vec![loopback()])),
            rescan: RESCAN,
        };
        Self { lan, _port: port }
    }

    fn announce(&self, listening: &str) -> Announcement {
        let listening = listening.parse().unwrap();
        Announcement::start_on(self.lan.clone(), listening, &Limits::default()).unwrap()
    }

    async fn search(&self) -> SearchReport {
        let options = SearchOptions::default().timeout(SHORT);
        search_on(&self.lan, &options).await.unwrap()
    }

    /// Sends a datagram to the group.
    fn send(&self, from: &UdpSocket, datagram: &[u8]) {
        let from = SockRef::from(from);
        from.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        from.send_to(datagram, &self.lan.group.into()).unwrap();
    }

    /// A socket in the group, as that of a server that is not ours.
    fn member(&self) -> UdpSocket {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_read_timeout(Some(NEVER)).unwrap();
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, self.lan.group.port());
        socket.bind(&any.into()).unwrap();
        let socket = UdpSocket::from(socket);
        socket
            .join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)
            .unwrap();
        socket
    }

    /// Searches while a server that is not ours sends these answers, each from its own address.
    async fn search_among(&self, answers: Vec<(&'static str, Vec<u8>)>) -> SearchReport {
        let member = self.member();
        let server = std::thread::spawn(move || {
            let (_, asker) = member.recv_from(&mut [0; 64]).unwrap();
            for (from, answer) in answers {
                let from = UdpSocket::bind((from, 0)).unwrap();
                from.send_to(&answer, asker).unwrap();
            }
        });
        let report = self.search().await;
        server.join().unwrap();
        report
    }
}

/// The loopback interface as the operating system lists it.
fn loopback() -> Interface {
    let mut up = interfaces::up().unwrap().into_iter();
    up.find(|it| it.address == Ipv4Addr::LOCALHOST)
        .expect("loopback is up")
}

fn asker() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(NEVER)).unwrap();
    socket
}

fn addresses(report: &SearchReport) -> Vec<String> {
    let mut addresses: Vec<_> = report
        .found
        .iter()
        .map(|it| it.address().to_string())
        .collect();
    addresses.sort();
    addresses
}

#[tokio::test]
async fn an_announced_server_is_found() {
    let network = Loopback::new();
    let _server = network.announce("0.0.0.0:60000");
    let report = network.search().await;
    assert_eq!(addresses(&report), ["127.0.0.1:60000"]);
    let source = SocketAddrV4::new(Ipv4Addr::LOCALHOST, network.lan.group.port());
    assert_eq!(report.found[0].source, source);
    assert!(report.ignored.is_empty(), "{report:?}");
    let [probe] = &report.interfaces[..] else {
        panic!("asked on one interface: {report:?}");
    };
    assert_eq!(probe.address, Ipv4Addr::LOCALHOST);
    assert_eq!(probe.answers, 1, "one server, though it is asked twice");
    assert!(probe.outcome.is_ok() && !probe.name.is_empty());
}

#[tokio::test]
async fn several_servers_of_one_host_announce_at_once_until_they_stop() {
    let network = Loopback::new();
    let first = network.announce("0.0.0.0:60001");
    let second = network.announce("[::]:60002");
    let _third = network.announce("127.0.0.1:60003");
    let all = ["127.0.0.1:60001", "127.0.0.1:60002", "127.0.0.1:60003"];
    assert_eq!(addresses(&network.search().await), all);
    first.stop();
    drop(second);
    assert_eq!(addresses(&network.search().await), all[2..]);
}

#[tokio::test]
async fn the_first_answer_can_end_the_search() {
    let network = Loopback::new();
    let _server = network.announce("0.0.0.0:60000");
    let options = SearchOptions::default().timeout(2 * NEVER).first_only(true);
    let report = tokio::time::timeout(NEVER, search_on(&network.lan, &options)).await;
    assert_eq!(report.unwrap().unwrap().found.len(), 1);
}

#[tokio::test]
async fn a_lost_question_is_asked_again() {
    let network = Loopback::new();
    let member = network.member();
    let server = std::thread::spawn(move || {
        let mut datagram = [0; 64];
        let (_, first) = member.recv_from(&mut datagram).unwrap();
        let (length, second) = member.recv_from(&mut datagram).unwrap();
        assert_eq!(&datagram[..length], QUESTION);
        assert_eq!(first, second);
        member.send_to(b"127.0.0.1:60000", second).unwrap();
    });
    assert_eq!(addresses(&network.search().await), ["127.0.0.1:60000"]);
    server.join().unwrap();
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
    let report = network.search().await;
    assert_eq!(addresses(&report), ["127.0.0.1:60000"]);
    garbler.set_nonblocking(true).unwrap();
    let answer = garbler
        .recv_from(&mut [0; 64])
        .map_err(|error| error.kind());
    assert_eq!(answer, Err(io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn a_flood_of_questions_is_answered_at_a_bounded_rate() {
    let network = Loopback::new();
    let limits = Limits::default().answers_per_second(0);
    let silent = "0.0.0.0:60001".parse().unwrap();
    let _silent = Announcement::start_on(network.lan.clone(), silent, &limits).unwrap();
    let _other = network.announce("0.0.0.0:60002");
    assert_eq!(addresses(&network.search().await), ["127.0.0.1:60002"]);
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
        let deadline = Instant::now() + NEVER;
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
        Announcement::start_on(network.lan.clone(), listening, &Limits::default())
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
    let listening = "0.0.0.0:60000".parse().unwrap();
    let error = Announcement::start(listening, &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

#[tokio::test]
async fn what_is_no_answer_is_reported_and_does_no_harm() {
    let network = Loopback::new();
    let mut answers: Vec<(&str, Vec<u8>)> = [
        &b""[..],
        b"nonsense",
        b"10.0.0.4:port",
        b"10.0.0.4:55:66",
        b"\xff\xfe",
        &[b'1'; 9_000],
    ]
    .map(|garbage| ("127.0.0.1", garbage.to_vec()))
    .to_vec();
    answers.push(("127.0.0.1", b"0.0.0.0:5".to_vec()));
    answers.push(("127.0.0.1", b"127.0.0.1:60000".to_vec()));
    let report = network.search_among(answers).await;
    assert_eq!(addresses(&report), ["127.0.0.1:60000"]);
    let reasons: Vec<_> = report.ignored.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(reasons[..6], [Ignored::NotAnAnswer; 6]);
    assert_eq!(reasons[6..], [Ignored::UnusableAddress]);
}

#[tokio::test]
async fn an_answer_of_pymasep_leads_to_its_sender() {
    let network = Loopback::new();
    // It names the asker.
    let answer = ("127.0.0.9", b"127.0.0.1:60000".to_vec());
    let report = network.search_among(vec![answer]).await;
    assert_eq!(addresses(&report), ["127.0.0.9:60000"]);
}

#[tokio::test]
async fn a_flood_of_answers_costs_bounded_memory() {
    let network = Loopback::new();
    let garbage = vec![("127.0.0.1", b"garbage".to_vec()); 100];
    assert_eq!(network.search_among(garbage).await.ignored.len(), 64);
}

#[tokio::test]
async fn a_flood_of_answers_does_not_prolong_the_search() {
    let network = Loopback::new();
    let member = network.member();
    let done = Arc::new(AtomicBool::new(false));
    let flooder = std::thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let (_, asker) = member.recv_from(&mut [0; 64]).unwrap();
            while !done.load(Ordering::Relaxed) {
                // Once the search is over its socket is gone, which the system reports.
                let _ = member.send_to(b"garbage", asker);
            }
        }
    });
    let report = tokio::time::timeout(NEVER, network.search()).await;
    done.store(true, Ordering::Relaxed);
    flooder.join().unwrap();
    assert_eq!(report.unwrap().ignored.len(), 64);
}

#[tokio::test]
async fn an_interface_that_fails_does_not_hide_the_others() {
    let mut network = Loopback::new();
    network.lan.interfaces = Arc::new(|| {
        let gone = Interface {
            name: "gone0".into(),
            index: u32::MAX,
            address: Ipv4Addr::new(203, 0, 113, 9),
        };
        Ok(vec![gone, loopback()])
    });
    let _server = network.announce("0.0.0.0:60000");
    let report = network.search().await;
    assert_eq!(addresses(&report), ["127.0.0.1:60000"]);
    let [gone, loopback] = &report.interfaces[..] else {
        panic!("{report:?}");
    };
    assert!(gone.outcome.is_err() && gone.name == "gone0" && gone.answers == 0);
    assert!(loopback.outcome.is_ok() && loopback.answers == 1);
}

#[tokio::test]
async fn a_search_uses_a_bounded_number_of_sockets() {
    let mut network = Loopback::new();
    network.lan.interfaces = Arc::new(|| Ok(vec![loopback(); 66]));
    let options = SearchOptions::default().timeout(Duration::ZERO);
    let report = search_on(&network.lan, &options).await.unwrap();
    let asked = report
        .interfaces
        .iter()
        .filter(|probe| probe.outcome.is_ok());
    assert_eq!((asked.count(), report.interfaces.len()), (64, 66));
}

#[tokio::test]
async fn a_host_without_a_network_is_told_so_at_once() {
    let mut network = Loopback::new();
    network.lan.interfaces = Arc::new(|| Ok(Vec::new()));
    let _server = network.announce("0.0.0.0:60000");
    let options = SearchOptions::default().timeout(2 * NEVER);
    let search = tokio::time::timeout(NEVER, search_on(&network.lan, &options));
    assert!(search.await.unwrap().unwrap().found.is_empty());
    let error = discover_on(&network.lan).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NetworkDown);
}

/// The real port, which anybody on this machine and its LAN may use at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_real_port_works_for_async_and_blocking_callers() {
    let listening: SocketAddr = "127.0.0.1:59999".parse().unwrap();
    let _server = match Announcement::start(listening, &Limits::default()) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            // Not eprintln, which the test harness keeps to itself when a test passes.
            let mut stderr = io::stderr();
            writeln!(stderr, "SKIPPED the_real_port_works: {error}").unwrap();
            return;
        }
        started => started.unwrap(),
    };
    let found = discover().await.unwrap();
    assert!(
        found.iter().any(|it| it.address() == listening),
        "{found:?}"
    );
    // In async code it is a mistake, but not one that panics.
    let report = search_blocking(&SearchOptions::default().timeout(SHORT)).unwrap();
    assert!(
        report.found.iter().any(|it| it.address() == listening),
        "{report:?}"
    );
}
