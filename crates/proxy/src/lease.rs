//! The hold one exchange has on one server. Let go cleanly, the connection returns to the worker's pool; dropped in any other way it is
//! closed at once, which is how a departed client reaches the upstream: cancellation is Drop.

use std::{fmt, sync::Arc};

use tokio::time::Instant;

use crate::{
    alarm::Alarm,
    incoming::Incoming,
    pool::{self, Kept},
    source::Upload,
    upstream::UpstreamState,
};

/// See the module.
pub struct Lease {
    upstream: Arc<UpstreamState>,
    server: usize,
    upload: Option<Arc<Upload>>,
}

impl Lease {
    pub(crate) fn new(upstream: Arc<UpstreamState>, server: usize) -> Self {
        upstream.servers()[server].begin();
        Self {
            upstream,
            server,
            upload: None,
        }
    }

    /// The server it is on, as text.
    pub fn server(&self) -> &Arc<str> {
        self.upstream.servers()[self.server].label()
    }

    /// The same, by its place in the file.
    pub(crate) fn index(&self) -> usize {
        self.server
    }

    /// Its request is tried again on another connection.
    pub(crate) fn retried(&self) {
        self.upstream.servers()[self.server].events.retried();
    }

    /// The answer came to the request whose body this is.
    pub(crate) fn answers(&mut self, upload: Arc<Upload>) {
        self.upload = Some(upload);
    }

    /// Whether that body broke on the client's side.
    pub(crate) fn request_broke(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.broke())
    }

    /// The exchange ended cleanly, just now: the connection may carry another, unless the server said more than it was asked, or had its say before it
    /// was sent the whole request.
    pub(crate) fn release(self, incoming: Incoming, alarm: Alarm, now: Instant) {
        if let Some(connection) = incoming.release() {
            let server = &self.upstream.servers()[self.server];
            pool::put(
                server.id(),
                Kept { connection, alarm },
                now + self.upstream.settings().keep_alive.idle,
                self.upstream.idle_per_worker(),
            );
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.upstream.servers()[self.server].end();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Lease({})",
            self.upstream.servers()[self.server].server()
        )
    }
}
