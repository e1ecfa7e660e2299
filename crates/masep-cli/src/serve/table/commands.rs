//! The lines of an engine with a table.

use masep::table::{TurnTime, View};
use masep::{Dict, Value};
use serde_json::{Map, Value as Json};

use crate::commands::SendAway;
use crate::duration;
use crate::failure::Failure;
use crate::lines;

/// The command of one line.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    Ask(Ask),
    Show(View),
    Finish(Vec<(String, View)>),
    Close(u64),
    CloseSeat(String),
    OpenSeat(String),
    Pause,
    Resume,
    SendAway(SendAway),
    End,
}

/// A turn.
#[derive(Debug, PartialEq)]
pub(super) struct Ask {
    pub(super) views: Vec<(String, View)>,
    pub(super) time: TurnTime,
}

const EXAMPLE: &str = r#"{"ask":{"red":{"$xml":"<State />"}}}"#;

/// The keys that say what to do.
const ACTIONS: [&str; 12] = [
    "ask",
    "show",
    "finish",
    "close",
    "close_seat",
    "open_seat",
    "pause",
    "resume",
    "kick",
    "ban",
    "unban",
    "end",
];

/// Reads a line.
pub(super) fn parse(line: &[u8]) -> Result<Command, Failure> {
    let object = lines::parse_object(line, EXAMPLE)?;
    let mut actions = object
        .iter()
        .filter(|(key, _)| ACTIONS.contains(&key.as_str()));
    let (action, value) = actions.next().ok_or_else(|| {
        let message = format!("a line has one of the keys {}", ACTIONS.join(", "));
        Failure::new("missing_key", message).with_example(EXAMPLE)
    })?;
    if let Some((other, _)) = actions.next() {
        let message = format!("{action:?} and {other:?} are two actions: a line has one");
        return Err(Failure::new("two_actions", message));
    }
    let beside: &[&str] = match action.as_str() {
        "ask" => &["information", "deadline"],
        "show" | "finish" => &["information"],
        _ => &[],
    };
    let mut keys = object.keys().filter(|key| *key != action);
    if let Some(unknown) = keys.find(|key| !beside.contains(&key.as_str())) {
        let message = format!("{action:?} has no key {unknown:?} beside it");
        return Err(Failure::new("unknown_key", message));
    }
    command(action, value, &object)
}

fn command(action: &str, value: &Json, object: &Map<String, Json>) -> Result<Command, Failure> {
    let information = object.get("information");
    Ok(match action {
        "ask" => Command::Ask(Ask {
            views: views(action, value, information)?,
            time: match object.get("deadline") {
                None => TurnTime::AsSet,
                Some(Json::Null) => TurnTime::Unlimited,
                Some(time) => TurnTime::Limited(deadline(time)?),
            },
        }),
        "show" => Command::Show(view(action, value, information)?),
        "finish" => Command::Finish(views(action, value, information)?),
        "close" => Command::Close(
            value
                .as_u64()
                .ok_or_else(|| unexpected("\"close\" has the number of a turn"))?,
        ),
        "close_seat" => Command::CloseSeat(seat(action, value)?),
        "open_seat" => Command::OpenSeat(seat(action, value)?),
        _ if SendAway::ACTIONS.contains(&action) => {
            Command::SendAway(SendAway::parse(action, value)?)
        }
        _ if *value != Json::Bool(true) => {
            return Err(unexpected(format!("the only value of {action:?} is true")));
        }
        "pause" => Command::Pause,
        "resume" => Command::Resume,
        _ => Command::End,
    })
}

fn views(
    action: &str,
    value: &Json,
    information: Option<&Json>,
) -> Result<Vec<(String, View)>, Failure> {
    let Json::Object(seats) = value else {
        let failure = unexpected(format!("{action:?} has a view for each seat"));
        return Err(failure.with_example(EXAMPLE));
    };
    let information = match information {
        None => &Map::new(),
        Some(Json::Object(information)) => information,
        Some(_) => {
            return Err(unexpected(
                "\"information\" has an object for each of the seats",
            ));
        }
    };
    if let Some(unknown) = information.keys().find(|seat| !seats.contains_key(*seat)) {
        let message = format!("\"information\" is for {unknown:?}, which has no view");
        return Err(unexpected(message));
    }
    seats
        .iter()
        .map(|(seat, value)| Ok((seat.clone(), view(seat, value, information.get(seat))?)))
        .collect()
}

fn view(key: &str, value: &Json, information: Option<&Json>) -> Result<View, Failure> {
    let under = |error: masep_proto::json::JsonError| Failure::from(error.under_key(key));
    let information = match information.map(Value::from_json).transpose() {
        Ok(None) => Dict::new(),
        Ok(Some(Value::Dict(information))) => information,
        Ok(Some(_)) => return Err(unexpected("\"information\" is an object")),
        Err(error) => return Err(under(error)),
    };
    Ok(View {
        observation: Value::from_json(value).map_err(under)?,
        information,
    })
}

fn deadline(json: &Json) -> Result<std::time::Duration, Failure> {
    let text = json.as_str().map(duration::parse);
    text.and_then(Result::ok)
        .ok_or_else(|| unexpected("\"deadline\" is a time such as \"2s\", or null for any"))
}

fn seat(action: &str, value: &Json) -> Result<String, Failure> {
    let name = value.as_str().map(str::to_owned);
    name.ok_or_else(|| unexpected(format!("{action:?} has the name of a seat")))
}

fn unexpected(message: impl Into<String>) -> Failure {
    Failure::new("unexpected", message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use masep::access::Subject;

    use super::*;

    fn parsed(line: &str) -> Result<Command, &'static str> {
        parse(line.as_bytes()).map_err(|failure| failure.kind)
    }

    #[test]
    fn a_line_is_one_action() {
        let view = |number: i64| View::new(number);
        let views = |number| vec![("red".to_owned(), view(number))];
        let ask = |time| {
            let views = views(1);
            Ok(Command::Ask(Ask { views, time }))
        };
        for (line, command) in [
            (r#"{"ask":{"red":1}}"#, ask(TurnTime::AsSet)),
            (
                r#"{"ask":{"red":1},"deadline":"2s"}"#,
                ask(TurnTime::Limited(Duration::from_secs(2))),
            ),
            (
                r#"{"deadline":null,"ask":{"red":1}}"#,
                ask(TurnTime::Unlimited),
            ),
            (
                r#"{"show":2,"information":{"a":1}}"#,
                Ok(Command::Show(view(2).with("a", 1))),
            ),
            (
                r#"{"finish":{"red":3},"information":{"red":{"a":1}}}"#,
                Ok(Command::Finish(vec![(
                    "red".to_owned(),
                    view(3).with("a", 1),
                )])),
            ),
            (r#"{"close":7}"#, Ok(Command::Close(7))),
            (
                r#"{"close_seat":"red"}"#,
                Ok(Command::CloseSeat("red".into())),
            ),
            (
                r#"{"open_seat":"red"}"#,
                Ok(Command::OpenSeat("red".into())),
            ),
            (r#"{"pause":true}"#, Ok(Command::Pause)),
            (r#"{"resume":true}"#, Ok(Command::Resume)),
            (
                r#"{"kick":{"id":"a"}}"#,
                Ok(Command::SendAway(SendAway::Kick(Subject::Id("a".into())))),
            ),
            (
                r#"{"unban":{"token":"lab3"}}"#,
                Ok(Command::SendAway(SendAway::Unban(Subject::Token(
                    "lab3".into(),
                )))),
            ),
            (r#"{"end":true}"#, Ok(Command::End)),
        ] {
            assert_eq!(parsed(line), command, "{line}");
        }
    }

    #[test]
    fn a_fault_of_a_line_has_a_name() {
        for (line, kind) in [
            ("", "json"),
            ("[]", "unexpected"),
            ("{}", "missing_key"),
            (r#"{"ask":{},"show":1}"#, "two_actions"),
            (r#"{"ask":1}"#, "unexpected"),
            (r#"{"ask":{"red":{"$c":1}}}"#, "unknown_tag"),
            (r#"{"ask":{"red":1},"deadline":2}"#, "unexpected"),
            (
                r#"{"ask":{"red":1},"information":{"blue":{}}}"#,
                "unexpected",
            ),
            (r#"{"ask":{"red":1},"information":{"red":1}}"#, "unexpected"),
            (r#"{"show":1,"deadline":"2s"}"#, "unknown_key"),
            (r#"{"close":"7"}"#, "unexpected"),
            (r#"{"end":false}"#, "unexpected"),
            (r#"{"kick":"a"}"#, "unexpected"),
            (r#"{"ban":{"id":"a","token":"b"}}"#, "unexpected"),
            (r#"{"ban":{"address":"a"}}"#, "unexpected"),
        ] {
            assert_eq!(parsed(line), Err(kind), "{line}");
        }
    }
}
