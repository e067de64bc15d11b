//! Where access lines go and in which form. The configuration builds these; the log obeys them.

use std::path::PathBuf;

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line, for machines.
    #[default]
    Json,
    /// One line for people.
    Text,
}

/// Where lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Standard output: the container's choice.
    #[default]
    Stdout,
    /// A file that is rolled when it has grown too large.
    File {
        /// The file being written; its predecessors stand beside it as `NAME.1` (the youngest) to `NAME.keep`.
        path: PathBuf,
        /// Bytes after which the file is rolled. A line is never split, so a file may fall short of this by one line.
        roll_at: u64,
        /// How many rolled files are kept beside the one being written.
        keep: u32,
    },
}
