//! The calls, and what the source says that there are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cut::Call;
use crate::cut::Clock::{Paused, Real};
use crate::{connecting, ending, hosting, queueing, receiving, searching, sending, serving};

/// Every public async call of masep. The calls of [`masep::blocking`] can be dropped at no point.
pub(crate) const CALLS: &[Call] = &[
    Call {
        file: "connection.rs",
        name: "send",
        at_least: 5,
        worlds: &[(Paused, sending::send)],
    },
    Call {
        file: "connection.rs",
        name: "send_or",
        at_least: 7,
        worlds: &[
            (Paused, sending::send_or_wait),
            (Paused, sending::send_or_newest),
            (Paused, sending::send_or_disconnect),
        ],
    },
    Call {
        file: "connection.rs",
        name: "send_message",
        at_least: 3,
        worlds: &[(Paused, sending::send_message)],
    },
    Call {
        file: "connection.rs",
        name: "recv",
        at_least: 60,
        worlds: &[
            (Paused, receiving::recv_reads),
            (Paused, receiving::recv_reads_protocol_2),
            (Paused, receiving::recv_spins),
            (Paused, receiving::recv_from_the_queue),
            (Paused, receiving::recv_behind_another),
            (Paused, receiving::recv_before_another),
        ],
    },
    Call {
        file: "connection.rs",
        name: "recv_or_notice",
        at_least: 3,
        worlds: &[(Paused, receiving::recv_or_notice)],
    },
    Call {
        file: "connection.rs",
        name: "recv_message",
        at_least: 3,
        worlds: &[(Paused, receiving::recv_message)],
    },
    Call {
        file: "connection.rs",
        name: "recv_newest",
        at_least: 3,
        worlds: &[(Paused, receiving::recv_newest)],
    },
    Call {
        file: "connection.rs",
        name: "bye",
        at_least: 3,
        worlds: &[(Paused, ending::bye)],
    },
    Call {
        file: "connection.rs",
        name: "bye_with",
        at_least: 3,
        worlds: &[(Paused, ending::bye_with)],
    },
    Call {
        file: "connection.rs",
        name: "closed",
        at_least: 3,
        worlds: &[(Paused, ending::closed)],
    },
    Call {
        file: "registry.rs",
        name: "send_frame_to",
        at_least: 5,
        worlds: &[(Paused, sending::send_frame_to)],
    },
    Call {
        file: "registry.rs",
        name: "send_message_to",
        at_least: 3,
        worlds: &[(Paused, sending::send_message_to)],
    },
    Call {
        file: "registry.rs",
        name: "broadcast",
        at_least: 5,
        worlds: &[(Paused, sending::broadcast)],
    },
    Call {
        file: "registry.rs",
        name: "broadcast_message",
        at_least: 3,
        worlds: &[(Paused, sending::broadcast_message)],
    },
    Call {
        file: "queue/received.rs",
        name: "next",
        at_least: 3,
        worlds: &[(Paused, queueing::next)],
    },
    Call {
        file: "queue/received.rs",
        name: "newest",
        at_least: 3,
        worlds: &[(Paused, queueing::newest)],
    },
    Call {
        file: "server.rs",
        name: "bind",
        at_least: 1,
        worlds: &[(Real, serving::bind)],
    },
    Call {
        file: "server.rs",
        name: "accept",
        at_least: 6,
        worlds: &[
            (Paused, serving::accept),
            (Paused, serving::accept_behind_another),
        ],
    },
    Call {
        file: "server.rs",
        name: "next_request",
        at_least: 5,
        worlds: &[
            (Paused, serving::next_request),
            (Paused, serving::next_request_behind_another),
        ],
    },
    Call {
        file: "server.rs",
        name: "shutdown",
        at_least: 7,
        worlds: &[(Paused, serving::shutdown)],
    },
    Call {
        file: "client.rs",
        name: "connect",
        at_least: 5,
        worlds: &[
            (Real, connecting::connect),
            (Real, connecting::connect_again),
        ],
    },
    Call {
        file: "client.rs",
        name: "discover",
        at_least: 5,
        worlds: &[(Paused, searching::search_in_vain)],
    },
    Call {
        file: "client.rs",
        name: "connect_with",
        at_least: 14,
        worlds: &[
            (Paused, connecting::connect_with),
            (Paused, connecting::connect_with_short_pipes),
        ],
    },
    Call {
        file: "client.rs",
        name: "connect_over",
        at_least: 148,
        worlds: &[
            (Paused, connecting::over_a_narrow_pipe),
            (Paused, connecting::over_a_pipe_that_has_room_for_bye),
        ],
    },
    Call {
        file: "discovery/search.rs",
        name: "search",
        at_least: 5,
        worlds: &[(Paused, searching::search)],
    },
    Call {
        file: "discovery/search.rs",
        name: "discover",
        at_least: 5,
        worlds: &[(Paused, searching::discover)],
    },
    Call {
        file: "transport.rs",
        name: "accept",
        at_least: 6,
        worlds: &[
            (Paused, serving::accept_in_memory),
            (Real, serving::accept_tcp),
        ],
    },
    Call {
        file: "address/resolve.rs",
        name: "resolve",
        at_least: 1,
        worlds: &[(Real, connecting::resolve)],
    },
    Call {
        file: "transport/readiness.rs",
        name: "ready",
        at_least: 1,
        worlds: &[(Real, connecting::ready)],
    },
    Call {
        file: "transport/registered.rs",
        name: "connect",
        at_least: 1,
        worlds: &[(Real, connecting::tcp), (Real, connecting::unix)],
    },
    Call {
        file: "transport/registered.rs",
        name: "bind",
        at_least: 1,
        worlds: &[(Real, serving::bind_a_listener)],
    },
    Call {
        file: "table/mod.rs",
        name: "bind",
        at_least: 1,
        worlds: &[(Real, hosting::bind_a_table)],
    },
    Call {
        file: "table/mod.rs",
        name: "filled",
        at_least: 3,
        worlds: &[(Real, hosting::filled)],
    },
    Call {
        file: "table/mod.rs",
        name: "ask",
        at_least: 3,
        worlds: &[(Real, hosting::ask)],
    },
    Call {
        file: "table/mod.rs",
        name: "ask_all",
        at_least: 3,
        worlds: &[(Real, hosting::ask_all)],
    },
    Call {
        file: "table/mod.rs",
        name: "ask_all_timed",
        at_least: 3,
        worlds: &[(Real, hosting::ask_all_timed)],
    },
    Call {
        file: "table/mod.rs",
        name: "event",
        at_least: 3,
        worlds: &[(Real, hosting::event)],
    },
    Call {
        file: "table/mod.rs",
        name: "end",
        at_least: 3,
        worlds: &[(Real, hosting::end)],
    },
    Call {
        file: "table/turn.rs",
        name: "next",
        at_least: 3,
        worlds: &[(Real, hosting::next_decision)],
    },
    Call {
        file: "table/actions.rs",
        name: "next",
        at_least: 3,
        worlds: &[(Real, hosting::next_action)],
    },
    Call {
        file: "player.rs",
        name: "next_turn",
        at_least: 3,
        worlds: &[(Real, hosting::next_turn)],
    },
    Call {
        file: "player.rs",
        name: "next",
        at_least: 3,
        worlds: &[(Real, hosting::next_told)],
    },
    Call {
        file: "player.rs",
        name: "event",
        at_least: 3,
        worlds: &[(Real, hosting::player_event)],
    },
    Call {
        file: "player.rs",
        name: "act",
        at_least: 1,
        worlds: &[(Real, hosting::act)],
    },
    Call {
        file: "player.rs",
        name: "leave",
        at_least: 1,
        worlds: &[(Real, hosting::leave)],
    },
    Call {
        file: "transport/memory.rs",
        name: "connect",
        at_least: 3,
        worlds: &[(Paused, connecting::in_memory)],
    },
];

/// [`masep::Client`]'s `discover`, on a network with a server to be found.
#[cfg(target_os = "linux")]
pub(crate) const DISCOVER_A_SERVER: Call = Call {
    file: "client.rs",
    name: "discover",
    at_least: 5,
    worlds: &[(Real, searching::find_and_connect)],
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
        let code = line.trim();
        if let Some(comment) = code.strip_prefix("///") {
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
