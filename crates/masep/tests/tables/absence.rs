//! Players that are lost, replaced or gone, and those that play on with them.

use std::time::Instant;

use masep::player::{End, Event as Told};
use masep::table::{Cause, Event, How, SeatState};
use masep::{Protocols, Role};

use crate::agents::Agent;
use crate::players::{self, end, next_turn, play, play_with, player, tick};
use crate::relay::Relay;
use crate::shells::{Shell, of_each_pair, of_each_shell};
use crate::{BOTH, builder, made, ms, per_turn, plays, state, view};

of_each_pair! {
    a_player_that_is_killed_comes_back_to_the_same_question
    a_lost_connection_is_made_anew_and_no_action_is_shifted
    a_newer_connection_with_the_resume_text_replaces_the_older
    a_table_that_holds_lets_others_come_and_goes_on_when_a_player_is_back
    a_player_is_told_what_happens_while_it_thinks
}

of_each_shell! {
    one_absence_costs_the_others_no_more_than_the_grace
    who_is_late_or_gone_costs_no_more_than_the_rules_say
}

fn a_player_that_is_killed_comes_back_to_the_same_question(of_table: Shell, of_players: Shell) {
    for protocols in BOTH {
        let table = of_table.table(builder());
        let blue = play(player(of_players, &*table, "ben", protocols));
        let red = next_turn(player(of_players, &*table, "ann", protocols));
        table.filled();
        let mut turn = table.open(&["red", "blue"], |seat| view(1, seat)).unwrap();
        // Whichever seat blue has, it answers.
        turn.next().unwrap().unwrap();
        let (asked, red) = red.join().unwrap();
        assert_eq!(tick(&asked.unwrap()), 1);
        // It dies in mid-turn, and another process has its resume text.
        let mut again = players::builder("ann", protocols);
        if let Some(resume) = red.resume() {
            again = again.resume(resume);
        }
        drop(red);
        table.wait_for(|event| matches!(event, Event::Away(_)));
        let again = play(of_players.player(again, table.address()));
        table.wait_for(|event| matches!(event, Event::Back { .. }));
        // That turn was dropped by the host, and goes on until it is closed.
        drop(turn);
        table.close(1);
        for tick in 2..20 {
            plays(&*table, tick);
        }
        let mut played = end(&*table, [again, blue]);
        let joined = |event: &Told| matches!(event, Told::Joined { epoch, .. } if *epoch == 2);
        let has_epoch = played[0].player.events().iter().any(joined);
        assert_eq!(has_epoch, protocols == Protocols::Masep2);
    }
}

/// One between two questions, and both when they have one.
fn a_lost_connection_is_made_anew_and_no_action_is_shifted(of_table: Shell, of_players: Shell) {
    for protocols in BOTH {
        let table = of_table.table(builder());
        let relays = ["ann", "ben"].map(|id| (id, Relay::start(&*table)));
        let playing = relays.clone().map(|(id, relay)| {
            let player = players::builder(id, protocols);
            let player = of_players.player(player, relay.address);
            let mut lost = 0;
            play_with(player, move |turn| {
                let tick = tick(turn);
                if tick % 10 == 5 && tick != lost {
                    lost = tick;
                    relay.cut();
                }
            })
        });
        table.filled();
        for tick in 1..60 {
            if tick % 10 == 0 {
                relays[0].1.cut();
            }
            plays(&*table, tick);
        }
        for (mut its, least) in end(&*table, playing).into_iter().zip([11, 6]) {
            assert!(its.questions.len() >= 59, "{:?}", its.questions);
            let events = its.player.events();
            let losses = events.iter().filter(|it| matches!(it, Told::Lost(_)));
            assert!(losses.count() >= least, "{events:?}");
        }
    }
}

fn a_newer_connection_with_the_resume_text_replaces_the_older(of_table: Shell, of_players: Shell) {
    let table = of_table.table(builder());
    let old = next_turn(player(of_players, &*table, "ann", Protocols::Masep2));
    let blue = play(player(of_players, &*table, "ben", Protocols::Masep2));
    table.filled();
    drop(table.open(&["red", "blue"], |seat| view(1, seat)).unwrap());
    let (asked, mut old) = old.join().unwrap();
    assert!(asked.is_some());
    let new = players::builder("ann", Protocols::Masep2).resume(old.resume().unwrap());
    let new = play(of_players.player(new, table.address()));
    // The older one is told, and does not come back.
    assert_eq!(old.next_turn(), None);
    match old.end() {
        Some(End::Ended(bye)) => assert_eq!(&*bye.code, "replaced"),
        other => panic!("{other:?}"),
    }
    table.close(1);
    for tick in 2..10 {
        plays(&*table, tick);
    }
    assert!(end(&*table, [new, blue])[0].questions.len() >= 8);
}

fn one_absence_costs_the_others_no_more_than_the_grace(shell: Shell) {
    for protocols in BOTH {
        let table = shell.table(builder().grace(ms(200)));
        let red = Agent::sit_down(&*table, "ann");
        let blue = play(player(shell, &*table, "ben", protocols));
        table.filled();
        // Blue plays, red says nothing and is gone.
        red.client.connection().bye();
        table.wait_for(|event| matches!(event, Event::Away(_)));
        let began = Instant::now();
        let moves = table.ask_all(|seat| view(1, seat)).unwrap();
        let waited = began.elapsed();
        assert!(waited >= ms(200), "{waited:?}");
        assert_eq!(moves[0].how(), How::None(Cause::Gone));
        assert_eq!(made(&moves[1]), (How::Played, Some(1)));
        for tick in 2..5 {
            assert_eq!(table.seats()[0].state(), SeatState::Gone);
            let mut turn = table
                .open(&["red", "blue"], |seat| view(tick, seat))
                .unwrap();
            // Nobody asks red: its decision is there before anybody can have answered.
            let red = turn.next().unwrap().unwrap();
            assert_eq!((red.seat(), red.how()), ("red", How::None(Cause::Gone)));
            let blue = turn.next().unwrap().unwrap();
            assert_eq!(made(&blue), (How::Played, Some(tick)));
        }
        end(&*table, [blue]);
    }
}

fn who_is_late_or_gone_costs_no_more_than_the_rules_say(shell: Shell) {
    let late = |_: &_| masep::Action::new(-1);
    // The other one has to be in time.
    let table = shell.table(builder().clock(per_turn(1_000)).late(late));
    // Ann says nothing.
    let ann = Agent::sit_down(&*table, "ann");
    let ben = play(player(shell, &*table, "ben", Protocols::Masep2));
    table.filled();
    let began = Instant::now();
    let moves = table.ask_all(|_| state(1)).unwrap();
    assert!(began.elapsed() >= ms(1_000));
    assert_eq!(made(&moves[0]), (How::Default(Cause::Late), Some(-1)));
    assert_eq!(made(&moves[1]), (How::Played, Some(1)));
    // A turn is waited for as long as the host wants to.
    let mut turn = table.open(&["red", "blue"], |_| state(2)).unwrap();
    assert_eq!(turn.next().unwrap().unwrap().seat(), "blue");
    assert!(turn.next_within(ms(1)).is_none());
    turn.extend(ms(60_000));
    turn.close();
    let its = turn.next().unwrap().unwrap();
    assert_eq!(its.how(), How::None(Cause::Closed));
    assert!(turn.next().is_none());
    drop(turn);
    ann.client.connection().bye();
    let red = table.seats()[0].id();
    table.wait_for(|event| *event == Event::Away(red));
    end(&*table, [ben]);
}

/// Both players are lost in mid-turn, so that nobody can decide: no clock runs, others come and watch, and the turn goes on
/// when one of them is back.
fn a_table_that_holds_lets_others_come_and_goes_on_when_a_player_is_back(
    of_table: Shell,
    of_players: Shell,
) {
    let table = of_table.table(builder());
    let playing = ["ann", "ben"].map(|id| {
        let player = player(of_players, &*table, id, Protocols::Masep2);
        next_turn(player)
    });
    table.filled();
    let mut turn = table.open(&["red", "blue"], |seat| view(1, seat)).unwrap();
    let [(_, ann), (_, ben)] = playing.map(|player| player.join().unwrap());
    let back = players::builder("ann", Protocols::Masep2).resume(ann.resume().unwrap());
    drop((ann, ben));
    table.wait_for(|event| *event == Event::Emptied);
    let waiting = turn.next_within(ms(100));
    assert!(waiting.is_none(), "{waiting:?}");
    table.show(state(9)).unwrap();
    let eve = Agent::join(&*table, "eve", Role::Observer, Protocols::Pymasep);
    assert_eq!(eve.asked(), 9);
    let mut stranger = player(of_players, &*table, "stranger", Protocols::Masep2);
    assert_eq!(stranger.next_turn(), None);
    let refused = stranger.end();
    assert!(matches!(refused, Some(End::Rejected(_))), "{refused:?}");
    let back = play(of_players.player(back, table.address()));
    let its = turn.next().unwrap().unwrap();
    assert_eq!(made(&its), (How::Played, Some(1)));
    turn.close();
    drop(turn);
    end(&*table, [back]);
}

fn a_player_is_told_what_happens_while_it_thinks(of_table: Shell, of_players: Shell) {
    let table = of_table.table(builder().seats(["red"]));
    let mut player = player(of_players, &*table, "ann", Protocols::Masep2);
    let joined = player.event();
    assert!(matches!(joined, Some(Told::Joined { .. })), "{joined:?}");
    assert_eq!(player.event_within(ms(20)), None, "nothing happens");
    table.filled();
    drop(table);
    let lost = player.event();
    assert!(matches!(lost, Some(Told::Lost(_))), "{lost:?}");
}
