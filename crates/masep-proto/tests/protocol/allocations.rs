//! Items that are read or written many times over take no memory each time: a scalar is in its container, and a
//! text, a key or an element is a slice of the message.

use allocation_counter::measure;
use bytes::Bytes;
use masep_proto::{Dict, Element, Int, Message, TypeName, Value};

/// Memory may be taken so many times more often for a thousand values than for a hundred: their containers grow.
const GROWTH: u64 = 12;

fn message(value: Value) -> Message {
    Message::action("actor", Dict::from([("values", value)]))
}

/// The number of times that memory is taken to decode a message with this value, and to encode it.
fn allocations(value: Value) -> (u64, u64) {
    let message = message(value);
    let mut bytes = Bytes::new();
    let encode = measure(|| bytes = message.to_bytes().expect("it can be sent"));
    let mut decoded = None;
    let decode = measure(|| decoded = Message::from_bytes(bytes).ok());
    assert_eq!(decoded, Some(message));
    (decode.count_total, encode.count_total)
}

/// The values, in each container that can hold them.
fn check(name: &str, value: impl Fn(usize) -> Value, reads_are_free: bool) {
    let values = |count| (0..count).map(&value).collect::<Vec<_>>();
    let entries = |count| {
        let entries = (0..count).map(|n| (format!("key{n}"), value(n)));
        Value::Dict(entries.collect())
    };
    let containers: [(&str, &dyn Fn(usize) -> Value); 3] = [
        ("list", &|count| Value::List(values(count))),
        ("set", &|count| Value::Set(values(count))),
        ("dict", &entries),
    ];
    for (container, of) in containers {
        if container == "set" && value(0) == value(1) {
            continue;
        }
        let (few, many) = (allocations(of(100)), allocations(of(1_000)));
        let more = (many.0.saturating_sub(few.0), many.1.saturating_sub(few.1));
        if reads_are_free {
            assert!(
                more.0 <= GROWTH,
                "decoding a {container} of {name}: {few:?}, {many:?}"
            );
        }
        assert!(
            more.1 <= GROWTH,
            "encoding a {container} of {name}: {few:?}, {many:?}"
        );
    }
}

#[test]
fn a_scalar_takes_no_memory_of_its_own() {
    check("ints", |n| Value::Int(Int::from(n * 1_000_003)), true);
    check("bools", |_| Value::Bool(true), true);
    check("nones", |_| Value::None, true);
    check("texts", |n| format!("text {n}").into(), true);
    check("empty texts", |_| "".into(), true);
    check(
        "types",
        |n| TypeName::new(format!("game.Type{n}")).into(),
        true,
    );
}

#[test]
fn a_float_takes_no_memory_of_its_own() {
    let decimals = |n: usize| Value::Float(n as f64 / 7.0 - 20.0);
    let lists = |count| Value::List((0..count).map(decimals).collect());
    let (few, many) = (allocations(lists(100)), allocations(lists(1_000)));
    assert!(
        many.0 - few.0 <= GROWTH && many.1 - few.1 <= GROWTH,
        "{few:?}, {many:?}"
    );
}

/// Those that are read are written in another way than they are kept.
#[test]
fn what_is_written_escaped_takes_no_memory_of_its_own() {
    check(
        "bytes",
        |n| Value::Bytes(format!("<'{n}\"\0").into_bytes().into()),
        false,
    );
    check("escaped texts", |n| format!("<{n} & \u{e9}>").into(), false);
}

#[test]
fn an_element_takes_no_memory_for_what_is_in_it() {
    let of = |count: usize| {
        let children = "<Object name=\"x\" state=\"run\"><int>5</int></Object>".repeat(count);
        Element::parse(format!("<State name=\"State\">{children}</State>")).unwrap()
    };
    let (few, many) = (allocations(of(100).into()), allocations(of(1_000).into()));
    assert!(
        many.0 - few.0 <= GROWTH && many.1 - few.1 <= GROWTH,
        "{few:?}, {many:?}"
    );

    let state = of(1_000);
    let mut objects = 0;
    let walk = measure(|| {
        for object in state.children() {
            objects += usize::from(object.attribute("name").is_some());
        }
    });
    assert_eq!(
        (objects, walk.count_total),
        (1_000, 0),
        "walking takes none"
    );
}
