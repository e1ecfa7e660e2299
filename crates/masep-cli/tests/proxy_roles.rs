//! The roles that `masep proxy` enforces before an engine, between bare sockets that speak pymasep's protocol. The whole
//! table of them is held against the gate, in masep-proto.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a test's report, also in what it calls"
)]

mod program;
mod session;
mod socket;

use std::net::TcpListener;

use masep::{Action, Dict, Element, Message, Role, TypeName};
use session::Session;
use socket::{Socket, listen};

const GAME: &str = "pkg.mod.Game";

/// A proxy before an engine made of a bare listener.
struct Guarded {
    engine: TcpListener,
    proxy: Session,
    address: String,
}

impl Guarded {
    fn new(options: &[&str]) -> Self {
        let (engine, to) = listen();
        let to = to.to_string();
        let mut args = vec!["proxy", "--json", "--listen", "127.0.0.1:0", "--to", &to];
        args.extend(["--game", GAME, "--actors", "2", "--no-reach-check"]);
        args.extend(options);
        let mut proxy = Session::start(&args);
        let address = proxy.address();
        Self {
            engine,
            proxy,
            address,
        }
    }

    /// An interface that has come through to the engine, and its other end there.
    fn join(&self, id: &str) -> (Socket, Socket) {
        let mut interface = Socket::connect(&self.address);
        interface.send(id);
        let (at_engine, said) = Socket::welcome(&self.engine);
        assert_eq!(said, id);
        interface.expect("engine");
        (interface, at_engine)
    }

    /// The same, registered and shown something.
    fn play(&self, id: &str, role: Role) -> (Socket, Socket) {
        let (mut interface, mut at_engine) = self.join(id);
        for message in [define(id), register(id, role)] {
            goes(&mut interface, &mut at_engine, &message);
        }
        at_engine.send(observation(1));
        interface.expect(observation(1));
        (interface, at_engine)
    }

    /// The codes of the next messages that do not go through.
    fn denied(&mut self, number: usize) -> Vec<String> {
        let mut codes = Vec::new();
        while codes.len() < number {
            let json = self.proxy.json();
            if json["event"] == "denied" {
                codes.push(json["code"].as_str().unwrap().to_owned());
            }
        }
        codes
    }
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_bytes().unwrap().to_vec()
}

fn define(id: &str) -> Vec<u8> {
    bytes(&Message::define(id, TypeName::from(GAME)))
}

fn register(id: &str, role: Role) -> Vec<u8> {
    bytes(&Message::register(id, id, 0, role))
}

fn action(id: &str) -> Vec<u8> {
    bytes(&Message::action(id, Action::new(1)))
}

fn quit(id: &str) -> Vec<u8> {
    bytes(&Message::quit(id))
}

fn observation(step: usize) -> Vec<u8> {
    let state = Element::parse(format!("<State name=\"State\" step=\"{step}\" />")).unwrap();
    bytes(&Message::observation("engine", state.into(), Dict::new()))
}

fn goes(interface: &mut Socket, at_engine: &mut Socket, message: &[u8]) {
    interface.send(message);
    at_engine.expect(message);
}

#[test]
fn one_that_has_not_registered_receives_nothing_and_says_nothing() {
    let mut guarded = Guarded::new(&["--quit", "actors"]);
    let (mut stranger, mut at_engine) = guarded.join("a");
    at_engine.send(observation(1));
    for message in [
        action("a"),
        quit("a"),
        register("a", Role::Actor),
        bytes(&Message::end("a")),
    ] {
        stranger.send(message);
    }
    assert_eq!(guarded.denied(4), ["not_defined"; 4]);
    goes(&mut stranger, &mut at_engine, &define("a"));
    at_engine.send(observation(2));
    for message in [action("a"), quit("a"), bytes(&Message::end("a"))] {
        stranger.send(message);
    }
    assert_eq!(guarded.denied(3), ["not_registered"; 3]);
    // The first that either hears is what comes behind its REGISTER.
    let registered = register("a", Role::Observer);
    goes(&mut stranger, &mut at_engine, &registered);
    at_engine.send(observation(3));
    stranger.expect(observation(3));
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
    goes(&mut stranger, &mut at_stranger, &define("stranger"));
    goes(&mut victim, &mut at_victim, &action("victim"));

    // A REGISTER for another id ends its own connection alone.
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
    // It leaves, and the engine has heard of it no more than that.
    observer.send("BYE");
    at_engine.expect_bye();
}
