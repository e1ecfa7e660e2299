//! The protocol of masep and of pymasep 0.2, without any input or output.
//!
//! An *engine* owns an environment; *interfaces* (players, learning agents, observers) join it.
//! Their messages are here, as values and state machines:
//!
//! * [`Message`]: a type, a sender and parameters made of [`Value`]s, as XML;
//! * [`cbor`]: the same messages and values in protocol 2, with arrays;
//! * [`Frame`] and [`FrameCodec`]: how it is cut on a TCP stream;
//! * [`protocol2`]: frames, control messages and the agreement of protocol 2;
//! * [`access`]: access tokens, and what their holders may do;
//! * [`admission`]: a server's door: places, ids, and who is refused;
//! * [`connection`]: the life of one connection, from its first byte to its last;
//! * [`discovery`]: the datagrams by which an interface finds an engine on the LAN;
//! * [`Limits`], [`ServerLimits`]: every bound, with its default and its reason.
//!
//! There is no socket, thread, clock or async runtime in this crate: bytes and instants come in as
//! arguments, bytes and values go out. The crate `masep` puts sockets around it.
//!
//! ```
//! use masep_proto::{Dict, Message, MessageType, Value};
//!
//! let params = Dict::from([("step", Value::from(3))]);
//! let message = Message::new(MessageType::Observation, params, "engine");
//! let xml = message.to_bytes()?; // pymasep's protocol
//! assert_eq!(Message::from_bytes(xml)?, message);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`connection`] has an example of two ends that talk, and [`Message`] and [`Value`] of what they say.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | brings |
//! | --- | --- |
//! | `json` | the JSON form of messages and values: the module [`json`] |
//! | `ndarray` | conversions between [`Array`] and the arrays of the crate ndarray |
//!
//! Versions follow Semantic Versioning; before 1.0, a minor version may break its predecessor. The oldest Rust that builds this
//! version is 1.95.
//!
//! `PROTOCOL.md` at the root of the repository is the normative description.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod access;
mod action;
pub mod admission;
pub mod cbor;
mod circular;
mod close;
mod codec;
pub mod connection;
pub mod discovery;
mod element;
mod error;
mod frame;
mod framing;
pub mod gate;
mod hello;
#[cfg(feature = "json")]
pub mod json;
mod limits;
mod message;
mod pieces;
mod printable;
pub mod protocol2;
pub mod proxy_protocol;
pub mod tls;
mod value;
mod xml;

pub use action::Action;
pub use circular::CircularHeadList;
pub use close::CloseReason;
pub use codec::{Encoding, ForTurns};
pub use element::{Element, Node, OpenElement, QName};
pub use error::{DecodeError, DecodeErrorKind, EncodeError, Limit, LimitExceeded, Position};
pub use frame::{Frame, FrameCodec, FrameKind};
pub use hello::{HelloError, PeerId};
pub use limits::{Limits, ServerLimits};
pub use message::{Message, MessageType, Role};
pub use pieces::Pieces;
pub use printable::is_printable;
pub use value::{Array, ArrayError, ArrayItem, DType, Dict, Int, TypeName, Value};
