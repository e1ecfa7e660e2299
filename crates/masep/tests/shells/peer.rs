//! A peer made of a bare socket, which can do all that a good peer would not.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::SOON;

/// A connected socket that speaks frames only when told to.
#[derive(Debug)]
pub struct Peer {
    pub stream: TcpStream,
}

pub fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

impl Peer {
    pub fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        Self { stream }
    }

    /// Connected, and silent.
    pub fn connect(address: impl ToSocketAddrs) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    /// Connected, and through the handshake.
    pub fn join(address: impl ToSocketAddrs, id: &str) -> Self {
        let mut peer = Self::connect(address);
        peer.write(&frame(id.as_bytes()));
        peer.expect(b"engine");
        peer
    }

    /// Connected to a server that sends frames back, as soon as it has a place: with async, that of one before is free a
    /// moment after its end.
    pub fn join_when_free(address: impl ToSocketAddrs, id: &str) -> Self {
        for _ in 0..1_000 {
            let mut peer = Self::join(&address, id);
            // One that is refused may be reset.
            let _ = peer.stream.write_all(&frame(b"free?"));
            if peer.read().as_deref() == Some(b"free?") {
                return peer;
            }
        }
        panic!("there is no place");
    }

    /// The other end of a connection to `listener`, after the hello of `agent`.
    pub fn accept(listener: &TcpListener) -> Self {
        let mut peer = Self::of(listener.accept().unwrap().0);
        peer.expect(b"agent");
        peer
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next frame, or `None` at the end of the stream.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let mut header = [0; 2];
        match self.stream.read(&mut header[..1]) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("reading: {error}"),
        }
        self.stream.read_exact(&mut header[1..]).unwrap();
        let mut body = vec![0; usize::from(u16::from_le_bytes(header))];
        self.stream.read_exact(&mut body).unwrap();
        Some(body)
    }

    /// That this frame is the next.
    #[track_caller]
    pub fn expect(&mut self, body: &[u8]) {
        let read = self.read();
        if read.as_deref() != Some(body) {
            let start =
                |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            panic!("{:?}, not {:?}", read.as_deref().map(start), start(body));
        }
    }

    /// That the stream ends here.
    #[track_caller]
    pub fn expect_end(&mut self) {
        assert_eq!(self.read(), None);
    }

    /// That the peer is told the end: a `BYE`, and nothing after it.
    #[track_caller]
    pub fn expect_bye(&mut self) {
        self.expect(b"BYE");
        self.expect_end();
    }

    /// That it is refused: told with our hello and a `BYE`.
    #[track_caller]
    pub fn expect_refusal(&mut self) {
        self.expect(b"engine");
        self.expect_bye();
    }

    /// All bytes up to the end of the stream, also if it is a reset.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }

    /// No more bytes of this side, which still reads.
    pub fn close_sending_side(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

/// A server made of a bare listener.
pub fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
