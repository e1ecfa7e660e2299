//! Heads of data items, as they are written.

/// The kind of a data item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Major {
    Unsigned = 0,
    Negative = 1,
    Bytes = 2,
    Text = 3,
    Array = 4,
    Map = 5,
    Tag = 6,
    Simple = 7,
}

impl Major {
    pub(super) const fn of(byte: u8) -> Self {
        match byte >> 5 {
            0 => Self::Unsigned,
            1 => Self::Negative,
            2 => Self::Bytes,
            3 => Self::Text,
            4 => Self::Array,
            5 => Self::Map,
            6 => Self::Tag,
            _ => Self::Simple,
        }
    }
}

/// The most bytes that a head has.
pub(super) const MOST: usize = 9;

/// All widths of heads in bytes, from the narrowest on.
pub(super) const WIDTHS: [usize; 5] = [1, 2, 3, 5, MOST];

/// The number of bytes of the narrowest head with this argument.
pub(super) const fn width(argument: u64) -> usize {
    match argument {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

/// Writes the narrowest head.
#[inline]
pub(super) fn push(output: &mut Vec<u8>, major: Major, argument: u64) {
    if argument < 24 {
        output.push((major as u8) << 5 | argument.to_le_bytes()[0]);
    } else {
        push_wide(output, major, argument, width(argument));
    }
}

/// Writes a head of this width, which has room for the argument.
pub(super) fn push_wide(output: &mut Vec<u8>, major: Major, argument: u64, width: usize) {
    let first = (major as u8) << 5;
    let bytes = argument.to_be_bytes();
    match width {
        1 => output.push(first | bytes[7]),
        2 => output.extend_from_slice(&[first | 24, bytes[7]]),
        3 => output.extend_from_slice(&[first | 25, bytes[6], bytes[7]]),
        5 => output.extend_from_slice(&[first | 26, bytes[4], bytes[5], bytes[6], bytes[7]]),
        _ => {
            let [a, b, c, d, e, f, g, h] = bytes;
            output.extend_from_slice(&[first | 27, a, b, c, d, e, f, g, h]);
        }
    }
}
