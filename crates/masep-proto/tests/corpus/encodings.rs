//! Bytes that are no text, or text in another encoding.

use super::{Input, TAKEN, around};

const ENCODING: &[&str] = &["encoding"];
const TAKES: &[&str] = &[TAKEN];

/// Every encoding that somebody might try, and all that is wrong with UTF-8.
pub fn encodings() -> Vec<Input> {
    let mut inputs = broken_utf8();
    inputs.extend(utf16());
    inputs.extend(declared());
    inputs
}

fn broken_utf8() -> Vec<Input> {
    let mut inputs = Vec::new();
    for (name, bytes) in [
        ("a byte that begins nothing", &b"\xff"[..]),
        ("another one", b"\xfe"),
        ("a continuation alone", b"\x80"),
        ("two bytes cut", b"\xc3"),
        ("three bytes cut", b"\xe6\xbc"),
        ("four bytes cut", b"\xf0\x9f\x98"),
        ("an overlong <", b"\xc0\xbc"),
        ("an overlong < of three", b"\xe0\x80\xbc"),
        ("an overlong < of four", b"\xf0\x80\x80\xbc"),
        ("an overlong zero", b"\xc0\x80"),
        ("a high surrogate", b"\xed\xa0\x80"),
        ("a low surrogate", b"\xed\xb0\x80"),
        ("a pair of surrogates (CESU-8)", b"\xed\xa0\xbd\xed\xb8\x80"),
        ("beyond Unicode", b"\xf4\x90\x80\x80"),
        ("five bytes", b"\xf8\x88\x80\x80\x80"),
        ("six bytes", b"\xfc\x84\x80\x80\x80\x80"),
        ("Latin-1", b"caf\xe9"),
    ] {
        let [before, after] = around("<str>\u{1}</str>")
            .split('\u{1}')
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .try_into()
            .expect("one mark");
        let place =
            |before: &str, after: &str| [before.as_bytes(), bytes, after.as_bytes()].concat();
        inputs.push(Input::new(
            format!("{name} in a text"),
            place(&before, &after),
            ENCODING,
        ));
        inputs.push(Input::new(
            format!("{name} at the end"),
            place(&before, ""),
            &["encoding", "truncated"],
        ));
        inputs.push(Input::new(
            format!("{name} in an attribute"),
            place("<M msg_type=\"", "\" src_sub_app=\"\" />"),
            ENCODING,
        ));
        inputs.push(Input::new(
            format!("{name} in a name"),
            place("<M", " msg_type=\"\" />"),
            &["encoding", "syntax"],
        ));
        inputs.push(Input::new(
            format!("{name} alone"),
            bytes,
            &["encoding", "truncated", "syntax"],
        ));
    }
    inputs
}

fn utf16() -> Vec<Input> {
    let message = around("<str>漢</str>");
    let encode = |text: &str, to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    };
    let with_mark = format!("\u{feff}{message}");
    let mut odd = encode(&with_mark, u16::to_le_bytes);
    odd.push(b'<');
    let mut lone = encode(&with_mark, u16::to_le_bytes);
    lone.extend(0xd800_u16.to_le_bytes());
    let utf32 = |to_bytes: fn(u32) -> [u8; 4]| -> Vec<u8> {
        with_mark.chars().flat_map(|c| to_bytes(c.into())).collect()
    };
    let other = &["encoding", "syntax", "truncated"];
    vec![
        Input::new("UTF-16 LE", encode(&with_mark, u16::to_le_bytes), TAKES),
        Input::new("UTF-16 BE", encode(&with_mark, u16::to_be_bytes), TAKES),
        Input::new(
            "UTF-16 LE without a mark",
            encode(&message, u16::to_le_bytes),
            TAKES,
        ),
        Input::new(
            "UTF-16 BE without a mark",
            encode(&message, u16::to_be_bytes),
            TAKES,
        ),
        Input::new("UTF-16 of an odd length", odd, ENCODING),
        Input::new(
            "UTF-16 with a lone surrogate",
            lone,
            &["encoding", "syntax"],
        ),
        Input::new(
            "UTF-16 marks alone",
            [0xff, 0xfe].repeat(30_000),
            &["syntax", "truncated"],
        ),
        Input::new("UTF-32 LE", utf32(u32::to_le_bytes), other),
        Input::new("UTF-32 BE", utf32(u32::to_be_bytes), other),
        Input::new("UTF-8 with a mark", format!("\u{feff}{message}"), TAKES),
        Input::new(
            "UTF-8 with two marks",
            format!("\u{feff}\u{feff}{message}"),
            &["syntax"],
        ),
        Input::new("zeros", [0; 60_000], other),
        Input::new("EBCDIC", *b"\x4c\x6f\xa7\x94\x93", other),
    ]
}

fn declared() -> Vec<Input> {
    let message = around("<str>x</str>");
    let as_declared = |name: &str| format!("<?xml version='1.0' encoding='{name}'?>{message}");
    let mut inputs = Vec::new();
    for name in [
        "utf-7",
        "UTF-16",
        "utf-16le",
        "utf-32",
        "ucs-4",
        "koi8-r",
        "gb18030",
        "shift_jis",
        "big5",
        "iso-2022-jp",
        "cp037",
        "punycode",
        "rot13",
        "zlib",
        "base64",
        "idna",
        "mbcs",
        "x-user-defined",
    ] {
        inputs.push(Input::new(
            format!("declared as {name}"),
            as_declared(name),
            ENCODING,
        ));
    }
    for name in ["utf-8", "UTF-8", "us-ascii", "iso-8859-1", "windows-1252"] {
        inputs.push(Input::new(
            format!("declared as {name}"),
            as_declared(name),
            TAKES,
        ));
    }
    inputs.push(Input::new(
        "an encoding with a long name",
        as_declared(&"a".repeat(60_000)),
        ENCODING,
    ));
    inputs.push(Input::new("UTF-7", "+ADw-M msg_type+AD0AIg-a", &["syntax"]));
    inputs
}
