//! How what arrives is read.

use std::sync::Mutex;

use super::*;

/// Gives the bytes of one frame after the other, and counts the reads.
struct Source(Mutex<(Vec<u8>, usize)>);

impl Transport for &'static Source {
    fn prepare(&self, _limits: &Limits) -> io::Result<()> {
        Ok(())
    }
    fn poll_readable(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let (waiting, reads) = &mut *self.0.lock().unwrap();
        if waiting.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = waiting.len().min(buffer.capacity() - buffer.len());
        buffer.extend_from_slice(&waiting[..count]);
        waiting.drain(..count);
        *reads += 1;
        Ok(count)
    }
    fn poll_writable(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn shutdown(&self, _how: Shutdown) -> io::Result<()> {
        Ok(())
    }
    fn reset_on_drop(&self) {}
}

#[test]
fn a_peer_that_sends_frames_of_one_size_costs_one_read_each() {
    for size in [10_usize, 1_000, 5_000, 16_000, 32 * 1024, 65_535] {
        let source: &'static Source = Box::leak(Box::new(Source(Mutex::default())));
        let mut wire = Wire::new(source, &Limits::default(), Bytes::new()).unwrap();
        let mut reads = 0;
        for _ in 0..20 {
            let mut bytes = u16::try_from(size).unwrap().to_le_bytes().to_vec();
            bytes.resize(2 + size, 7);
            *source.0.lock().unwrap() = (bytes, 0);
            let codec = FrameCodec::default();
            while codec.peek(&wire.buffer).unwrap().is_none() {
                wire.try_read().unwrap();
            }
            assert_eq!(take_frame(&mut wire.buffer, codec, size).size(), size);
            assert!(wire.buffer.len() < 2);
            reads = source.0.lock().unwrap().1;
        }
        assert_eq!(reads, 1, "of {size} bytes");
    }
}

/// Where the body of each of some large frames stood that came without gaps, if they are kept or if each is
/// dropped before the next is read.
fn places_of_large_frames(kept: &mut Option<Vec<Frame>>) -> Vec<*const u8> {
    const SIZE: usize = 60_000;
    let source: &'static Source = Box::leak(Box::new(Source(Mutex::default())));
    let mut wire = Wire::new(source, &Limits::default(), Bytes::new()).unwrap();
    let codec = FrameCodec::default();
    let mut encoded = Vec::new();
    codec
        .encode(&Frame::new(vec![7; SIZE]), &mut encoded)
        .unwrap();
    source.0.lock().unwrap().0 = encoded.repeat(10);
    let read = |_| {
        while codec.peek(&wire.buffer).unwrap().is_none() {
            wire.try_read().unwrap();
        }
        let frame = take_frame(&mut wire.buffer, codec, SIZE);
        let place = frame.bytes().as_ptr();
        kept.iter_mut().for_each(|kept| kept.push(frame.clone()));
        place
    };
    (0..10).map(read).collect()
}

#[test]
fn a_large_frame_comes_into_the_memory_of_the_one_before_if_that_is_gone() {
    let places = places_of_large_frames(&mut None);
    assert!(places[8..] == [places[7]; 2], "{places:?}");
    let mut kept = Some(Vec::new());
    let places = places_of_large_frames(&mut kept);
    let frames = kept.unwrap_or_default();
    assert!(
        frames
            .iter()
            .all(|frame| frame == &Frame::new(vec![7; 60_000]))
    );
    assert!(places[8..].iter().all(|place| !places[..8].contains(place)));
}
