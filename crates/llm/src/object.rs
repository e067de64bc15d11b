//! The fields of a JSON object that may be cut off: what a tap can still read of a line of which only the head was kept.
//!
//! It finds where values begin and end and leaves their meaning to `serde_json`. It does not validate: nonsense between the fields makes
//! it stop, never fail.

/// One field of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// Between its quotes, escapes not resolved: no key a tap looks for has any.
    pub(crate) key: &'a [u8],
    /// The value as it stands, a string with its quotes.
    pub(crate) value: &'a [u8],
}

impl Field<'_> {
    /// The value if it is a string that is all there.
    pub(crate) fn text(&self) -> Option<String> {
        serde_json::from_slice(self.value).ok()
    }
}

/// Walks the fields of the object `json` begins with, in their order; the last value may be incomplete. Lazy: a caller that wants the
/// first field pays for no other.
pub(crate) fn fields(json: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = json
        .trim_ascii_start()
        .strip_prefix(b"{")
        .unwrap_or_default();
    std::iter::from_fn(move || {
        let quoted = rest.trim_ascii_start();
        let (key, after) = quoted.split_at(string_end(quoted)?);
        let value = after
            .trim_ascii_start()
            .strip_prefix(b":")?
            .trim_ascii_start();
        let (value, after) = value.split_at(value_end(value));
        // At the comma the next field begins; at `}` or where the bytes are cut off `rest` holds no string, and the walk ends.
        rest = after
            .trim_ascii_start()
            .strip_prefix(b",")
            .unwrap_or_default();
        Some(Field {
            key: &key[1..key.len() - 1],
            value: value.trim_ascii_end(),
        })
    })
}

/// The length of the string `bytes` begins with, its quotes included; `None` if there is none or it is cut off.
fn string_end(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The length of the value `bytes` begins with, nested ones skipped over; all of them if it is cut off.
fn value_end(bytes: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => match string_end(&bytes[at..]) {
                Some(length) => {
                    at += length;
                    continue;
                }
                None => return bytes.len(),
            },
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn walk(json: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields(json.as_bytes())
            .map(|field| (text(field.key), text(field.value)))
            .collect()
    }

    #[test]
    fn whole_and_cut() {
        let table: &[(&str, &[(&str, &str)])] = &[
            (r"{}", &[]),
            (r"", &[]),
            (r"[1]", &[]),
            (r"[DONE]", &[]),
            (r#"{"a":1}"#, &[("a", "1")]),
            (
                r#" { "a" : "x" , "b" : null } "#,
                &[("a", "\"x\""), ("b", "null")],
            ),
            (
                r#"{"a":{"b":[1,{"c":"}"}]},"d":true}"#,
                &[("a", r#"{"b":[1,{"c":"}"}]}"#), ("d", "true")],
            ),
            (
                r#"{"a":"q\"},\\","b":2}"#,
                &[("a", r#""q\"},\\""#), ("b", "2")],
            ),
            (r#"{"a":1,"b":"cut o"#, &[("a", "1"), ("b", "\"cut o")]),
            (
                r#"{"a":1,"b":{"c":[1,"#,
                &[("a", "1"), ("b", r#"{"c":[1,"#)],
            ),
            (r#"{"a":1,"b"#, &[("a", "1")]),
            (r#"{"a":1,"b""#, &[("a", "1")]),
            (r#"{"a":1,"b":"#, &[("a", "1"), ("b", "")]),
            (r#"{"a":1,"b\"#, &[("a", "1")]),
            (r#"{"a":"\"#, &[("a", r#""\"#)]),
            (r#"{a:1}"#, &[]),
        ];
        for (json, expected) in table {
            let expected: Vec<_> = expected
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(walk(json), expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde(keys in vec("[a-z]{1,6}", 0..6), seed in vec(any::<Option<String>>(), 6)) {
            let object: serde_json::Map<_, _> =
                keys.into_iter().zip(seed).map(|(key, text)| (key, serde_json::json!({ "v": [text] }))).collect();
            let json = serde_json::to_vec(&object).expect("a map of strings");
            let read: serde_json::Map<_, _> = fields(&json)
                .map(|field| {
                    let key = String::from_utf8(field.key.to_vec()).expect("ASCII");
                    (key, serde_json::from_slice(field.value).expect("a whole value"))
                })
                .collect();
            prop_assert_eq!(read, object);
        }

        #[test]
        fn any_bytes_end(bytes in vec(proptest::sample::select(b"{}[]\",:\\a 1".to_vec()), 0..60)) {
            prop_assert!(fields(&bytes).count() <= bytes.len());
        }
    }
}
