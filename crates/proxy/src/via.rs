//! `Via`, for those who want weir to name itself (RFC 9110 section 7.6.3): the version the message came in, and a pseudonym instead of an
//! address. Off by default: it tells every client what stands here.

use http::{HeaderMap, HeaderValue, Version, header};

/// Adds weir to those a message came through.
pub fn add_via(headers: &mut HeaderMap, came_in: Version) {
    headers.append(header::VIA, via(came_in));
}

/// weir's own word.
pub(crate) fn via(came_in: Version) -> HeaderValue {
    HeaderValue::from_static(match came_in {
        Version::HTTP_09 | Version::HTTP_10 => "1.0 weir",
        Version::HTTP_2 => "2 weir",
        Version::HTTP_3 => "3 weir",
        _ => "1.1 weir",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weir_stands_behind_those_before_it() {
        let mut headers = HeaderMap::new();
        headers.append(header::VIA, HeaderValue::from_static("1.0 fred"));
        add_via(&mut headers, Version::HTTP_11);
        add_via(&mut headers, Version::HTTP_2);
        let all: Vec<_> = headers.get_all(header::VIA).iter().collect();
        assert_eq!(all, ["1.0 fred", "1.1 weir", "2 weir"]);
    }
}
