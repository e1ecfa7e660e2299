//! Players that are late or asleep, and games in which each has its own pace.

use std::thread;
use std::time::Instant;

use masep::player::Event as Told;
use masep::table::{Cause, Event, How, Seat, SeatState, TableError, TurnTime};
use masep::{Action, Protocols};

use crate::agents::seated;
use crate::players::{self, end, next_turn, play, play_with, player, playing, tick};
use crate::shells::{SOON, Shell, of_each_pair, of_each_shell};
use crate::{BOTH, builder, made, ms, per_turn, plays, state};

of_each_pair! {
    an_answer_that_comes_a_turn_too_late_is_never_the_next_one
    a_player_whose_answer_came_too_late_is_told_so_without_another_turn
    a_player_that_has_slept_is_asked_and_its_answer_wakes_it
    in_a_free_for_all_each_seat_acts_at_its_own_pace
}

of_each_shell! {
    clocks_and_the_door_go_on_while_the_host_thinks
    a_turn_has_its_time_though_the_host_does_something_else
    an_answer_is_in_time_though_the_host_looks_late
}

fn an_answer_that_comes_a_turn_too_late_is_never_the_next_one(of_table: Shell, of_players: Shell) {
    for protocols in BOTH {
        let rules = builder().clock(per_turn(300)).misses(0);
        let table = of_table.table(rules.late(|_| Action::new(-1)));
        let mut turns = 0;
        let slow = player(of_players, &*table, "ann", protocols);
        let slow = play_with(slow, move |_| {
            turns += 1;
            if turns % 3 == 0 {
                // Behind the deadline. The next question is there by then, or waits for this answer.
                thread::sleep(ms(450));
            }
        });
        let quick = play(player(of_players, &*table, "ben", protocols));
        table.filled();
        let (mut played, mut late) = (0, 0);
        for tick in 1..=9 {
            for its in table.ask_all(|_| state(tick)).unwrap() {
                match made(&its) {
                    (How::Played, number) => {
                        played += 1;
                        assert_eq!(number, Some(tick));
                    }
                    made => {
                        late += 1;
                        assert_eq!(made, (How::Default(Cause::Late), Some(-1)));
                    }
                }
            }
        }
        assert!(played > 0 && late >= 2, "{played} played, {late} late");
        let mut played = end(&*table, [slow, quick]);
        let told = |event: &Told| matches!(event, Told::NotCounted { .. });
        let is_told = played[0].player.events().iter().any(told);
        assert_eq!(is_told, protocols == Protocols::Masep2);
    }
}

/// Also where the game is over next.
fn a_player_whose_answer_came_too_late_is_told_so_without_another_turn(
    of_table: Shell,
    of_players: Shell,
) {
    for is_over in [false, true] {
        let table = of_table.table(builder().clock(per_turn(30)));
        let red = next_turn(player(of_players, &*table, "ann", Protocols::Masep2));
        table.wait_for(|event| matches!(event, Event::Seated { .. }));
        let its = table.ask("red", state(1)).unwrap();
        assert_eq!(its.how(), How::None(Cause::Late));
        let (_, mut red) = red.join().unwrap();
        assert!(red.act(Action::new(1)).unwrap());
        table.wait_for(|event| matches!(event, Event::Ignored { .. }));
        if is_over {
            table.end();
        }
        let code = loop {
            match red.event_within(SOON) {
                Some(Some(Told::NotCounted { code, .. })) => break code,
                Some(Some(_)) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(code, "late");
    }
}

/// A player that was held up for too many turns, and answers questions alone, plays on.
fn a_player_that_has_slept_is_asked_and_its_answer_wakes_it(of_table: Shell, of_players: Shell) {
    let table = of_table.table(builder().clock(per_turn(30)).misses(2));
    let [red, blue] = [("ann", "red"), ("ben", "blue")].map(|(id, seat)| {
        let player = players::builder(id, Protocols::Masep2).seat(seat);
        of_players.player(player, table.address())
    });
    let (red, blue) = (next_turn(red), play(blue));
    table.filled();
    let cause = |tick| table.ask("red", state(tick)).unwrap().how().cause();
    let causes = [1, 2, 3, 4].map(cause);
    let (late, asleep) = (Some(Cause::Late), Some(Cause::Asleep));
    assert_eq!(causes, [late, late, asleep, asleep]);
    let (mut turn, mut red) = red.join().unwrap();
    while turn.as_ref().unwrap().number() < 4 {
        turn = red.next_turn();
    }
    let turn = turn.unwrap();
    assert!(turn.is_question());
    assert_eq!((turn.number(), tick(&turn)), (4, 4));
    let slept = How::None(Cause::Asleep);
    assert_eq!(turn.last().map(|it| (it.turn, it.how)), Some((4, slept)));
    assert!(red.act(Action::new(4)).unwrap());
    table.wait_for(|event| matches!(event, Event::Awake(_)));
    let red = play(red);
    let time = TurnTime::Limited(ms(20_000));
    for its in table.ask_all_timed(time, |_| state(5)).unwrap() {
        assert_eq!(made(&its), (How::Played, Some(5)));
    }
    let mut played = end(&*table, [red, blue]);
    assert_eq!(played[0].questions, [5]);
    // It is told once, and the truth.
    let told = played[0].player.events().into_iter();
    let told = told.filter_map(|event| match event {
        Told::NotCounted { turn, how, .. } => Some((turn, how)),
        _ => None,
    });
    assert!(told.eq([(4, Some(slept))]));
}

fn in_a_free_for_all_each_seat_acts_at_its_own_pace(of_table: Shell, of_players: Shell) {
    for protocols in BOTH {
        let table = of_table.table(builder());
        assert_eq!(table.filled_within(ms(1)), None);
        let ann = play(player(of_players, &*table, "ann", protocols));
        table.wait_for(|event| matches!(event, Event::Seated { .. }));
        // Ben is connected, and does not act.
        let ben = next_turn(player(of_players, &*table, "ben", protocols));
        table.filled();
        assert_eq!(table.filled_within(ms(1)), Some(Ok(())));
        let mut tick = 0;
        let mut actions = table.actions(|_| {
            tick += 1;
            state(tick)
        });
        for _ in 0..20 {
            let its = actions.next().unwrap().unwrap();
            assert_eq!((its.seat(), its.how()), ("red", How::Played));
        }
        let (turn, mut ben) = ben.join().unwrap();
        assert!(turn.unwrap().is_question());
        assert!(ben.act(Action::new(-7)).unwrap());
        let its = loop {
            let its = actions.next().unwrap().unwrap();
            assert_eq!(its.how(), How::Played);
            if its.seat() == "blue" {
                break its;
            }
        };
        assert_eq!(made(&its), (How::Played, Some(-7)));
        drop(actions);
        // Its turns are closed: others can be opened, and the episode has an end.
        let its = table.ask("red", state(5)).unwrap();
        assert_eq!(made(&its), (How::Played, Some(5)));
        table.finish_episode(|_| state(1_000)).unwrap();
        let ben = play(ben);
        let played = end(&*table, [ann, ben]);
        assert!(table.actions(|_| state(0)).next().is_none());
        assert!(played[0].questions.len() > 20);
    }
}

fn clocks_and_the_door_go_on_while_the_host_thinks(shell: Shell) {
    let table = shell.table(builder().clock(per_turn(50)));
    let _playing = playing(shell, &*table, Protocols::Masep2);
    let turn = table.open(&["red", "blue"], |_| state(1)).unwrap();
    // The host is somewhere else, and both have decided: a turn can be opened as soon as that is known.
    let patience = Instant::now() + SOON;
    while let Err(error) = table.open(&["red", "blue"], |_| state(2)) {
        assert_eq!(error, TableError::TurnIsOpen(1));
        assert!(Instant::now() < patience);
        thread::yield_now();
    }
    drop(turn);
}

fn a_turn_has_its_time_though_the_host_does_something_else(shell: Shell) {
    let (table, _ann, _ben) = seated(shell, builder().clock(per_turn(30)).misses(1));
    // It has thought for a while.
    thread::sleep(ms(20));
    let _turn = table.open(&["red", "blue"], |_| state(1)).unwrap();
    let patience = Instant::now() + SOON;
    let is_asleep = |seat: &Seat| seat.state() == SeatState::Asleep;
    while !table.seats().iter().all(is_asleep) {
        assert!(Instant::now() < patience);
        thread::yield_now();
    }
}

/// While a call asks, it reads the connections itself. An answer to a turn for which the host does not wait yet must be known
/// by its time all the same.
fn an_answer_is_in_time_though_the_host_looks_late(shell: Shell) {
    let table = shell.table(builder().misses(0));
    let playing = playing(shell, &*table, Protocols::Masep2);
    let time = TurnTime::Limited(ms(12));
    // A busy machine may need more than one attempt.
    let is_played = (1..100).any(|tick| {
        plays(&*table, tick);
        let view = |_: &_| state(-tick);
        let mut turn = table.open_timed(&["red", "blue"], time, view).unwrap();
        // It thinks for longer than the turn takes.
        thread::sleep(ms(25));
        let moves = [turn.next(), turn.next()].map(|its| its.unwrap().unwrap());
        moves.iter().all(|its| its.how() == How::Played)
    });
    assert!(is_played, "each answer was late");
    end(&*table, playing);
}
