//! Calls of a table, and of its players.

use std::time::Duration;

use masep::Player;
use masep::player::{Backoff, Told};
use masep::table::{Event, How, Move, Seat, Table, View};
use tokio::task::JoinHandle;

use crate::cut::{Cut, Work, soon};

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
    // It insists: a server of pymasep's protocol alone, which this process still remembers, may have had the same port.
    let target = format!("masep://{}", table.local_address());
    builder.join(&*target).unwrap()
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
        let action = its.action().and_then(masep::Value::as_i64);
        assert_eq!((its.how(), action), (How::Played, Some(number)));
    }
}

pub(crate) fn bind_a_table(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let builder = Table::builder(GAME).seats(["red"]);
        let bound = cut.call(builder.bind("localhost:0")).await;
        assert!(bound.is_none_or(|bound| bound.is_ok()));
    })
}

pub(crate) fn filled(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let world = World::new().await;
        if let Some(filled) = cut.call(world.table.filled()).await {
            filled.unwrap();
        }
        soon(world.table.filled()).await.unwrap();
        world.play_on().await;
    })
}

/// A turn whose call was dropped stays open until it is closed.
fn is_closed(world: &World) {
    for turn in 1..3 {
        world.table.close(turn);
    }
}

pub(crate) fn ask(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let world = World::filled().await;
        if let Some(its) = cut.call(world.table.ask("red", 1)).await {
            assert_eq!(its.unwrap().how(), How::Played);
        }
        is_closed(&world);
        world.play_on().await;
    })
}

pub(crate) fn ask_all(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let world = World::filled().await;
        if let Some(moves) = cut.call(world.table.ask_all(|_| 1)).await {
            check(&moves.unwrap(), 1);
        }
        is_closed(&world);
        world.play_on().await;
    })
}

pub(crate) fn ask_all_timed(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let world = World::filled().await;
        let time = masep::table::TurnTime::Limited(Duration::from_secs(60));
        if let Some(moves) = cut.call(world.table.ask_all_timed(time, |_| 1)).await {
            check(&moves.unwrap(), 1);
        }
        is_closed(&world);
        world.play_on().await;
    })
}

/// No decision of a turn is lost by a call that is dropped.
pub(crate) fn next_decision(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
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
    })
}

pub(crate) fn next_action(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
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
    })
}

/// No event is lost by a call that is dropped.
pub(crate) fn event(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let world = World::new().await;
        let mut events = Vec::new();
        events.extend(cut.call(world.table.event()).await.flatten());
        while !events.contains(&Event::Filled) {
            events.extend(soon(world.table.event()).await);
        }
        assert_eq!(events.len(), 3, "{events:?}");
        world.play_on().await;
    })
}

pub(crate) fn end(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
        let world = World::filled().await;
        let is_unpolled = cut.is_unpolled();
        let ended = cut.call(world.table.end()).await;
        let opened = world.table.open(["red"], |_: &Seat| 1).map(drop);
        assert_eq!(opened.is_ok(), is_unpolled && ended.is_none());
        drop(world.table);
        for player in world.players {
            soon(player).await.unwrap();
        }
    })
}

/// A player whose call is dropped plays on, and loses no turn.
fn plays<'a, F>(cut: &'a Cut, call: F) -> Work<'a>
where
    F: AsyncFnOnce(&Cut, &mut Player) -> bool + 'a,
{
    Box::pin(async move {
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
        if call(cut, &mut red).await {
            play(red).await;
        }
        soon(engine).await.unwrap();
        soon(blue).await.unwrap();
    })
}

pub(crate) fn next_turn(cut: &Cut) -> Work<'_> {
    plays(cut, async |cut, player| {
        if let Some(turn) = cut.call(player.next_turn()).await {
            assert!(player.act(turn.unwrap().view().clone()).await.unwrap());
        }
        true
    })
}

pub(crate) fn next_told(cut: &Cut) -> Work<'_> {
    plays(cut, async |cut, player| {
        if let Some(Some(Told::Turn(turn))) = cut.call(player.next()).await {
            assert!(player.act(turn.view().clone()).await.unwrap());
        }
        true
    })
}

pub(crate) fn player_event(cut: &Cut) -> Work<'_> {
    plays(cut, async |cut, player| {
        if let Some(event) = cut.call(player.event()).await {
            assert!(event.is_some());
        }
        true
    })
}

pub(crate) fn act(cut: &Cut) -> Work<'_> {
    plays(cut, async |cut, player| {
        let turn = soon(player.next_turn()).await.unwrap();
        let action = turn.view().clone();
        match cut.call(player.act(action.clone())).await {
            Some(acted) => assert!(acted.unwrap()),
            // It was polled, or it was not: both are one answer.
            None => drop(player.act(action).await.unwrap()),
        }
        true
    })
}

/// One that leaves has left, and one that is dropped is away: the game ends for it.
pub(crate) fn leave(cut: &Cut) -> Work<'_> {
    Box::pin(async move {
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
    })
}
