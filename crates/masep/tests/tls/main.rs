//! Connections in TLS, with each library on each side, and against others.
#![allow(clippy::unwrap_used, reason = "a panic is the report of a test")]

#[path = "../directory/mod.rs"]
mod directory;
#[path = "../shells/mod.rs"]
mod shells;

mod access;
mod authority;
mod foreign;
mod hostile;
mod openssl;
mod sessions;
mod trust;
