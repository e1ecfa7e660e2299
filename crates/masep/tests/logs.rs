//! Text of strangers in the log: nothing that a terminal obeys, and not as much as they like. The
//! subscriber that keeps the log is the whole process's, so that these tests have one of their own.

#![allow(clippy::unwrap_used, reason = "a panic is its report")]

mod shells;

use std::fmt::{self, Write as _};
use std::sync::{Condvar, Mutex, Once};

use masep::{Duplicates, Protocols};
use shells::{Options, Peer, SOON, Shell, frame, of_each_shell};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

of_each_shell! {
    an_id_cannot_write_to_the_terminal_of_whoever_reads_the_log
    refusals_are_logged_at_a_pace
}

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
        .wait_timeout_while(lines, SOON, too_few)
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

fn assert_harmless(mark: &str, least: usize) {
    for (_, line) in lines_with(mark, least) {
        let obeyed = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}');
        assert!(!line.contains(obeyed), "{line:?}");
    }
}

fn an_id_cannot_write_to_the_terminal_of_whoever_reads_the_log(shell: Shell) {
    keep_the_log();
    for duplicates in [Duplicates::Refuse, Duplicates::Replace] {
        let mark = format!("{shell:?}-{duplicates:?}");
        let engine = format!("engine-{mark}");
        // Protocol 2 has no such ids.
        let options = Options::from(duplicates).protocols(Protocols::Pymasep);
        let options = options.id(&evil(&engine));
        let server = shell.serve(options);
        let hello = frame(evil(&mark).as_bytes());
        let mut peers = [(); 2].map(|()| {
            let mut peer = Peer::connect(server.address());
            peer.write(&hello);
            peer.expect(evil(&engine).as_bytes());
            peer
        });
        drop(server);
        peers[0].expect_bye();
        // Connected, and either refused or ended.
        assert_harmless(&mark, 2);
        assert_harmless(&engine, 1);
    }
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

fn refusals_are_logged_at_a_pace(shell: Shell) {
    keep_the_log();
    let server = shell.serve(Options::default());
    // Reasons of which each shell has its own, since all share one log.
    let (hello, reason) = match shell {
        Shell::Blocking => (&b"\x02\0\xff\xff"[..], "bad_hello"),
        Shell::Async => (&b""[..], "closed_before_hello"),
    };
    for _ in 0..200 {
        Peer::connect(server.address()).write(hello);
    }
    assert_paced(reason, 200);
}
