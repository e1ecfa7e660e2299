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
use std::time::Instant;

use masep_proto::{PeerId, TypeName, Value};
use masep_table::player::Step;
use tokio::time::{sleep_until, timeout};

pub use builder::PlayerBuilder;
pub use masep_table::player::{Backoff, End, Event, Turn};
pub use playing::Told;

use crate::connection::now;
use crate::discovery::SearchOptions;
use crate::keeper::CLOSE_GRACE;
use crate::{
    Client, ClientBuilder, ConnectError, Connection, IntoTarget, InvalidAddress, SendError,
};
pub(crate) use playing::{Place, PlayerClient, Playing, Received, player_calls, player_traits};

impl PlayerBuilder {
    /// A player of the game at this address. Nothing is connected before [`Player::next_turn`] is awaited.
    ///
    /// # Errors
    /// Text that is no address.
    pub fn join(self, address: impl IntoTarget) -> Result<Player, InvalidAddress> {
        Ok(Player::new(self.playing_at(address, now())?))
    }

    /// A player of the game that the LAN search finds, by the first server that takes it. Each connection searches anew: an
    /// engine that was started again at another port is found. Nothing is asked before [`Player::next_turn`] is awaited.
    pub fn discover(self, options: &SearchOptions) -> Player {
        Player::new(self.playing(Place::OnLan(options.clone()), now()))
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
        player.network = Some(Box::new(move |builder| Box::pin(connect(builder))));
        player.playing.random = Box::new(random);
        Ok(player)
    }
}

/// Another way to connect than sockets.
#[cfg(feature = "unstable-transport")]
type Network = Box<dyn Fn(ClientBuilder) -> Connecting + Send + Sync>;

#[cfg(feature = "unstable-transport")]
type Connecting = Pin<Box<dyn Future<Output = Result<Client, ConnectError>> + Send>>;

/// The way to wait: for as long as it takes.
#[derive(Clone, Copy, Default)]
pub(super) struct Waiting;

type TimedOut = std::convert::Infallible;

impl Waiting {
    async fn rest(self, until: Instant) -> Result<(), TimedOut> {
        sleep_until(until.into()).await;
        Ok(())
    }

    async fn receive(self, connection: &Connection) -> Result<Received, TimedOut> {
        Ok(connection.recv_or_notice().await)
    }
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
    const fn new(playing: Playing<Client>) -> Self {
        Self {
            playing,
            #[cfg(feature = "unstable-transport")]
            network: None,
        }
    }

    /// Configures a player with this id, of this game, a dotted name.
    pub fn builder(id: impl Into<PeerId>, game: impl Into<TypeName>) -> PlayerBuilder {
        PlayerBuilder::new(id.into(), game.into())
    }

    player_calls!(async await);

    async fn dial(&mut self) -> Result<Client, ConnectError> {
        let builder = ClientBuilder::with(self.playing.begin_attempt());
        #[cfg(feature = "unstable-transport")]
        if let Some(network) = &self.network {
            return network(builder).await;
        }
        match &self.playing.place {
            Place::At(target) => builder.connect(target.clone()).await,
            Place::OnLan(options) => builder.discover(options).await,
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
