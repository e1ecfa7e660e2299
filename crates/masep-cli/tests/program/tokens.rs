//! Servers that ask for tokens, and `masep token`, which makes them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value as Json, json};

use crate::directory::Directory;
use crate::run::{Run, command, picked, run};
use crate::session::Session;

impl Directory {
    fn address(&self) -> String {
        self.target("x.sock")
    }

    fn tokens(&self) -> String {
        self.path("tokens.toml")
    }

    /// `masep token` with these arguments for the file.
    fn token(&self, args: &[&str]) -> Run {
        let file = self.tokens();
        run(&[&["token"], args, &["--file", &file]].concat(), "")
    }

    /// A new token: the line that was printed.
    fn new_token(&self, args: &[&str]) -> String {
        let address = self.address();
        let run = self.token(&[&["new", "--address", &address], args].concat());
        run.succeeds();
        let line = run.stdout.strip_suffix('\n').unwrap();
        assert!(line.starts_with(&format!("{address}?token=")), "{line}");
        line.to_owned()
    }

    /// A server with the file.
    fn start(&self, args: &[&str]) -> Session {
        let (address, file) = (self.address(), self.tokens());
        let serve = ["serve", &address, "--id", "engine", "--tokens", &file];
        let mut command = command(&[&serve, args].concat());
        Session::spawn_read(command.env("MASEP_LOG", "trace"))
    }

    /// The same, which listens.
    fn serve(&self, args: &[&str]) -> Session {
        let mut engine = self.start(args);
        engine.event("listening");
        engine
    }
}

/// A client that has this in its environment, and no address.
fn join(token: &str, args: &[&str]) -> Session {
    let mut command = command(&[&["join"], args].concat());
    command.env("MASEP_TOKEN", token).env("MASEP_LOG", "trace");
    Session::spawn_read(&mut command)
}

/// The secret in a line.
fn secret(line: &str) -> &str {
    line.split_once("token=").unwrap().1
}

#[test]
fn one_line_is_all_that_a_client_needs() {
    let directory = Directory::new();
    let lab3 = directory.new_token(&["--name", "lab3", "--id", "a"]);
    let lab4 = directory.new_token(&["--name", "lab4"]);
    let mode = fs::metadata(directory.tokens())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut engine = directory.serve(&[]);

    let mut a = join(&lab3, &["--id", "a"]);
    assert_eq!(a.event("connected")["peer"], "engine");
    let connected = engine.event("connected");
    assert_eq!(picked(&connected, ["peer", "token"]), json!(["a", "lab3"]));
    // From a file, with an address beside it.
    let file = directory.write("lab4.token", secret(&lab4));
    let address = directory.address();
    let mut b = Session::start(&["join", &address, "--token-file", &file, "--id", "b"]);
    b.event("connected");
    assert_eq!(engine.event("connected")["token"], "lab4");

    // A client without one, or with one for another id, is told so.
    let mut all = Vec::new();
    for (token, id, code) in [
        ("", "c", "unauthorized"),
        ("wrong", "c", "unauthorized"),
        (secret(&lab3), "c", "forbidden"),
    ] {
        let mut refused = join(token, &[&address, "--id", id]);
        assert_eq!(refused.event("rejected")["reason"], code);
        let (exit, stderr) = refused.end();
        assert_eq!(exit, Some(5));
        all.push(stderr);
        assert_eq!(engine.event("rejected")["reason"], code);
    }

    engine.send(json!({"kick": {"token": "lab4"}}));
    assert_eq!(b.event("closed")["code"], "kicked");
    assert_eq!(engine.event("closed")["reason"], "kicked");
    engine.send(json!({"kick": {"id": "b"}}));
    assert_eq!(engine.event("error")["kind"], "unknown_peer");
    engine.send(json!({"ban": {"token": "lab4"}}));
    let mut banned = join(&lab4, &["--id", "b"]);
    assert_eq!(banned.event("rejected")["reason"], "banned");
    engine.event("rejected");

    let run = directory.token(&["remove", "lab3"]);
    run.succeeds();
    assert_eq!(a.event("closed")["code"], "revoked");
    let closed = engine.event("closed");
    assert_eq!(picked(&closed, ["peer", "reason"]), json!(["a", "revoked"]));
    let again = join(&lab3, &["--id", "a"]);
    assert_eq!(again.end().0, Some(5));
    engine.event("rejected");

    engine.send(json!({"shutdown": true}));
    all.extend([engine, a, b, banned].map(|session| session.end().1));
    let all = all.concat();
    assert!(
        all.contains("refused") && all.contains("connected"),
        "{all}"
    );
    for line in [&lab3, &lab4] {
        assert!(!all.contains(secret(line)), "{all}");
    }
}

#[test]
fn a_table_takes_its_players_and_sends_them_away() {
    let directory = Directory::new();
    let game = "pursuit.PursuitGame";
    let player = [
        "--role", "actor", "--game", game, "--seat", "red", "--name", "red",
    ];
    let red = directory.new_token(&player);
    let eye = directory.new_token(&["--role", "observer", "--name", "eye"]);
    let mut engine = directory.serve(&["--seats", "red", "--game", game]);
    let turns = ["--turns", "--game", game, "--id", "r"];
    let mut r = join(&red, &turns);
    r.event("joined");
    let seated = engine.event("seated");
    assert_eq!(picked(&seated, ["seat", "protocol"]), json!(["red", 2]));
    assert!(seated["token"].is_string(), "{seated}");
    engine.event("filled");
    let observer = join(&eye, &turns);
    assert_eq!(observer.end().0, Some(5), "it would be an actor");
    assert_eq!(engine.event("rejected")["reason"], "forbidden");
    engine.send(json!({"ask": {"red": 1}}));
    engine.event("asked");
    r.event("turn");
    r.send(json!({"action": 2}));
    assert_eq!(engine.event("decision")["action"], 2);
    engine.send(json!({"kick": {"token": "red"}}));
    assert_eq!(engine.event("away")["seat"], "red");
    let over = r.until("over");
    assert!(over.to_string().contains("kicked"), "{over}");
    engine.send(json!({"end": true}));
    engine.until("ended");
    let (_, log) = engine.end();
    assert!(!log.contains(secret(&red)) && !log.contains(secret(&eye)));
}

#[test]
fn tokens_are_listed_without_themselves_and_what_people_wrote_stays() {
    let directory = Directory::new();
    directory.write("tokens.toml", "# of the lab\n");
    let all = [
        "--name",
        "lab3",
        "--role",
        "actor",
        "--game",
        "g.G",
        "--seat",
        "red",
        "--id",
        "a",
        "--expires",
        "2999-01-31T12:00:00Z",
    ];
    let line = directory.new_token(&all);
    directory.new_token(&["--name", "old"]);
    let mut file = fs::File::options()
        .append(true)
        .open(directory.tokens())
        .unwrap();
    writeln!(file, "expires = 2001-01-01T00:00:00Z").unwrap();
    assert_eq!(
        directory.token(&["list"]).json(),
        [
            json!({"name": "lab3", "roles": ["actor"], "games": ["g.G"], "seats": ["red"], "ids": ["a"],
                "expires": "2999-01-31T12:00:00Z"}),
            json!({"name": "old", "expires": "2001-01-01T00:00:00Z", "expired": true}),
        ]
    );
    let text = directory.read("tokens.toml");
    assert!(
        text.starts_with("# of the lab\n") && !text.contains(secret(&line)),
        "{text}"
    );

    for (args, reason) in [
        (&["new", "--name", "lab3"][..], "the name \"lab3\""),
        (&["remove", "lab5"], "the name \"lab5\""),
        (&["new", "--name", "a", "--address", "a b"], "no address"),
        (&["new", "--name", "a", "--expires", "soon"], "30d"),
        (&["new", "--name", "a", "--expires", "-1d"], "--expires"),
        (
            &["new", "--name", "a", "--expires", "2001-01-01T00:00:00Z"],
            "over",
        ),
        (&["new", "--name", "a", "--expires", "9000years"], "too far"),
        (&["new", "--name", ""], "--name"),
        (&["new", "--name", "a\u{1b}[2J"], "printable"),
        (&["new", "--name", "a", "--seat", "\n"], "--seat"),
        (&["new", "--name", "a", "--game", "no class"], "--game"),
    ] {
        let run = directory.token(args);
        // Wrong arguments, or a file that has not what they name.
        let code = if reason.starts_with("the name") { 1 } else { 2 };
        run.fails(code, reason);
        assert_eq!(run.stdout, "");
    }
    assert_eq!(directory.read("tokens.toml"), text);

    // A pipe, for whose writer nobody waits.
    let path = directory.path("tokens.toml");
    fs::remove_file(&path).unwrap();
    let mut make = std::process::Command::new("mkfifo");
    assert!(make.arg(&path).status().unwrap().success());
    for args in [&["new", "--name", "a"][..], &["remove", "a"]] {
        directory.token(args).fails(1, "no regular file");
    }
    fs::remove_file(&path).unwrap();

    directory.write("tokens.toml", "token = 1");
    for args in [&["list"][..], &["new", "--name", "a"]] {
        directory.token(args).fails(1, "line 1");
    }
}

#[test]
fn the_sha256_of_the_ca_goes_with_the_token() {
    let directory = Directory::new();
    let pem = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";
    let file = directory.write("ca.pem", pem);
    let new = ["new", "--address", "unix:///a", "--tls-ca", &file, "--name"];
    let run = directory.token(&[&new[..], &["a"]].concat());
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let line = run.stdout;
    assert!(line.ends_with(&format!("&ca={abc}\n")), "{line}");
    directory.write("ca.pem", pem.repeat(2));
    let run = directory.token(&[&new[..], &["b"]].concat());
    run.fails(1, "one certificate");
}

#[test]
fn pymaseps_peers_are_refused_or_have_an_address_of_their_own() {
    let directory = Directory::new();
    directory.new_token(&["--name", "a"]);
    let mut engine = directory.start(&["--pymasep-listen", "127.0.0.1:0"]);
    let listening = engine.event("listening");
    let address = listening["pymasep_address"].as_str().unwrap();
    let address = format!("pymasep://{address}");
    let mut old = Session::start(&["join", &address, "--id", "old"]);
    assert_eq!(old.event("connected")["protocol"], Json::Null);
    assert_eq!(engine.event("connected")["peer"], "old");
    let main = format!("py{}", directory.address().replace("unix", "masep+unix"));
    let refused = Session::start(&["join", &main, "--id", "other"]);
    assert_eq!(refused.end().0, Some(5));
    assert_eq!(engine.event("rejected")["reason"], "other_protocol");
}

#[test]
fn a_server_to_which_nobody_sends_a_token_says_so() {
    let directory = Directory::new();
    let line = directory.new_token(&["--name", "a"]);
    let tokens = directory.tokens();
    let proxy = ["proxy", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"];
    let game = ["--game", "g.G", "--no-reach-check", "--json"];
    for args in [
        &["serve", "127.0.0.1:0"][..],
        &["serve", "127.0.0.1:0", "--seats", "red"],
        &[&proxy[..], &game].concat(),
    ] {
        let mut server = Session::start(&[args, &["--tokens", &tokens]].concat());
        let address = server.address();
        // Nor does a client, by mistake.
        let player = ["join", &address, "--game", "g.G", "--turns"];
        for join in [&player[..2], &player] {
            let mut command = command(join);
            let output = command.env("MASEP_TOKEN", secret(&line)).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{output:?}");
        }
        server.signal(nix::sys::signal::Signal::SIGTERM);
        let (_, stderr) = server.end();
        let expected = format!("and {address} is neither: give it a certificate");
        assert!(stderr.contains(&expected), "{args:?} {stderr}");
    }
    let mut server = directory.serve(&[]);
    server.send(json!({"shutdown": true}));
    let (_, stderr) = server.end();
    assert!(!stderr.contains("is neither"), "{stderr}");
}
