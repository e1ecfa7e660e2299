//! What is unsent and nobody waits for: a frame is sent as a whole or not at all, whatever its sender does
//! next.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::outgoing::Pushed;
use super::readiness::{Interest, after, earlier, passed, wait};
use super::shared::Shared;
use crate::CloseReason;
use crate::sync::thread;

/// How often the thread looks whether the connection has ended: it keeps the socket open until then, and a peer
/// that is cut off is reset when that closes.
const LOOK: Duration = Duration::from_millis(100);

impl Shared {
    /// Has a thread of its own write what is unsent. A call that waits may do so in a read of the
    /// socket, where nobody can tell it that there is something to write, or for another connection.
    ///
    /// Where there is no thread for it, the next call that sends, flushes or receives writes it.
    pub(super) fn write_in_background(self: &Arc<Self>) {
        let mut state = self.outgoing.lock();
        // Who waits for room writes what is unsent before anything else.
        if state.busy || state.in_background {
            return;
        }
        let Some(half) = &state.half else {
            return;
        };
        if half.unsent.is_empty() {
            return;
        }
        let rest = Rest {
            shared: Arc::downgrade(self),
            stream: half.stream.clone(),
            write_time: self.limits.write_time,
            taken: half.taken,
        };
        let started = thread::Builder::new()
            .name("masep-rest".into())
            .spawn(move || rest.write());
        state.in_background = started.is_ok();
    }

    /// Writes what is unsent as far as the socket takes it, after a wait for room that was in time or
    /// not; whether the background thread has nothing more to do.
    fn write_rest(&self, rest: &mut Rest, waited: io::Result<bool>) -> bool {
        let mut state = self.outgoing.lock();
        let busy = state.busy;
        let written = match (&mut state.half, waited) {
            (Some(half), Ok(in_time)) if !busy => match half.push_unsent() {
                // Others may have written something.
                Ok(pushed) if pushed != Pushed::All && (in_time || half.taken > rest.taken) => {
                    rest.taken = half.taken;
                    return false;
                }
                Ok(Pushed::All) => Ok(()),
                Ok(_) => Err(CloseReason::WriteTimeout),
                Err(error) => Err(CloseReason::from_io(&error)),
            },
            (Some(_), Err(error)) => Err(CloseReason::from_io(&error)),
            // Whoever has it now writes what is unsent.
            _ => Ok(()),
        };
        state.in_background = false;
        self.note_unsent(&state);
        drop(state);
        if let Err(reason) = written {
            self.fail_write(reason);
        }
        true
    }
}

/// What the thread needs. Not a handle: dropping the last one ends the connection.
struct Rest {
    shared: Weak<Shared>,
    stream: Arc<TcpStream>,
    write_time: Duration,
    /// See [`WriteHalf::taken`](super::outgoing::WriteHalf::taken), when something was written last.
    taken: u64,
}

impl Rest {
    fn write(mut self) {
        loop {
            let until = after(self.write_time);
            let (shared, waited) = loop {
                let waited = wait(
                    [Interest::writable(self.stream.as_fd())],
                    earlier(until, after(LOOK)),
                );
                let Some(shared) = self.shared.upgrade() else {
                    return;
                };
                let nothing = matches!(waited, Ok([ready]) if !ready.writable);
                if !nothing || passed(until) || shared.is_leaving() {
                    break (shared, waited);
                }
            };
            if shared.write_rest(&mut self, waited.map(|[ready]| ready.writable)) {
                return;
            }
        }
    }
}
