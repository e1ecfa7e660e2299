//! The first bytes of a connection, in pymasep's frames.
//!
//! The client says the hello `masep/2`, a `BYE` and an empty frame, and its first frame of protocol 2 in the same
//! write. To a server of pymasep's protocol that is a client which comes and goes. The server of protocol 2 answers
//! with the same hello and zeros.

/// The first bytes of a client: 16.
pub const CLIENT: &[u8] = b"\x07\0masep/2\x03\0BYE\0\0";
/// The first bytes of a server: 16.
pub const SERVER: &[u8] = b"\x07\0masep/2\0\0\0\0\0\0\0";
/// The bytes behind a client's hello.
const BEHIND: &[u8] = b"\x03\0BYE\0\0";

const NAME: &str = "masep/";
const HEADER: usize = crate::FrameCodec::HEADER_BYTES;

/// The generation that a hello asks for, if it is no id: `masep/` and digits. One that is too large for the number is
/// that.
///
/// ```
/// use masep_proto::protocol2::preamble::generation;
/// assert_eq!(generation("masep/2"), Some(2));
/// assert_eq!(generation("masep/100000"), Some(u16::MAX));
/// assert_eq!(generation("masep/"), None);
/// assert_eq!(generation("masep/2b"), None);
/// ```
pub fn generation(hello: &str) -> Option<u16> {
    let digits = hello.strip_prefix(NAME)?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u16::MAX))
}

/// The meaning of a peer's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// A part of a hello, which may be an id.
    Undecided,
    /// A hello of masep's, behind which more is to come.
    Partial,
    /// A whole hello that is an id: this peer speaks pymasep's protocol.
    Id,
    /// A preamble of this generation, of so many bytes.
    Preamble { generation: u16, bytes: usize },
    /// A hello of masep's, and behind it what does not belong there.
    Bad,
}

/// The hello at the beginning of these bytes, if it asks for a generation, and the bytes of it.
fn hello(bytes: &[u8]) -> Option<(u16, usize)> {
    let (length, rest) = bytes.split_first_chunk::<HEADER>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let hello = std::str::from_utf8(rest.get(..length)?).ok()?;
    Some((generation(hello)?, HEADER + length))
}

/// True if a whole hello is there.
fn is_hello_whole(bytes: &[u8]) -> bool {
    crate::FrameCodec::claimed_bytes(bytes).is_some_and(|whole| whole <= bytes.len())
}

fn first(bytes: &[u8], behind: &[u8]) -> First {
    let Some((generation, hello)) = hello(bytes) else {
        return if is_hello_whole(bytes) {
            First::Id
        } else {
            First::Undecided
        };
    };
    let found = &bytes[hello..];
    let length = found.len().min(behind.len());
    if found[..length] != behind[..length] {
        First::Bad
    } else if length < behind.len() {
        First::Partial
    } else {
        let bytes = hello + behind.len();
        First::Preamble { generation, bytes }
    }
}

/// The first bytes of a client.
pub(crate) fn of_client(bytes: &[u8]) -> First {
    first(bytes, BEHIND)
}

/// The first bytes of a server, which has a generation of one digit as long as there are no others.
pub(crate) fn of_server(bytes: &[u8]) -> First {
    first(bytes, &[0; 7])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_are_told_apart_however_few_there_are() {
        let preamble = |generation, bytes| First::Preamble { generation, bytes };
        for length in 0..CLIENT.len() {
            let expected = if length < 9 {
                First::Undecided
            } else {
                First::Partial
            };
            assert_eq!(of_client(&CLIENT[..length]), expected);
            assert_eq!(of_server(&SERVER[..length]), expected);
        }
        assert_eq!(of_client(CLIENT), preamble(2, 16));
        assert_eq!(of_server(SERVER), preamble(2, 16));
        let later = b"\x08\0masep/10\x03\0BYE\0\0rest";
        assert_eq!(of_client(later), preamble(10, 17));
        for id in [&b"\x05\0agent"[..], b"\0\0", b"\x06\0masep/", b"\x01\0\xff"] {
            assert_eq!(of_client(id), First::Id, "{id:?}");
        }
        assert_eq!(of_client(b"\x07\0masep/2\x03\0bye"), First::Bad);
        assert_eq!(of_server(b"\x07\0masep/2\x03\0BYE"), First::Bad);
    }
}
