//! A peer that makes records of TLS by hand: first those of the handshake in the clear, then, with the keys of one that
//! rustls has made, any that nobody would make.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};

use masep::tls::rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use masep::tls::rustls::{
    self, ConnectionTrafficSecrets, ContentType, ExtractedSecrets, ProtocolVersion,
    SupportedCipherSuite,
};

use crate::authority::{Authority, Server};
use crate::foreign::{self, HELLO};

/// The most payload of a record.
pub(crate) const RECORD: usize = 16 * 1024;

/// A peer behind its handshake, from which on it makes each record itself.
pub(crate) struct Forger {
    pub(crate) stream: TcpStream,
    encrypter: Box<dyn MessageEncrypter>,
    next: u64,
}

impl Forger {
    /// A client of a server of this authority. It has said its first bytes in protocol 2, or not yet.
    pub(crate) fn connect(address: SocketAddr, authority: &Authority, says_hello: bool) -> Self {
        let mut client = foreign::connect_telling_secrets(address, authority);
        if says_hello {
            client.write_all(HELLO).unwrap();
        }
        while client.conn.is_handshaking() || client.conn.wants_write() {
            client.conn.complete_io(&mut client.sock).unwrap();
        }
        let suite = client.conn.negotiated_cipher_suite().unwrap();
        let (connection, stream) = client.into_parts();
        Self::new(stream, suite, connection.dangerous_extract_secrets())
    }

    /// A server with this certificate, of one client, which it has told nothing.
    pub(crate) fn accept(listener: &TcpListener, certificate: &Server) -> Self {
        let mut server = foreign::accept(listener, certificate, &["masep/2"]);
        while server.conn.is_handshaking() {
            server.conn.complete_io(&mut server.sock).unwrap();
        }
        let suite = server.conn.negotiated_cipher_suite().unwrap();
        let (connection, stream) = server.into_parts();
        Self::new(stream, suite, connection.dangerous_extract_secrets())
    }

    fn new(
        stream: TcpStream,
        suite: SupportedCipherSuite,
        secrets: Result<ExtractedSecrets, rustls::Error>,
    ) -> Self {
        let (next, secrets) = secrets.unwrap().tx;
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            panic!("keys of another kind")
        };
        Self {
            stream,
            encrypter: suite.tls13().unwrap().aead_alg.encrypter(key, iv),
            next,
        }
    }

    /// Sends records of these kinds in one write.
    pub(crate) fn say(&mut self, records: &[(u8, &[u8])]) {
        let records = records.iter();
        let bytes = records.flat_map(|(kind, payload)| self.record(*kind, payload));
        let bytes: Vec<u8> = bytes.collect();
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next record, of this kind.
    fn record(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ: ContentType::from(kind),
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::Single(payload),
        };
        let record = self.encrypter.encrypt(message, self.next).unwrap();
        self.next += 1;
        record.encode()
    }

    /// Sends so many of the same, many at once, until the server takes no more. Gives the bytes that were sent.
    pub(crate) fn flood(&mut self, kind: u8, payload: &[u8], count: usize) -> usize {
        let (mut left, mut sent) = (count, 0);
        while left > 0 {
            let some = left.min(500);
            let records: Vec<u8> = (0..some).flat_map(|_| self.record(kind, payload)).collect();
            if self.stream.write_all(&records).is_err() {
                break;
            }
            sent += records.len();
            left -= some;
        }
        sent
    }
}

/// A whole message of a server that gives a ticket.
pub(crate) fn ticket() -> Vec<u8> {
    let content = [&[0; 8][..], &[1, 7, 0, 32], &[7; 32], &[0; 2]].concat();
    let size = u8::try_from(content.len()).unwrap();
    [&[4, 0, 0, size], &content[..]].concat()
}

/// The first message of a client, without the header of its record.
pub(crate) fn client_hello(authority: &Authority) -> Vec<u8> {
    foreign::first_record(authority)[5..].to_vec()
}

/// The first message with an extension more, of this kind.
pub(crate) fn with_extension(client_hello: &[u8], kind: u16, content: &[u8]) -> Vec<u8> {
    let number = |at: usize| usize::from(client_hello[at]) << 8 | usize::from(client_hello[at + 1]);
    // Type and length, version, random, session, suites, compression.
    let session = 4 + 2 + 32;
    let suites = session + 1 + usize::from(client_hello[session]);
    let compression = suites + 2 + number(suites);
    let extensions = compression + 1 + usize::from(client_hello[compression]);
    assert_eq!(extensions + 2 + number(extensions), client_hello.len());
    let mut message = client_hello.to_vec();
    message.extend(kind.to_be_bytes());
    message.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
    message.extend(content);
    let size = u16::try_from(message.len() - extensions - 2).unwrap();
    message[extensions..][..2].copy_from_slice(&size.to_be_bytes());
    let size = u32::try_from(message.len() - 4).unwrap();
    message[1..4].copy_from_slice(&size.to_be_bytes()[1..]);
    message
}

/// A message in records in the clear, each with so much of it.
pub(crate) fn in_records(kind: u8, message: &[u8], piece: usize) -> Vec<u8> {
    let record = |part: &[u8]| {
        let size = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[kind, 3, 1, size[0], size[1]], part].concat()
    };
    message.chunks(piece).flat_map(record).collect()
}
