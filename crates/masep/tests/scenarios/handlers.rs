//! Handlers: what they are told, in which order, and what it costs if one panics or keeps a connection.

use std::sync::mpsc;
use std::thread;

use masep::{Address, CloseReason, Frame, Limits, Protocols, RejectReason, ServerLimits, WhenFull};

use crate::shells::{
    Act, Connection, Event, Events, Handle, Handler, Options, Peer, SOON, Shell, Side, accept,
    frame, listen, next, of_each_network, of_each_shell,
};

of_each_network! {
    a_handler_is_told_everything_in_order_on_both_sides
    a_handler_that_panics_ends_its_connection_only
    a_handler_does_not_keep_the_connection_of_a_client
    the_last_handle_of_a_client_ends_its_connection
}

of_each_shell! {
    the_handler_hears_of_a_connection_before_it_hears_of_its_end
    a_handler_that_is_being_told_of_an_end_keeps_no_place
    a_handler_that_panics_at_the_door_does_not_close_it
}

fn a_handler_is_told_everything_in_order_on_both_sides(side: Side) {
    let (handler, engine) = Events::new();
    let server = side.serve(Options::default().handler(handler));
    let (handler, agent) = Events::new();
    let options = Options::default().handler(handler);
    let client = side.connect("agent", &server, options).unwrap();
    let Event::Connected(connection) = next(&engine) else {
        panic!("connect comes first");
    };
    assert_eq!(connection.peer(), "agent");
    for n in 0..100_u8 {
        client.connection().send(vec![n]).unwrap();
        connection.send(vec![n]).unwrap();
    }
    assert!(matches!(next(&agent), Event::Connected(_)));
    for events in [&engine, &agent] {
        for n in 0..100_u8 {
            let received = next(events);
            assert!(matches!(&received, Event::Received(_, frame) if frame.as_ref() == [n]));
        }
    }
    assert_eq!(client.connection().bye(), CloseReason::LocalBye);
    for (events, expected) in [
        (engine, CloseReason::PeerBye),
        (agent, CloseReason::LocalBye),
    ] {
        let closed = next(&events);
        assert!(matches!(&closed, Event::Closed(_, reason) if *reason == expected));
    }
}

fn the_handler_hears_of_a_connection_before_it_hears_of_its_end(shell: Shell) {
    let (listener, address) = listen();
    let (handler, told) = Events::new();
    let options = Options::from(Limits::default().queue_messages(1))
        .protocols(Protocols::Pymasep)
        .handler(handler);
    let connecting = thread::spawn(move || shell.connect("agent", address, options));
    let mut peer = Peer::accept(&listener);
    peer.write(&frame(b"engine"));
    let client = connecting.join().unwrap().unwrap();
    // No call waits, so that the end may come before anything else has run.
    let connection = client.connection();
    let large = Frame::new(vec![7; 60_000]);
    while connection
        .send_or(large.clone(), WhenFull::Disconnect)
        .is_ok()
    {}
    assert!(matches!(next(&told), Event::Connected(_)));
    let closed = next(&told);
    assert!(matches!(
        closed,
        Event::Closed(_, CloseReason::QueueFull(_))
    ));
}

struct Panics;

impl Handler for Panics {
    fn on_connect(&self, connection: &dyn Connection) -> Act {
        assert_ne!(connection.peer(), "panic", "as told by the peer");
        Act::Return
    }
    fn on_receive(&self, _: &dyn Connection, frame: Frame) -> Act {
        assert_ne!(frame.bytes(), "panic", "as told by the peer");
        Act::Send(frame)
    }
    fn on_reject(&self, _: Address, reason: &RejectReason) -> Act {
        panic!("{reason}");
    }
}

fn a_handler_that_panics_ends_its_connection_only(side: Side) {
    let server = side.serve(Options::default().handler(Panics));
    let mut bad = server.agent("bad");
    let mut good = server.agent("good");
    let to_bad = server.registry().get_connection("bad").unwrap();
    bad.say(b"panic");
    bad.expect_bye();
    assert_eq!(to_bad.closed(), CloseReason::Aborted);
    good.say(b"hi");
    good.expect(b"hi");
}

fn a_handler_that_panics_at_the_door_does_not_close_it(shell: Shell) {
    let limits = ServerLimits::default().connections(1);
    let server = shell.serve(Options::from(limits).handler(Panics));
    for _ in 0..3 {
        Peer::join(server.address(), "panic").expect_bye();
        let mut good = Peer::join_when_free(server.address(), "good");
        Peer::connect(server.address()).expect_refusal();
        good.write(&frame(b"hi"));
        good.expect(b"hi");
        good.write(&frame(b"BYE"));
        good.expect_end();
    }
}

/// Sends frames back, and never returns from the call that tells of the end.
struct IsToldForEver(mpsc::Sender<()>);

impl Handler for IsToldForEver {
    fn on_receive(&self, _: &dyn Connection, frame: Frame) -> Act {
        Act::Send(frame)
    }
    fn on_close(&self, _: &dyn Connection, _: &CloseReason) -> Act {
        let _ = self.0.send(());
        Act::Wait
    }
}

fn a_handler_that_is_being_told_of_an_end_keeps_no_place(shell: Shell) {
    let (tell, told) = mpsc::channel();
    let options = Options::from(ServerLimits::default().connections(1));
    let server = shell.serve(options.handler(IsToldForEver(tell)));
    Peer::join(server.address(), "first").say("BYE");
    told.recv_timeout(SOON).unwrap();
    let mut second = Peer::join(server.address(), "second");
    second.say("here");
    second.expect("here");
}

/// Tells of frames and the end, and gives a handle away.
struct Tell(mpsc::Sender<Told>);

enum Told {
    Received(Handle),
    Closed(CloseReason),
}

impl Handler for Tell {
    fn on_receive(&self, connection: &dyn Connection, _: Frame) -> Act {
        let _ = self.0.send(Told::Received(connection.handle()));
        Act::Return
    }
    fn on_close(&self, _: &dyn Connection, reason: &CloseReason) -> Act {
        let _ = self.0.send(Told::Closed(reason.clone()));
        Act::Return
    }
}

/// A connection that is lent to a handler keeps nothing alive; a clone of it does.
fn a_handler_does_not_keep_the_connection_of_a_client(side: Side) {
    let server = side.serve(Options::default());
    let (tell, told) = mpsc::channel();
    let options = Options::default().handler(Tell(tell));
    let client = side.connect("agent", &server, options).unwrap();
    let there = accept(&*server);
    there.send("keep it").unwrap();
    let Ok(Told::Received(kept)) = told.recv_timeout(SOON) else {
        panic!("a frame comes first")
    };
    drop(client);
    kept.send("kept").unwrap();
    assert_eq!(there.recv(), Ok(Frame::new("kept")));
    drop(kept);
    let Ok(Told::Closed(reason)) = told.recv_timeout(SOON) else {
        panic!("then the end")
    };
    assert_eq!(reason, CloseReason::LocalBye);
    assert_eq!(there.end(), CloseReason::PeerBye);
}

fn the_last_handle_of_a_client_ends_its_connection(side: Side) {
    let server = side.serve(Options::default());
    // The client is a temporary.
    let connection = side.join("agent", &server).connection().handle();
    let there = accept(&*server);
    there.send("are you there?").unwrap();
    assert!(connection.recv().is_ok());
    connection.send("yes").unwrap();
    assert_eq!(there.recv(), Ok(Frame::new("yes")));
    drop(connection);
    assert_eq!(there.end(), CloseReason::PeerBye);

    // A handle from the registry is one too.
    let client = side.join("agent", &server);
    let there = accept(&*server);
    let connection = client.registry().get_connection("engine").unwrap();
    drop(client);
    connection.send("still here").unwrap();
    assert_eq!(there.recv(), Ok(Frame::new("still here")));
    drop(connection);
    assert_eq!(there.end(), CloseReason::PeerBye);
}

/// The queue for all connections of a server without async; that of async is in `tasks`.
mod one_queue {
    use std::time::Duration;

    use masep::blocking::{Client, Server, SocketHandlerQueue, TimedOut};

    use super::*;

    fn serve(limits: &Limits) -> (SocketHandlerQueue, Server) {
        let queue = SocketHandlerQueue::new(limits, WhenFull::Wait);
        let server = Server::builder("engine").handler(queue.clone());
        (queue, server.bind("127.0.0.1:0").unwrap())
    }

    #[test]
    fn serves_all_connections() {
        let (queue, server) = serve(&Limits::default());
        let early = queue.next_timeout(Duration::from_millis(1));
        assert!(matches!(early, Err(TimedOut)));
        let agents = ["1", "2"].map(|id| {
            let client = Client::builder(id).connect(server.local_address());
            client.unwrap()
        });
        for agent in &agents {
            agent.connection().send("ask").unwrap();
        }
        for _ in &agents {
            let received = queue.next().unwrap();
            assert_eq!(received.frame, Frame::new("ask"));
            let answer = received.connection.peer().to_string();
            received.connection.send(answer).unwrap();
        }
        for agent in &agents {
            let answer = Frame::new(agent.id().to_string());
            assert_eq!(agent.connection().recv(), Ok(answer));
            agent.connection().bye();
        }
        thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.next());
            queue.close();
            assert!(waiting.join().unwrap().is_none());
        });
    }

    #[test]
    fn that_is_full_holds_up_its_peer_loses_nothing_and_does_not_outlive_the_connection() {
        let (queue, server) = serve(&Limits::default().queue_messages(2));
        let mut peer = Peer::join(server.local_address(), "agent");
        for n in 0..50_u8 {
            peer.write(&frame(&[n]));
        }
        for n in 0..30_u8 {
            assert_eq!(queue.next().unwrap().frame.as_ref(), [n]);
        }
        // The connection waits for room that nobody makes.
        let connection = server.registry().get_connection("agent").unwrap();
        drop(server);
        assert_eq!(connection.closed(), CloseReason::Shutdown);
    }
}
