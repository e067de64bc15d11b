//! Keys that change while weir runs: key rings in folders, which are looked at, and the key sets of issuers, which are fetched. What is
//! done with the keys is weir-auth's; this hands newer ones in, keeps what was had across a reload, and writes every change down.

mod remote;
mod rings;

use std::{collections::HashMap, sync::Arc};

use tokio::task::AbortHandle;
use weir_config::plan::{Auth, LiveKeys, Plan};
use weir_meter::Meter;

use crate::{gateway::Gateway, refusal::Refusal, shared::Shared};
pub(crate) use remote::Remote;
pub(crate) use rings::watch as watch_rings;

/// The fetched sets of each `[auth.NAME]`, beside [`Plan::auth`]. Those that an older gateway had are taken over with what they know.
pub(crate) fn remotes(
    plan: &Plan,
    before: Option<&Gateway>,
    meter: &Meter,
) -> Vec<Vec<Arc<Remote>>> {
    let mut known: Vec<Arc<Remote>> = before
        .map(|before| before.remotes.iter().flatten().cloned().collect())
        .unwrap_or_default();
    let of = |auth: &Auth| {
        let sets = auth.live.iter().filter_map(|live| match live {
            LiveKeys::Jwks(jwks) => Some(jwks),
            LiveKeys::Ring { .. } => None,
        });
        let remotes = sets.map(|jwks| {
            let same = known
                .iter()
                .find(|remote| remote.is_for(jwks))
                .map(Arc::clone);
            let remote = same.unwrap_or_else(|| {
                let new = Arc::new(Remote::new(jwks.clone(), meter.issuer(&auth.name)));
                known.push(Arc::clone(&new));
                new
            });
            remote.feeds(&jwks.keys);
            remote
        });
        remotes.collect()
    };
    plan.auth.iter().map(of).collect()
}

/// Asks again with newer keys where somebody presents a key that weir does not know: the issuer may have changed its keys a moment ago.
pub(crate) async fn with_newer<T>(
    gateway: &Gateway,
    route: usize,
    mut ask: impl FnMut() -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let first = ask();
    let (Err(refusal), Some(auth)) = (&first, gateway.plan.routes[route].auth) else {
        return first;
    };
    if !refusal.is_unknown_key() {
        return first;
    }
    let mut newer = false;
    for remote in &gateway.remotes[auth] {
        newer |= remote.fetched_anew().await;
    }
    if newer { ask() } else { first }
}

/// Runs one task for each set in use.
#[derive(Default)]
pub(crate) struct Keeper(HashMap<usize, (Arc<Remote>, AbortHandle)>);

impl Keeper {
    /// Starts what this gateway needs, and stops what nothing needs any more.
    pub(crate) fn keep(&mut self, gateway: &Gateway, shared: &Arc<Shared>) {
        let address = |remote: &Arc<Remote>| Arc::as_ptr(remote).addr();
        let used: HashMap<usize, &Arc<Remote>> = gateway
            .remotes
            .iter()
            .flatten()
            .map(|remote| (address(remote), remote))
            .collect();
        self.0.retain(|key, (_, task)| {
            let stays = used.contains_key(key);
            if !stays {
                task.abort();
            }
            stays
        });
        for (key, remote) in used {
            self.0.entry(key).or_insert_with(|| {
                let task = tokio::spawn(Arc::clone(remote).keep(Arc::clone(shared)));
                (Arc::clone(remote), task.abort_handle())
            });
        }
    }
}
