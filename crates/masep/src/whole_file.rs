//! Small files that are read whole, and again when they have changed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

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
