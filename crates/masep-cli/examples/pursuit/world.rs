//! The rules of the pursuit game: predators hunt prey on a torus. Nothing in here knows of a network;
//! what masep has to do with it is only how the world is shown, in [`World::view`], and how a move is read.

use std::fmt;

use masep::table::{Seat, View};
use masep::{Action, Dict, Element, EncodeError, Node, PeerId, Value};

use super::report::Score;

/// Width and height of the torus, in cells: who leaves it on one side comes in on the other.
const SIDE: i64 = 16;
/// An episode ends after this many steps, or when all prey is caught.
const MAX_STEPS: u64 = 200;
/// A predator's reward for each step, and for each prey that it is on when that is caught.
const STEP_REWARD: i64 = -1;
const CATCH_REWARD: i64 = 20;

/// A cell of the torus: column and row.
type Cell = (i64, i64);

/// A predator's move in a step. The type of the Action on the wire is its number, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Move {
    #[default]
    Stay,
    North,
    East,
    South,
    West,
}

impl Move {
    const ALL: [Self; 5] = [Self::Stay, Self::North, Self::East, Self::South, Self::West];

    /// The move that a player has sent. A predator stays for what is none, and for nothing.
    pub(crate) fn read(action: Option<&Value>) -> Self {
        let number = || {
            let action = Action::try_from(action?.as_element()?).ok()?;
            usize::try_from(action.action_type.as_i64()?).ok()
        };
        number()
            .and_then(|number| Self::ALL.get(number).copied())
            .unwrap_or_default()
    }

    fn applied_to(self, (x, y): Cell) -> Cell {
        let (dx, dy) = match self {
            Self::Stay => (0, 0),
            Self::North => (0, -1),
            Self::East => (1, 0),
            Self::South => (0, 1),
            Self::West => (-1, 0),
        };
        ((x + dx).rem_euclid(SIDE), (y + dy).rem_euclid(SIDE))
    }
}

/// The number of steps from one cell to the other.
fn distance(a: Cell, b: Cell) -> i64 {
    let along = |a: i64, b: i64| (a - b).rem_euclid(SIDE).min((b - a).rem_euclid(SIDE));
    along(a.0, b.0) + along(a.1, b.1)
}

/// A predator: an agent that an actor controls.
#[derive(Debug, Default)]
pub(crate) struct Predator {
    cell: Cell,
    /// Its reward for the last step.
    reward: i64,
    /// Its rewards for all steps, in all episodes.
    pub(crate) total_reward: i64,
    /// The number of prey that it caught, in all episodes. Of several on the same cell each caught it.
    pub(crate) caught: u64,
}

/// The game: the same for the same seed and the same moves, on every machine.
#[derive(Debug)]
pub(crate) struct World {
    random: SplitMix64,
    step: u64,
    predators: Vec<Predator>,
    /// The cells of the prey; `None` for one that is caught.
    prey: Vec<Option<Cell>>,
}

impl World {
    /// A world with this many predators, and half as many prey. It has no places for them before the
    /// first [`restart`](Self::restart).
    pub(crate) fn new(seed: u64, predators: usize) -> Self {
        Self {
            random: SplitMix64(seed),
            step: 0,
            predators: std::iter::repeat_with(Predator::default)
                .take(predators)
                .collect(),
            prey: vec![None; predators.div_ceil(2)],
        }
    }

    /// Begins an episode: everybody stands somewhere.
    pub(crate) fn restart(&mut self) {
        self.step = 0;
        for predator in &mut self.predators {
            predator.cell = self.random.cell();
            predator.reward = 0;
        }
        for prey in &mut self.prey {
            *prey = Some(self.random.cell());
        }
    }

    /// All predators move at once, then the prey that is not caught flees.
    pub(crate) fn step(&mut self, moves: &[Move]) {
        self.step += 1;
        for (predator, chosen) in self.predators.iter_mut().zip(moves) {
            predator.cell = chosen.applied_to(predator.cell);
            predator.reward = STEP_REWARD;
        }
        for index in 0..self.prey.len() {
            if let Some(cell) = self.prey[index] {
                self.prey[index] = (!self.catch_at(cell)).then(|| self.flee_from(cell));
            }
        }
        for predator in &mut self.predators {
            predator.total_reward += predator.reward;
        }
    }

    /// Rewards the predators on this cell; whether there are any.
    fn catch_at(&mut self, cell: Cell) -> bool {
        let mut is_caught = false;
        for predator in self.predators.iter_mut().filter(|it| it.cell == cell) {
            predator.reward += CATCH_REWARD;
            predator.caught += 1;
            is_caught = true;
        }
        is_caught
    }

    /// The cell to which prey goes from this one: away from the nearest predator, but one time in three it
    /// rests, or nobody would ever catch it.
    fn flee_from(&mut self, cell: Cell) -> Cell {
        if self.random.below(3) == 0 {
            return cell;
        }
        let mut ways = Move::ALL.map(|way| way.applied_to(cell));
        // Of equally good ways any may be the last, which is the one that is taken.
        let first = self.random.below(ways.len());
        ways.rotate_left(first);
        let nearest = |way: &Cell| {
            let distances = self.predators.iter().map(|it| distance(it.cell, *way));
            distances.min()
        };
        ways.into_iter().max_by_key(nearest).unwrap_or(cell)
    }

    /// True if the episode is over.
    pub(crate) fn is_final(&self) -> bool {
        self.step >= MAX_STEPS || self.prey.iter().all(Option::is_none)
    }

    /// Each predator's reward for the last step, by its name in the state.
    fn rewards(&self) -> Dict {
        let predators = self.predators.iter().enumerate();
        predators
            .map(|(number, it)| (format!("State.predator{number}"), it.reward))
            .collect()
    }

    /// The predators, in the order in which [`step`](Self::step) takes their moves.
    pub(crate) fn predators(&self) -> &[Predator] {
        &self.predators
    }

    /// The number of steps of this episode.
    pub(crate) fn steps(&self) -> u64 {
        self.step
    }

    /// Each actor's score.
    pub(crate) fn scores(&self, seats: &[Seat]) -> Vec<Score> {
        let players = seats.iter().filter_map(Seat::player);
        let predators = players.zip(self.predators());
        predators
            .map(|(id, its)| Score {
                id: id.clone(),
                reward: its.total_reward,
                caught: its.caught,
            })
            .collect()
    }

    /// The world for all who play and watch. The seats are those of the predators. `turn` counts the views; it is also the table's number of the turn.
    pub(crate) fn view(&self, seats: &[Seat], turn: u64) -> Result<View, EncodeError> {
        let view = View::new(self.state(seats.iter().filter_map(Seat::player))?);
        Ok(view.with("turn", turn).with("reward", self.rewards()))
    }

    /// The world as interfaces see it: a `State` as pymasep's, with an `Agent` for each predator,
    /// which says who controls it, and for each prey that is not caught.
    fn state<'a>(
        &self,
        controls: impl Iterator<Item = &'a PeerId>,
    ) -> Result<Element, EncodeError> {
        let board = named("Object", "board")
            .with_attribute("nature", "board")
            .with_child(characteristic("Size", (SIDE, SIDE)));
        let mut state = named("State", "State")
            .with_attribute("is_final", if self.is_final() { "True" } else { "False" })
            .with_attribute("env_step", self.step.to_string())
            .with_child(board);
        for (number, (predator, control)) in self.predators.iter().zip(controls).enumerate() {
            let agent = agent("predator", number, predator.cell);
            state = state.with_child(agent.with_attribute("control", speakable(control)));
        }
        for (number, cell) in self.prey.iter().enumerate() {
            if let Some(cell) = cell {
                state = state.with_child(agent("prey", number, *cell));
            }
        }
        state.to_element()
    }
}

/// The torus as people see it: a line for each row, and in it a character for each cell. A predator is its
/// [`mark`], prey is a `*`.
impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for y in 0..SIDE {
            for x in 0..SIDE {
                let predator = self.predators.iter().position(|it| it.cell == (x, y));
                let is_prey = self.prey.contains(&Some((x, y)));
                let shown = match predator {
                    Some(number) => mark(number),
                    None if is_prey => '*',
                    None => '.',
                };
                write!(f, "{shown}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The character of a predator: `1` for the first, letters for those behind the ninth.
pub(crate) fn mark(number: usize) -> char {
    let marks = ('1'..='9').chain('a'..='z').chain('A'..='Z');
    marks.into_iter().nth(number).unwrap_or('#')
}

/// An id as XML can hold it: not every character has a form there. A player with such an id does not find its predator.
fn speakable(id: &PeerId) -> String {
    id.chars()
        .map(|c| {
            if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn named(kind: &str, name: impl Into<String>) -> Node {
    Node::new(kind)
        .with_attribute("name", name.into())
        .with_attribute("state", "run")
}

fn agent(nature: &str, number: usize, cell: Cell) -> Node {
    named("Agent", format!("{nature}{number}"))
        .with_attribute("nature", nature)
        .with_attribute("controller", format!("pursuit.{nature}"))
        .with_child(characteristic("Pos", cell))
}

/// A property of an object, in the two elements that pymasep puts around its value.
fn characteristic(name: &str, value: impl Into<Value>) -> Node {
    let value = value.into().to_element();
    named("ObjectState", "state").with_child(named("Characteristic", name).with_child(value))
}

/// The random numbers of the game: the generator of that name (Steele, Lea and Flood, 2014). A few
/// lines of our own, because a seed must give the same game in every version; the crates for random
/// numbers do not promise that.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`. Its bias is under one in 2^50 for the small ends of this game.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    fn cell(&mut self) -> Cell {
        let mut coordinate = || self.below(SIDE as usize) as i64;
        (coordinate(), coordinate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // The first numbers of the reference implementation for the seed 1234567.
        let mut random = SplitMix64(1_234_567);
        let numbers = [random.next(), random.next(), random.next()];
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn the_torus_has_no_edge() {
        assert_eq!(Move::North.applied_to((3, 0)), (3, SIDE - 1));
        assert_eq!(Move::East.applied_to((SIDE - 1, 3)), (0, 3));
        assert_eq!(distance((0, 0), (SIDE - 1, SIDE - 1)), 2);
        assert_eq!(distance((0, 0), (SIDE / 2, 0)), SIDE / 2);
    }

    #[test]
    fn prey_is_caught_by_all_who_stand_on_it_and_by_nobody_else() {
        let mut world = World::new(1, 3);
        world.restart();
        world.prey = vec![Some((5, 5)), Some((12, 12))];
        for (predator, cell) in world.predators.iter_mut().zip([(4, 5), (5, 6), (4, 4)]) {
            predator.cell = cell;
        }
        world.step(&[Move::East, Move::North, Move::Stay]);
        let caught: Vec<u64> = world.predators().iter().map(|it| it.caught).collect();
        assert_eq!(caught, [1, 1, 0]);
        let rewards: Vec<i64> = world.predators().iter().map(|it| it.reward).collect();
        assert_eq!(rewards, [19, 19, -1]);
        assert_eq!(world.prey[0], None);
        assert!(!world.is_final());
    }

    #[test]
    fn a_picture_has_a_character_for_each_cell() {
        let mut world = World::new(1, 2);
        world.restart();
        world.predators[0].cell = (0, 0);
        world.predators[1].cell = (SIDE - 1, 1);
        world.prey = vec![Some((1, 0))];
        let picture = world.to_string();
        let lines: Vec<&str> = picture.lines().collect();
        assert_eq!(lines.len(), 16);
        assert_eq!(lines[0], "1*..............");
        assert_eq!(lines[1], "...............2");
        assert!(lines[2..].iter().all(|line| *line == "................"));
        assert_eq!(
            (mark(9), mark(34), mark(35), mark(61)),
            ('a', 'z', 'A', '#')
        );
    }

    #[test]
    fn an_episode_ends_even_if_nobody_moves() {
        let mut world = World::new(7, 2);
        world.restart();
        let mut steps = 0;
        while !world.is_final() {
            world.step(&[Move::Stay; 2]);
            steps += 1;
        }
        assert!(steps <= MAX_STEPS);
    }
}
