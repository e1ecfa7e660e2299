//! A player without its way to wait, in both shells.

use std::time::Instant;

use masep_proto::protocol2::{Notice, Rejected};
use masep_proto::tls::TlsFault;
use masep_proto::{Frame, HelloError, Message, Value};
use masep_table::TurnData;
use masep_table::player::{Closed, Event, Session, Step, Turn};

use super::PlayerBuilder;
use crate::endpoint::Endpoint;
use crate::{CloseReason, ConnectError, ConnectErrorKind, SendError, Target, Welcome};

/// A thing that a player is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The next turn.
    Turn(Turn),
    /// Something that has happened.
    Event(Event),
}

/// A player without its way to wait: its part in the game, and its client while there is one.
pub(crate) struct Playing<C> {
    pub(crate) session: Session,
    pub(crate) target: Target,
    pub(crate) options: PlayerBuilder,
    pub(crate) client: Option<C>,
}

impl<C: PlayerClient> Playing<C> {
    /// Takes what has arrived, where there is a turn that may be older. Where there is none, the first read brings what is
    /// there.
    pub(crate) fn take_newer(&mut self, now: impl Fn() -> Instant) {
        while self.session.has_turn() && self.try_take(&now) {}
    }

    /// Takes the rest of what was read.
    fn take_read(&mut self, now: &impl Fn() -> Instant) {
        while self.client.as_ref().is_some_and(C::has_read_more) && self.try_take(now) {}
    }

    /// The next turn, if one has come.
    pub(crate) fn next_turn(&mut self, now: impl Fn() -> Instant) -> Option<Turn> {
        self.take_read(&now);
        self.session.next_turn(now())
    }

    /// The next thing that has happened, or else the next turn.
    pub(crate) fn next_told(&mut self, now: impl Fn() -> Instant) -> Option<Told> {
        self.take_read(&now);
        let event = self.session.poll_event().map(Told::Event);
        event.or_else(|| self.session.next_turn(now()).map(Told::Turn))
    }

    /// Takes a frame that has arrived. False if there is none.
    fn try_take(&mut self, now: &impl Fn() -> Instant) -> bool {
        let frame = match &self.client {
            Some(client) if self.session.step(now()) == Step::Talk => client.try_recv(),
            _ => None,
        };
        frame.map(|frame| self.take(frame, now())).is_some()
    }

    /// Takes in a frame that has arrived, and the notices that came before it. Bytes that are no message are passed over.
    pub(crate) fn take(&mut self, frame: Frame, now: Instant) {
        let Some(client) = &self.client else {
            return;
        };
        while let Some(notice) = client.try_notice() {
            self.session.noticed(&notice);
        }
        if let Some((message, turn)) = client.decode(frame) {
            self.session.received(message, turn, now);
        }
    }

    /// The connection has ended.
    pub(crate) fn lose(&mut self, reason: CloseReason, now: Instant, random: u64) {
        self.client = None;
        lose(&mut self.session, reason, now, random);
    }

    /// An attempt to connect begins: the settings of its client.
    pub(crate) fn begin_attempt(&mut self) -> Endpoint {
        self.client = None;
        self.session.connecting();
        self.options.endpoint(self.session.resume())
    }

    /// The attempt has succeeded.
    pub(crate) fn connected(&mut self, client: C, now: Instant) {
        self.session.opened(client.welcome().as_ref(), now);
        self.client = Some(client);
    }

    /// The attempt has failed.
    pub(crate) fn failed(&mut self, error: &ConnectError, now: Instant, random: u64) {
        fail(&mut self.session, error, now, random);
    }

    /// Answers the turn that was given last: its number. `None` if there is nothing to answer.
    pub(crate) fn begin_answer(&mut self, action: impl Into<Value>) -> Option<u64> {
        let turn = self.session.asked();
        turn.filter(|_| self.session.act(action))
    }

    /// The answer was sent, or cannot be: then the turn can still be answered.
    pub(crate) fn end_answer(
        &mut self,
        turn: u64,
        sent: Result<(), SendError>,
    ) -> Result<bool, SendError> {
        if sent.is_err() {
            self.session.take_back(turn);
        }
        sent.map(|()| true)
    }

    /// The next message was sent, or cannot be.
    pub(crate) fn sent(&mut self, sent: Result<(), SendError>) -> Result<(), SendError> {
        self.session.poll_message();
        match sent {
            // Those who receive are told.
            Err(SendError::Closed(_)) => Ok(()),
            sent => sent,
        }
    }
}

/// The client of a player, of either shell. No call waits.
pub(crate) trait PlayerClient {
    /// The next frame, if one has arrived.
    fn try_recv(&self) -> Option<Frame>;

    /// True if a frame may have come with those that were given, which is known without a look at the socket.
    fn has_read_more(&self) -> bool;

    fn try_notice(&self) -> Option<Notice>;

    /// The server's words when it took this client, if its protocol has any.
    fn welcome(&self) -> Option<Welcome>;

    /// The message in a frame, and the data of its turn beside it. `None` for bytes that are no message.
    fn decode(&self, frame: Frame) -> Option<(Message, Option<TurnData>)>;
}

/// This trait for a shell's client, and those of its player.
macro_rules! player_traits {
    ($player:ty, $client:ty) => {
        impl $crate::player::PlayerClient for $client {
            fn try_recv(&self) -> Option<masep_proto::Frame> {
                self.connection().try_recv().ok()
            }

            fn has_read_more(&self) -> bool {
                self.connection().has_read_more()
            }

            fn try_notice(&self) -> Option<masep_proto::protocol2::Notice> {
                self.connection().try_notice()
            }

            fn welcome(&self) -> Option<crate::Welcome> {
                self.connection().welcome()
            }

            fn decode(
                &self,
                frame: masep_proto::Frame,
            ) -> Option<(masep_proto::Message, Option<masep_table::TurnData>)> {
                let (message, turn) = self.connection().encoding().decode_in_turn(frame).ok()?;
                let turn = turn.as_deref().and_then(masep_table::TurnData::from_cbor);
                Some((message, turn))
            }
        }

        impl std::fmt::Debug for $player {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Player")
                    .field("target", &self.playing.target)
                    .field("end", &self.playing.session.end())
                    .finish_non_exhaustive()
            }
        }
    };
}

pub(crate) use player_traits;

/// The calls that the players of both shells have, which do not wait.
macro_rules! player_calls {
    () => {
        /// True if the turn that was given last waits for [`act`](Self::act).
        pub const fn is_asked(&self) -> bool {
            self.playing.session.asked().is_some()
        }

        /// The end, if it is over.
        pub const fn end(&self) -> Option<&End> {
            self.playing.session.end()
        }

        /// The things that have happened since the last call, in order: connections, losses, answers that did not count. The
        /// latest 256 are kept.
        pub fn events(&mut self) -> Vec<Event> {
            std::iter::from_fn(|| self.playing.session.poll_event()).collect()
        }

        /// The text with which another process gets the seat, at the same life of the engine. Secret. `None` before the
        /// first connection, and at an engine of pymasep's protocol, where the id is enough.
        pub fn resume(&self) -> Option<&str> {
            self.playing.session.resume()
        }

        /// The connection, while there is one.
        pub fn connection(&self) -> Option<&Connection> {
            self.playing.client.as_ref().map(Client::connection)
        }
    };
}

pub(crate) use player_calls;

/// An attempt to connect has failed.
fn fail(session: &mut Session, error: &ConnectError, now: Instant, random: u64) {
    match &error.kind {
        ConnectErrorKind::Rejected(rejected) => {
            session.refused((**rejected).clone(), now, random);
        }
        ConnectErrorKind::OtherProtocol(_) => {
            let rejected = Rejected::new("version", error.to_string());
            session.refused(rejected, now, random);
        }
        // Another attempt would end as this one.
        ConnectErrorKind::TlsSettings(_)
        | ConnectErrorKind::Token(_)
        | ConnectErrorKind::Hello(HelloError::Own(_)) => {
            let rejected = Rejected::new("settings", error.to_string());
            session.refused(rejected, now, random);
        }
        ConnectErrorKind::Tls(fault @ TlsFault::Certificate(_)) => {
            let rejected = Rejected::new(fault.as_str(), error.to_string());
            session.refused(rejected, now, random);
        }
        _ => session.failed(error.to_string(), now, random),
    }
}

/// A connection has ended.
fn lose(session: &mut Session, reason: CloseReason, now: Instant, random: u64) {
    let closed = match reason {
        CloseReason::PeerBye => Closed::Bye,
        CloseReason::PeerByeWith(bye) => Closed::ByeWith(*bye),
        CloseReason::Rejected => {
            let rejected = Rejected::new("refused", reason.to_string());
            return session.refused(rejected, now, random);
        }
        reason => Closed::Lost(reason.to_string()),
    };
    session.closed(closed, now, random);
}
