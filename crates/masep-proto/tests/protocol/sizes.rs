//! The messages of `interop/vectors/sizes`, which the real pymasep has written: what is measured works.

use bytes::Bytes;
use masep_proto::{Action, Element, Message, Value};

macro_rules! body {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!(
            "../../../../interop/vectors/sizes/",
            $name,
            ".xml"
        )))
    };
}

fn element<'a>(message: &'a Message, param: &str) -> &'a Element {
    message
        .param(param)
        .and_then(Value::as_element)
        .expect("it has the param")
}

#[test]
fn they_come_back_byte_for_byte() {
    for body in [
        body!("action"),
        body!("observation-7k"),
        body!("observation-60k"),
        body!("values-7k"),
    ] {
        let message = Message::from_bytes(body.clone()).unwrap();
        assert_eq!(message.to_bytes().unwrap(), body);
    }
}

#[test]
fn an_observation_is_the_same_as_a_tree() {
    for body in [body!("observation-7k"), body!("observation-60k")] {
        let mut message = Message::from_bytes(body.clone()).unwrap();
        let tree = element(&message, "observation").to_node();
        let params = message.params.as_dict_mut().unwrap();
        params.insert("observation", tree.to_element().unwrap());
        assert_eq!(message.to_bytes().unwrap(), body);
    }
}

#[test]
fn an_action_is_the_same_as_an_action() {
    let body = body!("action");
    let message = Message::from_bytes(body.clone()).unwrap();
    let action = Action::try_from(element(&message, "action")).unwrap();
    assert_eq!(
        action.param("lantern").and_then(Value::as_str),
        Some("State.lantern3")
    );
    assert_eq!(
        Message::action(message.src_sub_app, action)
            .to_bytes()
            .unwrap(),
        body
    );
}
