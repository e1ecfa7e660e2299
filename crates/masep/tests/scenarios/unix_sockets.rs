//! Servers and clients on Unix sockets, with and without async.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use masep::{
    Address, CloseReason, ConnectErrorKind, Frame, Limits, Protocols, ServerLimits, SocketOptions,
};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::directory::Directory;
use crate::shells::{
    Event, Events, Options, Shell, accept, next, of_each_pair, of_each_shell, until,
};

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

of_each_pair! {
    frames_arrive_whole_in_both_directions
}

of_each_shell! {
    a_handler_serves_a_unix_socket
    both_ends_are_shown_with_the_path_of_the_server
    ends_have_the_reasons_that_they_have_over_tcp
    a_file_on_which_nobody_listens_is_replaced
    a_path_in_use_is_an_error_and_stays
    a_path_whose_server_accepts_nobody_is_in_use_and_is_waited_for
    what_is_no_socket_is_never_removed
    an_address_that_is_none_is_the_callers_error
    nobody_there_is_told_as_what_it_is
    the_file_goes_with_the_server
    a_file_of_another_stays
    peers_of_a_unix_socket_are_not_counted_by_their_address
    a_peer_that_takes_nothing_is_given_up
    a_server_on_a_unix_socket_is_not_announced
    tcp_takes_addresses_in_all_their_forms
}

fn frames_arrive_whole_in_both_directions(one: Shell, other: Shell) {
    let sizes = [0, 1, 64, 300, 5_000, 65_534, 65_535, 2];
    let directory = Directory::new();
    let server = one
        .bind(&*directory.target("x.sock"), Options::default())
        .unwrap();
    let client = other
        .connect("agent", &*directory.target("x.sock"), Options::default())
        .unwrap();
    let engine = accept(&*server);
    for (from, to) in [
        (&*engine, client.connection()),
        (client.connection(), &*engine),
    ] {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..20_u8 {
                    for size in sizes {
                        from.send(vec![round; size]).unwrap();
                    }
                }
            });
            for round in 0..20_u8 {
                for size in sizes {
                    assert!(to.recv() == Ok(Frame::new(vec![round; size])));
                }
            }
        });
    }
}

fn both_ends_are_shown_with_the_path_of_the_server(shell: Shell) {
    let directory = Directory::new();
    let target = directory.target("x.sock");
    let server = shell.bind(&*target, Options::default()).unwrap();
    let client = shell
        .connect("agent", &*target, Options::default())
        .unwrap();
    let engine = accept(&*server);
    let expected = Address::unix(directory.path("x.sock"));
    for address in [
        server.address(),
        client.connection().address(),
        engine.address(),
    ] {
        assert_eq!(address, expected);
        assert_eq!(address.to_string(), target);
        assert_eq!(address.tcp(), None::<SocketAddr>);
    }
    // As an address, it can be connected to again.
    drop(client);
    let again = shell
        .connect("agent", server.address(), Options::default())
        .unwrap();
    again.connection().send("x").unwrap();
    assert_eq!(accept(&*server).recv(), Ok(Frame::new("x")));
}

fn ends_have_the_reasons_that_they_have_over_tcp(shell: Shell) {
    let directory = Directory::new();
    let server = shell
        .bind(&*directory.target("x.sock"), Options::default())
        .unwrap();
    let client = shell
        .connect("agent", &*directory.target("x.sock"), Options::default())
        .unwrap();
    let engine = accept(&*server);
    client.connection().send("last words").unwrap();
    assert_eq!(client.connection().bye(), CloseReason::LocalBye);
    assert_eq!(engine.recv(), Ok(Frame::new("last words")));
    assert_eq!(engine.end(), CloseReason::PeerBye);

    for (bytes, mid_frame) in [(&b""[..], false), (b"\x05\0ab", true)] {
        let mut peer = UnixStream::connect(directory.path("x.sock")).unwrap();
        peer.write_all(b"\x04\0peer").unwrap();
        let engine = accept(&*server);
        // Bytes that it leaves unread would cause a reset.
        peer.read_exact(&mut [0; 8]).unwrap();
        peer.write_all(bytes).unwrap();
        drop(peer);
        assert_eq!(engine.end(), CloseReason::EndOfStream { mid_frame });
    }

    let client = shell
        .connect("agent", &*directory.target("x.sock"), Options::default())
        .unwrap();
    let engine = accept(&*server);
    engine.send(vec![7; 60_000]).unwrap();
    // Unread input of the server's side takes nothing away from what its peer is told.
    client.connection().send("never read").unwrap();
    let report = server.shutdown(Duration::from_secs(10));
    assert_eq!(report.ended, ["agent".into()], "{shell:?} {report:?}");
    assert_eq!(client.connection().recv(), Ok(Frame::new(vec![7; 60_000])));
    let end = client.connection().end();
    assert!(end.is_peer_bye(), "{end:?}");
    assert_eq!(end.words().map(|bye| &*bye.code), Some("shutdown"));
}

fn a_file_on_which_nobody_listens_is_replaced(shell: Shell) {
    let directory = Directory::new();
    // Closing a listener leaves the file, as a process does that is killed.
    drop(UnixListener::bind(directory.path("x.sock")).unwrap());
    assert!(is_socket(&directory.path("x.sock")));
    let server = shell
        .bind(&*directory.target("x.sock"), Options::default())
        .unwrap();
    shell
        .connect("agent", &*directory.target("x.sock"), Options::default())
        .unwrap();
    accept(&*server);
}

#[test]
fn of_several_servers_that_start_at_once_one_gets_the_path() {
    let directory = Directory::new();
    for round in 0..40 {
        if round % 2 == 0 {
            drop(UnixListener::bind(directory.path("x.sock")).unwrap());
        }
        let servers: Vec<_> = std::thread::scope(|scope| {
            let start = || Shell::Blocking.bind(&*directory.target("x.sock"), Options::default());
            let starting: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            let started = starting.into_iter().map(|thread| thread.join().unwrap());
            started.collect()
        });
        let (good, bad): (Vec<_>, Vec<_>) = servers.into_iter().partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (1, 3));
        for failed in bad {
            assert_eq!(failed.err().unwrap().kind(), ErrorKind::AddrInUse);
        }
        Shell::Blocking
            .connect("agent", &*directory.target("x.sock"), Options::default())
            .unwrap();
    }
}

fn a_path_in_use_is_an_error_and_stays(shell: Shell) {
    let directory = Directory::new();
    let target = directory.target("x.sock");
    let server = shell.bind(&*target, Options::default()).unwrap();
    let error = shell.bind(&*target, Options::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&target), "{error}");
    shell
        .connect("agent", &*target, Options::default())
        .unwrap();
    accept(&*server);
}

/// The system says of it that a connection would have to wait, which is not that nobody listens.
fn a_path_whose_server_accepts_nobody_is_in_use_and_is_waited_for(shell: Shell) {
    let directory = Directory::new();
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let address = SockAddr::unix(directory.path("x.sock")).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut early = Vec::new();
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        match socket.connect(&address) {
            Ok(()) => early.push(socket),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                break;
            }
        }
    }
    let error = shell
        .bind(&*directory.target("x.sock"), Options::default())
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let short = SocketOptions::default().connect_time(Duration::from_millis(50));
    let refused = shell.connect("agent", &*directory.target("x.sock"), short);
    let kind = refused.err().unwrap().kind;
    assert!(matches!(kind, ConnectErrorKind::TimedOut(_)), "{kind}");
    std::thread::scope(|scope| {
        let waiting = scope
            .spawn(|| shell.connect("agent", &*directory.target("x.sock"), Protocols::Pymasep));
        let mut served = Vec::new();
        for _ in 0..=early.len() {
            let (socket, _) = listener.accept().unwrap();
            (&socket).write_all(b"\x06\0engine").unwrap();
            served.push(socket);
        }
        waiting.join().unwrap().unwrap();
    });
}

fn what_is_no_socket_is_never_removed(shell: Shell) {
    let directory = Directory::new();
    fs::write(directory.path("file"), "precious").unwrap();
    fs::create_dir(directory.path("folder")).unwrap();
    std::os::unix::fs::symlink("nowhere", directory.path("link")).unwrap();
    for name in ["file", "folder", "link"] {
        let target = directory.target(name);
        let error = shell.bind(&*target, Options::default()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{name}");
        assert!(error.to_string().contains(&target), "{error}");
        assert!(error.to_string().contains("no socket"), "{error}");
    }
    let kept = fs::read_to_string(directory.path("file")).unwrap();
    assert_eq!(kept, "precious");
    assert!(directory.path("folder").is_dir());
    assert!(fs::symlink_metadata(directory.path("link")).is_ok());
}

fn an_address_that_is_none_is_the_callers_error(shell: Shell) {
    let long = format!("unix:///tmp/{}", "x".repeat(200));
    for (target, part) in [
        (&*long, "at most"),
        ("unix://relative", "begins with a slash"),
        ("localhost", "expected HOST:PORT or unix:///PATH"),
        ("wss://localhost:1", "not supported yet"),
    ] {
        let error = shell.bind(target, Options::default()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.to_string().contains(target), "{error}");
        let error = shell
            .connect("agent", target, Options::default())
            .err()
            .unwrap();
        assert!(matches!(error.kind, ConnectErrorKind::Address(_)));
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.to_string().contains(target), "{error}");
    }
}

fn nobody_there_is_told_as_what_it_is(shell: Shell) {
    let directory = Directory::new();
    drop(UnixListener::bind(directory.path("stale")).unwrap());
    for (name, expected) in [
        ("stale", ErrorKind::ConnectionRefused),
        ("missing", ErrorKind::NotFound),
    ] {
        let error = shell
            .connect("agent", &*directory.target(name), Options::default())
            .err()
            .unwrap();
        assert!(error.to_string().contains(&directory.target(name)));
        match error.kind {
            ConnectErrorKind::Io(error) => assert_eq!(error.kind(), expected),
            other => panic!("{other}"),
        }
    }
    let error = shell
        .bind(&*directory.target("no/such/x.sock"), Options::default())
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

fn the_file_goes_with_the_server(shell: Shell) {
    let directory = Directory::new();
    let path = directory.path("x.sock");
    let target = directory.target("x.sock");
    let server = shell.bind(&*target, Options::default()).unwrap();
    let client = shell
        .connect("agent", &*target, Options::default())
        .unwrap();
    let engine = accept(&*server);
    server.stop_accepting();
    until(|| !path.exists());
    // Connections go on.
    client.connection().send("still here").unwrap();
    assert_eq!(engine.recv(), Ok(Frame::new("still here")));
    drop(server);

    let server = shell.bind(&*target, Options::default()).unwrap();
    assert!(is_socket(&path));
    drop(server);
    until(|| !path.exists());

    let server = shell.bind(&*target, Options::default()).unwrap();
    server.shutdown(Duration::from_secs(10));
    until(|| !path.exists());
}

fn a_file_of_another_stays(shell: Shell) {
    let directory = Directory::new();
    let path = directory.path("x.sock");
    let server = shell
        .bind(&*directory.target("x.sock"), Options::default())
        .unwrap();
    let other = UnixListener::bind(directory.path("other")).unwrap();
    fs::rename(directory.path("other"), &path).unwrap();
    let before = fs::symlink_metadata(&path).unwrap().ino();
    server.shutdown(Duration::from_secs(10));
    assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), before);
    UnixStream::connect(&path).unwrap();
    drop(other);
}

fn peers_of_a_unix_socket_are_not_counted_by_their_address(shell: Shell) {
    let directory = Directory::new();
    let limits = ServerLimits::default().connections_per_address(Some(1));
    let target = directory.target("x.sock");
    let server = shell.bind(&*target, limits).unwrap();
    let clients: Vec<_> = std::thread::scope(|scope| {
        let join = |n: usize| {
            let target = &target;
            scope.spawn(move || shell.connect(&format!("agent {n}"), &**target, Options::default()))
        };
        let joining: Vec<_> = (0..100).map(join).collect();
        let joined = joining
            .into_iter()
            .map(|thread| thread.join().unwrap().unwrap());
        joined.collect()
    });
    let engines: Vec<_> = clients.iter().map(|_| accept(&*server)).collect();
    for (n, client) in clients.iter().enumerate() {
        client
            .connection()
            .send(n.to_string().into_bytes())
            .unwrap();
    }
    for engine in &engines {
        let number = engine.recv().unwrap();
        let number = str::from_utf8(number.as_ref()).unwrap();
        assert_eq!(engine.peer(), format!("agent {number}"));
    }
}

fn a_peer_that_takes_nothing_is_given_up(shell: Shell) {
    let directory = Directory::new();
    let limits = Limits::default().write_time(Duration::from_millis(200));
    let server = shell.bind(&*directory.target("x.sock"), limits).unwrap();
    let mut deaf = UnixStream::connect(directory.path("x.sock")).unwrap();
    deaf.write_all(b"\x04\0deaf").unwrap();
    let engine = accept(&*server);
    while engine.try_send(vec![1; 60_000]).is_ok() {}
    assert_eq!(engine.closed(), CloseReason::WriteTimeout, "{shell:?}");
}

fn a_server_on_a_unix_socket_is_not_announced(shell: Shell) {
    let directory = Directory::new();
    let server = shell
        .bind(&*directory.target("x.sock"), Options::default())
        .unwrap();
    let error = server.announce().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("only this machine"), "{error}");
    let error = shell.bind(
        &*directory.target("y.sock"),
        Options::default().announce(true),
    );
    assert_eq!(error.err().unwrap().kind(), ErrorKind::InvalidInput);
    assert!(!directory.path("y.sock").exists());
}

fn tcp_takes_addresses_in_all_their_forms(shell: Shell) {
    let server = shell.bind(("localhost", 0), Options::default()).unwrap();
    let address = server.address().tcp().unwrap();
    let port = address.port();
    let forms = [
        shell.connect("1", address, Options::default()),
        shell.connect("2", server.address(), Options::default()),
        shell.connect("3", &[address][..], Options::default()),
        shell.connect("4", (address.ip(), port), Options::default()),
        shell.connect("5", ("localhost", port), Options::default()),
        shell.connect("6", (String::from("localhost"), port), Options::default()),
        shell.connect("7", format!("localhost:{port}"), Options::default()),
        shell.connect("8", &*format!("tcp://{address}"), Options::default()),
        shell.connect("9", server.address(), Options::default()),
    ];
    for connected in forms {
        assert_eq!(connected.unwrap().connection().address(), address);
        drop(accept(&*server));
    }
}

fn a_handler_serves_a_unix_socket(shell: Shell) {
    let directory = Directory::new();
    let target = directory.target("x.sock");
    let (handler, told) = Events::new();
    let server = shell.bind(&*target, Options::default().handler(handler));
    let server = server.unwrap();
    let client = shell.join("agent", &*server);
    client.connection().send("hello").unwrap();
    client.connection().bye();
    let connected = next(&told);
    assert!(matches!(connected, Event::Connected(it) if it.address() == server.address()));
    let received = next(&told);
    assert!(matches!(received, Event::Received(_, frame) if frame.bytes() == "hello"));
    let closed = next(&told);
    assert!(matches!(closed, Event::Closed(_, CloseReason::PeerBye)));
    drop(UnixStream::connect(directory.path("x.sock")).unwrap());
    let last = next(&told);
    let address = Address::unix(directory.path("x.sock"));
    assert!(
        matches!(&last, Event::Rejected(it, _) if *it == address),
        "{last:?}"
    );
}

#[test]
fn a_socket_pair_has_no_path() {
    let (near, _far) = UnixStream::pair().unwrap();
    let connection = masep::blocking::Connection::over(
        near,
        "peer",
        &Limits::default(),
        &SocketOptions::default(),
    )
    .unwrap();
    assert_eq!(connection.address(), Address::unix(""));
    assert_eq!(connection.address().to_string(), "unix:");
}

#[test]
fn a_listener_of_the_caller_keeps_its_file() {
    let directory = Directory::new();
    let listener = UnixListener::bind(directory.path("x.sock")).unwrap();
    let server = masep::blocking::Server::builder("engine")
        .serve(listener)
        .unwrap();
    assert_eq!(
        server.local_address(),
        Address::unix(directory.path("x.sock"))
    );
    Shell::Async
        .connect("agent", server.local_address(), Options::default())
        .unwrap();
    drop(server);
    assert!(is_socket(&directory.path("x.sock")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_the_caller_is_served_by_tokio() {
    let directory = Directory::new();
    let listener = UnixListener::bind(directory.path("x.sock")).unwrap();
    let server = masep::Server::builder("engine").serve(listener).unwrap();
    let address = server.local_address();
    assert_eq!(address, Address::unix(directory.path("x.sock")));
    let client = masep::Client::builder("agent").connect(address).await;
    client.unwrap().connection().bye().await;
    assert_eq!(server.accept().await.unwrap().peer().as_str(), "agent");
}
