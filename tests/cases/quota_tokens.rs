//! Budgets of tokens: set aside before, debited as answers stream, settled by the provider's figure, carried as debts.

use weir_testkit::{Client, End, Redis, Upstream, Weir, client::get, eventually};

use crate::stage::{DONE, OPENAI, everything, pass, weir};

/// An OpenAI stream's account of itself.
const USAGE: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-x\",\"choices\":[],\
     \"usage\":{\"prompt_tokens\":70,\"completion_tokens\":50,\"total_tokens\":120}}\n\n";

fn limit(keys: &str) -> String {
    format!("[limit.budget]\nby = \"route\"\n{keys}\n\n")
}

async fn stage(config: &str) -> (Weir, Upstream) {
    let upstream = Upstream::start().await;
    let config = config.to_owned() + &everything(upstream.address(), "limit = \"budget\"");
    (weir().start(&config).await, upstream)
}

/// One whole stream that used 120 tokens; what the client was told is left.
async fn run(weir: &Weir, upstream: &mut Upstream) -> Option<u32> {
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/run", &[]).await;
    let exchange = upstream.exchange().await;
    exchange.stream().await;
    let head = client.head().await;
    assert_eq!(head.status(), 200);
    let told = remaining(head.header("ratelimit"));
    for event in [OPENAI, USAGE, DONE] {
        pass(&exchange, &mut client, event).await;
    }
    exchange.end().await;
    assert_eq!(client.rest().await.1, End::Clean);
    told
}

/// `"budget";r=80;t=9`
fn remaining(state: Option<&str>) -> Option<u32> {
    let rest = state?.split_once(";r=")?.1;
    rest.split(';').next()?.parse().ok()
}

/// Asks, with a failing answer that costs nothing, until so much is left; the estimate is 10.
async fn left(weir: &Weir, upstream: &mut Upstream, expected: u32) {
    eventually(&format!("{expected} tokens to be left"), async || {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/look", &[]).await;
        let exchange = upstream.exchange().await;
        exchange.answer("404 Not Found", &[], "none").await;
        exchange.done();
        let answer = client.answer().await;
        assert_eq!(answer.status(), 404);
        let left = remaining(answer.header("ratelimit"))? + 10;
        (left == expected).then_some(())
    })
    .await;
}

/// `late`: what the store may not have back yet of the look before: it settles beside the answer.
async fn settles_and_carries(store: &str, more: &str, late: u32) {
    let is = |seen: Option<u32>, left: u32| {
        assert!(
            seen.is_some_and(|seen| (left - late..=left).contains(&seen)),
            "{seen:?} of {left}"
        );
    };
    let config =
        store.to_owned() + &limit(&format!("tokens = \"300/366d\"\nestimate = 10\n{more}"));
    let (weir, mut upstream) = stage(&config).await;
    is(run(&weir, &mut upstream).await, 290);
    left(&weir, &mut upstream, 180).await;
    is(run(&weir, &mut upstream).await, 170);
    left(&weir, &mut upstream, 60).await;
    is(run(&weir, &mut upstream).await, 50);
    // Overdrawn by 60: nothing passes until the period's end.
    let refused = eventually("the debt to be known", async || {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/run", &[]).await;
        tokio::select! {
            answer = client.answer() => Some(answer),
            exchange = upstream.exchange() => {
                exchange.answer("404 Not Found", &[], "none").await;
                exchange.done();
                None
            }
        }
    })
    .await;
    assert_eq!(refused.status(), 429);
    let policy = refused.header("ratelimit-policy").unwrap_or_default();
    assert!(policy.contains("q=300;qu=\"tokens\""), "{policy}");
    let labels = [("route", "all"), ("reason", "out_of_tokens")];
    weir.wait_metric("weir_refusals_total", &labels, 1.0).await;
}

#[tokio::test]
async fn a_budget_in_memory() {
    settles_and_carries("", "", 0).await;
}

#[tokio::test]
async fn a_budget_in_redis() {
    let Some(redis) = Redis::start("a_budget_in_redis").await else {
        return;
    };
    let store = format!("[store.redis]\nurl = \"{}\"\n\n", redis.url());
    settles_and_carries(&store, "store = \"redis\"", 10).await;
}

/// An answer that is no stream settles by its own figure too, and not a byte of it is changed.
#[tokio::test]
async fn a_budget_is_settled_by_an_answer_in_one_piece() {
    let config = "models = [\"gpt-x\"]\n".to_owned();
    let upstream = Upstream::start().await;
    let rest = limit("tokens = \"1000/366d\"\nestimate = 10")
        + &everything(upstream.address(), "limit = \"budget\"");
    let weir = weir().top(&config).start(&rest).await;
    let mut upstream = upstream;
    let text = "\\\"usage\\\":{\\\"prompt_tokens\\\":900} ".repeat(40_000);
    let whole = format!(
        "{{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"gpt-x\",\"choices\":[{{\"message\":{{\"content\":\"{text}\"}}}}],\n\
         \"usage\":{{\"prompt_tokens\":70,\"completion_tokens\":50,\"total_tokens\":120}}}}"
    );
    let json = "content-type: application/json; charset=utf-8";
    for (headers, body, cost) in [
        (vec![json], whole.as_str(), 120),
        // What says nothing that can be read costs the estimate.
        (vec![json], "{\"object\":\"chat.completion\"}", 10),
        (vec!["content-type: text/plain"], whole.as_str(), 10),
        (vec![json, "content-encoding: gzip"], whole.as_str(), 10),
    ] {
        let mut client = Client::connect(weir.address()).await;
        client.post("/run", &[], "{}").await;
        let mut exchange = upstream.exchange().await;
        exchange.body().await;
        exchange.answer("200 OK", &headers, body).await;
        exchange.done();
        let answer = client.answer().await;
        assert!(answer.end == End::Clean && answer.text() == body);
        let before = remaining(answer.header("ratelimit")).expect("what is left") + 10;
        left(&weir, &mut upstream, before - cost).await;
    }
    let labels = [("model", "gpt-x"), ("type", "output")];
    weir.wait_metric("llm_tokens_used_total", &labels, 50.0)
        .await;
}

/// Otherwise asking for gzip would be the way past a budget: what streams compressed can be neither counted nor cut.
#[tokio::test]
async fn a_client_cannot_ask_for_what_cannot_be_read() {
    let config = limit("tokens = \"1000/366d\"\nestimate = 10\ncut = true");
    let upstream = Upstream::start().await;
    let keys = "limit = \"budget\"\ncompress = true";
    let config = config + &everything(upstream.address(), keys);
    let (weir, mut upstream) = (weir().start(&config).await, upstream);
    let asks = ["accept-encoding: gzip", "accept-encoding: br, zstd"];
    let json = format!(
        "{{\"object\":\"chat.completion\",\"text\":\"{}\",\"usage\":{{\"prompt_tokens\":70,\"completion_tokens\":50}}}}",
        "word ".repeat(500)
    );
    let stream = OPENAI.to_owned() + USAGE + DONE;
    for (kind, obeys, body, cost, by) in [
        ("application/json", true, &json, 120, "usage"),
        ("text/event-stream", true, &stream, 120, "usage"),
        // One that compresses unasked: what it used stays unknown, and at least what was set aside is paid.
        ("application/json", false, &json, 10, "encoded"),
        ("text/event-stream", false, &stream, 10, "encoded"),
    ] {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/run", &asks).await;
        let exchange = upstream.exchange().await;
        let seen = upstream.requests().pop().expect("the request");
        assert_eq!(
            seen.all("accept-encoding").collect::<Vec<_>>(),
            ["identity"]
        );
        let kind = format!("content-type: {kind}");
        let coded = if obeys {
            "x-coded: no"
        } else {
            "content-encoding: gzip"
        };
        exchange.answer("200 OK", &[&kind, coded], body).await;
        exchange.done();
        let answer = client.answer().await;
        assert!(answer.end == End::Clean && answer.text() == *body, "{kind}");
        let coding = answer.header("content-encoding");
        assert_eq!(
            coding,
            (!obeys).then_some("gzip"),
            "weir compresses none either"
        );
        let before = remaining(answer.header("ratelimit")).expect("what is left") + 10;
        left(&weir, &mut upstream, before - cost).await;
        let labels = [("route", "all"), ("by", by)];
        let settled = weir
            .metrics()
            .await
            .value("weir_token_settlements_total", &labels);
        assert!(settled >= 1.0, "{by}: {settled}");
    }
}

/// The stream of one that never ends by itself: how many events came before it was cut, and what was said then.
async fn cut(store: &str, more: &str) -> (usize, String) {
    let config = store.to_owned()
        + &limit(&format!(
            "tokens = \"100/366d\"\nestimate = 10\ncut = true\n{more}"
        ));
    let (weir, mut upstream) = stage(&config).await;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/run", &[]).await;
    let exchange = upstream.exchange().await;
    exchange.stream().await;
    assert_eq!(client.head().await.status(), 200);
    let mut events = 0;
    let last = loop {
        exchange.chunk(OPENAI).await;
        let event = client.event().await;
        if event != OPENAI {
            break event;
        }
        events += 1;
        assert!(events < 2000, "never cut");
    };
    assert_ne!(client.rest().await.1, End::Clean);
    exchange.gone().await;
    let line = weir.logged("/run").await;
    assert_eq!(line["outcome"], "out_of_tokens");
    assert_eq!(get(weir.address(), "/run", &[]).await.status(), 429);
    (events, last)
}

#[tokio::test]
async fn a_stream_that_overdraws_is_cut_with_its_own_dialects_error() {
    let (events, last) = cut("", "").await;
    assert_eq!(events, 101, "the first one too many is the last");
    assert!(
        last.starts_with("data: {\"error\":") && last.contains("out_of_tokens"),
        "{last}"
    );
}

/// Who asks and leaves has asked: otherwise a loop that never waits for an answer would cost nothing. What was never sent costs nothing.
#[tokio::test]
async fn a_client_that_leaves_before_the_answer_pays_the_estimate() {
    let (weir, mut upstream) = stage(&limit("tokens = \"100/366d\"\nestimate = 10")).await;
    for (number, left_over) in [(1.0, 90), (2.0, 80)] {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/run", &[]).await;
        let exchange = upstream.exchange().await;
        client.close();
        exchange.gone().await;
        let labels = [("route", "all"), ("by", "estimate")];
        weir.wait_metric("weir_token_settlements_total", &labels, number)
            .await;
        left(&weir, &mut upstream, left_over).await;
    }
    drop(upstream);
    assert_eq!(get(weir.address(), "/run", &[]).await.status(), 502);
    let answer = get(weir.address(), "/run", &[]).await;
    assert_eq!(remaining(answer.header("ratelimit")), Some(70));
}

/// A figure that stands first is none of what streams behind it, and one of nothing is none at all.
#[tokio::test]
async fn what_streams_is_paid_for_whatever_the_figure_says() {
    const EARLY: &str = "data: {\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":1}}\n\n";
    const NOTHING: &str = "data: {\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n";
    let (weir, mut upstream) = stage(&limit("tokens = \"1000/366d\"\nestimate = 10")).await;
    for (first, last, whole, left_over) in
        [(EARLY, OPENAI, false, 900), (OPENAI, NOTHING, true, 800)]
    {
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/run", &[]).await;
        let exchange = upstream.exchange().await;
        exchange.stream().await;
        assert_eq!(client.head().await.status(), 200);
        pass(&exchange, &mut client, first).await;
        for _ in 0..98 {
            pass(&exchange, &mut client, OPENAI).await;
        }
        pass(&exchange, &mut client, last).await;
        if whole {
            exchange.end().await;
            assert_eq!(client.rest().await.1, End::Clean);
        } else {
            client.close();
            exchange.gone().await;
        }
        left(&weir, &mut upstream, left_over).await;
    }
}

/// Servers that speak the dialect in their own way: no `object`, only a total, and a length before the stream.
#[tokio::test]
async fn a_stream_that_tells_less_is_settled_all_the_same() {
    let (weir, mut upstream) = stage(&limit("tokens = \"1000/366d\"\nestimate = 10")).await;
    let body = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word\"}}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"total_tokens\":120}}\n\n"
        .to_owned()
        + DONE;
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", "/run", &[]).await;
    let exchange = upstream.exchange().await;
    let kind = ["content-type: text/event-stream"];
    exchange.answer("200 OK", &kind, &body).await;
    exchange.done();
    let answer = client.answer().await;
    assert!(answer.end == End::Clean && answer.text() == body);
    left(&weir, &mut upstream, 880).await;
    let line = weir.logged("/run").await;
    assert_eq!(
        (&line["events"], &line["dialect"]),
        (&3.into(), &"openai-chat".into())
    );
}

/// Pieces of a stream end where the upstream's buffers end, and one may hold a whole answer: neither keeps it from being cut.
#[tokio::test]
async fn a_stream_is_cut_wherever_its_pieces_end() {
    let halves = OPENAI.split_at(40);
    let (mut straddling, mut giant) = (vec![halves.0.to_owned()], String::new());
    for _ in 0..300 {
        straddling.push(halves.1.to_owned() + halves.0);
        giant += OPENAI;
    }
    // As one piece, and with a length by which the client would know that something is missing.
    for (pieces, sized) in [
        (straddling, false),
        (vec![giant.clone()], false),
        (vec![giant], true),
    ] {
        let config = limit("tokens = \"100/366d\"\nestimate = 10\ncut = true");
        let (weir, mut upstream) = stage(&config).await;
        let mut client = Client::connect(weir.address()).await;
        client.request("GET", "/run", &[]).await;
        let exchange = upstream.exchange().await;
        if sized {
            let kind = ["content-type: text/event-stream"];
            exchange.answer("200 OK", &kind, &pieces[0]).await;
        } else {
            exchange.stream().await;
            for piece in &pieces {
                exchange.chunk(piece).await;
            }
        }
        assert_eq!(client.head().await.status(), 200);
        let (body, end) = client.rest().await;
        let body = String::from_utf8(body).expect("text");
        let (events, last) = body.split_at(body.len().min(101 * OPENAI.len()));
        assert_eq!(
            events,
            OPENAI.repeat(101),
            "whole events, and none too many"
        );
        assert_ne!(end, End::Clean);
        let told = last.starts_with("data: {\"error\":") && last.contains("out_of_tokens");
        assert!(if sized { last.is_empty() } else { told }, "{last}");
        exchange.gone().await;
        let line = weir.logged("/run").await;
        assert_eq!(line["outcome"], "out_of_tokens");
        assert_eq!(
            (&line["events"], &line["bytes"]),
            (&101.into(), &body.len().into())
        );
    }
}

#[tokio::test]
async fn a_stream_that_overdraws_in_redis_is_cut_a_little_later() {
    let test = "a_stream_that_overdraws_in_redis_is_cut_a_little_later";
    let Some(redis) = Redis::start(test).await else {
        return;
    };
    let store = format!("[store.redis]\nurl = \"{}\"\n\n", redis.url());
    let (events, last) = cut(&store, "store = \"redis\"").await;
    assert!((74..2000).contains(&events), "{events}");
    assert!(last.contains("out_of_tokens"), "{last}");
    eprintln!("cut after {events} events");
}
