//! Arrays: RFC 8746.

use super::head::{self, Major, WIDTHS, width};
use super::tag;
use crate::{Array, DType};

/// The bytes of an array begin at a multiple of this from the first byte of all.
const ALIGNMENT: usize = 8;

/// Tags of typed arrays: `0b010_f_s_e_ll`, with f for floats, s for signed ints, e for little endian, and ll for the size.
const FIRST: u64 = 64;
const LAST: u64 = 87;
const LITTLE_ENDIAN: u64 = 0b100;

/// The type of the items of a typed array by its tag, and whether they are little endian.
pub(super) fn dtype(tag: u64) -> Option<(DType, bool)> {
    let dtype = match tag {
        // 68 is uint8 too, which was clamped on its way.
        64 | 68 => DType::UInt8,
        65 | 69 => DType::UInt16,
        66 | 70 => DType::UInt32,
        67 | 71 => DType::UInt64,
        72 => DType::Int8,
        73 | 77 => DType::Int16,
        74 | 78 => DType::Int32,
        75 | 79 => DType::Int64,
        80 | 84 => DType::Float16,
        81 | 85 => DType::Float32,
        82 | 86 => DType::Float64,
        _ => return None,
    };
    Some((dtype, tag & LITTLE_ENDIAN != 0 || dtype.size() == 1))
}

/// True if a tag is one of a typed array, also of a type that is not supported here.
pub(super) const fn is_typed_array(tag: u64) -> bool {
    FIRST <= tag && tag <= LAST
}

/// The tag of a typed array that is written.
const fn typed_array(dtype: DType) -> u64 {
    match dtype {
        DType::Bool | DType::UInt8 => 64,
        DType::UInt16 => 69,
        DType::UInt32 => 70,
        DType::UInt64 => 71,
        DType::Int8 => 72,
        DType::Int16 => 77,
        DType::Int32 => 78,
        DType::Int64 => 79,
        DType::Float16 => 84,
        DType::Float32 => 85,
        DType::Float64 => 86,
    }
}

/// The number of items that the array takes: its tags, the two arrays, lengths, and the bytes.
pub(super) fn nodes(array: &Array) -> usize {
    let tags = if array.dtype() == DType::Bool { 3 } else { 2 };
    tags + 3 + array.shape().len()
}

/// Writes an array behind what is there, and behind so many bytes that are elsewhere, the first of which is the first of
/// all. But for its items, if they stay where they are.
pub(super) fn push(output: &mut Vec<u8>, elsewhere: usize, array: &Array, stays: bool) {
    let lengths = array.shape().iter().map(|length| *length as u64);
    let dimensions = array.shape().len() as u64;
    let bytes = array.bytes();
    let is_bool = array.dtype() == DType::Bool;
    let tags = width(tag::ARRAY)
        + width(typed_array(array.dtype()))
        + if is_bool { width(tag::BOOL) } else { 0 };
    let shape: usize = lengths.clone().map(width).sum();
    let widths = widths(
        output.len() + elsewhere + tags + shape,
        [bytes.len() as u64, dimensions, 2],
    );
    head::push(output, Major::Tag, tag::ARRAY);
    head::push_wide(output, Major::Array, 2, widths[2]);
    head::push_wide(output, Major::Array, dimensions, widths[1]);
    lengths.for_each(|length| head::push(output, Major::Unsigned, length));
    if is_bool {
        head::push(output, Major::Tag, tag::BOOL);
    }
    head::push(output, Major::Tag, typed_array(array.dtype()));
    head::push_wide(output, Major::Bytes, bytes.len() as u64, widths[0]);
    debug_assert!(
        (output.len() + elsewhere).is_multiple_of(ALIGNMENT) || u32::try_from(bytes.len()).is_err()
    );
    if !stays {
        output.extend_from_slice(bytes);
    }
}

/// The widths of the heads with these arguments for which the bytes behind them, and behind this many others, are
/// aligned: in as few bytes as can be, the first ones being widened before the others. Three heads, of which two
/// have small arguments and one is below 4 GiB, can be of every length that this takes.
fn widths(others: usize, arguments: [u64; 3]) -> [usize; 3] {
    let least = arguments.map(width);
    let narrowest: usize = least.iter().sum();
    let fewest = (others + narrowest).next_multiple_of(ALIGNMENT) - others;
    let choices = |index: usize| {
        WIDTHS
            .into_iter()
            .filter(move |width| *width >= least[index])
    };
    for third in choices(2) {
        for second in choices(1) {
            let first = fewest.checked_sub(third + second);
            if let Some(first) = first.filter(|it| *it >= least[0] && WIDTHS.contains(it)) {
                return [first, second, third];
            }
        }
    }
    more_widths(others, least)
}

/// The same where it takes more bytes than the fewest with which the others would be aligned.
#[cold]
fn more_widths(others: usize, least: [usize; 3]) -> [usize; 3] {
    let choices = |index: usize| {
        WIDTHS
            .into_iter()
            .filter(move |width| *width >= least[index])
    };
    let mut best = None;
    for third in choices(2) {
        for second in choices(1) {
            for first in choices(0) {
                let size = first + second + third;
                let is_aligned = (others + size).is_multiple_of(ALIGNMENT);
                if is_aligned && best.is_none_or(|(smallest, _)| size < smallest) {
                    best = Some((size, [first, second, third]));
                }
            }
        }
    }
    best.map_or(least, |(_, widths)| widths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_aligned_wherever_it_begins() {
        for begin in 0..16 {
            for bytes in [0, 1, 23, 24, 255, 256, 65_535, 65_536, 1 << 20] {
                for dimensions in [0, 1, 2, 5, 23, 24, 32] {
                    let mut shape = vec![1; dimensions];
                    if dimensions > 0 {
                        shape[dimensions / 2] = bytes;
                    } else if bytes != 1 {
                        continue;
                    }
                    for dtype in [DType::UInt8, DType::Bool] {
                        let array = Array::new(dtype, shape.clone(), vec![0; bytes]).unwrap();
                        let mut output = vec![0; begin];
                        push(&mut output, 0, &array, false);
                        assert_eq!((output.len() - bytes) % ALIGNMENT, 0);
                        let heads = output.len() - bytes - begin;
                        assert!(heads < 8 + 8 + 10 + dimensions * 5, "{heads}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_type_has_the_tag_that_it_is_read_by() {
        for dtype in DType::ALL {
            let read = dtype_of(*dtype);
            assert_eq!(read, (*dtype, true));
        }
    }

    fn dtype_of(written: DType) -> (DType, bool) {
        let (read, little_endian) = dtype(typed_array(written)).unwrap();
        let bool_or = if written == DType::Bool {
            written
        } else {
            read
        };
        (bool_or, little_endian)
    }
}
