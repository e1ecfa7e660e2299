//! The networks between a server and its peers, so that a scenario is written once and runs over each.
//!
//! Scenarios that say bare bytes take a [`Shell`]: they are of pymasep's protocol over TCP. Those that take a [`Side`] say
//! whole frames, which every network has.

use std::io::Write;
use std::net::TcpListener;
#[cfg(feature = "tls")]
use std::net::TcpStream;
use std::ops::Deref;
use std::time::Duration;

use masep::{Address, ConnectError, ShutdownReport};

use super::directory::Directory;
use super::{Agent, Client, Handle, Options, Server, Shell, accept, agent, masep2};

/// The network between a server and its peers. In TLS all of them speak protocol 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Tcp,
    Unix,
    #[cfg(feature = "tls")]
    Tls,
}

/// One of the two libraries, over one network.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    pub shell: Shell,
    pub network: Network,
}

/// A server, and where it is.
pub struct Serving {
    server: Box<dyn Server>,
    network: Network,
    /// That of its socket.
    _directory: Option<Directory>,
}

/// The authority and the certificate of all servers of a process.
#[cfg(feature = "tls")]
mod certificate {
    use std::sync::LazyLock;

    use crate::shells::authority::{Authority, Server};

    pub static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);
    pub static SERVER: LazyLock<Server> = LazyLock::new(|| AUTHORITY.server(&["127.0.0.1"]));
}

/// The authority of those servers in TLS that a [`Side`] makes.
#[cfg(feature = "tls")]
pub fn authority() -> &'static super::authority::Authority {
    &certificate::AUTHORITY
}

impl Shell {
    pub const fn over(self, network: Network) -> Side {
        Side {
            shell: self,
            network,
        }
    }
}

impl Side {
    pub fn serve(self, options: impl Into<Options>) -> Serving {
        let options = options.into();
        let directory = (self.network == Network::Unix).then(Directory::new);
        let server = match &directory {
            Some(directory) => self.shell.bind(directory.target("x.sock"), options),
            #[cfg(feature = "tls")]
            None if self.network == Network::Tls => {
                let options = options.server_tls(certificate::SERVER.tls());
                self.shell.bind("127.0.0.1:0", options)
            }
            None => self.shell.bind("127.0.0.1:0", options),
        };
        Serving {
            server: server.unwrap(),
            network: self.network,
            _directory: directory,
        }
    }

    pub fn connect(
        self,
        id: &str,
        server: &Serving,
        options: impl Into<Options>,
    ) -> Result<Box<dyn Client>, ConnectError> {
        let options = options.into();
        #[cfg(feature = "tls")]
        if self.network == Network::Tls {
            let options = options.client_tls(authority().trusted());
            return self.shell.connect(id, server.target(), options);
        }
        self.shell.connect(id, server.target(), options)
    }

    pub fn join(self, id: &str, server: &Serving) -> Box<dyn Client> {
        self.connect(id, server, Options::default()).unwrap()
    }

    /// A server, its connection, and the peer by hand that is connected to it.
    pub fn connected(self, options: impl Into<Options>) -> (Serving, Handle, Agent) {
        let server = self.serve(options);
        let agent = server.agent("agent");
        let connection = accept(&*server);
        (server, connection, agent)
    }

    /// A server, its connection, and a client of the same shell.
    pub fn pair(self, options: impl Into<Options>) -> (Serving, Handle, Box<dyn Client>) {
        let options = options.into();
        let server = self.serve(options.clone());
        let client = self.connect("agent", &server, options).unwrap();
        let connection = accept(&*server);
        (server, connection, client)
    }
}

impl Deref for Serving {
    type Target = dyn Server;

    fn deref(&self) -> &Self::Target {
        &*self.server
    }
}

impl Serving {
    /// The address for clients.
    pub fn target(&self) -> String {
        match (self.server.address(), self.network) {
            #[cfg(feature = "tls")]
            (address, Network::Tls) => format!("masep+tls://{address}"),
            (address, _) => address.to_string(),
        }
    }

    /// A peer by hand that has been taken.
    pub fn agent(&self, id: &str) -> Agent {
        #[cfg(feature = "tls")]
        if self.network == Network::Tls {
            return self.agent2(&masep2::first_bytes(id));
        }
        Agent::join_at(&self.server.address(), id)
    }

    /// The same, of one that speaks protocol 2 over any network and says these first bytes.
    pub fn agent2(&self, first_bytes: &[u8]) -> Agent {
        let address = self.server.address();
        #[cfg(feature = "tls")]
        if self.network == Network::Tls {
            let stream = TcpStream::connect(&address).unwrap();
            return Agent::in_tls(stream, authority(), first_bytes);
        }
        Agent::join2(&address, first_bytes)
    }

    /// Connects to it, and says what is a hello in no protocol.
    pub fn hear_nonsense(&self) {
        let mut stream = agent::connect(&self.server.address());
        stream.write_all(b"\x02\0\xff\xff").unwrap();
    }

    pub fn shutdown(self, deadline: Duration) -> ShutdownReport {
        self.server.shutdown(deadline)
    }
}

/// True if another server can listen at this address.
pub fn is_free(address: &Address) -> bool {
    match address {
        Address::Unix(path) => !path.exists(),
        address => TcpListener::bind(address).is_ok(),
    }
}
