//! Answering the LAN search without a runtime around it.

use std::io;
use std::thread::JoinHandle;

use masep_proto::ServerLimits;
use tokio::runtime::Builder;
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
        listening: &Address,
        limits: &ServerLimits,
        describe: Describe,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let context = runtime.enter();
        let started = Announcement::start_at(listening, limits, Some(describe));
        drop(context);
        let announcement = match started {
            Ok(announcement) => announcement,
            Err(error) => {
                // A caller that is a task of another runtime must not wait for the end of this one.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let (stop, stopped) = oneshot::channel();
        let thread = spawn("announce", move || {
            // An error is the other end's drop: that is the sign.
            let _ = runtime.block_on(stopped);
            announcement.stop();
        })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
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
