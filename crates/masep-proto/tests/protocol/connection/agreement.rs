//! The agreement of two sides on the generation of the protocol, and the end of those that do not agree.

use std::time::Duration;

use masep_proto::admission::{Refusal, RejectReason};
use masep_proto::connection::{Action, Config, Event, HelloFailure, Protocols};
use masep_proto::protocol2::{
    AccessToken, Control, Header, Hello, Protocol, Rejected, Welcome, kind, preamble,
};
use masep_proto::{CloseReason, Frame, HelloError, Limits, PeerId};

use super::pair::{Pair, Random, config, exceeded};
use crate::wire::{control, frame, messages};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// A server of pymasep's protocol answers a preamble with its id, and a refusal with this.
const PYMASEP: &[u8] = b"\x06\0engine";
const PYMASEP_REFUSAL: &[u8] = b"\x06\0engine\x03\0BYE";

pub(crate) fn hello(id: &str) -> Hello {
    Hello::new(PeerId::from(id), 16 << 20)
}

pub(crate) fn hello_frame(hello: Hello) -> Vec<u8> {
    control(&Control::Hello(Box::new(hello)))
}

pub(crate) fn welcome_frame(welcome: Welcome) -> Vec<u8> {
    control(&Control::Welcome(Box::new(welcome)))
}

pub(crate) fn welcome() -> Welcome {
    Welcome::new(PeerId::from("engine"), 1 << 20)
}

/// The control messages in these first bytes of a server.
pub(crate) fn answers(bytes: &[u8]) -> Vec<Control> {
    messages(bytes.strip_prefix(preamble::SERVER).expect("the preamble"))
}

/// The REJECTED that is in these first bytes of a server.
pub(crate) fn refusal(bytes: &[u8]) -> Rejected {
    match answers(bytes).pop() {
        Some(Control::Rejected(rejected)) => rejected,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_bytes_are_as_they_are_written_down() {
    let mut pair = Pair::speaking(Protocols::Both, Protocols::Both);
    let transmit = pair.agent.core.take_transmit().expect("a hello");
    let bytes = transmit.as_slice().expect("one piece").to_vec();
    assert!(bytes.starts_with(b"\x07\0masep/2\x03\0BYE\0\0"));
    let [Control::Hello(hello)] = &messages(&bytes[16..])[..] else {
        panic!("{bytes:x?}");
    };
    assert_eq!(
        (&*hello.id, hello.versions, hello.max),
        ("agent", (2, 2), 16 << 20)
    );
    assert!(hello.agent.starts_with("masep "));
    pair.to_engine.bytes.extend(&bytes);
    pair.agent.core.put_transmit(
        transmit,
        masep_proto::connection::Write::Bytes(bytes.len()),
        pair.now,
    );
    pair.engine.admits = false;
    pair.run(false);
    assert_eq!(pair.engine.events, [Event::Hello]);
    assert!(pair.written(false).is_empty(), "nothing before the verdict");
    assert_eq!(
        pair.engine.core.hello().map(|hello| hello.max),
        Some(16 << 20)
    );
    pair.engine.core.admit(pair.now);
    pair.run(false);
    let bytes = pair.written(false);
    assert!(bytes.starts_with(b"\x07\0masep/2\0\0\0\0\0\0\0"));
    let [Control::Welcome(welcome)] = &messages(&bytes[16..])[..] else {
        panic!("{bytes:x?}");
    };
    assert_eq!(
        (&*welcome.id, welcome.version, welcome.max),
        ("engine", 2, 1 << 20)
    );
    assert_eq!(welcome.heartbeat_ms, 10_000);
    pair.settle();
    assert_eq!(pair.agent.core.peer_limits().frame_bytes, 1 << 20);
    assert_eq!(pair.engine.core.peer_limits().frame_bytes, 16 << 20);
    assert_eq!(pair.agent.core.welcome(), Some(&**welcome));
}

/// The verdict needs all that the client has said of itself; afterwards secrets and what may be long are not kept.
#[test]
fn secrets_are_kept_until_the_verdict_only() {
    let mut pair = Pair::undecided(Protocols::Both);
    let mut said = hello("agent");
    said.role = Some("actor".into());
    said.token = Some("access".into());
    said.resume = Some("life.00".into());
    said.make = Some(masep_proto::Dict::from([("map", "small")]));
    pair.to_engine.bytes.extend(preamble::CLIENT);
    pair.to_engine.bytes.extend(hello_frame(said.clone()));
    pair.run(false);
    assert_eq!(pair.engine.core.hello(), Some(&said));
    pair.engine.core.admit(pair.now);
    pair.run(false);
    assert!(pair.engine.events.contains(&Event::Open));
    let kept = pair.engine.core.hello().expect("it says who it is");
    assert_eq!((&*kept.id, kept.role.as_deref()), ("agent", Some("actor")));
    assert_eq!(
        (&kept.token, &kept.resume, &kept.make),
        (&None, &None, &None)
    );
}

/// An access token is not for a server of pymasep's protocol, nor for anybody who has not said to be another one.
#[test]
fn a_token_is_sent_to_who_has_said_to_speak_protocol_2() {
    let mut offer = hello("");
    offer.token = Some("access".into());
    let config = |id| config(id, &Limits::default(), Protocols::Both);
    let mut pair = Pair::with(config("agent").offer(offer), config("engine"), 1 << 20);
    pair.run(true);
    assert_eq!(pair.written(true), preamble::CLIENT, "and nothing else");
    pair.run(false);
    assert_eq!(pair.written(false), preamble::SERVER);
    assert_eq!(pair.engine.events, [], "it waits for HELLO");
    pair.engine.admits = false;
    pair.run(true);
    let [Control::Hello(hello)] = &messages(&pair.written(true))[..] else {
        panic!("{:x?}", pair.written(true));
    };
    assert_eq!(
        hello.token.as_ref().map(AccessToken::reveal),
        Some("access")
    );
    pair.run(false);
    pair.engine.core.admit(pair.now);
    pair.run(false);
    let welcome = messages(&pair.written(false));
    assert!(
        matches!(&welcome[..], [Control::Welcome(_)]),
        "once is enough: {welcome:?}"
    );
    pair.settle();
    assert!(pair.agent.events.contains(&Event::Open));
}

/// A client that waits for the server's first bytes can be refused before and after them.
#[test]
fn a_client_that_has_said_its_first_bytes_alone_is_refused_like_any() {
    for verdict_first in [true, false] {
        let mut pair = Pair::undecided(Protocols::Both);
        pair.to_engine.bytes.extend(preamble::CLIENT);
        let step = pair.step(false);
        assert!(step);
        if !verdict_first {
            pair.run(false);
            assert_eq!(pair.written(false), preamble::SERVER);
        }
        pair.engine
            .core
            .refuse_with(Rejected::new("full", ""), pair.now);
        let until = pair
            .engine
            .core
            .deadline()
            .expect("it may finish its hello");
        pair.now = until;
        pair.engine.core.handle_timeout(until);
        pair.run(false);
        let refusal = refusal(&pair.written(false));
        assert_eq!(&*refusal.code, "full", "{verdict_first}");
    }
}

/// Each kind of client meets each kind of server: both speak one generation, or each fails in its way.
#[test]
fn each_generation_meets_each() {
    use Protocols::{Both, Masep2, Pymasep};
    for (client, server, expected) in [
        (Pymasep, Pymasep, Ok(Protocol::Pymasep)),
        (Pymasep, Both, Ok(Protocol::Pymasep)),
        (Both, Both, Ok(Protocol::Masep2)),
        (Both, Masep2, Ok(Protocol::Masep2)),
        (Masep2, Both, Ok(Protocol::Masep2)),
        (Masep2, Masep2, Ok(Protocol::Masep2)),
        (Both, Pymasep, Err(HelloFailure::ConnectAgain)),
        (
            Masep2,
            Pymasep,
            Err(HelloFailure::OtherProtocol(Protocol::Pymasep)),
        ),
    ] {
        let mut pair = Pair::speaking(client, server);
        pair.settle();
        match expected {
            Ok(protocol) => {
                for side in [&pair.agent, &pair.engine] {
                    assert!(
                        side.events.contains(&Event::Open),
                        "{client:?} {server:?}: {side:?}"
                    );
                    assert_eq!(side.core.protocol(), protocol);
                }
                assert_eq!(pair.agent.core.peer().map(PeerId::as_str), Some("engine"));
                assert_eq!(pair.engine.core.peer().map(PeerId::as_str), Some("agent"));
                pair.agent.send(b"to the engine", pair.now).unwrap();
                pair.engine.send(b"to the agent", pair.now).unwrap();
                pair.settle();
                assert_eq!(pair.engine.received, [Frame::from("to the engine")]);
                assert_eq!(pair.agent.received, [Frame::from("to the agent")]);
                pair.agent.core.end(CloseReason::LocalBye, pair.now);
                pair.pass(5 * SECOND);
                assert_eq!(pair.engine.reason(), Some(CloseReason::PeerBye));
                assert_eq!(pair.agent.reason(), Some(CloseReason::LocalBye));
            }
            Err(failure) => {
                assert_eq!(pair.agent.failure(), Some(failure));
                let failure = pair.engine.failure().expect("it failed");
                assert_eq!(failure, HelloFailure::OtherProtocol(Protocol::Masep2));
                assert_eq!(RejectReason::from(failure).as_str(), "other_protocol");
                pair.pass(5 * SECOND);
            }
        }
        assert!(pair.agent.core.is_over() && pair.engine.core.is_over());
    }
    // An old client learns nothing but that it is refused.
    let mut pair = Pair::speaking(Pymasep, Masep2);
    pair.settle();
    assert_eq!(pair.agent.reason(), Some(CloseReason::Rejected));
    let failure = HelloFailure::OtherProtocol(Protocol::Pymasep);
    assert_eq!(pair.engine.failure(), Some(failure));
}

#[test]
fn any_cut_of_the_agreement_is_the_same_agreement() {
    for seed in 0..300 {
        let mut pair = Pair::speaking(Protocols::Both, Protocols::Both);
        pair.cuts = Some(Random::new(seed));
        pair.to_engine.capacity = 1 + (seed as usize * 7) % 60;
        pair.settle();
        for side in [&pair.agent, &pair.engine] {
            assert_eq!(side.core.protocol(), Protocol::Masep2);
            assert!(side.events.contains(&Event::Open), "{seed}: {side:?}");
            assert!(!side.core.peer_splits_frames());
        }
    }
    // Each single cut, with a pause in which an unmodified client would be found out.
    let client = [preamble::CLIENT, &hello_frame(hello("agent"))].concat();
    for at in 1..client.len() {
        let mut pair = Pair::undecided(Protocols::Both);
        pair.to_engine.bytes.extend(&client[..at]);
        pair.run(false);
        pair.wake_after(false, 10 * MILLISECOND);
        assert!(pair.engine.events.is_empty(), "{at}");
        pair.to_engine.bytes.extend(&client[at..]);
        pair.run(false);
        assert_eq!(pair.engine.events, [Event::Hello], "{at}");
        assert!(!pair.engine.core.peer_splits_frames());
    }
}

#[test]
fn frames_behind_the_welcome_come_with_it() {
    let mut pair = Pair::undecided(Protocols::Both);
    pair.settle();
    pair.engine.core.admit(pair.now);
    pair.to_agent.capacity = 30;
    pair.engine.send(b"first", pair.now).unwrap();
    pair.engine.send(&[7; 10_000], pair.now).unwrap();
    pair.settle();
    let received: Vec<_> = pair.agent.received.iter().map(Frame::size).collect();
    assert_eq!(received, [5, 10_000]);
    assert_eq!(pair.engine.core.written(), 2);
}

/// Gives a client this answer of the test's server.
pub(crate) fn client_meets(protocols: Protocols, token: Option<&str>, answer: &[u8]) -> Pair {
    let mut offer = hello("");
    offer.token = token.map(Into::into);
    let config = |id| config(id, &Limits::default(), protocols);
    let mut pair = Pair::with(config("agent").offer(offer), config("engine"), 1 << 20);
    pair.run(true);
    pair.to_agent.bytes.extend(answer);
    pair.run(true);
    pair
}

#[test]
fn a_whole_hello_of_pymaseps_leads_to_another_connection_and_nothing_more_is_said_on_this() {
    for answer in [
        PYMASEP,
        PYMASEP_REFUSAL,
        b"\0\0",
        b"\x06\0masep/",
        b"\x06\0engine\x01\0x",
    ] {
        let mut pair = client_meets(Protocols::Both, None, answer);
        assert_eq!(
            pair.agent.failure(),
            Some(HelloFailure::ConnectAgain),
            "{answer:?}"
        );
        assert_eq!(pair.agent.actions, [Action::HalfClose, Action::Close]);
        let said = pair.written(true);
        let rest = said.strip_prefix(preamble::CLIENT).expect("the preamble");
        assert_eq!(messages(rest).len(), 1, "the hello and nothing else");
        pair.pass(10 * SECOND);
        assert_eq!(pair.agent.events, [Event::Failed, Event::Over]);
    }
}

#[test]
fn a_client_that_wants_protocol_2_or_has_a_token_does_not_fall_back() {
    let expected = HelloFailure::OtherProtocol(Protocol::Pymasep);
    for (protocols, token) in [(Protocols::Masep2, None), (Protocols::Both, Some("secret"))] {
        let pair = client_meets(protocols, token, PYMASEP);
        assert_eq!(pair.agent.failure(), Some(expected.clone()));
    }
}

/// An attacker that can cut a connection, or delay it, does not bring a client to pymasep's protocol by that.
#[test]
fn nothing_but_a_whole_hello_leads_to_pymaseps_protocol() {
    for end in ["time", "reset", "end", "failed write"] {
        for answer in [
            &b""[..],
            b"\x06",
            b"\x06\0engin",
            &preamble::SERVER[..9],
            &preamble::SERVER[..15],
        ] {
            let mut pair = Pair::speaking(Protocols::Both, Protocols::Both);
            if end == "failed write" {
                pair.to_engine.fails = Some(std::io::ErrorKind::BrokenPipe);
            }
            pair.to_agent.bytes.extend(answer);
            pair.run(true);
            match end {
                "reset" => pair.to_agent.reset = true,
                "end" => pair.to_agent.shut = true,
                _ => {}
            }
            pair.run(true);
            pair.wake_after(true, 5 * SECOND);
            let failure = pair.agent.failure().expect("it failed");
            let is_expected = match end {
                "time" => failure == HelloFailure::TimedOut(5 * SECOND),
                _ => failure == HelloFailure::Closed,
            };
            assert!(is_expected, "{end}: {failure:?}");
            pair.pass(5 * SECOND);
            assert!(pair.agent.core.is_over());
        }
    }
    // Bytes that are no id lead nowhere either.
    for (answer, error) in [
        (&b"\x03\0BYE"[..], HelloError::Bye),
        (b"\x01\0\xff", HelloError::NotUtf8),
        (b"\x07\0masep/2\x03\0BYE\0\0", HelloError::Preamble),
        (b"\x07\0masep/3\0\0\0\0\0\0\0", HelloError::Version(3, 3)),
        (b"\x07\0masep/1\0\0\0\0\0\0\0", HelloError::Version(1, 1)),
    ] {
        let pair = client_meets(Protocols::Both, None, answer);
        assert_eq!(
            pair.agent.failure(),
            Some(HelloFailure::Bad(error)),
            "{answer:?}"
        );
    }
    let large = client_meets(Protocols::Both, None, b"\x01\x04");
    assert!(matches!(
        large.agent.failure(),
        Some(HelloFailure::Bad(HelloError::Limit(_)))
    ));
}

#[test]
fn forged_and_outdated_answers_are_errors() {
    let with_version = |version| {
        let mut welcome = welcome();
        welcome.version = version;
        welcome_frame(welcome)
    };
    let of = |id: &str| welcome_frame(Welcome::new(PeerId::from(id), 1));
    for answer in [
        with_version(1),
        with_version(3),
        of("masep/2"),
        hello_frame(hello("engine")),
        control(&Control::Ping([0; 8])),
        frame(kind::CBOR, b""),
        frame(kind::BYTES, b"x"),
        frame(200, b""),
        frame(9, b""),
        frame(kind::WELCOME, b"\xa0"),
        Header::new(kind::WELCOME, 4_097).to_bytes().to_vec(),
        b"\x00\0\0\0\x02\x01\0\0".to_vec(),
    ] {
        let pair = client_meets(Protocols::Both, None, &[preamble::SERVER, &answer].concat());
        let failure = pair.agent.failure();
        assert!(
            matches!(failure, Some(HelloFailure::Bad(_))),
            "{answer:x?}: {failure:?}"
        );
    }
}

#[test]
fn a_client_of_a_later_generation_is_served_if_it_speaks_this_one_too() {
    for first in [
        &b"\x07\0masep/3\x03\0BYE\0\0"[..],
        b"\x0a\0masep/2222\x03\0BYE\0\0",
    ] {
        for (versions, is_served) in [((2, 3), true), ((1, 2), true), ((3, 9), false)] {
            let mut pair = Pair::undecided(Protocols::Both);
            let mut hello = hello("agent");
            hello.versions = versions;
            hello.features = vec!["of-another-time".into()];
            // And a key of another time.
            let mut payload = Control::Hello(Box::new(hello)).encode().unwrap().to_vec();
            payload[0] += 1;
            payload.extend(b"\x63new\xd9\xff\xff\x01");
            pair.to_engine.bytes.extend(first);
            pair.to_engine.bytes.extend(frame(kind::HELLO, &payload));
            pair.run(false);
            if is_served {
                assert_eq!(pair.engine.events, [Event::Hello]);
                pair.engine.core.admit(pair.now);
                pair.run(false);
                let bytes = pair.written(false);
                assert!(bytes.starts_with(preamble::SERVER));
            } else {
                let rejected = refusal(&pair.written(false));
                assert_eq!((&*rejected.code, rejected.versions), ("version", (2, 2)));
            }
        }
    }
    // One that does not exist.
    let mut pair = Pair::undecided(Protocols::Both);
    pair.to_engine.bytes.extend(b"\x07\0masep/1\x03\0BYE\0\0");
    pair.run(false);
    let error = HelloError::Version(1, 1);
    assert_eq!(pair.engine.failure(), Some(HelloFailure::Bad(error)));
}

#[test]
fn a_refusal_says_why() {
    let duplicate = RejectReason::DuplicateId(PeerId::from("agent"));
    let full = RejectReason::TooManyConnections(exceeded(masep_proto::Limit::Connections, 9, 8));
    let own = RejectReason::Rejected(Rejected::new("wrong_token", "this token\u{1b} has expired"));
    for (reason, code, retry) in [
        (&duplicate, "duplicate_id", None),
        (&full, "too_many_connections", Some(1_000)),
        (&own, "wrong_token", None),
        (&RejectReason::Undecided(SECOND), "undecided", Some(1_000)),
        (&RejectReason::Stopped, "stopped", Some(1_000)),
    ] {
        let mut pair = Pair::undecided(Protocols::Both);
        pair.settle();
        pair.engine
            .core
            .refuse_with(Rejected::from(reason), pair.now);
        pair.settle();
        let Some(HelloFailure::Rejected(rejected)) = pair.agent.failure() else {
            panic!("{:?}", pair.agent);
        };
        assert_eq!((&*rejected.code, rejected.retry_ms), (code, retry));
        let shown = HelloFailure::Rejected(rejected).to_string();
        assert!(!shown.contains('\u{1b}') && shown.contains(code), "{shown}");
        assert_eq!(pair.engine.failure(), Some(HelloFailure::Refused));
        pair.pass(5 * SECOND);
        assert!(pair.agent.core.is_over() && pair.engine.core.is_over());
        assert_eq!(pair.engine.actions.last(), Some(&Action::Close));
    }
}

#[test]
fn the_reason_of_a_door_is_told_and_kept() {
    let reason = RejectReason::DuplicateId(PeerId::from("agent"));
    for at_once in [false, true] {
        let mut pair = Pair::undecided(Protocols::Both);
        pair.settle();
        let refusal = Refusal {
            reason: reason.clone(),
            at_once,
        };
        pair.engine.core.turn_away(refusal, pair.now);
        pair.settle();
        let Some(HelloFailure::Rejected(rejected)) = pair.agent.failure() else {
            panic!("{:?}", pair.agent);
        };
        let code = if at_once { "refused" } else { "duplicate_id" };
        assert_eq!(rejected.code, code);
        assert!(pair.engine.events.contains(&Event::Failed));
        assert_eq!(pair.engine.core.take_reject_reason(), Some(reason.clone()));
        assert_eq!(pair.engine.core.take_reject_reason(), None);
    }
}

#[test]
fn what_is_no_hello_of_protocol_2_is_refused_in_it() {
    let twice = b"\xa4\x61v\x82\x02\x02\x62id\x61a\x63max\x01\x62id\x61b";
    let reserved = hello_frame(hello("masep/2"));
    for bytes in [
        frame(kind::HELLO, twice),
        frame(kind::HELLO, b"\xa0"),
        frame(kind::BYE, b"\xa1\x64code\x61x"),
        frame(kind::CBOR, b"\xa0"),
        frame(77, b""),
        Header::new(kind::HELLO, 4_097).to_bytes().to_vec(),
        Header::new(kind::HELLO, u32::MAX).to_bytes().to_vec(),
        reserved,
    ] {
        let mut pair = Pair::undecided(Protocols::Both);
        pair.to_engine.bytes.extend(preamble::CLIENT);
        pair.to_engine.bytes.extend(&bytes);
        pair.run(false);
        pair.wake_after(false, 200 * MILLISECOND);
        let failure = pair.engine.failure().expect("it failed");
        assert_eq!(
            RejectReason::from(failure).as_str(),
            "bad_hello",
            "{bytes:x?}"
        );
        assert_eq!(refusal(&pair.written(false)).code, "bad_hello");
    }
    // Bytes that begin as a preamble and are none.
    let mut pair = Pair::undecided(Protocols::Both);
    pair.to_engine.bytes.extend(b"\x07\0masep/2\x05\0hello");
    pair.run(false);
    let error = HelloError::Preamble;
    assert_eq!(pair.engine.failure(), Some(HelloFailure::Bad(error)));
    // Tags of tags, arrays of arrays.
    for byte in [0xc6, 0x81, 0xa1] {
        let mut pair = Pair::undecided(Protocols::Both);
        let payload = [&b"\xa1\x63new"[..], &[byte; 4_000]].concat();
        pair.to_engine.bytes.extend(preamble::CLIENT);
        pair.to_engine.bytes.extend(frame(kind::HELLO, &payload));
        pair.run(false);
        assert!(matches!(
            pair.engine.failure(),
            Some(HelloFailure::Bad(HelloError::Control(_)))
        ));
    }
}

#[test]
fn a_peer_that_is_refused_before_it_was_heard_is_told_in_its_own_protocol() {
    let client = [preamble::CLIENT, &hello_frame(hello("agent"))].concat();
    for heard in [0, 9, 16, 20, client.len()] {
        for hears_rest in [true, false] {
            let mut pair = Pair::undecided(Protocols::Both);
            pair.to_engine.bytes.extend(&client[..heard]);
            if heard < client.len() {
                pair.run(false);
            }
            pair.engine.core.refuse(pair.now);
            pair.run(false);
            if hears_rest {
                pair.to_engine.bytes.extend(&client[heard..]);
                pair.run(false);
            } else {
                pair.wake_after(false, 200 * MILLISECOND);
            }
            let bytes = pair.written(false);
            if heard == 0 && !hears_rest {
                assert_eq!(bytes, PYMASEP_REFUSAL, "it is not known what it speaks");
            } else {
                assert_eq!(refusal(&bytes).code, "refused", "{heard}");
            }
        }
    }
}

/// Under load nothing is waited for. A client of protocol 2 that took the answer for pymasep's would come back at once.
#[test]
fn one_that_is_refused_at_once_is_told_in_its_own_protocol_if_it_has_spoken() {
    let client = [preamble::CLIENT, &hello_frame(hello("agent"))].concat();
    for (arrived, expected) in [
        (&client[..], true),
        (&client[..12], true),
        (b"\x05\0agent", false),
        (b"", false),
    ] {
        let mut pair = Pair::undecided(Protocols::Both);
        pair.to_engine.bytes.extend(arrived);
        pair.engine.core.abort(CloseReason::Aborted, pair.now);
        pair.run(false);
        assert!(pair.engine.core.is_over());
        let bytes = pair.written(false);
        if expected {
            assert_eq!(refusal(&bytes).code, "refused");
        } else {
            assert_eq!(bytes, PYMASEP_REFUSAL);
        }
    }
}

#[test]
fn a_client_that_dies_within_the_agreement_leaves_nothing() {
    let client = [preamble::CLIENT, &hello_frame(hello("agent"))].concat();
    for at in 0..=client.len() {
        for reset in [false, true] {
            let mut pair = Pair::undecided(Protocols::Both);
            pair.to_engine.bytes.extend(&client[..at]);
            pair.run(false);
            pair.to_engine.shut = !reset;
            pair.to_engine.reset = reset;
            pair.run(false);
            if at == client.len() {
                // It waited for the verdict, in which it was still read.
                pair.engine.core.admit(pair.now);
            }
            pair.agent.core.abort(CloseReason::Aborted, pair.now);
            pair.to_agent.closed = true;
            pair.pass(10 * SECOND);
            assert!(
                pair.engine.core.is_over(),
                "{at} {reset}: {:?}",
                pair.engine
            );
            assert!(!pair.engine.events.contains(&Event::Open));
        }
    }
    // A silent one has five seconds, as any other.
    let mut pair = Pair::undecided(Protocols::Both);
    pair.to_engine.bytes.extend(&client[..20]);
    pair.run(false);
    pair.now += 5 * SECOND;
    pair.engine.core.handle_timeout(pair.now);
    assert_eq!(
        pair.engine.failure(),
        Some(HelloFailure::TimedOut(5 * SECOND))
    );
}

#[test]
fn an_id_that_the_protocol_has_for_itself_is_no_ones() {
    for id in ["masep/2", "masep/0", "masep/12345678"] {
        let refused = Config::new(id, Limits::default());
        assert!(matches!(refused, Err(HelloError::Reserved)), "{id}");
    }
    assert!(Config::new("masep/x", Limits::default()).is_ok());
}

#[test]
fn a_seat_goes_with_the_welcome() {
    let mut pair = Pair::undecided(Protocols::Both);
    pair.settle();
    let mut given = Welcome::new(PeerId::from("engine"), 7);
    given.seat = Some("red".into());
    given.resume = Some("again".into());
    given.epoch = Some(1);
    pair.admit_with(given);
    pair.settle();
    let welcome = pair.agent.core.welcome().expect("a welcome");
    assert_eq!((&*welcome.id, welcome.max), ("engine", 1 << 20));
    assert_eq!(welcome.seat.as_deref(), Some("red"));
    assert_eq!(welcome.resume.as_deref(), Some("again"));
    assert_eq!(welcome.epoch, Some(1));
}

#[test]
fn a_side_that_stands_in_for_another_says_hello_by_its_id_in_either_protocol() {
    for protocols in [Protocols::Masep2, Protocols::Pymasep] {
        let mut pair = Pair::speaking(protocols, Protocols::Both);
        pair.engine.admits = false;
        pair.settle();
        pair.admit_with(Welcome::new(PeerId::from("far engine"), 0));
        pair.settle();
        assert_eq!(pair.agent.core.peer().map(|id| &**id), Some("far engine"));
    }
}

#[test]
fn a_peer_is_not_taken_by_an_id_that_no_hello_can_have() {
    for protocols in [Protocols::Masep2, Protocols::Pymasep] {
        let mut pair = Pair::speaking(protocols, Protocols::Both);
        pair.engine.admits = false;
        pair.settle();
        let welcome = Welcome::new(PeerId::from("x".repeat(2_000)), 0);
        pair.admit_with(welcome);
        pair.settle();
        assert!(!pair.engine.core.was_open());
        assert!(matches!(
            pair.engine.core.failure(),
            Some(HelloFailure::Bad(_))
        ));
    }
}
