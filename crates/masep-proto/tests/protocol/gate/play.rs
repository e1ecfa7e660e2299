//! Clients that say anything at a gate, and the engine behind it.

use masep_proto::gate::{Gate, Rules, Verdict, Visitor};
use masep_proto::protocol2::Hello;
use masep_proto::{
    Dict, Element, Frame, FrameKind, Limits, Message, PeerId, Role, TypeName, Value, cbor,
};

use super::engine::{AGENTS, Engine, GAME};

const IDS: [&str; 4] = ["a", "b", "", "é"];
/// Pieces of messages, good ones and bad ones.
const VALUES: [&str; 22] = [
    "<int>1</int>",
    "<int />",
    "<str>x</str>",
    "<str>&lt;class 'os.abort'&gt;</str>",
    "<bool>&lt;class 'os.abort'&gt;</bool>",
    "<float>0.5</float>",
    "<float>0.50</float>",
    "<NoneType>None</NoneType>",
    "<bytes>b'x'</bytes>",
    "<type>&lt;class 'os.abort'&gt;</type>",
    "<type>x</type>",
    "<list><item><int>1</int></item></list>",
    "<list><item><float>1.5</float></item><item><Thing /></item></list>",
    "<set><item><tuple><item><int>1</int></item></tuple></item></set>",
    "<dict><item key=\"k\"><str>&lt;class 'a.b'&gt;</str></item></dict>",
    "<Object name=\"o\" />",
    "<os.Thing />",
    "<str>\u{1}</str>",
    "<str>&#65534;</str>",
    "<list><item><Thing a=\"\u{2}\">\u{b}</Thing></item></list>",
    "<Action type=\"2\"><ActionParameter name=\"q\"><int>7</int></ActionParameter></Action>",
    "<Action type=\"2\"><ActionParameter name=\"q\"><float>7.5</float></ActionParameter></Action>",
];

/// A gate with its rules, and an engine that it guards.
pub(crate) fn play(steps: usize, choose: &mut impl FnMut(usize) -> usize) {
    let mut rules = Rules::new(TypeName::from(GAME));
    (rules.actors, rules.ids) = (AGENTS, 3);
    let mut gate = Gate::new(rules);
    let mut engine = Engine::default();
    let mut visitors: Vec<Option<Visitor>> = IDS.iter().map(|_| None).collect();
    for _ in 0..steps {
        let who = choose(IDS.len());
        let id = IDS[who];
        match (&mut visitors[who], choose(60)) {
            (visitor @ None, _) => {
                *visitor = gate.enter(&Hello::new(PeerId::from(id), 0), None).ok();
            }
            (visitor, 0) => {
                *visitor = None;
                if gate.keeps(&PeerId::from(id)) {
                    gate.overhear(&PeerId::from(id), &from_engine(choose(400)));
                }
            }
            // It shows nothing before it knows its game.
            (Some(visitor), 1..=10) if engine.is_defined() => {
                let frame = from_engine(choose(400));
                let was_in = visitor.role().is_some() || visitor.is_over();
                assert_eq!(gate.from_engine(visitor, &frame), was_in);
            }
            (Some(visitor), _) => {
                let frame = say(id, choose);
                if let Verdict::Forward(bytes) = gate.from_client(visitor, &frame) {
                    let read = engine.read(id, &bytes);
                    assert_eq!(read, Ok(()), "{}", String::from_utf8_lossy(&bytes));
                    assert!(bytes.len() <= Frame::MAX_BYTES);
                }
            }
        }
    }
}

fn from_engine(choice: usize) -> Frame {
    let message = match choice {
        0 => Message::end("engine"),
        1 => Message::new("dance", Value::None, "engine"),
        _ => Message::observation("engine", Value::None, Dict::new()),
    };
    message.to_frame().expect("a message")
}

fn say(id: &str, choose: &mut impl FnMut(usize) -> usize) -> Frame {
    let src = if choose(20) == 0 {
        IDS[choose(IDS.len())]
    } else {
        id
    };
    let xml = match choose(12) {
        0..=2 => {
            let game = if choose(10) == 0 { "os.abort" } else { GAME };
            written(&Message::define(src, TypeName::from(game)))
        }
        3..=5 => {
            let named = if choose(6) == 0 {
                IDS[choose(IDS.len())]
            } else {
                src
            };
            let role = if choose(2) == 0 {
                Role::Actor
            } else {
                Role::Observer
            };
            written(&Message::register(src, named, choose(9) as i64, role))
        }
        6..=9 => {
            let (kind, name) = (choose(10), choose(8));
            let kind = ["type=\"x\"", "", "type=\"3\""][kind.min(2)];
            let name = ["", "name=\"p\""][name.min(1)];
            let value = VALUES[choose(VALUES.len())];
            let parameter = format!("<ActionParameter {name}>{value}</ActionParameter>");
            let twice = choose(3);
            let parameters = parameter.repeat(twice);
            message(
                src,
                "action",
                &format!("<Action {kind}>{parameters}</Action>"),
            )
        }
        _ => {
            let kind = ["quit", "end", "observation", "", "dance"][choose(5)];
            message(src, kind, VALUES[choose(VALUES.len())])
        }
    };
    let mut bytes = xml.into_bytes();
    if choose(20) == 0 && !bytes.is_empty() {
        let at = choose(bytes.len());
        bytes[at] = choose(256) as u8;
    }
    if choose(3) == 0
        && let Ok(message) = Message::from_bytes(bytes.clone())
        && let Ok(body) = cbor::encode_message(&message, None, &Limits::default())
    {
        return Frame::of(FrameKind::Cbor, body);
    }
    Frame::new(bytes)
}

fn written(message: &Message) -> String {
    let bytes = message.to_bytes().expect("a message");
    String::from_utf8(bytes.to_vec()).expect("XML of ours is text")
}

fn message(src: &str, kind: &str, value: &str) -> String {
    let src = Element::parse("<a />").and_then(|it| {
        // Only to have the text escaped.
        it.with_attribute("s", src)
            .map_err(|_| unreachable!("a plain attribute"))
    });
    let src = src.expect("an element").as_xml().to_string();
    let src = src.trim_start_matches("<a s=").trim_end_matches(" />");
    format!(
        "<Message msg_type=\"{kind}\" src_sub_app={src}><dict><item key=\"action\">{value}</item></dict></Message>"
    )
}
