//! Players of both libraries behind one face.

use std::time::Duration;

use masep::player::{End, Event, Turn};
use masep::{IntoTarget, PlayerBuilder, SendError, Value, blocking};
use tokio::time::timeout;

use super::{Shell, face, wait};

impl Shell {
    pub fn player(self, builder: PlayerBuilder, target: impl IntoTarget) -> Box<dyn Player> {
        match self {
            Self::Blocking => Box::new(builder.join_blocking(target).unwrap()),
            Self::Async => Box::new(builder.join(target).unwrap()),
        }
    }
}

face! { Player [Send] for blocking::Player, masep::Player;
    in both {
        fn events(&mut self) -> Vec<Event> => { self.events() }
        fn end(&self) -> Option<End> => { self.end().cloned() }
        fn resume(&self) -> Option<String> => { self.resume().map(str::to_owned) }
    }
    in each {
        fn next_turn(&mut self) -> Option<Turn> => { self.next_turn() }, { wait(self.next_turn()) }
        fn event(&mut self) -> Option<Event> => { self.event() }, { wait(self.event()) }
        fn event_within(&mut self, time: Duration) -> Option<Option<Event>> => {
            self.event_timeout(time).ok()
        }, {
            wait(async { timeout(time, self.event()).await.ok() })
        }
        fn act_with(&mut self, action: Value) -> Result<bool, SendError> => {
            self.act(action)
        }, {
            wait(self.act(action))
        }
    }
}

impl dyn Player + '_ {
    pub fn act(&mut self, action: impl Into<Value>) -> Result<bool, SendError> {
        self.act_with(action.into())
    }
}
