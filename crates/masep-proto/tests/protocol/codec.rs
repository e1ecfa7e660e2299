//! Properties of encoding and decoding messages: they are inverse, and no input panics.

use std::ops::Range;

use bytes::Bytes;
use masep_proto::{
    Action, CircularHeadList, Dict, Element, Int, Limits, Message, MessageType, Node, TypeName,
    Value,
};
use proptest::prelude::*;

/// Text with much of what is special in it.
fn text() -> impl Strategy<Value = String> {
    let special = prop::sample::select(
        "&<>\"' \t\r\n\0\u{1}\u{1f}\u{7f}\u{85}é漢😀\u{fffe}\u{ffff}]]>&#9;&amp;<class '"
            .chars()
            .collect::<Vec<_>>(),
    );
    prop_oneof![
        prop::collection::vec(special, 0..8).prop_map(String::from_iter),
        any::<String>(),
        "[a-z]{0,6}",
        Just("<class 'a.B'>".to_owned()),
        Just("None".to_owned()),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "State",
        "Object",
        "a",
        "é",
        "x-1.b",
        "_",
        "{urn:x}a",
        "{urn:&\"é}b",
        "{http://www.w3.org/XML/1998/namespace}lang",
    ])
}

fn node() -> impl Strategy<Value = Node> {
    let attributes = prop::collection::vec((name(), text()), 0..3);
    let leaf = (name(), attributes, text(), text()).prop_map(|(name, attributes, text, tail)| {
        let mut node = Node::new(name).with_text(text);
        node.set_tail(tail);
        for (name, value) in attributes {
            node.set_attribute(name, value);
        }
        node
    });
    leaf.prop_recursive(3, 12, 3, |inner| {
        (inner.clone(), prop::collection::vec(inner, 0..3)).prop_map(|(mut node, children)| {
            node.children = children;
            node
        })
    })
}

fn element() -> impl Strategy<Value = Value> {
    node().prop_map(|node| {
        let tail = node.tail().clone();
        Value::Element(node.to_element().unwrap().with_tail(tail))
    })
}

fn int() -> impl Strategy<Value = Int> {
    prop_oneof![
        any::<i64>().prop_map(Int::from),
        any::<i128>().prop_map(Int::from),
        "-?[1-9][0-9]{30,60}".prop_map(|digits| digits.parse().unwrap()),
    ]
}

/// Values that Python can hash. Floats and bools are left out: sets would find them equal to ints.
fn hashable() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::None),
        int().prop_map(Value::from),
        text().prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Value::Bytes(bytes.into())),
    ]
}

fn set() -> impl Strategy<Value = Value> {
    prop::collection::vec((hashable(), hashable()), 0..5).prop_map(|members| {
        let mut unique: Vec<Value> = Vec::new();
        for (a, b) in members {
            let member = Value::Tuple(vec![a, b]);
            if !unique.contains(&member) {
                unique.push(member);
            }
        }
        Value::Set(unique)
    })
}

fn value() -> impl Strategy<Value = Value> {
    let float = any::<f64>().prop_filter("NaN is not equal to itself", |float| !float.is_nan());
    let leaf = prop_oneof![
        4 => hashable(),
        1 => any::<bool>().prop_map(Value::from),
        1 => float.prop_map(Value::from),
        1 => "[^']{1,8}".prop_map(|name| Value::from(TypeName::from(name))),
        1 => set(),
        2 => element(),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Tuple),
            prop::collection::vec((text(), inner), 0..4)
                .prop_map(|entries| entries.into_iter().collect::<Dict>().into()),
        ]
    })
}

/// Items as pymasep writes them, or nearly so.
fn item() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        6 => "<(int>-?[0-9]{0,6}</int|float>-?[0-9]{1,3}\\.[0-9]{1,2}</float|str>[a-c ]{0,6}</str)>",
        2 => "<(bool>(True|False|true)</bool|NoneType>(None|x)</NoneType)>",
        1 => "<(int /|str>&lt;</str|str content=\"empty\" /|list /|float>a</int)>",
    ];
    scalar
        .prop_recursive(3, 12, 3, |inner| {
            let items = prop::collection::vec(in_item(inner), 0..3);
            ("list|tuple|set|dict", items).prop_map(|(name, items)| {
                let items = items.concat();
                format!("<{name}>{items}</{name}>")
            })
        })
        .prop_flat_map(|value| in_item(Just(value)))
}

fn in_item(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let key = "( key=\"([a-c ]{0,6})\"){0,1}";
    (key, value).prop_map(|(key, value)| format!("<item{key}>{value}</item>"))
}

/// No more than one limit that small messages can reach.
fn limits() -> impl Strategy<Value = Limits> {
    let limits = Limits::default;
    prop_oneof![
        Just(limits()),
        (0..25_usize).prop_map(move |most| limits().nodes(most)),
        (0..8_usize).prop_map(move |most| limits().depth(most)),
        (1..5_usize).prop_map(move |most| limits().text_bytes(most)),
        (0..5_usize).prop_map(move |most| limits().int_digits(most)),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let params = prop::collection::vec((text(), value()), 0..4).prop_map(|entries| {
        // An empty dict is not sent, and comes back as nothing.
        if entries.is_empty() {
            Value::None
        } else {
            entries.into_iter().collect::<Dict>().into()
        }
    });
    (text(), params, text()).prop_map(|(msg_type, params, src)| Message::new(msg_type, params, src))
}

/// Pieces of XML, right and wrong.
fn soup() -> impl Strategy<Value = String> {
    let pieces = vec![
        "<a",
        " b=\"",
        "\"",
        "'",
        "/>",
        " />",
        ">",
        "</a>",
        "<dict>",
        "</dict>",
        "<item key=\"k\">",
        "<item>",
        "</item>",
        "<int>5</int>",
        "<str>",
        "</str>",
        "<float>1.5</float>",
        "<set>",
        "</set>",
        "<list>",
        "</list>",
        "<tuple />",
        "<x:a xmlns:x=\"urn:x\">",
        "</x:a>",
        " xmlns=\"urn:y\"",
        " x:b='c'",
        "&amp;",
        "&#233;",
        "&#x0;",
        "&#",
        "&nbsp;",
        "<!-- c -->",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?p ?>",
        "<?xml",
        "<!DOCTYPE a>",
        "é",
        "\r\n",
        "\0",
        "t",
        "<type>&lt;class 'a'",
        "</type>",
        "<bytes>b'\\x00'</bytes>",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..20).prop_map(|pieces| pieces.concat())
}

/// Takes apart what was decoded, and checks that it is whole.
fn check_decoded(message: &Message) {
    let bytes = message.to_bytes().unwrap();
    let again = Message::from_bytes(bytes.clone()).unwrap();
    assert_eq!(again.to_bytes().unwrap(), bytes);
    if message.params.is_truthy() && !bytes.windows(3).any(|three| three == b"nan") {
        assert_eq!(&again, message);
    }
    check_value(&message.params);
}

fn check_value(value: &Value) {
    let _ = format!("{value:?}");
    match value {
        Value::Element(element) => check_element(element),
        Value::Dict(dict) => dict.values().for_each(check_value),
        other => other
            .as_sequence()
            .unwrap_or_default()
            .iter()
            .for_each(check_value),
    }
}

fn check_element(element: &Element) {
    assert_eq!(
        Element::parse(element.as_xml().clone()).unwrap().as_xml(),
        element.as_xml()
    );
    assert_eq!(
        element.to_unicode().contains('\u{fffe}'),
        element.as_xml().contains("&#65534;")
    );
    let node = element.to_node();
    assert_eq!(&node.to_element().unwrap(), &element.clone().with_tail(""));
    assert_eq!(element.text(), node.text);
    let values: Vec<_> = element.attributes().map(|(_, value)| value).collect();
    assert_eq!(
        values,
        node.attributes()
            .map(|(_, value)| value.clone())
            .collect::<Vec<_>>()
    );
    let children: Vec<_> = element.children().collect();
    assert_eq!(children.len(), node.children.len());
    for (child, node) in children.iter().zip(&node.children) {
        assert_eq!(&child.to_node(), node);
    }
    let _ = element.to_value();
    let _ = Action::try_from(element);
    let _ = CircularHeadList::try_from(element);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoding_undoes_encoding(message in message()) {
        let bytes = message.to_bytes().unwrap();
        let decoded = Message::from_bytes(bytes.clone()).unwrap();
        prop_assert_eq!(&decoded, &message);
        prop_assert_eq!(decoded.to_bytes().unwrap(), bytes);
        prop_assert_eq!(Message::from_element(&message.to_element().unwrap()).unwrap(), message);
    }

    #[test]
    fn a_value_and_its_element_are_the_same(value in value()) {
        prop_assert_eq!(value.to_element().to_value().unwrap(), value);
    }

    #[test]
    fn actions_and_lists_come_back(action_type: i64, params in prop::collection::vec((text(), value()), 0..4)) {
        let mut action = Action::new(action_type);
        let mut list = CircularHeadList::default();
        for (name, value) in params {
            list.data.push(value.clone());
            action = action.with(name, value);
        }
        list.head_idx = action_type;
        prop_assert_eq!(Action::try_from(&Element::from(&action)).unwrap(), action);
        prop_assert_eq!(CircularHeadList::try_from(&Element::from(&list)).unwrap(), list);
    }

    #[test]
    fn a_tree_and_its_element_are_the_same(node in node()) {
        let element = node.to_element().unwrap();
        let mut read = element.to_node();
        read.set_tail(node.tail().clone());
        prop_assert_eq!(read, node);
        check_element(&element);
    }

    #[test]
    fn raw_characters_and_references_are_the_same(node in node()) {
        let element = node.to_element().unwrap();
        let unicode = element.to_unicode();
        // XML does not allow these two to stand for themselves.
        if !unicode.contains(['\u{fffe}', '\u{ffff}']) {
            prop_assert_eq!(Element::parse(unicode).unwrap(), element);
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
        if let Err(error) = Message::from_bytes(bytes.clone()) {
            prop_assert!(error.position.offset <= bytes.len());
        }
    }

    #[test]
    fn arbitrary_xml_does_not_panic(soup in soup()) {
        if let Ok(element) = Element::parse(soup.clone()) {
            check_element(&element);
        }
        let xml = format!("<Message msg_type='a' src_sub_app='b'><dict><item key='k'>{soup}</item></dict></Message>");
        match Message::from_bytes(xml.clone()) {
            Ok(message) => check_decoded(&message),
            Err(error) => prop_assert!(error.position.offset <= xml.len()),
        }
    }

    /// With a namespace in force, each tag is read by itself; without, those that are plain are not.
    #[test]
    fn the_short_way_over_tags_judges_as_the_long_one(soup in soup(), node in node()) {
        let node = node.to_element().unwrap();
        for content in [soup.clone(), format!("{node}{soup}"), format!("<b>{soup}</b>{node}<c />")] {
            let start = "<a xmlns:unused=\"u\">";
            let long = Element::parse(format!("{start}{content}</a>"));
            match Element::parse(format!("<a>{content}</a>")) {
                Ok(short) => {
                    let long = long.unwrap();
                    prop_assert_eq!(short.as_xml(), long.as_xml());
                    let depth = |element: Element| Message::action("x", element).to_element();
                    prop_assert_eq!(depth(short), depth(long));
                }
                Err(short) => {
                    let long = long.unwrap_err();
                    prop_assert_eq!(&short.kind, &long.kind);
                    let longer = long.position.offset - short.position.offset;
                    prop_assert!(longer == start.len() - "<a>".len() || short.position.offset == 0);
                }
            }
        }
    }

    /// The same for items: a namespace that nobody uses has each tag of them read by itself.
    #[test]
    fn an_item_is_read_on_the_short_way_as_on_the_long_one(
        items in prop::collection::vec(item(), 0..4),
        damages in damages(0..2),
        limits in limits(),
    ) {
        let start = "<Message ";
        let items = items.concat();
        let rest = format!("msg_type=\"a\" src_sub_app=\"b\"><dict>{items}</dict></Message>");
        let rest = damaged(rest.into_bytes(), damages);
        let declaring = format!("{start}xmlns:x=\"u\" ");
        let read = |start: &str| Message::decode([start.as_bytes(), &rest].concat().into(), &limits);
        match (read(start), read(&declaring)) {
            (Ok(short), Ok(long)) => prop_assert_eq!(short.to_bytes().unwrap(), long.to_bytes().unwrap()),
            (Err(short), Err(long)) => {
                prop_assert_eq!(&short.kind, &long.kind);
                let longer = long.position.offset - short.position.offset;
                prop_assert!(longer == declaring.len() - start.len() || short.position.offset == 0);
            }
            (short, long) => prop_assert!(false, "{short:?}, but {long:?}"),
        }
    }

    #[test]
    fn a_damaged_message_does_not_panic(message in message(), damages in damages(1..4)) {
        if let Ok(message) = Message::from_bytes(damaged(message.to_bytes().unwrap().to_vec(), damages)) {
            check_decoded(&message);
        }
    }
}

/// The place at which a message is damaged, the byte, and the way.
type Damage = (prop::sample::Index, u8, u8);

fn damages(count: Range<usize>) -> impl Strategy<Value = Vec<Damage>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), count)
}

fn damaged(mut bytes: Vec<u8>, damages: Vec<Damage>) -> Vec<u8> {
    for (at, byte, damage) in damages {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match damage {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => bytes.truncate(at + 1),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

/// Runs on a stack of 2 MiB, which is what a thread has.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(test);
    thread.unwrap().join().unwrap();
}

fn around(value: &str) -> Bytes {
    format!("<Message msg_type=\"a\" src_sub_app=\"b\"><dict><item key=\"k\">{value}</item></dict></Message>")
        .into()
}

#[test]
fn the_deepest_values_need_no_more_stack_than_a_thread_has() {
    on_a_small_stack(|| {
        let depth = (Limits::default().depth - 4) / 2;
        for (open, close) in [
            ("<list><item>", "</item></list>"),
            ("<tuple><item>", "</item></tuple>"),
            ("<dict><item key=\"k\">", "</item></dict>"),
        ] {
            let xml = around(&format!(
                "{}<int>1</int>{}",
                open.repeat(depth),
                close.repeat(depth)
            ));
            let message = Message::from_bytes(xml.clone()).unwrap();
            assert_eq!(message.clone(), message);
            assert_eq!(message.to_bytes().unwrap(), xml);
            assert!(!format!("{message:?}").is_empty());
            let set = Value::Set(vec![message.params.clone()]);
            assert_eq!(set, set.clone());
        }
    });
}

#[test]
fn the_deepest_elements_need_no_more_stack_than_a_thread_has() {
    on_a_small_stack(|| {
        let depth = Limits::default().depth;
        let xml = format!(
            "{}<b/>{}",
            "<a>".repeat(depth - 1),
            "</a>".repeat(depth - 1)
        );
        let element = Element::parse(xml.clone()).unwrap();
        let node = element.to_node();
        assert_eq!(node.to_element().unwrap(), element);
        assert_eq!(node.clone(), node);
        assert!(!format!("{node:?}").is_empty());
        assert!(Element::parse(format!("<a>{xml}</a>")).is_err());
    });
}

#[test]
fn values_of_any_depth_are_refused_without_exhausting_the_stack() {
    on_a_small_stack(|| {
        let xml = format!("{}x", "<list><item>".repeat(80_000));
        let error = Message::from_bytes(around(&xml)).unwrap_err();
        assert_eq!(error.kind.name(), "limit");
    });
}

/// A megabyte of each of these takes a moment; with the square of it, it would take an hour.
#[test]
fn time_grows_with_the_size_only() {
    let many = 20_000;
    let limits = Limits::default().message_bytes(4 << 20);
    let repeat = |piece: &dyn Fn(usize) -> String| (0..many).map(piece).collect::<String>();
    let attributes = repeat(&|i| format!(" a{i}=\"\""));
    let declarations = repeat(&|i| format!(" xmlns:p{i}=\"u{i}\""));
    let prefixed = repeat(&|i| format!("<p{i}:a/>"));
    let uri = "u".repeat(500_000);
    let attributes_there = repeat(&|i| format!(" p:a{i}=''"));
    let elements_there = "<p:a/>".repeat(many);
    for xml in [
        format!("<a{attributes} />"),
        format!("<a{declarations}>{prefixed}</a>"),
        format!("<a xmlns:p=\"{uri}\"{attributes_there} />"),
        format!("<a xmlns:p=\"{uri}\">{elements_there}</a>"),
        format!("<a>{}</a>", "<!---->&amp;".repeat(many)),
        format!("<str>{}</str>", "x<!---->".repeat(many)),
        format!("<int>1{}</int>", "<x/>".repeat(many)),
        format!("<list>{}</list>", "<item><a/></item>".repeat(many)),
        format!("<list>{}</list>", "<x><y/></x>".repeat(many)),
        format!(
            "<dict>{}</dict>",
            "<item key=\"k\"><int>1</int></item>".repeat(many)
        ),
        format!(
            "<set>{}</set>",
            repeat(&|i| format!("<item><str>{i}</str></item>"))
        ),
        format!(
            "<set>{}</set>",
            repeat(&|i| format!("<item><tuple><item><int>{i}</int></item></tuple></item>"))
        ),
        format!("<set>{}</set>", "<item><a /></item>".repeat(many)),
        format!(
            "<set>{}</set>",
            "<item><float>nan</float></item>".repeat(many)
        ),
        format!("<float>{}</float>", "1".repeat(many)),
        format!("<bytes>b'{}'</bytes>", "\\x00".repeat(many)),
        format!("<type>&lt;class {}</type>", "''".repeat(many)).replace("''</type>", "'a'</type>"),
    ] {
        let message = Message::decode(around(&xml), &limits).unwrap();
        assert!(message.params.is_truthy());
        let bytes = message.encode(&limits).unwrap();
        let again = Message::decode(bytes, &limits).unwrap();
        assert!(again == message || xml.contains("nan"));
    }
}

#[test]
fn a_type_of_message_that_is_not_known_is_carried() {
    let message = Message::new(MessageType::Other("dance".into()), Value::None, "x");
    let decoded = Message::from_bytes(message.to_bytes().unwrap()).unwrap();
    assert_eq!(decoded.msg_type.as_str(), "dance");
}
