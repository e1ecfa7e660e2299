//! The program `openssl` as the peer. It has to be installed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use masep::tls::TlsFault;
use masep::{ConnectErrorKind, Limits, RejectReason};

use crate::authority::Authority;
use crate::directory::Directory;
use crate::foreign::HELLO;
use crate::hostile::serve;
use crate::shells::{Options, Shell, network_authority, next, next_rejected, of_each_shell};

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
    let (setting, directory) = (serve(shell, Limits::default()), Directory::new());
    let (ca, address) = (
        directory.path("ca.pem"),
        setting.server.address().to_string(),
    );
    fs::write(&ca, network_authority().pem()).unwrap();
    let ca = ca.to_str().unwrap();
    let checks = [
        "-CAfile",
        ca,
        "-verify_return_error",
        "-verify_ip",
        "127.0.0.1",
    ];
    let says = [
        "s_client", "-connect", &address, "-alpn", "masep/2", "-quiet",
    ];
    let mut client = openssl(&[&says[..], &checks].concat());
    let mut stdin = client.0.stdin.take().unwrap();
    stdin.write_all(HELLO).unwrap();
    let mut answer = [0; 9];
    let mut stdout = client.0.stdout.take().unwrap();
    stdout.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\x07\0masep/2");
    let connection = next(&setting.events).connected();
    assert_eq!(connection.peer(), "foreign");
    // It ends when it cannot show what comes.
    drop((stdin, stdout));
    next(&setting.events).closed();
}

fn clients_of_openssl_that_are_not_ours_are_refused(shell: Shell) {
    let setting = serve(shell, Limits::default());
    let address = setting.server.address().to_string();
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
        let mut stderr = client.0.stderr.take().unwrap();
        stderr.read_to_string(&mut told).unwrap();
        assert!(told.contains("alert"), "{arguments:?} {told}");
        assert!(!client.0.wait().unwrap().success());
        let rejected = next_rejected(&setting.events);
        assert_eq!(rejected, RejectReason::Tls(fault), "{arguments:?}");
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
    let fault = |arguments: &[&str], options| match connect(arguments, options) {
        ConnectErrorKind::Tls(fault) => fault,
        other => panic!("{other}"),
    };
    let found = fault(&["-alpn", "masep/2"], stranger);
    assert!(matches!(found, TlsFault::Certificate(_)), "{found}");
    let found = fault(&["-alpn", "h2"], trusted());
    let told = [TlsFault::NoProtocol, TlsFault::Alert(120)];
    assert!(told.contains(&found), "{found}");
    assert_eq!(fault(&[], trusted()), TlsFault::NoProtocol);
    let found = fault(&["-tls1_2", "-alpn", "masep/2"], trusted());
    let told = [TlsFault::Version, TlsFault::Alert(70)];
    assert!(told.contains(&found), "{found}");
    // TLS is agreed on, and nothing is said in it.
    let time = Duration::from_millis(500);
    let patient = trusted().limits(Limits::default().hello_time(time));
    let kind = connect(&["-alpn", "masep/2"], patient);
    let is_late = matches!(kind, ConnectErrorKind::TimedOut(it) if it == time);
    assert!(is_late, "{kind}");
}
