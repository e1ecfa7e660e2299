//! The bytes of protocol 2, for peers that are bare sockets.

use masep_proto::protocol2::{Bye, Control, Header, Hello, Welcome, kind, preamble};

/// A frame of protocol 2.
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header::new(kind, u32::try_from(payload.len()).unwrap());
    let mut bytes = [&header.to_bytes()[..], payload].concat();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// The end, without a reason.
pub fn bye() -> Vec<u8> {
    let bye = Control::Bye(Bye::new(Bye::PLAIN, ""));
    frame(kind::BYE, &bye.encode().unwrap())
}

/// The first bytes of a client with this id, which takes payloads of 1 MiB.
pub fn first_bytes(id: &str) -> Vec<u8> {
    first_bytes_of(Hello::new(id.into(), 1 << 20))
}

/// The first bytes of a client that says this.
pub fn first_bytes_of(hello: Hello) -> Vec<u8> {
    let hello = Control::Hello(Box::new(hello));
    let payload = hello.encode().unwrap();
    [preamble::CLIENT, &frame(hello.kind(), &payload)[..]].concat()
}

/// The first bytes of a server with this id.
pub fn first_bytes_of_server(id: &str) -> Vec<u8> {
    let welcome = Control::Welcome(Box::new(Welcome::new(id.into(), 1 << 20)));
    let payload = welcome.encode().unwrap();
    [preamble::SERVER, &frame(welcome.kind(), &payload)[..]].concat()
}
