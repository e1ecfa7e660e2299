//! An input that is read by words wherever a word is left.
//!
//! In front of its end, where there is none, nothing is found: then the caller takes another way, which looks
//! at each byte.

#[cfg(test)]
mod tests;

use super::{HIGH, ONES, WORD, special_in_text, suspicious, within};

/// An input that is read by words.
#[derive(Clone, Copy)]
pub(in crate::xml) struct Words<'a>(pub(in crate::xml) &'a [u8]);

// All is inlined, so that an input stays in two registers and a place is compared with one that is worked out
// once.
impl<'a> Words<'a> {
    /// The bytes that begin here, if there are so many.
    #[inline(always)]
    pub(in crate::xml) fn array<const N: usize>(self, at: usize) -> Option<&'a [u8; N]> {
        // In this form the compiler sees that the slice is in the input.
        let last = self.0.len().checked_sub(N)?;
        if at > last {
            return None;
        }
        self.0[at..at + N].first_chunk()
    }

    /// The word that begins here.
    #[inline(always)]
    pub(in crate::xml) fn word(self, at: usize) -> Option<u64> {
        self.array(at).map(|word| u64::from_le_bytes(*word))
    }

    /// The first place from `at` on that `marks` marks.
    #[inline(always)]
    fn find(self, mut at: usize, marks: impl Fn(u64) -> u64) -> Option<usize> {
        loop {
            let marked = marks(self.word(at)?);
            if marked != 0 {
                return Some(at + place(marked));
            }
            at += WORD;
        }
    }

    /// The first place from `at` on whose byte does not stand for itself in a text that ElementTree writes.
    #[inline(always)]
    pub(in crate::xml) fn text_end(self, at: usize) -> Option<usize> {
        self.find(at, special_in_text)
    }

    /// The first place from `at` on whose byte is in a value neither letter, digit nor any other sign that
    /// stands for itself: where the value ends, or is not plain, or has a control character.
    #[inline(always)]
    pub(in crate::xml) fn value_end(self, at: usize) -> Option<usize> {
        self.find(at, |word| suspicious(word) & HIGH)
    }

    /// The end of the letters of ASCII that begin at `at`, and the first eight of them, or zeros behind their
    /// end. Nearly all names are letters, which are told in fewer steps than all that a name may have.
    #[inline(always)]
    pub(in crate::xml) fn letters(self, at: usize) -> Option<(usize, u64)> {
        let word = self.word(at)?;
        let marked = not_letter(word);
        if marked == 0 {
            return Some((self.find(at + WORD, not_letter)?, word));
        }
        // All bits below the mark, which is the highest of its byte.
        let below = marked.wrapping_sub(1) & !marked;
        Some((at + place(marked), word & (below >> 7)))
    }

    /// True if so many bytes that begin at `start` come again at `at`. Of those in front of the end of the
    /// input it may say no.
    #[inline(always)]
    pub(in crate::xml) fn repeats(self, start: usize, length: usize, at: usize) -> bool {
        match Sample::of(self, start, length) {
            Some(sample) => sample.is_at(self, at),
            None => self.repeats_many(start, length, at),
        }
    }

    #[cold]
    #[inline(never)]
    fn repeats_many(self, start: usize, length: usize, at: usize) -> bool {
        self.0.get(at..at + length) == self.0.get(start..start + length)
    }

    /// The end of the reference that begins at `at`, if it is canonical wherever it stands: one of those that
    /// each text may need, or of a character beyond ASCII in decimal.
    #[inline(always)]
    pub(in crate::xml) fn reference_end(self, at: usize) -> Option<usize> {
        match self.array::<5>(at)? {
            [_, b'#', ..] => self.number_end(at + "&#".len()),
            [_, b'l' | b'g', b't', b';', _] => Some(at + "&lt;".len()),
            b"&amp;" => Some(at + "&amp;".len()),
            _ => None,
        }
    }

    /// The same for the digits of one.
    #[inline(always)]
    fn number_end(self, at: usize) -> Option<usize> {
        let word = self.word(at)?;
        let count = place((!within(word & !HIGH, b'0', b'9') | word) & HIGH);
        // No number with fewer digits is beyond ASCII, and none with more is a character.
        let is_plain = (3..=7).contains(&count)
            && (word >> (8 * count)) as u8 == b';'
            && word as u8 != b'0'
            && is_beyond_ascii(number(word << (8 * (WORD - count))));
        is_plain.then_some(at + count + ";".len())
    }
}

/// Some bytes, up to two words, to look for them again.
#[derive(Clone, Copy)]
pub(in crate::xml) struct Sample {
    words: [u64; 2],
    /// A mask of the bytes of the words that count.
    mask: [u64; 2],
}

impl Sample {
    /// None, which is everywhere.
    pub(in crate::xml) const NONE: Self = Self {
        words: [0; 2],
        mask: [0; 2],
    };

    /// The `length` bytes that begin at `start`, if they are not too many, and two words begin there.
    #[inline(always)]
    pub(in crate::xml) fn of(words: Words<'_>, start: usize, length: usize) -> Option<Self> {
        static MASKS: [[u64; 2]; 2 * WORD + 1] = masks();
        Some(Self {
            mask: *MASKS.get(length)?,
            words: two(words.array(start)?),
        })
    }

    /// True if the bytes stand at `at`. If no two words begin there, it says no.
    #[inline(always)]
    pub(in crate::xml) fn is_at(self, words: Words<'_>, at: usize) -> bool {
        let Some(found) = words.array(at).map(two) else {
            return false;
        };
        let difference = |word: usize| (self.words[word] ^ found[word]) & self.mask[word];
        difference(0) | difference(1) == 0
    }
}

#[inline(always)]
fn two(bytes: &[u8; 2 * WORD]) -> [u64; 2] {
    let both = u128::from_le_bytes(*bytes);
    [both as u64, (both >> 64) as u64]
}

/// The masks of two words of which the first bytes count, by their number.
const fn masks() -> [[u64; 2]; 2 * WORD + 1] {
    let mut masks = [[0; 2]; 2 * WORD + 1];
    let mut length = 1;
    while length < masks.len() {
        masks[length] = if length <= WORD {
            [u64::MAX >> (8 * (WORD - length)), 0]
        } else {
            [u64::MAX, u64::MAX >> (8 * (2 * WORD - length))]
        };
        length += 1;
    }
    masks
}

/// The first marked byte of a word.
#[inline(always)]
const fn place(marked: u64) -> usize {
    marked.trailing_zeros() as usize / 8
}

/// Marks the bytes that are no letters.
#[inline(always)]
const fn not_letter(word: u64) -> u64 {
    let ascii = (word & !HIGH) | (0x20 * ONES);
    (!within(ascii, b'a', b'z') | word) & HIGH
}

/// The number whose digits these are, the lowest in the highest byte, behind zeros.
#[inline(always)]
const fn number(digits: u64) -> u64 {
    let digits = digits & (0x0f * ONES);
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

/// True if this is a character that ElementTree writes as a reference.
#[inline(always)]
const fn is_beyond_ascii(number: u64) -> bool {
    matches!(number, 0x80..0xd800 | 0xe000..0x11_0000)
}
