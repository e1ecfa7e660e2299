//! A peer made of a bare socket, which can do all that a good peer would not.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::program::framed;
use crate::session::{PATIENCE, Session};

/// A connected socket that speaks frames only when told to.
pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
}

/// The next part of a stream of frames.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Frame(Vec<u8>),
    End,
    Reset,
}

impl Socket {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        stream.set_write_timeout(Some(PATIENCE)).expect("an option");
        stream.set_nodelay(true).expect("an option");
        Self { stream }
    }

    /// Connected, and silent.
    pub(crate) fn connect(address: impl ToSocketAddrs) -> Self {
        Self::new(TcpStream::connect(address).expect("somebody listens"))
    }

    /// Connected to `engine`, and through the handshake.
    pub(crate) fn join(address: impl ToSocketAddrs, id: &str) -> Self {
        let mut socket = Self::connect(address);
        socket.send(id);
        socket.expect("engine");
        socket
    }

    /// As [`join`](Self::join), with little room for what this side does not read.
    pub(crate) fn join_narrow(address: &str, id: &str) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.set_recv_buffer_size(8_192).expect("an option");
        let address: SocketAddr = address.parse().expect("an address");
        socket.connect(&address.into()).expect("somebody listens");
        let mut socket = Self::new(socket.into());
        socket.send(id);
        socket.expect("engine");
        socket
    }

    /// The next connection, and silent.
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        Self::new(listener.accept().expect("somebody connects").0)
    }

    /// The next connection, through the handshake as `engine`; with the client's id.
    pub(crate) fn welcome(listener: &TcpListener) -> (Self, String) {
        let mut socket = Self::accept(listener);
        let Heard::Frame(id) = socket.hear() else {
            panic!("no hello");
        };
        socket.send("engine");
        (socket, String::from_utf8(id).expect("text"))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the other side reads");
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, body: impl AsRef<[u8]>) {
        self.write(&framed(body));
    }

    /// The next frame, or the end.
    pub(crate) fn hear(&mut self) -> Heard {
        let mut header = [0; 2];
        match self.stream.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Heard::End,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Heard::Reset,
            Err(error) => panic!("{error}"),
        }
        let mut body = vec![0; usize::from(u16::from_le_bytes(header))];
        self.stream.read_exact(&mut body).expect("a whole frame");
        Heard::Frame(body)
    }

    /// The next frame, or the end; `None` if the stream ended in the middle of a frame.
    pub(crate) fn try_hear(&mut self) -> Option<Heard> {
        let mut header = [0; 2];
        self.stream.read_exact(&mut header).ok()?;
        let mut body = vec![0; usize::from(u16::from_le_bytes(header))];
        self.stream.read_exact(&mut body).ok()?;
        Some(Heard::Frame(body))
    }

    /// That the next frame is this one.
    pub(crate) fn expect(&mut self, body: impl AsRef<[u8]>) {
        assert_eq!(self.hear(), Heard::Frame(body.as_ref().to_vec()));
    }

    /// That the other side says `BYE`, and closes.
    pub(crate) fn expect_bye(&mut self) {
        self.expect("BYE");
        assert_eq!(self.hear(), Heard::End);
    }

    /// Closes with a reset instead of an orderly end.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("an option");
    }
}

/// A server made of a bare listener.
pub(crate) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// An interface in pymasep's protocol with the id `agent`, that is read and connected to a bare socket.
pub(crate) fn join(options: &[&str]) -> (Session, Socket) {
    let (listener, address) = listen();
    join_at(&listener, address, options)
}

/// The same, where a test listens.
pub(crate) fn join_at(
    listener: &TcpListener,
    address: SocketAddr,
    options: &[&str],
) -> (Session, Socket) {
    let mut interface = start_join(address, options);
    let (server, id) = Socket::welcome(listener);
    assert_eq!(id, "agent");
    interface.event("connected");
    (interface, server)
}

/// The same, before it has said anything.
pub(crate) fn start_join(address: SocketAddr, options: &[&str]) -> Session {
    let (verb, address) = (["join", "--protocols", "pymasep"], address.to_string());
    Session::start(&[&verb[..], &[&address, "--id", "agent"], options].concat())
}

/// As [`listen`], with little room for what this side does not read.
pub(crate) fn listen_narrow() -> (TcpListener, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    socket.set_recv_buffer_size(8_192).expect("an option");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a free port");
    socket.listen(16).expect("it listens");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// An address where nobody listens. While the listener lives, nobody else can either.
pub(crate) fn nobody() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a free port");
    let address = socket.local_addr().expect("an address");
    let address = address.as_socket().expect("an IP address");
    (socket, address)
}
