//! Servers and clients on Unix sockets, with and without async.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use masep::{
    Address, CloseReason, ConnectError, ConnectErrorKind, Frame, Limits, Protocols, ServerLimits,
    SocketOptions,
};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::directory::Directory;
use crate::shells::{
    Agent, Client, Event, Events, Handle, Options, Server, Shell, accept, next, of_each_shell,
    until,
};

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

of_each_shell! {
    a_handler_is_told_the_path_of_the_server
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
    a_server_on_a_unix_socket_is_not_announced
    tcp_takes_addresses_in_all_their_forms
}

/// The socket of a test.
struct Place(Directory);

impl Place {
    fn new() -> Self {
        Self(Directory::new())
    }

    fn path(&self) -> PathBuf {
        self.0.path("x.sock")
    }

    fn target(&self) -> String {
        self.0.target("x.sock")
    }

    fn bind(&self, shell: Shell) -> io::Result<Box<dyn Server>> {
        shell.bind(self.target(), Options::default())
    }

    fn connect(&self, shell: Shell) -> Result<Box<dyn Client>, ConnectError> {
        shell.connect("agent", self.target(), Options::default())
    }

    /// A server, a client, and the server's end of their connection.
    fn pair(&self, shell: Shell) -> (Box<dyn Server>, Box<dyn Client>, Handle) {
        let server = self.bind(shell).unwrap();
        let client = self.connect(shell).unwrap();
        let engine = accept(&*server);
        (server, client, engine)
    }
}

fn both_ends_are_shown_with_the_path_of_the_server(shell: Shell) {
    let place = Place::new();
    let (server, client, engine) = place.pair(shell);
    let at_client = client.connection().address();
    for address in [server.address(), at_client, engine.address()] {
        assert_eq!(address, Address::unix(place.path()));
        assert_eq!(address.to_string(), place.target());
        assert_eq!(address.tcp(), None::<SocketAddr>);
    }
    // As an address, it can be connected to again.
    drop(client);
    let again = shell.join("agent", &*server);
    again.connection().send("x").unwrap();
    assert_eq!(accept(&*server).recv(), Ok(Frame::new("x")));
}

fn ends_have_the_reasons_that_they_have_over_tcp(shell: Shell) {
    let place = Place::new();
    let server = place.bind(shell).unwrap();
    for (bytes, mid_frame) in [(&b""[..], false), (b"\x05\0ab", true)] {
        // It has read our hello: bytes that it leaves unread would cause a reset.
        let mut peer = Agent::join_at(&server.address(), "peer");
        let engine = accept(&*server);
        peer.write(bytes);
        drop(peer);
        assert_eq!(engine.end(), CloseReason::EndOfStream { mid_frame });
    }

    let client = place.connect(shell).unwrap();
    let engine = accept(&*server);
    engine.send(vec![7; 60_000]).unwrap();
    // Unread input of the server's side takes nothing away from what its peer is told.
    client.connection().send("never read").unwrap();
    let report = server.shutdown(Duration::from_secs(10));
    assert_eq!(report.ended, ["agent".into()], "{shell:?} {report:?}");
    assert_eq!(client.connection().recv(), Ok(Frame::new(vec![7; 60_000])));
    let end = client.connection().end();
    assert_eq!(end.words().map(|bye| &*bye.code), Some("shutdown"));
}

fn a_file_on_which_nobody_listens_is_replaced(shell: Shell) {
    let place = Place::new();
    // Closing a listener leaves the file, as a process does that is killed.
    drop(UnixListener::bind(place.path()).unwrap());
    assert!(is_socket(&place.path()));
    place.pair(shell);
}

#[test]
fn of_several_servers_that_start_at_once_one_gets_the_path() {
    let place = Place::new();
    for round in 0..40 {
        if round % 2 == 0 {
            drop(UnixListener::bind(place.path()).unwrap());
        }
        let servers = thread::scope(|scope| {
            let starting = [(); 4].map(|()| scope.spawn(|| place.bind(Shell::Blocking)));
            starting.map(|thread| thread.join().unwrap())
        });
        let (good, bad): (Vec<_>, Vec<_>) = servers.into_iter().partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (1, 3));
        for failed in bad {
            assert_eq!(failed.err().unwrap().kind(), ErrorKind::AddrInUse);
        }
        place.connect(Shell::Blocking).unwrap();
    }
}

fn a_path_in_use_is_an_error_and_stays(shell: Shell) {
    let place = Place::new();
    let server = place.bind(shell).unwrap();
    let error = place.bind(shell).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&place.target()), "{error}");
    place.connect(shell).unwrap();
    accept(&*server);
}

/// The system says of it that a connection would have to wait, which is not that nobody listens.
fn a_path_whose_server_accepts_nobody_is_in_use_and_is_waited_for(shell: Shell) {
    let place = Place::new();
    let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let (listener, address) = (socket(), SockAddr::unix(place.path()).unwrap());
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut early = Vec::new();
    let refused = loop {
        let socket = socket();
        socket.set_nonblocking(true).unwrap();
        match socket.connect(&address) {
            Ok(()) => early.push(socket),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    let error = place.bind(shell).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let short = SocketOptions::default().connect_time(Duration::from_millis(50));
    let refused = shell.connect("agent", place.target(), short);
    let kind = refused.err().unwrap().kind;
    assert!(matches!(kind, ConnectErrorKind::TimedOut(_)), "{kind}");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| shell.connect("agent", place.target(), Protocols::Pymasep));
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
        let error = shell.connect("agent", target, Options::default());
        let error = error.err().unwrap();
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
        let error = shell.connect("agent", directory.target(name), Options::default());
        let error = error.err().unwrap();
        assert!(error.to_string().contains(&directory.target(name)));
        match error.kind {
            ConnectErrorKind::Io(error) => assert_eq!(error.kind(), expected),
            other => panic!("{other}"),
        }
    }
    let error = shell.bind(directory.target("no/such/x.sock"), Options::default());
    assert_eq!(error.err().unwrap().kind(), ErrorKind::NotFound);
}

fn the_file_goes_with_the_server(shell: Shell) {
    let place = Place::new();
    let is_gone = || !place.path().exists();
    let (server, client, engine) = place.pair(shell);
    server.stop_accepting();
    until(is_gone);
    // Connections go on.
    client.connection().send("still here").unwrap();
    assert_eq!(engine.recv(), Ok(Frame::new("still here")));
    drop(server);

    let server = place.bind(shell).unwrap();
    assert!(is_socket(&place.path()));
    drop(server);
    until(is_gone);

    place.bind(shell).unwrap().shutdown(Duration::from_secs(10));
    until(is_gone);
}

fn a_file_of_another_stays(shell: Shell) {
    let place = Place::new();
    let server = place.bind(shell).unwrap();
    let other = UnixListener::bind(place.0.path("other")).unwrap();
    fs::rename(place.0.path("other"), place.path()).unwrap();
    let number = || fs::symlink_metadata(place.path()).unwrap().ino();
    let before = number();
    server.shutdown(Duration::from_secs(10));
    assert_eq!(number(), before);
    UnixStream::connect(place.path()).unwrap();
    drop(other);
}

fn peers_of_a_unix_socket_are_not_counted_by_their_address(shell: Shell) {
    let place = Place::new();
    let limits = ServerLimits::default().connections_per_address(Some(1));
    let server = shell.bind(place.target(), limits).unwrap();
    let clients: Vec<_> = (0..100)
        .map(|n| shell.join(&format!("agent {n}"), &*server))
        .collect();
    let engines: Vec<_> = clients.iter().map(|_| accept(&*server)).collect();
    for client in &clients {
        client.connection().send(client.id()).unwrap();
    }
    for engine in &engines {
        assert_eq!(engine.recv(), Ok(Frame::new(engine.peer())));
    }
}

fn a_server_on_a_unix_socket_is_not_announced(shell: Shell) {
    let place = Place::new();
    let server = place.bind(shell).unwrap();
    let error = server.announce().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("only this machine"), "{error}");
    let announced = Options::default().announce(true);
    let error = shell.bind(place.0.target("y.sock"), announced);
    assert_eq!(error.err().unwrap().kind(), ErrorKind::InvalidInput);
    assert!(!place.0.path("y.sock").exists());
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

fn a_handler_is_told_the_path_of_the_server(shell: Shell) {
    let place = Place::new();
    let address = Address::unix(place.path());
    let (handler, told) = Events::new();
    let server = shell.bind(place.target(), Options::default().handler(handler));
    let server = server.unwrap();
    let _client = shell.join("agent", &*server);
    assert_eq!(next(&told).connected().address(), address);
    drop(UnixStream::connect(place.path()).unwrap());
    let last = next(&told);
    let is_told = matches!(&last, Event::Rejected(it, _) if *it == address);
    assert!(is_told, "{last:?}");
}

#[test]
fn a_socket_pair_has_no_path() {
    let (near, _far) = UnixStream::pair().unwrap();
    let (limits, options) = (Limits::default(), SocketOptions::default());
    let connection = masep::blocking::Connection::over(near, "peer", &limits, &options);
    let connection = connection.unwrap();
    assert_eq!(connection.address(), Address::unix(""));
    assert_eq!(connection.address().to_string(), "unix:");
}

#[test]
fn a_listener_of_the_caller_keeps_its_file() {
    let place = Place::new();
    let listener = UnixListener::bind(place.path()).unwrap();
    let server = masep::blocking::Server::builder("engine").serve(listener);
    let server = server.unwrap();
    assert_eq!(server.local_address(), Address::unix(place.path()));
    place.connect(Shell::Async).unwrap();
    drop(server);
    assert!(is_socket(&place.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_the_caller_is_served_by_tokio() {
    let place = Place::new();
    let listener = UnixListener::bind(place.path()).unwrap();
    let server = masep::Server::builder("engine").serve(listener).unwrap();
    let address = server.local_address();
    assert_eq!(address, Address::unix(place.path()));
    let client = masep::Client::builder("agent").connect(address).await;
    client.unwrap().connection().bye().await;
    assert_eq!(server.accept().await.unwrap().peer().as_str(), "agent");
}
