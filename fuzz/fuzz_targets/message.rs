//! Any bytes as a message: no panic, and what was read is written and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use masep_proto::Message;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::from_bytes(bytes.to_vec()) else {
        return;
    };
    // What fits when it is read may, written canonically, be over a limit: more bytes for the same.
    let Ok(written) = message.to_bytes() else {
        return;
    };
    let Ok(again) = Message::from_bytes(written.clone()) else {
        panic!("written but not readable: {written:?}")
    };
    assert_eq!(
        again.to_bytes().as_ref(),
        Ok(&written),
        "a second round changes it"
    );
    // NaN is not equal to itself, as in Python, and parameters that are false, as an empty dict is,
    // are not sent at all; everything else comes back.
    let has_nan = written.windows(5).any(|text| text == b">nan<");
    if message.params.is_truthy() && !has_nan {
        assert_eq!(again, message);
    }
});
