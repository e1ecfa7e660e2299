//! `masep check`: whether a server is there and takes clients, for people and monitors.

use std::time::{Duration, Instant};

use clap::Args;
use masep::tls::{ClientTls, TlsFault};
use masep::{
    Client, ClientBuilder, ConnectError, ConnectErrorKind, Connection, Limits, PeerId, Protocol,
    Rejected, Role, SocketOptions, Target, TypeName,
};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::{interval, timeout};

use crate::certificate::ShownCertificate;
use crate::error::Error;
use crate::output::Output;
use crate::protocols::ProtocolNames;
use crate::signals::Signals;
use crate::status::Status;
use crate::tls::Trust;
use crate::token::{Credentials, TokenFile};
use crate::{address, duration, id, join, runtime};

/// The pause between two looks for the answer to a ping.
const LOOK: Duration = Duration::from_micros(200);

const LONG_ABOUT: &str = "\
Look whether a server is there and takes clients, and say what it tells: its protocol and id, the time of a round trip, \
and what a client would be refused for. It connects, as a client that says nothing, and leaves with a BYE.

What a client may be refused for depends on what it is: --game and --token-file are what it would say. It comes as a \
spectator where --game is given, and never takes a seat.

A pymasep engine keeps each id that was ever there for ever, so --id is the same each time.

With --json one object: {\"address\":...,\"status\":...} with \"protocol\", \"id\", \"connect_ms\", \"round_trip_ms\", \
\"max_payload\", \"heartbeat_ms\", \"instance\" where they are known, and \"error\" or \"refused\":{\"code\",\"text\",\
\"retry_ms\"}.

Of masep+tls:// also the certificate that it shows: its names, from when to when it is valid, and the days that are left; \
with --json as \"certificate\":{\"names\",\"begins\",\"ends\",\"days_left\"}.

Exit codes, for monitors: 0 it takes clients; 3 nobody answers there, or not in this protocol; 5 it is there and refuses \
this client; 7 its certificate is not trusted, or ends within --days; 2 wrong usage.";

const EXAMPLE: &str = "\
Example
  $ masep check engine.lan:60000
  engine.lan:60000 takes clients
    id          engine
    protocol    2
    connect     0.412 ms
    round trip  0.103 ms
";

/// Check that a server is there and takes clients
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = EXAMPLE, visible_alias = "ping")]
pub(crate) struct Check {
    /// The server's address [default: `MASEP_ADDRESS`, else 127.0.0.1:60000]
    #[arg(value_name = "ADDRESS", value_parser = address::parse)]
    address: Option<Target>,

    /// The id by which it comes
    #[arg(long, value_name = "ID", default_value = "masep check", value_parser = id::parse)]
    id: String,

    /// The game that a client would see, as the name of its class
    #[arg(long, value_name = "CLASS", value_parser = join::parse_game)]
    game: Option<TypeName>,

    #[command(flatten)]
    token_file: TokenFile,

    /// The generations of the protocol to speak; a scheme of the address counts more
    #[arg(long, value_name = "NAME", value_enum, default_value_t = ProtocolNames::Both)]
    protocols: ProtocolNames,

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

/// The report on a server, as it is printed.
#[derive(Debug, Serialize)]
struct Report {
    address: String,
    status: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_payload: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heartbeat_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Refused>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The reason why a client is refused, in the server's words.
#[derive(Debug, Serialize)]
struct Refused {
    code: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<u64>,
}

/// The certificate that the server shows.
#[derive(Debug, Serialize)]
struct Shown {
    names: Vec<String>,
    begins: String,
    ends: String,
    days_left: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    CertificateEnds,
    Certificate,
    Refused,
    Unreachable,
}

impl Verdict {
    const fn status(self) -> Status {
        match self {
            Self::Ok => Status::Done,
            Self::Refused => Status::Rejected,
            Self::Certificate | Self::CertificateEnds => Status::Certificate,
            Self::Unreachable => Status::NoConnection,
        }
    }

    const fn in_words(self) -> &'static str {
        match self {
            Self::Ok => "takes clients",
            Self::Refused => "is there, and refuses this client",
            Self::Certificate => "shows a certificate that is not trusted",
            Self::CertificateEnds => "takes clients, and its certificate ends soon",
            Self::Unreachable => "does not answer",
        }
    }
}

impl Check {
    pub(crate) fn run(self) -> Result<Status, Error> {
        runtime::block_on(self.check())
    }

    async fn check(self) -> Result<Status, Error> {
        let mut signals = Signals::new().map_err(Error::Start)?;
        let credentials = self.token_file.read()?;
        let target = address::with_token(self.address.clone(), credentials.as_ref())?;
        let tls = self.trust.tls(Some(&target))?;
        let client = self.client(credentials, tls);
        let mut report = tokio::select! {
            report = self.look(&target, client) => report?,
            status = signals.next() => return Ok(status),
        };
        if target.is_tls() {
            report.certificate = self.certificate(&target).await;
            let days = report.certificate.as_ref().map(|it| it.days_left);
            if report.status == Verdict::Ok && days.is_some_and(|days| days < self.days) {
                report.status = Verdict::CertificateEnds;
            }
        }
        let mut output = Output::new(std::io::stdout().lock());
        if self.json {
            output.json(&report)?;
        } else {
            for line in report.lines() {
                output.text(&line)?;
            }
        }
        output.flush()?;
        Ok(report.status.status())
    }

    /// The certificate that the server shows to anybody.
    async fn certificate(&self, target: &Target) -> Option<Shown> {
        let addresses = target.resolve().await.ok()?;
        let host = target.host_and_port().map(|(host, _)| host.to_owned());
        let name = self.trust.name().map(str::to_owned).or(host)?;
        let time = self.timeout;
        let looked = tokio::task::spawn_blocking(move || {
            let mut failure = std::io::ErrorKind::AddrNotAvailable.into();
            for address in addresses.iter().filter_map(masep::Address::tcp) {
                match ShownCertificate::of_server(address, &name, time) {
                    Ok(certificate) => return Ok(certificate),
                    Err(error) => failure = error,
                }
            }
            Err(failure)
        });
        match looked.await.ok()? {
            Ok(certificate) => Some(Shown::from(certificate)),
            Err(error) => {
                tracing::info!("the server's certificate cannot be looked at: {error}");
                None
            }
        }
    }

    async fn look(&self, target: &Target, client: ClientBuilder) -> Result<Report, Error> {
        let report = Report::of(target, Verdict::Unreachable);
        let look = async {
            let begun = Instant::now();
            let client = match client.connect(target).await {
                Ok(client) => client,
                Err(error) => return failed(report, error),
            };
            let connect = begun.elapsed();
            let connection = client.connection();
            let mut report = Report::of(target, Verdict::Ok);
            report.connect_ms = Some(in_ms(connect));
            report.learn(connection);
            report.round_trip_ms = round_trip(connection).await.map(in_ms);
            if let Some(refused) = refused_at_once(connection) {
                report.status = Verdict::Refused;
                report.refused = Some(refused);
            }
            connection.bye().await;
            Ok(report)
        };
        match timeout(self.timeout, look).await {
            Ok(looked) => looked,
            Err(_elapsed) => {
                let mut report = Report::of(target, Verdict::Unreachable);
                let time = humantime::format_duration(self.timeout);
                report.error = Some(format!("no answer within {time}"));
                Ok(report)
            }
        }
    }

    /// The client that it comes as.
    fn client(&self, credentials: Option<Credentials>, tls: Option<ClientTls>) -> ClientBuilder {
        let mut builder = Client::builder(PeerId::from(self.id.as_str()))
            .protocols(self.protocols.into())
            .limits(Limits::default().hello_time(self.timeout))
            .socket_options(SocketOptions::default().connect_time(self.timeout));
        if let Some(game) = &self.game {
            // A spectator takes nobody's seat.
            builder = builder.role(Role::Observer).game(game.clone());
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

/// The report on a server to which there is no connection. Wrong usage is an error of its own.
fn failed(mut report: Report, error: ConnectError) -> Result<Report, Error> {
    match &error.kind {
        ConnectErrorKind::Address(_)
        | ConnectErrorKind::Token(_)
        | ConnectErrorKind::TlsSettings(_) => {
            return Err(Error::Connect(error));
        }
        ConnectErrorKind::Tls(TlsFault::Certificate(_)) => {
            report.status = Verdict::Certificate;
            report.error = Some(Error::Connect(error).to_string());
        }
        ConnectErrorKind::Rejected(rejected) => {
            report.status = Verdict::Refused;
            report.protocol = Some(Protocol::Masep2.number());
            report.refused = Some(Refused::from(&**rejected));
        }
        ConnectErrorKind::OtherProtocol(protocol) => {
            report.protocol = Some(protocol.number());
            report.error = Some(error.to_string());
        }
        _ => report.error = Some(Error::Connect(error).to_string()),
    }
    Ok(report)
}

/// The refusal of a server of pymasep's protocol, which says BYE right behind its hello.
fn refused_at_once(connection: &Connection) -> Option<Refused> {
    let reason = connection.close_reason()?;
    Some(Refused {
        code: reason.as_str().to_owned(),
        text: reason.to_string(),
        retry_ms: None,
    })
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

impl From<ShownCertificate> for Shown {
    fn from(certificate: ShownCertificate) -> Self {
        let date = |date: OffsetDateTime| date.date().to_string();
        Self {
            begins: date(certificate.begins),
            ends: date(certificate.ends),
            days_left: certificate.days_left(OffsetDateTime::now_utc()),
            names: certificate.names,
        }
    }
}

fn in_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl From<&Rejected> for Refused {
    fn from(rejected: &Rejected) -> Self {
        Self {
            code: rejected.code.to_string(),
            text: rejected.text.to_string(),
            retry_ms: rejected.retry_ms,
        }
    }
}

impl Report {
    fn of(target: &Target, status: Verdict) -> Self {
        Self {
            address: target.to_string(),
            status,
            protocol: None,
            id: None,
            connect_ms: None,
            round_trip_ms: None,
            max_payload: None,
            heartbeat_ms: None,
            instance: None,
            certificate: None,
            refused: None,
            error: None,
        }
    }

    /// Takes over the server's facts about itself.
    fn learn(&mut self, connection: &Connection) {
        self.protocol = Some(connection.protocol().number());
        self.id = Some(connection.peer().to_string());
        self.max_payload = u64::try_from(connection.peer_limits().frame_bytes).ok();
        if let Some(welcome) = connection.welcome() {
            self.heartbeat_ms = Some(welcome.heartbeat_ms);
            self.instance = welcome.instance.map(|it| it.to_string());
        }
    }

    /// For people. All that others have said is escaped.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} {}", self.address, self.status.in_words())];
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let mut shown = String::new();
                for c in value.chars() {
                    if masep::is_printable(c) {
                        shown.push(c);
                    } else {
                        shown.extend(c.escape_default());
                    }
                }
                lines.push(format!("  {name:<11} {shown}"));
            }
        };
        let of_ms = |ms: Option<f64>| ms.map(|ms| format!("{ms:.3} ms"));
        add("id", self.id.clone());
        add("protocol", self.protocol.map(|it| it.to_string()));
        add("instance", self.instance.clone());
        add("connect", of_ms(self.connect_ms));
        add("round trip", of_ms(self.round_trip_ms));
        let payload = self
            .max_payload
            .map(|bytes| format!("at most {bytes} bytes"));
        add("frames", payload);
        if let Some(shown) = &self.certificate {
            let (names, days) = (shown.names.join(", "), shown.days_left);
            add("certificate", Some(format!("for {names}")));
            add(
                "valid",
                Some(format!(
                    "{} to {}, {days} days left",
                    shown.begins, shown.ends
                )),
            );
        }
        if let Some(refused) = &self.refused {
            let again = refused
                .retry_ms
                .map_or(String::new(), |ms| format!(" (again after {ms} ms)"));
            let said = format!("{}: {}{again}", refused.code, refused.text);
            add("refused", Some(said));
        }
        add("error", self.error.clone());
        lines
    }
}
