//! The task of a connection. It does what no call does: it waits for time to pass, writes what senders have left,
//! reads what nobody receives, calls the handler, and sees the connection to its end.

mod alarm;
mod steps;

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use masep_proto::Frame;
use masep_proto::connection::{Batch, HandlerCall, HelloFailure};

use crate::connection::{Delivery, Reading, Shared, State, now};
use crate::door::Membership;
use crate::handler::guarded;
use crate::hearing::Hearing;
use crate::sync::time::timeout;
use crate::{CloseReason, Connection, SocketHandler};

pub(crate) use alarm::Alarm;

/// The time that a call of a handler that tells of the end has, until the id is free.
pub(crate) const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The task's own part.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    membership: Membership,
    alarm: Alarm,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, membership: Membership) -> Self {
        Self {
            shared,
            membership,
            alarm: Alarm::default(),
        }
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) const fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Drives the connection until the peer has said hello.
    pub(crate) async fn hello(&mut self) -> Result<(), HelloFailure> {
        self.find(|state| state.core.hello_outcome()).await?;
        self.shared.note_peer();
        Ok(())
    }

    /// Drives the connection until both sides have said hello.
    pub(crate) async fn open(&mut self) -> Result<(), HelloFailure> {
        self.find(|state| state.core.open_outcome()).await
    }

    /// Drives the connection until nothing is left to be done.
    pub(crate) async fn over(&mut self) {
        self.until(|state| state.core.is_over()).await;
    }

    /// Runs an open connection to its end. If the future is dropped, the peer is told as far as the stream
    /// takes it at once, and the reason is [`CloseReason::Aborted`].
    pub(crate) async fn run<H: SocketHandler>(mut self, connection: Connection, handler: Arc<H>) {
        // The timer of the handshake would keep that task's memory until it goes off.
        self.alarm = Alarm::default();
        if self.shared.delivery == Delivery::Handler {
            self.serve(&connection, &*handler).await;
        } else {
            self.until(|state| state.core.is_settled()).await;
        }
        // This comes once: ten thousand connections hold the other part.
        Box::pin(self.end(&connection, &*handler)).await;
    }

    /// Gives every frame that arrives to the handler.
    async fn serve<H: SocketHandler>(&mut self, connection: &Connection, handler: &H) {
        self.shared.note_handler_task();
        // First, so that the handler hears of the connection before it hears of its end, also of one
        // that is aborted before this task has run at all.
        let call = pin!(guarded(|| handler.on_connect(connection)));
        if !self.drive_call(call).await {
            return;
        }
        let mut frames = Frames {
            handler,
            connection,
            batch: Batch::new(),
            alone: None,
            is_alone: true,
        };
        loop {
            frames.is_alone = frames.batch.len() <= 1 || self.shared.is_aborted();
            if frames.is_alone {
                let next = self.next(&mut frames.batch, &mut frames.alone).await;
                match next {
                    HandlerCall::Frame => {}
                    HandlerCall::Notice => {
                        if Box::pin(self.notice(connection, handler)).await {
                            continue;
                        }
                        return;
                    }
                    HandlerCall::End => return,
                }
            }
            let call = pin!(guarded(|| frames.give()));
            if !self.drive_call(call).await {
                return;
            }
        }
    }

    /// Waits for the next thing that the handler is called for; a frame goes into its place.
    async fn next(&mut self, batch: &mut Batch, frame: &mut Option<Frame>) -> HandlerCall {
        if !self.shared.busy_poll.is_zero() && batch.is_empty() {
            Box::pin(self.spin(|state| state.core.has_handler_call())).await;
        }
        let mut next = |state: &mut State| state.next_for_handler(batch, frame);
        poll_fn(|context| self.poll_until(context, false, &mut next)).await
    }

    /// Tells the handler of a notice. Returns false if it is not called again.
    async fn notice<H: SocketHandler>(&mut self, connection: &Connection, handler: &H) -> bool {
        let call = pin!(guarded(|| handler.on_notice(connection)));
        self.drive_call(call).await
    }

    /// Sees a call of the handler through. While it waits, nothing is read, but what is queued is
    /// written. Returns false if the handler is not called again.
    async fn drive_call(&mut self, mut call: Pin<&mut impl Future<Output = bool>>) -> bool {
        let mut waits = false;
        let returned = poll_fn(|context| {
            if let Poll::Ready(returned) = call.as_mut().poll(context) {
                return Poll::Ready(Some(returned));
            }
            if !mem::replace(&mut waits, true) {
                self.shared.lock().core.handler_waits(now());
            }
            let mut cancelled = |state: &mut State| state.core.cancels_handler().then_some(());
            self.poll_until(context, true, &mut cancelled)
                .map(|()| None)
        })
        .await;
        if waits {
            self.shared.handler_done(returned.is_some());
        }
        if returned == Some(false) {
            self.shared.end(CloseReason::Aborted);
            self.until(|state| state.core.is_settled()).await;
        }
        // A call that was given up has lost its frame: those behind it are lost with it.
        returned == Some(true)
    }

    /// Looks for more without letting the thread sleep: a task that only yields makes the runtime look
    /// at its sockets, and run the other tasks that can run.
    async fn spin(&mut self, done: impl Fn(&State) -> bool) {
        let start = Instant::now();
        while start.elapsed() < self.shared.busy_poll {
            let poll = |context: &mut Context<'_>| {
                let mut is_done = |state: &mut State| done(state).then_some(());
                let polled = self.poll_until(context, false, &mut is_done);
                if polled.is_pending() {
                    let locked = self.shared.lock();
                    drop(self.shared.read(locked, Reading::Spinning));
                }
                Poll::Ready(polled.is_ready() || done(&self.shared.lock()))
            };
            if poll_fn(poll).await {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Tells of the end, which has a reason by now.
    async fn end<H: SocketHandler>(mut self, connection: &Connection, handler: &H) {
        self.membership.ending();
        self.until(|state| state.core.is_closed()).await;
        let reason = self.shared.end_reason();
        tracing::info!(reason = reason.as_str(), "connection ended: {reason}");
        self.membership.close();
        let hearing = Hearing::begin_for(&mut self.shared.lock().core);
        let mut told = pin!(guarded(|| handler.on_close(connection, &reason)));
        let in_time = timeout(CLOSE_GRACE, self.drive_last_call(told.as_mut())).await;
        if in_time.is_err() {
            self.membership.leave(connection);
            self.drive_last_call(told).await;
        }
        self.membership.leave(connection);
        self.shared.set_closed(reason.clone());
        self.membership.end();
        self.over().await;
        drop(hearing);
    }

    async fn drive_last_call(&mut self, mut told: Pin<&mut impl Future<Output = bool>>) {
        poll_fn(|context| {
            let told = told.as_mut().poll(context);
            if told.is_pending() {
                let _ = self.poll_until(context, false, &mut |_| None::<()>);
            }
            told
        })
        .await;
    }

    async fn until(&mut self, done: impl Fn(&State) -> bool) {
        self.find(|state| done(state).then_some(())).await;
    }

    /// Drives the connection until there is something to be found.
    async fn find<T>(&mut self, find: impl Fn(&State) -> Option<T>) -> T {
        let mut find = |state: &mut State| find(state);
        poll_fn(|context| self.poll_until(context, false, &mut find)).await
    }
}

/// The frames for a handler, with all that a call needs: what is moved for each of them is a reference to this.
struct Frames<'a, H> {
    handler: &'a H,
    connection: &'a Connection,
    batch: Batch,
    /// The next one, if it is not one of many in the batch.
    alone: Option<Frame>,
    is_alone: bool,
}

impl<'a, H: SocketHandler> Frames<'a, H> {
    /// A call with the next one. That goes from its place into the call: to move it costs more than all else that is done for
    /// a small one.
    #[inline]
    fn give(&mut self) -> impl Future<Output = ()> + use<'a, H> {
        let next = match self.is_alone {
            true => None,
            false => self.batch.next_of_many(),
        };
        let place = match next {
            Some(place) => place,
            None => self.alone.get_or_insert_default(),
        };
        self.handler.on_receive(self.connection, mem::take(place))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.leave();
        if self.shared.close_reason().is_none() {
            let connection = Connection::new(self.shared.clone());
            self.membership.leave(&connection);
            self.shared.set_closed(self.shared.end_reason());
        }
    }
}
