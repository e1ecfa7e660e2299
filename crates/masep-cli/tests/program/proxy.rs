//! `masep proxy`, at an interface and at an engine, between bare sockets that speak pymasep's protocol.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::thread;
use std::time::Duration;

use masep::{Action, Message, Role, TypeName};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::run::{check_succeeds, command, framed, picked, run, run_command};
use crate::session::Session;
use crate::sidecar::{
    GAME, Sidecar, action, at_engine, at_interface, bytes, define, end, goes, observation, register,
};
use crate::socket::{Heard, Socket, listen, nobody};

#[test]
fn what_an_interface_and_an_engine_say_goes_through_as_it_is() {
    let mut sidecar = Sidecar::new(&[]);
    let (mut interface, mut engine) = sidecar.play("actor-漢", Role::Actor);
    interface.send(action("actor-漢"));
    engine.expect(action("actor-漢"));
    engine.send(observation(60_000));
    interface.expect(observation(60_000));
    engine.send(end());
    interface.expect(end());
    // As pymasep's interface leaves.
    interface.send(bytes(&Message::quit("actor-漢")));
    interface.send("BYE");
    engine.expect_bye();
    assert_eq!(sidecar.near.until("ended")["reason"], "peer_bye");
    assert_eq!(sidecar.far.until("ended")["reason"], "peer_bye");
}

/// A reader of the log that dies is no reason for a game to end.
#[test]
fn a_proxy_whose_output_is_closed_goes_on_and_says_bye_at_its_end() {
    let (listener, engine) = listen();
    let to = engine.to_string();
    let mut proxy = Session::start_unread(&[
        "proxy",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--to",
        &to,
        "--game",
        GAME,
        "--no-reach-check",
    ]);
    let listening: serde_json::Value = serde_json::from_str(&proxy.read_one_line()).unwrap();
    proxy.close_stdout();
    let mut interface = Socket::connect(listening["address"].as_str().unwrap());
    interface.send("actor");
    let (mut at_engine, _) = Socket::welcome(&listener);
    interface.expect("engine");
    goes(&mut interface, &mut at_engine, &define("actor"));
    proxy.signal(Signal::SIGTERM);
    interface.expect_bye();
    let (code, stderr) = proxy.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stderr.matches("standard output was closed").count() <= 1,
        "{stderr}"
    );
}

#[test]
fn every_end_is_a_bye_at_the_other_side() {
    let mut sidecar = Sidecar::new(&[]);
    // The engine's, whatever the client is; and those of clients that it does not send to.
    for number in 0..4 {
        let id = format!("observer-{number}");
        let (mut interface, mut engine) = match number {
            0 | 1 => sidecar.play(&id, Role::Observer),
            _ => sidecar.join(&id),
        };
        match number {
            0 => {
                engine.send("BYE");
                interface.expect_bye();
            }
            1 => {
                engine.reset();
                interface.expect_bye();
            }
            2 => {
                interface.reset();
                engine.expect_bye();
            }
            _ => {
                drop(interface);
                engine.expect_bye();
            }
        }
    }
    // Each link tells of both ends, and the second may come behind what the next link tells.
    let mut firsts = BTreeMap::new();
    for _ in 0..8 {
        let ended = sidecar.far.until("ended");
        let reason = ended["reason"].as_str().unwrap().to_owned();
        firsts.entry(ended["conn"].as_u64()).or_insert(reason);
    }
    let reasons: Vec<_> = firsts.into_values().collect();
    assert_eq!(reasons[0], "peer_bye");
    assert_eq!(reasons[1], "reset");
    // By the near proxy, in its words; or it was faster than the far one, which still let it in.
    for reason in &reasons[2..] {
        assert!(["peer_bye", "gone"].contains(&&**reason), "{reasons:?}");
    }
}

#[test]
fn both_ends_are_told_of_a_client_that_leaves_before_the_engine_has_answered() {
    let (engine, to) = listen();
    let (mut far, address) = at_engine(to, "127.0.0.1:0", &[]);
    let mut client = Socket::connect(address);
    client.send("a");
    let mut engine = Socket::accept(&engine);
    engine.expect("a");
    client.reset();
    engine.send("engine");
    engine.expect_bye();
    for told in [["c2s", "gone"], ["s2c", "local_bye"]] {
        let ended = far.until("ended");
        assert_eq!(picked(&ended, ["dir", "reason"]), json!(told));
    }
}

#[test]
fn a_look_through_both_tells_the_game_and_the_agents_that_are_free() {
    let sidecar = Sidecar::new(&[]);
    let (_actor, _at_actor) = sidecar.play("a", Role::Actor);
    for address in [&sidecar.address, &sidecar.far_address] {
        let address = format!("masep://{address}");
        let check = thread::spawn(move || check_succeeds(&[&address]));
        let (mut at_engine, _) = Socket::welcome(&sidecar.engine.listener);
        at_engine.expect_bye();
        let report = check.join().unwrap();
        assert_eq!(
            picked(&report, ["id", "game", "seats", "free"]),
            json!(["engine", GAME, 2, 1])
        );
    }
}

#[test]
fn a_proxy_that_ends_or_dies_leaves_nobody_waiting() {
    let sidecar = Sidecar::new(&[]);
    let (mut interface, mut engine) = sidecar.play("o", Role::Observer);
    sidecar.near.signal(Signal::SIGTERM);
    interface.expect_bye();
    sidecar.near.end_in_peace();
    // The engine goes on to send to it, until the other one ends too.
    engine.send(observation(2));
    sidecar.far.signal(Signal::SIGTERM);
    engine.expect_bye();
    sidecar.far.end_in_peace();

    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let sidecar = Sidecar::new(&[]);
        let (mut interface, mut engine) = sidecar.play("o", Role::Observer);
        sidecar.far.signal(signal);
        interface.expect_bye();
        if signal == Signal::SIGTERM {
            engine.expect_bye();
        }
    }
}

#[test]
fn an_end_has_its_words_for_a_client_of_protocol_2() {
    let (engine, to) = listen();
    let (_far, far) = at_engine(to, "masep://127.0.0.1:0", &[]);
    let mut client = Session::start(&["join", &format!("masep://{far}"), "--id", "a"]);
    let (engine_end, _) = Socket::welcome(&engine);
    assert_eq!(
        client.event("connected")["peer"],
        "engine",
        "by the engine's id"
    );
    engine_end.reset();
    let closed = client.event("closed");
    assert_eq!(
        picked(&closed, ["code", "may_return"]),
        json!(["link_lost", true])
    );
}

#[test]
fn an_interface_gets_a_hello_when_the_engine_has_said_one() {
    let sidecar = Sidecar::new(&[]);
    let mut interface = Socket::connect(&sidecar.address);
    interface.send("a");
    let mut engine = Socket::accept(&sidecar.engine.listener);
    engine.expect("a");
    // One that came later has its hello.
    let _other = sidecar.play("b", Role::Observer);
    interface.stream.set_nonblocking(true).unwrap();
    let early = interface.stream.peek(&mut [0]).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::WouldBlock);
    interface.stream.set_nonblocking(false).unwrap();
    engine.send("the engine's own id");
    interface.expect("the engine's own id");
}

#[test]
fn an_interface_that_the_far_side_does_not_take_is_told_bye() {
    // No engine.
    let (_nobody, to) = nobody();
    let (_far, far) = at_engine(to, "masep://127.0.0.1:0", &[]);
    let (mut near, address) = at_interface(&far);
    let mut interface = Socket::connect(&address);
    interface.send("a");
    let Heard::Frame(id) = interface.hear() else {
        panic!("no hello");
    };
    assert!(id.starts_with(b"proxy-"), "{id:?}");
    interface.expect_bye();
    let refused = near.until("refused");
    assert!(
        refused["error"].as_str().unwrap().contains("unreachable"),
        "{refused}"
    );

    // No far proxy.
    let (_nobody, to) = nobody();
    let (mut near, address) = at_interface(&to.to_string());
    let mut interface = Socket::connect(&address);
    interface.send("a");
    assert!(matches!(interface.hear(), Heard::Frame(_)));
    interface.expect_bye();
    near.until("refused");

    // One of the same id is there.
    let sidecar = Sidecar::new(&[]);
    let (mut first, mut at_engine) = sidecar.play("a", Role::Observer);
    let (_other_near, address) = at_interface(&sidecar.far_address);
    let mut second = Socket::connect(&address);
    second.send("a");
    assert!(matches!(second.hear(), Heard::Frame(_)));
    second.expect_bye();
    at_engine.send(observation(20));
    first.expect(observation(20));
}

#[test]
fn what_would_end_the_engine_stays_outside() {
    let mut sidecar = Sidecar::new(&[]);
    let (mut actor, mut engine) = sidecar.play("a", Role::Actor);
    let float = Message::action("a", Action::new(1).with("step", 0.5));
    for message in [
        Vec::new(),
        b"no XML".to_vec(),
        bytes(&float),
        action("b"),
        bytes(&Message::quit("a")),
        define("a"),
    ] {
        actor.send(&message);
    }
    actor.send(action("a"));
    engine.expect(action("a"));
    let codes: Vec<_> = (0..6)
        .map(|_| sidecar.far.until("denied")["code"].clone())
        .collect();
    let expected = [
        "no_message",
        "no_message",
        "bad_action",
        "not_yours",
        "quit_denied",
        "repeated",
    ];
    assert_eq!(codes, expected);
    // The interface cannot be told; who runs its proxy is.
    assert_eq!(sidecar.near.until("denied")["code"], "no_message");
    // One of another game does not stay.
    let (mut stranger, mut at_engine) = sidecar.join("s");
    stranger.send(bytes(&Message::define("s", TypeName::from("os.abort"))));
    stranger.expect_bye();
    at_engine.expect_bye();
}

#[test]
fn nothing_goes_to_one_that_has_not_registered() {
    let sidecar = Sidecar::new(&[]);
    let (mut stranger, mut at_stranger) = sidecar.join("a");
    let (mut interface, mut at_interface) = sidecar.join("b");
    for message in [define("b"), register("b", Role::Observer)] {
        goes(&mut interface, &mut at_interface, &message);
    }
    at_interface.send(observation(20));
    interface.expect(observation(20));
    at_stranger.send(observation(10));
    // The end of the game comes behind it.
    at_stranger.send(end());
    stranger.expect_bye();
}

#[test]
fn a_flood_or_a_stall_on_one_link_touches_no_other() {
    let mut sidecar = Sidecar::new(&[]);
    let (mut flooding, _) = sidecar.play("flood", Role::Observer);
    let (stalled, mut to_stalled) = sidecar.play("stalled", Role::Observer);
    let (mut actor, mut engine) = sidecar.play("a", Role::Actor);
    let frame = framed(action("flood"));
    let flood = frame.repeat(1_000);
    let flooder = thread::spawn(move || {
        // Until the peer ends it, or takes no more in time.
        let _ = flooding
            .stream
            .set_write_timeout(Some(Duration::from_secs(2)));
        for _ in 0..100 {
            if flooding.stream.write_all(&flood).is_err() {
                break;
            }
        }
    });
    // The engine does not wait for one that does not read, and that one does not stay.
    let large = framed(observation(60_000));
    for _ in 0..(64 << 20) / large.len() {
        to_stalled.write(&large);
    }
    for round in 0..100 {
        actor.send(action("a"));
        engine.expect(action("a"));
        engine.send(observation(round));
        actor.expect(observation(round));
    }
    flooder.join().unwrap();
    let ended = loop {
        let ended = sidecar.far.until("ended");
        if ended["reason"] == "queue_full" {
            break ended;
        }
    };
    assert_eq!(ended["dir"], "c2s");
    drop(stalled);
}

#[test]
fn frames_are_shown_where_they_are_asked_for() {
    let mut sidecar = Sidecar::new(&["--show"]);
    let (_interface, _engine) = sidecar.play("o", Role::Observer);
    let mut said = Vec::new();
    while said.len() < 5 {
        let json = sidecar.far.json();
        if json.get("event").is_none() {
            let kind = json["message"]["msg_type"].as_str().unwrap_or("hello");
            said.push(format!("{} {kind}", json["dir"].as_str().unwrap()));
        }
    }
    let expected = [
        "c2s hello",
        "s2c hello",
        "c2s define",
        "c2s register",
        "s2c observation",
    ];
    assert_eq!(said, expected);
}

#[test]
fn which_side_it_is_follows_from_where_it_connects() {
    for (args, part) in [
        (&["--to", "127.0.0.1:1"][..], "--game"),
        (
            &["--to", "masep://127.0.0.1:1", "--game", "a.B"][..],
            "--game",
        ),
        (
            &["--to", "masep://127.0.0.1:1", "--actors", "2"],
            "--actors",
        ),
        (
            &["--to", "masep://127.0.0.1:1", "--no-reach-check"],
            "--no-reach-check",
        ),
        (
            &["--to", "127.0.0.1:1", "--game", "a.B", "--tls-name", "a"],
            "--tls-name",
        ),
        (
            &[
                "--to",
                "127.0.0.1:1",
                "--game",
                "a.B",
                "--token-file",
                "/dev/null",
            ],
            "--token",
        ),
    ] {
        let ran = run(&[&["proxy", "--listen", "127.0.0.1:0"], args].concat(), "");
        ran.fails(2, part);
    }
    // At an engine no token is used, and the variable is for another verb. It comes as far as to listen.
    let here = ["proxy", "--listen", "192.0.2.1:0", "--game", "a.B"];
    let mut at_engine = command(&[&here[..], &["--to", "127.0.0.1:1"]].concat());
    let at_engine = at_engine.env("MASEP_TOKEN_FILE", "/dev/null/x");
    run_command(at_engine, "").fails(1, "cannot listen");
}
