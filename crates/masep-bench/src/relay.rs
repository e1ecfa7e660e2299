//! A relay between client and server, as there are many on real ways: it ends both connections, and passes on what
//! it gets in pieces of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::Result;

/// As much as one read may bring.
pub(crate) const WHOLE_READS: usize = 64 * 1024;

/// Starts a relay to this server, which writes at most so many bytes at once; where it listens. Its threads end with
/// the connections, the one that accepts with this process.
pub(crate) fn start(server: SocketAddr, at_once: usize) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        while let Ok((near, _)) = listener.accept() {
            let Ok(far) = TcpStream::connect(server) else {
                return;
            };
            // The client's attempt ends with its socket.
            let _ = join(near, far, at_once);
        }
    });
    Ok(address)
}

fn join(near: TcpStream, far: TcpStream, at_once: usize) -> Result<()> {
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let back = (far.try_clone()?, near.try_clone()?);
    thread::spawn(move || pass(near, far, at_once));
    thread::spawn(move || pass(back.0, back.1, at_once));
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream, at_once: usize) {
    let mut buffer = vec![0; WHOLE_READS];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        for piece in buffer[..read].chunks(at_once) {
            if to.write_all(piece).is_err() {
                return;
            }
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_come_through_in_order_in_both_directions() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = start(server.local_addr().unwrap(), 3).unwrap();
        let mut near = TcpStream::connect(address).unwrap();
        let (mut far, _) = server.accept().unwrap();
        let bytes: Vec<u8> = (0..=255).collect();
        near.write_all(&bytes).unwrap();
        let mut read = vec![0; bytes.len()];
        far.read_exact(&mut read).unwrap();
        assert_eq!(read, bytes);
        far.write_all(b"back").unwrap();
        let mut read = [0; 4];
        near.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"back");
        drop(near);
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
    }
}
