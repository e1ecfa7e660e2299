//! The calls, and what the source says that there are.

use std::fs;
use std::path::{Path, PathBuf};

use masep::{CloseReason, Protocols};

use crate::cut::{Call, Clock};
use crate::world::NARROW;
use crate::{connecting, ending, hosting, queueing, receiving, searching, sending, serving};

/// The calls of each file: their names, the points at which each is dropped at least, and its worlds.
macro_rules! calls {
    ($($file:literal {
        $($name:ident, $at_least:literal:
            $($clock:ident $module:ident::$world:ident($($argument:expr),*)),+;)*
    })*) => {
        &[$($(Call {
            file: $file,
            name: stringify!($name),
            at_least: $at_least,
            worlds: &[$(
                (Clock::$clock, |cut| Box::pin($module::$world(cut $(, $argument)*)))
            ),+],
        },)*)*]
    };
}

/// Every public async call of masep. The calls of [`masep::blocking`] can be dropped at no point.
pub(crate) const CALLS: &[Call] = calls! {
    "connection.rs" {
        send, 5: Paused sending::send();
        send_or, 7: Paused sending::send_or_wait(), Paused sending::send_or_newest(),
            Paused sending::send_or_disconnect();
        send_message, 3: Paused sending::send_message();
        recv, 60: Paused receiving::recv_reads(), Paused receiving::recv_reads_protocol_2(),
            Paused receiving::recv_spins(), Paused receiving::recv_from_the_queue(),
            Paused receiving::recv_with_another(true), Paused receiving::recv_with_another(false);
        recv_or_notice, 3: Paused receiving::recv_or_notice();
        recv_message, 3: Paused receiving::recv_message();
        recv_newest, 3: Paused receiving::recv_newest();
        bye, 3: Paused ending::bye(false);
        bye_with, 3: Paused ending::bye(true);
        closed, 3: Paused ending::closed();
    }
    "registry.rs" {
        send_frame_to, 5: Paused sending::send_frame_to();
        send_message_to, 3: Paused sending::send_message_to();
        broadcast, 5: Paused sending::broadcast();
        broadcast_message, 3: Paused sending::broadcast_message();
    }
    "queue/received.rs" {
        next, 3: Paused queueing::next();
        newest, 3: Paused queueing::newest();
    }
    "server.rs" {
        bind, 1: Real serving::bind();
        accept, 6: Paused serving::accept(false), Paused serving::accept(true);
        next_request, 5: Paused serving::next_request(false), Paused serving::next_request(true);
        shutdown, 7: Paused serving::shutdown();
    }
    "client.rs" {
        connect, 5: Real connecting::connect(Protocols::Pymasep), Real connecting::connect(Protocols::Both);
        discover, 5: Paused searching::search_in_vain();
        connect_with, 14: Paused connecting::connect_with(NARROW, &[CloseReason::PeerBye]),
            // There may be no room for the `BYE`: then its end is a reset.
            Paused connecting::connect_with(3, &[CloseReason::PeerBye, CloseReason::Reset]);
        connect_over, 148: Paused connecting::over(1), Paused connecting::over(12);
    }
    "discovery/search.rs" {
        search, 5: Paused searching::search();
        discover, 5: Paused searching::discover();
    }
    "transport.rs" {
        accept, 6: Paused serving::accept_in_memory(), Real serving::accept_tcp();
    }
    "address/resolve.rs" {
        resolve, 1: Real connecting::resolve();
    }
    "transport/readiness.rs" {
        ready, 1: Real connecting::ready();
    }
    "transport/registered.rs" {
        connect, 1: Real connecting::tcp(), Real connecting::unix();
        bind, 1: Real serving::bind_a_listener();
    }
    "table/mod.rs" {
        bind, 1: Real hosting::bind_a_table();
    }
    "table/calls.rs" {
        filled, 3: Real hosting::filled();
        ask, 3: Real hosting::ask();
        ask_all, 3: Real hosting::ask_all();
        ask_all_timed, 3: Real hosting::ask_all_timed();
        event, 3: Real hosting::event();
        end, 3: Real hosting::end();
    }
    "table/turn.rs" {
        next, 3: Real hosting::next_decision();
    }
    "table/actions.rs" {
        next, 3: Real hosting::next_action();
    }
    "player/playing.rs" {
        next_turn, 3: Real hosting::next_turn();
        next, 3: Real hosting::next_told();
        event, 3: Real hosting::player_event();
        act, 1: Real hosting::act();
        leave, 1: Real hosting::leave();
    }
    "transport/memory.rs" {
        connect, 3: Paused connecting::in_memory();
    }
};

/// [`masep::Client`]'s `discover`, on a network with a server to be found.
#[cfg(target_os = "linux")]
pub(crate) const DISCOVER_A_SERVER: &[Call] = calls! {
    "client.rs" {
        discover, 5: Real searching::find_and_connect();
    }
};

/// The calls that masep makes and users write; the table has those that users make.
pub(crate) const CALLBACKS: &[&str] = &[
    "on_connect",
    "on_receive",
    "on_notice",
    "on_close",
    "on_reject",
];

/// A call as it stands in the source.
pub(crate) struct Found {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) documentation: String,
}

/// All functions that can be called from outside and give a future.
pub(crate) fn public_calls() -> Vec<Found> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.strip_prefix(&source).unwrap().to_str().unwrap();
        (file.to_owned(), text)
    };
    let files: Vec<_> = rust_files(&source).into_iter().map(read).collect();
    let futures: Vec<_> = files.iter().flat_map(|(_, text)| futures(text)).collect();
    let mut found = Vec::new();
    for (file, text) in &files {
        scan(file, text, &futures, &mut found);
    }
    found
}

/// The ends of the signatures of functions that give a future with a name of its own.
fn futures(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines();
    let names = lines.filter_map(|line| line.strip_prefix("impl Future for ")?.split('<').next());
    names.map(|name| format!("-> {name}<"))
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    files
}

fn scan(file: &str, text: &str, futures: &[String], found: &mut Vec<Found>) {
    let mut documentation = String::new();
    let mut in_public_trait = false;
    let lines: Vec<_> = text.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        // As in macros for both libraries, in which `of_async` has what only these calls do.
        let code = &*line.trim().replace("$($async)?", "async");
        let comment = ["///", "$(#[doc", "\""].map(|begins| code.strip_prefix(begins));
        if let Some(comment) = comment.into_iter().flatten().next() {
            documentation.push_str(comment);
            documentation.push('\n');
            continue;
        }
        if line.starts_with("pub trait ") {
            in_public_trait = true;
        } else if *line == "}" {
            in_public_trait = false;
        }
        let public = code.starts_with("pub ") || (in_public_trait && line.starts_with("    "));
        if let (true, Some(name)) = (public, function(code)) {
            let ends = |line: &&str| line.ends_with(['{', ';']);
            let end = lines[number..].iter().position(ends).unwrap();
            let signature = lines[number..=number + end].concat();
            let gives = |future: &String| signature.contains(&**future);
            if code.contains("async fn ")
                || signature.contains("impl Future<")
                || futures.iter().any(gives)
            {
                found.push(Found {
                    file: file.replace('\\', "/"),
                    name: name.to_owned(),
                    documentation: documentation.clone(),
                });
            }
        }
        if !code.starts_with('#') {
            documentation.clear();
        }
    }
}

/// The name of the function that begins in this line.
fn function(code: &str) -> Option<&str> {
    let (before, rest) = code.split_once("fn ")?;
    let words = ["pub", "async", "const"];
    let begins = before.split_whitespace().all(|word| words.contains(&word));
    let name = rest.split(['(', '<']).next()?;
    begins.then_some(name)
}
