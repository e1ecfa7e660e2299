//! An engine, whole: it owns a game (the rules are in `world.rs`), waits for its players and plays
//! it with them. `cargo run --example engine -- [ADDRESS:PORT [ACTORS]]`, then the example `agent` with
//! the same address in as many other shells. `masep demo` runs this very file.
//!
//! It speaks pymasep's protocol. An interface sends DEFINE and REGISTER. In each turn everybody gets
//! an OBSERVATION, and each actor answers it with an ACTION. After the last episode everybody gets
//! END, and answers with QUIT and BYE.
//!
//! An engine must not depend on the good will of its players. Here an ACTION counts for the
//! connection that it came on, whatever it says of its sender. One that is wrong, late or missing is
//! played as standing still. A player that leaves, falls asleep or stops reading costs the others at most the
//! time of one turn.

mod players;
mod report;
pub(crate) mod world;

use std::io;
use std::time::{Duration, Instant};

use masep::{
    Action, Connection, ConnectionId, Dict, Frame, Limits, Message, MessageType, Received, Role,
    SendError, Server, SocketHandlerQueue, Value, WhenFull,
};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout_at};

use players::Players;
pub(crate) use report::Report;
use report::Score;
use world::{Move, World};

/// The engine's id.
const ID: &str = "pursuit-engine";
/// The game that interfaces name in their DEFINE.
const GAME: &str = "pursuit.PursuitGame";
/// The time that interfaces may take to answer END.
const FAREWELL: Duration = Duration::from_secs(1);

/// The settings of a game.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The number of actors, with a predator each. The game begins when all are there.
    pub(crate) actors: usize,
    /// The number of observers that the game waits for; more may come at any time.
    pub(crate) observers: usize,
    /// The number of episodes.
    pub(crate) episodes: u64,
    /// The seed of all chance.
    pub(crate) seed: u64,
    /// The time that a turn waits for the actors. An actor that misses it is not waited for until it acts again;
    /// when nobody is left to wait for, the game is over.
    pub(crate) turn_time: Duration,
    /// The number of steps at the beginning that are slow enough to watch.
    pub(crate) slow_steps: u64,
    /// The time from one of these to the next. It does not count as time of the game.
    pub(crate) slow_step_time: Duration,
}

/// The engine.
pub(crate) struct Engine {
    settings: Settings,
    server: Server,
    queue: SocketHandlerQueue,
    world: World,
    players: Players,
    /// Waits for the end of each player's connection.
    departures: JoinSet<ConnectionId>,
    /// The observation that everybody gets in this turn; `None` before the game.
    observation: Option<Frame>,
    /// Counts observations, so that an action that comes too late can be told.
    turn: u64,
    turn_began: Instant,
    report: Report,
}

impl Engine {
    /// Opens the server: interfaces can connect from now on.
    pub(crate) async fn bind(address: &str, settings: Settings) -> io::Result<Self> {
        // An observation holds all ids, and it must fit into a frame.
        let limits = Limits::default().id_bytes(64);
        // Frames of every connection come to this one queue.
        let queue = SocketHandlerQueue::new(&limits, WhenFull::Wait);
        let server = Server::builder(ID).limits(limits).handler(queue.clone());
        Ok(Self {
            server: server.bind(address).await?,
            queue,
            world: World::new(settings.seed, settings.actors),
            players: Players::new(settings.actors),
            settings,
            departures: JoinSet::new(),
            observation: None,
            turn: 0,
            turn_began: Instant::now(),
            report: Report::default(),
        })
    }

    /// The server, for its address and to announce it.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Plays until the game is over or `stop` is done. `on_turn` is called with each new state of the world, when
    /// everybody has been sent it.
    ///
    /// # Errors
    /// An observation that is too large for a frame.
    pub(crate) async fn run(
        mut self,
        stop: impl Future<Output = ()>,
        on_turn: impl FnMut(&Report, &World),
    ) -> Result<Report, SendError> {
        let played = tokio::select! {
            biased;
            () = stop => Ok(()),
            // May be dropped wherever it waits: what it waits for is cancel safe.
            played = self.play(on_turn) => played,
        };
        let ended = self.end().await;
        self.server.shutdown(FAREWELL).await;
        played.and(ended).map(|()| self.report)
    }

    async fn play(&mut self, mut on_turn: impl FnMut(&Report, &World)) -> Result<(), SendError> {
        while self.players.count(Role::Actor) < self.settings.actors
            || self.players.count(Role::Observer) < self.settings.observers
        {
            self.next_event().await?;
        }
        self.players.begin_game();
        let began = Instant::now();
        let mut paused = Duration::ZERO;
        for _ in 0..self.settings.episodes {
            self.world.restart();
            self.show_world().await?;
            on_turn(&self.report, &self.world);
            while !self.world.is_final() {
                self.await_moves().await?;
                let Some(moves) = self.players.end_turn() else {
                    return Ok(());
                };
                paused += self.pause().await;
                self.world.step(&moves);
                self.report.steps += 1;
                self.report.episodes += u64::from(self.world.is_final());
                self.report.time = began.elapsed() - paused;
                self.show_world().await?;
                on_turn(&self.report, &self.world);
            }
        }
        Ok(())
    }

    /// Lets time pass if somebody is to watch this step; how much it was.
    async fn pause(&self) -> Duration {
        let start = Instant::now();
        if self.report.steps < self.settings.slow_steps {
            sleep_until((self.turn_began + self.settings.slow_step_time).into()).await;
        }
        start.elapsed()
    }

    /// Begins a turn: everybody sees the world.
    async fn show_world(&mut self) -> Result<(), SendError> {
        self.turn += 1;
        self.players.begin_turn();
        let state = self.world.state(self.players.actor_ids())?;
        let more = Dict::new()
            .with("turn", self.turn)
            .with("reward", self.world.rewards());
        // Encoded once: its bytes are shared by all who get it.
        let frame = Message::observation(ID, state.into(), more).to_frame()?;
        self.observation = Some(frame.clone());
        self.turn_began = Instant::now();
        self.send_to_all(&frame).await
    }

    /// Waits until all actors that are awake have chosen, or the turn's time is up.
    async fn await_moves(&mut self) -> Result<(), SendError> {
        let deadline = self.turn_began + self.settings.turn_time;
        while self.players.is_any_awaited() && Instant::now() < deadline {
            if let Ok(event) = timeout_at(deadline.into(), self.next_event()).await {
                event?;
            }
        }
        Ok(())
    }

    /// Waits for one thing to happen and takes it in. Cancel safe.
    async fn next_event(&mut self) -> Result<(), SendError> {
        // Lets timers and signals have their turn, even if there is always a next event.
        tokio::task::coop::consume_budget().await;
        tokio::select! {
            // Messages of a player are heard before its departure.
            biased;
            Some(received) = self.queue.next() => self.receive(received).await,
            Some(Ok(connection)) = self.departures.join_next() => {
                self.players.depart(connection);
                Ok(())
            }
        }
    }

    async fn receive(&mut self, Received { connection, frame }: Received) -> Result<(), SendError> {
        self.report.received.add(frame.size());
        // Bytes that are no message are passed over, and so are messages that only engines send.
        let Ok(message) = connection.decode(frame) else {
            return Ok(());
        };
        match message.msg_type {
            MessageType::Define => {
                let game = message.param("game").and_then(Value::as_type);
                if game.is_none_or(|game| game.as_str() != GAME) {
                    turn_away(&connection);
                }
            }
            MessageType::Register => self.register(connection, &message).await?,
            MessageType::Action => self.choose(&connection, &message),
            // After QUIT comes BYE, of which `departures` tells.
            _ => {}
        }
        Ok(())
    }

    /// Lets an interface in and shows it the world, or turns it away.
    async fn register(&mut self, peer: Connection, message: &Message) -> Result<(), SendError> {
        let role = match message.param("role").and_then(Value::as_str) {
            Some("Actor") => Role::Actor,
            _ => Role::Observer,
        };
        if self.players.has(&peer) {
            return Ok(());
        }
        if !self.players.admit(&peer, role) {
            turn_away(&peer);
            return Ok(());
        }
        self.departures.spawn({
            let peer = peer.clone();
            async move {
                peer.closed().await;
                peer.id()
            }
        });
        match self.observation.clone() {
            Some(frame) => self.send(&peer, frame).await,
            None => Ok(()),
        }
    }

    /// Takes the move of the actor on this connection.
    fn choose(&mut self, peer: &Connection, message: &Message) {
        self.players.wake(peer);
        let action = message.param("action").and_then(Value::as_element);
        let action = action.and_then(|action| Action::try_from(action).ok());
        let turn = action.as_ref().and_then(|action| action.param("turn"));
        if turn.is_some_and(|turn| *turn != self.turn.into()) {
            return; // Too late.
        }
        let number = action.and_then(|action| action.action_type.as_i64());
        let chosen = number.and_then(Move::from_number).unwrap_or_default();
        if self.players.choose(peer, chosen) {
            self.report.add_round_trip(self.turn_began.elapsed());
        }
    }

    /// Tells everybody, and gives them time to say QUIT and BYE.
    async fn end(&mut self) -> Result<(), SendError> {
        self.server.stop_announcing();
        self.server.stop_accepting();
        self.players.end_game();
        self.report.scores = self.scores();
        self.send_to_all(&Message::end(ID).to_frame()?).await?;
        let deadline = Instant::now() + FAREWELL;
        while !self.departures.is_empty() && Instant::now() < deadline {
            if let Ok(event) = timeout_at(deadline.into(), self.next_event()).await {
                event?;
            }
        }
        // Those who are gone may have left a QUIT.
        for _ in 0..self.queue.len() {
            if let Some(received) = self.queue.try_next() {
                self.receive(received).await?;
            }
        }
        Ok(())
    }

    async fn send_to_all(&mut self, frame: &Frame) -> Result<(), SendError> {
        for connection in self.players.connections() {
            self.send(&connection, frame.clone()).await?;
        }
        Ok(())
    }

    /// Sends without waiting: who has not read a whole queue of frames is disconnected.
    async fn send(&mut self, connection: &Connection, frame: Frame) -> Result<(), SendError> {
        let size = frame.size();
        match connection.send_or(frame, WhenFull::Disconnect).await {
            Ok(()) => self.report.sent.add(size),
            // `departures` tells.
            Err(SendError::Full(_) | SendError::Closed(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn scores(&self) -> Vec<Score> {
        let predators = self.world.predators().iter();
        self.players
            .actor_ids()
            .zip(predators)
            .map(|(id, predator)| Score {
                id: id.clone(),
                reward: predator.total_reward,
                caught: predator.caught,
            })
            .collect()
    }
}

/// Says BYE to somebody who has no part in the game.
fn turn_away(connection: &Connection) {
    // Fails only if the connection has ended, which is as good.
    let _ = connection.try_send(Frame::BYE);
}

/// The address to listen on and the number of actors, from the arguments behind the program's name.
///
/// # Errors
/// The usage, for any other arguments.
pub(crate) fn arguments(
    mut arguments: impl Iterator<Item = String>,
) -> Result<(String, usize), String> {
    const USAGE: &str = "usage: engine [ADDRESS:PORT [ACTORS]]";
    let address = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:60000".to_owned());
    if !address.contains(':') {
        return Err(format!("{address:?} is no address; {USAGE}"));
    }
    let actors = arguments.next().unwrap_or_else(|| "1".to_owned());
    match (actors.parse(), arguments.next()) {
        (Ok(actors), None) if actors > 0 => Ok((address, actors)),
        (Ok(_), Some(other)) => Err(format!("{other:?} is too much; {USAGE}")),
        _ => Err(format!("{actors:?} is no number of actors; {USAGE}")),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (address, actors) = arguments(std::env::args().skip(1))?;
    let settings = Settings {
        actors,
        observers: 0,
        episodes: 10,
        seed: 1,
        turn_time: Duration::from_secs(5),
        slow_steps: 0,
        slow_step_time: Duration::ZERO,
    };
    let engine = Engine::bind(&address, settings).await?;
    println!("{} awaits its actors", engine.server().local_address());
    if let Err(error) = engine.server().announce() {
        println!("the LAN search will not find it: {error}");
    }
    let stop = async {
        // Without a signal handler it goes on to its end.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let report = engine
        .run(stop, |report, world| {
            if world.is_final() {
                let steps = world.steps();
                println!("episode {} took {steps} steps", report.episodes);
            }
        })
        .await?;
    println!("{report}");
    Ok(())
}
