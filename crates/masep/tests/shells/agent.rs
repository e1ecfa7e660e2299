//! A peer by hand that says whole frames, over any network: in TLS those of protocol 2, elsewhere pymasep's.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use masep::{Address, Protocol};
use masep_proto::protocol2::{Header, kind, preamble};
use socket2::SockRef;

use super::{SOON, frame, masep2};

/// See the [module](self). It acts when it is told to, and at no other time.
#[derive(Debug)]
pub struct Agent<L = Box<dyn Link>> {
    pub stream: L,
    speaks: Protocol,
}

/// A stream to a server, over any network.
pub trait Link: Read + Write + Send {
    fn socket(&self) -> SockRef<'_>;
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn socket(&self) -> SockRef<'_> {
        (**self).socket()
    }
}

impl Link for TcpStream {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

impl Link for UnixStream {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

#[cfg(feature = "tls")]
impl Link for super::foreign::Client {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.sock)
    }
}

/// Connected to a server on this address, over TCP or a Unix socket.
pub(super) fn connect(address: &Address) -> Box<dyn Link> {
    match address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).unwrap()),
        address => {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            Box::new(stream)
        }
    }
}

impl Agent {
    /// Taken by a server whose id is `engine`.
    pub fn join_at(address: &Address, id: &str) -> Self {
        let mut agent = Self::new(connect(address), Protocol::Pymasep);
        agent.say(id);
        agent.expect("engine");
        agent
    }

    /// Taken in protocol 2, after these first bytes.
    pub fn join2(address: &Address, first_bytes: &[u8]) -> Self {
        Self::say_first(connect(address), first_bytes)
    }

    /// The same in TLS over this stream.
    #[cfg(feature = "tls")]
    pub fn in_tls(
        stream: TcpStream,
        authority: &super::authority::Authority,
        first_bytes: &[u8],
    ) -> Self {
        let client = super::foreign::over(stream, authority, &["masep/2"]);
        Self::say_first(Box::new(client), first_bytes)
    }

    fn say_first(link: Box<dyn Link>, first_bytes: &[u8]) -> Self {
        let mut agent = Self::new(link, Protocol::Masep2);
        agent.write(first_bytes);
        let mut answer = [0; preamble::SERVER.len()];
        agent.stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, preamble::SERVER);
        assert_eq!(agent.read_frame().unwrap().0, kind::WELCOME);
        agent
    }
}

impl<L: Link> Agent<L> {
    /// Connected, and silent.
    pub fn new(stream: L, speaks: Protocol) -> Self {
        let socket = stream.socket();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.set_write_timeout(Some(SOON)).unwrap();
        Self { stream, speaks }
    }

    /// Says bare bytes: of protocol 2, where it speaks that.
    pub fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).unwrap();
    }

    fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// A frame as it is said. `BYE` is the end.
    fn frame(&self, body: &[u8]) -> Vec<u8> {
        match (self.speaks, body) {
            (Protocol::Pymasep, body) => frame(body),
            (_, b"BYE") => masep2::bye(),
            (_, body) => masep2::frame(kind::BYTES, body),
        }
    }

    pub fn say(&mut self, body: &(impl AsRef<[u8]> + ?Sized)) {
        self.say_all([body]);
    }

    /// Several frames in one write.
    pub fn say_all(&mut self, bodies: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        let frames = bodies.into_iter().map(|body| self.frame(body.as_ref()));
        let bytes = frames.collect::<Vec<_>>().concat();
        self.write(&bytes);
    }

    /// A frame byte by byte, in TLS each in a record of its own.
    pub fn drip(&mut self, body: &(impl AsRef<[u8]> + ?Sized)) {
        for byte in self.frame(body.as_ref()) {
            self.write(&[byte]);
        }
    }

    /// Says this again and again until that fails.
    pub fn say_until_it_fails(&mut self, body: &[u8]) {
        let bytes = self.frame(body);
        while self.try_write(&bytes).is_ok() {
            std::thread::yield_now();
        }
    }

    /// The next frame, `BYE` with whatever reason; `None` at the end of the stream, which in TLS is one in order, or at a
    /// reset.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        loop {
            let (kind, body) = self.read_frame()?;
            match kind {
                kind::BYTES => return Some(body),
                kind::BYE => return Some(b"BYE".to_vec()),
                kind::PING => {
                    let pong = masep2::frame(kind::PONG, &body);
                    self.write(&pong);
                }
                _ => {}
            }
        }
    }

    /// The next frame of any kind: its kind in protocol 2, and its body.
    pub fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; 8];
        let header = match self.speaks {
            Protocol::Pymasep => &mut header[..2],
            _ => &mut header[..],
        };
        match self.stream.read(&mut header[..1]) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("reading: {error}"),
        }
        self.stream.read_exact(&mut header[1..]).unwrap();
        let (kind, size, whole) = match *header {
            [low, high] => {
                let size = usize::from(u16::from_le_bytes([low, high]));
                (kind::BYTES, size, size)
            }
            _ => {
                let header = Header::read(header).unwrap().unwrap();
                let size = header.size();
                (header.kind, size, size + header.padding())
            }
        };
        let mut body = vec![0; whole];
        self.stream.read_exact(&mut body).unwrap();
        body.truncate(size);
        Some((kind, body))
    }

    /// That this frame is the next.
    #[track_caller]
    pub fn expect(&mut self, body: &(impl AsRef<[u8]> + ?Sized)) {
        let (read, body) = (self.read(), body.as_ref());
        if read.as_deref() != Some(body) {
            let start =
                |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            panic!("{:?}, not {:?}", read.as_deref().map(start), start(body));
        }
    }

    /// That these are the next: the frames that [`fill`](super::fill) has sent.
    #[track_caller]
    pub fn expect_filling(&mut self, frames: usize) {
        for _ in 0..frames {
            self.expect(&[7; 60_000]);
        }
    }

    /// That the stream ends here.
    #[track_caller]
    pub fn expect_end(&mut self) {
        assert_eq!(self.read(), None);
    }

    /// That it is told the end: a `BYE`, and nothing after it.
    #[track_caller]
    pub fn expect_bye(&mut self) {
        self.expect("BYE");
        self.expect_end();
    }

    /// All bytes up to the end of the stream, also if it is a reset.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }

    /// All bytes up to the end of the stream, or the error in place of that.
    pub fn try_rest(&mut self) -> Result<Vec<u8>, ErrorKind> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => Ok(rest),
            Err(error) => Err(error.kind()),
        }
    }

    /// Has the system take little for it: a record of TLS at least, without which each waits for the system's timer.
    pub fn take_little(&self) {
        let little = match self.speaks {
            Protocol::Pymasep => 16 << 10,
            _ => 64 << 10,
        };
        self.stream.socket().set_recv_buffer_size(little).unwrap();
    }

    /// No more bytes of this side, which still reads. In TLS that is a stream that was cut.
    pub fn close_sending_side(&self) {
        self.stream.socket().shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(self) {
        let socket = self.stream.socket();
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}
