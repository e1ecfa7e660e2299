//! One connection, from its first byte to its last, with streams in memory and a clock that the test turns.

mod frames;
mod pair;
