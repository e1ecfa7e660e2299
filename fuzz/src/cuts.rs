//! A stream in pieces.

/// Cuts a stream into pieces, all bytes and every size from one on: which sizes, is in a number, so
/// that an input holds the stream as it is and a recorded one can be a seed.
#[derive(Debug)]
pub struct Cuts<'a> {
    rest: &'a [u8],
    state: u64,
}

impl<'a> Cuts<'a> {
    /// The pieces of `stream` that `choice` stands for; 0 is one byte at a time.
    #[must_use]
    pub const fn new(stream: &'a [u8], choice: u32) -> Self {
        Self {
            rest: stream,
            state: choice as u64,
        }
    }
}

impl<'a> Iterator for Cuts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        // Multiplying keeps 0 at 0. The high bits say how large pieces may be, so that small ones are
        // as frequent as large ones, the ones below how large this one is.
        self.state = self.state.wrapping_mul(0x5851_f42d_4c95_7f2d);
        let magnitude = 1_u64 << (self.state >> 60);
        let size = 1 + ((self.state >> 40) % magnitude) as usize;
        let (piece, rest) = self.rest.split_at(size.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}
