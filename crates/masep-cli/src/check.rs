//! `masep check`: whether a server is there and takes clients, for people and monitors.

mod environments;
mod report;

use std::time::{Duration, Instant};

use clap::Args;
use masep::tls::ClientTls;
use masep::{
    Client, ClientBuilder, ConnectError, ConnectErrorKind, Connection, Limits, PeerId, Protocol,
    SocketOptions, Target, TypeName,
};
use tokio::time::{interval, timeout};

use self::report::{Report, Verdict};
use crate::certificate::Shown;
use crate::error::Error;
use crate::output::Output;
use crate::protocols::ProtocolNames;
use crate::signals::Signals;
use crate::status::Status;
use crate::tls::Trust;
use crate::token::{Credentials, TokenFile};
use crate::{address, duration, id, join, runtime};

/// The id by which it comes.
const ID: &str = "masep check";
/// The pause between two looks for the answer to a ping.
const LOOK: Duration = Duration::from_micros(200);
/// The time for that answer. Some servers give it only while somebody calls them.
const PING_TIME: Duration = Duration::from_secs(1);
/// The time that all may take beyond that of each step.
const MARGIN: Duration = Duration::from_millis(250);

const LONG_ABOUT: &str = "\
Look whether a server is there and takes clients, and say what it tells: its protocol and id, the game and the free seats \
of a table, the time of a round trip, and what a client would be refused for. It connects, as a client that says nothing, \
and leaves with a BYE: it never takes a seat.

What a client may be refused for depends on what it is: --game and --token-file are what it would say. One that is refused \
is told nothing of the game. A pymasep engine does not say what it plays; it keeps each id that was ever there for ever, so \
--id is the same each time.

Of masep+tls:// also the certificate that it shows: its names, from when to when it is valid, and the days that are left.

A server of environments (masep.gymnasium, masep.pettingzoo) tells its name for them and how many clients can still have one. \
None is made, unless --make says so: then also what it is, with its spaces.

With --json one object: {\"address\":...,\"status\":...} and, where they are known, \"protocol\", \"id\", \"profile\", \
\"game\", \"seats\" (or places for environments) and how many of them are \"free\", \"connect_ms\", \"round_trip_ms\", \
\"max_payload\", \"heartbeat_ms\", \"instance\", \"environment\", \"certificate\":{\"names\",\"begins\",\"ends\",\"days_left\"}, \
\"refused\":{\"code\",\"text\",\"retry_ms\"}, \"error\". \"reason\" is a stable name, for any status but ok.

Exit codes, for monitors, with the status and its reasons:
  0  ok                it takes clients
  2                    wrong usage
  3  unreachable       nobody answers there: timed_out, connection_refused, unreachable, not_found,
                       closed, reset, io
     other_protocol    it does not speak as it was asked to: other_protocol, bad_hello, not_tls,
                       tls_version, tls_no_protocol, tls_incompatible, tls_alert, tls_broken,
                       truncated; other_profile: it takes a client that wants environments, and
                       does not say that it has any; no_environment: --make finds none
  5  refused           it does not take this client: unauthorized, forbidden, banned,
                       too_many_connections, unknown_game, tls_required, environment_failed
                       (with --make), among others
  7  certificate       it is not trusted: certificate_expired, certificate_not_yet_valid,
                       certificate_name, certificate_issuer, certificate_revoked, certificate_bad
     certificate_ends  it ends within --days";

const EXAMPLE: &str = "\
Example
  $ masep check engine.lan:60000
  engine.lan:60000 takes clients
    id          engine
    protocol    2
    game        pkg.mod.Game
    seats       1 of 2 free
    instance    5f0c2a9e41d7b386
    connect     0.412 ms
    round trip  0.103 ms
    frames      at most 1048576 bytes
";

/// Check that a server is there and takes clients
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = EXAMPLE, visible_alias = "ping")]
pub(crate) struct Check {
    /// The server's address [default: `MASEP_ADDRESS`, else 127.0.0.1:60000]
    #[arg(value_name = "ADDRESS", value_parser = address::parse)]
    address: Option<Target>,

    /// The id by which it comes
    #[arg(long, value_name = "ID", default_value = ID, value_parser = id::parse)]
    id: String,

    /// The game that a client would see, as the name of its class
    #[arg(long, value_name = "CLASS", value_parser = join::parse_game)]
    game: Option<TypeName>,

    #[command(flatten)]
    token_file: TokenFile,

    /// The generations of the protocol to speak; a scheme of the address counts more
    #[arg(long, value_name = "NAME", value_enum, default_value_t = ProtocolNames::Both)]
    protocols: ProtocolNames,

    /// Have an environment made, by a server of environments, and say what it is. That takes a place for a moment
    #[arg(long)]
    make: bool,

    /// Days that the server's certificate is still to be valid
    #[arg(long, value_name = "N", default_value_t = 14)]
    days: i64,

    #[command(flatten)]
    trust: Trust,

    /// Time for all of it
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    timeout: Duration,

    /// One object of JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(self) -> Result<Status, Error> {
        runtime::block_on(self.check())
    }

    async fn check(self) -> Result<Status, Error> {
        let mut signals = Signals::new().map_err(Error::Start)?;
        let credentials = self.token_file.read()?;
        let target = address::with_token(self.address.clone(), credentials.as_ref())?;
        let shown = Shown::default();
        let tls = self.tls(&target, credentials.as_ref(), &shown)?;
        let client = |id: &str| self.client(id, credentials.as_ref(), tls.clone());
        let look = async {
            let mut report = self.look(&target, &client).await?;
            if let Some(certificate) = shown.certificate() {
                report.learn_certificate(certificate, self.days);
            }
            Ok::<_, Error>(report)
        };
        let report = tokio::select! {
            report = look => report?,
            status = signals.next() => return Ok(status),
        };
        match self.print(&report) {
            // A monitor goes by the exit code, whether or not it reads.
            Ok(()) | Err(Error::StdoutClosed) => Ok(report.status.status()),
            Err(error) => Err(error),
        }
    }

    /// The authorities that it trusts, by settings that keep the certificate which the server shows. The server sees one
    /// connection, and no other one for that.
    fn tls(
        &self,
        target: &Target,
        credentials: Option<&Credentials>,
        shown: &Shown,
    ) -> Result<Option<ClientTls>, Error> {
        let trusted = self.trust.tls(Some(target))?;
        if !target.is_tls() {
            return Ok(trusted);
        }
        let of_token = || credentials.and_then(Credentials::tls);
        let tls = trusted.or_else(of_token).unwrap_or_default();
        Ok(Some(shown.by(tls)))
    }

    fn print(&self, report: &Report) -> Result<(), Error> {
        let mut output = Output::new(std::io::stdout().lock());
        if self.json {
            output.json(report)?;
        } else {
            for line in report.lines() {
                output.text(&line)?;
            }
        }
        output.flush()
    }

    async fn look(
        &self,
        target: &Target,
        client_of: &impl Fn(&str) -> ClientBuilder,
    ) -> Result<Report, Error> {
        let look = async {
            let begun = Instant::now();
            let mut client = client_of(&self.id);
            let mut connected = client.clone().connect(target).await;
            if self.id == ID && connected.as_ref().is_err_and(is_another_there) {
                // Another monitor looks at the same time. In protocol 2, ids are not kept.
                client = client_of(&id::random(ID));
                connected = client.clone().connect(target).await;
            }
            let mut connecting = begun;
            if connected.as_ref().is_err_and(environments::are_served) {
                connecting = Instant::now();
                connected = environments::looking(client.clone()).connect(target).await;
            }
            let report = match connected {
                Ok(client) => seen(target, client.connection(), connecting.elapsed()).await,
                Err(error) => Report::failed(target, error)?,
            };
            if self.make && report.status == Verdict::Ok {
                let left = self.timeout.saturating_sub(begun.elapsed());
                return self.make(target, &client, report, left).await;
            }
            Ok(report)
        };
        // The client's own bounds are the same, and say at what it was.
        let most = self.timeout.saturating_add(MARGIN);
        timeout(most, look).await.unwrap_or_else(|_elapsed| {
            let time = humantime::format_duration(self.timeout);
            Ok(Report::silent(target, format!("no answer within {time}")))
        })
    }

    /// Has a server of environments make one, in this time.
    async fn make(
        &self,
        target: &Target,
        client: &ClientBuilder,
        mut report: Report,
        time: Duration,
    ) -> Result<Report, Error> {
        if report.profile.is_none() {
            report.speaks_otherwise("it is no server of environments".to_owned());
            return Ok(report);
        }
        match timeout(time, environments::make(client, target)).await {
            Ok(made) => report.learn_environment(made)?,
            Err(_elapsed) => {
                let time = humantime::format_duration(self.timeout);
                report.fell_silent(format!("no environment was made within {time}"));
            }
        }
        Ok(report)
    }

    /// The client that it comes as.
    fn client(
        &self,
        id: &str,
        credentials: Option<&Credentials>,
        tls: Option<ClientTls>,
    ) -> ClientBuilder {
        let mut builder = Client::builder(PeerId::from(id))
            .protocols(self.protocols.into())
            .limits(Limits::default().hello_time(self.timeout))
            .socket_options(SocketOptions::default().connect_time(self.timeout));
        // Without a role it takes nobody's seat, and a token for any role will do.
        if let Some(game) = &self.game {
            builder = builder.game(game.clone());
        }
        if let Some(credentials) = credentials {
            builder = credentials.of_client(builder);
        }
        if let Some(tls) = tls {
            builder = builder.tls(tls);
        }
        builder
    }
}

/// True if the server refuses this client because it has another one of the same id.
fn is_another_there(error: &ConnectError) -> bool {
    matches!(&error.kind, ConnectErrorKind::Rejected(rejected) if &*rejected.code == "duplicate_id")
}

/// The report on a server that has taken the client, which leaves.
async fn seen(target: &Target, connection: &Connection, connect: Duration) -> Report {
    let ping = timeout(PING_TIME, round_trip(connection)).await;
    let mut report = Report::new(target, Verdict::Ok);
    let ping = ping.ok().flatten().map(in_ms);
    report.learn(connection, in_ms(connect), ping);
    connection.bye().await;
    report
}

/// The time of a ping, where the protocol has one.
async fn round_trip(connection: &Connection) -> Option<Duration> {
    if connection.protocol() == Protocol::Pymasep {
        // A moment later it is known whether this is a rejection.
        let _ = timeout(Duration::from_millis(200), connection.closed()).await;
        return None;
    }
    if !connection.ping() {
        return None;
    }
    let mut look = interval(LOOK);
    loop {
        tokio::select! {
            biased;
            _ = connection.closed() => return None,
            _ = look.tick() => {}
        }
        // The answer is read when somebody looks.
        let _ = connection.try_recv();
        if let Some(time) = connection.rtt() {
            return Some(time);
        }
    }
}

fn in_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
