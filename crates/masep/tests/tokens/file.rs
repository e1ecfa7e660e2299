//! Tokens in a file.

use std::fs;

use masep::CloseReason;
use masep::access::{AccessToken, Tokens, generate_token};

use super::{House, bye, digest, talk};
use crate::shells::directory::Directory;
use crate::shells::{Shell, of_each_shell, until};

of_each_shell! {
    a_file_is_read_anew_when_it_changes
    a_pipe_in_the_place_of_a_file_stops_nobody
}

fn entry(name: &str, token: &str) -> String {
    format!(
        "[[token]]\nname = \"{name}\"\nsha256 = \"{}\"\n",
        digest(token)
    )
}

fn a_file_is_read_anew_when_it_changes(shell: Shell) {
    let directory = Directory::new();
    let path = directory.path("tokens.toml");
    let write = |text: &str| {
        // As an editor does, in place of the one before.
        let new = directory.path("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &path).unwrap();
    };
    write(&(entry("one", "first") + &entry("two", "second")));
    let tokens = Tokens::file(&path).unwrap();
    let house = House::new(shell, shell, tokens.clone());
    let (one, at_server) = house.joins("a", "first");
    let (two, other) = house.joins("b", "second");

    // Broken, gone, and there again without one of them.
    write("[[token]]\nname = ");
    fs::remove_file(&path).unwrap();
    assert_eq!(tokens.grants().len(), 2);
    write(&(entry("two", "second") + &entry("three", "third")));
    assert_eq!(bye(&*one), "revoked");
    assert_eq!(at_server.end(), CloseReason::Revoked);
    assert_eq!(house.refuses("a", Some("first")), "unauthorized");
    drop(house.joins("c", "third"));
    talk(&*two, &other);

    // Written in place: there may be a moment in which it is empty.
    fs::write(&path, entry("three", "third")).unwrap();
    assert_eq!(bye(&*two), "revoked");
    until(|| tokens.grants().len() == 1);
}

/// The look at the file goes on: the next change is seen.
fn a_pipe_in_the_place_of_a_file_stops_nobody(shell: Shell) {
    let directory = Directory::new();
    let (path, pipe) = (directory.path("tokens.toml"), directory.path("pipe"));
    fs::write(&path, entry("one", "first")).unwrap();
    let tokens = Tokens::file(&path).unwrap();
    let house = House::new(shell, shell, tokens);
    let (one, at_server) = house.joins("a", "first");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    fs::rename(&pipe, &path).unwrap();
    // It is looked at four times a second, of which nobody is told.
    let seen = std::time::Instant::now() + std::time::Duration::from_millis(600);
    until(|| std::time::Instant::now() > seen);
    talk(&*one, &at_server);
    let new = directory.path("new");
    fs::write(&new, entry("two", "second")).unwrap();
    fs::rename(new, &path).unwrap();
    assert_eq!(bye(&*one), "revoked");
    drop(house.joins("b", "second"));
}

#[test]
fn a_file_that_is_none_is_an_error() {
    let directory = Directory::new();
    let path = directory.path("tokens.toml");
    let error = Tokens::file(&path).unwrap_err().to_string();
    assert!(error.contains("tokens.toml"), "{error}");
    fs::write(&path, "token = 1").unwrap();
    let error = Tokens::file(&path).unwrap_err().to_string();
    assert!(error.contains("line 1"), "{error}");
}

#[test]
fn tokens_are_made_of_random_numbers() {
    let [one, other] = [(); 2].map(|()| generate_token().unwrap());
    assert_ne!(one, other);
    assert_eq!(one.reveal().len(), 64);
    assert_eq!(AccessToken::from(one.reveal()), one);
}
