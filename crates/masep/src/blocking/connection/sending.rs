//! Calls that send.

use masep_proto::connection::{Connection as Core, PushError, Pushed, Want};
use masep_proto::protocol2::Notice;
use masep_proto::{Dict, Frame, Limit, LimitExceeded, Message};

use super::Connection;
use super::gathering::Gathering;
use crate::blocking::drive::Awaits;
use crate::blocking::shared::State;
use crate::sync::Instant;
use crate::{CloseReason, SendError, WhenFull};

impl Connection {
    /// Sends a frame: header and body in one write, by this thread.
    ///
    /// Frames that a thread sends one right behind another, more than 100,000 a second and without a wait for the peer, go
    /// out together: by the call with which some 60 kB wait, by the next one that receives, [flushes](Self::flush) or ends the
    /// connection, or after 0.1 ms by a background thread. Such a call returns before its frame is written.
    ///
    /// Blocks while the socket has no room and while another thread waits for that. While it waits, it
    /// takes in the frames of the peer (up to [`Limits::queue_bytes`](crate::Limits::queue_bytes), for a later
    /// [`recv`](Self::recv)), so that two sides that only write do not wait for each other. A peer
    /// that takes no byte for [`Limits::write_time`](crate::Limits::write_time) is given up: the connection ends with
    /// [`CloseReason::WriteTimeout`].
    ///
    /// Sending a `BYE` frame is [`bye`](Self::bye).
    ///
    /// # Errors
    /// [`SendError::TooLarge`] with size and limit, after which the connection lives on, and
    /// [`SendError::Closed`] with the reason for which it ended; the peer may have got a part of
    /// the frame then.
    pub fn send(&self, frame: impl Into<Frame>) -> Result<(), SendError> {
        let (shared, frame) = (self.shared(), frame.into());
        tracing::trace!(connection = %shared.info.id, bytes = frame.size(), "sending");
        let mut frame = Some(frame);
        let state = match shared.gather(&mut frame) {
            Gathering::Later => return Ok(()),
            Gathering::Now(number) => {
                return self.send_in_turn(Some(number), |_, _| Ok(Pushed::Queued));
            }
            Gathering::Alone(state) => state,
        };
        let (state, number) = shared.write_alone(state, &mut frame);
        if number.is_some() && state.is_at_rest() {
            return Ok(());
        }
        if let Some(frame) = &frame
            && state.core.is_end(frame)
        {
            drop(state);
            self.bye();
            return Ok(());
        }
        drop(state);
        self.send_in_turn(number, |core, now| {
            core.send(&mut frame, WhenFull::Wait, now)
        })
    }

    /// Queues something when there is room, unless it was and has a number, and waits until it is written, or gathered.
    fn send_in_turn(
        &self,
        mut number: Option<u64>,
        mut push: impl FnMut(&mut Core, Instant) -> Result<Pushed, PushError>,
    ) -> Result<(), SendError> {
        self.shared()
            .drive(None, Awaits::Room, |state| {
                if number.is_none() {
                    match state.queue(&mut push) {
                        Ok(queued) => number = queued,
                        Err(error) => return Some(Err(error)),
                    }
                }
                state.is_sent(number?)
            })
            .unwrap_or(Ok(()))
    }

    /// Sends a frame if the socket has room for its first bytes now. Never blocks.
    ///
    /// A frame that was accepted counts as sent, also if the socket took only a part of it or nothing yet. A background
    /// thread writes the rest, under the same bound as [`send`](Self::send), unless another call is faster:
    /// [`flush`](Self::flush) to know when it is done.
    ///
    /// # Errors
    /// [`SendError::Full`] without room, or while another thread waits for it: nothing of the frame
    /// was sent. The limit in it is the size of the socket's buffer. Else as [`send`](Self::send).
    pub fn try_send(&self, frame: impl Into<Frame>) -> Result<(), SendError> {
        if self.offer_now(frame.into())?.is_some() {
            self.write_in_background();
        }
        Ok(())
    }

    /// Sends a frame by a policy for a full queue: [`Wait`](WhenFull::Wait) is [`send`](Self::send). The
    /// others never block: a frame for which the socket has no room waits for a background thread, and when
    /// [`Limits::queue_messages`](crate::Limits::queue_messages) or [`Limits::queue_bytes`](crate::Limits::queue_bytes) wait already, [`NewestWins`](WhenFull::NewestWins)
    /// drops the oldest that are not yet on their way, and [`Disconnect`](WhenFull::Disconnect) ends the
    /// connection with a `BYE` and without the frames that wait.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::Full`] when the connection was ended for it.
    pub fn send_or(&self, frame: impl Into<Frame>, when_full: WhenFull) -> Result<(), SendError> {
        if when_full == WhenFull::Wait {
            return self.send(frame);
        }
        self.push(|state| {
            let pushed = state
                .core
                .send(&mut Some(frame.into()), when_full, state.now);
            if let Err(PushError::Full(_)) = &pushed {
                // The policy has ended it.
                state.note_own_end();
            }
            pushed.map(drop).map_err(|error| state.tell(error))
        })
    }

    /// [`try_send`](Self::try_send) without the background thread: the number of the frame, if a rest of it is not written.
    pub(in crate::blocking) fn offer_now(&self, frame: Frame) -> Result<Option<u64>, SendError> {
        let shared = self.shared();
        let size = frame.size();
        tracing::trace!(connection = %shared.info.id, bytes = size, "sending");
        let mut frame = Some(frame);
        let state = match shared.gather(&mut frame) {
            Gathering::Later => return Ok(None),
            Gathering::Now(number) => {
                return Ok(shared.unlock_if_written(shared.write_now(), number));
            }
            Gathering::Alone(state) => state,
        };
        let (state, number) = shared.write_alone(state, &mut frame);
        let Some(frame) = frame else {
            return Ok(number.and_then(|number| shared.unlock_if_written(state, number)));
        };
        drop(state);
        let mut state = shared.write_now();
        if state.core.is_end(&frame) {
            drop(state);
            shared.end(CloseReason::LocalBye);
            return Ok(None);
        }
        let mut frame = Some(frame);
        let queued = state.queue(|core, now| core.send(&mut frame, WhenFull::Wait, now))?;
        let Some(number) = queued else {
            let socket = state.stream.as_ref();
            let allowed = socket.map_or(0, |stream| stream.0.send_buffer_size());
            return Err(SendError::Full(LimitExceeded {
                limit: Limit::QueueBytes,
                actual: allowed + size,
                allowed,
            }));
        };
        drop(state);
        Ok(shared.unlock_if_written(shared.write_now(), number))
    }

    /// Has a background thread write the rest.
    pub(in crate::blocking) fn write_in_background(&self) {
        self.shared().unlock(self.shared().lock());
    }

    /// Writes the rest of a frame that [`try_send`](Self::try_send) left; returns when the socket
    /// has taken all of it. Blocks as [`send`](Self::send) does.
    ///
    /// # Errors
    /// [`SendError::Closed`] with the reason for which the connection ended.
    pub fn flush(&self) -> Result<(), SendError> {
        let mut state = self.shared().lock();
        state.check_open()?;
        state.core.stop_gathering();
        let last = state.core.accepted();
        drop(state);
        self.shared()
            .drive(None, Awaits::Room, |state| state.is_written(last))
            .unwrap_or(Ok(()))
    }

    /// [`flush`](Self::flush) that writes only as much as the socket takes now. True if nothing is left. Never
    /// blocks: while another thread waits for room, something is left.
    ///
    /// # Errors
    /// [`SendError::Closed`] with the reason for which the connection ended.
    pub fn try_flush(&self) -> Result<bool, SendError> {
        let shared = self.shared();
        shared.lock().core.stop_gathering();
        let mut state = shared.write_now();
        while state.core.is_open() && state.is_being_written() {
            // By another thread, which does not wait for room in that.
            state = shared.wait_for_others(state, None);
        }
        let open = state.check_open();
        let is_all = state.core.unsent() == 0;
        if open.is_err() {
            shared.unlock(state);
        }
        open.map(|()| is_all)
    }

    /// [Encodes](Self::encode) a message and sends it as [`send`](Self::send) does. Large arrays are not copied (protocol
    /// 2): they are written from where they are. For the same message to many connections, see
    /// [`Registry::broadcast_message`](crate::blocking::Registry::broadcast_message).
    ///
    /// # Errors
    /// [`SendError::Encode`] for a message that cannot be sent, else as [`send`](Self::send).
    pub fn send_message(&self, message: &Message) -> Result<(), SendError> {
        self.send_turn(message, None)
    }

    /// [`send_message`](Self::send_message) with what belongs to the turn of a game.
    pub(in crate::blocking) fn send_turn(
        &self,
        message: &Message,
        turn: Option<&Dict>,
    ) -> Result<(), SendError> {
        let pieces = match self.encoding().encode_turn_pieces(message, turn)? {
            Ok(pieces) => pieces,
            Err(frame) => return self.send(frame),
        };
        tracing::trace!(connection = %self.shared().info.id, bytes = pieces.size(), "sending");
        let mut pieces = Some(Box::new(pieces));
        self.send_in_turn(None, |core, now| {
            core.send_pieces(&mut pieces, WhenFull::Wait, now)
        })
    }

    /// Tells the peer of something that was not accepted, which is no end (protocol 2). It overtakes frames that wait.
    /// A peer of pymasep's protocol cannot be told, which is no error. Never blocks: a background thread writes what the
    /// socket has no room for.
    ///
    /// # Errors
    /// [`SendError::Closed`] with the reason of the end, [`SendError::Full`] if the peer does not take those before it, and
    /// [`SendError::TooLarge`] for one of more than 4,096 bytes.
    pub fn notice(&self, notice: Notice) -> Result<(), SendError> {
        self.push(|state| {
            let pushed = state.core.notice(notice, state.now);
            pushed.map(drop).map_err(SendError::from)
        })
    }

    /// Asks the peer for a sign of life, which gives [`rtt`](Self::rtt) when a call that receives has read it. False if
    /// none was asked for: in pymasep's protocol, where the connection has ended, and while another one is under way that is
    /// not a second old. Never blocks.
    pub fn ping(&self) -> bool {
        self.push(|state| state.core.ping(state.now))
    }

    /// Queues something without a wait, and writes what the socket takes; a background thread writes the rest.
    fn push<T>(&self, push: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.shared().write_now();
        state.note_use();
        let pushed = push(&mut state);
        drop(state);
        self.shared().unlock(self.shared().write_now());
        pushed
    }
}

impl State {
    /// Queues something, unless others wait for room. Gives its number if there was room for it.
    fn queue(
        &mut self,
        push: impl FnOnce(&mut Core, Instant) -> Result<Pushed, PushError>,
    ) -> Result<Option<u64>, SendError> {
        self.note_use();
        // A frame that waits for room is not accepted yet: it is not sent if the connection ends.
        if self.core.is_open() && self.is_blocked() {
            return Ok(None);
        }
        match push(&mut self.core, self.now) {
            Ok(_) => Ok(Some(self.core.accepted())),
            Err(PushError::Full(_)) => Ok(None),
            Err(error) => Err(self.tell(error)),
        }
    }

    /// The error of a call, which tells of the end if that is the reason.
    pub(in crate::blocking) fn tell(&mut self, error: PushError) -> SendError {
        if matches!(error, PushError::Closed(_)) {
            self.see_end();
        }
        error.into()
    }

    /// An error if nothing can be sent any more.
    fn check_open(&mut self) -> Result<(), SendError> {
        if self.core.is_open() {
            return Ok(());
        }
        let reason = self.core.end_reason();
        self.see_end();
        Err(SendError::Closed(reason))
    }

    /// True if something waits for room in the socket.
    fn is_blocked(&self) -> bool {
        self.core.wants().write == Want::Ready
    }

    /// True if another thread is in a write.
    fn is_being_written(&self) -> bool {
        let is_waiting = self.core.is_gathering() || self.core.wants_write() != Want::Nothing;
        !is_waiting && self.core.unsent() > 0
    }

    /// The outcome of the frame with this number, when it has one.
    pub(in crate::blocking) fn is_written(&mut self, number: u64) -> Option<Result<(), SendError>> {
        let outcome = self.core.outcome_of(number)?;
        if outcome.is_err() {
            self.see_end();
        }
        Some(outcome.map_err(SendError::Closed))
    }
}
