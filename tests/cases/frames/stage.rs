//! How a case is written and played: what is sent piece by piece, what is waited for in between, and what must come of it.
//!
//! A verdict knows no more than h2spec does: an error may be told by the code it names, or by the end of the connection alone.

use std::time::Duration;

use weir_testkit::{
    H2, Upstream, Weir,
    h2::{ACK, END_HEADERS, END_STREAM, Frame, PREFACE, code, field, frame, kind, pairs, request},
    tls::{Authority, Leaf, Tls},
};

use crate::stage::{everything, weir};

/// One exchange of frames.
pub(super) struct Case {
    /// The section and the number of h2spec's case, and what it does.
    pub(super) id: &'static str,
    steps: Vec<Step>,
    verdict: Verdict,
    /// Without the handshake in front.
    bare: bool,
}

/// One step of a case.
pub(super) enum Step {
    /// Sent with one write.
    Send(Vec<u8>),
    /// Waited for: the end of an answer.
    Answered,
    /// Waited for: the acknowledgement of settings.
    Acknowledged,
    /// Waited for: a piece of a body.
    Piece,
}

/// What must come of a case.
#[derive(Debug)]
pub(super) enum Verdict {
    /// GOAWAY with one of these codes, or the end of the connection.
    ConnectionError(&'static [u32]),
    /// RST_STREAM or GOAWAY with one of these codes, or the end of the connection.
    StreamError(&'static [u32]),
    /// The end of the connection.
    Closed,
    /// GOAWAY with this code, and no end of the connection in its stead.
    GoAway(u32),
    /// RST_STREAM with this code on this stream.
    Reset(u32, u32),
    /// HEADERS on this stream.
    Answer(u32),
    /// DATA, the first of it so long.
    Data(usize),
    /// The answer to a PING with these bytes, and to no other.
    Pong([u8; 8]),
    /// The same, or the end of the connection.
    PongOrClosed([u8; 8]),
    /// The request is none: 4xx, or RST_STREAM for a mistake in the protocol, or the end of the connection.
    Refused,
    /// SETTINGS that acknowledge nothing come first of all.
    Settings,
    /// The acknowledgement of settings.
    Acknowledged,
}

/// A case behind the handshake.
pub(super) fn case(id: &'static str, steps: Vec<Step>, verdict: Verdict) -> Case {
    Case {
        id,
        steps,
        verdict,
        bare: false,
    }
}

/// A case that has the connection from its first byte.
pub(super) fn bare(id: &'static str, steps: Vec<Step>, verdict: Verdict) -> Case {
    Case {
        bare: true,
        ..case(id, steps, verdict)
    }
}

/// One frame.
pub(super) fn send(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Step {
    Step::Send(frame(kind, flags, stream, payload.as_ref()))
}

/// HEADERS of a whole request without a body.
pub(super) fn get(stream: u32) -> Step {
    headers(stream, &block("GET"))
}

/// HEADERS of a request whose body is to come.
pub(super) fn post(stream: u32) -> Step {
    send(kind::HEADERS, END_HEADERS, stream, block("POST"))
}

/// HEADERS that are all there is to the request.
pub(super) fn headers(stream: u32, block: &[u8]) -> Step {
    send(kind::HEADERS, END_HEADERS | END_STREAM, stream, block)
}

/// The fields of a request for `/`.
pub(super) fn block(method: &str) -> Vec<u8> {
    request(method, "/", &[])
}

/// The same with more behind them.
pub(super) fn block_and(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    request(method, "/", more)
}

/// A field of four thousand bytes.
pub(super) fn filler() -> Vec<u8> {
    field("x-dummy0", &"x".repeat(4000))
}

pub(super) fn data(stream: u32, end: bool, bytes: impl AsRef<[u8]>) -> Step {
    send(kind::DATA, u8::from(end), stream, bytes)
}

/// PRIORITY: depends on `on`, with this weight.
pub(super) fn priority(stream: u32, on: u32, weight: u8) -> Step {
    send(kind::PRIORITY, 0, stream, dependency(on, weight))
}

/// The five bytes of a priority; the highest bit of `on` makes it exclusive.
pub(super) fn dependency(on: u32, weight: u8) -> Vec<u8> {
    [&on.to_be_bytes()[..], &[weight]].concat()
}

pub(super) fn reset(stream: u32, code: u32) -> Step {
    send(kind::RST_STREAM, 0, stream, code.to_be_bytes())
}

pub(super) fn window(stream: u32, by: u32) -> Step {
    send(kind::WINDOW_UPDATE, 0, stream, by.to_be_bytes())
}

pub(super) fn settings(values: &[(u16, u32)]) -> Step {
    send(kind::SETTINGS, 0, 0, pairs(values))
}

pub(super) fn ping(bytes: [u8; 8]) -> Step {
    send(kind::PING, 0, 0, bytes)
}

/// CONTINUATION; `end`: of the header block.
pub(super) fn continuation(stream: u32, end: bool, block: impl AsRef<[u8]>) -> Step {
    let flags = if end { END_HEADERS } else { 0 };
    send(kind::CONTINUATION, flags, stream, block)
}

/// The preface, and settings behind it.
pub(super) fn hello() -> Step {
    let settings = frame(kind::SETTINGS, 0, 0, &pairs(&[(4, 65_535)]));
    Step::Send([PREFACE, &settings].concat())
}

/// A running weir, in clear and by TLS, before an upstream that answers everything.
pub(super) struct Stage {
    pub(super) weir: Weir,
    tls: Tls,
    pub(super) upstream: Upstream,
}

/// By which way the frames come.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    PriorKnowledge,
    Alpn,
}

impl Stage {
    pub(super) async fn start() -> Self {
        let upstream = Upstream::saying("twelve bytes").await;
        let authority = Authority::new("ca");
        let site = authority.sign(Leaf::server(&["a.test"]));
        let config = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"a.crt\", key = \"a.key\" }\n\n"
            .to_owned()
            + &everything(upstream.address(), "");
        let weir = weir()
            .file("a.crt", &site.certificate)
            .file("a.key", &site.key)
            .start(&config)
            .await;
        Self {
            weir,
            tls: Tls::to("a.test", &authority),
            upstream,
        }
    }

    /// Plays a case; says what came instead of what should.
    pub(super) async fn run(&self, case: &Case, by: By) -> Result<(), String> {
        let mut client = match by {
            By::PriorKnowledge => H2::silent(self.weir.address()).await,
            By::Alpn => H2::silent_secured(self.weir.listeners()[1], &self.tls).await,
        };
        let mut came = Vec::new();
        let played =
            tokio::time::timeout(Duration::from_secs(10), case.play(&mut client, &mut came));
        match played.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("the end after {came:?}")),
            Err(_) => Err(format!("silence after {came:?}")),
        }
    }
}

impl Case {
    /// Whether the verdict came true before the connection ended.
    async fn play(&self, client: &mut H2, came: &mut Vec<Frame>) -> bool {
        if !self.bare && !handshake(client).await {
            return false;
        }
        for step in &self.steps {
            let waited: fn(&Frame) -> bool = match step {
                // weir may have closed already, which the verdict will find.
                Step::Send(bytes) => {
                    let _ = client.send(bytes).await;
                    continue;
                }
                Step::Answered => Frame::ends,
                Step::Acknowledged => is_ack,
                Step::Piece => |frame| frame.kind == kind::DATA,
            };
            loop {
                match client.frame_as_it_comes().await {
                    Some(frame) if waited(&frame) => break,
                    Some(frame) => came.push(frame),
                    None => return false,
                }
            }
        }
        loop {
            let frame = client.frame_as_it_comes().await;
            if let Some(holds) = self.verdict.of(frame.as_ref()) {
                came.extend(frame.filter(|_| !holds));
                return holds;
            }
            came.extend(frame);
        }
    }
}

impl Verdict {
    /// Whether it came true with this frame, or with the end of the connection; `None`: more must come.
    fn of(&self, frame: Option<&Frame>) -> Option<bool> {
        use Verdict::{
            Acknowledged, Answer, Closed, ConnectionError, Data, GoAway, Pong, PongOrClosed,
            Refused, Reset, Settings, StreamError,
        };
        let Some(frame) = frame else {
            return Some(matches!(
                self,
                ConnectionError(_) | StreamError(_) | Closed | PongOrClosed(_) | Refused
            ));
        };
        let is = |expected: bool| expected.then_some(true);
        match (self, frame.kind) {
            (ConnectionError(codes), kind::GOAWAY)
            | (StreamError(codes), kind::GOAWAY | kind::RST_STREAM) => {
                is(frame.code().is_some_and(|code| codes.contains(&code)))
            }
            (GoAway(code), kind::GOAWAY) => Some(frame.code() == Some(*code)),
            (Reset(code, stream), kind::RST_STREAM) => {
                Some((frame.code(), frame.stream) == (Some(*code), *stream))
            }
            (Refused, kind::HEADERS) => Some((400..500).contains(&frame.status())),
            (Refused, kind::RST_STREAM | kind::GOAWAY) => {
                let codes = [code::PROTOCOL_ERROR, code::COMPRESSION_ERROR];
                Some(frame.code().is_some_and(|code| codes.contains(&code)))
            }
            (Answer(stream), kind::HEADERS) => Some(frame.stream == *stream),
            (Data(length), kind::DATA) => Some(frame.payload.len() == *length),
            (Pong(bytes) | PongOrClosed(bytes), kind::PING) => {
                Some(frame.flags & ACK != 0 && frame.payload == bytes)
            }
            (Settings, _) => Some(frame.kind == kind::SETTINGS && frame.flags & ACK == 0),
            (Acknowledged, kind::SETTINGS) => Some(is_ack(frame)),
            _ => None,
        }
    }
}

fn is_ack(frame: &Frame) -> bool {
    frame.kind == kind::SETTINGS && frame.flags & ACK != 0
}

/// Both sides' settings, told and acknowledged.
async fn handshake(client: &mut H2) -> bool {
    let Step::Send(hello) = hello() else {
        return false;
    };
    let _ = client.send(&hello).await;
    let (mut told, mut acknowledged) = (false, false);
    while !(told && acknowledged) {
        match client.frame_as_it_comes().await {
            Some(frame) if is_ack(&frame) => acknowledged = true,
            Some(frame) if frame.kind == kind::SETTINGS => {
                client.frame(kind::SETTINGS, ACK, 0, &[]).await;
                told = true;
            }
            Some(_) => {}
            None => return false,
        }
    }
    true
}

/// The codes that most cases allow.
pub(super) const PROTOCOL: &[u32] = &[code::PROTOCOL_ERROR];
pub(super) const FRAME_SIZE: &[u32] = &[code::FRAME_SIZE_ERROR];
pub(super) const STREAM_CLOSED: &[u32] = &[code::STREAM_CLOSED];
pub(super) const FLOW_CONTROL: &[u32] = &[code::FLOW_CONTROL_ERROR];
pub(super) const COMPRESSION: &[u32] = &[code::COMPRESSION_ERROR];
pub(super) const CLOSED_OR_PROTOCOL: &[u32] = &[code::STREAM_CLOSED, code::PROTOCOL_ERROR];
