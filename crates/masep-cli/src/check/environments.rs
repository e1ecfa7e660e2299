//! Servers of environments, which have a profile of their own: what they have, and whether they can make one.

use std::fmt::Write;

use masep::{
    ClientBuilder, ConnectError, ConnectErrorKind, Connection, Dict, Message, RecvMessageError,
    Target, Value,
};

/// The profile of these servers.
const PROFILE: &str = "environment/1";
/// The kinds of environments that a server may have: one for other kinds of several agents has the last one too.
const KINDS: [&str; 2] = ["gymnasium", "aec"];

/// The reason why a client is refused that does not ask for an environment.
const UNSUPPORTED_PROFILE: &str = "unsupported_profile";
/// The reason why one is refused that asks for another kind than there is.
const BAD_ARGUMENTS: &str = "bad_arguments";
/// The reason of a BYE where an environment cannot be made.
const ENVIRONMENT_FAILED: &str = "environment_failed";

/// The end of an attempt to have an environment made.
pub(super) enum Made {
    /// The server has made one, and says this of it.
    Environment(Dict),
    /// It could not, or has sent the client away: a code, and the reason.
    Failed(String, String),
    /// It took the client, and said something else.
    Other(String),
    /// It did not take the client.
    NotConnected(ConnectError),
}

/// True if the server takes only clients that want an environment.
pub(super) fn are_served(error: &ConnectError) -> bool {
    code_of(error) == Some(UNSUPPORTED_PROFILE)
}

fn code_of(error: &ConnectError) -> Option<&str> {
    match &error.kind {
        ConnectErrorKind::Rejected(rejected) => Some(&rejected.code),
        _ => None,
    }
}

/// A client that wants to know what there is, and no environment.
pub(super) fn looking(client: ClientBuilder) -> ClientBuilder {
    let make = Dict::new().with("look", true);
    client.profile(PROFILE).make(make)
}

/// Has an environment made, and leaves it.
pub(super) async fn make(client: &ClientBuilder, target: &Target) -> Made {
    let mut kinds = KINDS.iter();
    loop {
        let kind = kinds.next().copied().unwrap_or_default();
        let make = Dict::new().with("kind", kind);
        let wanting = client.clone().profile(PROFILE).make(make);
        match wanting.connect(target).await {
            Ok(client) => {
                let connection = client.connection();
                let made = told(connection).await;
                connection.bye().await;
                return made;
            }
            Err(error) if code_of(&error) == Some(BAD_ARGUMENTS) && kinds.len() > 0 => {}
            Err(error) => return Made::NotConnected(error),
        }
    }
}

/// The server's first message.
async fn told(connection: &Connection) -> Made {
    match connection.recv_message().await {
        Ok(message) => read(&message),
        // A process that ends while it makes one says nothing.
        Err(RecvMessageError::Closed(reason)) => {
            let code = reason.words().map_or(reason.as_str(), |bye| &bye.code);
            Made::Failed(code.to_owned(), reason.to_string())
        }
        Err(error) => Made::Other(error.to_string()),
    }
}

fn read(message: &Message) -> Made {
    let text = |key| {
        message
            .param(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    match (message.msg_type.as_str(), &message.params) {
        ("environment", Value::Dict(told)) => {
            let mut told = told.clone();
            told.remove("request");
            Made::Environment(told)
        }
        ("error", _) => {
            let error = format!("{}: {}", text("type"), text("text"));
            Made::Failed(ENVIRONMENT_FAILED.to_owned(), error)
        }
        (other, _) => Made::Other(format!(
            "its first message is {other:?}, and no environment"
        )),
    }
}

/// An environment in lines for people: a name, and what is to be said.
pub(super) fn lines(told: &Dict) -> Vec<(&'static str, String)> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let spec = told.get("spec");
    let mut lines = Vec::new();
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add("kind", text(told.get("kind")));
    let name = spec
        .and_then(|spec| spec.get("id"))
        .or_else(|| told.get("name"));
    add("environment", text(name));
    let steps = spec.and_then(|spec| spec.get("max_episode_steps"));
    add(
        "episode",
        steps
            .and_then(Value::as_i64)
            .map(|steps| format!("at most {steps} steps")),
    );
    let agents = told.get("possible_agents").and_then(Value::as_list);
    let names = agents.map(|agents| agents.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    add("agents", names.map(|names| names.join(", ")));
    add("observation", told.get("observation_space").map(space));
    add("action", told.get("action_space").map(space));
    lines
}

/// A space in a few words.
fn space(space: &Value) -> String {
    let shown = |key| space.get(key).map(number).unwrap_or_default();
    let kind = space.get("space").and_then(Value::as_str).unwrap_or("none");
    let mut words = kind.to_owned();
    let rest = match kind {
        "Box" | "MultiBinary" => {
            let dtype = space.get("dtype").and_then(Value::as_str).unwrap_or("int8");
            format!(" of {dtype}{}", shown("shape"))
        }
        "Discrete" => format!(" of {} from {}", shown("n"), shown("start")),
        "MultiDiscrete" => format!(" of {}", shown("nvec")),
        "Text" => format!(
            " of {} to {} characters",
            shown("min_length"),
            shown("max_length")
        ),
        "Tuple" | "Dict" => {
            let spaces = space.get("spaces").and_then(Value::as_list);
            format!(" of {}", spaces.map_or(0, <[Value]>::len))
        }
        _ => String::new(),
    };
    words.push_str(&rest);
    words
}

/// A number, or numbers in lists.
fn number(value: &Value) -> String {
    if let Some(list) = value.as_list() {
        let mut text = String::from("[");
        for (at, item) in list.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let _ = write!(text, "{comma}{}", number(item));
        }
        return text + "]";
    }
    value.as_int().map_or_else(String::new, ToString::to_string)
}
