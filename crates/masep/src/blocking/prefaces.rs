//! Connections whose headers of the PROXY protocol are still to come, as the thread that accepts sees to them.

use std::sync::Arc;
use std::time::Instant;

use masep_proto::admission::Entrance;
use rustix::event::PollFd;

use super::door::Door;
use super::stream::{WOKEN, after, poll_fd};
use crate::Address;
use crate::admitting::Admits as _;
use crate::preface::Unheard;
use crate::transport::Socket;

/// Those of the server's own address, where it is that of a balancer: others may come by an entrance of their own.
pub(super) struct Prefaces {
    expected: bool,
    /// In order of arrival, which is that of their deadlines.
    unheard: Vec<Unheard<Socket>>,
}

impl Prefaces {
    pub(super) const fn new(expected: bool) -> Self {
        Self {
            expected,
            unheard: Vec::new(),
        }
    }

    pub(super) fn are_expected_at(&self, entrance: Entrance) -> bool {
        self.expected && entrance == Entrance::Main
    }

    /// One more, if there is a place for it.
    pub(super) fn add(&mut self, door: &Arc<Door>, socket: Socket, address: Address) {
        let time = door.limits().hello_time;
        if self.unheard.len() < door.most_prefaces()
            && let Some(until) = after(time)
        {
            self.unheard.push(Unheard::new(socket, address, until));
            self.read(door);
        }
    }

    /// The sockets to be waited for.
    pub(super) fn waiting(&self) -> impl Iterator<Item = PollFd<'_>> {
        let sockets = self.unheard.iter().map(|unheard| &unheard.stream);
        sockets.map(|socket| poll_fd(socket, WOKEN))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unheard.first().map(|unheard| unheard.until)
    }

    /// Reads what has arrived. Those whose header is whole go through the door.
    pub(super) fn read(&mut self, door: &Arc<Door>) {
        let now = Instant::now();
        let mut left = Vec::new();
        for mut unheard in self.unheard.drain(..) {
            match unheard.read() {
                Ok(Some(of_client)) => door.greet(unheard.stream, Entrance::Main, of_client),
                Ok(None) if unheard.until > now => left.push(unheard),
                Ok(None) => {
                    let error = "no header of the PROXY protocol came in time";
                    door.log_no_preface(&unheard.address, &error);
                }
                Err(error) => door.log_no_preface(&unheard.address, &error),
            }
        }
        self.unheard = left;
    }
}
