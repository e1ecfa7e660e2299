//! The right to hand a connection out to [`Server::accept`](crate::Server::accept).

use std::sync::Arc;

use crate::Connection;
use crate::accepted::Arrivals;
use crate::connection::now;

/// One for each task from which a connection may still come. When all are gone, none comes any more.
pub(crate) struct HandOut(Arc<Arrivals<Connection>>);

impl HandOut {
    /// The first one, which is the door's.
    pub(crate) const fn of_door(arrivals: Arc<Arrivals<Connection>>) -> Self {
        Self(arrivals)
    }

    /// Hands a connection out.
    pub(crate) fn push(&self, connection: Connection) {
        self.0.push(connection, now());
    }
}

impl Clone for HandOut {
    fn clone(&self) -> Self {
        self.0.expect();
        Self(self.0.clone())
    }
}

impl Drop for HandOut {
    fn drop(&mut self) {
        self.0.leave();
    }
}
