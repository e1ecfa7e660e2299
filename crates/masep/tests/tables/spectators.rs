//! Spectators that do not read, and those that are shown more than they can take.

use std::sync::mpsc;
use std::thread;

use masep::blocking::{Client, Server};
use masep::{Dict, Element, Frame, Limits, Message, Protocols, Role};

use crate::agents;
use crate::players::{self, end, playing, watch_with};
use crate::shells::{SOON, Shell, of_each_shell};
use crate::{builder, plays, state};

of_each_shell! {
    spectators_that_do_not_read_hold_up_nobody_and_get_the_newest_view
    one_that_is_shown_the_game_without_pause_sees_it
}

/// The number of the last view.
const NEWEST: i64 = 40;

/// Thirty spectators of which three do not read; the views are large, so that their streams fill up.
fn spectators_that_do_not_read_hold_up_nobody_and_get_the_newest_view(shell: Shell) {
    let table = shell.table(builder());
    let playing = playing(shell, &*table, Protocols::Both);
    let mut watching = Vec::new();
    let mut stalled = Vec::new();
    let (sees, seen) = mpsc::channel();
    for number in 0..30 {
        let id = format!("eve-{number}");
        if number % 10 == 0 {
            let client = Client::builder(&*id)
                .limits(Limits::default().queue_messages(1))
                .protocols(Protocols::Masep2)
                .role(Role::Observer);
            stalled.push(client.connect(table.address()).unwrap());
        } else {
            let sees = sees.clone();
            let tell = move |tick| {
                if tick == NEWEST {
                    let _ = sees.send(());
                }
            };
            watching.push(watch_with(shell, &*table, &id, Protocols::Both, tell));
        }
    }
    while table.spectators() < 30 {
        table.event();
    }
    let large = "x".repeat(200_000);
    for tick in 1..=NEWEST {
        plays(&*table, tick);
        table.show(state(tick).with("large", &*large)).unwrap();
    }
    // One for each that is behind, and not for each view. Other tests have some, too.
    #[cfg(target_os = "linux")]
    assert!(writing_threads() < 40, "{}", writing_threads());
    // One that reads again gets the newest, and is told how many it has missed.
    let back = stalled.pop().unwrap();
    let mut all_skipped = 0;
    while let Ok(frame) = back.connection().recv_timeout(SOON) {
        let (tick, skipped) = decode(frame);
        all_skipped += skipped;
        if tick == NEWEST {
            break;
        }
    }
    assert!(all_skipped > 0);
    // The end waits two seconds for those that are behind.
    for _ in &watching {
        seen.recv_timeout(SOON).unwrap();
    }
    end(&*table, playing);
    for watching in watching {
        let seen = watching.join().unwrap();
        assert_eq!(seen.last().map(|(tick, _)| *tick), Some(NEWEST));
        assert!(seen.is_sorted());
    }
}

/// The engine is faster than its spectator, which never finds out which view is the newest.
fn one_that_is_shown_the_game_without_pause_sees_it(shell: Shell) {
    let engine = Server::builder("engine").bind("127.0.0.1:0").unwrap();
    let watching = players::builder("eve", Protocols::Pymasep).role(Role::Observer);
    let mut player = shell.player(watching, engine.local_address());
    let showing = thread::spawn(move || {
        let connection = engine.accept().unwrap();
        let view = Element::parse(r#"<State tick="1" />"#).unwrap();
        let view = Message::observation("engine", view.into(), Dict::new());
        let frame = view.to_frame().unwrap();
        while connection.send(frame.clone()).is_ok() {}
    });
    let (sees, seen) = mpsc::channel();
    thread::spawn(move || {
        for _ in 0..2 {
            let turn = player.next_turn().unwrap();
            sees.send(players::tick(&turn)).unwrap();
        }
    });
    for _ in 0..2 {
        assert_eq!(seen.recv_timeout(SOON), Ok(1));
    }
    showing.join().unwrap();
}

/// The threads of this process that wait until a connection has written all.
#[cfg(target_os = "linux")]
fn writing_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names
        .filter(|name| name.starts_with("masep-table-wri"))
        .count()
}

/// The number of a view, and of those that were skipped.
fn decode(frame: Frame) -> (i64, u64) {
    let body = frame.into_bytes();
    let limits = Limits::default();
    let limits = limits.message_bytes(1 << 20).text_bytes(1 << 20);
    let (message, turn) = masep_proto::cbor::decode_message(&body, &limits).unwrap();
    let turn = turn.unwrap();
    let skipped = turn.get("skipped").and_then(|it| it.as_i64()).unwrap_or(0);
    (agents::seen(&message), u64::try_from(skipped).unwrap())
}
