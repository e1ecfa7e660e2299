//! `masep check` in TLS: each fault has a clear line, a reason for programs and an exit code.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use serde_json::Value as Json;

use crate::directory::Directory;
use crate::run::{check, check_fails, check_succeeds, run};
use crate::session::{Session, serve};
use crate::socket::{Socket, listen};

const DAY: Duration = Duration::from_secs(86_400);

/// An authority with its file, and the directory in which certificates of servers are.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: Directory,
    ca: String,
}

/// The files of a server's certificate and of its key.
struct Files(String, String);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let directory = Directory::new();
        let ca = directory.write("ca.pem", issuer.pem());
        Self {
            issuer,
            directory,
            ca,
        }
    }

    /// A certificate for 127.0.0.1 and `engine.lan`, valid from and to so many days from now.
    fn certificate(&self, from: i64, to: i64) -> Files {
        let names = ["127.0.0.1", "engine.lan"].map(str::to_owned);
        self.certificate_for(names.to_vec(), from, to)
    }

    fn certificate_for(&self, names: Vec<String>, from: i64, to: i64) -> Files {
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let day = |days: i64| {
            let time = DAY * u32::try_from(days.abs()).unwrap();
            let now = SystemTime::now();
            let day = if days < 0 { now - time } else { now + time };
            day.into()
        };
        (params.not_before, params.not_after) = (day(from), day(to));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let write = |end: &str, text: String| {
            let name = format!("server-{from}-{to}{end}.pem");
            self.directory.write(&name, text)
        };
        let chain = format!("{}{}", certificate.pem(), self.issuer.pem());
        Files(write("", chain), write("-key", key.serialize_pem()))
    }

    fn serve(&self, files: &Files) -> (Session, String) {
        serve(&["--tls-cert", &files.0, "--tls-key", &files.1])
    }
}

/// `openssl s_server`, until this is dropped.
struct OpenSsl(Child);

impl OpenSsl {
    fn start(files: &Files, args: &[&str]) -> (Self, String) {
        let child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0"])
            .args(["-cert", &files.0, "-key", &files.1])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut server = Self(child.expect("openssl is installed"));
        let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix("ACCEPT ").map(str::to_owned)
        });
        (server, address.unwrap())
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// That this is the report: exit code, status, reason, and a part of what people read.
#[track_caller]
fn expect(args: &[&str], (code, status, reason): (i32, &str, &str), line: &str) -> Json {
    let report = check_fails(args, code, status, reason);
    let ran = run(&[&["check"], args].concat(), "");
    assert_eq!((ran.code, &*ran.stderr), (Some(code), ""));
    ran.prints(line);
    report
}

fn tls(address: &str) -> String {
    format!("masep+tls://{address}")
}

#[test]
fn a_certificate_that_is_not_trusted_is_told_with_the_reason() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (_engine, address) = authority.serve(&authority.certificate(-1, 90));
    let address = tls(&address);
    let ca = ["--tls-ca", &authority.ca];
    let good = [&[&*address], &ca[..]].concat();
    check_succeeds(&good);

    let wrong_ca = [&address, "--tls-ca", &other.ca];
    let report = expect(
        &wrong_ca,
        (7, "certificate", "certificate_issuer"),
        "--tls-ca",
    );
    assert_eq!(report["certificate"]["names"][1], "engine.lan", "{report}");
    let wrong_name = [&good[..], &["--tls-name", "other.lan"]].concat();
    let line = "for 127.0.0.1, engine.lan";
    expect(&wrong_name, (7, "certificate", "certificate_name"), line);
    let soon = [&good[..], &["--days", "91"]].concat();
    let line = "takes clients, and its certificate ends soon";
    expect(&soon, (7, "certificate_ends", "certificate_ends"), line);

    for (from, to, reason, line) in [
        (-9, -2, "certificate_expired", "over for 2 days"),
        (2, 9, "certificate_not_yet_valid", "is not valid yet"),
    ] {
        let (_engine, address) = authority.serve(&authority.certificate(from, to));
        let address = tls(&address);
        let args = [&[&*address], &ca[..]].concat();
        expect(&args, (7, "certificate", reason), line);
    }
}

/// The certificate is that of the one handshake: a server's log tells of a check as of any client.
#[test]
fn a_server_sees_one_client_and_no_other_connection() {
    let authority = Authority::new();
    let (mut engine, address) = authority.serve(&authority.certificate(-1, 90));
    let address = tls(&address);
    let good = [&*address, "--tls-ca", &authority.ca];
    for _ in 0..2 {
        let report = check_succeeds(&good);
        assert_eq!(report["certificate"]["names"][1], "engine.lan", "{report}");
        engine.event("connected");
        assert_eq!(engine.event("closed")["reason"], "peer_bye");
    }
    // One that is not trusted is told by the alert of the client that did not trust it, and shown all the same.
    let (ran, _) = check(&[&address, "--tls-name", "other.lan"]);
    assert_eq!(ran.code, Some(7), "{}", ran.stdout);
    ran.prints("engine.lan");
    assert_eq!(engine.event("rejected")["reason"], "tls_alert");
    check_succeeds(&good);
    engine.event("connected");
}

#[test]
fn a_server_of_another_tls_is_told_from_one_that_is_not_there() {
    let authority = Authority::new();
    let files = authority.certificate(-1, 90);
    for (args, reasons) in [
        (&["-tls1_3"][..], &["tls_no_protocol"][..]),
        (
            &["-tls1_3", "-alpn", "h2"],
            &["tls_no_protocol", "tls_alert"],
        ),
        (
            &["-tls1_2", "-alpn", "masep/2"],
            &["tls_version", "tls_alert"],
        ),
    ] {
        let (_server, address) = OpenSsl::start(&files, args);
        let (ran, report) = check(&[&tls(&address), "--tls-ca", &authority.ca]);
        assert_eq!(
            (ran.code, &report["status"]),
            (Some(3), &"other_protocol".into()),
            "{args:?} {report}"
        );
        let reason = report["reason"].as_str().unwrap();
        assert!(reasons.contains(&reason), "{args:?} {report}");
    }
}

#[test]
fn a_plain_server_at_an_address_of_tls_and_the_reverse() {
    let authority = Authority::new();
    let (_engine, secure) = authority.serve(&authority.certificate(-1, 90));
    expect(
        &[&format!("masep://{secure}")],
        (5, "refused", "tls_required"),
        "masep+tls://",
    );
    // The length of the id is the first byte of the answer, and some of them begin records of TLS.
    for id in ["engine", "of twenty-three letters"] {
        let mut engine = Session::start(&["serve", "127.0.0.1:0", "--id", id]);
        let plain = tls(&engine.address());
        let args = [&*plain, "--tls-ca", &authority.ca];
        let line = "does not speak TLS";
        expect(&args, (3, "other_protocol", "not_tls"), line);
    }
}

#[test]
fn a_server_that_hangs_in_the_handshake_is_given_up_in_time() {
    let authority = Authority::new();
    let (silent, address) = listen();
    let address = tls(&address.to_string());
    let args = ["--tls-ca", &authority.ca, "--timeout", "300ms"];
    let args = [&[&*address], &args[..]].concat();
    let line = "said no hello within";
    expect(&args, (3, "unreachable", "timed_out"), line);
    drop(silent);

    // One that says something again and again, and nothing that ends the handshake.
    let (dripping, address) = listen();
    let drip = std::thread::spawn(move || drip(&dripping));
    let address = tls(&address.to_string());
    let args = ["--tls-ca", &authority.ca, "--timeout", "500ms"];
    let args = [&[&*address], &args[..]].concat();
    expect(&args, (3, "unreachable", "timed_out"), line);
    // The two runs were all.
    let _: SocketAddr = drip.join().unwrap();
}

/// Answers two clients with a record of TLS that never ends, byte by byte.
fn drip(listener: &std::net::TcpListener) -> SocketAddr {
    use std::io::Write;
    for _ in 0..2 {
        let mut client = Socket::accept(listener);
        let record = [0x16, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc];
        let rest = std::iter::repeat_n(0u8, 0x3f00);
        for byte in record.into_iter().chain(rest) {
            // Until it is given up.
            if client.stream.write_all(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    listener.local_addr().unwrap()
}
