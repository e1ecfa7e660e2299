//! Handlers: what they are told, in which order, and what it costs if one panics or keeps a connection.

use std::sync::mpsc;
use std::thread;

use masep::{CloseReason, Frame, Limits, WhenFull};

use crate::shells::{
    Act, Connection, Event, Events, Handler, Options, Peer, SOON, Shell, Side, accept, next,
    of_each_network, of_each_shell, until,
};

of_each_network! {
    a_handler_is_told_everything_in_order_on_both_sides
    a_handler_does_not_keep_the_connection_of_a_client
    the_last_handle_of_a_client_ends_its_connection
}

of_each_shell! {
    the_handler_hears_of_a_connection_before_it_hears_of_its_end
    a_handler_that_waits_for_the_end_of_its_own_connection_does_not_keep_it
    one_queue_serves_all_connections
    a_full_queue_holds_up_its_peer_loses_nothing_and_does_not_outlive_the_connection
}

fn a_handler_is_told_everything_in_order_on_both_sides(side: Side) {
    let (handler, engine) = Events::new();
    let server = side.serve(Options::default().handler(handler));
    let (handler, agent) = Events::new();
    let options = Options::default().handler(handler);
    let client = side.connect("agent", &server, options).unwrap();
    let connection = next(&engine).connected();
    assert_eq!(connection.peer(), "agent");
    for n in 0..100_u8 {
        client.connection().send(vec![n]).unwrap();
        connection.send(vec![n]).unwrap();
    }
    next(&agent).connected();
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
        assert_eq!(next(&events).closed(), expected);
    }
}

fn the_handler_hears_of_a_connection_before_it_hears_of_its_end(shell: Shell) {
    let (handler, told) = Events::new();
    let options = Options::from(Limits::default().queue_messages(1)).handler(handler);
    let (client, _peer) = shell.client_of_peer(options, b"");
    // No call waits, so that the end may come before anything else has run.
    let connection = client.connection();
    let large = || Frame::new(vec![7; 60_000]);
    while connection.send_or(large(), WhenFull::Disconnect).is_ok() {}
    next(&told).connected();
    let reason = next(&told).closed();
    assert!(matches!(reason, CloseReason::QueueFull(_)), "{reason}");
}

/// A handler that ends its own connection in each call, or waits for the end.
struct Quits {
    awaits: bool,
    told: mpsc::Sender<CloseReason>,
}

impl Quits {
    const fn act(&self) -> Act {
        match self.awaits {
            true => Act::AwaitEnd,
            false => Act::Bye,
        }
    }
}

impl Handler for Quits {
    fn on_receive(&self, _: &dyn Connection, _: Frame) -> Act {
        self.act()
    }
    fn on_close(&self, _: &dyn Connection, reason: &CloseReason) -> Act {
        let _ = self.told.send(reason.clone());
        self.act()
    }
}

fn a_handler_that_waits_for_the_end_of_its_own_connection_does_not_keep_it(shell: Shell) {
    let quit = &b"\x04\0quit"[..];
    let quit_and_bye = &b"\x04\0quit\x03\0BYE"[..];
    // A call that waits reads nothing: it is the handler that ends the first of these.
    for (awaits, bytes) in [(false, quit), (false, quit_and_bye), (true, quit_and_bye)] {
        let (told, reasons) = mpsc::channel();
        let options = Options::default().handler(Quits { awaits, told });
        let server = shell.serve(options);
        let mut peer = Peer::join(server.address(), "agent");
        peer.write(bytes);
        peer.close_sending_side();
        reasons.recv_timeout(SOON).expect("the handler is told");
        until(|| !server.registry().is_connection_registered("agent"));
    }
}

/// A connection that is lent to a handler keeps nothing alive; a clone of it does.
fn a_handler_does_not_keep_the_connection_of_a_client(side: Side) {
    let server = side.serve(Options::default());
    let (handler, told) = Events::new();
    let options = Options::default().handler(handler);
    let client = side.connect("agent", &server, options).unwrap();
    let there = accept(&*server);
    // The handler of this test gives a handle away, with each event.
    drop(next(&told));
    there.send("keep it").unwrap();
    let Event::Received(kept, _) = next(&told) else {
        panic!("a frame comes first")
    };
    drop(client);
    kept.send("kept").unwrap();
    assert_eq!(there.recv(), Ok(Frame::new("kept")));
    drop(kept);
    assert_eq!(next(&told).closed(), CloseReason::LocalBye);
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

fn one_queue_serves_all_connections(shell: Shell) {
    let (server, queue) = shell.serve_queue(Limits::default(), WhenFull::Wait);
    let agents = ["1", "2"].map(|id| shell.join(id, &*server));
    for agent in &agents {
        agent.connection().send("ask").unwrap();
    }
    for _ in &agents {
        let (connection, frame) = queue.next().unwrap();
        assert_eq!(frame, Frame::new("ask"));
        connection.send(connection.peer()).unwrap();
    }
    for agent in &agents {
        assert_eq!(agent.connection().recv(), Ok(Frame::new(agent.id())));
        agent.connection().bye();
    }
    thread::scope(|scope| {
        let waiting = scope.spawn(|| queue.next());
        queue.close();
        assert!(waiting.join().unwrap().is_none());
    });
}

fn a_full_queue_holds_up_its_peer_loses_nothing_and_does_not_outlive_the_connection(shell: Shell) {
    let (server, queue) = shell.serve_queue(Limits::default().queue_messages(2), WhenFull::Wait);
    let mut peer = Peer::join(server.address(), "agent");
    peer.say_all((0..50).map(|n| [n]));
    for n in 0..30 {
        assert_eq!(queue.next().unwrap().1.as_ref(), [n]);
    }
    // The connection waits for room that nobody makes.
    let connection = server.registry().get_connection("agent").unwrap();
    drop(server);
    assert_eq!(connection.closed(), CloseReason::Shutdown);
}
