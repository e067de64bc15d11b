//! The weir, the upstream and the client of the tables, and how a case's bytes and expectations are written.
//!
//! Bytes: a character is a byte, up to U+00FF. `{H}` is the Host line, `{G}` and `{P}` begin a GET and a POST with it, `{SM}` is a request
//! that must never be served from inside another, `⏎` is CRLF, `¦` ends a piece that is sent by itself.
//!
//! Seen: `METHOD TARGET` and then words: `=BODY` (with `_` for a blank), `+name:value` (one line with this value), `-name` (none), `broken` (its body never ended).
//! `?` in front: it may also not have come.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use weir_testkit::{Client, Head, Upstream, Weir, eventually, mint};

use crate::stage::{route, upstream, weir};

/// One line of a table.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) send: String,
    /// The statuses, in order.
    answers: Vec<u16>,
    /// Whether another request is answered on the connection afterwards.
    kept: bool,
    /// What the upstream saw.
    saw: Vec<&'static str>,
}

/// A case after which the connection is closed.
pub(super) fn closed(
    id: impl Into<String>,
    send: impl Into<String>,
    answers: &[u16],
    saw: &[&'static str],
) -> Case {
    Case {
        id: id.into(),
        send: send.into(),
        answers: answers.to_vec(),
        kept: false,
        saw: saw.to_vec(),
    }
}

/// A case after which the connection goes on.
pub(super) fn kept(
    id: impl Into<String>,
    send: impl Into<String>,
    answers: &[u16],
    saw: &[&'static str],
) -> Case {
    Case {
        kept: true,
        ..closed(id, send, answers, saw)
    }
}

/// A refusal: this status, closed, and the upstream hears nothing.
pub(super) fn refused(id: impl Into<String>, send: impl Into<String>, status: u16) -> Case {
    closed(id, send, &[status], &[])
}

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    head: Head,
    body: Vec<u8>,
    whole: bool,
}

impl Seen {
    /// Whether it is what a pattern says.
    pub(super) fn fits(&self, pattern: &str) -> Result<(), String> {
        let mut words = pattern.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if (self.head.method(), self.head.target()) != (method, target) {
            return Err("another request".to_owned());
        }
        let (mut body, mut whole) = (String::new(), true);
        for word in words {
            if word == "broken" {
                whole = false;
            } else if let Some(text) = word.strip_prefix('=') {
                body = text.replace('_', " ");
            } else if let Some(name) = word.strip_prefix('-') {
                if self.head.header(name).is_some() {
                    return Err(format!("{name} is there"));
                }
            } else if let Some((name, value)) =
                word.strip_prefix('+').and_then(|word| word.split_once(':'))
            {
                let values: Vec<_> = self.head.all(name).collect();
                if values != [value] {
                    return Err(format!("{name} is {values:?}"));
                }
            } else {
                return Err(format!("what is {word:?}?"));
            }
        }
        if self.whole != whole {
            return Err(format!("its body came to an end: {}", self.whole));
        }
        if whole && self.body != body.as_bytes() {
            return Err(format!(
                "its body is {:?}",
                String::from_utf8_lossy(&self.body)
            ));
        }
        Ok(())
    }

    /// Method, target, body, and whether that is all of it.
    pub(super) fn facts(&self) -> (&str, &str, &[u8], bool) {
        (
            self.head.method(),
            self.head.target(),
            &self.body,
            self.whole,
        )
    }
}

/// A running weir and its upstream.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) weir: Weir,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// What may still come of cases that are over.
    owed: Mutex<Vec<&'static str>>,
    _upstream: Upstream,
}

impl Stage {
    pub(super) async fn start() -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let record = Arc::clone(&seen);
        let up = Upstream::scripted(move |mut exchange| {
            let record = Arc::clone(&record);
            async move {
                let body = exchange.body().await;
                let whole = exchange.body_done();
                record.lock().expect("a list").push(Seen {
                    head: exchange.head.clone(),
                    body,
                    whole,
                });
                if whole {
                    exchange.answer("200 OK", &[], "ok").await;
                    exchange.done();
                }
            }
        })
        .await;
        let config = [
            upstream("up", up.address(), ""),
            "[auth.tokens]\ntype = \"jwt\"\nsecret = \"${env:JWT_SECRET}\"\n\n".to_owned(),
            route("all", "/*", "to = \"up\"\nmax_body = \"64KB\""),
            route("secret", "/secret/*", "to = \"up\"\nauth = \"tokens\""),
            route("strip", "/strip/*", "to = \"up\"\nstrip = \"/strip\""),
            route("get", "/get/*", "to = \"up\"\nmethod = [\"GET\"]"),
        ];
        let weir = weir()
            .env("JWT_SECRET", mint::SECRET)
            .start(&config.concat())
            .await;
        Self {
            weir,
            seen,
            owed: Mutex::default(),
            _upstream: up,
        }
    }

    /// Plays a case; says what was not as written.
    pub(super) async fn run(&self, case: &Case) -> Result<(), String> {
        let mut client = Client::connect(self.weir.address()).await;
        for (index, piece) in bytes(&case.send).split(|byte| *byte == PIECE).enumerate() {
            if index > 0 {
                // Not a wait for anything: it makes the pieces likely to be read one by one, and right either way.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // It may have answered and closed before all was sent.
            let _ = client.try_send(piece).await;
        }
        let mut answers = Vec::new();
        for _ in &case.answers {
            let head = tokio::time::timeout(Duration::from_secs(5), client.try_head());
            match head
                .await
                .map_err(|_| "silence")
                .and_then(|head| head.map_err(|_| "the end"))
            {
                Ok(head) => {
                    // What hyper answers by itself has neither the headers of the listener nor a line in the log.
                    if head.status() >= 400 && head.header("cache-control") != Some("no-store") {
                        return Err(format!("{} is not in weir's words", head.status()));
                    }
                    answers.push(head.status());
                }
                Err(end) => {
                    return Err(format!(
                        "answered {answers:?} and then {end}, not {:?}",
                        case.answers
                    ));
                }
            }
            client.rest().await;
        }
        if answers != case.answers {
            return Err(format!("answered {answers:?}, not {:?}", case.answers));
        }
        if case.kept {
            client.request("GET", "/kept", &[]).await;
            match client.try_head().await {
                Ok(head) if head.status() == 200 => {}
                Ok(head) => return Err(format!("then {}", head.status())),
                Err(end) => return Err(format!("then {end:?}")),
            }
        } else if let Ok(head) = client.try_head().await {
            return Err(format!("then {}", head.line));
        }
        let mut saw = case.saw.clone();
        if case.kept {
            saw.push("GET /kept");
        }
        let (optional, certain): (Vec<_>, Vec<_>) =
            saw.iter().partition(|pattern| pattern.starts_with('?'));
        eventually(&format!("{} to arrive upstream", case.id), async || {
            (self.seen.lock().expect("a list").len() >= certain.len()).then_some(())
        })
        .await;
        let mut seen = self.taken();
        let mut owed = self.owed.lock().expect("a list");
        seen.retain(|request| {
            let found = owed
                .iter()
                .position(|pattern| request.fits(pattern).is_ok());
            found.map(|at| owed.swap_remove(at)).is_none()
        });
        // Broken off by weir, a request may reach the upstream's list when the case is over.
        owed.extend(
            optional
                .iter()
                .map(|pattern: &&'static str| pattern.trim_start_matches('?')),
        );
        super::same(&seen, &saw)
    }

    /// What the upstream has seen since the last time.
    pub(super) fn taken(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().expect("a list"))
    }

    /// Whether the upstream has seen anything that no case accounts for.
    pub(super) async fn late(&self) -> Option<Vec<Seen>> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut seen = self.taken();
        let owed = self.owed.lock().expect("a list");
        seen.retain(|request| !owed.iter().any(|pattern| request.fits(pattern).is_ok()));
        Some(seen).filter(|seen| !seen.is_empty())
    }
}

/// Marks the end of a piece; no case sends this byte.
const PIECE: u8 = 0xa6;

/// The bytes of a case.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    const SMUGGLED: &str = "GET /smuggled HTTP/1.1⏎Host: a.test⏎⏎";
    text.replace("{SM}", SMUGGLED)
        .replace("{G}", "GET / HTTP/1.1⏎{H}")
        .replace("{P}", "POST / HTTP/1.1⏎{H}")
        .replace("{H}", "Host: a.test⏎")
        .replace('⏎', "\r\n")
        .chars()
        .map(|byte| u8::try_from(byte).expect("a character up to U+00FF"))
        .collect()
}
