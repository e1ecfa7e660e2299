//! The checks that several fuzz targets share.

mod check;
mod connection;
mod cuts;
mod memory;

pub use check::{
    check_cbor_error, check_element, check_error, check_json, check_limits, check_message,
    check_message_of_cbor, has_nan, tight,
};
pub use connection::{Act, Policy, Recorder, Side};
pub use cuts::Cuts;
pub use memory::Memory;
