//! Answering the LAN search without a runtime around it.

use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

use masep_proto::ServerLimits;
use tokio::sync::oneshot;

use super::spawn;
use crate::Address;
use crate::discovery::{Announcement, Describe};

/// An [`Announcement`] with a thread and a runtime of its own: it waits on several sockets, none of
/// which is anybody's who would drive it. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Announcing {
    /// `None` when it is over.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Announcing {
    pub(super) fn start(
        listening: Address,
        limits: &ServerLimits,
        describe: Describe,
    ) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (started, start) = mpsc::sync_channel(1);
        let limits = limits.clone();
        let thread = spawn("announce", move || {
            let announced = announce(&listening, &limits, describe, stopped, &started);
            if let Err(error) = announced {
                let _ = started.send(Err(error));
            }
        })?;
        start
            .recv()
            .unwrap_or_else(|gone| Err(io::Error::other(gone)))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

fn announce(
    listening: &Address,
    limits: &ServerLimits,
    describe: Describe,
    stopped: oneshot::Receiver<()>,
    started: &mpsc::SyncSender<io::Result<()>>,
) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let announcement = Announcement::start_at(listening, limits, Some(describe))?;
            let _ = started.send(Ok(()));
            // An error is the other end's drop: that is the sign.
            let _ = stopped.await;
            announcement.stop();
            Ok(())
        })
}

impl Drop for Announcing {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // Nothing in it waits for anybody. When it is over, the UDP port is free.
            let _ = thread.join();
        }
    }
}
