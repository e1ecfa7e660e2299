//! Every public async call, dropped at every point at which it waits: what its documentation promises
//! of a call that is dropped holds there, and nothing of it is left behind.
//!
//! A call is made again and again in a world that goes on by itself, and dropped before its first poll,
//! after its first, after its second, until it is done before it would be dropped; each time at once, and
//! again when it was woken but has not been polled: what woke it must not be lost with it.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a test's report, also in what it calls"
)]

#[cfg(target_os = "linux")]
use std::io::{self, Write};

mod connecting;
mod cut;
#[path = "../directory/mod.rs"]
mod directory;
mod ending;
mod hosting;
mod queueing;
mod receiving;
mod searching;
mod sending;
mod serving;
mod table;
mod world;

use cut::{Call, run};

/// Drops these calls.
fn cancel<'a>(calls: impl IntoIterator<Item = &'a Call>) {
    for call in calls {
        let found = run(call);
        println!("{}: {} is dropped at {found} points", call.file, call.name);
        assert!(
            found >= call.at_least,
            "{} had {} points to be dropped at, and now {found}: its world has become too easy",
            call.name,
            call.at_least,
        );
    }
}

/// The calls of these source files, as a test.
macro_rules! of_files {
    ($($test:ident: $($file:literal)+;)*) => {
        $(#[test] fn $test() {
            let files = [$($file),+];
            let calls = table::CALLS.iter().filter(|call| files.contains(&call.file));
            cancel(calls);
        })*

        #[test]
        fn every_file_is_in_a_test() {
            let files = [$($($file),+),*];
            let left = table::CALLS.iter().filter(|call| !files.contains(&call.file));
            assert_eq!(left.map(|call| call.file).collect::<Vec<_>>(), [""; 0]);
        }
    };
}

of_files! {
    calls_of_a_connection: "connection.rs";
    calls_of_the_registry: "registry.rs";
    calls_of_the_queue_for_all_connections: "queue/received.rs";
    calls_of_a_server: "server.rs";
    calls_of_a_client: "client.rs";
    calls_of_a_table: "table/mod.rs" "table/calls.rs" "table/turn.rs" "table/actions.rs";
    calls_of_a_player: "player/playing.rs";
    calls_of_the_search: "discovery/search.rs";
    calls_of_the_transports: "transport.rs" "transport/memory.rs" "transport/readiness.rs" "transport/registered.rs"
        "address/resolve.rs";
}

#[test]
#[cfg(target_os = "linux")]
fn a_client_that_finds_a_server() {
    let ran = searching::on_a_network_of_its_own(|| cancel(table::DISCOVER_A_SERVER));
    if let Err(reason) = ran {
        let note = format!("SKIPPED a client that finds a server: {reason}\n");
        // Past the test harness, which keeps what passing tests print.
        let _ = io::stdout().write_all(note.as_bytes());
    }
}

#[test]
fn every_public_call_that_can_be_dropped_is_in_the_table() {
    let in_source = table::public_calls();
    let mut in_table: Vec<_> = table::CALLS
        .iter()
        .map(|call| (call.file.to_owned(), call.name.to_owned()))
        .collect();
    let mut found: Vec<_> = in_source
        .iter()
        .map(|call| (call.file.clone(), call.name.clone()))
        .filter(|(_, name)| !table::CALLBACKS.contains(&name.as_str()))
        .collect();
    in_table.sort();
    found.sort();
    assert_eq!(
        found, in_table,
        "left: the calls in the source; right: those in tests/cancellation/table.rs"
    );
}

#[test]
fn every_such_call_says_what_happens_when_it_is_dropped() {
    let silent: Vec<_> = table::public_calls()
        .into_iter()
        .filter(|call| !call.documentation.to_lowercase().contains("cancel"))
        .map(|call| format!("{}: {}", call.file, call.name))
        .collect();
    assert!(silent.is_empty(), "not a word of that: {silent:#?}");
}
