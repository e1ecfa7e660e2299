//! The proxy of a pymasep engine, with a gate before it.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use masep::{
    Bye, Client, ConnectError, Frame, FrameKind, Limits, PeerId, Protocols, Rejected, Request,
    SocketOptions, Target, Welcome,
};
use masep_proto::gate::{Gate, Rules, Verdict, Visitor};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::guard::{Guard, SharedGuard};
use super::kept::Kept;
use super::reach;
use super::relay::{Far, FarHandler, Filter, Link, Passage, Side};

/// The time in which a connection with the same id may still end, as the library gives it.
const GRACE: Duration = Duration::from_millis(200);

/// Lets clients through to the engine.
pub(super) struct EngineSide {
    to: Target,
    guard: SharedGuard,
    kept: Kept,
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
            guard: Guard::new(Gate::new(rules)),
            kept: Kept::default(),
            limits,
            live: Mutex::default(),
            left: Notify::new(),
            looks: Arc::new(AtomicBool::new(looks)),
        }
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

    /// The connection that the engine has of this id, or a new one.
    async fn connect(&self, id: &PeerId) -> Result<Far, ConnectError> {
        if let Some(far) = self.kept.take(id).await {
            return Ok(far);
        }
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
        let entered = self.guard.gate().enter(request.hello(), request.grant());
        let visitor = match entered {
            Ok(visitor) => visitor,
            Err(refusal) => return link.refuse(request, &refusal.to_string(), refusal.into()),
        };
        match self.connect(&id).await {
            Ok(far) => {
                self.look();
                let passage = Visit {
                    guard: &self.guard,
                    visitor: Mutex::new(visitor),
                };
                if let Some(far) = link.carry(request, far, &passage).await {
                    self.kept.keep(id, far, self.guard.clone());
                }
            }
            Err(error) => {
                let text = "the engine does not answer";
                let rejected = Rejected::new("unreachable", text).retry_ms(1_000);
                link.refuse(request, &error.to_string(), rejected);
            }
        }
    }

    /// Looks whether the engine can be reached past the proxy: when the proxy begins, and if it is not there then, for the
    /// first client.
    fn look(&self) {
        if self.looks.swap(false, Ordering::Relaxed) {
            let (to, looks) = (self.to.clone(), self.looks.clone());
            tokio::spawn(async move {
                if reach::look(&to).await == reach::Found::Absent {
                    looks.store(true, Ordering::Relaxed);
                }
            });
        }
    }
}

impl Side for EngineSide {
    fn begin(&self) {
        self.look();
    }

    fn serve(&self, link: Link, request: Request) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.let_in(link, request))
    }

    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.kept.end())
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
    guard: &'a SharedGuard,
    visitor: Mutex<Visitor>,
}

impl Visit<'_> {
    fn visitor(&self) -> MutexGuard<'_, Visitor> {
        self.visitor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filter for Visit<'_> {
    fn pass_up(&self, frame: Frame) -> Passage {
        let verdict = self.guard.hear_client(&mut self.visitor(), &frame);
        match verdict {
            Verdict::Forward(bytes) => Passage::Forward(Frame::of(FrameKind::Xml, bytes)),
            Verdict::Drop => Passage::Drop,
            Verdict::Show(frame) => Passage::Answer(frame),
            Verdict::Refuse(refusal) => Passage::Refuse(refusal),
            Verdict::End(refusal) => Passage::End(refusal),
        }
    }

    fn fill(&self, welcome: &mut Welcome) {
        self.guard.gate().fill(welcome);
    }

    fn passes_down(&self, frame: &Frame) -> bool {
        self.guard.hear_engine(&mut self.visitor(), frame)
    }

    fn waits_for_client(&self) -> bool {
        // The engine would wait too, and with it all the others.
        false
    }

    fn keeps_far(&self) -> bool {
        self.guard.keeps(self.visitor().id())
    }

    fn dismissal(&self) -> Pin<Box<dyn Future<Output = Bye> + Send + '_>> {
        Box::pin(async move {
            self.guard.over().await;
            // One that has registered hears it from the engine.
            if self.visitor().is_in() {
                std::future::pending::<()>().await;
            }
            Bye::new("over", "the game is over").may_return(false)
        })
    }
}
