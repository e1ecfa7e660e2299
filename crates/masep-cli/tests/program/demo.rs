//! `masep demo`, as somebody sees it who runs it.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use serde_json::Value;

use crate::run::{Run, command, run, start};

/// The figures of a game to its end, and all that was printed.
fn figures(args: &[&str]) -> (Value, Run) {
    let run = run(&[&["demo", "--json"], args].concat(), "");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.lines().len(), 1, "{}", run.stdout);
    (run.json().remove(0), run)
}

/// The figures without those that depend on the machine. The number of views that an observer skips is one of those.
fn game(mut figures: Value) -> Value {
    let object = figures.as_object_mut().unwrap();
    let of_machine = [
        "seconds",
        "steps_per_second",
        "found_by_search",
        "sent",
        "observers",
    ];
    for figure in of_machine {
        assert!(object.remove(figure).is_some(), "{figure}");
    }
    for time in ["p50_us", "p99_us"] {
        let round_trip = object["round_trip"].as_object_mut().unwrap();
        assert!(round_trip.remove(time).is_some(), "{time}");
    }
    figures
}

#[test]
fn the_same_seed_gives_the_same_game() {
    let play = |seed| game(figures(&["--seed", seed, "--episodes", "2"]).0);
    let first = play("1");
    assert_eq!(first, play("1"));
    assert_ne!(first, play("2"));
}

#[test]
fn everybody_takes_part_and_no_actor_misses_a_step() {
    let args = ["--episodes", "3", "--actors", "4", "--observers", "3"];
    let (figures, _) = figures(&args);
    let number = |path: &str| figures.pointer(path).unwrap().as_u64().unwrap();
    assert_eq!(number("/episodes"), 3);
    let steps = number("/steps");
    assert!(steps > 3);
    let list = |name: &str| figures[name].as_array().unwrap().clone();
    assert_eq!(list("predators").len(), 4);
    assert_eq!(list("observers").len(), 3);
    let mut observed = 0;
    for observer in list("observers") {
        let of = |name: &str| observer[name].as_u64().unwrap();
        // Observers get the newest view, to the last one.
        assert_eq!(of("observations") + of("missed"), steps + 3, "{observer}");
        observed += of("observations");
    }
    assert_eq!(number("/round_trip/count"), steps * 4);
    let time = |path: &str| figures.pointer(path).unwrap().as_f64().unwrap();
    assert!(time("/round_trip/p50_us") > 0.0);
    assert!(time("/round_trip/p50_us") <= time("/round_trip/p99_us"));
    assert!(time("/round_trip/p99_us") < time("/seconds") * 1e6);
    // A DEFINE, a REGISTER and a QUIT of each, and an action for each observation of an actor; an END for each.
    assert_eq!(number("/received/frames"), 7 * 3 + (steps + 3) * 4);
    assert_eq!(number("/sent/frames"), 4 * (steps + 3) + observed + 7);
    assert!(number("/sent/bytes") > 100 * number("/sent/frames"));
}

#[test]
fn without_json_it_explains_itself_and_prints_a_table() {
    let run = run(&["demo", "--episodes", "1", "--seed", "3"], "");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines = run.lines();
    assert!(lines[0].contains("3 predators and 1 observer, seed 3"));
    assert!(lines[1].contains("1 episode "));
    for row in [
        "episodes     1",
        "steps ",
        "round trip   p50 ",
        "sent ",
        "received ",
        "predator-03 ",
        "observer-01 ",
    ] {
        let count = lines.iter().filter(|line| line.starts_with(row)).count();
        assert_eq!(count, 1, "{row} in {}", run.stdout);
    }
    // No bar and no colors where there is no terminal.
    assert!(!run.stdout.contains(['\x1b', '\r']));
    assert!(!run.stderr.contains(['\x1b', '\r']));
}

/// When the search fails it is said, and makes no other difference.
#[test]
fn what_came_of_the_search_is_said() {
    let (figures, run) = figures(&["--episodes", "1"]);
    match figures["found_by_search"].as_bool().unwrap() {
        true => assert_eq!(run.stderr, ""),
        false => assert!(run.stderr.contains("the LAN search does not work here")),
    }
}

#[test]
#[cfg(unix)]
fn an_interrupt_ends_it_with_the_figures_so_far() {
    let mut child = start(&["demo", "--episodes", "1000000"]);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    // The program has begun when it explains itself.
    stdout.read_line(&mut String::new()).unwrap();
    let pid = child.id().to_string();
    let kill = Command::new("kill").args(["-INT", &pid]).status();
    assert!(kill.unwrap().success());
    let mut table = String::new();
    stdout.read_to_string(&mut table).unwrap();
    assert!(table.contains("\nround trip "), "{table}");
    let ran = Run::from(child.wait_with_output().unwrap());
    ran.fails(130, "interrupted after ");
}

/// The program on a terminal of 80 columns and 24 lines, or of this size.
#[cfg(unix)]
mod on_a_terminal {
    use std::fs::File;
    use std::process::{Child, ExitStatus};

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    use nix::pty::{Winsize, openpty};
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    const ENTER: &str = "\x1b[?1049h";
    const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
    /// The escape sequence in front of each picture.
    const HOME: &str = "\x1b[H";

    struct Terminal {
        program: Child,
        screen: File,
        /// All that was written to it.
        written: String,
    }

    impl Terminal {
        fn start((columns, rows): (u16, u16), args: &[&str], env: &[(&str, &str)]) -> Self {
            let size = Winsize {
                ws_col: columns,
                ws_row: rows,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            let pty = openpty(Some(&size), None).unwrap();
            // Programs of other tests would keep the terminal from its end.
            for end in [&pty.master, &pty.slave] {
                fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
            }
            let mut demo = command(&[&["demo"], args].concat());
            demo.env_remove("NO_COLOR").env("TERM", "xterm");
            let program = demo
                .envs(env.iter().copied())
                .stdout(pty.slave.try_clone().unwrap())
                .stderr(pty.slave)
                .spawn()
                .unwrap();
            Self {
                program,
                screen: pty.master.into(),
                written: String::new(),
            }
        }

        /// Reads until this is there, or to the end: whether it is there.
        fn wait_for(&mut self, text: &str) -> bool {
            let mut piece = [0; 4096];
            while !self.written.contains(text) {
                // A terminal whose last user is gone fails with EIO on Linux.
                match self.screen.read(&mut piece) {
                    Ok(0) | Err(_) => return false,
                    Ok(length) => self.written += str::from_utf8(&piece[..length]).unwrap(),
                }
            }
            true
        }

        fn send(&self, signal: Signal) {
            let pid = i32::try_from(self.program.id()).unwrap();
            kill(Pid::from_raw(pid), signal).unwrap();
        }

        /// All that was written, and how it ended.
        fn end(mut self) -> (String, ExitStatus) {
            assert!(!self.wait_for("nothing that is ever written"));
            (self.written, self.program.wait().unwrap())
        }
    }

    /// The text on the first screen after the game, if it was left as it was.
    fn behind_the_game(written: &str) -> &str {
        let (before, rest) = written.split_once(ENTER).unwrap();
        assert!(before.contains("A game of pursuit"), "{written}");
        let (_, behind) = rest.split_once(LEAVE).unwrap();
        assert!(!behind.contains('\x1b'), "{behind}");
        behind
    }

    #[test]
    fn the_game_is_shown_and_then_the_figures() {
        // Many actors: an episode of a few steps.
        let terminal = Terminal::start((80, 24), &["--episodes", "1", "--actors", "8"], &[]);
        let (written, status) = terminal.end();
        assert!(status.success(), "{written}");
        let pictures: Vec<&str> = written.split(HOME).skip(1).collect();
        assert!(pictures.len() > 2, "{written}");
        assert!(pictures[0].contains("episode 1 of 1, step "), "{written}");
        assert!(pictures.iter().any(|it| *it != pictures[0]), "{written}");
        assert!(pictures[0].contains("\x1b[1;31m"), "{written}");
        let figures = behind_the_game(&written);
        assert!(figures.contains("round trip   p50 "), "{figures}");
        assert!(figures.contains("predator-08 "), "{figures}");
    }

    #[test]
    fn signals_restore_the_terminal() {
        for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
            let mut terminal = Terminal::start((80, 24), &[], &[]);
            assert!(terminal.wait_for("step 1"), "{}", terminal.written);
            terminal.send(signal);
            let (written, status) = terminal.end();
            assert_eq!(status.code(), Some(code), "{written}");
            let figures = behind_the_game(&written);
            assert!(figures.contains("round trip "), "{figures}");
            assert!(figures.contains("interrupted after "), "{figures}");
        }
    }

    #[test]
    fn no_color_and_a_narrow_terminal_are_respected() {
        let args = ["--episodes", "1", "--actors", "8"];
        let terminal = Terminal::start((20, 10), &args, &[("NO_COLOR", "1")]);
        let (written, status) = terminal.end();
        assert!(status.success(), "{written}");
        let (_, rest) = written.split_once(ENTER).unwrap();
        let (pictures, _) = rest.split_once(LEAVE).unwrap();
        assert!(!pictures.contains("\x1b[1"), "{written}");
        for picture in pictures.split(HOME).skip(1) {
            let lines: Vec<&str> = picture.split("\r\n").collect();
            assert!(lines.len() <= 10, "{picture}");
            for line in lines {
                let shown = line.split('\x1b').next().unwrap();
                assert!(shown.chars().count() <= 20, "{line}");
            }
        }
    }

    #[test]
    fn fast_and_a_dumb_terminal_show_the_figures_alone() {
        for (args, env) in [
            (&["--fast"][..], ("TERM", "xterm")),
            (&[], ("TERM", "dumb")),
            (&["--json"], ("TERM", "xterm")),
        ] {
            let args = [&["--episodes", "1"], args].concat();
            let (written, status) = Terminal::start((80, 24), &args, &[env]).end();
            assert!(status.success(), "{written}");
            assert!(!written.contains(ENTER), "{written}");
            assert!(!written.contains(HOME), "{written}");
            assert!(written.contains("predator-03"), "{written}");
        }
    }
}

#[test]
fn wrong_numbers_are_refused_with_the_range() {
    for (option, value, range) in [
        ("--actors", "0", "1..=64"),
        ("--observers", "257", "0..=256"),
        ("--episodes", "0", "1..=1000000"),
    ] {
        let run = run(&["demo", option, value], "");
        run.fails(2, range);
    }
}
