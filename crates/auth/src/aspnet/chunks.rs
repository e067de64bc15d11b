//! A ticket too long for one cookie travels as `NAME=chunks:N` (Katana) or `NAME=chunks-N` (ASP.NET Core), and `NAMEC1` … `NAMECN`.
//! What is joined here is still just text; the envelope says whether it is worth anything.

use std::borrow::Cow;

use super::envelope::MAX_TEXT;
use crate::{Denied, cookies::Cookies};

/// Katana keeps a whole Set-Cookie line under 4090 characters; this leaves room for a long name and every attribute.
const PART: usize = 3800;
/// Four digits: more parts than fit in 64 KiB of text.
const MAX_PARTS: usize = 9999;

/// The cookie's text, put together where it came in parts. Quotes around a part are no part of it.
pub(super) fn join<'c>(cookies: &'c Cookies<'_>) -> Result<Cow<'c, str>, Denied> {
    let whole = cookies.value()?.ok_or(Denied::Missing)?;
    let Some(count) = whole
        .strip_prefix("chunks:")
        .or_else(|| whole.strip_prefix("chunks-"))
    else {
        return Ok(Cow::Borrowed(whole));
    };
    let count = Some(count)
        .filter(|count| count.bytes().all(|digit| digit.is_ascii_digit()))
        .and_then(|count| count.parse().ok());
    let count: usize = count
        .filter(|count| (1..=MAX_PARTS).contains(count))
        .ok_or(Denied::Malformed)?;
    let mut text = String::new();
    for number in 1..=count {
        text.push_str(unquoted(cookies.part(number).ok_or(Denied::Malformed)?));
        if text.len() > MAX_TEXT {
            return Err(Denied::TooLong);
        }
    }
    Ok(Cow::Owned(text))
}

/// The reverse: `(name, value)` for every cookie to set; `separator` as the application writes it.
pub(super) fn split(name: &str, text: String, separator: char) -> Vec<(String, String)> {
    if text.len() <= PART {
        return vec![(name.to_owned(), text)];
    }
    let parts: Vec<String> = text
        .as_bytes()
        .chunks(PART)
        .map(|part| part.iter().copied().map(char::from).collect())
        .collect();
    let first = (name.to_owned(), format!("chunks{separator}{}", parts.len()));
    let rest = parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| (format!("{name}C{}", index + 1), part));
    std::iter::once(first).chain(rest).collect()
}

fn unquoted(part: &str) -> &str {
    part.strip_prefix('"')
        .and_then(|part| part.strip_suffix('"'))
        .unwrap_or(part)
}
