//! `masep discover`: the servers on the LAN.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use clap::Args;
use masep::discovery::{Found, InterfaceProbe, SearchOptions, SearchReport, search_blocking};
use serde::Serialize;

use crate::duration;
use crate::error::Error;
use crate::output::Output;
use crate::status::Status;

const LONG_ABOUT: &str = "\
Search the LAN for servers, of masep and of pymasep, as pymasep's Client.search_server does: a question \
to the multicast group 224.3.29.71, port 10000, on every interface of this host that is up.

Every server that answers is a line of a table; with --json a line {\"address\":...,\"announced\":..., \
\"source\":...,\"asked_from\":...}. Connect to \"address\". It is what the answer says (\"announced\"), \
except where a pymasep server has put the asker's own address in it: then it is the host that the \
answer came from (\"source\").

With --explain also the interfaces on which the question was sent, with the servers that answered \
there, and the datagrams that were no answers; with --json these are lines {\"interface\":..., \
\"asked_from\":...,\"servers\":N} (or \"error\" instead of \"servers\") and {\"ignored\":ADDRESS,\"reason\":...}.

The exit code is 3 if no server answered. Networks that do not pass multicast are common (clouds, \
containers, some Wi-Fi); then connect by address.";

/// Servers on the LAN
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT)]
pub(crate) struct Discover {
    /// Time to wait for answers
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    timeout: Duration,

    /// Lines of JSON instead of a table
    #[arg(long)]
    json: bool,

    /// Tell also where the question was sent, and what came that was no answer
    #[arg(long)]
    explain: bool,
}

/// A server.
#[derive(Serialize)]
struct ServerLine {
    address: SocketAddr,
    announced: SocketAddrV4,
    source: SocketAddrV4,
    asked_from: Ipv4Addr,
}

/// An interface that was asked on.
#[derive(Serialize)]
struct InterfaceLine<'a> {
    interface: &'a str,
    asked_from: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    servers: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A datagram that was no answer.
#[derive(Serialize)]
struct IgnoredLine {
    ignored: SocketAddr,
    reason: String,
}

impl From<&Found> for ServerLine {
    fn from(found: &Found) -> Self {
        Self {
            address: found.address(),
            announced: found.announced,
            source: found.source,
            asked_from: found.asked_from,
        }
    }
}

impl<'a> From<&'a InterfaceProbe> for InterfaceLine<'a> {
    fn from(probe: &'a InterfaceProbe) -> Self {
        Self {
            interface: &probe.name,
            asked_from: probe.address,
            servers: probe.outcome.is_ok().then_some(probe.answers),
            error: probe.outcome.as_ref().err().map(io::Error::to_string),
        }
    }
}

impl Discover {
    pub(crate) fn run(&self) -> Result<Status, Error> {
        let options = SearchOptions::default().timeout(self.timeout);
        let report = search_blocking(&options).map_err(Error::Search)?;
        let mut output = Output::new(io::stdout().lock());
        if self.json {
            self.json(&report, &mut output)?;
        } else {
            self.tables(&report, &mut output)?;
        }
        output.flush()?;
        if report.found.is_empty() {
            return Err(Error::NothingFound(self.timeout));
        }
        Ok(Status::Done)
    }

    fn json(
        &self,
        report: &SearchReport,
        output: &mut Output<impl io::Write>,
    ) -> Result<(), Error> {
        for found in &report.found {
            output.json(&ServerLine::from(found))?;
        }
        if !self.explain {
            return Ok(());
        }
        for probe in &report.interfaces {
            output.json(&InterfaceLine::from(probe))?;
        }
        for (source, reason) in &report.ignored {
            output.json(&IgnoredLine {
                ignored: *source,
                reason: reason.to_string(),
            })?;
        }
        Ok(())
    }

    fn tables(
        &self,
        report: &SearchReport,
        output: &mut Output<impl io::Write>,
    ) -> Result<(), Error> {
        if !report.found.is_empty() {
            output.text(&format!("{:<22}{:<22}ASKED FROM", "SERVER", "ANSWER FROM"))?;
        }
        for found in &report.found {
            let ServerLine {
                address,
                source,
                asked_from,
                ..
            } = found.into();
            let (address, source) = (address.to_string(), source.to_string());
            output.text(&format!("{address:<22}{source:<22}{asked_from}"))?;
        }
        if self.explain {
            explain(report, output)?;
        }
        Ok(())
    }
}

fn explain(report: &SearchReport, output: &mut Output<impl io::Write>) -> Result<(), Error> {
    if !report.found.is_empty() {
        output.text("")?;
    }
    output.text(&format!("{:<22}{:<22}SERVERS", "INTERFACE", "ASKED FROM"))?;
    for probe in &report.interfaces {
        let servers = match &probe.outcome {
            Ok(()) => probe.answers.to_string(),
            Err(error) => format!("not asked: {error}"),
        };
        // As text: a width does not apply to an address by itself.
        let address = probe.address.to_string();
        output.text(&format!("{:<22}{address:<22}{servers}", probe.name))?;
    }
    if report.interfaces.is_empty() {
        output.text("none with an IPv4 address is up")?;
    }
    if !report.ignored.is_empty() {
        output.text(&format!("\n{:<22}REASON", "IGNORED FROM"))?;
    }
    for (source, reason) in &report.ignored {
        let source = source.to_string();
        output.text(&format!("{source:<22}{reason}"))?;
    }
    Ok(())
}
