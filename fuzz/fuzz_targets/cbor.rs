//! Any bytes as a message in CBOR: no panic, memory in proportion, and what was read is written and read again as the
//! same, arrays in place.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use masep_fuzz::{Memory, check_cbor_error, check_limits, check_message_of_cbor, tight};
use masep_proto::{Limits, cbor};

/// Bytes that decoding may take for each byte of the input, and at all.
const MEMORY: (usize, usize) = (200, 16 << 10);

fuzz_target!(|input: &[u8]| {
    let bytes = Bytes::copy_from_slice(input);
    let limits = Limits::default();
    let memory = Memory::watch();
    let decoded = cbor::decode_message(&bytes, &limits);
    let peak = memory.peak();
    assert!(peak <= MEMORY.0 * input.len() + MEMORY.1, "{peak} bytes");

    check_limits(&decoded, &cbor::decode_message(&bytes, &tight()));
    match &decoded {
        Ok((message, turn)) => check_message_of_cbor(message, turn.as_ref()),
        Err(error) => check_cbor_error(error, input),
    }
    // Any value, without a message around it.
    match cbor::decode_value(&bytes, &limits) {
        Ok(value) => {
            let written = cbor::encode_value(&value, &limits).expect("it fitted the wire");
            let again =
                cbor::decode_value(&written, &limits).expect("what was written is readable");
            assert_eq!(cbor::encode_value(&again, &limits).as_ref(), Ok(&written));
        }
        Err(error) => check_cbor_error(&error, input),
    }
});
