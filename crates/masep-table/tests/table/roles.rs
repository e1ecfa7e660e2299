//! The rights of each kind of peer: each message, in the peer's own and in another's name, at each point of a game.
//! Rules here say what must happen, and each case of them is held against the table.

use std::fmt;

use masep_proto::access::Grant;
use masep_proto::{MessageType, Role};
use masep_table::{Code, Event, Hello, How, PeerKey, SeatState};

use crate::room::{GAME, Got, Room, actor, ms, settings};
use crate::sayings::{OTHER, OWN, Part, Says};

/// The way in which a peer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// By pymasep's protocol.
    Pymasep,
    /// By protocol 2, with a role in its HELLO.
    Named,
    /// By protocol 2, and tells its role as pymasep's peers do.
    Unnamed,
}

/// Where the game is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    BeforeFilled,
    InTurn,
    BetweenTurns,
    AfterEnd,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    peer: Peer,
    part: Part,
    point: Point,
    says: Says,
    in_own_name: bool,
}

/// The consequence for the peer. Nothing ever happens to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Nothing,
    /// It is not taken, and of protocol 2 the peer is told so.
    Refused(Code),
    /// The connection ends.
    Ended(Code),
    /// The connection ends, and the seat is open.
    Vacated,
    /// The connection ends, and the player does not come back.
    Gone,
    Seated,
    Watches,
    Played,
}

/// The rule.
fn must_happen(case: Case) -> Outcome {
    use Outcome::{Ended, Gone, Nothing, Played, Refused, Seated, Vacated, Watches};
    let Case {
        peer,
        part,
        point,
        says,
        in_own_name,
    } = case;
    let is_engines = matches!(says, Says::Observation | Says::End | Says::Other);
    // Their connections have ended, or they are told the end and only asked to go.
    let is_over = point == Point::AfterEnd;
    let has_left = is_over && (peer == Peer::Named || part == Part::Unregistered);
    if is_engines || has_left {
        return Nothing;
    }
    if is_over {
        return match says {
            Says::DefineOther if in_own_name => Ended(Code::UnknownGame),
            _ => Nothing,
        };
    }
    let registers = matches!(
        says,
        Says::RegisterActor
            | Says::RegisterObserver
            | Says::RegisterNothing
            | Says::RegisterAnother
    );
    if !in_own_name || says == Says::RegisterAnother {
        return match part {
            Part::Unregistered if registers => Ended(Code::IdMismatch),
            _ => Refused(Code::NotYours),
        };
    }
    match (says, part) {
        (Says::Define, _) => Nothing,
        (Says::DefineOther, _) => Ended(Code::UnknownGame),
        (Says::RegisterActor, Part::Unregistered) => match point {
            Point::BeforeFilled => Seated,
            _ => Ended(Code::Full),
        },
        (_, Part::Unregistered) if registers => Watches,
        (Says::RegisterActor, Part::Observer) => Refused(Code::OtherRole),
        (Says::RegisterObserver | Says::RegisterNothing, Part::Actor) => Refused(Code::OtherRole),
        (Says::Act | Says::ActNothing, Part::Unregistered | Part::Observer) => {
            Refused(Code::NotAPlayer)
        }
        (Says::Act | Says::ActNothing, Part::Actor) => match point {
            Point::InTurn if says == Says::Act => Played,
            Point::InTurn => Refused(Code::NoAction),
            Point::BetweenTurns if peer == Peer::Named => Refused(Code::Repeated),
            _ => Refused(Code::NotAsked),
        },
        (Says::Quit, Part::Actor) => match point {
            Point::BeforeFilled => Vacated,
            _ => Gone,
        },
        (Says::Quit, _) => Ended(Code::Left),
        _ => Nothing,
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let peers = [
        (Peer::Pymasep, Part::Unregistered),
        (Peer::Pymasep, Part::Actor),
        (Peer::Pymasep, Part::Observer),
        (Peer::Named, Part::Actor),
        (Peer::Named, Part::Observer),
        (Peer::Unnamed, Part::Unregistered),
        (Peer::Unnamed, Part::Actor),
        (Peer::Unnamed, Part::Observer),
    ];
    let points = [
        Point::BeforeFilled,
        Point::InTurn,
        Point::BetweenTurns,
        Point::AfterEnd,
    ];
    peers.into_iter().flat_map(move |(peer, part)| {
        points.into_iter().flat_map(move |point| {
            Says::ALL.into_iter().flat_map(move |says| {
                [true, false].map(|in_own_name| Case {
                    peer,
                    part,
                    point,
                    says,
                    in_own_name,
                })
            })
        })
    })
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            peer,
            part,
            point,
            says,
            in_own_name,
        } = self;
        write!(
            f,
            "{peer:?} {part:?}, {point:?}: {says:?}, in its own name: {in_own_name}"
        )
    }
}

impl Room {
    /// Brings the one that a case is about, and what it has become.
    fn bring(&mut self, peer: Peer, part: Part) -> PeerKey {
        let role = match part {
            Part::Unregistered => None,
            Part::Actor => Some(Role::Actor),
            Part::Observer => Some(Role::Observer),
        };
        let key = match peer {
            Peer::Pymasep => self.connect(OWN),
            Peer::Unnamed => self.player(Hello::new(OWN)).0,
            Peer::Named => {
                let mut hello = Hello::new(OWN);
                hello.role = role;
                return self.player(hello).0;
            }
        };
        if let Some(role) = role {
            self.register(key, OWN, role);
        }
        key
    }

    /// Acts for one that is asked.
    fn plays(&mut self, key: PeerKey, id: &str, peer: Peer, turn: u64) {
        match peer {
            Peer::Named => self.act(key, id, turn, 1),
            Peer::Pymasep | Peer::Unnamed => self.answer(key, id, 1),
        }
    }
}

/// A game at the point of a case: the one that it is about, and all others.
fn game(case: Case) -> (Room, PeerKey, Vec<PeerKey>, u64) {
    let mut room = Room::new(settings());
    room.show();
    let key = room.bring(case.peer, case.part);
    let mut others = Vec::new();
    if case.point == Point::BeforeFilled {
        others.push(room.observer(OTHER));
        return (room, key, others, 0);
    }
    let other = room.player(actor(OTHER)).0;
    others.push(other);
    let mut players = vec![(other, OTHER, Peer::Named)];
    if case.part == Part::Actor {
        players.push((key, OWN, case.peer));
    } else {
        let third = room.player(actor("third")).0;
        others.push(third);
        players.push((third, "third", Peer::Named));
    }
    let turn = room.ask(&["red", "blue"]);
    match case.point {
        Point::BetweenTurns => {
            for (key, id, peer) in players {
                room.plays(key, id, peer, turn);
            }
        }
        Point::AfterEnd => {
            room.end();
            // Until those of pymasep's protocol were told, too.
            room.pass(ms(250));
        }
        Point::BeforeFilled | Point::InTurn => {}
    }
    (room, key, others, turn)
}

#[test]
fn each_message_of_each_peer_at_each_point_does_what_it_may() {
    let mut number = 0;
    for case in cases() {
        number += 1;
        let (mut room, key, others, turn) = game(case);
        if case.part == Part::Unregistered {
            let seen = room.take(key);
            let left = [Got::Closed(Code::Over)];
            assert!(seen.is_empty() || seen == left, "{case}: it saw {seen:?}");
        }
        room.got.clear();
        room.take_events();
        room.decided();
        let before = ["red", "blue"].map(|seat| (room.id_of(seat), room.state(seat)));
        let name = if case.in_own_name { OWN } else { OTHER };
        let message = case.says.message(name, GAME);
        let is_numbered = case.peer == Peer::Named && message.msg_type == MessageType::Action;
        let data = is_numbered.then_some(turn);
        room.table.handle_message(key, &message, data, room.now);
        room.work();

        let got = room.take(key);
        let events = room.take_events();
        let expected = must_happen(case);
        let outcome = outcome(&mut room, &got, &events);
        assert_eq!(
            outcome, expected,
            "{case}: it got {got:?}, and there was {events:?}"
        );
        if let Outcome::Refused(code) = expected {
            let is_told = got == [Got::Notice(code, got_about(&got))];
            let may_read = case.peer != Peer::Pymasep;
            assert_eq!(is_told, may_read, "{case}: it got {got:?}");
            assert!(may_read || got.is_empty(), "{case}: it got {got:?}");
        }
        for other in others {
            assert_eq!(room.take(other), [], "{case}: another one got it");
        }
        for (seat, (id, state)) in ["red", "blue"].into_iter().zip(before) {
            if id.as_deref() != Some(OWN) && id.is_some() {
                let now = (room.id_of(seat), room.state(seat));
                assert_eq!(now, (id, state), "{case}: another seat changed");
            }
        }
    }
    assert_eq!(number, 8 * 4 * 12 * 2);
}

fn got_about(got: &[Got]) -> Option<u64> {
    match got {
        [Got::Notice(_, about)] => *about,
        _ => None,
    }
}

/// The consequence, seen by what the peer got, the events, the decisions.
fn outcome(room: &mut Room, got: &[Got], events: &[Event]) -> Outcome {
    let closed = got.iter().find_map(|got| match got {
        Got::Closed(code) => Some(*code),
        _ => None,
    });
    let ignored = events.iter().find_map(|event| match event {
        Event::Ignored { code, .. } => Some(*code),
        _ => None,
    });
    let decided = room.decided();
    let has_played = decided
        .iter()
        .any(|(_, how, action)| *how == How::Played && *action == Some(5));
    let is_seated = events
        .iter()
        .any(|event| matches!(event, Event::Seated { .. }));
    let watches = events
        .iter()
        .any(|event| matches!(event, Event::Spectators(1 | 2)));
    if let Some(code) = ignored {
        assert!(!has_played && !is_seated, "{events:?}");
        return Outcome::Refused(code);
    }
    match closed {
        Some(Code::Left) if events.iter().any(|it| matches!(it, Event::Vacant(_))) => {
            Outcome::Vacated
        }
        Some(Code::Left) if events.iter().any(|it| matches!(it, Event::Gone(_))) => Outcome::Gone,
        Some(code) => Outcome::Ended(code),
        None if has_played => Outcome::Played,
        None if is_seated => Outcome::Seated,
        None if watches => Outcome::Watches,
        None => Outcome::Nothing,
    }
}

/// A HELLO with this role, and this grant.
fn granted(id: &str, role: Option<Role>, grant: Grant) -> Hello {
    Hello {
        role,
        grant: Some(grant.into()),
        ..Hello::new(id)
    }
}

#[test]
fn a_token_bounds_what_hello_and_register_may_say() {
    let watches = || Grant::new("watches").role(Role::Observer);
    let plays = || Grant::new("plays").role(Role::Actor);
    let mut room = Room::new(settings());
    for (role, grant) in [
        (Some(Role::Actor), watches()),
        (Some(Role::Observer), plays()),
        (Some(Role::Observer), Grant::new("other").game("other.Game")),
        (None, Grant::new("other").game("other.Game")),
        (Some(Role::Actor), Grant::new("green").seat("green")),
    ] {
        assert_eq!(room.rejected(granted("a", role, grant)), Code::Forbidden);
    }

    // REGISTER is held to the same.
    for (role, grant, is_taken) in [
        (Role::Actor, watches(), false),
        (Role::Observer, watches(), true),
        (Role::Observer, plays(), false),
        (Role::Actor, plays(), true),
        (Role::Actor, Grant::new("green").seat("green"), false),
    ] {
        let (key, _) = room.player(granted("a", None, grant.clone()));
        room.register(key, "a", role);
        let is_closed = room.take(key).contains(&Got::Closed(Code::Forbidden));
        assert_eq!(is_closed, !is_taken, "{role:?} {grant:?}");
        room.closed(key);
    }
}

#[test]
fn a_token_is_for_its_seats_whether_they_are_named_or_not() {
    let blue = || Grant::new("blue's").seat("blue").game(GAME);
    let mut room = Room::new(settings());
    let named = Hello {
        seat: Some("red".into()),
        ..granted("a", Some(Role::Actor), blue())
    };
    assert_eq!(room.rejected(named), Code::Forbidden);
    let (key, welcome) = room.player(granted("a", Some(Role::Actor), blue()));
    assert_eq!(welcome.seat.as_deref(), Some("blue"));
    // There is an open seat, but none for this one.
    assert_eq!(
        room.rejected(granted("b", Some(Role::Actor), blue())),
        Code::Full
    );

    room.player(actor("c"));
    room.closed(key);
    // Its seat is not for it any more.
    let moved = Hello {
        resume: welcome.resume,
        ..granted("a", Some(Role::Actor), Grant::new("blue's").seat("red"))
    };
    assert_eq!(room.rejected(moved), Code::Forbidden);
}

#[test]
fn a_seat_in_its_grace_belongs_to_its_token() {
    for peer in [Some(Role::Actor), None] {
        let mut room = Room::new(settings().rejoins_by_id(true).strangers(true));
        let (key, _) = room.player(granted("a", peer, Grant::new("ann")));
        if peer.is_none() {
            room.register(key, "a", Role::Actor);
        }
        room.player(actor("b"));
        room.closed(key);
        assert_eq!(room.state("red"), SeatState::Away);
        let thief = |grant: Option<Grant>| Hello {
            grant: grant.map(Into::into),
            ..actor("a")
        };
        for grant in [None, Some(Grant::new("eve"))] {
            assert_eq!(room.rejected(thief(grant)), Code::DuplicateId);
        }
        // Nor has one of pymasep's protocol it, nor one that names no role.
        let old = room.pymasep("a");
        assert_eq!(room.take(old), [Got::Closed(Code::DuplicateId)]);
        let (eve, _) = room.player(granted("a", None, Grant::new("eve")));
        room.register(eve, "a", Role::Actor);
        assert_eq!(room.take(eve), [Got::Closed(Code::DuplicateId)]);

        // Its own token has it, after the grace too late.
        let back = granted("a", peer, Grant::new("ann"));
        let (key, _) = room.player(back.clone());
        if peer.is_none() {
            room.register(key, "a", Role::Actor);
        }
        assert_eq!(room.state("red"), SeatState::Present);
    }
}

#[test]
fn a_token_that_is_replayed_after_the_grace_has_no_seat() {
    let mut room = Room::new(settings());
    let (key, welcome) = room.player(granted("a", Some(Role::Actor), Grant::new("ann")));
    room.player(actor("b"));
    room.closed(key);
    room.ask(&["red", "blue"]);
    room.pass(ms(31_000));
    assert_eq!(room.state("red"), SeatState::Gone);
    let back = |name: &'static str| Hello {
        resume: welcome.resume.clone(),
        ..granted("a", Some(Role::Actor), Grant::new(name))
    };
    assert_eq!(room.rejected(back("ann")), Code::Gone);
    assert_eq!(room.rejected(back("eve")), Code::Full);
}
