use std::time::{Duration, Instant};

use masep_proto::protocol2::{Notice, Welcome};
use masep_proto::{Action, Array, DType, Dict, Element, Message, MessageType, Role};

use super::*;
use crate::{Cause, Kind, TurnData, action_turn};

fn of_a_table() -> Welcome {
    let mut welcome = Welcome::new("engine".into(), 65_536);
    welcome.instance = Some("life".into());
    welcome
}

fn session() -> Session {
    let part = Part {
        id: "ann".into(),
        role: Role::Actor,
        game: "countdown.Countdown".into(),
        backoff: Backoff::default(),
    };
    let mut session = Session::new(part, Instant::now());
    session.opened(Some(&of_a_table()), Instant::now());
    session
}

fn ask(session: &mut Session, number: u64, last: Option<Last>) {
    observe(session, Kind::Ask, number, last);
}

fn observe(session: &mut Session, kind: Kind, number: u64, last: Option<Last>) {
    let turn = TurnData {
        number,
        episode: 0,
        kind,
        left: None,
        bank: None,
        last,
        skipped: 0,
    };
    let state = Element::parse("<State />").unwrap();
    let message = Message::observation("engine", state.into(), Dict::new());
    session.received(message, Some(turn), Instant::now());
}

/// A `WELCOME` of the seat with this resume text.
fn welcome(resume: &str) -> Welcome {
    let mut welcome = Welcome::new("engine".into(), 65_536);
    welcome.instance = Some("life".into());
    welcome.resume = Some(resume.to_owned().into());
    welcome
}

/// Answers turn 5, loses the connection, comes back, and is asked turn 7 with this about an earlier one.
fn back_with(resume: &str, last: Last) -> Vec<Event> {
    let mut session = session();
    session.opened(Some(&welcome("life.1")), Instant::now());
    ask(&mut session, 5, None);
    assert_eq!(session.next_turn(Instant::now()).unwrap().number(), 5);
    assert!(session.act(Action::new(1)));
    let now = Instant::now();
    session.closed(Closed::Lost("reset".to_owned()), now, 0);
    let _ = session.step(now + Duration::from_secs(1));
    session.opened(Some(&welcome(resume)), Instant::now());
    ask(&mut session, 7, Some(last));
    let told = std::iter::from_fn(|| session.poll_event());
    let is_about_answers =
        |event: &Event| matches!(event, Event::NotCounted { .. } | Event::Unknown { .. });
    told.filter(is_about_answers).collect()
}

#[test]
fn a_player_that_comes_back_knows_of_its_last_answer_however_many_turns_it_has_missed() {
    let last = |turn, how, played| Last {
        turn,
        how,
        after: None,
        played,
    };
    let away = How::None(Cause::Away);
    let not_counted = |how| Event::NotCounted {
        turn: 5,
        how,
        code: String::new(),
    };
    assert_eq!(back_with("life.1", last(5, How::Played, Some(5))), []);
    assert_eq!(back_with("life.1", last(6, away, Some(5))), []);
    let missed = back_with("life.1", last(6, away, Some(3)));
    assert_eq!(missed, [not_counted(None)]);
    let missed = back_with("life.1", last(6, away, None));
    assert_eq!(missed, [not_counted(None)]);
    let missed = back_with("life.1", last(5, away, Some(4)));
    assert_eq!(missed, [not_counted(Some(away))]);
}

#[test]
fn a_player_comes_back_from_a_bye_that_says_so_whatever_its_code_is() {
    for (code, may_return, ends) in [
        ("bye", None, true),
        ("bye", Some(true), false),
        ("bye", Some(false), true),
        ("shutdown", None, false),
        ("shutdown", Some(false), true),
    ] {
        let mut session = session();
        session.opened(Some(&welcome("life.1")), Instant::now());
        let mut bye = Bye::new(code, "");
        bye.may_return = may_return;
        session.closed(Closed::ByeWith(bye), Instant::now(), 0);
        assert_eq!(session.end().is_some(), ends, "{code} {may_return:?}");
        let told = std::iter::from_fn(|| session.poll_event());
        let retries = told.filter(|event| matches!(event, Event::Retrying(_)));
        assert_eq!(retries.count(), usize::from(!ends));
    }
}

#[test]
fn an_answer_to_a_turn_that_is_known_to_be_over_does_not_count() {
    let mut session = session();
    ask(&mut session, 5, None);
    let _five = session.next_turn(Instant::now());
    // While its user thinks, a later turn comes.
    let how = How::None(Cause::Late);
    let last = Last {
        turn: 5,
        how,
        after: None,
        played: None,
    };
    ask(&mut session, 6, Some(last));
    let _joined = session.poll_event();
    assert!(session.act(Action::new(1)));
    let not_counted = Event::NotCounted {
        turn: 5,
        how: Some(how),
        code: String::new(),
    };
    assert_eq!(session.poll_event(), Some(not_counted));
    // The engine says the same, which is no news, also if it comes when the next turn is answered.
    let notice = Notice::new("late", "").about(Dict::from([("turn", 5)]));
    session.noticed(&notice);
    let _six = session.next_turn(Instant::now());
    assert!(session.act(Action::new(1)));
    session.noticed(&notice);
    assert_eq!(session.poll_event(), None);
}

#[test]
fn an_engine_that_has_forgotten_a_player_tells_nothing_of_its_answer() {
    let last = Last {
        turn: 6,
        how: How::None(Cause::Vacant),
        after: None,
        played: None,
    };
    assert_eq!(back_with("life.2", last), [Event::Unknown { turn: 5 }]);
}

/// The decision of a turn without a seat that is asleep.
const fn slept(turn: u64) -> Last {
    Last {
        turn,
        how: How::None(Cause::Asleep),
        after: None,
        played: None,
    }
}

/// The turns of the actions that are to be sent.
fn answered(session: &mut Session) -> Vec<Option<Dict>> {
    let sent = std::iter::from_fn(|| session.poll_message());
    let actions = sent.filter(|(message, _)| message.msg_type == MessageType::Action);
    actions.map(|(_, turn)| turn).collect()
}

#[test]
fn a_player_whose_seat_is_asleep_is_asked_and_told_that_its_answer_does_not_count() {
    let mut session = session();
    let _joined = session.poll_event();
    // It was stopped, and takes the newest.
    ask(&mut session, 3, None);
    observe(&mut session, Kind::Show, 4, Some(slept(4)));
    let turn = session.next_turn(Instant::now()).unwrap();
    assert_eq!((turn.number(), turn.kind()), (4, Kind::Ask));
    assert!(turn.is_question() && turn.last() == Some(slept(4)));
    assert_eq!(session.asked(), Some(4));
    assert!(session.act(Action::new(1)));
    assert_eq!(answered(&mut session), [Some(action_turn(4))]);
    let not_counted = Event::NotCounted {
        turn: 4,
        how: Some(How::None(Cause::Asleep)),
        code: String::new(),
    };
    assert_eq!(session.poll_event(), Some(not_counted));
    // The engine says the same, which is no news, and so is the next question.
    session.noticed(&Notice::new("late", "").about(Dict::from([("turn", 4)])));
    ask(&mut session, 5, Some(slept(4)));
    assert!(session.next_turn(Instant::now()).unwrap().is_question());
    assert_eq!(session.poll_event(), None);
    observe(&mut session, Kind::Final, 6, None);
    let _final = session.next_turn(Instant::now());
    assert!(!session.act(Action::new(1)));
}

#[test]
fn a_turn_that_was_answered_before_it_was_shown_is_no_question_again() {
    let mut session = session();
    ask(&mut session, 3, None);
    let _three = session.next_turn(Instant::now());
    assert!(session.act(Action::new(1)));
    assert_eq!(answered(&mut session).len(), 1);
    // It fell asleep meanwhile. The answer is on its way, and wakes it.
    observe(&mut session, Kind::Show, 3, Some(slept(3)));
    let turn = session.next_turn(Instant::now()).unwrap();
    assert_eq!((turn.number(), turn.kind()), (3, Kind::Show));
    assert!(!turn.is_question() && session.asked().is_none());
    assert!(!session.act(Action::new(2)));
    assert_eq!(answered(&mut session), []);
    let told = std::iter::from_fn(|| session.poll_event()).last();
    let how = Some(How::None(Cause::Asleep));
    assert!(matches!(told, Some(Event::NotCounted { turn: 3, how: it, .. }) if it == how));
}

#[test]
fn a_server_without_a_table_is_played_by_pymaseps_customs() {
    let part = session().part().clone();
    let mut session = Session::new(part, Instant::now());
    // A proxy of a pymasep engine, in protocol 2.
    let welcome = Welcome::new("engine".into(), 65_536);
    session.opened(Some(&welcome), Instant::now());
    let said = std::iter::from_fn(|| session.poll_message());
    let said: Vec<_> = said.map(|(message, _)| message.msg_type).collect();
    assert_eq!(said, [MessageType::Define, MessageType::Register]);
    for number in [1, 2] {
        let state = Element::parse("<State />").unwrap();
        let message = Message::observation("engine", state.into(), Dict::new());
        session.received(message, None, Instant::now());
        let turn = session.next_turn(Instant::now()).unwrap();
        assert_eq!((turn.number(), turn.is_question()), (number, true));
        assert!(session.act(Action::new(1)));
        assert_eq!(answered(&mut session), [None]);
    }
}

#[test]
fn a_spectator_is_asked_nothing() {
    let mut watching = watching();
    observe(&mut watching, Kind::Show, 3, None);
    let turn = watching.next_turn(Instant::now()).unwrap();
    assert_eq!((turn.kind(), watching.asked()), (Kind::Show, None));
    assert!(!watching.act(Action::new(1)));

    // A pymasep engine says nothing of questions, and shows spectators what it asks players.
    watching.opened(None, Instant::now());
    for name in ["<State />", "<State is_final=\"True\" />"] {
        let state = Element::parse(name).unwrap();
        let message = Message::observation("engine", state.into(), Dict::new());
        watching.received(message, None, Instant::now());
        let turn = watching.next_turn(Instant::now()).unwrap();
        assert!(!turn.is_question() && watching.asked().is_none());
        assert!(!watching.act(Action::new(1)));
    }
}

/// A spectator of a table.
fn watching() -> Session {
    let part = Part {
        role: Role::Observer,
        ..session().part().clone()
    };
    let mut watching = Session::new(part, Instant::now());
    watching.opened(Some(&of_a_table()), Instant::now());
    watching
}

/// A view behind which the engine has skipped so many.
fn show(session: &mut Session, number: u64, skipped: u64, view: Value) {
    let turn = TurnData {
        number,
        episode: 0,
        kind: Kind::Show,
        left: None,
        bank: None,
        last: None,
        skipped,
    };
    let message = Message::observation("engine", view, Dict::new());
    session.received(message, Some(turn), Instant::now());
}

#[test]
fn views_that_were_not_taken_are_not_kept_and_are_counted() {
    let mut watching = watching();
    let view = |n| Array::new(DType::UInt8, [64], vec![n; 64]).unwrap();
    let views: Vec<Array> = (0u8..100).map(view).collect();
    for (number, view) in (0..).zip(&views) {
        show(&mut watching, number, 0, view.clone().into());
        let kept = views.iter().filter(|view| !view.bytes().is_unique());
        assert_eq!(kept.count(), 1);
    }
    let turn = watching.next_turn(Instant::now()).unwrap();
    assert_eq!((turn.number(), turn.skipped()), (99, 99));
    // All views between two turns have the number of the one before.
    for _ in 0..3 {
        show(&mut watching, 99, 0, Value::None);
    }
    assert_eq!(watching.next_turn(Instant::now()).unwrap().skipped(), 2);
    // An engine may say any number.
    for _ in 0..2 {
        show(&mut watching, 99, u64::MAX, Value::None);
    }
    let turn = watching.next_turn(Instant::now()).unwrap();
    assert_eq!(turn.skipped(), u64::MAX);
    assert!(!watching.has_turn());
}

#[test]
fn the_latest_finals_are_kept_and_others_counted() {
    let mut session = session();
    for number in 1..=20 {
        observe(&mut session, Kind::Ask, 2 * number, None);
        observe(&mut session, Kind::Final, 2 * number + 1, None);
    }
    ask(&mut session, 42, None);
    let turns = std::iter::from_fn(|| session.next_turn(Instant::now()));
    let seen: Vec<_> = turns.map(|turn| (turn.number(), turn.skipped())).collect();
    assert_eq!((seen.len(), seen[0], seen[16]), (17, (11, 9), (42, 0)));
}

#[test]
fn a_server_that_ends_each_connection_at_once_is_met_less_and_less_often() {
    let millis = Duration::from_millis;
    let failed = || Closed::ByeWith(Bye::new("failed", "").may_return(true));
    let mut now = Instant::now();
    let mut session = Session::new(session().part().clone(), now);
    let (begun, mut waits) = (now, Vec::new());
    for _ in 0..100 {
        if session.end().is_some() {
            break;
        }
        session.opened(Some(&of_a_table()), now);
        now += millis(1);
        session.closed(failed(), now, u64::MAX);
        if let Step::Wait(until) = session.step(now) {
            waits.push(until - now);
            now = until;
        }
        assert_eq!(session.step(now) == Step::Connect, session.end().is_none());
    }
    assert!(matches!(session.end(), Some(End::GaveUp(_))));
    assert_eq!(waits[..3], [millis(100), millis(200), millis(400)]);
    assert_eq!(waits.last(), Some(&millis(4_000)));
    assert!(now - begun <= millis(61_000), "{waits:?}");
}

/// The longest wait is a minute, and connections last for less.
#[test]
fn behind_a_connection_that_was_of_use_attempts_are_counted_anew() {
    let mut part = session().part().clone();
    part.backoff.longest = Duration::from_secs(60);
    let mut now = Instant::now();
    let mut session = Session::new(part, now);
    for _ in 0..100 {
        for _ in 0..3 {
            session.failed("nobody is there", now, u64::MAX);
            let Step::Wait(until) = session.step(now) else {
                panic!("{:?}", session.end());
            };
            now = until;
        }
        session.opened(Some(&of_a_table()), now);
        now += Duration::from_secs(1);
        session.closed(Closed::Lost(String::new()), now, u64::MAX);
        let first = now + Duration::from_millis(100);
        assert_eq!(session.step(now), Step::Wait(first));
        now = first;
    }
}

#[test]
fn a_player_comes_back_from_refusals_that_may_be_none_later() {
    let now = Instant::now();
    let soon = |code| Rejected::new(code, "").retry_ms(1_000);
    let refused = |rejected: Rejected, attempts: u32| {
        let mut session = Session::new(session().part().clone(), now);
        (0..attempts).for_each(|_| session.connecting());
        session.refused(rejected, now, 0);
        session.end().is_some()
    };
    for rejected in [soon("stopped"), Rejected::new("crowded_out", "")] {
        assert!(!refused(rejected, 1));
    }
    for code in ["stopped", "denied", "over", "duplicate_id"] {
        assert!(refused(Rejected::new(code, ""), 1), "{code}");
    }
    // The server may still know an earlier attempt.
    assert!(!refused(Rejected::new("duplicate_id", ""), 2));
}
