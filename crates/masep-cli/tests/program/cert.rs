//! `masep cert`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::directory::Directory;
use crate::run::{Run, run};

fn cert(directory: &Directory, args: &[&str]) -> Run {
    let out = directory.path("out");
    run(&[&["cert", "--out", &out], args].concat(), "")
}

fn file(directory: &Directory, name: &str) -> String {
    directory.path(&format!("out/{name}"))
}

fn read(directory: &Directory, name: &str) -> String {
    directory.read(&format!("out/{name}"))
}

fn mode(path: &str) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

const NAMES: [&str; 4] = ["--name", "engine.lan", "--address", "192.168.1.7"];

#[test]
fn a_ca_and_a_server_have_their_files_and_the_keys_are_secret() {
    let directory = Directory::new();
    let ran = cert(&directory, &NAMES);
    ran.succeeds();
    assert_eq!(ran.lines().len(), 2);
    assert!(
        ran.lines()[1].ends_with("for engine.lan, 192.168.1.7"),
        "{}",
        ran.stdout
    );
    for secret in ["ca-key.pem", "server-key.pem"] {
        assert_eq!(mode(&file(&directory, secret)), 0o600, "{secret}");
        assert!(read(&directory, secret).starts_with("-----BEGIN PRIVATE KEY-----"));
    }
    // The chain that is served has the CA in it.
    assert!(read(&directory, "server.pem").ends_with(&read(&directory, "ca.pem")));
    assert_eq!(fs::read_dir(directory.path("out")).unwrap().count(), 4);
}

#[test]
fn a_ca_that_is_there_is_used_again() {
    let directory = Directory::new();
    cert(&directory, &NAMES);
    let (ca, server) = (read(&directory, "ca.pem"), read(&directory, "server.pem"));
    let ran = cert(&directory, &["--name", "other.lan", "--days", "30"]);
    ran.succeeds();
    assert!(ran.lines()[0].ends_with("used again"), "{}", ran.stdout);
    assert_eq!(read(&directory, "ca.pem"), ca);
    assert_ne!(read(&directory, "server.pem"), server);
    assert!(read(&directory, "server.pem").ends_with(&ca));
}

#[test]
fn a_directory_that_cannot_be_used_is_an_error_that_says_why() {
    let directory = Directory::new();
    cert(&directory, &NAMES);
    let others = Directory::new();
    cert(&others, &NAMES);
    let error = |directory: &Directory, part: &str| {
        let ran = cert(directory, &NAMES);
        ran.fails(1, part);
    };
    // The certificate of another CA, none, no key, and one that is none.
    fs::copy(file(&others, "ca.pem"), file(&directory, "ca.pem")).unwrap();
    error(&directory, "ca.pem is not the certificate of");
    fs::remove_file(file(&directory, "ca.pem")).unwrap();
    error(&directory, "no ca.pem");
    fs::remove_file(file(&others, "ca-key.pem")).unwrap();
    error(&others, "no ca-key.pem");
    fs::write(file(&others, "ca-key.pem"), "no key").unwrap();
    error(&others, "ca-key.pem is no key");
    let ran = run(&["cert", "--name", "a", "--out", "/dev/null/a"], "");
    ran.fails(1, "/dev/null/a");
}

#[test]
fn a_server_without_any_name_is_wrong_usage() {
    let directory = Directory::new();
    for args in [
        &[][..],
        &["--name", "192.168.1.7"],
        &["--name", "a b"],
        &["--address", "lan"],
        &["--name", "a", "--days", "0"],
        &["--name", "a", "--days", "4000"],
    ] {
        assert_eq!(cert(&directory, args).code, Some(2), "{args:?}");
    }
}
