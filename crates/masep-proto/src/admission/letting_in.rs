//! The first question of the door: may this one come in at all?

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::{Admission, DoorEvent, Entrance, Refusal, RejectReason, Ticket, Verdict};
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
        let pass = grant.map(|grant| Pass::of_host(grant, &hello));
        let denied = match pass {
            Some(Ok(pass)) => {
                client.pass = Some(pass);
                None
            }
            Some(Err(forbidden)) => Some(RejectReason::Forbidden(forbidden)),
            None => Some(RejectReason::Unauthorized(Unauthorized::Unknown)),
        };
        let verdict = match denied {
            Some(reason) => Verdict::Refuse(self.deny(ticket, reason, now)),
            None => self.enter(ticket, true, now),
        };
        self.tell_verdict(ticket, verdict);
    }

    /// Refuses a client for its token, or for want of one: without a word if there were too many from its address.
    pub(super) fn deny(&mut self, ticket: Ticket, reason: RejectReason, now: Instant) -> Refusal {
        let from = self.clients.get(&ticket).and_then(|client| client.from);
        if self.attempts.fail(from, now) {
            return self.refuse(ticket, reason);
        }
        self.release(ticket);
        Refusal {
            reason,
            at_once: true,
        }
    }

    /// A connection is let in: it is to have its id, when the host that is asked about it has decided.
    pub(super) fn enter(&mut self, ticket: Ticket, may_ask: bool, now: Instant) -> Verdict {
        let Some(client) = self.clients.get(&ticket) else {
            return Verdict::Wait;
        };
        if let Some(banned) = self.bans.find(client) {
            return Verdict::Refuse(self.refuse(ticket, RejectReason::Banned(banned)));
        }
        if self.asks && (self.asks_all || may_ask) {
            self.wait_for_host(ticket, DoorEvent::Ask(ticket), now);
            return Verdict::Wait;
        }
        match client.id.clone() {
            Some(id) => self.claim(ticket, id, self.duplicates, now),
            None => Verdict::Wait,
        }
    }

    pub(super) fn tell_verdict(&mut self, ticket: Ticket, verdict: Verdict) {
        match verdict {
            Verdict::Admit => self.events.push_back(DoorEvent::Admit(ticket)),
            Verdict::Refuse(refusal) => self.events.push_back(DoorEvent::Refuse(ticket, refusal)),
            Verdict::Wait => {}
        }
    }

    /// The rights with which a connection was let in; `None` where no token is needed.
    pub fn grant(&self, ticket: Ticket) -> Option<Arc<Grant>> {
        let pass = self.clients.get(&ticket)?.pass.as_ref();
        pass.map(|pass| pass.grant.clone())
    }
}
