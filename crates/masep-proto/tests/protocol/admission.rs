//! A server's door: places, ids, who makes room, and who is refused.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use masep_proto::access::Subject;
use masep_proto::admission::{
    Admission, Decision, DoorEvent, Duplicates, Entrance, RejectReason, Ticket,
};
use masep_proto::protocol2::{Hello, Rejected};
use masep_proto::{CloseReason, PeerId, ServerLimits};

use super::answers::{Answers, Greet, Verdict};

const MILLISECOND: Duration = Duration::from_millis(1);

/// A door, and a clock that is turned.
struct Door {
    admission: Answers,
    now: Instant,
}

impl Door {
    fn new(limits: &ServerLimits, duplicates: Duplicates) -> Self {
        Self {
            admission: Answers::of(Admission::new(limits, duplicates)),
            now: Instant::now(),
        }
    }

    fn arrive(&mut self) -> (Ticket, Greet) {
        self.admission.arrive(None, Entrance::Main)
    }

    fn hello(&mut self, ticket: Ticket, id: &str) -> Verdict {
        let hello = Hello::new(PeerId::from(id), 0);
        let date = SystemTime::now();
        self.admission
            .hello(ticket, &hello.id, Some(&hello), self.now, date)
    }

    /// One that has said this hello, and what came of it.
    fn client(&mut self, id: &str) -> (Ticket, Verdict) {
        let (ticket, greet) = self.arrive();
        assert_eq!(greet, Greet::Hear);
        (ticket, self.hello(ticket, id))
    }

    fn events(&mut self) -> Vec<DoorEvent> {
        std::iter::from_fn(|| self.admission.poll_event()).collect()
    }

    /// Turns the clock, stopping at each deadline.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.admission.deadline().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.admission.handle_timeout(self.now);
        }
        self.now = until;
    }
}

/// The reasons for which these are not taken.
fn refusals(events: &[DoorEvent]) -> Vec<(Ticket, &'static str)> {
    let refusals = events.iter().filter_map(|event| match event {
        DoorEvent::Refuse(ticket, refusal) => Some((*ticket, refusal.reason.as_str())),
        _ => None,
    });
    refusals.collect()
}

#[test]
fn the_oldest_without_a_hello_makes_room() {
    let mut door = Door::new(&ServerLimits::default().connections(2), Duplicates::Refuse);
    let (first, _) = door.client("first");
    let (silent, _) = door.arrive();
    let (newcomer, greet) = door.arrive();
    assert_eq!(greet, Greet::Hear);
    assert_eq!(refusals(&door.events()), [(silent, "crowded_out")]);
    assert_eq!(
        door.hello(silent, "too late"),
        Verdict::Wait,
        "it was refused"
    );
    assert_eq!(door.hello(newcomer, "second"), Verdict::Admit);
    // All have said hello now.
    let (_, Greet::Refuse(refusal)) = door.arrive() else {
        panic!("there is no place");
    };
    assert_eq!(refusal.reason.as_str(), "too_many_connections");
    assert!(!refusal.at_once);
    door.admission.gone(first);
    assert_eq!(door.arrive().1, Greet::Hear);
}

#[test]
fn each_address_has_its_share_and_takes_no_place_beyond_it() {
    let limits = ServerLimits::default().connections_per_address(Some(1));
    let mut door = Door::new(&limits, Duplicates::Refuse);
    let from: IpAddr = "192.0.2.1".parse().unwrap();
    let (first, greet) = door.admission.arrive(Some(from), Entrance::Main);
    assert_eq!(greet, Greet::Hear);
    let (_, refused) = door.admission.arrive(Some(from), Entrance::Main);
    assert!(matches!(refused, Greet::Refuse(_)));
    assert_eq!(door.admission.connections(), 1);
    assert!(door.events().is_empty(), "nobody was crowded out");
    assert!(door.admission.failed(first), "it may be told why");
    assert_eq!(
        door.admission.arrive(Some(from), Entrance::Main).1,
        Greet::Hear
    );
}

#[test]
fn refusals_are_seen_out_but_not_any_number_of_them() {
    let mut door = Door::new(&ServerLimits::default().connections(0), Duplicates::Refuse);
    let mut tickets = Vec::new();
    let mut at_once = 0;
    for _ in 0..100 {
        let (ticket, Greet::Refuse(refusal)) = door.arrive() else {
            panic!("there is no place");
        };
        tickets.push(ticket);
        at_once += usize::from(refusal.at_once);
    }
    assert_eq!(at_once, 100 - 64);
    for ticket in tickets {
        door.admission.gone(ticket);
    }
    assert!(matches!(door.arrive().1, Greet::Refuse(refusal) if !refusal.at_once));
}

#[test]
fn who_comes_back_at_once_waits_for_its_old_connection() {
    let mut door = Door::new(&ServerLimits::default(), Duplicates::Refuse);
    let (old, _) = door.client("agent");
    let (new, verdict) = door.client("agent");
    assert_eq!(verdict, Verdict::Wait);
    assert_eq!(door.events(), [DoorEvent::LookAt(old)]);
    door.pass(199 * MILLISECOND);
    door.admission.gone(old);
    assert_eq!(door.events(), [DoorEvent::Admit(new)]);
    // It holds the id now.
    let (third, _) = door.client("agent");
    assert_eq!(door.events(), [DoorEvent::LookAt(new)]);
    door.pass(200 * MILLISECOND);
    assert_eq!(refusals(&door.events()), [(third, "duplicate_id")]);
    assert_eq!(door.admission.deadline(), None);
}

#[test]
fn who_comes_back_waits_longer_for_one_that_is_about_to_end() {
    let mut door = Door::new(&ServerLimits::default(), Duplicates::Refuse);
    let (old, _) = door.client("agent");
    let (new, _) = door.client("agent");
    door.admission.ending(old);
    door.pass(1_100 * MILLISECOND);
    assert_eq!(refusals(&door.events()), []);
    door.admission.gone(old);
    assert_eq!(door.events(), [DoorEvent::Admit(new)]);
}

#[test]
fn who_comes_back_waits_longer_on_a_machine_that_is_busy() {
    let mut door = Door::new(&ServerLimits::default(), Duplicates::Refuse);
    let (old, _) = door.client("agent");
    let (new, _) = door.client("agent");
    assert_eq!(door.events(), [DoorEvent::LookAt(old)]);
    // Nobody is on time, the old connection included.
    door.now += Duration::from_secs(3);
    door.admission.handle_timeout(door.now);
    assert_eq!(door.events(), [DoorEvent::LookAt(old)]);
    door.admission.gone(old);
    assert_eq!(door.events(), [DoorEvent::Admit(new)]);

    // One that does not end keeps its id all the same.
    let (third, _) = door.client("agent");
    for _ in 0..2 {
        assert_eq!(door.events(), [DoorEvent::LookAt(new)]);
        door.now += Duration::from_secs(3);
        door.admission.handle_timeout(door.now);
    }
    assert_eq!(refusals(&door.events()), [(third, "duplicate_id")]);
}

#[test]
fn several_that_wait_for_an_id_get_it_one_after_the_other() {
    let mut door = Door::new(&ServerLimits::default(), Duplicates::Refuse);
    let (old, _) = door.client("agent");
    let (first, _) = door.client("agent");
    let (second, _) = door.client("agent");
    let (third, _) = door.client("agent");
    door.events();
    door.admission.gone(first);
    door.admission.gone(old);
    assert_eq!(
        door.events(),
        [DoorEvent::Admit(second)],
        "the first is gone"
    );
    door.pass(200 * MILLISECOND);
    assert_eq!(refusals(&door.events()), [(third, "duplicate_id")]);
}

#[test]
fn one_that_is_replaced_is_told_and_keeps_nobody_out() {
    let mut door = Door::new(&ServerLimits::default(), Duplicates::Replace);
    let (old, _) = door.client("agent");
    let (new, verdict) = door.client("agent");
    assert_eq!(verdict, Verdict::Wait);
    assert_eq!(door.events(), [DoorEvent::End(old, CloseReason::Replaced)]);
    door.pass(1_999 * MILLISECOND);
    assert_eq!(door.events(), []);
    door.pass(MILLISECOND);
    assert_eq!(door.events(), [DoorEvent::Admit(new)]);
    // The end of the old one does not free the id of its successor.
    door.admission.gone(old);
    let (third, _) = door.client("agent");
    assert_eq!(door.events(), [DoorEvent::End(new, CloseReason::Replaced)]);
    let (fourth, _) = door.client("agent");
    let events = door.events();
    assert_eq!(refusals(&events), [(third, "duplicate_id")]);
    assert_eq!(
        events.last(),
        Some(&DoorEvent::End(new, CloseReason::Replaced))
    );
    door.admission.gone(new);
    assert_eq!(door.events(), [DoorEvent::Admit(fourth)]);
}

#[test]
fn a_door_that_is_stopped_waits_for_nothing() {
    let mut door = Door::new(&ServerLimits::default(), Duplicates::Refuse);
    let (old, _) = door.client("agent");
    let (new, _) = door.client("agent");
    door.admission.stop();
    assert_eq!(refusals(&door.events()), [(new, "stopped")]);
    assert_eq!(door.admission.kick(&Subject::Id("agent".into())), 1);
    assert_eq!(door.events(), [DoorEvent::End(old, CloseReason::Kicked)]);
    door.admission.closed(old, door.now);
    assert_eq!(door.admission.deadline(), None);
}

#[test]
fn the_host_is_asked_and_may_decide_late() {
    let mut admission = Admission::new(&ServerLimits::default(), Duplicates::Refuse);
    admission = admission.asks(true);
    let mut door = Door {
        admission: Answers::of(admission),
        now: Instant::now(),
    };
    let (first, verdict) = door.client("agent");
    assert_eq!(verdict, Verdict::Wait);
    assert_eq!(door.events(), [DoorEvent::Ask(first)]);
    door.pass(Duration::from_millis(3_999));
    door.admission.decide(first, Decision::Admit, door.now);
    assert_eq!(door.events(), [DoorEvent::Admit(first)]);

    let (second, _) = door.client("agent");
    let (third, _) = door.client("other");
    let (fourth, _) = door.client("another");
    door.events();
    door.admission.decide(second, Decision::Replace, door.now);
    assert_eq!(
        door.events(),
        [DoorEvent::End(first, CloseReason::Replaced)]
    );
    let rejected = Rejected::new("full", "no seat");
    let no = Decision::Reject(rejected.clone());
    door.admission.decide(third, no, door.now);
    let events = door.events();
    let [DoorEvent::Refuse(ticket, refusal)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(*ticket, third);
    assert_eq!(refusal.reason, RejectReason::Rejected(rejected));
    door.admission.gone(first);
    assert_eq!(door.events(), [DoorEvent::Admit(second)]);
    door.pass(Duration::from_secs(5));
    assert_eq!(refusals(&door.events()), [(fourth, "undecided")]);
    door.admission.decide(fourth, Decision::Admit, door.now);
    assert_eq!(door.events(), [], "too late");
}

#[test]
fn nobody_is_asked_about_a_peer_that_has_said_no_more_than_its_id() {
    let admission = Admission::new(&ServerLimits::default(), Duplicates::Refuse);
    let mut admission = Answers::of(admission.asks(true));
    let (ticket, _) = admission.arrive(None, Entrance::Main);
    let id = PeerId::from("agent");
    let verdict = admission.hello(ticket, &id, None, Instant::now(), SystemTime::now());
    assert_eq!(verdict, Verdict::Admit);
    assert_eq!(admission.poll_event(), None);
}

#[test]
fn a_host_that_decides_about_nobody_keeps_nobody_else_waiting() {
    let limits = ServerLimits::default().decision_time(Duration::from_secs(1));
    let admission = Admission::new(&limits, Duplicates::Refuse);
    let mut door = Door {
        admission: Answers::of(admission.asks(true)),
        now: Instant::now(),
    };
    let (first, _) = door.client("first");
    door.pass(Duration::from_millis(600));
    let (second, _) = door.client("second");
    door.events();
    door.admission.decide(second, Decision::Admit, door.now);
    assert_eq!(door.events(), [DoorEvent::Admit(second)]);
    door.pass(Duration::from_millis(400));
    let events = door.events();
    assert_eq!(refusals(&events), [(first, "undecided")]);
    let [DoorEvent::Refuse(_, refusal)] = &events[..] else {
        panic!("{events:?}");
    };
    let told = Rejected::from(&refusal.reason);
    assert_eq!((&*told.code, told.retry_ms), ("undecided", Some(1_000)));
}

#[test]
fn a_door_that_is_stopped_refuses_all_that_were_not_taken() {
    let mut door = Door::new(&ServerLimits::default(), Duplicates::Refuse);
    let (taken, _) = door.client("agent");
    let (waiting, _) = door.client("agent");
    let (silent, _) = door.arrive();
    door.events();
    door.admission.stop();
    let expected = [(silent, "stopped"), (waiting, "stopped")];
    assert_eq!(refusals(&door.events()), expected);
    assert_eq!(door.admission.connections(), 1);
    assert!(matches!(door.arrive().1, Greet::Refuse(_)));
    door.admission.gone(taken);
    assert_eq!(door.admission.connections(), 0);
    assert_eq!(door.admission.deadline(), None);
}

#[test]
fn places_are_counted_right_whatever_happens() {
    for seed in 1..2_000_u64 {
        let mut state = seed;
        let mut draw = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % bound
        };
        let limits = ServerLimits::default()
            .connections(3)
            .connections_per_address(Some(2));
        let duplicates = [Duplicates::Refuse, Duplicates::Replace][draw(2)];
        let mut door = Door::new(&limits, duplicates);
        let admission = Admission::new(&limits, duplicates).asks(draw(2) == 0);
        door.admission = Answers::of(admission);
        let mut tickets = Vec::new();
        for _ in 0..40 {
            let ticket = tickets.get(draw(tickets.len().max(1))).copied();
            match (draw(7), ticket) {
                (0 | 1, _) => {
                    let from = IpAddr::from([192, 0, 2, u8::try_from(draw(3)).unwrap()]);
                    tickets.push(door.admission.arrive(Some(from), Entrance::Main).0);
                }
                (2, Some(ticket)) => {
                    let _ = door.hello(ticket, ["a", "b"][draw(2)]);
                }
                (3, Some(ticket)) => door.admission.gone(ticket),
                (4, Some(ticket)) => {
                    let decision = [Decision::Admit, Decision::Replace][draw(2)].clone();
                    door.admission.decide(ticket, decision, door.now);
                }
                (5, Some(ticket)) => {
                    let _ = door.admission.failed(ticket);
                }
                _ => door.pass(Duration::from_millis(300)),
            }
            assert!(door.admission.connections() <= 3, "seed {seed}");
        }
        for ticket in tickets {
            door.admission.gone(ticket);
        }
        assert_eq!(door.admission.connections(), 0, "seed {seed}");
        door.pass(Duration::from_secs(60));
        assert_eq!(door.admission.deadline(), None, "seed {seed}");
        let (ticket, _) = door.arrive();
        let verdict = door.hello(ticket, "a");
        let admitted = verdict == Verdict::Admit || door.events().contains(&DoorEvent::Ask(ticket));
        assert!(admitted, "seed {seed}: the id is free again");
    }
}

#[test]
fn a_place_is_free_before_the_handler_was_told_and_the_id_a_second_later() {
    let mut door = Door::new(&ServerLimits::default().connections(1), Duplicates::Refuse);
    let (first, _) = door.client("agent");
    door.admission.ending(first);
    door.admission.closed(first, door.now);
    assert_eq!(door.admission.connections(), 0);
    let (second, verdict) = door.client("agent");
    assert_eq!(verdict, Verdict::Wait);
    door.events();
    door.pass(900 * MILLISECOND);
    assert_eq!(door.events(), []);
    // The handler does not return.
    door.pass(100 * MILLISECOND);
    assert_eq!(door.events(), [DoorEvent::Admit(second)]);
    // When it does, nothing changes.
    door.admission.gone(first);
    assert_eq!(door.admission.connections(), 1);
}
