//! Files that verbs read as a whole, and write so that nobody ever finds a half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The most bytes of a file: ten thousand tokens. A device has no end.
const MOST_BYTES: u64 = 4 << 20;
/// The most symbolic links in a row, as Linux has them.
const MOST_LINKS: usize = 40;

/// The text of a file.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MOST_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        let message = format!("it has more than {MOST_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

/// The readers that a new file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    All,
    /// Its owner alone: there are secrets in it.
    Owner,
}

/// The place that is meant, behind symbolic links: also where the last of them leads to nothing yet.
pub(crate) fn place(path: &Path) -> PathBuf {
    let mut place = path.to_owned();
    for _ in 0..MOST_LINKS {
        if let Ok(found) = fs::canonicalize(&place) {
            return found;
        }
        let Ok(to) = fs::read_link(&place) else {
            break;
        };
        let beside = place.parent().unwrap_or(Path::new(""));
        place = beside.join(to);
    }
    place
}

/// An error for anything but a file, or nothing: in its place there would be a file from then on, and the end of a pipe may
/// never come.
pub(crate) fn check_is_file(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let message = "it is there, and no regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// Puts this text in the place of a file, or makes it: a full disk, or the end of this program at any moment, leaves all of
/// the old one. A symbolic link stays one.
pub(crate) fn replace(path: &Path, text: &str, readers: Readers) -> io::Result<()> {
    Written::beside(path, text, readers)?.put_in_place()
}

/// A file that is written, and not yet in its place. It is removed when this is dropped.
#[must_use]
pub(crate) struct Written {
    beside: PathBuf,
    path: PathBuf,
}

impl Written {
    /// Writes this beside the file.
    pub(crate) fn beside(path: &Path, text: &str, readers: Readers) -> io::Result<Self> {
        let path = place(path);
        check_is_file(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let mut file = new_file(&beside, readers)?;
        let written = Self { beside, path };
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(written)
    }

    /// Puts it in its place.
    pub(crate) fn put_in_place(self) -> io::Result<()> {
        fs::rename(&self.beside, &self.path)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // It is not there any more where it was put in its place.
        let _ = fs::remove_file(&self.beside);
    }
}

fn new_file(path: &Path, readers: Readers) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(
        &mut options,
        match readers {
            Readers::All => 0o644,
            Readers::Owner => 0o600,
        },
    );
    #[cfg(not(unix))]
    let _ = readers;
    options.open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A directory that is removed at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let name = format!("masep-files-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            // A process of this number that was killed may have left one.
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).expect("a temporary directory");
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let directory = Directory::new("replaced");
        let (path, link) = (directory.0.join("a"), directory.0.join("link"));
        symlink(&path, &link).unwrap();
        replace(&path, "one", Readers::Owner).unwrap();
        replace(&link, "two", Readers::Owner).unwrap();
        // A link that leads to nothing yet, by another one.
        let (new, to_new) = (directory.0.join("new"), directory.0.join("to-new"));
        let by_another = directory.0.join("by-another");
        symlink("new", &to_new).unwrap();
        symlink(&to_new, &by_another).unwrap();
        replace(&by_another, "three", Readers::Owner).unwrap();
        assert_eq!(read(&new).unwrap(), "three");
        for path in [&new, &to_new, &by_another] {
            assert_eq!(
                fs::symlink_metadata(path).unwrap().is_symlink(),
                *path != new
            );
            fs::remove_file(path).unwrap();
        }
        let around = directory.0.join("around");
        symlink(&around, &around).unwrap();
        assert!(place(&around).is_symlink());
        fs::remove_file(&around).unwrap();
        assert_eq!(read(&path).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // One that is given up changes nothing.
        drop(Written::beside(&path, "three", Readers::All).unwrap());
        assert_eq!(read(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 2);
    }

    #[test]
    fn what_is_no_file_stays_what_it_is() {
        let directory = Directory::new("no-file");
        let socket = directory.0.join("s");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&socket, &directory.0] {
            let error = replace(path, "text", Readers::Owner).unwrap_err();
            assert!(error.to_string().contains("no regular file"), "{error}");
        }
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1);
    }

    #[test]
    fn a_device_without_an_end_is_too_large() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("4194304"), "{error}");
    }
}
