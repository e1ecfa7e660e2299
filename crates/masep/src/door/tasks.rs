//! The tasks of a server: one for each listener, and one for each connection until it is open.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use masep_proto::admission::Entrance;
use masep_proto::connection::Connection as Core;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{sleep, timeout};
use tracing::{Instrument, Span, field};

use super::{Door, Membership};
use crate::accepting::AcceptErrors;
use crate::admitting::{Admits as _, Visit};
use crate::connection::{Shared, now};
use crate::hand_out::HandOut;
use crate::handler::guarded;
use crate::keeper::Keeper;
use crate::preface::{Preface, PrefaceError};
use crate::transport::{Listener, Transport};
use crate::{Address, CloseReason, Connection, RejectReason, SocketHandler};

/// The things that each task of a server has.
pub(crate) struct ServerTask<H> {
    pub(crate) door: Arc<Door>,
    pub(crate) handler: Arc<H>,
    /// Each task that may hand a connection out has one. When all are gone, none comes any more.
    pub(crate) hand_out: Option<HandOut>,
    /// Each task has one, also that of an open connection. When all are gone, all has ended.
    pub(crate) alive: mpsc::Sender<Infallible>,
}

impl<H> Clone for ServerTask<H> {
    fn clone(&self) -> Self {
        Self {
            door: self.door.clone(),
            handler: self.handler.clone(),
            hand_out: self.hand_out.clone(),
            alive: self.alive.clone(),
        }
    }
}

impl<H: SocketHandler> ServerTask<H> {
    /// Accepts until the server is stopped.
    pub(crate) async fn accept(self, listener: impl Listener, entrance: Entrance) {
        let mut stopped = self.door.stopped.subscribe();
        let mut errors = AcceptErrors::new();
        let mut time = pin!(self.door.settle());
        tracing::info!("listening");
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => break,
                never = &mut time => match never {},
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((transport, address)) => self.clone().arrive(transport, entrance, address),
                Err(error) => {
                    if let Some(rest) = errors.rest(&error, now()) {
                        tokio::select! {
                            biased;
                            _ = stopped.wait_for(|stopped| *stopped) => break,
                            never = &mut time => match never {},
                            () = sleep(rest) => {}
                        }
                    }
                }
            }
        }
        // Before the others of this task: when all has ended, the address is free.
        drop(listener);
        tracing::info!("stopped accepting");
    }

    /// A connection has come, with or without a header of the PROXY protocol in front of it.
    fn arrive(self, transport: impl Transport, entrance: Entrance, address: Address) {
        if !self.door.settings().expects_preface(entrance) {
            return self.begin(transport, entrance, address);
        }
        // Without a place it is closed: as many have not said where they come from as may.
        if let Ok(place) = self.door.prefaces.clone().try_acquire_owned() {
            tokio::spawn(self.hear_preface(transport, address, place));
        }
    }

    /// Reads the header of the PROXY protocol first, for as long as a hello may take.
    async fn hear_preface(
        self,
        transport: impl Transport,
        address: Address,
        place: OwnedSemaphorePermit,
    ) {
        let mut stopped = self.door.stopped.subscribe();
        let time = self.door.settings().server.endpoint.limits.hello_time;
        let mut preface = Preface::default();
        let heard = timeout(time, async {
            loop {
                match preface.read(&transport, &address) {
                    Ok(Some(of_client)) => return Ok(of_client),
                    Ok(None) => poll_fn(|context| transport.poll_readable(context)).await?,
                    Err(error) => return Err(error),
                }
            }
        });
        let heard = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            heard = heard => heard,
        };
        drop(place);
        match heard.unwrap_or(Err(PrefaceError::Late)) {
            Ok(of_client) => self.begin(transport, Entrance::Main, of_client),
            Err(error) => self.door.log_refusal(&error, None, Some(&address)),
        }
    }

    /// Gives a connection its place at the door, in order of arrival, and a task in which it shakes hands.
    fn begin(self, transport: impl Transport, entrance: Entrance, address: Address) {
        let span = tracing::info_span!(
            "connection",
            %address,
            connection = field::Empty,
            peer = field::Empty,
        );
        let keeper = self.keeper(transport, entrance, address.clone());
        tokio::spawn(self.shake_hands(keeper, address).instrument(span));
    }

    /// The keeper of a connection, heard or to be refused, and its place at the door; none if it has ended already.
    fn keeper(
        &self,
        transport: impl Transport,
        entrance: Entrance,
        address: Address,
    ) -> Option<(Keeper, Visit<Door>)> {
        let (door, settings) = (&self.door, self.door.settings());
        settings.prepare(&transport).ok()?;
        let (config, acceptor) = settings.at(entrance);
        let core = Core::accept(config.clone(), now());
        let endpoint = &settings.server.endpoint;
        let (delivery, busy_poll) = (endpoint.delivery(), endpoint.socket_options.busy_poll);
        let from = address.clone();
        let shared = match acceptor {
            Some(acceptor) => {
                let transport = acceptor.wrap(transport);
                Shared::new(core, transport, address, delivery, busy_poll)
            }
            None => Shared::new(core, transport, address, delivery, busy_poll),
        };
        let (visit, shared, _) = door.arrive(&from, entrance, |_| shared);
        let membership = Membership {
            registry: door.registry.clone(),
            visit: Some(visit.clone()),
            alive: Some(self.alive.clone()),
        };
        Some((Keeper::new(shared, membership), visit))
    }

    /// Shakes hands, and gives the connection a task of its own. The one that shook hands ends then: an idle connection does
    /// not hold the memory that the handshake took.
    async fn shake_hands(self, keeper: Option<(Keeper, Visit<Door>)>, address: Address) {
        let Some((mut keeper, visit)) = keeper else {
            return self.reject(address, RejectReason::ClosedBeforeHello).await;
        };
        let greeted = greet(&mut keeper, &visit).await;
        visit.tell_host(greeted.clone());
        if let Err(reason) = greeted {
            drop((keeper, visit));
            return self.reject(address, reason).await;
        }
        let connection = Connection::new(keeper.shared().clone());
        Span::current()
            .record("connection", field::display(connection.id()))
            .record("peer", field::debug(connection.peer()));
        tracing::info!("connected");
        if let Some(hand_out) = self.hand_out {
            hand_out.push(connection.clone());
        }
        tokio::spawn(keeper.run(connection, self.handler).in_current_span());
    }

    /// Tells of a connection that was not taken.
    async fn reject(self, address: Address, reason: RejectReason) {
        self.door.tell_of_refusal(&address, &reason, true);
        if let Some(telling) = self.door.begin_to_tell() {
            guarded(|| self.handler.on_reject(address, &reason)).await;
            drop(telling);
        }
    }
}

/// Sees a connection through its hello and the verdict, and through its farewell if it is refused.
async fn greet(keeper: &mut Keeper, visit: &Visit<Door>) -> Result<(), RejectReason> {
    let greeted = match keeper.hello().await {
        Ok(()) => {
            visit.hello(keeper.shared());
            keeper.open().await
        }
        Err(failure) => Err(failure),
    };
    let Err(failure) = greeted else {
        return Ok(());
    };
    let refusal = keeper.shared().lock().core.take_reject_reason();
    let cut_off = || keeper.shared().abort(CloseReason::Aborted);
    let reason = visit.reject_reason(refusal, Some(failure), cut_off);
    keeper.over().await;
    Err(reason)
}
