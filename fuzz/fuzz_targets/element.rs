//! Any bytes as an element: its text is canonical, and the tree gives the same text back.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use masep_fuzz::{Memory, check_element, check_error, check_limits, tight};
use masep_proto::{Element, Limits};

/// Bytes that decoding, and taking apart into a tree, may take for each byte of the input, and at all.
const MEMORY: (usize, usize) = (100, 8 << 10);

fuzz_target!(|input: &[u8]| {
    let bytes = Bytes::copy_from_slice(input);
    let memory = Memory::watch();
    let decoded = Element::decode(bytes.clone(), &Limits::default());
    let node = decoded.as_ref().map(Element::to_node);
    let peak = memory.peak();
    assert!(peak <= MEMORY.0 * input.len() + MEMORY.1, "{peak} bytes");
    drop(node);

    check_limits(&decoded, &Element::decode(bytes, &tight()));
    match decoded {
        Ok(element) => {
            check_element(&element);
            let json = element.to_json();
            assert_eq!(Element::from_json(&json).as_ref(), Ok(&element));
        }
        Err(error) => check_error(&error, input),
    }
});
