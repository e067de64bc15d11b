//! Names as heads have them: those of nearly every head are told by their letters, sixteen bytes at a time, and all others are left to `http`,
//! which copies a name, looks at each of its bytes and then for it among eighty (twice the instructions, measured).

use http::HeaderName;

/// What is looked at of a line at once: the longest name that is known here, and its colon.
const WORD: usize = 16;

/// The name that these bytes begin with, and where its colon stands; `None`: there is no colon in the line, which is so long, or before it no name.
pub(crate) fn name(bytes: &[u8], line: usize) -> Option<(HeaderName, usize)> {
    if let Some(start) = bytes.first_chunk::<WORD>()
        && let Some((word, colon)) = word(u128::from_le_bytes(*start))
        && let Some(name) = known(word)
    {
        return (colon < line).then_some((name, colon));
    }
    // Names are short: a look at each byte is over before `memchr` has begun.
    let colon = bytes[..line].iter().position(|byte| *byte == b':')?;
    Some((HeaderName::from_bytes(&bytes[..colon]).ok()?, colon))
}

/// The bytes up to the first colon and with it, their letters made small, and where it stands.
fn word(bytes: u128) -> Option<(u128, usize)> {
    const EACH: u128 = u128::from_le_bytes([1; WORD]);
    let others = bytes ^ (EACH * b':' as u128);
    // The lowest byte of no bits: a borrow reaches only bytes above it.
    let found = others.wrapping_sub(EACH) & !others & (EACH * 0x80);
    if found == 0 {
        return None;
    }
    let bit = found.trailing_zeros();
    let name = bytes & (u128::MAX >> (127 - bit));
    // Of the bytes from 0x40 on letters become small, and nothing else becomes a letter.
    Some((name | ((name & (EACH * 0x40)) >> 1), (bit / 8) as usize))
}

macro_rules! known {
    ($($name:ident $text:literal)*) => {
        fn known(word: u128) -> Option<HeaderName> {
            $(const $name: u128 = small($text);)*
            match word {
                $($name => Some(const { HeaderName::from_static($text) }),)*
                _ => None,
            }
        }

        #[cfg(test)]
        const KNOWN: &[&str] = &[$($text),*];
    };
}

known! {
    ACCEPT "accept"
    ACCEPT_ENCODING "accept-encoding"
    ACCEPT_LANGUAGE "accept-language"
    AUTHORIZATION "authorization"
    CACHE_CONTROL "cache-control"
    CONNECTION "connection"
    CONTENT_LENGTH "content-length"
    CONTENT_TYPE "content-type"
    COOKIE "cookie"
    DATE "date"
    HOST "host"
    ORIGIN "origin"
    REFERER "referer"
    SERVER "server"
    SET_COOKIE "set-cookie"
    TRACEPARENT "traceparent"
    USER_AGENT "user-agent"
    VARY "vary"
    X_FORWARDED_FOR "x-forwarded-for"
}

const fn small(name: &str) -> u128 {
    let mut word = [0; WORD];
    let (head, _) = word.split_at_mut(name.len());
    head.copy_from_slice(name.as_bytes());
    word[name.len()] = b':';
    u128::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[u8]) -> Option<(HeaderName, usize)> {
        name(&[line, b"\r\n\r\n0123456789abcdef"].concat(), line.len())
    }

    /// What `http` makes of the same bytes.
    fn told(line: &[u8]) -> Option<(HeaderName, usize)> {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((HeaderName::from_bytes(&line[..colon]).ok()?, colon))
    }

    #[test]
    fn a_name_is_the_one_that_http_takes_it_for() {
        for known in KNOWN {
            for text in [known.to_string(), known.to_uppercase()] {
                let line = format!("{text}: a:b");
                let wanted = HeaderName::from_static(known);
                assert_eq!(read(line.as_bytes()), Some((wanted, known.len())));
            }
            // Every byte in every place of it.
            for at in 0..=known.len() {
                for byte in 0..=u8::MAX {
                    let mut line = format!("{known}: a:b").into_bytes();
                    line[at] = byte;
                    assert_eq!(read(&line), told(&line), "{line:?}");
                    let mut longer = format!("{known}: a:b").into_bytes();
                    longer.insert(at, byte);
                    assert_eq!(read(&longer), told(&longer), "{longer:?}");
                }
            }
        }
    }

    #[test]
    fn a_colon_behind_the_line_is_not_its() {
        assert_eq!(name(b"host\r\nhost: a\r\n\r\n", 4), None);
        assert_eq!(name(b"host\r\nhost:", 4), None);
        assert_eq!(name(b"host:\r\n", 5), Some((http::header::HOST, 4)));
    }
}
