//! What the writer makes of the frames that wait.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Mutex;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::transport::Transport;
use crate::wire::BYE;
use crate::{NoHandler, WhenFull};

/// Takes everything, and keeps what came in each write and whether it was to be apart.
#[derive(Default)]
struct Recorder(Mutex<Vec<(Vec<u8>, bool)>>);

impl Recorder {
    fn record(&self, buffers: &[IoSlice<'_>], apart: bool) -> io::Result<usize> {
        let bytes: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.to_vec()).collect();
        let size = bytes.len();
        self.0.lock().unwrap().push((bytes, apart));
        Ok(size)
    }
}

impl Transport for Arc<Recorder> {
    fn prepare(&self, _limits: &Limits) -> io::Result<()> {
        Ok(())
    }
    fn poll_readable(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
    fn try_read(&self, _buffer: &mut BytesMut) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
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

/// The writes that frames of these sizes make when all of them wait, with the `BYE` at their end.
async fn writes(peer_splits: bool, sizes: &[usize]) -> Vec<(Vec<u8>, bool)> {
    let limits = Limits::default();
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let connection = Connection::new("peer".into(), address, &limits, false);
    for size in sizes {
        connection.try_send(vec![b'x'; *size]).unwrap();
    }
    let recorder = Arc::<Recorder>::default();
    let mut wire = Wire::new(recorder.clone(), &limits, Bytes::from_static(BYE)).unwrap();
    wire.peer_splits = peer_splits;
    let handler = Arc::new(NoHandler {
        when_full: WhenFull::Wait,
    });
    let membership = Membership::new(Registry::default(), connection.clone());
    let driver = Driver::new(membership, wire, handler, Arc::new(limits), ());
    connection.end(CloseReason::LocalBye);
    driver.run().await;
    assert_eq!(connection.close_reason(), Some(&CloseReason::LocalBye));
    recorder.0.lock().unwrap().clone()
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
