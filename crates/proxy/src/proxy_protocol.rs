//! The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): what a TCP proxy says of the client before the client's own
//! first byte. Reads bytes, does no IO and trusts nobody: whether the peer may speak it is the listener's question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// So many bytes any header has at least: they can be read before its version is known (`PROXY UNKNOWN` and a line end).
pub const LEAST: usize = 15;
/// The longest line of version 1, its line end included.
const LINE: usize = 107;
/// The first bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2.
const FIXED: usize = 16;
/// The most that version 2 may say beside the fixed part. The addresses take 36 at most, the rest are TLVs; a client certificate, the
/// largest of them in use, is not sent by anybody in front of a gateway that has its own TLS.
const MOST: usize = 4096;

/// What was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Who the client is.
    Client(SocketAddr),
    /// Nothing of a client: a health check of the proxy itself, or a connection it knows nothing of. The peer is the client.
    Nothing,
}

/// What the bytes so far come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// At least so many bytes more belong to the header: reading them takes nothing of the client's own.
    More(usize),
    /// The header is whole, and all bytes are its.
    Done(Said),
}

/// Not the PROXY protocol, or not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a malformed PROXY protocol header")]
pub struct Malformed;

/// Looks at the bytes read so far. Asked again after each read of what [`Step::More`] says, it never asks for a byte too many.
pub fn step(bytes: &[u8]) -> Result<Step, Malformed> {
    if bytes.len() < LEAST {
        return Ok(Step::More(LEAST - bytes.len()));
    }
    if bytes.starts_with(&SIGNATURE) {
        binary(bytes)
    } else if bytes.starts_with(b"PROXY ") {
        line(bytes)
    } else {
        Err(Malformed)
    }
}

fn line(bytes: &[u8]) -> Result<Step, Malformed> {
    let Some(text) = bytes.strip_suffix(b"\r\n") else {
        // A bare CR or LF within could hide a second line; nothing but the end may have one.
        let (body, last) = bytes.split_at(bytes.len() - 1);
        if body.iter().any(|b| matches!(b, b'\r' | b'\n')) || last == b"\n" || bytes.len() >= LINE {
            return Err(Malformed);
        }
        return Ok(Step::More(1));
    };
    let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
    if text.contains(['\r', '\n']) {
        return Err(Malformed);
    }
    let mut words = text.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // What follows is to be ignored.
        return Ok(Step::Done(Said::Nothing));
    }
    let mut address = || -> Option<IpAddr> {
        match family {
            "TCP4" => words.next()?.parse().ok().map(IpAddr::V4),
            "TCP6" => words.next()?.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let source = address().ok_or(Malformed)?;
    address().ok_or(Malformed)?;
    let port = words.next().and_then(port).ok_or(Malformed)?;
    words.next().and_then(self::port).ok_or(Malformed)?;
    if words.next().is_some() {
        return Err(Malformed);
    }
    Ok(Step::Done(Said::Client(SocketAddr::new(source, port))))
}

/// Decimal without sign or leading zeros.
fn port(word: &str) -> Option<u16> {
    let canonical = word == "0" || !word.starts_with(['0', '+']);
    word.parse().ok().filter(|_| canonical)
}

fn binary(bytes: &[u8]) -> Result<Step, Malformed> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else {
        return Ok(Step::More(FIXED - bytes.len()));
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > MOST || rest.len() > length {
        return Err(Malformed);
    }
    let local = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed),
    };
    if rest.len() < length {
        return Ok(Step::More(length - rest.len()));
    }
    if local {
        // The receiver must skip whatever is there.
        return Ok(Step::Done(Said::Nothing));
    }
    let (said, tlvs) = match fixed[13] {
        0x11 => {
            let (addresses, tlvs) = rest.split_first_chunk::<12>().ok_or(Malformed)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            let source = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
            (client(source, [high, low]), tlvs)
        }
        0x21 => {
            let (addresses, tlvs) = rest.split_first_chunk::<36>().ok_or(Malformed)?;
            let mut source = [0; 16];
            source.copy_from_slice(&addresses[..16]);
            let source = IpAddr::V6(Ipv6Addr::from(source));
            (client(source, [addresses[32], addresses[33]]), tlvs)
        }
        // UNSPEC says nothing of the client; datagrams and UNIX sockets cannot be what came in here, but are well formed.
        0x00 => (Said::Nothing, &[][..]),
        0x12 | 0x22 | 0x31 | 0x32 => (Said::Nothing, &[][..]),
        _ => return Err(Malformed),
    };
    whole(tlvs)?;
    Ok(Step::Done(said))
}

fn client(source: IpAddr, port: [u8; 2]) -> Said {
    Said::Client(SocketAddr::new(source, u16::from_be_bytes(port)))
}

/// The TLVs fill their space exactly; what they say is not asked for.
fn whole(mut tlvs: &[u8]) -> Result<(), Malformed> {
    while let Some(([_, high, low], rest)) = tlvs.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        tlvs = rest.get(length..).ok_or(Malformed)?;
    }
    if tlvs.is_empty() {
        Ok(())
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as a connection does: only what is asked for.
    fn read(bytes: &[u8]) -> Result<(Said, usize), Malformed> {
        let mut taken = 0;
        loop {
            match step(&bytes[..taken])? {
                Step::Done(said) => return Ok((said, taken)),
                Step::More(more) if taken + more > bytes.len() => panic!("waits for {more} more"),
                Step::More(more) => taken += more,
            }
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    fn from(client: &str) -> Said {
        Said::Client(client.parse().unwrap())
    }

    #[test]
    fn version_1() {
        let longest = format!(
            "PROXY TCP6 {0} {0} 65535 65535\r\n",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
        );
        for (bytes, said) in [
            (
                "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n",
                from("192.0.2.1:4711"),
            ),
            (
                "PROXY TCP6 2001:db8::7 ::1 1 2\r\n",
                from("[2001:db8::7]:1"),
            ),
            (
                longest.as_str(),
                from("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
            ),
            ("PROXY UNKNOWN\r\n", Said::Nothing),
            ("PROXY UNKNOWN whatever 1 2 3\r\n", Said::Nothing),
        ] {
            let whole = format!("{bytes}GET / HTTP/1.1\r\n");
            assert_eq!(read(whole.as_bytes()), Ok((said, bytes.len())), "{bytes}");
        }
        for bytes in [
            "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
            "PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
            "PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP9 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n\r\n",
            "PROXY TCP4 192.0.2.1\r10.0.0.1 1 2\r\n",
        ] {
            assert_eq!(read(bytes.as_bytes()), Err(Malformed), "{bytes:?}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
        assert_eq!(read(endless.as_bytes()), Err(Malformed));
        assert_eq!(read(b"PROXY UNKNOWN \xff\r\n"), Err(Malformed));
    }

    #[test]
    fn version_2() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 1, 187];
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
        v6[33] = 9;
        let with = |tlvs: &[u8]| v2(0x21, 0x11, &[&v4[..], tlvs].concat());
        for (bytes, said) in [
            (v2(0x21, 0x11, &v4), from("192.0.2.1:4711")),
            (v2(0x21, 0x21, &v6), from("[2001:db8::]:9")),
            (v2(0x20, 0x00, &[]), Said::Nothing),
            (v2(0x20, 0x11, b"\xff\xff\xff"), Said::Nothing),
            (v2(0x21, 0x00, b"\xff"), Said::Nothing),
            (v2(0x21, 0x31, &[0; 216]), Said::Nothing),
            // TLVs: known, unknown and empty ones.
            (
                with(&[1, 0, 2, b'h', b'2', 0xee, 0, 1, 7, 4, 0, 0]),
                from("192.0.2.1:4711"),
            ),
        ] {
            let whole = [&bytes[..], b"GET /"].concat();
            assert_eq!(read(&whole), Ok((said, bytes.len())), "{bytes:?}");
        }
        let mut oversize = v2(0x21, 0x11, &v4);
        oversize[14..16].copy_from_slice(&[0xff, 0xff]);
        for bytes in [
            v2(0x21, 0x11, &v4[..11]),
            v2(0x21, 0x21, &v6[..35]),
            v2(0x11, 0x11, &v4),
            v2(0x22, 0x11, &v4),
            v2(0x21, 0x13, &v4),
            v2(0x21, 0x41, &v4),
            with(&[1]),
            with(&[1, 0]),
            with(&[1, 0, 2, b'h']),
            with(&[0xee, 0xff, 0xff, 0]),
            oversize,
        ] {
            assert_eq!(read(&bytes), Err(Malformed), "{bytes:?}");
        }
    }

    /// Any bytes come to an end: within the bounds, without a panic.
    #[test]
    fn no_bytes_at_all_are_too_much() {
        for seed in 0..=255u8 {
            for version in [&b"PROXY "[..], &SIGNATURE[..]] {
                let mut bytes = version.to_vec();
                let mut state = u32::from(seed) + 1;
                for _ in 0..MOST + 64 {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    bytes.push((state >> 24) as u8);
                }
                let _ = read(&bytes);
            }
        }
    }
}
