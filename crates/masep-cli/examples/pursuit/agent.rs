//! An interface, whole: it joins the engine of the example `engine` and plays a predator, or only
//! watches. `cargo run --example agent -- [ADDRESS:PORT|lan [actor|observer [ID]]]`; without an address,
//! or with `lan` in its place, it searches the LAN. `masep demo` runs this very file.

use std::error::Error;

use masep::discovery::SearchOptions;
use masep::{
    Action, Client, Connection, Element, Frame, Message, MessageType, Role, TypeName, Value,
};

/// The game that this agent can play.
const GAME: &str = "pursuit.PursuitGame";

/// The types of its actions: none, and one step along an axis, this way or back.
const STAY: i64 = 0;
const EAST_WEST: [i64; 2] = [2, 4];
const SOUTH_NORTH: [i64; 2] = [3, 1];

/// The result of a game.
#[derive(Clone, Debug, Default)]
pub(crate) struct Played {
    /// The number of observations that came.
    pub(crate) observations: i64,
    /// The number of the engine's observations that did not come.
    pub(crate) missed: i64,
    /// The sum of this agent's rewards.
    pub(crate) reward: i64,
    /// Its messages, and those that came.
    pub(crate) sent: Traffic,
    pub(crate) received: Traffic,
}

/// Messages on the wire, without the hello and the BYE of the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    /// One message is one frame.
    pub(crate) frames: u64,
    /// Their bytes, without those of the header.
    pub(crate) bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, frame: &Frame) {
        self.frames += 1;
        self.bytes += frame.size() as u64;
    }
}

/// The end of the game to an agent that cannot go on.
type Failure = Box<dyn Error + Send + Sync>;

/// Plays to the end of the game.
///
/// # Errors
/// When the connection ends before the game, or something arrives that is no message.
pub(crate) async fn play(client: &Client, role: Role) -> Result<Played, Failure> {
    let id = client.id().as_str();
    let engine = client.connection();
    let mut played = Played::default();
    let define = Message::define(id, TypeName::from(GAME));
    say(engine, &define, &mut played.sent).await?;
    say(
        engine,
        &Message::register(id, id, 0, role),
        &mut played.sent,
    )
    .await?;

    let mut last_turn: Option<i64> = None;
    loop {
        let frame = engine.recv().await?;
        played.received.add(&frame);
        let message = engine.decode(frame)?;
        match message.msg_type {
            MessageType::Observation => {
                let view = View::read(&message, id).ok_or("an observation of another game")?;
                played.observations += 1;
                played.reward += view.reward;
                if let Some(last) = last_turn.replace(view.turn) {
                    played.missed += view.turn - last - 1;
                }
                if role == Role::Actor {
                    // The turn tells the engine which observation it answers.
                    let action = Action::new(view.decide()).with("turn", view.turn);
                    say(engine, &Message::action(id, action), &mut played.sent).await?;
                }
            }
            MessageType::End => {
                say(engine, &Message::quit(id), &mut played.sent).await?;
                engine.bye().await;
                return Ok(played);
            }
            _ => {}
        }
    }
}

async fn say(engine: &Connection, message: &Message, sent: &mut Traffic) -> Result<(), Failure> {
    let frame = engine.encode(message)?;
    sent.add(&frame);
    Ok(engine.send(frame).await?)
}

/// The meaning of an observation to this agent.
struct View {
    turn: i64,
    reward: i64,
    is_final: bool,
    size: Cell,
    /// The cell of its predator; `None` for an observer.
    own: Option<Cell>,
    prey: Vec<Cell>,
}

/// A cell of the torus: column and row.
type Cell = [i64; 2];

impl View {
    /// Reads an observation. `None` if it is not one of this game.
    fn read(message: &Message, id: &str) -> Option<Self> {
        let state = message.param("observation")?.as_element()?;
        let more = message.param("additional_information")?;
        let mut view = Self {
            turn: number(more.get("turn")?)?,
            reward: 0,
            is_final: state.attribute("is_final")? == "True",
            size: [1, 1],
            own: None,
            prey: Vec::new(),
        };
        for object in state.children() {
            let nature = object.attribute("nature")?;
            if nature == "board" {
                view.size = cell(&object, "Size")?.map(|side| side.max(1));
            } else if nature == "prey" {
                view.prey.push(cell(&object, "Pos")?);
            } else if object.attribute("control").as_deref() == Some(id) {
                view.own = Some(cell(&object, "Pos")?);
                let name = format!("State.{}", object.attribute("name")?);
                view.reward = number(more.get("reward")?.get(&name)?)?;
            }
        }
        Some(view)
    }

    /// The type of the action that brings the predator nearer to the nearest prey, if there is any. An interface
    /// answers final observations too.
    fn decide(&self) -> i64 {
        self.approach().filter(|_| !self.is_final).unwrap_or(STAY)
    }

    fn approach(&self) -> Option<i64> {
        let own = self.own?;
        // The shorter way round the torus; negative to the west and the north.
        let way = |axis: usize, to: &Cell| {
            let (size, half) = (self.size[axis], self.size[axis] / 2);
            (to[axis] - own[axis] + half).rem_euclid(size) - half
        };
        let ways = self.prey.iter().map(|prey| [way(0, prey), way(1, prey)]);
        let [x, y] = ways.min_by_key(|[x, y]| x.abs() + y.abs())?;
        let ([there, back], steps) = match x.abs() > y.abs() {
            true => (EAST_WEST, x),
            false => (SOUTH_NORTH, y),
        };
        Some(match steps.signum() {
            0 => STAY,
            1 => there,
            _ => back,
        })
    }
}

/// The cell in a characteristic of an object.
fn cell(object: &Element, name: &str) -> Option<Cell> {
    let state = object.child("ObjectState")?;
    let characteristic = state
        .children()
        .find(|it| it.attribute("name").as_deref() == Some(name))?;
    let value = characteristic.children().next()?.to_value().ok()?;
    let [x, y] = value.as_tuple()? else {
        return None;
    };
    Some([number(x)?, number(y)?])
}

/// A number from outside, small enough that no sum of two overflows.
fn number(value: &Value) -> Option<i64> {
    i32::try_from(value.as_i64()?).ok().map(i64::from)
}

/// The arguments of the command line.
#[derive(Debug, PartialEq)]
pub(crate) struct Arguments {
    /// `None` to search the LAN.
    pub(crate) address: Option<String>,
    pub(crate) role: Role,
    pub(crate) id: String,
}

impl Arguments {
    /// Reads the arguments behind the name of the program.
    ///
    /// # Errors
    /// The usage, for any other arguments: an address in the place of an id is no id.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        const USAGE: &str = "usage: agent [ADDRESS:PORT|lan [actor|observer [ID]]]";
        let mut arguments = arguments.fuse();
        let address = match arguments.next() {
            None => None,
            Some(lan) if lan == "lan" => None,
            Some(address) if address.contains(':') => Some(address),
            Some(other) => return Err(format!("{other:?} is no address; {USAGE}")),
        };
        let role = match arguments.next().as_deref() {
            None | Some("actor") => Role::Actor,
            Some("observer") => Role::Observer,
            Some(other) => return Err(format!("{other:?} is no role; {USAGE}")),
        };
        let id = arguments.next();
        let id = id.unwrap_or_else(|| format!("agent-{}", std::process::id()));
        match arguments.next() {
            None => Ok(Self { address, role, id }),
            Some(other) => Err(format!("{other:?} is too much; {USAGE}")),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { address, role, id } = Arguments::parse(std::env::args().skip(1))?;
    let client = Client::builder(id);
    let client = if let Some(address) = address {
        client.connect(address).await?
    } else {
        println!("searches the LAN for an engine");
        client.discover(&SearchOptions::default()).await?
    };
    println!(
        "plays with {:?} at {}",
        client.server_id(),
        client.connection().address()
    );
    let Played {
        observations,
        missed,
        reward,
        ..
    } = play(&client, role).await?;
    println!("{observations} observations, {missed} missed, reward {reward}");
    Ok(())
}
