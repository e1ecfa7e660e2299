//! Files that cannot be written, and outputs that nobody takes: nothing is left half-done.

use std::fs;
use std::process::{Command, Stdio};

use crate::directory::Directory;
use crate::run::{Run, command, command_behind, join_with_file, run, run_command};
use crate::session::{Session, serve};

/// The program, as a process that may write files of so many blocks of 512 bytes.
fn limited(blocks: u32, args: &[&str]) -> Command {
    command_behind(&format!("trap '' XFSZ; ulimit -f {blocks}"), args)
}

fn run_limited(blocks: u32, args: &[&str]) -> Run {
    run_command(&mut limited(blocks, args), "")
}

/// The names of all files of a directory.
fn names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn the_tokens_stay_as_they_were() {
    let directory = Directory::new();
    let file = directory.path("tokens.toml");
    let new = |name| ["token", "new", "--file", &file, "--name", name].map(str::to_owned);
    let first = new("first");
    assert_eq!(run(&first.each_ref().map(String::as_str), "").code, Some(0));
    let other = new("other");
    assert_eq!(run(&other.each_ref().map(String::as_str), "").code, Some(0));
    let before = fs::read_to_string(&file).unwrap();
    let second = new("second");
    let ran = run_limited(0, &second.each_ref().map(String::as_str));
    ran.fails(1, &format!("cannot write {file}"));
    assert_eq!(ran.stdout, "");
    let ran = run_limited(0, &["token", "remove", "--file", &file, "first"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(names(&directory.path("")), ["tokens.toml"]);
}

#[test]
fn a_token_that_nobody_has_seen_is_none() {
    let directory = Directory::new();
    let file = directory.path("tokens.toml");
    let new = ["token", "new", "--file", &file, "--name", "lab3"];
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    for stdout in [Stdio::from(full), Stdio::from(closed)] {
        let output = command(&new).stdout(stdout).output().unwrap();
        Run::from(output).fails(1, "not kept");
        assert!(!fs::read_to_string(&file).unwrap().contains("lab3"));
    }
    assert_eq!(run(&new, "").code, Some(0), "the name is free");
}

#[test]
fn a_ca_is_made_whole_or_not_at_all() {
    let directory = Directory::new();
    let out = directory.path("certificates");
    let cert = ["cert", "--name", "engine.lan", "--out", &out];
    // There is room for a key, and not for a certificate.
    let ran = run_limited(1, &cert);
    ran.fails(1, "ca.pem");
    assert_eq!(names(&out), [""; 0]);
    assert_eq!(run(&cert, "").code, Some(0));
    // Nor is a key of the server left without its certificate.
    let read = |name: &str| fs::read(format!("{out}/{name}")).unwrap();
    let before = (read("server.pem"), read("server-key.pem"));
    let ran = run_limited(1, &cert);
    assert_eq!(ran.code, Some(1), "{} {}", ran.stdout, ran.stderr);
    assert_eq!((read("server.pem"), read("server-key.pem")), before);
    assert_eq!(
        names(&out),
        ["ca-key.pem", "ca.pem", "server-key.pem", "server.pem"]
    );
}

#[test]
fn what_proves_a_seat_is_kept_though_the_new_one_cannot_be() {
    let directory = Directory::new();
    let file = directory.path("resume");
    fs::write(&file, "what there was\n").unwrap();
    let (_engine, address) = serve(&["--seats", "red"]);
    let join = join_with_file(&address, &file);
    let mut player = Session::spawn_read(&mut limited(0, &join));
    let mut kinds = Vec::new();
    while !kinds.contains(&"resume_file".to_owned()) {
        let event = player.json();
        kinds.extend(event["kind"].as_str().map(str::to_owned));
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "what there was\n");
    assert_eq!(names(&directory.path("")), ["resume"]);
}

#[test]
fn what_is_no_file_is_not_replaced_by_one() {
    let directory = Directory::new();
    let socket = directory.path("s");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let ran = run(&["token", "new", "--name", "a", "--file", &socket], "");
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains(&socket), "{}", ran.stderr);
    assert_eq!(names(&directory.path("")), ["s"]);
    // A file without an end is not read for ever.
    for args in [
        &["token", "list", "--file", "/dev/zero"][..],
        &["check", "127.0.0.1:1", "--token-file", "/dev/zero"],
        &[
            "token",
            "new",
            "--name",
            "a",
            "--address",
            "a:1",
            "--tls-ca",
            "/dev/zero",
        ],
        &["check", "masep+tls://127.0.0.1:1", "--tls-ca", "/dev/zero"],
        &join_with_file("127.0.0.1:1", "/dev/zero"),
        &[
            "serve",
            "127.0.0.1:0",
            "--tls-cert",
            "/dev/zero",
            "--tls-key",
            "/dev/zero",
        ],
    ] {
        let ran = run(args, "");
        assert!(matches!(ran.code, Some(1..=3)), "{args:?}: {:?}", ran.code);
        assert!(ran.stderr.contains("/dev/zero"), "{args:?}: {}", ran.stderr);
    }
}
