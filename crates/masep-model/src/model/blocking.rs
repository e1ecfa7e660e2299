//! A connection without async, on a real socket, and the threads that use it.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use bytes::BytesMut;
use masep_proto::{Frame, FrameCodec, Limits};
use rustix::event::{PollFd, PollFlags};
use shuttle::thread::{self, JoinHandle};
use socket2::SockRef;

use super::{Count, random};
use crate::blocking::{Connection, EventLoop, Offer};
use crate::sync::{now, poll};
use crate::{CloseReason, SendError, SocketOptions, TryRecvError};

/// Frames that each thread sends, and the peer to each of two that receive.
const FRAMES: u8 = 3;
/// Frames that each thread sends one right behind another: some of them are gathered.
const MANY: u8 = 40;
/// Bytes of a frame: more than half of what the socket takes.
const SIZE: usize = 3_000;

/// A connection whose socket takes hardly more than a frame, and the peer's end of it.
fn connected() -> (Connection, Arc<UnixStream>) {
    let (near, far) = UnixStream::pair().unwrap();
    for end in [&near, &far] {
        SockRef::from(end).set_send_buffer_size(1).unwrap();
    }
    far.set_nonblocking(true).unwrap();
    let connection =
        Connection::over(near, "peer", &Limits::default(), &SocketOptions::default()).unwrap();
    (connection, Arc::new(far))
}

fn frames(numbers: Range<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        let frame = Frame::new(vec![number; SIZE]);
        FrameCodec::default().encode(&frame, &mut bytes).unwrap();
    }
    bytes
}

fn number(frame: &Frame) -> u8 {
    assert!(frame.bytes().iter().all(|byte| *byte == frame.bytes()[0]));
    frame.bytes()[0]
}

/// Writes all of it in pieces, unless the connection has ended.
fn write(mut peer: &UnixStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let piece = bytes.len().min(1 + random(2 * SIZE));
        match peer.write(&bytes[..piece]) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
            Err(_) => return,
        }
        if random(2) == 0 {
            thread::yield_now();
        }
    }
}

/// Reads to the end: the numbers of the frames, and whether a `BYE` came last.
fn read(peer: &Arc<UnixStream>, seen: &Arc<Count>) -> JoinHandle<(Vec<u8>, bool)> {
    let (peer, seen) = (peer.clone(), seen.clone());
    thread::spawn(move || {
        let (mut buffer, mut numbers) = (BytesMut::new(), Vec::new());
        let mut landing = [0; 2 * SIZE];
        loop {
            while let Some(frame) = FrameCodec::default().decode(&mut buffer).unwrap() {
                if frame.is_bye() {
                    return (numbers, true);
                }
                numbers.push(number(&frame));
                seen.up();
            }
            match (&*peer).read(&mut landing) {
                Ok(0) => return (numbers, false),
                Ok(read) => buffer.extend_from_slice(&landing[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                Err(_) => return (numbers, false),
            }
        }
    })
}

/// Sends frames until the connection ends, now and then without a wait. Gives those that were accepted. The rest
/// of the last one goes out whether anybody flushes or not.
fn send(connection: &Connection, numbers: Range<u8>) -> JoinHandle<Vec<u8>> {
    let connection = connection.clone();
    thread::spawn(move || {
        let mut sent = Vec::new();
        for number in numbers {
            let frame = Frame::new(vec![number; SIZE]);
            let done = match random(2) {
                0 => connection.try_send(frame.clone()),
                _ => connection.send(frame.clone()),
            };
            let done = match done {
                Err(SendError::Full(_)) => connection.send(frame),
                done => done,
            };
            match done {
                Ok(()) => sent.push(number),
                Err(_ended) => break,
            }
        }
        let flushes = random(2) == 0;
        while flushes && let Ok(false) = connection.try_flush() {
            if connection.flush().is_err() {
                break;
            }
        }
        sent
    })
}

/// Receives to the end.
fn receive(connection: &Connection, seen: &Arc<Count>) -> JoinHandle<Vec<u8>> {
    let (connection, seen) = (connection.clone(), seen.clone());
    thread::spawn(move || {
        let mut numbers = Vec::new();
        loop {
            let next = match random(4) {
                0 => connection.try_recv().ok().map(Ok),
                1 => Some(connection.recv_newest(|_| true)),
                _ => None,
            };
            match next.unwrap_or_else(|| connection.recv()) {
                Ok(frame) => numbers.push(number(&frame)),
                Err(_ended) => return numbers,
            }
            seen.up();
        }
    })
}

/// True if these are the frames of two threads, each thread's in its order.
fn is_shuffled(all: &[u8]) -> bool {
    let of = |first: bool| {
        all.iter()
            .filter(move |number| (**number < FRAMES) == first)
    };
    of(true).is_sorted() && of(false).is_sorted()
}

/// The peer says `BYE` only when all has arrived on either side.
pub(crate) fn turns() {
    let (connection, peer) = connected();
    let (came, went) = (Arc::default(), Arc::default());
    let callers = [0, 1].map(|_| receive(&connection, &came));
    let senders = [0..FRAMES, FRAMES..2 * FRAMES].map(|range| send(&connection, range));
    let reader = read(&peer, &went);

    write(&peer, &frames(0..FRAMES));
    came.wait_for(FRAMES.into());
    went.wait_for(2 * usize::from(FRAMES));
    write(&peer, b"\x03\0BYE");

    let received = callers.map(|caller| caller.join().unwrap());
    assert!(received.iter().all(|numbers| numbers.is_sorted()));
    let mut all = received.concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..FRAMES));
    for (sender, first) in senders.into_iter().zip([0, FRAMES]) {
        let sent = sender.join().unwrap();
        // The peer's BYE may be here before the call that wrote the last frame knows that it did.
        assert!(sent.len() + 1 >= usize::from(FRAMES));
        assert!(
            sent.into_iter()
                .zip(first..)
                .all(|(sent, number)| sent == number)
        );
    }
    let (arrived, _) = reader.join().unwrap();
    assert!(is_shuffled(&arrived) && arrived.len() == 2 * usize::from(FRAMES));
    assert_eq!(connection.closed(), CloseReason::PeerBye);
}

/// Neither side reads before it has written: what arrives is taken in by those who wait for room.
pub(crate) fn both_write() {
    let (connection, peer) = connected();
    let (came, went) = (Arc::default(), Arc::default());
    let senders = [0..FRAMES, FRAMES..2 * FRAMES].map(|range| send(&connection, range));
    let other_side = thread::spawn({
        let went = Arc::clone(&went);
        move || {
            write(&peer, &frames(0..FRAMES));
            let reader = read(&peer, &went);
            went.wait_for(2 * usize::from(FRAMES));
            write(&peer, b"\x03\0BYE");
            reader.join().unwrap().0
        }
    });
    let sent = senders.map(|sender| sender.join().unwrap());
    assert!(sent.concat().into_iter().eq(0..2 * FRAMES));
    let received = receive(&connection, &came).join().unwrap();
    assert!(received.into_iter().eq(0..FRAMES));
    assert!(is_shuffled(&other_side.join().unwrap()));
    assert_eq!(connection.closed(), CloseReason::PeerBye);
}

/// One side ends the connection at any moment: all calls return, and there is one reason.
pub(crate) fn ends() {
    let (connection, peer) = connected();
    let (came, went) = (Arc::default(), Arc::default());
    let caller = receive(&connection, &came);
    let senders = [0..FRAMES, FRAMES..2 * FRAMES].map(|range| send(&connection, range));
    let reader = read(&peer, &went);
    let observer = thread::spawn({
        let connection = connection.clone();
        move || connection.closed()
    });
    let ours = random(2) == 0;
    if ours {
        assert_eq!(connection.bye(), CloseReason::LocalBye);
    } else {
        write(&peer, &frames(0..FRAMES));
        write(&peer, b"\x03\0BYE");
    }
    let received = caller.join().unwrap();
    let sent = senders.map(|sender| sender.join().unwrap()).concat();
    let (arrived, said_bye) = reader.join().unwrap();
    assert!(is_shuffled(&arrived));
    if ours {
        // All that was accepted arrives before the BYE.
        assert!(arrived.iter().all(|number| sent.contains(number)));
        assert!(said_bye && arrived.len() == sent.len() && received.is_empty());
        assert_eq!(observer.join().unwrap(), CloseReason::LocalBye);
    } else {
        assert!(received.into_iter().eq(0..FRAMES));
        assert_eq!(observer.join().unwrap(), CloseReason::PeerBye);
    }
    assert!(connection.recv().is_err());
    assert!(connection.send("late").is_err());
}

/// An event loop drives the connection: what it received, and what it sent.
fn drive(
    connection: &Connection,
    numbers: Range<u8>,
    seen: &Arc<Count>,
) -> JoinHandle<(Vec<u8>, Vec<u8>)> {
    let (connection, seen) = (connection.clone(), seen.clone());
    thread::spawn(move || {
        let event_loop = EventLoop::new().unwrap();
        let socket = connection.attach(&event_loop, 7).unwrap();
        let (mut received, mut sent, mut numbers) = (Vec::new(), Vec::new(), numbers.peekable());
        let (mut readable, mut writable) = (false, false);
        loop {
            let is_over = connection.turn(readable, writable).is_none();
            let has_ended = loop {
                match connection.take_frame() {
                    Ok(frame) => {
                        received.push(number(&frame));
                        seen.up();
                    }
                    Err(TryRecvError::Empty) if is_over => panic!("no end"),
                    Err(TryRecvError::Empty) => break false,
                    Err(TryRecvError::Closed(_)) if is_over => return (received, sent),
                    Err(TryRecvError::Closed(_)) => break true,
                }
            };
            let offers = connection.in_loop();
            while let Some(number) = numbers.peek()
                && let Ok(Offer::Sent | Offer::Rest(_)) = connection.offer(vec![*number; SIZE])
            {
                sent.extend(numbers.next());
            }
            drop(offers);
            (readable, writable) = (false, false);
            let (Some(waits), Some(socket)) = (connection.turn(false, false), &socket) else {
                continue;
            };
            if waits.has_news && !has_ended {
                continue;
            }
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, waits.reads);
            flags.set(PollFlags::OUT, waits.writes);
            let left = waits
                .wakes_at
                .map(|at| at.saturating_duration_since(now()).try_into().unwrap());
            let mut asked = [
                PollFd::new(socket, flags),
                PollFd::new(&event_loop, PollFlags::IN),
            ];
            poll(&mut asked, left.as_ref()).unwrap();
            let found = asked[0].revents();
            readable = waits.reads && !found.difference(PollFlags::OUT).is_empty();
            writable = waits.writes && !found.difference(PollFlags::IN).is_empty();
            event_loop.take_woken();
        }
    })
}

/// An event loop drives the connection, and another thread sends on it, which reads while it waits for room. The loop is
/// woken for what that has read. Then the peer ends the connection, or another thread does.
pub(crate) fn event_loop() {
    let (connection, peer) = connected();
    let (came, went) = (Arc::default(), Arc::default());
    let driving = drive(&connection, 0..FRAMES, &came);
    let sender = send(&connection, FRAMES..2 * FRAMES);
    write(&peer, &frames(0..FRAMES));
    let reader = read(&peer, &went);
    came.wait_for(FRAMES.into());
    let ours = random(2) == 0;
    if ours {
        assert_eq!(connection.bye(), CloseReason::LocalBye);
    } else {
        went.wait_for(2 * usize::from(FRAMES));
        write(&peer, b"\x03\0BYE");
    }
    let (received, mut sent) = driving.join().unwrap();
    assert!(received.into_iter().eq(0..FRAMES));
    sent.extend(sender.join().unwrap());
    let (arrived, said_bye) = reader.join().unwrap();
    assert!(is_shuffled(&arrived));
    let reason = if ours {
        // All that was accepted arrives before the BYE.
        assert!(arrived.iter().all(|number| sent.contains(number)));
        assert!(said_bye && arrived.len() == sent.len());
        CloseReason::LocalBye
    } else {
        assert_eq!(arrived.len(), 2 * usize::from(FRAMES));
        CloseReason::PeerBye
    };
    assert_eq!(connection.close_reason(), Some(&reason));
}

/// Threads send small frames one right behind another, which wait for each other, and then make no call any more: all arrive.
pub(crate) fn gathers() {
    let (near, far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    // With little room their senders write them.
    let room = if random(2) == 0 { 4 } else { 100 };
    let limits = Limits::default().queue_messages(room);
    let connection = Connection::over(near, "peer", &limits, &SocketOptions::default()).unwrap();
    let peer = Arc::new(far);
    let (came, went) = (Arc::default(), Arc::default());
    let senders = [0..MANY, MANY..2 * MANY].map(|numbers| {
        let connection = connection.clone();
        thread::spawn(move || {
            for number in numbers {
                let frame = vec![number; 4];
                if random(2) == 0 || connection.try_send(frame.clone()).is_err() {
                    connection.send(frame).unwrap();
                }
                match random(12) {
                    0 => connection.flush().unwrap(),
                    1 => drop(connection.try_recv()),
                    2 => drop(connection.try_flush().unwrap()),
                    _ => {}
                }
            }
        })
    });
    let reader = read(&peer, &went);
    let caller = (random(2) == 0).then(|| receive(&connection, &came));
    went.wait_for(2 * usize::from(MANY));
    for sender in senders {
        sender.join().unwrap();
    }
    write(&peer, b"\x03\0BYE");
    assert_eq!(connection.recv(), Err(CloseReason::PeerBye));
    let (arrived, _) = reader.join().unwrap();
    let of = |first: bool| arrived.iter().filter(move |it| (**it < MANY) == first);
    assert!(of(true).is_sorted() && of(false).is_sorted());
    if let Some(caller) = caller {
        caller.join().unwrap();
    }
}

/// The peer closes at any moment, so that writes fail, while this side ends the connection: all calls
/// return, and there is one reason.
pub(crate) fn write_fails() {
    let (connection, peer) = connected();
    let came = Arc::default();
    let caller = receive(&connection, &came);
    let senders = [0..FRAMES, FRAMES..2 * FRAMES].map(|range| send(&connection, range));
    let closing = thread::spawn(move || {
        if random(2) == 0 {
            write(&peer, &frames(0..1));
        }
        if random(2) == 0 {
            // As a reset: there is something that it has not read.
            peer.shutdown(Shutdown::Both).unwrap();
        }
        drop(peer);
    });
    let reason = if random(2) == 0 {
        connection.bye()
    } else {
        // Without a wait.
        let _ = connection.try_send(Frame::BYE);
        connection.closed()
    };
    closing.join().unwrap();
    caller.join().unwrap();
    for sender in senders {
        sender.join().unwrap();
    }
    assert_eq!(connection.close_reason(), Some(&reason));
    assert!(connection.recv().is_err());
    assert!(connection.send("late").is_err());
}
