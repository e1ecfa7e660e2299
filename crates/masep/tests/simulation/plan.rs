//! The meaning of one seed: the hosts, the network between them, and the faults.

use std::ops::Range;
use std::time::Duration;

use masep::{Duplicates, Limits, Protocols, SocketOptions, WhenFull};
use rand::{RngExt, SeedableRng};
use rand_xorshift::XorShiftRng;

use crate::stream::Ticks;

/// The quality of a network. Times are in ticks, sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    pub(crate) latency: Ticks,
    pub(crate) jitter: Ticks,
    /// The probability that a segment is lost, each time that it is sent.
    pub(crate) loss: f64,
    /// The longest segment.
    pub(crate) segment: usize,
    /// The most bytes that may be on their way or unread.
    pub(crate) window: usize,
    /// The most bytes that may be written and not on their way.
    pub(crate) buffer: usize,
    /// The most bytes that go out in a tick, per direction.
    pub(crate) rate: usize,
    /// True if bytes that had arrived before a reset can be read, as on Linux.
    pub(crate) keeps_unread: bool,
    /// True if a reset overtakes bytes that were sent before.
    pub(crate) resets_overtake: bool,
}

/// The way in which a program takes the frames that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taking {
    Recv,
    Newest,
    Handler,
    Queue,
}

/// Something that goes wrong, at a random instant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// A host is cut off.
    Cut(Ticks),
    /// A program or its machine dies, and is there again later.
    Crash {
        machine: bool,
        down: Ticks,
    },
    /// A program ends without a word of its own: its runtime is dropped.
    Exit {
        down: Ticks,
    },
    Reset,
    HalfClose,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    /// The generations of the protocol that the server speaks, and each client.
    pub(crate) server_speaks: Protocols,
    pub(crate) clients_speak: Vec<Protocols>,
    pub(crate) shared_id: bool,
    pub(crate) duplicates: Duplicates,
    pub(crate) server: Taking,
    pub(crate) client: Taking,
    /// For a receiving queue that is full.
    pub(crate) when_full: WhenFull,
    /// For a sending queue, and for broadcasts.
    pub(crate) send_full: WhenFull,
    pub(crate) limits: Limits,
    pub(crate) socket_options: SocketOptions,
    pub(crate) quality: Quality,
    pub(crate) largest: usize,
    /// Of frames and arrays to a peer of protocol 2.
    pub(crate) largest_of_masep: usize,
    pub(crate) frames: u32,
    pub(crate) broadcasts: u32,
    /// The longest wait of a sender between two frames, and of a receiver, in milliseconds.
    pub(crate) pause: u64,
    pub(crate) delay: u64,
    pub(crate) active: Ticks,
    pub(crate) shutdown: Option<Duration>,
    pub(crate) faults: Vec<(Ticks, Fault)>,
}

pub(crate) fn rng(seed: u64, stream: u64) -> XorShiftRng {
    XorShiftRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream)
}

pub(crate) fn one_of<T: Copy>(rng: &mut XorShiftRng, of: &[T]) -> T {
    of[rng.random_range(0..of.len())]
}

pub(crate) fn millis(rng: &mut XorShiftRng, range: Range<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let rng = &mut rng(seed, 1);
        let policies = [
            WhenFull::Wait,
            WhenFull::Wait,
            WhenFull::NewestWins,
            WhenFull::Disconnect,
        ];
        let largest = one_of(rng, &[64, 300, 2_000, 60 << 10]);
        let largest_of_masep = largest.max(one_of(rng, &[0, 0, 70_000, 160_000]));
        let active = rng.random_range(300..900);
        let clients = rng.random_range(1..=6);
        let server_speaks = one_of(rng, SERVERS);
        Self {
            clients,
            server_speaks,
            clients_speak: (0..clients)
                .map(|_| one_of(rng, clients_of(server_speaks)))
                .collect(),
            shared_id: rng.random_bool(0.1),
            duplicates: one_of(rng, &[Duplicates::Refuse, Duplicates::Replace]),
            server: one_of(rng, &[Taking::Recv, Taking::Handler, Taking::Queue]),
            client: one_of(
                rng,
                &[Taking::Recv, Taking::Recv, Taking::Newest, Taking::Handler],
            ),
            when_full: one_of(rng, &policies),
            send_full: one_of(rng, &policies),
            limits: limits(rng),
            socket_options: socket_options(rng),
            quality: quality(rng, largest_of_masep),
            largest,
            largest_of_masep,
            frames: if largest_of_masep > 4_000 {
                12
            } else {
                rng.random_range(1..60)
            },
            broadcasts: rng.random_range(0..12),
            pause: one_of(rng, &[0, 10, 100]),
            delay: one_of(rng, &[0, 0, 5, 60]),
            active,
            shutdown: rng.random_bool(0.7).then(|| millis(rng, 0..3_000)),
            // Half of all seeds have none: what an orderly end promises is seen there.
            faults: faults(rng, 0.5, 6, 5..active, 300, fault),
        }
    }
}

/// Most serve both generations; some are engines of pymasep's protocol, some insist on protocol 2.
const SERVERS: &[Protocols] = &[
    Protocols::Both,
    Protocols::Both,
    Protocols::Both,
    Protocols::Both,
    Protocols::Pymasep,
    Protocols::Masep2,
];

/// Most can be served. Those that cannot are refused again and again.
const fn clients_of(server: Protocols) -> &'static [Protocols] {
    use Protocols::{Both, Masep2, Pymasep};
    match server {
        Pymasep => &[Pymasep, Pymasep, Both, Both, Masep2],
        Masep2 => &[Masep2, Masep2, Both, Both, Pymasep],
        _ => &[Pymasep, Masep2, Both],
    }
}

fn limits(rng: &mut XorShiftRng) -> Limits {
    Limits::default()
        .queue_messages(rng.random_range(1..40))
        .queue_bytes(rng.random_range(100..200_000))
        .hello_time(millis(rng, 500..2_000))
        .write_time(millis(rng, 800..2_500))
        .heartbeat(rng.random_bool(0.7).then(|| millis(rng, 200..3_000)))
        .idle_time(rng.random_bool(0.3).then(|| millis(rng, 500..2_000)))
}

fn socket_options(rng: &mut XorShiftRng) -> SocketOptions {
    SocketOptions::default()
        .connect_time(millis(rng, 500..2_000))
        .keepalive_time(rng.random_bool(0.8).then(|| millis(rng, 300..1_000)))
}

pub(crate) fn quality(rng: &mut XorShiftRng, largest: usize) -> Quality {
    // A large frame needs as much to pass in time.
    let least = largest / 4;
    Quality {
        latency: rng.random_range(1..12),
        jitter: one_of(rng, &[0, 1, 6]),
        loss: one_of(rng, &[0.0, 0.0, 0.02, 0.2]),
        segment: one_of(rng, &[1, 7, 100, 1_400, 9_000]).max(largest / 200),
        window: least + one_of(rng, &[64, 1_000, 60_000]),
        buffer: least + one_of(rng, &[64, 1_000, 60_000]),
        rate: least + one_of(rng, &[100, 5_000, 100_000]),
        keeps_unread: rng.random_bool(0.7),
        resets_overtake: rng.random_bool(0.2),
    }
}

/// Drawn faults in order of time: none with this probability, else fewer than `most`, none of them before `first`.
pub(crate) fn faults(
    rng: &mut XorShiftRng,
    none: f64,
    most: usize,
    times: Range<Ticks>,
    longest_down: Ticks,
    draw: impl Fn(&mut XorShiftRng, Ticks) -> Fault,
) -> Vec<(Ticks, Fault)> {
    if rng.random_bool(none) {
        return Vec::new();
    }
    let mut faults: Vec<_> = (0..rng.random_range(1..most))
        .map(|_| {
            let down = rng.random_range(1..longest_down);
            let fault = draw(rng, down);
            (rng.random_range(times.clone()), fault)
        })
        .collect();
    faults.sort_by_key(|&(at, _)| at);
    faults
}

fn fault(rng: &mut XorShiftRng, down: Ticks) -> Fault {
    match rng.random_range(0..6) {
        0 | 1 => Fault::Cut(rng.random_range(10..800)),
        2 => Fault::Crash {
            machine: rng.random_bool(0.5),
            down,
        },
        3 => Fault::Exit { down },
        4 => Fault::Reset,
        _ => Fault::HalfClose,
    }
}
