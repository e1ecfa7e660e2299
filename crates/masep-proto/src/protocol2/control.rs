//! Control messages: maps in CBOR, and pings.

mod read;
mod write;

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use super::limits::{CODE_BYTES, CONTROL_BYTES, ITEMS, TEXT_BYTES};
use super::{AccessToken, Protocol, kind};
use crate::printable::{Quoted, is_name, is_printable};
use crate::{DecodeError, Dict, EncodeError, Limit, LimitExceeded, PeerId, cbor};

/// The client's first control message: who it is, and what it would like.
///
/// Keys that are not known are ignored. `{:?}` does not show the tokens.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Hello {
    /// The generations of the protocol that it speaks, from the least to the greatest.
    pub versions: (u16, u16),
    /// Its id.
    pub id: PeerId,
    /// The role that it asks for: `actor` or `observer`.
    pub role: Option<ByteString>,
    /// The game that it would play, a dotted name.
    pub game: Option<ByteString>,
    /// The table of a server that has several.
    pub table: Option<ByteString>,
    /// The seat that it would have.
    pub seat: Option<ByteString>,
    /// The access token, which says who it is and what it may do.
    pub token: Option<AccessToken>,
    /// The resume text of an earlier [`Welcome`], which says which seat was its.
    pub resume: Option<ByteString>,
    /// The profile that it would speak: the form of all that is said on the connection. Its server has to say it in
    /// [`Welcome::profile`].
    pub profile: Option<ByteString>,
    /// The arguments of what a server makes for it, where it makes an environment for each client.
    pub make: Option<Dict>,
    /// The largest payload that it receives, in bytes.
    pub max: u32,
    /// The names of what it can do beyond the protocol.
    pub features: Vec<ByteString>,
    /// The name and version of the program, for people.
    pub agent: ByteString,
}

/// The server's answer to a client that it takes. `{:?}` does not show the token.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Welcome {
    /// The generation that is spoken from here on.
    pub version: u16,
    /// The server's id.
    pub id: PeerId,
    /// The largest payload that it receives, in bytes.
    pub max: u32,
    /// The names of what it can do beyond the protocol.
    pub features: Vec<ByteString>,
    /// Each side pings when it has sent nothing for so many milliseconds. 0: neither does.
    pub heartbeat_ms: u64,
    /// A name of this life of the server: it has another one after each start.
    pub instance: Option<ByteString>,
    /// The seat that the client has.
    pub seat: Option<ByteString>,
    /// The text with which the client gets the seat back on another connection.
    pub resume: Option<ByteString>,
    /// The number of times that somebody was let to the seat.
    pub epoch: Option<u64>,
    /// The turn of this seat that was decided last: `n`, `how`, and `after_ms`, or `why` and `played`, as PROTOCOL2.md says.
    pub last: Option<Dict>,
    /// For how many milliseconds the seat is kept for a client that is gone.
    pub grace_ms: Option<u64>,
    /// The game that is played, a dotted name.
    pub game: Option<ByteString>,
    /// The number of seats, where the server has some.
    pub seats: Option<u64>,
    /// The number of those that nobody has, behind this client.
    pub free: Option<u64>,
    /// The profile that is spoken on this connection. A client that has asked for one ([`Hello::profile`]) takes no other
    /// answer.
    pub profile: Option<ByteString>,
}

/// The server's answer to a client that it does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// The reason, for programs: `duplicate_id`, `too_many_connections`, ...
    pub code: ByteString,
    /// The reason, for people. It comes from outside and may hold anything.
    pub text: ByteString,
    /// The generations of the protocol that the server speaks.
    pub versions: (u16, u16),
    /// After how many milliseconds it may be tried again.
    pub retry_ms: Option<u64>,
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Bye {
    /// The reason, for programs.
    pub code: ByteString,
    /// The reason, for people. It comes from outside and may hold anything.
    pub text: ByteString,
    /// True if the peer may come back.
    pub may_return: Option<bool>,
}

/// Something that was not accepted, which is no end.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Notice {
    /// The code of the notice, for programs: `late`, `repeated`, `bad_turn`, ...
    pub code: ByteString,
    /// The same for people. It comes from outside and may hold anything.
    pub text: ByteString,
    /// The subject of the notice: `{"turn": 7}`.
    pub about: Option<Dict>,
}

/// A control message of any kind.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Control {
    /// The client's first one.
    Hello(Box<Hello>),
    /// The server's answer to a client that it takes.
    Welcome(Box<Welcome>),
    /// The server's answer to a client that it does not take.
    Rejected(Rejected),
    /// The end of the connection.
    Bye(Bye),
    /// A question for a sign of life.
    Ping([u8; 8]),
    /// The answer to it.
    Pong([u8; 8]),
    /// Something that was not accepted.
    Notice(Notice),
}

/// The text in place of a resume text.
fn hidden(token: Option<&ByteString>) -> Option<&'static str> {
    token.map(|_| "...")
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("versions", &self.versions)
            .field("id", &self.id)
            .field("role", &self.role)
            .field("game", &self.game)
            .field("table", &self.table)
            .field("seat", &self.seat)
            .field("token", &self.token)
            .field("resume", &hidden(self.resume.as_ref()))
            .field("profile", &self.profile)
            .field("make", &self.make)
            .field("max", &self.max)
            .field("features", &self.features)
            .field("agent", &self.agent)
            .finish()
    }
}

impl fmt::Debug for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("version", &self.version)
            .field("id", &self.id)
            .field("max", &self.max)
            .field("features", &self.features)
            .field("heartbeat_ms", &self.heartbeat_ms)
            .field("instance", &self.instance)
            .field("seat", &self.seat)
            .field("resume", &hidden(self.resume.as_ref()))
            .field("epoch", &self.epoch)
            .field("last", &self.last)
            .field("grace_ms", &self.grace_ms)
            .field("game", &self.game)
            .field("seats", &self.seats)
            .field("free", &self.free)
            .field("profile", &self.profile)
            .finish()
    }
}

impl Hello {
    /// A hello with this id of a client that receives payloads of so many bytes, and of nothing else.
    pub fn new(id: PeerId, max: u32) -> Self {
        Self {
            versions: VERSIONS,
            id,
            role: None,
            game: None,
            table: None,
            seat: None,
            token: None,
            resume: None,
            profile: None,
            make: None,
            max,
            features: Vec::new(),
            agent: ByteString::new(),
        }
    }

    /// True if it is for a server of protocol 2 alone: it has an access token, or asks for a profile. A client that says it
    /// does not fall back to pymasep's protocol, which has no place for either.
    pub const fn needs_protocol2(&self) -> bool {
        self.token.is_some() || self.profile.is_some()
    }
}

impl Welcome {
    /// A welcome from a server with this id that receives payloads of so many bytes. Nobody pings.
    pub const fn new(id: PeerId, max: u32) -> Self {
        Self {
            version: VERSIONS.1,
            id,
            max,
            features: Vec::new(),
            heartbeat_ms: 0,
            instance: None,
            seat: None,
            resume: None,
            epoch: None,
            last: None,
            grace_ms: None,
            game: None,
            seats: None,
            free: None,
            profile: None,
        }
    }
}

/// The generations that masep's own frames have.
const VERSIONS: (u16, u16) = (Protocol::Masep2.number(), Protocol::Masep2.number());

impl Rejected {
    /// A refusal with this reason. Both are cut to what goes over the wire: 64 and 1,024 bytes, of the code the characters
    /// that are [printable](is_printable).
    pub fn new(code: impl Into<ByteString>, text: impl Into<ByteString>) -> Self {
        Self {
            code: wire_code(code.into()),
            text: cut(text.into(), TEXT_BYTES),
            versions: VERSIONS,
            retry_ms: None,
        }
    }

    /// Sets after which time it may be tried again, in milliseconds.
    #[must_use]
    pub const fn retry_ms(mut self, time: u64) -> Self {
        self.retry_ms = Some(time);
        self
    }
}

/// Code and text as they are shown: what is not only seen is escaped.
fn show(f: &mut fmt::Formatter<'_>, code: &str, text: &str) -> fmt::Result {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !code.is_empty() && code.chars().all(is_word) {
        f.write_str(code)?;
    } else {
        write!(f, "{}", Quoted(code))?;
    }
    match text {
        "" => Ok(()),
        text => write!(f, " ({})", Quoted(text)),
    }
}

/// Code and text, what comes from outside quoted and escaped.
impl fmt::Display for Bye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.code, &self.text)
    }
}

/// Code and text, what comes from outside quoted and escaped.
impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.code, &self.text)
    }
}

/// Code and text, what comes from outside quoted and escaped.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.code, &self.text)
    }
}

impl Bye {
    /// The code of an end for which there is nothing to say.
    pub const PLAIN: &str = "bye";

    /// An end with this reason. Both are cut to what goes over the wire: 64 and 1,024 bytes, of the code the characters
    /// that are [printable](is_printable).
    pub fn new(code: impl Into<ByteString>, text: impl Into<ByteString>) -> Self {
        Self {
            code: wire_code(code.into()),
            text: cut(text.into(), TEXT_BYTES),
            may_return: None,
        }
    }

    /// Sets whether the peer may come back.
    #[must_use]
    pub const fn may_return(mut self, may: bool) -> Self {
        self.may_return = Some(may);
        self
    }

    /// True if it tells no more than a `BYE` of pymasep's.
    pub(crate) fn says_nothing(&self) -> bool {
        self.code == Self::PLAIN && self.text.is_empty() && self.may_return.is_none()
    }
}

impl Notice {
    /// A notice with this content. Code and text are cut to what goes over the wire: 64 and 1,024 bytes, of the code the
    /// characters that are [printable](is_printable).
    pub fn new(code: impl Into<ByteString>, text: impl Into<ByteString>) -> Self {
        Self {
            code: wire_code(code.into()),
            text: cut(text.into(), TEXT_BYTES),
            about: None,
        }
    }

    /// Sets what it is about.
    #[must_use]
    pub fn about(mut self, about: Dict) -> Self {
        self.about = Some(about);
        self
    }
}

/// A reason for programs as it goes over the wire: its beginning, without what is not printable.
fn wire_code(text: ByteString) -> ByteString {
    if is_name(&text) {
        return cut(text, CODE_BYTES);
    }
    let printable: String = text.chars().filter(|c| is_printable(*c)).collect();
    cut(printable.into(), CODE_BYTES)
}

/// The beginning of a text, at most so many bytes of whole characters.
fn cut(text: ByteString, most: usize) -> ByteString {
    if text.len() <= most {
        return text;
    }
    ByteString::from(&text[..text.floor_char_boundary(most)])
}

impl Control {
    /// The [kind] of its frame.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => kind::HELLO,
            Self::Welcome(_) => kind::WELCOME,
            Self::Rejected(_) => kind::REJECTED,
            Self::Bye(_) => kind::BYE,
            Self::Ping(_) => kind::PING,
            Self::Pong(_) => kind::PONG,
            Self::Notice(_) => kind::NOTICE,
        }
    }

    /// The payload of its frame.
    ///
    /// # Errors
    /// A text, or all of it, is longer than control messages may be, or has more items or levels; an id, a code or another
    /// name has a character that is not [printable](crate::is_printable).
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let payload = match self {
            Self::Ping(token) | Self::Pong(token) => token.to_vec(),
            Self::Hello(hello) => write::hello(hello)?,
            Self::Welcome(welcome) => write::welcome(welcome)?,
            Self::Rejected(rejected) => write::rejected(rejected)?,
            Self::Bye(bye) => write::bye(bye)?,
            Self::Notice(notice) => write::notice(notice)?,
        };
        LimitExceeded::check(Limit::FrameBytes, payload.len(), CONTROL_BYTES)?;
        // Each item takes a byte at least.
        if payload.len() > ITEMS {
            LimitExceeded::check(Limit::Nodes, cbor::map::items(&payload), ITEMS)?;
        }
        Ok(payload.into())
    }

    /// Reads the payload of a frame of this kind; `None` if that is no kind of a control message.
    ///
    /// # Errors
    /// Bytes that are no such message, a key that is there twice, an id, a code or another name that is not
    /// [printable](crate::is_printable), or more than a control message may have; with the position.
    pub fn decode(kind: u8, payload: &[u8]) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match kind {
            kind::HELLO => Self::Hello(Box::new(read::hello(payload)?)),
            kind::WELCOME => Self::Welcome(Box::new(read::welcome(payload)?)),
            kind::REJECTED => Self::Rejected(read::rejected(payload)?),
            kind::BYE => Self::Bye(read::bye(payload)?),
            kind::PING => Self::Ping(read::token(payload)?),
            kind::PONG => Self::Pong(read::token(payload)?),
            kind::NOTICE => Self::Notice(read::notice(payload)?),
            _ => return Ok(None),
        }))
    }
}
