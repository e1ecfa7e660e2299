//! Cases 16 to 30.

use masep_proto::{Action, Message, Value};
use masep_table::{Cause, Clock, Code, Event, Hello, How, Kind, Late, SeatState, TurnTime};

use crate::room::{Got, Room, actor, clock, ms, settings, state};

fn played(seat: &str, action: i64) -> (String, How, Option<i64>) {
    (seat.to_owned(), How::Played, Some(action))
}

fn none(seat: &str, cause: Cause) -> (String, How, Option<i64>) {
    (seat.to_owned(), How::None(cause), None)
}

#[test]
fn case_16_arrival_decides_also_if_the_timer_is_handled_first() {
    let mut room = Room::new(settings().clock(clock(100)));
    let (red, _) = room.player(actor("a"));
    let (blue, _) = room.player(actor("b"));
    room.ask(&["red", "blue"]);
    let opened = room.now;
    room.now += ms(105);
    room.table.handle_timeout(room.now);
    room.work();
    assert_eq!(room.looked_at, [red, blue]);
    assert_eq!(room.decided(), []);
    room.act_at(red, "a", 1, 5, opened + ms(99));
    room.act_at(blue, "b", 1, 6, opened + ms(100));
    assert_eq!(
        room.decided(),
        [played("red", 5), none("blue", Cause::Late)]
    );
    // Also if the message is handled before the timer.
    room.ask(&["red"]);
    let at = room.now + ms(100);
    room.act_at(red, "a", 2, 5, at);
    assert_eq!(room.decided(), [none("red", Cause::Late)]);
}

#[test]
fn case_17_an_older_number_is_late() {
    let mut room = Room::new(settings().clock(clock(100)));
    let (peer, _) = room.player(actor("a"));
    room.ask(&["red"]);
    room.pass(ms(100));
    room.ask(&["red"]);
    room.take(peer);
    room.act(peer, "a", 1, 5);
    assert_eq!(room.take(peer), [Got::Notice(Code::Late, Some(1))]);
    room.act(peer, "a", 2, 6);
    assert_eq!(room.decided(), [none("red", Cause::Late), played("red", 6)]);
}

#[test]
fn case_18_a_future_number_is_refused_and_the_third_ends_it() {
    let mut room = Room::new(settings());
    let (peer, welcome) = room.player(actor("a"));
    room.player(actor("b"));
    let turn = room.ask(&["red"]);
    room.take(peer);
    // Sent before the turn was opened, so that it can only be a guess.
    room.act_at(peer, "a", turn, 1, room.now - ms(1));
    room.act(peer, "a", turn + 1, 5);
    assert_eq!(
        room.take(peer),
        [
            Got::Notice(Code::BadTurn, Some(1)),
            Got::Notice(Code::BadTurn, Some(2))
        ]
    );
    room.say(peer, &Message::action("a", Action::new(1)));
    assert_eq!(
        room.take(peer),
        [Got::Notice(Code::BadTurn, None), Got::Closed(Code::BadTurn)]
    );
    assert_eq!(
        (room.state("red"), room.decided()),
        (SeatState::Away, vec![])
    );
    room.player(Hello {
        resume: welcome.resume,
        ..actor("a")
    });
}

#[test]
fn case_19_the_same_turn_again_is_acknowledged_as_the_first() {
    let mut room = Room::new(settings());
    let (peer, _) = room.player(actor("a"));
    room.player(actor("b"));
    room.ask(&["red", "blue"]);
    room.take(peer);
    room.act(peer, "a", 1, 5);
    room.act(peer, "a", 1, 5);
    room.act(peer, "a", 1, 6);
    let repeated = Got::Notice(Code::Repeated, Some(1));
    assert_eq!(room.take(peer), [repeated.clone(), repeated]);
    assert_eq!(room.decided(), [played("red", 5)]);
}

#[test]
fn case_20_what_was_not_asked_is_dropped_and_wakes() {
    let mut room = Room::new(settings().clock(clock(100)).misses(1));
    let peer = room.pymasep("a");
    room.player(actor("b"));
    room.answer(peer, "a", 1);
    let seat = room.table.seat("red");
    assert!(room.take_events().contains(&Event::Ignored {
        seat,
        code: Code::NotAsked
    }));
    room.ask(&["red"]);
    room.pass(ms(100));
    assert_eq!(room.state("red"), SeatState::Asleep);
    room.answer(peer, "a", 2);
    assert_eq!(room.state("red"), SeatState::Present);
    assert_eq!(room.decided(), [none("red", Cause::Late)]);
}

#[test]
fn case_21_the_answer_that_is_owed_is_dropped_and_the_open_turn_asked() {
    let mut room = Room::new(settings().clock(clock(100)));
    let peer = room.pymasep("a");
    room.ask(&["red"]);
    room.pass(ms(100));
    room.ask(&["red"]);
    assert_eq!(room.take(peer), [Got::Step(1)], "one question at a time");
    room.pass(ms(40));
    room.answer(peer, "a", 1);
    assert_eq!(room.take(peer), [Got::Step(2)]);
    room.pass(ms(59));
    room.answer(peer, "a", 2);
    assert_eq!(room.decided(), [none("red", Cause::Late), played("red", 2)]);
    // Only the time that remains: the next one does not answer in it.
    room.ask(&["red"]);
    room.pass(ms(100));
    room.ask(&["red"]);
    room.pass(ms(90));
    room.answer(peer, "a", 3);
    room.pass(ms(10));
    assert_eq!(
        room.decided(),
        [none("red", Cause::Late), none("red", Cause::Late)]
    );
}

#[test]
fn case_22_of_a_burst_the_first_counts() {
    let mut room = Room::new(settings());
    let peer = room.pymasep("a");
    room.ask(&["red"]);
    let burst = room.now;
    room.answer(peer, "a", 1);
    // The host is faster than the shell reads: the rest of the burst was sent before this question.
    room.now += ms(5);
    room.ask(&["red"]);
    for action in [2, 3] {
        let message = Message::action("a", Action::new(action));
        room.table.handle_message(peer, &message, None, burst);
    }
    room.work();
    assert_eq!(room.decided(), [played("red", 1)]);
    room.answer(peer, "a", 4);
    assert_eq!(room.decided(), [played("red", 4)]);
}

#[test]
fn case_22_a_burst_of_owed_answers_is_one_answer() {
    let mut room = Room::new(settings().clock(clock(100)));
    let peer = room.pymasep("a");
    room.ask(&["red"]);
    room.pass(ms(100));
    room.ask(&["red"]);
    room.decided();
    for action in [1, 2, 3] {
        let message = Message::action("a", Action::new(action));
        room.table.handle_message(peer, &message, None, room.now);
    }
    room.work();
    assert_eq!(
        (room.take(peer), room.decided()),
        ([1, 2].map(Got::Step).into(), vec![])
    );
    room.answer(peer, "a", 4);
    assert_eq!(room.decided(), [played("red", 4)]);
}

#[test]
fn case_22_a_burst_does_not_answer_the_final_behind_it() {
    let mut room = Room::new(settings().clock(clock(100)));
    let peer = room.pymasep("a");
    room.ask(&["red"]);
    room.pass(ms(100));
    room.finish(&["red"]);
    room.ask(&["red"]);
    for action in [1, 2] {
        let message = Message::action("a", Action::new(action));
        room.table.handle_message(peer, &message, None, room.now);
    }
    room.work();
    assert_eq!(room.take(peer), [1, 2].map(Got::Step));
}

#[test]
fn case_23_an_older_epoch_is_not_heard() {
    let mut room = Room::new(settings());
    let (first, welcome) = room.player(actor("a"));
    room.player(actor("b"));
    room.ask(&["red"]);
    let (second, _) = room.player(Hello {
        resume: welcome.resume,
        ..actor("a")
    });
    room.take(first);
    room.act(first, "a", 1, 5);
    assert_eq!((room.take(first), room.decided()), (vec![], vec![]));
    room.act(second, "a", 1, 6);
    assert_eq!(room.decided(), [played("red", 6)]);
}

#[test]
fn case_24_nobody_acts_for_others() {
    let mut room = Room::new(settings());
    let (red, _) = room.player(actor("a"));
    let blue = room.pymasep("b");
    room.ask(&["red", "blue"]);
    room.take(red);
    room.take(blue);
    room.act(red, "b", 1, 5);
    room.answer(blue, "a", 6);
    assert_eq!(room.take(red), [Got::Notice(Code::NotYours, None)]);
    assert_eq!((room.take(blue), room.decided()), (vec![], vec![]));
    room.answer(blue, "b", 7);
    assert_eq!(room.decided(), [played("blue", 7)]);
}

#[test]
fn case_25_without_an_action_three_times_is_as_late() {
    let mut room = Room::new(settings());
    let (red, _) = room.player(actor("a"));
    let blue = room.pymasep("b");
    room.ask(&["red", "blue"]);
    room.take(red);
    for _ in 0..3 {
        assert_eq!(room.decided(), []);
        let empty = Message::action("a", Value::None);
        room.table.handle_message(red, &empty, Some(1), room.now);
        room.work();
    }
    assert_eq!(
        room.take(red),
        vec![Got::Notice(Code::NoAction, Some(1)); 3]
    );
    assert_eq!(room.decided(), [none("red", Cause::Late)]);
    room.say(blue, &Message::new("action", Value::None, "b"));
    room.answer(blue, "b", 7);
    assert_eq!(room.decided(), [played("blue", 7)]);
    // One that was not answered at last is owed.
    room.ask(&["blue"]);
    for _ in 0..3 {
        room.say(blue, &Message::new("action", Value::None, "b"));
    }
    assert_eq!(room.decided(), [none("blue", Cause::Late)]);
    room.ask(&["blue"]);
    room.answer(blue, "b", 8);
    assert_eq!(room.decided(), []);
    room.answer(blue, "b", 9);
    assert_eq!(room.decided(), [played("blue", 9)]);
}

#[test]
fn case_26_a_spectator_does_not_act() {
    let mut room = Room::new(settings());
    room.pymasep("a");
    let old = room.observer("b");
    let watcher = Hello {
        role: Some(masep_proto::Role::Observer),
        ..Hello::new("c")
    };
    let (new, _) = room.player(watcher);
    room.ask(&["red"]);
    room.answer(old, "b", 1);
    room.act(new, "c", 1, 1);
    room.answer(old, "a", 1);
    assert_eq!((room.take(old), room.decided()), (vec![], vec![]));
    assert_eq!(room.take(new), [Got::Notice(Code::NotAPlayer, None)]);
}

#[test]
fn case_27_an_echoed_turn_settles_it() {
    let mut room = Room::new(settings().clock(clock(100)));
    let peer = room.pymasep("a");
    let echo =
        |turn: u64, action: i64| Message::action("a", Action::new(action).with("turn", turn));
    room.ask(&["red"]);
    room.pass(ms(100));
    room.ask(&["red"]);
    room.say(peer, &echo(1, 1));
    // It was asked turn 2 now. Another word about turn 1 is not for it.
    room.say(peer, &echo(1, 2));
    assert_eq!(room.decided(), [none("red", Cause::Late)]);
    room.say(peer, &echo(2, 3));
    assert_eq!(room.decided(), [played("red", 3)]);
    room.say(peer, &echo(2, 4));
    room.ask(&["red"]);
    for _ in 0..3 {
        room.say(peer, &echo(9, 4));
    }
    assert_eq!(room.take(peer).pop(), Some(Got::Closed(Code::BadTurn)));
    assert_eq!(room.decided(), []);
}

#[test]
fn case_27_a_game_may_have_a_turn_of_its_own() {
    let mut room = Room::new(settings().hears_echo(false));
    let peer = room.pymasep("a");
    room.ask(&["red"]);
    let left = Message::action("a", Action::new(3).with("turn", 90));
    room.say(peer, &left);
    assert_eq!(room.decided(), [played("red", 3)]);
}

#[test]
fn case_28_a_final_observation_is_a_question_to_a_pymasep_peer() {
    for unanswered in [false, true] {
        let settings = settings();
        let mut room = Room::new(if unanswered {
            settings.finals_unanswered("red")
        } else {
            settings
        });
        let peer = room.pymasep("a");
        room.ask(&["red"]);
        room.answer(peer, "a", 1);
        room.finish(&["red"]);
        room.ask(&["red"]);
        room.decided();
        if unanswered {
            assert_eq!(room.take(peer), [1, 2, 3].map(Got::Step));
            room.answer(peer, "a", 3);
        } else {
            assert_eq!(room.take(peer), [1, 2].map(Got::Step));
            room.answer(peer, "a", 2);
            assert_eq!(room.take(peer), [Got::Step(3)]);
            room.answer(peer, "a", 3);
        }
        assert_eq!(room.decided(), [played("red", 3)]);
    }
}

#[test]
fn case_28_a_final_waits_for_the_answer_that_is_owed() {
    let mut room = Room::new(settings().clock(clock(100)));
    let old = room.pymasep("a");
    let (new, _) = room.player(actor("b"));
    room.ask(&["red", "blue"]);
    room.pass(ms(100));
    room.finish(&["red", "blue"]);
    room.ask(&["red", "blue"]);
    assert_eq!(room.take(old), [Got::Step(1)]);
    room.answer(old, "a", 1);
    assert_eq!(room.take(old), [Got::Step(2)]);
    room.answer(old, "a", 2);
    assert_eq!(room.take(old), [Got::Step(3)]);
    assert_eq!(
        room.turns(new),
        [(Kind::Ask, 1), (Kind::Final, 2), (Kind::Ask, 3)]
    );
    room.decided();
    room.answer(old, "a", 3);
    assert_eq!(room.decided(), [played("red", 3)]);
}

#[test]
fn case_29_the_step_is_the_tables_or_the_hosts() {
    let mut room = Room::new(settings());
    let peer = room.pymasep("a");
    let red = room.table.seat("red").unwrap();
    for (turn, step) in [(1, 0), (2, 7), (3, 7), (4, 3)] {
        room.table
            .open([(red, state(step))], TurnTime::AsSet, room.now)
            .unwrap();
        room.work();
        assert_eq!(room.take(peer), [Got::Step(turn)]);
        room.answer(peer, "a", turn);
    }
    let mut room = Room::new(settings().keeps_env_step(true));
    let peer = room.pymasep("a");
    room.take_events();
    for (turn, step, rises) in [
        (1, 0, true),
        (2, 7, true),
        (3, 7, false),
        (4, 3, false),
        (5, 8, true),
    ] {
        room.table
            .open([(red, state(step))], TurnTime::AsSet, room.now)
            .unwrap();
        room.work();
        assert_eq!(room.take(peer), [Got::Step(i64::try_from(step).unwrap())]);
        let warned = room.take_events().contains(&Event::StepNotRising(red));
        assert_eq!(warned, !rises, "turn {turn}");
        room.answer(peer, "a", turn);
    }
}

#[test]
fn case_30_an_answer_to_a_turn_that_was_closed_is_late() {
    let mut room = Room::new(settings());
    let old = room.pymasep("a");
    let (new, _) = room.player(actor("b"));
    room.ask(&["red", "blue"]);
    room.table.close(room.table.number(), room.now);
    room.work();
    room.ask(&["red", "blue"]);
    room.take(new);
    room.take(old);
    room.answer(old, "a", 1);
    room.act(new, "b", 1, 1);
    assert_eq!(room.take(new), [Got::Notice(Code::Late, Some(1))]);
    assert_eq!(room.take(old), [Got::Step(2)]);
    assert_eq!(
        room.decided(),
        [none("red", Cause::Closed), none("blue", Cause::Closed)]
    );
}

#[test]
fn a_bank_pays_for_what_a_turn_takes_too_long() {
    let bank = Clock {
        per_turn: Some(ms(100)),
        bank: Some(ms(50)),
    };
    let mut room = Room::new(settings().clock(bank));
    let (peer, _) = room.player(actor("a"));
    for (turn, took, bank) in [(1, 90, 50), (2, 120, 50), (3, 129, 30)] {
        room.ask(&["red"]);
        let Some(Got::Turn(data)) = room.take(peer).pop() else {
            panic!()
        };
        assert_eq!((data.left, data.bank), (Some(ms(100)), Some(ms(bank))));
        room.pass(ms(took));
        room.act(peer, "a", turn, 1);
        assert_eq!(room.decided(), [played("red", 1)]);
    }
    room.ask(&["red"]);
    room.pass(ms(101));
    assert_eq!(room.decided(), [none("red", Cause::Late)]);
    // Another time for one turn, and none.
    let views = room.views(&["red"]);
    room.table
        .open(views.clone(), TurnTime::Limited(ms(10)), room.now)
        .unwrap();
    room.pass(ms(10));
    assert_eq!(room.decided(), [none("red", Cause::Late)]);
    room.table
        .open(views, TurnTime::Unlimited, room.now)
        .unwrap();
    room.work();
    room.pass(ms(1_000_000));
    assert_eq!(room.decided(), []);
    room.table.extend(room.table.number(), ms(1), room.now);
    room.act(peer, "a", 6, 1);
    assert_eq!(room.decided(), [played("red", 1)]);
}

#[test]
fn a_bank_alone_is_a_chess_clock() {
    let bank = Clock {
        per_turn: None,
        bank: Some(ms(100)),
    };
    let mut room = Room::new(settings().clock(bank));
    let (peer, _) = room.player(actor("a"));
    room.ask(&["red"]);
    room.pass(ms(60));
    room.act(peer, "a", 1, 1);
    room.ask(&["red"]);
    room.table.extend(room.table.number(), ms(5), room.now);
    let Some(Got::Turn(data)) = room.take(peer).pop() else {
        panic!()
    };
    assert_eq!((data.left, data.bank), (None, Some(ms(40))));
    assert_eq!(data.last.map(|last| last.after), Some(Some(ms(60))));
    room.pass(ms(44));
    assert_eq!(room.decided(), [played("red", 1)]);
    room.pass(ms(1));
    assert_eq!(room.decided(), [none("red", Cause::Late)]);
}

#[test]
fn the_late_may_have_an_action() {
    let fixed = Late::Action(Action::new(9).into());
    let mut room = Room::new(settings().clock(clock(100)).late(fixed));
    room.pymasep("a");
    room.ask(&["red", "blue"]);
    room.pass(ms(100));
    assert_eq!(
        room.decided(),
        [
            none("blue", Cause::Vacant),
            ("red".into(), How::Default(Cause::Late), Some(9))
        ]
    );
    let mut room = Room::new(settings().clock(clock(100)).late(Late::Host));
    room.pymasep("a");
    room.ask(&["red"]);
    room.pass(ms(100));
    let decision = room.decisions.pop().unwrap();
    assert_eq!(
        (decision.how, decision.action),
        (How::Default(Cause::Late), None)
    );
    assert_eq!(decision.view, Some(state(0)));
    // Of a view that was not made yet, no action can be made.
    let late = settings().late(Late::Host).strangers(true);
    let mut room = Room::new(late.clock(clock(100)));
    let first = room.pymasep("a");
    room.pymasep("b");
    room.ask(&["red"]);
    room.closed(first);
    room.pymasep("c");
    room.pass(ms(100));
    assert_eq!(room.decided(), [none("red", Cause::Late)]);
}
