//! When certificate files have changed: looked at every second, because notifications of the file system miss what is mounted from
//! elsewhere (a Kubernetes secret is a link to a link). What is loaded from them is the host's business.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::pair::Flaw;
use crate::shared::Shared;

/// A handful of `stat` calls; a new certificate is served after two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks after the certificates for as long as it is polled.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let gateway = shared.gateway.load_full();
        for host in gateway.tls_hosts() {
            host.look(true, SystemTime::now());
        }
    }
}

/// What can be known of files without reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<Known>>);

/// Of one file: when it was last written, how long it is, and what [`identity`] says.
type Known = (SystemTime, u64, (u64, i64));

impl Stamp {
    /// Links are followed. A file that is not there has a stamp too.
    pub(super) fn of(files: &[impl AsRef<Path>]) -> Self {
        Self(
            files
                .iter()
                .map(|file| {
                    let known = fs::metadata(file).ok()?;
                    Some((known.modified().ok()?, known.len(), identity(&known)))
                })
                .collect(),
        )
    }
}

/// The inode and the time of its last change, which no tool can set back.
#[cfg(unix)]
fn identity(known: &fs::Metadata) -> (u64, i64) {
    use std::os::unix::fs::MetadataExt;
    (known.ino(), known.ctime_nsec() ^ (known.ctime() << 20))
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> (u64, i64) {
    (0, 0)
}

/// Files that are loaded together, and how far that has come.
#[derive(Debug)]
pub(super) struct Watched {
    /// At the last look.
    seen: Stamp,
    /// When they were last loaded or refused.
    settled: Stamp,
    good: bool,
}

impl Watched {
    /// Files that are loaded now.
    pub(super) fn new(stamp: Stamp) -> Self {
        Self {
            seen: stamp.clone(),
            settled: stamp,
            good: true,
        }
    }

    /// Whether what is loaded is what the files hold.
    pub(super) fn is_good(&self) -> bool {
        self.good
    }

    /// Loads the files if they have changed; with `settle`, only once they have stopped changing. A refusal is told once per change.
    pub(super) fn look(
        &mut self,
        now: Stamp,
        settle: bool,
        load: impl FnOnce() -> Result<(), Flaw>,
    ) {
        let still = self.seen == now || !settle;
        self.seen = now;
        if !still || self.seen == self.settled {
            return;
        }
        self.settled = self.seen.clone();
        let loaded = load();
        self.good = loaded.is_ok();
        if let Err(flaw) = loaded {
            tracing::error!(%flaw, "certificate not reloaded, the old one stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(watched: &mut Watched, length: u64, settle: bool, good: bool) -> bool {
        let mut asked = false;
        let stamp = Stamp(vec![Some((SystemTime::UNIX_EPOCH, length, (0, 0)))]);
        watched.look(stamp, settle, || {
            asked = true;
            if good {
                Ok(())
            } else {
                Err(Flaw::new(Path::new("a"), "bad"))
            }
        });
        asked
    }

    #[test]
    fn files_are_loaded_once_when_they_have_stopped_changing() {
        let mut watched = Watched::new(Stamp(vec![None]));
        assert!(!look(&mut watched, 1, true, true), "just changed");
        assert!(!look(&mut watched, 2, true, true), "still changing");
        assert!(look(&mut watched, 2, true, false), "at rest");
        assert!(!watched.is_good());
        assert!(!look(&mut watched, 2, true, true), "refused, and as it was");
        assert!(!look(&mut watched, 3, true, true));
        assert!(look(&mut watched, 3, true, true));
        assert!(watched.is_good());
        assert!(look(&mut watched, 4, false, true), "asked for");
    }
}
