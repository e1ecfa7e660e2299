//! Any bytes as an element: its text is canonical, and the tree gives the same text back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use masep_proto::{Element, Limits};

fuzz_target!(|bytes: &[u8]| {
    let Ok(element) = Element::decode(bytes.to_vec().into(), &Limits::default()) else {
        return;
    };
    let text = element.as_xml().clone();
    let again = Element::parse(text.clone()).expect("canonical text is well-formed");
    assert_eq!(
        again.as_xml(),
        &text,
        "canonical text is its own canonical text"
    );
    let from_tree = Element::try_from(&element.to_node()).expect("a tree that came from XML");
    assert_eq!(from_tree.as_xml(), &text, "the tree holds all of the text");
    for child in element.children() {
        let _ = (
            child.name(),
            child.text(),
            child.attributes().count(),
            child.to_value(),
        );
    }
    let _ = element.to_unicode();
});
