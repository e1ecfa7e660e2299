//! The messages in `interop/vectors/cbor.jsonl`, which masep and cbor-x have written.

use masep_proto::{Limits, Message, cbor};
use serde_json::Value as Json;

#[test]
fn what_cbor_x_writes_is_read_as_what_masep_wrote() {
    let vectors = include_str!("../../../../interop/vectors/cbor.jsonl");
    let limits = Limits::default();
    let mut foreign = 0;
    for line in vectors.lines() {
        let vector: Json = serde_json::from_str(line).expect("JSON");
        let bytes = hex::decode(vector["bytes_hex"].as_str().expect("digits")).expect("digits");
        let bytes = bytes.into();
        let (read, turn) = cbor::decode_message(&bytes, &limits).expect("a message");
        // As JSON, where NaN is equal to itself.
        assert_eq!(read.to_json().expect("shallow"), vector["message"]);
        assert_eq!(turn, None);
        if vector["writer"] == "masep" {
            let message = Message::from_json(&vector["message"], None).expect("a message");
            let written = cbor::encode_message(&message, None, &limits).expect("within the limits");
            assert_eq!(written, bytes, "{line}");
        } else {
            foreign += 1;
        }
    }
    assert!(foreign > 10, "{foreign}");
}
