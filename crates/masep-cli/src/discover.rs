//! `masep discover`: the servers on the LAN.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use clap::Args;
use masep::discovery::{
    Description, Found, InterfaceProbe, SearchOptions, SearchReport, search_blocking,
};
use serde::Serialize;

use crate::duration;
use crate::error::Error;
use crate::output::{Output, push_printable};
use crate::status::Status;

const LONG_ABOUT: &str = "\
Search the LAN for servers, of masep and of pymasep, as pymasep's Client.search_server does: a question \
to the multicast group 224.3.29.71, port 10000, on every interface of this host that is up.

Every server that answers is a line of a table; with --json a line {\"address\":...,\"announced\":..., \
\"source\":...,\"asked_from\":...}. Servers of masep also tell their id, game, seats and how many of them are free: \
with --json \"id\", \"game\", \"seats\" and \"free\". Nothing of it is proved. Connect to \"address\". It is what the answer says (\"announced\"), \
except where a pymasep server has put the asker's own address in it: then it is the host that the \
answer came from (\"source\").

With --explain also the interfaces on which the question was sent, with the servers that answered \
there, and the datagrams that were no answers; with --json these are lines {\"interface\":..., \
\"asked_from\":...,\"servers\":N} (or \"error\" instead of \"servers\") and {\"ignored\":ADDRESS,\"reason\":...}.

The exit code is 3 if no server answered. Networks that do not pass multicast are common (clouds, \
containers, some Wi-Fi); then connect by address.";

const EXAMPLE: &str = "\
Example
  $ masep discover
  SERVER                ANSWER FROM           ASKED FROM       FREE      ENGINE, GAME
  192.0.2.7:60000       192.0.2.7:10000       192.0.2.9        1 of 2    engine pkg.mod.Game

  $ masep discover --json | head -1
  {\"address\":\"192.0.2.7:60000\",\"announced\":\"192.0.2.7:60000\",\"source\":\"192.0.2.7:10000\",...}
";

/// The most characters of a name that stand in the table.
const MOST_OF_NAME: usize = 60;

/// Servers on the LAN
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_long_help = EXAMPLE)]
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
struct ServerLine<'a> {
    address: SocketAddr,
    announced: SocketAddrV4,
    source: SocketAddrV4,
    asked_from: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    game: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<u64>,
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

impl<'a> ServerLine<'a> {
    fn new(found: &Found, report: &'a SearchReport) -> Self {
        let description = report.descriptions.get(&found.address());
        Self {
            address: found.address(),
            announced: found.announced,
            source: found.source,
            asked_from: found.asked_from,
            id: description.and_then(|it| it.id.as_deref()),
            game: description.and_then(|it| it.game.as_deref()),
            seats: description.and_then(|it| it.seats),
            free: description.and_then(|it| it.free),
        }
    }
}

/// The description that a server gives of itself, in columns.
fn described(description: Option<&Description>) -> String {
    let Some(Description {
        id,
        game,
        seats,
        free,
    }) = description
    else {
        return String::new();
    };
    let free = match (free, seats) {
        (Some(free), Some(seats)) => format!("{free} of {seats}"),
        _ => String::new(),
    };
    let mut line = format!("{free:<9}");
    for name in [id, game].into_iter().flatten() {
        line.push(' ');
        push_printable(&mut line, name, MOST_OF_NAME);
    }
    line
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
        let printed = if self.json {
            self.json(&report, &mut output)
        } else {
            self.tables(&report, &mut output)
        };
        match printed.and_then(|()| output.flush()) {
            // A reader that is gone does not change whether one was found.
            Ok(()) | Err(Error::StdoutClosed) => {}
            Err(error) => return Err(error),
        }
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
            output.json(&ServerLine::new(found, report))?;
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
            let heads = ["SERVER", "ANSWER FROM", "ASKED FROM", "FREE"];
            let [server, source, asked, free] = heads;
            let line = format!("{server:<22}{source:<22}{asked:<17}{free:<9} ENGINE, GAME");
            output.text(&line)?;
        }
        for found in &report.found {
            // As texts: a width does not apply to an address by itself.
            let address = found.address().to_string();
            let (source, asked) = (found.source.to_string(), found.asked_from.to_string());
            let told = described(report.descriptions.get(&found.address()));
            let line = format!("{address:<22}{source:<22}{asked:<17}{told}");
            output.text(line.trim_end())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_of_itself_is_one_line_and_does_nothing_to_a_terminal() {
        let hostile = Description {
            id: Some("a\u{1b}[2J\nb\u{202e}".to_owned()),
            game: Some("x".repeat(200)),
            seats: Some(3),
            free: Some(1),
        };
        let line = described(Some(&hostile));
        let dots = "x".repeat(MOST_OF_NAME);
        let expected = format!("1 of 3    a\\u{{1b}}[2J\\nb\\u{{202e}} {dots}... (140 more)");
        assert_eq!(line, expected);
        assert_eq!(described(None), "");
    }
}
