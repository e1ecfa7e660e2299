//! Any messages of clients at a gate, behind which the pymasep engine must live; and any bytes as one message.
#![no_main]

#[path = "../../crates/masep-proto/tests/protocol/gate/engine.rs"]
mod engine;
#[path = "../../crates/masep-proto/tests/protocol/gate/play.rs"]
mod play;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use masep_proto::gate::{Gate, Rules, Verdict};
use masep_proto::protocol2::Hello;
use masep_proto::{Dict, Frame, FrameKind, Message, PeerId, Role, TypeName, Value};

/// An actor that is asked says these bytes.
fn say(bytes: &[u8], kind: FrameKind) {
    let game = TypeName::from(engine::GAME);
    let mut gate = Gate::new(Rules::new(game.clone()));
    let mut engine = engine::Engine::default();
    let mut actor = gate
        .enter(&Hello::new(PeerId::from("a"), 0), None)
        .expect("an id");
    let begin = [
        Message::define("a", game),
        Message::register("a", "a", 0, Role::Actor),
    ];
    let begin = begin.map(|it| it.to_frame().expect("a message"));
    let said = Frame::of(kind, bytes.to_vec());
    for frame in begin.iter().chain([&said]) {
        if let Verdict::Forward(bytes) = gate.from_client(&mut actor, frame) {
            engine.read("a", &bytes).expect("it lives");
        }
        let shown = Message::observation("e", Value::None, Dict::new());
        gate.from_engine(&mut actor, &shown.to_frame().expect("a message"));
    }
}

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((0, bytes)) => say(bytes, FrameKind::Xml),
        Some((1, bytes)) => say(bytes, FrameKind::Cbor),
        _ => {
            let mut input = Unstructured::new(input);
            let mut choose = |bound: usize| input.int_in_range(0..=bound.max(1) - 1).unwrap_or(0);
            play::play(200, &mut choose);
        }
    }
});
