//! What the writer makes of the frames that wait.

use std::io::IoSlice;
use std::sync::Mutex;

use super::*;

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

impl Transport for Recorder {
    fn prepare(&self, _limits: &Limits) -> io::Result<()> {
        Ok(())
    }
    async fn readable(&self) -> io::Result<()> {
        std::future::pending().await
    }
    fn try_read(&self, _buffer: &mut BytesMut) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
    async fn writable(&self) -> io::Result<()> {
        Ok(())
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
    let queue = Queue::new(&limits);
    for size in sizes {
        assert!(queue.try_push(Frame::new(vec![b'x'; *size])).is_ok());
    }
    queue.close();
    let transport = Recorder::default();
    let mut writer = Writer {
        transport: &transport,
        unsent: &mut Unsent::default(),
        peer_splits: &AtomicBool::new(peer_splits),
        write_time: limits.write_time,
    };
    let codec = FrameCodec::new(&limits);
    assert_eq!(writer.write_frames(&queue, codec).await, Ok(()));
    transport.0.into_inner().unwrap()
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
