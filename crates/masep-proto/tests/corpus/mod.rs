//! Bad inputs, made by code and the same in every run: what a peer sends who means harm, or who has
//! lost its mind. The crate `masep` throws the same ones at a live server.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    missing_docs,
    reason = "each test file uses its own part"
)]

mod damage;
mod encodings;
mod xml;

pub use damage::{Random, damaged, hellos, streams};
pub use encodings::encodings;
pub use xml::bombs;

/// A body of a frame, or of a file, that should be a message.
#[derive(Debug)]
pub struct Input {
    /// The kind of input, and its size.
    pub name: String,
    pub bytes: Vec<u8>,
    /// The names of the errors of which one has to come; [`TAKEN`] if it is a message after all.
    pub outcomes: &'static [&'static str],
}

/// The outcome of an input that is a message, if a strange one: it costs in proportion to its size.
pub const TAKEN: &str = "taken";

impl Input {
    pub fn new(
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
        outcomes: &'static [&'static str],
    ) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
            outcomes,
        }
    }
}

/// All of them that fit into a frame.
pub fn frames() -> Vec<Input> {
    let mut inputs = Vec::new();
    for size in [300, 3_000, 30_000, 65_535] {
        inputs.extend(bombs(size));
    }
    inputs.extend(encodings());
    inputs.extend(damaged(3_000));
    inputs.retain(|input| input.bytes.len() <= 65_535);
    inputs
}

/// A message with this as its one parameter.
pub fn around(value: &str) -> String {
    let (before, after) = AROUND;
    format!("{before}{value}{after}")
}

const AROUND: (&str, &str) = (
    "<Message msg_type=\"observation\" src_sub_app=\"x\"><dict><item key=\"k\">",
    "</item></dict></Message>",
);

/// Bytes that [`around`] adds.
pub const FRAME_OF: usize = AROUND.0.len() + AROUND.1.len();
