//! `masep decode`.

use std::io::{BufRead, BufReader, Write};

use crate::run::{framed, hex, run, start};

/// A message with this one parameter `k` on the wire.
fn with_k(xml: &str) -> String {
    format!(
        r#"<Message msg_type="action" src_sub_app="a"><dict><item key="k">{xml}</item></dict></Message>"#
    )
}

#[test]
fn every_value_comes_back_as_it_was_sent() {
    for (xml, json) in [
        ("<NoneType>None</NoneType>", "null"),
        ("<bool>False</bool>", "false"),
        ("<int>-5</int>", "-5"),
        (
            "<int>12345678901234567890123</int>",
            r#"{"$int":"12345678901234567890123"}"#,
        ),
        ("<float>1.0</float>", "1.0"),
        ("<float>1e+16</float>", "1e+16"),
        ("<float>-inf</float>", r#"{"$float":"-inf"}"#),
        (r#"<str content="empty" />"#, r#""""#),
        (
            "<str>&#233;\n&quot;&#28450;&#8232;</str>",
            r#""é\n\"漢\u2028""#,
        ),
        (
            "<str>&lt;class 'os.system'&gt;</str>",
            r#""<class 'os.system'>""#,
        ),
        (
            "<tuple><item><int>1</int></item></tuple>",
            r#"{"$tuple":[1]}"#,
        ),
        ("<set><item><str>b</str></item></set>", r#"{"$set":["b"]}"#),
        (
            r#"<dict><item key="z"><int>1</int></item><item key="a"><list /></item></dict>"#,
            r#"{"z":1,"a":[]}"#,
        ),
        (
            r#"<dict><item key="$z"><int>1</int></item></dict>"#,
            r#"{"$dict":[["$z",1]]}"#,
        ),
        (r"<bytes>b'a\x00'</bytes>", r#"{"$bytes_hex":"6100"}"#),
        ("<type>&lt;class 'm.C'&gt;</type>", r#"{"$type":"m.C"}"#),
        (
            "<type>&lt;class 'int'&gt;</type>",
            r#"{"$type":"builtins.int"}"#,
        ),
        (
            "<State a='1'><b/></State>",
            r#"{"$xml":"<State a=\"1\"><b /></State>"}"#,
        ),
        (
            "<foo>x</foo> tail ",
            r#"{"$xml":"<foo>x</foo>","$tail":" tail "}"#,
        ),
    ] {
        let run = run(&["decode"], hex(with_k(xml)));
        let expected = format!(
            "{{\"msg_type\":\"action\",\"src_sub_app\":\"a\",\"params\":{{\"k\":{json}}}}}\n"
        );
        assert_eq!(run.stdout, expected, "{xml}");
        assert_eq!(run.code, Some(0));
    }
}

#[test]
fn a_line_that_cannot_be_done_is_an_error_in_its_place() {
    let end = hex(r#"<Message msg_type="end" src_sub_app="e" />"#);
    let input = format!(
        "  {}\r\nxyz\n\n{}\nabc\n{end}\n",
        end.to_uppercase(),
        hex("<a")
    );
    let run = run(&["decode"], input);
    assert_eq!(run.code, Some(1));
    let lines = run.lines();
    let message = r#"{"msg_type":"end","src_sub_app":"e","params":null}"#;
    assert_eq!(lines.len(), 6);
    assert_eq!((lines[0], lines[5]), (message, message));
    for (line, kind) in lines[1..5].iter().zip(["hex", "", "", "hex"]) {
        let start = format!(r#"{{"error":{{"kind":"{kind}"#);
        assert!(line.starts_with(&start), "{line}");
    }
}

#[test]
fn what_encode_writes_decode_reads() {
    let messages = r#"{"msg_type":"define","src_sub_app":"a","params":{"game":{"$type":"m.Game"}}}
{"msg_type":"observation","src_sub_app":"e","params":{"observation":{"$xml":"<State is_final=\"False\" />"},"additional_information":{"reward":{"a":-1.5}}}}
{"msg_type":"dance","src_sub_app":"","params":null}
"#;
    for mode in [&[][..], &["--frame"]] {
        let encoded = run(&[&["encode"], mode].concat(), messages);
        let decoded = run(&[&["decode"], mode].concat(), &encoded.stdout);
        assert_eq!(decoded.stdout, messages);
    }
}

#[test]
fn a_frame_is_one_frame_exactly() {
    let body = r#"<Message msg_type="end" src_sub_app="e" />"#;
    let whole = hex(framed(body));
    let input = [
        whole.clone(),
        whole[..whole.len() - 2].to_owned(),
        whole + "00",
        "2a".to_owned(),
        hex(framed("BYE")),
    ]
    .join("\n");
    let run = run(&["decode", "--frame"], input);
    assert_eq!(
        run.lines(),
        [
            r#"{"msg_type":"end","src_sub_app":"e","params":null}"#,
            r#"{"error":{"kind":"truncated","message":"the input ends in a frame: it has 41 of 42 bytes"}}"#,
            r#"{"error":{"kind":"excess","message":"1 bytes behind the frame of 42"}}"#,
            r#"{"error":{"kind":"truncated","message":"the input ends in the header of a frame"}}"#,
            r#"{"bye":true}"#,
        ]
    );
}

/// One direction of a connection: hello, a message, what is no message, BYE.
fn stream() -> Vec<u8> {
    [
        framed("agent-é"),
        framed(r#"<Message msg_type="quit" src_sub_app="a" />"#),
        framed(b"\xff\xfe"),
        framed("BYE"),
    ]
    .concat()
}

#[test]
fn a_stream_is_a_line_for_each_frame() {
    let run_whole = run(&["decode", "--stream"], stream());
    assert_eq!(run_whole.code, Some(1), "one frame is no message");
    let lines = run_whole.lines();
    assert_eq!(lines[0], r#"{"hello":"agent-é"}"#);
    assert_eq!(
        lines[1],
        r#"{"msg_type":"quit","src_sub_app":"a","params":null}"#
    );
    assert!(lines[2].starts_with(r#"{"bytes_hex":"fffe","error":{"kind":""#));
    assert_eq!(lines[3..], [r#"{"bye":true}"#]);
    let back = run(&["encode", "--frame"], &run_whole.stdout);
    assert_eq!(back.stdout.replace('\n', ""), hex(stream()));
}

#[test]
fn a_frame_is_printed_as_soon_as_it_is_there() {
    let mut child = start(&["decode", "--stream"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    for body in [
        "agent",
        r#"<Message msg_type="end" src_sub_app="e" />"#,
        "BYE",
    ] {
        for byte in framed(body) {
            stdin.write_all(&[byte]).unwrap();
        }
        assert!(stdout.next().unwrap().unwrap().starts_with('{'));
    }
    drop(stdin);
    assert!(stdout.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_stream_that_ends_badly_says_so() {
    for (input, last) in [
        (
            &b""[..],
            r#"{"error":{"kind":"truncated","message":"the input ends before the hello"}}"#,
        ),
        (
            b"\x01\x00a\x05",
            r#"{"error":{"kind":"truncated","message":"the input ends in the header of a frame"}}"#,
        ),
        (
            b"\x01\x00a\x05\x00abc",
            r#"{"error":{"kind":"truncated","message":"the input ends in a frame: it has 3 of 5 bytes"}}"#,
        ),
        (
            b"\x01\x00a\x03\x00BYE\x00\x00xyz",
            r#"{"error":{"kind":"after_bye","message":"5 bytes after BYE, which no peer reads"}}"#,
        ),
    ] {
        let run = run(&["decode", "--stream"], input);
        assert_eq!(run.lines().last(), Some(&last));
        assert_eq!(run.code, Some(1));
    }
}

#[test]
fn a_hello_that_is_no_text_does_not_hide_what_follows() {
    let input = [framed(b"\xff"), framed("BYE")].concat();
    let run = run(&["decode", "--stream"], input);
    let lines = run.lines();
    assert!(lines[0].starts_with(r#"{"bytes_hex":"ff","error":{"kind":"hello","message":""#));
    assert_eq!(lines[1..], [r#"{"bye":true}"#]);
}
