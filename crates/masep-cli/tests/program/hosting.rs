//! docs/hosting.md from an empty directory: a server with tokens, two players, a spectator, and a stranger.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use std::{fs, thread};

use serde_json::Value as Json;
use socket2::{Domain, Socket, Type};

use crate::directory::Directory;
use crate::run::{Run, run, shell, skipped};
use crate::session::PATIENCE;
use crate::socket::nobody;

/// The commands of the chapter, in their order.
fn blocks() -> Vec<&'static str> {
    let chapter = include_str!("../../../../docs/hosting.md");
    let blocks = chapter.split("```sh\n").skip(1);
    blocks
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect()
}

/// A port of `localhost` where nobody listens. There may be no IPv6.
fn reserve() -> (u16, (Socket, Option<Socket>)) {
    loop {
        let (socket, address) = nobody();
        let by_ipv6 = SocketAddr::from((Ipv6Addr::LOCALHOST, address.port()));
        let Ok(other) = Socket::new(Domain::IPV6, Type::STREAM, None) else {
            return (address.port(), (socket, None));
        };
        match other.bind(&by_ipv6.into()) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            bound => return (address.port(), (socket, bound.is_ok().then_some(other))),
        }
    }
}

/// A directory that was empty, and where the server of this run is.
struct Host {
    directory: Directory,
    port: u16,
    /// The chapter has a fixed port. Nobody else is given this one, by neither of the addresses of `localhost`.
    _ports: (Socket, Option<Socket>),
}

impl Host {
    fn new() -> Self {
        let (port, ports) = reserve();
        Self {
            directory: Directory::new(),
            port,
            _ports: ports,
        }
    }

    /// Starts commands of the chapter, on this host.
    fn start(&self, commands: &str) -> Child {
        let address = format!("127.0.0.1:{}", self.port);
        let commands = commands
            .replace(
                "engine.example.org:60443",
                &format!("localhost:{}", self.port),
            )
            .replace("0.0.0.0:60443", &address)
            .replace("engine.example.org", "localhost");
        shell(&commands)
            .current_dir(self.directory.path(""))
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn run(&self, commands: &str) -> Run {
        self.start(commands).wait_with_output().unwrap().into()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path(name)).unwrap_or_default()
    }

    /// Waits until a file of it has this.
    fn until(&self, name: &str, part: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.read(name).contains(part) {
            assert!(
                Instant::now() < end,
                "no {part} in {name}: {}",
                self.read(name)
            );
            thread::yield_now();
        }
    }
}

#[test]
fn the_chapter_on_hosting_works_from_an_empty_directory() {
    let [prepare, serve, play, watch, intrude, check] = blocks()[..] else {
        panic!("the chapter has other commands");
    };
    let host = Host::new();
    let prepared = host.run(prepare);
    assert_eq!(prepared.code, Some(0), "{}", prepared.stderr);
    let line = host.read("red.token");
    assert!(line.starts_with("masep+tls://localhost:"), "{line:?}");

    let engine = host.start(serve);
    host.until("events", "\"event\":\"listening\"");
    // The stranger, and a monitor, before the game.
    let refused = host.run(intrude);
    assert_eq!(refused.code, Some(5), "{}", refused.stderr);
    refused.prints("\"event\":\"rejected\"");
    let checked = host.run(check);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let report = checked.json().remove(0);
    assert_eq!(report["status"], "ok");
    let certificate = &report["certificate"];
    assert_eq!(certificate["names"][0], "localhost");
    assert!(
        certificate["days_left"]
            .as_i64()
            .is_some_and(|days| days >= 363),
        "{report}"
    );

    let watcher = host.start(watch);
    host.until("events", "\"event\":\"spectators\"");
    let red = host.start(play);
    let blue = host.start(
        &play
            .replace("red", "blue")
            .replace("actions", "actions.blue"),
    );
    for (child, what) in [
        (red, "red"),
        (blue, "blue"),
        (watcher, "watcher"),
        (engine, "engine"),
    ] {
        let ended = Run::from(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(0), "{what}: {}", ended.stderr);
    }

    let decisions = host.read("events");
    let played = decisions
        .lines()
        .filter(|line| line.contains("\"how\":\"played\""));
    assert_eq!(played.count(), 6, "{decisions}");
    for who in ["red", "blue"] {
        let seen = host.read(&format!("seen.{who}"));
        assert_eq!(seen.matches("\"event\":\"turn\"").count(), 3, "{seen}");
    }
    // The watcher is told of those that it was too slow for.
    let shown = host.read("seen.watcher");
    let events = shown
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap());
    let shows: Vec<Json> = events.filter(|event| event["event"] == "show").collect();
    let skipped = shows.iter().filter_map(|show| show["skipped"].as_u64());
    assert_eq!(shows.len() as u64 + skipped.sum::<u64>(), 4, "{shown}");
    assert_eq!(shows.last().unwrap()["view"]["left"], 0, "{shown}");
    // The token itself is nowhere but in the player's line.
    let token = line.trim();
    for file in ["events", "seen.red", "seen.watcher", "tokens.toml"] {
        let secret = token
            .rsplit(['/', '@', '#', '?', '&', '='])
            .max_by_key(|part| part.len());
        assert!(!host.read(file).contains(secret.unwrap()), "{file}");
    }
}

#[test]
fn systemd_has_nothing_to_say_against_the_unit_of_the_chapter() {
    let chapter = include_str!("../../../../docs/hosting.md");
    let unit = chapter.split("```ini\n").nth(1).unwrap();
    let unit = unit.split_once("```").unwrap().0;
    let directory = Directory::new();
    // An engine that is there.
    let unit = unit.replace("/srv/game/engine", "/bin/true");
    let file = directory.write("masep-engine.service", unit);
    match Command::new("systemd-analyze")
        .arg("verify")
        .arg(&file)
        .output()
    {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{said}");
        }
        Err(error) => skipped("hosting", format!("systemd-analyze: {error}")),
    }
}

/// The names that the protocol has for ends and refusals, out of its sources.
fn reasons() -> Vec<&'static str> {
    let sources = [
        include_str!("../../../masep-proto/src/close.rs"),
        include_str!("../../../masep-proto/src/tls.rs"),
        include_str!("../../../masep-proto/src/admission/reject.rs"),
        include_str!("../../src/check/report.rs"),
    ];
    let names = sources
        .iter()
        .flat_map(|source| source.split("=> \"").skip(1))
        .filter_map(|rest| Some(rest.split_once('"')?.0))
        .filter(|name| {
            !name.is_empty() && !name.contains(|c: char| !c.is_ascii_lowercase() && c != '_')
        });
    let names: Vec<_> = names.filter(|name| *name != "failed").collect();
    assert!(names.len() > 40, "{names:?}");
    names
}

#[test]
fn the_chapter_on_trouble_has_each_reason_and_each_exit_code() {
    let chapter = include_str!("../../../../docs/hosting.md");
    let (_, chapter) = chapter.split_once("## Trouble").unwrap();
    for name in reasons() {
        assert!(chapter.contains(&format!("`{name}`")), "{name}");
    }
    let help = run(&["--help"], "").stdout;
    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    let (_, table) = chapter.split_once("| exit code |").unwrap();
    for line in codes.lines() {
        let Some(code) = line.split_whitespace().next() else {
            break;
        };
        let is_there = table
            .lines()
            .filter_map(|row| row.split('|').nth(1))
            .any(|first| first.split(',').any(|it| it.trim() == code));
        assert!(is_there || code == "0", "{code}");
    }
}
