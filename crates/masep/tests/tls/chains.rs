//! Certificates above a server's, those of clients, and tickets.

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use masep::tls::CertificateFault::{Expired, Issuer, NotYetValid};
use masep::tls::rustls::RootCertStore;
use masep::tls::rustls::crypto::ring;
use masep::tls::rustls::pki_types::CertificateDer;
use masep::tls::rustls::pki_types::pem::PemObject;
use masep::tls::rustls::server::WebPkiClientVerifier;
use masep::tls::{ClientTls, TlsFault};
use masep::{Address, ConnectError, ConnectErrorKind};
use masep_proto::proxy_protocol::Origin;

use crate::authority::{Authority, Server, Validity};
use crate::foreign::{self, HELLO};
use crate::forger::{Forger, ticket};
use crate::shells::masep2::first_bytes_of_server;
use crate::shells::{
    Client, Network, Options, Peer, SOON, Shell, accept, listen, network_authority, of_each_pair,
    of_each_shell,
};

of_each_pair! {
    the_chain_of_a_server_is_looked_at_to_the_end
}

of_each_shell! {
    a_server_that_asks_for_a_certificate_is_an_error
    tickets_without_end_keep_no_call_from_its_time
    behind_a_header_of_the_proxy_protocol_there_is_tls
}

fn connect(
    shell: Shell,
    address: impl std::fmt::Display,
    trusted: ClientTls,
) -> Result<Box<dyn Client>, ConnectError> {
    let options = Options::default().client_tls(trusted);
    shell.connect("agent", format!("masep+tls://{address}"), options)
}

fn the_chain_of_a_server_is_looked_at_to_the_end(server: Shell, client: Shell) {
    const NAMES: &[&str] = &["127.0.0.1"];
    let root = Authority::new();
    let [good, late, early] =
        [Validity::Now, Validity::Over, Validity::Later].map(|validity| root.below(validity));
    let deep = good.below(Validity::Now);
    let served = |authority: &Authority| authority.server(NAMES);
    let of = |chain: String, server: &Server| Server {
        chain,
        key: server.key.clone(),
    };
    let leaf = |server: &Server| {
        let end = server.chain.find("-----END CERTIFICATE-----\n").unwrap();
        server.chain[..end + "-----END CERTIFICATE-----\n".len()].to_owned()
    };
    let (by_good, by_deep) = (served(&good), served(&deep));
    let above = |server: &Server, above: String| of(server.chain.clone() + &above, server);
    let only = |server: &Server, above: String| of(leaf(server) + &above, server);
    let beside = late.pem() + &deep.pem() + &root.pem();
    let (hundred, in_vain) = (good.pem().repeat(100), deep.pem().repeat(100));
    let cases = [
        ("one above", by_good.clone(), None),
        ("its time is over", served(&late), Some(Expired)),
        ("its time has not begun", served(&early), Some(NotYetValid)),
        ("it is missing", only(&by_good, String::new()), Some(Issuer)),
        ("two above", above(&by_deep, good.pem()), None),
        (
            "in any order",
            only(&by_deep, good.pem() + &deep.pem()),
            None,
        ),
        ("one of two is missing", by_deep.clone(), Some(Issuer)),
        ("others beside it", above(&by_good, beside), None),
        ("a hundred times", only(&by_good, hundred), None),
        ("a hundred in vain", only(&by_deep, in_vain), Some(Issuer)),
    ];
    for (what, certificate, expected) in cases {
        let host = server.serve(Options::default().server_tls(certificate.tls()));
        let outcome = connect(client, host.address(), root.trusted());
        let found = outcome.map(drop).err().map(|error| match error.kind {
            ConnectErrorKind::Tls(TlsFault::Certificate(fault)) => fault,
            other => panic!("{what}: {other}"),
        });
        assert_eq!(found, expected, "{what}");
    }
    // The hash is that of the root, which the server sends at the end.
    let certificate = above(&by_good, root.pem());
    let host = server.serve(Options::default().server_tls(certificate.tls()));
    let by_hash = ClientTls::new().ca_sha256(root.sha256());
    connect(client, host.address(), by_hash).unwrap();
}

/// No client of masep has a certificate.
fn a_server_that_asks_for_a_certificate_is_an_error(shell: Shell) {
    let authority = Authority::new();
    let certificate = authority.server(&["127.0.0.1"]);
    for is_needed in [true, false] {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = match is_needed {
            true => verifier,
            false => verifier.allow_unauthenticated(),
        };
        let (listener, address) = listen();
        let certificate = certificate.clone();
        let server = thread::spawn(move || {
            let verifier = verifier.build().unwrap();
            let mut server = foreign::accept_asking(&listener, &certificate, verifier);
            while server.conn.is_handshaking() {
                if server.conn.complete_io(&mut server.sock).is_err() {
                    return false;
                }
            }
            // It says nothing, and the client leaves.
            server.sock.set_read_timeout(None).unwrap();
            foreign::rest(&mut server);
            true
        });
        // The time is over for one that is told nothing, and for no other on a machine that is busy.
        let hello_time = if is_needed {
            SOON
        } else {
            Duration::from_secs(3)
        };
        let options = Options::from(masep::Limits::default().hello_time(hello_time));
        let options = options.client_tls(authority.trusted());
        let refused = shell.connect("agent", format!("masep+tls://{address}"), options);
        let kind = refused.map(drop).unwrap_err().kind;
        if is_needed {
            // certificate_required.
            assert!(
                matches!(kind, ConnectErrorKind::Tls(TlsFault::Alert(116))),
                "{kind}"
            );
        } else {
            assert!(matches!(kind, ConnectErrorKind::TimedOut(_)), "{kind}");
        }
        assert_eq!(server.join().unwrap(), !is_needed);
    }
}

/// A client that waits for a frame no longer than it wants to, whatever its server sends that is none.
fn tickets_without_end_keep_no_call_from_its_time(shell: Shell) {
    let authority = Authority::new();
    let certificate = authority.server(&["127.0.0.1"]);
    let (listener, address) = listen();
    let server = thread::spawn(move || {
        let mut forger = Forger::accept(&listener, &certificate);
        forger.say(&[(23, &first_bytes_of_server("engine"))]);
        while forger.flood(22, &ticket(), 10_000) > 0 {}
    });
    let client = connect(shell, address, authority.trusted()).unwrap();
    for _ in 0..5 {
        let received = client.connection().recv_within(Duration::from_millis(20));
        assert_eq!(received, None);
    }
    client.connection().bye();
    server.join().unwrap();
}

fn behind_a_header_of_the_proxy_protocol_there_is_tls(shell: Shell) {
    let side = shell.over(Network::Tls);
    let server = side.serve(Options::default().proxy_protocol(true));
    let source: std::net::SocketAddr = "[2001:db8::7]:56324".parse().unwrap();
    let origin = Origin::Client {
        source,
        destination: "[2001:db8::2]:60443".parse().unwrap(),
    };
    for header in [origin.to_text(), origin.to_binary()] {
        for piece in [1, header.len()] {
            let mut peer = Peer::connect(server.address());
            peer.stream.set_nodelay(true).unwrap();
            header.chunks(piece).for_each(|bytes| peer.write(bytes));
            let mut client = foreign::over(peer.stream, network_authority(), &["masep/2"]);
            client.write_all(HELLO).unwrap();
            client.flush().unwrap();
            let connection = accept(&*server);
            assert_eq!(connection.address(), Address::Tcp(source));
            connection.bye();
            foreign::rest(&mut client);
        }
    }
    // One that begins with TLS is none of the balancer's.
    let mut client = foreign::connect(
        server.address().tcp().unwrap(),
        network_authority(),
        &["masep/2"],
    );
    let _until_it_is_closed = client.write_all(HELLO);
    let (heard, _) = foreign::rest(&mut client.sock);
    assert!(heard.is_empty(), "{heard:?}");
    assert!(!server.registry().is_connection_registered("foreign"));
}
