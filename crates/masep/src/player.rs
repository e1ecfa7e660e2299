//! A player's part in a game: turns as they come, answers, and the way back after a lost connection.
//!
//! ```
//! use masep::{Action, Player};
//!
//! # async fn play() -> Result<(), Box<dyn std::error::Error>> {
//! let mut player = Player::builder("agent-1", "countdown.Countdown").join("127.0.0.1:60000")?;
//! while let Some(turn) = player.next_turn().await {
//!     if turn.is_question() {
//!         player.act(Action::new(2)).await?;
//!     }
//! }
//! println!("it ended: {:?}", player.end());
//! # Ok(())
//! # }
//! ```
//!
//! The engine may be a [table](crate::table) or one of pymasep's protocol, whose turns the player counts itself.

use std::fmt;
#[cfg(feature = "unstable-transport")]
use std::pin::Pin;
use std::time::Instant;

use masep_proto::connection::Protocols;
use masep_proto::protocol2::{AccessToken, Notice, Rejected};
use masep_proto::tls::TlsFault;
use masep_proto::{Frame, HelloError, Limits, Message, PeerId, Role, TypeName, Value};
use masep_table::TurnData;
use masep_table::player::{Closed, Part, Session, Step};
use tokio::time::{sleep_until, timeout};

pub use masep_table::player::{Backoff, End, Event, Turn};

use crate::connection::now;
use crate::keeper::CLOSE_GRACE;
use crate::random::random_u64;
use crate::tls::ClientTls;
use crate::{
    Client, ClientBuilder, CloseReason, ConnectError, ConnectErrorKind, Connection,
    ConnectionString, IntoTarget, InvalidAddress, SendError, SocketOptions, Target,
};

/// Configures a [`Player`].
#[derive(Clone, Debug)]
#[must_use]
pub struct PlayerBuilder {
    pub(crate) part: Part,
    pub(crate) seat: Option<String>,
    resume: Option<String>,
    pub(crate) token: Option<AccessToken>,
    pub(crate) credentials: Option<ConnectionString>,
    pub(crate) limits: Limits,
    pub(crate) socket_options: SocketOptions,
    pub(crate) protocols: Protocols,
    pub(crate) tls: Option<Box<ClientTls>>,
}

impl PlayerBuilder {
    /// A player or a spectator. Default [`Role::Actor`].
    pub const fn role(mut self, role: Role) -> Self {
        self.part.role = role;
        self
    }

    /// The name of the seat that it wants. Default any. Only tables of protocol 2 have names.
    pub fn seat(mut self, seat: impl Into<String>) -> Self {
        self.seat = Some(seat.into());
        self
    }

    /// The [resume text](Player::resume) of an earlier process, which had the seat.
    pub fn resume(mut self, resume: impl Into<String>) -> Self {
        self.resume = Some(resume.into());
        self
    }

    /// The access token, which says who it is and what it may do, see [`ClientBuilder::token`].
    pub fn token(mut self, token: impl Into<AccessToken>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The token of a connection string, and whom to trust in TLS, see [`ClientBuilder::credentials`].
    pub fn credentials(mut self, string: &ConnectionString) -> Self {
        self.credentials = Some(string.clone());
        self
    }

    /// The pace of attempts to connect, and when they are given up. Default from 100 ms on, for 60 s.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.part.backoff = backoff;
        self
    }

    /// The bounds of the connection.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Options of the socket.
    pub fn socket_options(mut self, options: SocketOptions) -> Self {
        self.socket_options = options;
        self
    }

    /// The generations of the protocol that it speaks. Default [`Protocols::Both`]. A scheme that insists on one counts
    /// more.
    pub const fn protocols(mut self, protocols: Protocols) -> Self {
        self.protocols = protocols;
        self
    }

    /// The authorities that it trusts in TLS, see [`ClientBuilder::tls`].
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(Box::new(tls));
        self
    }

    /// A player of the game at this address. Nothing is connected before [`Player::next_turn`] is awaited.
    ///
    /// # Errors
    /// Text that is no address.
    pub fn join(self, address: impl IntoTarget) -> Result<Player, InvalidAddress> {
        Ok(Player {
            playing: self.playing(address, now())?,
            #[cfg(feature = "unstable-transport")]
            network: None,
        })
    }

    pub(crate) fn playing<C>(
        self,
        address: impl IntoTarget,
        now: Instant,
    ) -> Result<Playing<C>, InvalidAddress> {
        let mut session = Session::new(self.part.clone(), now);
        if let Some(resume) = &self.resume {
            session.set_resume(resume.clone());
        }
        Ok(Playing {
            session,
            target: address.into_target()?,
            options: self,
            client: None,
        })
    }
}

/// Joins over other transports than sockets.
#[cfg(feature = "unstable-transport")]
impl PlayerBuilder {
    /// As [`join`](Self::join), with another way to connect and chance of one's own, by which the waits between attempts
    /// differ. `connect` gets the builder of each attempt, for [`connect_with`](crate::ClientBuilder::connect_with).
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_over<F>(
        self,
        address: impl IntoTarget,
        connect: impl Fn(ClientBuilder) -> F + Send + Sync + 'static,
        random: impl FnMut() -> u64 + Send + Sync + 'static,
    ) -> Result<Player, InvalidAddress>
    where
        F: Future<Output = Result<Client, ConnectError>> + Send + 'static,
    {
        let mut player = self.join(address)?;
        player.network = Some(Network {
            connect: Box::new(move |builder| Box::pin(connect(builder))),
            random: Box::new(random),
        });
        Ok(player)
    }
}

/// Another way to connect than sockets, and another chance than that of the system.
#[cfg(feature = "unstable-transport")]
struct Network {
    connect: Box<dyn Fn(ClientBuilder) -> Connecting + Send + Sync>,
    random: Box<dyn FnMut() -> u64 + Send + Sync>,
}

#[cfg(feature = "unstable-transport")]
type Connecting = Pin<Box<dyn Future<Output = Result<Client, ConnectError>> + Send>>;

/// The builder of a shell's client, for the next attempt to connect.
macro_rules! client_builder {
    ($client:ty, $options:expr, $session:expr) => {{
        let options: &$crate::player::PlayerBuilder = $options;
        let mut builder = <$client>::builder(options.part.id.clone())
            .limits(options.limits.clone())
            .socket_options(options.socket_options.clone())
            .protocols(options.protocols)
            .role(options.part.role)
            .game(options.part.game.clone());
        if let Some(string) = &options.credentials {
            builder = builder.credentials(string);
        }
        // Settings for TLS count more than those in a connection string.
        if options.tls.is_some() {
            builder = builder.maybe_tls(options.tls.clone());
        }
        if let Some(token) = &options.token {
            builder = builder.token(token.clone());
        }
        if let Some(seat) = &options.seat {
            builder = builder.seat(seat);
        }
        if let Some(resume) = $session.resume() {
            builder = builder.resume(resume);
        }
        builder
    }};
}

pub(crate) use client_builder;

/// An attempt to connect has failed.
pub(crate) fn fail(session: &mut Session, error: &ConnectError, now: Instant, random: u64) {
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

/// The client of a player, of either shell. No call waits.
pub(crate) trait PlayerClient {
    /// The next frame, if one has arrived.
    fn try_recv(&self) -> Option<Frame>;

    /// True if a frame may have come with those that were given, which is known without a look at the socket.
    fn has_read_more(&self) -> bool;

    fn try_notice(&self) -> Option<Notice>;

    /// The message in a frame, and the data of its turn beside it. `None` for bytes that are no message.
    fn decode(&self, frame: Frame) -> Option<(Message, Option<TurnData>)>;
}

/// This trait for a shell's client.
macro_rules! player_client {
    ($client:ty) => {
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

            fn decode(
                &self,
                frame: masep_proto::Frame,
            ) -> Option<(masep_proto::Message, Option<masep_table::TurnData>)> {
                let (message, turn) = self.connection().encoding().decode_in_turn(frame).ok()?;
                let turn = turn.as_deref().and_then(masep_table::TurnData::from_cbor);
                Some((message, turn))
            }
        }
    };
}

pub(crate) use player_client;

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
    pub(crate) fn take_read(&mut self, now: impl Fn() -> Instant) {
        while self.client.as_ref().is_some_and(C::has_read_more) && self.try_take(&now) {}
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
}

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

/// A thing that a player is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The next turn.
    Turn(Turn),
    /// Something that has happened.
    Event(Event),
}

/// A player or spectator, which connects and comes back by itself. See the [module](self).
///
/// When it is dropped, its connection ends with a `BYE`: its seat is away, and can be had again with the
/// [resume text](Self::resume). [`leave`](Self::leave) gives it up.
pub struct Player {
    playing: Playing<Client>,
    #[cfg(feature = "unstable-transport")]
    network: Option<Network>,
}

impl Player {
    /// Configures a player with this id, of this game, a dotted name.
    pub fn builder(id: impl Into<PeerId>, game: impl Into<TypeName>) -> PlayerBuilder {
        PlayerBuilder {
            part: Part {
                id: id.into(),
                role: Role::Actor,
                game: game.into(),
                backoff: Backoff::default(),
            },
            seat: None,
            resume: None,
            token: None,
            credentials: None,
            limits: Limits::default(),
            socket_options: SocketOptions::default(),
            protocols: Protocols::Both,
            tls: None,
        }
    }

    /// The next turn; `None` when the part is over, of which [`end`](Self::end) has the reason. Connects where there is no
    /// connection, again and again until the [patience](Backoff::patience) is over.
    ///
    /// If several observations have arrived, it gives the newest, and each end of an episode. A question is over with
    /// the next turn: an action that comes later is for that turn. A player that has missed too many turns is asked too,
    /// though nothing waits for it: an answer brings it back into the game.
    ///
    /// Cancel safe: a call that is dropped has taken nothing; an attempt to connect begins anew.
    pub async fn next_turn(&mut self) -> Option<Turn> {
        self.playing.take_newer(now);
        loop {
            self.playing.take_read(now);
            if let Some(turn) = self.playing.session.next_turn(now()) {
                return Some(turn);
            }
            if !self.go_on().await {
                return None;
            }
        }
    }

    /// The next turn, or the next thing that has happened: for programs that tell of losses when they happen.
    /// `None` when the part is over and all was told.
    ///
    /// Cancel safe: as [`next_turn`](Self::next_turn).
    pub async fn next(&mut self) -> Option<Told> {
        self.playing.take_newer(now);
        loop {
            self.playing.take_read(now);
            if let Some(event) = self.playing.session.poll_event() {
                return Some(Told::Event(event));
            }
            if let Some(turn) = self.playing.session.next_turn(now()) {
                return Some(Told::Turn(turn));
            }
            if !self.go_on().await && !self.playing.session.has_events() {
                return None;
            }
        }
    }

    /// The next thing that has happened, while the user thinks about a turn: a lost connection is made anew meanwhile.
    /// `None` when the part is over and all was told. Turns that come wait.
    ///
    /// Cancel safe: as [`next_turn`](Self::next_turn).
    pub async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.playing.session.poll_event() {
                return Some(event);
            }
            if !self.go_on().await && !self.playing.session.has_events() {
                return None;
            }
        }
    }

    /// Does the next thing. False if it is over.
    async fn go_on(&mut self) -> bool {
        match self.playing.session.step(now()) {
            Step::Connect => self.connect().await,
            Step::Wait(until) => sleep_until(until.into()).await,
            Step::Talk => self.talk().await,
            Step::Over => {
                self.part().await;
                return false;
            }
        }
        true
    }

    /// Answers the turn that [`next_turn`](Self::next_turn) gave last. If the connection is lost, the answer goes out when
    /// the engine asks again. The next turn tells whether it counted ([`Turn::last`]), and so do [`events`](Self::events).
    ///
    /// Returns false, and sends nothing, if that turn was no question or has been answered.
    ///
    /// Cancel safe: the first poll has answered; a message that did not go out goes with the next call.
    ///
    /// # Errors
    /// [`SendError::Encode`] and [`SendError::TooLarge`] for an action that this engine cannot be sent. The turn can still
    /// be answered.
    pub async fn act(&mut self, action: impl Into<Value>) -> Result<bool, SendError> {
        let turn = self.playing.session.asked();
        if !self.playing.session.act(action) {
            return Ok(false);
        }
        let sent = self.send().await;
        if let (Err(_), Some(turn)) = (&sent, turn) {
            self.playing.session.take_back(turn);
        }
        sent.map(|()| true)
    }

    /// Leaves the game: the seat is given up. The connection ends.
    ///
    /// Cancel safe: a call that is dropped has left, and its connection ends with a `BYE`.
    pub async fn leave(&mut self) -> End {
        self.playing.session.leave();
        self.part().await;
        self.playing.session.end().cloned().unwrap_or(End::Finished)
    }

    player_calls!();

    async fn connect(&mut self) {
        self.playing.client = None;
        self.playing.session.connecting();
        let builder = client_builder!(Client, &self.playing.options, self.playing.session);
        match self.dial(builder).await {
            Ok(client) => {
                self.playing
                    .session
                    .opened(client.connection().welcome().as_ref());
                self.playing.client = Some(client);
            }
            Err(error) => {
                let random = self.random();
                fail(&mut self.playing.session, &error, now(), random);
            }
        }
    }

    async fn dial(&self, builder: ClientBuilder) -> Result<Client, ConnectError> {
        #[cfg(feature = "unstable-transport")]
        if let Some(network) = &self.network {
            return (network.connect)(builder).await;
        }
        builder.connect(self.playing.target.clone()).await
    }

    /// A random number, by which attempts of many players are spread.
    fn random(&mut self) -> u64 {
        #[cfg(feature = "unstable-transport")]
        if let Some(network) = &mut self.network {
            return (network.random)();
        }
        random_u64()
    }

    /// Sends what is to be sent, and takes the next message.
    async fn talk(&mut self) {
        // An action that cannot be sent is told by the call that gives it. All else can be.
        let _ = self.send().await;
        let Some(client) = &self.playing.client else {
            return;
        };
        match client.connection().recv_or_notice().await {
            Ok(Ok(frame)) => self.playing.take(frame, now()),
            Ok(Err(notice)) => self.playing.session.noticed(&notice),
            Err(reason) => {
                let random = self.random();
                self.playing.lose(reason, now(), random);
            }
        }
    }

    async fn send(&mut self) -> Result<(), SendError> {
        while let Some((message, turn)) = self.playing.session.next_message() {
            if let Some(client) = &self.playing.client {
                match client.connection().send_turn(message, turn).await {
                    // Those who receive are told.
                    Ok(()) | Err(SendError::Closed(_)) => {}
                    Err(error) => {
                        self.playing.session.poll_message();
                        return Err(error);
                    }
                }
            }
            self.playing.session.poll_message();
        }
        Ok(())
    }

    /// Ends the connection, in order.
    async fn part(&mut self) {
        let _ = self.send().await;
        if let Some(client) = self.playing.client.take() {
            // It ends in the background too.
            let _ = timeout(CLOSE_GRACE, client.connection().bye()).await;
        }
    }
}

player_client!(Client);

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player")
            .field("target", &self.playing.target)
            .field("end", &self.playing.session.end())
            .finish_non_exhaustive()
    }
}
