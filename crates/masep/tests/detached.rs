//! Clients that a server gives away before it has decided about them: somebody goes on with their sockets.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

mod directory;

use std::io;
use std::thread;
use std::time::Duration;

use directory::Directory;
use masep::blocking::{Client, Connection, Server};
use masep::{ConnectErrorKind, Limits, Protocols, RecvTimeoutError, ServerLimits, SocketOptions};
use masep_proto::connection::Heard;

fn go_on(detached: Option<io::Result<(std::os::fd::OwnedFd, Heard)>>) -> io::Result<Connection> {
    let (stream, heard) = detached.unwrap()?;
    let (limits, options) = (Limits::default(), SocketOptions::default());
    Connection::accept_over("worker", stream, &heard, &limits, &options)
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
    let address = server.local_address();
    let client = thread::spawn(move || {
        let limits = Limits::default().hello_time(Duration::from_millis(50));
        let client = Client::builder("agent").limits(limits);
        client.protocols(Protocols::Masep2).connect(address)
    });
    let request = server.next_request().unwrap();
    assert!(client.join().unwrap().is_err());
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
