//! The output of one verb is read by another, however deep it is nested and however long it is.

use crate::run::{framed, hex, run};
use crate::socket::{Heard, join, serve_peer, tapped};

/// The most levels of values that a message can have: 1,024 XML elements in each other.
const DEEPEST: usize = 510;

/// Messages that are nested in each way there is, at the depths where readers of JSON give up.
fn nested() -> Vec<(String, String)> {
    let kinds = [
        ("list", "<list><item>", "</item></list>"),
        ("tuple", "<tuple><item>", "</item></tuple>"),
        ("dict", r#"<dict><item key="k">"#, "</item></dict>"),
        // A dict with such a key is written as pairs: three levels of JSON.
        ("pairs", r#"<dict><item key="$k">"#, "</item></dict>"),
    ];
    let mut messages = Vec::new();
    for (kind, start, end) in kinds {
        for levels in [41, 62, 125, 126, 127, 128, DEEPEST] {
            let (start, end) = (start.repeat(levels), end.repeat(levels));
            // A set holds what can be hashed: tuples, not sets.
            for leaf in ["<int>1</int>", "<set><item><int>1</int></item></set>"] {
                let fits = levels < DEEPEST || !leaf.contains("set");
                if fits && (kind != "tuple" || !leaf.contains("set")) {
                    messages.push((
                        format!("{kind} {levels}"),
                        message(&format!("{start}{leaf}{end}")),
                    ));
                }
            }
        }
    }
    let (tuples, ends) = ("<tuple><item>".repeat(500), "</item></tuple>".repeat(500));
    let set = format!("<set><item>{tuples}<int>1</int>{ends}</item></set>");
    messages.push(("tuples in a set".into(), message(&set)));
    let (start, end) = ("<a>".repeat(1_019), "</a>".repeat(1_019));
    messages.push(("elements".into(), message(&format!("{start}<b />{end}"))));
    messages
}

fn message(value: &str) -> String {
    format!(
        r#"<Message msg_type="x" src_sub_app="a"><dict><item key="k">{value}</item></dict></Message>"#
    )
}

#[test]
fn encode_reads_what_decode_prints() {
    let messages = nested();
    let bytes: Vec<String> = messages.iter().map(|(_, xml)| hex(xml)).collect();
    let decoded = run(&["decode"], bytes.join("\n"));
    let encoded = run(&["encode"], decoded.stdout);
    for ((line, bytes), (name, _)) in encoded.lines().iter().zip(&bytes).zip(&messages) {
        assert_eq!(line, bytes, "{name}");
    }
    assert_eq!(encoded.lines().len(), messages.len());

    let stream: Vec<u8> = ["a".to_owned()]
        .iter()
        .chain(messages.iter().map(|(_, xml)| xml))
        .flat_map(framed)
        .collect();
    let decoded = run(&["decode", "--stream"], stream.clone());
    let encoded = run(&["encode", "--frame"], decoded.stdout);
    assert_eq!(encoded.lines().concat(), hex(stream));
}

#[test]
fn encode_reads_the_longest_line_that_decode_prints() {
    // Each byte takes six in JSON.
    let text = "\u{7f}".repeat(1_000_000);
    let bytes = hex(message(&format!("<str>{text}</str>")));
    let decoded = run(&["decode"], bytes.as_str());
    assert!(decoded.stdout.len() > 6_000_000);
    let encoded = run(&["encode"], decoded.stdout);
    assert!(encoded.stdout.trim_end() == bytes);
}

/// The command that sends the message of an event back.
fn answer(event: &str) -> String {
    let (_, message) = event.split_once(r#","message":"#).unwrap();
    format!(r#"{{"message":{message}"#)
}

#[test]
fn a_server_takes_back_what_it_told() {
    let (mut server, mut peer) = serve_peer("a", &[]);
    for (name, xml) in nested() {
        peer.send(&xml);
        let told = server.line().unwrap();
        server.send(answer(&told).replacen('{', r#"{"to":"a","#, 1));
        assert!(peer.hear() == Heard::Frame(xml.into()), "{name}");
    }
    server.send(r#"{"shutdown":true}"#);
    peer.expect_bye();
    server.end_in_peace();
}

#[test]
fn an_interface_takes_back_what_it_told() {
    let (mut interface, mut engine) = join(&[]);
    for (name, xml) in nested() {
        engine.send(&xml);
        let told = interface.line().unwrap();
        interface.send(answer(&told));
        assert!(engine.hear() == Heard::Frame(xml.into()), "{name}");
    }
}

#[test]
fn a_tap_shows_it_and_encode_reads_that() {
    let (mut tap, mut client, mut server) = tapped(&["--json"]);
    tap.event("open");
    client.send("a");
    server.expect("a");
    tap.line().unwrap();
    for (name, xml) in nested() {
        client.send(&xml);
        server.expect(&xml);
        let shown = tap.line().unwrap();
        let (_, message) = shown.split_once(r#","message":"#).unwrap();
        let encoded = run(&["encode"], message.strip_suffix('}').unwrap());
        assert!(encoded.stdout.trim_end() == hex(xml), "{name}");
    }
}

#[test]
fn text_that_no_message_can_be_is_an_error_and_the_next_line_is_read() {
    let line =
        |value: &str| format!(r#"{{"msg_type":"x","src_sub_app":"a","params":{{"k":{value}}}}}"#);
    let lists = |levels| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let input = [
        line(&lists(DEEPEST + 1)),
        line(&lists(1_500)),
        line(&lists(100_000)),
        "{\"k\":".repeat(100_000),
        "[".repeat(1_000),
        line("1"),
    ];
    let encoded = run(&["encode"], input.join("\n"));
    let lines = encoded.lines();
    let kinds = ["limit", "limit", "limit", "limit", "json"];
    for (line, kind) in lines.iter().zip(kinds) {
        let start = format!(r#"{{"error":{{"kind":"{kind}","#);
        assert!(line.starts_with(&start), "{line}");
    }
    assert_eq!(lines.len(), input.len());
    assert!(!lines[5].contains("error"));
}
