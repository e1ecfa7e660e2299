//! The authorities that a client trusts, and the errors of each side when it does not.

use std::io::Write;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use masep::tls::CertificateFault::{Expired, Issuer, Name, NotYetValid};
use masep::tls::{ClientTls, ServerTls, TlsFault, TlsMode};
use masep::{
    ConnectError, ConnectErrorKind, ConnectPhase, Protocol, Protocols, RejectReason, TlsError,
    TokenError,
};

use crate::authority::{self, Authority, Validity};
use crate::directory::Directory;
use crate::shells::{
    Event, Options, Says, Server, Shell, accept, next_rejected, of_each_pair, of_each_shell,
};

of_each_pair! {
    a_certificate_that_is_not_accepted_is_an_error_at_both_sides
    an_authority_can_be_known_by_its_hash
    a_server_that_requires_tls_tells_those_without
    a_server_without_tls_tells_those_with_it
    one_port_takes_both
    a_token_goes_through_tls
}

of_each_shell! {
    what_cannot_be_is_an_error_of_the_caller
    files_that_change_are_read_anew
    a_clients_file_is_read_anew_when_it_has_changed
    certificates_can_be_seen_before_they_are_judged
}

fn in_tls(server: &dyn Server) -> String {
    format!("masep+tls://{}", server.address())
}

/// A server of this certificate that tells whom it refuses.
fn serve(shell: Shell, options: Options) -> (Box<dyn Server>, Receiver<Event>) {
    let (handler, events) = crate::shells::Events::new();
    (shell.serve(options.handler(handler)), events)
}

#[track_caller]
fn is_refused(events: &Receiver<Event>, fault: TlsFault) {
    assert_eq!(next_rejected(events), RejectReason::Tls(fault));
}

fn fault_of(outcome: Result<Box<dyn crate::shells::Client>, ConnectError>) -> TlsFault {
    let error = outcome.map(drop).expect_err("it is no use");
    assert_eq!(error.phase, ConnectPhase::Tls, "{error}");
    match error.kind {
        ConnectErrorKind::Tls(fault) => fault,
        other => panic!("{other}"),
    }
}

fn a_certificate_that_is_not_accepted_is_an_error_at_both_sides(server: Shell, client: Shell) {
    const NAMES: &[&str] = &["127.0.0.1", "engine.test"];
    let (authority, other) = (Authority::new(), Authority::named("another"));
    let namesake = Authority::new();
    let trusted = authority.trusted();
    let named = |name: &str| trusted.clone().server_name(name);
    let good = || authority.server(NAMES);
    let at = |validity| authority.server_at(NAMES, validity);
    let by_hash = |authority: &Authority| ClientTls::new().ca_sha256(authority.sha256());
    let cases = [
        (good(), other.trusted(), Issuer, 48),
        (good(), namesake.trusted(), Issuer, 51),
        (at(Validity::Over), trusted.clone(), Expired, 45),
        (at(Validity::Later), trusted.clone(), NotYetValid, 45),
        (
            authority.server(&["engine.test"]),
            trusted.clone(),
            Name,
            42,
        ),
        (good(), named("other.test"), Name, 42),
        // The system's authorities do not know it.
        (good(), ClientTls::new(), Issuer, 48),
        (good(), by_hash(&other), Issuer, 48),
        // That of the server is none of an authority.
        (at(Validity::Over), by_hash(&authority), Expired, 45),
    ];
    for (certificate, trust, expected, alert) in cases {
        let (server, events) = serve(server, Options::default().server_tls(certificate.tls()));
        let case = format!("{expected:?} {trust:?}");
        let options = Options::default().client_tls(trust);
        let refused = client.connect("agent", in_tls(&*server), options);
        if let Err(error) = &refused
            && matches!(
                error.kind,
                ConnectErrorKind::TlsSettings(TlsError::NoAuthorities(_))
            )
        {
            let why = "SKIPPED a case of trust: this machine has no authorities";
            let mut stdout = std::io::stdout();
            writeln!(stdout, "{why}").unwrap();
            continue;
        }
        assert_eq!(fault_of(refused), TlsFault::Certificate(expected), "{case}");
        is_refused(&events, TlsFault::Alert(alert));
        // The server is as it was.
        let options = Options::default().client_tls(named("engine.test"));
        let good = client.connect("agent", in_tls(&*server), options);
        let is_valid = !matches!(expected, Expired | NotYetValid);
        assert_eq!(good.is_ok(), is_valid, "{case}");
    }
}

fn an_authority_can_be_known_by_its_hash(server: Shell, client: Shell) {
    let authority = Authority::new();
    // For a name that nobody has.
    let certificate = authority.server(&["elsewhere.test"]);
    let server = server.serve(Options::default().server_tls(certificate.tls()));
    let trust = ClientTls::new().ca_sha256(authority.sha256());
    let options = Options::default().client_tls(trust);
    let client = client.connect("agent", in_tls(&*server), options).unwrap();
    let connection = accept(&*server);
    client.connection().send("hi").unwrap();
    assert_eq!(connection.recv().unwrap().bytes(), "hi");
}

fn a_server_that_requires_tls_tells_those_without(server: Shell, client: Shell) {
    let tls = Authority::new().server(&["127.0.0.1"]).tls();
    let (server, events) = serve(server, Options::default().server_tls(tls));
    let address = server.address();
    for protocols in [Protocols::Both, Protocols::Masep2] {
        let refused = client
            .connect("agent", &address, protocols)
            .map(drop)
            .unwrap_err();
        let ConnectErrorKind::Rejected(rejected) = refused.kind else {
            panic!("{refused}");
        };
        assert_eq!(rejected.code, "tls_required");
        is_refused(&events, TlsFault::Required);
    }
    // pymasep's protocol has no word for it.
    let pymasep = client
        .connect("agent", &address, Protocols::Pymasep)
        .unwrap();
    assert_eq!(pymasep.connection().end().as_str(), "rejected");
    is_refused(&events, TlsFault::Required);
}

fn a_server_without_tls_tells_those_with_it(server: Shell, client: Shell) {
    for protocols in [Protocols::Both, Protocols::Masep2, Protocols::Pymasep] {
        let (server, events) = serve(server, protocols.into());
        let options = Options::default().client_tls(Authority::new().trusted());
        let refused = client.connect("agent", in_tls(&*server), options);
        assert_eq!(fault_of(refused), TlsFault::NotTls);
        is_refused(&events, TlsFault::Unexpected);
    }
}

fn one_port_takes_both(server: Shell, client: Shell) {
    let authority = Authority::new();
    let tls = authority.server(&["127.0.0.1"]).tls().mode(TlsMode::Allow);
    let server = server.serve(Options::default().server_tls(tls));
    let secure = Options::default().client_tls(authority.trusted());
    let plain = server.address();
    for (target, options, protocol) in [
        (in_tls(&*server), secure, Protocol::Masep2),
        (plain.to_string(), Options::default(), Protocol::Masep2),
        (
            format!("pymasep://{plain}"),
            Options::default(),
            Protocol::Pymasep,
        ),
    ] {
        let client = client.connect("agent", target, options).unwrap();
        let connection = accept(&*server);
        assert_eq!(connection.protocol(), protocol);
        client.connection().send("hi").unwrap();
        assert_eq!(connection.recv().unwrap().bytes(), "hi");
        connection.send("ho").unwrap();
        assert_eq!(client.connection().recv().unwrap().bytes(), "ho");
        client.connection().bye();
        assert_eq!(connection.end().as_str(), "peer_bye");
    }
}

fn a_token_goes_through_tls(server: Shell, client: Shell) {
    let authority = Authority::new();
    let tls = authority.server(&["127.0.0.1"]).tls();
    let server = server.serve(Options::default().server_tls(tls).asks(true));
    let says = Says::token("secret");
    let options = Options::from(says.clone()).client_tls(authority.trusted());
    let address = in_tls(&*server);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| client.connect("agent", address, options));
        let request = server.next_request().unwrap();
        let token = request.hello().token.clone().unwrap();
        assert_eq!(token.reveal(), "secret");
        drop(request.admit(None));
        client.join().unwrap().unwrap();
    });
    let unprotected = client.connect("agent", server.address(), says).map(drop);
    assert!(matches!(
        unprotected.unwrap_err().kind,
        ConnectErrorKind::Token(TokenError::Unprotected)
    ));
}

fn what_cannot_be_is_an_error_of_the_caller(shell: Shell) {
    let authority = Authority::new();
    let certificate = authority.server(&["127.0.0.1"]);
    let bind = |target: &str, options: Options| {
        let error = shell.bind(target, options).map(drop).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
        error.to_string()
    };
    let with = |chain: &str, key: &str| Options::default().server_tls(ServerTls::pem(chain, key));
    let (chain, key) = (&*certificate.chain, &*certificate.key);
    let other = authority.server(&["127.0.0.1"]).key;
    let tcp = "127.0.0.1:0";
    let without = Options::default;
    for (scheme, options, text) in [
        ("masep+tls://", without(), "needs a certificate"),
        ("masep://", with(chain, key), "masep:// is without it"),
        ("pymasep://", with(chain, key), "pymasep:// is without it"),
        ("", with(chain, &other), "cannot be used"),
        ("", with(key, key), "no certificate in it"),
        ("", with(chain, chain), "no private key in it"),
        ("", with("", ""), "no certificate in it"),
    ] {
        let error = bind(&format!("{scheme}{tcp}"), options);
        assert!(error.contains(text), "{error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    }
    let files = ServerTls::files("/nowhere/server.pem", "/nowhere/server.key");
    let error = bind(tcp, without().server_tls(files));
    assert!(error.contains("/nowhere/server.pem"), "{error}");
    let (new, nowhere) = (ClientTls::new, "/nowhere/ca.pem");
    let ours = authority.trusted();
    for (target, tls, text) in [
        ("masep://127.0.0.1:1", new(), "masep:// is without it"),
        ("pymasep://127.0.0.1:1", new(), "pymasep:// is without it"),
        ("unix:///nowhere", new(), "unix:// is without it"),
        ("masep+tls://127.0.0.1:1", new().ca_file(nowhere), nowhere),
        (
            "masep+tls://127.0.0.1:1",
            ours.server_name("a b"),
            "no name",
        ),
    ] {
        let refused = shell.connect("agent", target, without().client_tls(tls));
        let error = refused.map(drop).unwrap_err();
        let is_ours = matches!(error.kind, ConnectErrorKind::TlsSettings(_));
        assert!(is_ours, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

fn files_that_change_are_read_anew(shell: Shell) {
    let directory = Directory::new();
    let (first, second) = (Authority::new(), Authority::new());
    first.server(&["127.0.0.1"]).write(&directory);
    let tls = authority::Server::files(&directory);
    let server = shell.serve(Options::default().server_tls(tls));
    let connect = |id, authority: &Authority| {
        let options = Options::default().client_tls(authority.trusted());
        shell.connect(id, in_tls(&*server), options)
    };
    let old = connect("old", &first).unwrap();
    let connection = accept(&*server);
    let state = || server.certificate().unwrap();
    assert_eq!((state().loads, state().error.is_none()), (1, true));

    // Broken, or half written: the old one stays.
    std::fs::write(directory.path("server.pem"), "no PEM").unwrap();
    crate::shells::until(|| state().error.is_some());
    assert_eq!(state().loads, 1);
    drop(connect("agent", &first).unwrap());
    drop(accept(&*server));

    second.server(&["127.0.0.1"]).write(&directory);
    crate::shells::until(|| state().loads == 2);
    assert!(state().error.is_none());
    assert_eq!(
        fault_of(connect("other", &first)),
        TlsFault::Certificate(Issuer)
    );
    assert!(connect("new", &second).is_ok());
    // Those that are there go on.
    old.connection().send("still here").unwrap();
    assert_eq!(connection.recv().unwrap().bytes(), "still here");
}

fn a_clients_file_is_read_anew_when_it_has_changed(shell: Shell) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let directory = Directory::new();
    let file = directory.path("ca.pem");
    let write = |authority: &Authority, hours: u32| {
        std::fs::write(&file, authority.pem()).unwrap();
        let written = std::fs::File::options().write(true).open(&file).unwrap();
        let time = SystemTime::now() - HOUR * hours;
        written.set_modified(time).unwrap();
    };
    let (ours, other) = (Authority::new(), Authority::named("another"));
    let server = shell.serve(Options::default().server_tls(ours.server(&["127.0.0.1"]).tls()));
    // The authorities that were read for one connection are there for the next one.
    let tls = ClientTls::new().ca_file(&file);
    let connect = |id| {
        let options = Options::default().client_tls(tls.clone());
        shell.connect(id, in_tls(&*server), options)
    };
    write(&ours, 4);
    for id in ["one", "two"] {
        drop(connect(id).unwrap());
        drop(accept(&*server));
    }
    write(&other, 3);
    for id in ["three", "four"] {
        assert_eq!(fault_of(connect(id)), TlsFault::Certificate(Issuer));
    }
    std::fs::remove_file(&file).unwrap();
    let error = connect("five").map(drop).unwrap_err();
    assert!(
        matches!(error.kind, ConnectErrorKind::TlsSettings(_)),
        "{error}"
    );
    write(&ours, 2);
    drop(connect("six").unwrap());
}

fn certificates_can_be_seen_before_they_are_judged(shell: Shell) {
    let (authority, other) = (Authority::new(), Authority::named("another"));
    let (server, _events) = serve(
        shell,
        Options::default().server_tls(authority.server(&["127.0.0.1"]).tls()),
    );
    let seen = Arc::new(Mutex::new(Vec::new()));
    let inspecting = |tls: ClientTls| {
        let seen = seen.clone();
        tls.inspect(move |shown| {
            let shown = shown.iter().map(|it| it.to_vec()).collect::<Vec<_>>();
            seen.lock().unwrap().push(shown);
        })
    };
    let options = |tls| Options::default().client_tls(inspecting(tls));
    let client = shell.connect("agent", in_tls(&*server), options(authority.trusted()));
    assert!(client.is_ok(), "it is trusted");
    let refused = shell.connect("other", in_tls(&*server), options(other.trusted()));
    assert_eq!(fault_of(refused), TlsFault::Certificate(Issuer));
    let seen = seen.lock().unwrap();
    let [first, second] = &seen[..] else {
        panic!("{} times", seen.len());
    };
    assert_eq!(first, second, "the same server");
    assert!(!first[0].is_empty());
}
