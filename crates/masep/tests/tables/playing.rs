//! Games that are played to their end.

use std::sync::mpsc::channel;
use std::thread;

use masep::table::{Event, How};
use masep::{Protocols, Role};

use crate::agents::{Agent, seated};
use crate::players::{end, play, player, playing, watch};
use crate::reading::stand_aside;
use crate::shells::{Shell, of_each_pair, of_each_shell, until};
use crate::{BOTH, GAME, builder, made, plays, state, view};

of_each_pair! { players_play_and_a_spectator_watches }

of_each_shell! {
    agents_and_spectators_of_both_generations_play_two_episodes
    three_hundred_seats_are_asked_at_the_same_time
    two_calls_ask_at_the_same_time
    a_call_that_waits_for_one_seat_holds_up_no_other_call
}

fn agents_and_spectators_of_both_generations_play_two_episodes(shell: Shell) {
    for [red, blue] in [
        [Protocols::Pymasep, Protocols::Pymasep],
        [Protocols::Pymasep, Protocols::Masep2],
        [Protocols::Masep2, Protocols::Masep2],
    ] {
        let table = shell.table(builder());
        let playing = [("ann", red), ("ben", blue)].map(|(id, protocols)| {
            let agent = Agent::join(&*table, id, Role::Actor, protocols);
            table.wait_for(|event| matches!(event, Event::Seated { .. }));
            thread::spawn(move || agent.play())
        });
        let spectator = Agent::join(&*table, "eve", Role::Observer, red);
        table.filled();
        let mut tick = 0;
        for _ in 0..2 {
            for _ in 0..20 {
                tick += 1;
                plays(&*table, tick);
                table.show(state(tick)).unwrap();
            }
            tick += 1;
            table.finish_episode(|seat| view(tick, seat)).unwrap();
        }
        while spectator.asked() < tick - 1 {}
        let watching = thread::spawn(move || spectator.play());
        table.end();
        for player in playing {
            // Twenty questions and a final in each episode.
            assert_eq!(player.join().unwrap(), 42);
        }
        watching.join().unwrap();
        let events = table.events();
        assert!(events.contains(&Event::Filled) && events.contains(&Event::Ended));
        assert!(!events.iter().any(|event| matches!(event, Event::Away(_))));
    }
}

fn players_play_and_a_spectator_watches(of_table: Shell, of_players: Shell) {
    for protocols in [Protocols::Pymasep, Protocols::Masep2, Protocols::Both] {
        let table = of_table.table(builder());
        let playing = playing(of_players, &*table, protocols);
        let watching = watch(of_players, &*table, "eve", protocols);
        until(|| table.spectators() == 1);
        let mut tick = 0;
        for _ in 0..3 {
            for _ in 0..10 {
                tick += 1;
                plays(&*table, tick);
                table.show(state(tick)).unwrap();
            }
            tick += 1;
            table.finish_episode(|seat| view(tick, seat)).unwrap();
        }
        for its in end(&*table, playing) {
            assert!(its.questions.len() >= 30, "{:?}", its.questions);
        }
        let watched = watching.join().unwrap();
        let last = watched.last().map(|(tick, _)| *tick);
        assert!(watched.is_sorted() && last == Some(tick - 1), "{watched:?}");
        let events: Vec<_> = std::iter::from_fn(|| table.event()).collect();
        assert_eq!(events.last(), Some(&Event::Ended));
    }
}

/// More connections than a wait tells of at once.
fn three_hundred_seats_are_asked_at_the_same_time(shell: Shell) {
    const SEATS: usize = 300;
    for protocols in BOTH {
        let seats = (0..SEATS).map(|seat| format!("s{seat}"));
        let table = shell.table(masep::Table::builder(GAME).seats(seats));
        let playing = (0..SEATS).map(|number| {
            let id = format!("a{number}");
            play(player(Shell::Async, &*table, &id, protocols))
        });
        let playing: Vec<_> = playing.collect();
        table.filled();
        for tick in 1..=6 {
            let moves = table.ask_all(|_| state(tick)).unwrap();
            assert_eq!(moves.len(), SEATS);
            for its in moves {
                assert_eq!(made(&its), (How::Played, Some(tick)));
            }
        }
        for its in end(&*table, playing) {
            assert_eq!(its.questions.len(), 6);
        }
    }
}

fn two_calls_ask_at_the_same_time(shell: Shell) {
    for protocols in BOTH {
        let table = shell.table(builder());
        let playing = playing(shell, &*table, protocols);
        thread::scope(|scope| {
            for seat in ["red", "blue"] {
                let table = &table;
                scope.spawn(move || {
                    for tick in 1..200 {
                        let its = table.ask(seat, state(tick)).unwrap();
                        assert_eq!((its.seat(), made(&its)), (seat, (How::Played, Some(tick))));
                    }
                });
            }
        });
        for its in end(&*table, playing) {
            assert_eq!(its.questions.len(), 199);
        }
    }
}

/// A call that waits long for one seat does not hold up one that asks another.
fn a_call_that_waits_for_one_seat_holds_up_no_other_call(shell: Shell) {
    let (table, ann, ben) = seated(shell, builder());
    stand_aside(&*table, [&ann, &ben]);
    let ask = |seat, tick| made(&table.ask(seat, state(tick)).unwrap());
    thread::scope(|scope| {
        let (go_on, goes_on) = channel();
        scope.spawn(move || {
            let tick = ann.asked();
            goes_on.recv().unwrap();
            ann.act(tick);
            ann
        });
        scope.spawn(|| ben.answer(50));
        let slow = scope.spawn(|| ask("red", 1));
        for tick in 1..=50 {
            assert_eq!(ask("blue", tick), (How::Played, Some(tick)));
        }
        go_on.send(()).unwrap();
        assert_eq!(slow.join().unwrap(), (How::Played, Some(1)));
    });
}
