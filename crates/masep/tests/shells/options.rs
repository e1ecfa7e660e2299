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
    ($($(#[$attribute:meta])* $name:ident: $type:ty,)*) => {
        $($(#[$attribute])* pub fn $name(mut self, $name: $type) -> Self {
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
        #[cfg(feature = "tls")] server_tls: masep::tls::ServerTls,
        #[cfg(feature = "tls")] client_tls: masep::tls::ClientTls,
    }

    pub fn admit(mut self, admit: impl Fn(AccessRequest) + Send + Sync + 'static) -> Self {
        self.admit = Some(Admit(Arc::new(admit)));
        self
    }

    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
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

impl Says {
    pub fn token(token: &'static str) -> Self {
        Self {
            token: Some(token),
            ..Self::default()
        }
    }
}

/// Sets those options of a builder that are given.
macro_rules! given {
    ($builder:expr, $options:expr => $($name:ident),*) => {{
        let mut builder = $builder;
        $(if let Some(option) = $options.$name {
            builder = builder.$name(option);
        })*
        builder
    }};
}

macro_rules! server {
    ($builder:expr, $options:ident) => {{
        let mut builder = $builder
            .limits($options.limits)
            .socket_options($options.socket)
            .server_limits($options.server_limits)
            .announce($options.announce)
            .proxy_protocol($options.proxy_protocol);
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
        given!(builder, $options => when_full, protocols, duplicates, tokens)
    }};
}

macro_rules! client {
    ($builder:expr, $options:ident) => {{
        let builder = $builder.limits($options.limits).socket_options($options.socket);
        #[cfg(feature = "tls")]
        let builder = match $options.client_tls {
            Some(tls) => builder.tls(tls),
            None => builder,
        };
        let builder = given!(builder, $options => when_full, protocols);
        given!(builder, $options.says => role, game, seat, table, resume, profile, make, token)
    }};
}

/// The last call of a builder, which has the handler if there is one.
macro_rules! handled {
    ($builder:expr, $handler:expr, |$built:ident| $end:expr) => {{
        let $built = $builder;
        Box::new(match $handler {
            Some(handler) => {
                let $built = $built.handler(Adapter(handler));
                $end
            }
            None => $end,
        })
    }};
}

impl Shell {
    pub fn bind(
        self,
        target: impl IntoTarget,
        options: impl Into<Options>,
    ) -> io::Result<Box<dyn Server>> {
        let options = options.into();
        let id = options.id.as_deref().unwrap_or("engine");
        Ok(match self {
            Self::Blocking => {
                let builder = server!(blocking::Server::builder(id), options);
                handled!(builder, options.handler, |it| it.bind(target)?)
            }
            Self::Async => {
                let builder = server!(masep::Server::builder(id), options);
                handled!(builder, options.handler, |it| wait(it.bind(target))?)
            }
        })
    }

    pub fn connect(
        self,
        id: &str,
        target: impl IntoTarget,
        options: impl Into<Options>,
    ) -> Result<Box<dyn Client>, ConnectError> {
        let options = options.into();
        Ok(match self {
            Self::Blocking => {
                let builder = client!(blocking::Client::builder(id), options);
                handled!(builder, options.handler, |it| it.connect(target)?)
            }
            Self::Async => {
                let builder = client!(masep::Client::builder(id), options);
                handled!(builder, options.handler, |it| wait(it.connect(target))?)
            }
        })
    }
}
