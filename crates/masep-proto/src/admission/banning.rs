//! The clients that the host sends away: by the end of their tokens, for once, or for good.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::SystemTime;

use bytestring::ByteString;

use super::origins::network;
use super::{Access, Admission, Client, DoorEvent, RejectReason, Ticket};
use crate::CloseReason;
use crate::access::{Grants, Subject, Unauthorized};
use crate::protocol2::Rejected;

/// The clients that the host keeps out.
#[derive(Debug, Default)]
pub(super) struct Bans(BTreeSet<Subject>);

impl Bans {
    /// The ban for this address, if there is one.
    pub(super) fn address(&self, address: IpAddr) -> Option<Subject> {
        self.get(&Subject::Address(network(address)))
    }

    /// The ban for this one, if there is one.
    pub(super) fn find(&self, client: &Client) -> Option<Subject> {
        let id = client.id.clone().and_then(|id| self.get(&Subject::Id(id)));
        id.or_else(|| self.get(&Subject::Token(client.token_name()?.into())))
            .or_else(|| self.address(client.from?))
    }

    fn get(&self, subject: &Subject) -> Option<Subject> {
        self.0.get(subject).cloned()
    }
}

impl Client {
    /// The name of its token.
    pub(super) fn token_name(&self) -> Option<&str> {
        self.pass.as_ref().map(|pass| &*pass.grant.name)
    }

    fn is(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Id(id) => self.id.as_ref() == Some(id),
            Subject::Token(name) => self.token_name() == Some(name),
            Subject::Address(address) => self.from.map(network) == Some(network(*address)),
        }
    }
}

/// The ban under which this subject is found again.
fn canonical(subject: Subject) -> Subject {
    match subject {
        Subject::Address(address) => Subject::Address(network(address)),
        other => other,
    }
}

impl Admission {
    /// Sets the tokens anew, and ends the connections of those that are not among them any more, that have expired by
    /// this date, or that do not allow any more what was said in HELLO, or the seat that it was [given](Self::seat). A part
    /// that HELLO left open may have been filled since, so a connection also ends when anything of that is taken away, with
    /// [`CloseReason::Narrowed`]: it may come anew. Of a server that had no tokens, nothing changes.
    pub fn renew(&mut self, grants: Grants, date: SystemTime) {
        if let Access::Tokens(current) = &mut self.access {
            *current = grants;
        }
        self.expire(date);
    }

    /// Ends the connections of those whose tokens have expired by this date.
    pub fn expire(&mut self, date: SystemTime) {
        let grants = match &self.access {
            Access::Tokens(grants) => Some(grants),
            Access::Open | Access::Host => None,
        };
        let mut over = Vec::new();
        for (ticket, client) in &mut self.clients {
            if let Some(pass) = &mut client.pass
                && let Some(end) = pass.renew(grants, date)
            {
                over.push((*ticket, end));
            }
        }
        for (ticket, end) in over {
            let reason = match end {
                CloseReason::Narrowed => {
                    let rejected = Rejected::new(end.as_str(), end.to_string());
                    RejectReason::Rejected(rejected.retry_ms(0))
                }
                _ => RejectReason::Unauthorized(Unauthorized::Unknown),
            };
            self.send_away(ticket, end, reason);
        }
    }

    /// The host gives this connection a seat. Its token has to allow that one from here on, whatever else it allowed.
    pub fn seat(&mut self, ticket: Ticket, seat: ByteString) {
        let client = self.clients.get_mut(&ticket);
        if let Some(pass) = client.and_then(|client| client.pass.as_mut()) {
            pass.seat(seat);
        }
    }

    /// Ends the connections of these, and refuses those that wait. They may come back, unless they are
    /// [banned](Self::ban). Returns their number.
    pub fn kick(&mut self, subject: &Subject) -> usize {
        let those = self.clients.iter().filter(|(_, client)| client.is(subject));
        let those: Vec<Ticket> = those.map(|(ticket, _)| *ticket).collect();
        let reason = || {
            let end = CloseReason::Kicked;
            RejectReason::Rejected(Rejected::new(end.as_str(), end.to_string()))
        };
        those
            .into_iter()
            .filter(|ticket| self.send_away(*ticket, CloseReason::Kicked, reason()))
            .count()
    }

    /// As [`kick`](Self::kick), and refuses all that come, until [`unban`](Self::unban). A ban lasts as long as the door.
    pub fn ban(&mut self, subject: Subject) -> usize {
        let kicked = self.kick(&subject);
        self.bans.0.insert(canonical(subject));
        kicked
    }

    /// Lets these come again. False if they were not banned.
    pub fn unban(&mut self, subject: Subject) -> bool {
        self.bans.0.remove(&canonical(subject))
    }

    /// The clients that are kept out, in order.
    pub fn bans(&self) -> impl Iterator<Item = &Subject> {
        self.bans.0.iter()
    }

    /// Ends a connection that was taken, or refuses one that was not yet. False if it is over already.
    fn send_away(&mut self, ticket: Ticket, end: CloseReason, refusal: RejectReason) -> bool {
        let Some(client) = self.clients.get_mut(&ticket) else {
            return false;
        };
        if client.is_away || client.is_taken {
            let is_ending = std::mem::replace(&mut client.is_ending, true);
            if !is_ending {
                self.events.push_back(DoorEvent::End(ticket, end));
            }
            return !is_ending;
        }
        let has_said_hello = client.id.is_some();
        if has_said_hello {
            self.refuse(ticket, refusal);
        }
        has_said_hello
    }
}
