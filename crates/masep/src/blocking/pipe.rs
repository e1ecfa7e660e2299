//! A pipe that wakes a thread which waits for sockets.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::ioctl_fionbio;

/// See the [module](self). Its descriptor is readable from a wake-up on until that is taken out. Those who wake share it with
/// the one who waits: a write into a pipe that has no reader any more is a signal, `SIGPIPE`, which may end the process.
#[derive(Debug)]
pub(super) struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Pipe {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        // One that is full wakes already, and perhaps nobody reads it any more.
        ioctl_fionbio(&writer, true)?;
        ioctl_fionbio(&reader, true)?;
        Ok(Self { reader, writer })
    }

    /// Ends the wait that there is, or the next one.
    pub(super) fn wake(&self) {
        let _ = (&self.writer).write(&[0]);
    }

    /// Takes out the wake-ups that were found.
    pub(super) fn take_out(&self) {
        let _ = (&self.reader).read(&mut [0; 64]);
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
