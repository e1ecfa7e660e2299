//! The certificates of a run, for masep.

use std::sync::OnceLock;

use masep::tls::{ClientTls, ServerTls};

use crate::certificates::Certificates;

/// For a client: made once, as a user makes it who connects again and again.
pub(super) fn trusting(certificates: &Certificates) -> ClientTls {
    static MADE: OnceLock<ClientTls> = OnceLock::new();
    let made = MADE.get_or_init(|| ClientTls::new().ca_pem(&certificates.ca));
    made.clone()
}

/// For a server.
pub(super) fn certified(certificates: &Certificates) -> ServerTls {
    ServerTls::pem(&certificates.server, &certificates.key)
}
