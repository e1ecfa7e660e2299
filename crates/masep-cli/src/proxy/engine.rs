//! The proxy of a pymasep engine, with a gate before it.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use masep::{
    Client, ConnectError, Frame, FrameKind, Limits, PeerId, Protocols, Rejected, Request,
    SocketOptions, Target,
};
use masep_proto::gate::{Gate, Rules, Verdict, Visitor};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::reach;
use super::relay::{Far, FarHandler, Filter, Link, Passage, Side};

/// The time in which a connection with the same id may still end, as the library gives it.
const GRACE: Duration = Duration::from_millis(200);

/// Lets clients through to the engine.
pub(super) struct EngineSide {
    to: Target,
    gate: Mutex<Gate>,
    limits: (Limits, SocketOptions),
    /// Ids that the engine has a connection of. A second one of an id would take the first one's place there.
    live: Mutex<BTreeSet<PeerId>>,
    left: Notify,
    /// It is to be looked whether the engine can be reached past the proxy.
    looks: Arc<AtomicBool>,
}

impl EngineSide {
    pub(super) fn new(
        to: Target,
        rules: Rules,
        limits: (Limits, SocketOptions),
        looks: bool,
    ) -> Self {
        Self {
            to,
            gate: Mutex::new(Gate::new(rules)),
            limits,
            live: Mutex::default(),
            left: Notify::new(),
            looks: Arc::new(AtomicBool::new(looks)),
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> MutexGuard<'_, BTreeSet<PeerId>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id is this client's at the engine, as long as it has this.
    async fn claim(&self, id: &PeerId) -> Option<Claim<'_>> {
        let claim = async {
            loop {
                let left = self.left.notified();
                if self.live().insert(id.clone()) {
                    return Claim {
                        side: self,
                        id: id.clone(),
                    };
                }
                left.await;
            }
        };
        timeout(GRACE, claim).await.ok()
    }

    async fn connect(&self, id: &PeerId) -> Result<Far, ConnectError> {
        let (limits, options) = self.limits.clone();
        let (handler, heard) = FarHandler::new();
        let builder = Client::builder(id.clone())
            .limits(limits)
            .socket_options(options)
            .protocols(Protocols::Pymasep)
            .handler(handler);
        Ok(Far::new(builder.connect(&self.to).await?, heard))
    }

    async fn let_in(&self, link: Link, request: Request) {
        link.open(request.address());
        let id = request.peer().clone();
        let Some(_claim) = self.claim(&id).await else {
            let rejected = Rejected::new("duplicate_id", "the id is in use");
            return link.refuse(request, "the id is in use", rejected);
        };
        let entered = self.gate().enter(request.hello(), request.grant());
        let visitor = match entered {
            Ok(visitor) => visitor,
            Err(refusal) => return link.refuse(request, &refusal.to_string(), refusal.into()),
        };
        match self.connect(&id).await {
            Ok(far) => {
                self.look(false);
                let passage = Visit {
                    side: self,
                    visitor: Mutex::new(visitor),
                };
                link.carry(request, far, &passage).await;
            }
            Err(error) => {
                let text = "the engine does not answer";
                let rejected = Rejected::new("unreachable", text).retry_ms(1_000);
                link.refuse(request, &error.to_string(), rejected);
            }
        }
    }

    /// Looks whether the engine can be reached past the proxy: for the first client, and when the proxy begins, unless the
    /// engine is not there yet.
    fn look(&self, at_begin: bool) {
        let is_wanted = if at_begin {
            self.looks.load(Ordering::Relaxed)
        } else {
            self.looks.swap(false, Ordering::Relaxed)
        };
        if is_wanted {
            let (to, looks) = (self.to.clone(), self.looks.clone());
            tokio::spawn(async move {
                if reach::look(&to).await == reach::Found::Open {
                    looks.store(false, Ordering::Relaxed);
                }
            });
        }
    }
}

impl Side for EngineSide {
    fn begin(&self) {
        self.look(true);
    }

    fn serve(&self, link: Link, request: Request) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.let_in(link, request))
    }
}

/// The place of a client's id.
struct Claim<'a> {
    side: &'a EngineSide,
    id: PeerId,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.side.live().remove(&self.id);
        self.side.left.notify_waiters();
    }
}

/// One client at the gate.
struct Visit<'a> {
    side: &'a EngineSide,
    visitor: Mutex<Visitor>,
}

impl Visit<'_> {
    fn visitor(&self) -> MutexGuard<'_, Visitor> {
        self.visitor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filter for Visit<'_> {
    fn pass_up(&self, frame: Frame) -> Passage {
        let verdict = self.side.gate().from_client(&mut self.visitor(), &frame);
        match verdict {
            Verdict::Forward(bytes) => Passage::Forward(Frame::of(FrameKind::Xml, bytes)),
            Verdict::Drop => Passage::Drop,
            Verdict::Refuse(refusal) => Passage::Refuse(refusal),
            Verdict::End(refusal) => Passage::End(refusal),
        }
    }

    fn passes_down(&self, frame: &Frame) -> bool {
        self.side.gate().from_engine(&mut self.visitor(), frame)
    }
}
