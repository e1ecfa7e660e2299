//! The same turns at a table, by players.

use std::hint::black_box;
use std::time::{Duration, Instant};

use masep::table::{Table, TableBuilder, View};
use masep::{Action, Client, Player, Protocols, Role, ServerLimits};
use tokio::task::JoinHandle;

use crate::{GAME, Outcome, Times, state, turns};

fn builder(actors: usize) -> TableBuilder {
    let seats = (0..actors).map(|number| format!("s{number}"));
    let limits = ServerLimits::default().connections(4_000);
    Table::builder(GAME).seats(seats).server_limits(limits)
}

/// Turns of one actor or of several.
pub(crate) async fn play(actors: usize, protocols: Protocols) -> Outcome<Times> {
    let table = builder(actors).bind("127.0.0.1:0").await?;
    let players = sit_down(&table, actors, protocols).await?;
    let state = state();
    let times = Times::of(turns(actors), async || {
        black_box(table.ask_all(|_| state.clone()).await?);
        Ok(())
    })
    .await;
    // Nothing of this goes on while others are measured.
    table.end().await;
    for player in players {
        player.await?;
    }
    times
}

/// Seats players that answer each question.
async fn sit_down(
    table: &Table,
    actors: usize,
    protocols: Protocols,
) -> Outcome<Vec<JoinHandle<()>>> {
    let mut players = Vec::new();
    for number in 0..actors {
        let player = Player::builder(format!("a{number}"), GAME).protocols(protocols);
        let mut player = player.join(table.local_address())?;
        players.push(tokio::spawn(async move {
            while let Some(turn) = player.next_turn().await {
                black_box(turn);
                if player.act(Action::new(2)).await.is_err() {
                    return;
                }
            }
        }));
    }
    table.filled().await?;
    Ok(players)
}

/// The same without async: the engine in this thread, each player in one of its own.
pub(crate) async fn play_blocking(actors: usize, protocols: Protocols) -> Outcome<Times> {
    let table = builder(actors).bind_blocking("127.0.0.1:0")?;
    let mut players = Vec::new();
    for number in 0..actors {
        let player = Player::builder(format!("a{number}"), GAME).protocols(protocols);
        let mut player = player.join_blocking(table.local_address())?;
        players.push(std::thread::spawn(move || {
            while let Some(turn) = player.next_turn() {
                black_box(turn);
                if player.act(Action::new(2)).is_err() {
                    return;
                }
            }
        }));
    }
    table.filled()?;
    let state = state();
    let times = Times::of(turns(actors), async || {
        black_box(table.ask_all(|_| state.clone())?);
        Ok(())
    })
    .await;
    table.end();
    for player in players {
        player.join().map_err(|_| "a player panicked")?;
    }
    times
}

/// Turns of one actor while so many watch, of which some read nothing.
pub(crate) async fn watched(spectators: usize, stalled: usize) -> Outcome<Times> {
    let table = builder(1).bind("127.0.0.1:0").await?;
    sit_down(&table, 1, Protocols::Masep2).await?;
    let mut kept = Vec::new();
    for number in 0..spectators {
        let id = format!("e{number}");
        let client = Client::builder(&*id)
            .protocols(Protocols::Masep2)
            .role(Role::Observer);
        let client = client.connect(table.local_address()).await?;
        if number < stalled {
            kept.push(client);
        } else {
            tokio::spawn(async move { while client.connection().recv().await.is_ok() {} });
        }
    }
    let (state, shown) = (state(), "x".repeat(20_000));
    let mut times = Vec::new();
    // Six megabytes each.
    for _ in 0..300 {
        table.show(View::new(state.clone()).with("large", &*shown))?;
        // A host thinks between the turns.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let began = Instant::now();
        black_box(table.ask_all(|_| state.clone()).await?);
        times.push(began.elapsed());
    }
    Ok(Times::new(times))
}
