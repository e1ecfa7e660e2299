//! The cost of a table: turns of one actor and of several, beside bare connections of the same build, and with spectators of
//! which some do not read. `cargo run --release --example turns [ROUNDS]`; ratios alone mean something on a busy machine.
//!
//! Where the threads of both ends run is the system's choice, and of one actor that is most of the time of a turn: on two
//! cores there are two speeds of it, which each side meets by chance. So one actor has more rounds, and
//! `taskset -c 0 target/release/examples/turns [ROUNDS]` has all threads on one core: the work of both ends, and no chance.
//!
//! The bare side does what somebody must do at least who writes turns by hand: an observation that says its turn, an action that
//! says it again where the protocol has a place for that, both as messages, and a look whether it is the right one. It has
//! no deadlines, no seats, nobody comes back, and no player learns whether its action counted.

#[path = "turns/bare.rs"]
mod bare;
#[path = "turns/table.rs"]
mod table;

use std::fmt;
use std::time::{Duration, Instant};

use masep::{Element, Protocols};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const GAME: &str = "countdown.Countdown";
/// Turns of one actor in a round. With more actors there are fewer.
const TURNS: usize = 2_000;
/// The longest that the end of one side takes.
const PARTING: Duration = Duration::from_secs(5);
/// The rounds of one actor, for one of several.
const ROUNDS_OF_ONE: usize = 3;

fn state() -> Element {
    let objects = r#"<Object name="o"><ObjectState a="1" b="2" /></Object>"#.repeat(8);
    Element::parse(format!(r#"<State env_step="0">{objects}</State>"#)).expect("it is XML")
}

const fn turns(actors: usize) -> usize {
    match actors {
        0..=20 => TURNS / actors,
        _ => TURNS / 20,
    }
}

/// The times of turns, sorted.
struct Times(Vec<Duration>);

impl Times {
    /// Those of `count` turns. The first ones warm everything up.
    async fn of(count: usize, mut turn: impl AsyncFnMut() -> Outcome<()>) -> Outcome<Self> {
        let mut times = Vec::with_capacity(count);
        for number in 0..count + count / 10 {
            let began = Instant::now();
            turn().await?;
            if number >= count / 10 {
                times.push(began.elapsed());
            }
        }
        Ok(Self::new(times))
    }

    fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    fn quantile(&self, part: f64) -> Duration {
        let place = (part * self.0.len() as f64) as usize;
        self.0[place.min(self.0.len() - 1)]
    }
}

/// The median, the least and the greatest of some figures.
struct Spread(Vec<f64>);

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut figures = self.0.clone();
        figures.sort_by(f64::total_cmp);
        let [least, .., greatest] = &*figures else {
            return write!(f, "{:.2}", figures[0]);
        };
        let median = figures[figures.len() / 2];
        write!(f, "{median:.2} ({least:.2} to {greatest:.2})")
    }
}

/// A side of the comparison: connections or a table, with tokio or without async.
#[derive(Clone, Copy, Debug)]
enum Side {
    Bare,
    Table,
    BareBlocking,
    TableBlocking,
}

impl Side {
    async fn play(self, actors: usize, protocols: Protocols) -> Outcome<Times> {
        match self {
            Self::Bare => bare::play(actors, protocols).await,
            Self::Table => table::play(actors, protocols).await,
            Self::BareBlocking => bare::play_blocking(actors, protocols).await,
            Self::TableBlocking => table::play_blocking(actors, protocols).await,
        }
    }
}

/// The ratio of a turn at a table to one over bare connections, both of this run, by turns.
async fn compare(
    rounds: usize,
    sides: [Side; 2],
    protocols: Protocols,
    actors: usize,
) -> Outcome<()> {
    let rounds = if actors == 1 {
        rounds * ROUNDS_OF_ONE
    } else {
        rounds
    };
    let mut ratios = Vec::new();
    let mut least = [Duration::MAX; 2];
    for round in 0..rounds {
        let mut medians = [Duration::ZERO; 2];
        // Neither is always the first.
        for at in [round % 2, 1 - round % 2] {
            medians[at] = sides[at].play(actors, protocols).await?.quantile(0.5);
            least[at] = least[at].min(medians[at]);
        }
        ratios.push(medians[1].as_secs_f64() / medians[0].as_secs_f64());
    }
    println!(
        "{:?}, {protocols:?}, {actors} actors: at least {:.1?} and {:.1?}, ratio {}",
        sides[1],
        least[0],
        least[1],
        Spread(ratios)
    );
    Ok(())
}

/// One actor with 1,000 spectators, with and without ten that do not read, by turns.
async fn watched(rounds: usize) -> Outcome<()> {
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let mut tails = [Duration::ZERO; 2];
        for at in [round % 2, 1 - round % 2] {
            tails[at] = table::watched(1_000, 10 * at).await?.quantile(0.99);
        }
        ratios.push(tails[1].as_secs_f64() / tails[0].as_secs_f64());
        println!(
            "1,000 spectators: p99 {:.1?}, with ten that do not read {:.1?}",
            tails[0], tails[1]
        );
    }
    println!("1,000 spectators: ratio {}", Spread(ratios));
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|it| it.parse().ok());
    let rounds = number(0).unwrap_or(3);
    let protocols = match number(2) {
        Some(1) => Protocols::Pymasep,
        _ => Protocols::Masep2,
    };
    // One part of it, for a profiler: `turns ROUNDS bare|table|bare-blocking|table-blocking 1|2 ACTORS`,
    // `turns ROUNDS watched`; or one comparison: `turns ROUNDS tokio|blocking 1|2 ACTORS`.
    let side = match arguments.get(1).map(String::as_str) {
        Some("watched") => return watched(rounds).await,
        Some("tokio") => {
            let sides = [Side::Bare, Side::Table];
            return compare(rounds, sides, protocols, number(3).unwrap_or(10)).await;
        }
        Some("blocking") => {
            let sides = [Side::BareBlocking, Side::TableBlocking];
            return compare(rounds, sides, protocols, number(3).unwrap_or(10)).await;
        }
        Some("bare") => Side::Bare,
        Some("table") => Side::Table,
        Some("bare-blocking") => Side::BareBlocking,
        Some("table-blocking") => Side::TableBlocking,
        _ => {
            for protocols in [Protocols::Pymasep, Protocols::Masep2] {
                let shells = [
                    [Side::Bare, Side::Table],
                    [Side::BareBlocking, Side::TableBlocking],
                ];
                for sides in shells {
                    for actors in [1, 10, 100, 1_000] {
                        compare(rounds, sides, protocols, actors).await?;
                    }
                }
            }
            return watched(rounds).await;
        }
    };
    for _ in 0..rounds {
        let times = side.play(number(3).unwrap_or(10), protocols).await?;
        let (count, median) = (times.0.len(), times.quantile(0.5));
        println!("{side:?}: {count} turns, {median:.1?}");
    }
    Ok(())
}
