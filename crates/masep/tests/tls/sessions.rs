//! Sessions in TLS.

use std::thread;

use masep::{
    Array, Bye, CloseReason, Dict, Frame, Message, MessageType, Notice, Protocol, Value, WhenFull,
};

use crate::authority::Authority;
use crate::shells::{
    Client, Event, Events, Handle, Options, SOON, Server, Shell, accept, fill, next, of_each_pair,
    until,
};

of_each_pair! {
    frames_go_in_both_directions_and_the_end_is_in_order
    large_frames_arrive_bit_for_bit
    all_that_was_taken_arrives_at_one_that_reads_late
    two_sides_that_only_write_make_progress
    a_server_that_is_shut_down_sends_what_waits
    words_notices_and_pings_arrive
    an_end_is_noticed_though_nobody_calls
}

/// A server in TLS and a client, with the server's end.
fn pair(of_server: Shell, of_client: Shell) -> (Box<dyn Server>, Handle, Box<dyn Client>) {
    let authority = Authority::new();
    let tls = authority.server(&["127.0.0.1"]).tls();
    let server = of_server.serve(Options::default().server_tls(tls));
    let address = format!("masep+tls://{}", server.address());
    let options = Options::default().client_tls(authority.trusted());
    let client = of_client.connect("agent", address, options).unwrap();
    let connection = accept(&*server);
    (server, connection, client)
}

fn frames_go_in_both_directions_and_the_end_is_in_order(of_server: Shell, of_client: Shell) {
    let (_server, connection, client) = pair(of_server, of_client);
    let at_client = client.connection();
    assert_eq!(at_client.protocol(), Protocol::Masep2);
    for n in 0..100_u8 {
        at_client.send(vec![n; usize::from(n)]).unwrap();
        let frame = connection.recv().unwrap();
        assert_eq!(frame, Frame::from(vec![n; usize::from(n)]));
        connection.send(frame).unwrap();
        assert_eq!(at_client.recv(), Ok(Frame::from(vec![n; usize::from(n)])));
    }
    let quit = Message::quit("agent");
    at_client.send_message(&quit).unwrap();
    assert_eq!(at_client.bye(), CloseReason::LocalBye);
    assert_eq!(connection.recv_message(), Ok(quit));
    assert_eq!(connection.end().as_str(), "peer_bye");
}

fn large_frames_arrive_bit_for_bit(of_server: Shell, of_client: Shell) {
    let (_server, connection, client) = pair(of_server, of_client);
    let items = (0..1_000_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let image = Array::from_vec(&[1_000, 250, 4], items).unwrap();
    let params = Dict::from([("image", Value::from(image))]);
    let message = Message::new(MessageType::Observation, Value::from(params), "engine");
    let sent = thread::scope(|scope| {
        let sender = scope.spawn(|| {
            for _ in 0..5 {
                connection.send_message(&message).unwrap();
            }
        });
        for _ in 0..5 {
            assert_eq!(client.connection().recv_message().unwrap(), message);
        }
        sender.join()
    });
    sent.unwrap();
    assert_eq!(connection.bye(), CloseReason::LocalBye);
    assert_eq!(client.connection().end().as_str(), "peer_bye");
}

/// Bytes that the socket does not take stay whole, however it is cut.
fn all_that_was_taken_arrives_at_one_that_reads_late(of_server: Shell, of_client: Shell) {
    let (_server, connection, client) = pair(of_server, of_client);
    for (from, to) in [
        (&*connection, client.connection()),
        (client.connection(), &*connection),
    ] {
        let taken = fill(from);
        assert!(taken > 0);
        for n in 0..taken {
            assert_eq!(to.recv(), Ok(Frame::from(vec![7; 60_000])), "{n}");
        }
        from.send("behind them").unwrap();
        assert_eq!(to.recv(), Ok(Frame::from("behind them")));
    }
    // The newest wins only among what is not on its way.
    for n in 0..500_u32 {
        let frame = n.to_le_bytes().repeat(15_000);
        connection
            .send_or(Frame::from(frame), WhenFull::NewestWins)
            .unwrap();
    }
    let mut last = None;
    while last != Some(499) {
        let frame = client.connection().recv().unwrap();
        let (first, rest) = frame.bytes().split_first_chunk::<4>().unwrap();
        assert!(rest.chunks(4).all(|chunk| chunk == first));
        last = Some(u32::from_le_bytes(*first));
    }
}

fn two_sides_that_only_write_make_progress(of_server: Shell, of_client: Shell) {
    const FRAMES: usize = 150;
    let (_server, connection, client) = pair(of_server, of_client);
    let both = [&*connection, client.connection()];
    thread::scope(|scope| {
        for side in both {
            scope.spawn(move || (0..FRAMES).for_each(|_| side.send(vec![3; 60_000]).unwrap()));
            scope.spawn(move || {
                for _ in 0..FRAMES {
                    assert_eq!(side.recv(), Ok(Frame::from(vec![3; 60_000])));
                }
            });
        }
    });
    assert_eq!(connection.bye(), CloseReason::LocalBye);
}

fn a_server_that_is_shut_down_sends_what_waits(of_server: Shell, of_client: Shell) {
    let (server, connection, client) = pair(of_server, of_client);
    let taken = fill(&*connection);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..taken {
                assert_eq!(client.connection().recv(), Ok(Frame::from(vec![7; 60_000])));
            }
            assert_eq!(client.connection().end().words().unwrap().code, "shutdown");
        });
        let report = server.shutdown(SOON);
        assert_eq!(report.ended, [masep::PeerId::from("agent")]);
        assert!(report.cut.is_empty());
    });
}

fn words_notices_and_pings_arrive(of_server: Shell, of_client: Shell) {
    let (_server, connection, client) = pair(of_server, of_client);
    let at_client = client.connection();
    connection.notice(Notice::new("late", "too late")).unwrap();
    connection.send("behind it").unwrap();
    assert_eq!(at_client.recv(), Ok(Frame::from("behind it")));
    assert_eq!(at_client.try_notice().unwrap().code, "late");
    assert!(at_client.ping());
    thread::scope(|scope| {
        // Each side reads, so that the ping is answered, and the answer seen.
        scope.spawn(|| connection.recv());
        let waiting = scope.spawn(|| at_client.recv());
        until(|| at_client.rtt().is_some());
        at_client.send("go on").unwrap();
        connection.send("go on").unwrap();
        waiting.join().unwrap().unwrap();
    });
    connection.bye_with(Bye::new("tired", "good night"));
    assert_eq!(at_client.end().words().unwrap().code, "tired");
}

fn an_end_is_noticed_though_nobody_calls(of_server: Shell, of_client: Shell) {
    let authority = Authority::new();
    let (handler, events) = Events::new();
    let tls = authority.server(&["127.0.0.1"]).tls();
    let server = of_server.serve(Options::default().server_tls(tls).handler(handler));
    let address = format!("masep+tls://{}", server.address());
    let options = Options::default().client_tls(authority.trusted());
    let client = of_client.connect("agent", address, options).unwrap();
    assert!(matches!(next(&events), Event::Connected(_)));
    drop(client);
    let Event::Closed(_, end) = next(&events) else {
        panic!("the end");
    };
    assert_eq!(end.as_str(), "peer_bye");
}
