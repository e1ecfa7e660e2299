//! Connections in TLS, with each library on each side, and against others.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

#[path = "../shells/mod.rs"]
mod shells;

mod access;
mod attacks;
mod chains;
mod files;
mod forger;
mod hostile;
mod openssl;
mod trust;

use shells::{authority, directory, foreign};
