//! Data Protection payloads in cookies: for whom they were sealed, and what is inside. Three kinds of application write them: ASP.NET
//! Core itself, Katana through Microsoft.Owin.Security.Interop (the same purposes and ticket), and Katana whose `<machineKey>` names
//! the Data Protection system as its `dataProtectorType` (its own purposes and ticket, in the newer envelope).

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{KeyRing, Ticket, core_ticket, ring::Purpose};
use crate::{Denied, Swapped};

/// What an operator says of an application's Data Protection.
#[derive(Clone, Debug)]
pub struct Protection {
    /// Its keys, as last read.
    pub ring: Arc<Swapped<KeyRing>>,
    /// The application names that were part of the purposes (SetApplicationName, or the content root), tried in order; empty: none.
    pub discriminators: Vec<String>,
}

/// Opens and seals for one cookie.
#[derive(Debug)]
pub(super) struct Protector {
    ring: Arc<Swapped<KeyRing>>,
    purposes: Vec<Purpose>,
    /// How many of them, from the first, are ASP.NET Core's own; the others hold a Katana ticket.
    core: usize,
}

impl Protector {
    pub(super) fn new(protection: &Protection, name: &str, scheme: &str) -> Self {
        let core = [
            "Microsoft.AspNetCore.Authentication.Cookies.CookieAuthenticationMiddleware",
            scheme,
            "v2",
        ];
        let katana = [
            "User.MachineKey.Protect",
            "Microsoft.Owin.Security.Cookies.CookieAuthenticationMiddleware",
            scheme,
            "v1",
        ];
        let among = |names: &[&str]| -> Vec<Purpose> {
            if protection.discriminators.is_empty() {
                return vec![Purpose::new(names)];
            }
            let within = |application: &String| {
                let names: Vec<&str> = std::iter::once(application.as_str())
                    .chain(names.iter().copied())
                    .collect();
                Purpose::new(&names)
            };
            protection.discriminators.iter().map(within).collect()
        };
        let mut purposes = among(&core);
        let core = purposes.len();
        if name.starts_with(".AspNet.") {
            purposes.extend(among(&katana));
        }
        Self {
            ring: Arc::clone(&protection.ring),
            purposes,
            core,
        }
    }

    pub(super) fn open(&self, payload: &[u8]) -> Result<Ticket, Denied> {
        let (purpose, plain) = self.ring.load().open(payload, &self.purposes)?;
        if purpose < self.core {
            core_ticket::parse(&plain)
        } else {
            Ticket::from_gzip(&plain)
        }
    }

    pub(super) fn seal(&self, ticket: &Ticket) -> Option<String> {
        let plain = core_ticket::to_bytes(ticket);
        let payload = self.ring.load().seal(&plain, &self.purposes[0])?;
        Some(BASE64_URL_SAFE_NO_PAD.encode(payload))
    }
}
