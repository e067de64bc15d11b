//! JSON objects in which no key occurs twice, at any depth. Parsers disagree on which of two counts, and so would weir and
//! the upstream that reads the same token.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// A JSON object without duplicate keys. serde_json's own limit of 128 levels holds.
struct Strict(Map<String, Value>);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Unique::deserialize(deserializer)?.0 {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(D::Error::custom("not an object")),
        }
    }
}

/// One base64url part of a token.
pub(super) fn decode(part: &str) -> Option<Map<String, Value>> {
    parse(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?)
}

/// The same from the JSON itself.
pub(super) fn parse(json: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice::<Strict>(json)
        .ok()
        .map(|strict| strict.0)
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything).map(Self)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON without duplicate keys")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Unique(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Unique(value))) = map.next_entry::<String, Unique>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key occurs twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Option<Map<String, Value>> {
        decode(&BASE64_URL_SAFE_NO_PAD.encode(json))
    }

    #[test]
    fn only_objects_whose_keys_are_unique_everywhere() {
        for good in [
            "{}",
            r#"{"a":{"a":[1,-2,3.5,"x",null,true]}}"#,
            r#"{"a":1,"A":2}"#,
        ] {
            assert_eq!(
                Value::Object(read(good).unwrap()),
                serde_json::from_str::<Value>(good).unwrap()
            );
        }
        let deep = "{\"a\":".repeat(100_000);
        for bad in [
            "",
            "[]",
            "1",
            r#"{"a":1,"a":1}"#,
            r#"{"b":[{"a":1,"\u0061":1}]}"#,
            "{} {}",
            r#"{"a":1e999}"#,
            &deep,
        ] {
            assert_eq!(read(bad), None, "{}", &bad[..bad.len().min(40)]);
        }
        assert_eq!(decode("e30="), None, "padding");
        assert_eq!(decode("e31"), None, "bits after the end");
    }

    proptest! {
        #[test]
        fn any_text_can_be_tried(text in "[{}\\[\\]\",:a0-9.eE+-]{0,60}") {
            let _ = read(&text);
            let _ = decode(&text);
        }
    }
}
