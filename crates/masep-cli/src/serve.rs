//! `masep serve`: an engine's end on standard input and output.

mod handler;
mod rejections;
mod sending;
mod stopping;
mod table;
mod told;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use masep::{Duplicates, Server, Target, Tokens, WhenFull};
use tokio::time::Instant;

use self::handler::TellEvents;
use self::sending::Sending;
use self::stopping::Stopping;
use self::table::TableOptions;
use crate::address;
use crate::commands::{Form, Input};
use crate::error::Error;
use crate::events::{self, Event, EventWriter, Events, Source};
use crate::limits::{ConnectionLimits, SharedLimits};
use crate::protocols::ProtocolNames;
use crate::signals::Signals;
use crate::status::Status;
use crate::tls::Certificate;
use crate::{duration, id, runtime};

const BEFORE_EVENTS: &str = "\
Be an engine's end: take connections of interfaces, tell what happens on standard output, send what \
standard input says. Both are lines of JSON.

Out, one object a line:
  {\"event\":\"listening\",\"id\":...,\"address\":...,\"target\":...}
      first: connections are taken; \"target\": the address with the scheme that clients need,
      masep+tls:// with TLS; \"pymasep_address\" with --pymasep-listen
  {\"event\":\"connected\",\"peer\":ID,\"address\":...}
      \"protocol\":2 if it is not pymasep's; \"token\": the name of its access token
  {\"event\":\"rejected\",\"address\":...,\"reason\":...,\"detail\":...}
      a connection was not taken";

const BEHIND_EVENTS: &str = "\
here also queue_full, shutdown, replaced, revoked, narrowed and kicked. Reasons of rejected: closed_before_hello, \
bad_hello, hello_timeout, crowded_out, duplicate_id, reserved_id, too_many_connections, stopped, other_protocol, unauthorized, forbidden, banned, and with or without TLS those that begin with tls_; \
\"skipped\":N says that N before it could not be told. \"detail\" is for people.

\"peer\" is the id that the connection said in its hello; the \"src_sub_app\" in a message is a claim, \
which nothing checks. For each id the events come in order: connected, messages and frames, closed. \
Peers whose events nobody reads have to wait; each has its share of the output, by bytes.

In, one object a line, with one of these actions:
  {\"to\":ID,\"message\":{...}}     send a message; without src_sub_app it is from this server
  {\"to\":ID,\"bytes_hex\":\"00ff\"}  send a frame of these bytes
  {\"to\":ID,\"bye\":true}          send what waits and BYE, and close
  {\"kick\":{\"id\":ID}}          end its connection, with the code kicked; with {\"token\":NAME} or
                                {\"address\":IP} all with that token, or from that address
  {\"ban\":{\"id\":ID}}           the same, and refuse it from then on; {\"unban\":{...}}: no more
  {\"shutdown\":true}             bye for all, and end
\"to\":\"*\" is for all who are connected; a peer with the id * is not taken, so that the id of an event \
never means everybody. A line that cannot be done gives an error event and has no other effect; it \
does not change the exit code. A line has at most 7 MiB, as an array of 5 MiB takes; larger frames are for the libraries.

With --seats it is the engine of a table: it asks, the table sees to who is late, lost or back. See \
--seats.

The end of standard input does not stop it, unless --end-with-stdin is given. SIGINT (Ctrl-C), \
SIGTERM, SIGHUP and SIGQUIT do what shutdown does, after the lines that were read before; a second \
one ends at once. When standard output is closed, all peers are told BYE. Frames that could not be \
sent in --drain-time are told in an error event of the kind cut_off, with \"peer\" and \"frames\", or with \"lines\" if lines were not \
done, and the exit code is 6.";

const EXAMPLE: &str = "\
Example: an engine that greets (two terminals)
  $ masep serve --id engine
  {\"event\":\"listening\",\"id\":\"engine\",\"address\":\"127.0.0.1:60000\",\"target\":\"127.0.0.1:60000\"}
  {\"event\":\"connected\",\"peer\":\"agent\",\"address\":\"127.0.0.1:40322\"}
  {\"to\":\"agent\",\"message\":{\"msg_type\":\"observation\",\"params\":{\"step\":0}}}

  $ masep join --id agent
  {\"event\":\"connected\",\"peer\":\"engine\",\"address\":\"127.0.0.1:60000\",\"id\":\"agent\"}
  {\"event\":\"message\",\"peer\":\"engine\",\"message\":{\"msg_type\":\"observation\",...}}
";

const FORM: Form = Form {
    example: r#"{"to":"agent","message":{"msg_type":"observation","params":{"step":0}}}"#,
    is_servers: true,
};

/// The time that a line for a peer whose queue is full holds up the lines after it: long enough for one
/// that is only slow, short enough for the others.
const PATIENCE: Duration = Duration::from_secs(1);

/// An engine's end as JSON lines on standard input and output
#[derive(Debug, Args)]
#[command(long_about = [BEFORE_EVENTS, events::HELP, "\n", events::REASONS, BEHIND_EVENTS].concat(), after_long_help = EXAMPLE)]
pub(crate) struct Serve {
    /// Address to listen on; port 0 takes a free one [default: `MASEP_ADDRESS`, else 127.0.0.1:60000]
    ///
    /// Host and port, an IPv6 address in brackets; pymasep:// or tcp:// may stand in front. 0.0.0.0
    /// listens on every IPv4 address of this host, `[::]` on IPv6 too. Or `unix:///PATH`, a Unix socket,
    /// which is faster, for processes of this machine alone: its file has the permissions that umask leaves, and goes with
    /// the server.
    #[arg(value_name = "ADDRESS", value_parser = address::parse)]
    address: Option<Target>,

    /// The server's id, which its peers get to know [default: engine- and a random number]
    #[arg(long, value_name = "ID", value_parser = id::parse)]
    id: Option<String>,

    /// Answer the LAN search (`masep join --discover`, pymasep's search)
    #[arg(long)]
    announce: bool,

    /// Expect a header of the PROXY protocol (version 1 or 2) in front of each connection: behind a load balancer
    ///
    /// Clients then have the addresses that it says. Only where nobody else can connect: the header is a claim.
    #[arg(long)]
    proxy_protocol: bool,

    /// The generations of the protocol that peers may speak
    ///
    /// masep:// and pymasep:// in front of the address are the same as these names here, and count more.
    #[arg(long, value_name = "NAME", value_enum, default_value_t = ProtocolNames::Both)]
    protocols: ProtocolNames,

    #[command(flatten)]
    certificate: Certificate,

    /// Let a new connection take the id of an old one, which is ended, instead of refusing it
    #[arg(long)]
    replace: bool,

    /// Take only those who have one of the tokens in this file, which `masep token` makes
    ///
    /// The file is read anew when it changes: a token that is taken out ends its connections. Peers of pymasep's protocol have
    /// no tokens: they are refused, unless there is --pymasep-listen.
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,

    /// Listen on this address too, for peers of pymasep's protocol alone, which need no token there
    ///
    /// A Unix socket, or an address that strangers do not reach. No address is trusted for being a local one: behind a
    /// tunnel, a reverse proxy or a container every stranger comes from 127.0.0.1.
    #[arg(long, value_name = "ADDRESS", value_parser = address::parse)]
    pymasep_listen: Option<Target>,

    /// Policy for a frame to a peer that already has as many waiting as it may
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = FullPolicy::Wait, conflicts_with = "seats")]
    when_full: FullPolicy,

    /// Time in which to send what waits when ending; who has not taken it by then is cut off
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    drain_time: Duration,

    /// Do what shutdown does when standard input ends
    ///
    /// For a server that shall not outlive the program that started it.
    #[arg(long)]
    end_with_stdin: bool,

    /// Put the time of day in front of each event: "time", in UTC, as RFC 3339 has it
    #[arg(long)]
    time: bool,

    #[command(flatten)]
    shared: SharedLimits,

    /// Frames that are no message taken from one peer in a second, after the first 1,024; 0: all
    ///
    /// The peer is read no faster than that: one that sends garbage without pause shall not keep the
    /// reader of the events from the others.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        conflicts_with = "seats",
        help_heading = "Limits"
    )]
    bad_frames: u32,

    #[command(flatten)]
    limits: ConnectionLimits,

    #[command(flatten)]
    table: TableOptions,
}

/// The policy for a frame to a queue that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FullPolicy {
    /// Wait, and all lines after it with it; at most 1s (or --write-time), then disconnect
    Wait,
    /// Drop the oldest frame that waits
    Newest,
    /// End the connection
    Disconnect,
}

impl From<FullPolicy> for WhenFull {
    fn from(policy: FullPolicy) -> Self {
        match policy {
            FullPolicy::Wait => Self::Wait,
            FullPolicy::Newest => Self::NewestWins,
            FullPolicy::Disconnect => Self::Disconnect,
        }
    }
}

impl Serve {
    pub(crate) fn run(self) -> Result<Status, Error> {
        if self.table.is_wanted() {
            return runtime::block_on(table::serve(self));
        }
        runtime::block_on(self.serve())
    }

    async fn serve(self) -> Result<Status, Error> {
        let mut signals = Signals::new().map_err(Error::Start)?;
        let writer = EventWriter::start(self.time, false)?;
        let events = writer.events();
        let id = self.id.clone().unwrap_or_else(|| id::random("engine"));
        let input = Input::start(id.clone(), FORM, self.end_with_stdin)?;
        let ending = input.ending();
        let server = tokio::select! {
            server = self.listen(&id, &events) => Arc::new(server?),
            status = signals.next() => return Ok(status),
        };
        let sending = Sending {
            server: server.clone(),
            events: events.clone(),
            when_full: self.when_full.into(),
            patience: self.limits.limits().write_time.min(PATIENCE),
        };
        let stopping = Stopping {
            signals,
            writer,
            ending,
            drain_time: self.drain_time,
        };
        let drain = |undone, deadline| shut_down(server, deadline, undone, &events);
        stopping.run(sending.do_lines(input), drain).await
    }

    /// Binds, and tells so before anything else.
    async fn listen(&self, id: &str, events: &Events) -> Result<Server, Error> {
        let address = address::or_default(self.address.clone())?;
        let (handler, started) = TellEvents::new(events.clone(), self.bad_frames);
        let mut builder = Server::builder(id);
        if let Some(tls) = self.certificate.tls() {
            builder = builder.tls(tls);
        }
        let mut builder = builder
            .limits(self.limits.limits())
            .server_limits(self.shared.limits())
            .socket_options(self.limits.socket_options())
            .duplicates(if self.replace {
                Duplicates::Replace
            } else {
                Duplicates::Refuse
            })
            .protocols(self.protocols.into())
            .proxy_protocol(self.proxy_protocol)
            .handler(handler);
        if let Some(tokens) = self.tokens()? {
            builder = builder.tokens(tokens);
        }
        if let Some(pymasep) = &self.pymasep_listen {
            builder = builder
                .pymasep_listen(pymasep)
                .map_err(|error| usage(&error))?;
        }
        let server = builder
            .bind(&address)
            .await
            .map_err(|source| self.cannot_listen(&address, &source))?;
        if self.tokens.is_some() {
            self.certificate.warn_of_tokens(&server.local_address());
        }
        if self.announce {
            server.announce().map_err(Error::Announce)?;
        }
        let address = server.local_address();
        let listening = Event::Listening {
            id,
            target: &self.certificate.target(&address),
            address,
            pymasep_address: server.pymasep_address().cloned(),
        };
        events.tell(Source::Program, &listening).await;
        started.send_replace(true);
        Ok(server)
    }

    /// The error of a server that has one address or two.
    fn cannot_listen(&self, address: &Target, source: &io::Error) -> Error {
        match self.pymasep_listen {
            Some(_) => Error::listen_either(address, source),
            None => Error::listen(address, source),
        }
    }

    /// Those who are taken; `None` for everybody.
    fn tokens(&self) -> Result<Option<Tokens>, Error> {
        let tokens = self.tokens.as_ref().map(Tokens::file).transpose();
        tokens.map_err(|error| Error::Unusable(error.to_string()))
    }
}

fn usage(error: &io::Error) -> Error {
    Error::Usage(error.to_string())
}

/// Ends all connections, and tells what was not sent by then: to peers, and of the lines that were read.
async fn shut_down(
    server: Arc<Server>,
    deadline: Instant,
    undone: usize,
    events: &Events,
) -> Status {
    let time = deadline.saturating_duration_since(Instant::now());
    if undone > 0 {
        events.tell(Source::Program, &Event::undone(undone)).await;
    }
    let connections = server.registry().connections();
    // The lines have ended, and with them their part of it.
    let Some(server) = Arc::into_inner(server) else {
        return Status::NotSent;
    };
    let report = server.shutdown(time).await;
    for connection in &connections {
        if report.cut.contains(connection.peer()) {
            let cut_off = Event::cut_off(connection);
            events.tell(Source::Program, &cut_off).await;
        }
    }
    if undone == 0 && report.cut.is_empty() {
        Status::Done
    } else {
        Status::NotSent
    }
}
