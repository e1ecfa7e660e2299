//! Values and messages as CBOR: what is written is read back, byte for byte as PROTOCOL2.md says.

use bytes::Bytes;
use masep_proto::cbor::{decode_message, decode_value, encode_message, encode_value, tag};
use masep_proto::{
    Array, DType, Dict, Element, EncodeError, Int, Limit, LimitExceeded, Limits, Message, TypeName,
    Value,
};
use proptest::prelude::*;

use crate::wire::bytes;

fn written(value: &Value) -> Bytes {
    encode_value(value, &Limits::default()).unwrap()
}

fn read(bytes: &Bytes) -> Value {
    decode_value(bytes, &Limits::default()).unwrap()
}

#[test]
fn values_have_their_forms() {
    let element = Element::parse("<a />").unwrap();
    for (value, digits) in [
        (Value::None, "f6"),
        (false.into(), "f4"),
        (true.into(), "f5"),
        (0.into(), "00"),
        (23.into(), "17"),
        (24.into(), "1818"),
        (1_000_000_000_000i64.into(), "1b000000e8d4a51000"),
        ((-1).into(), "20"),
        ((-1_000).into(), "3903e7"),
        (i64::MIN.into(), "3b7fffffffffffffff"),
        (u64::MAX.into(), "1bffffffffffffffff"),
        ((-1 - i128::from(u64::MAX)).into(), "3bffffffffffffffff"),
        ((1i128 << 64).into(), "c2 49010000000000000000"),
        ((-1 - (1i128 << 64)).into(), "c3 49010000000000000000"),
        (1.1.into(), "fb3ff199999999999a"),
        ((-0.0).into(), "fb8000000000000000"),
        ("\u{fc}".into(), "62c3bc"),
        (Bytes::from_static(&[1, 2]).into(), "420102"),
        ([1, 2].into(), "820102"),
        ((1, "a").into(), "d99b33 82 01 6161"),
        (Value::Set(vec![2.into(), 1.into()]), "d90102 820201"),
        (
            Dict::from([("b", 1), ("a", 2)]).into(),
            "a2 6162 01 6161 02",
        ),
        (TypeName::from("m.C").into(), "d99b34 636d2e43"),
        (element.clone().into(), "d99b35 653c61202f3e"),
        (element.with_tail("t").into(), "d99b35 82 653c61202f3e 6174"),
    ] {
        assert_eq!(written(&value), bytes(digits), "{value:?}");
        assert_eq!(read(&bytes(digits)), value, "{digits}");
    }
    assert_eq!(tag::TUPLE, 0x9b33);
}

#[test]
fn arrays_begin_at_a_multiple_of_eight() {
    let array = Array::from_slice(&[2, 3], &[1u16, 2, 3, 4, 5, 6]).unwrap();
    // The head of the bytes is a byte wider, and that of the pair is so too.
    let expected = "d828 9802 82 02 03 d845 580c 010002000300040005000600";
    let bytes_of = written(&array.clone().into());
    assert_eq!(bytes_of.len() % 8, 4, "{bytes_of:x}");
    assert_eq!(read(&bytes_of), Value::from(array.clone()));
    // Also where another writer does not do so.
    for digits in [
        expected,
        "d828 82 82 02 03 d845 4c 010002000300040005000600",
        "d828 82 82 02 03 d841 4c 000100020003000400050006",
    ] {
        let value = read(&bytes(digits));
        assert_eq!(value, Value::from(array.clone()), "{digits}");
        let items = value.as_array().unwrap().as_slice::<u16>();
        assert_eq!(items, Ok(&[1, 2, 3, 4, 5, 6][..]));
    }
    // A typed array alone has one dimension, as JavaScript writes its own.
    let alone = read(&bytes("d845 44 01000200"));
    assert_eq!(alone, Array::from_slice(&[2], &[1u16, 2]).unwrap().into());
    let clamped = read(&bytes("d844 42 00ff"));
    assert_eq!(
        clamped,
        Array::from_slice(&[2], &[0u8, 255]).unwrap().into()
    );
    let bools = read(&bytes("d99b36 d840 42 0001"));
    assert_eq!(
        bools,
        Array::from_slice(&[2], &[false, true]).unwrap().into()
    );
}

#[test]
fn small_floats_are_read() {
    for (digits, bits) in [
        ("f93c00", 1f64.to_bits()),
        ("f98000", (-0f64).to_bits()),
        ("f97e00", 0x7ff8_0000_0000_0000),
        ("f97c01", 0x7ff0_0400_0000_0000),
        ("fa7f800001", 0x7ff0_0000_2000_0000),
        ("fa3fc00000", 1.5f64.to_bits()),
        ("fb7ff0000000000001", 0x7ff0_0000_0000_0001),
    ] {
        let Value::Float(value) = read(&bytes(digits)) else {
            panic!("{digits} is no float");
        };
        assert_eq!(value.to_bits(), bits, "{digits}");
    }
    let nan = f64::from_bits(0x7ff0_0000_dead_beef);
    assert_eq!(&written(&nan.into())[..], &bytes("fb7ff00000deadbeef")[..]);
}

#[test]
fn a_message_is_a_map() {
    let limits = Limits::default();
    let message = Message::new("end", Value::None, "e");
    let encoded = encode_message(&message, None, &limits).unwrap();
    assert_eq!(encoded, bytes("a2 6474797065 63656e64 63737263 6165"));
    assert_eq!(decode_message(&encoded, &limits), Ok((message, None)));

    let turn = Dict::from([("n", 3)]);
    let message = Message::new("dance", Dict::from([("x", 1)]), "i");
    let encoded = encode_message(&message, Some(&turn), &limits).unwrap();
    assert_eq!(decode_message(&encoded, &limits), Ok((message, Some(turn))));
    // In another order, and with a key of another generation.
    let other = bytes("a3 6178 d9ffff 82a10102f7 63737263 6165 6474797065 63656e64");
    let (message, _) = decode_message(&other, &limits).unwrap();
    assert_eq!(message, Message::end("e"));
}

#[test]
fn parameters_are_a_dict_or_nothing() {
    let limits = Limits::default();
    let encode = |params: Value| encode_message(&Message::new("end", params, "e"), None, &limits);
    assert_eq!(encode(0.into()), encode(Value::None), "as in XML");
    assert_ne!(encode(Dict::new().into()), encode(Value::None));
    assert_eq!(encode([1].into()), Err(EncodeError::ParamsNotDict("list")));
}

/// True if these bytes are a slice of those, not a copy.
fn shares(part: &Bytes, whole: &Bytes) -> bool {
    whole.as_ptr_range().contains(&part.as_ptr())
}

/// Bytes that begin at a multiple of 8, as a frame's do.
fn aligned(bytes: &Bytes) -> Bytes {
    let mut room = vec![0; bytes.len() + 8];
    let start = room.as_ptr().align_offset(8);
    room[start..start + bytes.len()].copy_from_slice(bytes);
    Bytes::from(room).slice(start..start + bytes.len())
}

#[test]
fn an_array_is_read_without_a_copy() {
    let array = Array::from_slice(&[250, 1_000], &vec![1.5f32; 250_000]).unwrap();
    let message = Message::new("observation", Dict::from([("camera", array)]), "engine");
    let frame = aligned(&encode_message(&message, None, &Limits::default()).unwrap());
    let (read, _) = decode_message(&frame, &Limits::default()).unwrap();
    let camera = read.param("camera").and_then(Value::as_array).unwrap();
    assert!(shares(camera.bytes(), &frame));
    assert_eq!(camera.as_slice::<f32>().unwrap().len(), 250_000);
    // At any other place it is copied, and can be seen all the same.
    for offset in 1..8 {
        let mut moved = vec![0; offset];
        moved.extend_from_slice(&frame);
        let moved = aligned(&Bytes::from(moved)).slice(offset..);
        let (read, _) = decode_message(&moved, &Limits::default()).unwrap();
        let camera = read.param("camera").and_then(Value::as_array).unwrap();
        assert_eq!(shares(camera.bytes(), &moved), offset == 4);
        assert!(camera.as_slice::<f32>().is_ok());
    }
}

#[test]
fn what_is_small_does_not_keep_a_large_frame() {
    let text = "x".repeat(2_000);
    let small = Array::from_slice(&[300], &[7u8; 300]).unwrap();
    let dict = |padding: usize| {
        Value::from(Dict::from([
            ("text", Value::from(text.as_str())),
            ("bytes", Bytes::from(vec![1; 2_000]).into()),
            ("array", small.clone().into()),
            ("padding", Bytes::from(vec![0; padding]).into()),
        ]))
    };
    for (padding, shared) in [(100, true), (100_000, false)] {
        let frame = written(&dict(padding));
        let value = read(&frame);
        let Some(Value::Str(text)) = value.get("text") else {
            panic!("no text");
        };
        assert_eq!(shares(text.as_bytes(), &frame), shared);
        let Some(Value::Bytes(bytes)) = value.get("bytes") else {
            panic!("no bytes");
        };
        assert_eq!(shares(bytes, &frame), shared);
        let array = value.get("array").and_then(Value::as_array).unwrap();
        assert_eq!(shares(array.bytes(), &frame), shared);
        let Some(Value::Bytes(padding)) = value.get("padding") else {
            panic!("no padding");
        };
        assert!(
            shares(padding, &frame),
            "what is most of the frame is not copied"
        );
    }
}

#[test]
fn depth_is_that_of_xml() {
    let nested = |levels| {
        let inner = (0..levels).fold(Value::from("leaf"), |inner, _| Value::Tuple(vec![inner]));
        Message::new("action", Dict::from([("d", inner)]), "x")
    };
    let limits = Limits::default();
    let deepest = nested(510);
    assert!(deepest.encode(&limits).is_ok());
    let encoded = encode_message(&deepest, None, &limits).unwrap();
    assert_eq!(decode_message(&encoded, &limits).unwrap().0, deepest);
    assert_eq!(
        encode_message(&nested(511), None, &limits),
        Err(EncodeError::Limit(LimitExceeded {
            limit: Limit::Depth,
            actual: 1_026,
            allowed: 1_024,
        }))
    );
    // An element counts with its own.
    let element = nested(510).to_element().unwrap();
    let twice = Message::new("action", Dict::from([("e", element)]), "x");
    assert!(encode_message(&twice, None, &limits).is_err());
    let encoded = encode_message(&twice, None, &limits.clone().depth(2_000)).unwrap();
    assert!(decode_message(&encoded, &limits).is_err());
}

#[test]
fn writing_keeps_to_the_limits_of_the_reader() {
    let value = Value::from((
        "text of 19 bytes...",
        vec![1, 2],
        Value::Int("123456789012345678901".parse().unwrap()),
        Array::from_slice(&[20], &[0u8; 20]).unwrap(),
    ));
    let size = written(&value).len();
    let refused = |limits: Limits| match encode_value(&value, &limits) {
        Err(EncodeError::Limit(exceeded)) => Some(exceeded.limit),
        Ok(encoded) => {
            assert_eq!(decode_value(&encoded, &limits).as_ref(), Ok(&value));
            None
        }
        Err(error) => panic!("{error}"),
    };
    let limits = Limits::default;
    assert_eq!(
        refused(limits().text_bytes(20).nodes(14).depth(5).int_digits(21)),
        None
    );
    assert_eq!(refused(limits().text_bytes(19)), Some(Limit::TextBytes));
    assert_eq!(refused(limits().nodes(13)), Some(Limit::Nodes));
    assert_eq!(refused(limits().depth(4)), Some(Limit::Depth));
    assert_eq!(refused(limits().int_digits(20)), Some(Limit::IntDigits));
    assert_eq!(refused(limits().message_bytes(size)), None);
    assert_eq!(
        refused(limits().message_bytes(size - 1)),
        Some(Limit::MessageBytes)
    );
}

/// 110,000 elements in a message of 1 MiB: a server that got it would give it to nobody.
#[test]
fn an_element_with_more_in_it_than_its_reader_takes_is_not_written() {
    let many = |elements: usize| {
        let element = Element::parse(format!("<a>{}</a>", "<b />".repeat(elements - 1))).unwrap();
        Message::new("action", Dict::from([("a", element)]), "x")
    };
    let limits = Limits::default().nodes(100_000);
    // Before them are eight items: a map of three entries, and a map, its key and the tag.
    for (elements, is_written) in [(99_000, true), (99_989, true), (100_000, false)] {
        let message = many(elements);
        match encode_message(&message, None, &limits) {
            Ok(bytes) => {
                assert!(is_written);
                assert_eq!(decode_message(&bytes, &limits).unwrap(), (message, None));
            }
            Err(EncodeError::Limit(exceeded)) => {
                assert!(!is_written);
                assert_eq!((exceeded.limit, exceeded.allowed), (Limit::Nodes, 100_000));
                assert!(exceeded.actual > 100_000);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn an_element_that_lacks_an_array_is_not_sent() {
    let array = Array::from_slice(&[1], &[1u8]).unwrap();
    let action = masep_proto::Action::new(1).with("mask", array);
    let params = Dict::from([("list", Value::from([Value::from(action)]))]);
    let error = encode_message(
        &Message::new("action", params, "i"),
        None,
        &Limits::default(),
    );
    let Err(EncodeError::Array { path, array }) = error else {
        panic!("sent without the array");
    };
    assert_eq!(
        (&*path, &*array),
        ("params.list[0]", "an array in <Action>")
    );
}

fn array() -> impl Strategy<Value = Array> {
    let shape = prop::collection::vec(0usize..4, 0..5);
    (prop::sample::select(DType::ALL), shape).prop_flat_map(|(dtype, shape)| {
        let size = shape.iter().product::<usize>() * dtype.size();
        let most = if dtype == DType::Bool { 1u8 } else { 255 };
        prop::collection::vec(0..=most, size)
            .prop_map(move |bytes: Vec<u8>| Array::new(dtype, shape.clone(), bytes).unwrap())
    })
}

fn value() -> impl Strategy<Value = Value> {
    let digits = "-?[1-9][0-9]{15,60}";
    let float = any::<f64>().prop_filter("NaN is not equal to itself", |float| !float.is_nan());
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        digits.prop_map(|digits| Value::Int(digits.parse::<Int>().unwrap())),
        float.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Bytes::from(bytes).into()),
        "[a-z.]{1,8}".prop_map(|name| TypeName::from(name).into()),
        "[a-z]{1,8}".prop_map(|name| Element::parse(format!("<{name} />")).unwrap().into()),
        prop::collection::btree_set(any::<u8>(), 0..4).prop_map(Value::from),
        array().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            items.clone().prop_map(Value::List),
            items.prop_map(Value::Tuple),
            prop::collection::vec(("[a-z]{0,3}", inner), 0..20)
                .prop_map(|entries| Dict::from_iter(entries).into()),
        ]
    })
}

/// An element with others in it, and what is around it.
fn element() -> impl Strategy<Value = Value> {
    let leaf = "[a-z>]{0,3}".prop_map(|text| format!("<b c='&lt;/'>{text}</b>"));
    let xml = leaf.prop_recursive(4, 20, 5, |inner| {
        let children = prop::collection::vec(inner, 0..5);
        children.prop_map(|children| format!("<a>{}</a>", children.concat()))
    });
    (xml, "[a-z]{0,2}").prop_map(|(xml, tail)| Element::parse(xml).unwrap().with_tail(tail).into())
}

proptest! {
    #[test]
    fn what_is_written_within_bounds_is_read_within_them(
        values in prop::collection::vec(prop_oneof![value(), element()], 1..3),
        nodes in 10usize..24,
        depth in 3usize..12,
        text_bytes in 4usize..60,
    ) {
        let limits = Limits::default().nodes(nodes).depth(depth).text_bytes(text_bytes);
        let message = Message::new("action", Dict::from([("v", Value::List(values))]), "s");
        if let Ok(encoded) = encode_message(&message, None, &limits) {
            prop_assert_eq!(decode_message(&encoded, &limits), Ok((message, None)));
        }
    }

    #[test]
    fn what_is_written_is_read_back(value in value(), turn: bool) {
        let encoded = written(&value);
        prop_assert_eq!(&read(&encoded), &value);
        prop_assert_eq!(written(&read(&encoded)), encoded);
        let turn = turn.then(|| Dict::from([("n", 1)]));
        let message = Message::new("action", Dict::from([("v", value)]), "s");
        let limits = Limits::default();
        let encoded = encode_message(&message, turn.as_ref(), &limits).unwrap();
        prop_assert_eq!(decode_message(&encoded, &limits).unwrap(), (message, turn));
    }

    #[test]
    fn arrays_of_all_types_and_shapes_are_aligned(before in 0usize..40, array in array()) {
        let value = Value::from((Bytes::from(vec![0; before]), array.clone()));
        let frame = aligned(&written(&value));
        let read = read(&frame);
        let found = read.as_tuple().unwrap()[1].as_array().unwrap();
        prop_assert_eq!(found, &array);
        if !array.is_empty() {
            prop_assert!(shares(found.bytes(), &frame));
            prop_assert_eq!(found.bytes().as_ptr().align_offset(8), 0);
        }
    }

    #[test]
    fn no_input_panics(input: Vec<u8>) {
        let input = Bytes::from(input);
        let tight = Limits::default().nodes(4).text_bytes(8).depth(4).int_digits(3);
        for limits in [Limits::default(), tight] {
            let _ = decode_value(&input, &limits);
            let _ = decode_message(&input, &limits);
        }
    }

    #[test]
    fn what_is_damaged_is_an_error_or_another_value(value in value(), at: prop::sample::Index, byte: u8) {
        let mut bytes = written(&value).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(value) = decode_value(&bytes.into(), &Limits::default()) {
            let again = written(&value);
            prop_assert_eq!(written(&read(&again)), again);
        }
    }
}
