//! The first question of the door: may this one come in at all?

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::{Admission, DoorEvent, Entrance, RejectReason, Ticket};
use crate::access::{Grant, Grants, Pass, Unauthorized};
use crate::protocol2::Hello;

/// The rule for those who come.
#[derive(Debug)]
pub(super) enum Access {
    /// Everybody.
    Open,
    /// Clients with a token.
    Tokens(Grants),
    /// Clients that the host lets in.
    Host,
}

impl Admission {
    /// Lets only those in who have one of these tokens, and peers of pymasep's protocol by their own entrance. Default:
    /// everybody comes in.
    #[must_use]
    pub fn tokens(mut self, grants: Grants) -> Self {
        self.access = Access::Tokens(grants);
        self
    }

    /// Lets only those in whom the host [lets in](Self::let_in), and peers of pymasep's protocol by their own entrance.
    /// The host has [`ServerLimits::decision_time`](crate::ServerLimits::decision_time) to decide.
    #[must_use]
    pub fn asks_access(mut self) -> Self {
        self.access = Access::Host;
        self
    }

    /// True if a connection is let in; false where the host is asked that.
    pub(super) fn let_in_or_ask(
        &mut self,
        ticket: Ticket,
        hello: Option<&Hello>,
        now: Instant,
        date: SystemTime,
    ) -> Result<bool, RejectReason> {
        let Some(client) = self.clients.get_mut(&ticket) else {
            return Ok(true);
        };
        match (&self.access, hello) {
            (Access::Open, _) => {}
            (_, None) if client.entrance == Entrance::Pymasep => {}
            (_, None) => return Err(RejectReason::Unauthorized(Unauthorized::Absent)),
            (Access::Tokens(grants), Some(hello)) => client.pass = Some(grants.judge(hello, date)?),
            (Access::Host, Some(hello)) => {
                client.hello = Some(Box::new(hello.clone()));
                self.wait_for_host(ticket, DoorEvent::AskAccess(ticket), now);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn wait_for_host(&mut self, ticket: Ticket, question: DoorEvent, now: Instant) {
        let until = now.checked_add(self.decision_time).unwrap_or(now);
        self.asked.push_back((until, ticket));
        self.events.push_back(question);
    }

    /// The host has decided whether a connection is let in about which it was [asked](DoorEvent::AskAccess): as this, or
    /// not at all. A decision that comes too late changes nothing.
    pub fn let_in(&mut self, ticket: Ticket, grant: Option<Grant>, now: Instant) {
        let client = self.clients.get_mut(&ticket);
        let Some((client, hello)) = client.and_then(|it| it.hello.take().map(|hello| (it, hello)))
        else {
            return;
        };
        self.asked.retain(|(_, asked)| *asked != ticket);
        match grant.map(|grant| Pass::of_host(grant, &hello)) {
            Some(Ok(pass)) => {
                client.pass = Some(pass);
                self.enter(ticket, true, now);
            }
            Some(Err(forbidden)) => self.deny(ticket, RejectReason::Forbidden(forbidden), now),
            None => self.deny(
                ticket,
                RejectReason::Unauthorized(Unauthorized::Unknown),
                now,
            ),
        }
    }

    /// Refuses a client for its token, or for want of one: without a word if there were too many from its address.
    pub(super) fn deny(&mut self, ticket: Ticket, reason: RejectReason, now: Instant) {
        let from = self.clients.get(&ticket).and_then(|client| client.from);
        if self.attempts.fail(from, now) {
            return self.refuse(ticket, reason);
        }
        self.release(ticket);
        self.tell_refusal(ticket, reason, true);
    }

    /// A connection is let in: it is to have its id, when the host that is asked about it has decided.
    pub(super) fn enter(&mut self, ticket: Ticket, may_ask: bool, now: Instant) {
        let Some(client) = self.clients.get(&ticket) else {
            return;
        };
        if let Some(banned) = self.bans.find(client) {
            self.refuse(ticket, RejectReason::Banned(banned));
        } else if self.asks && (self.asks_all || may_ask) {
            self.wait_for_host(ticket, DoorEvent::Ask(ticket), now);
        } else if let Some(id) = client.id.clone() {
            self.claim(ticket, id, self.duplicates, now);
        }
    }

    /// The rights with which a connection was let in; `None` where no token is needed.
    pub fn grant(&self, ticket: Ticket) -> Option<Arc<Grant>> {
        let pass = self.clients.get(&ticket)?.pass.as_ref();
        pass.map(|pass| pass.grant.clone())
    }
}
