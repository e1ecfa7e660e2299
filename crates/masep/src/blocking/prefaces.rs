//! Connections whose headers of the PROXY protocol are still to come, as the thread that accepts sees to them.

use std::sync::Arc;
use std::time::Instant;

use masep_proto::admission::Entrance;
use rustix::event::PollFd;

use super::door::Door;
use super::stream::{WOKEN, after, poll_fd};
use crate::Address;
use crate::admitting::Admits as _;
use crate::preface::{Preface, PrefaceError};
use crate::transport::Socket;

/// Those of the server's own address, where it is that of a balancer: others may come by an entrance of their own.
#[derive(Default)]
pub(super) struct Prefaces {
    /// In order of arrival, which is that of their deadlines.
    unheard: Vec<Unheard>,
}

/// A connection whose header is still to come.
struct Unheard {
    socket: Socket,
    address: Address,
    preface: Preface,
    until: Instant,
}

impl Prefaces {
    /// One more, if there is a place for it.
    pub(super) fn add(&mut self, door: &Arc<Door>, socket: Socket, address: Address) {
        let settings = door.settings();
        if self.unheard.len() < settings.most()
            && let Some(until) = after(settings.server.endpoint.limits.hello_time)
        {
            self.unheard.push(Unheard {
                socket,
                address,
                preface: Preface::default(),
                until,
            });
            self.read(door);
        }
    }

    /// The sockets to be waited for.
    pub(super) fn waiting(&self) -> impl Iterator<Item = PollFd<'_>> {
        let unheard = self.unheard.iter();
        unheard.map(|unheard| poll_fd(&unheard.socket, WOKEN))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unheard.first().map(|unheard| unheard.until)
    }

    /// Reads what has arrived. Those whose header is whole go through the door.
    pub(super) fn read(&mut self, door: &Arc<Door>) {
        let now = Instant::now();
        let mut left = Vec::new();
        for mut unheard in self.unheard.drain(..) {
            let read = unheard.preface.read(&unheard.socket, &unheard.address);
            match read {
                Ok(Some(of_client)) => door.greet(unheard.socket, Entrance::Main, of_client),
                Ok(None) if unheard.until > now => left.push(unheard),
                Ok(None) => door.log_refusal(&PrefaceError::Late, None, Some(&unheard.address)),
                Err(error) => door.log_refusal(&error, None, Some(&unheard.address)),
            }
        }
        self.unheard = left;
    }
}
