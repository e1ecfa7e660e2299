//! Small files that are read whole, and again when they have changed.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A file that was changed within this time may change again without another stamp: clocks of file systems tick.
const TICK: Duration = Duration::from_secs(2);

/// The facts about a file that differ when it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// The time that nobody can set, as they can that of the last change of the content. A file that was put in place of
    /// another by a copy that keeps times has a new one.
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// True if the file was changed so lately that another content could have the same stamp.
    pub(crate) fn is_fresh(&self, date: SystemTime) -> bool {
        let changed = u64::try_from(self.changed.0).unwrap_or_default();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed);
        // In the future: the clock was set.
        date.duration_since(changed).is_ok_and(|age| age <= TICK) || changed > date
    }
}

/// Opens a file that was read before. Anything but a file, such as a pipe, is an error: nobody waits there for one who writes
/// it, or for its end.
pub(crate) fn open_again(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        let message = "it is no regular file any more, and such are not read again";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    File::open(path)
}

/// Reads all of a file, whatever it says of its size.
pub(crate) fn read_all(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let message = format!("it has more than the {most} bytes that are allowed");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}
