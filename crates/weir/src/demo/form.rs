//! Reads `name=value&name=value`, as it stands in a query and in a posted form. The portal's fields and the assistant's
//! switches come through here; what they mean is theirs to say.

/// The first value of `name`, decoded; `None` where it is absent.
pub(super) fn field(text: &str, name: &str) -> Option<String> {
    text.split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decode(key) == name)
        .map(|(_, value)| decode(value))
}

/// WHATWG URL, application/x-www-form-urlencoded parsing: `+` is a space, a `%` that starts no escape stands for itself,
/// what is not UTF-8 becomes U+FFFD.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = match (byte, bytes.get(at + 1), bytes.get(at + 2)) {
            (b'%', Some(&high), Some(&low)) => hex(high).zip(hex(low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            None => {
                out.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_are_decoded_and_the_first_wins() {
        let form = "returnUrl=%2Fchat%2F%3Fa%3D1&user=Ada+Lovelace&user=Eve&odd=100%&flag";
        assert_eq!(field(form, "returnUrl").as_deref(), Some("/chat/?a=1"));
        assert_eq!(field(form, "user").as_deref(), Some("Ada Lovelace"));
        assert_eq!(field(form, "odd").as_deref(), Some("100%"));
        assert_eq!(field(form, "flag").as_deref(), Some(""));
        assert_eq!(field(form, "absent"), None);
    }

    #[test]
    fn an_escape_is_never_read_past_the_end() {
        for text in ["a=%", "a=%4", "a=%zz", "a=%f%", "a=é%c3"] {
            assert!(field(text, "a").is_some(), "{text}");
        }
    }
}
