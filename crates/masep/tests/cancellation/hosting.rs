//! Calls of a table, and of its players.

use std::time::Duration;

use masep::Player;
use masep::player::{Backoff, Told, Turn};
use masep::table::{Event, How, Move, Seat, Table, TableError, TurnTime, View};
use tokio::task::JoinHandle;

use crate::cut::{Cut, soon};

const GAME: &str = "countdown.Countdown";

/// A table and two who play at it.
struct World {
    table: Table,
    players: Vec<JoinHandle<()>>,
}

async fn bind() -> Table {
    let builder = Table::builder(GAME).seats(["red", "blue"]);
    soon(builder.bind("127.0.0.1:0")).await.unwrap()
}

fn player(table: &Table, id: &str) -> Player {
    let backoff = Backoff {
        patience: Duration::ZERO,
        ..Backoff::default()
    };
    let builder = Player::builder(id, GAME).backoff(backoff);
    builder.join(table.local_address()).unwrap()
}

/// Answers each question with what it shows.
async fn play(mut player: Player) {
    while let Some(turn) = player.next_turn().await {
        if turn.is_question() {
            let action = turn.view().clone();
            player.act(action).await.unwrap();
        }
    }
}

impl World {
    async fn new() -> Self {
        let table = bind().await;
        let join = |id| tokio::spawn(play(player(&table, id)));
        let players = ["ann", "ben"].map(join).into();
        Self { table, players }
    }

    async fn filled() -> Self {
        let world = Self::new().await;
        soon(world.table.filled()).await.unwrap();
        world
    }

    /// No action is for another turn than the one that it was meant for, whatever was dropped.
    async fn play_on(self) {
        for number in 100..103 {
            let moves = soon(self.table.ask_all(|_| number)).await.unwrap();
            check(&moves, number);
        }
        soon(self.table.end()).await;
        for player in self.players {
            soon(player).await.unwrap();
        }
    }
}

fn check(moves: &[Move], number: i64) {
    assert_eq!(moves.len(), 2);
    for its in moves {
        check_one(its, number);
    }
}

fn check_one(its: &Move, number: i64) {
    let action = its.action().and_then(masep::Value::as_i64);
    assert_eq!((its.how(), action), (How::Played, Some(number)));
}

pub(crate) async fn bind_a_table(cut: &Cut) {
    let builder = Table::builder(GAME).seats(["red"]);
    let bound = cut.call(builder.bind("localhost:0")).await;
    assert!(bound.is_none_or(|bound| bound.is_ok()));
}

pub(crate) async fn filled(cut: &Cut) {
    let world = World::new().await;
    if let Some(filled) = cut.call(world.table.filled()).await {
        filled.unwrap();
    }
    soon(world.table.filled()).await.unwrap();
    world.play_on().await;
}

/// A turn whose call was dropped stays open until it is closed.
fn is_closed(world: &World) {
    for turn in 1..3 {
        world.table.close(turn);
    }
}

async fn ask_with(cut: &Cut, ask: impl AsyncFn(&Table) -> Result<Vec<Move>, TableError>) {
    let world = World::filled().await;
    if let Some(moves) = cut.call(ask(&world.table)).await {
        moves.unwrap().iter().for_each(|its| check_one(its, 1));
    }
    is_closed(&world);
    world.play_on().await;
}

pub(crate) async fn ask(cut: &Cut) {
    ask_with(cut, async |table| Ok(vec![table.ask("red", 1).await?])).await;
}

pub(crate) async fn ask_all(cut: &Cut) {
    ask_with(cut, async |table| table.ask_all(|_| 1).await).await;
}

pub(crate) async fn ask_all_timed(cut: &Cut) {
    let time = TurnTime::Limited(Duration::from_secs(60));
    ask_with(cut, async |table| table.ask_all_timed(time, |_| 1).await).await;
}

/// No decision of a turn is lost by a call that is dropped.
pub(crate) async fn next_decision(cut: &Cut) {
    let world = World::filled().await;
    let view = |_: &Seat| View::new(1);
    let mut turn = world.table.open(["red", "blue"], view).unwrap();
    let mut moves = Vec::new();
    if let Some(its) = cut.call(turn.next()).await {
        moves.push(its.unwrap().unwrap());
    }
    while let Some(its) = soon(turn.next()).await {
        moves.push(its.unwrap());
    }
    check(&moves, 1);
    drop(turn);
    world.play_on().await;
}

pub(crate) async fn next_action(cut: &Cut) {
    let world = World::filled().await;
    {
        let mut actions = world.table.actions(|_: &Seat| 1);
        if let Some(its) = cut.call(actions.next()).await {
            assert_eq!(its.unwrap().unwrap().how(), How::Played);
        }
        let its = soon(actions.next()).await.unwrap().unwrap();
        assert_eq!(its.how(), How::Played);
    }
    world.play_on().await;
}

/// No event is lost by a call that is dropped.
pub(crate) async fn event(cut: &Cut) {
    let world = World::new().await;
    let mut events = Vec::new();
    events.extend(cut.call(world.table.event()).await.flatten());
    while !events.contains(&Event::Filled) {
        events.extend(soon(world.table.event()).await);
    }
    assert_eq!(events.len(), 3, "{events:?}");
    world.play_on().await;
}

pub(crate) async fn end(cut: &Cut) {
    let world = World::filled().await;
    let is_unpolled = cut.is_unpolled();
    let ended = cut.call(world.table.end()).await;
    let opened = world.table.open(["red"], |_: &Seat| 1).map(drop);
    assert_eq!(opened.is_ok(), is_unpolled && ended.is_none());
    drop(world.table);
    for player in world.players {
        soon(player).await.unwrap();
    }
}

/// A player whose call is dropped plays on, and loses no turn.
async fn plays(call: impl AsyncFnOnce(&mut Player)) {
    let table = bind().await;
    let blue = tokio::spawn(play(player(&table, "ben")));
    let mut red = player(&table, "ann");
    let engine = tokio::spawn(async move {
        table.filled().await.unwrap();
        for number in 100..103 {
            check(&table.ask_all(|_| number).await.unwrap(), number);
        }
        table.end().await;
    });
    call(&mut red).await;
    play(red).await;
    soon(engine).await.unwrap();
    soon(blue).await.unwrap();
}

async fn answer(player: &mut Player, turn: Turn) {
    assert!(player.act(turn.view().clone()).await.unwrap());
}

pub(crate) async fn next_turn(cut: &Cut) {
    plays(async |player| {
        if let Some(turn) = cut.call(player.next_turn()).await {
            answer(player, turn.unwrap()).await;
        }
    })
    .await;
}

pub(crate) async fn next_told(cut: &Cut) {
    plays(async |player| {
        if let Some(Some(Told::Turn(turn))) = cut.call(player.next()).await {
            answer(player, turn).await;
        }
    })
    .await;
}

pub(crate) async fn player_event(cut: &Cut) {
    plays(async |player| {
        assert!(
            cut.call(player.event())
                .await
                .is_none_or(|event| event.is_some())
        );
    })
    .await;
}

pub(crate) async fn act(cut: &Cut) {
    plays(async |player| {
        let turn = soon(player.next_turn()).await.unwrap();
        let action = turn.view().clone();
        match cut.call(player.act(action.clone())).await {
            Some(acted) => assert!(acted.unwrap()),
            // It was polled, or it was not: both are one answer.
            None => drop(player.act(action).await.unwrap()),
        }
    })
    .await;
}

/// One that leaves has left, and one that is dropped is away: the game ends for it.
pub(crate) async fn leave(cut: &Cut) {
    let world = World::filled().await;
    let table = Table::builder(GAME).seats(["red"]);
    let table = soon(table.bind("127.0.0.1:0")).await.unwrap();
    let mut red = player(&table, "ann");
    let joined = async {
        tokio::join!(red.event(), table.filled()).1.unwrap();
    };
    soon(joined).await;
    let left = cut.call(red.leave()).await;
    drop(red);
    let gone = async {
        loop {
            match table.event().await.unwrap() {
                Event::Gone(_) => return true,
                Event::Away(_) => return false,
                _ => {}
            }
        }
    };
    let is_gone = soon(gone).await;
    assert!(is_gone || left.is_none());
    drop(table);
    world.play_on().await;
}
