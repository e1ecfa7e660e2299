//! The live connections of a server or client, by the peer's id.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

use masep_proto::{Frame, Message, PeerId};

use crate::connection::now;
use crate::forms::Forms;
use crate::handle::{ConnectionInfo, Handle};
use crate::offered::Offered;
use crate::sync::{Mutex, MutexGuard};
use crate::{Connection, SendError, WhenFull};

/// The live connections of a [`Server`](crate::Server) or [`Client`](crate::Client), by the peer's
/// id. It has the calls of the registry in pymasep's `BaseThreadedCommunication`. That of [blocking](crate::blocking)
/// connections has calls that block.
///
/// A connection is in it from its hello to its end. Being in it does not keep it alive. A clone is another handle of the
/// same registry.
#[derive(Clone)]
pub struct Registry<C = Connection> {
    known: Arc<Mutex<Known<C>>>,
}

struct Known<C> {
    /// In an order that depends on nothing but the ids, so that a simulation can be repeated.
    connections: BTreeMap<PeerId, C>,
    /// The server has ended, and ends all that it finds here.
    is_closed: bool,
}

impl<C: Handle> Registry<C> {
    fn lock(&self) -> MutexGuard<'_, Known<C>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a connection under its peer's id, in place of any other one, by a handle that does not keep it alive. False
    /// if the server has [ended](Self::close): nobody would end the connection.
    pub(crate) fn add(&self, connection: C) -> bool {
        let mut known = self.lock();
        let is_open = !known.is_closed;
        let dropped = match is_open {
            true => (known.connections).insert(connection.peer().clone(), connection),
            false => Some(connection),
        };
        drop(known);
        // Not under the lock.
        drop(dropped);
        is_open
    }

    /// Takes no more connections, and gives those that it has, whether they are open or about to be.
    pub(crate) fn close(&self) -> Vec<C> {
        let mut known = self.lock();
        known.is_closed = true;
        let connections: Vec<C> = known.connections.values().cloned().collect();
        drop(known);
        // One of which the user knows that it has ended may wait for its handler.
        let has_more = |it: &C| it.is_live() || !it.is_ended();
        connections.into_iter().filter(has_more).collect()
    }

    /// Takes a connection out, unless another one has its id by now.
    pub(crate) fn remove(&self, connection: &ConnectionInfo) {
        let mut known = self.lock();
        let named = known.connections.get(connection.peer());
        let is_it = named.is_some_and(|named| named.id() == connection.id);
        let removed = is_it.then(|| known.connections.remove(connection.peer()));
        drop(known);
        // Not under the lock.
        drop(removed);
    }

    /// The connection with this id.
    pub fn get_connection(&self, id: &str) -> Option<C> {
        // Not dropped under the lock: it may be the last handle by now, whose end takes the connection out.
        let known = self.lock().connections.get(id).cloned();
        known.filter(C::is_live)
    }

    pub(crate) fn known(&self, id: &str) -> Result<C, SendError> {
        self.get_connection(id)
            .ok_or_else(|| SendError::UnknownPeer(PeerId::from(id)))
    }

    /// True if there is a connection with this id.
    pub fn is_connection_registered(&self, id: &str) -> bool {
        (self.lock().connections.get(id)).is_some_and(C::is_live)
    }

    /// All connections, in the order of their ids.
    pub fn connections(&self) -> Vec<C> {
        let connections: Vec<C> = self.lock().connections.values().cloned().collect();
        connections.into_iter().filter(C::is_live).collect()
    }

    /// The number of connections.
    pub fn len(&self) -> usize {
        let known = self.lock();
        known.connections.values().filter(|it| it.is_live()).count()
    }

    /// True if there is no connection.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<C> Default for Registry<C> {
    fn default() -> Self {
        Self {
            known: Arc::new(Mutex::new(Known {
                connections: BTreeMap::new(),
                is_closed: false,
            })),
        }
    }
}

impl<C: Handle> fmt::Debug for Registry<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.lock().connections.keys())
            .finish()
    }
}

impl Registry {
    /// Sends a frame to the connection with this id, as [`Connection::send`].
    ///
    /// Cancel safe: a call that is dropped has sent nothing.
    ///
    /// # Errors
    /// [`SendError::UnknownPeer`], else as [`Connection::send`].
    pub async fn send_frame_to(&self, id: &str, frame: impl Into<Frame>) -> Result<(), SendError> {
        let connection = self.known(id)?;
        connection.send(frame).await
    }

    /// [Encodes](Connection::encode) a message for the connection with this id, and sends it as
    /// [`Connection::send`].
    ///
    /// Cancel safe: a call that is dropped has sent nothing.
    ///
    /// # Errors
    /// [`SendError::UnknownPeer`], else as [`Connection::send_message`].
    pub async fn send_message_to(&self, id: &str, message: &Message) -> Result<(), SendError> {
        let connection = self.known(id)?;
        connection.send_message(message).await
    }

    /// Sends one frame to every connection; its bytes are shared, not copied, where they are more than a few
    /// hundred. Returns to how many.
    ///
    /// A connection that has room gets the frame at once. Only then `when_full` decides about the others, so that
    /// a slow one holds up nobody. With [`WhenFull::Wait`] this returns when all have it, at the
    /// latest when those that take nothing are ended
    /// ([`Limits::write_time`](crate::Limits::write_time)).
    ///
    /// Not cancel safe: a call that is dropped has sent to some.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] if nobody takes a frame of that size, and [`SendError::Undelivered`] with the peers that do not
    /// if others have it; a connection that ends meanwhile is no error.
    pub async fn broadcast(&self, frame: &Frame, when_full: WhenFull) -> Result<usize, SendError> {
        send_to_rest(self.offer(frame), when_full, |_| Ok(frame.clone())).await
    }

    /// Sends one frame to every connection that has room for it, as [`Connection::try_send`], and
    /// returns those that have none, for instance to end them. Does not wait.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast); those without room are among the peers of [`SendError::Undelivered`] then.
    pub fn try_broadcast(&self, frame: &Frame) -> Result<Vec<Connection>, SendError> {
        self.offer(frame).into_without_room()
    }

    /// Queues a frame where there is room for it.
    fn offer(&self, frame: &Frame) -> Offered<Connection> {
        let mut offered = Offered::default();
        let mut next = None;
        let time = now();
        for connection in self.lock().connections.values() {
            // Another one is needed only if the last was taken.
            next.get_or_insert_with(|| frame.clone());
            let queued = connection.try_queue(&mut next, time);
            offered.count(connection, queued);
        }
        offered
    }

    /// Encodes a message once for each generation of the protocol that is spoken, and sends it to every connection as
    /// [`broadcast`](Self::broadcast) does.
    ///
    /// Not cancel safe: a call that is dropped has sent to some.
    ///
    /// # Errors
    /// [`SendError::Encode`] if nobody can be sent it, else as [`broadcast`](Self::broadcast): a message with arrays, for
    /// instance, reaches all peers of protocol 2, and the error names those of pymasep's.
    pub async fn broadcast_message(
        &self,
        message: &Message,
        when_full: WhenFull,
    ) -> Result<usize, SendError> {
        let mut forms = Forms::new(message);
        let mut form = |connection: &Connection| {
            let frame = forms.of(connection.protocol(), || connection.encoding());
            frame.map_err(SendError::from)
        };
        let mut offered = Offered::default();
        let time = now();
        for connection in self.connections() {
            let queued =
                form(&connection).and_then(|frame| connection.try_queue(&mut Some(frame), time));
            offered.count(&connection, queued);
        }
        send_to_rest(offered, when_full, form).await
    }
}

/// Sends a frame by the policy to those that had no room for it: to how many it was sent in all.
async fn send_to_rest(
    mut offered: Offered<Connection>,
    when_full: WhenFull,
    mut frame: impl FnMut(&Connection) -> Result<Frame, SendError>,
) -> Result<usize, SendError> {
    for (connection, _) in std::mem::take(&mut offered.without_room) {
        if let Ok(frame) = frame(&connection) {
            let sent = connection.send_or(frame, when_full).await;
            offered.sent += usize::from(sent.is_ok());
        }
    }
    offered.outcome()
}

#[cfg(test)]
mod tests {
    use crate::{Client, ConnectError, ConnectErrorKind, Server, blocking};

    fn code<T>(connected: Result<T, ConnectError>) -> String {
        match connected.map(drop).unwrap_err().kind {
            ConnectErrorKind::Rejected(rejected) => rejected.code.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// The server ends when its door has taken the client, and before that is known here.
    #[tokio::test]
    async fn a_client_that_is_taken_while_the_server_ends_is_refused() {
        let server = Server::builder("engine").bind("127.0.0.1:0").await.unwrap();
        assert_eq!(server.registry().close().len(), 0);
        let address = format!("masep://{}", server.local_address());
        let connected = Client::builder("agent").connect(&address).await;
        assert_eq!(code(connected), "stopped");
        assert!(server.registry().is_empty());
    }

    #[test]
    fn a_client_that_is_taken_while_the_server_ends_is_refused_without_async() {
        let server = blocking::Server::builder("engine");
        let server = server.bind("127.0.0.1:0").unwrap();
        assert_eq!(server.registry().close().len(), 0);
        let address = format!("masep://{}", server.local_address());
        let connected = blocking::Client::builder("agent").connect(&address);
        assert_eq!(code(connected), "stopped");
        assert!(server.registry().is_empty());
    }
}
