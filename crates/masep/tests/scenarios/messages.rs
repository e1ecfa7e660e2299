//! Messages within the bounds of their connection.

use masep::{
    DecodeErrorKind, Dict, EncodeError, Frame, Int, Limit, LimitExceeded, Limits, Message,
    RecvMessageError, SendError, Value, WhenFull,
};

use crate::shells::{Shell, frame, of_each_shell};

of_each_shell! {
    the_bounds_of_a_server_reach_its_messages
}

/// Messages, each over the bound that is named and within all others.
fn over() -> Vec<(Limit, Message)> {
    let deep = Value::from(vec![Value::from(vec![Value::from(1)])]);
    let number: Int = "1".repeat(30).parse().unwrap();
    let values = [
        (Limit::Depth, deep),
        (Limit::Nodes, Value::from(vec![Value::from(1); 30])),
        (Limit::TextBytes, Value::from("t".repeat(200))),
        (Limit::IntDigits, Value::Int(number)),
    ];
    let message = |value| Message::new("observation", Dict::from([("a", value)]), "x");
    let over = values.into_iter();
    over.map(|(limit, value)| (limit, message(value))).collect()
}

fn is_limit<T>(outcome: &Result<T, SendError>, expected: Limit) -> bool {
    matches!(outcome, Err(SendError::Encode(EncodeError::Limit(LimitExceeded { limit, .. }))) if *limit == expected)
}

/// The bound that a frame is over, if it is that.
fn limit_of<T>(received: Result<T, RecvMessageError>) -> (Limit, Frame) {
    match received {
        Err(RecvMessageError::Decode { error, frame }) => match error.kind {
            DecodeErrorKind::Limit(exceeded) => (exceeded.limit, frame),
            kind => panic!("{kind}"),
        },
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was taken"),
    }
}

fn the_bounds_of_a_server_reach_its_messages(shell: Shell) {
    let tight = Limits::default()
        .depth(6)
        .nodes(20)
        .text_bytes(100)
        .int_digits(20)
        .message_bytes(2_000);
    let (server, connection, mut peer) = shell.connected(tight);
    let registry = server.registry();
    for (limit, message) in over() {
        let sent = connection.send_message(&message);
        assert!(is_limit(&sent, limit), "{limit:?}: {sent:?}");
        let sent = registry.send_message_to("agent", &message);
        assert!(is_limit(&sent, limit), "{limit:?}: {sent:?}");
        let sent = registry.broadcast_message(&message, WhenFull::Wait);
        assert!(is_limit(&sent, limit), "{limit:?}: {sent:?}");

        let bytes = message.to_bytes().unwrap();
        peer.write(&frame(&bytes));
        let (found, frame) = limit_of(connection.recv_message());
        assert_eq!((found, frame.bytes()), (limit, &bytes));
        assert!(connection.decode(frame).is_err());
    }
    let quit = Message::quit("agent");
    peer.write(&frame(&quit.to_bytes().unwrap()));
    assert_eq!(connection.recv_message(), Ok(quit.clone()));
    registry.send_message_to("agent", &quit).unwrap();
    peer.expect(&quit.to_bytes().unwrap());
    let nobody = registry.send_message_to("nobody", &quit);
    assert_eq!(nobody, Err(SendError::UnknownPeer("nobody".into())));
}
