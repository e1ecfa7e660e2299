//! The terminal while the game is shown.

use std::env;
use std::io::{self, IsTerminal, Write};

use console::Term;

use super::scene::{Room, Scene};
use crate::error::Error;
use crate::output::Output;

/// The second screen that terminals have, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
/// The first screen again, as it was.
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";
/// A terminal that does not tell its size.
const USUAL: Room = Room {
    width: 80,
    height: 24,
};

/// True if standard output is a terminal that knows escape sequences.
pub(crate) fn is_there() -> bool {
    io::stdout().is_terminal() && env::var_os("TERM").is_some_and(|name| name != "dumb")
}

/// A terminal that shows the game. It is left as it was when this is dropped.
pub(crate) struct Screen<'a, W: Write> {
    output: &'a mut Output<W>,
    is_colored: bool,
}

impl<'a, W: Write> Screen<'a, W> {
    pub(crate) fn enter(output: &'a mut Output<W>) -> Result<Self, Error> {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let screen = Self {
            output,
            is_colored: !is_set("NO_COLOR"),
        };
        screen.output.raw(ENTER)?;
        Ok(screen)
    }

    /// Shows this in place of what was there.
    pub(crate) fn draw(&mut self, scene: &Scene) -> Result<(), Error> {
        let room = Term::stdout().size_checked();
        let room = room.map_or(USUAL, |(height, width)| Room {
            width: width.into(),
            height: height.into(),
        });
        // In one write, and over the old picture: a terminal that is cleared first flickers.
        let lines = scene.lines(room, self.is_colored);
        let picture = format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n"));
        self.output.raw(&picture)
    }
}

impl<W: Write> Drop for Screen<'_, W> {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = self.output.raw(LEAVE);
    }
}
