//! How many files and sockets the process may have open. The soft limit is a relic of select(2), often 1024: weir raises it to the hard one,
//! as every server does, and keeps a reserve that clients cannot use up.

/// Raises the limit as far as it goes and says how far that is; `None` where there is no such limit.
#[cfg(unix)]
pub(crate) fn raise() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        // A system that refuses its own hard limit: macOS, where that is "unlimited".
        Err(_) => limit.current,
    }
}

/// Windows has no such limit.
#[cfg(not(unix))]
pub(crate) fn raise() -> Option<u64> {
    None
}
