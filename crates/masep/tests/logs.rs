//! Text of strangers in the log: nothing that a terminal obeys, and not as much as they like.

#![allow(clippy::duplicate_mod, reason = "both kinds of peers have it")]

mod blocking_peer;
mod peer;

use std::fmt::{self, Write as _};
use std::sync::{Condvar, Mutex, Once};

use masep::{Duplicates, Limits};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// A line of the log: how important it is, and what it says.
type Line = (Level, String);

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());
static MORE: Condvar = Condvar::new();

/// Keeps all that the library says.
struct Keep;

/// The fields of an event or a span as text.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, "{field}={value} ");
    }
}

fn keep(level: Level, record: impl FnOnce(&mut dyn Visit)) {
    let mut text = Text(String::new());
    record(&mut text);
    LINES.lock().expect("nobody panics").push((level, text.0));
    MORE.notify_all();
}

impl<S: Subscriber> Layer<S> for Keep {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with("masep")
    }
    fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        keep(Level::TRACE, |text| span.record(text));
    }
    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        keep(Level::TRACE, |text| values.record(text));
    }
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        keep(*event.metadata().level(), |text| event.record(text));
    }
}

fn keep_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing_subscriber::registry().with(Keep).init());
}

/// The lines that hold `part`, when there are as many.
fn lines_with(part: &str, count: usize) -> Vec<Line> {
    let select = |lines: &[Line]| -> Vec<Line> {
        let with = lines.iter().filter(|(_, text)| text.contains(part));
        with.cloned().collect()
    };
    let lines = LINES.lock().expect("nobody panics");
    let too_few = |lines: &mut Vec<Line>| select(lines).len() < count;
    let (lines, result) = MORE
        .wait_timeout_while(lines, blocking_peer::SOON, too_few)
        .expect("nobody panics");
    assert!(
        !result.timed_out(),
        "fewer than {count} lines with {part:?}"
    );
    select(&lines)
}

/// Clears the screen, writes a line of its own, turns the direction of writing round.
fn evil(mark: &str) -> String {
    format!("{mark}\u{1b}[2J\u{9b}31m\r\n2027-01-01 INFO all is well\u{202e}\u{2028}\u{7f}\0")
}

fn server(duplicates: Duplicates) -> masep::blocking::Server {
    masep::blocking::Server::builder(evil("engine"))
        .duplicates(duplicates)
        .bind("127.0.0.1:0")
        .expect("loopback can be bound")
}

fn assert_harmless(mark: &str, least: usize) {
    for (_, line) in lines_with(mark, least) {
        let obeyed = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}');
        assert!(!line.contains(obeyed), "{line:?}");
    }
}

#[test]
fn an_id_cannot_write_to_the_terminal_of_whoever_reads_the_log() {
    keep_the_log();
    for (mark, duplicates) in [("one", Duplicates::Refuse), ("two", Duplicates::Replace)] {
        let server = server(duplicates);
        let hello = blocking_peer::frame(evil(mark).as_bytes());
        let peers: Vec<_> = (0..2)
            .map(|_| {
                let mut peer = blocking_peer::Peer::connect(server.local_address());
                peer.write(&hello);
                assert_eq!(peer.read(), Some(evil("engine").into_bytes()));
                peer
            })
            .collect();
        drop(peers);
        // Connected, and either refused or ended.
        assert_harmless(mark, 2);
    }
    assert_harmless("engine", 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_id_cannot_write_to_the_terminal_of_whoever_reads_the_log_of_an_async_server() {
    keep_the_log();
    for (mark, duplicates) in [("ein", Duplicates::Refuse), ("zwei", Duplicates::Replace)] {
        let server = masep::Server::builder(evil("motor"))
            .duplicates(duplicates)
            .bind("127.0.0.1:0")
            .await
            .expect("loopback can be bound");
        let hello = peer::frame(evil(mark).as_bytes());
        let mut peers = Vec::new();
        for _ in 0..2 {
            let mut peer = peer::Peer::connect(server.local_address()).await;
            peer.write(&hello).await;
            assert_eq!(peer.read().await, Some(evil("motor").into_bytes()));
            peers.push(peer);
        }
        drop(server);
        peers[0].expect_bye().await;
        assert_harmless(mark, 2);
    }
    assert_harmless("motor", 1);
}

/// A client that knocks without pause is told of now and then; a debug log has all of it.
fn assert_paced(reason: &str, refused: usize) {
    let reason = format!("reason={reason} ");
    let lines = lines_with(&reason, refused);
    let told = lines.iter().filter(|(level, _)| *level == Level::INFO);
    let debug = lines.iter().filter(|(level, _)| *level == Level::DEBUG);
    assert!((16..refused / 2).contains(&told.count()), "{lines:?}");
    assert!(debug.count() > refused / 2);
}

#[test]
fn refusals_are_logged_at_a_pace() {
    keep_the_log();
    let server = blocking_peer::server();
    for _ in 0..200 {
        let mut peer = blocking_peer::Peer::connect(server.local_address());
        peer.write(b"\x02\0\xff\xff");
    }
    assert_paced("bad_hello", 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn refusals_of_an_async_server_are_logged_at_a_pace() {
    keep_the_log();
    let server = peer::server_with(Limits::default()).await;
    for _ in 0..200 {
        drop(peer::Peer::connect(server.local_address()).await);
    }
    assert_paced("closed_before_hello", 200);
}
