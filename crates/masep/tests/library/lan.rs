//! The search between hosts on a network. Each host is a thread in a network namespace of its own,
//! joined to the others by virtual cables; all of it is gone when the threads end.
//!
//! It takes the rights to make namespaces: root, or `unshare --user --map-root-user cargo test`.
//! Without them the tests say that they are skipped.

use std::collections::HashSet;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use masep::discovery::{
    Announcement, GROUP, InterfaceProbe, PORT, QUESTION, SearchOptions, SearchReport,
    search_blocking,
};
use masep::player::Event;
use masep::{Address, Client, Limits, Player, Server, ServerLimits, blocking};
use nix::sched::{CloneFlags, unshare};
use socket2::SockRef;
use tokio::runtime::{Builder, Runtime};

/// Long enough for every answer, if not on every busy machine.
const TIMEOUT: Duration = Duration::from_millis(700);
/// The end of a test that would otherwise never end.
const DEADLINE: Duration = Duration::from_secs(30);

type Job = Box<dyn FnOnce() + Send>;

/// A host: a thread with interfaces, addresses and routes of its own.
struct Host {
    jobs: Sender<Job>,
    /// Its namespace, as a path for other programs.
    namespace: String,
}

impl Host {
    /// A host with nothing but loopback.
    fn new() -> Result<Self, String> {
        let (jobs, work) = mpsc::channel::<Job>();
        let (made, result) = mpsc::channel();
        thread::spawn(move || {
            let namespace = unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|error| format!("cannot make a network namespace: {error}"))
                .and_then(|()| ip("link set lo up"))
                .and_then(|_| std::fs::read_link("/proc/thread-self").map_err(text))
                .map(|thread| format!("/proc/{}/ns/net", thread.display()));
            made.send(namespace).unwrap();
            work.into_iter().for_each(|job| job());
        });
        let namespace = result.recv().unwrap()?;
        Ok(Self { jobs, namespace })
    }

    /// Runs something on this host. Everything that it starts stays on this host.
    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job = Box::new(move || done.send(job()).unwrap());
        self.jobs.send(job).unwrap();
        result.recv().expect("the job on the host panicked")
    }

    /// Starts something on this host, and does not wait for it.
    fn start(&self, job: impl FnOnce() + Send + 'static) {
        self.jobs.send(Box::new(job)).unwrap();
    }

    /// Lays a cable to another host, with an interface of this name and an address (`A.B.C.D/N`) at
    /// each end.
    fn connect(&self, name: &str, own: &str, other: (&Self, &str)) -> Result<(), String> {
        let (other, address) = other;
        let namespace = &other.namespace;
        let cable = format!("link add {name} type veth peer name {name} netns {namespace}");
        self.run(move || ip(&cable))?;
        for (host, address) in [(self, own), (other, address)] {
            let configuration = [
                format!("address add {address} dev {name}"),
                format!("link set {name} up"),
            ];
            host.run(move || configuration.iter().try_for_each(|line| ip(line).map(drop)))?;
        }
        // Until the kernel has noticed that both ends are up, which takes it up to a second, it
        // drops what is sent.
        for host in [self, other] {
            let state = format!("-oneline link show {name}");
            let deadline = Instant::now() + DEADLINE;
            host.run(move || {
                while !ip(&state)?.contains("state UP") {
                    assert!(Instant::now() < deadline, "the cable does not work");
                }
                Ok::<_, String>(())
            })?;
        }
        Ok(())
    }

    /// Announces servers on this host until the runtime is dropped.
    fn announce(&self, servers: &'static [&'static str]) -> (Runtime, Vec<Announcement>) {
        self.run(|| {
            let runtime = runtime();
            let context = runtime.enter();
            let announcements = servers
                .iter()
                .map(|server| server.parse::<Address>().unwrap())
                .map(|server| Announcement::start(server, &ServerLimits::default()).unwrap())
                .collect();
            drop(context);
            (runtime, announcements)
        })
    }

    fn search(&self) -> SearchReport {
        self.run(|| search_blocking(&SearchOptions::default().timeout(TIMEOUT)).unwrap())
    }

    /// Searches until these are found: a server may be slow, or learn of a network later. The last search is reported.
    fn search_for(&self, expected: &[&str]) -> SearchReport {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let report = self.search();
            if addresses(&report) == expected {
                return report;
            }
            assert!(Instant::now() < deadline, "{expected:?}: {report:?}");
        }
    }
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Runs `ip` with these arguments in the namespace of this thread, and returns what it prints.
fn ip(arguments: &str) -> Result<String, String> {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .map_err(|error| format!("the program ip: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {arguments}: {}", reason.trim()))
}

/// Two hosts on one LAN, 10.77.0.1 and 10.77.0.2, with no route to anywhere else.
fn lan() -> Result<(Host, Host), String> {
    let (engine, player) = (Host::new()?, Host::new()?);
    engine.connect("lan0", "10.77.0.1/24", (&player, "10.77.0.2/24"))?;
    Ok((engine, player))
}

/// Says that a test was skipped, also when the test harness keeps the output of passing tests.
fn skip(test: &str, reason: &str) {
    let mut stdout = io::stdout();
    writeln!(stdout, "SKIPPED {test}: {reason}").unwrap();
}

fn addresses(report: &SearchReport) -> Vec<String> {
    let mut addresses: Vec<_> = report
        .found
        .iter()
        .map(|found| found.address().to_string())
        .collect();
    addresses.sort();
    addresses
}

#[test]
fn a_host_finds_the_servers_of_another_by_the_addresses_it_can_reach() {
    let (engine, player) = match lan() {
        Ok(hosts) => hosts,
        Err(reason) => return skip("the search between hosts", &reason),
    };
    let _servers = engine.announce(&[
        "0.0.0.0:60001",
        "[::]:60002",
        "10.77.0.1:60003",
        "127.0.0.1:60004",
    ]);

    // Not the one that listens on loopback.
    let reachable = ["10.77.0.1:60001", "10.77.0.1:60002", "10.77.0.1:60003"];
    let report = player.search_for(&reachable);
    assert!(
        report
            .found
            .iter()
            .all(|it| *it.source.ip() == Ipv4Addr::new(10, 77, 0, 1))
    );
    let summary =
        |probe: &InterfaceProbe| (probe.name.clone(), probe.outcome.is_ok(), probe.answers);
    let probes: Vec<_> = report.interfaces.iter().map(summary).collect();
    assert_eq!(probes, [("lo".into(), true, 0), ("lan0".into(), true, 3)]);
    assert!(report.ignored.is_empty(), "{report:?}");

    // On their own host, each is found at each address that it has.
    let at_home = [
        "10.77.0.1:60001",
        "10.77.0.1:60002",
        "10.77.0.1:60003",
        "127.0.0.1:60001",
        "127.0.0.1:60002",
        "127.0.0.1:60004",
    ];
    engine.search_for(&at_home);
}

#[test]
fn a_server_is_found_on_a_network_that_comes_later() {
    let (engine, player) = match lan() {
        Ok(hosts) => hosts,
        Err(reason) => return skip("the search on a later network", &reason),
    };
    let _servers = engine.announce(&["0.0.0.0:60001"]);
    player.search_for(&["10.77.0.1:60001"]);

    let newcomer = Host::new().unwrap();
    engine
        .connect("lan1", "10.88.0.1/24", (&newcomer, "10.88.0.2/24"))
        .unwrap();
    newcomer.search_for(&["10.88.0.1:60001"]);
    // One that asks on several networks gets the address that is right on each.
    newcomer
        .connect("lan2", "10.99.0.2/24", (&engine, "10.99.0.1/24"))
        .unwrap();
    newcomer.search_for(&["10.88.0.1:60001", "10.99.0.1:60001"]);
    // An interface that is down is not asked on.
    newcomer.run(|| ip("link set lan1 down")).unwrap();
    let report = newcomer.search();
    let names: Vec<_> = report
        .interfaces
        .iter()
        .map(|probe| &probe.name[..])
        .collect();
    assert_eq!(names, ["lo", "lan2"]);
    assert_eq!(addresses(&report), ["10.99.0.1:60001"]);
}

#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    let (engine, player) = match lan() {
        Ok(hosts) => hosts,
        Err(reason) => return skip("hosts with several addresses", &reason),
    };
    engine
        .run(|| ip("address add 10.77.0.5/24 dev lan0"))
        .unwrap();
    engine
        .run(|| ip("address add 10.55.0.1/32 dev lo"))
        .unwrap();
    let _servers = engine.announce(&["0.0.0.0:60001"]);

    // By unicast, to one address of two.
    let second = Ipv4Addr::new(10, 77, 0, 5);
    let answer = player.run(move || ask("10.77.0.2", "10.77.0.2", second));
    assert_eq!(answer, ("10.77.0.5:60001".into(), "10.77.0.5:10000".into()));
    // On the server's own host, by an interface that does not have the asker's address.
    let (answer, _) = engine.run(|| ask("10.55.0.1", "10.77.0.1", GROUP));
    assert!(answer.ends_with(":60001"), "{answer}");
}

/// Asks from an address, in case of multicast by the interface that has another, and returns the
/// answer and its sender.
fn ask(from: &str, interface: &str, to: Ipv4Addr) -> (String, String) {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let interface = interface.parse().unwrap();
    SockRef::from(&socket)
        .set_multicast_if_v4(&interface)
        .unwrap();
    socket.send_to(QUESTION, (to, PORT)).unwrap();
    let mut answer = [0; 64];
    let (length, source) = socket.recv_from(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    (answer.into_owned(), source.to_string())
}

#[test]
fn a_client_connects_to_a_server_that_it_has_found() {
    let (engine, player) = match lan() {
        Ok(hosts) => hosts,
        Err(reason) => return skip("connecting to what was found", &reason),
    };
    let _engine = engine.run(|| {
        let runtime = runtime();
        let server = Server::builder("engine").announce(true).bind("0.0.0.0:0");
        let server = runtime.block_on(server).unwrap();
        (runtime, server)
    });
    let id = player.run(|| {
        runtime().block_on(async {
            let options = SearchOptions::default().first_only(true);
            let client = Client::builder("player").discover(&options).await.unwrap();
            client.server_id().to_string()
        })
    });
    assert_eq!(id, "engine");
    // Players search too.
    let joined = player.run(|| {
        let options = SearchOptions::default().first_only(true);
        let joins = |event| matches!(event, Some(Event::Joined { .. }));
        let builder = Player::builder("player", "a.B");
        let mut threads = builder.clone().discover_blocking(&options);
        let mut tasks = builder.discover(&options);
        let thread = joins(threads.event());
        drop(threads);
        runtime().block_on(async { (thread, joins(tasks.event().await)) })
    });
    assert_eq!(joined, (true, true));
}

/// A host that answers each question with 300 addresses of its own: six that take connections and
/// say nothing, then others where nobody listens.
fn forge(forger: &Host) {
    forger.run(|| {
        let silent: Vec<TcpListener> = (0..6)
            .map(|_| TcpListener::bind("10.88.0.1:0").unwrap())
            .collect();
        let port = |silent: &TcpListener| silent.local_addr().unwrap().port();
        let ports: Vec<u16> = silent.iter().map(port).chain(1..=294).collect();
        let member = member("10.88.0.1");
        thread::spawn(move || {
            while let Ok((_, asker)) = member.recv_from(&mut [0; 64]) {
                for port in &ports {
                    let answer = format!("10.88.0.1:{port}");
                    member.send_to(answer.as_bytes(), asker).unwrap();
                }
            }
            drop(silent);
        });
    });
}

/// A server that answers the second question only: after all that the forger had to say.
fn serve_late(engine: &Host) -> (Runtime, Server) {
    engine.run(|| {
        let runtime = runtime();
        let server = runtime.block_on(Server::builder("engine").bind("10.77.0.1:0"));
        let server = server.unwrap();
        let answer = server.local_address().to_string();
        let member = member("10.77.0.1");
        thread::spawn(move || {
            let mut asked = HashSet::new();
            while let Ok((_, asker)) = member.recv_from(&mut [0; 64]) {
                if !asked.insert(asker) {
                    member.send_to(answer.as_bytes(), asker).unwrap();
                }
            }
        });
        (runtime, server)
    })
}

/// A socket that hears the questions on the interface with this address, until a test is over.
fn member(interface: &str) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let interface = interface.parse().unwrap();
    socket.join_multicast_v4(&GROUP, &interface).unwrap();
    socket
}

/// Each attempt may take longer than a test does.
fn patient() -> Limits {
    Limits::default().hello_time(2 * DEADLINE)
}

#[test]
fn answers_of_one_host_keep_nobody_from_the_server_of_another() {
    let (engine, player) = match lan() {
        Ok(hosts) => hosts,
        Err(reason) => return skip("forged answers", &reason),
    };
    let forger = Host::new().unwrap();
    forger
        .connect("lan1", "10.88.0.1/24", (&player, "10.88.0.2/24"))
        .unwrap();
    forge(&forger);
    let (_runtime, server) = serve_late(&engine);
    let address = server.local_address().tcp().unwrap();
    let options = SearchOptions::default().timeout(TIMEOUT);

    let searched = options.clone();
    let report = player.run(move || search_blocking(&searched).unwrap());
    assert!(report.found.iter().any(|found| found.address() == address));
    assert!(report.found.len() <= 40, "{}", report.found.len());

    let (searched, (done, connected)) = (options.clone(), mpsc::channel());
    player.start(move || {
        runtime().block_on(async {
            let client = Client::builder("async").limits(patient());
            let client = client.discover(&searched).await.unwrap();
            done.send(client.server_id().to_string()).unwrap();
            client.connection().bye().await;
        });
    });
    assert_eq!(connected.recv_timeout(DEADLINE), Ok("engine".to_owned()));

    let (done, connected) = mpsc::channel();
    player.start(move || {
        let client = blocking::Client::builder("blocking").limits(patient());
        let client = client.discover(&options).unwrap();
        done.send(client.server_id().to_string()).unwrap();
    });
    assert_eq!(connected.recv_timeout(DEADLINE), Ok("engine".to_owned()));
}
