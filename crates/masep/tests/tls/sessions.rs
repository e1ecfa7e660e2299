//! Sessions in TLS.

use masep::{Array, CloseReason, Dict, Frame, Message, MessageType, Protocol, Value};

use crate::authority::Authority;
use crate::shells::{Client, Handle, Options, Server, Shell, accept, of_each_pair};

of_each_pair! {
    frames_go_in_both_directions_and_the_end_is_in_order
    large_frames_arrive_bit_for_bit
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
    let sent = std::thread::scope(|scope| {
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
