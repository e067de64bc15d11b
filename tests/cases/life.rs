//! The process: a new configuration without touching what runs, a bad one that changes nothing, a stop that lets streams end, and
//! the commands as a shell sees them.

use std::process::Output;

use weir_testkit::{Client, End, Upstream, Weir, client::get, eventually, mint, upstream::Nobody};

use crate::stage::{RUN_STARTED, asked, everything, pass, route, stage, streaming, upstream, weir};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit status, standard output, standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// `weir reload` on this weir.
fn reload(weir: &Weir) -> (Option<i32>, String, String) {
    said(&weir.command(&["reload", "--admin", &weir.admin().to_string()]))
}

#[tokio::test]
async fn it_says_where_it_listens_and_nothing_else() {
    let (weir, mut up) = stage("").await;
    let (mut client, exchange) = asked(&weir, &mut up, "/x").await;
    exchange.answer("200 OK", &[], "ok").await;
    client.answer().await;
    weir.logged("/x").await;
    assert_eq!(
        weir.stdout(),
        [
            format!("listening on http://{}", weir.address()),
            format!("admin on http://{}", weir.admin())
        ]
    );
    assert_eq!(weir.stderr(), "");
}

#[tokio::test]
async fn a_reload_moves_new_requests_and_leaves_streams_alone() {
    for by_signal in [true, false] {
        let (mut old, new) = (Upstream::start().await, Upstream::saying("new").await);
        let weir = weir().start(&everything(old.address(), "")).await;
        let (mut client, exchange) = streaming(&weir, &mut old, "/s").await;
        let (mut waiting, unanswered) = asked(&weir, &mut old, "/w").await;
        pass(&exchange, &mut client, RUN_STARTED).await;
        let before = weir
            .metrics()
            .await
            .value("weir_config_reloads_total", &[("result", "ok")]);

        weir.rewrite(&everything(new.address(), ""));
        if by_signal {
            weir.signal("HUP");
        } else {
            let (status, out, err) = reload(&weir);
            assert_eq!(status, Some(0), "{err}");
            assert!(out.contains("reloaded"), "{out}");
        }
        weir.wait_metric(
            "weir_config_reloads_total",
            &[("result", "ok")],
            before + 1.0,
        )
        .await;
        assert_eq!(get(weir.address(), "/x", &[]).await.text(), "new");

        pass(&exchange, &mut client, "data: still here\n\n").await;
        exchange.end().await;
        assert_eq!(client.rest().await, (Vec::new(), End::Clean));
        unanswered.answer("200 OK", &[], "old").await;
        assert_eq!(waiting.answer().await.text(), "old");
        // A connection that lives on asks the new plan.
        client.request("GET", "/y", &[]).await;
        assert_eq!(client.answer().await.text(), "new");
    }
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_why() {
    let up = Upstream::saying("old").await;
    let weir = weir().start(&everything(up.address(), "")).await;
    assert_eq!(weir.metrics().await.value("weir_config_ok", &[]), 1.0);
    weir.rewrite(
        &(everything(up.address(), "tto = \"up\"") + &route("two", "/b", "to = \"nobody\"")),
    );
    let (status, _, err) = reload(&weir);
    assert_eq!(status, Some(1));
    for part in ["weir.toml:", "tto", "nobody"] {
        assert!(err.contains(part), "{part} is missing: {err}");
    }
    let metrics = weir.metrics().await;
    assert_eq!(metrics.value("weir_config_ok", &[]), 0.0);
    assert_eq!(
        metrics.value("weir_config_reloads_total", &[("result", "failed")]),
        1.0
    );
    assert_eq!(get(weir.address(), "/b", &[]).await.text(), "old");

    // By signal the words go to standard error.
    weir.signal("HUP");
    weir.wait_metric("weir_config_reloads_total", &[("result", "failed")], 2.0)
        .await;
    eventually("the mistakes on standard error", async || {
        weir.stderr().contains("nobody").then_some(())
    })
    .await;

    weir.rewrite(&everything(up.address(), ""));
    assert_eq!(reload(&weir).0, Some(0));
    assert_eq!(weir.metrics().await.value("weir_config_ok", &[]), 1.0);
}

#[tokio::test]
async fn what_a_reload_does_not_change_keeps_its_state() {
    let mut up = Upstream::start().await;
    let parts = |extra: &str| {
        upstream("up", up.address(), "keep_alive = { idle = \"60s\" }")
            + "[limit.few]\nby = \"client_ip\"\nrate = \"2/3600s\"\nalgorithm = \"window\"\n\n"
            + &route(
                "all",
                "/*",
                &format!("to = \"up\"\nlimit = [\"few\"]\n{extra}"),
            )
    };
    let (first, second) = (parts(""), parts("max_body = 5"));
    let weir = weir().top("workers = 1").start(&first).await;
    let mut client = Client::connect(weir.address()).await;
    for (number, config) in [&first, &second].into_iter().enumerate() {
        weir.rewrite(config);
        assert_eq!(reload(&weir).0, Some(0));
        client.request("GET", "/x", &[]).await;
        let exchange = up.exchange().await;
        assert_eq!(
            exchange.connection(),
            0,
            "the kept connection serves after reload {number}"
        );
        exchange.answer("200 OK", &[], "ok").await;
        assert_eq!(client.answer().await.status(), 200);
        exchange.done();
    }
    client.request("GET", "/x", &[]).await;
    assert_eq!(client.answer().await.status(), 429, "the count goes on");
}

#[tokio::test]
async fn reload_after_reload_costs_no_request_and_no_stream() {
    let up = Upstream::scripted(|mut exchange| async move {
        exchange.body().await;
        if exchange.head.target() == "/s" {
            exchange.stream().await;
            for number in 0.. {
                if exchange.left().is_some() {
                    return;
                }
                exchange.chunk(format!("data: {number}\n\n")).await;
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        exchange.answer("200 OK", &[], "ok").await;
        exchange.done();
    })
    .await;
    let configs = ["max_body = 1000", "max_body = 2000\nlimit = []"]
        .map(|keys| everything(up.address(), keys));
    let weir = weir().start(&configs[0]).await;
    let mut tasks = tokio::task::JoinSet::new();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    for number in 0..24 {
        let (address, stopped) = (weir.address(), stopped.clone());
        tasks.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut count = 0;
            if number % 2 == 0 {
                client.request("GET", "/s", &[]).await;
                client.head().await;
                while !*stopped.borrow() {
                    assert_eq!(client.event().await, format!("data: {count}\n\n"));
                    count += 1;
                }
            } else {
                while !*stopped.borrow() {
                    // Some keep their connection, some come anew.
                    if number % 4 == 1 {
                        client = Client::connect(address).await;
                    }
                    client.post("/x", &[], b"x").await;
                    assert_eq!(client.answer().await.status(), 200);
                    count += 1;
                }
            }
            count
        });
    }
    let before = weir.metrics().await.value("weir_config_reloads_total", &[]);
    for number in 1..=50 {
        weir.rewrite(&configs[number % 2]);
        weir.signal("HUP");
        weir.wait_metric(
            "weir_config_reloads_total",
            &[("result", "ok")],
            before + number as f64,
        )
        .await;
    }
    stop.send_replace(true);
    while let Some(count) = tasks.join_next().await {
        assert!(count.expect("a client without a loss") > 0);
    }
    let metrics = weir.metrics().await;
    assert_eq!(
        metrics.value("http_requests_total", &[("status", "200")]),
        metrics.value("http_requests_total", &[])
    );
}

#[tokio::test]
async fn a_log_that_moves_loses_no_line() {
    let up = Upstream::saying("ok").await;
    let config =
        |name: &str| format!("[log]\nto = \"FOLDER/{name}\"\n\n") + &everything(up.address(), "");
    let weir = weir().start(&config("access.log")).await;
    get(weir.address(), "/old", &[]).await;
    weir.rewrite(&config("other.log"));
    assert_eq!(reload(&weir).0, Some(0));
    get(weir.address(), "/new", &[]).await;
    weir.logged("/old").await;
    eventually("the line in the new file", async || {
        std::fs::read_to_string(weir.folder().join("other.log"))
            .ok()
            .filter(|text| text.contains("\"/new\""))
    })
    .await;
    assert_eq!(weir.log().len(), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_listener_that_goes_takes_no_connection_with_it() {
    let up = Upstream::saying("ok").await;
    let config = everything(up.address(), "");
    let weir = weir()
        .start(&format!(
            "[[listen]]\naddress = \"127.0.0.2:0\"\n\n{config}"
        ))
        .await;
    let [_, second] = weir.listeners() else {
        panic!("{:?}", weir.listeners())
    };
    let mut client = Client::connect(*second).await;
    client.request("GET", "/x", &[]).await;
    assert_eq!(client.answer().await.status(), 200);
    weir.rewrite(&config);
    assert_eq!(reload(&weir).0, Some(0));
    eventually("the listener to go", async || {
        tokio::net::TcpStream::connect(*second)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    client.request("GET", "/x", &[]).await;
    assert_eq!(client.answer().await.status(), 200);
    assert_eq!(get(weir.address(), "/x", &[]).await.status(), 200);
}

/// Otherwise whoever kept a connection would be served in clear what others are sent to https for.
#[tokio::test]
async fn connections_of_a_listener_that_goes_keep_its_rules() {
    let up = Upstream::saying("ok").await;
    let config = everything(up.address(), "");
    let going = "[[listen]]\naddress = \"127.0.0.1:0\"\nredirect = { to = \"https\", host = \"a.test\" }\n\
                 headers = { X-Going = \"said\" }\n\n";
    let weir = weir().start(&format!("{going}{config}")).await;
    let mut client = Client::connect(weir.listeners()[1]).await;
    // The second reload begins from a plan that has the listener no more.
    for reloads in 0..3 {
        client.request("GET", "/x", &[]).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status(), answer.header("location")),
            (308, Some("https://a.test/x")),
            "after {reloads} reloads"
        );
        assert_eq!(answer.header("x-going"), Some("said"));
        weir.rewrite(&config);
        assert_eq!(reload(&weir).0, Some(0));
    }
    // A table that is there again is the one that counts.
    weir.rewrite(&format!("{}{config}", going.replace("said", "again")));
    assert_eq!(reload(&weir).0, Some(0));
    client.request("GET", "/x", &[]).await;
    assert_eq!(client.answer().await.header("x-going"), Some("again"));
    assert_eq!(up.accepted(), 0);
}

#[tokio::test]
async fn a_stop_waits_for_what_runs() {
    let (mut weir, mut up) = stage("").await;
    let (mut client, exchange) = streaming(&weir, &mut up, "/s").await;
    let (mut waiting, unanswered) = asked(&weir, &mut up, "/w").await;
    let mut idle = Client::connect(weir.address()).await;
    idle.request("GET", "/i", &[]).await;
    let kept = up.exchange().await;
    kept.answer("200 OK", &[], "ok").await;
    idle.answer().await;
    assert_eq!(get(weir.admin(), "/readyz", &[]).await.status(), 200);

    weir.signal("TERM");
    eventually("the listener to close", async || {
        tokio::net::TcpStream::connect(weir.address())
            .await
            .is_err()
            .then_some(())
    })
    .await;
    assert_eq!(get(weir.admin(), "/readyz", &[]).await.status(), 503);
    assert_eq!(idle.closed().await, End::Eof);
    pass(&exchange, &mut client, "data: still here\n\n").await;
    unanswered.answer("200 OK", &[], "in time").await;
    let answer = waiting.answer().await;
    assert_eq!(answer.text(), "in time");
    assert!(
        answer.head.lists("connection", "close"),
        "{:?}",
        answer.head
    );
    pass(&exchange, &mut client, "data: the last\n\n").await;
    exchange.end().await;
    assert_eq!(client.rest().await, (Vec::new(), End::Clean));
    assert_eq!(weir.ended().await.code(), Some(0));
    let line = weir.logged("/s").await;
    assert_eq!(line["outcome"], "complete");
}

/// Whoever was let in is served, also in the moment of stopping: a connection is refused or answered, never taken and dropped.
#[tokio::test]
async fn a_stop_drops_nobody_it_has_taken() {
    let up = Upstream::saying("ok").await;
    let mut weir = weir().start(&everything(up.address(), "")).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let address = weir.address();
        tasks.spawn(async move {
            let mut served = 0;
            while let Some(mut client) = Client::try_connect(address).await {
                client.request("GET", "/x", &["Connection: close"]).await;
                assert_eq!(
                    client.answer().await.status(),
                    200,
                    "after {served} answers"
                );
                served += 1;
            }
            served
        });
    }
    eventually("some traffic", async || {
        (up.requests().len() > 100).then_some(())
    })
    .await;
    weir.signal("TERM");
    while let Some(served) = tasks.join_next().await {
        assert!(served.expect("a client that was answered whenever it was let in") > 0);
    }
    assert_eq!(weir.ended().await.code(), Some(0));
}

#[tokio::test]
async fn at_the_deadline_streams_are_told() {
    let mut up = Upstream::start().await;
    let config = everything(up.address(), "") + "[drain]\ndeadline = \"300ms\"\n";
    let mut weir = weir().start(&config).await;
    let (mut client, exchange) = streaming(&weir, &mut up, "/s").await;
    pass(&exchange, &mut client, RUN_STARTED).await;
    let (mut inside, half) = streaming(&weir, &mut up, "/half").await;
    half.chunk("data: ha").await;
    inside.until("data: ha").await;
    let (mut waiting, unanswered) = asked(&weir, &mut up, "/w").await;

    weir.signal("TERM");
    let (body, end) = client.rest().await;
    let body = text(&body);
    assert!(
        body.starts_with("data: {\"type\":\"RUN_ERROR\",") && body.ends_with("\n\n"),
        "{body:?}"
    );
    assert!(body.contains("\"code\":\"shutdown\""), "{body:?}");
    assert_eq!(end, End::Eof);
    assert_eq!(inside.rest().await, (Vec::new(), End::Eof));
    exchange.gone().await;
    half.gone().await;
    // Whoever still waits for a head can be told in the head.
    let answer = waiting.answer().await;
    assert_eq!((answer.status(), answer.end), (503, End::Clean));
    assert!(
        answer.head.lists("connection", "close"),
        "{:?}",
        answer.head
    );
    unanswered.gone().await;
    assert_eq!(weir.ended().await.code(), Some(0));
    for path in ["/s", "/half"] {
        assert_eq!(weir.logged(path).await["outcome"], "shutdown", "{path}");
    }
    assert_eq!(weir.logged("/w").await["reason"], "stopping");
}

#[tokio::test]
async fn before_a_stop_load_balancers_are_told() {
    let up = Upstream::saying("ok").await;
    let config = everything(up.address(), "") + "[drain]\ndelay = \"60s\"\n";
    let mut weir = weir().start(&config).await;
    weir.signal("TERM");
    eventually("readiness to fail", async || {
        (get(weir.admin(), "/readyz", &[]).await.status() == 503).then_some(())
    })
    .await;
    assert_eq!(get(weir.admin(), "/livez", &[]).await.status(), 200);
    assert_eq!(get(weir.address(), "/x", &[]).await.text(), "ok");
    // A second signal does not wait.
    weir.signal("INT");
    assert!(!weir.ended().await.success());
}

#[tokio::test]
async fn a_port_in_use_is_said() {
    let up = Upstream::saying("ok").await;
    let first = weir().start(&everything(up.address(), "")).await;
    let config = format!(
        "[[listen]]\naddress = \"{}\"\n[admin]\nenabled = false\n{}",
        first.address(),
        everything(up.address(), "")
    );
    let second = weir().file("weir.toml", config);
    let (status, _, err) = said(&second.command(&["run", "--config", "weir.toml"]));
    assert_eq!(status, Some(1));
    assert!(err.contains(&first.address().to_string()), "{err}");
    assert_eq!(get(first.address(), "/x", &[]).await.status(), 200);
}

#[tokio::test]
async fn check_reads_all_of_a_file() {
    let good = "[[listen]]\naddress = \"127.0.0.1:0\"\n\n[upstream.up]\nservers = [\"127.0.0.1:1\"]\n\n[[route]]\npath = \"/*\"\nto = \"up\"\n";
    let weir = weir().file("good.toml", good).file(
        "bad.toml",
        "[[listen]]\naddress = \"127.0.0.1\"\n\n[upstream.up]\nservers = []\n\n[auth.tokens]\ntype = \"jwt\"\nsecret = \"${env:NOT_SET_ANYWHERE}\"\n\n\
         [auth.short]\ntype = \"jwt\"\nsecret = \"${env:SHORT}\"\n\n[[route]]\npath = \"chat\"\nto = \"upp\"\nlimits = []\n",
    );
    let weir = weir.env("SHORT", "sh0rt-s3cret");
    let (status, out, err) = said(&weir.command(&["check", "good.toml"]));
    assert_eq!((status, err.as_str()), (Some(0), ""));
    assert!(out.contains("good.toml") && out.contains("OK"), "{out}");
    let (status, out, err) = said(&weir.command(&["check", "bad.toml"]));
    assert_eq!((status, out.as_str()), (Some(1), ""));
    for part in [
        "bad.toml:2:",
        "bad.toml:5:",
        "bad.toml:9:",
        "NOT_SET_ANYWHERE",
        "bad.toml:13:",
        "bad.toml:16:",
        "bad.toml:17:",
        "bad.toml:18:",
        "limits",
    ] {
        assert!(err.contains(part), "{part} is missing:\n{err}");
    }
    assert!(!err.contains("sh0rt-s3cret"), "{err}");
    let (status, _, err) = said(&weir.command(&["check", "none.toml"]));
    assert_eq!(status, Some(1));
    assert!(err.contains("none.toml"), "{err}");
    // And `run` does not start with what `check` refuses.
    let (status, out, err) = said(&weir.command(&["run", "--config", "bad.toml"]));
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(err.contains("bad.toml:2:"), "{err}");
}

#[tokio::test]
async fn explain_tells_what_would_become_of_a_request() {
    let config = "[[listen]]\naddress = \"127.0.0.1:0\"\n\n[upstream.agents]\nservers = [\"127.0.0.1:8002\"]\n\n\
        [auth.portal]\ntype = \"aspnet-cookie\"\nmachine_key = { validation = \"${env:VALIDATION_KEY}\", decryption = \"${env:DECRYPTION_KEY}\" }\n\
        login = \"/login?returnUrl={path}\"\n\n\
        [limit.each]\nby = \"user\"\nrate = \"100/60s\"\n\n\
        [[route]]\nname = \"backend\"\npath = \"/chat/backend/*\"\nto = \"agents\"\nstrip = \"/chat/backend\"\nauth = \"portal\"\nlimit = [\"each\"]\n\n\
        [[route]]\nname = \"public\"\npath = \"/public/*\"\nto = \"agents\"\n";
    let weir = weir()
        .file("weir.toml", config)
        .env("VALIDATION_KEY", mint::VALIDATION)
        .env("DECRYPTION_KEY", mint::DECRYPTION);
    let explain = |method: &str, url: &str, headers: &[&str]| {
        let mut args = vec!["explain", "--config", "weir.toml", method, url];
        for header in headers {
            args.extend(["-H", header]);
        }
        said(&weir.command(&args))
    };
    let (status, out, err) = explain("POST", "/chat//backend/./api?x=1", &[&mint::cookie("ana")]);
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    for part in [
        "backend",
        "/chat/backend/api",
        "portal",
        "ana",
        "each",
        "agents",
        "127.0.0.1:8002",
        "POST /api?x=1",
    ] {
        assert!(out.contains(part), "{part} is missing:\n{out}");
    }
    let session = mint::cookie("ana");
    assert!(
        !out.contains(session.split_once('=').expect("a value").1),
        "{out}"
    );
    let (status, out, _) = explain(
        "GET",
        "http://a.test/chat/backend/api",
        &["Accept: text/html"],
    );
    assert_eq!(status, Some(1));
    assert!(
        out.contains("302") && out.contains("/login?returnUrl=%2Fchat%2Fbackend%2Fapi"),
        "{out}"
    );
    let (status, out, _) = explain("GET", "/chat/backend/api", &[]);
    assert!(
        status == Some(1) && out.contains("401") && out.contains("missing"),
        "{out}"
    );
    let (status, out, _) = explain("GET", "/nowhere", &[]);
    assert!(status == Some(1) && out.contains("404"), "{out}");
    let (status, out, _) = explain("GET", "/chat/%2e%2e%2fadmin", &[]);
    assert!(
        status == Some(1) && out.contains("400") && out.contains("path_encoded_slash"),
        "{out}"
    );
}

#[tokio::test]
async fn status_and_health_tell_how_it_is() {
    let up = Upstream::saying("ok").await;
    let nobody = Nobody::here();
    let health = "health = { path = \"/h\", interval = \"20ms\", unhealthy_after = 1 }";
    let well = upstream("up", up.address(), health)
        + &route("all", "/*", "to = \"up\"")
        + &route("health", "/health", "serve = \"health\"");
    let weir = weir().start(&well).await;
    let status = |args: &[&str]| {
        said(&weir.command(&[&["status", "--admin", &weir.admin().to_string()], args].concat()))
    };
    let (code, out, err) = status(&[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        out.contains("healthy") && out.contains("up") && out.contains(&up.address().to_string()),
        "{out}"
    );
    let (code, out, _) = status(&["--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (code, &report["health"], &report["stage"]),
        (Some(0), &"healthy".into(), &"serving".into()),
        "{report}"
    );
    let answer = get(weir.address(), "/health", &[]).await;
    let page: serde_json::Value = serde_json::from_str(&answer.text()).expect("JSON");
    assert_eq!(
        (answer.status(), &page["status"], &page["checks"]["up"]),
        (200, &"healthy".into(), &"healthy".into()),
        "{page}"
    );

    weir.rewrite(&well.replace(&up.address().to_string(), &nobody.address().to_string()));
    assert_eq!(reload(&weir).0, Some(0));
    eventually("the page to say so", async || {
        (get(weir.address(), "/health", &[]).await.status() == 503).then_some(())
    })
    .await;
    let answer = get(weir.address(), "/health", &["Accept: text/plain"]).await;
    assert!(
        answer.status() == 503 && answer.text().starts_with("unhealthy\n"),
        "{}",
        answer.text()
    );
    let (code, out, _) = status(&[]);
    assert!(code == Some(1) && out.contains("UNHEALTHY"), "{out}");
    drop(weir);
    let (code, _, err) =
        said(&crate::stage::weir().command(&["status", "--admin", &nobody.address().to_string()]));
    assert!(
        code == Some(1) && err.contains(&nobody.address().to_string()),
        "{err}"
    );
}

#[tokio::test]
async fn help_names_every_command() {
    for args in [&["help"][..], &["--help"]] {
        let (status, out, _) = said(&weir().command(args));
        assert_eq!(status, Some(0));
        for command in [
            "run", "check", "explain", "status", "reload", "demo", "SIGHUP",
        ] {
            assert!(out.contains(command), "{command} is missing:\n{out}");
        }
    }
    let (status, _, err) = said(&weir().command(&["chekc"]));
    assert!(status == Some(2) && err.contains("check"), "{err}");
}
