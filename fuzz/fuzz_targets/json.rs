//! Any bytes as the JSON of a message or a value, as `masep encode` takes it from strangers' programs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use masep_fuzz::{Memory, check_json, check_message, has_nan};
use masep_proto::{Message, MessageType, Value, json};
use serde_json::Value as Json;

/// Bytes that reading may take for each byte of the text, and at all.
const MEMORY: (usize, usize) = (200, 8 << 10);
/// Bytes that all `$nest`s, which stand for more than their text, may take.
const NESTS: usize = 32 << 20;
/// The most bytes that the text of an error may have beyond that of the input.
const ERROR_TEXT: usize = 500;

fuzz_target!(|input: &[u8]| {
    let read = json::from_slice(input);
    if let Ok(shallow) = serde_json::from_slice::<Json>(input) {
        assert_eq!(
            read.as_ref(),
            Ok(&shallow),
            "as serde_json, which reads fewer levels"
        );
    }
    let Ok(json) = read else {
        return;
    };
    let memory = Memory::watch();
    let read = Value::from_json(&json);
    let peak = memory.peak();
    let allowed = MEMORY.0 * input.len() + MEMORY.1;
    let nests = peak > allowed && json.to_string().contains("$nest");
    let allowed = allowed + if nests { NESTS } else { 0 };
    assert!(peak <= allowed, "{peak} bytes of {allowed}");

    match read {
        Ok(value) => check_value(value),
        // It quotes the key or the text that is wrong, and says where it is.
        Err(error) => assert!(error.to_string().len() <= 12 * input.len() + ERROR_TEXT),
    }
    if let Ok(message) = Message::from_json(&json, Some("fuzz")) {
        check(&message);
    }
});

/// A value is written as JSON and read as the same; so is it in a message.
fn check_value(value: Value) {
    let json = value.to_json().expect("it was read within the depth");
    let again = Value::from_json(&json).expect("what was written is readable");
    if !has_nan(&value) {
        assert_eq!(again, value);
    }
    check(&Message::new(MessageType::Action, value, "fuzz"));
}

fn check(message: &Message) {
    let Ok(bytes) = message.to_bytes() else {
        return; // As deep as a value may be, and deeper than a message.
    };
    check_json(message);
    // An element that spells a value comes back as the value: what is compared is what was read.
    if let Ok(read) = Message::from_bytes(bytes) {
        check_message(&read);
        check_json(&read);
    }
}
