//! Clients that are let in, and clients that are not.

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use masep::access::{AccessRequest, Grant};
use masep::{Protocols, Role, ServerLimits};
use masep_proto::protocol2::preamble;

use super::{House, SECOND, guess, refused, talk, tokens};
use crate::shells::{
    Options, Peer, Says, Shell, accept, frame, nobody, of_each_pair, of_each_shell,
};

of_each_pair! {
    only_those_with_a_token_come_in
    a_function_of_the_host_lets_in_when_it_knows
}

of_each_shell! {
    a_token_is_for_what_it_says
    pymaseps_peers_come_by_a_listener_of_their_own
    a_listener_that_cannot_be_is_the_callers_error
    guesses_cost_others_nothing
    #[ignore = "takes minutes"]
    a_hundred_thousand_guesses_cost_others_nothing
    a_function_that_panics_lets_nobody_in
    a_server_that_anybody_reaches_says_so
}

fn only_those_with_a_token_come_in(of_server: Shell, of_client: Shell) {
    let old = Grant::new("old").expires(SystemTime::now() - SECOND);
    let tokens = tokens([("good", Grant::new("lab3")), ("old", old)]);
    let house = House::new(of_server, of_client, tokens);
    let (client, connection) = house.joins("agent", "good");
    assert_eq!(connection.grant().unwrap().name, "lab3");
    assert_eq!(client.connection().grant(), None);
    for token in [None, Some("wrong"), Some("old")] {
        // Not `duplicate_id`: that is not looked at.
        assert_eq!(house.refuses("agent", token), "unauthorized");
    }
    assert_eq!(house.refuses("agent", Some("good")), "duplicate_id");
    talk(&*client, &connection);
}

fn a_token_is_for_what_it_says(shell: Shell) {
    let narrow = Grant::new("narrow")
        .id("a")
        .role(Role::Actor)
        .game("g")
        .seat("red");
    let house = House::new(shell, shell, tokens([("narrow", narrow)]));
    let says = |role, game, seat| Says {
        token: Some("narrow"),
        role: Some(role),
        game: Some(game),
        seat: Some(seat),
        ..Says::default()
    };
    for (id, says, is_taken) in [
        ("a", says(Role::Actor, "g", "red"), true),
        ("b", says(Role::Actor, "g", "red"), false),
        ("a", says(Role::Observer, "g", "red"), false),
        ("a", says(Role::Actor, "h", "red"), false),
        ("a", says(Role::Actor, "g", "blue"), false),
    ] {
        let shown = format!("{id} {says:?}");
        let connected = shell.connect(id, house.target(), says);
        if is_taken {
            drop(connected.unwrap());
            drop(accept(&*house.server));
        } else {
            assert_eq!(refused(connected), "forbidden", "{shown}");
        }
    }
}

fn pymaseps_peers_come_by_a_listener_of_their_own(shell: Shell) {
    let options = || Options::from(tokens([("good", Grant::new("lab3"))]));
    let server = shell.serve(options());
    assert_eq!(server.pymasep_address(), None);
    Peer::join(server.address(), "old").expect_bye();

    // Nobody else is given the address when the server does not listen there any more.
    let (_port, reserved) = nobody();
    let server = shell.serve(options().pymasep_listen(reserved.to_string()));
    let address = server.pymasep_address().unwrap();
    let mut old = Peer::join(&address, "old");
    let connection = accept(&*server);
    assert_eq!(
        (connection.peer().as_str(), connection.grant()),
        ("old", None)
    );
    old.write(&frame(b"hi"));
    assert_eq!(connection.recv(), Ok(masep::Frame::new("hi")));
    // The main one is as before, and this one speaks nothing else.
    Peer::join(server.address(), "other").expect_bye();
    let client = shell.connect("new", format!("masep://{address}"), Options::default());
    assert!(client.is_err());
    // Both end with the server.
    server.stop_accepting();
    crate::shells::until(|| std::net::TcpStream::connect(address.tcp().unwrap()).is_err());
}

fn a_listener_that_cannot_be_is_the_callers_error(shell: Shell) {
    let options = || Options::from(tokens([("good", Grant::new("lab3"))]));
    for (target, options) in [
        ("pymasep://127.0.0.1:0", options()),
        ("127.0.0.1:0", options().protocols(Protocols::Pymasep)),
        (
            "127.0.0.1:0",
            options().pymasep_listen("masep://127.0.0.1:0".to_owned()),
        ),
    ] {
        let error = shell.bind(target, options).map(drop).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("pymasep"), "{error}");
    }
}

fn a_function_of_the_host_lets_in_when_it_knows(of_server: Shell, of_client: Shell) {
    let (asked, requests) = channel::<AccessRequest>();
    let options = Options::default().admit(move |request| {
        asked.send(request).unwrap();
    });
    let house = House::new(of_server, of_client, options);
    thread::scope(|scope| {
        let clients: Vec<_> = ["a", "b", "c", "d"]
            .map(|id| {
                let comes = || house.comes(id, Some("token of the host"));
                let client = scope.spawn(comes);
                let request = requests.recv().unwrap();
                assert_eq!(&**request.peer(), id);
                assert_eq!(
                    request.hello().token.as_ref().unwrap().reveal(),
                    "token of the host"
                );
                assert!(!format!("{request:?}").contains("of the host"));
                (client, request)
            })
            .into();
        let mut outcomes = Vec::new();
        // In another order than they came.
        for (at, (client, request)) in clients.into_iter().enumerate().rev() {
            match at {
                0 => request.admit(Grant::new("a's")),
                1 => request.refuse(),
                2 => drop(request),
                _ => request.admit(Grant::new("other").id("x")),
            }
            outcomes.push(client.join().unwrap());
        }
        let [d, c, b, a] = outcomes.try_into().unwrap_or_else(|_| panic!("four"));
        assert_eq!(refused(d), "forbidden");
        assert_eq!(refused(c), "unauthorized");
        assert_eq!(refused(b), "unauthorized");
        let connection = accept(&*house.server);
        assert_eq!(connection.grant().unwrap().name, "a's");
        talk(&*a.unwrap(), &connection);
    });
}

fn a_function_that_panics_lets_nobody_in(shell: Shell) {
    let options = Options::default().admit(|request| {
        assert_ne!(&**request.peer(), "agent", "a fault of the host");
        request.admit(Grant::new("other"));
    });
    let house = House::new(shell, shell, options);
    assert_eq!(house.refuses("agent", None), "unauthorized");
    drop(house.comes("other", None).unwrap());
}

fn guesses_cost_others_nothing(shell: Shell) {
    guesses(shell, 3_000);
}

fn a_hundred_thousand_guesses_cost_others_nothing(shell: Shell) {
    guesses(shell, 100_000);
}

/// So many attempts with another token each, and a client that plays beside them, and others that come.
fn guesses(shell: Shell, number: usize) {
    let limits = ServerLimits::default().connections(16);
    let options = Options::from(tokens([("good", Grant::new("lab3"))]));
    let house = House::new(shell, shell, options.server_limits(limits));
    let (client, connection) = house.joins("player", "good");
    thread::scope(|scope| {
        let guessers = [0, 1, 2].map(|first| {
            let house = &house;
            scope.spawn(move || {
                for n in (first..number).step_by(3) {
                    let mut stream = house.stream();
                    // It may have been refused for want of a place.
                    let _ = stream.write_all(&guess(&format!("guess {n}")));
                    let mut answer = Vec::new();
                    let _ = stream.read_to_end(&mut answer);
                    let answer = answer.strip_prefix(preamble::SERVER).unwrap_or(&answer);
                    assert_ne!(answer.get(4), Some(&masep_proto::protocol2::kind::WELCOME));
                }
            })
        });
        let mut longest = Duration::ZERO;
        let mut newcomers = 0;
        while guessers.iter().any(|guesser| !guesser.is_finished()) {
            let begin = Instant::now();
            talk(&*client, &connection);
            connection.send("there").unwrap();
            assert_eq!(client.connection().recv(), Ok(masep::Frame::new("there")));
            longest = longest.max(begin.elapsed());
            // Nor do they keep out one who has a token.
            if newcomers < 20 {
                drop(house.joins(&format!("newcomer {newcomers}"), "good"));
                newcomers += 1;
            }
        }
        assert!(newcomers > 0);
        println!("the longest of the player's round trips took {longest:?}");
    });
}

fn a_server_that_anybody_reaches_says_so(shell: Shell) {
    let tokens = || tokens([("good", Grant::new("lab3"))]);
    let open = Options::default;
    for (address, options, is_exposed) in [
        ("127.0.0.1:0", open(), false),
        ("[::1]:0", open(), false),
        ("0.0.0.0:0", open(), true),
        ("0.0.0.0:0", tokens().into(), false),
        (
            "127.0.0.1:0",
            Options::from(tokens()).pymasep_listen("0.0.0.0:0".to_owned()),
            true,
        ),
    ] {
        let server = shell.bind(address, options).unwrap();
        assert_eq!(server.is_exposed(), is_exposed, "{address}");
    }
}
