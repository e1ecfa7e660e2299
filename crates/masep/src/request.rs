//! Clients about which the host of a server is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use masep_proto::PeerId;
use masep_proto::access::Grant;
#[cfg(doc)]
use masep_proto::admission::Duplicates;
use masep_proto::admission::{Decision, Ticket};
use masep_proto::connection::Connection as Core;
use masep_proto::protocol2::{Hello, Protocol, Rejected, Welcome};
use tokio::sync::oneshot;

use crate::{Address, ConnectionId, RejectReason};

/// The clients about which the host is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Asks {
    #[default]
    Nobody,
    /// Those of protocol 2.
    Masep2,
    All,
}

/// The outcome of a request: the connection is open, or why it is not.
pub(crate) type Outcome = Result<(), RejectReason>;

/// A client that has said HELLO, or a hello of pymasep's protocol, and waits for the host's word: from
/// [`Server::next_request`](crate::Server::next_request) or its [blocking twin](crate::blocking::Server::next_request).
///
/// It is to be decided within [`ServerLimits::decision_time`](crate::ServerLimits::decision_time); then the client is
/// refused with the code `undecided`. Requests can be decided in any order, by any thread; one that waits holds up no
/// other. A request that is dropped refuses its client, with the code `denied`.
#[must_use = "a request that is dropped refuses its client"]
pub struct Request {
    peer: Box<Peer>,
    ticket: Ticket,
    /// Until it is decided.
    door: Option<Arc<dyn Decides>>,
    outcome: oneshot::Receiver<Outcome>,
}

/// The client of a request.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) hello: Hello,
    pub(crate) protocol: Protocol,
    pub(crate) address: Address,
    pub(crate) connection: ConnectionId,
    /// The server's own id.
    pub(crate) server: PeerId,
    /// The rights with which it was let in.
    pub(crate) grant: Option<Arc<Grant>>,
}

impl Peer {
    /// The facts that the client gives about itself, and the protocol in which it came.
    pub(crate) fn hello(core: &Core) -> Option<(Hello, Protocol)> {
        let protocol = core.protocol();
        let hello = match protocol {
            Protocol::Masep2 => core.hello().cloned(),
            _ => core.peer().map(|id| Hello::new(id.clone(), 0)),
        };
        hello.map(|hello| (hello, protocol))
    }
}

/// The door, which carries decisions out.
pub(crate) trait Decides: Send + Sync {
    fn decide(self: Arc<Self>, ticket: Ticket, decision: Decision, welcome: Option<Welcome>);

    /// Lets the client in as this, or not at all.
    fn let_in(self: Arc<Self>, ticket: Ticket, grant: Option<Grant>);

    /// Gives up the client for somebody who goes on with its stream; `None` if it has gone, or cannot be given.
    #[cfg(feature = "unstable-bindings")]
    fn hand_over(
        self: Arc<Self>,
        ticket: Ticket,
    ) -> Option<std::io::Result<crate::blocking::Detached>>;
}

impl Request {
    /// The facts that the client gives about itself: id, role, game, seat, and its secrets, an access token and a
    /// resume text.
    pub const fn hello(&self) -> &Hello {
        &self.peer.hello
    }

    /// The generation of the protocol that the client speaks. That of pymasep comes where the server
    /// [asks about all](crate::ServerBuilder::ask_all).
    pub const fn protocol(&self) -> Protocol {
        self.peer.protocol
    }

    /// The client's id, by its own word.
    pub const fn peer(&self) -> &PeerId {
        &self.peer.hello.id
    }

    /// The client's rights, by its access token; `None` where the server asks for none.
    pub fn grant(&self) -> Option<&Grant> {
        self.peer.grant.as_deref()
    }

    /// The same, for one who keeps it.
    #[cfg(not(masep_model))]
    pub(crate) fn shared_grant(&self) -> Option<Arc<Grant>> {
        self.peer.grant.clone()
    }

    /// The client's address.
    pub const fn address(&self) -> &Address {
        &self.peer.address
    }

    /// The number of the connection, which a [`Connection`](crate::Connection) has from then on when it was admitted.
    pub const fn connection(&self) -> ConnectionId {
        self.peer.connection
    }

    /// The least that a WELCOME says, to be filled and given to [`admit`](Self::admit). A host may set the instance, seat,
    /// resume, epoch, last, grace, game, the numbers of seats, the profile, and the id, if this client is to know the server by
    /// another one. A client that asks for a profile does not stay without one. The other fields are the server's, and
    /// do not count. A client of pymasep's protocol is told the id alone.
    pub fn welcome(&self) -> Welcome {
        Welcome::new(self.peer.server.clone(), 0)
    }

    /// Takes the client, by the server's rule for ids that are in use ([`Duplicates`]), with a WELCOME
    /// that has this, or nothing. Does not wait. The connection then comes as any other: to the handler, or out of the
    /// server's `accept`.
    ///
    /// The answer tells when the connection is open, or why it is not, and may be dropped.
    pub fn admit(self, welcome: impl Into<Option<Welcome>>) -> Admitting {
        self.decide(Decision::Admit, welcome.into())
    }

    /// As [`admit`](Self::admit), but a live connection with the client's id is ended for it, with a BYE and
    /// [`CloseReason::Replaced`](crate::CloseReason::Replaced). The new one is open when that has ended, at most two
    /// seconds later.
    pub fn replace(self, welcome: impl Into<Option<Welcome>>) -> Admitting {
        self.decide(Decision::Replace, welcome.into())
    }

    /// Does not take the client, which is told this code and text. Does not wait.
    pub fn refuse(self, rejected: Rejected) {
        let _told = self.decide(Decision::Reject(rejected), None);
    }

    /// Gives the client away, undecided, for somebody who goes on with its stream
    /// ([`blocking::Connection::accept_over`](crate::blocking::Connection::accept_over)), in another process for example. It
    /// has no place at this server from then on. Waits at most for a read that is under way.
    ///
    /// Returns `None` if the client has gone. An async server always refuses the client, and returns `None`.
    ///
    /// The stream is the client's own socket. Of one in TLS, whose keys stay here, it is a Unix socket, between which and the
    /// client a thread of this server moves the bytes.
    ///
    /// # Errors
    /// The system has no descriptor or no thread for it. The client is refused then, with the code `too_many_connections`, and
    /// may come again.
    #[cfg(feature = "unstable-bindings")]
    pub fn detach(mut self) -> Option<std::io::Result<crate::blocking::Detached>> {
        let door = self.door.clone()?;
        let detached = door.clone().hand_over(self.ticket)?;
        if detached.is_err() {
            let text = "the server has no descriptor or no thread for it";
            let rejected = Rejected::too_many_connections(text);
            door.decide(self.ticket, Decision::Reject(rejected), None);
        }
        self.door = None;
        Some(detached)
    }

    fn decide(mut self, decision: Decision, welcome: Option<Welcome>) -> Admitting {
        if let Some(door) = self.door.take() {
            door.decide(self.ticket, decision, welcome);
        }
        let (_, never) = oneshot::channel();
        Admitting(std::mem::replace(&mut self.outcome, never))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(door) = self.door.take() {
            let rejected = Rejected::new("denied", "the server does not take this client");
            door.decide(self.ticket, Decision::Reject(rejected), None);
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("hello", &self.peer.hello)
            .field("address", &self.peer.address)
            .field("connection", &self.peer.connection)
            .finish_non_exhaustive()
    }
}

/// A client that was [admitted](Request::admit) on its way in: a future of what comes of it, which need not be awaited.
///
/// `Ok` when the connection is open. An error says why there is none: the client has gone, its id is in use, the
/// decision came too late, the server has stopped. Cancel safe: a future that is dropped changes nothing.
#[derive(Debug)]
pub struct Admitting(oneshot::Receiver<Outcome>);

impl Admitting {
    /// Waits in this thread, which is not one of an async runtime: a few milliseconds, or as long as an id takes to become
    /// free.
    ///
    /// # Errors
    /// The reason why there is no connection.
    ///
    /// # Panics
    /// In a task of an async runtime, where it is to be awaited.
    pub fn wait(self) -> Result<(), RejectReason> {
        self.0.blocking_recv().unwrap_or(Err(RejectReason::Stopped))
    }
}

impl Future for Admitting {
    type Output = Result<(), RejectReason>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|told| told.unwrap_or(Err(RejectReason::Stopped)))
    }
}

/// The requests of a door, from the question until the connection is open or gone. There are never more than connections.
#[derive(Default)]
pub(crate) struct Requests {
    asked: BTreeMap<Ticket, Asked>,
    /// Those that nobody has taken, in order of arrival.
    waiting: BTreeSet<Ticket>,
    ended: Vec<(oneshot::Sender<Outcome>, Outcome)>,
}

struct Asked {
    /// Until somebody takes it.
    request: Option<(Box<Peer>, oneshot::Receiver<Outcome>)>,
    told: oneshot::Sender<Outcome>,
    welcome: Option<Welcome>,
}

impl Requests {
    /// The host is asked about this one.
    pub(crate) fn ask(&mut self, ticket: Ticket, peer: Peer) {
        let (told, outcome) = oneshot::channel();
        let asked = Asked {
            request: Some((Box::new(peer), outcome)),
            told,
            welcome: None,
        };
        self.asked.insert(ticket, asked);
        self.waiting.insert(ticket);
    }

    /// The oldest one that nobody has taken.
    pub(crate) fn next(&mut self, door: impl FnOnce() -> Arc<dyn Decides>) -> Option<Request> {
        let ticket = self.waiting.pop_first()?;
        let (peer, outcome) = self.asked.get_mut(&ticket)?.request.take()?;
        Some(Request {
            peer,
            ticket,
            door: Some(door()),
            outcome,
        })
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Keeps what the host says to a client until it is taken.
    pub(crate) fn keep_welcome(&mut self, ticket: Ticket, welcome: Option<Welcome>) {
        if let Some(asked) = self.asked.get_mut(&ticket) {
            asked.welcome = welcome;
        }
    }

    pub(crate) fn take_welcome(&mut self, ticket: Ticket) -> Option<Welcome> {
        self.asked.get_mut(&ticket)?.welcome.take()
    }

    /// It was decided without the host, which is not asked any more.
    pub(crate) fn pass_over(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
    }

    /// The connection is open, or there will be none.
    pub(crate) fn end(&mut self, ticket: Ticket, outcome: Outcome) {
        self.waiting.remove(&ticket);
        let asked = self.asked.remove(&ticket);
        self.ended.extend(asked.map(|asked| (asked.told, outcome)));
    }

    /// Those whose outcome is to be told, which wakes others.
    pub(crate) fn take_ended(&mut self) -> Vec<(oneshot::Sender<Outcome>, Outcome)> {
        std::mem::take(&mut self.ended)
    }
}
