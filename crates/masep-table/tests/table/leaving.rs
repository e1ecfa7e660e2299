//! Cases 31 to 40, holding, and rejoining in mid-turn.

use std::sync::Arc;

use masep_proto::{Message, Role};
use masep_table::{
    Absence, Cause, Code, Event, Hello, How, Kind, Last, Late, SeatState, TurnTime, Verdict,
};

use crate::room::{Got, Room, actor, clock, hows, ms, none, played, settings, state};

const GRACE: u64 = 1_000;

fn graced() -> masep_table::Settings {
    settings().absence(Absence::Wait(ms(GRACE)))
}

fn again(id: &str, welcome: &masep_table::Welcome) -> Hello {
    Hello {
        resume: welcome.resume.clone(),
        ..actor(id)
    }
}

#[test]
fn case_31_who_quits_is_gone_without_grace() {
    let mut room = Room::new(graced());
    let (red, welcome) = room.player(actor("a"));
    let blue = room.pymasep("b");
    room.ask(&["red", "blue"]);
    room.take(red);
    room.quit(red, "a");
    assert_eq!(hows(&mut room), [none("red", Cause::Gone)]);
    assert_eq!(room.take(red), [Got::Closed(Code::Left)]);
    room.quit(blue, "b");
    assert_eq!(hows(&mut room), [none("blue", Cause::Gone)]);
    assert_eq!(room.rejected(again("a", &welcome)), Code::Gone);
    assert_eq!(room.rejected(actor("c")), Code::Full);
    // The host may open the seat again, for anybody.
    let seat = room.table.seat("red").unwrap();
    room.table.open_seat(seat, room.now);
    let (_, fresh) = room.player(again("a", &welcome));
    assert_eq!((fresh.seat.as_deref(), fresh.last), (Some("red"), None));
    assert_ne!(fresh.resume, welcome.resume);
}

#[test]
fn case_32_quit_after_end_is_nothing() {
    let mut room = Room::new(graced());
    let peer = room.pymasep("a");
    room.ask(&["red"]);
    room.answer(peer, "a", 1);
    room.end();
    assert_eq!(room.take(peer), [Got::Step(1), Got::End]);
    room.take_events();
    room.quit(peer, "a");
    assert_eq!((room.take(peer), room.take_events()), (vec![], vec![]));
    room.closed(peer);
    assert_eq!(room.take_events(), [Event::Ended]);
}

#[test]
fn case_33_a_spectator_that_quits_leaves() {
    let mut room = Room::new(graced());
    let red = room.pymasep("a");
    let watcher = room.observer("b");
    room.ask(&["red"]);
    room.take_events();
    room.quit(watcher, "b");
    assert_eq!(room.take(watcher), [Got::Closed(Code::Left)]);
    assert_eq!(room.take_events(), [Event::Spectators(0)]);
    room.answer(red, "a", 1);
    assert_eq!(hows(&mut room), [played("red")]);
}

#[test]
fn case_34_bye_without_quit_is_away() {
    let mut room = Room::new(graced());
    let (red, _) = room.player(actor("a"));
    room.pymasep("b");
    room.ask(&["red", "blue"]);
    room.closed(red);
    assert_eq!(
        (room.state("red"), hows(&mut room)),
        (SeatState::Away, vec![])
    );
}

#[test]
fn case_35_half_an_answer_is_none() {
    let mut room = Room::new(graced());
    let (red, welcome) = room.player(actor("a"));
    room.pymasep("b");
    room.ask(&["red", "blue"]);
    // The frame was not whole, and the shell has no message to tell of.
    room.closed(red);
    let (back, welcome) = room.player(again("a", &welcome));
    assert_eq!((welcome.last, hows(&mut room)), (None, vec![]));
    assert_eq!(room.turns(back), [(Kind::Ask, 1)]);
}

#[test]
fn case_36_the_grace_of_who_is_not_awaited_does_not_run() {
    let mut room = Room::new(graced());
    let (red, _) = room.player(actor("a"));
    let (blue, _) = room.player(actor("b"));
    room.ask(&["blue"]);
    room.closed(red);
    room.pass(ms(10 * GRACE));
    room.act(blue, "b", 1, 1);
    assert_eq!(room.state("red"), SeatState::Away);
    // One absence costs the others the grace, in total.
    for (turn, waits) in [(2, 400), (3, 599)] {
        room.ask(&["red", "blue"]);
        room.pass(ms(waits));
        room.act(blue, "b", turn, 1);
        room.table.close(room.table.number(), room.now);
        room.work();
        room.pass(ms(GRACE));
    }
    hows(&mut room);
    room.ask(&["red", "blue"]);
    assert_eq!(hows(&mut room), []);
    room.pass(ms(1));
    assert_eq!(
        (hows(&mut room), room.state("red")),
        (vec![none("red", Cause::Gone)], SeatState::Gone)
    );
}

#[test]
fn case_36_who_is_never_awaited_is_forgotten_at_last() {
    let mut room = Room::new(graced().forget_time(ms(60_000)));
    let (red, welcome) = room.player(actor("a"));
    room.player(actor("b"));
    room.closed(red);
    room.pass(ms(59_999));
    assert_eq!(room.state("red"), SeatState::Away);
    room.pass(ms(1));
    assert_eq!(room.state("red"), SeatState::Gone);
    assert_eq!(room.rejected(again("a", &welcome)), Code::Gone);
}

#[test]
fn case_37_back_within_a_turn_the_same_question_is_asked_with_the_time_that_remains() {
    let mut room = Room::new(graced().clock(clock(900)));
    let (red, welcome) = room.player(actor("a"));
    let (blue, _) = room.player(actor("b"));
    room.ask(&["red", "blue"]);
    room.pass(ms(100));
    room.act(red, "a", 1, 5);
    room.act(blue, "b", 1, 5);
    room.ask(&["red", "blue"]);
    room.closed(red);
    room.pass(ms(300));
    let (back, welcome) = room.player(again("a", &welcome));
    let last = Last {
        turn: 1,
        how: How::Played,
        after: Some(ms(100)),
        played: Some(1),
    };
    assert_eq!(welcome.last, Some(last));
    let Some(Got::Turn(asked)) = room.take(back).pop() else {
        panic!()
    };
    assert_eq!(
        (asked.number, asked.left, asked.last),
        (2, Some(ms(600)), Some(last))
    );
    // Its action of before may have been lost, or not: saying it again does no harm.
    room.act(back, "a", 1, 5);
    room.act(back, "a", 2, 6);
    assert_eq!(room.take(back), [Got::Notice(Code::Repeated, Some(1))]);
    assert_eq!(
        room.decided().pop(),
        Some(("red".into(), How::Played, Some(6)))
    );
    // Away again: the grace is whole again.
    room.closed(back);
    room.pass(ms(5 * GRACE));
    let (again, welcome) = room.player(again("a", &welcome));
    assert_eq!(welcome.last.map(|last| last.turn), Some(2));
    assert_eq!(room.turns(again), []);
}

/// However many turns pass while it is away.
#[test]
fn case_37_a_player_that_is_back_is_told_which_of_its_actions_counted_last() {
    for counts in [true, false] {
        let mut room = Room::new(graced().clock(clock(100)).misses(0));
        let (red, welcome) = room.player(actor("a"));
        let (blue, _) = room.player(actor("b"));
        for (turn, red_acts) in [(1, true), (2, counts), (3, false), (4, false)] {
            room.ask(&["red", "blue"]);
            if red_acts {
                room.act(red, "a", turn, 5);
            }
            if turn == 3 {
                room.closed(red);
            }
            room.act(blue, "b", turn, 5);
            room.pass(ms(100));
        }
        let (back, welcome) = room.player(again("a", &welcome));
        let last = welcome.last.unwrap();
        assert_eq!((last.turn, last.how), (4, How::None(Cause::Away)));
        assert_eq!(last.played, Some(if counts { 2 } else { 1 }));
        // Said again, an action that counted is one that did, and the other is late.
        room.act(back, "a", 2, 5);
        let code = if counts { Code::Repeated } else { Code::Late };
        let notices = room.take(back);
        assert!(notices.contains(&Got::Notice(code, Some(2))), "{notices:?}");
        room.ask(&["red", "blue"]);
        room.act(back, "a", 5, 5);
        assert_eq!(
            room.decided().pop(),
            Some(("red".into(), How::Played, Some(5)))
        );
    }
}

#[test]
fn case_37_a_pymasep_peer_is_known_by_its_id() {
    let mut room = Room::new(graced());
    let first = room.pymasep("a");
    room.pymasep("b");
    room.ask(&["red", "blue"]);
    room.closed(first);
    room.pass(ms(GRACE - 1));
    let second = room.pymasep("a");
    assert_eq!(room.take(second), [Got::Step(1)]);
    room.pass(ms(GRACE));
    room.answer(second, "a", 3);
    assert_eq!(hows(&mut room), [played("red")]);
}

#[test]
fn case_38_with_nobody_left_the_table_holds() {
    let mut room = Room::new(graced().clock(clock(500)).misses(1));
    let (red, red_welcome) = room.player(actor("a"));
    let (blue, _) = room.player(actor("b"));
    room.ask(&["red", "blue"]);
    room.pass(ms(100));
    room.take_events();
    room.closed(red);
    assert!(!room.table.is_holding());
    room.pass(ms(50));
    room.closed(blue);
    let [red_seat, blue_seat] = [
        room.table.seat("red").unwrap(),
        room.table.seat("blue").unwrap(),
    ];
    let expected = [
        Event::Away(red_seat),
        Event::Away(blue_seat),
        Event::Emptied,
    ];
    assert_eq!(room.take_events(), expected);
    room.pass(ms(100_000));
    assert_eq!((room.table.is_holding(), hows(&mut room)), (true, vec![]));
    // Its clocks go on when somebody is back.
    let (red, _) = room.player(again("a", &red_welcome));
    let Some(Got::Turn(asked)) = room.take(red).pop() else {
        panic!()
    };
    assert_eq!(asked.left, Some(ms(350)));
    room.act(red, "a", 1, 5);
    room.pass(ms(349));
    assert_eq!(hows(&mut room), [played("red")]);
    room.pass(ms(1));
    assert_eq!(hows(&mut room), [none("blue", Cause::Away)]);
}

#[test]
fn case_38_with_all_asleep_the_table_holds_until_one_acts() {
    for is_numbered in [true, false] {
        let mut room = Room::new(graced().clock(clock(500)).misses(1));
        let red = match is_numbered {
            true => room.player(actor("a")).0,
            false => room.pymasep("a"),
        };
        let (blue, _) = room.player(actor("b"));
        room.ask(&["red", "blue"]);
        room.pass(ms(500));
        assert_eq!(hows(&mut room).len(), 2);
        assert_eq!(room.take_events().last(), Some(&Event::Emptied));
        room.ask(&["red", "blue"]);
        room.pass(ms(10_000));
        assert!(room.table.is_holding());
        room.take(red);
        if is_numbered {
            room.act(red, "a", 2, 1);
            assert_eq!(
                hows(&mut room),
                [none("blue", Cause::Asleep), played("red")]
            );
        } else {
            // It answers the question of the first turn.
            room.answer(red, "a", 1);
            assert_eq!(hows(&mut room), [none("blue", Cause::Asleep)]);
            assert_eq!(room.take(red), [Got::Step(2)]);
            room.answer(red, "a", 1);
            assert_eq!(hows(&mut room), [played("red")]);
        }
        assert_eq!(room.state("blue"), SeatState::Asleep);
        room.closed(blue);
    }
}

#[test]
fn case_38_those_who_do_not_come_back_are_no_reason_to_hold() {
    let mut room = Room::new(graced());
    let (red, _) = room.player(actor("a"));
    let (blue, _) = room.player(actor("b"));
    room.ask(&["red", "blue"]);
    room.quit(red, "a");
    room.closed(blue);
    assert!(room.table.is_holding());
    room.pass(ms(600_000));
    assert_eq!(
        hows(&mut room),
        [none("red", Cause::Gone), none("blue", Cause::Gone)]
    );
    assert!(!room.table.is_turn_open());
    room.ask(&["red", "blue"]);
    assert_eq!(
        hows(&mut room).len(),
        2,
        "nobody comes back: nothing to wait for"
    );
}

#[test]
fn case_39_when_the_grace_ends_in_mid_turn_it_is_decided_at_once() {
    let default = Late::Action(masep_proto::Action::new(0).into());
    let mut room = Room::new(graced().late(default));
    let (red, _) = room.player(actor("a"));
    let (blue, _) = room.player(actor("b"));
    room.ask(&["red", "blue"]);
    room.act(blue, "b", 1, 1);
    room.pass(ms(100));
    room.closed(red);
    room.decided();
    // Blue is there, but decided: it is blue that waits.
    room.pass(ms(GRACE - 1));
    assert_eq!(room.decided(), []);
    room.pass(ms(1));
    assert_eq!(
        room.decided(),
        [("red".into(), How::Default(Cause::Gone), Some(0))]
    );
}

#[test]
fn case_40_a_stopped_process_is_late_and_then_asleep() {
    let mut room = Room::new(graced().clock(clock(100)).misses(2));
    let (red, _) = room.player(actor("a"));
    let (blue, _) = room.player(actor("b"));
    for turn in 1..=4 {
        room.ask(&["red", "blue"]);
        room.act(blue, "b", turn, 1);
        room.pass(ms(100));
    }
    let of_red: Vec<_> = hows(&mut room)
        .into_iter()
        .filter(|(seat, _)| seat == "red")
        .collect();
    let expected = [Cause::Late, Cause::Late, Cause::Asleep, Cause::Asleep];
    assert_eq!(of_red, expected.map(|cause| none("red", cause)));
    // It sees how the game goes on, and is waited for again when it acts.
    let shown = [
        (Kind::Ask, 1),
        (Kind::Ask, 2),
        (Kind::Show, 3),
        (Kind::Show, 4),
    ];
    assert_eq!(room.turns(red), shown);
    room.act(red, "a", 4, 1);
    room.ask(&["red"]);
    assert_eq!(room.turns(red), [(Kind::Ask, 5)]);
    room.act(red, "a", 5, 1);
    assert_eq!(hows(&mut room), [played("red")]);
}

#[test]
fn a_stalled_player_is_sent_the_newest_question_only() {
    let mut room = Room::new(graced().clock(clock(100)).misses(0));
    let (red, _) = room.player(actor("a"));
    room.stalled.insert(red);
    for _ in 0..5 {
        room.ask(&["red"]);
        room.pass(ms(100));
    }
    room.ask(&["red"]);
    assert_eq!(room.turns(red), [(Kind::Ask, 1)]);
    room.stalled.clear();
    room.table.handle_sent(red, room.now);
    room.work();
    assert_eq!(room.turns(red), [(Kind::Ask, 6)]);
}

#[test]
fn an_option_decides_at_once_for_those_who_are_away() {
    let mut room = Room::new(settings().absence(Absence::Proceed));
    let (red, welcome) = room.player(actor("a"));
    let (blue, _) = room.player(actor("b"));
    assert_eq!(welcome.grace, None);
    room.ask(&["red", "blue"]);
    room.closed(red);
    assert_eq!(hows(&mut room), [none("red", Cause::Away)]);
    room.act(blue, "b", 1, 1);
    room.ask(&["red", "blue"]);
    room.act(blue, "b", 2, 1);
    assert_eq!(
        hows(&mut room),
        [played("blue"), none("red", Cause::Away), played("blue")]
    );
    let (red, welcome) = room.player(again("a", &welcome));
    assert_eq!(
        welcome.last.map(|last| last.how),
        Some(How::None(Cause::Away))
    );
    room.ask(&["red"]);
    assert_eq!(room.turns(red), [(Kind::Ask, 3)]);
}

#[test]
fn the_end_of_an_episode_waits_for_who_is_away() {
    let mut room = Room::new(graced());
    let (red, welcome) = room.player(actor("a"));
    let (blue, _) = room.player(actor("b"));
    room.ask(&["red", "blue"]);
    room.act(red, "a", 1, 1);
    room.act(blue, "b", 1, 1);
    room.closed(red);
    room.finish(&["red", "blue"]);
    room.ask(&["red", "blue"]);
    assert_eq!(room.table.episode(), 1);
    let (back, _) = room.player(again("a", &welcome));
    let got = room.take(back);
    let [Got::Turn(last), Got::Turn(next)] = got[..] else {
        panic!("{got:?}")
    };
    assert_eq!((last.kind, last.number, last.episode), (Kind::Final, 2, 0));
    assert_eq!((next.kind, next.number, next.episode), (Kind::Ask, 3, 1));
}

#[test]
fn spectators_get_the_newest_view_and_hear_what_they_missed() {
    let mut room = Room::new(graced());
    room.pymasep("a");
    let hello = Hello {
        role: Some(Role::Observer),
        ..Hello::new("w")
    };
    let (watcher, verdict) = room.hello(hello.clone());
    assert!(matches!(verdict, Verdict::Admit(_)));
    let old = room.observer("o");
    assert_eq!(room.take(watcher), []);
    room.stalled.insert(watcher);
    for step in 0..4 {
        room.table.show(state(step), room.now);
    }
    room.work();
    // A pymasep observer gets the State as the host has made it.
    assert_eq!(room.take(old), [0, 3].map(Got::Step));
    room.stalled.clear();
    assert_eq!(room.turns(watcher), [(Kind::Show, 0)]);
    room.table.handle_sent(watcher, room.now);
    room.work();
    let Some(Got::Turn(newest)) = room.take(watcher).pop() else {
        panic!()
    };
    assert_eq!((newest.kind, newest.skipped), (Kind::Show, 2));
    // A snapshot for who comes now.
    let (late, _) = room.player(hello);
    assert_eq!(room.turns(late), [(Kind::Show, 0)]);
    room.show();
    let Some(Got::Turn(next)) = room.take(late).pop() else {
        panic!()
    };
    assert_eq!(next.skipped, 0);
    assert_eq!(room.table.spectators(), 3);
    room.closed(watcher);
    assert_eq!(room.table.spectators(), 2);
}

#[test]
fn all_spectators_share_the_message() {
    let mut room = Room::new(graced());
    let peers: Vec<_> = (0..10)
        .map(|number| room.observer(&number.to_string()))
        .collect();
    room.log.clear();
    room.show();
    let messages = room.observations();
    assert_eq!(messages.len(), peers.len());
    assert!(messages.iter().all(|it| Arc::ptr_eq(it, &messages[0])));
}

#[test]
fn a_flood_is_told_of_three_times() {
    let mut room = Room::new(graced());
    let (red, _) = room.player(actor("a"));
    room.pymasep("b");
    room.ask(&["red"]);
    room.take(red);
    room.take_events();
    for _ in 0..1_000 {
        room.act(red, "a", 1, 1);
        room.say(red, &Message::new("noise", masep_proto::Value::None, "a"));
    }
    assert_eq!(room.take(red).len(), 3);
    assert_eq!(room.take_events().len(), 3);
    room.table
        .open(room.views(&["red"]), TurnTime::AsSet, room.now)
        .unwrap();
    room.work();
    room.act(red, "a", 1, 1);
    assert_eq!(room.take(red).len(), 2, "the question, and a notice again");
}
