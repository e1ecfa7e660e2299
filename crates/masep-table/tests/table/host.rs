//! Cases 41 to 50.

use std::sync::Arc;

use masep_proto::{Dict, Message, Value};
use masep_table::{
    Cause, Code, Effect, Event, Hello, How, Kind, Outgoing, SeatState, Settings, Table, TableError,
    TurnTime, View,
};

use crate::room::{Got, Room, actor, clock, hows, ms, none, played, settings, state};

#[test]
fn case_41_asking_while_a_turn_is_open_is_the_callers_error() {
    let mut room = Room::new(settings());
    let (red, _) = room.player(actor("a"));
    room.ask(&["red"]);
    let views = room.views(&["red"]);
    let open = Err(TableError::TurnIsOpen(1));
    assert_eq!(
        room.table.open(views.clone(), TurnTime::AsSet, room.now),
        open
    );
    assert_eq!(room.table.finish_episode(views.clone(), room.now), open);
    room.act(red, "a", 1, 5);
    assert_eq!(room.decided().len(), 1, "it was not disturbed");
    let twice = [views.clone(), views].concat();
    let error = room
        .table
        .open(twice, TurnTime::AsSet, room.now)
        .unwrap_err();
    assert_eq!(error, TableError::SeatTwice("red".into()));
    assert_eq!(error.to_string(), "the seat \"red\" is named twice");
    let other = Table::new(Settings::new("e", "l", ["a", "b", "c"])).unwrap();
    let unknown = other.seat("c").unwrap();
    let error = room
        .table
        .open([(unknown, state(0))], TurnTime::AsSet, room.now);
    assert_eq!(error, Err(TableError::UnknownSeat("2".into())));
    assert_eq!(room.table.number(), 1, "what failed has no number");
}

#[test]
fn settings_are_checked() {
    let new = |settings: Settings| Table::new(settings).err();
    let none: [&str; 0] = [];
    assert_eq!(
        new(Settings::new("e", "l", none)),
        Some(TableError::NoSeats)
    );
    let twice = Settings::new("e", "l", ["a", "b", "a"]);
    assert_eq!(new(twice), Some(TableError::SeatTwice("a".into())));
    // Nobody could sit there: no HELLO asks for it, and no WELCOME gives it.
    for name in ["", "a\nb", "\u{1b}[2J", &"x".repeat(513)] {
        let named = Settings::new("e", "i", ["red", name]);
        assert_eq!(
            new(named),
            Some(TableError::SeatName(name.into())),
            "{name:?}"
        );
        let instance = TableError::Instance(name.into());
        assert_eq!(new(Settings::new("e", name, ["red"])), Some(instance));
    }
    assert_eq!(
        new(Settings::new("e", "i", [&*"x".repeat(512), "r\u{f6}t"])),
        None
    );
    let unknown = Settings::new("e", "l", ["a"]).finals_unanswered("b");
    assert_eq!(new(unknown), Some(TableError::UnknownSeat("b".into())));
}

#[test]
fn case_42_a_closed_seat_is_decided_at_once_without_an_action() {
    let mut room = Room::new(settings());
    let (red, _) = room.player(actor("a"));
    let blue = room.pymasep("b");
    let seats = [
        room.table.seat("red").unwrap(),
        room.table.seat("blue").unwrap(),
    ];
    room.ask(&["red", "blue"]);
    for seat in seats {
        room.table.close_seat(seat, room.now);
    }
    room.work();
    assert_eq!(
        hows(&mut room),
        [none("red", Cause::Dead), none("blue", Cause::Dead)]
    );
    assert_eq!(room.state("red"), SeatState::Closed);
    room.ask(&["red", "blue"]);
    assert_eq!(hows(&mut room).len(), 2);
    // It sees the end of the episode, and plays in the next.
    room.finish(&["red", "blue"]);
    assert_eq!(room.turns(red), [(Kind::Ask, 1), (Kind::Final, 3)]);
    assert_eq!(room.take(blue), [Got::Step(1)], "it still owes an answer");
    for seat in seats {
        room.table.open_seat(seat, room.now);
    }
    room.ask(&["red", "blue"]);
    room.act(red, "a", 4, 1);
    for _ in 0..3 {
        room.answer(blue, "b", 1);
    }
    assert_eq!(room.take(blue), [3, 4].map(Got::Step));
    assert_eq!(hows(&mut room), [played("red"), played("blue")]);
}

#[test]
fn case_42_a_closed_seat_is_not_open_to_newcomers() {
    let mut room = Room::new(settings());
    let red = room.table.seat("red").unwrap();
    room.table.close_seat(red, room.now);
    room.player(actor("a"));
    assert_eq!(room.id_of("blue"), Some("a".into()));
    assert_eq!(room.rejected(actor("b")), Code::Full);
    let (id, code) = ("b".into(), Code::Full);
    let told = [Event::Filled, Event::Rejected { id, code }];
    assert!(room.take_events().ends_with(&told));
    room.table.open_seat(red, room.now);
    room.player(actor("b"));
}

#[test]
fn case_43_what_a_peer_cannot_be_sent_is_its_own_loss() {
    let mut room = Room::new(settings());
    let red = room.pymasep("a");
    let (blue, _) = room.player(actor("b"));
    let seats = [
        room.table.seat("red").unwrap(),
        room.table.seat("blue").unwrap(),
    ];
    // No State.
    let views = seats.map(|seat| (seat, View::new(5)));
    room.table
        .open(views.clone(), TurnTime::AsSet, room.now)
        .unwrap();
    room.work();
    assert_eq!(hows(&mut room), [none("red", Cause::Undeliverable)]);
    room.act(blue, "b", 1, 1);
    assert_eq!(
        (room.take(red), hows(&mut room)),
        (vec![], vec![played("blue")])
    );
    room.table.finish_episode(views, room.now).unwrap();
    room.work();
    // Too large: the shell finds that out.
    room.stalled.insert(red);
    room.ask(&["red", "blue"]);
    assert_eq!(room.take(red), [Got::Step(3)]);
    room.table.handle_undeliverable(red, room.now);
    room.work();
    assert_eq!(hows(&mut room), [none("red", Cause::Undeliverable)]);
    room.act(blue, "b", 3, 1);
    room.stalled.clear();
    // It owes nothing.
    room.ask(&["red", "blue"]);
    assert_eq!(room.take(red), [Got::Step(4)]);
    room.answer(red, "a", 1);
    assert_eq!(hows(&mut room), [played("blue"), played("red")]);
}

#[test]
fn case_44_a_turn_whose_ask_was_cancelled_stays_open() {
    let mut room = Room::new(settings());
    let (red, _) = room.player(actor("a"));
    room.player(actor("b"));
    let turn = room.ask(&["red", "blue"]);
    // Nobody waits for this decision. It is not lost.
    room.act(red, "a", turn, 5);
    room.decisions.clear();
    let seats = [
        room.table.seat("red").unwrap(),
        room.table.seat("blue").unwrap(),
    ];
    assert_eq!(seats.map(|seat| room.table.asked(seat)), [None, Some(turn)]);
    room.table.close(turn, room.now);
    room.work();
    let how = |seat| room.table.last(seat).map(|it| (it.turn, it.how));
    let closed = How::None(Cause::Closed);
    assert_eq!(
        seats.map(how),
        [Some((turn, How::Played)), Some((turn, closed))]
    );
    room.table.close(turn, room.now);
    room.ask(&["red"]);
}

#[test]
fn a_seat_is_shown_the_end_of_its_part_and_no_other_one() {
    let mut room = Room::new(settings());
    let (red, _) = room.player(actor("a"));
    let (blue, _) = room.player(actor("b"));
    let turn = room.ask(&["blue"]);
    let views = room.views(&["red"]);
    // Another seat is in a turn, which goes on.
    let number = room.table.finish(views.clone(), room.now).unwrap();
    room.work();
    assert_eq!(room.turns(red), [(Kind::Final, number)]);
    let both = room.views(&["red", "blue"]);
    let open = Err(TableError::TurnIsOpen(turn));
    assert_eq!(room.table.finish(both, room.now), open);
    room.act(blue, "b", turn, 1);
    assert_eq!(room.turns(blue), [(Kind::Ask, turn)]);
    room.table.finish(views, room.now).unwrap();
    let last = room.finish(&["red", "blue"]);
    assert_eq!(
        (room.turns(red), room.turns(blue)),
        (vec![], vec![(Kind::Final, last)])
    );
    assert_eq!(room.table.episode(), 1);
    // The next episode has an end of its own, and so has a part that goes on after all.
    for asks_again in [false, true] {
        let views = room.views(&["red"]);
        room.table.finish(views, room.now).unwrap();
        room.work();
        if asks_again {
            let turn = room.ask(&["red"]);
            room.act(red, "a", turn, 1);
        }
        room.turns(red);
        room.finish(&["red", "blue"]);
        let finals = room.turns(red).len();
        assert_eq!(finals, usize::from(asks_again));
    }
}

#[test]
fn somebody_who_comes_to_a_seat_that_is_finished_is_shown_the_end() {
    let mut room = Room::new(settings());
    let (red, _) = room.player(actor("a"));
    room.player(actor("b"));
    room.ask(&["red", "blue"]);
    room.quit(red, "a");
    room.table.close(1, room.now);
    let seat = room.table.seat("red").unwrap();
    room.table.finish(room.views(&["red"]), room.now).unwrap();
    room.table.open_seat(seat, room.now);
    let (red, _) = room.player(actor("c"));
    room.turns(red);
    let last = room.finish(&["red", "blue"]);
    assert_eq!(room.turns(red), [(Kind::Final, last)]);
}

#[test]
fn seats_can_play_at_their_own_pace() {
    let mut room = Room::new(settings().clock(clock(100)));
    let (red, _) = room.player(actor("a"));
    let blue = room.pymasep("b");
    room.ask(&["blue"]);
    for turn in 2..5 {
        assert_eq!(room.ask(&["red"]), turn);
        room.pass(ms(30));
        room.act(red, "a", turn, 5);
    }
    assert_eq!(hows(&mut room), vec![played("red"); 3]);
    let views = room.views(&["red", "blue"]);
    let open = Err(TableError::TurnIsOpen(1));
    assert_eq!(room.table.open(views, TurnTime::AsSet, room.now), open);
    // To close one turn is not to close another.
    room.ask(&["red"]);
    room.table.extend(1, ms(50), room.now);
    room.pass(ms(20));
    room.table.close(5, room.now);
    room.work();
    assert_eq!(hows(&mut room), [none("red", Cause::Closed)]);
    room.ask(&["red"]);
    room.pass(ms(39));
    room.answer(blue, "b", 5);
    assert_eq!(hows(&mut room), [played("blue")]);
    room.ask(&["blue"]);
    assert_eq!(room.take(blue), [1, 7].map(Got::Step));
    room.pass(ms(61));
    assert_eq!(hows(&mut room), [none("red", Cause::Late)]);
    room.pass(ms(39));
    assert_eq!(hows(&mut room), [none("blue", Cause::Late)]);
}

#[test]
fn case_45_between_turns_the_door_is_open() {
    let mut room = Room::new(settings().forget_time(ms(5_000)));
    let (red, welcome) = room.player(actor("a"));
    room.player(actor("b"));
    // The host thinks.
    room.observer("w");
    room.closed(red);
    let (back, _) = room.player(Hello {
        resume: welcome.resume,
        ..actor("a")
    });
    room.closed(back);
    room.pass(ms(5_000));
    let red = room.table.seat("red").unwrap();
    let expected = [
        Event::Spectators(1),
        Event::Away(red),
        Event::Back {
            seat: red,
            id: "a".into(),
        },
        Event::Away(red),
        Event::Gone(red),
    ];
    assert_eq!(room.take_events()[3..], expected);
}

#[test]
fn case_46_when_the_host_fails_its_table_ends() {
    let mut room = Room::new(settings());
    let (red, _) = room.player(actor("a"));
    let blue = room.pymasep("b");
    let watcher = room.observer("w");
    room.ask(&["red", "blue"]);
    room.take(red);
    room.take(blue);
    room.table.fail("the late policy has panicked", room.now);
    room.work();
    for peer in [red, blue, watcher] {
        assert_eq!(room.take(peer), [Got::Closed(Code::Failed)]);
    }
    let text = |effect: &Effect| matches!(effect, Effect::Close { text, .. } if text == "the late policy has panicked");
    assert!(room.log.iter().any(text));
    assert!(room.table.is_over());
    assert_eq!(room.take_events().last(), Some(&Event::Ended));
    assert_eq!(
        hows(&mut room),
        [none("red", Cause::Closed), none("blue", Cause::Closed)]
    );
    let views = room.views(&["red"]);
    assert_eq!(
        room.table.open(views, TurnTime::AsSet, room.now),
        Err(TableError::Over)
    );
    assert_eq!(room.table.deadline(), None);
    room.table.fail("again", room.now);
    room.end();
    assert_eq!(room.take_events(), []);
}

#[test]
fn case_47_a_pause_keeps_what_remains_and_actions_count() {
    let mut room = Room::new(settings().clock(clock(100)));
    let (red, _) = room.player(actor("a"));
    room.player(actor("b"));
    room.ask(&["red", "blue"]);
    room.pass(ms(60));
    room.table.pause(room.now);
    room.pass(ms(10_000));
    room.act(red, "a", 1, 5);
    assert_eq!(hows(&mut room), [played("red")]);
    room.table.resume(room.now);
    room.pass(ms(39));
    assert_eq!(hows(&mut room), []);
    room.pass(ms(1));
    assert_eq!(hows(&mut room), [none("blue", Cause::Late)]);
    // A turn that is opened in a pause waits for its end.
    room.table.pause(room.now);
    room.ask(&["red"]);
    room.pass(ms(10_000));
    assert_eq!(hows(&mut room), []);
    room.table.resume(room.now);
    room.pass(ms(100));
    assert_eq!(hows(&mut room), [none("red", Cause::Late)]);
}

#[test]
fn case_48_without_a_deadline_a_silent_peer_is_waited_for() {
    let mut room = Room::new(settings());
    let peer = room.pymasep("a");
    room.ask(&["red"]);
    assert_eq!(room.table.deadline(), None);
    room.pass(ms(1_000_000_000));
    room.answer(peer, "a", 1);
    assert_eq!(hows(&mut room), [played("red")]);
}

#[test]
fn case_49_turn_numbers_only_rise() {
    let mut room = Room::new(settings());
    let (red, _) = room.player(actor("a"));
    let mut numbers = Vec::new();
    for _ in 0..3 {
        for _ in 0..2 {
            let turn = room.ask(&["red"]);
            room.act(red, "a", turn, 1);
            numbers.push(turn);
        }
        numbers.push(room.finish(&["red"]));
        room.show();
    }
    assert_eq!(numbers, (1u64..=9).collect::<Vec<_>>());
    let seen: Vec<_> = room
        .turns(red)
        .into_iter()
        .map(|(_, number)| number)
        .collect();
    assert_eq!(seen, numbers);
    assert_eq!(room.table.episode(), 3);
}

#[test]
fn case_50_end_comes_after_the_answer_to_the_final() {
    let mut room = Room::new(settings());
    let quick = room.pymasep("a");
    let slow = room.pymasep("b");
    let watcher = room.observer("w");
    room.ask(&["red", "blue"]);
    room.answer(quick, "a", 1);
    room.answer(slow, "b", 1);
    room.finish(&["red", "blue"]);
    room.show();
    room.end();
    assert_eq!(room.take(quick), [1, 2].map(Got::Step));
    room.answer(quick, "a", 1);
    assert_eq!(room.take(quick), [Got::End]);
    room.pass(ms(249));
    assert_eq!(room.take(slow), [1, 2].map(Got::Step));
    assert_eq!(room.take(watcher), [Got::Step(0)]);
    room.pass(ms(1));
    assert_eq!(
        (room.take(slow), room.take(watcher)),
        (vec![Got::End], vec![Got::End])
    );
    room.quit(slow, "b");
    room.closed(slow);
    room.closed(watcher);
    // One that does not answer END has a second.
    room.pass(ms(749));
    assert_eq!(room.take(quick), []);
    room.pass(ms(1));
    assert_eq!(room.take(quick), [Got::Closed(Code::Over)]);
    assert_eq!(room.take_events().last(), Some(&Event::Ended));
}

#[test]
fn case_50_a_final_that_waits_for_an_answer_is_sent_before_the_end() {
    let mut room = Room::new(settings().clock(clock(100)));
    let peer = room.pymasep("a");
    let (other, _) = room.player(actor("b"));
    room.ask(&["red", "blue"]);
    room.pass(ms(100));
    room.finish(&["red", "blue"]);
    room.stalled.insert(other);
    room.show();
    room.end();
    assert_eq!(room.turns(other), [(Kind::Ask, 1), (Kind::Final, 2)]);
    assert_eq!(room.take(peer), [Got::Step(1)]);
    room.pass(ms(100));
    room.answer(peer, "a", 1);
    assert_eq!(room.take(peer), [Got::Step(2)]);
    room.answer(peer, "a", 1);
    assert_eq!(room.take(peer), [Got::End]);
    room.closed(peer);
    assert!(room.table.is_over());
}

#[test]
fn what_is_sent_is_pymaseps_message() {
    let mut room = Room::new(settings());
    room.pymasep("a");
    let red = room.table.seat("red").unwrap();
    let view = state(0).with("reward", 1).with("turn", "the host's");
    room.table
        .open([(red, view)], TurnTime::AsSet, room.now)
        .unwrap();
    room.work();
    room.end();
    room.pass(ms(250));
    let sent: Vec<_> = room
        .log
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send {
                what: Outgoing::Observation { message, .. },
                ..
            } => Some(Message::clone(message)),
            Effect::Send {
                what: Outgoing::End(message),
                ..
            } => Some(message.clone()),
            _ => None,
        })
        .collect();
    let [question, end] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(*end, Message::end("engine"));
    assert_eq!(*question.src_sub_app, *"engine");
    let seen = question
        .param("observation")
        .and_then(Value::as_element)
        .unwrap();
    assert_eq!(seen.as_xml(), r#"<State name="State" env_step="1" />"#);
    let information = question.param("additional_information").unwrap();
    assert_eq!(information.get("reward"), Some(&1.into()));
    assert_eq!(information.get("turn"), Some(&1.into()));
}

#[test]
fn each_seat_is_sent_its_own_view_and_equal_ones_are_one_message() {
    let mut room = Room::new(settings());
    room.player(actor("a"));
    room.player(actor("b"));
    let seats = ["red", "blue"].map(|name| room.table.seat(name).unwrap());
    let view = |x: f64| Dict::new().with("a", 1).with("x", x);
    let turned = |x: f64| Dict::new().with("x", x).with("a", 1);
    for (first, second) in [
        (view(0.0), view(-0.0)),
        (view(0.0), turned(0.0)),
        (view(1.0), view(1.0)),
    ] {
        room.log.clear();
        let views = [first.clone(), second.clone()].map(View::new);
        let views = seats.into_iter().zip(views);
        let turn = room.table.open(views, TurnTime::AsSet, room.now).unwrap();
        room.work();
        let sent = room.observations();
        let seen = sent.iter().map(|message| message.param("observation"));
        let seen: Vec<_> = seen.map(|view| format!("{view:?}")).collect();
        let own = [&first, &second].map(|view| format!("{:?}", Some(Value::from(view.clone()))));
        assert_eq!(seen, own);
        assert_eq!(Arc::ptr_eq(&sent[0], &sent[1]), own[0] == own[1]);
        room.table.close(turn, room.now);
    }
}
