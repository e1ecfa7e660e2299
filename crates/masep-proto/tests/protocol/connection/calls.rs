//! Any sequence of calls on one connection, also of a shell that does what none would: nothing panics, what is
//! told is true, and it comes to an end. The fuzz target `core` plays it too.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::time::{Duration, Instant};

use masep_proto::connection::{
    Action, Batch, Config, Connection, Event, Protocols, Read, Room, Transmit, Want, WhenFull,
    Write,
};
use masep_proto::protocol2::{
    Bye, Control, Header, Hello, Notice, Protocol, Rejected, Welcome, kind, preamble,
};
use masep_proto::{CloseReason, Frame, FrameKind, Limits};

/// Gives a number below a bound, each time another.
pub(crate) type Choose<'a> = dyn FnMut(usize) -> usize + 'a;

/// A connection, what is out of it, and what it has told.
struct Play {
    core: Connection,
    policy: WhenFull,
    now: Instant,
    room: Option<Room>,
    transmit: Option<Transmit>,
    batch: Batch,
    /// The bytes that the peer will have sent.
    incoming: VecDeque<u8>,
    /// The frames in it, as far as they were not taken.
    expected: VecDeque<Vec<u8>>,
    is_damaged: bool,
    /// The protocol of the peer.
    protocol: Protocol,
    written: Vec<u8>,
    ended: u32,
    open: bool,
    over: bool,
    accepted: u64,
}

fn policy(choose: &mut Choose<'_>) -> WhenFull {
    [WhenFull::Wait, WhenFull::NewestWins, WhenFull::Disconnect][choose(3)]
}

impl Play {
    fn new(choose: &mut Choose<'_>) -> Self {
        let limits = Limits::default()
            .queue_messages(1 + choose(6))
            .queue_bytes(1 + choose(3_000))
            .frame_bytes([65_535, 2_000][choose(2)])
            .idle_time([None, Some(Duration::from_secs(20))][choose(2)]);
        let policy = policy(choose);
        let limits = limits
            .payload_bytes([None, Some(2_000)][choose(2)])
            .heartbeat([None, Some(Duration::from_secs(10))][choose(2)]);
        let protocols = [Protocols::Pymasep, Protocols::Both, Protocols::Masep2][choose(3)];
        let config = Config::new("engine", limits).expect("an id");
        let config = Arc::new(config.when_full(policy).protocols(protocols));
        let now = Instant::now();
        let core = match choose(4) {
            0 => Connection::connect(config, now),
            1 => Connection::established(config, "agent".into(), now),
            _ => Connection::accept(config, now),
        };
        let mut play = Self {
            core,
            policy,
            now,
            room: None,
            transmit: None,
            batch: Batch::new(),
            incoming: VecDeque::new(),
            expected: VecDeque::new(),
            is_damaged: false,
            protocol: Protocol::Pymasep,
            written: Vec::new(),
            ended: 0,
            open: false,
            over: false,
            accepted: 0,
        };
        play.write_stream(choose);
        play
    }

    fn write_stream(&mut self, choose: &mut Choose<'_>) {
        if self.core.peer().is_some() || choose(2) == 0 {
            self.write_pymaseps_stream(choose);
        } else {
            self.write_masep_stream(choose);
        }
        if choose(8) == 0 {
            self.damage(choose);
        }
    }

    /// A byte is another one: nothing is expected of what comes from there on.
    fn damage(&mut self, choose: &mut Choose<'_>) {
        let at = choose(self.incoming.len().clamp(1, 300));
        if let Some(byte) = self.incoming.get_mut(at) {
            *byte = u8::try_from(choose(256)).unwrap_or(0);
            self.is_damaged = true;
        }
    }

    fn write_pymaseps_stream(&mut self, choose: &mut Choose<'_>) {
        if self.core.peer().is_none() {
            self.incoming.extend(b"\x05\0agent");
        }
        for number in 0..choose(20) {
            let most = [5, 300, 3_000][choose(3)];
            let body = vec![u8::try_from(number).unwrap_or(0); choose(most)];
            let length = u16::try_from(body.len()).unwrap_or(0);
            self.incoming.extend(length.to_le_bytes());
            self.incoming.extend(&body);
            self.expected.push_back(body);
        }
        match choose(4) {
            0 => self.incoming.extend(b"\x03\0BYE\x01\0x"),
            1 => self.incoming.extend(b"\xff\xffx"),
            _ => {}
        }
    }

    fn write_masep_stream(&mut self, choose: &mut Choose<'_>) {
        self.protocol = Protocol::Masep2;
        let id = || "agent".into();
        let (most, features) = (choose(5_000), vec!["pong_in_call".into(); choose(2)]);
        let most = u32::try_from(most).unwrap_or(0);
        let mut hello = Hello::new(id(), most);
        hello.features.clone_from(&features);
        let mut welcome = Welcome::new(id(), most);
        welcome.features = features;
        welcome.heartbeat_ms = [0, 1, 5_000][choose(3)];
        let answer = match choose(4) {
            0 => Control::Rejected(Rejected::new("full", "")),
            _ => Control::Welcome(Box::new(welcome)),
        };
        let (first, message) = match choose(2) {
            0 => (preamble::CLIENT, Control::Hello(Box::new(hello))),
            _ => (preamble::SERVER, answer),
        };
        self.incoming.extend(first);
        self.control(&message);
        for number in 0..choose(20) {
            match choose(10) {
                0 => self.control(&Control::Ping([7; 8])),
                1 => self.control(&Control::Pong([0; 8])),
                2 => self.control(&Control::Notice(Notice::new("late", ""))),
                3 => self.masep_frame(200, &vec![9; choose(300)]),
                _ => {
                    let most = [5, 300, 1_900][choose(3)];
                    let body = vec![u8::try_from(number).unwrap_or(0); choose(most)];
                    self.masep_frame([kind::CBOR, kind::XML, kind::BYTES][choose(3)], &body);
                    self.expected.push_back(body);
                }
            }
        }
        match choose(6) {
            0 => self.control(&Control::Bye(Bye::new("bye", ""))),
            1 => self.control(&Control::Bye(Bye::new("because", "of this"))),
            2 => self.masep_frame(100, b""),
            3 => self.incoming.extend(b"\xff\xff\xff\xff\x10\0\0\0x"),
            _ => {}
        }
    }

    fn control(&mut self, message: &Control) {
        let payload = message.encode().expect("it is small");
        self.masep_frame(message.kind(), &payload);
    }

    fn masep_frame(&mut self, kind: u8, payload: &[u8]) {
        let header = Header::new(kind, u32::try_from(payload.len()).unwrap_or(0));
        self.incoming.extend(header.to_bytes());
        self.incoming.extend(payload);
        self.incoming.extend(vec![0; header.padding()]);
    }

    fn call(&mut self, choose: &mut Choose<'_>) {
        let now = self.now;
        match choose(25) {
            0..3 => self.read(choose),
            3..6 => self.write(choose),
            6 if self.room.is_none() => self.room = self.core.take_room(),
            7 if self.transmit.is_none() => self.transmit = self.core.take_transmit(),
            8 => self.take(),
            9 => {
                self.now += Duration::from_millis([1, 100, 1_000, 30_000][choose(4)]);
                self.core.handle_timeout(self.now);
            }
            10 | 11 => self.send(choose),
            12 => self.core.sent(now),
            13 | 14 => self.core.admit(now),
            15 if choose(8) == 0 => self.core.refuse(now),
            16 if choose(8) == 0 => self.core.end(CloseReason::LocalBye, now),
            17 if choose(16) == 0 => self.core.abort(CloseReason::Shutdown, now),
            18 if choose(16) == 0 => {
                self.core.ignore_frames();
                self.policy = WhenFull::NewestWins;
            }
            19 if choose(16) == 0 => self.core.stop_hearing(),
            20 => drop(
                self.core
                    .notice(Notice::new("late", "x".repeat(choose(2_000))), now),
            ),
            21 => drop(self.core.ping(now)),
            22 if choose(8) == 0 => {
                let bye = Bye::new("because", "of that").may_return(true);
                self.core.end_with(bye, now);
            }
            23 if choose(8) == 0 => self.core.refuse_with(Rejected::new("full", "no room"), now),
            24 if choose(4) == 0 => self.core.handler_waits(now),
            24 => self.core.handler_done(choose(2) == 0, now),
            _ => self.poll(),
        }
    }

    fn send(&mut self, choose: &mut Choose<'_>) {
        let most = [10, 300, 9_000][choose(3)];
        let form = [FrameKind::Bytes, FrameKind::Cbor][choose(2)];
        let mut frame = Some(Frame::of(form, vec![7; choose(most)]));
        let sent = self.core.send(&mut frame, policy(choose), self.now);
        self.accepted += u64::from(sent.is_ok());
        assert_eq!(self.core.accepted(), self.accepted);
        assert!(self.core.written() <= self.accepted);
    }

    /// One read, of the room that is out if there is one.
    fn read(&mut self, choose: &mut Choose<'_>) {
        let Some(mut room) = self.room.take().or_else(|| self.core.take_room()) else {
            return;
        };
        assert!(room.free() > 0);
        let most = [1, 2, 3, 100, 5_000][choose(5)];
        let read = match choose(24) {
            0 if self.incoming.is_empty() => Read::End,
            1 if choose(4) == 0 => Read::Failed(ErrorKind::ConnectionReset),
            2..6 => Read::Blocked,
            _ if self.incoming.is_empty() => Read::Blocked,
            _ => {
                let bytes = most.min(self.incoming.len()).min(room.free());
                let bytes: Vec<u8> = self.incoming.drain(..bytes).collect();
                assert_eq!(room.fill(&bytes), bytes.len());
                Read::Bytes
            }
        };
        self.core.put_room(room, read, self.now);
    }

    fn write(&mut self, choose: &mut Choose<'_>) {
        let Some(transmit) = self.transmit.take().or_else(|| self.core.take_transmit()) else {
            return;
        };
        let write = match choose(24) {
            0 if choose(4) == 0 => Write::Failed(ErrorKind::BrokenPipe),
            1..6 => Write::Blocked,
            _ => {
                let most = [1, 10, 100_000][choose(3)];
                Write::Bytes(self.copy(&transmit, most))
            }
        };
        self.core.put_transmit(transmit, write, self.now);
    }

    fn copy(&mut self, transmit: &Transmit, most: usize) -> usize {
        let mut slices = [IoSlice::new(&[]); Transmit::MOST_SLICES];
        let used = transmit.slices(&mut slices);
        let bytes = slices[..used].iter().flat_map(|slice| slice.iter());
        let before = self.written.len();
        self.written.extend(bytes.take(most));
        self.written.len() - before
    }

    fn take(&mut self) {
        self.core.take_frames(&mut self.batch, self.now);
        for frame in &mut self.batch {
            if self.is_damaged || self.protocol != self.core.protocol() {
                continue;
            }
            let expected = loop {
                let expected = self.expected.pop_front().expect("it was sent");
                if self.policy != WhenFull::NewestWins || expected == frame.bytes()[..] {
                    break expected;
                }
            };
            assert!(expected == frame.bytes()[..]);
        }
    }

    fn poll(&mut self) {
        while let Some(event) = self.core.poll_event() {
            assert!(!self.over, "{event:?} behind the last");
            match event {
                Event::Open => self.open = true,
                Event::Ended => {
                    assert!(self.open);
                    self.ended += 1;
                }
                Event::Failed => self.ended += 1,
                Event::Over => self.over = true,
                Event::Notice => while self.core.poll_notice().is_some() {},
                _ => {}
            }
            assert!(self.ended <= 1, "one reason");
        }
        while let Some(action) = self.core.poll_action() {
            let closes = matches!(action, Action::Close | Action::Reset);
            assert!(!closes || self.core.is_over());
        }
    }

    /// Has it come to its end, as a shell does whose stream takes all, or nothing.
    fn finish(&mut self, takes: bool) {
        self.core.handler_done(true, self.now);
        for _ in 0..10_000 {
            self.poll();
            self.take();
            if let Some(room) = self.room.take() {
                self.core.put_room(room, Read::Blocked, self.now);
            } else if let Some(transmit) = self.transmit.take() {
                let write = if takes {
                    Write::Bytes(self.copy(&transmit, usize::MAX))
                } else {
                    Write::Blocked
                };
                self.core.put_transmit(transmit, write, self.now);
            } else if self.core.is_over() {
                self.poll();
                self.take();
                return self.check();
            } else if self.core.wants().read == Want::Now {
                self.room = self.core.take_room();
                assert!(self.room.is_some());
            } else if self.core.wants().write == Want::Now {
                self.transmit = self.core.take_transmit();
                assert!(self.transmit.is_some());
            } else if takes && self.core.wants().write == Want::Ready {
                self.transmit = self.core.take_transmit();
            } else {
                let deadline = self.core.deadline().expect("it does not wait for ever");
                self.now = self.now.max(deadline);
                self.core.handle_timeout(self.now);
            }
        }
        panic!("it does not end: {:?}", self.core);
    }

    fn check(&self) {
        assert!(self.over);
        assert_eq!(self.core.deadline(), None);
        assert_eq!(self.core.wants(), Default::default());
        // The bytes that went out are frames, and a `BYE` at the end if one was said.
        if self.written.starts_with(b"\x07\0masep/") {
            return self.check_masep();
        }
        let mut rest = &self.written[..];
        while let Some((header, body)) = rest.split_first_chunk() {
            let body = body.get(..usize::from(u16::from_le_bytes(*header)));
            let Some(body) = body else { break };
            rest = &rest[2 + body.len()..];
            assert!(body != b"BYE" || rest.is_empty(), "behind a BYE");
        }
        assert!(!self.core.has_said_bye() || self.written.ends_with(b"\x03\0BYE"));
    }

    /// The same in protocol 2.
    fn check_masep(&self) {
        let Some(mut rest) = self.written.get(preamble::CLIENT.len()..) else {
            return;
        };
        let mut last = None;
        while let Ok(Some(header)) = Header::read(rest) {
            let Some(padding) = rest.get(Header::BYTES + header.size()..header.whole()) else {
                break;
            };
            assert!(padding.iter().all(|byte| *byte == 0));
            let payload = &rest[Header::BYTES..Header::BYTES + header.size()];
            let message = Control::decode(header.kind, payload);
            assert!(message.is_ok(), "{message:?}");
            assert!(
                !matches!(last, Some(kind::BYE | kind::REJECTED)),
                "behind a BYE"
            );
            last = Some(header.kind);
            rest = &rest[header.whole()..];
        }
        if self.core.has_said_bye() {
            assert!(matches!(last, Some(kind::BYE | kind::REJECTED)) && rest.is_empty());
        }
    }
}

pub(crate) fn play(choose: &mut Choose<'_>) {
    let mut play = Play::new(choose);
    for _ in 0..choose(120) {
        play.call(choose);
    }
    let now = play.now;
    match choose(4) {
        0 => play.core.abort(CloseReason::Aborted, now),
        _ => play.core.end(CloseReason::LocalBye, now),
    }
    play.finish(choose(2) == 0);
}
