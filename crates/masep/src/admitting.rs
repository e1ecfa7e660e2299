//! The connections at the door of a server, and the decisions about them: the same in both shells, which carry them out.

mod settings;
mod state;
mod telling;

use std::fmt::Display;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::{Instant, SystemTime};

use masep_proto::access::{Grant, Grants};
use masep_proto::admission::{Admission, Decision, Entrance, Ticket};
use masep_proto::connection::{Connection as Core, HelloFailure};
use masep_proto::protocol2::Welcome;

use crate::access::Renews;
#[cfg(feature = "unstable-bindings")]
use crate::blocking::Detached;
use crate::handle::SharedConnection;
use crate::request::{Decides, Request};
use crate::sync::{Mutex, MutexGuard, Notify};
use crate::{Address, RejectReason};

pub(crate) use settings::DoorSettings;
pub(crate) use state::{Decided, DoorNews, DoorState};
pub(crate) use telling::{OnReject, Telling};

/// The parts of a door that are the same in both shells.
pub(crate) struct DoorParts<C> {
    pub(crate) settings: DoorSettings,
    state: Mutex<DoorState<C>>,
    /// The host is asked about a connection, or will not be any more.
    requested: Notify,
}

impl<C: SharedConnection> DoorParts<C> {
    pub(crate) fn new(settings: DoorSettings) -> Self {
        Self {
            state: Mutex::new(DoorState::new(&settings)),
            settings,
            requested: Notify::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, DoorState<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A door of either shell.
pub(crate) trait Admits: Send + Sync + Sized + 'static {
    type Connection: SharedConnection;

    fn now() -> Instant;

    fn parts(&self) -> &DoorParts<Self::Connection>;

    fn settings(&self) -> &DoorSettings {
        &self.parts().settings
    }

    /// Makes a change. The decisions that follow from it are carried out when the lock was let go.
    fn update<T>(
        self: &Arc<Self>,
        change: impl FnOnce(&mut DoorState<Self::Connection>) -> T,
    ) -> T {
        let mut state = self.parts().lock();
        let answer = change(&mut state);
        let decided: Vec<_> = std::iter::from_fn(|| state.next_decided(self)).collect();
        let news = state.take_news();
        drop(state);
        for (connection, decided) in decided {
            self.carry_out(&connection, decided);
        }
        self.tell(news);
        answer
    }

    fn carry_out(&self, connection: &Arc<Self::Connection>, decided: Decided) {
        match decided {
            Decided::Admit(welcome, grant) => {
                connection.info().note_grant(grant);
                self.admit(connection, welcome.map(|welcome| *welcome));
            }
            Decided::Refuse(refusal) => {
                connection.end_by(|core, now| core.turn_away(refusal, now));
            }
            Decided::Look => connection.look(),
            Decided::SendAway(reason) => {
                connection.end_by(|core, now| core.send_away(reason, now));
            }
        }
    }

    /// Takes a connection, which is in the registry before its peer can know, and tells the peer so.
    fn admit(&self, connection: &Arc<Self::Connection>, welcome: Option<Welcome>);

    /// A connection has arrived, which the next one may already crowd out. True if it is heard; it is refused if not.
    fn arrive(
        self: &Arc<Self>,
        address: &Address,
        entrance: Entrance,
        connection: impl FnOnce(Visit<Self>) -> Arc<Self::Connection>,
    ) -> (Visit<Self>, Arc<Self::Connection>, bool) {
        let from = address.tcp().map(|address| address.ip());
        self.update(|state| {
            let (ticket, is_heard) = state.admission.arrive(from, entrance);
            let visit = Visit {
                door: self.clone(),
                ticket,
            };
            let connection = connection(visit.clone());
            state.connections.insert(ticket, connection.clone());
            (visit, connection, is_heard)
        })
    }

    /// Lets nobody else in. Those that were not admitted yet are refused.
    fn stop_admitting(self: &Arc<Self>) {
        self.ask(|admission, _| admission.stop());
        self.parts().requested.notify_waiters();
    }

    /// Gives up a client, as [`Decides::hand_over`]. The stream of an async server's is its runtime's.
    #[cfg(feature = "unstable-bindings")]
    fn give_up(self: &Arc<Self>, _ticket: Ticket) -> Option<std::io::Result<Detached>> {
        None
    }

    /// The next connection about which the host is asked; `None` when none comes any more. Cancel safe.
    async fn next_request(self: &Arc<Self>) -> Option<Request> {
        loop {
            let mut requested = pin!(self.parts().requested.notified());
            // From here on no request is missed.
            requested.as_mut().enable();
            if let Some(next) = self.update(|state| state.next_request(self)) {
                return next;
            }
            requested.await;
        }
    }

    /// Makes a call of the admission.
    fn ask<T>(self: &Arc<Self>, call: impl FnOnce(&mut Admission, Instant) -> T) -> T {
        self.update(|state| call(&mut state.admission, Self::now()))
    }

    /// Settles what has waited for too long. The time at which the one who asks is to look at the time again.
    fn keep_time(self: &Arc<Self>) -> Option<Instant> {
        self.update(|state| {
            state.admission.handle_timeout(Self::now());
            state.next_look.0 = state.admission.deadline();
            state.next_look.0
        })
    }

    /// Has the one who looks at the time do so earlier.
    fn hurry(&self);

    /// Tells the news to those whom they concern, when the lock was let go.
    fn tell(&self, news: DoorNews) {
        for (told, outcome) in news.ended {
            // Nobody may want to know.
            let _ = told.send(outcome);
        }
        #[cfg(feature = "unstable-bindings")]
        for (away, reason) in news.ended_away {
            away.end(reason);
        }
        if news.has_asked {
            self.parts().requested.notify_one();
        }
        if news.is_earlier {
            self.hurry();
        }
        for request in news.access {
            self.settings().server.access.ask(request);
        }
    }

    /// Begins a call that tells the host's handler of a refusal; `None` if there are as many as may be.
    fn begin_to_tell(self: &Arc<Self>) -> Option<Telling<Self>> {
        let may_tell = self.ask(|admission, _| admission.tell());
        may_tell.then(|| Telling(self.clone()))
    }

    /// Tells the log and the host's function of a connection that was not taken. `is_in_span`: the span of the log has its
    /// address.
    fn tell_of_refusal(
        self: &Arc<Self>,
        address: &Address,
        reason: &RejectReason,
        is_in_span: bool,
    ) {
        let shown = (!is_in_span).then_some(address);
        self.log_refusal(reason, Some(reason.as_str()), shown);
        if let Some(on_reject) = &self.settings().server.on_reject {
            on_reject.call(address, reason);
        }
    }

    /// Tells the log of a refusal, at a pace. `code`: a word for the reason; `address`: where the span of the log does not
    /// have it.
    fn log_refusal(
        self: &Arc<Self>,
        reason: &dyn Display,
        code: Option<&str>,
        address: Option<&Address>,
    ) {
        let address = address.map(tracing::field::display);
        match self.ask(Admission::log_refusal) {
            Some(skipped) => {
                let skipped = (skipped > 0).then_some(skipped);
                tracing::info!(address, reason = code, skipped, "refused: {reason}");
            }
            None => tracing::debug!(address, reason = code, "refused: {reason}"),
        }
    }
}

/// A connection at a door, as it tells the door of itself.
pub(crate) struct Visit<D> {
    pub(crate) door: Arc<D>,
    pub(crate) ticket: Ticket,
}

impl<D> Clone for Visit<D> {
    fn clone(&self) -> Self {
        Self {
            door: self.door.clone(),
            ticket: self.ticket,
        }
    }
}

impl<D: Admits> Visit<D> {
    /// The connection has said hello.
    pub(crate) fn hello(&self, connection: &D::Connection) {
        let said = |core: &Core| (core.peer().cloned(), core.hello().cloned());
        let (Some(id), hello) = connection.look_at(said) else {
            return;
        };
        let (ticket, date) = (self.ticket, SystemTime::now());
        (self.door).ask(|admission, now| admission.hello(ticket, &id, hello.as_ref(), now, date));
    }

    /// The connection is open, or will not be: the host may wait to be told.
    pub(crate) fn tell_host(&self, outcome: Result<(), RejectReason>) {
        self.door
            .update(|state| state.requests.end(self.ticket, outcome));
    }

    /// The reason for which the connection was never open: the door's, or that of its failure. One whose farewell is not to
    /// be seen out is cut off.
    pub(crate) fn reject_reason(
        &self,
        refusal: Option<RejectReason>,
        failure: Option<HelloFailure>,
        cut_off: impl FnOnce(),
    ) -> RejectReason {
        refusal.unwrap_or_else(|| {
            if !self.door.ask(|admission, _| admission.failed(self.ticket)) {
                cut_off();
            }
            failure.map_or(RejectReason::ClosedBeforeHello, RejectReason::from)
        })
    }

    /// The connection has a reason to end. Before that it was open, of which another thread may still be telling the host.
    pub(crate) fn begin_to_end(&self) {
        self.door.update(|state| {
            state.requests.end(self.ticket, Ok(()));
            state.admission.ending(self.ticket);
        });
    }

    /// The peer was told of the end, and the handler is being told.
    pub(crate) fn close(&self) {
        (self.door).ask(|admission, now| admission.closed(self.ticket, now));
    }

    /// The connection is gone: its id and its place are free.
    pub(crate) fn leave(&self) {
        self.door.update(|state| state.leave(self.ticket));
    }
}

impl<D: Admits> Renews for D {
    fn renew(self: Arc<Self>, grants: Option<Grants>, date: SystemTime) {
        self.ask(|admission, _| match grants {
            Some(grants) => admission.renew(grants, date),
            None => admission.expire(date),
        });
    }
}

impl<D: Admits> Decides for D {
    fn let_in(self: Arc<Self>, ticket: Ticket, grant: Option<Grant>) {
        self.ask(|admission, now| admission.let_in(ticket, grant, now));
    }

    fn decide(self: Arc<Self>, ticket: Ticket, decision: Decision, welcome: Option<Welcome>) {
        self.update(|state| {
            if let Some(seat) = welcome.as_ref().and_then(|welcome| welcome.seat.clone()) {
                state.admission.seat(ticket, seat);
            }
            state.requests.keep_welcome(ticket, welcome);
            state.admission.decide(ticket, decision, Self::now());
        });
    }

    #[cfg(feature = "unstable-bindings")]
    fn hand_over(self: Arc<Self>, ticket: Ticket) -> Option<std::io::Result<Detached>> {
        self.give_up(ticket)
    }
}
