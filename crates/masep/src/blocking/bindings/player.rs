//! Calls of a player for bindings to other languages, whose threads share one: none of these keeps it for long.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use masep_proto::Value;
use masep_table::player::{Step, Turn};

use crate::blocking::player::Waiting;
use crate::blocking::{Client, ClientBuilder, Player, TimedOut};
use crate::player::Place;
use crate::{ConnectError, SendError};

/// The next thing to do where there is no connection, which is [done](Self::make) without the player.
pub struct Attempt(What);

enum What {
    Connect(Box<(ClientBuilder, Place)>),
    Wait(Duration),
}

/// The outcome of an [`Attempt`], for [`Player::attempted`].
#[derive(Debug)]
pub struct Attempted(Option<Result<Client, ConnectError>>);

impl Attempt {
    /// Connects, or waits for the time of the next attempt, at most this long.
    pub fn make(self, time: Duration) -> Attempted {
        match self.0 {
            What::Connect(connect) => {
                let (builder, place) = *connect;
                Attempted(Some(place.connect(builder)))
            }
            What::Wait(left) => {
                thread::sleep(left.min(time));
                Attempted(None)
            }
        }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            What::Connect(connect) => write!(f, "Connect({:?})", connect.1),
            What::Wait(left) => write!(f, "Wait({left:?})"),
        }
    }
}

impl Player {
    /// The next thing to do where there is no connection; `None` if there is one, or it is over. Only one attempt is made at a
    /// time.
    pub fn next_attempt(&mut self) -> Option<Attempt> {
        let now = Instant::now();
        match self.playing.session.step(now) {
            Step::Connect => Some(Attempt(What::Connect(Box::new(self.begin_attempt())))),
            Step::Wait(next) => Some(Attempt(What::Wait(next.saturating_duration_since(now)))),
            Step::Talk | Step::Over => None,
        }
    }

    /// Takes what has come of an attempt, unless this side has left meanwhile. True if there is a connection, or it is over.
    pub fn attempted(&mut self, attempted: Attempted) -> bool {
        if let Some(connected) = attempted.0
            && self.playing.step() == Step::Connect
        {
            self.playing.attempted(connected);
        }
        matches!(self.playing.step(), Step::Talk | Step::Over)
    }

    /// [`next_turn_timeout`](Self::next_turn_timeout) that makes no connection: [`TimedOut`] also if there is none, see
    /// [`next_attempt`](Self::next_attempt). With no time it does not wait.
    ///
    /// # Errors
    /// [`TimedOut`] if there was no turn in that time, or there is no connection.
    pub fn next_connected(&mut self, time: Duration) -> Result<Option<Turn>, TimedOut> {
        let waiting = Waiting::within(time);
        self.playing.take_newer();
        loop {
            if let Some(turn) = self.playing.next_turn() {
                return Ok(Some(turn));
            }
            match self.playing.step() {
                Step::Talk => self.talk(waiting)?,
                Step::Over => {
                    self.part();
                    return Ok(None);
                }
                Step::Connect | Step::Wait(_) => return Err(TimedOut),
            }
        }
    }

    /// [`act`](Self::act) for the turn of this number, which another thread may have been given since: false if it is not the
    /// one that is to be answered. Does not wait for a peer that takes nothing.
    ///
    /// # Errors
    /// As [`act`](Self::act), and [`SendError::Full`].
    pub fn try_act(&mut self, number: u64, action: impl Into<Value>) -> Result<bool, SendError> {
        let is_asked = self.playing.session.asked() == Some(number);
        if !is_asked || self.playing.begin_answer(action).is_none() {
            return Ok(false);
        }
        let sent = self.send_by(|connection, message, turn| {
            connection.try_send(connection.encoding().encode_turn(message, turn)?)
        });
        self.playing.end_answer(number, sent)
    }
}
