use proptest::prelude::*;

use super::*;
use crate::EncodeError;
use crate::{Action, Dict, Element, Message};

fn zeros(dtype: DType, shape: &[usize], bytes: usize) -> Result<Array, ArrayError> {
    Array::new(dtype, shape, vec![0; bytes])
}

#[test]
fn the_bytes_are_those_of_type_and_shape() {
    for dtype in DType::ALL {
        let size = dtype.size();
        assert_eq!(zeros(*dtype, &[], size).unwrap().len(), 1);
        assert_eq!(zeros(*dtype, &[2, 3], 6 * size).unwrap().len(), 6);
        assert!(zeros(*dtype, &[2, 0, 3], 0).unwrap().is_empty());
        let refused = ArrayError::Length {
            expected: 6 * size,
            actual: 6 * size - 1,
        };
        assert_eq!(zeros(*dtype, &[2, 3], 6 * size - 1), Err(refused));
    }
}

#[test]
fn a_shape_that_no_memory_holds_is_refused() {
    for shape in [
        &[usize::MAX][..],
        &[usize::MAX, 2],
        &[1 << 32, 1 << 32, 0],
        &[0, usize::MAX],
        &[0, isize::MAX as usize / 8 + 1],
    ] {
        assert_eq!(
            zeros(DType::Float64, shape, 0),
            Err(ArrayError::TooLarge),
            "{shape:?}"
        );
    }
    assert!(zeros(DType::UInt8, &[0, isize::MAX as usize], 0).is_ok());
    assert!(zeros(DType::UInt8, &[1; 32], 1).is_ok());
    assert_eq!(
        zeros(DType::UInt8, &[1; 33], 1),
        Err(ArrayError::Dimensions(33))
    );
}

#[test]
fn a_bool_is_zero_or_one() {
    assert_eq!(
        Array::new(DType::Bool, [3], vec![0, 1, 2]),
        Err(ArrayError::NotBool(2))
    );
    let array = Array::new(DType::Bool, [2], vec![0, 1]).unwrap();
    assert_eq!(array.as_slice::<bool>(), Ok(&[false, true][..]));
    assert_eq!(array.to_vec::<bool>(), Ok(vec![false, true]));
}

#[test]
fn a_view_is_of_the_arrays_own_type() {
    let array = Array::from_slice(&[2], &[1i32, -2]).unwrap();
    let refused = ArrayError::DType {
        found: DType::Int32,
        asked: DType::UInt32,
    };
    assert_eq!(array.as_slice::<u32>(), Err(refused));
    assert_eq!(array.to_vec::<u32>(), Err(refused));
    assert_eq!(array.as_slice::<i32>(), Ok(&[1, -2][..]));
    assert_eq!(array.bytes(), &[1, 0, 0, 0, 254, 255, 255, 255][..]);
}

#[test]
fn bytes_that_are_not_aligned_are_copied_or_refused() {
    let bytes = Bytes::from_owner([0u8; 64]);
    let at = bytes.as_ptr().align_offset(8) + 1;
    let array = Array::new(DType::UInt64, [2], bytes.slice(at..at + 16)).unwrap();
    assert_eq!(array.as_slice::<u64>(), Err(ArrayError::Alignment));
    assert_eq!(array.to_vec::<u64>(), Ok(vec![0, 0]));
    assert_eq!(array.aligned().as_slice::<u64>(), Ok(&[0, 0][..]));
    let empty = Array::new(DType::UInt64, [0], bytes.slice(at..at)).unwrap();
    assert_eq!(empty.as_slice::<u64>(), Ok(&[][..]));
}

#[test]
fn an_iterator_gives_as_many_items_as_the_shape_has() {
    let array = Array::from_items(&[2, 2], 0u8..4).unwrap();
    assert_eq!(array.as_slice::<u8>(), Ok(&[0, 1, 2, 3][..]));
    for range in [0u8..3, 0..5, 0..255] {
        assert!(matches!(
            Array::from_items(&[2, 2], range),
            Err(ArrayError::Length { expected: 4, .. })
        ));
    }
    // One without an end ends.
    assert!(Array::from_items(&[2], std::iter::repeat(1u8)).is_err());
}

#[test]
fn what_is_shown_is_type_and_shape() {
    let value = Value::from(zeros(DType::UInt8, &[84, 84, 4], 84 * 84 * 4).unwrap());
    assert_eq!(format!("{value:?}"), "Array(uint8[84,84,4])");
    assert_eq!(
        zeros(DType::Float16, &[], 2).unwrap().to_string(),
        "float16[]"
    );
}

#[test]
fn equality_is_that_of_type_shape_and_bytes() {
    let array = |items: &[f32]| Value::from(Array::from_slice(&[items.len()], items).unwrap());
    assert_eq!(array(&[f32::NAN]), array(&[f32::NAN]));
    assert_ne!(array(&[0.0]), array(&[-0.0]));
    let shaped = |shape: &[usize]| zeros(DType::UInt8, shape, 4).unwrap();
    assert_ne!(shaped(&[4]), shaped(&[2, 2]));
    assert_ne!(shaped(&[4]), zeros(DType::Int8, &[4], 4).unwrap());
    // In sets, which compare by bytes of their own.
    let set = |shape: &[usize]| Value::Set(vec![shaped(shape).into(), 1.into()]);
    assert_eq!(set(&[4]), set(&[4]));
    assert_ne!(set(&[4]), set(&[1, 4]));
}

#[test]
fn a_list_has_a_level_for_each_dimension() {
    let list = |array: Array| array.to_list().unwrap();
    let array = Array::from_slice(&[2, 2], &[1i8, -2, 3, -4]).unwrap();
    assert_eq!(list(array), Value::from([[1, -2], [3, -4]]));
    let array = Array::from_slice(&[2, 0], &[0u16; 0]).unwrap();
    assert_eq!(list(array), Value::List(vec![Value::List(vec![]); 2]));
    let array = Array::from_slice(&[0, 2], &[0u16; 0]).unwrap();
    assert_eq!(list(array), Value::List(vec![]));
    assert_eq!(
        list(Array::from_slice(&[], &[u64::MAX]).unwrap()),
        u64::MAX.into()
    );
    assert_eq!(
        list(Array::from_slice(&[1], &[0.1f32]).unwrap()),
        [f64::from(0.1f32)].into()
    );
    assert_eq!(
        list(Array::from_slice(&[1], &[true]).unwrap()),
        [true].into()
    );
    let half = Array::new(DType::Float16, [], vec![0, 0x3c]).unwrap();
    assert_eq!(list(half), 1.0.into());
    // A shape can name more lists than there are bytes.
    assert!(
        zeros(DType::UInt8, &[1 << 40, 0], 0)
            .unwrap()
            .to_list()
            .is_err()
    );
    assert!(
        zeros(DType::UInt8, &[50_000], 50_000)
            .unwrap()
            .to_list()
            .is_err()
    );
}

#[test]
fn pymaseps_protocol_refuses_it_where_it_stands() {
    let array = zeros(DType::UInt8, &[84, 84, 4], 84 * 84 * 4).unwrap();
    let refused = |path: &str| {
        Err(EncodeError::Array {
            path: path.into(),
            array: "uint8[84,84,4]".into(),
        })
    };
    let params = Dict::from([(
        "observation",
        Value::from(Dict::from([("a b", (1, vec![Value::None, array.into()]))])),
    )]);
    let message = Message::new("observation", params, "e");
    let path = "params.observation[\"a b\"][1][1]";
    assert_eq!(message.to_bytes(), refused(path).map(|()| Bytes::new()));
    assert_eq!(message.to_element().map(|_| ()), refused(path));
    assert_eq!(message.to_frame().map(|_| ()), refused(path));
    let text = message.to_bytes().unwrap_err().to_string();
    assert!(text.contains("uint8[84,84,4]") && text.contains("tolist") && text.contains("masep"));
    // A printed message has a sign of the array in its place.
    assert!(
        message
            .to_string()
            .contains("<ndarray dtype=\"uint8\" shape=\"84,84,4\" />")
    );
}

#[test]
fn so_it_does_in_an_element_that_was_made_of_it() {
    let array = zeros(DType::Bool, &[1], 1).unwrap();
    let in_action = Value::from(Action::new(1).with("mask", array.clone()));
    let spelled = Value::from(Value::from(vec![array.clone()]).to_element());
    let list = crate::CircularHeadList::new(vec![array.into()]);
    let list = Value::from(Element::from(&list));
    for value in [in_action, spelled, list] {
        let message = Message::action("i", Value::from(vec![value]));
        let Err(EncodeError::Array { path, .. }) = message.to_bytes() else {
            panic!("sent without the array");
        };
        assert_eq!(path, "params.action[0]");
    }
}

proptest! {
    #[test]
    fn items_go_in_and_come_out(items: Vec<u64>, floats: Vec<f32>) {
        let array = Array::from_slice(&[items.len()], &items).unwrap();
        prop_assert_eq!(array.to_vec::<u64>().unwrap(), &items[..]);
        prop_assert_eq!(array.as_slice::<u64>().unwrap(), &items[..]);
        let array = Array::from_items(&[1, floats.len()], floats.iter().copied()).unwrap();
        let bits = |floats: &[f32]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(array.as_slice().unwrap()), bits(&floats));
        prop_assert_eq!(bits(&array.to_vec().unwrap()), bits(&floats));
    }
}

#[test]
fn float16_is_seen_by_its_bits() {
    let array = Array::from_float16_bits(&[2], vec![0x3c00, 0x8000]).unwrap();
    assert_eq!(array.dtype(), DType::Float16);
    assert_eq!(array.float16_bits(), Ok(&[0x3c00, 0x8000][..]));
    assert_eq!(array.bytes(), &[0, 0x3c, 0, 0x80][..]);
    assert!(array.as_slice::<u16>().is_err());
    assert!(
        Array::from_slice(&[1], &[1u16])
            .unwrap()
            .float16_bits()
            .is_err()
    );
}

#[cfg(feature = "ndarray")]
#[test]
fn an_array_of_ndarray_is_taken_in_its_order() {
    let array = ndarray::array![[1u8, 2, 3], [4, 5, 6]];
    let ours = Array::from_ndarray(&array).unwrap();
    assert_eq!(ours.as_ndarray::<u8>().unwrap(), array.view().into_dyn());
    let transposed = Array::from_ndarray(&array.t()).unwrap();
    assert_eq!(transposed.shape(), [3, 2]);
    assert_eq!(transposed.as_slice::<u8>(), Ok(&[1, 4, 2, 5, 3, 6][..]));
    assert!(ours.as_ndarray::<i8>().is_err());
}
