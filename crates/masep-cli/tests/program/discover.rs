//! `masep discover`, on the real LAN of this machine: other servers may be there.

use std::fs::{File, OpenOptions};

use serde_json::{Value as Json, json};

use crate::directory::Directory;
use crate::run::{MASEP, Run, picked, run, skipped};
use crate::session::Session;

/// This test alone, of all on this machine that take turns at the port of the search, uses it until the file is dropped: other tests ask the whole LAN, and want to find their own server. The name is known to them.
fn turn() -> File {
    let path = std::env::temp_dir().join("masep-interop-search-port.lock");
    let mut options = OpenOptions::new();
    let lock = options.create(true).append(true).open(path).unwrap();
    lock.lock().unwrap();
    lock
}

/// The server with this address among those that were found.
fn ours<'a>(found: &'a [Json], address: &str) -> &'a Json {
    let server = found.iter().find(|it| it["address"] == address);
    server.expect("our server")
}

/// A server that answers the search, or `None` where that cannot be had.
fn announced() -> Option<(Session, String)> {
    announced_with(&["--announce"])
}

/// The same with these options.
fn announced_with(options: &[&str]) -> Option<(Session, String)> {
    let mut server = Session::start(&[&["serve", "127.0.0.1:0"], options].concat());
    match server.line() {
        Some(line) => {
            let listening: Json = serde_json::from_str(&line).unwrap();
            Some((server, listening["address"].as_str().unwrap().to_owned()))
        }
        None => {
            let (code, stderr) = server.end();
            assert_eq!(code, Some(1));
            assert!(
                stderr.starts_with("masep: cannot announce the server on the LAN: "),
                "{stderr}"
            );
            skipped("discover", stderr);
            None
        }
    }
}

#[test]
fn an_announced_server_is_found() {
    let _turn = turn();
    let Some((_server, address)) = announced() else {
        return;
    };
    let found = run(&["discover", "--json", "--explain"], "");
    assert_eq!((found.code, found.stderr.as_str()), (Some(0), ""));
    let lines = found.json();
    let server = ours(&lines, &address);
    assert_eq!(server["announced"], address.as_str());
    assert!(
        server["source"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{server}"
    );
    assert_eq!(server["asked_from"], "127.0.0.1");
    let loopback = lines
        .iter()
        .find(|it| it["asked_from"] == "127.0.0.1" && it["interface"].is_string());
    assert!(
        loopback.expect("loopback was asked")["servers"]
            .as_u64()
            .unwrap()
            >= 1
    );

    let table = run(&["discover"], "").stdout;
    assert!(table.starts_with("SERVER "), "{table}");
    assert!(
        table
            .lines()
            .any(|line| line.starts_with(&format!("{address} "))),
        "{table}"
    );
    assert!(!table.contains("INTERFACE"), "{table}");
}

#[test]
fn a_table_tells_its_game_and_free_seats() {
    let _turn = turn();
    let options = [
        "--announce",
        "--seats",
        "red,blue",
        "--game",
        "a.Game",
        "--id",
        "host",
    ];
    let Some((_server, address)) = announced_with(&options) else {
        return;
    };
    // Others may be there, which do not have this game.
    let player = ["join", "--discover", "--turns", "--game", "a.Game"];
    let mut player = Session::start(&player);
    player.event("joined");
    let found = run(&["discover", "--json"], "").json();
    assert_eq!(
        picked(ours(&found, &address), ["id", "game", "seats", "free"]),
        json!(["host", "a.Game", 2, 1])
    );
    let table = run(&["discover"], "").stdout;
    let line = table
        .lines()
        .find(|line| line.starts_with(&format!("{address} ")));
    assert!(line.unwrap().ends_with(" 1 of 2    host a.Game"), "{table}");
}

#[test]
fn a_table_that_asks_for_tokens_tells_strangers_no_more_than_its_id() {
    let _turn = turn();
    let directory = Directory::new();
    let tokens = directory.write("tokens.toml", "");
    let options = ["--announce", "--seats", "red,blue", "--game", "a.Game"];
    let guarded = ["--id", "host", "--tokens", &tokens];
    let Some((_server, address)) = announced_with(&[&options[..], &guarded].concat()) else {
        return;
    };
    let found = run(&["discover", "--json"], "").json();
    let server = ours(&found, &address);
    assert_eq!(server["id"], "host");
    for key in ["game", "seats", "free"] {
        assert!(server.get(key).is_none(), "{server}");
    }
}

/// Runs the program on a host without any network, or not at all where that cannot be had.
#[cfg(target_os = "linux")]
fn run_without_network(args: &[&str]) -> Option<Run> {
    let unshare = |args: &[&str]| {
        let namespaces = ["--user", "--map-root-user", "--net", "--"];
        let mut command = std::process::Command::new("unshare");
        command.args(namespaces).args(args).output()
    };
    match unshare(&["true"]) {
        Ok(output) if output.status.success() => {}
        refused => {
            skipped("discover", format!("{refused:?}"));
            return None;
        }
    }
    Some(unshare(&[&[MASEP], args].concat()).unwrap().into())
}

#[test]
#[cfg(target_os = "linux")]
fn who_finds_nobody_says_so() {
    let Some(nobody) = run_without_network(&["discover"]) else {
        return;
    };
    assert_eq!((nobody.code, nobody.stdout.as_str()), (Some(3), ""));
    assert_eq!(
        nobody.stderr,
        "masep: no server answered the search on the LAN within 1s\n"
    );
    let explained = run_without_network(&["discover", "--explain"]).unwrap();
    assert_eq!(explained.code, Some(3));
    let stdout = &explained.stdout;
    assert!(stdout.starts_with("INTERFACE "), "{stdout}");
    explained.prints("is up");

    let join = run_without_network(&["join", "--discover"]).unwrap();
    assert_eq!((join.code, &join.stderr), (Some(3), &nobody.stderr));
    let turns = ["--turns", "--game", "a.B", "--wait", "1ms"];
    let turns = run_without_network(&[&["join", "--discover"][..], &turns].concat()).unwrap();
    assert_eq!((turns.code, &turns.stderr), (Some(3), &nobody.stderr));
    turns.prints(r#""looking for a server on the LAN: nothing found""#);
}
