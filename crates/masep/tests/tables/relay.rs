//! A relay between a player and a table, which can lose its connections.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::shells::{Table, listen};

#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    pub(crate) fn start(table: &dyn Table) -> Self {
        Self::to(&table.address())
    }

    pub(crate) fn to(table: &masep::Address) -> Self {
        let to = table.tcp().unwrap();
        let (listener, address) = listen();
        let streams = Arc::<Mutex<Vec<_>>>::default();
        let kept = streams.clone();
        thread::spawn(move || {
            while let Ok((from, _)) = listener.accept() {
                // The table is over when it takes nobody.
                let Ok(to) = TcpStream::connect(to) else {
                    return;
                };
                for stream in [&from, &to] {
                    stream.set_nodelay(true).unwrap();
                    kept.lock().unwrap().push(stream.try_clone().unwrap());
                }
                let back = [&to, &from].map(|stream| stream.try_clone().unwrap());
                for [from, to] in [[from, to], back] {
                    thread::spawn(move || pass_on(from, to));
                }
            }
        });
        Self { address, streams }
    }

    /// Closes all connections, without a `BYE`.
    pub(crate) fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Passes all bytes on, and then the end.
fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
