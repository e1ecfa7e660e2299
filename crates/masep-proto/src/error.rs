//! Errors, split by whose fault they are: [`DecodeError`] is the sender's, [`EncodeError`] the
//! caller's, [`LimitExceeded`] names a bound with what was found and what is allowed.

use std::fmt;

use crate::printable::Quoted;
use crate::protocol2::Protocol;
use crate::{ArrayError, PeerId};

/// A bound of [`Limits`](crate::Limits) or [`ServerLimits`](crate::ServerLimits) that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::frame_bytes`](crate::Limits::frame_bytes).
    FrameBytes,
    /// [`Limits::message_bytes`](crate::Limits::message_bytes).
    MessageBytes,
    /// [`Limits::depth`](crate::Limits::depth).
    Depth,
    /// [`Limits::nodes`](crate::Limits::nodes).
    Nodes,
    /// [`Limits::text_bytes`](crate::Limits::text_bytes).
    TextBytes,
    /// [`Limits::int_digits`](crate::Limits::int_digits).
    IntDigits,
    /// [`Limits::id_bytes`](crate::Limits::id_bytes).
    IdBytes,
    /// [`ServerLimits::connections`](crate::ServerLimits::connections).
    Connections,
    /// [`ServerLimits::connections_per_address`](crate::ServerLimits::connections_per_address).
    ConnectionsPerAddress,
    /// [`Limits::queue_messages`](crate::Limits::queue_messages).
    QueueMessages,
    /// [`Limits::queue_bytes`](crate::Limits::queue_bytes).
    QueueBytes,
    /// [`Limits::messages_per_second`](crate::Limits::messages_per_second).
    MessagesPerSecond,
    /// [`Limits::bytes_per_second`](crate::Limits::bytes_per_second).
    BytesPerSecond,
}

impl Limit {
    /// The thing that is counted, in words: `"frame bytes"`, `"nesting depth"`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FrameBytes => "frame bytes",
            Self::MessageBytes => "message bytes",
            Self::Depth => "nesting depth",
            Self::Nodes => "XML elements or CBOR items",
            Self::TextBytes => "bytes of one text",
            Self::IntDigits => "digits of one int",
            Self::IdBytes => "bytes of an id",
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections from one address",
            Self::QueueMessages => "queued messages",
            Self::QueueBytes => "queued bytes",
            Self::MessagesPerSecond => "messages in a second",
            Self::BytesPerSecond => "bytes in a second",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A bound was reached: which one, what was found, what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{limit}: {actual} exceeds the limit of {allowed}")]
pub struct LimitExceeded {
    /// The bound.
    pub limit: Limit,
    /// The value that was found, or at least that much when counting stopped there.
    pub actual: usize,
    /// The most that is allowed.
    pub allowed: usize,
}

impl LimitExceeded {
    /// `Err` if `actual` is more than `allowed`.
    ///
    /// # Errors
    /// The bound with both numbers.
    pub const fn check(limit: Limit, actual: usize, allowed: usize) -> Result<(), Self> {
        if actual > allowed {
            return Err(Self {
                limit,
                actual,
                allowed,
            });
        }
        Ok(())
    }
}

/// A place in the bytes that were decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// Bytes from the start of the input, from 0.
    pub offset: usize,
    /// The line, from 1; 0 in bytes that are no text, which have neither lines nor columns.
    pub line: usize,
    /// Characters from the start of the line, from 0 (as Python's `ParseError` counts).
    pub column: usize,
}

impl Position {
    /// The beginning of the input.
    pub const START: Self = Self {
        offset: 0,
        line: 1,
        column: 0,
    };

    /// The position of a byte in what is no text.
    pub(crate) const fn of_byte(offset: usize) -> Self {
        Self {
            offset,
            line: 0,
            column: 0,
        }
    }

    /// The position of `offset` in `input`, a text in UTF-8. Lines end with CR, LF or both.
    pub fn of(input: &[u8], offset: usize) -> Self {
        let before = &input[..offset.min(input.len())];
        let mut position = Self {
            offset: before.len(),
            ..Self::START
        };
        let mut last = 0;
        for byte in before {
            match byte {
                b'\n' if last == b'\r' => {}
                b'\n' | b'\r' => {
                    position.line += 1;
                    position.column = 0;
                }
                // The bytes that continue a character.
                0x80..0xc0 => {}
                _ => position.column += 1,
            }
            last = *byte;
        }
        position
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "byte {}", self.offset);
        }
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Bytes that are no message: the fault of whoever sent them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} ({position})")]
pub struct DecodeError {
    /// The fault.
    pub kind: DecodeErrorKind,
    /// The place of the first byte of the construct that is wrong.
    pub position: Position,
}

/// The faults of bytes that should be a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes are no well-formed XML; the text says what was expected.
    #[error("not well-formed XML: {0}")]
    Syntax(&'static str),
    /// The input ended inside a construct.
    #[error("the XML ends in the middle of {0}")]
    Truncated(&'static str),
    /// The bytes are not in the encoding that they declare, or it is one that masep does not read.
    #[error("encoding: {0}")]
    Encoding(&'static str),
    /// A document type declaration: refused, because entities could be declared in it.
    #[error("a DOCTYPE is refused")]
    Doctype,
    /// An entity other than the five that XML itself has.
    #[error("undefined entity")]
    UndefinedEntity,
    /// A namespace prefix that is not declared.
    #[error("unbound namespace prefix")]
    UnboundPrefix,
    /// An element that needs an attribute of this name has none.
    #[error("the attribute {0} is missing")]
    MissingAttribute(&'static str),
    /// The child of the root is not a `<dict>`.
    #[error("the parameters of a message are a dict, not <{0}>")]
    ParamsNotDict(String),
    /// An `<item>` of a container has no element in it.
    #[error("an item without a value")]
    EmptyItem,
    /// An `<item>` of a `<dict>` has no attribute `key`.
    #[error("an item of a dict without a key")]
    MissingKey,
    /// Elements in a scalar that should hold text.
    #[error("<{0}> holds elements instead of text")]
    ElementInScalar(&'static str),
    /// The text of an `<int>` is no int as Python reads it.
    #[error("not an int: {}", Quoted(_0))]
    InvalidInt(String),
    /// The text of a `<type>` begins as a class but names none.
    #[error("not the name of a type: {}", Quoted(_0))]
    InvalidType(String),
    /// A member of a set that Python could not hash (a list, a set or a dict).
    #[error("a {0} cannot be a member of a set")]
    Unhashable(&'static str),
    /// An element is not what the typed reader expected.
    #[error("{0}")]
    UnexpectedElement(&'static str),
    /// The bytes are no CBOR that masep reads; the text says what was found.
    #[error("not CBOR as masep reads it: {0}")]
    Cbor(&'static str),
    /// The input ended inside an item of CBOR, or before what was claimed.
    #[error("the CBOR ends in the middle of {0}")]
    CborTruncated(&'static str),
    /// A tag of CBOR that no value has.
    #[error("unknown tag {0}")]
    UnknownTag(u64),
    /// An item of CBOR that cannot stand where it is; the text says what should.
    #[error("unexpected item: {0}")]
    UnexpectedItem(&'static str),
    /// A map of CBOR has a key twice.
    #[error("the key {} twice", Quoted(_0))]
    DuplicateKey(String),
    /// An id or another name in a control message has a character that is not
    /// [printable](crate::is_printable).
    #[error("not a printable name: {}", Quoted(_0))]
    NotPrintable(String),
    /// A message in CBOR has not what every message has.
    #[error("the message has no {0}")]
    MissingField(&'static str),
    /// An array whose shape and bytes do not fit, or that is otherwise none.
    #[error(transparent)]
    InvalidArray(ArrayError),
    /// A bound was reached.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl DecodeErrorKind {
    /// True if the bytes are no XML (or CBOR) at all, or none that masep reads. Otherwise they are, but say
    /// something that no message says.
    pub const fn is_malformed(&self) -> bool {
        matches!(
            self,
            Self::Syntax(_)
                | Self::Truncated(_)
                | Self::Encoding(_)
                | Self::Doctype
                | Self::UndefinedEntity
                | Self::UnboundPrefix
                | Self::Cbor(_)
                | Self::CborTruncated(_)
        )
    }

    /// A stable name for programs: `syntax`, `truncated`, `limit`, ...
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "syntax",
            Self::Truncated(_) => "truncated",
            Self::Encoding(_) => "encoding",
            Self::Doctype => "doctype",
            Self::UndefinedEntity => "undefined_entity",
            Self::UnboundPrefix => "unbound_prefix",
            Self::MissingAttribute(_) => "missing_attribute",
            Self::ParamsNotDict(_) => "params_not_dict",
            Self::EmptyItem => "empty_item",
            Self::MissingKey => "missing_key",
            Self::ElementInScalar(_) => "element_in_scalar",
            Self::InvalidInt(_) => "invalid_int",
            Self::InvalidType(_) => "invalid_type",
            Self::Unhashable(_) => "unhashable",
            Self::UnexpectedElement(_) => "unexpected_element",
            Self::Cbor(_) => "cbor",
            Self::CborTruncated(_) => "truncated",
            Self::UnknownTag(_) => "unknown_tag",
            Self::UnexpectedItem(_) => "unexpected_item",
            Self::DuplicateKey(_) => "duplicate_key",
            Self::NotPrintable(_) => "not_printable",
            Self::MissingField(_) => "missing_field",
            Self::InvalidArray(_) => "invalid_array",
            Self::Limit(_) => "limit",
        }
    }
}

/// A value that cannot be sent: the fault of the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A name that XML does not take for an element or an attribute.
    #[error("not an XML name: {}", Quoted(_0))]
    InvalidName(String),
    /// An attribute with a name that its element has already, or behind the content of it.
    #[error("attribute {} twice, or behind the content of its element", Quoted(_0))]
    MisplacedAttribute(String),
    /// Parameters of a message that are no dict: a value of this type.
    #[error("the parameters of a message are a dict, not of type {0}")]
    ParamsNotDict(&'static str),
    /// An array in a message for a peer of pymasep's protocol, or an element that was made of one.
    #[error(
        "{path}: pymasep's XML has no arrays, and this is {array}: send its items as a list (`.tolist()`, \
        in Rust `to_list()`), or have masep on both ends"
    )]
    Array {
        /// The path to the array: `params.observation.camera`.
        path: String,
        /// Its type and shape, `uint8[84,84,4]`; of one in an element that was made of it, the element's name.
        array: String,
    },
    /// A frame that is a message in CBOR, for a peer of pymasep's protocol.
    #[error(
        "pymasep's protocol has no CBOR: send the message, which is written in the form of each peer, or have masep \
        on both ends"
    )]
    Cbor,
    /// An id or another name for a control message of protocol 2 has a character that is not
    /// [printable](crate::is_printable).
    #[error("protocol 2 has printable names alone, and not {}", Quoted(_0))]
    NotPrintable(String),
    /// This peer cannot be sent it, because of the protocol that it speaks.
    #[error("the peer {peer:?} speaks {protocol}: {error}")]
    Peer {
        /// The peer.
        peer: PeerId,
        /// The protocol that the peer speaks.
        protocol: Protocol,
        /// The form that the protocol lacks, and the way out.
        error: Box<Self>,
    },
    /// A bound was reached.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl EncodeError {
    /// A stable name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cbor => "cbor",
            Self::NotPrintable(_) => "not_printable",
            Self::Peer { error, .. } => error.name(),
            Self::InvalidName(_) => "invalid_name",
            Self::MisplacedAttribute(_) => "misplaced_attribute",
            Self::ParamsNotDict(_) => "params_not_dict",
            Self::Array { .. } => "array",
            Self::Limit(_) => "limit",
        }
    }
}
