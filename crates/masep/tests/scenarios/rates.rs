//! Peers that send more than their rate. Times are tested in masep-proto, with a clock that the test turns.

use std::time::Duration;

use masep::{CloseReason, Frame, Limit, Limits};

use crate::shells::{Connection, Echo, Options, Side, accept, of_each_network};

of_each_network! {
    one_that_sends_more_than_its_rate_loses_nothing
    a_handler_gets_all_that_waited_for_its_rate
    one_that_floods_is_ended_and_no_other_notices
}

fn rate(messages: u32) -> Limits {
    Limits::default().messages_per_second(Some(messages))
}

fn numbers(count: u32) -> impl Iterator<Item = [u8; 4]> {
    (0..count).map(u32::to_be_bytes)
}

fn one_that_sends_more_than_its_rate_loses_nothing(side: Side) {
    let (_server, connection, mut peer) = side.connected(rate(200));
    peer.say_all(numbers(300).map(Vec::from).chain([b"BYE".to_vec()]));
    for number in numbers(300) {
        assert_eq!(connection.recv(), Ok(Frame::new(number.to_vec())));
    }
    assert_eq!(connection.end(), CloseReason::PeerBye);
}

fn a_handler_gets_all_that_waited_for_its_rate(side: Side) {
    let server = side.serve(Options::from(rate(200)).handler(Echo));
    let mut peer = server.agent("agent");
    peer.say_all(numbers(300));
    for number in numbers(300) {
        peer.expect(&number);
    }
}

/// Expects the frames from 0 on, and then that they were too many; how many came.
fn expect_too_fast(connection: &dyn Connection, allowed: usize) -> u32 {
    for came in 0_u32.. {
        match connection.recv() {
            Ok(frame) => assert_eq!(frame, Frame::new(came.to_be_bytes().to_vec())),
            Err(_) => {
                let CloseReason::TooFast(limit) = connection.end() else {
                    panic!("{}", connection.end());
                };
                assert_eq!(limit.limit, Limit::MessagesPerSecond);
                assert_eq!(limit.allowed, allowed);
                assert!(limit.actual > allowed, "{limit}");
                return came;
            }
        }
    }
    unreachable!("the frames have an end")
}

fn one_that_floods_is_ended_and_no_other_notices(side: Side) {
    let limits = rate(10).rate_time(Duration::from_millis(300));
    let server = side.serve(limits);
    let mut good = server.agent("good");
    let to_good = accept(&*server);
    let mut play = || {
        good.say(b"question");
        assert_eq!(to_good.recv(), Ok(Frame::new("question")));
        to_good.send("answer").unwrap();
        good.expect(b"answer");
    };
    play();
    let mut peer = server.agent("bad");
    let connection = accept(&*server);
    peer.say_all(numbers(2_000));
    play();
    let came = expect_too_fast(&*connection, 10);
    assert!((10..2_000).contains(&came), "{came}");
    peer.expect(b"BYE");
    play();
}
