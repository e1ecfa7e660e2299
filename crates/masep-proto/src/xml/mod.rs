//! `Value`s, `Element`s and `Message`s as the XML that Python's ElementTree writes, and back.
//!
//! Reading goes in layers: [`document`] makes text of the input, [`scanner`] finds the tags and
//! texts in it, [`reader`] slices values and elements out of it, [`decode`] makes Python values of
//! them; [`rewrite`] is for elements that are not written as ElementTree writes them, [`tree`] for whoever
//! wants to look inside. Writing is [`encode`], and [`tree`] for trees.

mod chars;
mod cursor;
mod declaration;
mod decode;
mod document;
mod encode;
mod escape;
mod fault;
mod names;
mod namespaces;
mod prefixes;
mod reader;
mod reference;
mod repr;
mod rewrite;
mod scanner;
mod tree;
mod view;
mod words;

pub(crate) use chars::is_name;
pub(crate) use decode::{decode_action, decode_element, decode_message, decode_value};
pub(crate) use encode::{
    Encoded, Encoder, SHORTEST_ELEMENT, encode_checked_element, encode_message,
    encode_message_element, encode_value,
};
pub(crate) use escape::{push_attribute, push_text};
pub(crate) use namespaces::XMLNS as XMLNS_NAMESPACE;
pub(crate) use tree::{write as encode_node, write_plain as encode_plain_node};
pub(crate) use view::{
    attribute, attributes, children, has_attribute, text, to_node, to_unicode, with_attribute,
};
