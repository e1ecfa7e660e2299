//! Any sequence of events and calls of the host on a table, with all kinds of peers: the model of the tests holds.
#![no_main]

#[path = "../../crates/masep-table/tests/table/model.rs"]
mod model;
#[path = "../../crates/masep-table/tests/table/play.rs"]
mod play;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    let mut choose = |bound: usize| input.int_in_range(0..=bound.max(1) - 1).unwrap_or(0);
    play::play(400, &mut choose);
});
