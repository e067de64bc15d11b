//! Valid requests with a few bytes changed, many times over: weir stays up, nothing of it is its own fault, and the upstream sees nothing
//! that a plain reading of the bytes does not have in them. The reading here is its own, and shares no line with weir's.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use weir_testkit::Client;

use super::stage::{Stage, bytes};

/// What requests are made of, before something is changed.
const SEEDS: [&str; 9] = [
    "{G}⏎",
    "GET /a/b?c=d HTTP/1.1⏎{H}User-Agent: x⏎Accept: */*⏎Cookie: a=b; c=d⏎⏎",
    "{P}Content-Length: 40⏎⏎{SM}",
    "{P}Transfer-Encoding: chunked⏎⏎28⏎{SM}⏎0⏎⏎",
    "{P}Transfer-Encoding: chunked⏎⏎2;a=b⏎hi⏎0⏎X-A: b⏎⏎",
    "GET /1 HTTP/1.1⏎{H}⏎POST /2 HTTP/1.1⏎{H}Content-Length: 2⏎⏎hiGET /3 HTTP/1.1⏎{H}⏎",
    "GET http://a.test/x HTTP/1.1⏎{H}Connection: keep-alive, X-A⏎X-A: b⏎⏎",
    "GET / HTTP/1.0⏎{H}Connection: keep-alive⏎⏎",
    "PUT /x HTTP/1.1⏎{H}Expect: 100-continue⏎Content-Length: 5⏎⏎hello",
];

/// What is put in where something is changed.
const PIECES: [&str; 24] = [
    "\r",
    "\n",
    "⏎",
    "⏎⏎",
    " ",
    "\t",
    "\u{0}",
    ":",
    ",",
    ";",
    "0",
    "1",
    "#",
    "%2e",
    "%00",
    "\u{ff}",
    "Content-Length: 5⏎",
    "Transfer-Encoding: chunked⏎",
    "Host: b.test⏎",
    "chunked",
    "0⏎⏎",
    "HTTP/1.1",
    "Connection: close⏎",
    "{SM}",
];

/// xorshift64*: the same numbers for the same seed, on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let roll = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(roll).expect("31 bits") % sides
    }

    /// One to three changes.
    fn change(&mut self, request: &mut Vec<u8>) {
        for _ in 0..=self.roll(3) {
            let at = self.roll(request.len() + 1);
            let end = (at + 1 + self.roll(4)).min(request.len());
            match self.roll(6) {
                0 => drop(request.drain(at..end.max(at))),
                1 => {
                    let again = request[at..end.max(at)].to_vec();
                    request.splice(at..at, again);
                }
                2 if at < request.len() => request[at] ^= 1 << self.roll(8),
                3 if at < request.len() => {
                    request[at] = u8::try_from(self.roll(256)).expect("a byte")
                }
                _ => {
                    let piece = bytes(PIECES[self.roll(PIECES.len())]);
                    request.splice(at..at, piece);
                }
            }
        }
    }
}

/// Of so many requests one may reach the upstream in a later turn: on a busy machine more than one turn is over before it does.
const LATE: usize = 16;

/// A request by the plain reading: method, target, body.
type Plain = (String, String, Vec<u8>);

/// The requests that are in these bytes, up to where they can no longer be read.
fn read(mut bytes: &[u8]) -> Vec<Plain> {
    let mut found = Vec::new();
    loop {
        while let [b'\r', b'\n', rest @ ..] = bytes {
            bytes = rest;
        }
        let Some((request, rest)) = read_one(bytes) else {
            return found;
        };
        found.push(request);
        bytes = rest;
    }
}

fn read_one(bytes: &[u8]) -> Option<(Plain, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, rest) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 4..]);
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let value = |wanted: &str| {
        headers
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| *value)
    };
    if value("transfer-encoding").is_some() {
        let (body, rest) = read_chunks(rest)?;
        return Some(((method, target, body), rest));
    }
    let length = value("content-length").map_or(Some(0), |value| value.parse::<usize>().ok())?;
    let (body, rest) = rest.split_at_checked(length)?;
    Some(((method, target, body.to_vec()), rest))
}

fn read_chunks(mut bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let line = String::from_utf8_lossy(&bytes[..end]);
        let size = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            break;
        }
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes[size..].strip_prefix(b"\r\n")?;
    }
    while !bytes.starts_with(b"\r\n") {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        bytes = &bytes[end + 2..];
    }
    Some((body, &bytes[2..]))
}

/// Whether the upstream may have seen this for that request. A path in normal form is another text where it was not normal.
fn is(seen: (&str, &str, &[u8], bool), sent: &Plain) -> bool {
    let (method, target, body, _) = seen;
    let plain = !sent.1.contains(['%', '/', '.'])
        || sent.1 == target
        || sent.1.matches(['%', '/', '.']).count() > 1;
    method == sent.0 && plain && body == sent.2
}

/// What a run came to.
#[derive(Debug, Default)]
struct Counts {
    requests: u32,
    /// Answers, by status.
    answers: BTreeMap<u16, u64>,
    /// Requests of which no answer came in a tenth of a second: they were half a one, or nothing.
    silent: u64,
    /// Requests that the upstream saw, those whose body broke off apart.
    seen: u64,
    broken: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        for (status, count) in other.answers {
            *self.answers.entry(status).or_default() += count;
        }
        self.silent += other.silent;
        self.seen += other.seen;
        self.broken += other.broken;
    }
}

async fn mutate(seed: u64, time: Duration, per_second: u32) -> Counts {
    let stage = Stage::start().await;
    let mut dice = Dice(seed | 1);
    let (start, mut counts) = (Instant::now(), Counts::default());
    let mut before: Vec<Plain> = Vec::new();
    while start.elapsed() < time {
        let due = start + Duration::from_secs(1) * counts.requests / per_second;
        tokio::time::sleep_until(due.into()).await;
        counts.requests += 1;
        let mut request = bytes(SEEDS[dice.roll(SEEDS.len())]);
        dice.change(&mut request);
        let told = format!(
            "case {} of seed {seed}: {:?}",
            counts.requests,
            String::from_utf8_lossy(&request)
        );
        let sent = read(&request);

        let mut client = Client::connect(stage.weir.address()).await;
        let _ = client.try_send(&request).await;
        let mut answers = 0;
        // Where the bytes make half a request there is silence, and no reason to wait for its end.
        while let Ok(Ok(head)) =
            tokio::time::timeout(Duration::from_millis(100), client.try_head()).await
        {
            assert!(head.status() < 500, "{} to {told}", head.line);
            *counts.answers.entry(head.status()).or_default() += 1;
            answers += 1;
            if tokio::time::timeout(Duration::from_millis(100), client.rest())
                .await
                .is_err()
            {
                break;
            }
        }
        counts.silent += u64::from(answers == 0);
        assert!(answers <= sent.len() + 1, "{answers} answers to {told}");
        drop(client);

        let mut expected = &sent[..];
        // One whose body broke off is told when it broke off, which may be in a later turn.
        for seen in &stage.taken() {
            if !seen.facts().3 {
                counts.broken += 1;
                continue;
            }
            counts.seen += 1;
            let found = expected.iter().position(|plain| is(seen.facts(), plain));
            expected = &expected[found.map_or(0, |at| at + 1)..];
            // Answered as the client stopped to wait, it is told late.
            let fits = found.is_some() || before.iter().any(|plain| is(seen.facts(), plain));
            assert!(fits, "the upstream saw {seen:?}, which was not in {told}");
        }
        before.extend(sent);
        before.drain(..before.len().saturating_sub(LATE));
    }
    let metrics = stage.weir.metrics().await;
    for status in ["500", "501", "502", "503", "504", "505"] {
        assert_eq!(
            metrics.value("http_requests_total", &[("status", status)]),
            0.0,
            "{status}"
        );
    }
    counts
}

/// `WEIR_FULL=1`: a minute at 200 a second, as promised; else a taste. `WEIR_SEED` plays one again. It says what it did; nextest shows
/// that with `--no-capture`.
#[tokio::test]
async fn mutations() {
    let full = std::env::var_os("WEIR_FULL").is_some();
    let seed = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_261_120);
    let (time, per_second) = if full { (60, 50) } else { (3, 100) };
    let runs = (0..4).map(|run| mutate(seed + run, Duration::from_secs(time), per_second));
    let mut all = Counts::default();
    for counts in futures_util::future::join_all(runs).await {
        assert!(counts.requests > 0 && counts.seen > 0, "{counts:?}");
        all.add(counts);
    }
    let per_second = f64::from(all.requests) / Duration::from_secs(time).as_secs_f64();
    eprintln!("seeds {seed} and three more, {time} s, {per_second:.0} requests a second: {all:?}");
}
