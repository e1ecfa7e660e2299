//! Clients that ask for a profile: their server says that it speaks it, or there is no connection.

use masep_proto::connection::{Config, Event, HelloFailure, Protocols};
use masep_proto::protocol2::{Control, Hello, Protocol, Welcome, preamble};
use masep_proto::{CloseReason, Limits};

use super::agreement::{hello, welcome, welcome_frame};
use super::pair::{Pair, config};
use crate::wire::messages;

fn asking(protocols: Protocols) -> Config {
    let mut offer = hello("");
    offer.profile = Some("game/1".into());
    config("agent", &Limits::default(), protocols).offer(offer)
}

/// A client that asks for a profile, and a server of both protocols whose host has its HELLO.
fn asked() -> Pair {
    let engine = config("engine", &Limits::default(), Protocols::Both);
    let mut pair = Pair::with(asking(Protocols::Masep2), engine, 1 << 20);
    pair.engine.admits = false;
    pair.settle();
    let said = pair.engine.core.hello().and_then(|it| it.profile.clone());
    assert_eq!(said.as_deref(), Some("game/1"));
    pair
}

fn answer(profile: Option<&str>) -> Welcome {
    let mut welcome = welcome();
    welcome.game = Some("pursuit.PursuitGame".into());
    welcome.profile = profile.map(Into::into);
    welcome
}

#[test]
fn a_client_is_served_where_its_profile_is_spoken() {
    let mut pair = asked();
    pair.admit_with(answer(Some("game/1")));
    pair.settle();
    let told = pair.agent.core.welcome().expect("it is open");
    assert_eq!(told.profile.as_deref(), Some("game/1"));
    assert!(pair.agent.events.contains(&Event::Open));
}

#[test]
fn a_client_that_is_taken_without_its_profile_leaves_at_once_and_says_why() {
    for (profile, words) in [
        (None, "nor any other"),
        (Some("game/2"), "but \"game/2\""),
        // A prefix is another one.
        (Some("game"), "but \"game\""),
        (Some(""), "but \"\""),
    ] {
        let mut pair = asked();
        pair.admit_with(answer(profile));
        pair.settle();
        let Some(HelloFailure::OtherProfile(other)) = pair.agent.failure() else {
            panic!("{profile:?}: {:?}", pair.agent.failure());
        };
        assert_eq!(
            (&*other.asked, other.spoken.as_deref()),
            ("game/1", profile)
        );
        assert_eq!(&*other.server, "engine");
        let shown = other.to_string();
        for part in ["\"engine\"", "\"game/1\"", words, "\"pursuit.PursuitGame\""] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert_eq!(pair.agent.events, [Event::Failed, Event::Over]);
        // Its server had taken it: there it is an end with these words, and not a mere silence.
        let Some(CloseReason::PeerByeWith(bye)) = pair.engine.reason() else {
            panic!("{profile:?}: {:?}", pair.engine.reason());
        };
        assert_eq!(&*bye.code, "unsupported_profile");
        assert!(bye.text.contains("game/1"), "{bye}");
    }
    // A host that says nothing of its own says no profile either.
    let mut pair = asked();
    pair.engine.core.admit(pair.now);
    pair.settle();
    let failure = pair.agent.failure();
    assert!(
        matches!(failure, Some(HelloFailure::OtherProfile(_))),
        "{failure:?}"
    );
}

#[test]
fn nothing_but_the_bye_is_said_to_a_server_without_the_profile() {
    let mut pair = asked();
    let before = pair.written(true).len();
    pair.to_agent.bytes.extend(preamble::SERVER);
    pair.to_agent.bytes.extend(welcome_frame(answer(None)));
    pair.run(true);
    let said = &pair.written(true)[before..];
    let [Control::Bye(bye)] = &messages(said)[..] else {
        panic!("{said:x?}");
    };
    assert_eq!(&*bye.code, "unsupported_profile");
}

#[test]
fn a_profile_that_nobody_asked_for_does_not_matter() {
    let mut pair = Pair::undecided(Protocols::Both);
    pair.settle();
    pair.admit_with(answer(Some("game/1")));
    pair.settle();
    assert!(pair.agent.events.contains(&Event::Open));
}

/// Text from outside is only seen where it is shown.
#[test]
fn the_words_of_a_server_steer_no_terminal() {
    let mut pair = asked();
    let mut given = answer(Some("x\"\u{301}"));
    given.game = Some("g\\".into());
    pair.admit_with(given);
    pair.settle();
    let shown = pair.agent.failure().expect("it is another").to_string();
    assert!(shown.contains(r#""x\"\u{301}""#), "{shown}");
    assert!(shown.contains(r#""g\\""#), "{shown}");
}

#[test]
fn a_client_with_a_profile_does_not_fall_back_to_a_protocol_that_has_none() {
    for protocols in [Protocols::Both, Protocols::Masep2] {
        let engine = Config::new("engine", Limits::default()).expect("an id");
        let mut pair = Pair::with(asking(protocols), engine, 1 << 20);
        pair.run(true);
        pair.to_agent.bytes.extend(b"\x06\0engine");
        pair.run(true);
        assert_eq!(
            pair.agent.failure(),
            Some(HelloFailure::OtherProtocol(Protocol::Pymasep))
        );
    }
    let mut said: Hello = hello("agent");
    assert!(!said.needs_protocol2());
    said.token = Some("access".into());
    assert!(said.needs_protocol2());
}
