//! The agent in a shell that README.md shows plays a game.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a panic is the report of a test that fails"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use masep::table::{How, Table};
use masep::{Element, Value};

/// The one program in README.md that is a shell's.
fn program() -> &'static str {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("```sh\n").unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_agent_in_a_shell_plays() {
    let rules = Table::builder("countdown.Countdown").seats(["blue"]);
    let table = rules.bind_blocking("127.0.0.1:0").unwrap();
    let address = table.local_address().to_string();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme-shell");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    let masep = Path::new(env!("CARGO_BIN_EXE_masep")).parent().unwrap();
    let path = env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh")
        .args(["-c", &program().replace("127.0.0.1:60000", &address)])
        .current_dir(&directory)
        .env("PATH", format!("{}:{path}", masep.display()))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();

    table
        .filled_timeout(Duration::from_secs(60))
        .unwrap()
        .unwrap();
    for _ in 0..3 {
        let state = Element::parse(r#"<State name="State" />"#).unwrap();
        for its in table.ask_all(|_seat| state.clone()).unwrap() {
            assert_eq!(its.how(), How::Played);
            let action = its.action().and_then(Value::as_element).unwrap();
            assert_eq!(action.attribute("type").as_deref(), Some("2"));
        }
    }
    table.end();
    assert!(shell.wait().unwrap().success());
}
