//! The end of HTTP on a connection: an answer that carries a [`Switch`] is the last, and behind its head the socket is handed over.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::Switched;

/// To be put into an answer's extensions.
#[derive(Clone, Debug)]
pub struct Switch(Arc<Mutex<Option<oneshot::Sender<Switched>>>>);

impl Switch {
    /// A switch, and what comes of it: nothing if the answer's head could not be written.
    pub fn new() -> (Self, oneshot::Receiver<Switched>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    pub(super) fn hand_over(&self, switched: Switched) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // Nobody waits any more: then it closes.
            drop(sender.send(switched));
        }
    }
}
