//! A door that asks for tokens: who is let in, in what order things are looked at, and who is sent away.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use masep_proto::access::{Digest, Grant, Grants, Subject};
use masep_proto::admission::{Admission, Decision, DoorEvent, Duplicates, Entrance, Ticket};
use masep_proto::protocol2::{AccessToken, Hello, Rejected};
use masep_proto::{CloseReason, PeerId, Role, ServerLimits};

use super::answers::{Answers, Greet, Verdict};

const DAY: Duration = Duration::from_secs(86_400);

/// A door, and two clocks that are turned.
struct Door {
    admission: Answers,
    now: Instant,
    date: SystemTime,
}

fn door(admission: Admission) -> Door {
    Door {
        admission: Answers::of(admission),
        now: Instant::now(),
        date: SystemTime::UNIX_EPOCH + 20_000 * DAY,
    }
}

fn admission(duplicates: Duplicates) -> Admission {
    Admission::new(&ServerLimits::default().connections(8), duplicates)
}

fn grants(list: impl IntoIterator<Item = (&'static str, Grant)>) -> Grants {
    let mut grants = Grants::default();
    for (token, grant) in list {
        let digest = Digest::of(&AccessToken::from(token));
        grants.add(digest, grant).expect("each is another one");
    }
    grants
}

fn hello(id: &str, token: Option<&str>) -> Hello {
    let mut hello = Hello::new(PeerId::from(id), 0);
    hello.token = token.map(AccessToken::from);
    hello
}

impl Door {
    fn arrive(&mut self, from: Option<&str>) -> Ticket {
        let from: Option<IpAddr> = from.map(|from| from.parse().expect("an address"));
        let (ticket, greet) = self.admission.arrive(from, Entrance::Main);
        assert_eq!(greet, Greet::Hear);
        ticket
    }

    /// One that says this, and what it is told.
    fn says(&mut self, hello: &Hello) -> (Ticket, Verdict) {
        let ticket = self.arrive(None);
        (ticket, self.hears(ticket, hello))
    }

    fn hears(&mut self, ticket: Ticket, hello: &Hello) -> Verdict {
        self.admission
            .hello(ticket, &hello.id, Some(hello), self.now, self.date)
    }

    fn events(&mut self) -> Vec<DoorEvent> {
        std::iter::from_fn(|| self.admission.poll_event()).collect()
    }
}

/// Code and text as the client is told them, and whether it is told.
fn told(verdict: &Verdict) -> (String, String, bool) {
    let Verdict::Refuse(refusal) = verdict else {
        panic!("{verdict:?}");
    };
    let rejected = Rejected::from(&refusal.reason);
    (
        rejected.code.to_string(),
        rejected.text.to_string(),
        !refusal.at_once,
    )
}

fn code(verdict: &Verdict) -> String {
    told(verdict).0
}

#[test]
fn a_refusal_for_the_token_tells_nothing() {
    let mut door = door(admission(Duplicates::Refuse));
    let expired = Grant::new("old").expires(door.date);
    let tokens = grants([
        ("good", Grant::new("lab3").id("a").game("g")),
        ("old", expired),
    ]);
    door.admission = Answers::of(admission(Duplicates::Refuse).tokens(tokens));
    let (taken, verdict) = door.says(&hello("a", Some("good")));
    assert_eq!(verdict, Verdict::Admit);
    assert_eq!(
        door.admission.grant(taken).map(|it| it.name.to_string()),
        Some("lab3".into())
    );

    // The id is in use, the game is another one: nothing of that is looked at.
    let mut all = Vec::new();
    for token in [None, Some("wrong"), Some("old"), Some(""), Some("good ")] {
        let mut hello = hello("a", token);
        hello.game = Some("other".into());
        let (_, verdict) = door.says(&hello);
        all.push(told(&verdict));
    }
    assert_eq!(all[0].0, "unauthorized");
    assert!(all.iter().all(|one| *one == all[0]), "{all:?}");

    // The holder of a token is told what it is not for.
    let mut other_game = hello("a", Some("good"));
    other_game.game = Some("other".into());
    let other_id = hello("b", Some("good"));
    for hello in [other_game, other_id] {
        assert_eq!(code(&door.says(&hello).1), "forbidden");
    }
    let (_, verdict) = door.says(&hello("a", Some("good")));
    assert_eq!(verdict, Verdict::Wait, "for the id");
}

#[test]
fn a_grant_is_for_ids_roles_games_and_seats() {
    let narrow = Grant::new("narrow")
        .id("a")
        .role(Role::Actor)
        .game("g")
        .seat("red");
    let mut door = door(admission(Duplicates::Refuse));
    door.admission = Answers::of(
        admission(Duplicates::Refuse)
            .tokens(grants([("narrow", narrow), ("wide", Grant::new("wide"))])),
    );
    type Change = fn(&mut Hello);
    let cases: [(Change, bool); 9] = [
        (|_| {}, true),
        (|hello| hello.role = Some("actor".into()), true),
        (|hello| hello.role = Some("observer".into()), false),
        (|hello| hello.role = Some("king".into()), false),
        (|hello| hello.game = Some("g".into()), true),
        (|hello| hello.game = Some("h".into()), false),
        (|hello| hello.seat = Some("red".into()), true),
        (|hello| hello.seat = Some("blue".into()), false),
        (|hello| hello.id = PeerId::from("b"), false),
    ];
    for (change, allowed) in cases {
        for (token, is_narrow) in [("narrow", true), ("wide", false)] {
            let mut hello = hello("a", Some(token));
            change(&mut hello);
            let (ticket, verdict) = door.says(&hello);
            if allowed || !is_narrow {
                assert_eq!(verdict, Verdict::Admit, "{hello:?}");
            } else {
                assert_eq!(code(&verdict), "forbidden", "{hello:?}");
            }
            door.admission.gone(ticket);
        }
    }
}

#[test]
fn guesses_beyond_the_pace_are_not_answered_and_cost_the_holder_nothing() {
    let mut door = door(admission(Duplicates::Refuse));
    door.admission =
        Answers::of(admission(Duplicates::Refuse).tokens(grants([("good", Grant::new("lab3"))])));
    let mut answered = 0;
    for guess in 0..10_000 {
        let ticket = door.arrive(Some("192.0.2.1"));
        let verdict = door.hears(ticket, &hello("a", Some(&format!("guess {guess}"))));
        answered += usize::from(told(&verdict).2);
        door.admission.gone(ticket);
    }
    assert_eq!(answered, 16, "those at once");
    let ticket = door.arrive(Some("192.0.2.1"));
    assert_eq!(
        door.hears(ticket, &hello("a", Some("good"))),
        Verdict::Admit
    );
    assert_eq!(door.admission.connections(), 1);
    door.now += Duration::from_secs(2);
    let other = door.arrive(Some("192.0.2.2"));
    assert!(
        told(&door.hears(other, &hello("b", None))).2,
        "another address"
    );
}

#[test]
fn peers_of_pymaseps_protocol_come_by_their_own_entrance() {
    let id = PeerId::from("old");
    let open = || admission(Duplicates::Refuse);
    for (admission, entrance, is_taken) in [
        (open(), Entrance::Main, true),
        (open().tokens(Grants::default()), Entrance::Main, false),
        (open().tokens(Grants::default()), Entrance::Pymasep, true),
        (open().asks_access(), Entrance::Main, false),
        (open().asks_access(), Entrance::Pymasep, true),
    ] {
        let mut door = door(admission);
        let (ticket, _) = door.admission.arrive(None, entrance);
        let verdict = door.admission.hello(ticket, &id, None, door.now, door.date);
        assert_eq!(verdict == Verdict::Admit, is_taken, "{verdict:?}");
    }
}

#[test]
fn one_who_is_asked_by_a_function_waits_and_is_let_in_as_what_it_says() {
    let mut door = door(admission(Duplicates::Refuse).asks(true).asks_access());
    let (ticket, verdict) = door.says(&hello("a", Some("any")));
    assert_eq!(verdict, Verdict::Wait);
    assert_eq!(door.events(), [DoorEvent::AskAccess(ticket)]);
    door.admission.decide(ticket, Decision::Admit, door.now);
    assert_eq!(door.events(), [], "that is the second question");
    door.admission
        .let_in(ticket, Some(Grant::new("lab3")), door.now);
    assert_eq!(door.events(), [DoorEvent::Ask(ticket)]);
    door.admission.let_in(ticket, None, door.now);
    assert_eq!(door.events(), [], "it was answered");
    door.admission.decide(ticket, Decision::Admit, door.now);
    assert_eq!(door.events(), [DoorEvent::Admit(ticket)]);

    let refused = |door: &mut Door| match &door.events()[..] {
        [DoorEvent::Refuse(_, refusal)] => refusal.reason.as_str(),
        other => panic!("{other:?}"),
    };
    for (grant, expected) in [
        (None, "unauthorized"),
        (Some(Grant::new("other").id("c")), "forbidden"),
    ] {
        let (ticket, _) = door.says(&hello("b", None));
        door.events();
        door.admission.let_in(ticket, grant, door.now);
        assert_eq!(refused(&mut door), expected);
    }
    let (ticket, _) = door.says(&hello("b", None));
    door.events();
    door.now = door.admission.deadline().expect("the host has its time");
    door.admission.handle_timeout(door.now);
    assert_eq!(refused(&mut door), "undecided");
    door.admission
        .let_in(ticket, Some(Grant::new("late")), door.now);
    assert_eq!(door.events(), []);
}

#[test]
fn a_token_that_is_taken_out_or_expires_ends_its_connections() {
    let mut door = door(admission(Duplicates::Refuse));
    let soon = Grant::new("soon").expires(door.date + DAY);
    let seated = Grant::new("seated").seat("red").seat("blue");
    let all = |extra: Option<Grant>| {
        let list = [("stays", Grant::new("stays")), ("soon", soon.clone())];
        grants(list.into_iter().chain(extra.map(|extra| ("moves", extra))))
    };
    door.admission = Answers::of(admission(Duplicates::Refuse).tokens(all(Some(seated))));
    let (_, stays) = door.says(&hello("a", Some("stays")));
    let (soon_ends, soon) = door.says(&hello("b", Some("soon")));
    let mut red = hello("c", Some("moves"));
    red.seat = Some("red".into());
    let (moves, moved) = door.says(&red);
    assert_eq!(
        [stays, soon, moved],
        [Verdict::Admit, Verdict::Admit, Verdict::Admit]
    );

    // Another entry that still allows it: nothing happens. One that does not: it ends.
    let wider = Grant::new("renamed").seat("red");
    door.admission.renew(all(Some(wider)), door.date);
    assert_eq!(door.events(), []);
    assert_eq!(
        door.admission.grant(moves).map(|it| it.name.to_string()),
        Some("renamed".into())
    );
    let narrower = Grant::new("renamed").seat("blue");
    door.admission.renew(all(Some(narrower)), door.date);
    assert_eq!(door.events(), [DoorEvent::End(moves, CloseReason::Revoked)]);

    door.date += DAY;
    door.admission.expire(door.date);
    assert_eq!(
        door.events(),
        [DoorEvent::End(soon_ends, CloseReason::Revoked)]
    );
    door.admission.expire(door.date);
    assert_eq!(door.events(), [], "it is told once");
}

const REVOKED: Option<CloseReason> = Some(CloseReason::Revoked);
const NARROWED: Option<CloseReason> = Some(CloseReason::Narrowed);

#[test]
fn a_token_that_allows_less_ends_those_who_left_that_open() {
    let wide = || {
        let roles = Grant::new("x").role(Role::Actor).role(Role::Observer);
        roles.game("g").game("h").seat("red").seat("blue")
    };
    let with = |change: fn(&mut Grant)| {
        let mut grant = wide();
        change(&mut grant);
        grant
    };
    let says = |change: fn(&mut Hello)| {
        let mut hello = hello("a", Some("t"));
        change(&mut hello);
        hello
    };
    let nothing = says(|_| {});
    let all = says(|hello| {
        hello.role = Some("actor".into());
        hello.game = Some("g".into());
        hello.seat = Some("red".into());
    });
    for (after, nothing_ends, all_ends) in [
        (wide(), None, None),
        (with(|it| it.roles.reverse()), None, None),
        (with(|it| it.roles.clear()), None, None),
        (with(|it| it.seats.push("green".into())), None, None),
        (with(|it| it.roles.truncate(1)), NARROWED, None),
        (with(|it| it.games.truncate(1)), NARROWED, None),
        (with(|it| it.seats.truncate(1)), NARROWED, None),
        (with(|it| it.seats = vec!["blue".into()]), NARROWED, REVOKED),
        (with(|it| it.ids = vec!["b".into()]), REVOKED, REVOKED),
    ] {
        for (hello, ends) in [(&nothing, &nothing_ends), (&all, &all_ends)] {
            let mut door = door(admission(Duplicates::Refuse).tokens(grants([("t", wide())])));
            let (ticket, verdict) = door.says(hello);
            assert_eq!(verdict, Verdict::Admit);
            let after = grants([("t", after.clone())]);
            door.admission.renew(after.clone(), door.date);
            let expected = ends.clone().map(|end| DoorEvent::End(ticket, end));
            assert_eq!(
                door.events(),
                Vec::from_iter(expected),
                "{after:?} {hello:?}"
            );
        }
    }

    // A list is narrower than none.
    let unbound = grants([("t", Grant::new("x"))]);
    let mut door = door(admission(Duplicates::Refuse).tokens(unbound));
    let (ticket, _) = door.says(&nothing);
    let bound = grants([("t", Grant::new("x").role(Role::Observer))]);
    door.admission.renew(bound, door.date);
    let narrowed = DoorEvent::End(ticket, CloseReason::Narrowed);
    assert_eq!(door.events(), [narrowed]);
}

/// Seats are nothing to an observer, and to a player only the one that it has.
#[test]
fn a_token_for_fewer_seats_ends_those_alone_that_may_have_one_of_the_others() {
    let seats = |seats: &[&'static str]| {
        let grant = seats
            .iter()
            .fold(Grant::new("x"), |it, seat| it.seat(*seat));
        grants([("t", grant)])
    };
    let wide = seats(&["red", "blue"]);
    let role = |role: &'static str| {
        let mut hello = hello("a", Some("t"));
        hello.role = Some(role.into());
        hello
    };
    let mut watching = role("observer");
    watching.seat = Some("green".into());
    let mut claiming = role("actor");
    claiming.seat = Some("blue".into());
    for (hello, given, ends) in [
        (role("observer"), None, None),
        // It was let in, and stays.
        (watching, None, None),
        (role("actor"), Some("red"), None),
        (role("actor"), Some("blue"), REVOKED),
        // The host has given it another one than it wanted: its own, for a resume text.
        (claiming, Some("red"), None),
        (role("actor"), None, NARROWED),
    ] {
        let mut door = door(admission(Duplicates::Refuse).tokens(wide.clone()));
        let (ticket, verdict) = door.says(&hello);
        assert_eq!(verdict, Verdict::Admit, "{hello:?}");
        if let Some(seat) = given {
            door.admission.seat(ticket, seat.into());
        }
        for tokens in [seats(&["red"]), wide.clone(), seats(&["red"])] {
            door.admission.renew(tokens, door.date);
        }
        let expected = ends.map(|end| DoorEvent::End(ticket, end));
        assert_eq!(
            door.events(),
            Vec::from_iter(expected),
            "{hello:?} {given:?}"
        );
    }
}

#[test]
fn an_id_that_is_in_use_is_given_to_nobody_with_another_token() {
    let mut door = door(admission(Duplicates::Refuse));
    door.admission = Answers::of(admission(Duplicates::Replace).tokens(grants([
        ("one", Grant::new("one")),
        ("two", Grant::new("two")),
    ])));
    let (first, _) = door.says(&hello("a", Some("one")));
    let (_, verdict) = door.says(&hello("a", Some("two")));
    assert_eq!(verdict, Verdict::Wait);
    assert_eq!(door.events(), [DoorEvent::LookAt(first)]);
    let (_, verdict) = door.says(&hello("a", Some("one")));
    assert_eq!(verdict, Verdict::Wait);
    assert!(
        door.events()
            .contains(&DoorEvent::End(first, CloseReason::Replaced))
    );
}

#[test]
fn those_who_are_sent_away_are_ended_and_those_who_are_banned_stay_away() {
    let mut door = door(admission(Duplicates::Refuse));
    door.admission = Answers::of(admission(Duplicates::Refuse).tokens(grants([
        ("one", Grant::new("one")),
        ("two", Grant::new("two")),
    ])));
    let from = Some("2001:db8::1");
    let come = |door: &mut Door, id: &str, token: &str| {
        let ticket = door.arrive(from);
        (ticket, door.hears(ticket, &hello(id, Some(token))))
    };
    let neighbour = "2001:db8::2".parse().expect("an address");
    for (subject, banned) in [
        (Subject::Id("a".into()), "banned"),
        (Subject::Token("one".into()), "banned"),
        (Subject::Address(neighbour), "banned"),
    ] {
        let (ticket, verdict) = come(&mut door, "a", "one");
        assert_eq!(verdict, Verdict::Admit);
        assert_eq!(door.admission.kick(&subject), 1, "{subject}");
        assert_eq!(door.admission.kick(&subject), 0, "it is going");
        assert_eq!(door.events(), [DoorEvent::End(ticket, CloseReason::Kicked)]);
        door.admission.gone(ticket);

        // It may come back, until it is banned.
        let (ticket, verdict) = come(&mut door, "a", "one");
        assert_eq!(verdict, Verdict::Admit);
        assert_eq!(door.admission.ban(subject.clone()), 1);
        assert_eq!(door.events(), [DoorEvent::End(ticket, CloseReason::Kicked)]);
        door.admission.gone(ticket);
        if let Subject::Address(_) = subject {
            let address = from.and_then(|from| from.parse().ok());
            let (_, greet) = door.admission.arrive(address, Entrance::Main);
            let Greet::Refuse(refusal) = greet else {
                panic!("{greet:?}");
            };
            assert_eq!(refusal.reason.as_str(), banned);
        } else {
            assert_eq!(code(&come(&mut door, "a", "one").1), banned);
        }
        assert_eq!(door.admission.bans().count(), 1);
        assert!(door.admission.unban(subject.clone()));
        assert!(!door.admission.unban(subject));
    }
    // One without a token learns of no ban.
    door.admission.ban(Subject::Id("a".into()));
    assert_eq!(code(&come(&mut door, "a", "wrong").1), "unauthorized");
}

#[test]
fn one_that_is_given_away_has_no_place_and_ends_with_its_token_or_by_a_kick() {
    let mut door = door(admission(Duplicates::Refuse));
    let limits = ServerLimits::default().connections(1);
    let all = || {
        let soon = Grant::new("soon").expires(door.date + DAY);
        grants([("one", Grant::new("one")), ("soon", soon)])
    };
    let tokens = all();
    door.admission = Answers::of(
        Admission::new(&limits, Duplicates::Refuse)
            .asks(true)
            .tokens(tokens.clone()),
    );
    // Each has the same id, and the only place.
    let given_away: Vec<Ticket> = ["one", "soon", "one", "one"]
        .map(|token| {
            let (ticket, verdict) = door.says(&hello("a", Some(token)));
            assert_eq!(verdict, Verdict::Wait);
            assert_eq!(door.events(), [DoorEvent::Ask(ticket)]);
            assert!(door.admission.give_away(ticket));
            assert!(!door.admission.give_away(ticket), "it is given away once");
            assert_eq!(door.admission.connections(), 0);
            ticket
        })
        .to_vec();
    assert_eq!(door.admission.deadline(), None, "it is not decided about");
    let end = |ticket: usize, reason| DoorEvent::End(given_away[ticket], reason);

    // Its new owner says that it has gone.
    door.admission.gone(given_away[2]);
    let subject = Subject::Id("a".into());
    door.date += DAY;
    door.admission.expire(door.date);
    assert_eq!(door.events(), [end(1, CloseReason::Revoked)]);
    assert_eq!(door.admission.kick(&subject), 2);
    let kicked = [end(0, CloseReason::Kicked), end(3, CloseReason::Kicked)];
    assert_eq!(door.events(), kicked);
    // Each is ended once, and by its holder alone.
    door.admission.renew(grants([]), door.date);
    assert_eq!(door.admission.kick(&subject), 0);
    assert_eq!(
        (door.events(), door.admission.deadline()),
        (Vec::new(), None)
    );

    // One that is refused before is not given away.
    door.admission.renew(tokens, door.date);
    let (ticket, _) = door.says(&hello("a", Some("one")));
    door.admission.kick(&subject);
    assert!(!door.admission.give_away(ticket));
    let (ticket, _) = door.says(&hello("b", Some("one")));
    door.admission.stop();
    assert!(!door.admission.give_away(ticket));
}

#[test]
fn nothing_shows_a_token() {
    let tokens = grants([("a secret", Grant::new("lab3"))]);
    let mut door = door(admission(Duplicates::Refuse).tokens(tokens.clone()));
    let (ticket, _) = door.says(&hello("a", Some("a secret")));
    let wrong = door.says(&hello("b", Some("a secret guess")));
    let shown = format!(
        "{tokens:?} {:?} {:?} {wrong:?}",
        door.admission,
        door.admission.grant(ticket)
    );
    assert!(!shown.contains("a secret"), "{shown}");
}
