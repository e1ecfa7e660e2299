//! Bombs of what elements hold: attributes, namespaces, texts, numbers, containers.

use super::{BOUNDED, FRAME_OF, SYNTAX, TAKES, many, times, value};
use crate::corpus::Input;

pub(super) fn attributes(size: usize) -> Vec<Input> {
    let element = ("<a", " />");
    vec![
        value("different attributes", size, element, TAKES, |room| {
            many(room, |i| format!(" a{i:x}=\"\""))
        }),
        value("foreign attributes", size, element, TAKES, |room| {
            many(room, |i| format!(" a{i:x}=''"))
        }),
        value("the same attribute", size, element, SYNTAX, |room| {
            times(room, " a=\"\"")
        }),
        value("the same at the end", size, element, SYNTAX, |room| {
            format!(
                " z=\"\"{} z=\"\"",
                many(room.saturating_sub(10), |i| format!(" a{i}=\"\""))
            )
        }),
        value("a long value", size, ("<a b=\"", "\" />"), TAKES, |room| {
            "x".repeat(room)
        }),
        value(
            "a long value of references",
            size,
            ("<a b=\"", "\" />"),
            TAKES,
            |room| times(room, "&#9;"),
        ),
        value(
            "a long value of white space",
            size,
            ("<a b=\"", "\" />"),
            TAKES,
            |room| times(room, "\r\n\t"),
        ),
        value("a long name", size, ("<", " />"), TAKES, |room| {
            "a".repeat(room)
        }),
        value(
            "a long name of an attribute",
            size,
            ("<a ", "=\"\" />"),
            TAKES,
            |room| "a".repeat(room),
        ),
        value("a few long names", size, element, TAKES, |room| {
            let letters = (room / 12).saturating_sub(12);
            (0..12)
                .map(|i| format!(" {}{i}=\"\"", "a".repeat(letters)))
                .collect()
        }),
        value(
            "a value without end",
            size,
            ("<a b=\"", ""),
            &["syntax", "truncated"],
            |room| "x".repeat(room),
        ),
        value(
            "a tag without end",
            size,
            ("<a", ""),
            &["syntax", "truncated"],
            |room| times(room, " "),
        ),
        value(
            "attributes of an item",
            size,
            ("<dict><item", "><int>1</int></item></dict>"),
            &["missing_key"],
            |room| many(room, |i| format!(" a{i:x}=\"\"")),
        ),
        Input::new(
            "attributes of the root",
            format!(
                "<M{} msg_type=\"a\" src_sub_app=\"b\" />",
                many(size.saturating_sub(40), |i| format!(" a{i}=\"\""))
            ),
            TAKES,
        ),
    ]
}

pub(super) fn namespaces(size: usize) -> Vec<Input> {
    let half = size / 2;
    vec![
        value("declarations", size, ("<a", " />"), TAKES, |room| {
            many(room, |i| format!(" xmlns:p{i:x}=\"u\""))
        }),
        value(
            "declarations that are used",
            size,
            ("<list>", "</list>"),
            BOUNDED,
            |room| {
                many(room, |i| {
                    format!("<item><p{i}:a xmlns:p{i}=\"u{i}\"/></item>")
                })
            },
        ),
        value(
            "a long namespace used by elements",
            size,
            ("", ""),
            BOUNDED,
            |room| {
                let uri = "u".repeat(half.saturating_sub(FRAME_OF));
                let uses = times(room.saturating_sub(uri.len() + 40), "<p:a/>");
                format!("<a xmlns:p=\"{uri}\">{uses}</a>")
            },
        ),
        value(
            "a long namespace used by attributes",
            size,
            ("", ""),
            BOUNDED,
            |room| {
                let uri = "u".repeat(half.saturating_sub(FRAME_OF));
                let uses = many(room.saturating_sub(uri.len() + 40), |i| {
                    format!(" p:a{i:x}=''")
                });
                format!("<a xmlns:p=\"{uri}\"{uses}/>")
            },
        ),
        value(
            "a long default namespace",
            size,
            ("", ""),
            BOUNDED,
            |room| {
                let uri = "u".repeat(half.saturating_sub(FRAME_OF));
                let uses = times(room.saturating_sub(uri.len() + 40), "<a/>");
                format!("<a xmlns=\"{uri}\">{uses}</a>")
            },
        ),
        value(
            "a namespace that is repeated by each item",
            size,
            ("", ""),
            BOUNDED,
            |room| {
                let uri = "u".repeat(half.saturating_sub(FRAME_OF));
                let uses = times(room.saturating_sub(uri.len() + 40), "<item><p:a/></item>");
                format!("<list xmlns:p=\"{uri}\">{uses}</list>")
            },
        ),
        value(
            "long namespaces and short ones",
            size,
            ("", ""),
            BOUNDED,
            |room| {
                let uri = "u".repeat(half.saturating_sub(FRAME_OF));
                let uses = many(room.saturating_sub(uri.len() + 60), |i| {
                    format!("<q{i}:a xmlns:q{i}=\"{i}\"/>")
                });
                format!("<a xmlns:p=\"{uri}\"><p:a/>{uses}</a>")
            },
        ),
        value("scopes in each other", size, ("", ""), BOUNDED, |room| {
            let levels = room / 27;
            let open: String = (0..levels)
                .map(|i| format!("<p:a xmlns:p=\"u{i:06}\">"))
                .collect();
            format!("{open}{}", "</p:a>".repeat(levels))
        }),
        value(
            "a prefix that nobody declared",
            size,
            ("<a>", "</a>"),
            &["unbound_prefix"],
            |room| times(room, "<p:a/>"),
        ),
        value(
            "attributes that are the same",
            size,
            ("", ""),
            SYNTAX,
            |room| {
                let uses = many(room.saturating_sub(60), |i| format!(" p:a{i}=''"));
                format!("<a xmlns:p=\"u\" xmlns:q=\"u\"{uses} q:a0=''/>")
            },
        ),
        value("the prefix xmlns", size, ("", ""), SYNTAX, |_| {
            "<a xmlns:xmlns=\"u\"/>".to_owned()
        }),
    ]
}

pub(super) fn texts(size: usize) -> Vec<Input> {
    let str = ("<str>", "</str>");
    vec![
        value("a long text", size, str, TAKES, |room| "x".repeat(room)),
        value("a text of ampersands", size, str, TAKES, |room| {
            times(room, "&amp;")
        }),
        value("a text of references", size, str, TAKES, |room| {
            times(room, "&#65535;")
        }),
        value("a text of raw characters", size, str, TAKES, |room| {
            times(room, "\u{10ffff}")
        }),
        value(
            "an element of raw characters",
            size,
            ("<a>", "</a>"),
            TAKES,
            |room| times(room, "\u{10ffff}"),
        ),
        value(
            "an element of control characters",
            size,
            ("<a>", "</a>"),
            TAKES,
            |room| times(room, "\u{1}\u{1b}[2J\u{7f}"),
        ),
        value("an element of >", size, ("<a>", "</a>"), TAKES, |room| {
            times(room, "]>")
        }),
        value(
            "an element of double quotes",
            size,
            ("<a b='", "'/>"),
            TAKES,
            |room| times(room, "\""),
        ),
        value("]]>", size, str, SYNTAX, |room| times(room, "]]>")),
        value("a text in many pieces", size, str, TAKES, |room| {
            times(room, "x<!---->")
        }),
        value(
            "a reference with many digits",
            size,
            ("<str>&#", ";</str>"),
            TAKES,
            |room| format!("{}65", "0".repeat(room - 2)),
        ),
        value(
            "a reference to nothing",
            size,
            ("<str>&#", ";</str>"),
            SYNTAX,
            |room| "9".repeat(room),
        ),
        value(
            "a class of quotes",
            size,
            ("<type>&lt;class ", "</type>"),
            &["invalid_type"],
            |room| times(room, "''"),
        ),
        value(
            "a long class",
            size,
            ("<type>&lt;class '", "'&gt;</type>"),
            TAKES,
            |room| "a".repeat(room),
        ),
        value(
            "long bytes",
            size,
            ("<bytes>b'", "'</bytes>"),
            TAKES,
            |room| times(room, "\\x00"),
        ),
        value(
            "bytes that are none",
            size,
            ("<bytes>b'", "</bytes>"),
            TAKES,
            |room| times(room, "\\"),
        ),
        Input::new(
            "a long sender",
            format!(
                "<M msg_type=\"a\" src_sub_app=\"{}\" />",
                "x".repeat(size.saturating_sub(40))
            ),
            TAKES,
        ),
    ]
}

pub(super) fn numbers(size: usize) -> Vec<Input> {
    const INT: &[&str] = &["invalid_int"];
    let int = ("<int>", "</int>");
    let float = ("<float>", "</float>");
    vec![
        value("an int of many digits", size, int, BOUNDED, |room| {
            "9".repeat(room)
        }),
        value("an int of 4,300 digits", size, int, TAKES, |room| {
            "9".repeat(room.min(4_300))
        }),
        value(
            "ints of 4,300 digits",
            size,
            ("<list>", "</list>"),
            TAKES,
            |room| {
                times(
                    room,
                    &format!(
                        "<item><int>{}</int></item>",
                        "9".repeat(4_300.min(room / 2))
                    ),
                )
            },
        ),
        value("an int of zeros", size, int, BOUNDED, |room| {
            "0".repeat(room)
        }),
        value("an int of underscores", size, int, BOUNDED, |room| {
            format!("1{}", times(room - 1, "_1"))
        }),
        value("an int of double underscores", size, int, INT, |room| {
            format!("1{}", times(room - 1, "__1"))
        }),
        value("an int of foreign digits", size, int, BOUNDED, |room| {
            times(room, "\u{1d7ff}")
        }),
        value("an int in white space", size, int, TAKES, |room| {
            format!("{}1", " ".repeat(room - 1))
        }),
        value("an int of white space", size, int, INT, |room| {
            " ".repeat(room)
        }),
        value("an int of signs", size, int, INT, |room| times(room, "-")),
        value("an int in a class", size, int, INT, |room| {
            format!("&lt;class '{}", "a".repeat(room - 12))
        }),
        value("a float of many digits", size, float, TAKES, |room| {
            format!("1.{}", "1".repeat(room - 2))
        }),
        value("a float of many zeros", size, float, TAKES, |room| {
            format!("0.{}1", "0".repeat(room - 3))
        }),
        value("a float with a long exponent", size, float, TAKES, |room| {
            format!("1e{}", "9".repeat(room - 2))
        }),
        value("1e400", size, float, TAKES, |_| "1e400".to_owned()),
        value(
            "-1e400 and 1e-400",
            size,
            ("<list>", "</list>"),
            BOUNDED,
            |room| {
                times(
                    room,
                    "<item><float>-1e400</float></item><item><float>1e-400</float></item>",
                )
            },
        ),
    ]
}

pub(super) fn containers(size: usize) -> Vec<Input> {
    let dict = ("<dict>", "</dict>");
    let set = ("<set>", "</set>");
    vec![
        value("the same key", size, dict, BOUNDED, |room| {
            times(room, "<item key=\"k\"><str/></item>")
        }),
        value("different keys", size, dict, BOUNDED, |room| {
            many(room, |i| format!("<item key=\"{i}\"><str/></item>"))
        }),
        value(
            "keys that differ at their end",
            size,
            dict,
            BOUNDED,
            |room| many(room, |i| format!("<item key=\"{i:0>200}\"><str/></item>")),
        ),
        value("keys of references", size, dict, BOUNDED, |room| {
            many(room, |i| format!("<item key=\"{i}&#9;\"><str/></item>"))
        }),
        value("members of a set", size, set, BOUNDED, |room| {
            many(room, |i| format!("<item><int>{i}</int></item>"))
        }),
        value("the same member", size, set, BOUNDED, |room| {
            times(room, "<item><int>1</int></item>")
        }),
        value("large floats in a set", size, set, BOUNDED, |room| {
            many(room, |i| {
                format!("<item><float>1.{i:06}1e+308</float></item>")
            })
        }),
        value("nan in a set", size, set, BOUNDED, |room| {
            times(room, "<item><float>nan</float></item>")
        }),
        value("elements in a set", size, set, BOUNDED, |room| {
            times(room, "<item><a/></item>")
        }),
        value("large ints in a set", size, set, BOUNDED, |room| {
            many(room, |i| format!("<item><int>{i:9>400}</int></item>"))
        }),
        value(
            "a list in a set",
            size,
            set,
            &["unhashable", "limit"],
            |room| {
                format!(
                    "{}<item><list /></item>",
                    times(room.saturating_sub(30), "<item><str/></item>")
                )
            },
        ),
        value(
            "sets in a list",
            size,
            ("<list>", "</list>"),
            BOUNDED,
            |room| {
                times(
                    room,
                    "<item><set><item><str/></item><item><str/></item></set></item>",
                )
            },
        ),
    ]
}
