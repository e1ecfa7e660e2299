//! The live connections of a server or client, by the peer's id.

use masep_proto::{Frame, Message};

use super::Connection;
use crate::forms::Forms;
use crate::offered::Offered;
use crate::{SendError, WhenFull};

/// The live connections of a [`Server`](super::Server) or [`Client`](super::Client), by the peer's
/// id: what pymasep's `BaseThreadedCommunication` keeps, with the same calls.
///
/// A connection is in it from its hello to its end. Being in it does not keep it alive. A clone is
/// another handle of the same registry.
pub type Registry = crate::Registry<Connection>;

impl Registry {
    /// Sends a frame to the connection with this id, and blocks as [`Connection::send`].
    ///
    /// # Errors
    /// [`SendError::UnknownPeer`], else as [`Connection::send`].
    pub fn send_frame_to(&self, id: &str, frame: impl Into<Frame>) -> Result<(), SendError> {
        self.known(id)?.send(frame)
    }

    /// [Encodes](Connection::encode) a message for the connection with this id, sends it, and blocks as
    /// [`Connection::send`].
    ///
    /// # Errors
    /// [`SendError::UnknownPeer`], else as [`Connection::send_message`].
    pub fn send_message_to(&self, id: &str, message: &Message) -> Result<(), SendError> {
        self.known(id)?.send_message(message)
    }

    /// Sends one frame to every connection; its bytes are shared, not copied. Returns to how many.
    ///
    /// A connection that has room gets the frame at once. Only then `when_full` decides about the others, as
    /// [`Connection::send_or`] does, so that a slow one holds up nobody. With [`WhenFull::Wait`] this blocks
    /// until their sockets have taken all of it, one after the other; the other policies never block.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] if nobody takes a frame of that size, and [`SendError::Undelivered`] with the peers that do not
    /// if others have it; a connection that ends meanwhile is no error.
    pub fn broadcast(&self, frame: &Frame, when_full: WhenFull) -> Result<usize, SendError> {
        self.send_all(when_full, |_| Ok(frame.clone()))
    }

    fn send_all(
        &self,
        when_full: WhenFull,
        mut frame: impl FnMut(&Connection) -> Result<Frame, SendError>,
    ) -> Result<usize, SendError> {
        let (mut offered, in_part) = self.offer(&mut frame);
        let waits = when_full == WhenFull::Wait;
        if !waits || in_part.len() + offered.without_room.len() > 1 {
            // Otherwise the rest for one would wait until others take theirs.
            in_part.iter().for_each(Connection::write_in_background);
        }
        for connection in in_part {
            offered.sent += usize::from(!waits || connection.flush().is_ok());
        }
        for (connection, _) in std::mem::take(&mut offered.without_room) {
            let sent = frame(&connection).and_then(|frame| connection.send_or(frame, when_full));
            offered.sent += usize::from(sent.is_ok());
        }
        offered.outcome()
    }

    /// Sends one frame to every connection that has room for it, as [`Connection::try_send`], and
    /// returns those that have none, for instance to end them. Never blocks.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast); those without room are among the peers of [`SendError::Undelivered`] then.
    pub fn try_broadcast(&self, frame: &Frame) -> Result<Vec<Connection>, SendError> {
        let (mut offered, in_part) = self.offer(|_| Ok(frame.clone()));
        in_part.iter().for_each(Connection::write_in_background);
        offered.sent += in_part.len();
        offered.into_without_room()
    }

    /// Encodes a message once for each generation of the protocol that is spoken, and sends it to every connection as
    /// [`broadcast`](Self::broadcast) does.
    ///
    /// # Errors
    /// [`SendError::Encode`] if nobody can be sent it, else as [`broadcast`](Self::broadcast): a message with arrays, for
    /// instance, reaches all peers of protocol 2, and the error names those of pymasep's.
    pub fn broadcast_message(
        &self,
        message: &Message,
        when_full: WhenFull,
    ) -> Result<usize, SendError> {
        let mut forms = Forms::new(message);
        self.send_all(when_full, |connection| {
            let frame = forms.of(connection.protocol(), || connection.encoding());
            frame.map_err(SendError::from)
        })
    }

    /// Offers a frame to every connection. Those whose socket took its beginning are apart.
    fn offer(
        &self,
        mut frame: impl FnMut(&Connection) -> Result<Frame, SendError>,
    ) -> (Offered<Connection>, Vec<Connection>) {
        let (mut offered, mut in_part) = (Offered::default(), Vec::new());
        for connection in self.connections() {
            let sent = frame(&connection).and_then(|frame| connection.offer_now(frame));
            match sent {
                Ok(Some(_)) => in_part.push(connection),
                answer => offered.count(&connection, answer.map(drop)),
            }
        }
        (offered, in_part)
    }
}
