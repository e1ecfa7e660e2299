//! `masep demo`: a game over real connections, played by the examples `engine` and `agent`.

#[path = "../examples/pursuit/agent.rs"]
#[expect(dead_code, reason = "its main is for the example")]
mod agent;
#[path = "../examples/pursuit/engine.rs"]
mod engine;
mod figures;
mod scene;
mod screen;

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use indicatif::{ProgressBar, ProgressStyle};
use masep::discovery::{Found, SearchOptions, search};
use masep::{Address, Client, ConnectError, Role, Server};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::Error;
use crate::output::Output;
use crate::runtime;
use crate::signals::Signals;
use crate::status::Status;
use agent::Played;
use engine::world::World;
use engine::{Engine, Report, Settings};
use figures::{Figures, count};
use scene::Scene;
use screen::Screen;

const LONG_ABOUT: &str = "\
Play a game over real connections on this machine, and show how fast it went.

Predators hunt prey on a torus. An engine owns the game; each predator is an actor with a connection \
of its own, and observers watch. They find the engine by the LAN search (where there is no multicast, \
by its address) and play over loopback TCP, by protocol 2 with the messages \
of a pymasep game. The same seed gives the same game.

A terminal shows the first steps, slow enough to watch, and then the figures; with --fast, or where \
standard output is no terminal, there are the figures alone.

The engine and the agents are two short programs to learn from, the examples engine and agent: \
examples/pursuit in the sources of masep-cli.";

const EXAMPLE: &str = "\
Examples:
  $ masep demo
  $ masep demo --fast --episodes 1000 --actors 8 --observers 2 --seed 42
  $ masep demo --json | jq .round_trip

The round trip is the time from an observation to the action that answers it, as the engine sees it:
with both ways, encoding, decoding and the agent's thinking.
";

/// The time to search: the engine is on this machine and answers at once.
const SEARCH_TIME: Duration = Duration::from_millis(500);
/// The time that a turn waits for an actor. They are in this process: only a machine that stands still
/// takes this long.
const TURN_TIME: Duration = Duration::from_secs(10);
/// The number of steps that a terminal shows at a speed that people can follow, and the time of each:
/// a quarter of a minute in all.
const SLOW_STEPS: u64 = 90;
const SLOW_STEP_TIME: Duration = Duration::from_millis(160);
/// The time from one picture to the next, at least.
const PICTURE_TIME: Duration = Duration::from_millis(80);
/// The time that the agents may take to end after the engine.
const END_TIME: Duration = Duration::from_secs(5);

/// Play a game over real connections on this machine, and show how fast it went
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = EXAMPLE)]
pub(crate) struct Demo {
    /// Number of episodes to play: each ends when all prey is caught, or after 200 steps
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    episodes: u64,

    /// Number of actors that play, each with a predator of its own
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=64))]
    actors: usize,

    /// Number of observers that watch
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(0..=256))]
    observers: usize,

    /// Seed of all chance in the game: the same seed gives the same game
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Show no game on a terminal: play at full speed from the beginning
    #[arg(long)]
    fast: bool,

    /// Print the figures as one JSON object, and nothing else
    #[arg(long)]
    json: bool,
}

/// The reason why there was no game, or not the whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("cannot open a server on 127.0.0.1: {0}")]
    Bind(#[source] io::Error),
    #[error("the engine failed: {0}")]
    Engine(#[source] engine::Failure),
    #[error("{id} could not join: {error}")]
    Join {
        id: String,
        #[source]
        error: ConnectError,
    },
    #[error("{id} failed: {error}")]
    Agent {
        id: String,
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("a task failed: {0}")]
    Task(#[from] JoinError),
    #[error("the game came to a stop: no actor answered within {TURN_TIME:?}")]
    Stalled,
}

/// An agent that has played to the end.
struct Agent {
    id: String,
    role: Role,
    played: Played,
}

/// A game that is over.
struct Game {
    report: Report,
    agents: Vec<Agent>,
    /// The end of a game that a signal ended.
    interrupted: Option<Status>,
}

impl Demo {
    pub(crate) fn run(&self) -> Result<Status, Error> {
        runtime::block_on(self.show())
    }

    /// Plays, and says what came of it.
    async fn show(&self) -> Result<Status, Error> {
        // From here on signals do not kill the program, but end the game.
        let mut signals = Signals::new().map_err(Error::Start)?;
        let mut output = Output::new(io::stdout().lock());
        if !self.json {
            output.text(&self.introduction())?;
            output.flush()?;
        }
        let settings = Settings {
            actors: self.actors,
            observers: self.observers,
            episodes: self.episodes,
            seed: self.seed,
            turn_time: TURN_TIME,
            slow_steps: if self.is_shown() { SLOW_STEPS } else { 0 },
            slow_step_time: SLOW_STEP_TIME,
        };
        let engine = Engine::bind("127.0.0.1:0", settings)
            .await
            .map_err(DemoError::Bind)?;
        let address = engine.server().local_address();
        let search = find(engine.server()).await;
        if let Err(reason) = &search {
            tell(format_args!(
                "the LAN search does not work here ({reason}): joining by the address {address}"
            ));
        }
        let Game {
            report,
            agents,
            interrupted,
        } = self
            .play(engine, address, &mut signals, &mut output)
            .await?;
        let figures = Figures::new(self.seed, search.is_ok(), &report, &agents);
        if self.json {
            output.json(&figures)?;
        } else {
            output.text(&figures.to_string())?;
        }
        output.flush()?;
        if let Some(status) = interrupted {
            let (played, asked) = (report.episodes, self.episodes);
            tell(format_args!(
                "interrupted after {played} of {asked} episodes"
            ));
            return Ok(status);
        }
        if report.episodes < self.episodes {
            return Err(DemoError::Stalled.into());
        }
        Ok(Status::Done)
    }

    /// True if there is a terminal that shows the game.
    fn is_shown(&self) -> bool {
        !self.json && !self.fast && screen::is_there()
    }

    fn introduction(&self) -> String {
        let Self {
            actors,
            observers,
            episodes,
            seed,
            ..
        } = self;
        format!(
            "A game of pursuit on a torus, for {} and {}, seed {seed}.\n\
             They look for the engine by the LAN search and play {} with it over loopback TCP.\n",
            count(*actors as u64, "predator"),
            count(*observers as u64, "observer"),
            count(*episodes, "episode"),
        )
    }

    /// Lets the engine and its agents play to the end.
    async fn play(
        &self,
        engine: Engine,
        address: Address,
        signals: &mut Signals,
        output: &mut Output<impl Write>,
    ) -> Result<Game, Error> {
        let (stop, mut stopped) = watch::channel(false);
        let (show, mut shown) = watch::channel(Scene::default());
        let mut screen = self.is_shown().then(|| Screen::enter(output)).transpose()?;
        let mut progress = Progress {
            bar: match screen {
                Some(_) => ProgressBar::hidden(),
                None => progress_bar(self.episodes),
            },
            scenes: screen.is_some().then_some(show),
            episodes: self.episodes,
        };
        let bar = progress.bar.clone();
        let mut engine = tokio::spawn(async move {
            let stop = async { drop(stopped.wait_for(|stop| *stop).await) };
            let on_turn = |report: &Report, world: &World| progress.tell(report, world);
            engine.run(stop, on_turn).await
        });
        let mut playing = self.send_agents(&address);
        let mut agents = Agents::default();
        let mut interrupted = None;
        let mut next_picture = Instant::now();
        let ended = loop {
            tokio::select! {
                ended = &mut engine => break ended,
                Some(agent) = playing.join_next() => {
                    if !agents.take(agent) {
                        stop.send_replace(true);
                    }
                }
                status = signals.next() => {
                    interrupted = Some(status);
                    stop.send_replace(true);
                }
                Ok(()) = changed(&mut shown, next_picture) => {
                    if let Some(screen) = &mut screen {
                        screen.draw(&shown.borrow_and_update())?;
                    }
                    next_picture = Instant::now() + PICTURE_TIME;
                }
            }
        };
        // The engine has told them; who does not listen is left behind.
        let rest = async {
            while let Some(agent) = playing.join_next().await {
                agents.take(agent);
            }
        };
        let _ = timeout(END_TIME, rest).await;
        bar.finish_and_clear();
        let report = ended.map_err(DemoError::from)?.map_err(DemoError::Engine)?;
        match agents.failure {
            Some(failure) if interrupted.is_none() => Err(failure.into()),
            _ => Ok(Game {
                report,
                agents: agents.done,
                interrupted,
            }),
        }
    }

    /// Starts the agents, each in a task and with a connection of its own.
    fn send_agents(&self, address: &Address) -> JoinSet<Result<Agent, DemoError>> {
        let actors = (1..=self.actors).map(|n| (format!("predator-{n:02}"), Role::Actor));
        let observers = (1..=self.observers).map(|n| (format!("observer-{n:02}"), Role::Observer));
        actors
            .chain(observers)
            .map(|(id, role)| Agent::play(id, role, address.clone()))
            .collect()
    }
}

impl Agent {
    async fn play(id: String, role: Role, address: Address) -> Result<Self, DemoError> {
        let client = match Client::builder(id.as_str()).connect(address).await {
            Ok(client) => client,
            Err(error) => return Err(DemoError::Join { id, error }),
        };
        match agent::play(&client, role).await {
            Ok(played) => Ok(Self { id, role, played }),
            Err(error) => Err(DemoError::Agent { id, error }),
        }
    }
}

/// The agents whose game is over.
#[derive(Default)]
struct Agents {
    done: Vec<Agent>,
    /// The first of them that failed; the errors behind it are often only a consequence.
    failure: Option<DemoError>,
}

impl Agents {
    /// True if this one has played to the end.
    fn take(&mut self, ended: Result<Result<Agent, DemoError>, JoinError>) -> bool {
        match ended.map_err(DemoError::from).flatten() {
            Ok(agent) => {
                self.done.push(agent);
                true
            }
            Err(error) => {
                self.failure.get_or_insert(error);
                false
            }
        }
    }
}

/// Announces the server, searches the LAN for it, and announces it no more: an interface elsewhere that looks for an
/// engine shall not find the demo.
///
/// # Errors
/// The reason why it was not found.
async fn find(server: &Server) -> Result<(), String> {
    server.announce().map_err(|error| error.to_string())?;
    let found = search_for(server).await;
    server.stop_announcing();
    found
}

/// # Errors
/// The reason why it was not found.
async fn search_for(server: &Server) -> Result<(), String> {
    let is_it = |found: &Found| found.address() == server.local_address();
    let options = SearchOptions::default().timeout(SEARCH_TIME);
    // Other servers may be faster to answer; then it takes the whole time to hear all.
    for first_only in [true, false] {
        let report = search(&options.clone().first_only(first_only))
            .await
            .map_err(|error| error.to_string())?;
        if report.found.iter().any(is_it) {
            return Ok(());
        }
        if report.found.is_empty() {
            break;
        }
    }
    Err("no answer".to_owned())
}

/// A bar on standard error, if that is a terminal. It has no colors.
fn progress_bar(episodes: u64) -> ProgressBar {
    let bar = ProgressBar::new(episodes);
    // A template that cannot be read would be a mistake in this line, and costs only its looks.
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} episodes  {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Tells how far the game is: a bar, or scenes for a terminal.
struct Progress {
    bar: ProgressBar,
    scenes: Option<watch::Sender<Scene>>,
    episodes: u64,
}

impl Progress {
    fn tell(&mut self, report: &Report, world: &World) {
        if let Some(scenes) = &self.scenes {
            scenes.send_replace(Scene::new(report, world, self.episodes, SLOW_STEPS));
        } else if world.is_final() {
            self.bar.set_message(format!("{} steps", report.steps));
            self.bar.set_position(report.episodes);
        }
    }
}

/// Waits for a scene that was not drawn, and for the time of the next picture. Cancel safe.
async fn changed(
    scenes: &mut watch::Receiver<Scene>,
    next_picture: Instant,
) -> Result<(), watch::error::RecvError> {
    sleep_until(next_picture).await;
    scenes.changed().await
}

/// Says something on standard error, which is not the place for results.
fn tell(what: fmt::Arguments<'_>) {
    // Not `eprintln!`: it panics when standard error is closed.
    let _ = writeln!(io::stderr(), "masep: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_demo_is_no_longer_found_when_its_own_search_is_over() {
        let server = Server::builder("engine").bind("127.0.0.1:0").await.unwrap();
        // On a machine without LAN search, nothing is announced either.
        let _ = find(&server).await;
        let options = SearchOptions::default().timeout(SEARCH_TIME);
        let report = search(&options).await;
        let found = report.map(|report| report.found).unwrap_or_default();
        let ours = |found: &Found| found.address() == server.local_address();
        assert!(!found.iter().any(ours), "{found:?}");
    }
}
