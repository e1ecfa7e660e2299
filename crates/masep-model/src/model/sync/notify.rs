//! The promises of the documentation of tokio's `Notify`, and no more, on a mutex.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use shuttle::sync::Mutex;

pub(crate) struct Notify {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// True after a `notify_one` for which nobody waited.
    permit: bool,
    /// Calls of `notify_waiters`: each concerns the waits that were made before it.
    calls: u64,
    next: u64,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    number: u64,
    waker: Option<Waker>,
    /// Notified by `notify_one`: this one alone knows.
    notified: bool,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
        }
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        Notified {
            notify: self,
            calls: self.state.lock().unwrap().calls,
            number: None,
            done: false,
        }
    }

    pub(crate) fn notify_one(&self) {
        let mut state = self.state.lock().unwrap();
        let Some(first) = state.waiting.iter_mut().find(|waiting| !waiting.notified) else {
            state.permit = true;
            return;
        };
        first.notified = true;
        let waker = first.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn notify_waiters(&self) {
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        // Those to whom `notify_one` has spoken keep its word, and hand it on if they are dropped.
        let waiting = state.waiting.iter_mut().filter(|waiting| !waiting.notified);
        let wakers: Vec<_> = waiting.filter_map(|waiting| waiting.waker.take()).collect();
        state.waiting.retain(|waiting| waiting.notified);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

pub(crate) struct Notified<'a> {
    notify: &'a Notify,
    calls: u64,
    number: Option<u64>,
    done: bool,
}

impl Notified<'_> {
    /// From here on it is waiting. True if it is done.
    pub(crate) fn enable(self: Pin<&mut Self>) -> bool {
        self.get_mut().advance(None)
    }

    fn advance(&mut self, waker: Option<&Waker>) -> bool {
        if self.done {
            return true;
        }
        let mut state = self.notify.state.lock().unwrap();
        let Some(number) = self.number else {
            if state.calls != self.calls || std::mem::take(&mut state.permit) {
                self.done = true;
                return true;
            }
            let number = state.next;
            state.next += 1;
            state.waiting.push_back(Waiting {
                number,
                waker: waker.cloned(),
                notified: false,
            });
            self.number = Some(number);
            return false;
        };
        let mine = state.waiting.iter().position(|it| it.number == number);
        // Not among them: all were notified.
        let notified = mine.is_none_or(|mine| state.waiting[mine].notified);
        match mine {
            Some(mine) if notified => drop(state.waiting.remove(mine)),
            Some(mine) => state.waiting[mine].waker = waker.cloned(),
            None => {}
        }
        self.done = notified;
        notified
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.get_mut().advance(Some(context.waker())) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let (false, Some(number)) = (self.done, self.number) else {
            return;
        };
        let mut state = self.notify.state.lock().unwrap();
        let mine = state.waiting.iter().position(|it| it.number == number);
        let mine = mine.and_then(|mine| state.waiting.remove(mine));
        drop(state);
        if mine.is_some_and(|mine| mine.notified) {
            self.notify.notify_one();
        }
    }
}
