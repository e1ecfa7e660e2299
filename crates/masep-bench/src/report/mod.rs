//! The results, for people and for programs.

mod json;
mod table;

pub(crate) use json::json;
pub(crate) use table::table;
