//! The state of an upstream that all workers share: which servers are well, how busy each is, whose turn it is.
//! Atomics only; the connections themselves belong to each worker's pool.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{
    settings::{Balance, Server, Upstream},
    tls::Secure,
};

/// Told what happens between weir and one server. Implemented by whoever counts.
pub trait ServerEvents: Send + Sync + std::fmt::Debug {
    /// A connect ended, well or not.
    fn connected(&self, ok: bool);
    /// A request is tried again on another connection.
    fn retried(&self);
    /// An exchange begins or ends its hold on the server.
    fn in_flight(&self, change: i64);
    /// The health checks changed their mind.
    fn healthy(&self, healthy: bool);
}

/// An upstream that runs: its settings and what is known of its servers.
#[derive(Debug)]
pub struct UpstreamState {
    settings: Upstream,
    secure: Option<Secure>,
    servers: Vec<ServerState>,
    turn: AtomicUsize,
    workers: u32,
}

/// One server of a running upstream.
#[derive(Debug)]
pub struct ServerState {
    /// Unlike any other server's of this process, so that a pool entry can never reach the wrong one after a reload.
    id: u64,
    server: Server,
    label: Arc<str>,
    healthy: AtomicBool,
    in_flight: AtomicUsize,
    pub(crate) events: Box<dyn ServerEvents>,
}

impl UpstreamState {
    /// Starts with every server healthy: the first check corrects that within its timeout, and a gateway that refuses everything
    /// until then would turn each start into an outage. `workers`: how many share the totals of the settings.
    ///
    /// # Errors
    /// When TLS is asked for and there is no authority to believe.
    pub fn new(
        settings: Upstream,
        workers: usize,
        events: impl Fn(&Server) -> Box<dyn ServerEvents>,
    ) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let servers = settings
            .servers
            .iter()
            .map(|server| {
                let events = events(server);
                events.healthy(true);
                ServerState {
                    id: NEXT.fetch_add(1, Relaxed),
                    server: server.clone(),
                    label: server.to_string().into(),
                    healthy: AtomicBool::new(true),
                    in_flight: AtomicUsize::new(0),
                    events,
                }
            })
            .collect();
        let workers = u32::try_from(workers).unwrap_or(u32::MAX).max(1);
        Ok(Self {
            secure: settings
                .tls
                .as_ref()
                .map(|tls| Secure::new(tls, settings.http2))
                .transpose()?,
            settings,
            servers,
            turn: AtomicUsize::new(0),
            workers,
        })
    }

    /// What the file says of it.
    pub fn settings(&self) -> &Upstream {
        &self.settings
    }

    /// How its servers are spoken to by TLS.
    pub(crate) fn secure(&self) -> Option<&Secure> {
        self.secure.as_ref()
    }

    /// Its servers, in the order of the file.
    pub fn servers(&self) -> &[ServerState] {
        &self.servers
    }

    /// How many idle connections one worker may keep to one server.
    pub(crate) fn idle_per_worker(&self) -> usize {
        (self.settings.keep_alive.max / self.workers).max(1) as usize
    }

    /// The server for the next try: healthy, and not among those this exchange tried already.
    pub(crate) fn pick(&self, tried: &[usize]) -> Option<usize> {
        let usable = |index: &usize| !tried.contains(index) && self.servers[*index].is_healthy();
        let count = self.servers.len();
        let first = self.turn.fetch_add(1, Relaxed);
        // Both begin at the turn, so that servers equally busy share the work instead of the first taking it all.
        let mut candidates = (0..count)
            .map(|step| first.wrapping_add(step) % count)
            .filter(usable);
        match self.settings.balance {
            Balance::RoundRobin => candidates.next(),
            Balance::LeastInFlight => {
                candidates.min_by_key(|index| self.servers[*index].in_flight())
            }
        }
    }
}

impl ServerState {
    /// Its address, as the file says it.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What the health checks say; true without checks.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Relaxed)
    }

    /// Exchanges on it right now, over all workers.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// The same as text, made once.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        if self.healthy.swap(healthy, Relaxed) != healthy {
            self.events.healthy(healthy);
        }
    }

    pub(crate) fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
        self.events.in_flight(1);
    }

    pub(crate) fn end(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
        self.events.in_flight(-1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{KeepAlive, Timeouts};

    #[derive(Debug)]
    struct Deaf;

    impl ServerEvents for Deaf {
        fn connected(&self, _: bool) {}
        fn retried(&self) {}
        fn in_flight(&self, _: i64) {}
        fn healthy(&self, _: bool) {}
    }

    fn upstream(balance: Balance) -> UpstreamState {
        let server = |port| Server::Name {
            host: "a.test".into(),
            port,
        };
        let settings = Upstream {
            name: "a".into(),
            servers: vec![server(1), server(2), server(3)],
            tls: None,
            http2: false,
            balance,
            health: None,
            timeout: Timeouts::default(),
            keep_alive: KeepAlive::default(),
            retries: 1,
            host: None,
        };
        UpstreamState::new(settings, 2, |_| Box::new(Deaf)).unwrap()
    }

    #[test]
    fn round_robin_takes_each_in_turn_and_passes_over_the_sick() {
        let upstream = upstream(Balance::RoundRobin);
        let picks: Vec<_> = (0..4).map(|_| upstream.pick(&[]).unwrap()).collect();
        assert_eq!(picks, [0, 1, 2, 0]);
        upstream.servers[1].set_healthy(false);
        let picks: Vec<_> = (0..6).map(|_| upstream.pick(&[]).unwrap()).collect();
        assert!(!picks.contains(&1));
        assert_eq!(
            upstream.pick(&[0, 2]),
            None,
            "the rest were tried or are sick"
        );
    }

    #[test]
    fn least_in_flight_takes_the_idlest() {
        let upstream = upstream(Balance::LeastInFlight);
        upstream.servers[0].begin();
        upstream.servers[2].begin();
        for _ in 0..5 {
            assert_eq!(upstream.pick(&[]), Some(1));
        }
        upstream.servers[1].begin();
        upstream.servers[1].begin();
        upstream.servers[2].end();
        assert_eq!(upstream.pick(&[]), Some(2));
    }
}
