//! Threads that stand aside do not hold up what their connections need: signs of life, and the end.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use masep::player::Event as Told;
use masep::table::{Cause, Event, How};
use masep::{Action, Limits, Protocols};
use tokio::runtime::Builder;

use crate::players::{self, end, play, player};
use crate::shells::{Player, Shell, Table, of_each_shell};
use crate::{GAME, builder, made, ms, state};

of_each_shell! {
    connections_that_a_call_reads_keep_their_signs_of_life_and_their_ends
    signs_of_life_come_while_one_seat_alone_is_waited_for
    a_player_without_signs_of_life_is_lost_while_one_seat_alone_is_waited_for
}

/// Three of them without a sign of life are the end, and a busy machine may hold a thread up for one.
const HEARTBEAT: Duration = ms(500);

fn heartbeat(every: Duration) -> Limits {
    Limits::default().heartbeat(Some(every))
}

/// Thinks for so long, in which its connection shows signs of life.
fn think(player: &mut dyn Player, heartbeats: u32) {
    let time = heartbeats * HEARTBEAT;
    while let Some(Some(_)) = player.event_within(time) {}
}

fn is_away(event: &Option<Event>) -> bool {
    matches!(event, Some(Event::Away(_)))
}

/// The events of a table that are told at once.
fn events(table: &dyn Table) -> Vec<Option<Event>> {
    std::iter::from_fn(|| table.event_within(ms(1))).collect()
}

fn was_lost(player: &mut dyn Player) -> bool {
    let events = player.events();
    events.iter().any(|event| matches!(event, Told::Lost(_)))
}

fn connections_that_a_call_reads_keep_their_signs_of_life_and_their_ends(shell: Shell) {
    let table = shell.table(builder().limits(heartbeat(HEARTBEAT)).grace(ms(50)));
    let ann = play(player(Shell::Async, &*table, "ann", Protocols::Masep2));
    let mut ben = player(Shell::Async, &*table, "ben", Protocols::Masep2);
    // Ben answers once, and lets the next question wait for several heartbeats; then he is cut off.
    let ben = thread::spawn(move || {
        for heartbeats in [0, 4] {
            let turn = ben.next_turn().unwrap();
            think(&mut *ben, heartbeats);
            ben.act(Action::new(players::tick(&turn))).unwrap();
        }
        ben.next_turn();
    });
    table.filled();
    for tick in 1..=2 {
        for its in table.ask_all(|_| state(tick)).unwrap() {
            assert_eq!(its.how(), How::Played, "{its:?}");
        }
    }
    let moves = thread::scope(|scope| {
        let asking = scope.spawn(|| table.ask_all(|_| state(3)).unwrap());
        ben.join().unwrap();
        table.wait_for(|event| matches!(event, Event::Away(_)));
        asking.join().unwrap()
    });
    let hows: Vec<_> = moves.iter().map(|its| its.how()).collect();
    let [played, gone] = [How::Played, How::None(Cause::Gone)];
    assert!(hows.contains(&played) && hows.contains(&gone), "{hows:?}");
    let away = events(&*table);
    assert!(!away.iter().any(is_away), "{away:?}");
    let mut played = end(&*table, [ann]);
    assert!(!was_lost(&mut *played[0].player));
}

/// A player that thinks for longer than several heartbeats, and shows signs of life meanwhile.
fn signs_of_life_come_while_one_seat_alone_is_waited_for(shell: Shell) {
    const THOUGHTS: [u32; 4] = [0, 0, 4, 0];
    let table = masep::Table::builder(GAME).seats(["red"]);
    let table = shell.table(table.limits(heartbeat(HEARTBEAT)));
    let mut ann = player(Shell::Async, &*table, "ann", Protocols::Masep2);
    let ann = thread::spawn(move || {
        for heartbeats in THOUGHTS {
            assert!(ann.next_turn().unwrap().is_question());
            think(&mut *ann, heartbeats);
            ann.act(Action::new(i64::from(heartbeats))).unwrap();
        }
        ann.next_turn();
        was_lost(&mut *ann)
    });
    table.filled();
    for heartbeats in THOUGHTS {
        let its = table.ask("red", state(1)).unwrap();
        assert_eq!(made(&its), (How::Played, Some(i64::from(heartbeats))));
    }
    let events = events(&*table);
    assert!(!events.iter().any(is_away), "{events:?}");
    table.end();
    assert!(!ann.join().unwrap());
}

/// A player that shows none is lost, also if it is the only one that is read.
fn a_player_without_signs_of_life_is_lost_while_one_seat_alone_is_waited_for(shell: Shell) {
    let table = shell.table(builder().limits(heartbeat(HEARTBEAT)).grace(ms(1)));
    let seat = |id, seat| players::builder(id, Protocols::Masep2).seat(seat);
    let _blue = play(Shell::Async.player(seat("ben", "blue"), table.address()));
    // Nothing runs in it but what is waited for.
    let asleep = Builder::new_current_thread().enable_all().build().unwrap();
    thread::scope(|scope| {
        let (rest, may_rest) = channel();
        let table = &*table;
        scope.spawn(move || {
            asleep.block_on(async {
                let mut red = seat("ann", "red").join(table.address()).unwrap();
                for _ in 0..2 {
                    red.next_turn().await.unwrap();
                    red.act(Action::new(7)).await.unwrap();
                }
                // It is connected, and does nothing any more.
                may_rest.recv().unwrap();
            });
        });
        table.filled();
        let ask = || made(&table.ask("red", state(1)).unwrap());
        assert_eq!([ask(), ask()], [(How::Played, Some(7)); 2]);
        assert_eq!(ask(), (How::None(Cause::Gone), None));
        rest.send(()).unwrap();
    });
}
