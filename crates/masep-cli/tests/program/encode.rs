//! `masep encode`.

use std::io::{BufRead, BufReader, Read, Write};

use crate::run::{framed, hex, run, start};

/// The bytes of an action with these parameters on the wire.
fn action(params: &str) -> String {
    format!(r#"<Message msg_type="action" src_sub_app="a"><dict>{params}</dict></Message>"#)
}

/// The bytes of an action with this one parameter `k` on the wire, by JSON.
fn encode_k(value: &str) -> String {
    let line = format!(r#"{{"msg_type":"action","src_sub_app":"a","params":{{"k":{value}}}}}"#);
    let run = run(&["encode"], line);
    run.stdout.trim_end().to_owned()
}

#[test]
fn every_kind_of_value_has_its_form() {
    for (json, xml) in [
        ("null", "<NoneType>None</NoneType>"),
        ("false", "<bool>False</bool>"),
        (
            "12345678901234567890123",
            "<int>12345678901234567890123</int>",
        ),
        (r#"{"$int":"5"}"#, "<int>5</int>"),
        ("1.0", "<float>1.0</float>"),
        ("1e16", "<float>1e+16</float>"),
        ("-0.0", "<float>-0.0</float>"),
        (r#"{"$float":"nan"}"#, "<float>nan</float>"),
        (r#""""#, r#"<str content="empty" />"#),
        (r#""é<\u6f22🐺""#, "<str>&#233;&lt;&#28450;&#128058;</str>"),
        (
            r#"[1,[]]"#,
            "<list><item><int>1</int></item><item><list /></item></list>",
        ),
        (
            r#"{"$tuple":[1]}"#,
            "<tuple><item><int>1</int></item></tuple>",
        ),
        (
            r#"{"$set":["b","a"]}"#,
            "<set><item><str>b</str></item><item><str>a</str></item></set>",
        ),
        (
            r#"{"z":1,"a":2}"#,
            r#"<dict><item key="z"><int>1</int></item><item key="a"><int>2</int></item></dict>"#,
        ),
        (
            r#"{"$dict":[["$x",1]]}"#,
            r#"<dict><item key="$x"><int>1</int></item></dict>"#,
        ),
        (r#"{"$bytes_hex":"6100"}"#, r"<bytes>b'a\x00'</bytes>"),
        (r#"{"$type":"m.C"}"#, "<type>&lt;class 'm.C'&gt;</type>"),
        (
            r#"{"$type":"builtins.int"}"#,
            "<type>&lt;class 'int'&gt;</type>",
        ),
        (r#"{"$xml":"<A b='1'><c/></A>"}"#, r#"<A b="1"><c /></A>"#),
        (
            r#"{"$py":"decimal.Decimal","name":"Decimal","str":"0.10"}"#,
            "<Decimal>0.10</Decimal>",
        ),
        (
            r#"{"$nest":["list",1,1]}"#,
            "<list><item><int>1</int></item></list>",
        ),
    ] {
        let expected = action(&format!(r#"<item key="k">{xml}</item>"#));
        assert_eq!(encode_k(json), hex(expected), "{json}");
    }
}

#[test]
fn a_line_that_cannot_be_done_is_an_error_in_its_place() {
    let input = concat!(
        "{\"msg_type\":\"end\",\"src_sub_app\":\"e\"}\n",
        "no json\n",
        "\n",
        "{\"msg_type\":\"end\",\"src_sub_app\":\"e\",\"params\":{\"a\":[0,{\"$int\":\"x\"}]}}\n",
        "{\"msg_type\":3,\"src_sub_app\":\"e\"}\n",
        "\u{e9}\n",
        "{\"msg_type\":\"quit\",\"src_sub_app\":\"a\",\"params\":{}}",
    );
    let run = run(&["encode"], input);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.stderr, "");
    let lines = run.lines();
    assert_eq!(lines.len(), 7);
    assert_eq!(
        lines[0],
        hex(r#"<Message msg_type="end" src_sub_app="e" />"#)
    );
    assert!(lines[1].starts_with(r#"{"error":{"kind":"json","message":""#));
    assert!(lines[2].starts_with(r#"{"error":{"kind":"json","message":""#));
    assert_eq!(
        lines[3],
        r#"{"error":{"kind":"invalid_int","message":"params.a[1].$int: not an int: \"x\""}}"#
    );
    assert_eq!(
        lines[4],
        r#"{"error":{"kind":"unexpected","message":"msg_type: expected a string, found a number"}}"#
    );
    assert!(lines[5].starts_with(r#"{"error":{"kind":"json","message":""#));
    assert_eq!(
        lines[6],
        hex(r#"<Message msg_type="quit" src_sub_app="a" />"#)
    );
}

#[test]
fn the_sender_may_be_given_once_for_all() {
    let input = r#"{"msg_type":"quit"}
{"msg_type":"quit","src_sub_app":"other"}"#;
    let with = run(&["encode", "--id", "me"], input);
    assert_eq!(
        with.lines(),
        ["me", "other"].map(|id| hex(format!(r#"<Message msg_type="quit" src_sub_app="{id}" />"#)))
    );
    let without = run(&["encode"], input);
    assert_eq!(
        without.lines()[0],
        r#"{"error":{"kind":"missing_key","message":"the key \"src_sub_app\" is missing; --id is that of all messages without one"}}"#
    );
}

/// An action whose text has so many letters.
fn of_size(letters: usize) -> String {
    let text = "x".repeat(letters);
    format!(r#"{{"msg_type":"action","src_sub_app":"a","params":{{"k":"{text}"}}}}"#)
}

#[test]
fn a_frame_has_its_header_and_fits_or_is_refused() {
    let around = action(r#"<item key="k"><str></str></item>"#).len();
    let input = [of_size(65_535 - around), of_size(65_536 - around)].join("\n");
    let framed_run = run(&["encode", "--frame"], &input);
    assert_eq!(framed_run.code, Some(1));
    let lines = framed_run.lines();
    assert_eq!(lines[0].len(), 2 * (2 + 65_535));
    assert_eq!(&lines[0][..8], "ffff3c4d");
    assert_eq!(
        lines[1],
        r#"{"error":{"kind":"limit","message":"frame bytes: 65536 exceeds the limit of 65535"}}"#
    );
    let bare = run(&["encode"], &input);
    assert_eq!(bare.code, Some(0), "only a frame has this limit");
}

#[test]
fn frames_that_are_no_messages_are_taken_with_a_header() {
    let input = r#"{"hello":"é"}
{"bytes_hex":"FF00","error":{"kind":"syntax","message":"…"}}
{"bye":true}"#;
    let run = run(&["encode", "--frame"], input);
    assert_eq!(run.code, Some(0));
    let frames = [framed("é"), framed([0xff, 0]), framed("BYE")];
    assert_eq!(run.lines(), frames.map(hex));
}

#[test]
fn a_line_without_end_does_not_fill_the_memory() {
    let mut input = vec![b' '; 8 << 20];
    input.extend_from_slice(b"\n{\"msg_type\":\"end\",\"src_sub_app\":\"e\"}\n");
    let run = run(&["encode"], input);
    let lines = run.lines();
    assert_eq!(
        lines[0],
        r#"{"error":{"kind":"limit","message":"bytes of one line: 8388608 exceeds the limit of 7340032; what is larger is for the libraries"}}"#
    );
    assert_eq!(
        lines[1],
        hex(r#"<Message msg_type="end" src_sub_app="e" />"#)
    );
}

#[test]
fn json_that_is_nested_too_deep_is_an_error_not_a_crash() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for levels in [120, 130, 511] {
        assert!(encode_k(&deep(levels)).starts_with("3c4d"));
    }
    for levels in [512, 100_000] {
        assert!(encode_k(&deep(levels)).starts_with(r#"{"error":{"kind":"limit""#));
    }
    let nested = encode_k(r#"{"$nest":["dict",300,"leaf"]}"#);
    assert!(nested.starts_with("3c4d"), "{nested}");
}

#[test]
fn each_line_is_answered_before_the_next_is_awaited() {
    let mut child = start(&["encode"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for id in ["a", "b"] {
        writeln!(stdin, r#"{{"msg_type":"quit","src_sub_app":"{id}"}}"#).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(
            line.trim_end(),
            hex(format!(r#"<Message msg_type="quit" src_sub_app="{id}" />"#))
        );
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let mut child = start(&["encode"]);
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // It ends by itself, with the input still open.
    let mut stderr = String::new();
    while writeln!(stdin, "{}", of_size(10_000)).is_ok() {}
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(stderr, "");
}

#[test]
fn protocol_2_is_cbor_and_has_arrays() {
    let line = r#"{"msg_type":"action","src_sub_app":"a","params":{"k":{"$array":{"dtype":"uint16","shape":[2],"base64":"AQACAA=="}}},"turn":{"n":3}}"#;
    let encoded = run(&["encode", "--protocol", "2"], format!("{line}\n"));
    encoded.succeeds();
    let cbor = &encoded.stdout;
    assert!(cbor.starts_with("a46474797065"), "{cbor}");
    let decoded = run(&["decode", "--full", "--protocol", "2"], encoded.stdout);
    assert_eq!(decoded.stdout.trim_end(), line);

    let line = line.replace(r#","turn":{"n":3}"#, "");
    let refused = run(&["encode"], line);
    assert_eq!(refused.code, Some(1));
    refused.prints(r#""kind":"array""#);
    refused.prints("params.k");
}

#[test]
fn frames_are_those_of_protocol_1() {
    let run = run(&["encode", "--protocol", "2", "--frame"], "");
    run.fails(2, "--protocol");
}
