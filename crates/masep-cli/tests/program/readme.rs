//! The agent in a shell that README.md shows plays a game.

use std::process::Stdio;

use masep::table::{How, Table};
use masep::{Element, Value};

use crate::directory::Directory;
use crate::run::{Run, shell};
use crate::session::PATIENCE;

/// The one program in README.md that is a shell's.
fn program() -> &'static str {
    let readme = include_str!("../../../../README.md");
    let (_, rest) = readme.split_once("```sh\n").unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_agent_in_a_shell_plays() {
    let rules = Table::builder("countdown.Countdown").seats(["blue"]);
    let table = rules.bind_blocking("127.0.0.1:0").unwrap();
    let address = table.local_address().to_string();
    let directory = Directory::new();
    let shell = shell(&program().replace("127.0.0.1:60000", &address))
        .current_dir(directory.path(""))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();

    table.filled_timeout(PATIENCE).unwrap().unwrap();
    for _ in 0..3 {
        let state = Element::parse(r#"<State name="State" />"#).unwrap();
        for its in table.ask_all(|_seat| state.clone()).unwrap() {
            assert_eq!(its.how(), How::Played);
            let action = its.action().and_then(Value::as_element).unwrap();
            assert_eq!(action.attribute("type").as_deref(), Some("2"));
        }
    }
    table.end();
    let ended = Run::from(shell.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
