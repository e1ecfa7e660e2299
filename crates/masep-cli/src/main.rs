//! The program `masep`.
fn main() {}
