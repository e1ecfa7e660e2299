//! `masep cert`.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a test's report, also in what it calls"
)]

mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use program::{Run, run};

/// A directory of this test alone.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("masep-cert-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn cert(&self, args: &[&str]) -> Run {
        let out = self.0.join("out");
        run(
            &[&["cert", "--out", out.to_str().unwrap()], args].concat(),
            "",
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join("out").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

const NAMES: [&str; 4] = ["--name", "engine.lan", "--address", "192.168.1.7"];

#[test]
fn a_ca_and_a_server_have_their_files_and_the_keys_are_secret() {
    let directory = Directory::new("files");
    let ran = directory.cert(&NAMES);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    assert_eq!(ran.lines().len(), 2);
    assert!(
        ran.lines()[1].ends_with("for engine.lan, 192.168.1.7"),
        "{}",
        ran.stdout
    );
    for secret in ["ca-key.pem", "server-key.pem"] {
        assert_eq!(mode(&directory.file(secret)), 0o600, "{secret}");
        assert!(
            directory
                .read(secret)
                .starts_with("-----BEGIN PRIVATE KEY-----")
        );
    }
    // The chain that is served has the CA in it.
    assert!(
        directory
            .read("server.pem")
            .ends_with(&directory.read("ca.pem"))
    );
    assert_eq!(fs::read_dir(directory.0.join("out")).unwrap().count(), 4);
}

#[test]
fn a_ca_that_is_there_is_used_again() {
    let directory = Directory::new("again");
    directory.cert(&NAMES);
    let (ca, server) = (directory.read("ca.pem"), directory.read("server.pem"));
    let ran = directory.cert(&["--name", "other.lan", "--days", "30"]);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    assert!(ran.lines()[0].ends_with("used again"), "{}", ran.stdout);
    assert_eq!(directory.read("ca.pem"), ca);
    assert_ne!(directory.read("server.pem"), server);
    assert!(directory.read("server.pem").ends_with(&ca));
}

#[test]
fn a_directory_that_cannot_be_used_is_an_error_that_says_why() {
    let directory = Directory::new("errors");
    directory.cert(&NAMES);
    let others = Directory::new("errors-of-another");
    others.cert(&NAMES);
    let error = |directory: &Directory, part: &str| {
        let ran = directory.cert(&NAMES);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    };
    // The certificate of another CA, none, no key, and one that is none.
    fs::copy(others.file("ca.pem"), directory.file("ca.pem")).unwrap();
    error(&directory, "ca.pem is not the certificate of");
    fs::remove_file(directory.file("ca.pem")).unwrap();
    error(&directory, "no ca.pem");
    fs::remove_file(others.file("ca-key.pem")).unwrap();
    error(&others, "no ca-key.pem");
    fs::write(others.file("ca-key.pem"), "no key").unwrap();
    error(&others, "ca-key.pem is no key");
    let ran = run(&["cert", "--name", "a", "--out", "/dev/null/a"], "");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("/dev/null/a"), "{}", ran.stderr);
}

#[test]
fn a_server_without_any_name_is_wrong_usage() {
    let directory = Directory::new("usage");
    for args in [
        &[][..],
        &["--name", "192.168.1.7"],
        &["--name", "a b"],
        &["--address", "lan"],
        &["--name", "a", "--days", "0"],
        &["--name", "a", "--days", "4000"],
    ] {
        assert_eq!(directory.cert(args).code, Some(2), "{args:?}");
    }
}
