//! A plan at work: the plan itself and what its parts have become (upstreams with their state, limits with their counters, series, the
//! log). Built at start and at each reload; what did not change is taken over from the one before, with all it knows.

use std::{io, sync::Arc, time::SystemTime};

use weir_config::plan::{Action, Listener, Plan};
use weir_meter::{
    Meter, RouteSeries, UpstreamSeries,
    log::{AccessLog, AuditLog, Event, Target},
};
use weir_proxy::{
    settings::Server,
    upstream::{ServerEvents, UpstreamState},
};
use weir_store::Store;

use crate::{
    files::Folder,
    guesses::Guesses,
    keys::{self, Remote},
    limits::{CountedStore, LimitState},
    listen,
    tls::{self, Host},
};

/// The name under which exchanges count that reached no route.
const UNROUTED: &str = "-";

/// See the module.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// What the file says.
    pub(crate) plan: Plan,
    /// Beside [`Plan::upstreams`].
    pub(crate) upstreams: Vec<Arc<UpstreamState>>,
    /// Beside [`Plan::stores`].
    pub(crate) stores: Vec<Arc<Store>>,
    /// Beside [`Plan::limits`].
    pub(crate) limits: Vec<LimitState>,
    /// Beside [`Plan::routes`].
    pub(crate) series: Vec<Arc<RouteSeries>>,
    /// For exchanges that reached no route.
    pub(crate) unrouted: Arc<RouteSeries>,
    /// Counts what belongs to no route.
    pub(crate) meter: Arc<Meter>,
    /// Where exchanges are written down.
    pub(crate) log: Arc<AccessLog>,
    /// Where refusals and changes of keys are written down.
    pub(crate) audit: Option<Arc<AuditLog>>,
    /// Beside [`Plan::auth`]: those whose failures are counted.
    pub(crate) guesses: Vec<Option<Guesses>>,
    /// Beside [`Plan::auth`]: the key sets that are fetched.
    pub(crate) remotes: Vec<Vec<Arc<Remote>>>,
    /// Beside [`Plan::routes`]; those that serve files.
    folders: Vec<Option<Folder>>,
    /// The listeners by TLS.
    tls: Vec<(listen::Id, tls::Hosts)>,
    /// Listeners that are not in the plan any more, as they last were there.
    departed: Vec<(listen::Id, Listener)>,
}

impl Gateway {
    /// Builds from a plan; fails where the log cannot be opened, a certificate cannot be served, or an upstream has TLS and nobody
    /// to believe.
    pub(crate) fn build(
        plan: Plan,
        before: Option<&Self>,
        meter: &Arc<Meter>,
        workers: usize,
    ) -> io::Result<Self> {
        let log = match before {
            Some(before) if before.plan.log == plan.log && before.plan.service == plan.service => {
                Arc::clone(&before.log)
            }
            _ => Arc::new(open_log(&plan, meter)?),
        };
        let audit = match (&plan.audit, before) {
            (None, _) => None,
            (Some(_), Some(before))
                if before.plan.audit == plan.audit && before.plan.service == plan.service =>
            {
                before.audit.clone()
            }
            (Some(target), _) => Some(Arc::new(AuditLog::open(
                target.clone(),
                &plan.service,
                meter,
            )?)),
        };
        meter.set_models(plan.models.iter().cloned());
        let upstreams = plan.upstreams.iter().map(|settings| {
            let same = before.and_then(|before| {
                before
                    .upstreams
                    .iter()
                    .find(|had| had.settings() == settings)
            });
            let events = |server: &Server| -> Box<dyn ServerEvents> {
                Box::new(Counted(meter.upstream(&settings.name, &server.to_string())))
            };
            match same {
                Some(same) => Ok(Arc::clone(same)),
                None => UpstreamState::new(settings.clone(), workers, events)
                    .map(Arc::new)
                    .map_err(|error| {
                        io::Error::other(format!("[upstream.{}]: {error}", settings.name))
                    }),
            }
        });
        let stores: Vec<_> = plan
            .stores
            .iter()
            .map(|settings| {
                let had = before.map_or(&[] as &[_], |before| &before.stores);
                let same = had.iter().find(|had| had.settings() == settings);
                let events = || Box::new(CountedStore(meter.store(&settings.name)));
                same.map_or_else(|| Store::new(settings.clone(), events()), Arc::clone)
            })
            .collect();
        let limits = plan.limits.iter().map(|limit| {
            let before = before.and_then(|before| {
                before
                    .limits
                    .iter()
                    .find(|had| had.limit.name == limit.name)
            });
            LimitState::new(limit, &stores, before, meter)
        });
        let limits = limits.collect();
        let had: Vec<Arc<Host>> = before
            .map(|before| before.tls_hosts().cloned().collect())
            .unwrap_or_default();
        let mut tls = Vec::new();
        for (id, listener) in listen::Id::all(&plan.listeners)
            .into_iter()
            .zip(&plan.listeners)
        {
            let hosts = tls::Hosts::build(listener, &had, meter)
                .map_err(|flaw| io::Error::other(format!("listen {}: {flaw}", listener.address)))?;
            tls.extend(hosts.map(|hosts| (id, hosts)));
        }
        let departed = before.map_or_else(Vec::new, |before| before.missing_in(&plan));
        let had = before.map_or(&[] as &[_], |before| &before.guesses);
        let guesses = plan.auth.iter().map(|auth| Guesses::of(auth, had));
        let guesses = guesses.collect();
        let folders = plan.routes.iter().map(|route| match &route.action {
            Action::Files {
                root,
                links,
                fallback,
                ..
            } => Some(Folder::new(root, *links, fallback.as_deref())),
            Action::Proxy { .. } | Action::Serve { .. } => None,
        });
        Ok(Self {
            upstreams: upstreams.collect::<io::Result<_>>()?,
            limits,
            guesses,
            stores,
            series: plan
                .routes
                .iter()
                .map(|route| meter.route(&route.name))
                .collect(),
            unrouted: meter.route(UNROUTED),
            folders: folders.collect(),
            tls,
            departed,
            meter: Arc::clone(meter),
            log,
            audit,
            remotes: keys::remotes(&plan, before, meter),
            plan,
        })
    }

    /// Writes an event down that is no refusal.
    pub(crate) fn audits(&self, event: &str, detail: &str) {
        if let Some(audit) = &self.audit {
            audit.write(&Event {
                timestamp: SystemTime::now(),
                event,
                detail: Some(detail),
                refused: None,
            });
        }
    }

    /// The table of a listener. Of one that a reload took away the last that it had: its connections stay, and what it was there for (a redirect,
    /// say) holds for them. Such tables are kept for good, one per address that ever was in the file.
    pub(crate) fn listener(&self, id: listen::Id) -> Option<&Listener> {
        let departed = || self.departed.iter().find(|(had, _)| *had == id);
        id.of(&self.plan.listeners)
            .or_else(|| departed().map(|(_, table)| table))
    }

    /// The listeners known here that a plan does not have.
    fn missing_in(&self, next: &Plan) -> Vec<(listen::Id, Listener)> {
        let now = listen::Id::all(&self.plan.listeners)
            .into_iter()
            .zip(self.plan.listeners.iter().cloned());
        self.departed
            .iter()
            .cloned()
            .chain(now)
            .filter(|(id, _)| id.of(&next.listeners).is_none())
            .collect()
    }

    /// The hosts of a listener; `None`: it speaks in clear.
    pub(crate) fn tls(&self, listener: listen::Id) -> Option<&tls::Hosts> {
        self.tls
            .iter()
            .find(|(id, _)| *id == listener)
            .map(|(_, hosts)| hosts)
    }

    /// All hosts of all listeners.
    pub(crate) fn tls_hosts(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.tls.iter().flat_map(|(_, hosts)| hosts.all())
    }

    /// The folder of a route that serves files.
    pub(crate) fn folder(&self, route: usize) -> &Folder {
        self.folders[route]
            .as_ref()
            .expect("made for every route whose action is Files")
    }
}

/// Opens the access log as the plan says; the error names what could not be opened.
pub(crate) fn open_log(plan: &Plan, meter: &Meter) -> io::Result<AccessLog> {
    AccessLog::open(plan.log.format, plan.log.to.clone(), &plan.service, meter).map_err(|error| {
        let to = match &plan.log.to {
            Target::File { path, .. } => path.display().to_string(),
            Target::Stdout => "stdout".to_owned(),
        };
        let file = plan.file.display();
        io::Error::new(
            error.kind(),
            format!("{file}: log.to: cannot write to {to}: {error}"),
        )
    })
}

/// Counts what happens between weir and one server.
struct Counted(Arc<UpstreamSeries>);

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counted")
    }
}

impl ServerEvents for Counted {
    fn connected(&self, ok: bool) {
        self.0.connected(if ok { "ok" } else { "failed" });
    }

    fn retried(&self) {
        self.0.retried();
    }

    fn in_flight(&self, change: i64) {
        self.0.in_flight(change);
    }

    fn healthy(&self, healthy: bool) {
        self.0.healthy(healthy);
    }
}
