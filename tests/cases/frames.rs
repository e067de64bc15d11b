//! HTTP/2 frame by frame, as data: what is sent and what must come of it. The cases are those of h2spec 2.6 (github.com/summerwind/h2spec), all
//! 147 of them with its verdicts, by bytes of our own; each is played in clear with prior knowledge and by TLS with ALPN.

mod definitions;
mod flow;
mod generic;
mod hpack;
mod malformed;
mod messages;
mod stage;
mod streams;

use futures_util::{StreamExt, stream};
use stage::{By, Case, Stage};
use weir_testkit::{
    H2,
    h2::{END_HEADERS, END_STREAM, Ended, field, kind},
};

use crate::stage::stage as one_upstream;

fn h2spec() -> Vec<Case> {
    [
        generic::streams(),
        generic::frames(),
        generic::messages(),
        generic::fields(),
        streams::framing(),
        streams::states(),
        streams::identifiers(),
        definitions::of_streams(),
        definitions::of_connections(),
        flow::windows(),
        flow::blocks_in_pieces(),
        messages::all(),
        hpack::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Plays all cases, a few at a time; every failure is told at once.
async fn hold(stage: &Stage, cases: &[Case], by: By) {
    let failures: Vec<String> = stream::iter(cases)
        .map(async |case| {
            let played = stage.run(case, by).await;
            played.err().map(|why| format!("{}: {why}", case.id))
        })
        .buffer_unordered(16)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(
        failures.is_empty(),
        "{} of {} cases failed {by:?}:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

#[tokio::test]
async fn all_of_h2spec_with_prior_knowledge() {
    let cases = h2spec();
    assert_eq!(cases.len(), 147);
    let stage = Stage::start().await;
    hold(&stage, &cases, By::PriorKnowledge).await;
    let errors = stage.weir.metrics().await;
    let counted = errors.value(
        "weir_connection_errors_total",
        &[("reason", "http2_malformed")],
    );
    assert!(counted > 40.0, "{}", errors.text());
}

#[tokio::test]
async fn all_of_h2spec_by_alpn() {
    hold(&Stage::start().await, &h2spec(), By::Alpn).await;
}

#[tokio::test]
async fn malformed_requests_are_refused_and_never_forwarded() {
    let stage = Stage::start().await;
    hold(&stage, &malformed::refused(), By::PriorKnowledge).await;
    let seen = stage.upstream.requests();
    assert!(seen.is_empty(), "{seen:?}");
}

/// What the library lets pass, or takes out before anybody could refuse it, does no harm behind.
#[tokio::test]
async fn documented_differences_end_here() {
    let (weir, mut upstream) = one_upstream("").await;
    let mut client = H2::connect(weir.address()).await;
    client
        .ask(1, "POST", "/a?b#c", &[("x-a", " a ")], false)
        .await;
    client.data(1, b"test", false).await;
    let trailers = [field(":path", "/evil"), field("x-test", "ok")].concat();
    client
        .frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &trailers)
        .await;
    let mut exchange = upstream.exchange().await;
    assert_eq!(exchange.head.target(), "/a?b");
    assert_eq!(exchange.header("x-a"), Some("a"));
    assert_eq!(exchange.body().await, b"test");
    assert!(exchange.body_done());
    exchange.answer("200 OK", &[], "yes").await;
    exchange.done();
    assert_eq!(client.status(1).await, 200);
    assert_eq!(client.rest(1).await, (b"yes".to_vec(), Ended::Clean));
    assert_eq!(upstream.requests().len(), 1);
}
