//! The tables. A number in a name is the case of the conformance catalogue that it is, or is a sibling of.

use super::stage::{Case, closed, kept, refused};

/// Every case.
pub(super) fn all() -> Vec<Case> {
    [
        framing(),
        chunks(),
        heads(),
        targets(),
        hosts(),
        hops(),
        pipelines(),
        sizes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Which bytes are the body: Content-Length and Transfer-Encoding.
pub(super) fn framing() -> Vec<Case> {
    let mut table = vec![
        refused(
            "1 CL.TE",
            "{P}Content-Length: 6⏎Transfer-Encoding: chunked⏎⏎0⏎⏎X",
            400,
        ),
        refused(
            "2 CL.TE smuggled",
            "{P}Content-Length: 45⏎Transfer-Encoding: chunked⏎⏎0⏎⏎{SM}",
            400,
        ),
        refused(
            "3 TE.CL",
            format!(
                "{{P}}Transfer-Encoding: chunked⏎Content-Length: 4⏎⏎5c⏎{}⏎0⏎⏎",
                "A".repeat(92)
            ),
            400,
        ),
        refused(
            "3 TE.CL equal",
            "{P}Transfer-Encoding: chunked⏎Content-Length: 5⏎⏎0⏎⏎",
            400,
        ),
        refused(
            "3 TE.CL on GET",
            "{G}Transfer-Encoding: chunked⏎Content-Length: 0⏎⏎0⏎⏎",
            400,
        ),
        refused(
            "4 CL.CL",
            "{P}Content-Length: 0⏎Content-Length: 41⏎⏎{SM}",
            400,
        ),
        refused(
            "4 CL.CL equal",
            "{P}Content-Length: 2⏎Content-Length: 2⏎⏎hi",
            400,
        ),
        refused(
            "4 CL.CL other case",
            "{P}Content-Length: 2⏎CONTENT-LENGTH: 3⏎⏎hi",
            400,
        ),
        refused(
            "9 TE.TE",
            "{P}Transfer-Encoding: chunked⏎Transfer-Encoding: chunked⏎⏎0⏎⏎",
            400,
        ),
        refused(
            "9 TE.TE identity",
            "{P}Transfer-Encoding: identity⏎Transfer-Encoding: chunked⏎⏎0⏎⏎",
            400,
        ),
        refused(
            "9 TE.TE other case",
            "{P}Transfer-Encoding: chunked⏎transfer-encoding: cow⏎⏎0⏎⏎",
            400,
        ),
        refused(
            "11 space before colon",
            "{P}Transfer-Encoding : chunked⏎⏎0⏎⏎",
            400,
        ),
        refused(
            "11 tab before colon",
            "{P}Transfer-Encoding\t: chunked⏎⏎0⏎⏎",
            400,
        ),
        refused(
            "11 folded coding",
            "{P}Transfer-Encoding:⏎ chunked⏎⏎0⏎⏎",
            400,
        ),
        refused(
            "11 folded by tab",
            "{P}Transfer-Encoding:⏎\tchunked⏎⏎0⏎⏎",
            400,
        ),
        refused(
            "11 space before the first header",
            "GET / HTTP/1.1⏎ Host: a.test⏎⏎",
            400,
        ),
        refused("11 folded value", "{G}X-A: b⏎ c⏎⏎", 400),
        refused("11 blank line of spaces", "{G} ⏎⏎", 400),
        refused("11 CL space before colon", "{P}Content-Length : 2⏎⏎hi", 400),
        kept(
            "12 underscore coding",
            "{P}Transfer_Encoding: chunked⏎Content-Length: 2⏎⏎hi",
            &[200],
            &["POST / =hi +content-length:2 -transfer_encoding -transfer-encoding"],
        ),
        kept(
            "12 underscore length",
            "{P}Content_Length: 9⏎Content-Length: 2⏎⏎hi",
            &[200],
            &["POST / =hi +content-length:2 -content_length"],
        ),
        refused(
            "coding in HTTP/1.0",
            "POST / HTTP/1.0⏎{H}Transfer-Encoding: chunked⏎⏎0⏎⏎",
            400,
        ),
        refused(
            "coding in HTTP/1.0 kept alive",
            "POST / HTTP/1.0⏎{H}Connection: keep-alive⏎Transfer-Encoding: chunked⏎⏎0⏎⏎{SM}",
            400,
        ),
        kept(
            "coding in capitals",
            "{P}transfer-encoding: CHUNKED⏎⏎2⏎hi⏎0⏎⏎",
            &[200],
            &["POST / =hi +transfer-encoding:chunked"],
        ),
        kept(
            "coding between blanks",
            "{P}Transfer-Encoding: \t chunked \t⏎⏎2⏎hi⏎0⏎⏎",
            &[200],
            &["POST / =hi"],
        ),
        kept("no body", "{P}⏎", &[200], &["POST / -transfer-encoding"]),
        kept(
            "length 0",
            "{P}Content-Length: 0⏎⏎",
            &[200],
            &["POST / -transfer-encoding"],
        ),
        kept(
            "length between blanks",
            "{P}Content-Length: \t 2 \t⏎⏎hi",
            &[200],
            &["POST / =hi +content-length:2"],
        ),
        kept(
            "20 GET with chunks",
            "{G}Transfer-Encoding: chunked⏎⏎2⏎hi⏎0⏎⏎",
            &[200],
            &["GET / =hi"],
        ),
        kept(
            "20 GET with a length",
            "{G}Content-Length: 2⏎⏎hi",
            &[200],
            &["GET / =hi +content-length:2"],
        ),
        kept(
            "20 DELETE with chunks",
            "DELETE /x HTTP/1.1⏎{H}Transfer-Encoding: chunked⏎⏎2⏎hi⏎0⏎⏎",
            &[200],
            &["DELETE /x =hi"],
        ),
        kept(
            "20 OPTIONS with a length",
            "OPTIONS /x HTTP/1.1⏎{H}Content-Length: 2⏎⏎hi",
            &[200],
            &["OPTIONS /x =hi"],
        ),
        kept(
            "a body in pieces",
            "{P}Content-Length: 6⏎⏎ab¦cd¦ef",
            &[200],
            &["POST / =abcdef"],
        ),
        kept(
            "a coding and a length of another hop",
            "{P}Content-Length: 2⏎X-Transfer-Encoding: chunked⏎⏎hi",
            &[200],
            &["POST / =hi"],
        ),
        refused(
            "Connection names Content-Length twice",
            "{P}Connection: Content-Length⏎Content-Length: 2⏎Content-Length: 2⏎⏎hi",
            400,
        ),
        kept(
            "Connection names Content-Length",
            "{P}Connection: Content-Length⏎Content-Length: 2⏎⏎hi",
            &[200],
            &["POST / =hi +content-length:2"],
        ),
        kept(
            "Connection names Transfer-Encoding",
            "{P}Connection: Transfer-Encoding⏎Transfer-Encoding: chunked⏎⏎2⏎hi⏎0⏎⏎",
            &[200],
            &["POST / =hi"],
        ),
    ];
    for value in [
        "+2",
        "-1",
        "",
        "0x2",
        "1_0",
        "2, 5",
        "2, 2",
        "2,2",
        "18446744073709551616",
        "18446744073709551615",
        "99999999999999999999999",
        "1Z",
        "-0",
        "002",
        "00",
        "2.0",
        "2 2",
        "\"2\"",
        "2;x",
        "٢",
        "２",
        "1e1",
        "2\u{b}",
        "\u{b}2",
        "2\u{0}",
        "2\u{a0}",
        "NaN",
        "2\t2",
        "(2)",
        ",2",
        "2,",
    ] {
        // Digits of other scripts go as their UTF-8 bytes.
        let value: String = value.bytes().map(char::from).collect();
        table.push(refused(
            format!("5 length {value:?}"),
            format!("{{P}}Content-Length: {value}⏎⏎hi"),
            400,
        ));
    }
    for value in [
        ",chunked",
        "chunked,",
        "chunked, chunked",
        "gzip, chunked",
        "chunked, gzip",
        "gzip",
        "identity",
        "chunked, identity",
        "xchunked",
        "chunkedx",
        "chunke",
        "\"chunked\"",
        "'chunked'",
        "chunked;q=1",
        "chunked;",
        " ,chunked",
        "\u{b}chunked",
        "chunked\u{b}",
        "\u{0}chunked",
        "chunked\u{ff}",
        "",
        "x-chunked",
        "chunked chunked",
        "cow, chunked",
        "chunked\u{a0}",
        "\u{c}chunked",
        "trailers",
    ] {
        table.push(refused(
            format!("8 coding {value:?}"),
            format!("{{P}}Transfer-Encoding: {value}⏎⏎0⏎⏎"),
            400,
        ));
    }
    for name in ["Content-Length", "Transfer-Encoding"] {
        for (what, byte) in [
            ("NUL", '\u{0}'),
            ("DEL", '\u{7f}'),
            ("NBSP", '\u{a0}'),
            ("VT", '\u{b}'),
            ("a bracket", '('),
        ] {
            table.push(refused(
                format!("{name} with {what} in its name"),
                format!("{{P}}{name}{byte}: 2⏎⏎hi"),
                400,
            ));
        }
    }
    table
}

/// A chunked body from its first size to its trailers.
pub(super) fn chunks() -> Vec<Case> {
    let mut table = vec![
        closed(
            "15 spill",
            "{P}Transfer-Encoding: chunked⏎⏎2⏎hixx⏎0⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "15 spill of a line end",
            "{P}Transfer-Encoding: chunked⏎⏎2⏎hi⏎⏎0⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "15 short",
            "{P}Transfer-Encoding: chunked⏎⏎4⏎hi⏎0⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "16 size ended by LF",
            "{P}Transfer-Encoding: chunked⏎⏎2\nhi⏎0⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "16 size ended by CR",
            "{P}Transfer-Encoding: chunked⏎⏎2\rXhi⏎0⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "16 size ended by two CR",
            "{P}Transfer-Encoding: chunked⏎⏎2\r⏎hi⏎0⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "16 data ended by LF",
            "{P}Transfer-Encoding: chunked⏎⏎2⏎hi\n0⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "16 data ended by CR",
            "{P}Transfer-Encoding: chunked⏎⏎2⏎hi\r0⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "16 last size ended by LF",
            "{P}Transfer-Encoding: chunked⏎⏎2⏎hi⏎0\n⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "16 end is LF",
            "{P}Transfer-Encoding: chunked⏎⏎2⏎hi⏎0⏎\n",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "16 end is CR and a byte",
            "{P}Transfer-Encoding: chunked⏎⏎2⏎hi⏎0⏎\rX",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "16 extension ended by LF",
            "{P}Transfer-Encoding: chunked⏎⏎2;a\nhi⏎0⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "16 extension with CR",
            "{P}Transfer-Encoding: chunked⏎⏎2;a\rb⏎hi⏎0⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "16 extension with LF smuggles",
            "{P}Transfer-Encoding: chunked⏎⏎2;\nxx⏎4c⏎0⏎⏎{SM}",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "16 extension with NUL",
            "{P}Transfer-Encoding: chunked⏎⏎2;\u{0}⏎hi⏎0⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "18 bytes after the last chunk",
            "{P}Transfer-Encoding: chunked⏎⏎2⏎hi⏎0⏎XX{SM}",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "18 request in place of trailers",
            "{P}Transfer-Encoding: chunked⏎⏎0⏎{SM}",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "trailer with a space before its colon",
            "{P}Transfer-Encoding: chunked⏎⏎0⏎A : b⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "trailer folded",
            "{P}Transfer-Encoding: chunked⏎⏎0⏎A: b⏎ c⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "trailer with NUL",
            "{P}Transfer-Encoding: chunked⏎⏎0⏎A: \u{0}⏎⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "trailer ended by LF",
            "{P}Transfer-Encoding: chunked⏎⏎0⏎A: b\n⏎",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "trailers without end",
            format!("{{P}}Transfer-Encoding: chunked⏎⏎0⏎{}", "A: b⏎".repeat(200)),
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "trailer too long",
            format!("{{P}}Transfer-Encoding: chunked⏎⏎0⏎A: {}", "b".repeat(9000)),
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "extension too long",
            format!("{{P}}Transfer-Encoding: chunked⏎⏎2;{}", "b".repeat(9000)),
            &[400],
            &["?POST / broken"],
        ),
        kept(
            "trailers are dropped",
            "{P}Transfer-Encoding: chunked⏎Trailer: X-User⏎⏎2⏎hi⏎0⏎X-User: admin⏎Content-Length: 9⏎⏎",
            &[200],
            &["POST / =hi -x-user -content-length -trailer"],
        ),
        kept(
            "trailer that would end the body anew",
            "{P}Transfer-Encoding: chunked⏎⏎0⏎Transfer-Encoding: chunked⏎⏎",
            &[200],
            &["POST /"],
        ),
        kept(
            "extensions are dropped",
            "{P}Transfer-Encoding: chunked⏎⏎2;a=b;c=\"d\"⏎hi⏎0;e⏎⏎",
            &[200],
            &["POST / =hi"],
        ),
        kept(
            "sizes in both cases and with zeros",
            "{P}Transfer-Encoding: chunked⏎⏎00a⏎0123456789⏎A⏎0123456789⏎000⏎⏎",
            &[200],
            &["POST / =01234567890123456789"],
        ),
        kept(
            "data that looks like an end",
            "{P}Transfer-Encoding: chunked⏎⏎5⏎0⏎⏎⏎0⏎⏎",
            &[200],
            &["POST / =0\r\n\r\n"],
        ),
        kept(
            "byte by byte",
            "{P}Transfer-Encoding: chunked⏎⏎¦2¦\r¦\n¦h¦i¦\r¦\n¦0¦\r¦\n¦\r¦\n",
            &[200],
            &["POST / =hi"],
        ),
        kept(
            "an empty body",
            "{P}Transfer-Encoding: chunked⏎⏎0⏎⏎",
            &[200],
            &["POST /"],
        ),
    ];
    for size in [
        "0_2e",
        "0x2",
        "+2",
        "-2",
        " 2",
        "",
        "2 ",
        "2\t",
        "2 ;x",
        "00000000000000002",
        "10000000000000002",
        "ffffffffffffffffff",
        "g",
        "2g",
        "-1",
        "2,",
        "\"2\"",
        "2\u{0}",
        "\u{b}2",
        "２",
        ";a",
        "2.0",
    ] {
        let size: String = size.bytes().map(char::from).collect();
        table.push(closed(
            format!("14 size {size:?}"),
            format!("{{P}}Transfer-Encoding: chunked⏎⏎{size}⏎hi⏎0⏎⏎"),
            &[400],
            &["?POST / broken"],
        ));
    }
    table
}

/// Request lines and header lines.
pub(super) fn heads() -> Vec<Case> {
    let mut table = vec![
        refused("39 LF after the request line", "GET / HTTP/1.1\n{H}⏎", 400),
        refused(
            "39 LF after a header",
            "GET / HTTP/1.1⏎Host: a.test\n⏎",
            400,
        ),
        refused("39 LF everywhere", "GET / HTTP/1.1\nHost: a.test\n\n", 400),
        refused("39 LF for the empty line", "{G}\n", 400),
        refused(
            "39 LF hides a header",
            "{G}X-A: b\nTransfer-Encoding: chunked⏎⏎0⏎⏎",
            400,
        ),
        refused("39 LF before the request", "\n{G}⏎", 400),
        refused(
            "CR in a value",
            "{G}X-A: b\rTransfer-Encoding: chunked⏎⏎",
            400,
        ),
        refused("CR in a name", "{G}X\rA: b⏎⏎", 400),
        refused("CR before the line end", "{G}X-A: b\r⏎⏎", 400),
        refused("CR for the empty line", "{G}\rX⏎⏎", 400),
        refused("CR in the request line", "GET /\r HTTP/1.1⏎{H}⏎", 400),
        refused("NUL in a value", "{G}X-A: b\u{0}c⏎⏎", 400),
        refused("NUL in a name", "{G}X\u{0}A: b⏎⏎", 400),
        refused("NUL in the target", "GET /\u{0} HTTP/1.1⏎{H}⏎", 400),
        refused("DEL in a value", "{G}X-A: \u{7f}⏎⏎", 400),
        refused("ESC in a value", "{G}X-A: \u{1b}[0m⏎⏎", 400),
        refused("a name that is none", "{G}X A: b⏎⏎", 400),
        refused("a name with a bracket", "{G}X(A): b⏎⏎", 400),
        refused("a name beyond ASCII", "{G}X-\u{e9}: b⏎⏎", 400),
        refused("no name", "{G}: b⏎⏎", 400),
        refused("no colon", "{G}X-A⏎⏎", 400),
        refused("space before colon", "{G}X-A : b⏎⏎", 400),
        refused(
            "space before Host's colon",
            "GET / HTTP/1.1⏎Host : a.test⏎⏎",
            400,
        ),
        kept(
            "no blank after the colon",
            "GET / HTTP/1.1⏎Host:a.test⏎X-A:b⏎⏎",
            &[200],
            &["GET / +x-a:b +host:a.test"],
        ),
        kept("an empty value", "{G}X-A:⏎⏎", &[200], &["GET / +x-a:"]),
        kept(
            "blanks around a value",
            "{G}X-A: \t b \t⏎⏎",
            &[200],
            &["GET / +x-a:b"],
        ),
        kept("44 empty lines first", "⏎⏎{G}⏎", &[200], &["GET /"]),
        kept("44 empty line in pieces", "\r¦\n¦{G}⏎", &[200], &["GET /"]),
        refused(
            "44 empty lines without end",
            format!("{}{{G}}⏎", "⏎".repeat(40)),
            400,
        ),
        kept(
            "a head byte by byte",
            "G¦ET / HT¦TP/1.1\r¦\nHost: a.te¦st⏎\r¦\n",
            &[200],
            &["GET /"],
        ),
        refused(
            "a TLS handshake",
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}",
            400,
        ),
        refused("words", "hello⏎⏎", 400),
        refused("an empty request line", " ⏎⏎", 400),
        refused("40 HTTP/0.9", "GET /⏎", 400),
        refused("40 HTTP/0.9 with headers", "GET /⏎{H}⏎", 400),
        refused("a blank before the method", " GET / HTTP/1.1⏎{H}⏎", 400),
        refused("two blanks after the method", "GET  / HTTP/1.1⏎{H}⏎", 400),
        refused("two blanks before the version", "GET /  HTTP/1.1⏎{H}⏎", 400),
        refused("a blank after the version", "GET / HTTP/1.1 ⏎{H}⏎", 400),
        refused("tabs for blanks", "GET\t/\tHTTP/1.1⏎{H}⏎", 400),
        refused("no target", "GET HTTP/1.1⏎{H}⏎", 400),
        refused("an empty target", "GET  HTTP/1.1⏎{H}⏎", 400),
        refused("a word too many", "GET / /x HTTP/1.1⏎{H}⏎", 400),
        refused("a method that is no token", "G(T / HTTP/1.1⏎{H}⏎", 400),
        refused("a method with a colon", "GET: / HTTP/1.1⏎{H}⏎", 400),
        refused(
            "a method without end",
            format!("{} / HTTP/1.1⏎{{H}}⏎", "G".repeat(100)),
            400,
        ),
        kept(
            "a method of one's own",
            "FROB /x HTTP/1.1⏎{H}⏎",
            &[200],
            &["FROB /x"],
        ),
        kept(
            "a method in small letters",
            "get /x HTTP/1.1⏎{H}⏎",
            &[200],
            &["get /x"],
        ),
        refused("42 CONNECT", "CONNECT a.test:443 HTTP/1.1⏎{H}⏎", 405),
        refused(
            "42 CONNECT with bytes behind it",
            "CONNECT a.test:443 HTTP/1.1⏎{H}⏎{SM}",
            405,
        ),
        refused("42 CONNECT with a path", "CONNECT /x HTTP/1.1⏎{H}⏎", 400),
        refused(
            "42 CONNECT without a port",
            "CONNECT a.test HTTP/1.1⏎{H}⏎",
            400,
        ),
        refused("42 TRACE", "TRACE / HTTP/1.1⏎{H}⏎", 405),
        refused("42 TRACK", "TRACK / HTTP/1.1⏎{H}⏎", 405),
        kept(
            "the way to override a method goes by",
            "{P}X-HTTP-Method-Override: TRACE⏎⏎",
            &[200],
            &["POST /"],
        ),
        refused(
            "an expectation nobody knows",
            "{P}Expect: magic⏎Content-Length: 2⏎⏎hi",
            417,
        ),
        refused(
            "an expectation and another",
            "{P}Expect: 100-continue, magic⏎Content-Length: 2⏎⏎hi",
            417,
        ),
        kept(
            "an expectation in capitals",
            "{P}Expect: 100-CONTINUE⏎Content-Length: 2⏎⏎hi",
            &[200],
            &["POST / =hi -expect"],
        ),
        closed(
            "an expectation in HTTP/1.0",
            "POST / HTTP/1.0⏎{H}Expect: magic⏎Content-Length: 2⏎⏎hi",
            &[200],
            &["POST / =hi -expect"],
        ),
        closed("HTTP/1.0", "GET / HTTP/1.0⏎{H}⏎", &[200], &["GET /"]),
        closed(
            "HTTP/1.0 without Host",
            "GET / HTTP/1.0⏎⏎",
            &[200],
            &["GET /"],
        ),
        closed(
            "HTTP/1.0 with a request behind it",
            "GET / HTTP/1.0⏎{H}⏎{SM}",
            &[200],
            &["GET /"],
        ),
    ];
    for (version, status) in [
        ("HTTP/1.32", 400),
        ("HTTP/1.2", 400),
        ("HTTP/2.0", 400),
        ("HTTP/3.0", 400),
        ("HTTP/0.9", 400),
        ("HTTP/01.1", 400),
        ("HTTP/1.01", 400),
        ("hTTP/1.1", 400),
        ("http/1.1", 400),
        ("HTTP/1", 400),
        ("HTTP/2", 400),
        ("HTTP/1.", 400),
        ("HTTP/.1", 400),
        ("HTTP/1.1x", 400),
        ("HTTP/1.1.1", 400),
        ("HTTP/+1.1", 400),
        ("HTTP 1.1", 400),
        ("HTTPS/1.1", 400),
        ("FTP/1.1", 400),
        ("HTTP\\1.1", 400),
        ("1.1", 400),
    ] {
        table.push(refused(
            format!("40 version {version:?}"),
            format!("GET / {version}⏎{{H}}⏎"),
            status,
        ));
    }
    table
}

/// Request targets and paths.
pub(super) fn targets() -> Vec<Case> {
    let mut table = Vec::new();
    for target in [
        "admin",
        "*",
        "/a#b",
        "/#",
        "#",
        "/a?b#c",
        "/\u{ff}",
        "/\u{e9}",
        "/a\\b",
        "\\a",
        "/a/..\\b",
        "/%zz",
        "/%",
        "/%2",
        "/a%2",
        "?a",
        "a.test",
        "a.test:80",
        "http:",
        "http:/",
        "http://",
        "http:///x",
        "http://?x",
        "ftp://a.test/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "/a\u{7f}b",
        "http://a.test/#x",
        "/a%00b",
        "/%0d%0aX:y",
        "/a%7fb",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/%2e%2e%2fadmin",
        "/..%5cadmin",
        "/..;/admin",
        "/a/..;x=1/admin",
        "/.;/admin",
        "/../admin",
        "/a/../../admin",
        "/%2e%2e/admin",
        "..",
        "../admin",
        "./x",
    ] {
        table.push(refused(
            format!("37 target {target:?}"),
            format!("GET {target} HTTP/1.1⏎{{H}}⏎"),
            400,
        ));
    }
    for (target, forwarded) in [
        ("/", "/"),
        ("//", "/"),
        ("/a//b///c", "/a/b/c"),
        ("/./a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2E./b", "/b"),
        ("/a/b/..", "/a/"),
        ("/%61%62", "/ab"),
        ("/%7Euser", "/~user"),
        ("/a%20b", "/a%20b"),
        ("/a%c3%a9", "/a%C3%A9"),
        ("/a;x=1/b", "/a;x=1/b"),
        ("/a?b=/../c", "/a?b=/../c"),
        ("/a?b=%2e%2e%2f", "/a?b=%2e%2e%2f"),
        ("/a?", "/a?"),
        ("/a??b?c", "/a??b?c"),
        ("/a?b=http://c.test/%00", "/a?b=http://c.test/%00"),
        ("/strip/a/../b", "/b"),
        ("/strip", "/"),
        ("/stripx", "/stripx"),
        ("/x/../strip/y", "/y"),
        ("//strip//y", "/y"),
        ("/%73trip/y", "/y"),
        ("/...", "/..."),
        ("/..a", "/..a"),
        ("/@:!$&'()*+,;=", "/@:!$&'()*+,;="),
        ("/*", "/*"),
    ] {
        let saw: &'static str = Box::leak(format!("GET {forwarded}").into_boxed_str());
        table.push(kept(
            format!("50 target {target:?}"),
            format!("GET {target} HTTP/1.1⏎{{H}}⏎"),
            &[200],
            &[saw],
        ));
    }
    for target in [
        "/secret",
        "/secret/",
        "/secret/x",
        "//secret/x",
        "/./secret/x",
        "/a/../secret/x",
        "/a/%2e%2e/secret/x",
        "/%73ecret/x",
        "/secret/../secret/x",
        "/secret//x",
        "http://a.test/secret/x",
        "HTTP://A.TEST/secret/x",
        "/secret?x=/strip/",
    ] {
        table.push(kept(
            format!("45 {target:?} needs a token"),
            format!("GET {target} HTTP/1.1⏎{{H}}⏎"),
            &[401],
            &[],
        ));
    }
    table.extend([
        refused("37 OPTIONS *", "OPTIONS * HTTP/1.1⏎{H}⏎", 400),
        refused("37 POST *", "POST * HTTP/1.1⏎{H}⏎", 400),
        kept(
            "54 the query is no path",
            "GET /secret/x?next=/strip/&path=/../strip HTTP/1.1⏎{H}⏎",
            &[401],
            &[],
        ),
        kept(
            "52 a method the route does not take falls to the next",
            "POST /get/x HTTP/1.1⏎{H}⏎",
            &[200],
            &["POST /get/x"],
        ),
    ]);
    table
}

/// Which host it is for.
pub(super) fn hosts() -> Vec<Case> {
    let mut table = vec![
        refused("31 no Host", "GET / HTTP/1.1⏎⏎", 400),
        refused("31 no Host, absolute", "GET http://a.test/ HTTP/1.1⏎⏎", 400),
        refused("32 two Hosts", "{G}Host: b.test⏎⏎", 400),
        refused("32 two equal Hosts", "{G}{H}⏎", 400),
        refused(
            "32 two Hosts in HTTP/1.0",
            "GET / HTTP/1.0⏎{H}Host: b.test⏎⏎",
            400,
        ),
        refused(
            "32 two Hosts, absolute",
            "GET http://a.test/ HTTP/1.1⏎{H}{H}⏎",
            400,
        ),
        refused(
            "33 bad Host, absolute",
            "GET http://a.test/ HTTP/1.1⏎Host: a b⏎⏎",
            400,
        ),
        kept(
            "34 absolute",
            "GET http://a.test/p HTTP/1.1⏎{H}⏎",
            &[200],
            &["GET /p +host:a.test"],
        ),
        kept(
            "34 absolute wins",
            "GET http://b.test/p?q HTTP/1.1⏎{H}⏎",
            &[200],
            &["GET /p?q +host:b.test +x-forwarded-host:b.test"],
        ),
        kept(
            "34 absolute with a port",
            "GET http://b.test:8080/p HTTP/1.1⏎{H}⏎",
            &[200],
            &["GET /p +host:b.test:8080"],
        ),
        kept(
            "34 absolute without a path",
            "GET http://b.test HTTP/1.1⏎{H}⏎",
            &[200],
            &["GET / +host:b.test"],
        ),
        kept(
            "34 absolute with a query only",
            "GET http://b.test?q HTTP/1.1⏎{H}⏎",
            &[200],
            &["GET /?q +host:b.test"],
        ),
        kept(
            "34 absolute https",
            "GET https://b.test/p HTTP/1.1⏎{H}⏎",
            &[200],
            &["GET /p +host:b.test +x-forwarded-proto:http"],
        ),
        kept(
            "34 scheme in capitals",
            "GET HTTP://b.test/p HTTP/1.1⏎{H}⏎",
            &[200],
            &["GET /p +host:b.test"],
        ),
        refused(
            "34 absolute with a user",
            "GET http://u@b.test/p HTTP/1.1⏎{H}⏎",
            400,
        ),
        refused(
            "34 absolute with a user and a host",
            "GET http://a.test@b.test/p HTTP/1.1⏎{H}⏎",
            400,
        ),
        refused(
            "34 absolute with a bad port",
            "GET http://b.test:98777/p HTTP/1.1⏎{H}⏎",
            400,
        ),
        refused(
            "34 absolute with a backslash",
            "GET http://b.test\\p HTTP/1.1⏎{H}⏎",
            400,
        ),
        kept(
            "Host in capitals, with a dot at its end",
            "GET / HTTP/1.1⏎Host: A.TEST.⏎⏎",
            &[200],
            &["GET / +host:a.test"],
        ),
        kept(
            "Host with a port",
            "GET / HTTP/1.1⏎Host: a.test:8080⏎⏎",
            &[200],
            &["GET / +host:a.test:8080"],
        ),
        kept(
            "Host is an address",
            "GET / HTTP/1.1⏎Host: [::1]:80⏎⏎",
            &[200],
            &["GET / +host:[::1]:80"],
        ),
        kept(
            "Connection names Host",
            "{G}Connection: Host⏎⏎",
            &[200],
            &["GET / +host:a.test"],
        ),
    ];
    for host in [
        "a.test, b.test",
        "u@a.test",
        "a.test/x",
        "",
        "a.test:98777",
        "[::1",
        "..a",
        "a..b",
        "a.test:80:80",
        "a.test:x",
        "a.test:-1",
        "a.test:+80",
        "a test",
        "a.test#",
        "a.test?x",
        "http://a.test",
        "a.test\\b",
        "[::1]x",
        "::1",
        "[]",
        "a%2etest",
        "a.test:80/",
        "a\u{0}b",
        "a.test\tb",
        "-a.test,",
        "a_b@c",
        "*",
        "*.test",
        "\u{e9}.test",
        "a.test;b",
        "\"a.test\"",
        "(a)",
        "a.test:",
        ".",
    ] {
        if host == "a.test:" {
            table.push(kept(
                "33 Host with an empty port",
                "GET / HTTP/1.1⏎Host: a.test:⏎⏎",
                &[200],
                &["GET / +host:a.test"],
            ));
            continue;
        }
        table.push(refused(
            format!("33 Host {host:?}"),
            format!("GET / HTTP/1.1⏎Host: {host}⏎⏎"),
            400,
        ));
    }
    table
}

/// Headers of one hop, and headers that only weir may write.
pub(super) fn hops() -> Vec<Case> {
    vec![
        closed(
            "57 Connection names weir's own",
            "{G}Connection: close, X-Forwarded-For, X-Forwarded-Proto, X-Weir-User⏎X-Forwarded-For: 1.2.3.4⏎X-Forwarded-Proto: https⏎X-Weir-User: admin⏎⏎",
            &[200],
            &["GET / +x-forwarded-for:127.0.0.1 +x-forwarded-proto:http -x-weir-user -connection"],
        ),
        kept(
            "57 Connection names a client's own",
            "{G}Connection: X-A, x-b⏎X-A: 1⏎X-B: 2⏎X-C: 3⏎⏎",
            &[200],
            &["GET / -x-a -x-b +x-c:3 -connection"],
        ),
        kept(
            "57 Connection in two lines",
            "{G}Connection: X-A⏎Connection: X-B⏎X-A: 1⏎X-B: 2⏎⏎",
            &[200],
            &["GET / -x-a -x-b -connection"],
        ),
        kept(
            "57 Connection with empty members",
            "{G}Connection: ,, X-A ,⏎X-A: 1⏎⏎",
            &[200],
            &["GET / -x-a -connection"],
        ),
        kept(
            "57 Keep-Alive and Proxy-Connection",
            "{G}Keep-Alive: timeout=5⏎Proxy-Connection: keep-alive⏎⏎",
            &[200],
            &["GET / -keep-alive -proxy-connection"],
        ),
        kept(
            "57 Proxy-Authorization",
            "{G}Proxy-Authorization: Basic YTpi⏎⏎",
            &[200],
            &["GET / -proxy-authorization"],
        ),
        kept("57 TE", "{G}TE: trailers⏎⏎", &[200], &["GET / -te"]),
        kept(
            "57 Connection names Cookie",
            "{G}Connection: Cookie⏎Cookie: a=b⏎⏎",
            &[200],
            &["GET / -cookie"],
        ),
        kept(
            "59 X-Forwarded-For",
            "{G}X-Forwarded-For: 1.2.3.4⏎X-Real-IP: 1.2.3.4⏎⏎",
            &[200],
            &["GET / +x-forwarded-for:127.0.0.1 +x-real-ip:127.0.0.1"],
        ),
        kept(
            "59 Forwarded",
            "{G}Forwarded: for=1.2.3.4⏎⏎",
            &[200],
            &["GET / -forwarded"],
        ),
        kept(
            "59 X-Forwarded-Host",
            "{G}X-Forwarded-Host: evil.test⏎⏎",
            &[200],
            &["GET / +x-forwarded-host:a.test"],
        ),
        kept(
            "59 the path by another name",
            "{G}X-Original-URL: /secret⏎X-Rewrite-URL: /secret⏎⏎",
            &[200],
            &["GET / -x-original-url -x-rewrite-url"],
        ),
        kept(
            "62 identity",
            "{G}X-Weir-User: admin⏎X-WEIR-ROLES: admin⏎Remote-User: admin⏎⏎",
            &[200],
            &["GET / -x-weir-user -x-weir-roles -remote-user"],
        ),
        kept(
            "62 identity by underscores",
            "{G}X_Weir_User: admin⏎X-Weir_User: admin⏎⏎",
            &[200],
            &["GET / -x_weir_user -x-weir_user -x-weir-user"],
        ),
        refused("62 identity with a space", "{G}X-Weir-User : admin⏎⏎", 400),
        kept(
            "62 any underscore",
            "{G}X_A: 1⏎⏎",
            &[200],
            &["GET / -x_a -x-a"],
        ),
        kept(
            "66 Authorization twice",
            "GET /secret/x HTTP/1.1⏎{H}Authorization: Bearer a⏎Authorization: Bearer b⏎⏎",
            &[401],
            &[],
        ),
        kept(
            "66 token in a trailer",
            "POST /secret/x HTTP/1.1⏎{H}Transfer-Encoding: chunked⏎⏎0⏎Authorization: Bearer a⏎⏎",
            &[401],
            &[],
        ),
        kept(
            "67 an upgrade to something",
            "{G}Connection: Upgrade⏎Upgrade: foo⏎⏎{SM}",
            &[200, 200],
            &["GET / -upgrade", "GET /smuggled"],
        ),
        kept(
            "67 an upgrade with a body",
            "{P}Connection: Upgrade⏎Upgrade: foo⏎Content-Length: 2⏎⏎hi{SM}",
            &[200, 200],
            &["POST / =hi -upgrade", "GET /smuggled"],
        ),
        kept(
            "67 an upgrade refused",
            "GET /secret/x HTTP/1.1⏎{H}Connection: Upgrade⏎Upgrade: websocket⏎⏎{SM}",
            &[401, 200],
            &["GET /smuggled"],
        ),
        kept(
            "67 an upgrade without Connection",
            "{G}Upgrade: foo⏎⏎{SM}",
            &[200, 200],
            &["GET / -upgrade", "GET /smuggled"],
        ),
        kept(
            "68 h2c",
            "{G}Connection: Upgrade, HTTP2-Settings⏎Upgrade: h2c⏎HTTP2-Settings: AAMAAABkAAQAAP__⏎⏎",
            &[200],
            &["GET / -upgrade -http2-settings"],
        ),
        kept(
            "68 h2c unnamed",
            "{G}Upgrade: h2c⏎HTTP2-Settings: AAMAAABkAAQAAP__⏎⏎",
            &[200],
            &["GET / -upgrade -http2-settings"],
        ),
        kept(
            "a header in many lines",
            "{G}X-A: 1⏎X-B: 2⏎X-A: 3⏎⏎",
            &[200],
            &["GET / +x-b:2"],
        ),
        kept(
            "bytes beyond ASCII in a value",
            "{G}X-A: \u{e9}⏎⏎",
            &[200],
            &["GET /"],
        ),
        closed(
            "Connection: close in capitals",
            "{G}Connection: CLOSE⏎⏎{SM}",
            &[200],
            &["GET /"],
        ),
        closed(
            "Connection: close among others",
            "{G}Connection: keep-alive, close⏎⏎{SM}",
            &[200],
            &["GET /"],
        ),
    ]
}

/// Several requests, and ends that come too early.
pub(super) fn pipelines() -> Vec<Case> {
    vec![
        kept(
            "23 two",
            "GET /1 HTTP/1.1⏎{H}⏎GET /2 HTTP/1.1⏎{H}⏎",
            &[200, 200],
            &["GET /1", "GET /2"],
        ),
        kept(
            "23 two with bodies",
            "POST /1 HTTP/1.1⏎{H}Content-Length: 1⏎⏎aPOST /2 HTTP/1.1⏎{H}Transfer-Encoding: chunked⏎⏎1⏎b⏎0⏎⏎",
            &[200, 200],
            &["POST /1 =a", "POST /2 =b"],
        ),
        closed(
            "23 the second closes",
            "GET /1 HTTP/1.1⏎{H}⏎GET /2 HTTP/1.1⏎{H}Connection: close⏎⏎",
            &[200, 200],
            &["GET /1", "GET /2"],
        ),
        closed(
            "23 the first closes",
            "GET /1 HTTP/1.1⏎{H}Connection: close⏎⏎{SM}",
            &[200],
            &["GET /1"],
        ),
        closed(
            "23 the second is bad",
            "GET /1 HTTP/1.1⏎{H}⏎GET /2 HTTP/1.1⏎⏎{SM}",
            &[200, 400],
            &["GET /1"],
        ),
        closed(
            "23 the second is no request",
            "GET /1 HTTP/1.1⏎{H}⏎nonsense⏎⏎{SM}",
            &[200, 400],
            &["GET /1"],
        ),
        closed(
            "23 the second has LF",
            "GET /1 HTTP/1.1⏎{H}⏎GET /2 HTTP/1.1\n{H}⏎{SM}",
            &[200, 400],
            &["GET /1"],
        ),
        closed(
            "23 CL.TE in the second",
            "GET /1 HTTP/1.1⏎{H}⏎{P}Content-Length: 6⏎Transfer-Encoding: chunked⏎⏎0⏎⏎G",
            &[200, 400],
            &["GET /1"],
        ),
        kept(
            "23 an empty line between",
            "POST /1 HTTP/1.1⏎{H}Content-Length: 1⏎⏎a⏎GET /2 HTTP/1.1⏎{H}⏎",
            &[200, 200],
            &["POST /1 =a", "GET /2"],
        ),
        kept(
            "23 in odd pieces",
            "GET /1 HTTP/1.1⏎{H}⏎GET¦ /2 HTTP/1.1⏎Ho¦st: a.test⏎\r¦\n",
            &[200, 200],
            &["GET /1", "GET /2"],
        ),
        kept(
            "23 five",
            "GET /1 HTTP/1.1⏎{H}⏎GET /2 HTTP/1.1⏎{H}⏎GET /3 HTTP/1.1⏎{H}⏎GET /4 HTTP/1.1⏎{H}⏎GET /5 HTTP/1.1⏎{H}⏎",
            &[200; 5],
            &["GET /1", "GET /2", "GET /3", "GET /4", "GET /5"],
        ),
        closed(
            "23 bad chunk, then a request",
            "{P}Transfer-Encoding: chunked⏎⏎zz⏎{SM}",
            &[400],
            &["?POST / broken"],
        ),
        closed(
            "more bytes than the length, no request",
            "{P}Content-Length: 2⏎⏎hiXX⏎⏎",
            &[200, 400],
            &["POST / =hi"],
        ),
        kept(
            "23 a refused body is not the next request",
            "POST /secret/x HTTP/1.1⏎{H}Content-Length: 5⏎⏎hello",
            &[401],
            &[],
        ),
        kept(
            "23 a refused body that is a request",
            "POST /secret/x HTTP/1.1⏎{H}Content-Length: 40⏎⏎{SM}",
            &[401],
            &[],
        ),
    ]
}

/// How much of anything.
pub(super) fn sizes() -> Vec<Case> {
    vec![
        kept(
            "43 a hundred headers",
            format!("{{G}}{}⏎", "X-A: b⏎".repeat(99)),
            &[200],
            &["GET /"],
        ),
        refused(
            "43 a hundred and one headers",
            format!("{{G}}{}⏎", "X-A: b⏎".repeat(100)),
            431,
        ),
        refused(
            "43 ten thousand headers",
            format!("{{G}}{}⏎", "A: b⏎".repeat(10_000)),
            431,
        ),
        refused(
            "43 a head of 64 KiB",
            format!("{{G}}X-A: {}⏎⏎", "b".repeat(65_536)),
            431,
        ),
        refused(
            "43 a head of 1 MB",
            format!("{{G}}X-A: {}⏎⏎", "b".repeat(1_000_000)),
            431,
        ),
        refused(
            "43 a head without end",
            format!("{{G}}X-A: {}", "b".repeat(70_000)),
            431,
        ),
        refused(
            "43 a name of 64 KiB",
            format!("{{G}}{}: b⏎⏎", "X".repeat(65_536)),
            431,
        ),
        kept(
            "43 a cookie of 8 KiB",
            format!("{{G}}Cookie: a={}⏎⏎", "b".repeat(8_192)),
            &[200],
            &["GET /"],
        ),
        kept(
            "43 a head of 60 KB",
            format!("{{G}}X-A: {}⏎⏎", "b".repeat(60_000)),
            &[200],
            &["GET /"],
        ),
        refused(
            "43 a target of 70 KiB",
            format!("GET /{} HTTP/1.1⏎{{H}}⏎", "a".repeat(71_680)),
            414,
        ),
        refused(
            "43 a target of 40 KB",
            format!("GET /{} HTTP/1.1⏎{{H}}⏎", "a".repeat(40_000)),
            414,
        ),
        refused(
            "43 a target without end",
            format!("GET /{}", "a".repeat(40_000)),
            414,
        ),
        kept(
            "88b a body at the limit",
            format!("{{P}}Content-Length: 64000⏎⏎{}", "a".repeat(64_000)),
            &[200],
            &[Box::leak(
                format!("POST / ={}", "a".repeat(64_000)).into_boxed_str(),
            )],
        ),
        closed(
            "88b a body declared too large",
            "{P}Content-Length: 64001⏎⏎",
            &[413],
            &[],
        ),
        closed(
            "88b a body far too large",
            "{P}Content-Length: 999999999999999999⏎⏎abc",
            &[413],
            &[],
        ),
        closed(
            "88b chunks beyond the limit",
            format!(
                "{{P}}Transfer-Encoding: chunked⏎⏎{}",
                format!("3e80⏎{}⏎", "a".repeat(16_000)).repeat(5)
            ),
            &[413],
            &["?POST / broken"],
        ),
    ]
}
