//! Clients that a server gives away before it has decided about them: somebody goes on with their sockets.

use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use masep::access::{AccessToken, Digest, Grant, Grants, Subject, Tokens};
use masep::blocking::{Client, Connection, Detached, EventLoop, Offer, Server};
use masep::{
    Bye, CloseReason, ConnectErrorKind, Frame, Limits, Protocols, RecvTimeoutError, ServerLimits,
    SocketOptions,
};

use crate::shells::directory::Directory;
use crate::shells::{Peer, masep2};

/// Goes on with one whose server does not know of it any more.
fn go_on(detached: Option<io::Result<Detached>>) -> io::Result<Connection> {
    go_on_with(&detached.unwrap()?)
}

fn go_on_with(detached: &Detached) -> io::Result<Connection> {
    let stream = detached.as_fd().try_clone_to_owned()?;
    let (limits, options) = (Limits::default(), SocketOptions::default());
    Connection::accept_over("worker", stream, detached.heard(), None, &limits, &options)
}

#[test]
fn a_client_is_served_by_whom_it_was_given_to_also_one_that_waited_for_the_servers_first_bytes() {
    let directory = Directory::new();
    let limits = ServerLimits::default().connections(1);
    let server = Server::builder("door").ask().server_limits(limits);
    let server = server.bind(directory.target("a")).unwrap();
    let mut others = Vec::new();
    // More than there are places: one that was given away has none.
    for token in [None, Some("access"), None] {
        let address = server.local_address();
        let client = thread::spawn(move || {
            let mut client = Client::builder("agent").protocols(Protocols::Masep2);
            if let Some(token) = token {
                client = client.token(token);
            }
            client.connect(address).unwrap()
        });
        let request = server.next_request().unwrap();
        let worker = go_on(request.detach()).unwrap();
        let client = client.join().unwrap();
        assert_eq!(&**client.server_id(), "worker");
        assert_eq!(&**worker.peer(), "agent");
        let token_is_kept = worker.hello().unwrap().token.is_some();
        assert!(!token_is_kept);
        worker.send(&b"from the worker"[..]).unwrap();
        client.connection().send(&b"to the worker"[..]).unwrap();
        assert_eq!(&**worker.recv().unwrap().bytes(), b"to the worker");
        assert_eq!(
            &**client.connection().recv().unwrap().bytes(),
            b"from the worker"
        );
        others.push((client, worker));
    }
    assert!(server.registry().is_empty());
    drop(server);
    for (client, worker) in others {
        // The end of the server is not theirs.
        worker.send(&b"still"[..]).unwrap();
        assert_eq!(&**client.connection().recv().unwrap().bytes(), b"still");
        let ends = thread::spawn(move || worker.bye());
        assert!(client.connection().recv().unwrap_err().is_orderly());
        drop(client);
        ends.join().unwrap();
    }
}

#[test]
fn a_wait_in_reads_ends_in_time_and_for_what_comes() {
    let directory = Directory::new();
    let server = Server::builder("door")
        .ask()
        .bind(directory.target("a"))
        .unwrap();
    let address = server.local_address();
    let client = thread::spawn(move || {
        let client = Client::builder("agent").protocols(Protocols::Masep2);
        client.connect(address).unwrap()
    });
    let worker = go_on(server.next_request().unwrap().detach()).unwrap();
    let client = client.join().unwrap();
    let connection = client.connection().clone();
    connection.wait_in_reads(Duration::from_millis(5)).unwrap();
    let waited = connection.recv_timeout(Duration::from_millis(20));
    assert_eq!(waited, Err(RecvTimeoutError::TimedOut));
    let waiting = thread::spawn(move || (connection.recv(), connection.recv()));
    worker.send(&b"late"[..]).unwrap();
    worker.bye();
    let (frame, end) = waiting.join().unwrap();
    assert_eq!(&**frame.unwrap().bytes(), b"late");
    assert!(end.unwrap_err().is_orderly());
}

#[test]
fn a_client_that_has_gone_cannot_be_given_away() {
    let server = Server::builder("door").ask().bind("127.0.0.1:0").unwrap();
    let mut client = Peer::connect(server.local_address());
    client.write(&masep2::first_bytes("agent"));
    let request = server.next_request().unwrap();
    drop(client);
    // Either the server knows already, or whoever goes on finds out.
    if let Some(detached) = request.detach() {
        let worker = go_on(Some(detached));
        assert!(worker.is_err() || worker.unwrap().recv().is_err());
    }
}

#[tokio::test]
async fn a_server_of_the_async_shell_gives_nobody_away() {
    let server = masep::Server::builder("door").ask();
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let address = server.local_address();
    let client = tokio::spawn(async move {
        let client = masep::Client::builder("agent").protocols(Protocols::Masep2);
        client.connect(address).await.map(drop)
    });
    let request = server.next_request().await.unwrap();
    assert!(request.detach().is_none());
    let refused = client.await.unwrap().unwrap_err();
    assert!(
        matches!(refused.kind, ConnectErrorKind::Rejected(_)),
        "{refused}"
    );
}

#[test]
fn the_rules_of_a_server_hold_for_those_who_were_given_away() {
    let directory = Directory::new();
    let grants = |soon: Grant| {
        let mut grants = Grants::default();
        for grant in [Grant::new("one"), Grant::new("two"), soon] {
            let digest = Digest::of(&AccessToken::from(grant.name.to_string()));
            grants.add(digest, grant).unwrap();
        }
        grants
    };
    let tokens = Tokens::new(grants(Grant::new("soon")));
    let server = Server::builder("door").ask().tokens(tokens.clone());
    let server = server.bind(directory.target("a")).unwrap();
    let event_loop = EventLoop::new().unwrap();
    let mut given_away = Vec::new();
    for (key, token) in (0..).zip(["one", "one", "two", "soon"]) {
        let address = server.local_address();
        let client = thread::spawn(move || {
            let client = Client::builder("agent").protocols(Protocols::Masep2);
            client.token(token).connect(address).unwrap()
        });
        let detached = server.next_request().unwrap().detach().unwrap().unwrap();
        detached.watch(&event_loop, key);
        let worker = go_on_with(&detached).unwrap();
        given_away.push((detached, worker, client.join().unwrap()));
    }
    let ends = |given_away: &[(Detached, Connection, Client)]| {
        let all = given_away.iter().map(|(detached, ..)| detached.end());
        all.map(|end| end.map_or("", CloseReason::as_str))
            .collect::<Vec<_>>()
    };
    // The last one's time is over by itself.
    let expires = SystemTime::now() + Duration::from_millis(100);
    tokens.replace(grants(Grant::new("soon").expires(expires)));
    wait_for(&event_loop);
    assert_eq!(event_loop.take_woken(), [3]);
    assert_eq!(ends(&given_away), ["", "", "", "revoked"]);
    // One that is forgotten is not counted.
    drop(given_away.remove(1));
    assert_eq!(server.kick(&Subject::Token("one".into())), 1);
    assert_eq!(event_loop.take_woken(), [0]);
    assert_eq!(server.kick(&Subject::Id("agent".into())), 1);
    tokens.replace(Grants::default());
    assert_eq!(ends(&given_away), ["kicked", "kicked", "revoked"]);
    for (detached, worker, client) in given_away {
        let bye = detached.end().unwrap();
        let _ = worker.bye_with(Bye::new(bye.as_str(), bye.to_string()));
        let reason = client.connection().recv().unwrap_err();
        assert_eq!(reason.words().map(|words| &*words.code), Some(bye.as_str()));
    }
}

fn wait_for(event_loop: &EventLoop) {
    use rustix::event::{PollFd, PollFlags, poll};
    poll(&mut [PollFd::new(event_loop, PollFlags::IN)], None).unwrap();
}

/// Clients in TLS.
#[cfg(feature = "tls")]
mod tls {
    use std::net::Shutdown;

    use masep::ServerLimits;
    use socket2::SockRef;

    use super::*;
    use crate::shells::authority::Authority;

    fn server() -> (Server, Authority) {
        let authority = Authority::new();
        let tls = authority.server(&["127.0.0.1"]).tls();
        let limits = ServerLimits::default().connections(1);
        let server = Server::builder("door").ask().tls(tls).server_limits(limits);
        (server.bind("127.0.0.1:0").unwrap(), authority)
    }

    /// A client, and the end of whoever goes on with it.
    fn pair(server: &Server, authority: &Authority) -> (Client, Connection) {
        let address = format!("masep+tls://{}", server.local_address());
        let client = Client::builder("agent").tls(authority.trusted());
        let client = thread::spawn(move || client.connect(address).unwrap());
        let worker = go_on(server.next_request().unwrap().detach()).unwrap();
        (client.join().unwrap(), worker)
    }

    #[test]
    fn a_client_in_tls_is_served_by_whom_it_was_given_to_over_a_socket_without() {
        let (server, authority) = server();
        // More than there are places.
        let pairs = [pair(&server, &authority), pair(&server, &authority)];
        let mut server = Some(server);
        for (client, worker) in &pairs {
            for size in [0, 1, 16, 28_224, 300_000, 1_000_000] {
                let frame = Frame::from(vec![7; size]);
                let (at_worker, at_client) = (worker.clone(), client.connection().clone());
                thread::scope(|scope| {
                    // Both at once, more than the buffers hold.
                    let other = frame.clone();
                    scope.spawn(move || at_worker.send(other).unwrap());
                    let other = frame.clone();
                    scope.spawn(move || at_client.send(other).unwrap());
                    assert_eq!(worker.recv().unwrap(), frame);
                    assert_eq!(client.connection().recv().unwrap(), frame);
                });
            }
            // The end of the server is not theirs.
            server.take();
        }
        let [(client, worker), (other, other_worker)] = pairs;
        let ends = thread::spawn(move || worker.bye_with(Bye::new("why", "not")));
        let reason = client.connection().recv().unwrap_err();
        assert_eq!(reason.words().map(|words| &*words.code), Some("why"));
        ends.join().unwrap();
        let ends = thread::spawn(move || drop(other));
        assert_eq!(other_worker.recv(), Err(CloseReason::PeerBye));
        ends.join().unwrap();
    }

    #[test]
    fn the_end_of_either_side_without_a_word_is_that_of_the_other() {
        let (server, authority) = server();
        // A process that is killed.
        let (client, worker) = pair(&server, &authority);
        worker.send(&b"last"[..]).unwrap();
        let socket = worker.socket().unwrap();
        SockRef::from(&socket).shutdown(Shutdown::Both).unwrap();
        let received = client.connection().recv();
        assert_eq!(&**received.unwrap().bytes(), b"last");
        let end = CloseReason::EndOfStream { mid_frame: false };
        assert_eq!(client.connection().recv(), Err(end));
        // A client that is killed: its stream ends without the end of TLS. And one that is cut off.
        for resets in [false, true] {
            let (client, worker) = pair(&server, &authority);
            client.connection().send(&b"last"[..]).unwrap();
            assert_eq!(&**worker.recv().unwrap().bytes(), b"last");
            let socket = client.connection().socket().unwrap();
            if resets {
                let any = SockRef::from(&socket);
                any.set_linger(Some(Duration::ZERO)).unwrap();
                rustix::net::connect_unspec(&socket).unwrap();
            }
            let _ = SockRef::from(&socket).shutdown(Shutdown::Write);
            assert!(!worker.recv().unwrap_err().is_orderly());
        }
    }

    #[test]
    fn one_that_never_reads_is_held_up_and_cut_off_in_time() {
        let (server, authority) = server();
        let (client, worker) = pair(&server, &authority);
        let mut sent = 0;
        loop {
            match worker.offer(Frame::from(vec![1; 100_000])).unwrap() {
                Offer::Sent => sent += 1,
                _ if sent > 0 => break,
                _ => unreachable!(),
            }
            assert!(sent < 1_000, "nobody holds it up");
        }
        let begun = Instant::now();
        let report = server.shutdown(Duration::from_millis(50));
        assert!(report.ended.is_empty() && report.cut.is_empty());
        assert!(begun.elapsed() < Duration::from_secs(4));
        assert!(!worker.recv().unwrap_err().is_orderly());
        drop(client);
    }
}
