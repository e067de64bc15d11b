//! Key rings in folders. ASP.NET Core adds a key every 90 days, and an operator a revocation when something was stolen: both count within
//! seconds. A folder that cannot be read, or a file in it that is no key, leaves the ring as it was and is said once.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use weir_auth::{Swapped, aspnet::KeyRing};
use weir_config::{Env, Process, plan::LiveKeys};

use crate::shared::Shared;

/// The files are small and few: reading them tells more than their dates would.
const INTERVAL: Duration = Duration::from_secs(2);

/// What a folder held when it was looked at last.
type Files = Result<Vec<(String, String)>, String>;

/// Looks after the rings for as long as it is polled.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen: HashMap<PathBuf, Files> = HashMap::new();
    loop {
        ticks.tick().await;
        let gateway = shared.gateway.load_full();
        let mut rings: HashMap<&Path, Vec<&Arc<Swapped<KeyRing>>>> = HashMap::new();
        for live in gateway.plan.auth.iter().flat_map(|auth| &auth.live) {
            if let LiveKeys::Ring { folder, ring } = live {
                rings.entry(folder).or_default().push(ring);
            }
        }
        seen.retain(|folder, _| rings.contains_key(folder.as_path()));
        for (folder, rings) in rings {
            let path = folder.to_owned();
            let read = move || Process.ring(&path).map_err(|why| why.to_string());
            // A folder may be on a file server that hangs; the main thread must not.
            let Ok(files) = tokio::task::spawn_blocking(read).await else {
                continue;
            };
            let first = !seen.contains_key(folder);
            if seen.get(folder) == Some(&files) {
                continue;
            }
            let outcome = install(&files, &rings);
            seen.insert(folder.to_owned(), files);
            match outcome {
                // The configuration has just read the same.
                Ok(_) if first => {}
                Ok(text) => {
                    tracing::info!(folder = %folder.display(), "the key ring has changed: {text}");
                    gateway.audits("keys_changed", &format!("{}: {text}", folder.display()));
                }
                Err(why) => {
                    tracing::error!(folder = %folder.display(), "the key ring stays as it was: {why}");
                    gateway.audits("keys_failed", &format!("{}: {why}", folder.display()));
                }
            }
        }
    }
}

fn install(files: &Files, rings: &[&Arc<Swapped<KeyRing>>]) -> Result<String, String> {
    let files = files.as_ref().map_err(Clone::clone)?;
    let mut text = String::new();
    for shared in rings {
        let named = files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()));
        let ring = KeyRing::read(named).map_err(|(name, why)| format!("{name}: {why}"))?;
        text = format!("{} keys, {} revoked", ring.len(), ring.revoked());
        shared.replace(ring);
    }
    Ok(text)
}
