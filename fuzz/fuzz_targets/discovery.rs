//! Any datagrams, from anywhere, at any time, as questions and as answers.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use masep_fuzz::Memory;
use masep_proto::discovery::{
    Asker, DESCRIPTION_BYTES, DESCRIPTION_QUESTION, Description, Ignored, QUESTION, Responder,
    Search, parse_answer, parse_description,
};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    listening: (Host, u16),
    /// The description that the server gives of itself, if any.
    game: Option<&'a str>,
    per_second: u8,
    datagrams: Vec<Datagram<'a>>,
}

/// Few addresses, so that they meet, and all others.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Host {
    Any,
    Loopback,
    Near(u8),
    Other(u32),
}

impl From<Host> for Ipv4Addr {
    fn from(host: Host) -> Self {
        match host {
            Host::Any => Self::UNSPECIFIED,
            Host::Loopback => Self::LOCALHOST,
            Host::Near(last) => Self::new(10, 0, 0, last),
            Host::Other(bits) => Self::from(bits),
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Text<'a> {
    Question,
    DescriptionQuestion,
    Address(Host, u16),
    Description(Host, u16, &'a str, u8, u8),
    Other(&'a [u8]),
}

impl Text<'_> {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Question => QUESTION.to_vec(),
            Self::DescriptionQuestion => DESCRIPTION_QUESTION.to_vec(),
            Self::Description(host, port, id, seats, free) => Description {
                id: Some((*id).to_owned()),
                game: None,
                seats: Some((*seats).into()),
                free: Some((*free).into()),
            }
            .to_datagram(SocketAddrV4::new((*host).into(), *port)),
            Self::Address(host, port) => SocketAddrV4::new((*host).into(), *port)
                .to_string()
                .into_bytes(),
            Self::Other(bytes) => bytes.to_vec(),
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Datagram<'a> {
    text: Text<'a>,
    from: (Host, u16),
    /// The address of ours that it came to.
    to: Host,
    this_host: bool,
    /// Milliseconds since the datagram before; a clock that is read by two threads goes back as well.
    passed: i16,
}

/// The number of answers that a part of `per_second` gives within a time.
fn most(per_second: u32, within: Duration) -> usize {
    let all = f64::from(per_second) * (1.0 + within.as_secs_f64()) + 1e-6;
    all as usize
}

/// The answers that were given: when, and to whom.
#[derive(Default)]
struct Answers(Vec<(Duration, Option<Ipv4Addr>)>);

impl Answers {
    /// In no span of time up to the last answer are there more than the rate allows, for all together
    /// and for one host.
    fn check(&self, per_second: u32) {
        let Some(&(now, asker)) = self.0.last() else {
            return;
        };
        let (mut all, mut of_host) = (0, 0);
        for (at, other) in self.0.iter().rev() {
            all += 1;
            assert!(all <= most(per_second, now - *at), "to all");
            if asker.is_some() && *other == asker {
                of_host += 1;
                let part = most(per_second.div_ceil(2), now - *at);
                assert!(of_host <= part, "to one host");
            }
        }
    }
}

fn ask(
    responder: &mut Responder,
    listening: SocketAddr,
    game: Option<&str>,
    datagram: &Datagram<'_>,
    now: Instant,
) -> bool {
    let (bytes, local) = (datagram.text.bytes(), Ipv4Addr::from(datagram.to));
    let asker = match datagram.this_host {
        true => Asker::ThisHost,
        false => Asker::Other(datagram.from.0.into()),
    };
    let describe = || {
        game.map(|game| Description {
            game: Some(game.to_owned()),
            ..Description::default()
        })
    };
    let is_about_descriptions = bytes == DESCRIPTION_QUESTION;
    let answer = match responder.handle_describing(now, &bytes, local, asker, describe) {
        Ok(answer) => answer,
        Err(Ignored::NotTheQuestion) => {
            assert_ne!(bytes, QUESTION);
            assert!(!is_about_descriptions || game.is_none());
            return false;
        }
        Err(Ignored::RateLimited) => return false,
        Err(Ignored::OutOfReach) => {
            assert!(listening.ip().is_loopback() && !datagram.this_host);
            return false;
        }
        Err(other) => panic!("{other} is no reason of the one who answers"),
    };
    assert!(is_about_descriptions || bytes == QUESTION);
    assert!(answer.len() * 10 <= bytes.len() * 14, "amplified");
    let ip = match listening.ip() {
        ip if ip.is_unspecified() => local.into(),
        ip => ip,
    };
    assert!(!ip.is_loopback() || datagram.this_host || listening.ip().is_unspecified());
    let address = SocketAddr::new(ip, listening.port());
    if is_about_descriptions {
        if let Ok((at, _)) = parse_description(&answer) {
            assert_eq!(SocketAddr::from(at), address);
        }
    } else {
        assert_eq!(answer, address.to_string().into_bytes());
    }
    true
}

fn answer(search: &mut Search, datagram: &Datagram<'_>) {
    let bytes = datagram.text.bytes();
    let source = SocketAddrV4::new(datagram.from.0.into(), datagram.from.1);
    let asked_from = Ipv4Addr::from(datagram.to);
    let before = search.found().len();
    let taken = search.handle(&bytes, source, asked_from);
    let added = &search.found()[before..];
    let Ok(found) = taken else {
        assert!(added.is_empty());
        return;
    };
    let told = parse_description(&bytes);
    let address = found.address();
    let known = &search.found()[..before];
    if let Ok((_, description)) = told {
        assert!(bytes.len() <= DESCRIPTION_BYTES);
        assert_eq!(search.description(&found), Some(&description));
        assert!(added == [found] || added.is_empty() && known.contains(&found));
    } else {
        assert_eq!(added, [found]);
        assert_eq!(parse_answer(&bytes), Ok(found.announced));
        assert!(known.iter().all(|other| other.address() != address));
    }
    assert!(search.found().len() <= Search::MAX_FOUND);
    assert_ne!(address.port(), 0);
    let from_here = source.ip().is_loopback() || *source.ip() == asked_from;
    assert!(
        !address.ip().is_loopback() || from_here,
        "led to a program of ours"
    );
}

fuzz_target!(|input: Input<'_>| {
    let listening = SocketAddr::new(
        Ipv4Addr::from(input.listening.0).into(),
        input.listening.1.max(1),
    );
    let per_second = u32::from(input.per_second);
    let memory = Memory::watch();
    let mut responder = Responder::new(listening, per_second);
    let (mut search, mut answers) = (Search::new(), Answers::default());
    let start = Instant::now();
    let (mut passed, mut latest) = (Duration::ZERO, Duration::ZERO);
    for datagram in &input.datagrams {
        let step = Duration::from_millis(datagram.passed.unsigned_abs().into());
        passed = match datagram.passed {
            0.. => passed + step,
            _ => passed.saturating_sub(step),
        };
        let bytes = datagram.text.bytes();
        if bytes == QUESTION || bytes == DESCRIPTION_QUESTION && input.game.is_some() {
            latest = latest.max(passed);
        }
        if ask(
            &mut responder,
            listening,
            input.game,
            datagram,
            start + passed,
        ) {
            let asker = (!datagram.this_host).then(|| datagram.from.0.into());
            answers.0.push((latest, asker));
            answers.check(per_second);
        }
        answer(&mut search, datagram);
    }
    assert!(memory.peak() <= 256 << 10, "{} bytes", memory.peak());
});
