//! A moment of the game, as lines for a terminal.

use super::engine::Report;
use super::engine::world::{World, mark};
use super::figures::{count, grouped};

/// The room of a terminal, in characters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// The picture of one moment for a terminal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scene {
    /// A character for each cell, a line for each row.
    torus: String,
    /// The number of this episode, from 1, and how many there are.
    episode: (u64, u64),
    /// The steps of this episode, and of all.
    steps: (u64, u64),
    /// The number of prey that each predator caught, and its reward.
    scores: Vec<(u64, i64)>,
    /// True if it is slow enough to watch.
    is_slow: bool,
}

/// The look of a piece of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Look {
    Plain,
    Faint,
    Strong,
    Predator,
    Prey,
}

impl Look {
    /// The numbers of the escape sequence that switches it on.
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Faint => "2",
            Self::Strong => "1",
            Self::Predator => "1;31",
            Self::Prey => "1;32",
        }
    }

    const fn of_cell(cell: char) -> Self {
        match cell {
            '.' => Self::Faint,
            '*' => Self::Prey,
            _ => Self::Predator,
        }
    }
}

/// A line in the making.
#[derive(Clone, Debug, Default)]
struct Line(Vec<(Look, String)>);

impl Line {
    fn of(look: Look, text: impl Into<String>) -> Self {
        Self(vec![(look, text.into())])
    }

    /// Cut to this width. Its characters are all one column wide.
    fn print(&self, width: usize, is_colored: bool) -> String {
        let mut line = String::new();
        let mut room = width;
        for (look, text) in &self.0 {
            let text: String = text.chars().take(room).collect();
            room -= text.chars().count();
            match look {
                Look::Plain => line += &text,
                _ if !is_colored => line += &text,
                look => line += &format!("\x1b[{}m{text}\x1b[0m", look.code()),
            }
        }
        line
    }
}

/// The scores beside the torus: how wide they are, and the space between.
const SCORES: usize = 34;
const SPACE: usize = 3;

impl Scene {
    pub(crate) fn new(report: &Report, world: &World, episodes: u64, slow_steps: u64) -> Self {
        let is_over = u64::from(world.is_final());
        let scores = world.predators().iter();
        Self {
            torus: world.to_string(),
            episode: (report.episodes + 1 - is_over, episodes),
            steps: (world.steps(), report.steps),
            scores: scores.map(|it| (it.caught, it.total_reward)).collect(),
            is_slow: report.steps < slow_steps,
        }
    }

    /// The picture: as many lines as there is room for, each no wider than that.
    pub(crate) fn lines(&self, room: Room, is_colored: bool) -> Vec<String> {
        let torus = self.torus(room.width);
        let torus_width = torus.first().map_or(0, |line| {
            line.0.iter().map(|(_, text)| text.chars().count()).sum()
        });
        let mut lines = vec![self.headline()];
        if torus_width > 0 && torus_width + SPACE + SCORES <= room.width {
            let mut scores = self.scores(torus.len()).into_iter();
            lines.extend(torus.into_iter().map(|mut line| {
                line.0.push((Look::Plain, " ".repeat(SPACE)));
                line.0.extend(scores.next().unwrap_or_default().0);
                line
            }));
        } else {
            lines.extend(torus);
            let left = room.height.saturating_sub(lines.len() + 1);
            lines.extend(self.scores(left));
        }
        lines.push(Line::of(
            Look::Faint,
            "Ctrl-C ends it; --fast shows the figures alone",
        ));
        lines.truncate(room.height);
        let print = |line: &Line| line.print(room.width, is_colored);
        lines.iter().map(print).collect()
    }

    fn headline(&self) -> Line {
        let (episode, episodes) = self.episode;
        let (step, steps) = self.steps;
        let speed = match self.is_slow {
            true => String::new(),
            false => format!(", at full speed: {}", count(steps, "step")),
        };
        let text = format!(
            "episode {} of {}, step {step}{speed}",
            grouped(episode),
            grouped(episodes)
        );
        Line::of(Look::Strong, text)
    }

    /// The torus with a frame: two columns for each cell, or one where that is too wide; nothing where there is no
    /// room for it.
    fn torus(&self, width: usize) -> Vec<Line> {
        let side = self.torus.lines().next().map_or(0, str::len);
        let columns = match width {
            _ if side > 0 && width >= 2 * side + 2 => 2,
            _ if side > 0 && width >= side + 2 => 1,
            _ => return Vec::new(),
        };
        let edge = Line::of(Look::Faint, format!("+{}+", "-".repeat(columns * side)));
        let mut lines = vec![edge.clone()];
        for row in self.torus.lines() {
            let mut line = Line::of(Look::Faint, "|");
            for cell in row.chars() {
                let text = format!("{cell:>columns$}");
                line.0.push((Look::of_cell(cell), text));
            }
            line.0.push((Look::Faint, "|".to_owned()));
            lines.push(line);
        }
        lines.push(edge);
        lines
    }

    /// The scores, in at most so many lines.
    fn scores(&self, most: usize) -> Vec<Line> {
        let head = format!("{:<12}{:>10}{:>12}", "predator", "caught", "reward");
        let mut lines = vec![Line::of(Look::Faint, head)];
        for (number, (caught, reward)) in self.scores.iter().enumerate() {
            let mut line = Line::of(Look::Predator, mark(number).to_string());
            let score = format!("{:<11}{:>10}{reward:>12}", "", grouped(*caught));
            line.0.push((Look::Plain, score));
            lines.push(line);
        }
        if lines.len() > most {
            lines.truncate(most.saturating_sub(1));
            let hidden = (self.scores.len() + 1).saturating_sub(lines.len());
            lines.push(Line::of(Look::Faint, format!("and {hidden} more")));
            lines.truncate(most);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(predators: usize) -> Scene {
        let mut world = World::new(1, predators);
        world.restart();
        Scene::new(&Report::default(), &world, 100, 1)
    }

    const NORMAL: Room = Room {
        width: 80,
        height: 24,
    };

    #[test]
    fn everybody_is_seen() {
        let lines = scene(3).lines(NORMAL, false);
        let text = lines.join("\n");
        assert!(lines[0].starts_with("episode 1 of 100, step 0"), "{text}");
        // Once on the torus, once beside it.
        for mark in ["1 ", "2 ", "3 "] {
            assert!(lines[1..].iter().any(|line| line.contains(mark)), "{text}");
        }
        assert!(text.contains('*'), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }

    #[test]
    fn colours_change_no_character() {
        let colored = scene(3).lines(NORMAL, true).join("\n");
        assert!(colored.contains("\x1b[1;31m"));
        let mut plain = String::new();
        for (index, piece) in colored.split('\x1b').enumerate() {
            plain += match index {
                0 => piece,
                _ => piece.split_once('m').map_or("", |(_, text)| text),
            };
        }
        assert_eq!(plain, scene(3).lines(NORMAL, false).join("\n"));
    }

    #[test]
    fn it_fits_into_every_terminal() {
        for predators in [1, 3, 64] {
            for width in 0..=100 {
                for height in 0..=30 {
                    let room = Room { width, height };
                    let lines = scene(predators).lines(room, false);
                    assert!(lines.len() <= height, "{room:?}");
                    let is_narrow = |line: &String| line.chars().count() <= width;
                    assert!(lines.iter().all(is_narrow), "{room:?}: {lines:?}");
                }
            }
        }
    }

    #[test]
    fn scores_without_room_are_counted() {
        let text = scene(64).lines(NORMAL, false).join("\n");
        assert!(text.contains("and 48 more"), "{text}");
    }
}
