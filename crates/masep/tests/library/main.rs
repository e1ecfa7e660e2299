//! Scenarios of one of the two libraries alone, the search between hosts, and the programs of the documents. All tests are
//! threads of one process: none of them counts what a process has, or changes it.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a test's report, also in what it calls"
)]

#[path = "../shells/mod.rs"]
mod shells;

#[cfg(feature = "unstable-bindings")]
mod detached;
#[cfg(feature = "unstable-transport")]
mod door;
#[cfg(unix)]
mod gathering;
#[cfg(target_os = "linux")]
mod lan;
#[cfg(unix)]
mod readme;
#[cfg(all(target_os = "linux", feature = "unstable-transport"))]
mod segments;
#[cfg(feature = "unstable-transport")]
mod tasks;
mod threads;

/// Ends a test that waits for something that does not come. Never the expected way out.
#[cfg(feature = "unstable-transport")]
async fn soon<T>(work: impl Future<Output = T>) -> T {
    let in_time = tokio::time::timeout(shells::SOON, work);
    in_time.await.expect("it happens in time")
}
