//! Frames without end, of every kind that asks for nothing or little: they cost the sender its connection, weir neither memory nor time, and
//! nobody else anything.

use weir_testkit::{
    Exchange, H2, Upstream, Weir, client,
    h2::{ACK, END_HEADERS, END_STREAM, code, frame, kind, request},
};

use crate::stage::{CONTENT, stage};

const MIB: u64 = 1024 * 1024;

/// A stream on a connection of its own, which must not notice anything.
async fn neighbour(weir: &Weir, upstream: &mut Upstream) -> (H2, Exchange) {
    let mut client = H2::connect(weir.address()).await;
    client.get(1, "/neighbour").await;
    let exchange = upstream.exchange().await;
    exchange.stream().await;
    assert_eq!(client.status(1).await, 200);
    (client, exchange)
}

/// Sends all of it, reading nothing, until weir has had enough; then how the connection ended.
async fn flood(attacker: &mut H2, one: &[u8], times: usize) -> Option<u32> {
    for _ in 0..times / 1000 {
        if attacker.send(&one.repeat(1000)).await.is_err() {
            break;
        }
    }
    attacker.goaway().await
}

#[tokio::test]
async fn frames_that_ask_for_nothing() {
    let (weir, mut upstream) = stage("").await;
    let (mut reader, stream) = neighbour(&weir, &mut upstream).await;
    let before = weir.resident();
    let on = |stream, kind, flags, payload: &[u8]| frame(kind, flags, stream, payload);
    let open = frame(kind::HEADERS, END_HEADERS, 1, &request("POST", "/f", &[]));
    let over = [
        &open[..],
        &frame(kind::RST_STREAM, 0, 1, &code::CANCEL.to_be_bytes()),
    ]
    .concat();
    let begun = frame(kind::HEADERS, END_STREAM, 1, &request("GET", "/f", &[]));
    for (what, first, one) in [
        ("PING", &[][..], on(0, kind::PING, 0, &[0; 8])),
        ("answers to PING", &[], on(0, kind::PING, ACK, &[0; 8])),
        (
            "SETTINGS",
            &[],
            on(0, kind::SETTINGS, 0, &[0, 4, 0, 0, 0, 1]),
        ),
        ("empty SETTINGS", &[], on(0, kind::SETTINGS, 0, &[])),
        ("PRIORITY", &[], on(3, kind::PRIORITY, 0, &[0, 0, 0, 0, 9])),
        (
            "WINDOW_UPDATE",
            &[],
            on(0, kind::WINDOW_UPDATE, 0, &[0, 0, 0, 1]),
        ),
        ("unknown frames", &[], on(0, 0x77, 0, &[0; 4])),
        (
            "RST_STREAM of a closed stream",
            &over,
            on(1, kind::RST_STREAM, 0, &[0, 0, 0, 8]),
        ),
        ("empty DATA", &open, on(1, kind::DATA, 0, &[])),
        ("DATA of one byte", &open, on(1, kind::DATA, 0, b"x")),
        (
            "empty CONTINUATION",
            &begun,
            on(1, kind::CONTINUATION, 0, &[]),
        ),
    ] {
        let mut attacker = H2::connect(weir.address()).await;
        let _ = attacker.send(first).await;
        let told = flood(&mut attacker, &one, 60_000).await;
        // A reset may overtake the GOAWAY, since frames lie unread; acknowledgements of nothing are a mistake as well.
        let allowed = [code::ENHANCE_YOUR_CALM, code::PROTOCOL_ERROR];
        assert!(
            told.is_none_or(|code| allowed.contains(&code)),
            "{what}: {told:?}"
        );
        stream.chunk(CONTENT).await;
        assert_eq!(reader.until(1, "\n\n").await, CONTENT, "beside {what}");
    }
    weir.wait_metric("weir_connections_open", &[], 1.0).await;
    let counted = weir.metrics().await;
    let reason = |word| counted.value("weir_connection_errors_total", &[("reason", word)]);
    let (own, librarys) = (reason("frame_flood"), reason("http2_abuse"));
    assert_eq!(
        (own >= 7.0, own + librarys),
        (true, 11.0),
        "{}",
        counted.text()
    );
    let grown = weir.resident().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes more");
}

/// Much of it, but with pauses or between requests, is nobody's harm.
#[tokio::test]
async fn a_lively_client_is_no_flood() {
    let (weir, mut upstream) = stage("").await;
    let (mut reader, stream) = neighbour(&weir, &mut upstream).await;
    for _ in 0..100 {
        let pings = frame(kind::PING, 0, 0, &[0; 8]).repeat(50);
        reader.send(&pings).await.expect("a live connection");
        stream.chunk(CONTENT).await;
        assert_eq!(reader.until(1, "\n\n").await, CONTENT);
    }
}

/// Requests taken back as fast as can be: what reaches upstreams is bounded, and other connections are served meanwhile.
#[tokio::test]
async fn rapid_resets_disturb_nobody() {
    let upstream = Upstream::saying("well").await;
    let weir = crate::stage::weir()
        .start(&crate::stage::everything(upstream.address(), ""))
        .await;
    let (address, before) = (weir.address(), weir.resident());
    let attackers: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async move {
                let mut attacker = H2::connect(address).await;
                let ask = request("GET", "/flood", &[]);
                for chunk in 0..10u32 {
                    let bytes: Vec<u8> = (0..1000)
                        .flat_map(|number| {
                            let stream = 2 * (chunk * 1000 + number) + 1;
                            let cancel = code::CANCEL.to_be_bytes();
                            let whole = END_HEADERS | END_STREAM;
                            [
                                frame(kind::HEADERS, whole, stream, &ask),
                                frame(kind::RST_STREAM, 0, stream, &cancel),
                            ]
                            .concat()
                        })
                        .collect();
                    if attacker.send(&bytes).await.is_err() {
                        break;
                    }
                }
                attacker.goaway().await
            })
        })
        .collect();
    let mut slowest = std::time::Duration::ZERO;
    for _ in 0..50 {
        let start = std::time::Instant::now();
        assert_eq!(client::get(address, "/other", &[]).await.status(), 200);
        slowest = slowest.max(start.elapsed());
    }
    for attacker in attackers {
        let told = attacker.await.expect("an attacker");
        assert!(
            matches!(told, None | Some(code::ENHANCE_YOUR_CALM)),
            "{told:?}"
        );
    }
    assert!(slowest < std::time::Duration::from_secs(2), "{slowest:?}");
    // Of 80 000, and 50 of the others.
    let opened = upstream.accepted();
    assert!(opened < 50 + 8 * 130, "{opened}");
    let grown = weir.resident().saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown} bytes more");
}
