//! The events of `masep serve` when many have something to tell, and few or nobody reads.

use std::io::{BufRead, BufReader, Write};
use std::thread;

use crate::run::framed;
use crate::session::{Session, serve_unread};
use crate::socket::Socket;

/// Sends valid messages until no more are taken: the way to the reader of standard output is full then.
fn fill(address: &str) -> Socket {
    let mut peer = Socket::join(address, "flood");
    peer.fill(&framed(message(60_000)));
    peer
}

fn message(size: usize) -> String {
    let text = "x".repeat(size);
    format!(
        "<Message msg_type=\"action\" src_sub_app=\"x\"><dict><item key=\"text\"><str>{text}</str></item></dict></Message>"
    )
}

/// The events that are told of this id, without the messages.
fn told_of(server: &mut Session, id: &str, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        let event = server.json();
        if event["peer"] == id && event["event"] != "message" {
            let reason = event["reason"].as_str().unwrap_or("");
            told.push(format!("{} {reason}", event["event"].as_str().unwrap()));
        }
    }
    told
}

#[test]
fn a_connection_that_ends_before_it_could_be_told_of_is_told_of_as_any_other() {
    let (mut server, address) = serve_unread(&[]);
    let _flood = fill(&address);
    let mut late = Socket::join(&address, "late");
    server.send(r#"{"to":"late","bye":true}"#);
    late.expect_bye();
    server.read();
    assert_eq!(
        told_of(&mut server, "late", 2),
        ["connected ", "closed local_bye"]
    );
}

#[test]
fn an_id_is_told_of_again_only_when_its_end_was_told() {
    let (mut server, address) = serve_unread(&["--replace"]);
    let _flood = fill(&address);
    let mut old = Socket::join(&address, "agent");
    // Its place is taken after a second, though nobody has read of its end.
    let _new = Socket::join(&address, "agent");
    old.expect_bye();
    server.read();
    assert_eq!(
        told_of(&mut server, "agent", 3),
        ["connected ", "closed replaced", "connected "]
    );
}

#[test]
fn who_says_little_is_heard_soon_however_much_others_say() {
    let (mut server, address) = serve_unread(&[]);
    let mut events = BufReader::new(server.take_stdout());
    let mut good = Socket::join(&address, "good");
    for number in 0..20 {
        let mut peer = Socket::join(&address, &format!("flood-{number}"));
        thread::spawn(move || {
            let message = framed(message(60_000));
            // Until the server is gone.
            while peer.stream.write_all(&message).is_ok() {}
        });
    }
    let (mut line, mut floods) = (String::new(), 0);
    while floods < 200 {
        line.clear();
        events.read_line(&mut line).unwrap();
        floods += usize::from(line.starts_with(r#"{"event":"message""#));
    }
    // The amount that others have said between a word of this peer and the line that tells it.
    let mut between: Vec<usize> = (0..40)
        .map(|_| {
            good.send(message(1));
            let mut bytes = 0;
            loop {
                line.clear();
                events.read_line(&mut line).unwrap();
                if line.starts_with(r#"{"event":"message","peer":"good""#) {
                    return bytes;
                }
                bytes += line.len();
            }
        })
        .collect();
    between.sort_unstable();
    // One line of each would be 1.2 MB, and a queue in front of it twice that. Not the median: how soon the
    // server gets a core is not asked here.
    assert!(between[10] < 800_000, "{between:?}");
}
