//! Files of certificates that change while a server runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use masep::ConnectErrorKind;
use masep::tls::ClientTls;

use crate::authority::{Authority, Server};
use crate::directory::Directory;
use crate::shells::{Options, SOON, Shell, accept, of_each_shell, until};

of_each_shell! {
    what_takes_the_place_of_a_file_stops_nobody
    clients_come_in_while_files_change
    a_copy_that_keeps_size_and_time_is_seen
    a_file_without_end_is_an_error_of_the_client
}

fn remove(path: &Path) {
    let _ = fs::remove_dir(path).or_else(|_| fs::remove_file(path));
}

/// Each kind is found to be of no use, and nobody waits for it: a pipe has no end to come, and `/dev/zero` has none.
fn what_takes_the_place_of_a_file_stops_nobody(shell: Shell) {
    let directory = Directory::new();
    let authority = Authority::new();
    let first = authority.server(&["127.0.0.1"]);
    first.write(&directory);
    let server = shell.serve(Options::default().server_tls(Server::files(&directory)));
    let connect = |id| {
        let options = Options::default().client_tls(authority.trusted());
        shell.connect(id, format!("masep+tls://{}", server.address()), options)
    };
    let state = || server.certificate().unwrap();
    type Replace = fn(&Path);
    let replacements: [(&str, Replace); 7] = [
        ("server.key", |path| fs::create_dir(path).unwrap()),
        ("server.key", |path| {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
        ("server.key", |path| fs::write(path, "").unwrap()),
        ("server.pem", |path| symlink("/dev/zero", path).unwrap()),
        ("server.pem", |path| symlink(path, path).unwrap()),
        ("server.pem", |path| drop(UnixListener::bind(path).unwrap())),
        ("server.pem", |path| {
            fs::write(path, "-----BEGIN CERTIFICATE-----\n".repeat(100_000)).unwrap();
        }),
    ];
    for (number, (name, replace)) in replacements.into_iter().enumerate() {
        let (path, aside) = (directory.path(name), directory.path("aside"));
        fs::rename(&path, &aside).unwrap();
        replace(&path);
        until(|| state().error.is_some());
        let client = connect("agent").unwrap();
        let connection = accept(&*server);
        client.connection().send("still here").unwrap();
        assert_eq!(connection.recv().unwrap().bytes(), "still here", "{number}");
        drop(client);
        connection.end();
        remove(&path);
        fs::rename(&aside, &path).unwrap();
        until(|| state().error.is_none());
    }
    let second = Authority::named("another");
    second.server(&["127.0.0.1"]).write(&directory);
    until(|| state().error.is_none() && connect("old").is_err());
    let options = Options::default().client_tls(second.trusted());
    let address = format!("masep+tls://{}", server.address());
    assert!(shell.connect("new", address, options).is_ok());
}

/// Between the key and the certificate that fits it there is a moment in which they do not fit.
fn clients_come_in_while_files_change(shell: Shell) {
    let directory = Directory::new();
    let authority = Authority::new();
    let certificates = [(); 3].map(|()| authority.server(&["127.0.0.1"]));
    certificates[0].write(&directory);
    let (handler, _events) = crate::shells::Events::new();
    let options = Options::default().server_tls(Server::files(&directory));
    let server = shell.serve(options.handler(handler));
    let address = format!("masep+tls://{}", server.address());
    let trusted = authority.trusted();
    let state = || server.certificate().unwrap();
    let end = Instant::now() + 3 * SOON;
    thread::scope(|scope| {
        for task in 0..4 {
            let (address, trusted) = (&address, &trusted);
            scope.spawn(move || {
                for number in 0.. {
                    let options = Options::default().client_tls(trusted.clone());
                    let id = format!("agent-{task}-{number}");
                    shell.connect(&id, &**address, options).unwrap();
                    if state().loads == 3 || Instant::now() > end {
                        break;
                    }
                }
            });
        }
        for (loads, next) in (2..).zip(&certificates[1..]) {
            next.write_key(&directory);
            until(|| state().error.is_some());
            next.write_chain(&directory);
            until(|| state().error.is_none());
            assert_eq!(state().loads, loads);
        }
    });
}

/// Certificates that were made in the same second, and copied into their place with their times (`cp -p`, `rsync -t`).
fn a_copy_that_keeps_size_and_time_is_seen(shell: Shell) {
    let directory = Directory::new();
    let (first, second) = (Authority::new(), Authority::named("another"));
    let time = SystemTime::now() - Duration::from_secs(3_600);
    let copy = |mut server: Server| {
        // The size of a signature differs.
        server.chain += &"\n".repeat(3_000 - server.chain.len());
        server.write(&directory);
        for name in ["server.key", "server.pem"] {
            let written = fs::File::options().write(true).open(directory.path(name));
            written.unwrap().set_modified(time).unwrap();
        }
    };
    copy(first.server(&["127.0.0.1"]));
    let server = shell.serve(Options::default().server_tls(Server::files(&directory)));
    let address = format!("masep+tls://{}", server.address());
    let connect = |authority: &Authority| {
        let options = Options::default().client_tls(authority.trusted());
        shell.connect("agent", &*address, options).map(drop)
    };
    connect(&first).unwrap();
    copy(second.server(&["127.0.0.1"]));
    until(|| connect(&second).is_ok());
}

fn a_file_without_end_is_an_error_of_the_client(shell: Shell) {
    let options = Options::default().client_tls(ClientTls::new().ca_file("/dev/zero"));
    let refused = shell.connect("agent", "masep+tls://127.0.0.1:1", options);
    let error = refused.map(drop).unwrap_err();
    let is_ours = matches!(error.kind, ConnectErrorKind::TlsSettings(_));
    assert!(is_ours && error.to_string().contains("allowed"), "{error}");
}
