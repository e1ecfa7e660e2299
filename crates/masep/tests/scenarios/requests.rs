//! A host that is asked about its clients, and what clients say of themselves.

use std::future::Future as _;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use masep::{
    AcceptError, CloseReason, ConnectError, ConnectErrorKind, Dict, Protocol, Protocols,
    RejectReason, Rejected, Request, Role, ServerLimits, TokenError,
};
use masep_proto::protocol2::{kind, preamble};

use crate::directory::Directory;
use crate::shells::{
    Client, Options, Peer, SOON, Says, Server, Shell, accept, frame, listen, masep2, of_each_pair,
    of_each_shell,
};

of_each_pair! {
    host_and_client_tell_each_other_what_they_have_to
    a_host_says_no_in_its_own_words_or_by_letting_go
    a_host_that_takes_its_time_holds_up_nobody
    an_id_in_use_is_the_hosts_to_give
}

of_each_shell! {
    a_client_that_leaves_before_the_verdict_leaves_nothing
    frames_of_a_client_that_waits_for_nothing_come_with_it
    a_host_is_asked_about_pymaseps_peers_too_if_it_wants
    one_who_waits_for_an_outcome_may_call_the_server_when_woken
    requests_end_with_the_server
    requests_that_nobody_decides_end_with_the_server_too
    a_token_goes_where_nobody_else_can_read_it
    a_hello_that_cannot_be_sent_is_the_callers_error
}

fn server(shell: Shell, limits: ServerLimits) -> Box<dyn Server> {
    shell.serve(Options::from(limits).asks(true))
}

type Connected = Result<Box<dyn Client>, ConnectError>;

/// A client that connects in a thread of its own.
fn comes(shell: Shell, id: &'static str, server: &dyn Server, says: Says) -> JoinHandle<Connected> {
    let address = match server.address() {
        masep::Address::Tcp(address) => format!("masep://{address}"),
        unix => format!("masep+{unix}"),
    };
    thread::spawn(move || shell.connect(id, address, says))
}

/// One about which the host is asked.
fn asks(
    shell: Shell,
    id: &'static str,
    server: &dyn Server,
    says: Says,
) -> (JoinHandle<Connected>, Request) {
    let client = comes(shell, id, server, says);
    (client, server.next_request().unwrap())
}

fn rejected(connected: JoinHandle<Connected>) -> Rejected {
    match connected.join().unwrap().map(drop) {
        Err(ConnectError {
            kind: ConnectErrorKind::Rejected(rejected),
            ..
        }) => *rejected,
        other => panic!("{other:?}"),
    }
}

/// A waker that calls the server.
struct Calls(Arc<dyn Server>, mpsc::Sender<()>);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        assert_eq!(self.0.bans(), []);
        self.1.send(()).unwrap();
    }
}

fn one_who_waits_for_an_outcome_may_call_the_server_when_woken(shell: Shell) {
    let server = Arc::from(server(shell, ServerLimits::default()));
    let (first, request) = asks(shell, "agent", &*server, Says::default());
    request.admit(None).wait().unwrap();
    let _first = first.join().unwrap().unwrap();
    let (second, request) = asks(shell, "agent", &*server, Says::default());
    let mut admitting = pin!(request.admit(None));
    let (woken, is_woken) = mpsc::channel();
    let waker = Arc::new(Calls(server, woken)).into();
    let polled = admitting.as_mut().poll(&mut Context::from_waker(&waker));
    assert_eq!(polled, Poll::Pending);
    is_woken.recv_timeout(SOON).unwrap();
    assert_eq!(rejected(second).code, "duplicate_id");
}

fn host_and_client_tell_each_other_what_they_have_to(of_server: Shell, of_client: Shell) {
    let directory = Directory::new();
    let server = of_server
        .bind(directory.target("a"), Options::default().asks(true))
        .unwrap();
    let make = Dict::from([("render_mode", "rgb_array")]);
    let says = Says {
        role: Some(Role::Actor),
        game: Some("pursuit.PursuitGame"),
        seat: Some("red"),
        table: Some("7"),
        resume: Some("life.00"),
        profile: Some("env"),
        make: Some(make.clone()),
        token: Some("access"),
    };
    let (client, request) = asks(of_client, "agent", &*server, says);
    let hello = request.hello();
    assert_eq!((&**request.peer(), &*hello.id), ("agent", "agent"));
    assert_eq!(hello.role.as_deref(), Some("actor"));
    assert_eq!(hello.game.as_deref(), Some("pursuit.PursuitGame"));
    assert_eq!(hello.seat.as_deref(), Some("red"));
    assert_eq!(hello.table.as_deref(), Some("7"));
    assert_eq!(hello.resume.as_deref(), Some("life.00"));
    assert_eq!(hello.profile.as_deref(), Some("env"));
    assert_eq!(hello.make, Some(make));
    assert_eq!(hello.token.as_ref().unwrap().reveal(), "access");
    assert!(hello.agent.starts_with("masep "), "{hello:?}");
    assert_eq!(request.address(), &server.address());
    let shown = format!("{request:?}");
    assert!(
        !shown.contains("access") && !shown.contains("life.00"),
        "{shown}"
    );

    let number = request.connection();
    let mut welcome = request.welcome();
    welcome.seat = Some("red".into());
    welcome.resume = Some("life.01".into());
    welcome.instance = Some("life".into());
    welcome.epoch = Some(3);
    welcome.last = Some(Dict::from([("n", 6)]));
    welcome.grace_ms = Some(30_000);
    welcome.profile = Some("env".into());
    assert_eq!(request.admit(welcome.clone()).wait(), Ok(()));
    let connection = accept(&*server);
    assert_eq!(connection.id(), number);
    let kept = connection.hello().unwrap();
    assert_eq!(kept.seat.as_deref(), Some("red"));
    assert_eq!((kept.token, kept.resume, kept.make), (None, None, None));

    let client = client.join().unwrap().unwrap();
    assert_eq!(client.connection().hello(), None, "it has said it itself");
    let told = client.connection().welcome().unwrap();
    // A limit that is the server's alone stays the server's.
    assert_eq!(
        (&*told.id, told.max, told.heartbeat_ms),
        ("engine", 1 << 20, 10_000)
    );
    welcome.max = told.max;
    welcome.heartbeat_ms = told.heartbeat_ms;
    welcome.features.clone_from(&told.features);
    assert_eq!(told, welcome);
    client.connection().send("hi").unwrap();
    assert_eq!(connection.recv(), Ok(masep::Frame::new("hi")));
}

fn a_host_says_no_in_its_own_words_or_by_letting_go(of_server: Shell, of_client: Shell) {
    // The host has to be in time where it says something.
    let time = Duration::from_secs(1);
    let limits = ServerLimits::default().decision_time(time);
    let server = server(of_server, limits);
    let asks = || asks(of_client, "agent", &*server, Says::default());
    let (client, request) = asks();
    request.refuse(Rejected::new("full", "no seat is open").retry_ms(500));
    let told = rejected(client);
    assert_eq!((&*told.code, &*told.text), ("full", "no seat is open"));
    assert_eq!(told.retry_ms, Some(500));

    let (client, request) = asks();
    drop(request);
    assert_eq!(&*rejected(client).code, "denied");

    // The host takes it, and then its time; or it does not take it at all.
    let (client, request) = asks();
    let told = rejected(client);
    assert_eq!((&*told.code, told.retry_ms), ("undecided", Some(1_000)));
    let outcome = request.admit(None).wait();
    assert_eq!(outcome, Err(RejectReason::Undecided(time)));
    let unasked = comes(of_client, "agent", &*server, Says::default());
    assert_eq!(&*rejected(unasked).code, "undecided");

    // The next one is asked about, and not those that are gone.
    let (client, request) = asks();
    assert_eq!(request.admit(None).wait(), Ok(()));
    assert_eq!(
        client.join().unwrap().unwrap().connection().peer(),
        "engine"
    );
}

fn a_host_that_takes_its_time_holds_up_nobody(of_server: Shell, of_client: Shell) {
    let server = server(of_server, ServerLimits::default());
    let (first, held) = asks(of_client, "first", &*server, Says::default());
    let (second, request) = asks(of_client, "second", &*server, Says::default());
    assert_eq!(&**request.peer(), "second");
    request.admit(None);
    assert_eq!(accept(&*server).peer(), "second");
    drop(second.join().unwrap().unwrap());

    // A peer of pymasep's protocol is taken as it is anywhere: it has said no more than its id.
    let mut old = Peer::connect(server.address());
    old.write(&frame(b"old"));
    old.expect(b"engine");
    let old_one = accept(&*server);
    assert_eq!((old_one.peer().as_str(), old_one.hello()), ("old", None));

    held.admit(None);
    assert_eq!(accept(&*server).peer(), "first");
    drop(first.join().unwrap().unwrap());
}

fn an_id_in_use_is_the_hosts_to_give(of_server: Shell, of_client: Shell) {
    let server = server(of_server, ServerLimits::default());
    let asks = || asks(of_client, "agent", &*server, Says::default());
    let (first, request) = asks();
    request.admit(None);
    let (first, at_server) = (first.join().unwrap().unwrap(), accept(&*server));

    let (second, request) = asks();
    let outcome = request.admit(None).wait();
    assert!(
        matches!(outcome, Err(RejectReason::DuplicateId(_))),
        "{outcome:?}"
    );
    assert_eq!(&*rejected(second).code, "duplicate_id");

    let (third, request) = asks();
    let mut welcome = request.welcome();
    welcome.seat = Some("red".into());
    let replacing = request.replace(welcome);
    assert_eq!(at_server.end(), CloseReason::Replaced);
    let end = first.connection().end();
    assert_eq!(end.words().map(|bye| &*bye.code), Some("replaced"));
    assert_eq!(replacing.wait(), Ok(()));
    let third = third.join().unwrap().unwrap();
    let told = third.connection().welcome().unwrap();
    assert_eq!(
        told.seat.as_deref(),
        Some("red"),
        "also of one that had to wait"
    );
}

/// As one that stands in for another server, which it has to ask first.
fn a_host_is_asked_about_pymaseps_peers_too_if_it_wants(shell: Shell) {
    let server = shell.serve(Options::default().asks_all(true));
    let comes = |id: &str| {
        let mut peer = Peer::connect(server.address());
        peer.write(&[frame(id.as_bytes()), frame(b"define")].concat());
        let request = server.next_request().unwrap();
        assert_eq!((&**request.peer(), &*request.hello().id), (id, id));
        assert_eq!(request.protocol(), Protocol::Pymasep);
        (peer, request)
    };
    let (mut held, request) = comes("held");
    let (mut refused, other) = comes("refused");
    other.refuse(Rejected::new("full", "no seat is open"));
    refused.expect_refusal();

    let new = comes_by_protocol_2(shell, &*server);
    let mut welcome = request.welcome();
    welcome.id = "far engine".into();
    request.admit(welcome);
    held.expect(b"far engine");
    let connection = accept(&*server);
    assert_eq!(connection.recv(), Ok(masep::Frame::new("define")));
    drop(new);

    // One that gives up meanwhile leaves nothing.
    let (gone, request) = comes("gone");
    drop(gone);
    let _either = request.admit(None).wait();
    let (mut again, request) = comes("again");
    request.admit(None);
    again.expect(b"engine");
}

fn comes_by_protocol_2(shell: Shell, server: &dyn Server) -> Box<dyn Client> {
    let (client, request) = asks(shell, "new", server, Says::default());
    assert_eq!(request.protocol(), Protocol::Masep2);
    let mut welcome = request.welcome();
    welcome.id = "far engine".into();
    request.admit(welcome);
    assert_eq!(accept(server).peer(), "new");
    let client = client.join().unwrap().unwrap();
    assert_eq!(client.connection().peer(), "far engine");
    client
}

/// It says all that it has to say at once, and ends its stream: nothing of it is lost, whenever the server reads the end.
fn frames_of_a_client_that_waits_for_nothing_come_with_it(shell: Shell) {
    const OF_PYMASEP: &[u8] = b"\x05\0agent\x03\0one\x03\0two";
    let frames = [b"one", b"two"].map(|body| masep2::frame(kind::BYTES, body));
    let of_masep = [masep2::first_bytes("agent"), frames.concat()].concat();
    for (asks, round) in (0..20).flat_map(|round| [(true, round), (false, round)]) {
        let server = shell.serve(Options::default().asks(asks));
        let is_masep = asks || round % 2 == 0;
        let mut peer = Peer::connect(server.address());
        peer.write(if is_masep { &of_masep } else { OF_PYMASEP });
        peer.close_sending_side();
        if asks {
            let request = server.next_request().unwrap();
            assert_eq!(request.admit(None).wait(), Ok(()));
        }
        let connection = accept(&*server);
        assert_eq!(connection.recv(), Ok(masep::Frame::new("one")));
        assert_eq!(connection.recv(), Ok(masep::Frame::new("two")));
        let end = CloseReason::EndOfStream { mid_frame: false };
        assert_eq!(connection.recv(), Err(end));
        // It was answered all the same.
        assert!(peer.rest().len() > b"\x06\0engine".len());
    }
}

fn a_client_that_leaves_before_the_verdict_leaves_nothing(shell: Shell) {
    for is_decided in [true, false] {
        let server = server(shell, ServerLimits::default().connections(1));
        let mut peer = Peer::connect(server.address());
        peer.write(&masep2::first_bytes("gone"));
        let request = server.next_request().unwrap();
        drop(peer);
        let request = if is_decided {
            // It may be faster than the end.
            if request.admit(None).wait().is_ok() {
                drop(accept(&*server));
            }
            None
        } else {
            Some(request)
        };
        // There is one place, which is free again, and nobody is asked about the one that is gone.
        thread::scope(|scope| {
            scope.spawn(|| {
                while let Ok(request) = server.next_request() {
                    assert_eq!(&**request.peer(), "agent");
                    request.admit(None);
                }
            });
            let address = format!("masep://{}", server.address());
            let client = loop {
                let client = shell.connect("agent", &address, Says::default());
                match client {
                    Ok(client) => break client,
                    Err(error) => assert!(error.to_string().contains("too_many"), "{error}"),
                }
            };
            let connection = accept(&*server);
            client.connection().bye();
            assert_eq!(connection.end(), CloseReason::PeerBye);
            server.stop_accepting();
        });
        drop(request);
    }
}

fn requests_end_with_the_server(shell: Shell) {
    let server = server(shell, ServerLimits::default());
    let (client, request) = asks(shell, "agent", &*server, Says::default());
    server.stop_accepting();
    assert_eq!(&*rejected(client).code, "stopped");
    assert_eq!(server.next_request().err(), Some(AcceptError::Stopped));
    assert_eq!(request.admit(None).wait(), Err(RejectReason::Stopped));

    let asks_nobody = shell.serve(Options::default());
    let error = asks_nobody.next_request().err();
    assert_eq!(error, Some(AcceptError::AsksNobody));
}

/// A request is as good as another thread, or none.
fn requests_that_nobody_decides_end_with_the_server_too(shell: Shell) {
    let server = server(shell, ServerLimits::default());
    let (client, request) = asks(shell, "agent", &*server, Says::default());
    drop(server);
    assert_eq!(&*rejected(client).code, "stopped");
    drop(request);
}

fn a_token_goes_where_nobody_else_can_read_it(shell: Shell) {
    let says = |protocols| Options::from(protocols).says(Says::token("access"));
    // Nothing is even connected to.
    for (protocols, expected) in [
        (None, TokenError::Unprotected),
        (Some(Protocols::Both), TokenError::Unprotected),
        (Some(Protocols::Pymasep), TokenError::NoPlace),
    ] {
        let (listener, address) = listen();
        listener.set_nonblocking(true).unwrap();
        let target = match protocols {
            None => format!("masep://{address}"),
            Some(_) => address.to_string(),
        };
        let error = shell.connect("agent", target, says(protocols));
        let error = error.map(drop).expect_err("it is not sent");
        assert!(
            matches!(error.kind, ConnectErrorKind::Token(kind) if kind == expected),
            "{error}"
        );
        assert!(listener.accept().is_err(), "nobody came");
    }

    // A server of pymasep's protocol never sees it.
    let directory = Directory::new();
    let listener = std::os::unix::net::UnixListener::bind(directory.path("old")).unwrap();
    let server = thread::spawn(move || {
        use std::io::{Read, Write};
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(&frame(b"engine")).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        heard
    });
    let target = directory.target("old");
    let error = shell.connect("agent", target, says(Some(Protocols::Both)));
    let error = error.map(drop).expect_err("it does not fall back");
    assert!(
        matches!(
            error.kind,
            ConnectErrorKind::OtherProtocol(Protocol::Pymasep)
        ),
        "{error}"
    );
    assert_eq!(server.join().unwrap(), preamble::CLIENT);
}

fn a_hello_that_cannot_be_sent_is_the_callers_error(shell: Shell) {
    let (listener, address) = listen();
    listener.set_nonblocking(true).unwrap();
    let says = Says {
        resume: Some("x".repeat(2_049).leak()),
        ..Says::default()
    };
    let error = shell.connect("agent", format!("masep://{address}"), says);
    let error = error.map(drop).expect_err("it is too long");
    assert!(matches!(error.kind, ConnectErrorKind::Hello(_)), "{error}");
    assert!(error.to_string().contains("2049"), "{error}");
    assert!(listener.accept().is_err(), "nobody came");
}
