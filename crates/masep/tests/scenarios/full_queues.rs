//! Queues that are full, by each policy, in both directions.

use masep::{CloseReason, Frame, Limits, SendError, WhenFull};

use crate::shells::{Options, Side, accept, of_each_network};

of_each_network! {
    a_full_receive_queue_holds_the_peer_back_and_loses_nothing
    the_newest_frames_wait_for_one_that_receives_late
    a_client_that_receives_too_late_is_ended
    a_frame_that_has_no_room_goes_out_by_the_policy
}

fn two() -> Options {
    Limits::default().queue_messages(2).into()
}

fn a_full_receive_queue_holds_the_peer_back_and_loses_nothing(side: Side) {
    let (_server, connection, mut peer) = side.connected(two());
    let numbers = || (0..1_000_u32).map(|n| n.to_be_bytes());
    peer.say_all(numbers());
    for n in numbers() {
        assert_eq!(connection.recv(), Ok(Frame::new(n.to_vec())));
    }
}

fn the_newest_frames_wait_for_one_that_receives_late(side: Side) {
    let (_server, connection, mut peer) = side.connected(two().when_full(WhenFull::NewestWins));
    let frames = (0..20).map(|number| vec![number]);
    peer.say_all(frames.chain([b"BYE".to_vec()]));
    // Nobody receives before all has come.
    assert_eq!(connection.closed(), CloseReason::PeerBye);
    for newest in [18, 19] {
        assert_eq!(connection.recv(), Ok(Frame::new(vec![newest])));
    }
    assert_eq!(connection.end(), CloseReason::PeerBye);
}

fn a_client_that_receives_too_late_is_ended(side: Side) {
    let server = side.serve(Options::default());
    let options = two().when_full(WhenFull::Disconnect);
    let client = side.connect("agent", &server, options).unwrap();
    let connection = accept(&*server);
    while connection.send("more").is_ok() {}
    let reason = client.connection().closed();
    assert!(matches!(reason, CloseReason::QueueFull(_)), "{reason}");
}

/// A peer takes nothing, and its frames go out by each policy that does not wait.
fn a_frame_that_has_no_room_goes_out_by_the_policy(side: Side) {
    let (server, connection, mut peer) = side.connected(two());
    for number in 0..200 {
        let body = Frame::new(vec![number; 60_000]);
        connection.send_or(body, WhenFull::NewestWins).unwrap();
    }
    let last = Frame::new("the last");
    let sent = server.registry().broadcast(&last, WhenFull::NewestWins);
    assert_eq!(sent, Ok(1));
    let arrived = std::iter::from_fn(|| peer.read());
    let count = arrived.take_while(|body| body != b"the last").count();
    assert!(count < 200, "{count} arrived");

    let body = Frame::new(vec![7; 60_000]);
    let sent = (0..).find_map(|_| connection.send_or(body.clone(), WhenFull::Disconnect).err());
    assert!(matches!(sent, Some(SendError::Full(_))), "{sent:?}");
    let reason = connection.end();
    assert!(matches!(reason, CloseReason::QueueFull(_)), "{reason}");
    // It ends, in the middle of a frame too.
    let _either = peer.rest();
}
