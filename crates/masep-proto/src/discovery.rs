//! The search for a server on the LAN: its datagrams, the side that answers and the side that asks.
//!
//! The question is the 15 bytes `pymasep server?` to the multicast group 224.3.29.71, port 10000,
//! with a TTL of 1. The answer is `<ip>:<port>` in ASCII, sent back to the asker. pymasep puts the
//! *asker's* address in it instead of the server's, so that it finds servers of its own host only;
//! [`Found::address`] sees through that.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

/// The multicast group that the question goes to.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 3, 29, 71);
/// The UDP port that the question goes to.
pub const PORT: u16 = 10_000;
/// The question: these bytes and no others.
pub const QUESTION: &[u8] = b"pymasep server?";

/// The longest answer that can be one: `255.255.255.255:65535`.
const ANSWER_MAX: usize = 21;

/// Why a datagram was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// It is not the question of the search.
    #[error("not the question of the search")]
    NotTheQuestion,
    /// It is not `<IPv4 address>:<port>`.
    #[error("not <IPv4 address>:<port>")]
    NotAnAnswer,
    /// It names port 0 or an address that nobody can connect to (unspecified, multicast, broadcast).
    #[error("an address that cannot be connected to")]
    UnusableAddress,
    /// Another host names a loopback address, which would lead to a program of the asker's own.
    #[error("a loopback address from another host")]
    ForeignLoopback,
    /// This server was already found.
    #[error("already found")]
    Duplicate,
    /// More servers answered than a search keeps.
    #[error("more servers answered than a search keeps")]
    TooMany,
    /// More questions per second than [`Limits::answers_per_second`](crate::Limits) came in.
    #[error("more questions than are answered in a second")]
    RateLimited,
    /// The server listens on an address that the asker cannot reach.
    #[error("the asker cannot reach the address that the server listens on")]
    OutOfReach,
}

/// Reads an answer.
///
/// # Errors
/// [`Ignored::NotAnAnswer`] or [`Ignored::UnusableAddress`]. pymasep takes `10.0.0.4:55:66` for port
/// 55 and waits for ever after `nonsense`; neither is an answer here.
pub fn parse_answer(datagram: &[u8]) -> Result<SocketAddrV4, Ignored> {
    if datagram.len() > ANSWER_MAX {
        return Err(Ignored::NotAnAnswer);
    }
    let address: SocketAddrV4 = std::str::from_utf8(datagram)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Ignored::NotAnAnswer)?;
    let ip = address.ip();
    if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() {
        return Err(Ignored::UnusableAddress);
    }
    Ok(address)
}

/// The side that answers: decides for each datagram whether and what to answer.
#[derive(Debug)]
pub struct Responder {
    listening: SocketAddr,
    per_second: u32,
    /// A token bucket of one second: answers left, and when it was last filled.
    tokens: f64,
    filled: Option<Instant>,
}

impl Responder {
    /// Announces a server that listens on `listening` (an unspecified address means all of them),
    /// with at most `answers_per_second` answers.
    pub fn new(listening: SocketAddr, answers_per_second: u32) -> Self {
        Self {
            listening,
            per_second: answers_per_second,
            tokens: answers_per_second.into(),
            filled: None,
        }
    }

    /// The answer to a datagram.
    ///
    /// `local` is the address of the interface on which it came, `from_here` whether `source` is one
    /// of this host's own addresses, `now` the time of arrival.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn handle(
        &mut self,
        now: Instant,
        datagram: &[u8],
        local: Ipv4Addr,
        from_here: bool,
    ) -> Result<Vec<u8>, Ignored> {
        if datagram != QUESTION {
            return Err(Ignored::NotTheQuestion);
        }
        let ip = match self.listening.ip().to_canonical() {
            ip if ip.is_unspecified() => local,
            std::net::IpAddr::V4(ip) if ip.is_loopback() && !from_here => {
                return Err(Ignored::OutOfReach);
            }
            std::net::IpAddr::V4(ip) => ip,
            std::net::IpAddr::V6(_) => return Err(Ignored::OutOfReach),
        };
        self.take_token(now)?;
        Ok(SocketAddrV4::new(ip, self.listening.port())
            .to_string()
            .into_bytes())
    }

    fn take_token(&mut self, now: Instant) -> Result<(), Ignored> {
        let passed = self.filled.map_or(Duration::ZERO, |filled| {
            now.saturating_duration_since(filled)
        });
        let full = f64::from(self.per_second);
        self.tokens = passed.as_secs_f64().mul_add(full, self.tokens).min(full);
        self.filled = Some(now);
        if self.tokens < 1.0 {
            return Err(Ignored::RateLimited);
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

/// A server that answered a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// What the answer says.
    pub announced: SocketAddrV4,
    /// Who sent the answer.
    pub source: SocketAddrV4,
    /// The address of ours that the question was sent from.
    pub asked_from: Ipv4Addr,
}

impl Found {
    /// Where to connect: the announced address, or, when the answer names the asker itself though
    /// somebody else sent it (as pymasep's answers do), the sender's address with the announced port.
    pub fn address(&self) -> SocketAddr {
        let own_address_from_elsewhere =
            *self.announced.ip() == self.asked_from && *self.source.ip() != self.asked_from;
        let ip = if own_address_from_elsewhere {
            *self.source.ip()
        } else {
            *self.announced.ip()
        };
        SocketAddrV4::new(ip, self.announced.port()).into()
    }
}

/// The side that asks: collects the answers to one search.
#[derive(Debug, Default)]
pub struct Search {
    found: Vec<Found>,
}

impl Search {
    /// Servers that one search keeps: enough for any LAN party, and a bound for a forger.
    pub const MAX_FOUND: usize = 256;

    /// An empty search.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a datagram that came from `source` to a socket that asked from `asked_from`.
    ///
    /// # Errors
    /// Why it is no new answer.
    pub fn handle(
        &mut self,
        datagram: &[u8],
        source: SocketAddrV4,
        asked_from: Ipv4Addr,
    ) -> Result<Found, Ignored> {
        let found = Found {
            announced: parse_answer(datagram)?,
            source,
            asked_from,
        };
        let from_here = source.ip().is_loopback() || *source.ip() == asked_from;
        if found.address().ip().is_loopback() && !from_here {
            return Err(Ignored::ForeignLoopback);
        }
        if self
            .found
            .iter()
            .any(|known| known.address() == found.address())
        {
            return Err(Ignored::Duplicate);
        }
        if self.found.len() >= Self::MAX_FOUND {
            return Err(Ignored::TooMany);
        }
        self.found.push(found);
        Ok(found)
    }

    /// What was found so far, in the order of arrival.
    pub fn found(&self) -> &[Found] {
        &self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

    fn responder(listening: &str) -> Responder {
        Responder::new(listening.parse().unwrap(), 100)
    }

    #[test]
    fn the_answer_is_the_address_of_the_interface_that_was_asked() {
        let now = Instant::now();
        for any in ["0.0.0.0:60000", "[::]:60000"] {
            assert_eq!(
                responder(any).handle(now, QUESTION, ETH, false).unwrap(),
                b"10.0.0.7:60000"
            );
        }
        assert_eq!(
            responder("10.0.0.9:1")
                .handle(now, QUESTION, ETH, false)
                .unwrap(),
            b"10.0.0.9:1",
            "a server on one address announces that one"
        );
    }

    #[test]
    fn a_server_on_loopback_is_announced_to_its_own_host_only() {
        let now = Instant::now();
        let mut responder = responder("127.0.0.1:60000");
        assert_eq!(
            responder.handle(now, QUESTION, ETH, true).unwrap(),
            b"127.0.0.1:60000"
        );
        assert_eq!(
            responder.handle(now, QUESTION, ETH, false),
            Err(Ignored::OutOfReach)
        );
    }

    #[test]
    fn only_the_question_is_answered() {
        let mut responder = responder("0.0.0.0:1");
        for other in [
            &b""[..],
            b"stop",
            b"PYMASEP SERVER?",
            b"pymasep server? ",
            b"\xff\xfe",
            &[0; 1_500],
        ] {
            let answer = responder.handle(Instant::now(), other, ETH, true);
            assert_eq!(answer, Err(Ignored::NotTheQuestion));
        }
    }

    #[test]
    fn a_flood_gets_a_bounded_number_of_answers() {
        let start = Instant::now();
        let mut responder = responder("0.0.0.0:1");
        let mut answers = |seconds| {
            let now = start + Duration::from_secs(seconds);
            (0..1_000)
                .filter(|_| responder.handle(now, QUESTION, ETH, true).is_ok())
                .count()
        };
        assert_eq!(answers(0), 100);
        assert_eq!(answers(0), 0);
        assert_eq!(answers(1), 100);
        assert_eq!(answers(60), 100, "an idle hour does not save up answers");
    }

    #[test]
    fn answers_that_are_none_are_ignored() {
        for (datagram, reason) in [
            (&b"nonsense"[..], Ignored::NotAnAnswer),
            (b"10.0.0.4:port", Ignored::NotAnAnswer),
            (b"10.0.0.4:55:66", Ignored::NotAnAnswer),
            (b"10.0.0.4:65536", Ignored::NotAnAnswer),
            (b"\xff\xfe", Ignored::NotAnAnswer),
            (&[b'1'; 1_024], Ignored::NotAnAnswer),
            (b"10.0.0.4:0", Ignored::UnusableAddress),
            (b"0.0.0.0:5", Ignored::UnusableAddress),
            (b"224.3.29.71:5", Ignored::UnusableAddress),
        ] {
            assert_eq!(parse_answer(datagram), Err(reason), "{datagram:?}");
        }
    }

    #[test]
    fn an_answer_with_the_askers_own_address_is_seen_through() {
        let mut search = Search::new();
        let from_pymasep = search.handle(b"10.0.0.7:60000", "10.0.0.9:10000".parse().unwrap(), ETH);
        assert_eq!(
            from_pymasep.unwrap().address().to_string(),
            "10.0.0.9:60000"
        );
        let from_here = search.handle(b"10.0.0.7:60000", "10.0.0.7:10000".parse().unwrap(), ETH);
        assert_eq!(from_here.unwrap().address().to_string(), "10.0.0.7:60000");
        let again = search.handle(b"10.0.0.7:60000", "10.0.0.7:10000".parse().unwrap(), ETH);
        assert_eq!(again, Err(Ignored::Duplicate));
        assert_eq!(search.found().len(), 2);
    }

    #[test]
    fn nobody_else_can_lead_the_asker_to_its_own_loopback() {
        let mut search = Search::new();
        let mut answer = |source: &str| {
            let found = search.handle(b"127.0.0.1:60000", source.parse().unwrap(), ETH);
            found.map(|found| found.address().to_string())
        };
        assert_eq!(answer("10.0.0.9:10000"), Err(Ignored::ForeignLoopback));
        assert_eq!(answer("10.0.0.7:10000"), Ok("127.0.0.1:60000".into()));
    }

    #[test]
    fn a_forger_cannot_fill_the_memory() {
        let mut search = Search::new();
        for port in 1..=300u16 {
            let _ = search.handle(
                format!("10.0.0.4:{port}").as_bytes(),
                "10.0.0.4:1".parse().unwrap(),
                ETH,
            );
        }
        assert_eq!(search.found().len(), Search::MAX_FOUND);
    }
}
