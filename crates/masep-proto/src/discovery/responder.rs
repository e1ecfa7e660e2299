//! The side that answers.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::{DESCRIPTION_QUESTION, Description, Ignored, QUESTION};

/// The asker, as far as it matters for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asker {
    /// A program on this host: it reaches loopback, and nobody else can forge its address.
    ThisHost,
    /// A host that uses this address, or forges it.
    Other(Ipv4Addr),
}

/// The side that answers: decides for each datagram whether and what to answer.
#[derive(Debug)]
pub struct Responder {
    listening: SocketAddr,
    per_second: u32,
    /// The latest time that was told.
    latest: Option<Instant>,
    all: Option<Bucket>,
    /// The part of each other host that was answered lately.
    hosts: HashMap<Ipv4Addr, Bucket>,
}

impl Responder {
    /// Hosts whose parts are kept apart. When more than these ask within a second, the rest only
    /// shares the rate of all.
    const MAX_HOSTS: usize = 1_024;

    /// Announces a server that listens on `listening` (an unspecified address means all of them),
    /// with at most `answers_per_second` answers, of which one other host gets at most half: one
    /// that floods does not hide the server from the rest.
    pub fn new(listening: SocketAddr, answers_per_second: u32) -> Self {
        Self {
            listening,
            per_second: answers_per_second,
            latest: None,
            all: None,
            hosts: HashMap::new(),
        }
    }

    /// The answer to a datagram, of a server that does not describe itself.
    ///
    /// `local` is the address of the interface on which it came, `now` the time of arrival; one that
    /// lies before another counts as that one.
    ///
    /// # Errors
    /// The reason why there is no answer.
    pub fn handle(
        &mut self,
        now: Instant,
        datagram: &[u8],
        local: Ipv4Addr,
        asker: Asker,
    ) -> Result<Vec<u8>, Ignored> {
        self.handle_describing(now, datagram, local, asker, || None)
    }

    /// As [`handle`](Self::handle), of a server that describes itself where there is something to tell. It is asked only when
    /// the answer goes out. Answers of both kinds share one rate.
    ///
    /// # Errors
    /// The reason why there is no answer.
    pub fn handle_describing(
        &mut self,
        now: Instant,
        datagram: &[u8],
        local: Ipv4Addr,
        asker: Asker,
        describe: impl FnOnce() -> Option<Description>,
    ) -> Result<Vec<u8>, Ignored> {
        let wants_description = datagram == DESCRIPTION_QUESTION;
        if datagram != QUESTION && !wants_description {
            return Err(Ignored::NotTheQuestion);
        }
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        let ip = match self.listening.ip().to_canonical() {
            ip if ip.is_unspecified() => local,
            IpAddr::V4(ip) if ip.is_loopback() && asker != Asker::ThisHost => {
                return Err(Ignored::OutOfReach);
            }
            IpAddr::V4(ip) => ip,
            IpAddr::V6(_) => return Err(Ignored::OutOfReach),
        };
        self.spend(now, asker)?;
        let address = SocketAddrV4::new(ip, self.listening.port());
        if wants_description {
            let description = describe().ok_or(Ignored::NotTheQuestion)?;
            return Ok(description.to_datagram(address));
        }
        Ok(address.to_string().into_bytes())
    }

    /// Takes one answer out of what is left for all, and out of the asker's part.
    fn spend(&mut self, now: Instant, asker: Asker) -> Result<(), Ignored> {
        let all = self.all.get_or_insert(Bucket::full(now, self.per_second));
        if !all.refill(now, self.per_second) {
            return Err(Ignored::RateLimited);
        }
        if let Asker::Other(host) = asker {
            let part = self.per_second.div_ceil(2);
            if self.hosts.len() >= Self::MAX_HOSTS {
                self.hosts.retain(|_, bucket| bucket.is_recent(now));
            }
            if self.hosts.len() < Self::MAX_HOSTS || self.hosts.contains_key(&host) {
                let bucket = self.hosts.entry(host);
                let bucket = bucket.or_insert_with(|| Bucket::full(now, part));
                if !bucket.refill(now, part) {
                    return Err(Ignored::RateLimited);
                }
                bucket.left -= 1.0;
            }
        }
        all.left -= 1.0;
        Ok(())
    }
}

/// A token bucket that holds one second's answers.
#[derive(Debug)]
struct Bucket {
    left: f64,
    filled: Instant,
}

impl Bucket {
    fn full(now: Instant, per_second: u32) -> Self {
        Self {
            left: per_second.into(),
            filled: now,
        }
    }

    /// Fills in what the time since the last call has brought, and says whether an answer is left.
    fn refill(&mut self, now: Instant, per_second: u32) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        let full = f64::from(per_second);
        self.left = passed.mul_add(full, self.left).min(full);
        self.filled = now;
        self.left >= 1.0
    }

    /// True if it may be less than full. One that is full need not be kept.
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.filled) < Duration::from_secs(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_description;
    use super::*;

    const ETH: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
    const OTHER: Asker = Asker::Other(Ipv4Addr::new(10, 0, 0, 8));

    fn responder(listening: &str) -> Responder {
        Responder::new(listening.parse().unwrap(), 100)
    }

    #[test]
    fn the_answer_is_the_address_of_the_interface_that_was_asked() {
        let now = Instant::now();
        for any in ["0.0.0.0:60000", "[::]:60000"] {
            assert_eq!(
                responder(any).handle(now, QUESTION, ETH, OTHER).unwrap(),
                b"10.0.0.7:60000"
            );
        }
        assert_eq!(
            responder("10.0.0.9:1")
                .handle(now, QUESTION, ETH, OTHER)
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
            responder
                .handle(now, QUESTION, ETH, Asker::ThisHost)
                .unwrap(),
            b"127.0.0.1:60000"
        );
        assert_eq!(
            responder.handle(now, QUESTION, ETH, OTHER),
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
            let answer = responder.handle(Instant::now(), other, ETH, Asker::ThisHost);
            assert_eq!(answer, Err(Ignored::NotTheQuestion));
        }
    }

    #[test]
    fn a_server_that_describes_itself_answers_both_questions_within_one_rate() {
        let now = Instant::now();
        let mut responder = Responder::new("0.0.0.0:60000".parse().unwrap(), 3);
        let described = Description {
            game: Some("a.Game".into()),
            ..Description::default()
        };
        let mut ask = |question: &[u8]| {
            let describe = || Some(described.clone());
            responder.handle_describing(now, question, ETH, Asker::ThisHost, describe)
        };
        assert_eq!(ask(QUESTION).unwrap(), b"10.0.0.7:60000");
        let answer = ask(DESCRIPTION_QUESTION).unwrap();
        let at = "10.0.0.7:60000".parse().unwrap();
        assert_eq!(parse_description(&answer), Ok((at, described.clone())));
        assert!(ask(QUESTION).is_ok());
        assert_eq!(ask(DESCRIPTION_QUESTION), Err(Ignored::RateLimited));
        assert_eq!(ask(b"masep server?"), Err(Ignored::NotTheQuestion));
        let mut plain = Responder::new("0.0.0.0:60000".parse().unwrap(), 3);
        let answer = plain.handle(now, DESCRIPTION_QUESTION, ETH, Asker::ThisHost);
        assert_eq!(answer, Err(Ignored::NotTheQuestion));
    }

    #[test]
    fn an_answer_is_hardly_longer_than_its_question() {
        for listening in ["0.0.0.0:65535", "255.255.255.254:65535"] {
            let mut responder = responder(listening);
            let widest = Ipv4Addr::new(192, 168, 100, 100);
            let answer = responder.handle(Instant::now(), QUESTION, widest, OTHER);
            assert!(answer.unwrap().len() * 10 <= QUESTION.len() * 14);
        }
    }

    #[test]
    fn a_flood_gets_a_bounded_number_of_answers() {
        let start = Instant::now();
        let mut responder = responder("0.0.0.0:1");
        let mut answers = |seconds| {
            let now = start + Duration::from_secs(seconds);
            (0..1_000)
                .filter(|_| {
                    responder
                        .handle(now, QUESTION, ETH, Asker::ThisHost)
                        .is_ok()
                })
                .count()
        };
        assert_eq!(answers(0), 100);
        assert_eq!(answers(0), 0);
        assert_eq!(answers(1), 100);
        assert_eq!(answers(60), 100, "an idle hour does not save up answers");
    }

    #[test]
    fn a_clock_that_goes_back_and_forth_saves_up_no_answers() {
        let start = Instant::now();
        let mut responder = responder("0.0.0.0:1");
        let answered = (0..200_u8)
            .map(|turn| start + Duration::from_secs((turn % 2).into()))
            .filter(|now| {
                responder
                    .handle(*now, QUESTION, ETH, Asker::ThisHost)
                    .is_ok()
            })
            .count();
        assert_eq!(
            answered, 101,
            "those of two seconds, the first one hardly used"
        );
        let later = start + Duration::from_secs(10);
        let answer = responder.handle(later, QUESTION, ETH, Asker::ThisHost);
        assert!(answer.is_ok());
        // One host, from which nothing came before.
        let mut answers = |now| {
            (0..200)
                .filter(|_| responder.handle(now, QUESTION, ETH, OTHER).is_ok())
                .count()
        };
        assert_eq!((answers(start), answers(later)), (50, 0));
    }

    #[test]
    fn one_host_that_floods_does_not_use_up_the_answers_of_the_others() {
        let now = Instant::now();
        let mut responder = responder("0.0.0.0:1");
        let mut answers = |asker| {
            (0..1_000)
                .filter(|_| responder.handle(now, QUESTION, ETH, asker).is_ok())
                .count()
        };
        assert_eq!(answers(OTHER), 50);
        assert_eq!(answers(Asker::Other(Ipv4Addr::new(10, 0, 0, 9))), 50);
        assert_eq!(answers(Asker::ThisHost), 0, "the rate of all is used up");
    }

    #[test]
    fn forged_askers_cannot_fill_the_memory() {
        let start = Instant::now();
        let mut responder = Responder::new("0.0.0.0:1".parse().unwrap(), u32::MAX);
        for forged in 0..5_000 {
            let asker = Asker::Other(Ipv4Addr::from(forged));
            let answer = responder.handle(start, QUESTION, ETH, asker);
            assert!(answer.is_ok(), "the rate of all is far from used up");
        }
        assert_eq!(responder.hosts.len(), Responder::MAX_HOSTS);
        let later = start + Duration::from_secs(1);
        responder.handle(later, QUESTION, ETH, OTHER).unwrap();
        assert_eq!(
            responder.hosts.len(),
            1,
            "those of the last second are forgotten"
        );
    }
}
