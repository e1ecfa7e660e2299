//! Any bytes as a message: no panic, memory in proportion, and what was read is written and read
//! again as the same, as XML and as JSON.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use masep_fuzz::{Memory, check_error, check_json, check_limits, check_message, tight};
use masep_proto::{Limits, Message};

/// Bytes that decoding may take for each byte of the input, and at all.
const MEMORY: (usize, usize) = (40, 8 << 10);

fuzz_target!(|input: &[u8]| {
    let bytes = Bytes::copy_from_slice(input);
    let memory = Memory::watch();
    let decoded = Message::from_bytes(bytes.clone());
    let peak = memory.peak();
    assert!(peak <= MEMORY.0 * input.len() + MEMORY.1, "{peak} bytes");

    check_limits(&decoded, &Message::decode(bytes, &tight()));
    match decoded {
        Ok(message) => {
            check_message(&message);
            check_json(&message);
        }
        Err(error) => check_error(&error, input),
    }
    // Frames of a limit that nobody checks are not there: the smallest message is larger than this.
    let none = Limits::default().message_bytes(0);
    assert!(Message::decode(Bytes::copy_from_slice(input), &none).is_err());
});
