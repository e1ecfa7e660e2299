//! The program `masep`, run as its users run it, and its examples. All tests are threads of one process, so that none of
//! them changes its environment, its directory or its limits: what needs that is a process of its own.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is a test's report, also in what it calls"
)]
#![cfg_attr(
    not(unix),
    allow(dead_code, reason = "most tests need Unix, and what they share too")
)]

#[cfg(unix)]
#[path = "../../../masep-proto/tests/corpus/mod.rs"]
mod corpus;
mod directory;
mod run;
mod session;
#[cfg(unix)]
mod sidecar;
mod socket;

#[cfg(unix)]
mod cert;
#[cfg(unix)]
mod check;
#[cfg(unix)]
mod check_environments;
#[cfg(unix)]
mod check_tls;
mod decode;
mod demo;
#[cfg(unix)]
mod discover;
mod encode;
#[cfg(unix)]
mod endings;
#[cfg(unix)]
mod fairness;
#[cfg(unix)]
mod full_disk;
#[cfg(unix)]
mod hostile;
#[cfg(unix)]
mod hosting;
#[cfg(unix)]
mod join;
#[cfg(unix)]
mod nesting;
#[cfg(unix)]
mod protocol2;
#[cfg(unix)]
mod proxy;
#[cfg(unix)]
mod proxy_roles;
mod pursuit;
#[cfg(target_os = "linux")]
mod reach;
#[cfg(unix)]
mod readme;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod shown2;
#[cfg(unix)]
mod table;
#[cfg(unix)]
mod tap;
#[cfg(unix)]
mod tls;
#[cfg(unix)]
mod tokens;
#[cfg(unix)]
mod unix;
mod usage;
#[cfg(unix)]
mod words;
