//! The pipe between standard output and its reader.

use tokio::sync::watch;

/// Asks the system to hold little that the reader has not taken: a pipe's usual 64 KiB can be many
/// seconds of observations.
#[cfg(target_os = "linux")]
pub(crate) fn hold_little() {
    use nix::fcntl::{FcntlArg, fcntl};
    // One page is the least there is. An output that is no pipe refuses, and stays as it is.
    let _ = fcntl(std::io::stdout(), FcntlArg::F_SETPIPE_SZ(4096));
}

#[cfg(not(target_os = "linux"))]
pub(crate) const fn hold_little() {}

/// Waits until standard output takes bytes. A pipe of one page does when it is empty.
#[cfg(unix)]
pub(crate) fn wait_for_reader() {
    wait_for(nix::poll::PollFlags::POLLOUT);
}

#[cfg(not(unix))]
pub(crate) const fn wait_for_reader() {}

/// Watches, in a thread of its own, whether anybody can read standard output. The value turns
/// true when nobody can; a write would find that out with the next line only.
#[cfg(unix)]
pub(crate) fn watch_reader() -> std::io::Result<watch::Receiver<bool>> {
    let (gone, is_gone) = watch::channel(false);
    std::thread::Builder::new()
        .name("stdout-reader".into())
        .spawn(move || {
            // Poll reports errors also if no event is asked for.
            wait_for(nix::poll::PollFlags::empty());
            gone.send_replace(true);
        })?;
    Ok(is_gone)
}

#[cfg(not(unix))]
pub(crate) fn watch_reader() -> std::io::Result<watch::Receiver<bool>> {
    Ok(watch::channel(false).1)
}

/// Waits until nobody can read standard output any more. Cancel safe.
pub(crate) async fn reader_is_gone(watched: &mut watch::Receiver<bool>) {
    if watched.wait_for(|is_gone| *is_gone).await.is_err() {
        // Nobody watches.
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
fn wait_for(events: nix::poll::PollFlags) {
    use std::os::fd::AsFd;

    use nix::errno::Errno;
    use nix::poll::{PollFd, PollTimeout, poll};
    let stdout = std::io::stdout();
    let mut fds = [PollFd::new(stdout.as_fd(), events)];
    // Any other error shows when something is written.
    while poll(&mut fds, PollTimeout::NONE) == Err(Errno::EINTR) {}
}
