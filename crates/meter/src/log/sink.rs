//! The open end of a target.

use std::io::{self, Write};

use super::{file::RollingFile, target::Target};

/// Takes whole lines.
pub(super) enum Sink {
    Stdout,
    File(RollingFile),
    #[cfg(test)]
    Broken,
}

impl Sink {
    pub(super) fn open(target: Target) -> io::Result<Self> {
        match target {
            Target::Stdout => Ok(Self::Stdout),
            Target::File {
                path,
                roll_at,
                keep,
            } => RollingFile::open(path, roll_at, keep).map(Self::File),
        }
    }

    /// Writes `lines`, each with its end, and leaves nothing in a buffer.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File(file) => file.write(lines),
            #[cfg(test)]
            Self::Broken => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    #[cfg(test)]
    pub(super) fn broken() -> Self {
        Self::Broken
    }
}
