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

mod builder;
mod playing;

#[cfg(feature = "unstable-transport")]
use std::pin::Pin;

use masep_proto::{PeerId, TypeName, Value};
use masep_table::player::Step;
use tokio::time::{sleep_until, timeout};

pub use builder::PlayerBuilder;
pub use masep_table::player::{Backoff, End, Event, Turn};
pub use playing::Told;

use crate::connection::now;
use crate::keeper::CLOSE_GRACE;
use crate::random::random_u64;
use crate::{
    Client, ClientBuilder, ConnectError, Connection, IntoTarget, InvalidAddress, SendError,
};
pub(crate) use playing::{PlayerClient, Playing, player_calls, player_traits};

impl PlayerBuilder {
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
        PlayerBuilder::new(id.into(), game.into())
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
        self.find(|playing| playing.next_turn(now)).await
    }

    /// The next turn, or the next thing that has happened: for programs that tell of losses when they happen.
    /// `None` when the part is over and all was told.
    ///
    /// Cancel safe: as [`next_turn`](Self::next_turn).
    pub async fn next(&mut self) -> Option<Told> {
        self.playing.take_newer(now);
        self.find(|playing| playing.next_told(now)).await
    }

    /// The next thing that has happened, while the user thinks about a turn: a lost connection is made anew meanwhile.
    /// `None` when the part is over and all was told. Turns that come wait.
    ///
    /// Cancel safe: as [`next_turn`](Self::next_turn).
    pub async fn event(&mut self) -> Option<Event> {
        self.find(|playing| playing.session.poll_event()).await
    }

    /// Goes on until there is something, or nothing more to be done.
    async fn find<T>(
        &mut self,
        mut find: impl FnMut(&mut Playing<Client>) -> Option<T>,
    ) -> Option<T> {
        loop {
            if let Some(found) = find(&mut self.playing) {
                return Some(found);
            }
            if !self.go_on().await {
                return find(&mut self.playing);
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
        let Some(turn) = self.playing.begin_answer(action) else {
            return Ok(false);
        };
        let sent = self.send().await;
        self.playing.end_answer(turn, sent)
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
        let builder = ClientBuilder::with(self.playing.begin_attempt());
        match self.dial(builder).await {
            Ok(client) => self.playing.connected(client, now()),
            Err(error) => {
                let random = self.random();
                self.playing.failed(&error, now(), random);
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
            let sent = match &self.playing.client {
                None => Ok(()),
                Some(client) => client.connection().send_turn(message, turn).await,
            };
            self.playing.sent(sent)?;
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

player_traits!(Player, Client);
