//! The report on a server, as it is printed.

use std::io;

use masep::tls::TlsFault;
use masep::{ConnectError, ConnectErrorKind, Connection, Dict, Protocol, Rejected, Target, Value};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use super::environments::{self, Made};
use crate::certificate::ShownCertificate;
use crate::error::{Error, hint_of_refusal};
use crate::output::push_printable;
use crate::status::Status;

/// The most characters of a text of the server's that stand in a line.
const MOST_OF_TEXT: usize = 1_024;

/// The facts about a server. Those that are not known are left out.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    address: String,
    pub(super) status: Verdict,
    /// A stable name for the reason of any status but `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The profile that it speaks with a client that asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    game: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<u64>,
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
    /// An environment that the server has made.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_json")]
    environment: Option<Dict>,
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
pub(super) enum Verdict {
    Ok,
    CertificateEnds,
    Certificate,
    Refused,
    OtherProtocol,
    Unreachable,
}

impl Verdict {
    pub(super) const fn status(self) -> Status {
        match self {
            Self::Ok => Status::Done,
            Self::Refused => Status::Rejected,
            Self::Certificate | Self::CertificateEnds => Status::Certificate,
            Self::OtherProtocol | Self::Unreachable => Status::NoConnection,
        }
    }

    const fn in_words(self) -> &'static str {
        match self {
            Self::Ok => "takes clients",
            Self::Refused => "is there, and refuses this client",
            Self::Certificate => "shows a certificate that is not trusted",
            Self::CertificateEnds => "takes clients, and its certificate ends soon",
            Self::OtherProtocol => "is there, and does not speak as it was asked to",
            Self::Unreachable => "does not answer",
        }
    }
}

impl Report {
    pub(super) fn new(target: &Target, status: Verdict) -> Self {
        Self {
            address: target.to_string(),
            status,
            reason: None,
            protocol: None,
            id: None,
            profile: None,
            game: None,
            seats: None,
            free: None,
            connect_ms: None,
            round_trip_ms: None,
            max_payload: None,
            heartbeat_ms: None,
            instance: None,
            environment: None,
            certificate: None,
            refused: None,
            error: None,
        }
    }

    /// On a server that has said nothing in time.
    pub(super) fn silent(target: &Target, error: String) -> Self {
        let mut report = Self::new(target, Verdict::Unreachable);
        report.fell_silent(error);
        report
    }

    /// The server says nothing more.
    pub(super) fn fell_silent(&mut self, error: String) {
        self.status = Verdict::Unreachable;
        self.reason = Some(TIMED_OUT.to_owned());
        self.error = Some(error);
    }

    /// On a server to which there is no connection.
    ///
    /// # Errors
    /// Wrong usage is an error of its own.
    pub(super) fn failed(target: &Target, error: ConnectError) -> Result<Self, Error> {
        let mut report = Self::new(target, Verdict::Ok);
        report.fail(error)?;
        Ok(report)
    }

    /// There is no connection to the server, or none any more.
    ///
    /// # Errors
    /// As [`failed`](Self::failed).
    pub(super) fn fail(&mut self, error: ConnectError) -> Result<(), Error> {
        let report = self;
        report.status = Verdict::Unreachable;
        match &error.kind {
            ConnectErrorKind::Address(_)
            | ConnectErrorKind::Token(_)
            | ConnectErrorKind::TlsSettings(_) => {
                return Err(Error::Connect(error));
            }
            ConnectErrorKind::Rejected(rejected) => {
                report.protocol = Some(Protocol::Masep2.number());
                report.refuse(Refused::from(&**rejected));
                return Ok(());
            }
            ConnectErrorKind::Tls(TlsFault::Certificate(_)) => {
                report.status = Verdict::Certificate;
            }
            ConnectErrorKind::Tls(_)
            | ConnectErrorKind::Hello(_)
            | ConnectErrorKind::Profile(_) => {
                report.status = Verdict::OtherProtocol;
            }
            ConnectErrorKind::OtherProtocol(protocol) => {
                report.status = Verdict::OtherProtocol;
                report.protocol = Some(protocol.number());
            }
            _ => {}
        }
        report.reason = Some(reason(&error.kind).to_owned());
        report.error = Some(Error::Connect(error).to_string());
        Ok(())
    }

    /// Takes over what came of the attempt to have an environment made.
    ///
    /// # Errors
    /// As [`failed`](Self::failed).
    pub(super) fn learn_environment(&mut self, made: Made) -> Result<(), Error> {
        match made {
            Made::Environment(told) => self.environment = Some(told),
            Made::Failed(code, text) => {
                let retry_ms = None;
                self.refuse(Refused {
                    code,
                    text,
                    retry_ms,
                });
            }
            Made::Other(error) => self.speaks_otherwise(error),
            Made::NotConnected(error) => self.fail(error)?,
        }
        Ok(())
    }

    /// The server has no environments, or says something else of them than it should.
    pub(super) fn speaks_otherwise(&mut self, error: String) {
        self.status = Verdict::OtherProtocol;
        self.reason = Some("no_environment".to_owned());
        self.error = Some(error);
    }

    fn refuse(&mut self, refused: Refused) {
        self.status = Verdict::Refused;
        self.reason = Some(refused.code.clone());
        self.refused = Some(refused);
    }

    /// Takes over the server's facts about itself, and how long it took to be let in, and a ping.
    pub(super) fn learn(&mut self, connection: &Connection, connect: f64, ping: Option<f64>) {
        self.connect_ms = Some(connect);
        self.round_trip_ms = ping;
        self.protocol = Some(connection.protocol().number());
        self.id = Some(connection.peer().to_string());
        self.max_payload = u64::try_from(connection.peer_limits().frame_bytes).ok();
        if let Some(welcome) = connection.welcome() {
            self.heartbeat_ms = Some(welcome.heartbeat_ms);
            self.instance = welcome.instance.map(|it| it.to_string());
            self.profile = welcome.profile.map(|it| it.to_string());
            self.game = welcome.game.map(|it| it.to_string());
            (self.seats, self.free) = (welcome.seats, welcome.free);
        }
        // A server of pymasep's protocol refuses so: with a BYE right behind its hello.
        if let Some(reason) = connection.close_reason() {
            self.refuse(Refused {
                code: reason.as_str().to_owned(),
                text: reason.to_string(),
                retry_ms: None,
            });
        }
    }

    /// Takes over the facts about the certificate, which is to be valid for so many days.
    pub(super) fn learn_certificate(&mut self, certificate: ShownCertificate, days: i64) {
        let shown = Shown::from(certificate);
        if self.status == Verdict::Ok && shown.days_left < days {
            self.status = Verdict::CertificateEnds;
            self.reason = Some("certificate_ends".to_owned());
        }
        self.certificate = Some(shown);
    }

    /// For people. All that others have said is escaped.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} {}", self.address, self.status.in_words())];
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let mut line = format!("  {name:<11} ");
                push_printable(&mut line, &value, MOST_OF_TEXT);
                lines.push(line);
            }
        };
        let of_ms = |ms: Option<f64>| ms.map(|ms| format!("{ms:.3} ms"));
        let numbers = self.free.zip(self.seats);
        add("id", self.id.clone());
        add("protocol", self.protocol.map(|it| it.to_string()));
        add("profile", self.profile.clone());
        add("game", self.game.clone());
        add(
            if self.profile.is_some() {
                "places"
            } else {
                "seats"
            },
            numbers.map(|(free, seats)| format!("{free} of {seats} free")),
        );
        add("instance", self.instance.clone());
        add("connect", of_ms(self.connect_ms));
        add("round trip", of_ms(self.round_trip_ms));
        let payload = self
            .max_payload
            .map(|bytes| format!("at most {bytes} bytes"));
        add("frames", payload);
        for (name, value) in self.environment.iter().flat_map(environments::lines) {
            add(name, Some(value));
        }
        if let Some(shown) = &self.certificate {
            let (begins, ends, days) = (&shown.begins, &shown.ends, shown.days_left);
            let valid = match days {
                ..0 => format!("{begins} to {ends}, over for {} days", days.unsigned_abs()),
                _ => format!("{begins} to {ends}, {days} days left"),
            };
            add(
                "certificate",
                Some(format!("for {}", shown.names.join(", "))),
            );
            add("valid", Some(valid));
        }
        if let Some(refused) = &self.refused {
            let again = refused
                .retry_ms
                .map_or(String::new(), |ms| format!(" (again after {ms} ms)"));
            let said = format!("{}: {}{again}", refused.code, refused.text);
            add("refused", Some(said));
            add("hint", hint_of_refusal(&refused.code).map(str::to_owned));
        }
        add("error", self.error.clone());
        lines
    }
}

/// The form that `masep decode` gives to values.
fn as_json<S: Serializer>(told: &Option<Dict>, serializer: S) -> Result<S::Ok, S::Error> {
    let value = told.clone().map_or(Value::None, Value::from);
    let json = value.to_json_summary().map_err(serde::ser::Error::custom)?;
    json.serialize(serializer)
}

const TIMED_OUT: &str = "timed_out";

/// A stable name for the reason why there is no connection.
fn reason(kind: &ConnectErrorKind) -> &'static str {
    match kind {
        ConnectErrorKind::TimedOut(_) => TIMED_OUT,
        ConnectErrorKind::NotFound => "not_found",
        ConnectErrorKind::Closed => "closed",
        ConnectErrorKind::Hello(_) => "bad_hello",
        ConnectErrorKind::OtherProtocol(_) => "other_protocol",
        ConnectErrorKind::Profile(_) => "other_profile",
        ConnectErrorKind::Tls(fault) => fault.as_str(),
        ConnectErrorKind::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection_refused",
            io::ErrorKind::ConnectionReset => "reset",
            io::ErrorKind::TimedOut => TIMED_OUT,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
            // The path of a Unix socket.
            io::ErrorKind::NotFound => "not_found",
            _ => "io",
        },
        _ => "failed",
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

impl From<&Rejected> for Refused {
    fn from(rejected: &Rejected) -> Self {
        Self {
            code: rejected.code.to_string(),
            text: rejected.text.to_string(),
            retry_ms: rejected.retry_ms,
        }
    }
}
