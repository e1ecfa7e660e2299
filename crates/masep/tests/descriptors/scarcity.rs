//! Promises that need a descriptor after they were made.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use masep::{CloseReason, Frame};

use super::{Exhausted, alone};
use crate::shells::directory::Directory;
use crate::shells::{
    Agent, Connection, Options, Peer, SOON, Shell, accept, fill, frame, of_each_shell, until,
};

of_each_shell! {
    without_a_free_descriptor_a_full_unix_socket_is_written_to_when_there_is_room
    without_a_free_descriptor_a_thread_that_never_waited_receives_and_gives_up_in_time
    without_a_free_descriptor_a_thread_that_never_waited_sends_to_a_slow_peer
}

fn without_a_free_descriptor_a_full_unix_socket_is_written_to_when_there_is_room(shell: Shell) {
    let _alone = alone();
    let directory = Directory::new();
    let server = shell
        .bind(directory.target("x.sock"), Options::default())
        .unwrap();
    let mut agent = Agent::join_at(&server.address(), "agent");
    let connection = accept(&*server);
    let exhausted = Exhausted::new();
    let frames = fill(&*connection);
    assert!(frames > 0);
    agent.expect_filling(frames);
    // The connection goes on, without and with a free one.
    connection.send("still here").unwrap();
    agent.expect("still here");
    agent.say("so am I");
    assert_eq!(connection.recv(), Ok(Frame::new("so am I")));
    drop(exhausted);
    let frames = fill(&*connection);
    agent.expect_filling(frames);
}

/// Makes this call in a thread of its own, which has waited for nothing before.
fn in_new_thread<T: Send + 'static>(
    connection: &crate::shells::Handle,
    call: impl FnOnce(&dyn Connection) -> T + Send + 'static,
) -> mpsc::Receiver<T> {
    let (told, outcome) = mpsc::channel();
    let connection = connection.clone();
    thread::spawn(move || told.send(call(&*connection)));
    outcome
}

fn without_a_free_descriptor_a_thread_that_never_waited_receives_and_gives_up_in_time(
    shell: Shell,
) {
    let _alone = alone();
    let (_server, connection, mut peer) = shell.connected(Options::default());
    let exhausted = Exhausted::new();
    let outcome = in_new_thread(&connection, |connection| {
        connection.recv_within(Duration::from_millis(50))
    });
    assert_eq!(outcome.recv_timeout(SOON).unwrap(), None);
    let (begins, begun) = mpsc::channel();
    let outcome = in_new_thread(&connection, move |connection| {
        begins.send(()).unwrap();
        connection.recv_within(4 * SOON)
    });
    begun.recv().unwrap();
    // A part of it first, so that it waits for the rest.
    let bytes = frame(b"late");
    peer.write(&bytes[..3]);
    peer.write(&bytes[3..]);
    let late = Some(Ok(Frame::new("late")));
    assert_eq!(outcome.recv_timeout(SOON).unwrap(), late);
    // It finds out about an end that another thread makes.
    let outcome = in_new_thread(&connection, |connection| connection.recv_within(4 * SOON));
    connection.bye();
    let end = Some(Err(CloseReason::LocalBye));
    assert_eq!(outcome.recv_timeout(SOON).unwrap(), end);
    drop(exhausted);
}

fn without_a_free_descriptor_a_thread_that_never_waited_sends_to_a_slow_peer(shell: Shell) {
    let _alone = alone();
    let (_server, connection, mut peer) = shell.connected(Options::default());
    let exhausted = Exhausted::new();
    let frames = fill(&*connection);
    let outcome = in_new_thread(&connection, |connection| connection.send("last"));
    peer.expect_filling(frames);
    peer.expect("last");
    assert_eq!(outcome.recv_timeout(SOON).unwrap(), Ok(()));
    drop(exhausted);
}

/// True if a thread of the process does the work that no call waits for.
fn has_keeper() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm"));
    tasks
        .flatten()
        .any(|task| name(task).is_ok_and(|name| name == "masep-keeper\n"))
}

/// Clients come in while their server ends, at any moment of that.
#[test]
fn a_server_that_ends_while_clients_come_in_leaves_nothing() {
    let _alone = alone();
    for round in 0..300 {
        let server = Shell::Blocking.serve(Options::default());
        let mut peer = Peer::connect(server.address());
        peer.write(&frame(b"agent"));
        if round % 2 == 0 {
            peer.expect(b"engine");
        }
        drop(server);
    }
    until(|| !has_keeper());
}

/// The rest of a frame that was accepted is a thread's to write. Where there can be none, the connection does not stay as if it
/// were whole.
#[test]
fn a_rest_that_nobody_can_write_ends_its_connection() {
    let _alone = alone();
    let (client, _engine) = Shell::Blocking.client_of_peer(Options::default(), b"");
    until(|| !has_keeper());
    let exhausted = Exhausted::new();
    assert!(fill(client.connection()) > 0);
    assert_eq!(
        client.connection().close_reason(),
        Some(CloseReason::Aborted)
    );
    drop(exhausted);
}

/// A client that is to be given away when there is nothing to do that with.
#[cfg(feature = "unstable-bindings")]
pub(super) mod giving_away {
    use masep::blocking::{Client, Server};
    use masep::{ConnectErrorKind, Rejected};

    use super::*;

    /// The refusal of one that `lacks` something from its request on.
    pub(in super::super) fn refusal<T>(
        server: &Server,
        client: masep::blocking::ClientBuilder,
        scheme: &str,
        lacks: impl FnOnce() -> T,
    ) -> Rejected {
        let address = format!("{scheme}://{}", server.local_address());
        let client = thread::spawn(move || client.connect(address));
        let request = server.next_request().unwrap();
        let lacking = lacks();
        assert!(request.detach().unwrap().is_err());
        let refused = client.join().unwrap();
        drop(lacking);
        match refused.map(drop).unwrap_err().kind {
            ConnectErrorKind::Rejected(rejected) => *rejected,
            other => panic!("{other}"),
        }
    }

    pub(in super::super) fn assert_it_may_return(rejected: &Rejected) {
        assert_eq!(&*rejected.code, "too_many_connections", "{rejected:?}");
        assert!(rejected.retry_ms.is_some(), "{rejected:?}");
    }

    #[test]
    fn without_a_free_descriptor_a_client_that_cannot_be_given_away_is_told_that_it_may_return() {
        let _alone = alone();
        let server = Server::builder("door").ask().bind("127.0.0.1:0").unwrap();
        let rejected = refusal(&server, Client::builder("agent"), "masep", Exhausted::new);
        assert_it_may_return(&rejected);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn nor_is_one_in_tls_told_anything_else() {
        let _alone = alone();
        let authority = crate::shells::authority::Authority::new();
        let server = Server::builder("door").ask();
        let server = server.tls(authority.server(&["127.0.0.1"]).tls());
        let client = Client::builder("agent").tls(authority.trusted());
        let server = server.bind("127.0.0.1:0").unwrap();
        let rejected = refusal(&server, client, "masep+tls", Exhausted::new);
        assert_it_may_return(&rejected);
    }
}

/// A certificate that is renewed in such a moment is in use later, though its file does not change again.
#[cfg(feature = "tls")]
mod certificate {
    use super::*;
    use crate::shells::authority::{Authority, Server};

    of_each_shell! {
        a_certificate_that_could_not_be_read_is_read_when_it_can_be
    }

    fn a_certificate_that_could_not_be_read_is_read_when_it_can_be(shell: Shell) {
        let _alone = alone();
        let directory = Directory::new();
        let renew = || {
            let authority = Authority::new();
            authority.server(&["127.0.0.1"]).write(&directory);
            authority
        };
        renew();
        let tls = Server::files(&directory);
        let server = shell.serve(Options::default().server_tls(tls));
        let state = || server.certificate().unwrap();
        assert_eq!(state().loads, 1);

        let mut loads = 1;
        let renew_in_vain = || {
            let renewed = renew();
            let exhausted = Exhausted::new();
            until(|| state().error.is_some() || state().loads > loads);
            // Connections of tests before this one may have given descriptors back.
            let is_unread = state().loads == loads;
            loads = state().loads;
            drop(exhausted);
            (renewed, is_unread)
        };
        let mut renewals = std::iter::repeat_with(renew_in_vain).take(20);
        let (renewed, _) = renewals.find(|(_, is_unread)| *is_unread).unwrap();
        until(|| state().error.is_none());
        let options = Options::default().client_tls(renewed.trusted());
        let target = format!("masep+tls://{}", server.address());
        drop(shell.connect("new", target, options).unwrap());
    }
}
