//! `Value`s, `Element`s and `Message`s as the XML that Python's ElementTree writes, and back.

mod chars;
mod encode;
mod escape;
mod repr;

pub(crate) use encode::{Encoded, Encoder, encode_message, encode_value};
