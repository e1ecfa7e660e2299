//! The memory that a connection of protocol 2 holds, and the number of times that it takes some.

use std::sync::Arc;
use std::time::Instant;

use allocation_counter::measure;
use masep_proto::connection::{Batch, Config, Connection, Protocols, Read, Transmit, WhenFull};
use masep_proto::protocol2::{Control, Hello, kind, preamble};
use masep_proto::{Frame, Limits};

use crate::wire::{control, frame, read_each, write};

fn config(limits: Limits) -> Arc<Config> {
    let config = Config::new("engine", limits).expect("an id");
    Arc::new(config.protocols(Protocols::Both))
}

/// Has a connection read these bytes, in pieces as a socket gives them, and the user take what comes.
fn read(core: &mut Connection, bytes: &[u8], piece: usize, now: Instant) -> usize {
    let (mut batch, mut frames) = (Batch::new(), 0);
    read_each(core, bytes, piece, now, |core| {
        core.take_frames(&mut batch, now);
        frames += (&mut batch).count();
    });
    frames
}

/// A server's end of a connection that is open.
fn accepted(config: &Arc<Config>, now: Instant) -> Connection {
    let mut hello = Hello::new("agent".into(), 16 << 20);
    hello.game = Some("pursuit.PursuitGame".into());
    hello.token = Some("x".repeat(500).into());
    let hello = control(&Control::Hello(Box::new(hello)));
    let mut core = Connection::accept(config.clone(), now);
    let first = [preamble::CLIENT, &hello].concat();
    read(&mut core, &first, 100_000, now);
    core.admit(now);
    write(&mut core, now);
    while core.poll_event().is_some() {}
    assert!(core.is_open());
    core
}

/// Fills the pool of this thread, whose memory does not count as a connection's.
fn warm(config: &Arc<Config>, now: Instant) {
    let mut core = accepted(config, now);
    for size in [10, 300, 2_000, 60_000] {
        for _ in 0..3 {
            read(
                &mut core,
                &frame(kind::BYTES, &vec![7; size]).repeat(10),
                100_000,
                now,
            );
        }
        let mut frame = Some(Frame::new(vec![7; size]));
        core.send(&mut frame, WhenFull::Wait, now).expect("room");
        write(&mut core, now);
    }
}

#[test]
fn an_idle_connection_is_small_whatever_came_before() {
    let (config, now) = (config(Limits::default()), Instant::now());
    warm(&config, now);
    let mut kept = None;
    let held = measure(|| {
        let mut core = Box::new(accepted(&config, now));
        read(&mut core, &frame(kind::BYTES, b"abc"), 100, now);
        read(&mut core, &frame(kind::PING, b"12345678"), 100, now);
        core.send(&mut Some(Frame::from("answer")), WhenFull::Wait, now)
            .expect("room");
        assert_eq!(write(&mut core, now), 16 + 16);
        assert!(core.ping(now));
        write(&mut core, now);
        kept = Some(core);
    });
    assert!(held.bytes_current <= 1_100, "{held:?}");
    drop(kept);
}

#[test]
fn what_is_claimed_takes_memory_when_a_sixteenth_has_arrived() {
    let (config, now) = (config(Limits::default()), Instant::now());
    for (arrived, most) in [
        (8, 4_000),
        (2_000, 8_000),
        (60_000, 300_000),
        (70_000, 1_300_000),
        (1_000_000, 1_300_000),
    ] {
        warm(&config, now);
        let mut core = accepted(&config, now);
        let bytes = &frame(kind::CBOR, &vec![7; 1 << 20])[..arrived];
        let held = measure(|| {
            read(&mut core, bytes, 1_448, now);
        });
        let most_held = usize::try_from(held.bytes_max).expect("it is small");
        assert!(most_held < most, "{arrived}: {held:?}");
    }
}

#[test]
fn large_frames_are_neither_copied_nor_given_new_memory() {
    let (config, now) = (config(Limits::default()), Instant::now());
    for size in [101_000, 1_000_000] {
        let mut core = accepted(&config, now);
        let stream = frame(kind::BYTES, &vec![7; size]).repeat(4);
        assert_eq!(read(&mut core, &stream, 1 << 20, now), 4);
        let info = measure(|| {
            for _ in 0..5 {
                assert_eq!(read(&mut core, &stream, 1 << 20, now), 4);
            }
        });
        assert!(info.bytes_total < 2 * size as u64, "{size}: {info:?}");
        // A user that holds one until it has the next.
        let mut held = None;
        let longer = stream.repeat(3);
        let info = measure(|| {
            let mut batch = Batch::new();
            let read = read_each(&mut core, &longer, usize::MAX, now, |core| {
                core.take_frames(&mut batch, now);
                held = batch.next().or(held.take());
            });
            assert_eq!(read, longer.len());
        });
        assert!(info.bytes_total < 2 * size as u64, "{size}: {info:?}");

        let body = Frame::new(vec![7; size]);
        let place = body.bytes().as_ptr();
        core.send(&mut Some(body), WhenFull::Wait, now)
            .expect("room");
        let transmit = core.take_transmit().expect("a frame");
        let mut slices = [std::io::IoSlice::new(&[]); Transmit::MOST_SLICES];
        let used = transmit.slices(&mut slices);
        assert!((2..=3).contains(&used));
        assert_eq!(slices[1].as_ptr(), place);
    }
}

#[test]
fn the_memory_of_large_frames_is_given_back_when_small_ones_come_or_none() {
    let now = Instant::now();
    for idles in [true, false] {
        let config = config(Limits::default());
        warm(&config, now);
        let mut core = accepted(&config, now);
        let held = measure(|| {
            let stream = frame(kind::BYTES, &vec![7; 1_000_000]).repeat(3);
            assert_eq!(read(&mut core, &stream, 1 << 20, now), 3);
            if idles {
                core.handle_timeout(now + std::time::Duration::from_secs(11));
                write(&mut core, now);
            } else {
                for _ in 0..20 {
                    read(&mut core, &frame(kind::BYTES, b"x"), 100, now);
                }
            }
        });
        assert!(held.bytes_current < 80_000, "{idles}: {held:?}");
    }
}

#[test]
fn control_frames_that_come_without_end_take_no_memory() {
    let (config, now) = (config(Limits::default()), Instant::now());
    warm(&config, now);
    let mut core = accepted(&config, now);
    // One of the user's first, which nobody takes: nothing may pile up behind it.
    let mut room = core.take_room().expect("it reads");
    room.fill(&frame(kind::BYTES, b"x"));
    core.put_room(room, Read::Bytes, now);
    let pings = [
        frame(kind::PING, &[7; 8]),
        frame(200, &[9; 500]),
        frame(kind::NOTICE, b"\xa1\x64code\x64late"),
    ]
    .concat()
    .repeat(2_000);
    let held = measure(|| {
        let read = read_each(&mut core, &pings, usize::MAX, now, |core| {
            while core.poll_event().is_some() {}
        });
        assert_eq!(read, pings.len());
    });
    assert_eq!(core.frames(), 1);
    assert!(held.bytes_max < 300_000, "{held:?}");
    assert!(held.bytes_current < 80_000, "{held:?}");
}
