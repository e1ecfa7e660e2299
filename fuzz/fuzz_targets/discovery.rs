//! Any datagrams, as questions and as answers.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use masep_proto::discovery::{Asker, QUESTION, Responder, Search, parse_answer};

fuzz_target!(|input: (u32, u16, Vec<(&[u8], u32, u16)>)| {
    let (listening, port, datagrams) = input;
    let listening = SocketAddr::new(Ipv4Addr::from(listening).into(), port.max(1));
    let (start, mut passed) = (Instant::now(), Duration::ZERO);
    let mut responder = Responder::new(listening, 5);
    let mut answered = 0;
    let mut search = Search::new();
    for (datagram, from, port) in datagrams {
        let host = Ipv4Addr::from(from);
        if let Ok(found) =
            search.handle(datagram, SocketAddrV4::new(host, port), Ipv4Addr::LOCALHOST)
        {
            assert_eq!(parse_answer(datagram), Ok(found.announced));
            assert!(found.address().port() != 0);
        }
        assert!(search.found().len() <= Search::MAX_FOUND);

        passed += Duration::from_millis(port.into());
        let question = if port % 2 == 0 { QUESTION } else { datagram };
        let answer = responder.handle(start + passed, question, host, Asker::Other(host));
        if let Ok(answer) = answer {
            assert_eq!(question, QUESTION);
            answered += 1;
            assert!(f64::from(answered) <= 5.0 + 5.0 * passed.as_secs_f64() + 1e-6);
            assert!(answer.len() <= 21);
        }
    }
});
