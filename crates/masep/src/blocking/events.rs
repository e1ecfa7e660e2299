//! The events of a connection: the verdict of the door, and what its threads, its handler and the door are told.

use std::sync::Arc;

use masep_proto::connection::Event;
use masep_proto::protocol2::Welcome;

use super::Connection;
use super::pipe::Pipe;
use super::shared::{DropGuard, Shared, State};
use super::stream::Stream;
use crate::CloseReason;
use crate::handle::SharedConnection as _;
use crate::hearing::Hearing;
use crate::sync::thread::Thread;

/// The events since the last look.
#[derive(Default)]
pub(super) struct News {
    events: Vec<Event>,
    /// A thread is to be woken that waits for bytes.
    pub(super) wake: Option<Arc<Stream>>,
    pub(super) sleepers: Vec<Arc<Pipe>>,
    /// The thread that stands aside, at the end.
    pub(super) aside: Option<Thread>,
}

/// The verdict of the door, and the reports to the door.
impl Shared {
    /// The peer is taken: it gets our hello, and one of protocol 2 what the host says to it.
    pub(super) fn admit(self: &Arc<Self>, welcome: Option<Welcome>) {
        // In the registry before the peer can know.
        let first = DropGuard::new(self.clone());
        if !self.registry.add(Connection::of(first.clone()).lend()) {
            return self.refuse_stopped();
        }
        let late = self.change(|state, now| {
            if state.core.failure().is_some() {
                return Some(first);
            }
            state.first = Some(first);
            state.core.admit_with(welcome, now);
            None
        });
        // Takes it out again.
        drop(late);
    }

    /// Takes the events of the core, and their consequences for the threads of this connection.
    pub(super) fn poll_news(&self, state: &mut State) -> Option<News> {
        let mut news = None;
        while let Some(event) = state.core.poll_event() {
            let news = news.get_or_insert_with(News::default);
            news.events.push(event);
            match event {
                Event::Hello | Event::Open => self.note_peer(state),
                Event::Ended => {
                    let reason = state.core.reason().cloned();
                    let _ = self.ended.set(reason.unwrap_or(CloseReason::Aborted));
                    state.note_end();
                    news.sleepers = std::mem::take(&mut state.roles.sleepers);
                    news.aside.clone_from(&state.roles.aside);
                    if state.roles.sleeps {
                        state.roles.is_shut = true;
                        news.wake.clone_from(&state.stream);
                    }
                }
                Event::Closed => {
                    state.hearing = Hearing::begin_for(&mut state.core);
                    // Of a stream that is shut the end of the peer's side cannot be heard any more.
                    if state.roles.is_shut {
                        state.core.stop_hearing();
                    }
                }
                Event::Over => state.hearing = None,
                _ => {}
            }
        }
        news
    }

    /// Tells the door and the log.
    pub(super) fn tell(self: &Arc<Self>, news: &News) {
        for event in &news.events {
            match (event, &self.visit) {
                (Event::Hello, Some(visit)) => visit.hello(self),
                (Event::Open, visit) => {
                    tracing::info!(connection = %self.info.id, peer = ?self.info.peer(), address = %self.info.address, "connected");
                    let first = self.lock().first.take();
                    if let (Some(visit), Some(first)) = (visit, first) {
                        visit.open(first);
                    }
                }
                (Event::Failed, Some(visit)) => {
                    let mut state = self.lock();
                    let (refusal, first) = (state.core.take_reject_reason(), state.first.take());
                    let failure = state.core.failure().cloned();
                    drop(state);
                    if first.is_some() {
                        self.registry.remove(&self.info);
                    }
                    drop(first);
                    visit.fail(self, refusal, failure);
                }
                (Event::Ended, _) => self.tell_end(),
                (Event::Closed, visit) => {
                    if let Some(visit) = visit {
                        visit.close();
                    }
                    if !self.handled {
                        self.told();
                    }
                }
                (Event::Over, Some(visit)) if !self.is_ended() => {
                    let is_given_away = self.lock().is_given_away;
                    if !is_given_away {
                        visit.leave();
                    }
                }
                _ => {}
            }
        }
    }

    fn tell_end(&self) {
        if let Some(visit) = &self.visit {
            visit.begin_to_end();
        }
        if let Some(reason) = self.settled_reason() {
            tracing::info!(
                connection = %self.info.id,
                peer = ?self.info.peer(),
                address = %self.info.address,
                reason = reason.as_str(),
                "connection ended: {reason}"
            );
        }
    }
}
