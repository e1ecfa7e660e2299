//! `masep serve --seats`: an engine with a table, on standard input and output.

mod commands;
mod events;
mod rejections;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use masep::table::{self, Clock, How, Seat, Table, TableBuilder, TableError, View};
use masep::{Address, PeerId, RejectReason, TypeName, Value};
use tokio::sync::{RwLock, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use self::commands::{Ask, Command};
use self::events::TableEvent;
use self::rejections::TableRejections;
use super::Serve;
use super::stopping::Stopping;
use crate::address;
use crate::commands::{Input, Line};
use crate::error::Error;
use crate::events::{Event, EventWriter, Events};
use crate::failure::Failure;
use crate::signals::Signals;
use crate::status::Status;
use crate::{duration, id, join, lines};

const SEATS_HELP: &str = "\
The seats of a table, by their names: be the engine of a game whose players take turns

Unmodified pymasep interfaces play, and players of protocol 2 (`masep join --turns`), who come back by themselves when \
their connections are lost.

Out: listening; {\"event\":\"seated\",\"seat\":\"red\",\"id\":ID,\"address\":...}, with \"protocol\":2 and \"token\":NAME as connected has \
them without --seats; filled, when all are; {\"event\":\"asked\",\"turn\":N}, the \
answer to ask; {\"event\":\"decision\",\"turn\":N,\"seat\":\"red\",\"how\":\"played\",\"action\":...}, one for each seat that was \
asked, \"how\" played, default (--late) or none, \"why\" late, away, asleep, gone, dead, vacant, closed, undeliverable; away, \
asleep, awake, gone and vacant with a seat, back with what seated has; emptied, when nobody is left to decide; spectators with their number; \
ended; ignored, error; rejected, as without --seats, or with \"id\" and a reason of the table's: unknown_game, full, seat_taken, \
unknown_seat, forbidden and others.

In, one object a line: {\"ask\":{\"red\":VIEW,\"blue\":VIEW}}; a seat can be asked again when it is decided, whatever the \
others do. {\"deadline\":\"5s\"} beside ask is for this turn. {\"show\":VIEW} to the spectators; {\"finish\":{\"red\":VIEW}} \
ends an episode; {\"close\":N} ends turn N early; {\"close_seat\":\"red\"}, {\"open_seat\":\"red\"}; kick, ban and unban, as without --seats: the seat is kept for \
--grace; {\"pause\":true}, \
{\"resume\":true}; {\"end\":true}. A VIEW is any value, for pymasep peers a State: {\"$xml\":\"<State .../>\"}. Beside ask and \
finish {\"information\":{\"red\":{\"reward\":1}}}, beside show {\"information\":{...}} is what goes beside the State.";

/// The rules of a table.
#[derive(Debug, Args)]
#[command(next_help_heading = "Table")]
pub(super) struct TableOptions {
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help = SEATS_HELP.lines().next(), long_help = SEATS_HELP)]
    seats: Vec<String>,

    /// The game, as the name of its class; peers that name another one are turned away
    #[arg(long, value_name = "CLASS", requires = "seats", value_parser = join::parse_game)]
    game: Option<TypeName>,

    /// Time that a seat has in each turn [default: as much as it takes]
    #[arg(long, value_name = "TIME", requires = "seats", value_parser = duration::parse)]
    deadline: Option<Duration>,

    /// Time that a seat has for all turns together beyond their deadlines [default: none]
    #[arg(long, value_name = "TIME", requires = "seats", value_parser = duration::parse)]
    bank: Option<Duration>,

    /// The action of a seat that has none of its own, as JSON [default: there is none]
    #[arg(long, value_name = "VALUE", requires = "seats", value_parser = parse_value)]
    late: Option<Value>,

    /// Time that turns wait in all for a player whose connection is lost
    #[arg(
        long,
        value_name = "TIME",
        default_value = "30s",
        requires = "seats",
        value_parser = duration::parse
    )]
    grace: Duration,

    /// Time after which a seat whose player is away is gone, also if no turn waits for it
    #[arg(
        long,
        value_name = "TIME",
        default_value = "10m",
        requires = "seats",
        value_parser = duration::parse
    )]
    forget_time: Duration,

    /// Turns in a row that a seat may miss until it is not waited for; 0: any number
    #[arg(long, value_name = "N", default_value_t = 3, requires = "seats")]
    misses: u32,

    /// Let a player come back by its id alone, without the text that proves its seat
    #[arg(long, requires = "seats")]
    rejoin_by_id: bool,

    /// Let a newcomer have the seat of a pymasep peer that is away, if none is open that it wants and may have
    ///
    /// pymasep's interfaces have another id after each start, and no other way back. The newcomer is asked what waits there, and
    /// the one before does not get the seat back. The seats of players of protocol 2 are kept; that of a player with an
    /// access token goes to nobody with another.
    #[arg(long, requires = "seats")]
    strangers: bool,

    /// Seats whose pymasep peers do not answer the end of an episode; pymasep's own interfaces do
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "seats")]
    finals_unanswered: Vec<String>,
}

impl TableOptions {
    pub(super) const fn is_wanted(&self) -> bool {
        !self.seats.is_empty()
    }
}

/// Reads a value in its JSON form.
fn parse_value(text: &str) -> Result<Value, String> {
    let json = lines::parse_json(text.as_bytes()).map_err(|failure| failure.message)?;
    Value::from_json(&json).map_err(|error| error.to_string())
}

/// Plays until it is told to end.
pub(super) async fn serve(options: Serve) -> Result<Status, Error> {
    let mut signals = Signals::new().map_err(Error::Start)?;
    let writer = EventWriter::start(options.time, false)?;
    let events = writer.events();
    let id = options.id.clone().unwrap_or_else(|| id::random("engine"));
    let input = Input::start_with(commands::parse, options.end_with_stdin)?;
    let ending = input.ending();
    let (rejections, told) = TableRejections::new(events.clone());
    let table = tokio::select! {
        table = bind(&options, &id, told) => Arc::new(table?),
        status = signals.next() => return Ok(status),
    };
    let listening = TableEvent::Listening {
        id: &id,
        address: table.local_address(),
        target: options.certificate.target(&table.local_address()),
        pymasep_address: table.server().pymasep_address().cloned(),
        seats: &options.table.seats,
    };
    events.tell_other(&listening).await;
    let engine = Engine {
        table: table.clone(),
        events: events.clone(),
        turns: Arc::default(),
    };
    let telling = tokio::spawn(tell_events(
        table.clone(),
        events.clone(),
        engine.turns.clone(),
        rejections,
    ));
    let stopping = Stopping {
        signals,
        writer,
        ending,
        drain_time: options.drain_time,
    };
    let drain = |undone, deadline| end(&table, telling, &events, undone, deadline);
    stopping.run(engine.do_lines(input), drain).await
}

/// Ends the table, and tells what was not done and not sent by then.
async fn end(
    table: &Table,
    mut telling: JoinHandle<()>,
    events: &Events,
    undone: usize,
    deadline: Instant,
) -> Status {
    if undone > 0 {
        events.tell_other(&Event::undone(undone)).await;
    }
    let connections = table.server().registry().connections();
    let ended = timeout_at(deadline, table.end()).await;
    for connection in connections.iter().filter(|_| ended.is_err()) {
        if connection.unsent() > 0 {
            events.tell_other(&Event::cut_off(connection)).await;
        }
    }
    // The last event is that of the end.
    let told = timeout_at(deadline, &mut telling).await;
    telling.abort();
    match (ended, told) {
        (Ok(()), Ok(_)) if undone == 0 => Status::Done,
        _ => Status::NotSent,
    }
}

async fn bind(
    options: &Serve,
    id: &str,
    on_reject: impl Fn(&Address, &RejectReason) + Send + Sync + 'static,
) -> Result<Table, Error> {
    let address = address::or_default(options.address.clone())?;
    let builder = builder(options, id)?.on_reject(on_reject);
    let table = builder.bind(&address).await.map_err(|source| {
        unsound(&source).unwrap_or_else(|| options.cannot_listen(&address, &source))
    })?;
    if options.tokens.is_some() {
        options.certificate.warn_of_tokens(&table.local_address());
    }
    if options.announce {
        table.server().announce().map_err(Error::Announce)?;
    }
    Ok(table)
}

/// The table and its server, as the options describe them.
fn builder(options: &Serve, id: &str) -> Result<TableBuilder, Error> {
    let rules = &options.table;
    let clock = Clock {
        per_turn: rules.deadline,
        bank: rules.bank,
    };
    let mut builder = Table::builder(rules.game.as_ref().map_or("", |game| game.as_str()))
        .id(PeerId::from(id))
        .seats(&rules.seats)
        .clock(clock)
        .grace(rules.grace)
        .misses(rules.misses)
        .rejoins_by_id(rules.rejoin_by_id)
        .replaces_same_id(options.replace)
        .limits(options.limits.limits())
        .server_limits(options.shared.limits())
        .proxy_protocol(options.proxy_protocol)
        .socket_options(options.limits.socket_options())
        .protocols(options.protocols.into());
    if let Some(tokens) = options.tokens()? {
        builder = builder.tokens(tokens);
    }
    if let Some(pymasep) = &options.pymasep_listen {
        builder = builder
            .pymasep_listen(pymasep)
            .map_err(|error| super::usage(&error))?;
    }
    let (strangers, forget_time) = (rules.strangers, rules.forget_time);
    builder = builder.settings(move |settings| {
        let settings = settings.strangers(strangers);
        settings.forget_time(forget_time)
    });
    for seat in &rules.finals_unanswered {
        let seat = seat.clone();
        builder = builder.settings(move |settings| settings.finals_unanswered(&seat));
    }
    if let Some(tls) = options.certificate.tls() {
        builder = builder.tls(tls);
    }
    if let Some(late) = &rules.late {
        builder = builder.late_action(late.clone());
    }
    Ok(builder)
}

/// The error of seats that cannot be, if it is that.
fn unsound(source: &io::Error) -> Option<Error> {
    let error = source.get_ref()?.downcast_ref::<TableError>()?;
    let option = match error {
        TableError::UnknownSeat(_) => "--finals-unanswered",
        _ => "--seats",
    };
    Some(Error::Usage(format!("{option}: {error}")))
}

/// Tells what happens, until the table has ended; that behind all that is told of its turns.
async fn tell_events(
    table: Arc<Table>,
    events: Events,
    turns: Arc<RwLock<()>>,
    mut rejections: TableRejections,
) {
    loop {
        let event = tokio::select! {
            biased;
            event = table.event() => event,
            Some(rejected) = rejections.next() => {
                rejections.tell(rejected).await;
                continue;
            }
        };
        let Some(event) = event else {
            return;
        };
        if event == table::Event::Ended {
            let _ = turns.write().await;
        }
        if let Some(event) = TableEvent::new(&table, event) {
            events.tell_other(&event).await;
        }
    }
}

/// The engine: it does what the lines say.
struct Engine {
    table: Arc<Table>,
    events: Events,
    /// Each turn reads it for as long as something is to be told of it.
    turns: Arc<RwLock<()>>,
}

impl Engine {
    async fn do_lines(&self, mut input: Input<Command>) {
        while let Some(Line { number, command }) = input.next().await {
            let done = match command {
                Ok(Command::End) => return,
                Ok(command) => self.run(command).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = done {
                self.events.tell_error(Some(number), &failure).await;
            }
        }
    }

    async fn run(&self, command: Command) -> Result<(), Failure> {
        let table = &self.table;
        match command {
            Command::Ask(ask) => return self.ask(ask).await,
            Command::Show(view) => table.show(view)?,
            Command::Finish(views) => table.finish_episode(|seat| view_of(&views, seat))?,
            Command::Close(turn) => table.close(turn),
            Command::CloseSeat(seat) => table.close_seat(&seat)?,
            Command::OpenSeat(seat) => table.open_seat(&seat)?,
            Command::Pause => table.pause(),
            Command::Resume => table.resume(),
            Command::SendAway(who) => who.carry_out(table.server())?,
            Command::End => {}
        }
        Ok(())
    }

    /// Opens a turn, and tells its decisions as they come.
    async fn ask(&self, Ask { views, time }: Ask) -> Result<(), Failure> {
        let (opened, is_open) = oneshot::channel();
        let (table, events) = (self.table.clone(), self.events.clone());
        let is_told = self.turns.clone().read_owned().await;
        tokio::spawn(async move {
            let _is_told = is_told;
            let seats = views.iter().map(|(seat, _)| seat.as_str());
            let turn = table.open_timed(seats, time, |seat: &Seat| view_of(&views, seat));
            let mut turn = match turn {
                Ok(turn) => turn,
                Err(error) => {
                    let _ = opened.send(Err(error));
                    return;
                }
            };
            let number = turn.number();
            events.tell_other(&TableEvent::Asked { turn: number }).await;
            let _ = opened.send(Ok(()));
            while let Some(Ok(decided)) = turn.next().await {
                let how: How = decided.how();
                let decision = TableEvent::Decision {
                    turn: decided.turn(),
                    seat: decided.seat(),
                    how: how.as_str(),
                    why: how.cause().map(|cause| cause.as_str()),
                    action: decided.action(),
                };
                events.tell_other(&decision).await;
            }
        });
        Ok(is_open.await.unwrap_or(Err(TableError::Over))?)
    }
}

/// The view of a seat, among those of a line.
fn view_of(views: &[(String, View)], seat: &Seat) -> View {
    let its = views.iter().find(|(name, _)| name == seat.name());
    its.map_or_else(View::default, |(_, view)| view.clone())
}

impl From<TableError> for Failure {
    fn from(error: TableError) -> Self {
        let kind = match &error {
            TableError::UnknownSeat(_) => "unknown_seat",
            TableError::SeatTwice(_) => "seat_twice",
            TableError::TurnIsOpen(_) => "turn_is_open",
            TableError::Over => "over",
            _ => "table",
        };
        Self::new(kind, error.to_string())
    }
}
