//! The side that asks.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::description::is_description;
use super::{Description, Ignored, parse_answer, parse_description};

/// A server that answered a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// The address in the answer.
    pub announced: SocketAddrV4,
    /// The sender of the answer.
    pub source: SocketAddrV4,
    /// The address of ours that the question was sent from.
    pub asked_from: Ipv4Addr,
}

impl Found {
    /// The address to connect to: the announced one, or, when the answer names the asker itself though
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
    /// The descriptions of the servers found, in the same order.
    descriptions: Vec<Option<Told>>,
}

/// A description, and whether the very host at the described address has sent it.
#[derive(Debug)]
struct Told {
    description: Description,
    is_own: bool,
}

impl Search {
    /// Servers that one search keeps: enough for any LAN party, and a bound for a forger.
    pub const MAX_FOUND: usize = 256;

    /// Servers of these that one host may answer for, so that one does not take the places of all.
    pub const MAX_FOUND_OF_HOST: usize = 32;

    /// An empty search.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a datagram that came from `source` to a socket that asked from `asked_from`: an address, or a
    /// [description](Self::description). The description that is kept of an address is the first, and before those that
    /// other hosts have sent the first that came from there.
    ///
    /// # Errors
    /// The reason why it is no new answer.
    pub fn handle(
        &mut self,
        datagram: &[u8],
        source: SocketAddrV4,
        asked_from: Ipv4Addr,
    ) -> Result<Found, Ignored> {
        let (announced, description) = if is_description(datagram) {
            let (announced, description) = parse_description(datagram)?;
            (announced, Some(description))
        } else {
            (parse_answer(datagram)?, None)
        };
        let found = Found {
            announced,
            source,
            asked_from,
        };
        let from_here = source.ip().is_loopback() || *source.ip() == asked_from;
        if found.address().ip().is_loopback() && !from_here {
            return Err(Ignored::ForeignLoopback);
        }
        let is_own = found.address().ip() == *source.ip();
        let told = description.map(|description| Told {
            description,
            is_own,
        });
        if let Some(at) = self.position(&found) {
            let known = &mut self.descriptions[at];
            let is_new = known.as_ref().is_none_or(|known| is_own && !known.is_own);
            *known = Some(told.filter(|_| is_new).ok_or(Ignored::Duplicate)?);
            return Ok(self.found[at]);
        }
        if self.found.len() >= Self::MAX_FOUND {
            return Err(Ignored::TooMany);
        }
        let of_host = |known: &&Found| known.source.ip() == source.ip();
        if self.found.iter().filter(of_host).count() >= Self::MAX_FOUND_OF_HOST {
            return Err(Ignored::TooManyOfHost);
        }
        self.found.push(found);
        self.descriptions.push(told);
        Ok(found)
    }

    /// The place of the server at this address.
    fn position(&self, found: &Found) -> Option<usize> {
        let address = found.address();
        self.found
            .iter()
            .position(|known| known.address() == address)
    }

    /// The description of a server that was found, if it has sent one.
    pub fn description(&self, found: &Found) -> Option<&Description> {
        let told = self.descriptions.get(self.position(found)?)?.as_ref();
        told.map(|told| &told.description)
    }

    /// The servers found so far, in the order of arrival.
    pub fn found(&self) -> &[Found] {
        &self.found
    }
}

/// The addresses of found servers in the order in which to try them: the first of each host that
/// answered, in the order of their answers, then the second of each, and so on. So a host that
/// answers often keeps nobody from the servers of others.
pub fn in_turn(found: &[Found]) -> Vec<SocketAddr> {
    let mut turns: Vec<(usize, SocketAddr)> = Vec::with_capacity(found.len());
    for (number, one) in found.iter().enumerate() {
        let before = &found[..number];
        let of_host = |other: &&Found| other.source.ip() == one.source.ip();
        turns.push((before.iter().filter(of_host).count(), one.address()));
    }
    // Stable: within a turn they stay in the order of their answers.
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, address)| address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

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
    fn a_description_joins_its_address_whichever_comes_first() {
        let description = |game: &str| Description {
            game: Some(game.to_owned()),
            ..Description::default()
        };
        let own = "10.0.0.9:10000".parse().unwrap();
        let other = "10.0.0.4:10000".parse().unwrap();
        let at = "10.0.0.9:60000".parse().unwrap();
        for described_first in [false, true] {
            let mut search = Search::new();
            let told = description("a.Game").to_datagram(at);
            let address = b"10.0.0.9:60000".to_vec();
            let mut datagrams = [address, told.clone()];
            if described_first {
                datagrams.reverse();
            }
            let [first, second] = datagrams.map(|datagram| search.handle(&datagram, own, ETH));
            assert_eq!(first.unwrap().announced, at);
            // Only the address is known already.
            assert_eq!(second.is_ok(), !described_first);
            assert_eq!(search.handle(&told, own, ETH), Err(Ignored::Duplicate));
            let [found] = search.found() else {
                panic!("{:?}", search.found());
            };
            assert_eq!(search.description(found), Some(&description("a.Game")));
        }
        // The word of the host itself counts more than that of another, also if it comes later.
        let mut search = Search::new();
        let found = search.handle(&description("forged.Game").to_datagram(at), other, ETH);
        assert!(
            search
                .handle(&description("a.Game").to_datagram(at), own, ETH)
                .is_ok()
        );
        let again = search.handle(&description("forged.Game").to_datagram(at), other, ETH);
        assert_eq!(again, Err(Ignored::Duplicate));
        assert_eq!(
            search.description(&found.unwrap()),
            Some(&description("a.Game"))
        );
    }

    /// The answer of a host for a server of its own.
    fn answer(search: &mut Search, host: &str, port: u16) -> Result<Found, Ignored> {
        let datagram = format!("{host}:{port}");
        let source = SocketAddrV4::new(host.parse().unwrap(), 10_000);
        search.handle(datagram.as_bytes(), source, ETH)
    }

    #[test]
    fn one_host_cannot_take_the_places_of_others_nor_all_of_them_fill_the_memory() {
        let mut search = Search::new();
        for port in 1..=300 {
            let _ = answer(&mut search, "10.0.0.4", port);
        }
        assert_eq!(search.found().len(), Search::MAX_FOUND_OF_HOST);
        let another = answer(&mut search, "10.0.0.4", 301);
        assert_eq!(another, Err(Ignored::TooManyOfHost));
        assert!(answer(&mut search, "10.0.0.5", 60_000).is_ok());
        for host in 10..=255 {
            for port in 1..=2 {
                let _ = answer(&mut search, &format!("10.0.0.{host}"), port);
            }
        }
        assert_eq!(search.found().len(), Search::MAX_FOUND);
        let another = answer(&mut search, "10.0.0.6", 60_000);
        assert_eq!(another, Err(Ignored::TooMany));
    }

    #[test]
    fn hosts_take_turns() {
        let mut search = Search::new();
        for (host, port) in [
            ("10.0.0.4", 1),
            ("10.0.0.4", 2),
            ("10.0.0.4", 3),
            ("10.0.0.9", 60_000),
            ("10.0.0.5", 7),
            ("10.0.0.5", 8),
        ] {
            answer(&mut search, host, port).unwrap();
        }
        let addresses: Vec<String> = in_turn(search.found())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            addresses,
            [
                "10.0.0.4:1",
                "10.0.0.9:60000",
                "10.0.0.5:7",
                "10.0.0.4:2",
                "10.0.0.5:8",
                "10.0.0.4:3",
            ]
        );
    }
}
