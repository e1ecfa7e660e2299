//! The cost of a table: turns of one actor and of several, beside bare connections of the same build, and with spectators of
//! which some do not read. `cargo run --release --example turns [ROUNDS]`; ratios alone mean something on a busy machine.

use std::time::{Duration, Instant};

use masep::table::Table;
use masep::{Action, Client, Element, Message, Player, Protocols, Role, Server};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const GAME: &str = "countdown.Countdown";
const TURNS: usize = 2_000;

fn state() -> Element {
    let objects = r#"<Object name="o"><ObjectState a="1" b="2" /></Object>"#.repeat(8);
    Element::parse(format!(r#"<State env_step="0">{objects}</State>"#)).expect("it is XML")
}

/// The time of each turn, sorted.
struct Times(Vec<Duration>);

impl Times {
    fn quantile(&self, part: f64) -> Duration {
        let place = (part * self.0.len() as f64) as usize;
        self.0[place.min(self.0.len() - 1)]
    }
}

/// An engine with connections and nothing else: each turn it sends each an observation, and awaits each action.
async fn bare(actors: usize, protocols: Protocols) -> Outcome<Times> {
    let server = Server::builder("engine").bind("127.0.0.1:0").await?;
    let address = server.local_address();
    let mut connections = Vec::new();
    for number in 0..actors {
        let id = format!("a{number}");
        let client = Client::builder(&*id).protocols(protocols);
        let client = client.connect(address.clone()).await?;
        tokio::spawn(async move {
            while let Ok(message) = client.connection().recv_message().await {
                drop(message);
                let action = Message::action(&*id, Action::new(2));
                if client.connection().send_message(&action).await.is_err() {
                    return;
                }
            }
        });
        connections.push(server.accept().await?);
    }
    let mut times = Vec::new();
    let state = state();
    for _ in 0..TURNS / actors.clamp(1, 20) {
        let began = Instant::now();
        let message = Message::observation("engine", state.clone().into(), masep::Dict::new());
        for connection in &connections {
            connection.send_message(&message).await?;
        }
        for connection in &connections {
            let action = connection.recv_message().await?;
            std::hint::black_box(action);
        }
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(Times(times))
}

/// The same at a table, with spectators of which some read nothing.
async fn at_a_table(
    actors: usize,
    protocols: Protocols,
    spectators: usize,
    stalled: usize,
) -> Outcome<Times> {
    let seats = (0..actors).map(|number| format!("s{number}"));
    let limits = masep::ServerLimits::default().connections(4_000);
    let table = Table::builder(GAME).seats(seats).server_limits(limits);
    let table = table.bind("127.0.0.1:0").await?;
    let address = table.local_address();
    for number in 0..actors {
        let player = Player::builder(format!("a{number}"), GAME).protocols(protocols);
        let mut player = player.join(address.clone())?;
        tokio::spawn(async move {
            while player.next_turn().await.is_some() {
                let _ = player.act(Action::new(2)).await;
            }
        });
    }
    table.filled().await?;
    let mut kept = Vec::new();
    for number in 0..spectators {
        let id = format!("e{number}");
        let client = Client::builder(&*id)
            .protocols(Protocols::Masep2)
            .role(Role::Observer);
        let client = client.connect(address.clone()).await?;
        if number < stalled {
            kept.push(client);
        } else {
            tokio::spawn(async move { while client.connection().recv().await.is_ok() {} });
        }
    }
    let mut times = Vec::new();
    let (state, shown) = (state(), "x".repeat(20_000));
    let turns = match spectators {
        0 => TURNS / actors.clamp(1, 20),
        // Twenty megabytes each.
        _ => 300,
    };
    for _ in 0..turns {
        if spectators > 0 {
            table.show(masep::table::View::new(state.clone()).with("large", &*shown))?;
            // A host thinks between the turns.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let began = Instant::now();
        std::hint::black_box(table.ask_all(|_| state.clone()).await?);
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(Times(times))
}

/// The ratio of a turn at a table to one over bare connections, both of this run.
async fn compare(rounds: usize, protocols: Protocols, actors: usize) -> Outcome<()> {
    let mut ratios = Vec::new();
    let (mut without, mut with) = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        let one = bare(actors, protocols).await?.quantile(0.5);
        let other = at_a_table(actors, protocols, 0, 0).await?.quantile(0.5);
        ratios.push(other.as_secs_f64() / one.as_secs_f64());
        (without, with) = (without.min(one), with.min(other));
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    println!(
        "{protocols:?}, {actors} actors: bare {without:.1?}, table {with:.1?}, ratio {ratio:.2}"
    );
    Ok(())
}

/// One actor with 1,000 spectators, with and without ten that do not read.
async fn watched(rounds: usize) -> Outcome<()> {
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let all_read = at_a_table(1, Protocols::Masep2, 1_000, 0).await?;
        let some_stall = at_a_table(1, Protocols::Masep2, 1_000, 10).await?;
        let (one, other) = (all_read.quantile(0.99), some_stall.quantile(0.99));
        ratios.push(other.as_secs_f64() / one.as_secs_f64());
        println!("1,000 spectators: p99 {one:.1?}, with ten that do not read {other:.1?}");
    }
    ratios.sort_by(f64::total_cmp);
    println!("1,000 spectators: ratio {:.2}", ratios[ratios.len() / 2]);
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|it| it.parse().ok());
    let rounds = number(0).unwrap_or(3);
    // One part of it, for a profiler: `turns ROUNDS bare|table 1|2 ACTORS`, `turns ROUNDS watched`.
    match arguments.get(1).map(String::as_str) {
        Some("watched") => return watched(rounds).await,
        Some(kind @ ("bare" | "table")) => {
            let protocols = match number(2) {
                Some(1) => Protocols::Pymasep,
                _ => Protocols::Masep2,
            };
            let actors = number(3).unwrap_or(10);
            for _ in 0..rounds {
                let times = match kind {
                    "bare" => bare(actors, protocols).await?,
                    _ => at_a_table(actors, protocols, 0, 0).await?,
                };
                println!(
                    "{kind}: {} turns, {:.1?}",
                    times.0.len(),
                    times.quantile(0.5)
                );
            }
            return Ok(());
        }
        _ => {}
    }
    for protocols in [Protocols::Pymasep, Protocols::Masep2] {
        for actors in [1, 10, 100, 1_000] {
            compare(rounds, protocols, actors).await?;
        }
    }
    watched(rounds).await
}
