//! Observations as frames.

use std::sync::Arc;

use masep_proto::protocol2::Protocol;
use masep_proto::{EncodeError, Encoding, ForTurns, Frame, Message};
use masep_table::TurnData;

/// The last observation in the forms in which it was sent: all spectators get the same.
#[derive(Default)]
pub(crate) struct Forms {
    message: Option<Arc<Message>>,
    pymasep: Option<Frame>,
    /// With the turn of the last one that was sent it.
    masep2: Option<(TurnData, Frame)>,
    for_turns: Option<ForTurns>,
}

impl Forms {
    /// An observation as a frame for peers with this encoding.
    pub(crate) fn of(
        &mut self,
        message: &Arc<Message>,
        turn: Option<TurnData>,
        encoding: &Encoding,
    ) -> Result<Frame, EncodeError> {
        let is_same = |last: &Arc<Message>| Arc::ptr_eq(last, message);
        if !self.message.as_ref().is_some_and(is_same) {
            *self = Self {
                message: Some(message.clone()),
                ..Self::default()
            };
        }
        if encoding.protocol() == Protocol::Pymasep {
            return match &self.pymasep {
                Some(frame) => Ok(frame.clone()),
                None => Ok(self.pymasep.insert(encoding.encode(message)?).clone()),
            };
        }
        let Some(turn) = turn else {
            return encoding.encode(message);
        };
        if let Some((last, frame)) = &self.masep2
            && *last == turn
        {
            return Ok(frame.clone());
        }
        let made = match self.for_turns.take() {
            Some(made) => made,
            None => match encoding.encode_for_turns(message)? {
                Some(made) => made,
                None => return encoding.encode(message),
            },
        };
        let frame = made.frame(|map| turn.write(map));
        self.for_turns = Some(made);
        self.masep2 = Some((turn, frame.clone()));
        Ok(frame)
    }
}
