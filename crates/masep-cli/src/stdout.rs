//! What is between standard output and its reader.

/// Asks the system to hold little that the reader has not taken: a pipe's usual 64 KiB can be many
/// seconds of observations.
#[cfg(target_os = "linux")]
pub(crate) fn hold_little() {
    use nix::fcntl::{FcntlArg, fcntl};
    // One page is the least there is. Whatever is no pipe refuses, and stays as it is.
    let _ = fcntl(std::io::stdout(), FcntlArg::F_SETPIPE_SZ(4096));
}

#[cfg(not(target_os = "linux"))]
pub(crate) const fn hold_little() {}

/// Waits until standard output takes bytes. A pipe of one page does when it is empty.
#[cfg(unix)]
pub(crate) fn wait_for_reader() {
    use std::os::fd::AsFd;

    use nix::errno::Errno;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let stdout = std::io::stdout();
    let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
    // Any other error shows when something is written.
    while poll(&mut fds, PollTimeout::NONE) == Err(Errno::EINTR) {}
}

#[cfg(not(unix))]
pub(crate) const fn wait_for_reader() {}
