//! CBOR of those who mean ill: refused with the error that says what it is, in little memory and time.

use allocation_counter::measure;
use bytes::Bytes;
use masep_proto::cbor::{decode_message, decode_value};
use masep_proto::{DecodeError, Limits, Value};

use crate::wire::bytes;

fn value(input: &Bytes) -> Result<Value, DecodeError> {
    decode_value(input, &Limits::default())
}

fn check(error: &DecodeError, name: &str, offset: usize, input: &str) {
    let text = error.to_string();
    assert_eq!(
        (error.kind.name(), error.position.offset),
        (name, offset),
        "{input}: {text}"
    );
    assert!(text.len() < 300, "{text}");
    assert!(text.contains(&format!("(byte {offset})")), "{text}");
}

#[test]
fn bad_values_have_their_errors() {
    for (input, name, offset) in [
        ("", "truncated", 0),
        ("18", "truncated", 0),
        ("1b00000000", "truncated", 0),
        ("1c", "cbor", 0),
        ("5f 4101 ff", "cbor", 0),
        ("7f 6161 ff", "cbor", 0),
        ("9f 01 ff", "cbor", 0),
        ("bf ff", "cbor", 0),
        ("ff", "cbor", 0),
        ("f818", "cbor", 0),
        ("f820", "unexpected_item", 0),
        ("e0", "unexpected_item", 0),
        ("f7", "unexpected_item", 0),
        ("82 01", "truncated", 0),
        ("01 01", "cbor", 1),
        ("81 62c328", "cbor", 2),
        ("63 6161", "truncated", 0),
        // Keys.
        ("a1 01 02", "unexpected_item", 1),
        ("a1 4161 02", "unexpected_item", 1),
        ("81 a2 6161 01 6161 02", "duplicate_key", 1),
        // Claims.
        ("9b ffffffffffffffff", "truncated", 0),
        ("9a ffffffff 01", "truncated", 0),
        ("bb 8000000000000000 6161", "truncated", 0),
        ("5b ffffffffffffffff 00", "truncated", 0),
        ("7a ffffffff 00", "truncated", 0),
        // Tags.
        ("c0 6161", "unknown_tag", 0),
        ("d9d9f7 01", "unknown_tag", 0),
        ("d81c 01", "unknown_tag", 0),
        ("c2 c2 4101", "unexpected_item", 1),
        ("c2 01", "unexpected_item", 1),
        ("d90102 d90102 80", "unexpected_item", 3),
        ("d99b33 d99b33 80", "unexpected_item", 3),
        ("d99b33 01", "unexpected_item", 3),
        ("d99b34 4161", "unexpected_item", 3),
        ("d99b34 d99b34 6161", "unexpected_item", 3),
        ("d90102 81 80", "unhashable", 0),
        // Elements.
        ("d99b35 633c613e", "truncated", 7),
        ("d99b35 6161", "syntax", 4),
        ("d99b35 80", "unexpected_item", 3),
        ("d99b35 82 643c612f3e 01", "unexpected_item", 9),
        ("d99b35 d99b35 643c612f3e", "unexpected_item", 3),
        // Arrays.
        ("d828 82 81 02 d840 4101", "invalid_array", 0),
        ("d828 82 80 d840 40", "invalid_array", 0),
        ("d828 81 81 02", "unexpected_item", 2),
        ("d828 82 81 20 d840 4101", "unexpected_item", 4),
        ("d828 82 81 01 4101", "unexpected_item", 5),
        ("d828 82 81 01 d828 82 81 01 d840 4101", "unknown_tag", 5),
        ("d828 82 81 01 d857 40", "unknown_tag", 5),
        ("d828 82 81 01 d84c 4101", "unknown_tag", 5),
        ("d828 82 81 01 81 01", "unexpected_item", 5),
        ("d828 82 81 01 d99b36 4101", "unexpected_item", 8),
        ("d828 82 81 01 d99b36 d848 4101", "unknown_tag", 8),
        ("d828 82 81 01 d99b36 d840 4102", "invalid_array", 0),
        (
            "d828 82 82 1b8000000000000000 02 d840 40",
            "invalid_array",
            0,
        ),
        (
            "d828 82 83 1b0000000100000000 1b0000000100000000 00 d840 40",
            "invalid_array",
            0,
        ),
        (
            "d828 82 82 1bffffffffffffffff 00 d847 40",
            "invalid_array",
            0,
        ),
        ("d845 43 010203", "invalid_array", 0),
        ("d840 01", "unexpected_item", 2),
    ] {
        let error = value(&bytes(input)).expect_err(input);
        check(&error, name, offset, input);
    }
    let many = format!("d828 82 9821 {} d840 4101", "01".repeat(33));
    check(
        &value(&bytes(&many)).unwrap_err(),
        "invalid_array",
        3,
        &many,
    );
}

#[test]
fn bad_messages_have_their_errors() {
    for (input, name, offset) in [
        ("80", "unexpected_item", 0),
        ("a0", "missing_field", 0),
        ("a1 6474797065 6161", "missing_field", 0),
        ("a1 63737263 6161", "missing_field", 0),
        ("a1 6474797065 01", "unexpected_item", 6),
        ("a2 6474797065 6161 6474797065 6161", "duplicate_key", 8),
        ("a2 6178 01 6178 01", "duplicate_key", 4),
        ("a1 01 01", "unexpected_item", 1),
        ("a1 66706172616d73 01", "params_not_dict", 8),
        ("a1 66706172616d73 80", "params_not_dict", 8),
        ("a1 647475726e f6", "unexpected_item", 6),
        // A skipped item has to be CBOR all the same.
        ("a1 6178 9f ff", "cbor", 3),
        ("a1 6178 61ff", "cbor", 4),
        ("a1 6178 9affffffff", "truncated", 3),
        ("a1 6178 1c", "cbor", 3),
    ] {
        let error = decode_message(&bytes(input), &Limits::default()).expect_err(input);
        check(&error, name, offset, input);
    }
}

#[test]
fn no_memory_is_taken_for_what_is_claimed() {
    for input in [
        "9b00000000ffffffff",
        "bb00000000ffffffff",
        "5b00000000ffffffff",
        "7b00000000ffffffff",
        "d828 82 82 1b0000000100000000 1a00ffffff d840 40",
        "d828 82 9bffffffffffffffff",
        "d90102 9b00000000ffffffff",
        "d99b33 9b00000000ffffffff",
    ] {
        let input = bytes(input);
        let taken = measure(|| assert!(value(&input).is_err()));
        assert!(taken.bytes_max < 1_000, "{} bytes", taken.bytes_max);
    }
}

#[test]
fn depth_takes_neither_stack_nor_much_memory() {
    let size = 1 << 20;
    for nested in [
        &[0x81][..],
        &[0xa1, 0x60],
        &[0xd9, 0x9b, 0x33, 0x81],
        &[0xc2],
        &[0xd8, 0x28, 0x82],
    ] {
        let input = Bytes::from(nested.repeat(size / nested.len()));
        let taken = measure(|| {
            let name = value(&input).unwrap_err().kind.name();
            assert!(["limit", "unexpected_item"].contains(&name), "{name}");
        });
        assert!(taken.bytes_max < 200_000, "{} bytes", taken.bytes_max);
        // Under a key that nobody knows it is skipped.
        let message = Bytes::from([&[0xa1, 0x61, b'x'][..], &input].concat());
        let limits = Limits::default()
            .message_bytes(usize::MAX)
            .nodes(usize::MAX);
        let taken = measure(|| assert!(decode_message(&message, &limits).is_err()));
        assert!(taken.bytes_max < 10_000, "{} bytes", taken.bytes_max);
    }
}

#[test]
fn many_small_items_are_bounded_by_their_number() {
    for item in [
        &[0xf6][..],
        &[0x80],
        &[0xa0],
        &[0xd9, 0x9b, 0x33, 0x80],
        &[0xd8, 0x40, 0x40],
    ] {
        let count = 200_000usize;
        let mut input = vec![0x9a];
        input.extend(u32::try_from(count).unwrap().to_be_bytes());
        input.extend(item.repeat(count));
        let input = Bytes::from(input);
        let taken = measure(|| assert_eq!(value(&input).unwrap_err().kind.name(), "limit"));
        assert!(taken.bytes_max < 100_000 * 170, "{} bytes", taken.bytes_max);
    }
}

#[test]
fn large_bignums_are_refused_before_they_are_converted() {
    let mut input = vec![0xc2, 0x5a, 0, 0x0f, 0, 0];
    input.resize(6 + 0x000f_0000, 0xff);
    let input = Bytes::from(input);
    let taken = measure(|| assert_eq!(value(&input).unwrap_err().kind.name(), "limit"));
    assert!(taken.bytes_max < 1_000, "{} bytes", taken.bytes_max);
}

#[test]
fn every_end_that_comes_too_soon_is_told() {
    let whole = bytes(
        "a3 6474797065 6161 63737263 6162 66706172616d73 a4 6161 d99b33 82 01 c2420102 6162 d90102 81 f5 \
         6163 d828 82 81 02 d845 44 01000200 6164 d99b35 82 643c612f3e 6174",
    );
    let limits = Limits::default();
    assert!(decode_message(&whole, &limits).is_ok());
    for end in 0..whole.len() {
        let error = decode_message(&whole.slice(..end), &limits).unwrap_err();
        assert_eq!(error.kind.name(), "truncated", "{end}");
        assert!(error.position.offset <= end);
    }
}
