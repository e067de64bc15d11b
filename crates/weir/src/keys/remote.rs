//! The key set of one issuer, fetched in the background. One fetch at a time, whoever asks; a token with an unknown key may ask for one
//! fetch a minute, which bounds what strangers can make weir do to the issuer without remembering a single one of their ids. When the
//! issuer does not answer, the last set is used on, up to `jwks_stale`.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use weir_auth::{
    Swapped,
    jwt::{KeySet, Origin},
};
use weir_config::plan::Jwks;
use weir_meter::IssuerSeries;
use weir_proxy::fetch;

use crate::shared::Shared;

/// The most bytes of a set.
const MOST: usize = 256 * 1024;
/// For one fetch, and for whoever waits for one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two fetches that unknown keys ask for.
const FORCED: Duration = Duration::from_secs(60);
/// After a failure; doubled up to a minute.
const AGAIN: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub(crate) struct Remote {
    settings: Jwks,
    series: Arc<IssuerSeries>,
    state: Mutex<State>,
    wanted: Notify,
    /// Counts the fetches that have ended.
    ended: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    set: KeySet,
    /// The verifiers of the plans that are in use.
    feeds: Vec<Weak<Swapped<KeySet>>>,
    forced: Option<Instant>,
    /// A fetch is under way, or asked for.
    busy: bool,
}

impl Remote {
    /// Nothing is fetched until [`Remote::keep`] runs.
    pub(crate) fn new(settings: Jwks, series: Arc<IssuerSeries>) -> Self {
        Self {
            settings,
            series,
            state: Mutex::new(State {
                set: KeySet::default(),
                feeds: Vec::new(),
                forced: None,
                busy: true,
            }),
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
        }
    }

    /// Whether this is the same set, fetched in the same way.
    pub(crate) fn is_for(&self, jwks: &Jwks) -> bool {
        let mine = &self.settings;
        (&mine.url, &mine.roots, &mine.allowed) == (&jwks.url, &jwks.roots, &jwks.allowed)
            && (mine.refresh, mine.stale) == (jwks.refresh, jwks.stale)
    }

    /// From now on newer sets go there too; what is known goes there at once.
    pub(crate) fn feeds(&self, keys: &Arc<Swapped<KeySet>>) {
        let mut state = self.state();
        state.feeds.retain(|feed| feed.strong_count() > 0);
        let new = Arc::downgrade(keys);
        if !state.feeds.iter().any(|feed| feed.ptr_eq(&new)) {
            state.feeds.push(new);
            if !state.set.is_empty() {
                keys.replace(state.set.clone());
            }
        }
    }

    /// Waits for the fetch under way, or for a new one where one may be asked for; whether there was one.
    pub(crate) async fn fetched_anew(&self) -> bool {
        let mut ended = self.ended.subscribe();
        {
            let mut state = self.state();
            if !state.busy {
                if state.forced.is_some_and(|at| at.elapsed() < FORCED) {
                    return false;
                }
                state.forced = Some(Instant::now());
                state.busy = true;
                self.wanted.notify_one();
            }
        }
        timeout(PATIENCE, ended.changed()).await.is_ok()
    }

    /// Fetches now, every `jwks_refresh`, and when asked to, for as long as it is polled.
    pub(crate) async fn keep(self: Arc<Self>, shared: Arc<Shared>) {
        let mut text = None;
        let mut fetched: Option<Instant> = None;
        let mut again = AGAIN;
        loop {
            let url = self.place();
            let pause = match self.fetch(&mut text).await {
                Ok(change) => {
                    if again > AGAIN {
                        tracing::info!(url, "the issuer's keys are fetched again");
                    }
                    (fetched, again) = (Some(Instant::now()), AGAIN);
                    let keys = self.state().set.len();
                    self.series.fetched(keys, SystemTime::now());
                    if let Some(keys) = change {
                        tracing::info!(url, keys, "the issuer's keys have changed");
                        shared
                            .gateway
                            .load()
                            .audits("keys_changed", &format!("{url}: {keys}"));
                    }
                    self.settings.refresh
                }
                Err(why) => {
                    self.series.failed();
                    if again == AGAIN {
                        tracing::error!(url, why, "the issuer's keys cannot be fetched");
                        shared
                            .gateway
                            .load()
                            .audits("keys_failed", &format!("{url}: {why}"));
                    }
                    if fetched.is_some_and(|at| at.elapsed() > self.settings.stale) {
                        tracing::error!(
                            url,
                            "the issuer's keys are too old, its tokens are refused"
                        );
                        shared.gateway.load().audits("keys_too_old", &url);
                        (text, fetched) = (None, None);
                        self.install(KeySet::default());
                        self.series.uses(0);
                    }
                    again = (again * 2).min(FORCED);
                    (again / 2).min(self.settings.refresh)
                }
            };
            self.state().busy = false;
            self.ended.send_modify(|count| *count += 1);
            tokio::select! {
                () = sleep(pause) => self.state().busy = true,
                () = self.wanted.notified() => {}
            }
        }
    }

    /// The ids of the new keys, where they are not the ones before.
    async fn fetch(&self, before: &mut Option<bytes::Bytes>) -> Result<Option<String>, String> {
        let text = fetch::get(&self.settings.url, &self.settings.roots, MOST, PATIENCE)
            .await
            .map_err(|why| why.to_string())?;
        if before.as_ref() == Some(&text) {
            return Ok(None);
        }
        let json = str::from_utf8(&text).map_err(|_| "the answer is no text".to_owned())?;
        let (set, dropped) = KeySet::jwks(json, &self.settings.allowed, Origin::Remote)
            .map_err(|why| why.to_string())?;
        for one in dropped {
            tracing::warn!(url = self.place(), "{one}");
        }
        let ids: Vec<&str> = set.ids().collect();
        let ids = format!("{} keys [{}]", set.len(), ids.join(", "));
        self.install(set);
        *before = Some(text);
        Ok(Some(ids))
    }

    fn install(&self, set: KeySet) {
        let mut state = self.state();
        for feed in state.feeds.iter().filter_map(Weak::upgrade) {
            feed.replace(set.clone());
        }
        state.set = set;
    }

    /// Where it comes from, for people. A query may hold somebody's key.
    fn place(&self) -> String {
        let url = &self.settings.url;
        let scheme = url.scheme_str().unwrap_or_default();
        let authority = url.authority().map_or("", |authority| authority.as_str());
        format!("{scheme}://{authority}{}", url.path())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
