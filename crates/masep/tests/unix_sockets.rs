//! Servers and clients on Unix sockets, with and without async.
#![allow(
    clippy::unwrap_used,
    clippy::duplicate_mod,
    reason = "a panic is its report; both kinds of peers have the bounds"
)]

mod bounds;
mod directory;
mod peer;
mod shells;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use masep::{
    Address, CloseReason, ConnectErrorKind, Limits, ServerLimits, SocketOptions, WhenFull,
};
use socket2::{Domain, SockAddr, Socket, Type};

use directory::Directory;
use shells::{SHELLS, Shell, accept, bind, connect, connect_as};

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// Each server with each client.
fn mixed() -> impl Iterator<Item = (Shell, Shell)> {
    SHELLS
        .into_iter()
        .flat_map(|server| SHELLS.into_iter().map(move |client| (server, client)))
}

#[test]
fn frames_arrive_whole_in_both_directions() {
    let sizes = [0, 1, 64, 300, 5_000, 65_534, 65_535, 2];
    for (one, other) in mixed() {
        let directory = Directory::new();
        let server = bind(one, &*directory.target("x.sock")).unwrap();
        let client = connect(other, &*directory.target("x.sock")).unwrap();
        let engine = accept(&*server);
        for (from, to) in [
            (&*engine, client.connection()),
            (client.connection(), &*engine),
        ] {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for round in 0..20_u8 {
                        for size in sizes {
                            from.send(vec![round; size]);
                        }
                    }
                });
                for round in 0..20_u8 {
                    for size in sizes {
                        assert_eq!(to.recv(), Some(vec![round; size]), "{one:?} {other:?}");
                    }
                }
            });
        }
    }
}

#[test]
fn both_ends_are_shown_with_the_path_of_the_server() {
    for shell in SHELLS {
        let directory = Directory::new();
        let target = directory.target("x.sock");
        let server = bind(shell, &*target).unwrap();
        let client = connect(shell, &*target).unwrap();
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
        let again = connect(shell, server.address()).unwrap();
        again.connection().send(b"x".to_vec());
        assert_eq!(accept(&*server).recv().as_deref(), Some(&b"x"[..]));
    }
}

#[test]
fn ends_have_the_reasons_that_they_have_over_tcp() {
    for shell in SHELLS {
        let directory = Directory::new();
        let server = bind(shell, &*directory.target("x.sock")).unwrap();
        let client = connect(shell, &*directory.target("x.sock")).unwrap();
        let engine = accept(&*server);
        client.connection().send(b"last words".to_vec());
        assert_eq!(client.connection().bye(), CloseReason::LocalBye);
        assert_eq!(engine.recv().as_deref(), Some(&b"last words"[..]));
        assert_eq!(engine.recv(), None);
        assert_eq!(engine.closed(), CloseReason::PeerBye);

        for (bytes, mid_frame) in [(&b""[..], false), (b"\x05\0ab", true)] {
            let mut peer = UnixStream::connect(directory.path("x.sock")).unwrap();
            peer.write_all(b"\x04\0peer").unwrap();
            let engine = accept(&*server);
            // What it leaves unread would be a reset.
            peer.read_exact(&mut [0; 8]).unwrap();
            peer.write_all(bytes).unwrap();
            drop(peer);
            assert_eq!(engine.recv(), None);
            assert_eq!(engine.closed(), CloseReason::EndOfStream { mid_frame });
        }

        let client = connect(shell, &*directory.target("x.sock")).unwrap();
        let engine = accept(&*server);
        engine.send(vec![7; 60_000]);
        // Unread input of the server's side takes nothing away from what its peer is told.
        client.connection().send(b"never read".to_vec());
        let report = server.shutdown(Duration::from_secs(10));
        assert_eq!(report.ended, ["agent".into()], "{shell:?} {report:?}");
        assert_eq!(client.connection().recv(), Some(vec![7; 60_000]));
        assert_eq!(client.connection().recv(), None);
        assert_eq!(client.connection().closed(), CloseReason::PeerBye);
    }
}

#[test]
fn a_file_on_which_nobody_listens_is_replaced() {
    for shell in SHELLS {
        let directory = Directory::new();
        // Closing a listener leaves the file, as a process does that is killed.
        drop(UnixListener::bind(directory.path("x.sock")).unwrap());
        assert!(is_socket(&directory.path("x.sock")));
        let server = bind(shell, &*directory.target("x.sock")).unwrap();
        connect(shell, &*directory.target("x.sock")).unwrap();
        accept(&*server);
    }
}

#[test]
fn of_several_servers_that_start_at_once_one_gets_the_path() {
    let directory = Directory::new();
    for round in 0..40 {
        if round % 2 == 0 {
            drop(UnixListener::bind(directory.path("x.sock")).unwrap());
        }
        let servers: Vec<_> = std::thread::scope(|scope| {
            let start = || bind(Shell::Blocking, &*directory.target("x.sock"));
            let starting: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            let started = starting.into_iter().map(|thread| thread.join().unwrap());
            started.collect()
        });
        let (good, bad): (Vec<_>, Vec<_>) = servers.into_iter().partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (1, 3));
        for failed in bad {
            assert_eq!(failed.err().unwrap().kind(), ErrorKind::AddrInUse);
        }
        connect(Shell::Blocking, &*directory.target("x.sock")).unwrap();
    }
}

#[test]
fn a_path_in_use_is_an_error_and_stays() {
    for shell in SHELLS {
        let directory = Directory::new();
        let target = directory.target("x.sock");
        let server = bind(shell, &*target).unwrap();
        let error = bind(shell, &*target).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&target), "{error}");
        connect(shell, &*target).unwrap();
        accept(&*server);
    }
}

/// The system says of it that a connection would have to wait, which is not that nobody listens.
#[test]
fn a_path_whose_server_accepts_nobody_is_in_use_and_is_waited_for() {
    for shell in SHELLS {
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
        let error = bind(shell, &*directory.target("x.sock")).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let short = SocketOptions::default().connect_time(Duration::from_millis(50));
        let refused = shells::connect_with(shell, &*directory.target("x.sock"), short);
        let kind = refused.err().unwrap().kind;
        assert!(matches!(kind, ConnectErrorKind::TimedOut(_)), "{kind}");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| connect(shell, &*directory.target("x.sock")));
            let mut served = Vec::new();
            for _ in 0..=early.len() {
                let (socket, _) = listener.accept().unwrap();
                (&socket).write_all(b"\x06\0engine").unwrap();
                served.push(socket);
            }
            waiting.join().unwrap().unwrap();
        });
    }
}

#[test]
fn what_is_no_socket_is_never_removed() {
    for shell in SHELLS {
        let directory = Directory::new();
        fs::write(directory.path("file"), "precious").unwrap();
        fs::create_dir(directory.path("folder")).unwrap();
        std::os::unix::fs::symlink("nowhere", directory.path("link")).unwrap();
        for name in ["file", "folder", "link"] {
            let target = directory.target(name);
            let error = bind(shell, &*target).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{name}");
            assert!(error.to_string().contains(&target), "{error}");
            assert!(error.to_string().contains("no socket"), "{error}");
        }
        let kept = fs::read_to_string(directory.path("file")).unwrap();
        assert_eq!(kept, "precious");
        assert!(directory.path("folder").is_dir());
        assert!(fs::symlink_metadata(directory.path("link")).is_ok());
    }
}

#[test]
fn an_address_that_is_none_is_the_callers_error() {
    let long = format!("unix:///tmp/{}", "x".repeat(200));
    for shell in SHELLS {
        for (target, part) in [
            (&*long, "at most"),
            ("unix://relative", "begins with a slash"),
            ("localhost", "expected HOST:PORT or unix:///PATH"),
            ("masep+tls://localhost:1", "not supported yet"),
        ] {
            let error = bind(shell, target).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(part), "{error}");
            assert!(error.to_string().contains(target), "{error}");
            let error = connect(shell, target).err().unwrap();
            assert!(matches!(error.kind, ConnectErrorKind::Address(_)));
            assert!(error.to_string().contains(part), "{error}");
            assert!(error.to_string().contains(target), "{error}");
        }
    }
}

#[test]
fn nobody_there_is_told_as_what_it_is() {
    for shell in SHELLS {
        let directory = Directory::new();
        drop(UnixListener::bind(directory.path("stale")).unwrap());
        for (name, expected) in [
            ("stale", ErrorKind::ConnectionRefused),
            ("missing", ErrorKind::NotFound),
        ] {
            let error = connect(shell, &*directory.target(name)).err().unwrap();
            assert!(error.to_string().contains(&directory.target(name)));
            match error.kind {
                ConnectErrorKind::Io(error) => assert_eq!(error.kind(), expected),
                other => panic!("{other}"),
            }
        }
        let error = bind(shell, &*directory.target("no/such/x.sock"))
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[test]
fn the_file_goes_with_the_server() {
    for shell in SHELLS {
        let directory = Directory::new();
        let path = directory.path("x.sock");
        let target = directory.target("x.sock");
        let server = bind(shell, &*target).unwrap();
        let client = connect(shell, &*target).unwrap();
        let engine = accept(&*server);
        server.stop_accepting();
        shells::until(|| !path.exists());
        // Connections go on.
        client.connection().send(b"still here".to_vec());
        assert_eq!(engine.recv().as_deref(), Some(&b"still here"[..]));
        drop(server);

        let server = bind(shell, &*target).unwrap();
        assert!(is_socket(&path));
        drop(server);
        shells::until(|| !path.exists());

        let server = bind(shell, &*target).unwrap();
        server.shutdown(Duration::from_secs(10));
        shells::until(|| !path.exists());
    }
}

#[test]
fn a_file_of_another_stays() {
    for shell in SHELLS {
        let directory = Directory::new();
        let path = directory.path("x.sock");
        let server = bind(shell, &*directory.target("x.sock")).unwrap();
        let other = UnixListener::bind(directory.path("other")).unwrap();
        fs::rename(directory.path("other"), &path).unwrap();
        let before = fs::symlink_metadata(&path).unwrap().ino();
        server.shutdown(Duration::from_secs(10));
        assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), before);
        UnixStream::connect(&path).unwrap();
        drop(other);
    }
}

#[test]
fn peers_of_a_unix_socket_are_not_counted_by_their_address() {
    for shell in SHELLS {
        let directory = Directory::new();
        let limits = ServerLimits::default().connections_per_address(Some(1));
        let target = directory.target("x.sock");
        let server = shells::bind_with(shell, &*target, limits).unwrap();
        let clients: Vec<_> = std::thread::scope(|scope| {
            let join = |n: usize| {
                let target = &target;
                scope.spawn(move || connect_as(shell, &format!("agent {n}"), &**target))
            };
            let joining: Vec<_> = (0..100).map(join).collect();
            let joined = joining
                .into_iter()
                .map(|thread| thread.join().unwrap().unwrap());
            joined.collect()
        });
        let engines: Vec<_> = clients.iter().map(|_| accept(&*server)).collect();
        for (n, client) in clients.iter().enumerate() {
            client.connection().send(n.to_string().into_bytes());
        }
        for engine in &engines {
            let number = String::from_utf8(engine.recv().unwrap()).unwrap();
            assert_eq!(engine.peer(), format!("agent {number}"));
        }
    }
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    for shell in SHELLS {
        let directory = Directory::new();
        let limits = Limits::default().write_time(Duration::from_millis(200));
        let server = shells::bind_with(shell, &*directory.target("x.sock"), limits).unwrap();
        let mut deaf = UnixStream::connect(directory.path("x.sock")).unwrap();
        deaf.write_all(b"\x04\0deaf").unwrap();
        let engine = accept(&*server);
        while engine.try_send(vec![1; 60_000]) {}
        assert_eq!(engine.closed(), CloseReason::WriteTimeout, "{shell:?}");
    }
}

#[test]
fn a_server_on_a_unix_socket_is_not_announced() {
    for shell in SHELLS {
        let directory = Directory::new();
        let server = bind(shell, &*directory.target("x.sock")).unwrap();
        let error = server.announce().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("only this machine"), "{error}");
        let error = shells::bind_announced(shell, &*directory.target("y.sock"));
        assert_eq!(error.err().unwrap().kind(), ErrorKind::InvalidInput);
        assert!(!directory.path("y.sock").exists());
    }
}

#[test]
fn tcp_takes_addresses_in_all_their_forms() {
    for shell in SHELLS {
        let server = bind(shell, ("localhost", 0)).unwrap();
        let address = server.address().tcp().unwrap();
        let port = address.port();
        let forms = [
            connect_as(shell, "1", address),
            connect_as(shell, "2", server.address()),
            connect_as(shell, "3", &[address][..]),
            connect_as(shell, "4", (address.ip(), port)),
            connect_as(shell, "5", ("localhost", port)),
            connect_as(shell, "6", (String::from("localhost"), port)),
            connect_as(shell, "7", format!("localhost:{port}")),
            connect_as(shell, "8", &*format!("tcp://{address}")),
            connect_as(shell, "9", server.address()),
        ];
        for connected in forms {
            assert_eq!(connected.unwrap().connection().address(), address);
            drop(accept(&*server));
        }
    }
}

/// What the queue holds, and what a handler is told, does not depend on the socket.
#[tokio::test]
async fn a_handler_serves_a_unix_socket() {
    let directory = Directory::new();
    let (events, mut told) = peer::Events::new();
    let server = masep::Server::builder("engine").handler(events);
    let server = server.bind(directory.target("x.sock")).await.unwrap();
    let client = masep::Client::builder("agent").when_full(WhenFull::Wait);
    let client = client.connect(server.local_address()).await.unwrap();
    client.connection().send("hello").await.unwrap();
    client.connection().bye().await;
    let mut next = async || peer::soon(told.recv()).await.unwrap();
    assert!(
        matches!(next().await, peer::Event::Connected(it) if it.address() == server.local_address())
    );
    assert!(matches!(next().await, peer::Event::Received(_, frame) if frame.bytes() == "hello"));
    assert!(matches!(
        next().await,
        peer::Event::Closed(_, CloseReason::PeerBye)
    ));
    drop(UnixStream::connect(directory.path("x.sock")).unwrap());
    let last = next().await;
    assert!(
        matches!(&last, peer::Event::Rejected(it, _) if *it == Address::unix(directory.path("x.sock"))),
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
    connect(Shell::Async, server.local_address()).unwrap();
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
