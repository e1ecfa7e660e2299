//! The side that asks.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use masep_proto::discovery::{DESCRIPTION_QUESTION, Description, Found, Ignored, QUESTION, Search};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::{DATAGRAM_BYTES, Lan, interfaces::Interface};

/// Addresses that one search asks from. Each costs a descriptor and two datagrams; a host with more
/// has them for its containers.
const MAX_PROBES: usize = 64;

/// Ignored datagrams that a report keeps: enough to see what is going on.
const MAX_IGNORED: usize = 64;

/// The options of a search.
///
/// ```
/// use std::time::Duration;
/// use masep::discovery::SearchOptions;
/// let options = SearchOptions::default().timeout(Duration::from_millis(300)).first_only(true);
/// assert!(options.first_only);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchOptions {
    /// The time to wait for answers. Default 1 s, as pymasep waits. The question is asked again
    /// after a third of it, because datagrams get lost.
    pub timeout: Duration,
    /// True if the first server that answers ends the search. Default false.
    pub first_only: bool,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            first_only: false,
        }
    }
}

impl SearchOptions {
    /// Sets [`timeout`](Self#structfield.timeout).
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`first_only`](Self#structfield.first_only).
    #[must_use]
    pub const fn first_only(mut self, first_only: bool) -> Self {
        self.first_only = first_only;
        self
    }
}

/// The result of a search.
#[derive(Debug)]
#[non_exhaustive]
pub struct SearchReport {
    /// The servers that answered, in the order of their first answers; each address once. A server
    /// of this host that listens on all its addresses is found at each of them.
    pub found: Vec<Found>,
    /// The descriptions that they sent, by [`Found::address`]. pymasep's servers send none. Nothing in them is proved, and
    /// texts may hold anything: escape them before they reach a terminal.
    pub descriptions: BTreeMap<SocketAddr, Description>,
    /// The interfaces on which the question was asked: one entry for each IPv4 address of one that is up.
    pub interfaces: Vec<InterfaceProbe>,
    /// Datagrams that were no answers, with their senders: the first 64 of them. Repeated answers
    /// are not among them.
    pub ignored: Vec<(SocketAddr, Ignored)>,
}

/// The result of asking on one interface.
#[derive(Debug)]
#[non_exhaustive]
pub struct InterfaceProbe {
    /// The name of the interface.
    pub name: String,
    /// The address that the question was sent from.
    pub address: Ipv4Addr,
    /// The error if the question could not be sent.
    pub outcome: io::Result<()>,
    /// The number of servers that answered here.
    pub answers: usize,
}

/// Searches the LAN and returns every server that answered, after 1 s: the short form of [`search`].
///
/// # Errors
/// When the question could be sent on no interface; that none answered is no error.
///
/// # Cancel safety
/// As [`search`].
pub async fn discover() -> io::Result<Vec<Found>> {
    discover_on(&Lan::default()).await
}

pub(super) async fn discover_on(lan: &Lan) -> io::Result<Vec<Found>> {
    let report = search_on(lan, &SearchOptions::default()).await?;
    if report.interfaces.iter().any(|probe| probe.outcome.is_ok()) {
        return Ok(report.found);
    }
    let failed = report
        .interfaces
        .into_iter()
        .find_map(|probe| probe.outcome.err());
    Err(failed.unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::NetworkDown,
            "no network interface with an IPv4 address is up",
        )
    }))
}

/// Asks on every IPv4 interface that is up, loopback included, and collects the answers.
///
/// It takes [`SearchOptions::timeout`], or less with [`SearchOptions::first_only`]. No default route
/// is needed. It finds pymasep's servers too, for whose answers see [`Found::address`].
///
/// # Errors
/// When the interfaces cannot be listed. That one of them cannot be asked is in the report.
///
/// # Cancel safety
/// Dropping the future ends the search and loses what was found; nothing else is left behind.
pub async fn search(options: &SearchOptions) -> io::Result<SearchReport> {
    search_on(&Lan::default(), options).await
}

/// [`search`] for callers without async. It can be called anywhere, but in async code it blocks the
/// thread of its caller.
///
/// # Errors
/// As [`search`], or when the operating system has no thread for it.
pub fn search_blocking(options: &SearchOptions) -> io::Result<SearchReport> {
    let options = options.clone();
    // A thread of its own, because a runtime cannot be entered in a thread that runs one already.
    std::thread::Builder::new()
        .name("masep-search".into())
        .spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(search(&options))
        })?
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the search panicked")))
}

pub(super) async fn search_on(lan: &Lan, options: &SearchOptions) -> io::Result<SearchReport> {
    let mut inquiry = Inquiry::open(lan)?;
    inquiry.ask();
    if inquiry.probes.iter().any(|probe| probe.socket.is_ok()) {
        inquiry.collect(options).await;
    }
    let report = inquiry.into_report();
    tracing::debug!(
        found = report.found.len(),
        interfaces = report.interfaces.len(),
        ignored = report.ignored.len(),
        "searched the LAN"
    );
    Ok(report)
}

/// A search while it runs.
#[derive(Debug)]
struct Inquiry {
    group: SocketAddrV4,
    probes: Vec<Probe>,
    /// The probe that is looked at first, in turn, so that a flood on one does not hide the others.
    turn: usize,
    search: Search,
    ignored: Vec<(SocketAddr, Ignored)>,
}

/// One address that the question is sent from.
#[derive(Debug)]
struct Probe {
    interface: Interface,
    socket: io::Result<UdpSocket>,
    /// The result of sending the question.
    sent: io::Result<()>,
    /// The servers that were found here, also if they were found elsewhere before.
    search: Search,
}

impl Inquiry {
    fn open(lan: &Lan) -> io::Result<Self> {
        let probes = (lan.interfaces)()?
            .into_iter()
            .enumerate()
            .map(|(number, interface)| Probe {
                socket: if number < MAX_PROBES {
                    open(interface.address)
                } else {
                    let message = format!("one search asks from {MAX_PROBES} addresses at most");
                    Err(io::Error::other(message))
                },
                sent: Ok(()),
                interface,
                search: Search::new(),
            })
            .collect();
        Ok(Self {
            group: lan.group,
            probes,
            turn: 0,
            search: Search::new(),
            ignored: Vec::new(),
        })
    }

    /// Asks on every interface, without waiting.
    fn ask(&mut self) {
        for Probe { socket, sent, .. } in &mut self.probes {
            if let Ok(socket) = socket {
                let question = SockRef::from(&*socket).send_to(QUESTION, &self.group.into());
                *sent = question.map(|_| ());
            }
        }
        for Probe { socket, .. } in &self.probes {
            if let Ok(socket) = socket {
                // It is an addition: the first question finds servers by itself.
                let _ = SockRef::from(socket).send_to(DESCRIPTION_QUESTION, &self.group.into());
            }
        }
    }

    /// Takes answers until the time is over, and asks once more meanwhile.
    async fn collect(&mut self, options: &SearchOptions) {
        let mut end = pin!(sleep(options.timeout));
        let mut again = pin!(sleep(options.timeout / 3));
        let mut asked_again = false;
        let mut buffer = [0; DATAGRAM_BYTES];
        loop {
            tokio::select! {
                // In this order, so that a flood of datagrams puts off neither.
                biased;
                () = &mut end => break,
                () = &mut again, if !asked_again => {
                    asked_again = true;
                    self.ask();
                }
                (probe, datagram) = self.receive(&mut buffer) => match datagram {
                    Ok((length, source)) => {
                        self.take(probe, &buffer[..length], source);
                        if options.first_only && !self.search.found().is_empty() {
                            break;
                        }
                    }
                    Err(error) => tracing::debug!(%error, "cannot receive answers"),
                },
            }
        }
    }

    /// The next datagram, and the number of the probe that it came to.
    async fn receive(
        &mut self,
        buffer: &mut [u8; DATAGRAM_BYTES],
    ) -> (usize, io::Result<(usize, SocketAddr)>) {
        let count = self.probes.len();
        let received = poll_fn(|context| {
            for number in (self.turn..count).chain(0..self.turn) {
                let Ok(socket) = &self.probes[number].socket else {
                    continue;
                };
                let mut buffer = ReadBuf::new(buffer);
                if let Poll::Ready(result) = socket.poll_recv_from(context, &mut buffer) {
                    let length = buffer.filled().len();
                    return Poll::Ready((number, result.map(|source| (length, source))));
                }
            }
            Poll::Pending
        })
        .await;
        self.turn = (received.0 + 1) % count;
        received
    }

    fn take(&mut self, number: usize, datagram: &[u8], source: SocketAddr) {
        let probe = &mut self.probes[number];
        // The sockets are IPv4 sockets: there is no other source.
        let SocketAddr::V4(from) = source else { return };
        let asked_from = probe.interface.address;
        let _ = probe.search.handle(datagram, from, asked_from);
        match self.search.handle(datagram, from, asked_from) {
            Ok(found) => tracing::debug!(address = %found.address(), %source, "found a server"),
            // Expected: the question is asked twice, and on every interface.
            Err(Ignored::Duplicate) => {}
            Err(reason) => {
                tracing::debug!(%source, %reason, "ignored a datagram");
                if self.ignored.len() < MAX_IGNORED {
                    self.ignored.push((source, reason));
                }
            }
        }
    }

    fn into_report(self) -> SearchReport {
        let interfaces = self.probes.into_iter().map(|probe| InterfaceProbe {
            answers: probe.search.found().len(),
            outcome: probe.socket.and(probe.sent),
            name: probe.interface.name,
            address: probe.interface.address,
        });
        let described = self.search.found().iter().filter_map(|found| {
            let description = self.search.description(found)?;
            Some((found.address(), description.clone()))
        });
        SearchReport {
            descriptions: described.collect(),
            found: self.search.found().to_vec(),
            interfaces: interfaces.collect(),
            ignored: self.ignored,
        }
    }
}

/// Opens a socket that asks from `address`, on the interface that has it.
fn open(address: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_multicast_if_v4(&address)?;
    // pymasep's values: the question stays on the LAN, and reaches the servers of this host.
    socket.set_multicast_ttl_v4(1)?;
    socket.set_multicast_loop_v4(true)?;
    socket.bind(&SocketAddrV4::new(address, 0).into())?;
    UdpSocket::from_std(socket.into())
}
