//! Players that connect and come back by themselves.

use std::thread::{self, JoinHandle};

use masep::player::{End, Turn};
use masep::{Action, PlayerBuilder, Protocols, Role};

use crate::GAME;
use crate::shells::{Player, Shell, Table};

/// The number of the State.
pub(crate) fn tick(turn: &Turn) -> i64 {
    let state = turn.view().as_element().unwrap();
    state.attribute("tick").unwrap().parse().unwrap()
}

pub(crate) fn builder(id: &str, protocols: Protocols) -> PlayerBuilder {
    masep::Player::builder(id, GAME).protocols(protocols)
}

pub(crate) fn player(
    shell: Shell,
    table: &dyn Table,
    id: &str,
    protocols: Protocols,
) -> Box<dyn Player> {
    shell.player(builder(id, protocols), table.address())
}

/// A part that is over.
pub(crate) struct Played {
    /// The numbers of the turns in which it was asked.
    pub(crate) questions: Vec<u64>,
    pub(crate) player: Box<dyn Player>,
}

/// Plays to the end in a thread of its own, and answers each question with its number.
pub(crate) fn play(player: Box<dyn Player>) -> JoinHandle<Played> {
    play_with(player, |_| {})
}

/// The same for one that does this before each answer.
pub(crate) fn play_with(
    mut player: Box<dyn Player>,
    mut before: impl FnMut(&Turn) + Send + 'static,
) -> JoinHandle<Played> {
    thread::spawn(move || {
        let mut questions = Vec::new();
        while let Some(turn) = player.next_turn() {
            if turn.is_question() {
                questions.push(turn.number());
                before(&turn);
                assert!(player.act(Action::new(tick(&turn))).unwrap());
            }
        }
        Played { questions, player }
    })
}

/// Waits for the next turn in a thread of its own.
pub(crate) fn next_turn(
    mut player: Box<dyn Player>,
) -> JoinHandle<(Option<Turn>, Box<dyn Player>)> {
    thread::spawn(move || (player.next_turn(), player))
}

/// A table's two players, who play to the end.
pub(crate) fn playing(
    shell: Shell,
    table: &dyn Table,
    protocols: Protocols,
) -> [JoinHandle<Played>; 2] {
    let playing = ["ann", "ben"].map(|id| play(player(shell, table, id, protocols)));
    table.filled();
    playing
}

/// Ends a game, which its players play to the end.
pub(crate) fn end(
    table: &dyn Table,
    playing: impl IntoIterator<Item = JoinHandle<Played>>,
) -> Vec<Played> {
    table.end();
    let played = playing.into_iter().map(|player| player.join().unwrap());
    let played: Vec<_> = played.collect();
    for its in &played {
        assert_eq!(its.player.end(), Some(End::Finished));
        assert!(its.questions.is_sorted(), "{:?}", its.questions);
    }
    played
}

/// Watches to the end in a thread of its own: the numbers of the States, and of those that it was not given before each.
pub(crate) fn watch(
    shell: Shell,
    table: &dyn Table,
    id: &str,
    protocols: Protocols,
) -> JoinHandle<Vec<(i64, u64)>> {
    watch_with(shell, table, id, protocols, |_| {})
}

/// The same for one that does this with the number of each.
pub(crate) fn watch_with(
    shell: Shell,
    table: &dyn Table,
    id: &str,
    protocols: Protocols,
    mut sees: impl FnMut(i64) + Send + 'static,
) -> JoinHandle<Vec<(i64, u64)>> {
    let watching = builder(id, protocols).role(Role::Observer);
    let mut player = shell.player(watching, table.address());
    thread::spawn(move || {
        let turns = std::iter::from_fn(|| player.next_turn());
        let seen = turns.map(|turn| (tick(&turn), turn.skipped()));
        seen.inspect(|(tick, _)| sees(*tick)).collect()
    })
}
