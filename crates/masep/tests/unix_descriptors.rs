//! The descriptors of a process with many connections on Unix sockets. Alone in its file: they are counted.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is its report")]

mod bounds;
mod directory;
mod shells;

use std::fs;
use std::io::{IoSlice, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use directory::Directory;
use shells::{SHELLS, accept, bind, connect};

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn none_is_left_of_connections_that_have_ended_nor_of_those_that_a_peer_has_passed() {
    for shell in SHELLS {
        let directory = Directory::new();
        // Whatever the runtime and the threads keep is there from here on.
        let server = bind(shell, &*directory.target("x.sock")).unwrap();
        for _ in 0..2 {
            let client = connect(shell, &*directory.target("x.sock")).unwrap();
            let engine = accept(&*server);
            client.connection().bye();
            assert_eq!(engine.recv(), None);
        }
        let before = descriptors();
        for round in 0..50_u8 {
            let client = connect(shell, &*directory.target("x.sock")).unwrap();
            let engine = accept(&*server);
            client.connection().send(vec![round]);
            assert_eq!(engine.recv(), Some(vec![round]));
            client.connection().bye();
            assert_eq!(engine.recv(), None);
        }
        let mut peer = UnixStream::connect(directory.path("x.sock")).unwrap();
        let passed = [0, 1, 2];
        let write = |bytes: &[u8]| {
            let rights = [ControlMessage::ScmRights(&passed)];
            let slices = [IoSlice::new(bytes)];
            let sent = sendmsg::<()>(peer.as_raw_fd(), &slices, &rights, MsgFlags::empty(), None);
            assert_eq!(sent, Ok(bytes.len()));
        };
        write(b"\x04\0peer");
        let engine = accept(&*server);
        for byte in b"\x05\0hello\x05\0again" {
            write(&[*byte]);
        }
        shells::until(|| descriptors() <= before + 2);
        peer.read_exact(&mut [0; 8]).unwrap();
        // With async, what stands behind a passed descriptor may be read at the end only.
        drop(peer);
        assert_eq!(engine.recv().as_deref(), Some(&b"hello"[..]));
        assert_eq!(engine.recv().as_deref(), Some(&b"again"[..]));
        assert_eq!(engine.recv(), None);
        drop(engine);
        shells::until(|| descriptors() <= before);
        server.shutdown(Duration::from_secs(10));
    }
}
