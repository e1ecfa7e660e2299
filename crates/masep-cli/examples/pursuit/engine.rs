//! The engine of a game: its rules are in `world.rs`, `main.rs` makes a program of it, and `masep demo` plays it. The table
//! bears what players do: one that is late, silent or wrong stands still, one that leaves or stops reading costs the others
//! at most the time of one turn, and may come back.

mod report;
mod settings;
pub(crate) mod world;

use std::io;
use std::time::{Duration, Instant};

use masep::table::{Clock, How, Seat, SeatState, Table};
use masep::{Limits, Server};

pub(crate) use report::Report;
pub(crate) use settings::Settings;
use world::{Move, World};

/// The reason why a game could not go on.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The engine.
pub(crate) struct Engine {
    settings: Settings,
    table: Table,
    world: World,
    /// The seats of the predators, in their order.
    seats: Vec<Seat>,
    report: Report,
}

impl Engine {
    /// Opens the table: interfaces can come from now on.
    pub(crate) async fn bind(address: &str, settings: Settings) -> io::Result<Self> {
        let per_turn = Some(settings.turn_time);
        let table = Table::builder("pursuit.PursuitGame")
            .id("pursuit-engine")
            .seats((0..settings.actors).map(|number| format!("seat{number}")))
            .clock(Clock { per_turn, bank: None })
            .grace(settings.turn_time)
            .misses(1)
            // An observation holds all ids, and it must fit into a frame.
            .limits(Limits::default().id_bytes(64));
        Ok(Self {
            table: table.bind(address).await?,
            world: World::new(settings.seed, settings.actors),
            settings,
            seats: Vec::new(),
            report: Report::default(),
        })
    }

    /// The server, for its address and to announce it.
    pub(crate) fn server(&self) -> &Server {
        self.table.server()
    }

    /// Plays until the game is over or `stop` is done. `on_turn` is called with each new state of the world.
    pub(crate) async fn run(
        mut self,
        stop: impl Future<Output = ()>,
        on_turn: impl FnMut(&Report, &World),
    ) -> Result<Report, Failure> {
        let played = tokio::select! {
            biased;
            () = stop => Ok(()),
            played = self.play(on_turn) => played,
        };
        self.table.end().await;
        self.report.scores = self.world.scores(&self.seats);
        played.map(|()| self.report)
    }

    async fn play(&mut self, mut on_turn: impl FnMut(&Report, &World)) -> Result<(), Failure> {
        self.gather().await;
        let (began, mut paused) = (Instant::now(), Duration::ZERO);
        for _ in 0..self.settings.episodes {
            self.world.restart();
            while !self.world.is_final() {
                on_turn(&self.report, &self.world);
                let asked = Instant::now();
                let Some(moves) = self.ask(asked).await? else {
                    return Ok(());
                };
                let answered = Instant::now();
                if self.report.steps < self.settings.slow_steps {
                    tokio::time::sleep_until((asked + self.settings.slow_step_time).into()).await;
                }
                paused += answered.elapsed();
                self.world.step(&moves);
                self.report.steps += 1;
                self.report.time = began.elapsed() - paused;
            }
            let view = self.world.view(&self.seats, self.report.next_view())?;
            self.table.finish_episode(|_seat| view.clone())?;
            self.table.show(view)?;
            self.report.episodes += 1;
            on_turn(&self.report, &self.world);
        }
        Ok(())
    }

    /// Waits for all players.
    async fn gather(&mut self) {
        while !self.table.seats().iter().all(is_there)
            || self.table.spectators() < self.settings.observers
        {
            self.table.event().await;
        }
        self.seats = self.table.seats();
        // The order of arrival is chance; the game shall depend on the seed alone.
        let id = |seat: &Seat| seat.player().map(ToString::to_string);
        self.seats.sort_by_key(id);
    }

    /// Shows everybody the world; the moves of all predators, or `None` if nobody is left to play.
    async fn ask(&mut self, asked: Instant) -> Result<Option<Vec<Move>>, Failure> {
        let view = self.world.view(&self.seats, self.report.next_view())?;
        self.table.show(view.clone())?;
        let mut moves = vec![Move::default(); self.seats.len()];
        let seats = self.seats.iter().map(Seat::name);
        let mut turn = self.table.open(seats, |_seat| view.clone())?;
        loop {
            let decided = tokio::select! {
                biased;
                Some(_) = self.table.event() => match self.table.seats().iter().any(is_there) {
                    true => continue,
                    false => return Ok(None),
                },
                decided = turn.next() => decided.transpose()?,
            };
            let Some(its) = decided else {
                return Ok(Some(moves));
            };
            if its.how() == How::Played {
                self.report.add_round_trip(asked.elapsed());
            }
            let predators = self.seats.iter().zip(&mut moves);
            for (_, chosen) in predators.filter(|(seat, _)| seat.index() == its.index()) {
                *chosen = Move::read(its.action());
            }
        }
    }
}

/// Turns wait for this seat.
fn is_there(seat: &Seat) -> bool {
    seat.state() == SeatState::Present
}
