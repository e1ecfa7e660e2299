//! A server and its peers, in memory.

use std::future::poll_fn;
use std::io::ErrorKind;

use bytes::BytesMut;
use masep::transport::memory::{MemoryConnector, MemoryTransport, listen};
use masep::transport::{Stream, Transport};
use masep::{Connection, Frame, Limits, Server, ServerBuilder, SocketHandler};
use masep_proto::FrameCodec;

use crate::cut::{breathe, soon};

/// Bytes of the peers' pipes: less than a frame of [`frame`].
pub(crate) const NARROW: usize = 64;

/// A server on a network in memory.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) connector: MemoryConnector,
}

impl World {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::of(Server::builder("engine").limits(limits))
    }

    pub(crate) fn of<H: SocketHandler>(builder: ServerBuilder<H>) -> Self {
        let (listener, connector) = listen(16);
        let server = builder.serve_over(listener).unwrap();
        Self { server, connector }
    }

    /// A peer with this id, and the server's end of its connection.
    pub(crate) async fn join(&self, id: &str) -> (Connection, Peer) {
        let peer = Peer::join(&self.connector, id, NARROW).await;
        let connection = soon(self.server.accept()).await.unwrap();
        assert_eq!(connection.peer().as_str(), id);
        (connection, peer)
    }
}

/// A frame that is known by its number, and longer than a narrow pipe.
pub(crate) fn frame(number: u8) -> Frame {
    Frame::new(vec![number; 100])
}

/// The frames with these numbers, as they are sent.
pub(crate) fn wire(numbers: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        let frame = Frame::new(vec![number; 3]);
        FrameCodec::default().encode(&frame, &mut bytes).unwrap();
    }
    bytes
}

pub(crate) const BYE: &[u8] = b"\x03\0BYE";

/// The other side: bytes, without a task of its own.
pub(crate) struct Peer {
    transport: MemoryTransport,
    buffer: BytesMut,
}

impl Peer {
    pub(crate) fn new(transport: MemoryTransport) -> Self {
        Self {
            transport,
            buffer: BytesMut::new(),
        }
    }

    /// A peer that has shaken hands.
    pub(crate) async fn join(connector: &MemoryConnector, id: &str, capacity: usize) -> Self {
        let mut peer = Self::new(connector.connect(capacity).await.unwrap());
        let mut hello = Vec::new();
        FrameCodec::default()
            .encode(&Frame::hello(id), &mut hello)
            .unwrap();
        peer.write(&hello).await;
        assert_eq!(
            soon(peer.read()).await.as_deref(),
            Some(&Frame::hello("engine").bytes()[..])
        );
        peer
    }

    /// Writes all of it, as fast as there is room.
    pub(crate) async fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.transport.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let room = poll_fn(|context| self.transport.poll_writable(context));
                    room.await.unwrap();
                }
                // The one that would read it is gone.
                Err(_) => return,
            }
        }
    }

    /// Writes a byte at a time; the others go on in between.
    pub(crate) async fn trickle(&self, bytes: &[u8]) {
        for byte in bytes {
            breathe().await;
            self.write(&[*byte]).await;
        }
    }

    /// The next frame; `None` at the end of the stream.
    ///
    /// # Panics
    /// When the end comes in the middle of a frame, or as a reset.
    pub(crate) async fn read(&mut self) -> Option<Vec<u8>> {
        let read = self.try_read().await;
        read.expect("no reset")
    }

    /// The next frame; `None` at the end of the stream, `Err` when it was reset.
    pub(crate) async fn try_read(&mut self) -> Result<Option<Vec<u8>>, ErrorKind> {
        loop {
            if let Some(frame) = FrameCodec::default().decode(&mut self.buffer).unwrap() {
                return Ok(Some(frame.bytes().to_vec()));
            }
            let mut some = Vec::with_capacity(4096);
            let read = self.transport.try_read(&mut some);
            self.buffer.extend_from_slice(&some);
            match read {
                Ok(0) => {
                    assert!(self.buffer.is_empty(), "the end in the middle of a frame");
                    return Ok(None);
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let bytes = poll_fn(|context| self.transport.poll_readable(context));
                    bytes.await.unwrap();
                }
                Err(error) => return Err(error.kind()),
            }
        }
    }

    /// The first byte of every frame up to the `BYE`, with which the stream ends. Each is whole.
    pub(crate) async fn read_numbers(&mut self) -> Vec<u8> {
        let mut numbers = Vec::new();
        loop {
            breathe().await;
            let frame = soon(self.read()).await.expect("a BYE before the end");
            if frame == b"BYE" {
                assert_eq!(soon(self.read()).await, None, "nothing behind the BYE");
                return numbers;
            }
            assert_eq!(frame, vec![frame[0]; frame.len()], "one frame, whole");
            numbers.push(frame[0]);
        }
    }
}

/// The number of a frame.
pub(crate) fn number(frame: &Frame) -> u8 {
    frame.bytes()[0]
}
