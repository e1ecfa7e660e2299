//! One message in the form of each generation of the protocol, for peers of both.

use masep_proto::protocol2::Protocol;
use masep_proto::{EncodeError, Encoding, Frame, Message};

/// A message, and its forms as far as somebody needed them.
pub(crate) struct Forms<'a> {
    message: &'a Message,
    pymasep: Option<Frame>,
    masep2: Option<Frame>,
}

impl<'a> Forms<'a> {
    pub(crate) const fn new(message: &'a Message) -> Self {
        Self {
            message,
            pymasep: None,
            masep2: None,
        }
    }

    /// The message for a peer that speaks this generation. It is encoded once for each; where that fails, the error is
    /// that of the peer's own encoding, which names it.
    pub(crate) fn of<'e>(
        &mut self,
        protocol: Protocol,
        encoding: impl FnOnce() -> &'e Encoding,
    ) -> Result<Frame, EncodeError> {
        let form = match protocol {
            Protocol::Pymasep => &mut self.pymasep,
            _ => &mut self.masep2,
        };
        match form {
            Some(frame) => Ok(frame.clone()),
            None => Ok(form.insert(encoding().encode(self.message)?).clone()),
        }
    }
}
