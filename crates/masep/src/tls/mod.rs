//! TLS of connections: who a server is, and whom a client trusts. Behind the feature `tls`.
//!
//! A server gets a certificate and its key by [`ServerBuilder::tls`](crate::ServerBuilder::tls). A client connects to
//! `masep+tls://HOST:PORT`, and trusts the system's authorities unless [`ClientBuilder::tls`](crate::ClientBuilder::tls)
//! says whom else. It is TLS 1.3, with protocol 2 inside (`masep/2` by ALPN on both sides), without early data and
//! without resumption. pymasep's protocol never goes through TLS.
//!
//! ```no_run
//! use masep::tls::{ClientTls, ServerTls};
//! use masep::{Client, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder("engine")
//!     .tls(ServerTls::files("server.pem", "server.key"))
//!     .bind("0.0.0.0:60443")
//!     .await?;
//! let client = Client::builder("agent")
//!     .tls(ClientTls::new().ca_file("ca.pem"))
//!     .connect("masep+tls://engine.lan:60443")
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! The cryptography is that of a [`CryptoProvider`] of rustls, by default ring's with AES-128-GCM in front of the other cipher
//! suites.

mod client;
mod pem;
mod reload;
mod server;
mod verify;

pub use masep_proto::tls::{CertificateFault, TlsFault};
pub use rustls;

pub use client::ClientTls;
pub use reload::CertificateState;
pub use server::{ServerTls, TlsMode};

pub(crate) use client::Connector;
pub(crate) use server::Acceptor;

use std::sync::Arc;

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

/// ring's, with the cipher suite in front that every peer has: processors have instructions for its SHA-256. Without them
/// SHA-384, of the suite that is first there, takes 4 to 7 % of a handshake.
fn default_provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    let is_later = |suite: CipherSuite| suite != CipherSuite::TLS13_AES_128_GCM_SHA256;
    let suites = &mut provider.cipher_suites;
    suites.sort_by_key(|suite| is_later(suite.suite()));
    Arc::new(provider)
}
