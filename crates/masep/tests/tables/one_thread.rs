//! A table, its players and its spectators as tasks of one thread: a game that is tried out before it goes over a network, and
//! an agent that is trained in the process of its engine.

use masep::table::{Absence, Cause, Event, How};
use masep::{Action, Player, Protocols, Role, Table};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

use crate::players::{self, tick};
use crate::relay::Relay;
use crate::shells::SOON;
use crate::{BOTH, GAME, builder, made, per_turn, state, view};

/// The turn that is not answered.
const SILENT: i64 = 20;
const TURNS: i64 = 40;

fn join(table: &Table, id: &str, protocols: Protocols, role: Role) -> Player {
    let player = players::builder(id, protocols).role(role);
    player.join(table.local_address()).unwrap()
}

/// Answers each question but one by its number. Gives the player at the end, and the numbers of the views.
fn play(mut player: Player, is_silent: bool) -> JoinHandle<(Player, Vec<i64>)> {
    tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(turn) = player.next_turn().await {
            seen.push(tick(&turn));
            if turn.is_question() && !(is_silent && tick(&turn) == SILENT) {
                player.act(Action::new(tick(&turn))).await.unwrap();
            }
        }
        (player, seen)
    })
}

async fn play_a_game(protocols: [Protocols; 2]) {
    let rules = builder().clock(per_turn(1_500)).late(|_| Action::new(-1));
    let table = rules.bind("127.0.0.1:0").await.unwrap();
    let ann = play(join(&table, "ann", protocols[0], Role::Actor), false);
    let ben = play(join(&table, "ben", Protocols::Masep2, Role::Actor), true);
    let eve = play(join(&table, "eve", protocols[1], Role::Observer), false);
    table.filled().await.unwrap();
    while table.spectators() == 0 {
        table.event().await.unwrap();
    }
    for number in 1..=TURNS {
        let moves = table.ask_all(|seat| view(number, seat)).await.unwrap();
        for its in moves {
            let player = table.seats()[its.index()].player().cloned();
            let late = number == SILENT && player.as_deref().is_some_and(|it| it == "ben");
            let expected = match late {
                true => (How::Default(Cause::Late), Some(-1)),
                false => (How::Played, Some(number)),
            };
            assert_eq!(made(&its), expected, "{number}");
        }
        table.show(state(number)).unwrap();
    }
    table.end().await;
    for playing in [ann, ben] {
        let (player, seen) = playing.await.unwrap();
        assert!(player.end().is_some());
        let all: Vec<_> = (1..=TURNS).collect();
        assert_eq!(seen, all);
    }
    let (eve, seen) = eve.await.unwrap();
    assert!(eve.end().is_some());
    assert_eq!(seen.last(), Some(&TURNS));
}

#[tokio::test(flavor = "current_thread")]
async fn a_game_is_played_by_tasks_of_one_thread() {
    for of_ann in BOTH {
        for of_eve in BOTH {
            let game = timeout(SOON, play_a_game([of_ann, of_eve]));
            game.await.expect("the game comes to its end");
        }
    }
}

/// A player comes back while its own table waits for it in the same thread. The relay alone has threads.
#[tokio::test(flavor = "current_thread")]
async fn a_player_comes_back_in_the_thread_of_its_table() {
    let rules = Table::builder(GAME).seats(["red"]);
    let rules = rules.absence(Absence::Wait(SOON));
    let table = rules.bind("127.0.0.1:0").await.unwrap();
    let relay = Relay::to(&table.local_address());
    let mut player = { players::builder("ann", Protocols::Masep2) }
        .join(format!("masep://{}", relay.address))
        .unwrap();
    let playing = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(turn) = player.next_turn().await {
            if tick(&turn) == 2 && seen.last() != Some(&2) {
                relay.cut();
            } else if turn.is_question() {
                player.act(Action::new(tick(&turn))).await.unwrap();
            }
            seen.push(tick(&turn));
        }
        seen
    });
    let game = async {
        table.filled().await.unwrap();
        for number in 1..=3 {
            let its = table.ask("red", state(number)).await.unwrap();
            assert_eq!(made(&its), (How::Played, Some(number)));
        }
        table.end().await;
        assert_eq!(playing.await.unwrap(), [1, 2, 2, 3]);
        let events = table.events();
        let is_back = |event: &Event| matches!(event, Event::Back { .. });
        assert!(events.iter().any(is_back), "{events:?}");
    };
    timeout(SOON, game)
        .await
        .expect("the game comes to its end");
}

/// The host waits for nothing, and asks again and again what has happened.
#[tokio::test(flavor = "current_thread")]
async fn a_turn_has_its_time_though_the_host_calls_all_the_time() {
    let rules = Table::builder(GAME).seats(["red"]).clock(per_turn(30));
    let table = rules.misses(1).bind("127.0.0.1:0").await.unwrap();
    let _ann = play(join(&table, "ann", Protocols::Masep2, Role::Actor), true);
    let game = async {
        table.filled().await.unwrap();
        let _turn = table.open(["red"], |_| state(SILENT)).unwrap();
        let is_asleep = |event: &Event| matches!(event, Event::Asleep(_));
        while !table.events().iter().any(is_asleep) {
            yield_now().await;
        }
    };
    timeout(SOON, game).await.expect("the turn has an end");
}
