//! Unix sockets: connecting to a path, and the file of one that listens.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::listening::BACKLOG;
use super::socket::would_block;

/// Connects, and waits for a server that has many to accept no longer than `limit`.
pub(super) fn connect(path: &Path, limit: Duration) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // None at all would be for ever.
    socket.set_write_timeout(Some(limit.max(Duration::from_millis(1))))?;
    socket
        .connect(&SockAddr::unix(path)?)
        .map_err(|error| match would_block(&error) {
            true => io::ErrorKind::TimedOut.into(),
            false => error,
        })?;
    socket.set_write_timeout(None)?;
    Ok(socket)
}

/// Listens on a path. A file that a server has left, on which nobody listens, is replaced.
pub(super) fn listen(path: &Arc<Path>) -> io::Result<(Socket, SocketFile)> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Of several servers that start at once, one gets the path; the others find it in use. Without the lock, one that
    // is bound and does not listen yet would be taken for one that was left.
    let _lock = lock_directory(path);
    let bind = || socket.bind(&address);
    match bind() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, &address)?;
            bind()?;
        }
        bound => bound?,
    }
    socket.listen(BACKLOG)?;
    let file = SocketFile::of(path)?;
    Ok((socket, file))
}

/// Removes the file of a socket on which nobody listens.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.file_type().is_socket() {
        let message = "there is a file, which is no socket, and is not replaced";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Full, or not ours to connect to: somebody may be there.
        Ok(()) | Err(_) => return Err(io::ErrorKind::AddrInUse.into()),
    }
    if !is_same(&fs::symlink_metadata(path)?, &metadata) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    fs::remove_file(path)
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The lock of the directory that this file is in, as far as it can be had within a moment. A server holds it only
/// while it begins to listen.
fn lock_directory(path: &Path) -> Option<File> {
    const TRIES: usize = 100;
    let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
    let directory = File::open(parent.unwrap_or(Path::new("."))).ok()?;
    for _ in 0..TRIES {
        match directory.try_lock() {
            Ok(()) => return Some(directory),
            Err(fs::TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            Err(fs::TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// The file of a socket that listens, which is removed when this is dropped, if it still is the same.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: Arc<Path>,
    metadata: Metadata,
    /// One that was forked has only a copy.
    process: u32,
}

impl SocketFile {
    fn of(path: &Arc<Path>) -> io::Result<Self> {
        Ok(Self {
            path: path.clone(),
            metadata: fs::symlink_metadata(path)?,
            process: std::process::id(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = self.process == std::process::id()
            && fs::symlink_metadata(&self.path)
                .is_ok_and(|metadata| is_same(&metadata, &self.metadata));
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = ?self.path, "the file of the socket is left: {error}");
        }
    }
}
