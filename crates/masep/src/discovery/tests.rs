//! The search over the loopback interface, each test with a UDP port of its own.

mod announce;
mod search;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use masep_proto::ServerLimits;
use socket2::{Domain, SockRef, Socket, Type};

use super::interfaces::{self, Interface};
use super::search::search_on;
use super::*;

/// Long enough for every answer over loopback, if not on every busy machine.
const SHORT: Duration = Duration::from_millis(700);
/// The end of a test that would otherwise never end.
const DEADLINE: Duration = Duration::from_secs(30);

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
        Announcement::start_on(self.lan.clone(), listening, &ServerLimits::default(), None).unwrap()
    }

    /// A server that describes itself so.
    fn announce_described(
        &self,
        listening: &str,
        describe: impl Fn() -> Description + Send + Sync + 'static,
    ) -> Announcement {
        let (listening, limits) = (listening.parse().unwrap(), ServerLimits::default());
        let describe = Describe::new(describe);
        Announcement::start_on(self.lan.clone(), listening, &limits, Some(describe)).unwrap()
    }

    async fn search(&self) -> SearchReport {
        let options = SearchOptions::default().timeout(SHORT);
        search_on(&self.lan, &options).await.unwrap()
    }

    /// Searches until these are found: an answer may be late on a busy machine. The last search is reported.
    async fn search_for(&self, expected: &[&str]) -> SearchReport {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let report = self.search().await;
            if addresses(&report) == expected {
                return report;
            }
            assert!(Instant::now() < deadline, "{expected:?}: {report:?}");
        }
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
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
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
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
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
    let report = network.search_for(&["127.0.0.1:60000"]).await;
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
async fn a_server_that_describes_itself_is_described_and_another_is_not() {
    let network = Loopback::new();
    let description = Description {
        id: Some("engine\u{1b}[2J".to_owned()),
        game: Some("a.Game".to_owned()),
        seats: Some(3),
        free: Some(1),
    };
    let told = description.clone();
    let _described = network.announce_described("127.0.0.1:60000", move || told.clone());
    let _other = network.announce("127.0.0.1:60001");
    let both = ["127.0.0.1:60000", "127.0.0.1:60001"];
    let report = network.search_for(&both).await;
    let described = ("127.0.0.1:60000".parse().unwrap(), description);
    assert_eq!(
        report.descriptions.into_iter().collect::<Vec<_>>(),
        [described]
    );
    assert!(report.ignored.is_empty(), "{:?}", report.ignored);
}

#[tokio::test]
async fn a_server_whose_description_panics_is_announced_all_the_same() {
    let network = Loopback::new();
    let is_sound = Arc::new(AtomicBool::new(false));
    let has_recovered = is_sound.clone();
    let _server = network.announce_described("127.0.0.1:60000", move || {
        assert!(has_recovered.load(Ordering::SeqCst), "on purpose");
        let game = Some("a.Game".to_owned());
        Description {
            game,
            ..Description::default()
        }
    });
    for expected in [None, Some("a.Game".to_owned())] {
        let report = network.search_for(&["127.0.0.1:60000"]).await;
        let described = report.descriptions.into_values();
        assert_eq!(described.map(|told| told.game).next(), Some(expected));
        is_sound.store(true, Ordering::SeqCst);
    }
}

/// The real port, which anybody on this machine and its LAN may use at the same time. Other tests of this repository take
/// turns: the name is known to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_real_port_works_for_async_and_blocking_callers() {
    let path = std::env::temp_dir().join("masep-interop-search-port.lock");
    let mut options = OpenOptions::new();
    let turn = options.create(true).append(true).open(path).unwrap();
    turn.lock().unwrap();
    let listening: SocketAddr = "127.0.0.1:59999".parse().unwrap();
    let _server = match Announcement::start(listening, &ServerLimits::default()) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            // Not println, which the test harness keeps to itself when a test passes.
            let mut stdout = io::stdout();
            writeln!(stdout, "SKIPPED the_real_port_works: {error}").unwrap();
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
