//! The life of the process: start, reload, drain, stop. Owns the plan's succession and moves the stage on; what a stage means to a
//! connection is the connection's business.

use std::{
    io,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{net::TcpListener, sync::mpsc, task::AbortHandle, time::timeout};
use weir_config::{Env, Plan};
use weir_meter::Meter;
use weir_proxy::{health, upstream::UpstreamState};

use crate::{
    admin::{Admin, Order},
    crowd::Crowd,
    descriptors,
    gateway::Gateway,
    keys::{self, Keeper},
    listen::{self, Id, Listening},
    rt::Workers,
    shared::Shared,
    signals::{Signal, Signals},
    tls,
};

/// How long streams have to say their last words when the drain's deadline has passed.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Connections are accepted and served.
    Serving,
    /// As before, but `/readyz` fails, so that load balancers look elsewhere.
    Leaving,
    /// Nothing new is accepted; what runs may end.
    Draining,
    /// What still runs ends now, streams with an error event.
    Cutting,
}

impl Stage {
    /// For `/status`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Leaving => "leaving",
            Self::Draining => "draining",
            Self::Cutting => "cutting",
        }
    }
}

/// Where the plan comes from, now and at each reload.
pub(crate) struct Source {
    /// The configuration file.
    pub(crate) file: PathBuf,
    /// Its variables and secrets.
    pub(crate) env: Box<dyn Env>,
}

/// A gateway that serves.
pub(crate) struct Running {
    source: Source,
    shared: Arc<Shared>,
    workers: Workers,
    listening: Vec<Listening>,
    checks: Vec<(Arc<UpstreamState>, AbortHandle)>,
    keeper: Keeper,
    orders: mpsc::Receiver<Order>,
    /// The admin address as bound.
    pub(crate) admin: Option<std::net::SocketAddr>,
}

impl Running {
    /// Binds every address and starts the workers; nothing is served if anything of it fails.
    pub(crate) async fn start(source: Source, plan: Plan) -> anyhow::Result<Self> {
        let count = plan.workers.map_or_else(default_workers, usize::from);
        let meter = Meter::new();
        let admin = match &plan.admin {
            Some(admin) => Some((
                TcpListener::bind(admin.address)
                    .await
                    .map_err(|error| bind_error(admin.address, &error))?,
                admin.allow.clone(),
            )),
            None => None,
        };
        let listeners = Id::all(&plan.listeners);
        let gateway = Arc::new(Gateway::build(plan, None, &meter, count)?);
        keep_stores(&gateway);
        // The first requests are counted where all others will be.
        for store in &gateway.stores {
            store.tried().await;
        }
        let (stage, _) = tokio::sync::watch::channel(Stage::Serving);
        let shared = Arc::new(Shared {
            gateway: Arc::clone(&gateway).into(),
            stage,
            meter,
            started: std::time::Instant::now(),
            workers: count,
            crowd: Crowd::new(descriptors::raise()),
        });
        let bound = listeners
            .into_iter()
            .map(|id| listen::bind(id, count).map_err(|error| bind_error(id.address, &error)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let workers = Workers::start(count, &shared)?;
        let mut listening = Vec::new();
        for (address, shares) in bound {
            workers.listen(shares);
            listening.push(address);
        }
        let (orders_to, orders) = mpsc::channel(1);
        let mut address = None;
        if let Some((listener, allow)) = admin {
            address = Some(listener.local_addr()?);
            let admin = Admin {
                shared: Arc::clone(&shared),
                allow: allow.into(),
                orders: orders_to,
            };
            tokio::spawn(admin.serve(listener));
        }
        let mut running = Self {
            source,
            shared,
            workers,
            listening,
            checks: Vec::new(),
            keeper: Keeper::default(),
            orders,
            admin: address,
        };
        running.watch_health(&gateway);
        running.keeper.keep(&gateway, &running.shared);
        tokio::spawn(keys::watch_rings(Arc::clone(&running.shared)));
        tokio::spawn(tls::watch(Arc::clone(&running.shared)));
        Ok(running)
    }

    /// The addresses that serve, as bound, with the scheme that is spoken there.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&'static str, std::net::SocketAddr)> {
        let gateway = self.shared.gateway.load_full();
        self.listening.iter().map(move |listening| {
            let scheme = match gateway.tls(listening.asked) {
                Some(_) => "https",
                None => "http",
            };
            (scheme, listening.bound)
        })
    }

    /// Serves until a signal or a defect ends it.
    pub(crate) async fn run(mut self) -> anyhow::Result<ExitCode> {
        let mut signals = Signals::listen()?;
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Reload => drop(self.reload()),
                    Signal::Stop => break,
                },
                Some(order) = self.orders.recv() => {
                    // Who asked may have gone; the reload stands all the same.
                    let _ = order.send(self.reload());
                }
                () = self.workers.died() => {
                    write_logs(&self.shared.gateway.load());
                    anyhow::bail!("a worker thread has died");
                }
            }
        }
        tokio::select! {
            () = self.drain() => Ok(ExitCode::SUCCESS),
            () = async { while signals.next().await != Signal::Stop {} } => {
                tracing::warn!("stopped at once by a second signal");
                Ok(ExitCode::FAILURE)
            }
        }
    }

    /// A new plan for new exchanges; those in flight keep theirs. A bad file changes nothing and says why.
    fn reload(&mut self) -> Result<String, String> {
        let result = self.try_reload();
        self.shared.meter.reloaded(result.is_ok());
        match &result {
            Ok(text) => {
                let first = text.lines().next().unwrap_or_default();
                self.shared.gateway.load().audits("reloaded", first);
                tracing::info!(file = %self.source.file.display(), "configuration reloaded: {}", text.trim_end())
            }
            Err(text) => {
                // The mistakes themselves stand in weir's own messages; they may be many.
                let first = text.lines().next().unwrap_or_default();
                self.shared.gateway.load().audits("reload_failed", first);
                tracing::error!(file = %self.source.file.display(), "configuration not reloaded, the old one stays:\n{}", text.trim_end())
            }
        }
        result
    }

    fn try_reload(&mut self) -> Result<String, String> {
        let plan = weir_config::load(&self.source.file, &*self.source.env)
            .map_err(|mistakes| mistakes.to_string())?;
        let old = self.shared.gateway.load_full();
        let mut notes = plan.warnings.clone();
        if plan.admin != old.plan.admin {
            notes.push("[admin] takes effect at the next start".to_owned());
        }
        if plan.workers != old.plan.workers {
            notes.push("`workers` takes effect at the next start".to_owned());
        }
        let wanted = Id::all(&plan.listeners);
        let fresh = wanted
            .iter()
            .filter(|id| !self.listening.iter().any(|have| have.asked == **id));
        let bound = fresh
            .map(|id| {
                listen::bind(*id, self.workers.count())
                    .map_err(|error| format!("{}\n", bind_error(id.address, &error)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let gateway = Gateway::build(plan, Some(&old), &self.shared.meter, self.workers.count())
            .map_err(|error| format!("{error:#}\n"))?;

        // Files that were changed before the reload was asked for are whole.
        for host in gateway.tls_hosts() {
            host.look(false, SystemTime::now());
        }
        // From here on nothing can fail.
        let gateway = Arc::new(gateway);
        keep_stores(&gateway);
        self.shared.gateway.store(Arc::clone(&gateway));
        for (address, shares) in bound {
            self.workers.listen(shares);
            self.listening.push(address);
        }
        let (keep, close) = std::mem::take(&mut self.listening)
            .into_iter()
            .partition(|have| wanted.contains(&have.asked));
        self.listening = keep;
        close
            .into_iter()
            .for_each(|listening| drop(listening.close()));
        self.watch_health(&gateway);
        self.keeper.keep(&gateway, &self.shared);
        notes.insert(
            0,
            format!(
                "{} routes, {} upstreams",
                gateway.plan.routes.len(),
                gateway.upstreams.len()
            ),
        );
        Ok(notes.join("\n") + "\n")
    }

    /// One set of checks per upstream in use; those of upstreams that are no longer stop.
    fn watch_health(&mut self, gateway: &Gateway) {
        self.checks.retain(|(upstream, task)| {
            let used = gateway
                .upstreams
                .iter()
                .any(|now| Arc::ptr_eq(now, upstream));
            if !used {
                task.abort();
            }
            used
        });
        for upstream in &gateway.upstreams {
            if !self
                .checks
                .iter()
                .any(|(have, _)| Arc::ptr_eq(have, upstream))
            {
                let task = tokio::spawn(health::watch(Arc::clone(upstream)));
                self.checks
                    .push((Arc::clone(upstream), task.abort_handle()));
            }
        }
    }

    /// Fail readiness, wait, stop accepting, let exchanges end, then end them.
    async fn drain(&mut self) {
        // Whoever orders a reload now is told at once that it comes too late.
        self.orders.close();
        while self.orders.try_recv().is_ok() {}
        let gateway = self.shared.gateway.load_full();
        let stage = &self.shared.stage;
        tracing::info!(connections = stage.receiver_count(), "draining");
        stage.send_replace(Stage::Leaving);
        tokio::time::sleep(gateway.plan.drain.delay).await;
        let closing: Vec<_> = self.listening.drain(..).map(Listening::close).collect();
        stage.send_replace(Stage::Draining);
        // Closed means: the last connection has let go of its receiver.
        let ended = async {
            futures_util::future::join_all(closing).await;
            stage.closed().await;
        };
        if timeout(gateway.plan.drain.deadline, ended).await.is_err() {
            tracing::warn!(
                connections = stage.receiver_count(),
                "drain deadline passed, ending what still runs"
            );
            stage.send_replace(Stage::Cutting);
            let _ = timeout(LAST_WORDS, stage.closed()).await;
        }
        for store in &gateway.stores {
            store.settled().await;
        }
        write_logs(&gateway);
    }
}

/// Writes what the logs have gathered.
fn write_logs(gateway: &Gateway) {
    gateway.log.flush();
    if let Some(audit) = &gateway.audit {
        audit.flush();
    }
}

/// Those of the plan before are kept already, and their second keeper ends at once.
fn keep_stores(gateway: &Gateway) {
    for store in &gateway.stores {
        tokio::spawn(Arc::clone(store).keep());
    }
}

/// One per CPU, after the cgroup's quota.
fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn bind_error(address: std::net::SocketAddr, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("cannot listen on {address}: {error}")
}
