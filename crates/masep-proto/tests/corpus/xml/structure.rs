//! Bombs of markup: entities, elements in each other and beside each other, comments and the like.

use super::{BOUNDED, CUT, CUT_OR_SYNTAX, SYNTAX, TAKES, many, times, value};
use crate::corpus::{Input, around};

pub(super) fn entities(size: usize) -> Vec<Input> {
    const DOCTYPE: &[&str] = &["doctype"];
    const UNDEFINED: &[&str] = &["undefined_entity"];
    let message = "<Message msg_type=\"&l;\" src_sub_app=\"x\" />";
    let with = |declarations: &str| format!("<!DOCTYPE M [{declarations}]>{message}");
    let laughs = many(size / 2, |i| match i {
        0 => "<!ENTITY l0 \"lol\">".to_owned(),
        _ => format!("<!ENTITY l{i} \"{}\">", format!("&l{};", i - 1).repeat(10)),
    });
    let long = format!("<!ENTITY l \"{}\">", "x".repeat(size / 2));
    let quadratic = format!("<!DOCTYPE M [{long}]>{}", around(&times(size / 4, "&l;")));
    let outside = |uri: &str| with(&format!("<!ENTITY l SYSTEM \"{uri}\">"));
    vec![
        Input::new("billion laughs", with(&laughs), DOCTYPE),
        Input::new("a long entity used often", quadratic, DOCTYPE),
        Input::new("an entity in itself", with("<!ENTITY l \"&l;\">"), DOCTYPE),
        Input::new(
            "an entity of a file",
            outside("file:///etc/passwd"),
            DOCTYPE,
        ),
        Input::new("an entity of a host", outside("http://192.0.2.1/"), DOCTYPE),
        Input::new(
            "a parameter entity",
            with("<!ENTITY % p SYSTEM \"http://192.0.2.1/x.dtd\"> %p;"),
            DOCTYPE,
        ),
        Input::new(
            "an attribute with a default",
            with("<!ATTLIST Message a CDATA \"x\">"),
            DOCTYPE,
        ),
        Input::new(
            "a DTD elsewhere",
            format!("<!DOCTYPE M SYSTEM \"http://192.0.2.1/x.dtd\">{message}"),
            DOCTYPE,
        ),
        Input::new(
            "a DOCTYPE behind comments",
            format!("{}<!DOCTYPE M>{message}", times(size / 2, "<!-- -->")),
            DOCTYPE,
        ),
        Input::new("an entity that nobody declared", message, UNDEFINED),
        value(
            "such entities",
            size,
            ("<str>", "</str>"),
            UNDEFINED,
            |room| times(room, "&nbsp;"),
        ),
        value(
            "an entity's name without end",
            size,
            ("<str>&", ""),
            CUT_OR_SYNTAX,
            |room| "a".repeat(room),
        ),
    ]
}

pub(super) fn depth(size: usize) -> Vec<Input> {
    // Two levels of elements for each of the containers, three around them.
    let nested = |room: usize, open: &str, leaf: &str, close: &str, most: usize| {
        let levels = (room.saturating_sub(leaf.len()) / (open.len() + close.len())).min(most);
        format!("{}{leaf}{}", open.repeat(levels), close.repeat(levels))
    };
    let none = ("", "");
    vec![
        value("elements in each other", size, none, BOUNDED, |room| {
            nested(room, "<a>", "x", "</a>", usize::MAX)
        }),
        value("elements as deep as may be", size, none, TAKES, |room| {
            nested(room, "<a>", "x", "</a>", 1_021)
        }),
        value("lists in each other", size, none, BOUNDED, |room| {
            nested(
                room,
                "<list><item>",
                "<list />",
                "</item></list>",
                usize::MAX,
            )
        }),
        value("lists as deep as may be", size, none, TAKES, |room| {
            nested(room, "<list><item>", "<list />", "</item></list>", 510)
        }),
        value("dicts in each other", size, none, BOUNDED, |room| {
            nested(
                room,
                "<dict><item key=\"k\">",
                "<int>1</int>",
                "</item></dict>",
                usize::MAX,
            )
        }),
        value(
            "sets of tuples",
            size,
            ("<set><item>", "</item></set>"),
            BOUNDED,
            |room| {
                nested(
                    room,
                    "<tuple><item>",
                    "<int>1</int>",
                    "</item></tuple>",
                    usize::MAX,
                )
            },
        ),
        value(
            "start tags alone",
            size,
            none,
            &["truncated", "limit", "syntax"],
            |room| times(room, "<a>"),
        ),
        value(
            "foreign elements in each other",
            size,
            none,
            BOUNDED,
            |room| nested(room, "<a b='c'>", "<!-- -->", "</a>", usize::MAX),
        ),
        value("end tags alone", size, none, SYNTAX, |room| {
            times(room, "</a>")
        }),
    ]
}

pub(super) fn breadth(size: usize) -> Vec<Input> {
    let list = ("<list>", "</list>");
    let element = ("<a>", "</a>");
    vec![
        value("empty elements", size, element, BOUNDED, |room| {
            times(room, "<b />")
        }),
        value("short empty elements", size, element, BOUNDED, |room| {
            times(room, "<b/>")
        }),
        value("elements as items", size, list, BOUNDED, |room| {
            times(room, "<item><a/></item>")
        }),
        value("canonical elements as items", size, list, BOUNDED, |room| {
            times(room, "<item><a /></item>")
        }),
        value("elements with tails", size, list, BOUNDED, |room| {
            times(room, "<item><a/>&amp;</item>")
        }),
        value("ints as items", size, list, BOUNDED, |room| {
            times(room, "<item><int>1</int></item>")
        }),
        value("None as items", size, list, BOUNDED, |room| {
            times(room, "<item><str/></item>")
        }),
        value("empty lists as items", size, list, BOUNDED, |room| {
            times(room, "<item><list/></item>")
        }),
        value("empty dicts as items", size, list, BOUNDED, |room| {
            times(room, "<item><dict/></item>")
        }),
        value("strings as items", size, list, BOUNDED, |room| {
            times(room, "<item><str>&lt;</str></item>")
        }),
        value("floats as items", size, list, BOUNDED, |room| {
            times(room, "<item><float>1.7976931348623157e+308</float></item>")
        }),
        value(
            "many elements in one item",
            size,
            ("<list><item>", "</item></list>"),
            BOUNDED,
            |room| times(room, "<a/>"),
        ),
        value("no items in a list", size, list, BOUNDED, |room| {
            times(room, "<x/>")
        }),
        value(
            "items without a value",
            size,
            list,
            &["empty_item"],
            |room| times(room, "<item/>"),
        ),
        value(
            "elements in an int",
            size,
            ("<int>1", "</int>"),
            BOUNDED,
            |room| times(room, "<x/>"),
        ),
        value(
            "elements in place of an int",
            size,
            ("<int>", "</int>"),
            &["element_in_scalar", "limit"],
            |room| times(room, "<x/>"),
        ),
        Input::new(
            "many dicts of parameters",
            format!(
                "<M msg_type=\"a\" src_sub_app=\"b\">{}</M>",
                times(size.saturating_sub(50), "<dict/>")
            ),
            BOUNDED,
        ),
        Input::new(
            "two documents",
            format!(
                "<M msg_type=\"a\" src_sub_app=\"b\" />{}",
                times(size.saturating_sub(50), "<a/>")
            ),
            SYNTAX,
        ),
    ]
}

pub(super) fn markup(size: usize) -> Vec<Input> {
    let str = ("<str>", "</str>");
    vec![
        value("comments", size, str, TAKES, |room| times(room, "<!---->")),
        value(
            "a long comment",
            size,
            ("<!--", "--><str/>"),
            TAKES,
            |room| "x".repeat(room),
        ),
        value(
            "a comment of dashes",
            size,
            ("<!--", "--><str/>"),
            SYNTAX,
            |room| "-".repeat(room),
        ),
        value("a comment without end", size, ("<!--", ""), CUT, |room| {
            "x".repeat(room)
        }),
        value("openings of comments", size, str, SYNTAX, |room| {
            times(room, "<!--")
        }),
        value("CDATA sections", size, str, TAKES, |room| {
            times(room, "<![CDATA[x]]>")
        }),
        value("empty CDATA sections", size, str, TAKES, |room| {
            times(room, "<![CDATA[]]>")
        }),
        value(
            "a long CDATA section",
            size,
            ("<str><![CDATA[", "]]></str>"),
            TAKES,
            |room| times(room, "<a>&"),
        ),
        value(
            "a CDATA section of line ends",
            size,
            ("<str><![CDATA[", "]]></str>"),
            TAKES,
            |room| times(room, "\r\r\n"),
        ),
        value(
            "a CDATA section without end",
            size,
            ("<str><![CDATA[", ""),
            CUT,
            |room| times(room, "]]"),
        ),
        value("instructions", size, str, TAKES, |room| {
            times(room, "<?a?>")
        }),
        value(
            "a long instruction",
            size,
            ("<?a ", "?><str/>"),
            TAKES,
            |room| "?".repeat(room),
        ),
        value(
            "an instruction without end",
            size,
            ("<?a ", ""),
            CUT,
            |room| times(room, "? >"),
        ),
        value("declarations inside", size, str, SYNTAX, |room| {
            times(room, "<?xml version=\"1.0\"?>")
        }),
        value("a DOCTYPE inside", size, str, SYNTAX, |room| {
            times(room, "<!DOCTYPE a>")
        }),
        Input::new("comments before the root", times(size, "<!---->"), CUT),
        Input::new("white space", " ".repeat(size), CUT),
        Input::new("nothing but <", "<".repeat(size), SYNTAX),
        Input::new("nothing but &", "&".repeat(size), SYNTAX),
        Input::new("nothing but letters", "a".repeat(size), SYNTAX),
        Input::new(
            "a declaration without end",
            format!("<?xml {}", times(size.saturating_sub(6), "a='b' ")),
            CUT,
        ),
        Input::new(
            "a long declaration",
            format!(
                "<?xml version='1.0' {}?>",
                times(size.saturating_sub(30), "a='b' ")
            ),
            SYNTAX,
        ),
    ]
}
