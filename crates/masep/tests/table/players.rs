//! Players that connect and come back by themselves.

use masep::table::{How, Table};
use masep::{Action, Player, Protocols, Role};

use crate::agents::{GAME, builder, number, patiently, state, view};

/// The number of the State.
pub(crate) fn tick(turn: &masep::player::Turn) -> i64 {
    let state = turn.view().as_element().unwrap();
    state.attribute("tick").unwrap().parse().unwrap()
}

pub(crate) fn player(table: &Table, id: &str, protocols: Protocols) -> Player {
    let builder = Player::builder(id, GAME).protocols(protocols);
    builder.join(table.local_address()).unwrap()
}

/// Plays to the end; the numbers of the questions.
pub(crate) async fn play(mut player: Player) -> (Vec<u64>, Player) {
    let mut questions = Vec::new();
    while let Some(turn) = patiently("a turn", player.next_turn()).await {
        if turn.is_question() {
            questions.push(turn.number());
            let action = Action::new(tick(&turn));
            assert!(player.act(action).await.unwrap());
        }
    }
    (questions, player)
}

#[tokio::test]
async fn players_play_and_a_spectator_watches() {
    for protocols in [Protocols::Pymasep, Protocols::Both] {
        let table = builder().bind("127.0.0.1:0").await.unwrap();
        let playing = ["ann", "ben"].map(|id| tokio::spawn(play(player(&table, id, protocols))));
        let watching = Player::builder("eve", GAME)
            .role(Role::Observer)
            .protocols(protocols);
        let mut watching = watching.join(table.local_address()).unwrap();
        let watching = tokio::spawn(async move {
            let mut ticks = Vec::new();
            while let Some(turn) = patiently("a view", watching.next_turn()).await {
                ticks.push(tick(&turn));
            }
            ticks
        });
        patiently("filling", table.filled()).await.unwrap();
        let mut step = 0;
        for _ in 0..3 {
            for _ in 0..10 {
                step += 1;
                let asking = table.ask_all(|seat| view(step, seat));
                for its in patiently("a turn", asking).await.unwrap() {
                    assert_eq!((its.how(), number(its.action())), (How::Played, Some(step)));
                }
                table.show(state(step)).unwrap();
            }
            step += 1;
            table.finish_episode(|seat| view(step, seat)).unwrap();
        }
        patiently("the end", table.end()).await;
        for playing in playing {
            let (questions, player) = playing.await.unwrap();
            assert!(questions.is_sorted() && questions.len() >= 30);
            assert_eq!(player.end(), Some(&masep::player::End::Finished));
        }
        let ticks = watching.await.unwrap();
        assert!(
            ticks.is_sorted() && ticks.last() == Some(&(step - 1)),
            "{ticks:?}"
        );
    }
}
