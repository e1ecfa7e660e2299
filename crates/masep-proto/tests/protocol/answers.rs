//! A server's door whose decision about a connection that has come or said hello is the answer of that call.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::time::{Instant, SystemTime};

use masep_proto::PeerId;
use masep_proto::admission::{Admission, DoorEvent, Entrance, Refusal, Ticket};
use masep_proto::protocol2::Hello;

#[derive(Debug, PartialEq)]
pub(crate) enum Greet {
    Hear,
    Refuse(Refusal),
}

#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Admit,
    Refuse(Refusal),
    Wait,
}

#[derive(Debug)]
pub(crate) struct Answers {
    admission: Admission,
    /// The events that were no answer.
    others: VecDeque<DoorEvent>,
}

impl Answers {
    pub(crate) const fn of(admission: Admission) -> Self {
        let others = VecDeque::new();
        Self { admission, others }
    }

    pub(crate) fn arrive(&mut self, from: Option<IpAddr>, entrance: Entrance) -> (Ticket, Greet) {
        let (ticket, is_heard) = self.admission.arrive(from, entrance);
        let greet = match self.verdict(ticket) {
            Verdict::Refuse(refusal) => Greet::Refuse(refusal),
            _ => Greet::Hear,
        };
        assert_eq!(is_heard, greet == Greet::Hear);
        (ticket, greet)
    }

    pub(crate) fn hello(
        &mut self,
        ticket: Ticket,
        id: &PeerId,
        hello: Option<&Hello>,
        now: Instant,
        date: SystemTime,
    ) -> Verdict {
        // One that tells of another call is no answer.
        self.events();
        self.admission.hello(ticket, id, hello, now, date);
        self.verdict(ticket)
    }

    fn events(&mut self) -> &mut VecDeque<DoorEvent> {
        while let Some(event) = self.admission.poll_event() {
            self.others.push_back(event);
        }
        &mut self.others
    }

    fn verdict(&mut self, ticket: Ticket) -> Verdict {
        let before = self.others.len();
        let events = self.events();
        let is_about = |event: &DoorEvent| event.ticket() == ticket;
        let at = (before..events.len()).find(|at| is_about(&events[*at]));
        match at.map(|at| (at, events[at].clone())) {
            Some((at, DoorEvent::Admit(_))) => {
                events.remove(at);
                Verdict::Admit
            }
            Some((at, DoorEvent::Refuse(_, refusal))) => {
                events.remove(at);
                Verdict::Refuse(refusal)
            }
            _ => Verdict::Wait,
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<DoorEvent> {
        self.events().pop_front()
    }
}

impl Deref for Answers {
    type Target = Admission;

    fn deref(&self) -> &Admission {
        &self.admission
    }
}

impl DerefMut for Answers {
    fn deref_mut(&mut self) -> &mut Admission {
        &mut self.admission
    }
}
