//! `masep join`: an interface's end on standard input and output.

mod conversation;
mod newest;
mod turns;

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use masep::discovery::SearchOptions;
use masep::{Client, ConnectError, ConnectErrorKind, Role, Target, TypeName};
use tokio::time::{Instant, sleep};

use self::conversation::{Conversation, Part};
use crate::address;
use crate::commands::{Form, Input};
use crate::error::Error;
use crate::events::{self, Event, EventWriter, Source};
use crate::limits::ConnectionLimits;
use crate::protocols::ProtocolNames;
use crate::signals::Signals;
use crate::status::Status;
use crate::tls::Trust;
use crate::token::{Credentials, TokenFile};
use crate::{duration, id, runtime};

const BEFORE_EVENTS: &str = "\
Be an interface's end: connect to an engine, tell what it sends on standard output, send what standard \
input says. Both are lines of JSON, the same as those of masep serve.

Out, one object a line:
  {\"event\":\"connected\",\"peer\":SERVER_ID,\"address\":...,\"id\":OWN_ID}
      first; \"protocol\":2 if it is not pymasep's; closed is the last
  {\"event\":\"rejected\",\"address\":...,\"reason\":...,\"detail\":...,\"text\":...}
      first and last: a server of protocol 2 does not take it, by the reason that its own event has;
      \"retry_ms\":N if it may come again";

const BEHIND_EVENTS: &str = "
In, one object a line, with one of these actions:
  {\"message\":{...}}      send a message; without src_sub_app it is from this interface
  {\"bytes_hex\":\"00ff\"}   send a frame of these bytes
  {\"bye\":true}           send what waits and BYE, close and end; {\"shutdown\":true} is the same
\"to\" may be there: the server's id, or \"*\". A line has at most 7 MiB, as an array of 5 MiB takes; larger frames are for the \
libraries.

With --role and --game it takes part in a game of pymasep: first it sends the define and register \
messages; when the engine sends end it answers quit and BYE, as pymasep's interface does, and ends.

";

const BEHIND_REASONS: &str = "\
here also rejected (the server said BYE at once: the id may be in use, the server may be full or ending).

It ends with the connection: with exit code 0 after a BYE of either side, 5 if the server rejected it, 4 \
if the connection was lost, 3 if there was none, 6 if not all was sent. The end of standard input does \
not end it, unless --end-with-stdin is given. SIGINT (Ctrl-C), SIGTERM, SIGHUP and SIGQUIT do what bye \
does, after the lines that were read before; a second one ends at once.";

const EXAMPLE: &str = "\
Example: join a game as its player, by the LAN search
  $ masep join --discover --role actor --game pursuit.PursuitGame --newest
  {\"event\":\"connected\",\"peer\":\"engine\",\"address\":\"192.0.2.7:60000\",\"id\":\"actor-5be0...\"}
  {\"event\":\"message\",\"peer\":\"engine\",\"message\":{\"msg_type\":\"observation\",...}}
  {\"message\":{\"msg_type\":\"action\",\"params\":{\"action\":{\"$xml\":\"<Action type=...\"}}}}
";

const TURNS_HELP: &str = "\
Play turn by turn: one question at a time, again after a lost connection

The engine is a table (masep serve --seats), or one of pymasep's protocol, whose turns are counted here. It is waited for, and \
a lost connection is made anew, for --wait or 60s.

Out: joined, with \"seat\" if the engine names it; {\"event\":\"turn\",\"turn\":7,\"episode\":0,\"left_ms\":1990,\"view\":...,\
\"information\":{...},\"last\":{\"turn\":6,\"how\":\"played\"}}; final in the same form, which wants no answer, and show for \
spectators (a player that has missed too many turns is asked by turn too: nothing waits for it, and an answer brings it back); lost and retrying; not_counted with the turn whose action did not count, and why as far as the engine tells; \
unknown with the turn of which that is not known, where the engine has forgotten this player; notice, error; over, last. \
Where the last turn was not played, \"played\" in \"last\" is the last one in which an action counted.

In: {\"turn\":7,\"action\":VALUE}; without \"turn\" it is for the question that was told last. The next question is told after the answer to the one before; if that was late, it is the \
newest. {\"leave\":true} gives the seat up; without that, it can be had again.

Reasons of over: finished (the game is over, or the seat was given up) and ended (the engine said BYE, as to one that was kicked or \
replaced; \"code\" says why), with exit code 0; rejected (\"code\" says why), 5; cannot_connect (no attempt can succeed: the server's \
certificate is not trusted, or an option does not fit) and gave_up, with the exit code of a join without turns if there never was a \
connection, 4 if it was lost and did not come back.";

const FORM: Form = Form {
    example: r#"{"message":{"msg_type":"action","params":{"action":{"$xml":"<Action type=\"1\" />"}}}}"#,
    is_servers: false,
};

/// The most time until a connection is known not to be rejected: as long as its BYE may take
/// behind the server's hello.
const REJECTION_TIME: Duration = Duration::from_millis(200);
/// The time between two attempts to connect: first, and at most.
const RESTS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// An interface's end as JSON lines on standard input and output
#[derive(Debug, Args)]
#[command(long_about = [BEFORE_EVENTS, events::HELP, BEHIND_EVENTS, events::REASONS, BEHIND_REASONS].concat(), after_long_help = EXAMPLE)]
#[command(group = ArgGroup::new("part").args(["role", "turns"]).multiple(true))]
pub(crate) struct Join {
    /// The engine's address [default: `MASEP_ADDRESS`, else 127.0.0.1:60000]
    ///
    /// Host and port, an IPv6 address in brackets: what the engine speaks is found out. pymasep:// in front insists on
    /// pymasep's protocol, masep:// on protocol 2, which has arrays and frames beyond 64 KiB, and masep+tls:// on that in TLS.
    /// Or `unix:///PATH`, where the engine listens on a Unix socket, or `masep+unix:///PATH`.
    #[arg(value_name = "ADDRESS", value_parser = address::parse)]
    address: Option<Target>,

    /// Search the LAN and join the first server that takes the connection; with --turns, for each connection anew
    #[arg(long, conflicts_with = "address")]
    discover: bool,

    /// Time to search
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1s",
        requires = "discover",
        value_parser = duration::parse
    )]
    search_time: Duration,

    /// Try again for so long until there is a connection, for an engine that starts later
    ///
    /// With --turns 60s, and the same after each loss of a connection that has lasted; it is given up when the next attempt would
    /// begin later.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    wait: Option<Duration>,

    /// The interface's id, which the engine gets to know [default: its role and a random number]
    #[arg(long, value_name = "ID", value_parser = id::parse)]
    id: Option<String>,

    /// The generations of the protocol to speak
    ///
    /// masep:// and pymasep:// in front of the address are the same as these names here, and count more. With both, a
    /// server of pymasep's protocol is connected to a second time, and for a minute not asked again.
    #[arg(long, value_name = "NAME", value_enum, default_value_t = ProtocolNames::Both)]
    protocols: ProtocolNames,

    #[command(flatten)]
    trust: Trust,

    /// Take part in a game: say define and register by itself, and quit and BYE when it ends; with --turns, an actor
    /// unless it says observer
    #[arg(long, value_enum, requires = "game")]
    role: Option<RoleName>,

    /// The game, as the name of its class: pkg.mod.Class
    #[arg(long, value_name = "CLASS", requires = "part", value_parser = parse_game)]
    game: Option<TypeName>,

    #[arg(
        long,
        requires = "game",
        conflicts_with = "newest",
        help = TURNS_HELP.lines().next(),
        long_help = TURNS_HELP
    )]
    turns: bool,

    /// The seat to play, by its name at the table
    #[arg(long, value_name = "NAME", requires = "turns")]
    seat: Option<String>,

    /// Keep in this file what proves the seat, and take it from there: for a player that is killed and started again
    #[arg(long, value_name = "FILE", requires = "turns")]
    resume_file: Option<PathBuf>,

    #[command(flatten)]
    token_file: TokenFile,

    /// When standard output is read slowly, skip observations that have a newer one behind them
    ///
    /// Nothing else is skipped, and never the last observation before another message. Standard
    /// output holds at most one page (4 KiB) that its reader has not taken, if it is a pipe (Linux).
    #[arg(long)]
    newest: bool,

    /// Time in which to send what waits when ending
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    drain_time: Duration,

    /// Do what bye does when standard input ends
    ///
    /// For an interface that shall not outlive the program that started it.
    #[arg(long)]
    end_with_stdin: bool,

    /// Put the time of day in front of each event: "time", in UTC, as RFC 3339 has it
    #[arg(long)]
    time: bool,

    /// Time that the name may take to resolve, and each of its addresses to connect
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5s",
        help_heading = "Limits",
        value_parser = duration::parse
    )]
    connect_time: Duration,

    #[command(flatten)]
    limits: ConnectionLimits,
}

/// The role of an interface in the game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// Controls an agent
    Actor,
    /// Watches
    Observer,
}

impl RoleName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Observer => "observer",
        }
    }
}

impl From<RoleName> for Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Actor => Self::Actor,
            RoleName::Observer => Self::Observer,
        }
    }
}

/// Takes a name that an engine can import: a module, a dot and a class.
pub(crate) fn parse_game(name: &str) -> Result<TypeName, &'static str> {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    if name.contains('.') && name.split('.').all(is_part) {
        Ok(TypeName::from(name))
    } else {
        Err("expected a module and a class, as in pursuit.PursuitGame")
    }
}

/// The reason why an interface ends.
enum Stop {
    /// The connection ended; this is how the program does.
    Closed(Result<Status, Error>),
    /// A signal came.
    Signal,
    /// A line asked for it, or the end of all lines.
    Line,
    /// Nobody can hear its events any more.
    Output(Result<(), Error>),
}

impl Join {
    pub(crate) fn run(self) -> Result<Status, Error> {
        if self.turns {
            return runtime::block_on(turns::play(self));
        }
        runtime::block_on(self.join())
    }

    async fn join(self) -> Result<Status, Error> {
        let mut signals = Signals::new().map_err(Error::Start)?;
        let role = self.role.map_or("interface", RoleName::as_str);
        let id = self.id.clone().unwrap_or_else(|| id::random(role));
        let input = Input::start(id.clone(), FORM, self.end_with_stdin)?;
        let ending = input.ending();
        let mut writer = EventWriter::start(self.time, self.newest)?;
        let client = tokio::select! {
            client = self.connect_in_time(&id) => match client {
                Ok(client) => client,
                Err(error) => return Err(tell_rejection(writer, error).await),
            },
            status = signals.next() => return Ok(status),
            ended = writer.ended() => return ended.map(|()| Status::Done),
        };
        let conversation = Conversation::new(
            client.connection().clone(),
            writer.events(),
            id,
            self.newest,
            self.part(),
        );
        let mut receiving = pin!(conversation.receive());
        let mut lines = Box::pin(conversation.do_lines(input));
        let stop = tokio::select! {
            // First of all it tells that it is connected.
            biased;
            closed = &mut receiving => Stop::Closed(closed),
            _ = signals.next() => Stop::Signal,
            () = &mut lines => Stop::Line,
            ended = writer.ended() => Stop::Output(ended),
        };
        let by_signal = matches!(stop, Stop::Signal);
        let deadline = Instant::now() + self.drain_time;
        let leave = async {
            let left = if by_signal {
                ending.finish(lines, deadline).await
            } else {
                0
            };
            conversation.leave(deadline, left, receiving).await
        };
        let end = async {
            match stop {
                Stop::Closed(closed) => match writer.finish().await {
                    // The reader that has the last event may leave.
                    Ok(()) | Err(Error::StdoutClosed) => closed,
                    Err(error) => Err(error),
                },
                Stop::Signal | Stop::Line => writer.finish_after(leave, self.drain_time).await?,
                Stop::Output(ended) => match (leave.await, ended) {
                    (Ok(Status::Done), ended) => ended.map(|()| Status::Done),
                    (left, _) => left,
                },
            }
        };
        tokio::select! {
            ended = end => ended,
            status = signals.next() => Ok(status),
        }
    }

    /// Connects, again and again if it is to wait for its engine.
    async fn connect_in_time(&self, id: &str) -> Result<Client, Error> {
        let deadline = self.wait.map(|wait| Instant::now() + wait);
        let (mut rest, longest) = RESTS;
        loop {
            let error = match self.connect(id).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            let left = deadline.map_or(Duration::ZERO, |it| {
                it.saturating_duration_since(Instant::now())
            });
            if left.is_zero() || !error.may_pass() {
                return Err(error);
            }
            sleep(rest.min(left)).await;
            rest = longest.min(rest * 2);
        }
    }

    async fn connect(&self, id: &str) -> Result<Client, Error> {
        let options = self.limits.socket_options();
        let credentials = self.token_file.read()?;
        let address = self.target(credentials.as_ref())?;
        let mut client = Client::builder(id)
            .limits(self.limits.limits())
            .protocols(self.protocols.into())
            .socket_options(options.connect_time(self.connect_time));
        if let Some(credentials) = &credentials {
            client = credentials.of_client(client);
        }
        if let Some(tls) = self.trust.tls(address.as_ref())? {
            client = client.tls(tls);
        }
        if let Some(address) = address {
            return client.connect(address).await.map_err(Error::Connect);
        }
        let found = client.discover(&self.search_options()).await;
        found.map_err(|error| Error::connect(error, self.search_time))
    }

    /// The address of the engine; `None` if it is searched for.
    fn target(&self, credentials: Option<&Credentials>) -> Result<Option<Target>, Error> {
        if self.discover {
            return Ok(None);
        }
        address::with_token(self.address.clone(), credentials).map(Some)
    }

    fn search_options(&self) -> SearchOptions {
        SearchOptions::default().timeout(self.search_time)
    }

    fn part(&self) -> Option<Part> {
        Some(Part {
            role: self.role?.into(),
            game: self.game.clone()?,
        })
    }
}

/// Tells that the server did not take this client, if it said so in protocol 2; the error is what the program ends with.
async fn tell_rejection(writer: EventWriter, error: Error) -> Error {
    let Error::Connect(ConnectError {
        kind: ConnectErrorKind::Rejected(rejected),
        target,
        ..
    }) = &error
    else {
        return error;
    };
    let event = Event::rejected_by(target, rejected);
    writer.events().tell(Source::Program, &event).await;
    match writer.finish().await {
        Ok(()) | Err(Error::StdoutClosed) => error,
        Err(failure) => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_game_is_a_module_and_a_class() {
        assert_eq!(parse_game("a.b.Game"), Ok(TypeName::from("a.b.Game")));
        for name in [
            "",
            "Game",
            "a.",
            ".Game",
            "a..Game",
            "a.b'.Game",
            "a b.Game",
            "a.2",
        ] {
            assert!(parse_game(name).is_err(), "{name:?}");
        }
    }
}
