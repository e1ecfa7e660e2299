//! Random numbers of the system, which nobody can guess.

use std::io;

/// Sixteen random bytes.
///
/// # Errors
/// The system's error where it has none.
pub(crate) fn random_bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut bytes[filled..], flags)?;
    }
    Ok(bytes)
}

/// A random number, or 0 where the system has none.
#[cfg(not(masep_model))]
pub(crate) fn random_u64() -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = random_bytes().unwrap_or_default();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
