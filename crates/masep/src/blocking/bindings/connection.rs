//! Calls of a connection that do not wait for long, and what they leave to the caller.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use masep_proto::connection::{Connection as Core, Event, FrameMemory, Heard, Protocols};
use masep_proto::protocol2::Welcome;
use masep_proto::{EncodeError, Frame, Limits, Message, PeerId, Pieces};

use crate::blocking::drive::Awaits;
use crate::blocking::shared::{DropGuard, Shared, State};
use crate::blocking::stream::after;
use crate::blocking::{Connection, Registry, TimedOut, endpoint};
use crate::transport::{self, Socket};
use crate::{SendError, SocketOptions, sync};

/// The send buffer of a Unix socket has room for so many bytes, and for larger frames in one piece only if it is asked for.
const WIDEN_FROM: usize = 128 * 1024;

/// The outcome of [`Connection::offer`] and [`Connection::offer_pieces`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// All of the frame is sent.
    Sent,
    /// A rest of it is to be [flushed](Connection::flush). This is the number of the frame.
    Rest(u64),
    /// There is no room now. Nothing of the frame, which is in one piece here, was sent.
    NoRoom(Frame),
}

impl Offer {
    fn of(rest: Option<u64>) -> Self {
        rest.map_or(Self::Sent, Self::Rest)
    }
}

impl Connection {
    /// Takes a client that was [detached](crate::Request::detach) from a server, in whichever process: by the id, the limits
    /// and the options of this side, with a WELCOME that says this profile, if any, and nothing beyond what each does. Returns
    /// when that is written.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for an id that cannot be sent, or what was not heard of a client that
    /// waits for the verdict; what the system says of the socket; [`NotConnected`](io::ErrorKind::NotConnected) if the
    /// client has gone.
    pub fn accept_over(
        id: impl Into<PeerId>,
        stream: impl Into<OwnedFd>,
        heard: &Heard,
        profile: Option<&str>,
        limits: &Limits,
        options: &SocketOptions,
    ) -> io::Result<Self> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let id = id.into();
        let mut endpoint = endpoint(id.clone());
        endpoint.limits = limits.clone();
        let config = endpoint.config(Protocols::Masep2).map(Arc::new);
        let config = config.map_err(invalid)?;
        let (stream, address) = Socket::new(stream)?;
        stream.set_nonblocking(false)?;
        transport::prepare(&stream, limits, options)?;
        let now = sync::now();
        let mut core = Core::accept(config.clone(), now);
        core.take_over(heard, now);
        if core.poll_event() != Some(Event::Hello) {
            let text = "these are not the first bytes of a client of protocol 2";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut welcome = Welcome::new(id, 0);
        welcome.profile = profile.map(Into::into);
        core.admit_with(welcome, now);
        let owner = (Registry::default(), None, false);
        let shared = Shared::new(core, stream, address, config, options.busy_poll, owner);
        let outcome = |state: &mut State| state.core.open_outcome();
        match shared.drive(None, Awaits::Room, outcome) {
            Ok(Ok(())) => Ok(Self::of(DropGuard::new(shared))),
            Ok(Err(_)) | Err(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// [`try_send`](Self::try_send) for callers who see to the rest themselves, by
    /// [`flush`](Self::flush) right after it: without the background thread.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but for [`SendError::Full`].
    pub fn offer(&self, frame: impl Into<Frame>) -> Result<Offer, SendError> {
        let frame = frame.into();
        match self.offer_now(frame.clone()) {
            Ok(rest) => Ok(Offer::of(rest)),
            Err(SendError::Full(_)) => Ok(Offer::NoRoom(frame)),
            Err(error) => Err(error),
        }
    }

    /// [`encode`](Self::encode) without a copy of large arrays, if that is possible.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_pieces(&self, message: &Message) -> Result<Result<Pieces, Frame>, EncodeError> {
        self.encoding().encode_pieces(message)
    }

    /// [`offer`](Self::offer) of a frame in pieces. They are written from where they are, and nothing of them is used any
    /// more when it returns: what the socket leaves is copied.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send), but for [`SendError::Full`].
    pub fn offer_pieces(&self, pieces: Pieces) -> Result<Offer, SendError> {
        let (shared, size) = (self.shared(), pieces.size());
        let mut state = shared.write_now();
        state.note_use();
        let now = state.now;
        let transmit = match state.core.write_pieces(pieces, now) {
            Ok(Ok(transmit)) => transmit,
            Ok(Err(frame)) => {
                drop(state);
                return self.offer(frame);
            }
            Err(error) => return Err(state.tell(error)),
        };
        tracing::trace!(connection = %shared.info.id, bytes = size, "sending");
        let number = state.core.accepted();
        if size > WIDEN_FROM
            && let Some(stream) = &state.stream
        {
            // Bytes without room there are copied.
            stream.0.widen_send_buffer(size);
        }
        drop(shared.write_out(state, transmit));
        let rest = shared.unlock_if_written(shared.write_now(), number);
        Ok(Offer::of(rest))
    }

    /// The memory of large frames that were received, for those who write to what they got.
    pub fn frame_memory(&self) -> Option<FrameMemory> {
        self.shared().lock().core.frame_memory()
    }

    /// Has calls that wait for bytes wait in the read itself, this long at a time (`SO_RCVTIMEO`), where they would poll and
    /// then read: for those who always have a deadline, and want the fewest calls of the system. Other handles of the
    /// socket get the option too.
    ///
    /// # Errors
    /// The system's error.
    pub fn wait_in_reads(&self, time: Duration) -> io::Result<()> {
        let mut state = self.shared().lock();
        if let Some(stream) = &state.stream {
            stream.0.set_read_time(time)?;
            state.roles.read_time = Some(time);
            state.roles.keeps_read_time = true;
        }
        Ok(())
    }

    /// [`flush`](Self::flush) that blocks no longer than `time`. False if something is left then.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn flush_timeout(&self, time: Duration) -> Result<bool, SendError> {
        let shared = self.shared();
        let mut state = shared.lock();
        state.core.stop_gathering();
        let (last, until) = (state.core.accepted(), after(time));
        drop(state);
        match shared.drive(until, Awaits::Room, |state| state.is_written(last)) {
            Ok(written) => written.map(|()| true),
            Err(TimedOut) => Ok(false),
        }
    }

    /// Waits until [`try_recv`](Self::try_recv) has something, a frame or the reason of the end, and takes nothing. At most
    /// this long.
    pub fn wait_for_frame(&self, time: Duration) {
        let has_something = |state: &mut State| {
            let has_ended = state.core.reason().is_some() || state.core.is_over();
            (state.has_frames() || has_ended).then_some(())
        };
        let waited = self
            .shared()
            .drive(after(time), Awaits::Bytes, has_something);
        waited.unwrap_or_default();
    }

    /// Leaves what [`offer`](Self::offer) left to the background thread.
    pub fn leave_rest(&self) {
        self.write_in_background();
    }
}
