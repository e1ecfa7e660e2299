use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::{Array, Dict, Int, Limit, Limits, MessageType, TypeName};

/// Both directions between a value and the form in which it is written.
#[track_caller]
fn same(value: impl Into<Value>, text: &str) {
    let value = value.into();
    assert_eq!(value.to_json().unwrap().to_string(), text);
    assert_eq!(read(text), value, "{text}");
}

#[track_caller]
fn read(text: &str) -> Value {
    Value::from_json(&serde_json::from_str(text).unwrap()).unwrap()
}

/// The error of a text: its place and what it is.
#[track_caller]
fn refused(text: &str) -> (String, &'static str) {
    let error = Value::from_json(&serde_json::from_str(text).unwrap()).unwrap_err();
    (error.path, error.kind.name())
}

#[test]
fn what_json_has_is_written_plain() {
    same(None::<i64>, "null");
    same(true, "true");
    same("é\n", r#""é\n""#);
    same(i64::MIN, "-9223372036854775808");
    same(vec![1, 2], "[1,2]");
    same(
        Dict::from([("b", Value::from(1)), ("a", Dict::new().into())]),
        r#"{"b":1,"a":{}}"#,
    );
}

#[test]
fn a_float_is_told_from_an_int() {
    same(1.0, "1.0");
    same(-0.5, "-0.5");
    same(5e-324, "5e-324");
    same(f64::INFINITY, r#"{"$float":"inf"}"#);
    same(f64::NEG_INFINITY, r#"{"$float":"-inf"}"#);
    assert_eq!(read("1"), Value::from(1));
    assert_eq!(read("1e2"), Value::from(100.0));
    assert_eq!(read("10.0"), Value::from(10.0));
    let zero = read("-0.0").as_f64().unwrap();
    assert!(zero == 0.0 && zero.is_sign_negative());
    let json = Value::from(f64::NAN).to_json().unwrap();
    assert_eq!(json, json!({"$float": "nan"}));
    assert!(Value::from_json(&json).unwrap().as_f64().unwrap().is_nan());
}

#[test]
fn a_float_may_be_tagged() {
    for text in ["\"1e+16\"", "\"1E16\"", "1e16", "10000000000000000"] {
        assert_eq!(read(&format!("{{\"$float\":{text}}}")), Value::from(1e16));
    }
    for text in ["\"\"", "\"1e999\"", "\"1,5\"", "\"0x1p3\""] {
        let error = refused(&format!("{{\"$float\":{text}}}"));
        assert_eq!(error, ("$float".to_owned(), "invalid_float"), "{text}");
    }
}

#[test]
fn an_int_of_any_size_is_exact() {
    let large: Int = "-123456789012345678901234567890".parse().unwrap();
    same(large, r#"{"$int":"-123456789012345678901234567890"}"#);
    same(u64::MAX, r#"{"$int":"18446744073709551615"}"#);
    assert_eq!(read("18446744073709551615"), Value::from(u64::MAX));
    assert_eq!(read(r#"{"$int":"5"}"#), Value::from(5));
    assert_eq!(
        refused(r#"{"$int":"5.0"}"#),
        ("$int".to_owned(), "invalid_int")
    );
    let digits = format!("{{\"$int\":\"{}\"}}", "9".repeat(4_301));
    assert_eq!(refused(&digits), ("$int".to_owned(), "limit"));
}

#[test]
fn what_json_has_not_is_tagged() {
    same((1, "a"), r#"{"$tuple":[1,"a"]}"#);
    same(Value::Set(vec![2.into(), 1.into()]), r#"{"$set":[2,1]}"#);
    same(Bytes::from_static(b"\0\xff"), r#"{"$bytes_hex":"00ff"}"#);
    same(TypeName::from("a.b.C"), r#"{"$type":"a.b.C"}"#);
    same(TypeName::from("int"), r#"{"$type":"builtins.int"}"#);
    same(
        Dict::from([("$int", 1), ("b", 2)]),
        r#"{"$dict":[["$int",1],["b",2]]}"#,
    );
}

#[test]
fn the_order_of_a_dict_is_kept() {
    let keys = ["z", "a", "m", "$", "b"];
    let dict: Dict = keys.iter().map(|key| (*key, 1)).collect();
    let read = Value::from_json(&Value::from(dict).to_json().unwrap()).unwrap();
    let order: Vec<&str> = read.as_dict().unwrap().keys().map(|key| &**key).collect();
    assert_eq!(order, keys);
}

#[test]
fn an_element_is_its_xml() {
    let element = Element::parse("<State a='é'>x<b/></State>").unwrap();
    same(element, r#"{"$xml":"<State a=\"é\">x<b /></State>"}"#);
    let text = r#"{"$xml":"<a />","$tail":" é\n"}"#;
    assert_eq!(read(text).as_element().unwrap().tail(), " é\n");
    assert_eq!(read(text).to_json().unwrap().to_string(), text);
    let described = r#"{"$class":"m.C","$xml":"<C />","$action":{"type":1},"$circular":[]}"#;
    assert_eq!(read(described), read(r#"{"$xml":"<C />"}"#));
}

#[test]
fn characters_that_xml_takes_as_references_only_stay_references() {
    let element = Element::parse("<a b='&#xFFFE;'>&#65535;<c/>é</a>").unwrap();
    same(
        element.with_tail("\u{fffe}"),
        "{\"$xml\":\"<a b=\\\"&#65534;\\\">&#65535;<c />é</a>\",\"$tail\":\"\u{fffe}\"}",
    );
}

#[test]
fn an_unknown_object_is_the_element_that_pymasep_sends_for_it() {
    assert_eq!(
        read(r#"{"$py":"decimal.Decimal","name":"Decimal","str":"a<b"}"#),
        read(r#"{"$xml":"<Decimal>a&lt;b</Decimal>"}"#)
    );
    assert_eq!(
        read(r#"{"$py":"m.C","name":"C","str":""}"#),
        read(r#"{"$xml":"<C />"}"#)
    );
    assert_eq!(
        refused(r#"{"$py":"m.C","name":"a b","str":""}"#).1,
        "invalid_name"
    );
}

#[test]
fn strings_may_be_code_points() {
    assert_eq!(read(r#"{"$codepoints":[97,128058]}"#), Value::from("a🐺"));
    assert_eq!(
        read(r#"{"$dict":[[{"$codepoints":[36]},1]]}"#),
        Dict::from([("$", 1)]).into()
    );
    assert_eq!(
        refused(r#"[{"$codepoints":[97,55357,56832]}]"#),
        ("[0].$codepoints[1]".to_owned(), "surrogate")
    );
}

#[test]
fn a_tuple_as_a_key_is_its_repr() {
    for (tuple, key) in [
        ("[1,2]", "(1, 2)"),
        ("[-1]", "(-1,)"),
        ("[]", "()"),
        (
            r#"["é b",null,{"$tuple":[true]}]"#,
            "('é b', None, (True,))",
        ),
    ] {
        let dict = read(&format!(r#"{{"$dict":[[{{"$tuple":{tuple}}},"v"]]}}"#));
        assert_eq!(dict, Dict::from([(key, "v")]).into());
    }
    for tuple in [r#"["<"]"#, r#"["it's"]"#, r#"["\n"]"#, "[1.5]", "[[]]"] {
        let text = format!(r#"{{"$dict":[[{{"$tuple":{tuple}}},"v"]]}}"#);
        assert_eq!(refused(&text), ("$dict[0][0]".to_owned(), "unexpected"));
    }
}

#[test]
fn a_nest_is_a_leaf_in_containers() {
    assert_eq!(read(r#"{"$nest":["list",2,1]}"#), vec![vec![1]].into());
    assert_eq!(
        read(r#"{"$nest":["dict",1,"leaf"]}"#),
        Dict::from([("k", "leaf")]).into()
    );
    assert_eq!(read(r#"{"$nest":["list",0,1]}"#), Value::from(1));
    for levels in ["600", "18446744073709551615"] {
        let error = refused(&format!("{{\"$nest\":[\"list\",{levels},1]}}"));
        assert_eq!(error, ("$nest[2]".to_owned(), "limit"));
    }
}

#[test]
fn an_error_says_where_it_is() {
    for (text, path, name) in [
        (
            r#"{"items":[0,1,2,{"$int":"x"}]}"#,
            "items[3].$int",
            "invalid_int",
        ),
        (r#"{"a b":{"$int":1}}"#, r#"["a b"].$int"#, "unexpected"),
        (r#"{"a":{"$what":1}}"#, "a", "unknown_tag"),
        (r#"{"a":{"$tuple":[],"b":1}}"#, "a", "beside_tag"),
        (r#"{"a":{"b":1,"$tuple":[]}}"#, "a", "beside_tag"),
        (r#"{"a":{"$xml":"<a />","b":1}}"#, "a", "beside_tag"),
        (r#"{"a":{"$tail":""}}"#, "a", "unknown_tag"),
        (
            r#"[{"$object":"module","repr":"json"}]"#,
            "[0]",
            "unrepresentable",
        ),
        (r#"{"$dict":[["k",1],[1,1]]}"#, "$dict[1][0]", "unexpected"),
        (r#"{"$dict":[["k",1,2]]}"#, "$dict[0]", "unexpected"),
        (
            r#"{"$dict":[["k",{"$set":[[]]}]]}"#,
            "$dict[0][1].$set",
            "unhashable",
        ),
        (r#"{"$bytes_hex":"0"}"#, "$bytes_hex", "invalid_hex"),
        (r#"{"$xml":"<a>"}"#, "$xml", "invalid_xml"),
        (r#"{"$py":"m.C","name":"C"}"#, "", "missing_key"),
        (r#"{"$nest":["set",1,1]}"#, "$nest[0]", "unexpected"),
        (r#"{"$nest":["list",-1,1]}"#, "$nest[1]", "unexpected"),
    ] {
        assert_eq!(refused(text), (path.to_owned(), name), "{text}");
    }
}

#[test]
fn a_message_has_three_keys() {
    let text = r#"{"msg_type":"define","src_sub_app":"a","params":{"game":{"$type":"m.G"}}}"#;
    let message = Message::define("a", TypeName::from("m.G"));
    assert_eq!(message.to_json().unwrap().to_string(), text);
    let json: Json = serde_json::from_str(text).unwrap();
    assert_eq!(Message::from_json(&json, Some("other")).unwrap(), message);
    assert_eq!(serde_json::from_str::<Message>(text).unwrap(), message);
}

#[test]
fn a_message_without_a_sender_is_its_readers() {
    let json = json!({"msg_type": "dance"});
    let message = Message::from_json(&json, Some("me")).unwrap();
    let dance = Message::new(MessageType::Other("dance".into()), Value::None, "me");
    assert_eq!(message, dance);
    let error = Message::from_json(&json, None).unwrap_err();
    assert_eq!(error.to_string(), "the key \"src_sub_app\" is missing");
}

#[test]
fn what_is_no_message_is_refused() {
    for (json, error) in [
        (json!([]), "expected a message, found an array"),
        (json!({}), "the key \"msg_type\" is missing"),
        (
            json!({"msg_type": 3}),
            "msg_type: expected a string, found a number",
        ),
        (
            json!({"msg_type": "end", "src_sub_app": null}),
            "src_sub_app: expected a string, found null",
        ),
        (
            json!({"msg_type": "end", "parms": {}}),
            "a message has no key \"parms\"",
        ),
        (
            json!({"msg_type": "end", "params": {"a": [{"$int": 1}]}}),
            "params.a[0].$int: expected a string, found a number",
        ),
    ] {
        let refused = Message::from_json(&json, Some("me")).unwrap_err();
        assert_eq!(refused.to_string(), error);
    }
}

/// A list in a list in a list, so many.
fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::None, |value, _| Value::Tuple(vec![value]))
}

#[test]
fn what_fits_into_a_message_fits_into_json_and_back() {
    let deepest = nested((Limits::default().depth - 1) / 2);
    let json = deepest.to_json().unwrap();
    assert_eq!(Value::from_json(&json).unwrap(), deepest);
    assert!(json.to_string().ends_with(&"]}".repeat(511)));
}

#[test]
fn what_is_written_is_read_again_as_text_however_it_is_nested() {
    let wraps: [(&str, &dyn Fn(Value) -> Value); 5] = [
        ("list", &|value| Value::List(vec![value])),
        ("tuple", &|value| Value::Tuple(vec![value])),
        ("dict", &|value| Dict::from([("k", value)]).into()),
        ("pairs", &|value| Dict::from([("$k", value)]).into()),
        ("set", &|value| match value {
            // A tuple in a set; a set in a set is none of Python's.
            Value::None => Value::Set(vec![Value::None]),
            value => Value::List(vec![1.into(), value, Dict::new().into()]),
        }),
    ];
    for (name, wrap) in wraps {
        for levels in [42, 63, 126, 127, 128, 511] {
            let value = (0..levels).fold(Value::None, |value, _| wrap(value));
            let text = value.to_json().unwrap().to_string();
            let read = from_slice(text.as_bytes()).and_then(|json| Value::from_json(&json));
            assert!(read == Ok(value), "{name}, {levels} levels");
        }
    }
}

#[test]
fn text_that_is_nested_deeper_than_any_message_is_over_a_limit() {
    for (open, most) in [("[", 1_608), ("{\"k\":", 1_608)] {
        let error = from_slice(open.repeat(most + 1).as_bytes()).unwrap_err();
        let JsonErrorKind::Limit(exceeded) = error.kind else {
            panic!("{error}");
        };
        assert_eq!((exceeded.limit, exceeded.actual), (Limit::Depth, most + 1));
        assert_eq!(exceeded.allowed, most);
        let error = from_slice(open.repeat(most).as_bytes()).unwrap_err();
        assert_eq!(error.kind.name(), "json");
    }
    // Brackets in strings are no levels.
    let text = Json::from("[{\\\"[".repeat(1_000));
    assert_eq!(from_slice(text.to_string().as_bytes()), Ok(text));
}

#[test]
fn an_error_in_deep_text_says_where_it_is() {
    let (open, close) = ("[".repeat(200), "]".repeat(200));
    for (inside, error) in [
        ("1 2", "expected `,` or `]` at line 1 column 203"),
        ("nul", "expected value at line 1 column 201"),
        ("\n\n{1:2}", "key must be a string at line 3 column 2"),
        ("{\"a\" 1}", "expected `:` at line 1 column 206"),
        ("1],", "expected value at line 1 column 204"),
    ] {
        let text = format!("{open}{inside}{close}");
        assert_eq!(from_slice(text.as_bytes()).unwrap_err().to_string(), error);
    }
    let text = format!("{open}1{close}]");
    let error = from_slice(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "trailing characters at line 1 column 402");
}

#[test]
fn depth_is_bounded_in_both_directions() {
    let error = nested(512).to_json().unwrap_err();
    assert_eq!((error.limit, error.allowed), (Limit::Depth, 1_024));
    // Not by `json!`, which recurses.
    let list = |items: Vec<Json>| Json::Array(items);
    let object = |key: &str, json| Json::Object(Map::from_iter([(key.to_owned(), json)]));
    let pair = |key, value| object("$dict", list(vec![list(vec![key, value])]));
    for (wrap, path) in [
        (
            &(|json| list(vec![json])) as &dyn Fn(Json) -> Json,
            "[0][0][0]",
        ),
        (&|json| object("k", json), "k.k.k."),
        (
            &|json| object("$nest", list(vec!["list".into(), 0.into(), json])),
            "$nest[2].$nest[2].",
        ),
        (&|json| pair("k".into(), json), "$dict[0][1].$dict[0][1]"),
        (
            &|json| object("$tuple", list(vec![json])),
            "$tuple[0].$tuple",
        ),
    ] {
        let json = (0..3_000).fold(Json::Null, |json, _| wrap(json));
        let error = Value::from_json(&json).unwrap_err();
        assert!(error.path.starts_with(path), "{}", error.path);
        // As a key too, where a tuple may stand.
        let json = pair(json, 1.into());
        assert!(Value::from_json(&json).is_err());
        // Dropping it would recurse: serde_json does not bound that.
        std::mem::forget(json);
    }
}

#[test]
fn the_number_of_values_is_limited_also_when_few_bytes_make_many() {
    let limit = |json: &Json| match Value::from_json(json).unwrap_err().kind {
        JsonErrorKind::Limit(exceeded) => exceeded,
        other => panic!("{other}"),
    };
    let nest = serde_json::json!({"$nest": ["list", 500, 1]});
    let exceeded = limit(&Json::from(vec![nest.clone(); 1_000]));
    assert_eq!((exceeded.limit, exceeded.allowed), (Limit::Nodes, 100_000));
    assert!(Value::from_json(&Json::from(vec![nest; 90])).is_ok());
    assert!(Value::from_json(&Json::from(vec![1; 49_000])).is_ok());
    assert_eq!(limit(&Json::from(vec![1; 60_000])).actual, 100_002);
}

#[test]
fn an_error_quotes_the_beginning_only_and_escapes_it() {
    let long = "k\u{1b}[2J".repeat(1_000);
    for json in [
        serde_json::json!({ "$float": long }),
        serde_json::json!({ (format!("${long}")): 1 }),
        serde_json::json!({ (long.clone()): { "$int": "x" } }),
        serde_json::json!({ "$set": [], (long): 1 }),
    ] {
        let error = Value::from_json(&json).unwrap_err().to_string();
        assert!(error.len() < 600, "{error}");
        assert!(!error.contains(char::is_control), "{error}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::from),
        any::<i128>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(|b| Value::Bytes(b.into())),
        "[a-z]{1,3}(\\.[A-Z]{1,3})?".prop_map(|name| TypeName::from(name).into()),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Tuple),
            prop::collection::vec((r"\$?\PC{0,3}", inner), 0..5)
                .prop_map(|entries| entries.into_iter().collect::<Dict>().into()),
            prop::collection::btree_set(any::<i64>(), 0..5).prop_map(Value::from),
        ]
    })
}

/// JSON that looks like the notation, rightly or not.
fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-3i64..1_200).prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[0-9a-f]{0,4}|<a>?/>|nan|list|dict".prop_map(Json::from),
    ];
    const KEYS: [&str; 17] = [
        "$int",
        "$float",
        "$tuple",
        "$set",
        "$dict",
        "$codepoints",
        "$bytes_hex",
        "$type",
        "$nest",
        "$xml",
        "$tail",
        "$py",
        "name",
        "str",
        "$object",
        "$x",
        "k",
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        let key = prop::sample::select(&KEYS[..]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::vec((key, inner), 0..3).prop_map(|entries| {
                Json::Object(
                    entries
                        .into_iter()
                        .map(|(k, v)| (k.to_owned(), v))
                        .collect(),
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn deep_text_is_read_as_shallow_text_is(
        json in any_json(),
        cut in any::<prop::sample::Index>(),
        damage in "[]\\[{}\",:\\\\ \\n1a-]?",
    ) {
        let mut text = serde_json::to_string_pretty(&json).unwrap();
        let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        text.insert_str(*cut.get(&ends), &damage);
        // A bracket that ends what stands around the text makes another text of it.
        let shallow = serde_json::from_str::<Json>(&format!("[{text}]"));
        let deep = format!("{}{text}{}", "[".repeat(200), "]".repeat(200));
        match (from_slice(deep.as_bytes()), shallow) {
            (Ok(mut deep), Ok(shallow)) => {
                for _ in 1..200 {
                    deep = deep[0].take();
                }
                prop_assert_eq!(deep, shallow);
            }
            (Err(_), Err(_)) => {}
            (deep, shallow) => prop_assert!(false, "{text:?}: {deep:?}, {shallow:?}"),
        }
    }

    #[test]
    fn a_value_is_the_same_after_json_text(value in any_value()) {
        let text = serde_json::to_string(&value).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        // Not `==` on values: NaN is not equal to itself.
        prop_assert_eq!(format!("{read:?}"), format!("{value:?}"));
    }

    #[test]
    fn any_json_is_a_value_or_an_error(json in any_json()) {
        if let Ok(value) = Value::from_json(&json) {
            let written = value.to_json().unwrap();
            let read = Value::from_json(&written).unwrap();
            prop_assert_eq!(format!("{read:?}"), format!("{value:?}"), "{}", written);
        }
    }
}

#[test]
fn an_array_is_its_type_shape_and_bytes() {
    let array = Array::from_slice(&[1, 2], &[1u16, 0xff00]).unwrap();
    let form = json!({"$array": {"dtype": "uint16", "shape": [1, 2], "base64": "AQAA/w=="}});
    let value = Value::from(array);
    assert_eq!(value.to_json().unwrap(), form);
    assert_eq!(Value::from_json(&form).unwrap(), value);
    let read = Value::from_json(&form).unwrap();
    assert_eq!(
        read.as_array().unwrap().as_slice::<u16>(),
        Ok(&[1, 0xff00][..])
    );
}

#[test]
fn what_is_no_array_is_refused_where_it_is_wrong() {
    let refused = |array: Json| {
        let error = Value::from_json(&json!([{ "$array": array }])).unwrap_err();
        (error.path.clone(), error.kind.name())
    };
    let array = |dtype: &str, shape: Json, base64: &str| {
        refused(json!({"dtype": dtype, "shape": shape, "base64": base64}))
    };
    for (found, path, name) in [
        (refused(json!(1)), "[0].$array", "unexpected"),
        (refused(json!({})), "[0].$array", "missing_key"),
        (
            refused(json!({"dtype": "bool", "x": 1})),
            "[0].$array",
            "beside_tag",
        ),
        (
            array("float128", json!([1]), "AA=="),
            "[0].$array.dtype",
            "invalid_dtype",
        ),
        (
            array("uint8", json!([-1]), "AA=="),
            "[0].$array.shape[0]",
            "unexpected",
        ),
        (
            array("uint8", json!(vec![1; 33]), "AA=="),
            "[0].$array.shape",
            "invalid_array",
        ),
        (
            array("uint8", json!([1]), "AA"),
            "[0].$array.base64",
            "invalid_base64",
        ),
        // Bits that no byte has.
        (
            array("uint8", json!([1]), "AB=="),
            "[0].$array.base64",
            "invalid_base64",
        ),
        (
            array("uint8", json!([2]), "AA=="),
            "[0].$array",
            "invalid_array",
        ),
        (
            array("bool", json!([1]), "Ag=="),
            "[0].$array",
            "invalid_array",
        ),
        (
            array("uint8", json!([1u64 << 63, 2]), ""),
            "[0].$array",
            "invalid_array",
        ),
    ] {
        assert_eq!(found, (path.to_owned(), name));
    }
}
