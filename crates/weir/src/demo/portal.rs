//! The demo's portal: it stands for the ASP.NET site that signs people in and issues the session cookie. It takes any name and
//! no password, but what it mints is a real Katana ticket under the machine keys that weir verifies with.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::{
    form,
    serve::{self, Answer},
    session::Mint,
};

const ICON: &str = include_str!("page/icon.svg");
const LOGIN: &str = include_str!("portal/login.html");
/// The page itself, where nobody asked for anything else.
const HOME: &str = "/chat/";
/// The sign-in form with room to spare.
const FORM: usize = 16 * 1024;
/// How long a session lasts.
const SESSION: Duration = Duration::from_secs(8 * 60 * 60);
/// The most characters of a name that are taken: one cookie is to hold the ticket.
const NAME: usize = 60;
/// No script, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Answers on a free loopback port for as long as the runtime lives.
pub(super) async fn start(mint: Arc<Mint>) -> io::Result<SocketAddr> {
    serve::start(move |request| answer(Arc::clone(&mint), request)).await
}

async fn answer(mint: Arc<Mint>, request: Request<Incoming>) -> Answer {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/") => moved(HOME),
        (&Method::GET | &Method::HEAD, "/favicon.ico") => serve::whole(
            StatusCode::OK,
            [(header::CONTENT_TYPE, "image/svg+xml")],
            ICON,
        ),
        (&Method::GET | &Method::HEAD, "/login") => {
            let wanted = form::field(request.uri().query().unwrap_or_default(), "returnUrl");
            page(
                StatusCode::OK,
                &LOGIN.replace("{{returnUrl}}", &escaped(&home_or(wanted))),
            )
        }
        // Somebody else's page must neither sign its visitor in nor out.
        (&Method::POST, _) if from_elsewhere(request.headers()) => page(
            StatusCode::FORBIDDEN,
            "<!doctype html><title>403</title>This form came from another site.",
        ),
        (&Method::POST, "/login") => sign_in(&mint, request).await,
        (&Method::POST, "/logout") => {
            let mut answer = moved("/login");
            set_cookie(&mut answer, mint.name(), "", Duration::ZERO);
            answer
        }
        _ => page(
            StatusCode::NOT_FOUND,
            "<!doctype html><title>404</title>The portal has nothing here. <a href=\"/chat/\">To the chat</a>",
        ),
    }
}

async fn sign_in(mint: &Mint, request: Request<Incoming>) -> Answer {
    let Ok(body) = Limited::new(request.into_body(), FORM).collect().await else {
        return page(
            StatusCode::PAYLOAD_TOO_LARGE,
            "<!doctype html><title>413</title>The form is too long.",
        );
    };
    let body = body.to_bytes();
    let text = String::from_utf8_lossy(&body);
    let field = |name: &str| {
        let given = form::field(&text, name).unwrap_or_default();
        given.trim().chars().take(NAME).collect::<String>()
    };
    let user = field("user");
    if user.is_empty() {
        return moved("/login");
    }
    let mut answer = moved(&home_or(form::field(&text, "returnUrl")));
    for (name, value) in mint.session(&user, &field("tenant"), SystemTime::now(), SESSION) {
        set_cookie(&mut answer, &name, &value, SESSION);
    }
    answer
}

/// Where a signed-in browser goes: only to this host. Katana's IsHostRelative, which is `/` and then neither `/` nor `\`; and
/// nothing that a browser would drop while reading the address, or that cannot stand in a header.
fn home_or(wanted: Option<String>) -> String {
    wanted
        .filter(|url| match url.as_bytes() {
            [b'/'] => true,
            [b'/', second, ..] => {
                !matches!(second, b'/' | b'\\') && url.bytes().all(|byte| byte.is_ascii_graphic())
            }
            _ => false,
        })
        .unwrap_or_else(|| HOME.to_owned())
}

fn from_elsewhere(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none")
}

/// 303: whatever was asked before, the next request is a GET.
fn moved(to: &str) -> Answer {
    serve::whole(StatusCode::SEE_OTHER, [(header::LOCATION, to)], "")
}

fn page(status: StatusCode, html: &str) -> Answer {
    serve::whole(
        status,
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "same-origin"),
        ],
        html.to_owned(),
    )
}

/// Without `Secure`, which a real site sets: the demo is plain HTTP on loopback.
fn set_cookie(answer: &mut Answer, name: &str, value: &str, age: Duration) {
    let age = age.as_secs();
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}");
    if let Ok(cookie) = cookie.parse() {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_url_stays_on_this_host() {
        for good in [
            "/",
            "/chat/",
            "/chat/x?a=1&b=%2F",
            "/login?returnUrl=//evil",
        ] {
            assert_eq!(home_or(Some(good.to_owned())), good);
        }
        for bad in [
            "",
            "chat",
            "//evil",
            "/\\evil",
            "\\/evil",
            "https://evil",
            "javascript:1",
            "/\t/evil",
            "/a\r\nSet-Cookie: x",
            "/caf\u{e9}",
            " /chat",
        ] {
            assert_eq!(home_or(Some(bad.to_owned())), HOME, "{bad:?}");
        }
        assert_eq!(home_or(None), HOME);
    }

    #[test]
    fn what_stands_in_an_attribute_cannot_leave_it() {
        assert_eq!(escaped("/?a=\"><script>&"), "/?a=&quot;>&lt;script>&amp;");
    }

    #[test]
    fn only_our_own_pages_may_post() {
        let from = |site: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("sec-fetch-site", http::HeaderValue::from_static(site));
            from_elsewhere(&headers)
        };
        assert!(from("cross-site") && from("same-site"));
        assert!(!from("same-origin") && !from("none"));
        assert!(!from_elsewhere(&HeaderMap::new()), "curl sends none");
    }

    #[test]
    fn a_session_cookie_is_out_of_reach_of_scripts_and_other_sites() {
        let mut answer = moved("/chat/");
        set_cookie(&mut answer, "name", "value", SESSION);
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(
            answer.headers()[header::SET_COOKIE],
            "name=value; Path=/; HttpOnly; SameSite=Lax; Max-Age=28800"
        );
    }
}
