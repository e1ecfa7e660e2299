//! XML that is small to send and, for a careless reader, large to read.

mod content;
mod structure;

use content::{attributes, containers, namespaces, numbers, texts};
use structure::{breadth, depth, entities, markup};

use super::{FRAME_OF, Input, TAKEN, around};

const TAKES: &[&str] = &[TAKEN];
/// Taken when it is small, and over a limit when it is large.
const BOUNDED: &[&str] = &[TAKEN, "limit"];
const SYNTAX: &[&str] = &["syntax"];
const CUT_OR_SYNTAX: &[&str] = &["truncated", "syntax"];
const CUT: &[&str] = &["truncated"];

/// Each kind of bomb with about `size` bytes, and never more.
pub fn bombs(size: usize) -> Vec<Input> {
    let bombs = [
        entities(size),
        depth(size),
        breadth(size),
        attributes(size),
        namespaces(size),
        texts(size),
        numbers(size),
        containers(size),
        markup(size),
    ];
    let mut bombs: Vec<Input> = bombs.into_iter().flatten().collect();
    for bomb in &mut bombs {
        bomb.name = format!("{} of {} bytes", bomb.name, bomb.bytes.len());
    }
    bombs.retain(|bomb| bomb.bytes.len() <= size);
    bombs
}

/// As many of `piece` as fit into `size` bytes, each with its number.
fn many(size: usize, piece: impl Fn(usize) -> String) -> String {
    let mut all = String::with_capacity(size);
    for number in 0.. {
        let piece = piece(number);
        if all.len() + piece.len() > size {
            break;
        }
        all.push_str(&piece);
    }
    all
}

fn times(size: usize, piece: &str) -> String {
    piece.repeat(size / piece.len())
}

/// `content` between the tags, in a message of at most `size` bytes: `content` gets the bytes that it
/// may have.
fn value(
    name: &str,
    size: usize,
    tags: (&str, &str),
    outcomes: &'static [&'static str],
    content: impl FnOnce(usize) -> String,
) -> Input {
    let room = size.saturating_sub(FRAME_OF + tags.0.len() + tags.1.len());
    let xml = format!("{}{}{}", tags.0, content(room), tags.1);
    Input::new(name, around(&xml), outcomes)
}
