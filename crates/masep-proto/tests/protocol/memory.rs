//! The memory that a connection holds, and the number of times that it takes some.

use std::sync::Arc;
use std::time::Instant;

use allocation_counter::{AllocationInfo, measure};
use masep_proto::connection::{Batch, Config, Connection, WhenFull};
use masep_proto::{Frame, Limits};

use crate::wire::{read_each, write};

fn config(id: &str) -> Arc<Config> {
    Arc::new(Config::new(id, Limits::default()).expect("an id"))
}

/// Has a connection read these bytes, as far as it wants to.
fn read(core: &mut Connection, bytes: &[u8], now: Instant) {
    let _ = read_each(core, bytes, usize::MAX, now, |_| {});
}

/// A server's end of a connection that is open, whose peer said this hello in these pieces.
fn accepted(config: &Arc<Config>, pieces: &[&[u8]], now: Instant) -> Connection {
    let mut core = Connection::accept(config.clone(), now);
    for piece in pieces {
        read(&mut core, piece, now);
    }
    core.admit(now);
    write(&mut core, now);
    while core.poll_event().is_some() {}
    core
}

/// Fills the pool of this thread. Its memory is no connection's.
fn warm(config: &Arc<Config>, now: Instant) {
    let mut core = accepted(config, &[b"\x05\0agent"], now);
    let mut batch = Batch::new();
    for size in [10, 300, 2_000, 60_000] {
        for _ in 0..3 {
            let mut frame = u16::try_from(size).unwrap_or(0).to_le_bytes().to_vec();
            frame.resize(2 + size, 7);
            for _ in 0..10 {
                read(&mut core, &frame, now);
                take_all(&mut core, &mut batch, now);
            }
        }
        let mut frame = Some(Frame::new(vec![7; size]));
        core.send(&mut frame, WhenFull::Wait, now).expect("room");
        write(&mut core, now);
    }
}

fn take_all(core: &mut Connection, batch: &mut Batch, now: Instant) -> usize {
    let mut frames = 0;
    loop {
        core.take_frames(batch, now);
        if batch.is_empty() {
            return frames;
        }
        frames += batch.count();
    }
}

#[test]
fn an_idle_connection_is_small_whatever_came_before() {
    let (config, now) = (config("engine"), Instant::now());
    warm(&config, now);
    let hello: [&[&[u8]]; 3] = [
        &[b"\x05\0agent"],
        &[b"\x05\0", b"agent"],
        &[b"\x05", b"\0ag", b"ent"],
    ];
    for pieces in hello {
        let mut kept = None;
        let held = measure(|| {
            let mut core = Box::new(accepted(&config, pieces, now));
            read(&mut core, b"\x03\0abc", now);
            let mut batch = Batch::new();
            assert_eq!(take_all(&mut core, &mut batch, now), 1);
            core.send(&mut Some(Frame::from("answer")), WhenFull::Wait, now)
                .expect("room");
            write(&mut core, now);
            read(&mut core, b"", now);
            kept = Some((core, batch));
        });
        assert!(held.bytes_current <= 680, "{held:?}");
        drop(kept);
    }
}

#[test]
fn the_beginning_of_a_large_frame_takes_no_more_than_twice_what_arrived() {
    let (config, now) = (config("engine"), Instant::now());
    let mut core = accepted(&config, &[b"\x05\0agent"], now);
    let held = measure(|| read(&mut core, b"\xff\xff0123456789", now));
    assert!(held.bytes_max < 4_000, "{held:?}");
}

fn allocations(work: impl FnOnce()) -> u64 {
    let AllocationInfo { count_total, .. } = measure(work);
    count_total
}

#[test]
fn small_frames_are_queued_and_written_without_memory_for_each() {
    let (config, now) = (config("engine"), Instant::now());
    warm(&config, now);
    let mut core = accepted(&config, &[b"\x05\0agent"], now);
    let frames: Vec<_> = (0..800).map(|_| Frame::from(&b"0123456789"[..])).collect();
    let count = allocations(|| {
        for frame in frames {
            core.send(&mut Some(frame), WhenFull::Wait, now)
                .expect("room");
        }
        assert_eq!(write(&mut core, now), 800 * 12);
    });
    assert!(count < 10, "{count}");
}

#[test]
fn small_frames_that_come_together_take_no_memory_for_each() {
    let (config, now) = (config("engine"), Instant::now());
    warm(&config, now);
    let mut core = accepted(&config, &[b"\x05\0agent"], now);
    let stream = b"\x0a\x000123456789".repeat(1_000);
    let count = allocations(|| {
        let mut batch = Batch::new();
        let mut frames = 0;
        let read = read_each(&mut core, &stream, usize::MAX, now, |core| {
            frames += take_all(core, &mut batch, now);
        });
        assert_eq!((read, frames), (stream.len(), 1_000));
    });
    assert!(count < 100, "{count}");
}

#[test]
fn large_frames_are_neither_copied_nor_given_new_memory() {
    let (config, now) = (config("engine"), Instant::now());
    warm(&config, now);
    let mut core = accepted(&config, &[b"\x05\0agent"], now);
    let mut frame = 60_000_u16.to_le_bytes().to_vec();
    frame.resize(60_002, 7);
    let stream = frame.repeat(20);
    let mut batch = Batch::new();
    let info = measure(|| {
        let read = read_each(&mut core, &stream, usize::MAX, now, |core| {
            take_all(core, &mut batch, now);
        });
        assert_eq!(read, stream.len());
    });
    assert!(info.bytes_total < 5 * 60_000, "{info:?}");

    let body = Frame::new(vec![7; 60_000]);
    let place = body.bytes().as_ptr();
    core.send(&mut Some(body), WhenFull::Wait, now)
        .expect("room");
    let transmit = core.take_transmit().expect("a frame");
    let mut slices = [std::io::IoSlice::new(&[]); masep_proto::connection::Transmit::MOST_SLICES];
    assert_eq!(transmit.slices(&mut slices), 2);
    assert_eq!(slices[1].as_ptr(), place);
}
