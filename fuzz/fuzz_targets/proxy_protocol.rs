//! Any bytes in front of a connection: they are a header of the PROXY protocol or none, however they are cut, and what was
//! read is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use masep_proto::proxy_protocol::{MOST_BYTES, read, wanted};

fuzz_target!(|input: &[u8]| {
    let whole = read(input);
    let mut heard = 0;
    while heard <= input.len() {
        match read(&input[..heard]) {
            Ok(None) => {
                let more = wanted(&input[..heard]);
                assert!(more > 0 && heard + more <= MOST_BYTES);
                heard += more;
            }
            decided => {
                assert_eq!(decided, whole);
                break;
            }
        }
    }
    if let Ok(Some((origin, bytes))) = whole {
        assert!(bytes <= input.len() && bytes <= MOST_BYTES);
        for header in [origin.to_text(), origin.to_binary()] {
            let length = header.len();
            assert_eq!(read(&header), Ok(Some((origin, length))));
        }
    }
});
