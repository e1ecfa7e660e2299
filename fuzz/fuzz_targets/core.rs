//! Any sequence of calls on the state machine of a connection, with what a stream may give and take.
#![no_main]

#[path = "../../crates/masep-proto/tests/protocol/connection/calls.rs"]
mod calls;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    calls::play(&mut |bound| input.int_in_range(0..=bound - 1).unwrap_or(0));
});
