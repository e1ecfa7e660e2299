//! The debug forms of messages.

use std::fmt::Debug;

use masep_proto::{Action, Dict, Element, Frame, Message, Node, PeerId, Value};

/// Some more than is shown of the values themselves, for what marks the cut.
const MOST: usize = 4 * 1024 + 100;

fn forms(value: &dyn Debug) -> [String; 2] {
    [format!("{value:?}"), format!("{value:#?}")]
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::from(1), |value, _| Value::List(vec![value]))
}

#[test]
fn a_short_message_is_shown_whole() {
    let message = Message::action("agent", Action::new(2).with("to", (3, "é")));
    let [line, lines] = forms(&message);
    assert_eq!(
        line,
        r#"Message { msg_type: Action, params: Dict({"action": Element("<Action type=\"2\"><ActionParameter name=\"to\"><tuple><item><int>3</int></item><item><str>&#233;</str></item></tuple></ActionParameter></Action>")}), src_sub_app: "agent" }"#
    );
    assert!(lines.contains("\n    src_sub_app: \"agent\",\n"), "{lines}");
    assert_eq!(format!("{:?}", nested(2)), "List([List([Int(1)])])");
}

#[test]
fn what_is_long_or_deep_is_cut_in_every_form() {
    let deep = nested(120);
    let wide = Value::List(vec![nested(60); 50]);
    let long = Value::from("x\u{1b}".repeat(20_000));
    let dict = Dict::from_iter((0..1_000).map(|n| (n.to_string(), nested(30))));
    let element = Element::parse(format!("<State>{}</State>", "a".repeat(20_000))).unwrap();
    let mut node = Node::new("a");
    for _ in 0..100 {
        node = Node::new("State")
            .with_child(node.clone())
            .with_child(node.with_text("t"));
        node.children.truncate(1);
    }
    let shown: [&dyn Debug; 9] = [
        &Message::observation("engine", wide.clone(), dict.clone()),
        &deep,
        &wide,
        &long,
        &dict,
        &element,
        &node,
        &Action::new(1).with("a", wide.clone()),
        &Frame::new(vec![0x80; 60_000]),
    ];
    for value in shown {
        for form in forms(value) {
            assert!(form.len() < MOST, "{} bytes: {}", form.len(), &form[..200]);
        }
    }
    let [line, lines] = forms(&wide);
    assert!(line.starts_with("List([List(["), "{line}");
    assert!(line.ends_with("... (cut)"), "{line}");
    assert!(lines.starts_with("List(\n    [\n"), "{lines}");
}

#[test]
fn nothing_that_is_shown_turns_or_hides_text() {
    let text = "a\u{200e}\u{200f}\u{61c}\u{feff}\u{e0041}\u{202e}\u{3164}\u{1b}[2J\nb";
    let node = Node::new("a").with_text(text).with_attribute("b", text);
    let shown: [&dyn Debug; 4] = [
        &PeerId::from(text),
        &Message::new(text, Dict::new().with(text, text), text),
        &Value::from(text),
        &node,
    ];
    for value in shown {
        for form in forms(value) {
            let seen = |c| c == '\n' || masep_proto::is_printable(c);
            assert!(form.chars().all(seen), "{}", form.escape_unicode());
        }
    }
}
