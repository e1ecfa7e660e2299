//! What the task makes of the frames that wait, and of those that have arrived.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::sync::Mutex;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use super::*;
use crate::transport::Transport;
use crate::wire::BYE;
use crate::{NoHandler, WhenFull};
use masep_proto::Frame;

/// Takes everything, and keeps what came in each write and whether it was to be apart. Has to read
/// what is given, some bytes at a time.
#[derive(Default)]
struct Recorder {
    written: Mutex<Vec<(Vec<u8>, bool)>>,
    arrived: Mutex<Vec<u8>>,
}

impl Recorder {
    fn record(&self, buffers: &[IoSlice<'_>], apart: bool) -> io::Result<usize> {
        let bytes: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.to_vec()).collect();
        let size = bytes.len();
        self.written.lock().unwrap().push((bytes, apart));
        Ok(size)
    }
}

impl Transport for Arc<Recorder> {
    fn prepare(&self, _limits: &Limits) -> io::Result<()> {
        Ok(())
    }
    fn poll_readable(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.arrived.lock().unwrap().is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }
    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let mut arrived = self.arrived.lock().unwrap();
        let some = arrived.len().min(7);
        buffer.extend(arrived.drain(..some));
        if some > 0 {
            Ok(some)
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }
    fn poll_writable(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.record(&[IoSlice::new(bytes)], false)
    }
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.record(buffers, false)
    }
    fn try_write_apart(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.record(buffers, true)
    }
    fn shutdown(&self, _how: Shutdown) -> io::Result<()> {
        Ok(())
    }
    fn reset_on_drop(&self) {}
}

/// Runs the task of a connection that this side has ended before the task was first polled.
async fn run_to_its_end<H: SocketHandler>(
    connection: &Connection,
    recorder: &Arc<Recorder>,
    peer_splits: bool,
    handler: H,
) {
    let limits = Limits::default();
    let mut wire = Wire::new(recorder.clone(), &limits, Bytes::from_static(BYE)).unwrap();
    if peer_splits {
        wire.pattern.hello_is_held_back(crate::sync::time::Instant::now());
    }
    let membership = Membership::new(Registry::default(), connection.clone());
    let driver = Driver::new(membership, wire, Arc::new(handler), Arc::new(limits), ());
    connection.end(CloseReason::LocalBye);
    driver.run().await;
    assert_eq!(connection.close_reason(), Some(&CloseReason::LocalBye));
}

fn connection() -> Connection {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    Connection::new("peer".into(), address, &Limits::default(), false)
}

/// The writes that frames of these sizes make when all of them wait, with the `BYE` at their end.
async fn writes(peer_splits: bool, sizes: &[usize]) -> Vec<(Vec<u8>, bool)> {
    let connection = connection();
    for size in sizes {
        connection.try_send(vec![b'x'; *size]).unwrap();
    }
    let recorder = Arc::<Recorder>::default();
    let handler = NoHandler {
        when_full: WhenFull::Wait,
    };
    run_to_its_end(&connection, &recorder, peer_splits, handler).await;
    recorder.written.lock().unwrap().clone()
}

/// Keeps the sizes of the frames that it gets.
#[derive(Clone, Default)]
struct Sizes(Arc<Mutex<Vec<usize>>>);

impl SocketHandler for Sizes {
    async fn on_receive(&self, _connection: &Connection, frame: Frame) {
        self.0.lock().unwrap().push(frame.size());
    }
}

fn encoded(size: usize) -> Vec<u8> {
    let mut bytes = u16::try_from(size).unwrap().to_le_bytes().to_vec();
    bytes.resize(2 + size, b'x');
    bytes
}

#[tokio::test]
async fn frames_that_wait_go_out_together() {
    let together = [encoded(3), encoded(9_000), encoded(0), BYE.to_vec()];
    let [before_bye, bye] = &writes(false, &[3, 9_000, 0]).await[..] else {
        panic!("two writes");
    };
    assert_eq!(before_bye, &(together[..3].concat(), false));
    assert_eq!(bye, &(BYE.to_vec(), false));
}

#[tokio::test]
async fn a_peer_that_splits_frames_gets_each_in_a_packet_of_its_own() {
    let apart = [encoded(3), encoded(9_000), encoded(0), BYE.to_vec()];
    let expected = apart.map(|frame| (frame, true));
    assert_eq!(writes(true, &[3, 9_000, 0]).await, expected);
}

#[tokio::test]
async fn what_had_arrived_when_this_side_ends_the_connection_is_delivered() {
    let recorder = Arc::<Recorder>::default();
    let frames = [encoded(3), encoded(90), encoded(0), encoded(5)];
    *recorder.arrived.lock().unwrap() = frames.concat();
    let sizes = Sizes::default();
    run_to_its_end(&connection(), &recorder, false, sizes.clone()).await;
    assert_eq!(*sizes.0.lock().unwrap(), [3, 90, 0, 5]);
    let written = recorder.written.lock().unwrap();
    let [(bye, _)] = &written[..] else {
        panic!("one write: {written:?}");
    };
    assert_eq!(bye, BYE);
}

#[tokio::test]
async fn a_peer_that_sends_without_pause_does_not_put_the_end_off() {
    let recorder = Arc::<Recorder>::default();
    *recorder.arrived.lock().unwrap() = encoded(0).repeat(1_000_000);
    let sizes = Sizes::default();
    run_to_its_end(&connection(), &recorder, false, sizes.clone()).await;
    assert!(sizes.0.lock().unwrap().len() < 1_000);
}
