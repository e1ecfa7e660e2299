//! The threads of the connections, and of those who come.

use std::sync::Arc;
use std::thread;

use masep_proto::protocol2::{Bye, Notice};
use masep_proto::{Encoding, Frame, PeerId};
use masep_table::{Code, Hello, Token, Verdict};

use super::shared::Shared;
use crate::blocking::{Connection, Request, Server, SocketHandler};
use crate::random::random_bytes;
use crate::table::driver::Link;
use crate::{CloseReason, SendError};

impl Link for Connection {
    fn peer(&self) -> &PeerId {
        Self::peer(self)
    }

    fn encoding(&self) -> Encoding {
        self.encoding()
    }

    fn send(&self, frame: Frame, _is_left: bool) -> Result<(), SendError> {
        self.try_send(frame)
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
            let link = connection.clone();
            let Some(key) = inner.opening.remove(&connection.id()) else {
                let key = inner.driver.connected(link, now);
                return inner.keep(key, connection);
            };
            inner.keep(key, connection);
            if !inner.driver.opened(key, link, now) {
                inner.forget(connection.id());
            }
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
        let seating = thread::Builder::new().name("masep-seat".into());
        drop(seating.spawn(move || seat(&shared, request)));
    }
}

/// Sees one in.
fn seat(shared: &Arc<Shared>, request: Request) {
    let refuse = |request: Request, code: Code| request.refuse(code.rejected(code.text()));
    let mut hello = match Hello::try_from(request.hello()) {
        Ok(hello) => hello,
        Err(code) => return refuse(request, code),
    };
    hello.grant = request.shared_grant();
    let Ok(token) = random_bytes() else {
        return refuse(request, Code::Failed);
    };
    let id = request.connection();
    let (key, verdict) = shared.with(|inner, now| {
        let key = inner.driver.hello(hello, Token(token), now);
        let verdict = inner.driver.take_verdict();
        if matches!(verdict, Some((_, Verdict::Admit(_) | Verdict::Replace(_)))) {
            inner.opening.insert(id, key);
        }
        (key, verdict)
    });
    let mut welcome = request.welcome();
    let admitting = match verdict {
        Some((_, Verdict::Admit(filling))) => {
            filling.fill(&mut welcome);
            request.admit(welcome)
        }
        Some((_, Verdict::Replace(filling))) => {
            filling.fill(&mut welcome);
            request.replace(welcome)
        }
        Some((_, Verdict::Reject { code, text })) => return request.refuse(code.rejected(&text)),
        None => return refuse(request, Code::Failed),
    };
    if admitting.wait().is_err() {
        shared.with(|inner, now| {
            if inner.opening.remove(&id).is_some() {
                inner.driver.closed(key, now);
            }
        });
    }
}
