//! The side that answers the search.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use masep_proto::ServerLimits;
use masep_proto::discovery::{Asker, Description, Responder};
use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
    sockopt::Ipv4PacketInfo,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant as TokioInstant, MissedTickBehavior, interval_at, sleep};

use super::{DATAGRAM_BYTES, Lan, interfaces::Membership};
use crate::Address;

/// Pause after an error of the socket, so that one that does not go away costs no processor time.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Gives the description of a server. Called when the search asks for it, at most as often as it is answered.
#[derive(Clone)]
pub(crate) struct Describe(Arc<dyn Fn() -> Description + Send + Sync>);

impl Describe {
    /// Of a function that may panic: the server is announced without a description then.
    pub(crate) fn new(describe: impl Fn() -> Description + Send + Sync + 'static) -> Self {
        let has_panicked = AtomicBool::new(false);
        Self(Arc::new(move || {
            catch_unwind(AssertUnwindSafe(&describe)).unwrap_or_else(|_| {
                // Once: anybody's questions have it called.
                if !has_panicked.swap(true, Ordering::Relaxed) {
                    tracing::error!("the function that describes a server panicked");
                }
                Description::default()
            })
        }))
    }
}

impl fmt::Debug for Describe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Describe(..)")
    }
}

/// Announces a server: answers the LAN search until it is stopped or dropped.
///
/// It answers on every IPv4 interface that is up, loopback included, also on those that come up
/// later (within 2 s), with the address of the interface on which the question came. A server that
/// listens on one address announces that one, and one that listens on loopback is announced to its
/// own host only. Questions that come faster than
/// [`ServerLimits::answers_per_second`](crate::ServerLimits::answers_per_second) are not answered.
///
/// Several servers of one host can announce at once, as long as all of them share UDP port 10,000.
/// masep's do; pymasep's do not: of a pymasep engine and others on the same host, only the engine or
/// only the others can announce.
///
/// No datagram ends an announcement, whatever is in it; neither does an interface that goes away.
#[must_use = "dropping it stops the announcement"]
pub struct Announcement {
    answering: Answering,
    task: AbortHandle,
    listening: SocketAddr,
}

impl Announcement {
    /// Starts to announce the server that listens on `listening`. An unspecified address stands for
    /// all addresses of this host.
    ///
    /// It needs a tokio runtime around it, with I/O and time enabled, and answers for as long as
    /// that one runs.
    ///
    /// # Errors
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput): port 0, or an IPv6 address other than the
    ///   unspecified one, for which the protocol's answer has no room; or a Unix socket.
    /// * [`AddrInUse`](io::ErrorKind::AddrInUse): a program on this host has UDP port 10,000 for
    ///   itself. A pymasep engine does.
    /// * [`Unsupported`](io::ErrorKind::Unsupported): there is no tokio runtime.
    /// * Any other error of the operating system when it opens the socket. That an interface cannot
    ///   be joined, or that there is none, is no error but a warning in the log.
    pub fn start(listening: impl Into<Address>, limits: &ServerLimits) -> io::Result<Self> {
        Self::start_at(&listening.into(), limits, None)
    }

    /// As [`start`](Self::start), for a server that describes itself to searches of masep. `describe` is called for each
    /// answer, in the task that answers: it must not wait. One that panics has nothing told, and the log says so once.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_describing(
        listening: impl Into<Address>,
        limits: &ServerLimits,
        describe: impl Fn() -> Description + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_at(&listening.into(), limits, Some(Describe::new(describe)))
    }

    pub(crate) fn start_at(
        listening: &Address,
        limits: &ServerLimits,
        describe: Option<Describe>,
    ) -> io::Result<Self> {
        let listening = listening.tcp().ok_or_else(|| {
            let reason = "it is a Unix socket, which only this machine can reach";
            let message = format!("cannot announce {listening}: {reason}");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        Self::start_on(Lan::default(), listening, limits, describe)
    }

    pub(super) fn start_on(
        lan: Lan,
        listening: SocketAddr,
        limits: &ServerLimits,
        describe: Option<Describe>,
    ) -> io::Result<Self> {
        check_announceable(listening)?;
        let runtime = Handle::try_current()
            .map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
        let responder = Responder::new(listening, limits.answers_per_second);
        let announcer = Announcer::open(lan, responder, describe)?;
        let answering = announcer.answering.clone();
        let task = runtime.spawn(announcer.run()).abort_handle();
        tracing::info!(%listening, "announces the server on the LAN");
        Ok(Self {
            answering,
            task,
            listening,
        })
    }

    /// Stops it: when this returns, no question is answered any more. Dropping does the same.
    ///
    /// The UDP port is released by the runtime, a moment later.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.answering.end();
        self.task.abort();
        tracing::info!(listening = %self.listening, "no longer announces the server on the LAN");
    }
}

impl fmt::Debug for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcement")
            .field("listening", &self.listening)
            .finish_non_exhaustive()
    }
}

fn check_announceable(listening: SocketAddr) -> io::Result<()> {
    let ip = listening.ip().to_canonical();
    let reason = if listening.port() == 0 {
        "the server must listen before it is announced; port 0 is no port"
    } else if ip.is_ipv6() && !ip.is_unspecified() {
        "the search announces IPv4 addresses only"
    } else {
        return Ok(());
    };
    let message = format!("cannot announce {listening}: {reason}");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Opens the socket on which questions come.
fn open(port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // On Linux this is all it takes to share the port, also among users. The BSDs and macOS want
    // SO_REUSEPORT; there, and only there, it does not divide datagrams among the sockets.
    socket.set_reuse_address(true)?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, Ipv4PacketInfo, &true)?;
    // The question has come no further than one hop, and so goes the answer: an asker's address that
    // is forged cannot be one on the Internet.
    socket.set_ttl_v4(1)?;
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    socket.bind(&address.into()).map_err(|error| {
        if error.kind() != io::ErrorKind::AddrInUse {
            return error;
        }
        let message = format!(
            "UDP port {port} is taken by a program that does not share it, such as a pymasep engine"
        );
        io::Error::new(io::ErrorKind::AddrInUse, message)
    })?;
    UdpSocket::from_std(socket.into())
}

/// The responder, shared by the announcement and its task. It is empty when the
/// announcement has ended, so that the task, which may still run on another thread, cannot answer
/// after that.
#[derive(Clone, Debug)]
pub(super) struct Answering(Arc<Mutex<Option<Responder>>>);

impl Answering {
    fn lock(&self) -> MutexGuard<'_, Option<Responder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end(&self) {
        *self.lock() = None;
    }
}

/// A datagram, and the way it came.
#[derive(Debug)]
pub(super) struct Question {
    bytes: [u8; DATAGRAM_BYTES],
    length: usize,
    pub(super) source: SocketAddrV4,
    /// The address of ours that belongs to the way it came.
    local: Ipv4Addr,
    /// The same as the kernel says it, with the interface: the way for the answer.
    way: in_pktinfo,
}

/// The task of an announcement.
#[derive(Debug)]
pub(super) struct Announcer {
    pub(super) socket: UdpSocket,
    lan: Lan,
    membership: Membership,
    pub(super) answering: Answering,
    describe: Option<Describe>,
}

impl Announcer {
    /// Opens the socket and joins the group, so that who has started an announcement can be found at
    /// once.
    pub(super) fn open(
        lan: Lan,
        responder: Responder,
        describe: Option<Describe>,
    ) -> io::Result<Self> {
        let mut announcer = Self {
            socket: open(lan.group.port())?,
            membership: Membership::new(*lan.group.ip()),
            answering: Answering(Arc::new(Mutex::new(Some(responder)))),
            lan,
            describe,
        };
        announcer.update_membership();
        Ok(announcer)
    }

    async fn run(mut self) {
        let mut rescan = interval_at(TokioInstant::now() + self.lan.rescan, self.lan.rescan);
        rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // First, so that a flood of datagrams does not put it off.
                biased;
                _ = rescan.tick() => self.update_membership(),
                received = receive(&self.socket) => match received {
                    Ok(question) => self.answer(&question),
                    Err(error) => {
                        tracing::debug!(%error, "cannot receive questions of the search");
                        sleep(ERROR_PAUSE).await;
                    }
                },
            }
        }
    }

    fn update_membership(&mut self) {
        match (self.lan.interfaces)() {
            Ok(interfaces) => self.membership.update(&self.socket, &interfaces),
            Err(error) => tracing::debug!(%error, "cannot list the network interfaces"),
        }
    }

    pub(super) fn answer(&self, question: &Question) {
        let source = question.source;
        let mut responder = self.answering.lock();
        let Some(responder) = responder.as_mut() else {
            return;
        };
        let datagram = &question.bytes[..question.length];
        let asker = if self.membership.is_own(*source.ip()) {
            Asker::ThisHost
        } else {
            Asker::Other(*source.ip())
        };
        let describe = || self.describe.as_ref().map(|Describe(describe)| describe());
        let now = Instant::now();
        match responder.handle_describing(now, datagram, question.local, asker, describe) {
            Ok(answer) => match send(&self.socket, &answer, question, asker) {
                Ok(()) => tracing::debug!(%source, "answered a search"),
                // A lost answer is like a lost datagram: the asker asks again.
                Err(error) => tracing::debug!(%source, %error, "could not answer a search"),
            },
            Err(reason) => tracing::debug!(%source, %reason, "ignored a datagram"),
        }
    }
}

pub(super) async fn receive(socket: &UdpSocket) -> io::Result<Question> {
    socket
        .async_io(Interest::READABLE, || receive_now(socket))
        .await
}

fn receive_now(socket: &UdpSocket) -> io::Result<Question> {
    let mut bytes = [0; DATAGRAM_BYTES];
    let mut control = cmsg_space!(in_pktinfo);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg::<SockaddrIn>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let length = message.bytes;
    let source = message.address.map(SocketAddrV4::from);
    let way = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(info),
        _ => None,
    });
    let (Some(source), Some(way)) = (source, way) else {
        return Err(io::Error::other("a datagram without the way it came"));
    };
    Ok(Question {
        bytes,
        length,
        source,
        local: Ipv4Addr::from(u32::from_be(way.ipi_spec_dst.s_addr)),
        way,
    })
}

/// Sends an answer from the very address that the question reached, and out of the interface it came
/// in by. An asker on this host is reached over loopback, by whichever interface its question came.
fn send(socket: &UdpSocket, answer: &[u8], question: &Question, asker: Asker) -> io::Result<()> {
    let interface = match asker {
        Asker::ThisHost => 0,
        Asker::Other(_) => question.way.ipi_ifindex,
    };
    let way = in_pktinfo {
        ipi_ifindex: interface,
        ipi_addr: in_addr { s_addr: 0 },
        ..question.way
    };
    sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(answer)],
        &[ControlMessage::Ipv4PacketInfo(&way)],
        MsgFlags::empty(),
        Some(&SockaddrIn::from(question.source)),
    )?;
    Ok(())
}
