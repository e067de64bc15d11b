//! What comes through does not depend on how the bytes were cut, for bytes that are nearly messages.

use proptest::prelude::*;
use weir_wire::{Fault, Intake, Messages, Requests, Stop};

fn through(messages: impl Messages, bytes: &[u8], size: usize) -> (Vec<u8>, Option<&'static str>) {
    let mut intake = Intake::new(messages);
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        let passed = intake.admit(piece);
        out.extend_from_slice(&piece[..passed]);
        let mut kept = [0; 16];
        loop {
            match intake.take(&mut kept) {
                0 => break,
                count => out.extend_from_slice(&kept[..count]),
            }
        }
    }
    intake.end();
    // Which of several faults is found first may depend on the pieces.
    let stopped = intake.stopped().map(|stop| match stop {
        Stop::Head(_) => "head",
        Stop::Body(_) => "body",
        Stop::Over => "over",
    });
    (out, stopped)
}

/// Pieces of messages in any order.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b HTTP/1.1\r\n",
        "GET / HTTP/1.0\r\n",
        "Host: a.test\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Upgrade: x\r\n",
        "\r\n",
        "\r\n\r\n",
        "\r",
        "\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "0\r\n",
        "A: b\r\n",
        " ",
        ":",
        "5;a=b\r\n",
        "\0",
        "#",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn requests_in_any_pieces(bytes in nearly(), size in 1usize..40) {
        let whole = through(Requests::default(), &bytes, bytes.len().max(1));
        prop_assert!(whole.0.len() <= bytes.len());
        prop_assert_eq!(whole, through(Requests::default(), &bytes, size));
    }

    #[test]
    fn no_bytes_are_too_much(bytes: Vec<u8>, size in 1usize..9) {
        through(Requests::default(), &bytes, size);
    }
}

#[test]
fn what_follows_an_upgrade_waits_for_its_answer() {
    const ASKS: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n";
    for (switched, comes) in [(true, &b"\x00\x01 not HTTP"[..]), (false, b"")] {
        let mut intake = Intake::new(Requests::default());
        assert_eq!(intake.admit(ASKS), ASKS.len());
        assert_eq!(intake.admit(b"\x00\x01 not HTTP"), 0);
        assert!(intake.waits());
        intake.tell(|requests| requests.answered(switched));
        let mut out = [0; 64];
        let count = intake.take(&mut out);
        assert_eq!(&out[..count], comes);
        let stop = (!switched).then_some(Stop::Head(Fault::RequestLine));
        assert_eq!(intake.stopped(), stop);
    }
}
