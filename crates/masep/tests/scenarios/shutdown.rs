//! The end of a server: what it delivers, whom it lists, and for whom it does not wait.

use std::thread;
use std::time::{Duration, Instant};

use masep::{CloseReason, Frame, ServerLimits};

use crate::shells::{
    Act, Connection, Event, Events, Handler, Options, SOON, Shell, Side, accept, fill, is_free,
    next, of_each_network, until,
};

of_each_network! {
    a_shutdown_delivers_what_is_unsent_and_says_who_was_cut
    a_shutdown_of_a_server_whose_peers_read_does_not_take_the_deadline
    a_shutdown_lists_nobody_who_has_left_and_is_not_held_up_by_the_unaccepted
    a_shutdown_does_not_list_a_peer_whose_bye_the_handler_is_being_told
    a_shutdown_does_not_wait_for_a_handler_that_is_stuck_with_a_peer_that_is_gone
}

fn a_shutdown_delivers_what_is_unsent_and_says_who_was_cut(side: Side) {
    let server = side.serve(Options::default());
    let address = server.address();
    let mut good = server.agent("good");
    let to_good = accept(&*server);
    let _deaf = server.agent("deaf");
    let to_deaf = accept(&*server);
    fill(&*to_deaf);
    let mut slow = server.agent("slow");
    slow.take_little();
    let to_slow = accept(&*server);
    let frames = fill(&*to_slow);
    to_good.send("one").unwrap();
    let slow = thread::spawn(move || {
        slow.expect_filling(frames);
        slow.expect_bye();
    });
    let deadline = Duration::from_millis(1_500);
    let start = Instant::now();
    let mut report = server.shutdown(deadline);
    assert!(start.elapsed() >= deadline);
    report.ended.sort();
    assert_eq!(report.ended, ["good".into(), "slow".into()]);
    assert_eq!(report.cut, ["deaf".into()]);
    slow.join().unwrap();
    good.expect(b"one");
    good.expect_bye();
    assert_eq!(to_good.close_reason(), Some(CloseReason::Shutdown));
    // Another test may have the port by now, for as long as it runs.
    until(|| is_free(&address));
}

fn a_shutdown_of_a_server_whose_peers_read_does_not_take_the_deadline(side: Side) {
    let (handler, events) = Events::new();
    let server = side.serve(Options::default().handler(handler));
    let mut peer = server.agent("agent");
    next(&events).connected();
    let report = server.shutdown(Duration::MAX);
    assert_eq!(report.ended, ["agent".into()]);
    peer.expect_bye();
    // The handler was told before the shut-down returned.
    let Ok(Event::Closed(connection, CloseReason::Shutdown)) = events.try_recv() else {
        panic!("the handler was not told");
    };
    assert_eq!(connection.closed(), CloseReason::Shutdown);
}

fn a_shutdown_lists_nobody_who_has_left_and_is_not_held_up_by_the_unaccepted(side: Side) {
    let server = side.serve(ServerLimits::default().connections(5));
    let mut unread = server.agent("unread");
    let connection = accept(&*server);
    let mut stays = server.agent("stays");
    for n in 0..3 {
        let mut unaccepted = server.agent(&n.to_string());
        unaccepted.say(b"BYE");
        if side.shell == Shell::Async {
            // A task has noticed; without async the shut-down looks.
            unaccepted.expect_end();
        }
    }
    unread.say_all(["last", "BYE"]);
    let report = server.shutdown(SOON);
    assert_eq!(report.ended, ["stays".into()]);
    assert_eq!(report.cut, []);
    stays.expect_bye();
    assert_eq!(connection.recv(), Ok(Frame::new("last")));
    assert_eq!(connection.end(), CloseReason::PeerBye);
}

/// Takes its time over the end of a connection.
struct Slow(std::sync::mpsc::Sender<()>);

impl Handler for Slow {
    fn on_close(&self, _: &dyn Connection, _: &CloseReason) -> Act {
        let _ = self.0.send(());
        Act::Wait
    }
}

fn a_shutdown_does_not_list_a_peer_whose_bye_the_handler_is_being_told(side: Side) {
    let (told, is_told) = std::sync::mpsc::channel();
    let server = side.serve(Options::default().handler(Slow(told)));
    let mut peer = server.agent("agent");
    peer.say(b"BYE");
    is_told.recv_timeout(SOON).unwrap();
    let report = server.shutdown(Duration::from_millis(10));
    assert_eq!((report.ended, report.cut), (vec![], vec![]));
}

/// Never done with a frame.
struct Stuck;

impl Handler for Stuck {
    fn on_receive(&self, _: &dyn Connection, _: Frame) -> Act {
        Act::SendAndWait(vec![7; 60_000].into())
    }
}

fn a_shutdown_does_not_wait_for_a_handler_that_is_stuck_with_a_peer_that_is_gone(side: Side) {
    let server = side.serve(Options::default().handler(Stuck));
    let mut peer = server.agent("gone");
    let connection = server.registry().get_connection("gone").unwrap();
    peer.say(b"never answered");
    // The handler is sending: it has the frame, and the peer has not read all when it goes.
    assert!(peer.read().is_some());
    peer.reset();
    while connection.try_send("probe").is_ok() {
        thread::yield_now();
    }
    // Without async its place is free though the handler's thread is stuck. With it, the task that would leave waits in the
    // handler.
    if side.shell == Shell::Blocking {
        until(|| server.registry().len() == 0);
    }
    let report = server.shutdown(Duration::from_millis(50));
    assert_eq!(report.ended, []);
    let gone: &[masep::PeerId] = &["gone".into()];
    assert_eq!(report.cut, &gone[..usize::from(side.shell == Shell::Async)]);
}
