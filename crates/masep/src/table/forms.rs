//! Observations as frames.

use std::sync::Arc;

use masep_proto::protocol2::Protocol;
use masep_proto::{EncodeError, Encoding, Frame, Message};
use masep_table::TurnData;

/// The last observation in the forms in which it was sent: all spectators get the same.
#[derive(Default)]
pub(crate) struct Forms {
    message: Option<Arc<Message>>,
    pymasep: Option<Frame>,
    masep2: Option<(Option<TurnData>, Frame)>,
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
        match &self.masep2 {
            Some((last, frame)) if *last == turn => Ok(frame.clone()),
            _ => {
                let dict = turn.map(|turn| turn.to_dict());
                let frame = encoding.encode_turn(message, dict.as_ref())?;
                self.masep2 = Some((turn, frame.clone()));
                Ok(frame)
            }
        }
    }
}
