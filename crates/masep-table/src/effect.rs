//! The things that a shell is to do, and those that a host is told.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use masep_proto::{Message, PeerId};

use crate::view::View;
use crate::{How, Last, PeerKey, SeatId, TurnData};

/// A thing that is to be done. They are to be done in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this to a peer. Nothing is sent to a peer behind its [`Close`](Self::Close).
    Send {
        /// The receiver.
        to: PeerKey,
        /// The thing that it is sent.
        what: Outgoing,
    },
    /// Tell the door about a connection whose `HELLO` was given to
    /// [`Table::handle_hello`](crate::Table::handle_hello).
    Verdict {
        /// The connection.
        to: PeerKey,
        /// The table's word about it.
        verdict: Verdict,
    },
    /// End this connection, behind what it was sent before: with a `BYE`. The table has forgotten it.
    Close {
        /// The connection.
        to: PeerKey,
        /// The reason.
        code: Code,
        /// The same for people.
        text: Cow<'static, str>,
        /// True if the peer may come back by itself.
        may_return: bool,
    },
    /// The time of this peer is over. Give the table what has arrived from it, with the time of arrival and without a
    /// wait, and call [`Table::handle_timeout`](crate::Table::handle_timeout) again.
    LookAt {
        /// The connection.
        to: PeerKey,
    },
    /// Ask the host for the view of this seat anew, and give it to [`Table::set_view`](crate::Table::set_view):
    /// somebody else has the seat now.
    AskView(ViewRequest),
    /// A seat has decided, or it was decided without it. There is one for each seat of each turn.
    Decision(Decision),
    /// Something has happened that the host may want to know.
    Event(Event),
}

/// A view that is to be made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ViewRequest {
    /// The seat.
    pub seat: SeatId,
    /// The open turn.
    pub turn: u64,
    /// The number of the seat's connection.
    pub epoch: u64,
}

/// A thing that a peer is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// An observation. When the stream has taken it, [`Table::handle_sent`](crate::Table::handle_sent) is to be
    /// called; if it cannot be written, [`Table::handle_undeliverable`](crate::Table::handle_undeliverable). All
    /// spectators get the same `Arc`, so that it is encoded once.
    Observation {
        /// The message.
        message: Arc<Message>,
        /// The data of the turn, for a peer of protocol 2.
        turn: Option<TurnData>,
    },
    /// `END`, for a pymasep peer.
    End(Message),
    /// A `NOTICE`, for a peer of protocol 2.
    Notice(Notice),
}

/// The table's word about a connection that has said `HELLO`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The peer is taken.
    Admit(Welcome),
    /// The peer is taken in place of the live connection with the same id, for which there was a [`Effect::Close`]
    /// before.
    Replace(Welcome),
    /// The peer is not taken.
    Reject {
        /// The reason.
        code: Code,
        /// The same for people.
        text: Cow<'static, str>,
    },
}

impl Verdict {
    /// A rejection with the usual text.
    pub const fn reject(code: Code) -> Self {
        let text = Cow::Borrowed(code.text());
        Self::Reject { code, text }
    }
}

/// The table's part of a `WELCOME`. `{:?}` does not show the resume text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Welcome {
    /// The life of the engine.
    pub instance: String,
    /// The name of the seat; `None` for a spectator, and for a peer that has named no role yet.
    pub seat: Option<String>,
    /// The resume text, with which this seat can be had again. Secret.
    pub resume: Option<String>,
    /// The number of this connection among those that the seat has had; 0 without a seat.
    pub epoch: u64,
    /// The decision of the last turn of this player, if it comes back.
    pub last: Option<Last>,
    /// The time that the game waits for this player if its connection is lost.
    pub grace: Option<Duration>,
    /// The game; `None` at a table that takes any.
    pub game: Option<String>,
    /// The number of seats.
    pub seats: usize,
    /// The number of seats that somebody new can have, without the one of this peer.
    pub free: usize,
}

impl fmt::Debug for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("instance", &self.instance)
            .field("seat", &self.seat)
            .field("resume", &self.resume.as_ref().map(|_| "..."))
            .field("epoch", &self.epoch)
            .field("last", &self.last)
            .field("grace", &self.grace)
            .field("game", &self.game)
            .field("seats", &self.seats)
            .field("free", &self.free)
            .finish()
    }
}

/// Something that a peer is told beside the game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The kind of thing.
    pub code: Code,
    /// The same for people.
    pub text: Cow<'static, str>,
    /// The number of the turn that it is about.
    pub about: Option<u64>,
}

/// The reason why a peer is rejected, told something, or its connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The peer names another game.
    UnknownGame,
    /// Its `REGISTER` names another id than its hello.
    IdMismatch,
    /// Its id is that of another player.
    DuplicateId,
    /// No seat is open, or there are too many spectators.
    Full,
    /// The seat that it names is not open.
    SeatTaken,
    /// There is no seat of the name that it gives.
    UnknownSeat,
    /// There is no role of the name that it gives.
    UnknownRole,
    /// It asks for a profile of the protocol, such as an environment of its own, and this is a table.
    UnsupportedProfile,
    /// Its access token is not for this game, role or seat.
    Forbidden,
    /// Its seat was away for too long.
    Gone,
    /// The game is over.
    Over,
    /// Another connection has proved that the seat is its own.
    Replaced,
    /// The peer has left the game.
    Left,
    /// The host has failed.
    Failed,
    /// The peer has answered turns that have not begun, too often.
    BadTurn,
    /// Its action came too late.
    Late,
    /// Its action has counted already.
    Repeated,
    /// There is no action in its action.
    NoAction,
    /// Its message is in the name of somebody else.
    NotYours,
    /// The peer was not asked.
    NotAsked,
    /// The peer has no seat.
    NotAPlayer,
    /// The peer has another role already.
    OtherRole,
    /// Its resume text is of an earlier life of the engine.
    EarlierLife,
    /// Its resume text is of no seat, or no longer.
    UnknownResume,
}

impl Code {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownGame => "unknown_game",
            Self::IdMismatch => "id_mismatch",
            Self::DuplicateId => "duplicate_id",
            Self::Full => "full",
            Self::SeatTaken => "seat_taken",
            Self::UnknownSeat => "unknown_seat",
            Self::UnknownRole => "unknown_role",
            Self::UnsupportedProfile => "unsupported_profile",
            Self::Forbidden => "forbidden",
            Self::Gone => "gone",
            Self::Over => "over",
            Self::Replaced => "replaced",
            Self::Left => "left",
            Self::Failed => "failed",
            Self::BadTurn => "bad_turn",
            Self::Late => "late",
            Self::Repeated => "repeated",
            Self::NoAction => "no_action",
            Self::NotYours => "not_yours",
            Self::NotAsked => "not_asked",
            Self::NotAPlayer => "not_a_player",
            Self::OtherRole => "other_role",
            Self::EarlierLife => "earlier_life",
            Self::UnknownResume => "unknown_resume",
        }
    }

    /// The same for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::UnknownGame => "another game is played here",
            Self::IdMismatch => "REGISTER names another id than the hello",
            Self::DuplicateId => "another player has this id",
            Self::Full => "there is no place",
            Self::SeatTaken => "this seat is not open",
            Self::UnknownSeat => "there is no such seat",
            Self::UnknownRole => "the role is actor or observer",
            Self::UnsupportedProfile => "this is a table: its clients are players and spectators",
            Self::Forbidden => "the access token is not for this game, role or seat",
            Self::Gone => "the game has gone on without you for too long",
            Self::Over => "the game is over",
            Self::Replaced => "another connection has your seat now",
            Self::Left => "you have left the game",
            Self::Failed => "the engine has failed",
            Self::BadTurn => "this turn has not begun",
            Self::Late => "the action came too late",
            Self::Repeated => "the action has counted already",
            Self::NoAction => "there is no action in the message",
            Self::NotYours => "the message is in the name of somebody else",
            Self::NotAsked => "no action was asked for",
            Self::NotAPlayer => "a spectator does not act",
            Self::OtherRole => "the role cannot be changed",
            Self::EarlierLife => "the engine was started anew, and has not known you",
            Self::UnknownResume => "the resume text is of no seat",
        }
    }
}

/// The decision of one seat in one turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The turn's number.
    pub turn: u64,
    /// The seat.
    pub seat: SeatId,
    /// The way in which it was decided.
    pub how: How,
    /// The action. `None` for [`How::None`], and for [`How::Default`] where the host makes it of the
    /// [`view`](Self::view).
    pub action: Option<masep_proto::Value>,
    /// The view of which the host makes the action, for [`Late::Host`](crate::Late::Host).
    pub view: Option<View>,
}

/// Something that has happened, in order. The same events in give the same events out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Somebody has taken a seat.
    Seated {
        /// The seat.
        seat: SeatId,
        /// Its id.
        id: PeerId,
    },
    /// No seat is open, for the first time: each has somebody, or the host has closed it.
    Filled,
    /// The connection of a seat is lost.
    Away(SeatId),
    /// The player of a seat is back.
    Back {
        /// The seat.
        seat: SeatId,
        /// The id that it has now: one that proves its seat otherwise may come with another.
        id: PeerId,
    },
    /// A seat has missed too many turns, and is waited for no longer.
    Asleep(SeatId),
    /// A seat that was asleep has acted.
    Awake(SeatId),
    /// The player of a seat does not come back.
    Gone(SeatId),
    /// A player has left before the game began: its seat is open.
    Vacant(SeatId),
    /// Nobody is left who could decide. Where somebody may come back, the table holds: clocks stand still.
    Emptied,
    /// The number of spectators has changed.
    Spectators(usize),
    /// Something was not taken from a peer. At most three are told for each observation that it is sent.
    Ignored {
        /// The seat of the peer, if it has one.
        seat: Option<SeatId>,
        /// The reason.
        code: Code,
    },
    /// Somebody was not taken, or was sent away: for the game or the role that it names, for a seat, or for want of room.
    /// Nobody is told of those that come when the table is ending.
    Rejected {
        /// The id by which it came.
        id: PeerId,
        /// The reason, which a peer of protocol 2 was told.
        code: Code,
    },
    /// The `env_step` of the host does not rise, where [`Settings::keeps_env_step`](crate::Settings::keeps_env_step)
    /// leaves it alone: a pymasep peer will not answer.
    StepNotRising(SeatId),
    /// All connections have ended: the table is over.
    Ended,
}
