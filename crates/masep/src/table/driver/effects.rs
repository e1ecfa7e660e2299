//! The effects of a table, carried out on its connections.

use std::time::Instant;

use masep_proto::protocol2::Bye;
use masep_proto::{Encoding, PeerId};
use masep_table::{Code, Decision, Effect, Event, Outgoing, PeerKey, Verdict};

use super::{Driver, Link, LinkState};
use crate::SendError;
use crate::table::forms::Forms;

impl<L: Link> Driver<L> {
    pub(super) fn carry_out(&mut self, now: Instant) {
        while let Some(effect) = self.table.poll_effect() {
            match effect {
                Effect::Send { to, what } => self.send(to, what, now),
                Effect::Verdict { to, verdict } => {
                    if matches!(verdict, Verdict::Reject { .. }) {
                        self.links.remove(&to);
                    }
                    self.verdicts.push_back((to, verdict));
                }
                Effect::Close {
                    to,
                    code,
                    text,
                    may_return,
                } => self.end(to, code.bye(&text, may_return)),
                Effect::LookAt { to } => self.looks.push_back(to),
                Effect::AskView(request) => {
                    // One for each seat at most: those of players before, and of turns that are over, are moot.
                    self.view_requests.retain(|it| it.seat != request.seat);
                    self.view_requests.push(request);
                    self.has_news = true;
                }
                Effect::Decision(decision) => self.decided(decision),
                Effect::Event(event) => self.happened(event),
            }
        }
    }

    pub(super) fn send(&mut self, key: PeerKey, what: Outgoing, now: Instant) {
        let Some(linked) = self.links.get_mut(&key) else {
            return;
        };
        let (link, encoding) = match &mut linked.state {
            LinkState::Opening(waiting) => return waiting.push(what),
            LinkState::Open(link, encoding) => (link, encoding),
        };
        let is_observation = matches!(what, Outgoing::Observation { .. });
        let is_left = is_observation && self.is_showing;
        let sent = deliver(link, encoding, &mut self.forms, what, is_left);
        if !is_observation {
            // A peer that does not read has its time to end.
            return;
        }
        linked.last = now;
        match sent {
            Ok(true) if !is_left => self.table.handle_sent(key, now),
            Ok(_) => {
                self.unwritten.insert(key);
                if !is_left {
                    self.waits.push(key);
                }
            }
            // Those who read are told.
            Err(SendError::Closed(_)) => {}
            Err(_) => self.table.handle_undeliverable(key, now),
        }
    }

    fn end(&mut self, key: PeerKey, bye: Bye) {
        self.unwritten.remove(&key);
        if let Some(linked) = self.links.remove(&key) {
            self.ended.push(key);
            match linked.state {
                LinkState::Open(link, _) => link.bye(bye),
                LinkState::Opening(waiting) => {
                    self.unsaid.insert(key, (waiting, bye));
                }
            }
        }
    }

    fn decided(&mut self, decision: Decision) {
        if let Some(turn) = self.turns.get_mut(&decision.turn) {
            turn.push_back(decision);
            self.has_news = true;
        }
    }

    /// A client was rejected before the table was asked.
    pub(crate) fn rejected(&mut self, id: PeerId, code: Code) {
        self.happened(Event::Rejected { id, code });
    }

    fn happened(&mut self, event: Event) {
        self.is_filled |= event == Event::Filled;
        self.events.push(event);
        self.has_news = true;
    }
}

/// Queues something on a connection, as [`Link::send`] does.
pub(super) fn deliver<L: Link>(
    link: &L,
    encoding: &Encoding,
    forms: &mut Forms,
    what: Outgoing,
    is_left: bool,
) -> Result<bool, SendError> {
    let frame = match what {
        Outgoing::Observation { message, turn } => forms.of(&message, turn, encoding)?,
        Outgoing::End(message) => encoding.encode(&message)?,
        Outgoing::Notice(notice) => {
            link.notice((&notice).into());
            return Ok(true);
        }
    };
    link.send(frame, is_left)
}
