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

use masep::blocking::{Connection, Server};
use masep::{Dict, Message, MessageType, Node, Value};

/// The one program in README.md that is a shell's.
fn program() -> &'static str {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("```sh\n").unwrap();
    rest.split_once("```").unwrap().0
}

fn next(agent: &Connection, awaited: &MessageType) -> Message {
    loop {
        let message = agent.recv_message().unwrap();
        if message.msg_type == *awaited {
            return message;
        }
    }
}

#[test]
fn the_agent_in_a_shell_plays() {
    let server = Server::builder("engine").bind("127.0.0.1:0").unwrap();
    let address = server.local_address().to_string();
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

    let agent = server.accept().unwrap();
    assert_eq!(agent.peer().as_str(), "agent-1");
    next(&agent, &MessageType::Register);
    for _ in 0..3 {
        let state = Node::new("State").with_attribute("name", "State");
        let state = Value::Element(state.to_element().unwrap());
        agent
            .send_message(&Message::observation("engine", state, Dict::new()))
            .unwrap();
        let action = next(&agent, &MessageType::Action);
        let action = action.param("action").and_then(Value::as_element).unwrap();
        assert_eq!(action.attribute("type").as_deref(), Some("2"));
    }
    agent.send_message(&Message::end("engine")).unwrap();
    next(&agent, &MessageType::Quit);
    assert!(shell.wait().unwrap().success());
    server.shutdown(Duration::from_secs(1));
}
