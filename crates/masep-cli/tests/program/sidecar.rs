//! `masep proxy` between bare sockets that speak pymasep's protocol.

use std::cell::Cell;
use std::net::{SocketAddr, TcpListener};

use masep::{Action, Dict, Element, Message, Role, TypeName};

use crate::session::Session;
use crate::socket::{Socket, listen};

pub(crate) const GAME: &str = "pkg.mod.Game";

pub(crate) fn bytes(message: &Message) -> Vec<u8> {
    message.to_bytes().expect("a message").to_vec()
}

pub(crate) fn define(id: &str) -> Vec<u8> {
    bytes(&Message::define(id, TypeName::from(GAME)))
}

pub(crate) fn register(id: &str, role: Role) -> Vec<u8> {
    bytes(&Message::register(id, id, 0, role))
}

pub(crate) fn action(id: &str) -> Vec<u8> {
    bytes(&Message::action(id, Action::new(1).with("step", (1, 0))))
}

pub(crate) fn quit(id: &str) -> Vec<u8> {
    bytes(&Message::quit(id))
}

/// An observation of about this size, by which it is known.
pub(crate) fn observation(size: usize) -> Vec<u8> {
    let state = format!("<State name=\"State\" filler=\"{}\" />", "x".repeat(size));
    let state = Element::parse(state).expect("an element");
    bytes(&Message::observation("engine", state.into(), Dict::new()))
}

pub(crate) fn end() -> Vec<u8> {
    bytes(&Message::end("engine"))
}

/// The words of a client arrive at the engine.
pub(crate) fn goes(interface: &mut Socket, at_engine: &mut Socket, message: &[u8]) {
    interface.send(message);
    at_engine.expect(message);
}

/// An engine made of a bare listener.
pub(crate) struct Engine {
    pub(crate) listener: TcpListener,
    /// It has shown something, so that it is told of no DEFINE any more.
    has_shown: Cell<bool>,
}

impl Engine {
    fn new() -> (Self, SocketAddr) {
        let (listener, address) = listen();
        let has_shown = Cell::new(false);
        (
            Self {
                listener,
                has_shown,
            },
            address,
        )
    }

    /// An interface that has come through to the engine, and its other end there.
    fn join(&self, address: &str, id: &str) -> (Socket, Socket) {
        let mut interface = Socket::connect(address);
        interface.send(id);
        let (at_engine, said) = Socket::welcome(&self.listener);
        assert_eq!(said, id);
        interface.expect("engine");
        (interface, at_engine)
    }

    /// The same, registered and shown something.
    fn play(&self, address: &str, id: &str, role: Role) -> (Socket, Socket) {
        let (mut interface, mut at_engine) = self.join(address, id);
        interface.send(define(id));
        if !self.has_shown.replace(true) {
            at_engine.expect(define(id));
        }
        goes(&mut interface, &mut at_engine, &register(id, role));
        at_engine.send(observation(1));
        interface.expect(observation(1));
        (interface, at_engine)
    }
}

/// A proxy before an engine, to which interfaces come.
pub(crate) struct Guarded {
    pub(crate) engine: Engine,
    pub(crate) proxy: Session,
    pub(crate) address: String,
}

impl Guarded {
    pub(crate) fn new(options: &[&str]) -> Self {
        let (engine, to) = Engine::new();
        let (proxy, address) = at_engine(to, "127.0.0.1:0", options);
        Self {
            engine,
            proxy,
            address,
        }
    }

    pub(crate) fn join(&self, id: &str) -> (Socket, Socket) {
        self.engine.join(&self.address, id)
    }

    pub(crate) fn play(&self, id: &str, role: Role) -> (Socket, Socket) {
        self.engine.play(&self.address, id, role)
    }

    /// The interface of one whose connection the engine still has.
    pub(crate) fn come_back(&self, id: &str, role: Role) -> Socket {
        let mut interface = Socket::join(&self.address, id);
        for message in [define(id), register(id, role)] {
            interface.send(message);
        }
        interface
    }

    /// The codes of the next messages that do not go through.
    pub(crate) fn denied(&mut self, number: usize) -> Vec<String> {
        let next = |_| self.proxy.until("denied")["code"].clone();
        let codes = (0..number).map(next);
        codes
            .map(|code| code.as_str().expect("text").to_owned())
            .collect()
    }
}

/// Both proxies before an engine.
pub(crate) struct Sidecar {
    pub(crate) engine: Engine,
    pub(crate) far: Session,
    pub(crate) far_address: String,
    pub(crate) near: Session,
    pub(crate) address: String,
}

impl Sidecar {
    pub(crate) fn new(options: &[&str]) -> Self {
        let (engine, to) = Engine::new();
        let (far, far_address) = at_engine(to, "masep://127.0.0.1:0", options);
        let (near, address) = at_interface(&far_address);
        Self {
            engine,
            far,
            far_address,
            near,
            address,
        }
    }

    pub(crate) fn join(&self, id: &str) -> (Socket, Socket) {
        self.engine.join(&self.address, id)
    }

    pub(crate) fn play(&self, id: &str, role: Role) -> (Socket, Socket) {
        self.engine.play(&self.address, id, role)
    }
}

/// A proxy before the engine there, and its address.
pub(crate) fn at_engine(to: SocketAddr, listen: &str, options: &[&str]) -> (Session, String) {
    let to = to.to_string();
    let mut args = vec!["proxy", "--json", "--listen", listen, "--to", &to];
    args.extend(["--game", GAME, "--actors", "2", "--no-reach-check"]);
    args.extend(options);
    let mut far = Session::start(&args);
    let address = far.address();
    (far, address)
}

/// A proxy for interfaces before the one there, and its address.
pub(crate) fn at_interface(far: &str) -> (Session, String) {
    let to = format!("masep://{far}");
    let mut near = Session::start(&["proxy", "--json", "--listen", "127.0.0.1:0", "--to", &to]);
    let address = near.address();
    (near, address)
}
