//! The engine: a table whose host plays turns, thinks, shows, pauses and closes, and checks what comes of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use masep::table::{Absence, Event, Seat, SeatState, Table, Turn, View};
use masep::{Action, Element};
use rand::RngExt;
use rand_xorshift::XorShiftRng;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::ledger::{LATE, Mark};
use super::plan::LateRule;
use super::{GAME, Stage, names};
use crate::plan::rng;
use crate::transport::listen;

/// The time by which a bound may be exceeded: a timer is heard in the next tick.
const SLACK: Duration = Duration::from_millis(60);
/// The time after which the host looks again at the seats while it waits.
const LOOK: Duration = Duration::from_millis(20);

struct Host {
    stage: Arc<Stage>,
    table: Table,
    rng: XorShiftRng,
    life: u64,
    /// The questions so far, and finals.
    asks: u64,
    stop: Instant,
}

/// The time that a turn may take yet.
#[derive(Default)]
struct Waited {
    /// While anybody could decide.
    in_all: Duration,
    /// While only players that are away were waited for, the longest time without a break: each absence has its grace.
    for_away: Duration,
    this_absence: Duration,
    /// The time that the host gave by itself.
    given: Duration,
    /// The events of the table meanwhile.
    events: Vec<Event>,
}

/// A life of the engine from its start to its end.
pub(crate) async fn host(stage: Arc<Stage>, active: Duration, life: u64) {
    let stop = Instant::now() + active;
    let table = table(&stage);
    stage.ledger.lock().figures.lives += 1;
    let mut host = Host {
        rng: rng(stage.seed, 0x9_0000 + life),
        stage,
        table,
        life,
        asks: 0,
        stop,
    };
    if timeout_at(stop, host.table.filled()).await.is_ok() {
        host.play().await;
    }
    host.end().await;
}

fn table(stage: &Stage) -> Table {
    let plan = &stage.plan;
    let (forget_time, strangers) = (plan.forget_time, plan.strangers);
    let builder = Table::builder(GAME)
        .seats(names(plan.seats))
        .clock(plan.clock)
        .absence(plan.absence)
        .misses(plan.misses)
        .rejoins_by_id(plan.rejoins_by_id)
        .replaces_same_id(plan.replaces_same_id)
        .limits(plan.limits.clone())
        .socket_options(plan.socket_options.clone())
        .settings(move |settings| settings.forget_time(forget_time).strangers(strangers));
    let builder = match plan.late {
        LateRule::Nothing => builder,
        LateRule::Action => builder.late_action(Action::new(LATE)),
        LateRule::Host => builder.late(|_view| Action::new(LATE)),
    };
    let listener = listen(&stage.network);
    builder
        .serve_over(listener)
        .expect("its settings are sound")
}

impl Host {
    fn violation(&self, what: impl std::fmt::Display) {
        self.stage
            .record
            .violation(format!("life {}: {what}", self.life));
    }

    fn trace(&self, what: std::fmt::Arguments<'_>) {
        self.stage.record.event(what);
    }

    async fn play(&mut self) {
        let mut turns = 0;
        while Instant::now() < self.stop {
            self.think().await;
            self.turn().await;
            self.note(self.table.events());
            if self.rng.random_bool(0.5) {
                let view = view(self.mark(0), false);
                self.table.show(view).expect("the table has not ended");
            }
            turns += 1;
            if turns % self.stage.plan.episode == 0 {
                self.asks += 1;
                let mark = self.mark(0);
                let final_view = |seat: &Seat| view(mark.of(seat), true);
                if let Err(error) = self.table.finish_episode(final_view) {
                    self.violation(format!("the episode is not finished: {error}"));
                }
            }
        }
    }

    fn mark(&self, seat: usize) -> Mark {
        let (life, ask) = (self.life, self.asks);
        Mark { life, ask, seat }
    }

    async fn think(&mut self) {
        // With nobody left to decide, turns take no time.
        let seats = self.table.seats();
        let is_out = |seat: &Seat| matches!(seat.state(), SeatState::Gone | SeatState::Closed);
        let most = if seats.iter().all(is_out) {
            400
        } else {
            self.stage.plan.think
        };
        sleep(Duration::from_millis(self.rng.random_range(1..=most))).await;
    }

    /// One turn of some seats.
    async fn turn(&mut self) {
        self.asks += 1;
        let names = names(self.stage.plan.seats);
        let all = self.rng.random_bool(0.8);
        let one = self.rng.random_range(0..names.len());
        let asked: BTreeSet<usize> = (0..names.len()).filter(|at| all || *at == one).collect();
        let mark = self.mark(0);
        let seats = asked.iter().map(|at| names[*at].as_str());
        let opened = self
            .table
            .open(seats, |seat: &Seat| view(mark.of(seat), false));
        let mut turn = match opened {
            Ok(turn) => turn,
            Err(error) => return self.violation(format!("no turn can be opened: {error}")),
        };
        let odd = self.stage.plan.oddity;
        let oddity = self
            .rng
            .random_bool(odd)
            .then(|| self.rng.random_range(0..3));
        let number = turn.number();
        self.trace(format_args!(
            "life {} opens turn {number} for {asked:?}",
            self.life
        ));
        self.stage.ledger.lock().opened(self.life, number, mark.ask);
        let mut waited = Waited::default();
        match oddity {
            Some(0) => {
                let by = Duration::from_millis(100);
                turn.extend(by);
                waited.given += by;
            }
            Some(1) => {
                self.table.pause();
                sleep(by_chance(number)).await;
                self.table.resume();
            }
            Some(_) => {
                sleep(by_chance(number)).await;
                turn.close();
                // All is decided.
                waited.in_all = Duration::ZERO;
            }
            None => {}
        }
        let decided = self.decisions(&mut turn, &asked, &mut waited).await;
        drop(turn);
        self.note(std::mem::take(&mut waited.events));
        if decided != asked {
            self.violation(format!(
                "turn {number} of {asked:?} was decided by {decided:?}"
            ));
        }
        self.judge(number, &waited, oddity == Some(2));
    }

    /// Takes the decisions of a turn; the seats that have decided.
    async fn decisions<F: FnMut(&Seat) -> View>(
        &self,
        turn: &mut Turn<'_, F>,
        asked: &BTreeSet<usize>,
        waited: &mut Waited,
    ) -> BTreeSet<usize> {
        let mut decided = BTreeSet::new();
        let mut is_closed = false;
        loop {
            let before = self.look(asked, &decided);
            let from = Instant::now();
            let Ok(next) = timeout(LOOK, turn.next()).await else {
                let after = self.look(asked, &decided);
                let took = from.elapsed();
                let events = self.table.events();
                // One that comes back and is lost again between two looks is away for the second time.
                let is_back = events
                    .iter()
                    .any(|event| matches!(event, Event::Back { .. }));
                waited.events.extend(events);
                if before.0 && after.0 {
                    waited.in_all += took;
                }
                if is_back || !before.1 || !after.1 {
                    waited.this_absence = Duration::ZERO;
                } else if before.0 && after.0 {
                    waited.this_absence += took;
                }
                waited.for_away = waited.for_away.max(waited.this_absence);
                if is_closed {
                    self.violation(format!("turn {} is closed and waits", turn.number()));
                    return decided;
                }
                if from >= self.stop {
                    turn.close();
                    is_closed = true;
                }
                continue;
            };
            match next {
                None => return decided,
                Some(Err(error)) => {
                    self.violation(format!("turn {} has failed: {error}", turn.number()));
                    return decided;
                }
                Some(Ok(its)) => {
                    self.trace(format_args!("life {} {its:?}", self.life));
                    decided.insert(its.index());
                    if its.turn() != turn.number() {
                        self.violation(format!("{its:?} in turn {}", turn.number()));
                    }
                    let checked = self.stage.ledger.lock().decided(self.life, self.asks, &its);
                    checked.unwrap_or_else(|what| self.violation(what));
                    let is_played = its.how() == masep::table::How::Played;
                    if self.stage.plan.is_calm() && !is_played && from < self.stop && !self.is_odd()
                    {
                        self.violation(format!("{its:?}, though nothing goes wrong"));
                    }
                }
            }
        }
    }

    fn is_odd(&self) -> bool {
        self.stage.plan.oddity > 0.0
    }

    /// Tells whether anybody could decide, and whether all that are waited for are away.
    fn look(&self, asked: &BTreeSet<usize>, decided: &BTreeSet<usize>) -> (bool, bool) {
        let seats = self.table.seats();
        let is_present = |seat: &Seat| seat.state() == SeatState::Present;
        let mut waits = asked.difference(decided);
        let away = waits.all(|at| seats[*at].state() == SeatState::Away);
        (seats.iter().any(is_present), away)
    }

    /// Nobody waits for longer than the rules say.
    fn judge(&self, number: u64, waited: &Waited, was_closed: bool) {
        let plan = &self.stage.plan;
        let clock = plan.clock;
        let bound = match (clock.per_turn, clock.bank) {
            (None, None) => None,
            (turn, bank) => Some(turn.unwrap_or_default() + bank.unwrap_or_default()),
        };
        let bound = if was_closed {
            Some(Duration::ZERO)
        } else {
            bound
        };
        let Waited {
            in_all,
            for_away,
            given,
            ..
        } = *waited;
        if let Some(bound) = bound
            && in_all > bound + given + SLACK
        {
            self.violation(format!(
                "turn {number} took {in_all:?}, allowed are {bound:?} and {given:?}"
            ));
        }
        let grace = match plan.absence {
            Absence::Wait(grace) => grace,
            Absence::Proceed => Duration::ZERO,
        };
        if for_away > grace + SLACK {
            self.violation(format!(
                "turn {number} waited {for_away:?} for the absent, the grace is {grace:?}"
            ));
        }
    }

    fn note(&self, events: Vec<Event>) {
        for event in events {
            self.trace(format_args!("life {} {event:?}", self.life));
            let mut book = self.stage.ledger.lock();
            match event {
                Event::Back { .. } => book.figures.back += 1,
                Event::Emptied => book.figures.emptied += 1,
                Event::Gone(seat) => {
                    book.figures.gone += 1;
                    drop(book);
                    if self.stage.plan.reopens {
                        let name = self.table.name(seat);
                        self.table.open_seat(&name).expect("there is this seat");
                    }
                }
                _ => {}
            }
        }
    }

    /// The end in order: nothing is left behind.
    async fn end(self) {
        self.trace(format_args!("life {} ends", self.life));
        self.stage.ledger.lock().ended(self.life);
        self.table.end().await;
        let registry = self.table.server().registry().clone();
        for connection in registry.connections() {
            connection.closed().await;
        }
        if !registry.is_empty() {
            self.violation("connections are left after the end");
        }
        if self
            .table
            .open(["seat-0"], |_: &Seat| view(self.mark(0), false))
            .is_ok()
        {
            self.violation("a turn can be opened after the end");
        }
        self.note(self.table.events());
        if self.table.missed_events() > 0 {
            self.violation("events were dropped");
        }
    }
}

impl Mark {
    fn of(self, seat: &Seat) -> Self {
        let seat = seat.index();
        Self { seat, ..self }
    }
}

/// The State of a question.
fn view(mark: Mark, is_final: bool) -> View {
    let is_final = if is_final { r#" is_final="True""# } else { "" };
    let mark = mark.number(0);
    let state = format!(r#"<State env_step="0" mark="{mark}"{is_final} />"#);
    View::new(Element::parse(state).expect("it is well formed"))
}

/// A wait that is another in each turn.
fn by_chance(number: u64) -> Duration {
    Duration::from_millis(number * 37 % 150)
}
