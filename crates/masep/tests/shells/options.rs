//! The options of servers and clients of both shells.

use std::io;
use std::sync::Arc;

use masep::access::{AccessRequest, Tokens};
use masep::{
    ConnectError, Dict, Duplicates, IntoTarget, Limits, Protocols, Role, ServerLimits,
    SocketOptions, WhenFull, blocking,
};

use super::handler::{Adapter, Handler};
use super::{Client, Server, Shell, wait};

/// A host's own function.
#[derive(Clone)]
pub struct Admit(Arc<dyn Fn(AccessRequest) + Send + Sync>);

/// The options of a test. Each that is not given has the library's default.
#[derive(Clone, Default)]
pub struct Options {
    limits: Limits,
    server_limits: ServerLimits,
    socket: SocketOptions,
    duplicates: Option<Duplicates>,
    when_full: Option<WhenFull>,
    protocols: Option<Protocols>,
    announce: bool,
    asks: bool,
    asks_all: bool,
    tokens: Option<Tokens>,
    admit: Option<Admit>,
    pymasep_listen: Option<String>,
    proxy_protocol: bool,
    says: Says,
    /// Of a server; `engine` unless it is given.
    id: Option<String>,
    handler: Option<Arc<dyn Handler>>,
    #[cfg(feature = "tls")]
    server_tls: Option<masep::tls::ServerTls>,
    #[cfg(feature = "tls")]
    client_tls: Option<masep::tls::ClientTls>,
}

macro_rules! setters {
    ($($name:ident: $type:ty,)*) => {
        $(pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name.into();
            self
        })*
    };
}

impl Options {
    setters! {
        limits: Limits,
        server_limits: ServerLimits,
        socket: SocketOptions,
        duplicates: Duplicates,
        when_full: WhenFull,
        protocols: Protocols,
        announce: bool,
        asks: bool,
        asks_all: bool,
        tokens: Tokens,
        pymasep_listen: String,
        proxy_protocol: bool,
        says: Says,
    }

    pub fn admit(mut self, admit: impl Fn(AccessRequest) + Send + Sync + 'static) -> Self {
        self.admit = Some(Admit(Arc::new(admit)));
        self
    }

    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    #[cfg(feature = "tls")]
    pub fn server_tls(mut self, tls: masep::tls::ServerTls) -> Self {
        self.server_tls = Some(tls);
        self
    }

    #[cfg(feature = "tls")]
    pub fn client_tls(mut self, tls: masep::tls::ClientTls) -> Self {
        self.client_tls = Some(tls);
        self
    }

    pub fn handler(mut self, handler: impl Handler) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }
}

macro_rules! options_from {
    ($($setter:ident: $type:ty,)*) => {
        $(impl From<$type> for Options {
            fn from(option: $type) -> Self {
                Self::default().$setter(option)
            }
        })*
    };
}

options_from! {
    limits: Limits,
    server_limits: ServerLimits,
    socket: SocketOptions,
    duplicates: Duplicates,
    when_full: WhenFull,
    protocols: Protocols,
    tokens: Tokens,
    says: Says,
}

impl From<Option<Protocols>> for Options {
    fn from(protocols: Option<Protocols>) -> Self {
        Self {
            protocols,
            ..Self::default()
        }
    }
}

/// The facts that a client gives about itself.
#[derive(Clone, Debug, Default)]
pub struct Says {
    pub role: Option<Role>,
    pub game: Option<&'static str>,
    pub seat: Option<&'static str>,
    pub table: Option<&'static str>,
    pub resume: Option<&'static str>,
    pub profile: Option<&'static str>,
    pub make: Option<Dict>,
    pub token: Option<&'static str>,
}

/// The options that a builder of any kind has.
macro_rules! set {
    ($builder:expr, $options:ident) => {{
        let mut builder = $builder
            .limits($options.limits)
            .socket_options($options.socket);
        if let Some(when_full) = $options.when_full {
            builder = builder.when_full(when_full);
        }
        if let Some(protocols) = $options.protocols {
            builder = builder.protocols(protocols);
        }
        builder
    }};
}

macro_rules! server {
    ($builder:expr, $options:ident) => {{
        let mut builder = set!($builder, $options)
            .server_limits($options.server_limits)
            .announce($options.announce)
            .proxy_protocol($options.proxy_protocol);
        if let Some(duplicates) = $options.duplicates {
            builder = builder.duplicates(duplicates);
        }
        if let Some(tokens) = $options.tokens {
            builder = builder.tokens(tokens);
        }
        if let Some(Admit(admit)) = $options.admit {
            builder = builder.admit(move |request| admit(request));
        }
        if let Some(address) = $options.pymasep_listen {
            builder = builder.pymasep_listen(address)?;
        }
        if $options.asks {
            builder = builder.ask();
        }
        if $options.asks_all {
            builder = builder.ask_all();
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = $options.server_tls {
            builder = builder.tls(tls);
        }
        builder
    }};
}

macro_rules! client {
    ($builder:expr, $options:ident) => {{
        #[allow(unused_mut, reason = "for TLS")]
        let mut builder = set!($builder, $options);
        #[cfg(feature = "tls")]
        if let Some(tls) = $options.client_tls {
            builder = builder.tls(tls);
        }
        say!(builder, $options.says: role, game, seat, table, resume, profile, make, token)
    }};
}

macro_rules! say {
    ($builder:expr, $options:ident.says: $($name:ident),*) => {{
        let mut builder = $builder;
        $(if let Some(said) = $options.says.$name {
            builder = builder.$name(said);
        })*
        builder
    }};
}

impl Shell {
    pub fn bind(
        self,
        target: impl IntoTarget,
        options: impl Into<Options>,
    ) -> io::Result<Box<dyn Server>> {
        let mut options = options.into();
        let handler = options.handler.take().map(Adapter);
        let id = options.id.take().unwrap_or_else(|| "engine".to_owned());
        Ok(match self {
            Self::Blocking => {
                let mut builder = server!(blocking::Server::builder(id), options);
                if let Some(handler) = handler {
                    builder = builder.handler(handler);
                }
                Box::new(builder.bind(target)?)
            }
            Self::Async => {
                let builder = server!(masep::Server::builder(id), options);
                Box::new(match handler {
                    Some(handler) => wait(builder.handler(handler).bind(target))?,
                    None => wait(builder.bind(target))?,
                })
            }
        })
    }

    pub fn connect(
        self,
        id: &str,
        target: impl IntoTarget,
        options: impl Into<Options>,
    ) -> Result<Box<dyn Client>, ConnectError> {
        let mut options = options.into();
        let handler = options.handler.take().map(Adapter);
        Ok(match self {
            Self::Blocking => {
                let mut builder = client!(blocking::Client::builder(id), options);
                if let Some(handler) = handler {
                    builder = builder.handler(handler);
                }
                Box::new(builder.connect(target)?)
            }
            Self::Async => {
                let builder = client!(masep::Client::builder(id), options);
                Box::new(match handler {
                    Some(handler) => wait(builder.handler(handler).connect(target))?,
                    None => wait(builder.connect(target))?,
                })
            }
        })
    }
}
