//! Connections between an *engine*, which owns an environment, and its remote *interfaces*.
//!
//! masep speaks the protocol of pymasep 0.2 byte for byte, so that either end can be an unmodified pymasep
//! peer, and between masep peers protocol 2, see [`Protocols`]. It does not have the faults of pymasep's own sockets: see `README.md`.
//!
//! # A game
//!
//! A [`Table`] is an engine's end of a game: seats, turns, deadlines, rejoining, spectators. A [`Player`] is the other end.
//!
//! ```
//! use masep::{Action, Element, Player, Table};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let table = Table::builder("countdown.Countdown").seats(["red"]).bind("127.0.0.1:0").await?;
//!
//! // Elsewhere, a player. One whose connection is lost connects again.
//! let mut player = Player::builder("agent-1", "countdown.Countdown").join(table.local_address())?;
//! let agent = tokio::spawn(async move {
//!     while let Some(turn) = player.next_turn().await {
//!         if turn.is_question() {
//!             player.act(Action::new(2)).await?;
//!         }
//!     }
//!     Ok::<_, masep::SendError>(())
//! });
//!
//! table.filled().await?;
//! for left in (0..3).rev() {
//!     let view = Element::parse(format!(r#"<State left="{left}" />"#))?;
//!     for its in table.ask_all(|_seat| view.clone()).await? {
//!         println!("{left} left: {} {:?} {:?}", its.seat(), its.how(), its.action());
//!     }
//! }
//! table.end().await;
//! agent.await??;
//! # Ok(())
//! # }
//! ```
//!
//! # Connections
//!
//! Below tables are connections with messages. Every error says whose fault it is: a frame that is no message is passed over,
//! and an end has its reason.
//!
//! ```
//! use masep::{Client, Message, RecvMessageError, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder("engine").bind("127.0.0.1:0").await?;
//! let address = server.local_address();
//!
//! // Elsewhere, an interface:
//! let agent = tokio::spawn(async move {
//!     let client = Client::builder("agent").connect(address).await?;
//!     client.connection().send_message(&Message::quit("agent")).await?;
//!     client.connection().bye().await;
//!     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
//! });
//!
//! let connection = server.accept().await?;
//! let reason = loop {
//!     match connection.recv_message().await {
//!         Ok(message) => println!("{} says {message}", connection.peer()),
//!         Err(RecvMessageError::Closed(reason)) => break reason,
//!         Err(error) => println!("passed over: {error}"),
//!     }
//! };
//! println!("it ended: {reason}");
//! assert!(reason.is_orderly());
//! # agent.await?.map_err(|error| error.to_string())?;
//! # Ok(())
//! # }
//! ```
//!
//! # Parts
//!
//! | you want | take |
//! | --- | --- |
//! | a game for players that may be late, lost or hostile | [`Table`], [`Player`] |
//! | each connection in a task of its own | [`Server::accept`], [`Connection::recv_message`] |
//! | one loop for all that arrives, as a pymasep engine has | [`SocketHandlerQueue`] |
//! | callbacks | [`SocketHandler`] |
//! | no async at all | [`blocking`], which has the same calls |
//! | strangers | [`tls`], [`access`] |
//! | both ends on one machine, as fast as can be | a Unix socket: `bind("unix:///run/game.sock")`, see [`Target`] |
//! | a server on the LAN whose address nobody knows | [`discovery`] |
//!
//! # Guarantees
//!
//! * Every queue, buffer, count and wait is bounded: by [`Limits`], [`ServerLimits`] and [`SocketOptions`].
//! * Every connection ends with one [`CloseReason`], which each call that receives gives when nothing is left;
//!   [`CloseReason::is_orderly`] tells an orderly end from a failure.
//! * Access tokens say who may come, and as what, where a server has some: [`access`].
//! * Each async method says whether it may be cancelled, as by `tokio::select!`.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | brings |
//! | --- | --- |
//! | `tls` | TLS 1.3: the module [`tls`], by rustls and ring |
//! | `token-file` | access tokens out of a file that is read anew when it changes: [`Tokens::file`] |
//! | `unstable-transport` | connections over streams of one's own, and over pipes in memory for tests: the module [`transport`] |
//! | `unstable-bindings` | calls of which the Python package alone has a use |
//!
//! # Versions
//!
//! Versions follow Semantic Versioning; before 1.0, a minor version may break its predecessor. All that is behind a feature `unstable-…`
//! may change in any release. The oldest Rust that builds this version is 1.95; a later one comes with a minor version. Linux is
//! the platform that is tested. Calls of the async shell need a tokio runtime with time and I/O.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod accepted;
mod accepting;
pub mod access;
mod address;
mod admitting;
pub mod blocking;
mod client;
mod connecting;
mod connection;
pub mod discovery;
mod door;
mod endpoint;
mod error;
mod forms;
mod hand_out;
mod handle;
mod handler;
mod hearing;
mod keeper;
#[cfg(masep_model)]
#[path = "../../masep-model/src/model/mod.rs"]
pub mod model;
mod offered;
#[cfg(not(masep_model))]
pub mod player;
mod preface;
mod queue;
mod random;
mod registry;
mod request;
mod server;
mod serving;
#[cfg(not(masep_model))]
mod shells;
mod socket_options;
mod sync;
#[cfg(not(masep_model))]
pub mod table;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls_absent.rs"]
mod tls;
#[cfg(feature = "unstable-transport")]
pub mod transport;
#[cfg(not(feature = "unstable-transport"))]
#[allow(unreachable_pub, reason = "public where the feature is on")]
mod transport;
#[cfg(any(feature = "tls", feature = "token-file"))]
mod whole_file;

pub use masep_proto::connection::{OtherProfile, PeerLimits, Protocols, TooLarge, WhenFull};
pub use masep_proto::protocol2::{AccessToken, Bye, Hello, Notice, Protocol, Rejected, Welcome};
pub use masep_proto::{
    Action, Array, ArrayError, ArrayItem, CircularHeadList, CloseReason, DType, DecodeError,
    DecodeErrorKind, Dict, Element, EncodeError, Frame, FrameKind, Int, Limit, LimitExceeded,
    Limits, Message, MessageType, Node, PeerId, QName, Role, ServerLimits, TypeName, Value,
    is_printable,
};

pub use access::{ConnectionString, Tokens};
pub use address::{Address, IntoTarget, InvalidAddress, Target};
pub use client::{Client, ClientBuilder};
pub use connection::{Connection, ConnectionId, Sending};
pub use error::{
    AcceptError, AcceptTimeoutError, ConnectError, ConnectErrorKind, ConnectPhase, ProfileError,
    RecvMessageError, RecvTimeoutError, RejectReason, SendError, TlsError, TokenError,
    TryRecvError, Undelivered,
};
pub use handler::{NoHandler, SocketHandler};
#[cfg(not(masep_model))]
pub use player::{Player, PlayerBuilder};
pub use queue::{Received, SocketHandlerQueue};
pub use registry::Registry;
pub use request::{Admitting, Request};
pub use server::{Duplicates, Server, ServerBuilder, ShutdownReport};
pub use socket_options::SocketOptions;
#[cfg(not(masep_model))]
pub use table::Table;

/// The program in README.md, which is compiled with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
