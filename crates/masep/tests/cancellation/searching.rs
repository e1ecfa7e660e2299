//! Calls that search the LAN.

#[cfg(target_os = "linux")]
use std::panic::resume_unwind;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::time::Duration;

use masep::Client;
use masep::discovery::{self, SearchOptions};
#[cfg(target_os = "linux")]
use masep::{CloseReason, Server};
#[cfg(target_os = "linux")]
use nix::sched::{CloneFlags, unshare};

use crate::cut::{Cut, breathe, soon};

/// The clock jumps over the time in which nobody answers.
fn options() -> SearchOptions {
    SearchOptions::default().timeout(Duration::from_millis(300))
}

/// After the search that was dropped, the next one finds the machine as it was.
async fn search_again() {
    breathe().await;
    let report = soon(discovery::search(&options())).await.unwrap();
    for probe in &report.interfaces {
        let is_busy = probe.outcome.as_ref().is_err_and(|error| {
            use std::io::ErrorKind::{AddrInUse, QuotaExceeded};
            matches!(error.kind(), AddrInUse | QuotaExceeded)
        });
        assert!(!is_busy, "{probe:?}");
    }
}

pub(crate) async fn search(cut: &Cut) {
    let options = options();
    if let Some(report) = cut.call(discovery::search(&options)).await {
        report.unwrap();
    }
    search_again().await;
}

pub(crate) async fn discover(cut: &Cut) {
    // That no interface can be asked is an answer too.
    let _found = cut.call(discovery::discover()).await;
    search_again().await;
}

/// There is no server to be found.
pub(crate) async fn search_in_vain(cut: &Cut) {
    let options = options();
    let _client = cut.call(Client::builder("agent").discover(&options)).await;
    search_again().await;
}

/// A server is found and connected to, and told the end if that is given up. On a network of its own.
#[cfg(target_os = "linux")]
pub(crate) async fn find_and_connect(cut: &Cut) {
    let server = Server::builder("engine").announce(true);
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let options = SearchOptions::default().first_only(true);
    let client = cut.call(Client::builder("agent").discover(&options)).await;
    drop(client.map(Result::unwrap));
    let again = soon(Client::builder("agent").discover(&options)).await;
    let again = again.unwrap();
    again.connection().send("last").await.unwrap();
    let frame = loop {
        let connection = soon(server.accept()).await.unwrap();
        match soon(connection.recv()).await {
            Ok(frame) => break frame,
            Err(_) => assert_eq!(soon(connection.closed()).await, CloseReason::PeerBye),
        }
    };
    assert_eq!(frame.bytes(), "last");
    soon(again.connection().bye()).await;
}

/// Runs this in a thread with a network of its own, which has nothing but loopback; or says why that is
/// not to be had.
#[cfg(target_os = "linux")]
pub(crate) fn on_a_network_of_its_own(work: impl FnOnce() + Send) -> Result<(), String> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|error| format!("cannot make a network namespace: {error}"))?;
            let up = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status();
            if !up.is_ok_and(|status| status.success()) {
                return Err("cannot set up loopback with the program ip".to_owned());
            }
            work();
            Ok(())
        });
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}
