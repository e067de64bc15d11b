//! What upstreams may say, as data: the bytes of an answer, what the client makes of them, and whether the connection is used again.
//! The request after it must get its own answer, whatever was left behind the one before.

use weir_testkit::{Client, End, Upstream, eventually};

use crate::stage::{everything, weir};

/// An answer of the upstream and what becomes of it.
struct Case {
    id: &'static str,
    method: &'static str,
    said: String,
    /// Whether the upstream closes after it.
    closes: bool,
    status: u16,
    /// The body, and whether it ends well; `None`: it is weir's own.
    body: Option<(&'static str, bool)>,
    /// Whether the upstream's connection is used again.
    reused: bool,
}

/// Refused: 502, and the connection is not used again.
fn refused(id: &'static str, said: impl Into<String>) -> Case {
    Case {
        id,
        method: "GET",
        said: said.into(),
        closes: false,
        status: 502,
        body: None,
        reused: false,
    }
}

/// Passed on whole.
fn passed(id: &'static str, said: impl Into<String>, body: &'static str, reused: bool) -> Case {
    Case {
        status: 200,
        body: Some((body, true)),
        reused,
        ..refused(id, said)
    }
}

/// Passed on as far as it was right, and ended uncleanly.
fn broken(id: &'static str, said: impl Into<String>, body: &'static str) -> Case {
    Case {
        body: Some((body, false)),
        ..passed(id, said, "", false)
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\n";
const EVIL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";

fn table() -> Vec<Case> {
    let with = |rest: &str| format!("{OK}{rest}");
    let mut table = vec![
        passed("a length", with("content-length: 2\r\n\r\nhi"), "hi", true),
        passed(
            "chunks",
            with("transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
            "hi",
            true,
        ),
        passed(
            "chunks in capitals",
            with("Transfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
            "hi",
            true,
        ),
        passed(
            "trailers",
            with("transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-A: b\r\n\r\n"),
            "hi",
            true,
        ),
        passed(
            "extensions",
            with("transfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0;c\r\n\r\n"),
            "hi",
            true,
        ),
        passed("nothing", with("content-length: 0\r\n\r\n"), "", true),
        passed(
            "lines ended by LF",
            "HTTP/1.1 200 OK\ncontent-length: 2\n\nhi",
            "hi",
            true,
        ),
        passed(
            "no reason phrase",
            "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nhi",
            "hi",
            true,
        ),
        passed(
            "an empty reason phrase",
            "HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nhi",
            "hi",
            true,
        ),
        passed(
            "interim answers before",
            format!(
                "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n{OK}content-length: 2\r\n\r\nhi"
            ),
            "hi",
            true,
        ),
        passed(
            "27 a length beside chunks",
            with("content-length: 30\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
            "hi",
            false,
        ),
        passed(
            "27 chunks beside a length",
            with("transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
            "hi",
            false,
        ),
        passed(
            "29 an answer nobody asked for",
            with(&format!("content-length: 2\r\n\r\nhi{EVIL}")),
            "hi",
            false,
        ),
        passed(
            "29 bytes behind a length",
            with("content-length: 2\r\n\r\nhiXX"),
            "hi",
            false,
        ),
        passed(
            "29 an answer behind chunks",
            with(&format!(
                "transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n{EVIL}"
            )),
            "hi",
            false,
        ),
        passed(
            "29 an empty line behind",
            with("content-length: 2\r\n\r\nhi\r\n"),
            "hi",
            false,
        ),
        passed(
            "29 bytes behind nothing",
            with(&format!("content-length: 0\r\n\r\n{EVIL}")),
            "",
            false,
        ),
        passed(
            "Connection: close",
            with("connection: close\r\ncontent-length: 2\r\n\r\nhi"),
            "hi",
            false,
        ),
        passed(
            "HTTP/1.0 with a length",
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
            "hi",
            false,
        ),
        refused(
            "28 TE.TE",
            with("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        refused(
            "28 chunked, chunked",
            with("transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        ),
        refused(
            "28 gzip, chunked",
            with("transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ),
        refused(
            "28 chunked, gzip",
            with("transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
        ),
        refused("28 identity", with("transfer-encoding: identity\r\n\r\nhi")),
        refused(
            "28 ,chunked",
            with("transfer-encoding: ,chunked\r\n\r\n0\r\n\r\n"),
        ),
        refused(
            "28 HTTP/1.0 with chunks",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        refused(
            "two lengths",
            with("content-length: 2\r\ncontent-length: 3\r\n\r\nhi!"),
        ),
        refused(
            "two equal lengths",
            with("content-length: 2\r\ncontent-length: 2\r\n\r\nhi"),
        ),
        refused("a list of lengths", with("content-length: 2, 2\r\n\r\nhi")),
        refused("a length with a sign", with("content-length: +2\r\n\r\nhi")),
        refused("a length with a zero", with("content-length: 02\r\n\r\nhi")),
        refused(
            "a length that is negative",
            with("content-length: -2\r\n\r\nhi"),
        ),
        refused(
            "a length of 2^64",
            with("content-length: 18446744073709551616\r\n\r\nhi"),
        ),
        refused("an empty length", with("content-length:\r\n\r\nhi")),
        refused("NUL in a value", with("x-a: \0\r\n\r\n")),
        refused("CR in a value", with("x-a: b\rset-cookie: c\r\n\r\n")),
        refused(
            "a space before a colon",
            with("x-a : b\r\ncontent-length: 2\r\n\r\nhi"),
        ),
        refused(
            "a folded header",
            with("x-a: b\r\n c\r\ncontent-length: 2\r\n\r\nhi"),
        ),
        refused("a header without a colon", with("nonsense\r\n\r\n")),
        refused("a name that is none", with("x a: b\r\n\r\n")),
        refused("nonsense", "nonsense\r\n\r\n"),
        refused("HTTP/0.9", "hello\r\n"),
        refused("HTTP/2", "HTTP/2 200 OK\r\n\r\n"),
        refused("HTTP/1.2", "HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
        refused(
            "small letters",
            "http/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        ),
        refused("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"),
        refused("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"),
        refused("a status of letters", "HTTP/1.1 abc OK\r\n\r\n"),
        refused("a status below all", "HTTP/1.1 099 OK\r\n\r\n"),
        refused(
            "a status above all",
            "HTTP/1.1 600 OK\r\ncontent-length: 2\r\n\r\nhi",
        ),
        refused(
            "the highest of three digits",
            "HTTP/1.1 999 Request denied\r\ncontent-length: 0\r\n\r\n",
        ),
        Case {
            status: 599,
            ..passed(
                "the last status there is",
                "HTTP/1.1 599 Odd\r\ncontent-length: 2\r\n\r\nhi",
                "hi",
                true,
            )
        },
        refused(
            "an empty line first",
            format!("\r\n{OK}content-length: 2\r\n\r\nhi"),
        ),
        refused(
            "70 another protocol nobody asked for",
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n",
        ),
        refused(
            "interim answers without end",
            "HTTP/1.1 102 Processing\r\n\r\n".repeat(100),
        ),
        refused(
            "88c a header of 1 MB",
            with(&format!("x-a: {}\r\n\r\n", "b".repeat(1_000_000))),
        ),
        refused(
            "88c a hundred thousand cookies",
            with(&"set-cookie: a=b\r\n".repeat(100_000)),
        ),
        refused(
            "88c a status line without end",
            format!("HTTP/1.1 200 {}", "b".repeat(100_000)),
        ),
        broken(
            "a chunk's size is none",
            with("transfer-encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n"),
            "hi",
        ),
        broken(
            "a chunk spills",
            with("transfer-encoding: chunked\r\n\r\n2\r\nhixx\r\n0\r\n\r\n"),
            "hi",
        ),
        broken(
            "a chunk ended by LF",
            with("transfer-encoding: chunked\r\n\r\n2\r\nhi\n0\r\n\r\n"),
            "hi",
        ),
        broken(
            "a size ended by LF",
            with("transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\n\r\n"),
            "hi",
        ),
        broken(
            "a request in place of trailers",
            with("transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nGET / HTTP/1.1\r\n\r\n"),
            "hi",
        ),
    ];
    for (id, said) in [
        ("HEAD with a length", "content-length: 9\r\n\r\n"),
        ("HEAD with chunks", "transfer-encoding: chunked\r\n\r\n"),
    ] {
        table.push(Case {
            method: "HEAD",
            ..passed(id, with(said), "", true)
        });
    }
    table.push(Case {
        method: "HEAD",
        ..passed(
            "HEAD with a body all the same",
            with("content-length: 2\r\n\r\nhi"),
            "",
            false,
        )
    });
    for (id, said, status, reused) in [
        ("204", "HTTP/1.1 204 No Content\r\n\r\n", 204, true),
        (
            "204 with a body",
            "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nhi",
            204,
            false,
        ),
        (
            "304 with a length",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
            304,
            true,
        ),
    ] {
        table.push(Case {
            status,
            ..passed(id, said, "", reused)
        });
    }
    for (id, said, body) in [
        (
            "cut within a length",
            with("content-length: 9\r\n\r\nhi"),
            "hi",
        ),
        (
            "cut within a chunk",
            with("transfer-encoding: chunked\r\n\r\n9\r\nhi"),
            "hi",
        ),
        (
            "cut before the last chunk",
            with("transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"),
            "hi",
        ),
        (
            "cut within the last chunk",
            with("transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"),
            "hi",
        ),
    ] {
        table.push(Case {
            closes: true,
            ..broken(id, said, body)
        });
    }
    for (id, said) in [
        ("cut within the head", with("content-le")),
        (
            "cut after an interim answer",
            "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        ),
    ] {
        table.push(Case {
            closes: true,
            ..refused(id, said)
        });
    }
    table.push(Case {
        closes: true,
        ..passed("ended by closing", with("\r\nhi"), "hi", false)
    });
    table
}

#[tokio::test]
async fn answers() {
    let mut up = Upstream::start().await;
    let weir = weir()
        .top("workers = 1")
        .start(&everything(up.address(), ""))
        .await;
    let mut failures = Vec::new();
    let table = table();
    for case in &table {
        if let Err(why) = play(case, &mut up, weir.address()).await {
            failures.push(format!("{}: {why}", case.id));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        table.len(),
        failures.join("\n")
    );
}

async fn play(case: &Case, up: &mut Upstream, weir: std::net::SocketAddr) -> Result<(), String> {
    let mut client = Client::connect(weir).await;
    client.request(case.method, "/first", &[]).await;
    let first = up.exchange().await;
    let connection = first.connection();
    if case.closes {
        first.close_with(&case.said).await;
    } else {
        first.send(&case.said).await;
        first.done();
    }
    let answer = client.answer().await;
    if answer.status() != case.status {
        return Err(format!("answered {}, not {}", answer.status(), case.status));
    }
    if answer.head.header("transfer-encoding").is_some()
        && answer.head.header("content-length").is_some()
    {
        return Err("a length beside chunks went on to the client".to_owned());
    }
    if let Some((body, clean)) = case.body
        && (answer.text(), answer.end == End::Clean) != (body.to_owned(), clean)
    {
        return Err(format!(
            "the client got {:?} and {:?}",
            answer.text(),
            answer.end
        ));
    }
    let mut next = Client::connect(weir).await;
    next.request("GET", "/second", &[]).await;
    let second = up.exchange().await;
    if (second.connection() == connection) != case.reused {
        return Err(format!("the connection was used again: {}", !case.reused));
    }
    second.answer("200 OK", &[], "its own").await;
    second.done();
    let answer = next.answer().await;
    if (answer.status(), answer.text().as_str()) != (200, "its own") {
        return Err(format!(
            "the next client got {} {:?}",
            answer.status(),
            answer.text()
        ));
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_before_the_body_was_sent_ends_the_connection() {
    let mut up = Upstream::start().await;
    let weir = weir()
        .top("workers = 1")
        .start(&everything(up.address(), ""))
        .await;
    let mut client = Client::connect(weir.address()).await;
    client
        .send("POST /first HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nhalf")
        .await;
    let first = up.exchange().await;
    let connection = first.connection();
    first.answer("403 Forbidden", &[], "no").await;
    assert_eq!(client.answer().await.status(), 403);
    first.gone().await;
    // The rest of the body is a request: it must not be taken for one.
    let _ = client
        .try_send("GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    client.closed().await;

    let mut next = Client::connect(weir.address()).await;
    next.request("GET", "/second", &[]).await;
    let second = up.exchange().await;
    assert_eq!(second.head.target(), "/second");
    assert_ne!(second.connection(), connection);
    second.answer("200 OK", &[], "").await;
    assert_eq!(next.answer().await.status(), 200);
    eventually("nothing else to arrive", async || {
        up.pending().is_none().then_some(())
    })
    .await;
}
