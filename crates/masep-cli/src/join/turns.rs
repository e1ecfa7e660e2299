//! `masep join --turns`: a player, turn by turn.

mod told;

use std::io;
use std::path::Path;
use std::time::Duration;

use masep::player::{Backoff, End, Event, Told, Turn};
use masep::{ConnectError, Player, Role, Value};
use serde::Serialize;
use serde_json::Value as Json;
use tokio::time::Instant;

use self::told::TurnEvent;
use super::Join;
use crate::commands::{Input, Line};
use crate::error::Error;
use crate::events::{self, EventWriter, Events};
use crate::failure::Failure;
use crate::files::{self, Readers};
use crate::id;
use crate::lines;
use crate::output::shown;
use crate::signals::Signals;
use crate::status::Status;

/// The command of one line.
#[derive(Debug, PartialEq)]
enum Command {
    Act { turn: Option<u64>, action: Value },
    Leave,
}

/// The most bytes of a resume text, which an engine gives and a HELLO says.
const MOST_OF_RESUME: usize = 2_048;

const EXAMPLE: &str = r#"{"turn":7,"action":{"$xml":"<Action type=\"1\" />"}}"#;

/// Plays until it is over.
pub(super) async fn play(options: Join) -> Result<Status, Error> {
    let mut signals = Signals::new().map_err(Error::Start)?;
    let mut input = Input::start_with(parse, options.end_with_stdin)?;
    let ending = input.ending();
    let mut writer = EventWriter::start(options.time, false)?;
    let (player, place) = join(&options)?;
    let mut playing = Playing {
        player,
        events: writer.events(),
        asked: None,
        has_joined: false,
        resume_file: options.resume_file.as_deref(),
    };
    let mut end = None;
    let mut play = Box::pin(async { end = playing.play(&mut input).await });
    let signal = tokio::select! {
        biased;
        status = signals.next() => Some(status),
        () = &mut play => None,
        ended = writer.ended() => return ended.map(|()| Status::Done),
    };
    let undone = if signal.is_some() {
        tokio::select! {
            undone = ending.finish(play, Instant::now() + options.drain_time) => undone,
            status = signals.next() => return Ok(status),
        }
    } else {
        drop(play);
        0
    };
    let finish = async {
        if let Some(end) = &end {
            playing.tell(&TurnEvent::over(end)).await;
        }
        if undone > 0 {
            playing.tell(&events::Event::undone(undone)).await;
        }
        let has_joined = playing.has_joined;
        let failure = playing.into_failure().filter(|_| !has_joined);
        match end {
            _ if undone > 0 => Ok(Status::NotSent),
            Some(end) => status(end, failure, place, options.search_time),
            // The seat can be had again: it says BYE, and not QUIT.
            None if has_joined => Ok(Status::Done),
            None => Ok(signal.unwrap_or(Status::Done)),
        }
    };
    tokio::select! {
        ended = writer.finish_after(finish, options.drain_time) => ended?,
        status = signals.next() => Ok(status),
    }
}

/// A player, and where it goes, for people.
fn join(options: &Join) -> Result<(Player, String), Error> {
    let game = options.game.clone().unwrap_or_else(|| "".into());
    let role = options.role.map_or(Role::Actor, Role::from);
    let name = options.role.map_or("actor", super::RoleName::as_str);
    let id = options.id.clone().unwrap_or_else(|| id::random(name));
    let backoff = Backoff::default();
    let socket_options = options.limits.socket_options();
    let mut builder = Player::builder(id, game)
        .role(role)
        .backoff(Backoff {
            patience: options.wait.unwrap_or(backoff.patience),
            ..backoff
        })
        .limits(options.limits.limits())
        .socket_options(socket_options.connect_time(options.connect_time))
        .protocols(options.protocols.into());
    if let Some(seat) = &options.seat {
        builder = builder.seat(seat);
    }
    if let Some(file) = &options.resume_file {
        match files::read(file) {
            Ok(resume) if resume.trim().is_empty() => {}
            Ok(resume) if resume.trim().len() > MOST_OF_RESUME => {
                let (file, bytes) = (file.display(), resume.trim().len());
                return Err(Error::Unusable(format!(
                    "{file} is no resume file: it has {bytes} bytes, and what proves a seat has {MOST_OF_RESUME} at most"
                )));
            }
            Ok(resume) => builder = builder.resume(resume.trim()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let file = file.display();
                return Err(Error::Unusable(format!("cannot read {file}: {error}")));
            }
        }
    }
    let credentials = options.token_file.read()?;
    if let Some(credentials) = &credentials {
        builder = credentials.of_player(builder);
    }
    let target = options.target(credentials.as_ref())?;
    if let Some(tls) = options.trust.tls(target.as_ref())? {
        builder = builder.tls(tls);
    }
    let Some(target) = target else {
        let player = builder.discover(&options.search_options());
        return Ok((player, "the engine on the LAN".to_owned()));
    };
    let place = target.to_string();
    let player = builder.join(target);
    let player = player.map_err(|error| Error::Usage(error.to_string()))?;
    Ok((player, place))
}

/// A player, and the question that its script has.
struct Playing<'a> {
    player: Player,
    events: Events,
    /// The question that was told and not answered.
    asked: Option<u64>,
    /// There was a connection.
    has_joined: bool,
    resume_file: Option<&'a Path>,
}

impl Playing<'_> {
    /// Plays until it is over, and gives its end; `None` when the lines have ended.
    async fn play(&mut self, input: &mut Input<Command>) -> Option<End> {
        loop {
            tokio::select! {
                biased;
                line = input.next() => {
                    let Line { number, command } = line?;
                    let done = match command {
                        Ok(Command::Leave) => return Some(self.player.leave().await),
                        Ok(Command::Act { turn, action }) => self.act(turn, action).await,
                        Err(failure) => Err(failure),
                    };
                    if let Err(failure) = done {
                        self.events.tell_error(Some(number), &failure).await;
                    }
                }
                told = next(&mut self.player, self.asked.is_none()) => match told {
                    Some(Told::Event(event)) => self.happened(event).await,
                    Some(Told::Turn(turn)) => self.ask(&turn).await,
                    None => {
                        let end = self.player.end().cloned();
                        return Some(end.unwrap_or(End::Finished));
                    }
                },
            }
        }
    }

    async fn ask(&mut self, turn: &Turn) {
        if turn.is_question() && self.player.is_asked() {
            self.asked = Some(turn.number());
        }
        let event = TurnEvent::turn(turn);
        self.tell(&event).await;
    }

    async fn happened(&mut self, event: Event) {
        self.has_joined |= matches!(event, Event::Joined { .. });
        if matches!(event, Event::Joined { .. })
            && let Some(file) = self.resume_file
            && let Some(resume) = self.player.resume()
            && let Err(error) = files::replace(file, &format!("{resume}\n"), Readers::Owner)
        {
            let failure = Failure::new("resume_file", Error::writing(file)(error).to_string());
            self.events.tell_error(None, &failure).await;
        }
        if let Some(event) = TurnEvent::new(&event) {
            self.tell(&event).await;
        }
    }

    async fn act(&mut self, turn: Option<u64>, action: Value) -> Result<(), Failure> {
        let Some(asked) = self.asked else {
            return Err(Failure::new("not_asked", "no turn waits for an action"));
        };
        if turn.is_some_and(|turn| turn != asked) {
            let message = format!("turn {asked} is asked, and not this one");
            return Err(Failure::new("other_turn", message));
        }
        self.player.act(action).await?;
        self.asked = None;
        Ok(())
    }

    fn into_failure(self) -> Option<ConnectError> {
        self.player.into_failure()
    }

    async fn tell(&self, event: &impl Serialize) {
        self.events.tell_other(event).await;
    }
}

/// While the script thinks, only other things than turns are told.
async fn next(player: &mut Player, takes_turns: bool) -> Option<Told> {
    if takes_turns {
        player.next().await
    } else {
        player.event().await.map(Told::Event)
    }
}

/// The exit status of the program for this end, the same that it has without turns. Where there never was a connection,
/// `failure` says why.
fn status(
    end: End,
    failure: Option<ConnectError>,
    place: String,
    searched: Duration,
) -> Result<Status, Error> {
    match (end, failure) {
        (End::Rejected(_) | End::CannotConnect(_) | End::GaveUp(_), Some(failure)) => {
            Err(Error::connect(failure, searched))
        }
        (End::Rejected(rejected), None) => Err(Error::PlayerRejected {
            place,
            rejected: Box::new(rejected),
        }),
        (End::CannotConnect(reason) | End::GaveUp(reason), None) => Err(Error::PlayerLost {
            place,
            reason: shown(&reason),
        }),
        // The engine's BYE is an end in order, whatever it says.
        _ => Ok(Status::Done),
    }
}

/// Reads a line.
fn parse(line: &[u8]) -> Result<Command, Failure> {
    let unexpected = |message: String| Failure::new("unexpected", message);
    let object = lines::parse_object(line, EXAMPLE)?;
    let known = |key: &str| matches!(key, "turn" | "action" | "leave");
    if let Some(key) = object.keys().find(|key| !known(key)) {
        let failure = Failure::new("unknown_key", format!("a line has no key {key:?}"));
        return Err(failure.with_example(EXAMPLE));
    }
    match (
        object.get("action"),
        object.get("turn"),
        object.get("leave"),
    ) {
        (None, None, Some(Json::Bool(true))) => Ok(Command::Leave),
        (_, _, Some(_)) => Err(unexpected("{\"leave\":true} is all of a line".to_owned())),
        (None, ..) => {
            let message = "no \"action\" or \"leave\" in the line";
            Err(Failure::new("missing_key", message).with_example(EXAMPLE))
        }
        (Some(action), turn, None) => Ok(Command::Act {
            turn: match turn {
                None => None,
                Some(turn) => Some(turn.as_u64().ok_or_else(|| {
                    unexpected("\"turn\" is the number of the question".to_owned())
                })?),
            },
            action: Value::from_json(action).map_err(|it| it.under_key("action"))?,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_action_or_the_wish_to_leave() {
        let act = |turn, action: i64| {
            let action = action.into();
            Ok(Command::Act { turn, action })
        };
        for (line, command) in [
            (r#"{"turn":7,"action":2}"#, act(Some(7), 2)),
            (r#"{"action":2}"#, act(None, 2)),
            (r#"{"leave":true}"#, Ok(Command::Leave)),
            ("?", Err("json")),
            ("[]", Err("unexpected")),
            (r#"{"turn":7}"#, Err("missing_key")),
            (r#"{"turn":"7","action":2}"#, Err("unexpected")),
            (r#"{"leave":true,"action":2}"#, Err("unexpected")),
            (r#"{"leave":false}"#, Err("unexpected")),
            (r#"{"act":2}"#, Err("unknown_key")),
            (r#"{"action":{"$c":1}}"#, Err("unknown_tag")),
        ] {
            let parsed = parse(line.as_bytes()).map_err(|failure| failure.kind);
            assert_eq!(parsed, command, "{line}");
        }
        for line in ["help", "[]", r#"{"bye":true}"#, r#"{"turn":1}"#] {
            let failure = parse(line.as_bytes()).unwrap_err();
            assert!(failure.message.ends_with(EXAMPLE), "{line}: {failure:?}");
        }
    }
}
