//! `masep serve` and `join` in TLS, with what `masep cert` makes.

use serde_json::json;

use crate::directory::Directory;
use crate::run::run;
use crate::session::{self, Session};

/// The files of a CA and a server.
struct Files(Directory);

impl Files {
    fn new() -> Self {
        let files = Self(Directory::new());
        let out = files.0.path("out");
        let names = ["--name", "engine.lan", "--address", "127.0.0.1"];
        run(&[&["cert", "--out", &out][..], &names].concat(), "").succeeds();
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.path(&format!("out/{name}"))
    }
}

fn serve(files: &Files) -> (Session, String) {
    let (cert, key) = (files.path("server.pem"), files.path("server-key.pem"));
    session::serve(&["--tls-cert", &cert, "--tls-key", &key])
}

#[test]
fn an_engine_and_an_interface_talk_in_tls() {
    let files = Files::new();
    let (mut engine, address) = serve(&files);
    let address = format!("masep+tls://{address}");
    let ca = files.path("ca.pem");
    for more in [&[][..], &["--tls-name", "engine.lan"]] {
        let args = ["join", &address, "--id", "agent", "--tls-ca", &ca];
        let mut agent = Session::start(&[&args[..], more].concat());
        assert_eq!(agent.event("connected")["protocol"], json!(2));
        assert_eq!(engine.event("connected")["peer"], json!("agent"));
        agent.send(json!({"bytes_hex": "00ff"}));
        assert_eq!(engine.event("frame")["bytes_hex"], json!("00ff"));
        agent.send(json!({"bye": true}));
        assert_eq!(engine.event("closed")["reason"], json!("peer_bye"));
        assert_eq!(agent.end().0, Some(0));
    }
}

#[test]
fn what_is_wrong_is_said() {
    let (files, others) = (Files::new(), Files::new());
    let (_engine, plain) = serve(&files);
    let address = format!("masep+tls://{plain}");
    let (ca, other) = (files.path("ca.pem"), others.path("ca.pem"));
    for (args, code, text) in [
        (
            &["serve", "127.0.0.1:0", "--tls-cert", &ca][..],
            2,
            "--tls-key",
        ),
        (
            &["serve", "127.0.0.1:0", "--tls-cert", &ca, "--tls-key", &ca],
            1,
            "no private key",
        ),
        (
            &["serve", "masep+tls://127.0.0.1:0"],
            1,
            "needs a certificate and a key: --tls-cert",
        ),
    ] {
        run(args, "").fails(code, text);
    }
    let at_port = |port: u16| format!("masep://127.0.0.1:{port}");
    let (_pymaseps, old) = session::serve(&["--protocols", "pymasep"]);
    let (old, nobody) = (format!("masep://{old}"), at_port(1));
    let token = files.0.path("token");
    std::fs::write(&token, "guess").unwrap();
    for (args, code, text) in [
        (
            &[&*address, "--tls-ca", &other][..],
            3,
            "authority that is not trusted",
        ),
        (
            &[&address, "--tls-ca", &ca, "--tls-name", "other.lan"],
            3,
            "is for other names",
        ),
        (
            &[&address, "--tls-ca", "/nowhere/ca.pem"],
            1,
            "/nowhere/ca.pem",
        ),
        (&[&plain, "--protocols", "masep"], 5, "TLS is required"),
        (&[&plain, "--tls-ca", &ca], 2, "are for masep+tls://"),
        (&[&plain, "--token-file", &token], 2, "MASEP_TOKEN"),
        (&[&old], 3, "this client was told to speak another"),
        (&[&nobody], 3, "cannot connect to 127.0.0.1:1"),
    ] {
        let joined = run(&[&["join"], args].concat(), "");
        joined.fails(code, text);
        // Turn by turn it is the same, to the letter.
        let turns = ["--turns", "--game", "a.B", "--wait", "1ms"];
        let played = run(&[&["join"], args, &turns].concat(), "");
        played.fails(code, text);
        assert_eq!(played.stderr, joined.stderr);
    }
}

#[test]
fn a_server_in_tls_says_the_address_that_clients_need() {
    let files = Files::new();
    let (cert, key) = (files.path("server.pem"), files.path("server-key.pem"));
    let tls = ["--tls-cert", &cert, "--tls-key", &key];
    let proxy = [
        "proxy",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--to",
        "127.0.0.1:1",
    ];
    let game = ["--game", "a.B", "--no-reach-check"];
    for verb in [
        &["serve", "127.0.0.1:0"][..],
        &["serve", "127.0.0.1:0", "--seats", "red"],
        &[&proxy[..], &game].concat(),
    ] {
        let mut server = Session::start(&[verb, &tls].concat());
        let listening = server.event("listening");
        let address = listening["address"].as_str().unwrap();
        assert_eq!(listening["target"], format!("masep+tls://{address}"));
    }
}
