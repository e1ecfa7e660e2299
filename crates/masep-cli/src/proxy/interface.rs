//! The proxy of a pymasep interface: what it says goes to a server of protocol 2.

use std::future::Future;
use std::pin::Pin;

use masep::tls::ClientTls;
use masep::{
    Client, ConnectError, ConnectErrorKind, Frame, Limits, Protocols, Rejected, Request,
    SocketOptions, Target,
};

use crate::token::Credentials;

use super::relay::{Far, FarHandler, Filter, Link, Passage, Side};

/// Connects each client to the far side.
pub(super) struct InterfaceSide {
    to: Target,
    credentials: Option<Credentials>,
    tls: Option<ClientTls>,
    limits: (Limits, SocketOptions),
}

impl InterfaceSide {
    pub(super) const fn new(
        to: Target,
        credentials: Option<Credentials>,
        tls: Option<ClientTls>,
        limits: (Limits, SocketOptions),
    ) -> Self {
        Self {
            to,
            credentials,
            tls,
            limits,
        }
    }

    async fn connect(&self, request: &Request) -> Result<Far, ConnectError> {
        let (limits, options) = self.limits.clone();
        let (handler, heard) = FarHandler::new();
        let mut builder = Client::builder(request.peer().clone())
            .limits(limits)
            .socket_options(options)
            .protocols(Protocols::Masep2);
        if let Some(credentials) = &self.credentials {
            builder = credentials.of_client(builder);
        }
        if let Some(tls) = &self.tls {
            builder = builder.tls(tls.clone());
        }
        let builder = builder.handler(handler);
        Ok(Far::new(builder.connect(&self.to).await?, heard))
    }
}

impl Side for InterfaceSide {
    fn serve(&self, link: Link, request: Request) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            link.open(request.address());
            match self.connect(&request).await {
                Ok(far) => link.carry(request, far, &Everything).await,
                Err(error) => {
                    let rejected = match &error.kind {
                        ConnectErrorKind::Rejected(rejected) => (**rejected).clone(),
                        _ => Rejected::new("unreachable", error.to_string()).retry_ms(1_000),
                    };
                    link.refuse(request, &error.to_string(), rejected);
                }
            }
        })
    }
}

/// All goes through: the far side looks at it.
struct Everything;

impl Filter for Everything {
    fn from_client(&self, frame: Frame) -> Passage {
        Passage::Forward(frame)
    }

    fn from_far(&self, _frame: &Frame) -> bool {
        true
    }
}
