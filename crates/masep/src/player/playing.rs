//! A player without its way to wait, in both shells.

use std::time::Instant;

use masep_proto::protocol2::{Notice, Rejected};
use masep_proto::tls::TlsFault;
use masep_proto::{Encoding, Frame, HelloError, Value};
use masep_table::TurnData;
use masep_table::player::{Closed, Event, Session, Step, Turn};

use super::PlayerBuilder;
use crate::discovery::SearchOptions;
use crate::endpoint::Endpoint;
use crate::{CloseReason, ConnectError, ConnectErrorKind, SendError, Target, Welcome};

/// Bytes of frames that have arrived, of which one look for the newest turn takes no more.
const MOST_BYTES: usize = 4 << 20;

/// The outcome of a wait for the next thing on a connection.
pub(crate) type Received = Result<Result<Frame, Notice>, CloseReason>;

/// A thing that a player is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The next turn.
    Turn(Turn),
    /// Something that has happened.
    Event(Event),
}

/// The place of the engine.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    At(Target),
    /// It is searched for on the LAN, for each connection anew.
    OnLan(SearchOptions),
}

/// A player without its way to wait: its part in the game, and its client while there is one.
pub(crate) struct Playing<C> {
    pub(crate) session: Session,
    pub(crate) place: Place,
    pub(crate) options: PlayerBuilder,
    pub(crate) client: Option<C>,
    /// The numbers by which attempts of many players are spread.
    pub(crate) random: Box<dyn FnMut() -> u64 + Send + Sync>,
    /// The error of the last attempt to connect, if that has failed.
    pub(crate) failure: Option<ConnectError>,
}

impl<C: PlayerClient> Playing<C> {
    /// Takes what has arrived, where there is a turn that may be older. Where there is none, the first read brings what is
    /// there.
    pub(crate) fn take_newer(&mut self) {
        self.take_while(|playing| playing.session.has_turn());
    }

    /// Takes the rest of what was read.
    fn take_read(&mut self) {
        self.take_while(|playing| playing.client.as_ref().is_some_and(C::has_read_more));
    }

    /// Takes frames that have arrived, and not for ever where more and more come.
    fn take_while(&mut self, wants_more: impl Fn(&Self) -> bool) {
        let mut bytes = 0;
        while bytes < MOST_BYTES && wants_more(self) {
            let is_open = self.step() == Step::Talk;
            let client = self.client.as_ref().filter(|_| is_open);
            let Some(frame) = client.and_then(C::try_recv) else {
                return;
            };
            // An empty frame has a header too.
            bytes += frame.size() + 2;
            self.take(frame);
        }
    }

    /// The next turn, if one has come.
    pub(crate) fn next_turn(&mut self) -> Option<Turn> {
        self.take_read();
        self.session.next_turn(C::now())
    }

    /// The next thing that has happened, or else the next turn.
    pub(crate) fn next_told(&mut self) -> Option<Told> {
        self.take_read();
        let event = self.next_event().map(Told::Event);
        event.or_else(|| self.session.next_turn(C::now()).map(Told::Turn))
    }

    /// The next thing that has happened.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.session.poll_event()
    }

    /// The next thing to do.
    pub(crate) fn step(&mut self) -> Step {
        self.session.step(C::now())
    }

    /// Takes in a frame that has arrived, and the notices that came before it. Bytes that are no message are passed over.
    fn take(&mut self, frame: Frame) {
        self.take_notices();
        let client = self.client.as_ref();
        let decoded = client.and_then(|it| it.encoding().decode_in_turn(frame).ok());
        if let Some((message, turn)) = decoded {
            let turn = turn.as_deref().and_then(TurnData::from_cbor);
            self.session.received(message, turn, C::now());
        }
    }

    fn take_notices(&mut self) {
        while let Some(notice) = self.client.as_ref().and_then(C::try_notice) {
            self.session.noticed(&notice);
        }
    }

    /// Takes the outcome of a wait for the next thing on the connection.
    pub(crate) fn received(&mut self, received: Received) {
        match received {
            Ok(Ok(frame)) => self.take(frame),
            Ok(Err(notice)) => self.session.noticed(&notice),
            Err(reason) => self.lose(reason),
        }
    }

    /// The connection has ended.
    fn lose(&mut self, reason: CloseReason) {
        self.take_notices();
        self.client = None;
        let closed = match reason {
            CloseReason::PeerBye => Closed::Bye,
            CloseReason::PeerByeWith(bye) => Closed::ByeWith(*bye),
            CloseReason::Rejected => {
                return self.refused(Rejected::new("refused", reason.to_string()));
            }
            reason => Closed::Lost(reason.to_string()),
        };
        self.session.closed(closed, C::now(), (self.random)());
    }

    /// An attempt to connect begins: the settings of its client.
    pub(crate) fn begin_attempt(&mut self) -> Endpoint {
        self.client = None;
        self.session.connecting();
        self.options.endpoint(self.session.resume())
    }

    /// Takes what has come of an attempt to connect.
    pub(crate) fn attempted(&mut self, attempted: Result<C, ConnectError>) {
        let error = match attempted {
            Ok(client) => {
                self.session.opened(client.welcome().as_ref(), C::now());
                self.client = Some(client);
                self.failure = None;
                return;
            }
            Err(error) => error,
        };
        match &error.kind {
            ConnectErrorKind::Rejected(rejected) => self.refused((**rejected).clone()),
            // Another attempt would end as this one.
            ConnectErrorKind::OtherProtocol(_)
            | ConnectErrorKind::TlsSettings(_)
            | ConnectErrorKind::Tls(TlsFault::Certificate(_))
            | ConnectErrorKind::Token(_)
            | ConnectErrorKind::Hello(HelloError::Own(_)) => {
                self.session.cannot_connect(error.to_string());
            }
            _ => {
                let random = (self.random)();
                self.session.failed(error.to_string(), C::now(), random);
            }
        }
        self.failure = Some(error);
    }

    fn refused(&mut self, rejected: Rejected) {
        let random = (self.random)();
        self.session.refused(rejected, C::now(), random);
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
    fn now() -> Instant;

    /// The next frame, if one has arrived.
    fn try_recv(&self) -> Option<Frame>;

    /// True if a frame may have come with those that were given, which is known without a look at the socket.
    fn has_read_more(&self) -> bool;

    fn try_notice(&self) -> Option<Notice>;

    /// The server's words when it took this client, if its protocol has any.
    fn welcome(&self) -> Option<Welcome>;

    fn encoding(&self) -> &Encoding;
}

/// This trait for a shell's client, and those of its player.
macro_rules! player_traits {
    ($player:ty, $client:ty) => {
        impl $crate::player::PlayerClient for $client {
            fn now() -> std::time::Instant {
                now()
            }

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

            fn encoding(&self) -> &masep_proto::Encoding {
                self.connection().encoding()
            }
        }

        impl std::fmt::Debug for $player {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct("Player")
                    .field("place", &self.playing.place)
                    .field("end", &self.playing.session.end())
                    .finish_non_exhaustive()
            }
        }
    };
}

pub(crate) use player_traits;

/// The calls of the players of both shells, and their way through the steps of a session. A shell has a `Waiting`,
/// `TimedOut`, and a player's `dial`, `send` and `part`; the one in which these wait gives `async` and `await`.
macro_rules! player_calls {
    ($($async:ident $await:ident)?) => {
        /// The next turn; `None` when the part is over, of which [`end`](Self::end) has the reason. Connects where there is no
        /// connection, again and again until the [patience](crate::player::Backoff::patience) is over.
        ///
        /// If several observations have arrived, it gives the newest, and each end of an episode. A question is over with
        /// the next turn: an action that comes later is for that turn. A player that has missed too many turns is asked too,
        /// though nothing waits for it: an answer brings it back into the game.
        $(#[doc = crate::shells::of_async!($async
            "Cancel safe: a call that is dropped has taken nothing; an attempt to connect begins anew.")])?
        pub $($async)? fn next_turn(&mut self) -> Option<Turn> {
            self.playing.take_newer();
            let found = self.find(Waiting::default(), Playing::next_turn)$(.$await)?;
            found.unwrap_or(None)
        }

        /// The next turn, or the next thing that has happened: for programs that tell of losses when they happen.
        /// `None` when the part is over and all was told.
        $(#[doc = crate::shells::of_async!($async "Cancel safe: as [`next_turn`](Self::next_turn).")])?
        #[allow(clippy::should_implement_trait, reason = "it waits")]
        pub $($async)? fn next(&mut self) -> Option<Told> {
            self.playing.take_newer();
            let found = self.find(Waiting::default(), Playing::next_told)$(.$await)?;
            found.unwrap_or(None)
        }

        /// The next thing that has happened, while the user thinks about a turn: a lost connection is made anew meanwhile.
        /// `None` when the part is over and all was told. Turns that come wait.
        $(#[doc = crate::shells::of_async!($async "Cancel safe: as [`next_turn`](Self::next_turn).")])?
        pub $($async)? fn event(&mut self) -> Option<Event> {
            let found = self.find(Waiting::default(), Playing::next_event)$(.$await)?;
            found.unwrap_or(None)
        }

        /// Answers the turn that [`next_turn`](Self::next_turn) gave last. If the connection is lost, the answer goes out when
        /// the engine asks again. The next turn tells whether it counted ([`Turn::last`]), and so do [`events`](Self::events).
        ///
        /// Returns false, and sends nothing, if that turn was no question or has been answered.
        $(#[doc = crate::shells::of_async!($async
            "Cancel safe: the first poll has answered; a message that did not go out goes with the next call.")])?
        ///
        /// # Errors
        /// [`SendError::Encode`] and [`SendError::TooLarge`] for an action that this engine cannot be sent. The turn can still
        /// be answered.
        pub $($async)? fn act(&mut self, action: impl Into<Value>) -> Result<bool, SendError> {
            let Some(turn) = self.playing.begin_answer(action) else {
                return Ok(false);
            };
            let sent = self.send()$(.$await)?;
            self.playing.end_answer(turn, sent)
        }

        /// Leaves the game: the seat is given up. The connection ends.
        $(#[doc = crate::shells::of_async!($async
            "Cancel safe: a call that is dropped has left, and its connection ends with a `BYE`.")])?
        pub $($async)? fn leave(&mut self) -> End {
            self.playing.session.leave();
            self.part()$(.$await)?;
            self.playing.session.end().cloned().unwrap_or(End::Finished)
        }

        /// True if the turn that was given last waits for [`act`](Self::act).
        pub const fn is_asked(&self) -> bool {
            self.playing.session.asked().is_some()
        }

        /// The end, if it is over.
        pub const fn end(&self) -> Option<&End> {
            self.playing.session.end()
        }

        /// The error of the last attempt to connect, if that has failed: the reason of [`End::CannotConnect`], and of
        /// [`End::GaveUp`] where no connection came about.
        pub const fn failure(&self) -> Option<&ConnectError> {
            self.playing.failure.as_ref()
        }

        /// [`failure`](Self::failure) for keeps. The player is dropped.
        pub fn into_failure(self) -> Option<ConnectError> {
            self.playing.failure
        }

        /// The things that have happened since the last call, in order: connections, losses, answers that did not count. The
        /// latest 256 are kept.
        pub fn events(&mut self) -> Vec<Event> {
            std::iter::from_fn(|| self.playing.next_event()).collect()
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

        /// Goes on until there is something, or nothing more to be done.
        $($async)? fn find<T>(
            &mut self,
            waiting: Waiting,
            mut find: impl FnMut(&mut Playing<Client>) -> Option<T>,
        ) -> Result<Option<T>, TimedOut> {
            loop {
                if let Some(found) = find(&mut self.playing) {
                    return Ok(Some(found));
                }
                match self.playing.step() {
                    Step::Connect => {
                        let attempted = self.dial()$(.$await)?;
                        self.playing.attempted(attempted);
                    }
                    Step::Wait(until) => waiting.rest(until)$(.$await)??,
                    Step::Talk => self.talk(waiting)$(.$await)??,
                    Step::Over => {
                        self.part()$(.$await)?;
                        return Ok(find(&mut self.playing));
                    }
                }
            }
        }

        /// Sends what is to be sent, and takes the next message.
        pub(super) $($async)? fn talk(&mut self, waiting: Waiting) -> Result<(), TimedOut> {
            // An action that cannot be sent is told by the call that gives it. All else can be.
            let _ = self.send()$(.$await)?;
            let Some(client) = &self.playing.client else {
                return Ok(());
            };
            let received = waiting.receive(client.connection())$(.$await)??;
            self.playing.received(received);
            Ok(())
        }
    };
}

pub(crate) use player_calls;
