//! A server's door as a state machine: it gives places and ids to connections, makes room, and refuses others.
//!
//! A shell accepts streams and has a [`Connection`](crate::connection::Connection) for each. It tells the door of
//! each that [arrives](Admission::arrive), says [hello](Admission::hello), [fails](Admission::failed) and is
//! [gone](Admission::gone), and does what the [events](Admission::poll_event) say. As a connection, the door reads no
//! clock.
//!
//! * There are [`ServerLimits::connections`] places, and for each address
//!   [`ServerLimits::connections_per_address`]. When all are taken, the oldest connection
//!   that has not said hello makes room: otherwise a host that opens enough silent ones would keep all others out.
//! * An id belongs to one connection. Another one that says it waits for a moment in which the first may end: a
//!   client that says `BYE` and comes back at once may be faster than its `BYE`.
//! * Where there are access tokens ([`Admission::tokens`]), a client without a valid one is refused before anything else is
//!   looked at, and one beyond the pace of its address without a word. A client of pymasep's protocol has no token: it comes
//!   by an [`Entrance`] of its own, or not at all.
//! * A refused peer may finish its hello and read the refusal. This holds for a bounded number of them at a time.

mod attempts;
mod banning;
mod ids;
mod leaving;
mod letting_in;
mod origins;
mod pace;
mod refusing;
mod reject;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::access::Pass;
use crate::protocol2::{Hello, Rejected};
use crate::{CloseReason, PeerId, ServerLimits};

pub use ids::GRACE;
pub use pace::Pace;
pub use reject::RejectReason;

use attempts::Attempts;
use banning::Bans;
use ids::{Ids, LATE, Step};
use letting_in::Access;
use origins::Origins;
use refusing::too_many;

/// The rule for a hello whose id is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Duplicates {
    /// Keep the old connection and end the new one with a `BYE`, after a moment (200 ms) in which the
    /// old one may end: a client that comes back at once may be faster than its own `BYE`.
    #[default]
    Refuse,
    /// End the old connection with a `BYE` and
    /// [`CloseReason::Replaced`], and take the new one. Anyone who knows an id can
    /// then take it over.
    Replace,
}

/// The listener by which a connection comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Entrance {
    /// The server's address.
    #[default]
    Main,
    /// One for peers of pymasep's protocol, which have no tokens, beside it.
    Pymasep,
}

/// The number of a connection at the door. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// The refusal of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: RejectReason,
    /// True if it gets only as much as its stream takes at once:
    /// [`Connection::abort`](crate::connection::Connection::abort) instead of
    /// [`Connection::refuse`](crate::connection::Connection::refuse).
    pub at_once: bool,
}

/// The host's word about a connection, where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The client may come in, by the rule for ids that are in use.
    Admit,
    /// The client may come in, in place of another one with its id.
    Replace,
    /// The client may not come in, for this reason, which the client is told as it is.
    Reject(Rejected),
}

/// A thing that is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorEvent {
    /// This connection, which has said hello, is taken: [`Connection::admit`](crate::connection::Connection::admit).
    Admit(Ticket),
    /// This connection is not taken: [`Connection::turn_away`](crate::connection::Connection::turn_away).
    Refuse(Ticket, Refusal),
    /// The host is asked whether this connection, which has said HELLO, is [let in](Admission::let_in).
    AskAccess(Ticket),
    /// The host is asked for a [decision](Admission::decide).
    Ask(Ticket),
    /// End this connection, which was taken or given away, for this reason:
    /// [`Connection::send_away`](crate::connection::Connection::send_away).
    End(Ticket, CloseReason),
    /// Read what arrives on this connection, for as long as the [`GRACE`] lasts: it may have ended.
    LookAt(Ticket),
}

impl DoorEvent {
    /// The connection that it is about.
    pub const fn ticket(&self) -> Ticket {
        let (Self::Admit(ticket)
        | Self::Refuse(ticket, _)
        | Self::AskAccess(ticket)
        | Self::Ask(ticket)
        | Self::End(ticket, _)
        | Self::LookAt(ticket)) = self;
        *ticket
    }
}

/// A server's door. See the [module](self).
#[derive(Debug)]
pub struct Admission {
    places: usize,
    duplicates: Duplicates,
    access: Access,
    attempts: Attempts,
    bans: Bans,
    asks: bool,
    asks_all: bool,
    decision_time: Duration,
    clients: BTreeMap<Ticket, Client>,
    next: u64,
    taken: usize,
    origins: Origins,
    /// The connections that have not said hello.
    silent: BTreeSet<Ticket>,
    ids: Ids,
    /// The connections about which the host was asked, in order, each with the time by which it has to decide.
    asked: VecDeque<(Instant, Ticket)>,
    /// The connections whose handlers are being told of the end, in order, each with the time at which its id is free.
    told: VecDeque<(Instant, Ticket)>,
    refusals: usize,
    telling: usize,
    refusal_log: Pace,
    is_stopped: bool,
    events: VecDeque<DoorEvent>,
}

/// The share that a connection has of the server.
#[derive(Debug, Default)]
struct Client {
    id: Option<PeerId>,
    from: Option<IpAddr>,
    entrance: Entrance,
    /// The token, or the word of the host, with which it was let in.
    pass: Option<Pass>,
    /// Its HELLO, while the host is asked whether it is let in.
    hello: Option<Box<Hello>>,
    is_taken: bool,
    /// The host has given it away: it has no place and no id of the server's.
    is_away: bool,
    network: Option<IpAddr>,
    place: Place,
    is_ending: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    Connection,
    Refusal,
    #[default]
    None,
}

impl Admission {
    /// A door with the bounds of a server.
    pub fn new(limits: &ServerLimits, duplicates: Duplicates) -> Self {
        Self {
            places: limits.connections,
            duplicates,
            access: Access::Open,
            attempts: Attempts::default(),
            bans: Bans::default(),
            asks: false,
            asks_all: false,
            decision_time: limits.decision_time,
            clients: BTreeMap::new(),
            next: 0,
            taken: 0,
            origins: Origins::new(limits.connections_per_address),
            silent: BTreeSet::new(),
            ids: Ids::default(),
            asked: VecDeque::new(),
            told: VecDeque::new(),
            refusals: 0,
            telling: 0,
            refusal_log: Pace::new(16, Duration::from_secs(1)),
            is_stopped: false,
            events: VecDeque::new(),
        }
    }

    /// Sets whether the host is asked about each connection that has said HELLO, before anything else is done
    /// about its id. Default false. The host has [`ServerLimits::decision_time`] to decide. It is not asked about those of
    /// pymasep's protocol, which have said no more than an id.
    #[must_use]
    pub const fn asks(mut self, asks: bool) -> Self {
        self.asks = asks;
        self
    }

    /// Sets whether the host is asked about connections of pymasep's protocol too, which get no hello before it has
    /// decided: for a host that has to ask somebody else. Default false. It has an effect with [`asks`](Self::asks).
    #[must_use]
    pub const fn asks_all(mut self, asks: bool) -> Self {
        self.asks_all = asks;
        self
    }

    /// A connection has arrived. `from` is `None` for a stream that is not of the network. True if it has a place, and its
    /// hello is to be heard.
    pub fn arrive(&mut self, from: Option<IpAddr>, entrance: Entrance) -> (Ticket, bool) {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.clients.insert(
            ticket,
            Client {
                from,
                entrance,
                ..Client::default()
            },
        );
        let taken = self.take_place(ticket, from);
        let is_heard = taken.is_ok();
        if let Err(reason) = taken {
            self.refuse(ticket, reason);
        }
        (ticket, is_heard)
    }

    fn take_place(&mut self, ticket: Ticket, from: Option<IpAddr>) -> Result<(), RejectReason> {
        if self.is_stopped {
            return Err(RejectReason::Stopped);
        }
        if let Some(banned) = from.and_then(|address| self.bans.address(address)) {
            return Err(RejectReason::Banned(banned));
        }
        // First: an address that has its share takes no place from others.
        let counted = self.origins.count(from);
        let network = counted.map_err(RejectReason::TooManyConnections)?;
        if self.taken >= self.places && !self.crowd_out() {
            self.origins.release(network);
            return Err(too_many(self.places));
        }
        self.taken += 1;
        self.silent.insert(ticket);
        if let Some(client) = self.clients.get_mut(&ticket) {
            client.network = network;
            client.place = Place::Connection;
        }
        Ok(())
    }

    /// Refuses the oldest connection that has not said hello, to make room. True if there is one.
    fn crowd_out(&mut self) -> bool {
        let Some(oldest) = self.silent.first().copied() else {
            return false;
        };
        self.refuse(oldest, RejectReason::CrowdedOut);
        true
    }

    /// A connection has said hello, with this `HELLO` if it speaks protocol 2. `date` is for the tokens that expire.
    pub fn hello(
        &mut self,
        ticket: Ticket,
        id: &PeerId,
        hello: Option<&Hello>,
        now: Instant,
        date: SystemTime,
    ) {
        if !self.silent.remove(&ticket) {
            // It was refused meanwhile.
            return;
        }
        if let Some(client) = self.clients.get_mut(&ticket) {
            client.id = Some(id.clone());
        }
        if self.is_stopped {
            return self.refuse(ticket, RejectReason::Stopped);
        }
        match self.let_in_or_ask(ticket, hello, now, date) {
            Ok(true) => self.enter(ticket, hello.is_some(), now),
            Ok(false) => {}
            Err(reason) => self.deny(ticket, reason, now),
        }
    }

    /// The host has decided about a connection that it was asked about. A decision that comes too late, or is about
    /// another connection, changes nothing.
    pub fn decide(&mut self, ticket: Ticket, decision: Decision, now: Instant) {
        let Some(id) = self.undecided(ticket) else {
            return;
        };
        self.asked.retain(|(_, asked)| *asked != ticket);
        let duplicates = match decision {
            Decision::Admit => self.duplicates,
            Decision::Replace => Duplicates::Replace,
            Decision::Reject(rejected) => {
                return self.refuse(ticket, RejectReason::Rejected(rejected));
            }
        };
        self.claim(ticket, id, duplicates, now);
    }

    /// The id of a connection about which the host is asked for a decision, and not whether it is let in.
    fn undecided(&self, ticket: Ticket) -> Option<PeerId> {
        let is_asked = self.asked.iter().any(|(_, asked)| *asked == ticket);
        let client = self.clients.get(&ticket)?;
        let id = client.id.as_ref();
        id.filter(|_| is_asked && client.hello.is_none()).cloned()
    }

    /// The host gives a connection away about which it was asked, and somebody else goes on with its stream. Its place is
    /// free, and its id nobody's. Until it is [gone](Self::gone), it is still [kicked](Self::kick), and ended with its token:
    /// by a [`DoorEvent::End`] that nothing follows. False if it was refused meanwhile.
    pub fn give_away(&mut self, ticket: Ticket) -> bool {
        let Some(id) = self.undecided(ticket) else {
            return false;
        };
        self.release(ticket);
        if let Some(client) = self.clients.get_mut(&ticket) {
            client.id = Some(id);
            client.is_away = true;
        }
        true
    }

    /// Gives the id to a connection, or has it wait for it.
    fn claim(&mut self, ticket: Ticket, id: PeerId, duplicates: Duplicates, now: Instant) {
        let Some(holder) = self.ids.holder(&id) else {
            return self.give(id, ticket);
        };
        let duplicates = match self.is_same_holder(holder, ticket) {
            true => duplicates,
            false => Duplicates::Refuse,
        };
        match duplicates {
            Duplicates::Refuse => {
                self.ids.wait(ticket, id, Step::Grace, now);
                self.events.push_back(DoorEvent::LookAt(holder));
            }
            Duplicates::Replace => {
                for earlier in self.ids.stop_waiting_for(&id) {
                    self.refuse(earlier, RejectReason::DuplicateId(id.clone()));
                }
                self.ids.wait(ticket, id, Step::Ending, now);
                self.events
                    .push_back(DoorEvent::End(holder, CloseReason::Replaced));
            }
        }
    }

    /// The server stops accepting: those that were not taken yet are refused.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        let silent = self.silent.iter().copied();
        let asked = self.asked.iter().map(|(_, ticket)| *ticket);
        let undecided: Vec<_> = silent.chain(asked).chain(self.ids.waiting()).collect();
        for ticket in undecided {
            self.refuse(ticket, RejectReason::Stopped);
        }
    }

    /// True behind [`stop`](Self::stop).
    pub const fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// The next thing that is to be done. It is to be asked for after each other call.
    pub fn poll_event(&mut self) -> Option<DoorEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, unless something else happens before that
    /// changes it. Never behind [`stop`](Self::stop).
    pub fn deadline(&self) -> Option<Instant> {
        if self.is_stopped {
            return None;
        }
        let asked = self.asked.front().map(|(until, _)| *until);
        let told = self.told.front().map(|(until, _)| *until);
        let others = asked.into_iter().chain(told);
        others.chain(self.ids.deadline()).min()
    }

    /// Ends the waits that have lasted too long by now.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((until, ticket)) = self.asked.front().copied()
            && until <= now
        {
            self.refuse(ticket, RejectReason::Undecided(self.decision_time));
        }
        while let Some((until, ticket)) = self.told.front().copied()
            && until <= now
        {
            // A handler that does not return keeps nobody out.
            self.gone(ticket);
        }
        while let Some(due) = self.ids.pop_due(now) {
            let Some(holder) = self.ids.holder(&due.id) else {
                self.give(due.id, due.ticket);
                continue;
            };
            let is_ending = self
                .clients
                .get(&holder)
                .is_some_and(|holder| holder.is_ending);
            // A machine that has kept the door waiting may have kept the holder from its end.
            let is_late = now.saturating_duration_since(due.until) >= LATE;
            match due.step {
                Step::Grace if is_ending || is_late => {
                    self.ids.wait(due.ticket, due.id, Step::LastMoment, now);
                    if !is_ending {
                        self.events.push_back(DoorEvent::LookAt(holder));
                    }
                }
                Step::Grace | Step::LastMoment => {
                    self.refuse(due.ticket, RejectReason::DuplicateId(due.id));
                }
                // A handler that does not return keeps nobody out.
                Step::Ending => self.give(due.id, due.ticket),
            }
        }
    }

    /// True if two connections came with the same token, or both without.
    fn is_same_holder(&self, one: Ticket, other: Ticket) -> bool {
        let name = |ticket| self.clients.get(&ticket).and_then(Client::token_name);
        name(one) == name(other)
    }

    /// Takes a connection.
    fn give(&mut self, id: PeerId, ticket: Ticket) {
        self.ids.hold(id, ticket);
        if let Some(client) = self.clients.get_mut(&ticket) {
            client.is_taken = true;
        }
        self.events.push_back(DoorEvent::Admit(ticket));
    }

    /// The number of connections that have a place.
    pub const fn connections(&self) -> usize {
        self.taken
    }
}
