//! The order of lines on the one output: each source has its fair share of it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Lines on their way to standard output at the same time: enough to write several at once, few enough
/// that the next event of a peer is soon read though others send without pause.
const MAX_LINES: usize = 16;
/// The most that they may weigh together. One line is always let through. A line of JSON can have three times the
/// bytes of its frame.
const MAX_WEIGHT: usize = 128 << 10;
/// The weight of a line beside the bytes of its frame.
const LINE_WEIGHT: usize = 512;
/// Sources that are remembered at least before those that are behind are forgotten.
const MIN_REMEMBERED: usize = 64;

/// Gives turns to write a line.
///
/// This is fair queueing: a clock counts the weight that every waiting source could have written by now,
/// and the line goes first that would be done first if all were written at the same time. So a source that
/// tells little waits for the lines that are already on their way only, whatever the others have to tell.
pub(super) struct Turns<S> {
    state: Mutex<State<S>>,
}

struct State<S> {
    clock: u64,
    /// The time on the clock up to which a source has had its share. Those that are not here are behind.
    served: HashMap<S, u64>,
    /// By the time at which they would be done, and in the order of their coming.
    waiting: BTreeMap<(u64, u64), Waiting<S>>,
    next_number: u64,
    lines: usize,
    weight: usize,
}

struct Waiting<S> {
    /// The time from which on it would be written.
    start: u64,
    weight: usize,
    turn: oneshot::Sender<Turn<S>>,
}

/// The right to have one line on its way to standard output. It is dropped when the line is written.
pub(super) struct Turn<S> {
    /// `None` if nobody has taken the turn.
    turns: Option<Arc<Turns<S>>>,
    weight: usize,
}

impl<S> Default for Turns<S> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                clock: 0,
                served: HashMap::new(),
                waiting: BTreeMap::new(),
                next_number: 0,
                lines: 0,
                weight: 0,
            }),
        }
    }
}

impl<S: Copy + Eq + Hash> Turns<S> {
    /// Asks for a turn to write a line with this many bytes. It comes through the receiver; dropping that
    /// gives it up.
    pub(super) fn ask(self: &Arc<Self>, source: S, bytes: usize) -> oneshot::Receiver<Turn<S>> {
        let (turn, receiver) = oneshot::channel();
        let weight = bytes + LINE_WEIGHT;
        let mut state = self.lock();
        let start = state.start(source, weight);
        let number = state.next_number;
        state.next_number += 1;
        let waiting = Waiting {
            start,
            weight,
            turn,
        };
        state
            .waiting
            .insert((start + weight as u64, number), waiting);
        self.give(&mut state);
        receiver
    }
}

impl<S> Turns<S> {
    /// Gives turns to those who are next, as far as there is room.
    fn give(self: &Arc<Self>, state: &mut State<S>) {
        while let Some(next) = state.waiting.first_entry() {
            let weight = next.get().weight;
            let has_room = state.lines < MAX_LINES && state.weight + weight <= MAX_WEIGHT;
            if !has_room && state.lines > 0 {
                return;
            }
            let waiting = next.remove();
            state.clock = state.clock.max(waiting.start);
            let turn = Turn {
                turns: Some(self.clone()),
                weight,
            };
            match waiting.turn.send(turn) {
                Ok(()) => {
                    state.lines += 1;
                    state.weight += weight;
                }
                // Nobody waits for it any more. It may not come back to us: the lock is held.
                Err(mut turn) => turn.turns = None,
            }
        }
        if state.lines == 0 {
            // All have had what they wanted.
            state.served.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Copy + Eq + Hash> State<S> {
    /// The time on the clock from which on it is this source's turn to write so much.
    fn start(&mut self, source: S, weight: usize) -> u64 {
        let served = self.served.get(&source).copied();
        let start = served.map_or(self.clock, |served| served.max(self.clock));
        if served.is_none() && self.served.len() >= self.served.capacity().max(MIN_REMEMBERED) {
            // Before there is memory for more.
            let clock = self.clock;
            self.served.retain(|_, served| *served > clock);
        }
        self.served.insert(source, start + weight as u64);
        start
    }
}

impl<S> Drop for Turn<S> {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            let mut state = turns.lock();
            state.lines -= 1;
            state.weight -= self.weight;
            turns.give(&mut state);
        }
    }
}

impl<S> fmt::Debug for Turns<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const LARGE: usize = 60_000;

    fn turn(receiver: &mut oneshot::Receiver<Turn<u32>>) -> Option<Turn<u32>> {
        receiver.try_recv().ok()
    }

    /// Writes lines in the order of their turns until there were so many; each source that has had its line
    /// written asks for the next. Gives the number of lines of each that were written.
    fn write(
        turns: &Arc<Turns<u32>>,
        asked: &mut [oneshot::Receiver<Turn<u32>>],
        under_way: &mut VecDeque<(usize, Turn<u32>)>,
        size: impl Fn(usize) -> usize,
        count: usize,
    ) -> Vec<usize> {
        let mut written = vec![0; asked.len()];
        let mut collect = |asked: &mut [oneshot::Receiver<Turn<u32>>]| {
            let came = asked.iter_mut().map(turn).enumerate();
            under_way.extend(came.filter_map(|(source, turn)| Some((source, turn?))));
            under_way.pop_front()
        };
        for _ in 0..count {
            let (source, done) = collect(asked).unwrap();
            written[source] += 1;
            drop(done);
            asked[source] = turns.ask(u32::try_from(source).unwrap(), size(source));
        }
        // Lines that are on their way now.
        let came = asked.iter_mut().map(turn).enumerate();
        under_way.extend(came.filter_map(|(source, turn)| Some((source, turn?))));
        written
    }

    #[test]
    fn a_source_that_tells_little_waits_for_lines_on_their_way_only() {
        for size in [100, 5_000, 60_000, 1_000_000] {
            let turns = Arc::new(Turns::default());
            let mut flood: Vec<_> = (0..20).map(|source| turns.ask(source, size)).collect();
            let mut under_way = VecDeque::new();
            for round in 0..100 {
                write(&turns, &mut flood, &mut under_way, |_| size, 7);
                let mut good = turns.ask(99, 100);
                let before = under_way.len();
                let mut lines = 0;
                let come = loop {
                    if let Some(come) = turn(&mut good) {
                        break come;
                    }
                    write(&turns, &mut flood, &mut under_way, |_| size, 1);
                    lines += 1;
                };
                assert!(
                    lines <= before,
                    "{size} bytes, round {round}: {lines} of {before}"
                );
                drop(come);
            }
        }
    }

    #[test]
    fn sources_share_by_bytes_whatever_the_size_of_their_lines() {
        let turns = Arc::new(Turns::default());
        let size = |source: usize| if source < 20 { 60_000 } else { 20_000 };
        let mut asked: Vec<_> = (0..40)
            .map(|source| turns.ask(source, size(source as usize)))
            .collect();
        let written = write(&turns, &mut asked, &mut VecDeque::new(), size, 10_000);
        for (source, lines) in written.into_iter().enumerate() {
            // Of 20 * (1 + 3) lines in the time that one large line of each takes.
            let fair = if source < 20 { 125 } else { 375 };
            assert!(
                lines.abs_diff(fair) <= fair / 10,
                "{source}: {lines}, not {fair}"
            );
        }
    }

    #[test]
    fn lines_of_one_source_come_in_order_and_small_ones_go_together() {
        let turns = Arc::new(Turns::default());
        let mut asked: Vec<_> = (0..40).map(|_| turns.ask(1, 10)).collect();
        let mut order = Vec::new();
        let mut under_way = Vec::new();
        while order.len() < 40 {
            under_way.clear();
            for (number, receiver) in asked.iter_mut().enumerate() {
                if let Some(turn) = turn(receiver) {
                    order.push(number);
                    under_way.push(turn);
                }
            }
            assert!(under_way.len() <= MAX_LINES);
        }
        assert!(order.is_sorted());
    }

    #[test]
    fn who_gives_up_takes_no_room() {
        let turns = Arc::new(Turns::default());
        let large = turns.ask(1, 10 * MAX_WEIGHT);
        drop(turns.ask(2, LARGE));
        let mut waiting = turns.ask(3, LARGE);
        assert!(turn(&mut waiting).is_none());
        // It had come, but nobody took it.
        drop(large);
        assert!(turn(&mut waiting).is_some());
        let state = turns.lock();
        assert_eq!((state.lines, state.weight, state.waiting.len()), (0, 0, 0));
    }

    #[test]
    fn sources_that_are_gone_are_forgotten() {
        let turns = Arc::new(Turns::default());
        for source in 0..100_000 {
            drop(turns.ask(source, 10));
        }
        assert!(turns.lock().served.len() < 1_000);
    }
}
