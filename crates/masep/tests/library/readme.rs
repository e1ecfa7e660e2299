//! The programs in README.md and docs/first-engine.md play with each other, and the engine with agents that crash, send
//! nonsense or say nothing: what people copy has to survive that.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// The time that a test waits for one thing before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Set for a process of this test that is one of the programs.
const IS_PROGRAM: &str = "MASEP_README_PROGRAM";

mod first_engine {
    include!("../readme/first_engine.rs");

    #[test]
    fn program() {
        if std::env::var_os(super::IS_PROGRAM).is_some() {
            main().unwrap();
        }
    }
}

mod first_agent {
    include!("../readme/first_agent.rs");

    #[test]
    fn program() {
        if std::env::var_os(super::IS_PROGRAM).is_some() {
            main().unwrap();
        }
    }
}

mod table_engine {
    include!("../readme/table_engine.rs");

    #[test]
    fn program() {
        if std::env::var_os(super::IS_PROGRAM).is_some() {
            main().unwrap();
        }
    }
}

mod table_agent {
    include!("../readme/table_agent.rs");

    #[test]
    fn program() {
        if std::env::var_os(super::IS_PROGRAM).is_some() {
            main().unwrap();
        }
    }
}

#[test]
fn the_documents_show_the_programs_that_are_tested() {
    fn shown(document: &str) -> Vec<&str> {
        let blocks = document.split("```rust,no_run\n").skip(1);
        blocks
            .filter_map(|block| block.split("```").next())
            .collect()
    }
    let engine = include_str!("../readme/first_engine.rs");
    let agent = include_str!("../readme/first_agent.rs");
    let table = [
        include_str!("../readme/table_engine.rs"),
        include_str!("../readme/table_agent.rs"),
    ];
    let lines = table.map(|program| program.lines().count());
    assert!(lines[0] <= 25 && lines[1] <= 11, "{lines:?}");
    assert_eq!(shown(include_str!("../../../../README.md")), table);
    let page = include_str!("../../../../docs/first-engine.md");
    assert_eq!(shown(page), [engine, agent]);
}

/// One of the programs, in a process of its own. It is killed when this is dropped.
struct Program {
    child: Child,
    lines: Receiver<String>,
    /// Lines that came while another was awaited.
    others: Vec<String>,
}

impl Program {
    /// Starts a program, with an address as its first argument.
    fn start(name: &str, address: &str) -> Self {
        Self::start_with(name, &[address])
    }

    /// Starts a program with these arguments.
    fn start_with(name: &str, arguments: &[&str]) -> Self {
        // To the test harness the arguments are the whole names of more tests, which are not there.
        let mut child = Command::new(env::current_exe().unwrap())
            .args(arguments)
            .args([
                &format!("readme::{name}::program"),
                "--exact",
                "--nocapture",
            ])
            .env(IS_PROGRAM, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (told, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            others: Vec::new(),
        }
    }

    /// The next line in which this stands, of all that no test has had yet.
    fn line_with(&mut self, text: &str) -> String {
        if let Some(at) = self.others.iter().position(|line| line.contains(text)) {
            return self.others.remove(at);
        }
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no {text:?} behind {:?}", self.others));
            if line.contains(text) {
                return line;
            }
            self.others.push(line);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start_engine() -> (Program, String) {
    let mut engine = Program::start("first_engine", "127.0.0.1:0");
    let line = engine.line_with("listening on ");
    let (_, address) = line.split_once("listening on ").unwrap();
    let address = address.to_owned();
    (engine, address)
}

fn play_a_game(engine: &mut Program, address: &str) {
    let mut agent = Program::start("first_agent", address);
    for step in 0..=3 {
        agent.line_with(&format!("at step Some(\"{step}\")"));
    }
    agent.line_with("it ended: ");
    assert!(agent.child.wait().unwrap().success());
    engine.line_with("\"agent-1\" has played");
}

#[test]
fn the_agent_plays_with_the_engine_again_and_again() {
    let (mut engine, address) = start_engine();
    for _ in 0..3 {
        play_a_game(&mut engine, &address);
    }
}

const REGISTER: &str = r#"<Message msg_type="register" src_sub_app="bad" />"#;

/// An agent made of a bare socket that says this, a frame each, behind its hello.
fn bad_agent(address: &str, id: &str, frames: &[&[u8]]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for frame in [&[id.as_bytes()], frames].concat() {
        let length = u16::try_from(frame.len()).unwrap();
        stream.write_all(&length.to_le_bytes()).unwrap();
        stream.write_all(frame).unwrap();
    }
    stream
}

#[test]
fn the_engine_survives_agents_that_crash_send_nonsense_or_say_nothing() {
    let (mut engine, address) = start_engine();
    let register = REGISTER.as_bytes();
    let _silent = [
        bad_agent(&address, "silent from the start", &[]),
        bad_agent(&address, "silent in the game", &[register]),
    ];
    for (id, frames) in [
        ("crashes at once", &[][..]),
        ("crashes in the game", &[register]),
    ] {
        let mut stream = bad_agent(&address, id, frames);
        // The engine's hello: it has taken the connection.
        stream.read_exact(&mut [0; 8]).unwrap();
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    let _nonsense = [
        bad_agent(&address, "no XML", &[register, b"\0\xff nonsense"]),
        bad_agent(&address, "no message", &[register, b"<a />"]),
        bad_agent(&address, "nothing", &[b""]),
        bad_agent(&address, "leaves", &[register, b"BYE"]),
    ];
    play_a_game(&mut engine, &address);
    for id in [
        "crashes at once",
        "crashes in the game",
        "no XML",
        "no message",
        "nothing",
        "leaves",
        "silent from the start",
        "silent in the game",
    ] {
        engine.line_with(&format!("{id:?} is out: "));
    }
    play_a_game(&mut engine, &address);
}

/// A spectator in pymasep's protocol; the numbers that it is shown.
fn watch(address: &str) -> thread::JoinHandle<Vec<u32>> {
    let watcher = masep::Player::builder("watcher", "countdown.Countdown")
        .role(masep::Role::Observer)
        .protocols(masep::Protocols::Pymasep);
    let mut watcher = watcher.join_blocking(address).unwrap();
    thread::spawn(move || {
        let mut shown = Vec::new();
        while let Some(turn) = watcher.next_turn() {
            let left = turn.view().as_element().unwrap().attribute("left");
            shown.push(left.unwrap().parse().unwrap());
        }
        shown
    })
}

/// A player is killed in mid-game and started again, one answers a turn too late, and a spectator of pymasep's protocol
/// watches: the game goes on as the rules say, to its end.
#[test]
fn a_game_at_a_table_survives_its_players() {
    let mut engine = Program::start("table_engine", "127.0.0.1:0");
    let line = engine.line_with("listening on ");
    let (_, address) = line.split_once("listening on ").unwrap();
    let mut ann = Program::start_with("table_agent", &[address, "ann"]);
    let watching = watch(address);
    let ben = masep::Player::builder("ben", "countdown.Countdown");
    let mut ben = ben.join_blocking(address).unwrap();
    assert!(ben.next_turn().is_some());
    ann.line_with("turn 1: ");
    // The game waits for Ben, and Ann is killed meanwhile.
    drop(ann);
    let mut ann = Program::start_with("table_agent", &[address, "ann"]);
    ann.line_with("turn ");
    // His answer comes when the turn is over.
    let late = engine.line_with(" Default(Late)");
    engine.others.push(late);
    let ben = thread::spawn(move || {
        ben.act(masep::Action::new(2)).unwrap();
        while ben.next_turn().is_some() {
            ben.act(masep::Action::new(2)).unwrap();
        }
    });
    ann.line_with("it ended: Some(Finished)");
    let mut turns = Vec::new();
    for left in (1..=10).rev() {
        for seat in ["red", "blue"] {
            turns.push(engine.line_with(&format!("{left} left: {seat} ")));
        }
    }
    let played = turns.iter().filter(|it| it.contains(" Played "));
    assert!(played.count() >= 10, "{turns:#?}");
    // Nobody played what it was not asked: only the action for the late is another one.
    for turn in turns {
        let is_own = turn.contains(" Played ") && turn.contains("type=\\\"2");
        let is_late = turn.contains(" Default(") && turn.contains("type=\\\"0");
        assert!(is_own || is_late, "{turn}");
    }
    assert!(engine.child.wait().unwrap().success());
    ben.join().unwrap();
    let shown = watching.join().unwrap();
    assert!(shown.is_sorted_by(|a, b| a > b), "{shown:?}");
    assert_eq!(shown.last(), Some(&1));
}
