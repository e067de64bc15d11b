//! The usual cast: a weir in front of one upstream that the test plays, and the events of the dialects that weir knows.

use std::net::SocketAddr;

use weir_testkit::{Client, Exchange, Run, Upstream, Weir};

/// The binary under test, not yet running.
pub(crate) fn weir() -> Run {
    Run::new(env!("CARGO_BIN_EXE_weir"))
}

/// An `[upstream.NAME]` with one server and these keys.
pub(crate) fn upstream(name: &str, address: SocketAddr, keys: &str) -> String {
    format!("[upstream.{name}]\nservers = [\"{address}\"]\n{keys}\n\n")
}

/// A route named `all` that sends everything to `up`, with these keys.
pub(crate) fn everything(address: SocketAddr, keys: &str) -> String {
    upstream("up", address, "") + &route("all", "/*", &format!("to = \"up\"\n{keys}"))
}

/// A `[[route]]`.
pub(crate) fn route(name: &str, path: &str, keys: &str) -> String {
    format!("[[route]]\nname = \"{name}\"\npath = \"{path}\"\n{keys}\n\n")
}

/// weir with the route `all` in front of an upstream whose exchanges the test takes.
pub(crate) async fn stage(keys: &str) -> (Weir, Upstream) {
    let upstream = Upstream::start().await;
    let weir = weir().start(&everything(upstream.address(), keys)).await;
    (weir, upstream)
}

/// A client that waits for the answer to `GET target`, and the upstream's side of it.
pub(crate) async fn asked(
    weir: &Weir,
    upstream: &mut Upstream,
    target: &str,
) -> (Client, Exchange) {
    let mut client = Client::connect(weir.address()).await;
    client.request("GET", target, &[]).await;
    (client, upstream.exchange().await)
}

/// A client that has the head of an event stream, and the upstream's side of it.
pub(crate) async fn streaming(
    weir: &Weir,
    upstream: &mut Upstream,
    target: &str,
) -> (Client, Exchange) {
    let (mut client, exchange) = asked(weir, upstream, target).await;
    exchange.stream().await;
    assert_eq!(client.head().await.status(), 200);
    (client, exchange)
}

/// Sends an event and waits until the client has it.
pub(crate) async fn pass(exchange: &Exchange, client: &mut Client, event: &str) {
    exchange.chunk(event).await;
    assert_eq!(client.event().await, event);
}

/// AG-UI's first event.
pub(crate) const RUN_STARTED: &str =
    "data: {\"type\":\"RUN_STARTED\",\"threadId\":\"t-1\",\"runId\":\"r-1\"}\n\n";
/// AG-UI's last event.
pub(crate) const RUN_FINISHED: &str =
    "data: {\"type\":\"RUN_FINISHED\",\"threadId\":\"t-1\",\"runId\":\"r-1\"}\n\n";
/// A piece of text in AG-UI.
pub(crate) const CONTENT: &str =
    "data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"m\",\"delta\":\"word \"}\n\n";
/// A piece of text in OpenAI's chat completions.
pub(crate) const OPENAI: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-x\",\
     \"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"},\"finish_reason\":null}]}\n\n";
/// The end of OpenAI's streams.
pub(crate) const DONE: &str = "data: [DONE]\n\n";
