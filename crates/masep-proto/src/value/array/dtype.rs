//! Types of the items of arrays.

use std::fmt;
use std::str::FromStr;

/// Writes the enum with its sizes and names from one table.
macro_rules! dtypes {
    ($( $variant:ident $name:literal $size:literal )*) => {
        /// The type of the items of an [`Array`](crate::Array), by numpy's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DType {
            $( #[doc = concat!("`", $name, "`.")] $variant, )*
        }

        impl DType {
            /// All there are.
            pub const ALL: &[Self] = &[$( Self::$variant ),*];

            /// Bytes of one item: 1, 2, 4 or 8.
            pub const fn size(self) -> usize {
                match self { $( Self::$variant => $size, )* }
            }

            /// numpy's name of it: `"uint8"`, ...
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }

        impl FromStr for DType {
            /// There is no such type.
            type Err = ();

            fn from_str(name: &str) -> Result<Self, ()> {
                match name { $( $name => Ok(Self::$variant), )* _ => Err(()) }
            }
        }
    };
}

dtypes! {
    Bool "bool" 1
    UInt8 "uint8" 1
    UInt16 "uint16" 2
    UInt32 "uint32" 4
    UInt64 "uint64" 8
    Int8 "int8" 1
    Int16 "int16" 2
    Int32 "int32" 4
    Int64 "int64" 8
    Float16 "float16" 2
    Float32 "float32" 4
    Float64 "float64" 8
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The float64 of a float16. A NaN keeps its sign and payload.
pub(crate) fn f16_to_f64(bits: u16) -> f64 {
    widened(bits.into(), 5, 10)
}

/// The float64 of a float32. A NaN keeps its sign and payload, which the machine's own conversion may change.
pub(crate) fn f32_to_f64(bits: u32) -> f64 {
    widened(bits.into(), 8, 23)
}

/// The float64 of a smaller float of IEEE 754, given how many bits its exponent and its mantissa have.
fn widened(bits: u64, exponent_bits: u32, mantissa_bits: u32) -> f64 {
    const MANTISSA: u32 = 52;
    const BIAS: u64 = 1_023;
    let sign = bits >> (exponent_bits + mantissa_bits) << 63;
    let most = (1 << exponent_bits) - 1;
    let exponent = bits >> mantissa_bits & most;
    let mantissa = bits & ((1 << mantissa_bits) - 1);
    let wider = mantissa << (MANTISSA - mantissa_bits);
    let bias = most / 2;
    let magnitude = if exponent == most {
        0x7ff << MANTISSA | wider
    } else if exponent != 0 {
        (exponent + BIAS - bias) << MANTISSA | wider
    } else if mantissa == 0 {
        0
    } else {
        // A number that is subnormal in the smaller type is normal in this one.
        let shift = mantissa.leading_zeros() - (63 - mantissa_bits);
        let wider = wider << shift & ((1 << MANTISSA) - 1);
        (BIAS - bias + 1 - u64::from(shift)) << MANTISSA | wider
    };
    f64::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_floats_are_widened_exactly() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65_504.0),
            (0x0400, 2f64.powi(-14)),
            (0x0001, 2f64.powi(-24)),
            (0x83ff, -1_023.0 * 2f64.powi(-24)),
            (0x7c00, f64::INFINITY),
            (0x3555, 0.333_251_953_125),
        ] {
            assert_eq!(f16_to_f64(bits), value, "{bits:#x}");
        }
        assert!(f16_to_f64(0x8000).is_sign_negative());
        assert_eq!(f16_to_f64(0xfe01).to_bits(), 0xfff8_0400_0000_0000);
        for bits in (0..=u32::MAX).step_by(65_521) {
            let value = f32::from_bits(bits);
            if value.is_nan() {
                assert!(f32_to_f64(bits).is_nan());
            } else {
                assert_eq!(f32_to_f64(bits).to_bits(), f64::from(value).to_bits());
            }
        }
        assert_eq!(f32_to_f64(0x7f80_0001).to_bits(), 0x7ff0_0000_2000_0000);
    }

    #[test]
    fn a_name_is_read_back() {
        for dtype in DType::ALL {
            assert_eq!(dtype.to_string().parse(), Ok(*dtype));
        }
        assert_eq!("float128".parse::<DType>(), Err(()));
    }
}
