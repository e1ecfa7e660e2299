//! A peer made of a bare socket, which can do all that a good peer would not.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::thread;

use masep::{Protocol, Protocols};
use socket2::{Domain, Socket, Type};

use super::{Agent, Client, Options, Shell};

/// A connected socket that speaks frames of pymasep's protocol only when told to.
pub type Peer = Agent<TcpStream>;

pub fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

impl Peer {
    pub fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self::new(stream, Protocol::Pymasep)
    }

    /// Connected, and silent.
    pub fn connect(address: impl ToSocketAddrs) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    /// Connected, and through the handshake.
    pub fn join(address: impl ToSocketAddrs, id: &str) -> Self {
        let mut peer = Self::connect(address);
        peer.say(id);
        peer.expect("engine");
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
        peer.expect("agent");
        peer
    }

    /// That it is refused: told with our hello and a `BYE`.
    #[track_caller]
    pub fn expect_refusal(&mut self) {
        self.expect("engine");
        self.expect_bye();
    }
}

impl Shell {
    /// A client in pymasep's protocol, and the peer by hand that is its server: it has said hello, and this in the same write.
    pub fn client_of_peer(
        self,
        options: impl Into<Options>,
        behind_hello: &[u8],
    ) -> (Box<dyn Client>, Peer) {
        let (listener, address) = listen();
        let options = options.into().protocols(Protocols::Pymasep);
        let connecting = thread::spawn(move || self.connect("agent", address, options));
        let mut peer = Peer::accept(&listener);
        peer.write(&[&frame(b"engine")[..], behind_hello].concat());
        (connecting.join().unwrap().unwrap(), peer)
    }
}

/// An address where nobody listens. While the socket lives, nobody is given it by the system, and who asks for it by name
/// can listen there.
pub fn nobody() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A server made of a bare listener.
pub fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
