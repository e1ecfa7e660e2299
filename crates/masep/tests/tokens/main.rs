//! Servers that ask for tokens, in both libraries: who comes in, who is sent away, and that nobody is told a token.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

#[path = "../shells/mod.rs"]
mod shells;

mod coming;
mod file;
mod secrecy;
mod sending_away;
mod table;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use masep::access::{Digest, Grant, Grants, Tokens};
use masep::{AccessToken, ConnectError, ConnectErrorKind, Frame};

use shells::directory::Directory;
use shells::{Client, Handle, Options, Says, Server, Shell, accept, masep2};

/// The tokens with these texts.
fn tokens(list: impl IntoIterator<Item = (&'static str, Grant)>) -> Tokens {
    Tokens::new(grants(list))
}

fn grants(list: impl IntoIterator<Item = (&'static str, Grant)>) -> Grants {
    let mut grants = Grants::default();
    for (token, grant) in list {
        grants.add(digest(token), grant).unwrap();
    }
    grants
}

fn digest(token: &str) -> Digest {
    Digest::of(&AccessToken::from(token))
}

/// A server on a Unix socket, for tokens go over nothing else.
struct House {
    directory: Directory,
    server: Box<dyn Server>,
    clients: Shell,
}

impl House {
    fn new(of_server: Shell, clients: Shell, options: impl Into<Options>) -> Self {
        let directory = Directory::new();
        let server = of_server.bind(directory.target("a"), options).unwrap();
        Self {
            directory,
            server,
            clients,
        }
    }

    fn target(&self) -> String {
        format!("masep+{}", self.server.address())
    }

    fn comes(
        &self,
        id: &str,
        token: Option<&'static str>,
    ) -> Result<Box<dyn Client>, ConnectError> {
        let says = Says {
            token,
            ..Says::default()
        };
        self.clients.connect(id, self.target(), says)
    }

    /// One that is taken, and its connection at the server.
    fn joins(&self, id: &str, token: &'static str) -> (Box<dyn Client>, Handle) {
        let client = self.comes(id, Some(token)).unwrap();
        let connection = accept(&*self.server);
        assert_eq!(connection.peer(), id);
        (client, connection)
    }

    /// The code for which one is not taken.
    fn refuses(&self, id: &str, token: Option<&'static str>) -> String {
        refused(self.comes(id, token))
    }

    fn stream(&self) -> UnixStream {
        let stream = UnixStream::connect(self.directory.path("a")).unwrap();
        stream.set_read_timeout(Some(shells::SOON)).unwrap();
        stream
    }
}

fn refused(connected: Result<Box<dyn Client>, ConnectError>) -> String {
    match connected.map(drop) {
        Err(ConnectError {
            kind: ConnectErrorKind::Rejected(rejected),
            ..
        }) => rejected.code.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The code of the BYE with which a client's connection has ended.
fn bye(client: &dyn Client) -> String {
    let end = client.connection().end();
    let words = end.words().unwrap_or_else(|| panic!("{end:?}"));
    words.code.to_string()
}

/// Both can talk.
fn talk(client: &dyn Client, connection: &Handle) {
    client.connection().send("hi").unwrap();
    assert_eq!(connection.recv(), Ok(Frame::new("hi")));
}

/// The first bytes of a client that says this token.
fn guess(token: &str) -> Vec<u8> {
    let mut hello = masep::Hello::new("agent".into(), 1 << 20);
    hello.token = Some(AccessToken::from(token));
    masep2::first_bytes_of(hello)
}

const SECOND: Duration = Duration::from_secs(1);
