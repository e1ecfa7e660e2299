//! The door of a server whose system gives it no more connections.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use masep::transport::memory::{self, MemoryListener, MemoryTransport};
use masep::transport::{Listener, Stream};
use masep::{Address, Server};
use masep_proto::admission::GRACE;

use crate::shells::frame;

/// Gives so many connections, and errors from then on.
struct Exhausted {
    listener: MemoryListener,
    left: AtomicUsize,
}

impl Listener for Exhausted {
    type Transport = MemoryTransport;

    fn local_address(&self) -> io::Result<Address> {
        self.listener.local_address()
    }

    async fn accept(&self) -> io::Result<(MemoryTransport, Address)> {
        let take = |left: usize| left.checked_sub(1);
        match (self.left).fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => self.listener.accept().await,
            Err(_none) => Err(io::Error::other("no descriptor")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_door_keeps_its_time_while_accepting_rests() {
    let (listener, connector) = memory::listen(2);
    let left = AtomicUsize::new(2);
    let server = Server::builder("engine").serve_over(Exhausted { listener, left });
    let server = server.unwrap();
    let first = connector.connect(4_096).await.unwrap();
    first.try_write(&frame(b"agent")).unwrap();
    let _connection = server.accept().await.unwrap();
    let second = connector.connect(4_096).await.unwrap();
    // The id is in use, so that the client is told when its grace is over. From here on accepting rests, for 100 ms at a time.
    tokio::time::sleep(Duration::from_millis(50)).await;
    second.try_write(&frame(b"agent")).unwrap();
    let start = tokio::time::Instant::now();
    let mut answer = Vec::with_capacity(64);
    while second.try_read(&mut answer).is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(start.elapsed() < 2 * GRACE, "it is told in the end");
    }
    let late = start.elapsed().saturating_sub(GRACE);
    assert!(late < Duration::from_millis(10), "{late:?} late");
    assert!(answer.ends_with(&frame(b"BYE")));
}
