//! A connection in memory, with its task and its callers: who reads, who writes, and how it ends.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use masep_proto::connection::{Config, Connection as Core};
use masep_proto::{Frame, FrameCodec, Limits};
use shuttle::future::{JoinHandle as Task, block_on, spawn};
use shuttle::thread::{self, JoinHandle};

use super::sync::time::Clock;
use super::{Count, cut, insist, random};
use crate::connection::{Delivery, Shared, now};
use crate::door::Membership;
use crate::keeper::Keeper;
use crate::transport::memory::{MemoryTransport, duplex};
use crate::transport::{Stream, Transport};
use crate::{CloseReason, Connection, NoHandler, Registry, WhenFull};

const BYE: &[u8] = b"\x03\0BYE";
/// Frames that the peer sends, and that are sent to it.
const FRAMES: u8 = 3;

/// A connection whose task runs, and the peer's end of it.
struct Live {
    connection: Connection,
    registry: Registry,
    task: Task<()>,
    peer: Arc<MemoryTransport>,
    clock: Clock,
}

fn live() -> Live {
    let clock = Clock::start();
    let limits = Limits::default().queue_messages([1, 16][random(2)]);
    let (near, far) = duplex([3, 64][random(2)]);
    let address = SocketAddr::from(([127, 0, 0, 1], 1)).into();
    let config = Arc::new(Config::new("engine", limits).unwrap());
    let core = Core::established(config, "peer".into(), now());
    let shared = Shared::new(
        core,
        near,
        address,
        Delivery::Calls(WhenFull::Wait),
        Duration::ZERO,
    );
    shared.note_peer();
    let connection = Connection::new(shared.clone());
    let registry = Registry::default();
    registry.add(connection.clone());
    let keeper = Keeper::new(shared, Membership::of_client(registry.clone()));
    let task = spawn(keeper.run(connection.clone(), Arc::new(NoHandler(()))));
    Live {
        connection,
        registry,
        task,
        peer: Arc::new(far),
        clock,
    }
}

impl Live {
    /// All is over, for this reason; no thread is left, or the scheduler finds it.
    fn over(self, reason: &CloseReason) {
        assert_eq!(block_on(self.connection.closed()), *reason);
        // Only the old socket may still wait, for the end of the peer's side.
        drop(self.peer);
        // Fails when the task was aborted.
        let _ = block_on(self.task);
        assert!(self.registry.is_empty());
        assert_eq!(block_on(self.connection.recv()), Err(reason.clone()));
        assert!(block_on(self.connection.send("late")).is_err());
        self.clock.stop();
    }
}

fn frames(numbers: std::ops::Range<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        let frame = Frame::new(vec![number]);
        FrameCodec::default().encode(&frame, &mut bytes).unwrap();
    }
    bytes
}

/// Writes all of it, in pieces.
fn write(peer: &MemoryTransport, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let piece = bytes.len().min(1 + random(4));
        match peer.try_write(&bytes[..piece]) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                block_on(poll_fn(|context| peer.poll_writable(context))).unwrap();
            }
            // The connection has ended.
            Err(_) => return,
        }
    }
}

/// Reads frames to the end of the stream: their numbers, and whether a `BYE` came last.
fn read(peer: &Arc<MemoryTransport>, seen: &Arc<Count>) -> JoinHandle<(Vec<u8>, bool)> {
    let (peer, seen) = (peer.clone(), seen.clone());
    thread::spawn(move || {
        let mut buffer = BytesMut::new();
        let mut numbers = Vec::new();
        loop {
            while let Some(frame) = FrameCodec::default().decode(&mut buffer).unwrap() {
                if frame.is_bye() {
                    return (numbers, true);
                }
                numbers.push(frame.bytes()[0]);
                seen.up();
            }
            let mut some = Vec::with_capacity(16);
            let read = peer.try_read(&mut some);
            buffer.extend_from_slice(&some);
            match read {
                Ok(0) => return (numbers, false),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    block_on(poll_fn(|context| peer.poll_readable(context))).unwrap();
                }
                Err(_) => return (numbers, false),
            }
        }
    })
}

/// Sends frames, and gives calls up on the way: those that were accepted.
fn send(connection: &Connection) -> JoinHandle<Vec<u8>> {
    let connection = connection.clone();
    thread::spawn(move || {
        let is_sent = |number: &u8| insist(|| connection.send(vec![*number])).is_ok();
        (0..FRAMES).take_while(is_sent).collect()
    })
}

/// Receives to the end, and gives calls up on the way.
fn receive(connection: &Connection, seen: &Arc<Count>) -> JoinHandle<Vec<u8>> {
    let (connection, seen) = (connection.clone(), seen.clone());
    thread::spawn(move || {
        let mut numbers = Vec::new();
        loop {
            let next = match random(6) {
                0 => connection.try_recv().ok().map(Ok),
                1 => cut(connection.recv_newest(|_| true), 2),
                _ => None,
            };
            let next = next.unwrap_or_else(|| insist(|| connection.recv()));
            let Ok(frame) = next else {
                return numbers;
            };
            numbers.push(frame.bytes()[0]);
            seen.up();
        }
    })
}

/// The peer says `BYE` only when all has arrived on either side: nobody waits while bytes are there.
pub(crate) fn turns() {
    let live = live();
    let (came, went): (Arc<Count>, Arc<Count>) = (Arc::default(), Arc::default());
    let callers: Vec<_> = (0..1 + random(2))
        .map(|_| receive(&live.connection, &came))
        .collect();
    // Looks once, and does not come back for what it has put into the queue.
    let visitor = thread::spawn({
        let (connection, came) = (live.connection.clone(), came.clone());
        move || connection.try_recv().ok().inspect(|_| came.up())
    });
    let sender = send(&live.connection);
    let reader = read(&live.peer, &went);

    write(&live.peer, &frames(0..FRAMES));
    came.wait_for(usize::from(FRAMES));
    went.wait_for(usize::from(FRAMES));
    write(&live.peer, BYE);

    let received = callers.into_iter().map(|caller| caller.join().unwrap());
    let received: Vec<_> = received.collect();
    assert!(received.iter().all(|numbers| numbers.is_sorted()));
    let mut all = received.concat();
    all.extend(visitor.join().unwrap().map(|frame| frame.bytes()[0]));
    all.sort_unstable();
    let expected: Vec<_> = (0..FRAMES).collect();
    assert_eq!(all, expected);
    assert_eq!(sender.join().unwrap(), expected);
    let (arrived, _) = reader.join().unwrap();
    assert_eq!(arrived, expected);
    live.over(&CloseReason::PeerBye);
}

/// Calls have taken the frames, and none comes back: the task takes the turn back and finds the end.
pub(crate) fn nobody_calls() {
    let live = live();
    let caller = thread::spawn({
        let connection = live.connection.clone();
        move || {
            for number in 0..FRAMES {
                let frame = insist(|| connection.recv()).unwrap();
                assert_eq!(frame.bytes()[0], number);
            }
            if random(2) == 0 {
                let given_up = cut(connection.recv(), random(2));
                assert!(given_up.is_none_or(|received| received.is_err()));
            }
        }
    });
    write(&live.peer, &frames(0..FRAMES));
    caller.join().unwrap();
    write(&live.peer, BYE);
    live.over(&CloseReason::PeerBye);
}

/// Our side ends the connection at any moment, or its task is dropped.
pub(crate) fn ends() {
    let live = live();
    let (came, went) = (Arc::default(), Arc::default());
    let caller = receive(&live.connection, &came);
    let sender = send(&live.connection);
    let reader = read(&live.peer, &went);
    let peer = thread::spawn({
        let peer = live.peer.clone();
        move || write(&peer, &frames(0..FRAMES))
    });
    // Bytes of the peer to a socket that is closed are answered with a reset, which may overtake the rest.
    let (aborted, quiet) = (random(3) == 0, random(2) == 0);
    let mut peer = Some(peer);
    if quiet {
        peer.take().map(JoinHandle::join);
    }
    if aborted {
        live.task.abort();
    } else {
        let reason = insist(|| live.connection.bye());
        assert_eq!(reason, CloseReason::LocalBye);
    }
    peer.map(JoinHandle::join);
    let received = caller.join().unwrap();
    assert!(received.into_iter().eq(0..came_count(&came)));
    let sent = sender.join().unwrap();
    let (arrived, said_bye) = reader.join().unwrap();
    assert!(sent.starts_with(&arrived));
    if quiet && !aborted {
        assert_eq!(arrived, sent);
        assert!(said_bye);
    }
    live.over(if aborted {
        &CloseReason::Aborted
    } else {
        &CloseReason::LocalBye
    });
}

fn came_count(count: &Count) -> u8 {
    u8::try_from(*count.number.lock().unwrap()).unwrap()
}
