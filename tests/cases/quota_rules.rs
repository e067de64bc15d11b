//! What several limits on one route come to: counted in one process, each promise by its answers.

use std::time::{Duration, Instant};

use weir_testkit::{Client, client::get, eventually};

use crate::stage::{route, weir};

/// Routes that weir answers itself, with these limits.
fn page(path: &str, limits: &str) -> String {
    route(
        &path[1..],
        path,
        &format!("serve = \"health\"\nlimit = {limits}"),
    )
}

#[tokio::test]
async fn a_refusal_takes_nothing_of_the_other_limits_and_the_longest_wait_is_told() {
    let limits = "[limit.wide]\nby = \"client_ip\"\nrate = \"10/366d\"\n\n\
                  [limit.day]\nby = \"route\"\nrate = \"2/366d\"\nalgorithm = \"window\"\n\n\
                  [limit.hour]\nby = \"client_ip\"\nrate = \"2/366d\"\nburst = 2\n\n";
    let config = limits.to_owned()
        + &page("/both", "[\"wide\", \"day\", \"hour\"]")
        + &page("/wide", "\"wide\"");
    let weir = weir().start(&config).await;
    for _ in 0..2 {
        assert_eq!(get(weir.address(), "/both", &[]).await.status(), 200);
    }
    for _ in 0..3 {
        let answer = get(weir.address(), "/both", &[]).await;
        assert_eq!(answer.status(), 429);
        // GCRA gives one request back in half the period; the window ends when it ends.
        let wait: u64 = answer
            .header("retry-after")
            .expect("a wait")
            .parse()
            .expect("seconds");
        let half = 366 * 86_400 / 2;
        let told: Vec<u64> = answer
            .head
            .all("ratelimit")
            .filter_map(|state| state.rsplit_once("t=")?.1.parse().ok())
            .collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            wait == told[1].max(told[2]) && wait >= half - 60,
            "{wait} {told:?}"
        );
        assert_eq!(answer.head.all("retry-after").count(), 1);
        let wide = answer.header("ratelimit").unwrap_or_default();
        assert!(wide.starts_with("\"wide\";r=8;"), "{wide}");
    }
    // Eight are left of ten: the three refused ones were given back.
    for left in (0..8).rev() {
        let answer = get(weir.address(), "/wide", &[]).await;
        assert_eq!(answer.status(), 200);
        let state = answer.header("ratelimit").expect("a state").to_owned();
        assert!(state.starts_with(&format!("\"wide\";r={left};")), "{state}");
    }
    assert_eq!(get(weir.address(), "/wide", &[]).await.status(), 429);
    let metrics = weir.metrics().await;
    let of = |limit, result| {
        metrics.value(
            "weir_limit_decisions_total",
            &[("limit", limit), ("result", result)],
        )
    };
    assert_eq!((of("day", "allowed"), of("day", "refused")), (2.0, 3.0));
    assert_eq!(of("wide", "refused"), 1.0);
}

#[tokio::test]
async fn a_delay_paces_what_the_burst_lets_in() {
    let config = "[limit.paced]\nby = \"client_ip\"\nrate = \"5/s\"\nburst = 4\ndelay = true\n\n"
        .to_owned()
        + &page("/paced", "\"paced\"");
    let weir = weir().start(&config).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(Client::connect(weir.address()).await);
    }
    let began = Instant::now();
    for client in &mut clients {
        client.request("GET", "/paced", &[]).await;
    }
    let mut times = Vec::new();
    let mut refused = 0;
    for client in &mut clients {
        match client.answer().await.status() {
            200 => times.push(began.elapsed()),
            429 => refused += 1,
            status => panic!("{status}"),
        }
    }
    times.sort();
    // On a slow machine the requests come apart, and less is refused and waited for.
    assert!((1..=2).contains(&refused), "{refused}");
    let last = times.last().copied().unwrap_or_default();
    assert!(last >= Duration::from_millis(500), "{times:?}");
    // A client that does not wait is not waited for.
    for _ in 0..3 {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/paced", &[]).await;
        client.close();
    }
    weir.wait_metric("weir_connections_open", &[], 6.0).await;
    let metrics = weir.metrics().await;
    let delayed = metrics.value(
        "weir_limit_decisions_total",
        &[("limit", "paced"), ("result", "delayed")],
    );
    assert!(delayed >= 3.0, "{delayed}");
}

#[tokio::test]
async fn a_dry_run_refuses_nobody_and_counts() {
    let config = "[limit.trial]\nby = \"client_ip\"\nrate = \"1/366d\"\ndry_run = true\n\n"
        .to_owned()
        + &page("/trial", "\"trial\"");
    let weir = weir().start(&config).await;
    for _ in 0..3 {
        let answer = get(weir.address(), "/trial", &[]).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("ratelimit"), None);
    }
    let labels = [("limit", "trial"), ("result", "would_refuse")];
    weir.wait_metric("weir_limit_decisions_total", &labels, 2.0)
        .await;
}

#[tokio::test]
async fn a_limit_keeps_its_count_through_a_reload_that_changes_something_else() {
    let config = "[limit.few]\nby = \"client_ip\"\nrate = \"2/366d\"\n\n".to_owned()
        + &page("/few", "\"few\"");
    let weir = weir().start(&config).await;
    for _ in 0..2 {
        assert_eq!(get(weir.address(), "/few", &[]).await.status(), 200);
    }
    weir.rewrite(&(config + &page("/other", "\"few\"")));
    weir.signal("HUP");
    let status = eventually("the new route", async || {
        let status = get(weir.address(), "/other", &[]).await.status();
        Some(status).filter(|status| *status != 404)
    })
    .await;
    assert_eq!(status, 429);
}
