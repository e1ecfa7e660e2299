//! Any bytes as control messages of protocol 2: no panic, little memory, and what was read is written and read again as
//! the same. The first byte is the kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use masep_fuzz::Memory;
use masep_proto::protocol2::{CONTROL_BYTES, Control, Header, preamble};

/// Bytes that reading may take, whatever the message is.
const MEMORY: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((kind, payload)) = input.split_first() else {
        return;
    };
    let memory = Memory::watch();
    let read = Control::decode(*kind, payload);
    let peak = memory.peak();
    assert!(peak <= MEMORY, "{peak} bytes");
    match read {
        Ok(Some(message)) => {
            assert_eq!(message.kind(), *kind);
            // With NaN in it, it is not equal to itself; what is written is the same.
            if let Ok(written) = message.encode() {
                assert!(written.len() <= CONTROL_BYTES);
                let again = Control::decode(*kind, &written)
                    .expect("what was written is readable")
                    .expect("it is of the same kind");
                assert_eq!(again.encode().as_ref(), Ok(&written));
            }
        }
        Ok(None) => {}
        // A name in it has 64 bytes at most, each of which may be written as an escape of six.
        Err(error) => assert!(error.to_string().len() < 500, "{error}"),
    }
    if let Ok(Some(header)) = Header::read(payload) {
        assert_eq!(header.to_bytes(), payload[..Header::BYTES]);
        assert!(header.whole().is_multiple_of(Header::ALIGNMENT));
    }
    if let Ok(hello) = std::str::from_utf8(payload) {
        assert!(preamble::generation(hello).is_none() || hello.starts_with("masep/"));
    }
});
