//! A file that is rolled at a size: `weir.log` becomes `weir.log.1`, what was `.1` becomes `.2`, and the oldest goes.
//!
//! An operator's own logrotate is respected too: a file that was moved or deleted under weir is opened anew.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The file being written, and its size.
pub(super) struct RollingFile {
    path: PathBuf,
    roll_at: u64,
    keep: u32,
    file: File,
    identity: Identity,
    size: u64,
}

impl RollingFile {
    /// Opens the file for appending, after what an earlier run left in it.
    pub(super) fn open(path: PathBuf, roll_at: u64, keep: u32) -> io::Result<Self> {
        let file = append(&path)?;
        let data = file.metadata()?;
        Ok(Self {
            path,
            // A pipe or `/dev/null` has no size, and must not be renamed.
            roll_at: if data.is_file() { roll_at } else { u64::MAX },
            keep,
            file,
            identity: identity(&data),
            size: data.len(),
        })
    }

    /// Writes whole lines, rolling between them. A line that is larger than a file may be gets a file of its own.
    pub(super) fn write(&mut self, mut lines: &[u8]) -> io::Result<()> {
        if self.is_moved() {
            self.reopen()?;
        }
        while !lines.is_empty() {
            let room =
                usize::try_from(self.roll_at.saturating_sub(self.size)).unwrap_or(usize::MAX);
            let end = |line: &[u8]| {
                line.iter()
                    .rposition(|&byte| byte == b'\n')
                    .map(|at| at + 1)
            };
            let fits = if lines.len() <= room {
                lines.len()
            } else {
                end(&lines[..room]).unwrap_or(0)
            };
            let now = if fits > 0 || (self.size > 0 && self.roll()?) {
                fits
            } else {
                // An empty file is the most room there will ever be, and a file that cannot be rolled the only room.
                lines
                    .iter()
                    .position(|&byte| byte == b'\n')
                    .map_or(lines.len(), |at| at + 1)
            };
            self.file.write_all(&lines[..now])?;
            self.size += now as u64;
            lines = &lines[now..];
        }
        Ok(())
    }

    /// Whether it was done; a file that cannot be renamed is written on, which loses nothing.
    fn roll(&mut self) -> io::Result<bool> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.keep).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Ok(self.cannot_roll(&error));
                }
                _ => {}
            }
        }
        let moved = if self.keep == 0 {
            fs::remove_file(&self.path)
        } else {
            fs::rename(&self.path, numbered(1))
        };
        match moved {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Ok(self.cannot_roll(&error)),
            _ => self.reopen().map(|()| true),
        }
    }

    fn cannot_roll(&self, error: &io::Error) -> bool {
        tracing::warn!(error = error as &dyn std::error::Error, file = %self.path.display(), "cannot roll the access log");
        false
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = append(&self.path)?;
        let data = self.file.metadata()?;
        (self.identity, self.size) = (identity(&data), data.len());
        Ok(())
    }

    /// Whether the path names another file now, or none. One `stat` for all lines that are written at once.
    fn is_moved(&self) -> bool {
        fs::metadata(&self.path).map_or(true, |data| identity(&data) != self.identity)
    }
}

/// What tells a file from another of its name; where there is nothing, only that one is there.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = ();

#[cfg(unix)]
fn identity(data: &fs::Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (data.dev(), data.ino())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Identity {}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of the folder with what is in them, by name.
    fn files(folder: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .expect("the folder")
            .map(|file| {
                let path = file.expect("a file").path();
                let name = path
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                (name, fs::read_to_string(&path).expect("text"))
            })
            .collect();
        files.sort();
        files
    }

    fn named(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn rolls_between_lines_and_keeps_so_many() {
        let batches: [&[&str]; 3] = [
            &["aaa\nbbb\nccc\nddd\neee\nfff\nggg\n"],
            &["aaa\nbbb\nccc\n", "ddd\neee\n", "fff\nggg\n"],
            &[
                "aaa\n", "bbb\n", "ccc\n", "ddd\n", "eee\n", "fff\n", "ggg\n",
            ],
        ];
        for lines in batches {
            let folder = tempfile::tempdir().expect("a temporary directory");
            let mut file =
                RollingFile::open(folder.path().join("weir.log"), 8, 2).expect("writable");
            for batch in lines {
                file.write(batch.as_bytes()).expect("writable");
            }
            let expected = named(&[
                ("weir.log", "ggg\n"),
                ("weir.log.1", "eee\nfff\n"),
                ("weir.log.2", "ccc\nddd\n"),
            ]);
            assert_eq!(files(folder.path()), expected);
        }
    }

    #[test]
    fn goes_on_where_an_earlier_run_stopped() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("weir.log");
        for line in ["aaa\n", "bbb\n", "ccc\n"] {
            RollingFile::open(path.clone(), 8, 8)
                .expect("writable")
                .write(line.as_bytes())
                .expect("writable");
        }
        assert_eq!(
            files(folder.path()),
            named(&[("weir.log", "ccc\n"), ("weir.log.1", "aaa\nbbb\n")])
        );
    }

    #[test]
    fn a_line_larger_than_a_file_is_written_whole() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut file = RollingFile::open(folder.path().join("weir.log"), 4, 8).expect("writable");
        file.write(b"a\n0123456789\nb\n").expect("writable");
        assert_eq!(
            files(folder.path()),
            named(&[
                ("weir.log", "b\n"),
                ("weir.log.1", "0123456789\n"),
                ("weir.log.2", "a\n")
            ])
        );
    }

    #[test]
    fn keeping_none_starts_over() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut file = RollingFile::open(folder.path().join("weir.log"), 4, 0).expect("writable");
        file.write(b"aaa\nbbb\n").expect("writable");
        assert_eq!(files(folder.path()), named(&[("weir.log", "bbb\n")]));
    }

    #[test]
    fn a_file_moved_or_deleted_by_others_is_opened_anew() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("weir.log");
        let mut file = RollingFile::open(path.clone(), 1000, 8).expect("writable");
        file.write(b"aaa\n").expect("writable");
        fs::rename(&path, folder.path().join("rotated")).expect("renamed");
        file.write(b"bbb\n").expect("writable");
        fs::remove_file(&path).expect("removed");
        file.write(b"ccc\n").expect("writable");
        assert_eq!(
            files(folder.path()),
            named(&[("rotated", "aaa\n"), ("weir.log", "ccc\n")])
        );
    }

    #[cfg(unix)]
    #[test]
    fn only_a_regular_file_is_rolled() {
        let file = RollingFile::open(PathBuf::from("/dev/null"), 4, 1).expect("writable");
        assert_eq!(file.roll_at, u64::MAX);
    }

    /// A folder stands where the first rolled file should: the log is written on and nothing is lost.
    #[test]
    fn a_roll_that_fails_loses_nothing() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(folder.path().join("weir.log.1")).expect("created");
        let path = folder.path().join("weir.log");
        let mut file = RollingFile::open(path.clone(), 4, 1).expect("writable");
        file.write(b"aaa\nbbb\n").expect("writable");
        file.write(b"ccc\n").expect("writable");
        assert_eq!(fs::read_to_string(path).expect("text"), "aaa\nbbb\nccc\n");
    }
}
