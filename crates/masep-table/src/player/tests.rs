use std::time::{Duration, Instant};

use masep_proto::protocol2::Welcome;
use masep_proto::{Action, Dict, Element, Message, Role};

use super::*;
use crate::Cause;

fn session() -> Session {
    let part = Part {
        id: "ann".into(),
        role: Role::Actor,
        game: "countdown.Countdown".into(),
        backoff: Backoff::default(),
    };
    let mut session = Session::new(part, Instant::now());
    session.opened(Some(&Welcome::new("engine".into(), 65_536)));
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
    session.received(&message, Some(&turn.to_dict()), Instant::now());
}

/// Answers turn 5, loses the connection, and is asked turn 7 with this about an earlier one.
fn back_with(last: Last) -> Vec<Event> {
    let mut session = session();
    ask(&mut session, 5, None);
    assert_eq!(session.next_turn(Instant::now()).unwrap().number(), 5);
    assert!(session.act(Action::new(1)));
    let now = Instant::now();
    session.closed(Closed::Lost("reset".to_owned()), now, 0);
    let _ = session.step(now + Duration::from_secs(1));
    session.opened(Some(&Welcome::new("engine".into(), 65_536)));
    ask(&mut session, 7, Some(last));
    let told = std::iter::from_fn(|| session.poll_event());
    let is_about_answers =
        |event: &Event| matches!(event, Event::NotCounted { .. } | Event::Unknown { .. });
    told.filter(is_about_answers).collect()
}

#[test]
fn an_answer_of_which_nothing_was_told_is_unknown() {
    let last = |turn, how| Last {
        turn,
        how,
        after: None,
    };
    let away = How::None(Cause::Away);
    assert_eq!(back_with(last(6, away)), [Event::Unknown { turn: 5 }]);
    assert_eq!(back_with(last(5, How::Played)), []);
    let not_counted = Event::NotCounted {
        turn: 5,
        how: Some(away),
        code: String::new(),
    };
    assert_eq!(back_with(last(5, away)), [not_counted]);
}

#[test]
fn a_player_that_is_only_shown_turns_wakes_its_seat_by_an_action() {
    let mut session = session();
    // It was stopped, and takes the newest.
    ask(&mut session, 3, None);
    observe(&mut session, Kind::Show, 4, None);
    assert_eq!(session.next_turn(Instant::now()).unwrap().number(), 4);
    assert!(session.act(Action::new(1)));
    let sent = std::iter::from_fn(|| session.poll_message());
    assert!(
        sent.into_iter()
            .any(|(_, turn)| turn == Some(action_turn(4)))
    );
    observe(&mut session, Kind::Final, 5, None);
    let _final = session.next_turn(Instant::now());
    assert!(!session.act(Action::new(1)));
}
