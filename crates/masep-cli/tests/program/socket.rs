//! A peer made of a bare socket, which can do all that a good peer would not.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::run::framed;
use crate::session::{PATIENCE, Session, serve, tap_unread};

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
        Self::connect(address).through_the_handshake(id)
    }

    /// As [`join`](Self::join), with little room for what this side does not read.
    pub(crate) fn join_narrow(address: &str, id: &str) -> Self {
        let socket = narrow();
        let address: SocketAddr = address.parse().expect("an address");
        socket.connect(&address.into()).expect("somebody listens");
        Self::new(socket.into()).through_the_handshake(id)
    }

    fn through_the_handshake(mut self, id: &str) -> Self {
        self.send(id);
        self.expect("engine");
        self
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

    /// Sends frames until no more are taken for three seconds: everything between this peer and those who do not read is
    /// full then.
    pub(crate) fn fill(&mut self, frame: &[u8]) {
        let soon = Some(Duration::from_secs(3));
        self.stream.set_write_timeout(soon).expect("an option");
        while self.stream.write_all(frame).is_ok() {}
        let patience = Some(PATIENCE);
        self.stream.set_write_timeout(patience).expect("an option");
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
        Heard::Frame(self.body(header).expect("a whole frame"))
    }

    /// The next frame; `None` at the end of the stream, also in the middle of a frame.
    pub(crate) fn try_hear(&mut self) -> Option<Vec<u8>> {
        let mut header = [0; 2];
        self.stream.read_exact(&mut header).ok()?;
        self.body(header).ok()
    }

    fn body(&mut self, header: [u8; 2]) -> io::Result<Vec<u8>> {
        let mut body = vec![0; usize::from(u16::from_le_bytes(header))];
        self.stream.read_exact(&mut body).map(|()| body)
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

/// A server that is read, and a bare socket that is connected to it with this id, of which the server has told.
pub(crate) fn serve_peer(id: &str, options: &[&str]) -> (Session, Socket) {
    let (mut server, address) = serve(options);
    let peer = Socket::join(&address, id);
    server.event("connected");
    (server, peer)
}

/// A `masep tap` that is read, and the client and the server that it is between.
pub(crate) fn tapped(options: &[&str]) -> (Session, Socket, Socket) {
    let (mut tap, client, server) = tapped_unread(options);
    tap.read();
    (tap, client, server)
}

/// The same, whose standard output nobody reads beyond its first line.
pub(crate) fn tapped_unread(options: &[&str]) -> (Session, Socket, Socket) {
    let (listener, to) = listen();
    let (tap, address) = tap_unread(to, options);
    let client = Socket::connect(address);
    (tap, client, Socket::accept(&listener))
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
    let socket = narrow();
    let address = bind(&socket);
    socket.listen(16).expect("it listens");
    (socket.into(), address)
}

/// An address where nobody listens. While the socket lives, nobody is given it by the system, and who asks for it by name
/// can listen there.
pub(crate) fn nobody() -> (socket2::Socket, SocketAddr) {
    let socket = bare();
    socket.set_reuse_address(true).expect("an option");
    let address = bind(&socket);
    (socket, address)
}

fn bare() -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    socket.expect("a socket")
}

/// A socket with little room for what this side does not read.
fn narrow() -> socket2::Socket {
    let socket = bare();
    socket.set_recv_buffer_size(8_192).expect("an option");
    socket
}

/// Gives a socket a free port.
fn bind(socket: &socket2::Socket) -> SocketAddr {
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a free port");
    let address = socket.local_addr().expect("an address");
    address.as_socket().expect("an IP address")
}
