//! The roles that `masep proxy` enforces before an engine, between bare sockets that speak pymasep's protocol. The whole
//! table of them is held against the gate, in masep-proto.

use masep::{Action, Dict, Element, Message, Role, TypeName};
use serde_json::json;

use crate::session::Session;
use crate::sidecar::{
    GAME, Guarded, action, bytes, define, end, goes, observation, quit, register,
};
use crate::socket::{Heard, Socket};

#[test]
fn one_that_has_not_registered_receives_nothing_and_says_nothing() {
    let mut guarded = Guarded::new(&["--quit", "actors"]);
    let (mut stranger, mut at_stranger) = guarded.join("a");
    for message in [
        action("a"),
        quit("a"),
        register("a", Role::Actor),
        bytes(&Message::end("a")),
    ] {
        stranger.send(message);
    }
    assert_eq!(guarded.denied(4), ["not_defined"; 4]);
    let (mut defined, mut at_defined) = guarded.join("b");
    goes(&mut defined, &mut at_defined, &define("b"));
    for message in [action("b"), quit("b"), bytes(&Message::end("b"))] {
        defined.send(message);
    }
    assert_eq!(guarded.denied(3), ["not_registered"; 3]);
    // The end of the game comes behind what it was shown, which neither hears.
    for (client, at_client) in [
        (&mut stranger, &mut at_stranger),
        (&mut defined, &mut at_defined),
    ] {
        at_client.send(observation(1));
        at_client.send(end());
        client.expect_bye();
    }
}

#[test]
fn one_that_has_registered_hears_what_comes_from_then_on() {
    let mut guarded = Guarded::new(&["--quit", "actors"]);
    let (mut client, mut at_client) = guarded.join("a");
    goes(&mut client, &mut at_client, &define("a"));
    client.send(action("a"));
    assert_eq!(guarded.denied(1), ["not_registered"]);
    // The first word that the engine hears behind its DEFINE.
    goes(&mut client, &mut at_client, &register("a", Role::Observer));
    at_client.send(observation(3));
    client.expect(observation(3));
}

#[test]
fn nobody_speaks_in_anothers_name_and_the_other_plays_on() {
    let mut guarded = Guarded::new(&["--quit", "actors"]);
    let (mut victim, mut at_victim) = guarded.play("victim", Role::Actor);
    let (mut thief, mut at_thief) = guarded.play("thief", Role::Actor);
    let (mut stranger, mut at_stranger) = guarded.join("stranger");
    for socket in [&mut thief, &mut stranger] {
        for message in [
            action("victim"),
            quit("victim"),
            define("victim"),
            register("victim", Role::Actor),
            bytes(&Message::new("dance", Dict::new(), "victim")),
        ] {
            socket.send(message);
        }
        assert_eq!(guarded.denied(5), ["not_yours"; 5]);
    }
    // Each has said nothing so far, for the engine.
    goes(&mut thief, &mut at_thief, &action("thief"));
    goes(&mut victim, &mut at_victim, &action("victim"));

    // A REGISTER for another id ends its own connection alone.
    stranger.send(define("stranger"));
    stranger.send(bytes(&Message::register(
        "stranger",
        "victim",
        0,
        Role::Observer,
    )));
    stranger.expect_bye();
    at_stranger.expect_bye();
    at_victim.send(observation(2));
    victim.expect(observation(2));
    goes(&mut victim, &mut at_victim, &action("victim"));
}

#[test]
fn an_observer_can_neither_act_nor_quit() {
    // Also where actors may.
    let mut guarded = Guarded::new(&["--quit", "actors"]);
    let (mut observer, mut at_engine) = guarded.play("o", Role::Observer);
    let (mut actor, mut at_actor) = guarded.play("a", Role::Actor);
    for message in [
        action("o"),
        quit("o"),
        register("o", Role::Actor),
        bytes(&Message::end("o")),
        action("o"),
    ] {
        observer.send(message);
    }
    assert_eq!(
        guarded.denied(5),
        [
            "not_a_player",
            "quit_denied",
            "repeated",
            "unexpected",
            "not_a_player"
        ]
    );
    goes(&mut actor, &mut at_actor, &action("a"));
    at_engine.send(observation(2));
    observer.expect(observation(2));
    goes(&mut actor, &mut at_actor, &quit("a"));
    // It leaves, and the engine hears of that at the end, and of nothing before.
    observer.send("BYE");
    at_engine.send(end());
    at_engine.expect_bye();
}

#[test]
fn the_engine_never_waits_for_one_that_has_left_and_knows_it_when_it_is_back() {
    let mut guarded = Guarded::new(&[]);
    let (observer, mut at_engine) = guarded.play("o", Role::Observer);
    let (actor, mut at_actor) = guarded.play("a", Role::Actor);
    let (mut other, mut at_other) = guarded.play("b", Role::Actor);
    observer.reset();
    drop(actor);
    for _ in 0..2 {
        assert_eq!(guarded.proxy.until("ended")["dir"], "c2s");
    }
    // pymasep's engine would wait for ever behind 278 of these if nobody took them.
    for step in 0..1_000 {
        for socket in [&mut at_engine, &mut at_actor] {
            socket.send(observation(20_000 + step));
        }
    }
    goes(&mut other, &mut at_other, &action("b"));
    // It is shown the newest that has been read, what is read from then on, and not all that it has missed. The engine
    // hears nothing.
    let mut observer = guarded.come_back("o", Role::Observer);
    let mut shown = Vec::new();
    while shown.last() != Some(&999) {
        let Heard::Frame(newer) = observer.hear() else {
            panic!("it ends behind {shown:?}");
        };
        shown.push(newer.len() - observation(20_000).len());
    }
    assert!(shown.is_sorted() && shown[0] > 0, "{shown:?}");
    at_engine.send(observation(7));
    observer.expect(observation(7));
    // An agent is not given twice, and its connection stays.
    let mut actor = guarded.come_back("a", Role::Actor);
    actor.expect_bye();
    at_actor.send(observation(8));
    for socket in [&mut at_engine, &mut at_actor, &mut at_other] {
        socket.send(end());
    }
    at_actor.expect_bye();
    observer.expect(end());
    observer.send("BYE");
    at_engine.expect_bye();
    other.expect(end());
}

#[test]
fn one_that_has_not_registered_is_sent_away_at_the_end_of_the_game() {
    let mut guarded = Guarded::new(&[]);
    let (mut waits, mut at_waits) = guarded.join("waits");
    let (mut defined, mut at_defined) = guarded.join("defined");
    defined.send(define("defined"));
    at_defined.expect(define("defined"));
    let (mut actor, mut at_actor) = guarded.play("a", Role::Actor);
    at_actor.send(end());
    actor.expect(end());
    // Not a byte of the game, and no wait for ever; and the engine, which waits for a BYE of each, can end.
    for socket in [&mut waits, &mut defined, &mut at_waits, &mut at_defined] {
        socket.expect_bye();
    }
    // Nor does the engine hear of those who come later.
    let mut late = Socket::connect(&guarded.address);
    late.send("late");
    assert!(matches!(late.hear(), Heard::Frame(_)));
    late.expect_bye();
    let refused = guarded.proxy.until("refused");
    assert!(
        refused["error"].as_str().unwrap().contains("over"),
        "{refused}"
    );
    actor.send(quit("a"));
    actor.send("BYE");
    at_actor.expect_bye();
}

#[test]
fn what_is_half_a_frame_too_large_or_too_deep_costs_its_sender_alone() {
    let mut guarded = Guarded::new(&[]);
    let (mut good, mut at_good) = guarded.play("good", Role::Observer);
    // In the middle of a frame, in both protocols.
    let (mut half, mut at_half) = guarded.join("half");
    half.write(&define("half")[..9]);
    drop(half);
    at_half.expect_bye();
    let (mut bad, _at_bad) = guarded.play("bad", Role::Actor);
    let deep = |open: &str, close: &str, times: usize| {
        format!(
            "<Message msg_type=\"action\" src_sub_app=\"bad\"><dict><item key=\"action\">\
             <Action type=\"1\"><ActionParameter name=\"p\">{}{}</ActionParameter></Action></item></dict></Message>",
            open.repeat(times),
            close.repeat(times)
        )
    };
    for (message, code) in [
        (deep("<a>", "</a>", 8_000), "no_message"),
        (deep("<list><item>", "</item></list>", 900), "no_message"),
        (deep("<list><item>", "</item></list>", 200), "bad_action"),
        (deep("<a>", "</a>", 200), "bad_action"),
    ] {
        bad.send(message);
        assert_eq!(guarded.denied(1), [code]);
    }
    bad.send(action("bad"));
    // A client of protocol 2 can say more than a frame of pymasep's holds.
    let to = format!("masep://{}", guarded.address);
    let mut large = Session::start(&["join", &to, "--id", "large"]);
    let (mut at_large, _) = Socket::welcome(&guarded.engine.listener);
    large.event("connected");
    let say = |message: &Message| json!({"message": message.to_json().unwrap()});
    large.send(say(&Message::define("large", TypeName::from(GAME))));
    large.send(say(&Message::register("large", "large", 0, Role::Actor)));
    at_large.expect(register("large", Role::Actor));
    at_large.send(observation(3));
    large.event("message");
    let action = Action::new(1).with("p", "x".repeat(100_000));
    large.send(say(&Message::action("large", action)));
    assert_eq!(guarded.denied(1), ["limit"]);
    at_good.send(observation(5));
    good.expect(observation(5));
}

/// One that took the proxy for a table, which numbers its turns, would wait for ever.
#[test]
fn a_player_of_protocol_2_plays_turns_through_the_proxy() {
    let guarded = Guarded::new(&[]);
    let target = format!("masep://{}", guarded.address);
    let args = ["join", &target, "--turns", "--game", GAME, "--id", "a"];
    let mut player = Session::start(&args);
    let (mut at_engine, said) = Socket::welcome(&guarded.engine.listener);
    assert_eq!(said, "a");
    at_engine.expect(define("a"));
    at_engine.expect(register("a", Role::Actor));
    player.event("joined");
    for number in [1, 2] {
        at_engine.send(observation(1));
        assert_eq!(player.event("turn")["turn"], number);
        let action = Message::action("a", Action::new(number));
        let element = Element::from(Action::new(number));
        player.send(json!({"action": {"$xml": element.to_string()}}));
        at_engine.expect(bytes(&action));
    }
    at_engine.send(end());
    assert_eq!(player.event("over")["reason"], "finished");
    assert_eq!(player.end().0, Some(0));
}
