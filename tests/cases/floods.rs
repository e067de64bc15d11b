//! Floods of strangers: of names, key ids, sessions and addresses there are as many as anybody cares to send, and what weir keeps of them
//! has a bound. Measured as the resident size of the process; the bounds are wide, because an allocator keeps what it once had, and none
//! of them depends on how quick the machine is. `WEIR_FULL=1` sends as many as fill
//! every table.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use weir_testkit::{
    Upstream, Weir, mint,
    mint::{DECRYPTION, SECRET, VALIDATION},
    skip, sockets,
};

use crate::stage::{route, weir};

const MIB: u64 = 1024 * 1024;
/// Requests in one write.
const BATCH: usize = 64;

fn many(few: usize, full: usize) -> usize {
    if skip::full() { full } else { few }
}

/// Sends `count` requests for `target`, each with the header lines that its number gives, and says how many were answered with what
/// stands in the status lines. Over four connections, so that every worker has its share.
async fn flood(
    address: SocketAddr,
    count: usize,
    line: impl Fn(usize) -> String + Send + Sync + 'static,
) -> Vec<u16> {
    let line = Arc::new(line);
    let mut senders = Vec::new();
    for part in 0..4 {
        let line = Arc::clone(&line);
        senders.push(tokio::task::spawn_blocking(move || {
            let numbers: Vec<usize> = (0..count).filter(|number| number % 4 == part).collect();
            let mut stream = TcpStream::connect(address).expect("a listener");
            stream.set_nodelay(true).expect("a live socket");
            let mut statuses = Vec::new();
            for batch in numbers.chunks(BATCH) {
                let requests: Vec<String> = batch
                    .iter()
                    .map(|number| format!("{}Host: a.test\r\n\r\n", line(*number)))
                    .collect();
                stream
                    .write_all(requests.concat().as_bytes())
                    .expect("a peer that reads");
                read(&mut stream, batch.len(), &mut statuses);
            }
            statuses
        }));
    }
    let mut statuses = Vec::new();
    for sender in senders {
        statuses.extend(sender.await.expect("no panic"));
    }
    statuses
}

/// Reads so many answers; none of them has the beginning of a status line in its body.
fn read(stream: &mut TcpStream, wanted: usize, statuses: &mut Vec<u16>) {
    stream
        .set_read_timeout(Some(Duration::from_secs(15)))
        .expect("a live socket");
    let mut text = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    let whole = |text: &[u8]| {
        let found = text.windows(9).filter(|bytes| *bytes == b"HTTP/1.1 ");
        found.count() == wanted && text.ends_with(b"\n")
    };
    while !whole(&text) {
        let size = stream.read(&mut piece).expect("answers");
        assert!(size > 0, "closed after {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&piece[..size]);
    }
    let text = String::from_utf8_lossy(&text);
    let status = |part: &str| part[..3].parse::<u16>().expect("a status");
    statuses.extend(text.split("HTTP/1.1 ").skip(1).map(status));
}

struct Flooded {
    before: u64,
    began: Instant,
    what: &'static str,
}

impl Flooded {
    fn begin(weir: &Weir, what: &'static str) -> Self {
        Self {
            before: weir.resident(),
            began: Instant::now(),
            what,
        }
    }

    /// Says what it came to, and holds it against the bound.
    fn end(self, weir: &Weir, count: usize, bound: u64) {
        let grown = weir.resident().saturating_sub(self.before);
        eprintln!(
            "{count} {}: {:.1} MiB before, {:.1} MiB more after, in {:.1?}",
            self.what,
            self.before as f64 / MIB as f64,
            grown as f64 / MIB as f64,
            self.began.elapsed()
        );
        assert!(grown < bound, "{}: {grown} bytes", self.what);
    }
}

#[tokio::test]
async fn of_limiters_keys() {
    let limit = |name: &str, more: &str| {
        format!("[limit.{name}]\nby = \"header:x-key\"\nrate = \"3/1h\"\n{more}\n\n")
            + &route(
                name,
                &format!("/{name}"),
                &format!("serve = \"health\"\nlog = false\nlimit = \"{name}\""),
            )
    };
    let weir = weir()
        .start(&(limit("gcra", "") + &limit("window", "algorithm = \"window\"")))
        .await;
    for name in ["gcra", "window"] {
        let known = move |_: usize| format!("GET /{name} HTTP/1.1\r\nX-Key: known\r\n");
        assert_eq!(flood(weir.address(), 1, known).await, [200]);
        let count = many(10_000, 200_000);
        let flooded = Flooded::begin(&weir, "keys of a limit");
        let statuses = flood(weir.address(), count, move |number| {
            format!("GET /{name} HTTP/1.1\r\nX-Key: {name}-{number}\r\n")
        })
        .await;
        flooded.end(&weir, count, 48 * MIB);
        // Who came before the table was full has a counter of his own; the others share one and are refused together.
        let refused = statuses.iter().filter(|status| **status == 429).count();
        assert!(refused >= count.saturating_sub(100_100), "{refused}");
        let mut again = flood(weir.address(), 3, known).await;
        again.sort_unstable();
        assert_eq!(again, [200, 200, 429], "nobody is forgotten");
    }
}

#[tokio::test]
async fn of_key_ids() {
    let keys = Upstream::scripted(|exchange| async move {
        let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"real","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        exchange.answer("200 OK", &[], set).await;
        exchange.done();
    })
    .await;
    let config = format!(
        "[auth.issuer]\ntype = \"jwt\"\njwks_url = \"http://{}/keys\"\n\n{}",
        keys.address(),
        route(
            "all",
            "/*",
            "serve = \"health\"\nlog = false\nauth = \"issuer\""
        )
    );
    let weir = weir().start(&config).await;
    let began = Instant::now();
    let count = many(5_000, 200_000);
    let flooded = Flooded::begin(&weir, "key ids");
    let statuses = flood(weir.address(), count, |number| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
        let header = B64.encode(format!(r#"{{"alg":"EdDSA","kid":"id-{number}"}}"#));
        format!("GET / HTTP/1.1\r\nAuthorization: Bearer {header}.e30.AAAA\r\n")
    })
    .await;
    flooded.end(&weir, count, 16 * MIB);
    assert!(statuses.iter().all(|status| *status == 401));
    // One at the start, and one a minute for whatever unknown ids ask for.
    let minutes = usize::try_from(began.elapsed().as_secs() / 60).expect("few");
    assert!((2..=2 + minutes).contains(&keys.requests().len()));
}

#[tokio::test]
async fn of_sessions() {
    let config = format!(
        "[auth.portal]\ntype = \"aspnet-cookie\"\nmachine_key = {{ validation = \"{VALIDATION}\", decryption = \"{DECRYPTION}\" }}\n\n\
         [auth.tokens]\ntype = \"jwt\"\nsecret = \"{SECRET}\"\n\n{}{}",
        route(
            "portal",
            "/portal",
            "serve = \"health\"\nlog = false\nauth = \"portal\""
        ),
        route(
            "tokens",
            "/tokens",
            "serve = \"health\"\nlog = false\nauth = \"tokens\""
        )
    );
    let weir = weir().start(&config).await;
    let count = many(6_000, 30_000);
    let flooded = Flooded::begin(&weir, "good sessions");
    let statuses = flood(weir.address(), count, |number| {
        format!(
            "GET /portal HTTP/1.1\r\n{}\r\n",
            mint::cookie(&format!("user-{number}"))
        )
    })
    .await;
    flooded.end(&weir, count, 24 * MIB);
    assert!(statuses.iter().all(|status| *status == 200));

    let count = many(6_000, 200_000);
    let flooded = Flooded::begin(&weir, "good tokens");
    let statuses = flood(weir.address(), count, |number| {
        format!(
            "GET /tokens HTTP/1.1\r\n{}\r\n",
            mint::bearer(&format!("user-{number}"))
        )
    })
    .await;
    flooded.end(&weir, count, 24 * MIB);
    assert!(statuses.iter().all(|status| *status == 200));

    let count = many(6_000, 100_000);
    let good = mint::cookie("ana");
    let flooded = Flooded::begin(&weir, "bad sessions");
    let statuses = flood(weir.address(), count, move |number| {
        let number = format!("{number:08}");
        let bad = good.replace(&good[40..48], &number);
        format!("GET /portal HTTP/1.1\r\n{bad}\r\n")
    })
    .await;
    flooded.end(&weir, count, 16 * MIB);
    assert!(statuses.iter().all(|status| *status == 401));
}

#[tokio::test]
async fn of_addresses() {
    let config = format!(
        "trusted_proxies = [\"127.0.0.1\"]\n\n[client]\nmax_connections_per_address = 3\n\n\
         [limit.each]\nby = \"client_ip\"\nrate = \"3/1h\"\n\n{}",
        route(
            "all",
            "/*",
            "serve = \"health\"\nlog = false\nlimit = \"each\""
        )
    );
    let (top, rest) = config.split_once("\n\n").expect("two parts");
    let weir = weir()
        .top(&format!("workers = 2\n{top}\n"))
        .start(rest)
        .await;
    let count = many(10_000, 200_000);
    let flooded = Flooded::begin(&weir, "addresses told by a proxy");
    flood(weir.address(), count, |number| {
        let (high, low) = (number >> 16, number & 0xffff);
        let address = match number % 2 {
            0 => format!("10.{high}.{}.{}", low >> 8, low & 0xff),
            _ => format!("2001:db8:{high:x}:{low:x}::1"),
        };
        format!("GET / HTTP/1.1\r\nX-Forwarded-For: {address}\r\n")
    })
    .await;
    flooded.end(&weir, count, 32 * MIB);

    // Connections of their own, from all over loopback's network.
    let count = many(500, 20_000);
    let flooded = Flooded::begin(&weir, "addresses with a connection each");
    let address = weir.address();
    tokio::task::spawn_blocking(move || {
        for number in 0..count {
            let [.., high, middle, low] = (number + 2).to_be_bytes();
            let from = SocketAddr::from(([127, high, middle, low], 0));
            let mut stream = sockets::connect_from(from, address).expect("a listener");
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
                .expect("a peer that reads");
            read(&mut stream, 1, &mut Vec::new());
        }
    })
    .await
    .expect("no panic");
    flooded.end(&weir, count, 16 * MIB);
    weir.wait_metric("weir_connections_open", &[], 0.0).await;
}
