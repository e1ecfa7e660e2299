//! Hosts that fail or are interrupted, and players that are a burden.

use std::thread;

use masep::table::{Cause, How, SeatState, TableError};
use masep::{Action, Protocols, Role};

use crate::agents::{Agent, seated};
use crate::players::{end, play, player, playing};
use crate::reading::stand_aside;
use crate::shells::{Peer, SOON, Shell, of_each_shell};
use crate::{builder, made, ms, per_turn, plays, state, view};

of_each_shell! {
    a_panic_in_a_view_ends_the_call_alone
    a_view_that_panics_for_a_newcomer_closes_the_turn_and_each_seat_is_decided
    a_panic_in_the_action_for_the_late_ends_the_table_and_no_other
    a_call_that_was_dropped_leaves_its_turn_open
    those_who_come_while_a_table_ends_are_sent_away_at_once
    a_flood_of_one_player_does_not_keep_the_others_from_playing
}

fn those_who_come_while_a_table_ends_are_sent_away_at_once(shell: Shell) {
    let patient = builder().settings(|settings| settings.farewell(SOON));
    let (table, ann, ben) = seated(shell, patient);
    thread::scope(|scope| {
        scope.spawn(|| table.end());
        ann.hear_end();
        for late in ["cyd", "dan"] {
            Peer::join(table.address(), late).expect_bye();
        }
        // The end is that of those who were there.
        ann.cut();
        ben.cut();
    });
}

fn a_panic_in_a_view_ends_the_call_alone(shell: Shell) {
    let table = shell.table(builder());
    let playing = playing(shell, &*table, Protocols::Both);
    plays(&*table, 1);
    let asked = table.ask_all(|seat| match seat.name() {
        "blue" => panic!("no view of {}", seat.name()),
        _ => view(2, seat),
    });
    assert_eq!(asked, Err(TableError::Panicked("no view of blue".into())));
    plays(&*table, 3);
    end(&*table, playing);
}

fn a_view_that_panics_for_a_newcomer_closes_the_turn_and_each_seat_is_decided(shell: Shell) {
    let strangers = builder().settings(|settings| settings.strangers(true));
    let (table, ann, ben) = seated(shell, strangers);
    stand_aside(&*table, [&ann, &ben]);
    // Nobody answers: both are away.
    drop((ann, ben));
    let is_away = |seat: &masep::table::Seat| seat.state() == SeatState::Away;
    table.wait_for(|_| table.seats().iter().all(is_away));
    let mut calls = 0;
    let mut turn = table
        .open(&["red", "blue"], |_| {
            calls += 1;
            assert!(calls < 3, "no view for a newcomer");
            state(2)
        })
        .unwrap();
    let cyd = play(player(shell, &*table, "cyd", Protocols::Pymasep));
    let error = turn.next().unwrap().unwrap_err();
    assert_eq!(error, TableError::Panicked("no view for a newcomer".into()));
    for _ in 0..2 {
        let its = turn.next().unwrap().unwrap();
        assert_eq!(its.how(), How::None(Cause::Closed));
    }
    assert!(turn.next().is_none());
    drop(turn);
    end(&*table, [cyd]);
}

fn a_panic_in_the_action_for_the_late_ends_the_table_and_no_other(shell: Shell) {
    let other = shell.table(builder());
    let elsewhere = playing(shell, &*other, Protocols::Both);
    let late = |_: &_| -> Action { panic!("no idea") };
    let table = shell.table(builder().clock(per_turn(30)).late(late));
    let silent = Agent::join(&*table, "ann", Role::Actor, Protocols::Pymasep);
    let _ben = play(player(shell, &*table, "ben", Protocols::Both));
    table.filled();
    let error = table.ask_all(|seat| view(1, seat)).unwrap_err();
    assert_eq!(error, TableError::Panicked("no idea".into()));
    let error = table.open(&["red"], |seat| view(2, seat)).err();
    assert_eq!(error, Some(TableError::Over));
    // Its players are told that they may come back, when there is an engine again.
    silent.wait_for_end();
    plays(&*other, 1);
    end(&*other, elsewhere);
}

fn a_call_that_was_dropped_leaves_its_turn_open(shell: Shell) {
    let (table, ann, ben) = seated(shell, builder());
    table.give_up_asking(ms(20), Box::new(|seat| view(1, seat)));
    let error = table.open(&["red"], |seat| view(2, seat)).err();
    assert_eq!(error, Some(TableError::TurnIsOpen(1)));
    table.close(1);
    let mut turn = table.open(&["red", "blue"], |seat| view(2, seat)).unwrap();
    // The answers to the first turn are not those to the second.
    for agent in [&ann, &ben] {
        agent.answer(1);
        assert_eq!(agent.asked(), 2);
    }
    ann.act(2);
    let its = turn.next().unwrap().unwrap();
    assert_eq!(made(&its), (How::Played, Some(2)));
    turn.close();
    let its = turn.next().unwrap().unwrap();
    assert_eq!(its.how(), How::None(Cause::Closed));
    assert!(turn.next().is_none());
}

fn a_flood_of_one_player_does_not_keep_the_others_from_playing(shell: Shell) {
    let table = shell.table(builder());
    let flood = Agent::sit_down(&*table, "ann");
    let quiet = play(player(shell, &*table, "ben", Protocols::Both));
    table.filled();
    thread::scope(|scope| {
        scope.spawn(|| {
            let (connection, action) = (flood.client.connection(), flood.action(-7));
            while connection.send_message(&action).is_ok() {
                let _ = connection.try_recv();
            }
        });
        for tick in 1..200 {
            let moves = table.ask_all(|seat| view(tick, seat)).unwrap();
            assert_eq!(made(&moves[1]), (How::Played, Some(tick)));
        }
        flood.cut();
    });
    end(&*table, [quiet]);
}
