//! The proxy of a pymasep interface: what it says goes to a server of protocol 2.

use std::future::Future;
use std::pin::Pin;

use masep::tls::ClientTls;
use masep::{
    Client, ClientBuilder, ConnectError, ConnectErrorKind, Frame, Hello, Limits, Protocols,
    Rejected, Request, Role, SocketOptions, Target, TypeName,
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
        builder = with_hello(builder, request.hello());
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
                Ok(far) => {
                    link.carry(request, far, &Everything).await;
                }
                Err(error) => {
                    let rejected = match &error.kind {
                        ConnectErrorKind::Rejected(rejected) => (**rejected).clone(),
                        // The client has asked for it, and is told as a table would tell it.
                        ConnectErrorKind::Profile(_) => {
                            Rejected::new("unsupported_profile", error.to_string())
                        }
                        _ => Rejected::new("unreachable", error.to_string()).retry_ms(1_000),
                    };
                    link.refuse(request, &error.to_string(), rejected);
                }
            }
        })
    }
}

/// Passes on the HELLO of a client of protocol 2. One of pymasep's protocol has said no more than its id.
fn with_hello(mut builder: ClientBuilder, hello: &Hello) -> ClientBuilder {
    builder = match hello.role.as_deref() {
        Some("actor") => builder.role(Role::Actor),
        Some("observer") => builder.role(Role::Observer),
        _ => builder,
    };
    if let Some(game) = &hello.game {
        builder = builder.game(TypeName::from(game.clone()));
    }
    if let Some(seat) = &hello.seat {
        builder = builder.seat(seat);
    }
    if let Some(table) = &hello.table {
        builder = builder.table(table);
    }
    if let Some(resume) = &hello.resume {
        builder = builder.resume(resume);
    }
    if let Some(profile) = &hello.profile {
        builder = builder.profile(profile);
    }
    if let Some(make) = &hello.make {
        builder = builder.make(make.clone());
    }
    match &hello.token {
        Some(token) => builder.token(token.clone()),
        None => builder,
    }
}

/// All goes through: the far side looks at it.
struct Everything;

impl Filter for Everything {
    fn pass_up(&self, frame: Frame) -> Passage {
        Passage::Forward(frame)
    }
}
