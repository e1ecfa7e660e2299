//! One read of a socket.

use std::cell::RefCell;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

use bytes::BytesMut;
use masep_proto::FrameCodec;
use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use crate::sync::{recv, thread_local};
use crate::wire::READ_ALONE_FROM;

/// Bytes asked for in one read: a little more than the largest frame.
const READ_CHUNK: usize = 64 * 1024 + 2;
/// What is read behind a large frame: the next header, and a byte more, by which whoever goes on is told from a peer
/// that writes header and body apart.
const BEHIND: usize = FrameCodec::HEADER_BYTES + 1;

thread_local! {
    /// Where a read lands before it is appended to a connection's buffer: one for each thread that
    /// reads, so that a connection that waits holds no memory. Pages that no read reached cost
    /// nothing.
    static LANDING: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_CHUNK].into());
}

/// Whether a read may wait for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Yes,
    No,
}

impl Wait {
    const fn flags(self) -> MsgFlags {
        match self {
            Self::Yes => MsgFlags::empty(),
            Self::No => MsgFlags::MSG_DONTWAIT,
        }
    }
}

/// One read of what has arrived, appended to `buffer`: how many bytes, 0 at the end of the stream. `usual` is
/// twice what others brought before.
pub(super) fn receive(
    stream: &TcpStream,
    buffer: &mut BytesMut,
    wait: Wait,
    usual: usize,
) -> io::Result<usize> {
    let before = buffer.len();
    // Never more than twice what has arrived, or came at once before, whatever is claimed.
    let most = before + before.max(usual);
    match FrameCodec::claimed_bytes(buffer) {
        // Not where a read may bring nothing: it would make room for nothing each time.
        Some(claimed)
            if claimed > READ_ALONE_FROM.max(before)
                && most > READ_ALONE_FROM
                && wait == Wait::Yes =>
        {
            receive_into_place(stream, buffer, most.min(claimed + BEHIND))
        }
        _ => LANDING.with(|landing| {
            let mut landing = landing.borrow_mut();
            let read = receive_into(stream, &mut landing, wait)?;
            buffer.extend_from_slice(&landing[..read]);
            Ok(read)
        }),
    }
}

/// Reads on until there are so many bytes in the buffer, at most: the rest of a large frame. To fill its place
/// with zeros first costs less than to copy it there.
fn receive_into_place(stream: &TcpStream, buffer: &mut BytesMut, most: usize) -> io::Result<usize> {
    let before = buffer.len();
    buffer.resize(most, 0);
    let read = receive_into(stream, &mut buffer[before..], Wait::Yes);
    buffer.truncate(before + read.as_ref().map_or(0, |read| *read));
    read
}

fn receive_into(stream: &TcpStream, place: &mut [u8], wait: Wait) -> io::Result<usize> {
    loop {
        match recv(stream.as_raw_fd(), place, wait.flags()) {
            Err(Errno::EINTR) => {}
            read => return Ok(read?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener};

    use masep_proto::Frame;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (sender, listener.accept().unwrap().0)
    }

    #[test]
    fn memory_grows_with_what_arrives_not_with_what_is_claimed() {
        let (mut sender, receiver) = pair();
        let (mut buffer, mut read) = (BytesMut::new(), 0);
        for bytes in [&b"\xff\xff"[..], b"abc", b"d"] {
            sender.write_all(bytes).unwrap();
            read = receive(&receiver, &mut buffer, Wait::Yes, read).unwrap();
        }
        assert_eq!(buffer, b"\xff\xffabcd"[..]);
        assert!(buffer.capacity() < 1024, "{}", buffer.capacity());
    }

    #[test]
    fn large_frames_arrive_whole_whatever_is_around_them() {
        let codec = FrameCodec::default();
        let sizes = [3, 60_000, 60_000, 0, 9_000, 65_535, 200, 8_190, 60_000];
        let frames: Vec<Frame> = (0..)
            .zip(sizes)
            .map(|(fill, size)| Frame::new(vec![fill; size]))
            .collect();
        let mut stream = Vec::new();
        for frame in &frames {
            codec.encode(frame, &mut stream).unwrap();
        }
        let (mut sender, receiver) = pair();
        // The socket has room for some of it only.
        let writing = std::thread::spawn(move || {
            sender.write_all(&stream).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        let (mut buffer, mut received, mut read) = (BytesMut::new(), Vec::new(), 0);
        loop {
            read = receive(&receiver, &mut buffer, Wait::Yes, read).unwrap();
            if read == 0 {
                break;
            }
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                received.push(frame);
            }
        }
        writing.join().unwrap();
        assert!(received == frames);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_peer_that_goes_on_is_not_taken_for_one_that_splits_frames() {
        let (mut sender, receiver) = pair();
        let mut large = vec![7; 2 + 10_000];
        large[..2].copy_from_slice(&10_000_u16.to_le_bytes());
        sender.write_all(&large[..5]).unwrap();
        let mut buffer = BytesMut::new();
        receive(&receiver, &mut buffer, Wait::Yes, 0).unwrap();
        sender
            .write_all(&[&large[5..], b"\x02\0", b"ab"].concat())
            .unwrap();
        while buffer.len() < large.len() {
            receive(&receiver, &mut buffer, Wait::Yes, large.len()).unwrap();
        }
        assert_ne!(buffer.len(), large.len() + 2);
    }
}
