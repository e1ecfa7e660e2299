//! One connection, from its first byte to its last, with streams in memory and a clock that the test turns.

mod accepted;
mod agreement;
mod budget;
mod calls;
mod deadlines;
mod early;
mod ends;
mod frames;
mod gathering;
mod handed_over;
mod handler;
mod hello;
mod layer;
mod names;
mod pair;
mod pieces;
mod profile;
mod properties;
mod protocol2;
mod queues;
mod rates;
mod single;
mod write_pattern;
