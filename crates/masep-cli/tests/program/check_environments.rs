//! `masep check` at servers of environments.

use std::sync::Arc;
use std::thread;

use masep::blocking::{Client, Connection, Server};
use masep::{Bye, ConnectErrorKind, Dict, Message, Rejected, Request, Value};
use serde_json::{Value as Json, json};

use crate::run::{check, check_fails, check_succeeds, picked, run};
use crate::session::serve;
use crate::sidecar::at_interface;

/// The side of a server that has one kind of environments, as section 9 of PROTOCOL2.md wants it.
struct Environments {
    kind: &'static str,
    /// Its message about the environment that it has made.
    told: Message,
    /// The code and text of its refusal for one who wants an environment, if it refuses.
    refusal: Option<Rejected>,
    /// It says nothing of the environment.
    is_silent: bool,
    /// The profile that its WELCOME says.
    profile: Option<&'static str>,
}

impl Environments {
    fn new(kind: &'static str, told: Message) -> Self {
        Self {
            kind,
            told,
            refusal: None,
            is_silent: false,
            profile: Some("environment/1"),
        }
    }

    /// Serves this from here on: the address.
    fn serve(self) -> String {
        let server = Server::builder("gym").ask().bind("127.0.0.1:0").unwrap();
        let address = server.local_address().to_string();
        let server = Arc::new(server);
        let clients = server.clone();
        thread::spawn(move || {
            while let Ok(connection) = clients.accept() {
                see_off(&connection);
            }
        });
        thread::spawn(move || {
            while let Ok(request) = server.next_request() {
                self.judge(&server, request);
            }
        });
        address
    }

    fn judge(&self, server: &Server, request: Request) {
        let hello = request.hello().clone();
        if hello.profile.as_deref() != Some("environment/1") {
            return request.refuse(Rejected::new("unsupported_profile", "it has environments"));
        }
        let make = hello.make.unwrap_or_default();
        let mut welcome = request.welcome();
        welcome.profile = self.profile.map(Into::into);
        if make.get("look") == Some(&Value::from(true)) {
            welcome.game = Some("CartPole-v1".into());
            (welcome.seats, welcome.free) = (Some(8), Some(7));
            drop(request.admit(welcome));
            return;
        }
        if let Some(refusal) = &self.refusal {
            return request.refuse(refusal.clone());
        }
        if make.get("kind").and_then(Value::as_str) != Some(self.kind) {
            return request.refuse(Rejected::new("bad_arguments", "another kind"));
        }
        let id = request.peer().clone();
        request.admit(welcome).wait().unwrap();
        let connection = server.registry().get_connection(&id).unwrap();
        if self.is_silent {
            return;
        }
        connection.send_message(&self.told).unwrap();
        if self.told.msg_type.as_str() == "error" {
            connection.bye_with(Bye::new("environment_failed", "it cannot be made"));
        }
    }
}

/// Hears a client until it is gone, so that its pings are answered.
fn see_off(connection: &Connection) {
    while connection.recv().is_ok() {}
}

fn message(kind: &str, params: &Json) -> Message {
    let json = json!({"msg_type": kind, "src_sub_app": "gym", "params": params});
    Message::from_json(&json, None).unwrap()
}

fn cart_pole() -> Message {
    let space =
        json!({"space": "Box", "low": "-inf", "high": "inf", "shape": [4], "dtype": "float32"});
    let told = json!({
        "request": 0, "kind": "gymnasium", "observation_space": space,
        "action_space": {"space": "Discrete", "n": 2, "start": 0, "dtype": "int64"},
        "spec": {"id": "CartPole-v1", "max_episode_steps": 500}, "metadata": {}, "render_mode": null,
    });
    message("environment", &told)
}

#[test]
fn a_server_of_environments_is_known_for_one_and_none_is_made() {
    let mut server = Environments::new("gymnasium", cart_pole());
    server.refusal = Some(Rejected::new("unwanted", "an environment was asked for"));
    let address = server.serve();
    let report = check_succeeds(&[&address]);
    assert_eq!(
        picked(&report, ["id", "profile", "game", "seats", "free"]),
        json!(["gym", "environment/1", "CartPole-v1", 8, 7])
    );
    assert!(report["round_trip_ms"].is_f64(), "{report}");
    assert!(report.get("environment").is_none(), "{report}");
    let ran = run(&["check", &address], "");
    for line in ["  profile     environment/1", "  places      7 of 8 free"] {
        assert!(ran.lines().contains(&line), "{}", ran.stdout);
    }
}

#[test]
fn an_environment_is_made_and_told_where_that_is_asked_for() {
    let address = Environments::new("gymnasium", cart_pole()).serve();
    let report = check_succeeds(&[&address, "--make"]);
    let made = &report["environment"];
    assert_eq!(made["kind"], "gymnasium");
    assert_eq!(made["spec"]["id"], "CartPole-v1");
    assert_eq!(made["action_space"]["n"], 2);
    assert!(made.get("request").is_none(), "{report}");
    let ran = run(&["check", "--make", &address], "");
    let expected = [
        "  kind        gymnasium",
        "  environment CartPole-v1",
        "  episode     at most 500 steps",
        "  observation Box of float32[4]",
        "  action      Discrete of 2 from 0",
    ];
    for line in expected {
        assert!(ran.lines().contains(&line), "{line}: {}", ran.stdout);
    }
    // One with several agents has another kind.
    let told = json!({
        "request": 0, "kind": "aec", "name": "tictactoe_v3", "possible_agents": ["player_1", "player_2"],
        "spaces": {},
    });
    let address = Environments::new("aec", message("environment", &told)).serve();
    let ran = run(&["check", "--make", &address], "");
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    for line in [
        "  environment tictactoe_v3",
        "  agents      player_1, player_2",
    ] {
        assert!(ran.lines().contains(&line), "{line}: {}", ran.stdout);
    }
}

#[test]
fn an_environment_that_cannot_be_had_is_a_fault_of_its_own() {
    let error =
        json!({"request": 0, "type": "OSError", "text": "no such \u{1b}world", "traceback": ""});
    let cases = [
        (message("error", &error), None, 5, "environment_failed"),
        (
            message("dance", &json!({"request": 0})),
            None,
            3,
            "no_environment",
        ),
        (
            cart_pole(),
            Some(Rejected::new("too_many_connections", "all are in use").retry_ms(1_000)),
            5,
            "too_many_connections",
        ),
    ];
    for (told, refusal, code, reason) in cases {
        let mut server = Environments::new("gymnasium", told);
        server.refusal = refusal;
        let address = server.serve();
        let (ran, report) = check(&[&address, "--make"]);
        assert_eq!(
            (ran.code, &report["reason"]),
            (Some(code), &reason.into()),
            "{report}"
        );
        // Its words about itself stand all the same.
        assert_eq!(picked(&report, ["seats", "id"]), json!([8, "gym"]));
        let ran = run(&["check", &address, "--make"], "");
        assert!(!ran.stdout.contains('\u{1b}'), "{:?}", ran.stdout);
    }
    // A server of something else has none.
    let (_engine, address) = serve(&[]);
    check_fails(&[&address, "--make"], 3, "other_protocol", "no_environment");
}

#[test]
fn one_that_makes_no_environment_in_time_is_told_with_what_it_has_said() {
    let mut server = Environments::new("gymnasium", cart_pole());
    server.is_silent = true;
    let address = server.serve();
    // Enough for the hello.
    let args = [&*address, "--make", "--timeout", "3s"];
    let report = check_fails(&args, 3, "unreachable", "timed_out");
    assert_eq!(report["profile"], "environment/1", "{report}");
}

#[test]
fn one_that_takes_a_client_and_speaks_another_profile_has_no_environments() {
    for profile in [None, Some("environment/2")] {
        let mut server = Environments::new("gymnasium", cart_pole());
        server.profile = profile;
        let address = server.serve();
        for args in [&[&*address][..], &[&address, "--make"]] {
            let report = check_fails(args, 3, "other_protocol", "other_profile");
            assert!(report.get("profile").is_none(), "{report}");
            let ran = run(&[&["check"], args].concat(), "");
            ran.prints(profile.unwrap_or("nor any other"));
        }
    }
}

#[test]
fn a_proxy_passes_on_which_profile_is_spoken_and_that_none_is() {
    let client = |address: String| {
        let make = Dict::new().with("look", true);
        let client = Client::builder("agent").profile("environment/1").make(make);
        client.connect(format!("masep://{address}"))
    };
    let environments = Environments::new("gymnasium", cart_pole()).serve();
    let (_near, address) = at_interface(&environments);
    let looked = client(address).unwrap();
    let welcome = looked.connection().welcome().unwrap();
    assert_eq!(welcome.profile.as_deref(), Some("environment/1"));

    let (_engine, address) = serve(&[]);
    let (_near, address) = at_interface(&address);
    let error = client(address).map(drop).expect_err("an engine");
    let ConnectErrorKind::Rejected(rejected) = &error.kind else {
        panic!("{error}");
    };
    assert_eq!(&*rejected.code, "unsupported_profile");
    assert_eq!(rejected.retry_ms, None, "it would not help");
}

#[test]
fn a_player_that_comes_to_one_is_told_what_it_is() {
    let address = Environments::new("gymnasium", cart_pole()).serve();
    let ran = run(&["join", &address, "--id", "a"], "");
    ran.fails(5, "RemoteEnv");
}
