//! `masep serve --seats` and `masep join --turns`.

use masep::Rejected;
use masep::blocking::Server;
use serde_json::{Value as Json, json};

use crate::directory::Directory;
use crate::run::{join_with_file, picked};
use crate::session::{self, Session};

const GAME: &str = "pursuit.PursuitGame";

/// A table with the seats red and blue.
fn serve(options: &[&str]) -> (Session, String) {
    let table = ["--seats", "red,blue", "--game", GAME];
    session::serve(&[&table, options].concat())
}

fn state(tick: i64) -> Json {
    json!({"$xml": format!("<State env_step=\"0\" tick=\"{tick}\" />")})
}

/// A player as pymasep's interfaces are.
fn pymaseps(address: &str, id: &str) -> Session {
    let pymaseps = format!("pymasep://{address}");
    let mut session = Session::start(&[
        "join", &pymaseps, "--id", id, "--role", "actor", "--game", GAME,
    ]);
    session.event("connected");
    session
}

fn ask(tick: i64) -> Json {
    json!({"ask": {"red": state(tick), "blue": state(tick)}})
}

#[test]
fn an_engine_asks_and_is_told_the_decisions() {
    let late = r#"{"$xml":"<Action type=\"0\" />"}"#;
    let seats = ["serve", "127.0.0.1:0", "--seats", "red,blue"];
    let mut table = Session::start(&seats);
    assert_eq!(table.event("listening")["seats"], json!(["red", "blue"]));
    // Ann has to be in time.
    let (mut engine, address) = serve(&["--deadline", "2s", "--late", late]);
    let mut red = pymaseps(&address, "ann");
    let seated = engine.event("seated");
    let names = ["seat", "id", "protocol", "token"];
    assert_eq!(picked(&seated, names), json!(["red", "ann", null, null]));
    assert!(
        seated["address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:"),
        "{seated}"
    );
    let _blue = pymaseps(&address, "ben");
    engine.event("seated");
    engine.event("filled");
    engine.send(ask(1));
    assert_eq!(engine.event("asked")["turn"], 1);
    let message = red.event("message");
    let xml = message["message"]["params"]["observation"]["$xml"].as_str();
    assert_eq!(xml, Some("<State env_step=\"1\" tick=\"1\" />"));
    let action = json!({"$xml": "<Action type=\"4\" />"});
    red.send(json!({"message": {"msg_type": "action", "params": {"action": action}}}));
    let decision = engine.event("decision");
    let expected = json!({
        "event": "decision", "turn": 1, "seat": "red", "how": "played", "action": action
    });
    assert_eq!(decision, expected);
    // Ben is late.
    let decision = engine.event("decision");
    let expected = json!({
        "event": "decision", "turn": 1, "seat": "blue", "how": "default", "why": "late",
        "action": {"$xml": "<Action type=\"0\" />"}
    });
    assert_eq!(decision, expected);
    for (line, kind) in [
        (json!({"ask": {"green": 1}}), "unknown_seat"),
        (json!({"ask": 1}), "unexpected"),
        (json!({}), "missing_key"),
    ] {
        engine.send(&line);
        assert_eq!(engine.event("error")["kind"], kind, "{line}");
    }
    engine.send(json!({"end": true}));
    engine.event("ended");
    engine.end_in_peace();
}

/// A player that plays turn by turn.
fn player(address: &str, id: &str, options: &[&str]) -> Session {
    let mut joining = vec![
        "join", address, "--id", id, "--role", "actor", "--game", GAME, "--turns",
    ];
    joining.extend(options);
    Session::start(&joining)
}

fn action(number: i64) -> Json {
    json!({"$xml": format!("<Action type=\"{number}\" />")})
}

/// Asks red for this turn; the first is also heard, before there is a newer one, which it would be asked instead.
fn ask_red(engine: &mut Session, red: &mut Session, turn: i64) {
    engine.send(json!({"ask": {"red": state(turn)}}));
    engine.event("asked");
    if turn == 1 {
        assert_eq!(red.event("turn")["turn"], 1);
    }
}

/// Answers the question of this turn.
fn answer(player: &mut Session, turn: u64, number: i64) {
    player.send(json!({"turn": turn, "action": action(number)}));
}

#[test]
fn a_player_that_is_killed_comes_back_with_its_seat_and_learns_what_counted() {
    let directory = Directory::new();
    let file = directory.path("resume");
    for scheme in ["masep", "pymasep"] {
        let (mut engine, address) = serve(&[]);
        let address = format!("{scheme}://{address}");
        let options = ["--resume-file", &file];
        let mut red = player(&address, "ann", &options);
        engine.event("seated");
        let mut blue = player(&address, "ben", &[]);
        engine.event("seated");
        engine.event("filled");
        blue.event("joined");
        let joined = red.event("joined");
        if scheme == "masep" {
            assert_eq!(picked(&joined, ["seat", "epoch"]), json!(["red", 1]));
        }
        engine.send(ask(1));
        engine.event("asked");
        let question = red.event("turn");
        assert_eq!(question["turn"], 1);
        blue.event("turn");
        answer(&mut blue, 1, 1);
        assert_eq!(engine.event("decision")["seat"], "blue");
        // It is killed with the question on its mind.
        red.signal(nix::sys::signal::Signal::SIGKILL);
        assert_eq!(engine.event("away")["seat"], "red");
        let mut red = player(&address, "ann", &options);
        let back = engine.event("back");
        assert_eq!(picked(&back, ["seat", "id"]), json!(["red", "ann"]));
        assert!(back["address"].is_string());
        assert_eq!(
            back["protocol"],
            if scheme == "masep" {
                json!(2)
            } else {
                Json::Null
            }
        );
        red.event("joined");
        // The engine asks the same, and takes one answer.
        let again = red.event("turn");
        assert_eq!(again["view"], question["view"]);
        let turn = again["turn"].as_u64().unwrap();
        answer(&mut red, turn, 5);
        let decision = engine.event("decision");
        assert_eq!(picked(&decision, ["turn", "seat"]), json!([1, "red"]));
        assert_eq!(decision["action"], action(5));
        engine.send(ask(2));
        engine.event("asked");
        let next = red.event("turn");
        if scheme == "masep" {
            assert_eq!(next["turn"], 2);
            assert_eq!(next["last"]["how"], "played");
        }
        engine.send(json!({"end": true}));
        assert_eq!(red.until("over")["reason"], "finished");
        red.end_in_peace();
        engine.until("ended");
        engine.end_in_peace();
    }
    assert!(directory.has("resume"));
}

#[test]
fn a_script_that_is_too_slow_is_asked_the_newest_and_told_what_did_not_count() {
    // The time in which the third question comes to the script.
    let (mut engine, address) = serve(&["--deadline", "1s", "--misses", "0"]);
    let mut red = player(&format!("masep://{address}"), "ann", &["--seat", "red"]);
    engine.event("seated");
    red.event("joined");
    for tick in 1..=3 {
        ask_red(&mut engine, &mut red, tick);
        let decision = engine.event("decision");
        assert_eq!(picked(&decision, ["how", "why"]), json!(["none", "late"]));
    }
    // It answers the first when the third is over. That was late, and counts for none.
    answer(&mut red, 1, 9);
    // In either order: the engine says that it was late, or the next turn that it was over.
    for _ in 0..2 {
        let told = red.json();
        let expected = match told["event"].as_str() {
            Some("not_counted") => json!([1, null]),
            Some("turn") => json!([3, 1]),
            _ => panic!("{told}"),
        };
        assert_eq!(picked(&told, ["turn", "skipped"]), expected);
    }
    answer(&mut red, 7, 9);
    assert_eq!(red.event("error")["kind"], "other_turn");
    engine.event("ignored");
    engine.send(json!({"ask": {"red": state(4)}, "deadline": null}));
    engine.event("asked");
    answer(&mut red, 3, 9);
    // In either order.
    for _ in 0..2 {
        let told = red.json();
        let turn = match told["event"].as_str() {
            Some("not_counted") => 3,
            Some("turn") => 4,
            _ => panic!("{told}"),
        };
        assert_eq!(told["turn"], turn);
    }
    answer(&mut red, 4, 4);
    // The turn tells the one, and the table the other: in either order.
    let mut told = [engine.json(), engine.json()];
    told.sort_by_key(|told| told["event"].to_string());
    let [decision, ignored] = told;
    assert_eq!(ignored["event"], "ignored");
    assert_eq!(
        picked(&decision, ["event", "how", "action"]),
        json!(["decision", "played", action(4)])
    );
    red.send(json!({"leave": true}));
    assert_eq!(red.until("over")["reason"], "finished");
    red.end_in_peace();
    assert_eq!(engine.event("gone")["seat"], "red");
}

/// A script that was stopped for too many turns, and answers turns alone, plays on.
#[test]
fn a_script_that_has_slept_is_asked_and_its_answer_wakes_it() {
    let (mut engine, address) = serve(&["--deadline", "50ms", "--misses", "1"]);
    let address = format!("masep://{address}");
    let mut red = player(&address, "ann", &["--seat", "red"]);
    engine.event("seated");
    // Somebody must be awake, or the table holds.
    let mut blue = player(&address, "ben", &["--seat", "blue"]);
    engine.event("seated");
    engine.event("filled");
    red.event("joined");
    blue.event("joined");
    for (tick, why) in [(1, "late"), (2, "asleep")] {
        ask_red(&mut engine, &mut red, tick);
        assert_eq!(engine.until("decision")["why"], why);
    }
    // It goes on with what it is asked, and is told that the first was late.
    answer(&mut red, 1, 9);
    let mut told: Vec<Json> = (0..2).map(|_| red.json()).collect();
    told.sort_by_key(|told| told["turn"].as_u64());
    assert_eq!(
        picked(&told[0], ["event", "turn"]),
        json!(["not_counted", 1])
    );
    let slept = json!({"turn": 2, "how": "none", "why": "asleep"});
    assert_eq!(picked(&told[1], ["event", "last"]), json!(["turn", slept]));
    engine.until("awake");
    // The answer to what it has slept through counts for none.
    answer(&mut red, 2, 9);
    let not_counted = red.event("not_counted");
    assert_eq!(picked(&not_counted, ["turn", "why"]), json!([2, "asleep"]));
    engine.send(json!({"ask": {"red": state(3)}, "deadline": null}));
    engine.until("asked");
    assert_eq!(red.event("turn")["turn"], 3);
    answer(&mut red, 3, 3);
    assert_eq!(engine.until("decision")["action"], action(3));
}

#[test]
fn elements_are_trees_where_that_is_asked_for_and_both_forms_are_read() {
    let (mut engine, address) = serve(&["--elements", "tree"]);
    let options = ["--seat", "red", "--elements", "tree"];
    let mut red = player(&format!("masep://{address}"), "ann", &options);
    engine.event("seated");
    red.event("joined");
    let tree = json!({"tag": "State", "attributes": {"env_step": "0"}, "children": [{"tag": "a", "text": "b"}]});
    engine.send(json!({"ask": {"red": {"$element": tree}}}));
    engine.event("asked");
    assert_eq!(red.event("turn")["view"], json!({"$element": tree}));
    red.send(json!({"turn": 1, "action": action(4)}));
    let expected = json!({"$element": {"tag": "Action", "attributes": {"type": "4"}}});
    assert_eq!(engine.event("decision")["action"], expected);
}

#[test]
fn a_resume_file_that_cannot_be_one_is_an_error_at_once() {
    let directory = Directory::new();
    let file = directory.write("resume", "x".repeat(5_000));
    let (_engine, address) = session::serve(&["--seats", "red"]);
    let join = join_with_file(&address, &file);
    let (code, error) = Session::start(&join).end();
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains(&file) && error.contains("2048"), "{error}");
    // An empty file proves nothing, and is no error.
    std::fs::write(&file, "\n").unwrap();
    let mut player = Session::start(&join);
    assert_eq!(player.event("joined")["seat"], "red");
}

/// The same words and exit codes as without turns.
#[test]
fn a_player_that_was_not_taken_or_sent_away_or_lost_says_so_and_has_the_exit_code_of_it() {
    let (mut engine, address) = serve(&[]);
    let address = format!("masep://{address}");
    let mut red = player(&address, "ann", &["--seat", "red", "--wait", "50ms"]);
    engine.event("seated");
    red.event("joined");
    let refused = player(&address, "ben", &["--seat", "green"]);
    let (code, stderr) = refused.end();
    assert_eq!(code, Some(5), "{stderr}");
    let words = "rejected by the server at 127.0.0.1";
    assert!(
        stderr.contains(words) && stderr.contains("unknown_seat"),
        "{stderr}"
    );
    let expected = json!({
        "event": "rejected", "id": "ben", "reason": "unknown_seat", "detail": "there is no such seat"
    });
    assert_eq!(engine.event("rejected"), expected);
    engine.send(json!({"kick": {"id": "ann"}}));
    let over = red.until("over");
    assert_eq!(
        picked(&over, ["reason", "code"]),
        json!(["ended", "kicked"])
    );
    red.end_in_peace();

    let (mut engine, address) = serve(&[]);
    let mut lost = player(&address, "ann", &["--seat", "red", "--wait", "50ms"]);
    engine.event("seated");
    lost.event("joined");
    drop(engine);
    let (code, stderr) = lost.end();
    assert_eq!(code, Some(4), "{stderr}");
    assert!(
        stderr.contains(&format!("lost the connection to {address}")),
        "{stderr}"
    );
    let nobody = player(&address, "ann", &["--wait", "50ms"]);
    let (code, stderr) = nobody.end();
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("cannot connect to 127.0.0.1"), "{stderr}");
}

/// By the server below the table, which knows no more than an address. pymasep's protocol has no words for it.
#[test]
fn an_engine_with_a_table_is_told_of_those_who_were_not_let_in() {
    let (mut engine, address) = serve(&["--protocols", "masep"]);
    let stranger = Session::start(&["join", &format!("pymasep://{address}"), "--id", "ann"]);
    let rejected = engine.event("rejected");
    assert_eq!(rejected["reason"], "other_protocol");
    assert!(
        rejected["address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    assert_eq!(stranger.end().0, Some(5));

    let (mut engine, address) = serve(&[]);
    let pymaseps = format!("pymasep://{address}");
    let other_game = [
        "join",
        &pymaseps,
        "--id",
        "ann",
        "--role",
        "actor",
        "--game",
        "other.Game",
    ];
    let mut stranger = Session::start(&other_game);
    stranger.event("connected");
    let rejected = engine.event("rejected");
    assert_eq!(
        picked(&rejected, ["id", "reason"]),
        json!(["ann", "unknown_game"])
    );
}

/// A turn that is open when the table ends is decided by that.
#[test]
fn the_end_of_a_table_is_told_last() {
    for _ in 0..10 {
        let (mut engine, address) = serve(&[]);
        let mut red = player(&format!("masep://{address}"), "ann", &["--seat", "red"]);
        engine.event("seated");
        engine.send(json!({"ask": {"red": 1}}));
        engine.event("asked");
        red.until("turn");
        engine.send(json!({"end": true}));
        assert_eq!(engine.until("decision")["why"], "closed");
        engine.until("ended");
        engine.end_in_peace();
    }
}

/// pymasep's interfaces have another id after each start.
#[test]
fn a_stranger_has_the_seat_of_a_pymasep_player_that_is_away_where_that_is_allowed() {
    for (options, code) in [
        (&["--strangers"][..], None),
        (&["--forget-time", "1ms"], Some("gone")),
    ] {
        let (mut engine, address) = serve(&[&["--grace", "1h"], options].concat());
        let ann = pymaseps(&address, "ann");
        engine.event("seated");
        let _ben = pymaseps(&address, "ben");
        engine.until("filled");
        drop(ann);
        engine.event("away");
        if let Some(event) = code {
            assert_eq!(engine.event(event)["seat"], "red");
            engine.send(json!({"open_seat": "red"}));
        }
        let _eve = pymaseps(&address, "eve");
        let seated = engine.until("seated");
        assert_eq!(picked(&seated, ["seat", "id"]), json!(["red", "eve"]));
    }
}

/// As without seats.
#[test]
fn what_a_player_has_not_taken_when_time_is_up_is_told() {
    let (mut engine, address) = serve(&[
        "--deadline",
        "1ms",
        "--misses",
        "0",
        "--drain-time",
        "200ms",
        "--queue-bytes",
        "100000000",
        "--write-time",
        "1h",
    ]);
    let mut red = player(&format!("masep://{address}"), "ann", &["--seat", "red"]);
    engine.event("seated");
    red.event("joined");
    red.signal(nix::sys::signal::Signal::SIGSTOP);
    let view = "x".repeat(900_000);
    for _ in 0..16 {
        engine.send(json!({"ask": {"red": view}}));
        engine.until("decision");
    }
    engine.send(json!({"end": true}));
    let cut_off = engine.until("error");
    assert_eq!(
        picked(&cut_off, ["kind", "peer"]),
        json!(["cut_off", "ann"])
    );
    assert!(cut_off["frames"].as_u64().unwrap() > 0, "{cut_off}");
    assert_eq!(engine.end().0, Some(6));
}

#[test]
fn the_words_of_a_server_are_one_line_without_what_moves_a_terminal() {
    let words = "\u{1b}[31mred\nmasep: all is well";
    for rejected in [
        Rejected::new("settings", words),
        Rejected::new("later", words).retry_ms(1),
    ] {
        let server = Server::builder("engine").ask().bind("127.0.0.1:0").unwrap();
        let address = server.local_address().to_string();
        let stderr = std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Ok(request) = server.next_request() {
                    request.refuse(rejected.clone());
                }
            });
            let (code, stderr) = player(&address, "ann", &["--wait", "10ms"]).end();
            // Whatever word it chooses.
            assert_eq!(code, Some(5), "{stderr}");
            server.stop_accepting();
            stderr
        });
        assert!(stderr.contains("red"), "{stderr}");
        assert!(!stderr.contains('\u{1b}'), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}
