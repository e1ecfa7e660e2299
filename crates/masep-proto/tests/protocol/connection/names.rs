//! Names that are not printable: no side takes them, and none says them.

use masep_proto::connection::{Config, Event, HelloFailure, Protocols, PushError};
use masep_proto::protocol2::{Bye, Control, Notice, Rejected, Welcome, preamble};
use masep_proto::{
    CloseReason, DecodeError, DecodeErrorKind, EncodeError, HelloError, Limits, PeerId,
    is_printable,
};

use super::agreement::{client_meets, hello, hello_frame, refusal, welcome};
use super::pair::Pair;
use crate::wire::control;

/// A control message in which one text is another one of as many bytes, which this library does not write.
fn forged(message: &Control, text: &str, other: &str) -> Vec<u8> {
    assert_eq!(text.len(), other.len());
    let bytes = control(message);
    let at = bytes
        .windows(text.len())
        .position(|at| at == text.as_bytes());
    let at = at.expect("the text is in it");
    [&bytes[..at], other.as_bytes(), &bytes[at + text.len()..]].concat()
}

fn is_not_printable(error: &DecodeError) -> bool {
    matches!(error.kind, DecodeErrorKind::NotPrintable(_))
}

/// Names that are not only seen: at the beginning, in the middle, at the end.
const NOT_PRINTABLE: [&str; 7] = [
    "\u{1b}ngine",
    "engi\ne",
    "\0ngine",
    "engin\u{7f}",
    "eng\u{9b}e",
    "eng\u{202e}",
    "\u{feff}ine",
];

#[test]
fn a_server_whose_names_are_not_printable_is_refused() {
    for other in NOT_PRINTABLE {
        let mut seated = Welcome::new(PeerId::from("server"), 1);
        seated.seat = Some("engine".into());
        let mut living = Welcome::new(PeerId::from("server"), 1);
        living.instance = Some("engine".into());
        let mut able = Welcome::new(PeerId::from("server"), 1);
        able.features = vec!["engine".into()];
        let mut speaking = Welcome::new(PeerId::from("server"), 1);
        speaking.profile = Some("engine".into());
        let rejected = Control::Rejected(Rejected::new("engine", "no"));
        let welcomes = [welcome(), seated, living, able, speaking];
        let answers = welcomes.map(|welcome| Control::Welcome(Box::new(welcome)));
        for answer in answers.into_iter().chain([rejected]) {
            let answer = forged(&answer, "engine", other);
            let pair = client_meets(Protocols::Both, None, &[preamble::SERVER, &answer].concat());
            let failure = pair.agent.failure();
            assert!(
                matches!(&failure, Some(HelloFailure::Bad(HelloError::Control(error))) if is_not_printable(error)),
                "{answer:x?}: {failure:?}"
            );
        }
    }
}

#[test]
fn a_client_whose_names_are_not_printable_is_told_so() {
    for other in NOT_PRINTABLE {
        let mut seated = hello("agent");
        seated.seat = Some("engine".into());
        for said in [hello("engine"), seated] {
            let mut pair = Pair::undecided(Protocols::Both);
            let said = forged(&Control::Hello(Box::new(said)), "engine", other);
            pair.to_engine.bytes.extend(preamble::CLIENT);
            pair.to_engine.bytes.extend(&said);
            pair.run(false);
            let failure = pair.engine.failure();
            assert!(
                matches!(&failure, Some(HelloFailure::Bad(HelloError::Control(error))) if is_not_printable(error)),
                "{said:x?}: {failure:?}"
            );
            let rejected = refusal(&pair.written(false));
            assert_eq!(rejected.code, "bad_hello");
            assert!(rejected.text.chars().all(is_printable), "{rejected:?}");
        }
        // pymasep takes any text for an id.
        let mut pair = Pair::undecided(Protocols::Both);
        let size = u16::try_from(other.len()).expect("it is small");
        pair.to_engine.bytes.extend(size.to_le_bytes());
        pair.to_engine.bytes.extend(other.as_bytes());
        pair.run(false);
        assert_eq!(pair.engine.events, [Event::Hello], "{other:?}");
    }
}

#[test]
fn names_that_no_peer_could_take_are_refused_before_they_are_said() {
    for name in NOT_PRINTABLE {
        let config = Config::new(name, Limits::default()).expect("pymasep takes it");
        let own = config.protocols(Protocols::Both).check_offer();
        assert_eq!(
            own,
            Err(HelloError::Own(EncodeError::NotPrintable(name.into())))
        );
        let mut offer = hello("agent");
        offer.seat = Some(name.into());
        let config = Config::new("agent", Limits::default()).expect("an id");
        assert!(config.offer(offer).check_offer().is_err());

        let mut pair = Pair::undecided(Protocols::Both);
        pair.to_engine.bytes.extend(preamble::CLIENT);
        pair.to_engine.bytes.extend(hello_frame(hello("agent")));
        pair.run(false);
        let mut given = welcome();
        given.seat = Some(name.into());
        pair.admit_with(given);
        pair.run(false);
        assert!(matches!(
            pair.engine.failure(),
            Some(HelloFailure::Bad(HelloError::Own(_)))
        ));
        assert_eq!(refusal(&pair.written(false)).code, "refused");
    }
}

#[test]
fn a_notice_or_a_bye_whose_code_is_not_printable_ends_the_connection() {
    for other in NOT_PRINTABLE {
        for message in [
            Control::Notice(Notice::new("engine", "")),
            Control::Bye(Bye::new("engine", "")),
        ] {
            let mut pair = Pair::open2();
            pair.to_agent
                .bytes
                .extend(forged(&message, "engine", other));
            pair.run(true);
            let reason = pair.agent.reason();
            assert!(
                matches!(&reason, Some(CloseReason::BadFrame(why)) if why.contains("not a printable name")),
                "{reason:?}"
            );
        }
        // This side's own words are without these characters, or an error.
        let mut pair = Pair::open2();
        let mut notice = Notice::new(other, "");
        assert!(notice.code.chars().all(is_printable));
        assert!(pair.engine.core.notice(notice.clone(), pair.now).is_ok());
        notice.code = other.into();
        assert!(matches!(
            pair.engine.core.notice(notice, pair.now),
            Err(PushError::Form(EncodeError::NotPrintable(_)))
        ));
    }
}
