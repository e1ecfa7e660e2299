//! Peers that speak TLS by rustls alone, and do what no masep peer would.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;

use masep::tls::rustls::client::WebPkiServerVerifier;
use masep::tls::rustls::pki_types::pem::PemObject;
use masep::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use masep::tls::rustls::server::NoClientAuth;
use masep::tls::rustls::server::danger::ClientCertVerifier;
use masep::tls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
};

use super::SOON;
use super::authority::{Authority, Server};

/// A client of TLS.
pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;

/// The first bytes of a client of protocol 2: `masep/2`, BYE, nothing; and a HELLO of the id `foreign`.
pub(crate) const HELLO: &[u8] = b"\x07\0masep/2\x03\0BYE\0\0\
    \x2c\x00\x00\x00\x01\x00\x00\x00\xa5av\x82\x02\x02bidgforeigncmax\x1a\x00\x10\x00\x00hfeatures\x80eagentax\x00\x00\x00\x00";

fn connected(address: impl ToSocketAddrs) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Connects to a server of this authority, and names these protocols.
pub(crate) fn connect(address: impl ToSocketAddrs, authority: &Authority, alpn: &[&str]) -> Client {
    over(connected(address), authority, alpn)
}

/// The same over this stream.
pub(crate) fn over(stream: TcpStream, authority: &Authority, alpn: &[&str]) -> Client {
    speak(stream, config(authority, alpn))
}

/// The same, of a client that gives its keys away.
pub(crate) fn connect_telling_secrets(
    address: impl ToSocketAddrs,
    authority: &Authority,
) -> Client {
    let mut config = config(authority, &["masep/2"]);
    config.enable_secret_extraction = true;
    speak(connected(address), config)
}

fn speak(stream: TcpStream, config: ClientConfig) -> Client {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, stream)
}

fn config(authority: &Authority, alpn: &[&str]) -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(authority.pem().as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_webpki_verifier(verifier.build().unwrap())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Takes one connection with this certificate, and names these protocols.
pub(crate) fn accept(
    listener: &TcpListener,
    certificate: &Server,
    alpn: &[&str],
) -> StreamOwned<ServerConnection, TcpStream> {
    accept_with(listener, certificate, alpn, Arc::new(NoClientAuth))
}

/// The same, and asks for a certificate of the client.
pub(crate) fn accept_asking(
    listener: &TcpListener,
    certificate: &Server,
    verifier: Arc<dyn ClientCertVerifier>,
) -> StreamOwned<ServerConnection, TcpStream> {
    accept_with(listener, certificate, &["masep/2"], verifier)
}

fn accept_with(
    listener: &TcpListener,
    certificate: &Server,
    alpn: &[&str],
    verifier: Arc<dyn ClientCertVerifier>,
) -> StreamOwned<ServerConnection, TcpStream> {
    let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    // For those that go on by hand.
    config.enable_secret_extraction = true;
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let connection = ServerConnection::new(Arc::new(config)).unwrap();
    StreamOwned::new(connection, stream)
}

/// The first bytes of a client.
pub(crate) fn first_record(authority: &Authority) -> Vec<u8> {
    let config = Arc::new(config(authority, &["masep/2"]));
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut connection = ClientConnection::new(config, name).unwrap();
    let mut first = Vec::new();
    connection.write_tls(&mut first).unwrap();
    first
}

/// All that comes until the end, or until an error.
pub(crate) fn rest(stream: &mut impl Read) -> (Vec<u8>, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).err();
    (bytes, error.map(|error| error.kind()))
}

/// Stands between a client and a server, and forwards so many bytes of each side at most, in pieces of this size; then it
/// ends both streams.
pub(crate) fn relay(
    listener: TcpListener,
    to: impl ToSocketAddrs,
    (from_client, from_server): (usize, usize),
    piece: usize,
) -> std::thread::JoinHandle<()> {
    let to = to.to_socket_addrs().unwrap().next().unwrap();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = connected(to);
        client.set_nodelay(true).unwrap();
        let end = |stream: &TcpStream| drop(stream.shutdown(Shutdown::Both));
        std::thread::scope(|scope| {
            let forward = |mut from: &TcpStream, mut to: &TcpStream, most: usize| {
                let mut buffer = vec![0; piece];
                let mut left = most;
                while left > 0 {
                    let wanted = left.min(piece);
                    match from.read(&mut buffer[..wanted]) {
                        Ok(0) | Err(_) => {
                            // The end is carried too.
                            let _ = to.shutdown(Shutdown::Write);
                            return;
                        }
                        Ok(read) => {
                            if to.write_all(&buffer[..read]).is_err() {
                                break;
                            }
                            left -= read;
                        }
                    }
                }
                end(from);
                end(to);
            };
            let (client, server) = (&client, &server);
            scope.spawn(move || forward(client, server, from_client));
            forward(server, client, from_server);
        });
    })
}
