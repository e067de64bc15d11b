//! hyper's client reads the same bytes: both refuse, or both give the same head, body and trailers. Where weir is stricter, the rule has a name.

use crate::script::{Script, get};
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

/// What hyper takes and weir refuses.
const STRICTER: [&str; 8] = [
    // Empty lines before it.
    "status_line",
    // `+5`, `05`, `5, 5`.
    "content_length",
    // Twice the same.
    "content_length_twice",
    // `gzip, chunked`.
    "transfer_encoding",
    "transfer_encoding_twice",
    "transfer_encoding_in_http_1_0",
    // Blanks around the size, bare LF, controls in extensions.
    "chunk",
    "trailer",
];

#[derive(Debug, Default, PartialEq)]
struct Seen {
    head: Option<(u16, HeaderMap)>,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    whole: bool,
}

fn by_hyper(pieces: &[Vec<u8>]) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let (mut send, driver) = hyper::client::conn::http1::handshake(TokioIo::new(near))
            .await
            .expect("a handshake");
        tokio::spawn(driver);
        let pieces = pieces.to_vec();
        let ask = http::Request::get("/").body(Empty::<Bytes>::new());
        let answer = send.send_request(ask.expect("a request"));
        let write = async move {
            // hyper takes an answer that comes before its request for a fault of the connection.
            tokio::task::yield_now().await;
            let mut asked = [0; 1024];
            let _ = tokio::io::AsyncReadExt::read(&mut far, &mut asked).await;
            for piece in pieces {
                let _ = far.write_all(&piece).await;
                tokio::task::yield_now().await;
            }
            let _ = far.shutdown().await;
            // Kept open for writing, as a server would.
            far
        };
        let (answer, _far) = tokio::join!(answer, write);
        let mut seen = Seen::default();
        let Ok(answer) = answer else { return seen };
        let (head, mut body) = answer.into_parts();
        seen.head = Some((head.status.as_u16(), head.headers));
        loop {
            match body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => seen.body.extend_from_slice(&data),
                    Err(frame) => seen.trailers = frame.into_trailers().ok(),
                },
                Some(Err(_)) => return seen,
                None => {
                    seen.whole = true;
                    return seen;
                }
            }
        }
    })
}

fn by_weir(pieces: &[Vec<u8>]) -> (Seen, Option<String>) {
    let script = Script {
        pieces: pieces.to_vec().into(),
        ..Script::default()
    };
    let (heard, _) = get(script);
    let seen = Seen {
        body: heard.frames.concat(),
        whole: heard.head.is_some() && heard.fault.is_none(),
        head: heard.head,
        trailers: heard.trailers,
    };
    (seen, heard.fault)
}

fn agree(bytes: &[u8], cuts: &[prop::sample::Index]) -> Result<(), TestCaseError> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let pieces: Vec<Vec<u8>> = cuts
        .windows(2)
        .map(|cut| bytes[cut[0]..cut[1]].to_vec())
        .filter(|piece| !piece.is_empty())
        .collect();
    let (weir, fault) = by_weir(&pieces);
    let hyper = by_hyper(&pieces);
    let text = String::from_utf8_lossy(bytes);
    if weir.whole && hyper.whole {
        prop_assert_eq!(weir, hyper, "{:?}", text);
    } else if weir.whole {
        prop_assert!(
            false,
            "hyper refuses, weir takes: {text:?} {weir:?} {hyper:?}"
        );
    } else if hyper.whole {
        let class = fault.unwrap_or_default();
        prop_assert!(STRICTER.contains(&class.as_str()), "{class}: {text:?}");
    } else {
        let (short, long) = if weir.body.len() < hyper.body.len() {
            (&weir.body, &hyper.body)
        } else {
            (&hyper.body, &weir.body)
        };
        prop_assert!(long.starts_with(short), "{text:?}");
    }
    Ok(())
}

/// Answers as servers send them.
fn answer() -> impl Strategy<Value = Vec<u8>> {
    let status = prop::sample::select(vec![
        "200 OK", "200 ", "200", "204 No", "304 Not", "404 No", "500 x y",
    ]);
    let version = prop::sample::select(vec!["HTTP/1.1", "HTTP/1.0"]);
    let end = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n"]);
    let name = prop::sample::select(vec!["Server", "set-cookie", "X-A", "Connection", "Date"]);
    let value = prop::sample::select(vec![
        "a",
        "",
        "  b c\t",
        "close",
        "keep-alive",
        "x=\u{e9}; y",
    ]);
    let lines = prop::collection::vec((name, value), 0..5);
    let interim = prop::sample::select(vec![
        "",
        "",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 H\r\nLink: a\r\n\r\n",
    ]);
    let chunks = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5);
    let trailers = prop::sample::select(vec!["", "", "X-Sum: 1\r\n", "A: b\r\nC: d\r\n"]);
    let extension = prop::sample::select(vec!["", "", ";a=b", ";\"q\""]);
    (
        interim,
        version,
        status,
        lines,
        chunks,
        0..3,
        trailers,
        extension,
        end,
    )
        .prop_map(
            |(interim, version, status, lines, chunks, framing, trailers, extension, end)| {
                let mut out = interim.as_bytes().to_vec();
                out.extend_from_slice(format!("{version} {status}{end}").as_bytes());
                for (name, value) in lines {
                    out.extend_from_slice(format!("{name}: {value}{end}").as_bytes());
                }
                let whole = chunks.concat();
                match framing {
                    0 => {
                        out.extend_from_slice(
                            format!("content-length: {}{end}{end}", whole.len()).as_bytes(),
                        );
                        out.extend_from_slice(&whole);
                    }
                    1 if version == "HTTP/1.1" => {
                        out.extend_from_slice(
                            format!("transfer-encoding: chunked{end}{end}").as_bytes(),
                        );
                        for chunk in chunks {
                            out.extend_from_slice(
                                format!("{:X}{extension}\r\n", chunk.len()).as_bytes(),
                            );
                            out.extend_from_slice(&chunk);
                            out.extend_from_slice(b"\r\n");
                        }
                        out.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
                    }
                    _ => {
                        out.extend_from_slice(end.as_bytes());
                        out.extend_from_slice(&whole);
                    }
                }
                out
            },
        )
}

/// What an attacker or a broken server would put somewhere.
fn mutation() -> impl Strategy<Value = (prop::sample::Index, usize, &'static [u8])> {
    let words: Vec<&'static [u8]> = vec![
        b"",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b":",
        b"\0",
        b"\x7f",
        b"0",
        b"5",
        b"f",
        b"z",
        b";",
        b"+",
        b"-",
        b",",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b" folded\r\n",
        b"0\r\n\r\n",
    ];
    (
        any::<prop::sample::Index>(),
        0usize..4,
        prop::sample::select(words),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn well_formed_answers(bytes in answer(), cuts: Vec<prop::sample::Index>) {
        agree(&bytes, &cuts)?;
    }

    #[test]
    fn mutated_answers(
        mut bytes in answer(),
        mutations in prop::collection::vec(mutation(), 1..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        for (at, gone, word) in mutations {
            let at = at.index(bytes.len() + 1);
            let end = (at + gone).min(bytes.len());
            bytes.splice(at..end, word.iter().copied());
        }
        agree(&bytes, &cuts)?;
    }

    /// What is heard does not depend on how the bytes were cut.
    #[test]
    fn pieces_make_no_difference(mut bytes in answer(), mutations in prop::collection::vec(mutation(), 0..3), size in 1usize..40) {
        for (at, gone, word) in mutations {
            let at = at.index(bytes.len() + 1);
            let end = (at + gone).min(bytes.len());
            bytes.splice(at..end, word.iter().copied());
        }
        let whole = by_weir(std::slice::from_ref(&bytes));
        let pieces: Vec<Vec<u8>> = bytes.chunks(size).map(<[u8]>::to_vec).collect();
        let cut = by_weir(&pieces);
        prop_assert_eq!(whole.0, cut.0);
        // Which of several faults is found first may depend on the pieces.
        prop_assert_eq!(whole.1.is_some(), cut.1.is_some());
    }
}

#[test]
fn hyper_is_asked_as_well() {
    let seen = by_hyper(&[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_vec()]);
    assert_eq!((seen.body, seen.whole), (b"hi".to_vec(), true));
}
