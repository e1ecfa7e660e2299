//! The parts of a connection of protocol 2 that one of pymasep's lacks: control frames both ways, heartbeats, and what
//! is known of the peer.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::budget::{Budget, Incoming, Share};
use super::hand_over::Heard;
use super::memory::{FrameMemory, Kept};
use super::pool;
use super::transmit::Transmit;
use crate::framing::Framing;
use crate::protocol2::{
    Bye, CONTROL_BYTES, Control, Header, Hello, Notice, Rejected, Welcome, kind,
};
use crate::{CloseReason, EncodeError};

/// A peer without a sign of life for so many heartbeats is gone.
const HEARTBEATS: u32 = 3;
/// A heartbeat that a server asks for is no shorter and no longer than this: a shorter one would be a flood.
const LEAST_HEARTBEAT: Duration = Duration::from_millis(100);
const MOST_HEARTBEAT: Duration = Duration::from_secs(24 * 3_600);
/// The time between two pings that are asked for.
const PING_PACE: Duration = Duration::from_secs(1);
/// Notices that wait to be taken, and bytes of control frames that wait to be written.
const MOST_NOTICES: usize = 16;
const MOST_AHEAD: usize = 16 * 1024;
/// A peer with this feature answers pings only within its calls: what it lacks in heartbeats says nothing.
pub(super) const PONG_IN_CALL: &str = "pong_in_call";
/// The number of small frames in a row after which the buffer of a large frame is given back.
const SMALL_ONES: u8 = 16;

/// The state of one connection of protocol 2.
#[derive(Debug)]
pub(super) struct Masep {
    pub(super) framing: Framing,
    /// The peer's first bytes were heard.
    pub(super) is_heard: bool,
    /// Bytes that go out before all frames of the user's: our first ones, or control frames.
    ahead: Vec<u8>,
    /// They are our first bytes, which are not to be looked at as frames.
    ahead_is_first: bool,
    /// Our first bytes were handed out to be written.
    pub(super) first_is_out: bool,
    /// The token of the ping that is to be answered: the latest.
    pong: Option<[u8; 8]>,
    /// The BYE of this side, in place of the one that its reason gives.
    pub(super) words: Option<Box<Bye>>,
    /// This and nothing else is said at the end: a refusal.
    farewell: Option<Vec<u8>>,
    /// The client's HELLO.
    pub(super) hello: Option<Box<Hello>>,
    /// The bytes up to the end of HELLO, until the client is told whether it is taken.
    pub(super) heard: Option<Box<Heard>>,
    /// The server's WELCOME.
    pub(super) welcome: Option<Box<Welcome>>,
    notices: VecDeque<Notice>,
    /// Notices that were dropped because nobody took them.
    lost_notices: u64,
    heartbeat: Option<Duration>,
    /// The peer answers pings only within its calls.
    pub(super) pongs_in_call: bool,
    last_sent: Instant,
    ping: Ping,
    rtt: Option<Duration>,
    /// The memory of large frames that were given to the user, from the first one on.
    kept: Option<Kept>,
    /// The share of memory that is out for a frame of which nothing has arrived.
    expected: Option<Share>,
    small: u8,
    /// The memory of the frame that is on its way in.
    pub(super) incoming: Incoming,
    end: Option<Box<CloseReason>>,
}

/// The pings of this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ping {
    /// The token of the last one.
    token: u64,
    state: PingState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PingState {
    /// The ping was answered, or there was none.
    Done,
    /// The ping waits to be written.
    Waits,
    /// The ping is in a transmit.
    Taken,
    Sent(Instant),
}

/// The demand of a control frame on the connection.
#[derive(Debug)]
pub(super) enum Demand {
    Nothing,
    Ping,
    Notice,
    /// The connection ends, for the reason that [`Masep::take_end`] gives.
    End,
}

impl Masep {
    /// Before anything is agreed: control frames are understood.
    pub(super) fn new(now: Instant) -> Self {
        let bytes = u32::try_from(CONTROL_BYTES).unwrap_or(0);
        Self {
            framing: Framing::Masep {
                receives: bytes,
                sends: 0,
            },
            is_heard: false,
            ahead: Vec::new(),
            ahead_is_first: false,
            first_is_out: false,
            pong: None,
            words: None,
            farewell: None,
            hello: None,
            heard: None,
            welcome: None,
            notices: VecDeque::new(),
            lost_notices: 0,
            heartbeat: None,
            pongs_in_call: false,
            last_sent: now,
            ping: Ping {
                token: 0,
                state: PingState::Done,
            },
            rtt: None,
            kept: None,
            expected: None,
            small: 0,
            incoming: Incoming::default(),
            end: None,
        }
    }

    /// Both sides know what they receive, and how often they ping.
    pub(super) fn agree(&mut self, receives: u32, sends: u32, heartbeat: Option<Duration>) {
        self.framing = Framing::Masep { receives, sends };
        self.heartbeat =
            heartbeat.map(|heartbeat| heartbeat.clamp(LEAST_HEARTBEAT, MOST_HEARTBEAT));
    }

    /// Has these bytes go out first of all, unless they have, and behind them a control message.
    pub(super) fn say_first(
        &mut self,
        bytes: &'static [u8],
        message: &Control,
    ) -> Result<(), EncodeError> {
        self.heard = None;
        self.ahead = first_bytes(self.unsaid(bytes), message)?;
        self.ahead_is_first = true;
        Ok(())
    }

    /// Has these bytes go out first of all, alone.
    pub(super) fn say_preamble(&mut self, bytes: &'static [u8]) {
        self.ahead = bytes.to_vec();
        self.ahead_is_first = true;
    }

    /// The first bytes, if they are still to be said.
    const fn unsaid(&self, bytes: &'static [u8]) -> &'static [u8] {
        if self.first_is_out { &[] } else { bytes }
    }

    /// True if nothing but frames of the user's goes in both directions, and none of them needs a share of memory.
    pub(super) const fn is_quiet(&self) -> bool {
        !self.has_ahead()
            && !matches!(self.ping.state, PingState::Waits | PingState::Taken)
            && self.incoming.is_none()
    }

    /// True if control frames wait to be written.
    pub(super) const fn has_ahead(&self) -> bool {
        !self.ahead.is_empty() || self.pong.is_some()
    }

    /// Queues a control message in front of the user's frames; false if too many wait.
    pub(super) fn say(&mut self, message: &Control) -> Result<bool, EncodeError> {
        if self.ahead.len() > MOST_AHEAD {
            return Ok(false);
        }
        put_frame(message, &mut self.ahead)?;
        Ok(true)
    }

    /// Moves what goes out first into a transmit without bytes.
    pub(super) fn fill(&mut self, transmit: &mut Transmit) {
        if !self.ahead.is_empty() {
            transmit.extend(&self.ahead);
            self.ahead = Vec::new();
            if mem::take(&mut self.ahead_is_first) {
                self.first_is_out = true;
                transmit.mark_beginning();
            }
            if self.ping.state == PingState::Waits {
                self.ping.state = PingState::Taken;
            }
        }
        if let Some(token) = self.pong.take() {
            let header = Header::new(kind::PONG, 8).to_bytes();
            transmit.extend(&header);
            transmit.extend(&token);
        }
    }

    /// The bytes of our end with this reason.
    pub(super) fn farewell(&mut self, reason: &CloseReason) -> Vec<u8> {
        if let Some(farewell) = self.farewell.take() {
            return farewell;
        }
        let bye = self
            .words
            .take()
            .map_or_else(|| reason.to_bye(), |bye| *bye);
        let mut farewell = Vec::new();
        // Code and text are what goes over the wire, unless the user has put something else there.
        if put_frame(&Control::Bye(bye), &mut farewell).is_err() {
            let _fits = put_frame(&Control::Bye(Bye::new(Bye::PLAIN, "")), &mut farewell);
        }
        farewell
    }

    /// Sets what is said in place of a `BYE`: these first bytes, and that the client is not taken.
    pub(super) fn refuse(&mut self, bytes: &'static [u8], rejected: Rejected) {
        (self.heard, self.ahead) = (None, Vec::new());
        let refusal = first_bytes(self.unsaid(bytes), &Control::Rejected(rejected));
        self.farewell = refusal.ok();
    }

    /// True if a refusal is to be said.
    pub(super) const fn refuses(&self) -> bool {
        self.farewell.is_some()
    }

    /// Takes in a control frame.
    pub(super) fn hear(&mut self, kind: u8, payload: &[u8], now: Instant) -> Demand {
        let message = match Control::decode(kind, payload) {
            Ok(Some(message)) => message,
            // One that is to be ignored.
            Ok(None) => return Demand::Nothing,
            Err(error) => {
                let what = format!("kind {kind}: {error}");
                return self.end(CloseReason::BadFrame(what.into()));
            }
        };
        match message {
            Control::Ping(token) => {
                self.pong = Some(token);
                return Demand::Ping;
            }
            Control::Pong(token) => self.hear_pong(token, now),
            Control::Notice(notice) => {
                if self.notices.len() >= MOST_NOTICES {
                    self.notices.pop_front();
                    self.lost_notices += 1;
                }
                self.notices.push_back(notice);
                return Demand::Notice;
            }
            Control::Bye(bye) if bye.says_nothing() => {
                return self.end(CloseReason::PeerBye);
            }
            Control::Bye(bye) => return self.end(CloseReason::PeerByeWith(Box::new(bye))),
            Control::Hello(_) | Control::Welcome(_) | Control::Rejected(_) => {
                let what = format!("kind {kind}, where the connection is open");
                return self.end(CloseReason::BadFrame(what.into()));
            }
        }
        Demand::Nothing
    }

    fn end(&mut self, reason: CloseReason) -> Demand {
        self.end = Some(Box::new(reason));
        Demand::End
    }

    /// The reason for which the control frame that was heard last ends the connection.
    pub(super) fn take_end(&mut self) -> Option<CloseReason> {
        self.end.take().map(|reason| *reason)
    }

    /// Only the answer to the last ping counts, and once.
    fn hear_pong(&mut self, token: [u8; 8], now: Instant) {
        if let PingState::Sent(at) = self.ping.state
            && token == self.ping.token.to_le_bytes()
        {
            self.rtt = Some(now.saturating_duration_since(at));
            self.ping.state = PingState::Done;
        }
    }

    /// Notes that the stream took bytes.
    #[inline]
    pub(super) fn sent(&mut self, now: Instant) {
        self.last_sent = now;
        if self.ping.state == PingState::Taken {
            self.ping.state = PingState::Sent(now);
        }
    }

    /// When this side will have sent nothing for a heartbeat. One ping waits at most.
    pub(super) fn ping_at(&self) -> Option<Instant> {
        if self.ping.state == PingState::Waits || self.ping.state == PingState::Taken {
            return None;
        }
        self.last_sent.checked_add(self.heartbeat?)
    }

    /// Queues a ping.
    pub(super) fn push_ping(&mut self) {
        self.ping.token = self.ping.token.wrapping_add(1);
        self.ping.state = PingState::Waits;
        let token = self.ping.token.to_le_bytes();
        let _fits = put_frame(&Control::Ping(token), &mut self.ahead);
    }

    /// Queues a ping, unless one is under way that is not a second old; whether it did.
    pub(super) fn ask_ping(&mut self, now: Instant) -> bool {
        let is_early = match self.ping.state {
            PingState::Done => false,
            PingState::Waits | PingState::Taken => true,
            PingState::Sent(at) => now.saturating_duration_since(at) < PING_PACE,
        };
        if !is_early {
            self.push_ping();
        }
        !is_early
    }

    /// The time that a peer may show no sign of life; `None` if the lack of it says nothing.
    pub(super) fn life_time(&self) -> Option<Duration> {
        let heartbeat = self.heartbeat.filter(|_| !self.pongs_in_call)?;
        heartbeat.checked_mul(HEARTBEATS)
    }

    pub(super) fn heartbeat_ms(&self) -> u64 {
        let heartbeat = self.heartbeat.unwrap_or_default();
        u64::try_from(heartbeat.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    pub(super) fn take_notice(&mut self) -> Option<Notice> {
        let notice = self.notices.pop_front();
        if self.notices.is_empty() {
            self.notices = VecDeque::new();
        }
        notice
    }

    pub(super) const fn lost_notices(&self) -> u64 {
        self.lost_notices
    }

    /// Remembers the memory of a large frame that is given to the user, if there is a share for it.
    pub(super) fn keep(&mut self, bytes: &Bytes, budget: &Arc<Budget>) {
        self.small = 0;
        self.kept
            .get_or_insert_with(|| Kept::new(budget))
            .lend(bytes);
    }

    /// Sees to the memory of a buffer with a single frame, of which a slice is given to the user.
    pub(super) fn share(&mut self, bytes: Bytes, budget: &Arc<Budget>) {
        if bytes.len() > pool::LARGE {
            self.keep(&bytes, budget);
        } else {
            self.count_small();
            pool::lend(bytes);
        }
    }

    /// Counts a buffer without a large frame.
    pub(super) fn count_small(&mut self) {
        if self.kept.as_ref().is_some_and(Kept::is_any) {
            self.small += 1;
            if self.small >= SMALL_ONES {
                self.release();
            }
        }
    }

    /// Gives the memory of large frames back.
    pub(super) fn release(&mut self) {
        if let Some(kept) = &self.kept {
            kept.release();
        }
        self.small = 0;
    }

    /// The memory of a large frame that is gone, if so many bytes have room in it, but not many more. Its share is that of
    /// the frame that goes there.
    pub(super) fn take_kept(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let (buffer, share) = self.kept.as_ref()?.take(bytes)?;
        if !self.incoming.has_share() {
            self.incoming.take_over(share);
        }
        Some(buffer)
    }

    /// The memory of a large frame that is gone, for one of which nothing has arrived.
    pub(super) fn take_expected(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let (buffer, share) = self.kept.as_ref()?.take(bytes)?;
        self.expected = Some(share);
        Some(buffer)
    }

    /// Notes that a read has ended, after which this buffer has nothing in it.
    #[inline]
    pub(super) fn put_expected(&mut self, unused: Vec<u8>) {
        if self.expected.is_some() || unused.capacity() > 0 {
            self.put_unused(unused);
        }
    }

    #[inline(never)]
    fn put_unused(&mut self, unused: Vec<u8>) {
        match (self.expected.take(), &self.kept) {
            (Some(share), Some(kept)) if unused.capacity() > 0 => kept.put_back(unused, share),
            (Some(share), _) if !self.incoming.has_share() => self.incoming.take_over(share),
            _ if unused.capacity() > 0 => pool::give(unused),
            _ => {}
        }
    }

    pub(super) fn frame_memory(&mut self, budget: &Arc<Budget>) -> FrameMemory {
        self.kept.get_or_insert_with(|| Kept::new(budget)).handle()
    }
}

fn first_bytes(bytes: &[u8], message: &Control) -> Result<Vec<u8>, EncodeError> {
    let mut first = bytes.to_vec();
    put_frame(message, &mut first)?;
    Ok(first)
}

/// Appends the frame of a control message.
pub(super) fn put_frame(message: &Control, output: &mut Vec<u8>) -> Result<(), EncodeError> {
    let payload = message.encode()?;
    let header = Header::new(message.kind(), u32::try_from(payload.len()).unwrap_or(0));
    output.reserve_exact(header.whole());
    output.extend_from_slice(&header.to_bytes());
    output.extend_from_slice(&payload);
    output.resize(output.len() + header.padding(), 0);
    Ok(())
}
