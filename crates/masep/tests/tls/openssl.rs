//! The program `openssl` as the peer. It has to be installed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use masep::tls::TlsFault;
use masep::{ConnectErrorKind, Limits};

use crate::authority::Authority;
use crate::directory::Directory;
use crate::foreign::HELLO;
use crate::shells::{Event, Events, Options, Shell, next, next_rejected, of_each_shell};

of_each_shell! {
    a_client_of_openssl_says_hello
    clients_of_openssl_that_are_not_ours_are_refused
    a_server_of_openssl_is_checked
}

/// One that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn openssl(arguments: &[&str]) -> Running {
    let child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    Running(child.expect("openssl is installed"))
}

fn a_client_of_openssl_says_hello(shell: Shell) {
    let (authority, directory) = (Authority::new(), Directory::new());
    let (handler, events) = Events::new();
    let tls = authority.server(&["127.0.0.1"]).tls();
    let server = shell.serve(Options::default().server_tls(tls).handler(handler));
    let (ca, address) = (directory.path("ca.pem"), server.address().to_string());
    fs::write(&ca, authority.pem()).unwrap();
    let mut client = openssl(&[
        "s_client",
        "-connect",
        &address,
        "-CAfile",
        ca.to_str().unwrap(),
        "-verify_return_error",
        "-verify_ip",
        "127.0.0.1",
        "-alpn",
        "masep/2",
        "-quiet",
    ]);
    let mut stdin = client.0.stdin.take().unwrap();
    stdin.write_all(HELLO).unwrap();
    let mut answer = [0; 9];
    client
        .0
        .stdout
        .take()
        .unwrap()
        .read_exact(&mut answer)
        .unwrap();
    assert_eq!(&answer, b"\x07\0masep/2");
    let connection = next(&events).connected();
    assert_eq!(connection.peer(), "foreign");
    drop(stdin);
    assert!(matches!(next(&events), Event::Closed(..)));
}

fn clients_of_openssl_that_are_not_ours_are_refused(shell: Shell) {
    let authority = Authority::new();
    let (handler, events) = Events::new();
    let tls = authority.server(&["127.0.0.1"]).tls();
    let server = shell.serve(Options::default().server_tls(tls).handler(handler));
    let address = server.address().to_string();
    for (arguments, fault) in [
        (&["-tls1_2", "-alpn", "masep/2"][..], TlsFault::Version),
        (&["-tls1_3"], TlsFault::NoProtocol),
        (&["-tls1_3", "-alpn", "h2,http/1.1"], TlsFault::NoProtocol),
        (
            &["-tls1_3", "-alpn", "masep/2", "-groups", "P-521"],
            TlsFault::Incompatible,
        ),
    ] {
        let arguments = [&["s_client", "-connect", &address][..], arguments].concat();
        let mut client = openssl(&arguments);
        let mut told = String::new();
        client
            .0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut told)
            .unwrap();
        assert!(told.contains("alert"), "{arguments:?} {told}");
        assert!(!client.0.wait().unwrap().success());
        assert_eq!(
            next_rejected(&events),
            masep::RejectReason::Tls(fault),
            "{arguments:?}"
        );
    }
}

fn a_server_of_openssl_is_checked(shell: Shell) {
    let (authority, directory) = (Authority::new(), Directory::new());
    let certificate = authority.server(&["127.0.0.1"]);
    let (chain, key) = (directory.path("chain.pem"), directory.path("key.pem"));
    fs::write(&chain, &certificate.chain).unwrap();
    fs::write(&key, &certificate.key).unwrap();
    let connect = |arguments: &[&str], options: Options| {
        let files = [
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-cert",
            chain.to_str().unwrap(),
            "-key",
            key.to_str().unwrap(),
        ];
        let mut server = openssl(&[&files[..], arguments].concat());
        let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("ACCEPT ").map(str::to_owned)
        });
        let target = format!("masep+tls://{}", address.unwrap());
        let failed = shell.connect("agent", target, options).map(drop);
        drop(server);
        failed.unwrap_err().kind
    };
    let trusted = || Options::default().client_tls(authority.trusted());
    let stranger = Options::default().client_tls(Authority::named("another").trusted());
    let kind = connect(&["-alpn", "masep/2"], stranger);
    assert!(
        matches!(kind, ConnectErrorKind::Tls(TlsFault::Certificate(_))),
        "{kind}"
    );
    let kind = connect(&["-alpn", "h2"], trusted());
    assert!(
        matches!(
            kind,
            ConnectErrorKind::Tls(TlsFault::NoProtocol | TlsFault::Alert(120))
        ),
        "{kind}"
    );
    let kind = connect(&[], trusted());
    assert!(
        matches!(kind, ConnectErrorKind::Tls(TlsFault::NoProtocol)),
        "{kind}"
    );
    let kind = connect(&["-tls1_2", "-alpn", "masep/2"], trusted());
    assert!(
        matches!(
            kind,
            ConnectErrorKind::Tls(TlsFault::Version | TlsFault::Alert(70))
        ),
        "{kind}"
    );
    // TLS is agreed on, and nothing is said in it.
    let time = Duration::from_millis(500);
    let patient = trusted().limits(Limits::default().hello_time(time));
    let kind = connect(&["-alpn", "masep/2"], patient);
    assert!(
        matches!(kind, ConnectErrorKind::TimedOut(it) if it == time),
        "{kind}"
    );
}
