//! The state of a door, behind its lock: the connections, and the decisions of [`Admission`] about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use masep_proto::access::Grant;
use masep_proto::admission::{Admission, DoorEvent, Refusal, Ticket};
use masep_proto::protocol2::Welcome;
use tokio::sync::oneshot;

use super::{Admits, DoorSettings};
use crate::access::AccessRequest;
#[cfg(feature = "unstable-bindings")]
use crate::blocking::Away;
use crate::handle::SharedConnection;
use crate::request::{Outcome, Peer, Request, Requests};
use crate::sync::NextLook;
use crate::{CloseReason, RejectReason};

/// The connections at a door, and what the host is asked about them.
pub(crate) struct DoorState<C> {
    pub(crate) admission: Admission,
    pub(super) connections: BTreeMap<Ticket, Arc<C>>,
    /// Those that were given away, as long as somebody has them.
    #[cfg(feature = "unstable-bindings")]
    away: BTreeMap<Ticket, Arc<Away>>,
    #[cfg(feature = "unstable-bindings")]
    ended_away: Vec<(Arc<Away>, CloseReason)>,
    pub(super) requests: Requests,
    /// Those about which the host's function is to be asked, when the lock is let go.
    access: Vec<AccessRequest>,
    /// A call that waits for a request has one by now.
    has_asked: bool,
    /// When somebody looks at the time at the latest.
    pub(super) next_look: NextLook,
}

/// A decision about a connection.
pub(crate) enum Decided {
    /// It is taken, and told this.
    Admit(Option<Box<Welcome>>, Option<Arc<Grant>>),
    Refuse(Refusal),
    Look,
    SendAway(CloseReason),
}

impl<C: SharedConnection> DoorState<C> {
    pub(crate) fn new(settings: &DoorSettings) -> Self {
        Self {
            admission: settings.server.admission(),
            connections: BTreeMap::new(),
            #[cfg(feature = "unstable-bindings")]
            away: BTreeMap::new(),
            #[cfg(feature = "unstable-bindings")]
            ended_away: Vec::new(),
            requests: Requests::default(),
            access: Vec::new(),
            has_asked: false,
            next_look: NextLook::default(),
        }
    }

    #[cfg(feature = "unstable-bindings")]
    pub(crate) fn get(&self, ticket: Ticket) -> Option<&Arc<C>> {
        self.connections.get(&ticket)
    }

    /// A connection is gone. The host that waits for it is told so.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        self.connections.remove(&ticket);
        #[cfg(feature = "unstable-bindings")]
        self.away.remove(&ticket);
        self.requests.end(ticket, Err(RejectReason::Stopped));
        self.admission.gone(ticket);
    }

    /// The host gives a connection away, which is known as this from then on. False if it was refused meanwhile.
    #[cfg(feature = "unstable-bindings")]
    pub(crate) fn give_away(&mut self, ticket: Ticket, away: &Arc<Away>) -> bool {
        self.requests.end(ticket, Ok(()));
        self.connections.remove(&ticket);
        let is_given_away = self.admission.give_away(ticket);
        if is_given_away {
            self.away.insert(ticket, away.clone());
        }
        is_given_away
    }

    /// The oldest request that nobody has taken; `Some(None)` if none comes any more, `None` if one has to wait.
    pub(super) fn next_request<D: Admits<Connection = C>>(
        &mut self,
        door: &Arc<D>,
    ) -> Option<Option<Request>> {
        let next = self.requests.next(|| door.clone());
        // Another call may wait for the one behind it.
        self.has_asked |= next.is_some() && self.requests.has_waiting();
        (next.is_some() || self.admission.is_stopped()).then_some(next)
    }

    /// The next decision to be carried out. Questions to the host are noted.
    pub(super) fn next_decided<D: Admits<Connection = C>>(
        &mut self,
        door: &Arc<D>,
    ) -> Option<(Arc<C>, Decided)> {
        while let Some(event) = self.admission.poll_event() {
            let ticket = event.ticket();
            #[cfg(feature = "unstable-bindings")]
            if let (Some(away), DoorEvent::End(_, reason)) = (self.away.get(&ticket), &event) {
                self.ended_away.push((away.clone(), reason.clone()));
                continue;
            }
            let Some(connection) = self.connections.get(&ticket).cloned() else {
                continue;
            };
            let decided = match event {
                DoorEvent::Admit(_) => {
                    let welcome = self.requests.take_welcome(ticket);
                    Decided::Admit(welcome.map(Box::new), self.admission.grant(ticket))
                }
                DoorEvent::Refuse(_, refusal) => {
                    // Before its peer can know.
                    self.requests.pass_over(ticket);
                    Decided::Refuse(refusal)
                }
                DoorEvent::LookAt(_) => Decided::Look,
                DoorEvent::End(_, reason) => Decided::SendAway(reason),
                DoorEvent::AskAccess(_) => {
                    let peer = peer(&*connection, door.settings(), None);
                    let request = peer.map(|peer| AccessRequest::new(peer, ticket, door.clone()));
                    self.access.extend(request);
                    continue;
                }
                DoorEvent::Ask(_) => {
                    let grant = self.admission.grant(ticket);
                    if let Some(peer) = peer(&*connection, door.settings(), grant) {
                        self.requests.ask(ticket, peer);
                        self.has_asked = true;
                    }
                    continue;
                }
            };
            return Some((connection, decided));
        }
        None
    }

    /// The news since the last call.
    pub(super) fn take_news(&mut self) -> DoorNews {
        DoorNews {
            ended: self.requests.take_ended(),
            #[cfg(feature = "unstable-bindings")]
            ended_away: std::mem::take(&mut self.ended_away),
            access: std::mem::take(&mut self.access),
            has_asked: std::mem::take(&mut self.has_asked),
            is_earlier: self.next_look.hurry(self.admission.deadline()),
        }
    }
}

/// The consequences of changes for others than the connections.
pub(crate) struct DoorNews {
    /// These requests have an outcome.
    pub(super) ended: Vec<(oneshot::Sender<Outcome>, Outcome)>,
    #[cfg(feature = "unstable-bindings")]
    pub(super) ended_away: Vec<(Arc<Away>, CloseReason)>,
    /// The host's function is to be asked about these.
    pub(super) access: Vec<AccessRequest>,
    /// A call that waits for a request has one by now.
    pub(super) has_asked: bool,
    /// The one who looks at the time is to look earlier than it would.
    pub(super) is_earlier: bool,
}

/// The client about which the host is asked.
fn peer(
    connection: &impl SharedConnection,
    settings: &DoorSettings,
    grant: Option<Arc<Grant>>,
) -> Option<Peer> {
    let (hello, protocol) = connection.look_at(Peer::hello)?;
    let info = connection.info();
    Some(Peer {
        hello,
        protocol,
        address: info.address.clone(),
        connection: info.id,
        server: settings.server.endpoint.id.clone(),
        grant,
    })
}
