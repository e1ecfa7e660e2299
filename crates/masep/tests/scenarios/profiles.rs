//! Clients that ask for a profile: they get it, or an error at once, and no connection on which both wait.

use std::thread;

use masep::{
    CloseReason, ConnectError, ConnectErrorKind, ProfileError, Protocol, Protocols, Request,
};

use crate::shells::{Options, Says, Shell, accept, listen, of_each_pair, of_each_shell};

of_each_pair! {
    a_server_that_knows_nothing_of_profiles_is_found_out_at_once
    a_host_says_which_profile_it_speaks
}

of_each_shell! {
    a_profile_is_not_for_a_server_of_pymaseps_protocol
}

fn says(protocols: Option<Protocols>) -> Options {
    Options::from(protocols).says(Says {
        profile: Some("game/1"),
        ..Says::default()
    })
}

fn fault(error: ConnectError) -> ProfileError {
    match error.kind {
        ConnectErrorKind::Profile(fault) => fault,
        _ => panic!("{error}"),
    }
}

fn a_server_that_knows_nothing_of_profiles_is_found_out_at_once(
    of_server: Shell,
    of_client: Shell,
) {
    let server = of_server.serve(Options::default());
    for scheme in ["", "masep://"] {
        let target = format!("{scheme}{}", server.address());
        let connected = of_client.connect("agent", target, says(None));
        let error = connected.map(drop).expect_err("it is another server");
        let shown = error.to_string();
        assert!(
            shown.contains("\"engine\"") && shown.contains("\"game/1\""),
            "{shown}"
        );
        let ProfileError::NotSpoken(other) = fault(error) else {
            panic!("{shown}");
        };
        assert_eq!((&*other.asked, other.spoken), ("game/1", None));
        let reason = accept(&*server).recv().expect_err("it has left");
        let CloseReason::PeerByeWith(bye) = reason else {
            panic!("{reason:?}");
        };
        assert_eq!(&*bye.code, "unsupported_profile");
    }
    // The server takes the next one as before.
    let target = format!("{}", server.address());
    let client = of_client.connect("agent", target, Options::default());
    assert!(client.is_ok());
}

fn a_host_says_which_profile_it_speaks(of_server: Shell, of_client: Shell) {
    let server = of_server.serve(Options::default().asks(true));
    let address = server.address().to_string();
    let comes = || {
        let address = address.clone();
        thread::spawn(move || of_client.connect("agent", address, says(None)))
    };
    let answer = |request: Request, profile: &str| {
        assert_eq!(request.hello().profile.as_deref(), Some("game/1"));
        let mut welcome = request.welcome();
        welcome.profile = Some(profile.into());
        request.admit(welcome)
    };
    let client = comes();
    let admitting = answer(server.next_request().unwrap(), "game/2");
    let error = client.join().unwrap().map(drop).expect_err("it is another");
    assert!(
        matches!(fault(error), ProfileError::NotSpoken(other) if other.spoken.as_deref() == Some("game/2"))
    );
    let _ended = admitting.wait();
    drop(accept(&*server).recv().expect_err("it has left"));

    let client = comes();
    assert_eq!(
        answer(server.next_request().unwrap(), "game/1").wait(),
        Ok(())
    );
    let client = client.join().unwrap().unwrap();
    let told = client.connection().welcome().unwrap();
    assert_eq!(told.profile.as_deref(), Some("game/1"));
    client.connection().send("hi").unwrap();
    assert_eq!(accept(&*server).recv(), Ok(masep::Frame::new("hi")));
}

fn a_profile_is_not_for_a_server_of_pymaseps_protocol(shell: Shell) {
    // Nothing is even connected to.
    for (scheme, protocols) in [("pymasep://", None), ("", Some(Protocols::Pymasep))] {
        let (listener, address) = listen();
        listener.set_nonblocking(true).unwrap();
        let connected = shell.connect("agent", format!("{scheme}{address}"), says(protocols));
        let error = connected.map(drop).expect_err("it has no profiles");
        assert_eq!(fault(error), ProfileError::NoPlace);
        assert!(listener.accept().is_err(), "nobody came");
    }
    // One that turns out to be such a server is not connected to again, also not when it is known from before.
    let server = shell.serve(Options::from(Some(Protocols::Pymasep)));
    let address = server.address().to_string();
    for _ in 0..2 {
        let connected = shell.connect("agent", address.clone(), says(Some(Protocols::Both)));
        let error = connected.map(drop).expect_err("it does not fall back");
        assert!(
            matches!(
                error.kind,
                ConnectErrorKind::OtherProtocol(Protocol::Pymasep)
            ),
            "{error}"
        );
        let other = shell.connect("other", address.clone(), Options::default());
        assert!(other.is_ok(), "others speak it");
    }
}
