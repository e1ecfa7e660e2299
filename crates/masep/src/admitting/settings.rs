//! The settings of a door, and what every connection that comes by it shares.

use std::sync::Arc;

use masep_proto::admission::Entrance;
use masep_proto::connection::{Config, Protocols};

use crate::access::Renews;
use crate::serving::ServerSettings;
use crate::tls::Acceptor;
use crate::transport::{self, Stream};

/// The settings of a door: those of its server, and what was made of them.
pub(crate) struct DoorSettings {
    pub(crate) server: ServerSettings,
    config: Arc<Config>,
    /// The configuration of clients that come by the entrance for pymasep's protocol.
    pymasep_config: Arc<Config>,
    acceptor: Option<Acceptor>,
}

impl DoorSettings {
    pub(crate) fn new(server: ServerSettings, config: Config, acceptor: Option<Acceptor>) -> Self {
        let pymasep = config.clone().tls(false).protocols(Protocols::Pymasep);
        Self {
            server,
            pymasep_config: Arc::new(pymasep),
            config: Arc::new(config),
            acceptor,
        }
    }

    /// The most connections that live at a time.
    pub(crate) const fn most(&self) -> usize {
        self.server.server_limits.connections
    }

    /// True if a header of the PROXY protocol is in front of connections that come by this entrance.
    pub(crate) fn expects_preface(&self, entrance: Entrance) -> bool {
        self.server.proxy_protocol && entrance == Entrance::Main
    }

    /// Sets the options of a socket that was accepted.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn prepare(&self, stream: &impl Stream) -> std::io::Result<()> {
        let options = &self.server.endpoint.socket_options;
        transport::prepare_accepted(stream, self.config.limits(), options)
    }

    /// The configuration of connections that come by this entrance, and the TLS that they may use.
    pub(crate) fn at(&self, entrance: Entrance) -> (&Arc<Config>, Option<&Acceptor>) {
        match entrance {
            Entrance::Main => (&self.config, self.acceptor.as_ref()),
            Entrance::Pymasep => (&self.pymasep_config, None),
        }
    }

    /// True if all clients have to use TLS at the main entrance.
    pub(crate) fn requires_tls(&self) -> bool {
        self.acceptor.as_ref().is_some_and(Acceptor::requires)
    }

    /// Has the door be told when tokens change.
    pub(crate) fn subscribe(&self, door: &Arc<impl Renews + 'static>) -> std::io::Result<()> {
        self.server.access.subscribe(door)
    }

    /// The state of the certificate, if there is one.
    #[cfg(feature = "tls")]
    pub(crate) fn certificate(&self) -> Option<crate::tls::CertificateState> {
        self.acceptor.as_ref().map(Acceptor::certificate)
    }
}
