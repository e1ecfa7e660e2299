//! A relay between players and a table, which can lose its connections.

use std::net::SocketAddr;

use masep::table::Table;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    cut: watch::Sender<u64>,
}

impl Relay {
    pub(crate) async fn start(table: &Table) -> Self {
        let to = table.local_address().tcp().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, cuts) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                let (mut from, _) = listener.accept().await.unwrap();
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let mut to = TcpStream::connect(to).await.unwrap();
                    for stream in [&from, &to] {
                        stream.set_nodelay(true).unwrap();
                    }
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { address, cut }
    }

    /// Closes all connections, without a `BYE`.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}
