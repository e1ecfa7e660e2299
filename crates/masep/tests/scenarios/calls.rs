//! Surprises that users could meet in the calls: why nothing comes any more, and options in any order.

use masep::{
    AcceptError, CloseReason, Connection, Duplicates, Frame, Limits, Message, RecvMessageError,
    Registry, ServerLimits, SocketHandlerQueue, SocketOptions, TryRecvError, Value, WhenFull,
    blocking,
};

use crate::shells::{Echo, Options, SOON, Shell, frame, of_each_shell, wait};

of_each_shell! {
    each_call_that_receives_tells_the_reason
    accept_tells_why_there_is_no_connection
}

fn each_call_that_receives_tells_the_reason(shell: Shell) {
    for (last, reason) in [
        (frame(b"BYE"), CloseReason::PeerBye),
        (vec![], CloseReason::EndOfStream { mid_frame: false }),
    ] {
        let (_server, connection, mut peer) = shell.connected(Options::default());
        assert_eq!(connection.try_recv(), Err(TryRecvError::Empty));
        peer.write(&[frame(b"last"), last].concat());
        peer.close_sending_side();
        assert_eq!(connection.recv(), Ok(Frame::new("last")));
        for _ in 0..2 {
            assert_eq!(connection.recv(), Err(reason.clone()));
            let closed = TryRecvError::Closed(reason.clone());
            assert_eq!(connection.try_recv(), Err(closed));
            assert_eq!(connection.recv_newest(&|_| false), Err(reason.clone()));
            let closed = RecvMessageError::Closed(reason.clone());
            assert_eq!(connection.recv_message(), Err(closed));
        }
        assert_eq!(reason.is_orderly(), reason == CloseReason::PeerBye);
    }
}

fn accept_tells_why_there_is_no_connection(shell: Shell) {
    let server = shell.serve(Options::default().handler(Echo));
    assert_eq!(server.accept().err(), Some(AcceptError::Handled));
    let server = shell.serve(Options::default());
    server.stop_accepting();
    assert_eq!(server.accept().err(), Some(AcceptError::Stopped));
}

/// All options of a server, and of a client of it, in this order and in the opposite one.
macro_rules! servers_and_clients {
    ($server:ty, $client:ty, $handler:expr) => {
        [
            (
                <$server>::builder("engine")
                    .handler($handler)
                    .when_full(WhenFull::Disconnect)
                    .limits(Limits::default())
                    .server_limits(ServerLimits::default())
                    .socket_options(SocketOptions::default())
                    .duplicates(Duplicates::Refuse)
                    .announce(false),
                <$client>::builder("agent")
                    .handler($handler)
                    .when_full(WhenFull::Disconnect)
                    .limits(Limits::default())
                    .socket_options(SocketOptions::default()),
            ),
            (
                <$server>::builder("engine")
                    .announce(false)
                    .duplicates(Duplicates::Refuse)
                    .socket_options(SocketOptions::default())
                    .server_limits(ServerLimits::default())
                    .limits(Limits::default())
                    .when_full(WhenFull::Disconnect)
                    .handler($handler),
                <$client>::builder("agent")
                    .socket_options(SocketOptions::default())
                    .limits(Limits::default())
                    .when_full(WhenFull::Disconnect)
                    .handler($handler),
            ),
        ]
    };
}

#[test]
fn options_of_async_have_no_order() {
    let queue = SocketHandlerQueue::new(&Limits::default(), WhenFull::Wait);
    let all = servers_and_clients!(masep::Server, masep::Client, queue.clone());
    for (server, client) in all {
        let server = wait(server.bind("127.0.0.1:0")).unwrap();
        let client = wait(client.connect(server.local_address())).unwrap();
        wait(client.connection().send("told")).unwrap();
        assert_eq!(wait(queue.next()).unwrap().frame, Frame::new("told"));
    }
}

#[test]
fn options_of_blocking_have_no_order() {
    let queue = blocking::SocketHandlerQueue::new(&Limits::default(), WhenFull::Wait);
    let all = servers_and_clients!(blocking::Server, blocking::Client, queue.clone());
    for (server, client) in all {
        let server = server.bind("127.0.0.1:0").unwrap();
        let client = client.connect(server.local_address()).unwrap();
        client.connection().send("told").unwrap();
        let received = queue.next_timeout(SOON).unwrap().unwrap();
        assert_eq!(received.frame, Frame::new("told"));
    }
}

const fn can_be_shared<T: Clone + Send + Sync + 'static>() {}
const fn can_be_moved_and_borrowed<T: Send + Sync + 'static>() {}

#[test]
fn handles_go_to_any_task_or_thread() {
    can_be_shared::<Connection>();
    can_be_shared::<Registry>();
    can_be_shared::<SocketHandlerQueue>();
    can_be_shared::<blocking::Connection>();
    can_be_shared::<Frame>();
    can_be_shared::<Message>();
    can_be_shared::<Value>();
    can_be_moved_and_borrowed::<masep::Server>();
    can_be_moved_and_borrowed::<masep::Client>();
    can_be_moved_and_borrowed::<blocking::Server>();
    can_be_moved_and_borrowed::<blocking::Client>();
}
