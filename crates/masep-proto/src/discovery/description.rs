//! The second question of the search, which only masep's servers answer: what is played there, and whether there is room.
//!
//! The question has as many bytes as the longest answer, so that nobody can be flooded by answers to questions in his name.

use std::net::SocketAddrV4;

use super::{Ignored, usable};
use crate::cbor::map::{self, Bounds, MapWriter};

/// The length of the question, and the longest answer, in bytes.
pub const DESCRIPTION_BYTES: usize = 512;

/// The question for descriptions: `masep server?` and spaces.
pub const DESCRIPTION_QUESTION: &[u8; DESCRIPTION_BYTES] = &question();

/// The longest id, and the longest name of a game, that an answer has, in bytes: longer ones are left out.
const MOST_NAME: usize = 200;

const BOUNDS: Bounds = Bounds {
    items: 64,
    text_bytes: DESCRIPTION_BYTES,
    levels: DESCRIPTION_BYTES,
};

/// The things that a server of masep tells of itself in the search. Anybody can say anything, and texts may hold anything:
/// escape them before they reach a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Description {
    /// The server's id. One of more than 200 bytes is not told.
    pub id: Option<String>,
    /// The game, a dotted name. One of more than 200 bytes is not told.
    pub game: Option<String>,
    /// The number of seats, where the server has some.
    pub seats: Option<u64>,
    /// The number of those that nobody has.
    pub free: Option<u64>,
}

const fn question() -> [u8; DESCRIPTION_BYTES] {
    let words = b"masep server?";
    let mut question = [b' '; DESCRIPTION_BYTES];
    let mut at = 0;
    while at < words.len() {
        question[at] = words[at];
        at += 1;
    }
    question
}

impl Description {
    /// The answer of the server at this address: a map in CBOR of at most 512 bytes.
    pub fn to_datagram(&self, at: SocketAddrV4) -> Vec<u8> {
        let mut map = MapWriter::new();
        map.text("at", &at.to_string());
        for (key, name) in [("id", &self.id), ("game", &self.game)] {
            if let Some(name) = name.as_ref().filter(|name| name.len() <= MOST_NAME) {
                map.text(key, name);
            }
        }
        for (key, number) in [("seats", self.seats), ("free", self.free)] {
            if let Some(number) = number {
                map.number(key, number);
            }
        }
        map.finish()
    }
}

/// Reads an answer to the [question for descriptions](DESCRIPTION_QUESTION): the server's address by its own word, and the
/// rest. Other keys are passed over.
///
/// # Errors
/// [`Ignored::NotADescription`] or [`Ignored::UnusableAddress`].
pub fn parse_description(datagram: &[u8]) -> Result<(SocketAddrV4, Description), Ignored> {
    let mut description = Description::default();
    let mut at = None;
    if datagram.len() > DESCRIPTION_BYTES {
        return Err(Ignored::NotADescription);
    }
    let read = map::read(datagram, BOUNDS, |key, field| {
        let most = DESCRIPTION_BYTES;
        match key {
            "at" => at = Some(field.text(most)?),
            "id" => description.id = Some(field.text(most)?.to_string()),
            "game" => description.game = Some(field.text(most)?.to_string()),
            "seats" => description.seats = Some(field.number()?),
            "free" => description.free = Some(field.number()?),
            _ => {}
        }
        Ok(())
    });
    let at = at.filter(|_| read.is_ok()).and_then(|at| at.parse().ok());
    let is_sound = description.free.unwrap_or(0) <= description.seats.unwrap_or(u64::MAX);
    let at = at.filter(|_| is_sound).ok_or(Ignored::NotADescription)?;
    Ok((usable(at)?, description))
}

/// True if a datagram is an answer to the question for descriptions, if any: the others are no CBOR map.
pub(super) fn is_description(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first >> 5 == 5)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at() -> SocketAddrV4 {
        "255.255.255.254:65535".parse().unwrap()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_no_longer_than_the_question(
            id in ".{0,80}", game in ".{0,260}", seats: u64, free: u64,
        ) {
            let description = Description {
                id: Some(id),
                game: Some(game),
                seats: Some(seats.max(free)),
                free: Some(free.min(seats)),
            };
            let datagram = description.to_datagram(at());
            prop_assert!(datagram.len() <= DESCRIPTION_QUESTION.len());
            let short = |name: Option<String>| name.filter(|name| name.len() <= MOST_NAME);
            let told = Description {
                id: short(description.id),
                game: short(description.game),
                ..description
            };
            prop_assert_eq!(parse_description(&datagram), Ok((at(), told)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse_description(&bytes);
        }
    }

    #[test]
    fn descriptions_that_are_none_are_ignored() {
        let written = Description::default().to_datagram(at());
        let mut twice = written.clone();
        twice[0] += 1;
        twice.extend_from_slice(&written[1..]);
        for datagram in [
            &b""[..],
            b"10.0.0.4:5",
            // No address; more behind it; no text.
            b"\xa1\x62id\x61a",
            &[&written[..], b"\0"].concat(),
            b"\xa1\x62at\x05",
            // More free seats than there are.
            b"\xa3\x62at\x6a10.0.0.4:5\x65seats\x01\x64free\x02",
            &twice,
            // Of an indefinite length.
            b"\xbf\x62at\x6a10.0.0.4:5\xff",
            &[0xa0; 513],
        ] {
            let read = parse_description(datagram);
            assert_eq!(read, Err(Ignored::NotADescription), "{datagram:?}");
        }
        let unusable = b"\xa1\x62at\x6a10.0.0.4:0";
        assert_eq!(parse_description(unusable), Err(Ignored::UnusableAddress));
        let unknown = b"\xa2\x62at\x6a10.0.0.4:5\x63new\x81\x01";
        assert!(parse_description(unknown).is_ok());
    }
}
