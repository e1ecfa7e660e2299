//! The simulated network: links between hosts, which lose, delay, cut and end, by a seed.
//!
//! Time goes in ticks. Bytes sent in one tick arrive in a later one, so hosts can run one after the
//! other. Loss and reordering are what TCP makes of them: delay. A segment that is lost comes when it
//! was sent again, and what overtook it waits.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use rand::RngExt;
use rand_xorshift::XorShiftRng;

use crate::plan::Quality;
use crate::stream::{End, Piece, Presence, Segment, Ticks};

/// The length of a tick, and so the shortest latency.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// Connections that may wait to be accepted.
const BACKLOG: usize = 16;
/// The host of the server.
pub(crate) const SERVER: usize = 0;

pub(crate) fn ticks(time: Duration) -> Ticks {
    Ticks::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(Ticks::MAX)
}

/// The network, as programs and the world share it.
pub(crate) struct Network {
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) now: Ticks,
    pub(crate) rng: XorShiftRng,
    pub(crate) quality: Quality,
    pub(crate) links: Vec<Link>,
    pub(crate) hosts: Vec<Machine>,
    /// The port at the server's name.
    pub(crate) port: Option<Port>,
    wakers: Vec<Waker>,
}

/// A host, as the network sees it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) cut_until: Ticks,
    pub(crate) up: bool,
}

#[derive(Default)]
pub(crate) struct Port {
    pub(crate) waiting: VecDeque<usize>,
    pub(crate) waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// The question, or the answer, arrives then.
    Asked(Ticks),
    Answered(Ticks),
    Refused(Ticks),
    Open,
    Failed,
}

/// A connection: of its two ends the client's is the first.
pub(crate) struct Link {
    pub(crate) client: usize,
    pub(crate) ends: [End; 2],
    pub(crate) setup: Setup,
    pub(crate) connector: Option<Waker>,
    /// The network did something to it that is no delay.
    pub(crate) disturbed: bool,
    /// The ends that have sent a reset by themselves.
    pub(crate) reset_by: [bool; 2],
    /// A reset was the end of bytes that a kernel had taken and not yet delivered.
    pub(crate) discarded: bool,
    finished: bool,
}

impl Link {
    pub(crate) fn host(&self, side: usize) -> usize {
        [self.client, SERVER][side]
    }
}

impl Network {
    pub(crate) fn new(rng: XorShiftRng, quality: Quality, hosts: usize) -> Self {
        let machine = Machine {
            cut_until: 0,
            up: true,
        };
        Self {
            state: Mutex::new(State {
                now: 0,
                rng,
                quality,
                links: Vec::new(),
                hosts: vec![machine; hosts],
                port: None,
                wakers: Vec::new(),
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then wakes whom it concerns.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let done = change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        done
    }

    /// Lets a tick pass.
    pub(crate) fn tick(&self) -> Ticks {
        self.change(|state| {
            state.now += 1;
            for link in 0..state.links.len() {
                state.step(link);
            }
            state.now
        })
    }
}

impl State {
    /// True if anything passes between the ends of a link.
    fn is_open(&self, link: usize) -> bool {
        [0, 1].iter().all(|&side| {
            let machine = &self.hosts[self.links[link].host(side)];
            machine.up && machine.cut_until <= self.now
        })
    }

    fn latency(&mut self) -> Ticks {
        let Quality {
            latency,
            jitter,
            loss,
            ..
        } = self.quality;
        let mut time = latency + self.rng.random_range(0..=jitter);
        while self.rng.random_bool(loss) {
            time += 2 * latency + self.rng.random_range(4..40);
        }
        time
    }

    fn again(&mut self) -> Ticks {
        self.now + self.rng.random_range(4..60)
    }

    fn step(&mut self, link: usize) {
        if self.links[link].finished {
            return;
        }
        match self.links[link].setup {
            Setup::Open => {}
            Setup::Failed => {
                self.links[link].finished = true;
                return;
            }
            _ => self.step_setup(link),
        }
        for side in [0, 1] {
            self.cut_segments(link, side);
            self.deliver(link, side);
            self.keep_alive(link, side);
        }
        let ends = &self.links[link].ends;
        self.links[link].finished =
            self.links[link].setup == Setup::Open && ends.iter().all(End::is_done);
    }

    fn step_setup(&mut self, link: usize) {
        let (Setup::Asked(due) | Setup::Answered(due) | Setup::Refused(due)) =
            self.links[link].setup
        else {
            return;
        };
        if due > self.now {
            return;
        }
        let later = self.again();
        let open = self.is_open(link);
        let answer = self.now + self.latency();
        let next = match self.links[link].setup {
            Setup::Asked(_) if !open => Setup::Asked(later),
            Setup::Answered(_) if !open => Setup::Answered(later),
            Setup::Refused(_) if !open => Setup::Refused(later),
            Setup::Asked(_) => match &mut self.port {
                Some(port) if port.waiting.len() < BACKLOG => {
                    port.waiting.push_back(link);
                    self.wakers.extend(port.waker.take());
                    Setup::Answered(answer)
                }
                Some(_) => Setup::Asked(later),
                None => Setup::Refused(answer),
            },
            Setup::Answered(_) => Setup::Open,
            _ => Setup::Failed,
        };
        self.links[link].setup = next;
        if matches!(next, Setup::Open | Setup::Failed) {
            let waker = self.links[link].connector.take();
            self.wakers.extend(waker);
        }
    }

    /// Makes segments of what was written, as far as the other end has room.
    fn cut_segments(&mut self, link: usize, side: usize) {
        let mut left = self.quality.rate;
        loop {
            let other = &self.links[link].ends[1 - side];
            let taken = if other.is_held() {
                other.unread.len()
            } else {
                0
            };
            let end = &self.links[link].ends[side];
            let room = self.quality.window.saturating_sub(taken + end.in_flight);
            let most = room
                .min(left)
                .min(end.unsent.len())
                .min(self.quality.segment);
            if most == 0 {
                break;
            }
            let size = self.rng.random_range(most.div_ceil(2).min(8)..=most);
            let arrive = self.now + self.latency();
            let end = &mut self.links[link].ends[side];
            let bytes = end.unsent.drain(..size).collect();
            end.send(arrive, Piece::Bytes(bytes));
            self.wakers.extend(end.writer.take());
            left -= size;
        }
        let end = &self.links[link].ends[side];
        if end.unsent.is_empty() && end.shut && !end.fin_sent && end.failed.is_none() {
            let arrive = self.now + self.latency();
            let end = &mut self.links[link].ends[side];
            end.fin_sent = true;
            end.send(arrive, Piece::Fin);
        }
    }

    fn deliver(&mut self, link: usize, side: usize) {
        let now = self.now;
        loop {
            let open = self.is_open(link);
            match self.links[link].ends[side].flight.front() {
                Some(first) if first.arrive <= now => {}
                _ => return,
            }
            if !open {
                let later = self.again();
                if let Some(first) = self.links[link].ends[side].flight.front_mut() {
                    first.arrive = later;
                }
                return;
            }
            let [client, server] = &mut self.links[link].ends;
            let (sender, receiver) = if side == 0 {
                (client, server)
            } else {
                (server, client)
            };
            let Some(Segment { piece, .. }) = sender.flight.pop_front() else {
                return;
            };
            if let Piece::Bytes(bytes) = &piece {
                sender.in_flight -= bytes.len();
            }
            match (piece, receiver.presence) {
                (Piece::Reset, _) => {
                    if !self.quality.keeps_unread {
                        receiver.unread.clear();
                        receiver.ended = false;
                    }
                    receiver.fail(now, ErrorKind::ConnectionReset, &mut self.wakers);
                }
                (Piece::Bytes(bytes), Presence::Held) if !receiver.ended => {
                    receiver.unread.extend(bytes);
                    self.wakers.extend(receiver.reader.take());
                }
                (Piece::Fin, Presence::Held) => {
                    receiver.ended = true;
                    receiver.end_arrived.get_or_insert(now);
                    self.wakers.extend(receiver.reader.take());
                }
                (Piece::Fin, Presence::Left) => {}
                (Piece::Bytes(_) | Piece::Fin, _) => {
                    // Nobody is there to read it.
                    if receiver.failed.is_none() {
                        self.reset(link, 1 - side);
                    }
                }
            }
        }
    }

    /// This end sends a reset.
    pub(crate) fn reset(&mut self, link: usize, side: usize) {
        let latency = self.latency();
        let arrive = self.now + latency;
        let overtakes = self.quality.resets_overtake;
        let end = &mut self.links[link].ends[side];
        let discarded = !end.unsent.is_empty() || (overtakes && !end.flight.is_empty());
        end.unsent.clear();
        if overtakes {
            end.forget_outgoing();
        }
        end.failed.get_or_insert(ErrorKind::ConnectionReset);
        end.send(arrive, Piece::Reset);
        end.wake(&mut self.wakers);
        self.links[link].reset_by[side] = true;
        self.links[link].discarded |= discarded;
    }

    /// The kernel's own check of a link on which nothing is heard.
    fn keep_alive(&mut self, link: usize, side: usize) {
        let settled = self.links[link].setup == Setup::Open;
        let open = settled && self.is_open(link);
        let other = self.links[link].ends[1 - side].presence;
        let now = self.now;
        let end = &mut self.links[link].ends[side];
        if open && other != Presence::Gone {
            end.heard = now;
        }
        if !end.is_held() || end.failed.is_some() || !settled {
            return;
        }
        let silent = now - end.heard;
        let asked = end.keepalive.is_some_and(|after| silent >= after);
        if open && other == Presence::Gone && asked {
            end.fail(now, ErrorKind::ConnectionReset, &mut self.wakers);
        } else if (asked || end.owes()) && silent >= end.patience {
            end.fail(now, ErrorKind::TimedOut, &mut self.wakers);
        }
    }

    /// A program lets go of an end.
    pub(crate) fn close(&mut self, link: usize, side: usize) {
        let end = &mut self.links[link].ends[side];
        if !end.is_held() {
            return;
        }
        end.presence = Presence::Left;
        end.shut = true;
        if end.failed.is_none() && (end.resets || !end.unread.is_empty()) {
            self.reset(link, side);
        }
    }

    /// Nobody listens any more: who waits is turned away.
    pub(crate) fn close_port(&mut self) {
        for link in self.port.take().into_iter().flat_map(|port| port.waiting) {
            self.links[link].ends[1].resets = true;
            self.close(link, 1);
        }
    }

    /// The program on a host dies with all its connections; of the machine too, nothing is heard.
    pub(crate) fn crash(&mut self, host: usize, machine: bool) {
        if host == SERVER && machine {
            self.port = None;
        } else if host == SERVER {
            self.close_port();
        }
        self.hosts[host].up = !machine;
        for link in 0..self.links.len() {
            for side in [0, 1] {
                if self.links[link].host(side) != host || self.links[link].finished {
                    continue;
                }
                self.links[link].disturbed = true;
                if machine {
                    let end = &mut self.links[link].ends[side];
                    end.presence = Presence::Gone;
                    end.shut = false;
                    end.forget_outgoing();
                } else {
                    self.close(link, side);
                }
            }
        }
    }

    /// Cuts a host off for a while.
    pub(crate) fn cut(&mut self, host: usize, time: Ticks) {
        self.hosts[host].cut_until = self.now + time;
        for link in &mut self.links {
            if link.host(0) == host || host == SERVER {
                link.disturbed = true;
            }
        }
    }

    /// Something in the middle ends one direction, or breaks the connection.
    pub(crate) fn break_link(&mut self, link: usize, half: Option<usize>) {
        self.links[link].disturbed = true;
        match half {
            Some(side) => self.links[link].ends[side].shut = true,
            None => {
                for side in [0, 1] {
                    let now = self.now;
                    let end = &mut self.links[link].ends[side];
                    end.fail(now, ErrorKind::ConnectionReset, &mut self.wakers);
                }
            }
        }
    }

    /// A new link from this host; its number.
    pub(crate) fn ask(&mut self, client: usize) -> usize {
        let arrive = self.now + self.latency();
        let cut = [client, SERVER]
            .iter()
            .any(|&host| self.hosts[host].cut_until > self.now);
        self.links.push(Link {
            client,
            ends: [End::new(self.now), End::new(self.now)],
            setup: Setup::Asked(arrive),
            connector: None,
            disturbed: cut,
            reset_by: [false; 2],
            discarded: false,
            finished: false,
        });
        self.links.len() - 1
    }

    /// Links over which bytes may pass.
    pub(crate) fn live_links(&self) -> Vec<usize> {
        let live = |link: &Link| !link.finished && link.setup == Setup::Open;
        (0..self.links.len())
            .filter(|&link| live(&self.links[link]))
            .collect()
    }
}
