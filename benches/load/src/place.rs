//! Where things run: which cores the gateways, the generator and the backend get, free ports, and how many descriptors there are. On two
//! cores the gateways have the second one to themselves and everything else shares the first; on four or more, generator and backend
//! have one each. A child inherits the core of the thread that starts it, so no other program is needed for pinning.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Result;
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity},
};

/// Who runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    pub(crate) gateway: Option<usize>,
    pub(crate) generator: Option<usize>,
    pub(crate) backend: Option<usize>,
}

impl Cores {
    /// Shares out the cores that this process may use; with one core nothing is pinned.
    pub(crate) fn here() -> Self {
        let set = sched_getaffinity(None).unwrap_or_default();
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|&core| set.is_set(core))
            .collect();
        Self::share(&cores)
    }

    fn share(cores: &[usize]) -> Self {
        let (gateway, generator, backend) = match *cores {
            [] | [_] => (None, None, None),
            [first, second] | [first, second, _] => (Some(second), Some(first), Some(first)),
            [_, second, third, fourth, ..] => (Some(second), Some(third), Some(fourth)),
        };
        Self {
            gateway,
            generator,
            backend,
        }
    }

    /// Whether generator and backend draw on the same core.
    pub(crate) fn shared(self) -> bool {
        self.generator == self.backend
    }
}

/// Pins the calling thread, and what it starts, to a core.
pub(crate) fn pin(core: Option<usize>) {
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        if let Err(error) = sched_setaffinity(None, &set) {
            eprintln!("cannot pin to core {core}: {error}; the figures are less certain");
        }
    }
}

/// The calling thread, as /proc names it.
pub(crate) fn this_thread() -> i32 {
    Pid::as_raw(Some(gettid()))
}

/// Ports that were free a moment ago. Another process may take one before its gateway does; the gateway then fails to start, aloud.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()?;
    held.iter().map(|l| Ok(l.local_addr()?.port())).collect()
}

/// A port of this machine.
pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Raises the limit on descriptors as far as it may go, and returns it. Children inherit it.
pub(crate) fn descriptors() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    let reached = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => now.maximum,
        Err(_) => now.current,
    };
    reached.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_never_shares_a_core_when_there_are_two() {
        for count in 2..9 {
            let cores: Vec<usize> = (10..10 + count).collect();
            let shared = Cores::share(&cores);
            assert_ne!(shared.gateway, shared.generator, "{count}");
            assert_ne!(shared.gateway, shared.backend, "{count}");
            assert_eq!(shared.shared(), count < 4, "{count}");
        }
        assert_eq!(Cores::share(&[0]).gateway, None);
    }

    #[test]
    fn ports_differ() {
        let mut ports = free_ports(8).expect("ports");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }
}
