//! Reading by words gives the same as reading by bytes.

use super::*;
use crate::xml::chars;
use crate::xml::reference::{self, TextContext};

/// Every byte at every place in three words, among bytes that do not count: what is found, and by `word`
/// only up to where a word begins.
fn finds(find: impl Fn(Words<'_>, usize) -> Option<usize>, is_wanted: impl Fn(u8) -> bool) {
    for place in 0..3 * WORD {
        for byte in 0..=u8::MAX {
            let mut bytes = [b'a'; 3 * WORD];
            bytes[place] = byte;
            for at in 0..=3 * WORD {
                let read = place >= at && at + (place - at) / WORD * WORD + WORD <= bytes.len();
                let expected = (read && is_wanted(byte)).then_some(place);
                assert_eq!(
                    find(Words(&bytes), at),
                    expected,
                    "{byte} at {place} from {at}"
                );
            }
        }
    }
}

#[test]
fn words_are_judged_as_bytes_are() {
    finds(
        |words, at| words.text_end(at),
        |byte| !chars::is_plain_text(byte),
    );
    finds(
        |words, at| words.value_end(at),
        |byte| !chars::is_plain_attribute(byte) || byte < b' ',
    );
    let letters = |words: Words<'_>, at| words.letters(at).map(|(end, _)| end);
    finds(letters, |byte| !byte.is_ascii_alphabetic());
}

#[test]
fn neighbours_do_not_disturb_each_other() {
    for left in 0..=u8::MAX {
        for right in 0..=u8::MAX {
            let bytes = [b'a', left, right, b'a', b'a', b'a', b'a', b'a'];
            let place = |is_wanted: fn(u8) -> bool| bytes.iter().position(|b| is_wanted(*b));
            let words = Words(&bytes);
            assert_eq!(words.text_end(0), place(|byte| !chars::is_plain_text(byte)));
            let letters = place(|byte| !byte.is_ascii_alphabetic());
            assert_eq!(words.letters(0).map(|(end, _)| end), letters);
        }
    }
}

#[test]
fn the_head_of_letters_is_what_they_begin_with() {
    let bytes = b"ab=\"Characteristic=\"control=\"controller=\"xxxx";
    let head = |at, head: &[u8; 8]| {
        assert_eq!(
            Words(bytes).letters(at).unwrap().1,
            u64::from_le_bytes(*head)
        );
    };
    head(0, b"ab\0\0\0\0\0\0");
    head(2, &[0; 8]);
    head(4, b"Characte");
    head(20, b"control\0");
    head(29, b"controll");
}

#[test]
fn a_repetition_is_found_by_every_length() {
    let text = b"0123456789abcdefghij";
    for length in 0..=text.len() {
        let bytes = [&text[..], &text[..length], b"................"].concat();
        assert!(Words(&bytes).repeats(0, length, text.len()), "{length}");
        assert!(
            !Words(&bytes).repeats(0, length + 1, text.len()),
            "{length}"
        );
    }
}

#[test]
fn a_sample_ends_before_two_words_do_not() {
    let bytes = b"0123456789abcdef0123456789abcdef";
    let sample = |start, length| Sample::of(Words(bytes), start, length);
    assert!(sample(0, 16).unwrap().is_at(Words(bytes), 16));
    assert!(!sample(0, 16).unwrap().is_at(Words(bytes), 15));
    assert!(!sample(0, 1).unwrap().is_at(Words(&bytes[..31]), 16));
    assert!(sample(0, 17).is_none() && sample(17, 1).is_none());
}

/// A reference that is found is one that the other way takes and calls canonical, and all that this calls
/// canonical are found.
fn check_reference(reference: &str) {
    let input = format!("{reference}</a></bcd>");
    let found = Words(input.as_bytes()).reference_end(0);
    let expected = |place| {
        let read = reference::read(input.as_bytes(), 0, place, 0).ok();
        read.filter(|read| read.canonical).map(|read| read.end)
    };
    assert_eq!(found, expected(TextContext::Text), "{reference}");
    assert!(
        found.is_none() || found == expected(TextContext::Attribute),
        "{reference}"
    );
}

#[test]
fn references_are_found_that_are_canonical() {
    for reference in [
        "&",
        "&;",
        "&#",
        "&#;",
        "&#x;",
        "&l;",
        "&lt",
        "&lt;",
        "&gt;",
        "&at;",
        "&amp;",
        "&amp",
        "&amq;",
        "&quot;",
        "&apos;",
        "&nbsp;",
        "&#x41;",
        "&#xe9;",
        "&#233",
        "&#233 ;",
        "&#23a;",
        "&#\u{663}33;",
        "&#0;",
        "&#00;",
        "&#000;",
        "&#0233;",
        "&#00233;",
        "&#1114111;",
        "&#01114111;",
        "&#1114112;",
        "&#9999999;",
        "&#11141110;",
        "&#99999999999999999999;",
        "&#-233;",
        "&#+233;",
    ] {
        check_reference(reference);
    }
}

#[test]
fn every_number_of_a_reference_is_read() {
    for number in 0..=0x11_0100 {
        check_reference(&format!("&#{number};"));
    }
}

#[test]
fn a_reference_at_the_end_is_left_alone() {
    let input = "&#233;&amp;&lt;";
    for (at, end) in [(0, Some(6)), (6, Some(11)), (11, None)] {
        assert_eq!(Words(input.as_bytes()).reference_end(at), end);
    }
    assert_eq!(Words(b"&#233;").reference_end(0), None);
}
