//! The threads of the connections, and of those who come.

use std::sync::Arc;

use masep_proto::protocol2::{Bye, Notice};
use masep_proto::{Encoding, Frame, PeerId};
use masep_table::{Code, Verdict};

use super::shared::Shared;
use crate::blocking::{Connection, Request, Server, SocketHandler, spawn};
use crate::table::driver::Link;
use crate::table::joining;
use crate::{CloseReason, SendError};

impl Link for Connection {
    fn peer(&self) -> &PeerId {
        Self::peer(self)
    }

    fn encoding(&self) -> Encoding {
        Self::encoding(self).clone()
    }

    fn send(&self, frame: Frame, _is_left: bool) -> Result<bool, SendError> {
        let is_written = self.offer_now(frame)?.is_none();
        if !is_written {
            self.write_in_background();
        }
        Ok(is_written)
    }

    fn is_written(&self) -> bool {
        self.try_flush().unwrap_or(true)
    }

    fn notice(&self, notice: Notice) {
        // One that does not take notices need not know.
        let _ = Self::notice(self, notice);
    }

    fn bye(&self, bye: Bye) {
        self.shared().begin_end_with(bye);
    }
}

/// Tells the table what happens on the connections.
pub(super) struct Handling(pub(super) Arc<Shared>);

impl SocketHandler for Handling {
    fn on_connect(&self, connection: &Connection) {
        self.0.with(|inner, now| {
            let known = inner.opening.remove(&connection.id());
            let key = inner.driver.arrived(known, connection.clone(), now);
            inner.keys.extend(key.map(|key| (connection.id(), key)));
        });
    }

    fn on_receive(&self, connection: &Connection, frame: Frame) {
        self.0.arrive(connection, frame);
    }

    fn on_close(&self, connection: &Connection, _reason: &CloseReason) {
        self.0.with(|inner, now| {
            if let Some(key) = inner.forget(connection.id()) {
                inner.driver.closed(key, now);
            }
        });
    }
}

/// Asks the table about each that says `HELLO`, until nobody comes any more.
pub(super) fn take_requests(shared: &Arc<Shared>, server: &Server) {
    while let Ok(request) = server.next_request() {
        let shared = shared.clone();
        // One that waits for its id to become free does not hold up others. Without a thread it is refused, by being
        // dropped.
        drop(spawn("seat", move || seat(&shared, request)));
    }
}

/// Sees one in.
fn seat(shared: &Arc<Shared>, request: Request) {
    let id = request.connection();
    let asked = shared.with(|inner, now| {
        let key = joining::ask(&mut inner.driver, &request, now)?;
        let (_, verdict) = inner.driver.take_verdict().ok_or(Code::Failed)?;
        if matches!(verdict, Verdict::Admit(_) | Verdict::Replace(_)) {
            inner.opening.insert(id, key);
        }
        Ok::<_, Code>((key, verdict))
    });
    let (key, verdict) = match asked {
        Ok(asked) => asked,
        Err(code) => return joining::refuse(request, code),
    };
    let Some(admitting) = joining::decide(request, verdict) else {
        return;
    };
    if admitting.wait().is_err() {
        shared.with(|inner, now| {
            if inner.opening.remove(&id).is_some() {
                inner.driver.closed(key, now);
            }
        });
    }
}
