//! Rules that must hold of every connection when all is over.

use std::time::Duration;

use masep::{CloseReason, WhenFull};

use crate::network::{Link, State, ticks};
use crate::record::{Key, Log, Side, other};
use crate::software::Stage;
use crate::stream::Ticks;

/// The ticks by which a bound may be exceeded: an end is noticed a few steps after it came.
const SLACK: Ticks = 20;
/// Masep's own time for an end that the peer did not ask for.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Looks at every end of every link.
pub(crate) fn judge(stage: &Stage) {
    let state = stage.network.lock();
    let log = stage.record.lock();
    let mut violations = Vec::new();
    for &key in log.sides.keys() {
        let judgement = Judgement {
            stage,
            state: &state,
            log: &log,
            key,
        };
        if let Err(what) = judgement.of_end() {
            violations.push(format!("{key:?} {what}"));
        }
    }
    drop(log);
    drop(state);
    for what in violations {
        stage.record.violation(what);
    }
}

struct Judgement<'a> {
    stage: &'a Stage,
    state: &'a State,
    log: &'a Log,
    key: Key,
}

impl Judgement<'_> {
    fn side(&self) -> &Side {
        &self.log.sides[&self.key]
    }

    fn link(&self) -> &Link {
        &self.state.links[self.key.0]
    }

    fn of_end(&self) -> Result<(), String> {
        let side = self.side();
        if side.gone {
            return if side.on_close.len() <= 1 {
                Ok(())
            } else {
                Err("was told twice".to_owned())
            };
        }
        let [(reason, at)] = &side.closed[..] else {
            return Err(format!("ended {} times", side.closed.len()));
        };
        if side.has_handler && side.on_close != [reason.clone()] {
            return Err(format!(
                "ended with {reason:?}, its handler heard {:?}",
                side.on_close
            ));
        }
        self.of_reason(reason, *at)?;
        self.of_time(*at)?;
        if self.link().disturbed {
            return Ok(());
        }
        let Some(peer) = self.log.sides.get(&other(self.key)) else {
            return Ok(());
        };
        match peer.closed.first() {
            _ if peer.gone => self.of_exit(reason),
            Some((theirs, _)) => self.of_pair(reason, peer, theirs),
            None => Ok(()),
        }
    }

    /// Checks the conditions of each reason.
    fn of_reason(&self, reason: &CloseReason, at: Ticks) -> Result<(), String> {
        let plan = &self.stage.plan;
        let end = &self.link().ends[self.key.1];
        let is_so = match reason {
            CloseReason::PeerBye | CloseReason::Reset => true,
            CloseReason::PeerByeWith(_) => self.side().of_masep,
            // Only a client is rejected, before it has got anything. Of protocol 2 it is not even connected.
            CloseReason::Rejected => {
                let is_told_so = !self.side().of_masep;
                is_told_so && self.key.1 == 0 && self.side().next == 0
            }
            // A sign of life is any byte. Two pings are sent before it is given up.
            CloseReason::HeartbeatTimeout => plan.limits.heartbeat.is_some_and(|time| {
                // Bytes that come while the peer is told are read too, and change nothing.
                let silence = end.silence.max(at.saturating_sub(end.last_read));
                self.side().of_masep && silence + SLACK >= 2 * ticks(time)
            }),
            CloseReason::LocalBye => self.log.ending.contains_key(&self.key),
            CloseReason::EndOfStream { .. } => self.link().disturbed,
            // Frames that come while the peer is told are read too, and change nothing.
            CloseReason::IdleTimeout => plan.limits.idle_time.is_some_and(|time| {
                let is_told = end.last_read + ticks(CLOSE_GRACE) >= at;
                is_told || at + SLACK >= end.last_read + ticks(time)
            }),
            CloseReason::WriteTimeout => {
                let taken = at + SLACK < end.last_write + ticks(plan.limits.write_time);
                !taken || end.failed == Some(std::io::ErrorKind::TimedOut)
            }
            CloseReason::QueueFull(_) => {
                [plan.when_full, plan.send_full].contains(&WhenFull::Disconnect)
            }
            CloseReason::Shutdown => self.key.1 == 1 && self.log.ending.contains_key(&self.key),
            CloseReason::Replaced => {
                self.key.1 == 1 && plan.duplicates == masep::Duplicates::Replace
            }
            _ => false,
        };
        if is_so {
            Ok(())
        } else {
            Err(format!("ended with {reason:?}, which is not so"))
        }
    }

    /// Each end comes within its time.
    fn of_time(&self, at: Ticks) -> Result<(), String> {
        let limits = &self.stage.plan.limits;
        let side = self.side();
        let end = &self.link().ends[self.key.1];
        let shutdown = self.stage.plan.shutdown.unwrap_or_default();
        let time = ticks(limits.write_time.max(shutdown) + CLOSE_GRACE) + SLACK;
        // Both go on while there is progress. A peer that has ended the connection before this side did is heard to its end.
        let is_theirs = side.closed.iter().any(|(reason, _)| said_bye(reason));
        let ours = self
            .log
            .ending
            .get(&self.key)
            .copied()
            .filter(|_| !is_theirs)
            .map(|from| from.max(end.last_write));
        let theirs = end
            .end_arrived
            .map(|from| from.max(side.last_received).max(end.last_read));
        match [ours, theirs].into_iter().flatten().min() {
            Some(from) if at > from + time => Err(format!(
                "took {} ticks to end, allowed are {time}",
                at - from
            )),
            _ => Ok(()),
        }
    }

    /// The reasons of both ends of an undisturbed connection fit, and what was sent has arrived.
    fn of_pair(&self, ours: &CloseReason, peer: &Side, theirs: &CloseReason) -> Result<(), String> {
        let unfit = || {
            Err(format!(
                "ended with {ours:?}, the other end with {theirs:?}"
            ))
        };
        match ours {
            _ if said_bye(ours) && said_bye(theirs) => return unfit(),
            CloseReason::Reset if !self.may_be_reset(peer, theirs) => return unfit(),
            _ => {}
        }
        let orderly = match theirs {
            CloseReason::LocalBye => true,
            CloseReason::Shutdown => !peer.cut,
            _ => false,
        };
        let whole = !peer.may_skip && !self.side().skims && !self.side().stopped;
        if said_bye(ours) && orderly && whole && self.side().next != peer.sent {
            let (got, sent) = (self.side().next, peer.sent);
            return Err(format!(
                "got {got} of {sent} frames, though all ended in order"
            ));
        }
        Ok(())
    }

    /// A program whose runtime is dropped still says BYE, or resets: there is no bare end.
    fn of_exit(&self, reason: &CloseReason) -> Result<(), String> {
        match reason {
            CloseReason::EndOfStream { .. } => Err("the other end left without BYE".to_owned()),
            _ => Ok(()),
        }
    }

    /// True if the other end resets, with the reason that it had.
    fn may_be_reset(&self, peer: &Side, theirs: &CloseReason) -> bool {
        let quality = &self.stage.plan.quality;
        let harsh = quality.resets_overtake || !quality.keeps_unread;
        // A peer that reads too slowly, or loses frames, may learn too late or never that it was said BYE.
        let overflows = self.stage.plan.when_full == WhenFull::Disconnect;
        let slow = self.stage.plan.delay > 0 || overflows;
        let cut_off = *theirs != CloseReason::LocalBye && !said_bye(theirs);
        // Over a bad network, the time in which the other end waits for its last bytes to be sent may be
        // too short.
        let gave_up = self.link().discarded && self.has_waited(peer);
        self.link().reset_by[1 - self.key.1] && (harsh || slow || cut_off || gave_up)
    }

    /// True if the other end has waited as long as it does before it closes.
    fn has_waited(&self, peer: &Side) -> bool {
        let asked = self.log.ending.get(&(self.key.0, 1 - self.key.1));
        match (asked, peer.closed.first()) {
            (Some(asked), Some((_, closed))) => closed + SLACK >= asked + ticks(CLOSE_GRACE),
            _ => false,
        }
    }
}

/// True if the other end said `BYE`.
fn said_bye(reason: &CloseReason) -> bool {
    reason.is_peer_bye() || *reason == CloseReason::Rejected
}
