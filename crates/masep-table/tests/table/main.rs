//! The table with peers in memory and a clock that the test turns. The tests `case_…` are the cases that a table
//! has to have an answer to.

mod acting;
mod host;
mod joining;
mod leaving;
mod model;
mod play;
mod properties;
mod pymasep;
mod roles;
mod room;
// Messages as they are said at a gate, too.
#[path = "../../../masep-proto/tests/sayings/mod.rs"]
mod sayings;
